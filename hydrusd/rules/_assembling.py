"""Makes one document of a rules file and all that it includes.

What saves writing is resolved here, before anything is checked: includes become one list of
rules, defaults become parameters, and the use of a blueprint becomes the rule that it stands
for. From there on nobody needs to know that a rule was not written out, nor does the ledger,
which keeps it as it is meant. Each value keeps its place: what a blueprint says is wrong in the
blueprint, and what it is given is wrong where it is given.

A parameter is ``${name}``, and filled in while the file is read; ``{{ … }}`` is filled in while
the rule runs. Within ``{{ … }}`` and in an ``if`` a parameter stands for a value and not for a
piece of the expression, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydrusd.rules._files import RulesFile
from hydrusd.rules._problems import Problems
from hydrusd.rules._specs import Vocabulary
from hydrusd.rules._yaml import Document, Path as DataPath, Place

MAX_VALUES = 1_000_000
"""How many values all rules together may come to, each use of a blueprint counted."""
MAX_TEXT = 100_000

SHARED = ("include", "vars", "defaults", "blueprints", "rules")
"""What may stand in any of the files; all else belongs in the first one."""
_BLUEPRINT = ("description", "parameters", "rule")
_PARAMETER = ("type", "default", "description")
_NOT_BY_DEFAULT = frozenset({"name", "if", "vars"})
BLOCKS = ("do", "else")
EXPRESSIONS = ("if",)
"""The keys of a rule and its blocks under which there is an expression without braces."""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "mapping": (dict,),
}
PARAMETER_KINDS = tuple(_KINDS)
_WORDS = {
    "text": "text",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "mapping": "a mapping",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER_IN_TEXT = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Wrong(Exception):
    """A rule that has a problem, which is noted: there is no use in going on with it."""


def assemble(
    files: Sequence[RulesFile],
    problems: Problems,
    vocabulary: Vocabulary,
    rule_keys: Sequence[str],
) -> Document:
    """Give one document with all rules, blueprints and defaults filled in.

    ``rule_keys`` are what a rule may say.
    """
    first = files[0].document
    if not isinstance(first.data, dict) or (len(files) == 1 and _is_plain(first.data)):
        return first
    return _Assembly(files, problems, vocabulary, rule_keys).document()


def _is_plain(data: Mapping[str, Any]) -> bool:
    """Say whether a file says nothing that has to be resolved."""
    if {"include", "defaults", "blueprints"} & {*data}:
        return False
    rules = data.get("rules")
    return not isinstance(rules, list) or not any(isinstance(r, dict) and "use" in r for r in rules)


class _Assembly:
    """The files, becoming one."""

    def __init__(
        self,
        files: Sequence[RulesFile],
        problems: Problems,
        vocabulary: Vocabulary,
        rule_keys: Sequence[str],
    ) -> None:
        self._files = files
        self._problems = problems
        self._names = {"on": vocabulary.triggers, "do": vocabulary.actions}
        self._rule_keys = rule_keys
        self._blueprints: dict[str, _Blueprint] = {}
        self._left = MAX_VALUES
        first = files[0].document
        self._made = Document(lines=first.lines, start=first.start)

    def document(self) -> Document:
        first = self._files[0].document
        data = first.data
        assert isinstance(data, dict)
        made = self._made
        made.keys |= {at: place for at, place in first.keys.items() if at[:1] != ("rules",)}
        made.values |= {at: place for at, place in first.values.items() if at[:1] != ("rules",)}
        made.scalars |= {at: node for at, node in first.scalars.items() if at[:1] != ("rules",)}
        made.data = {k: v for k, v in data.items() if k not in {"include", "defaults"}}
        made.data.pop("blueprints", None)
        for file in self._files[1:]:
            self._check_included(file)
        for file in self._files:
            self._note_blueprints(file)
            self._check_defaults(file)
        self._share_variables(made.data)
        if any("rules" in _mapping(file.document.data) for file in self._files):
            self._take_rules(made.data)
        return made

    # -- the parts of a file --------------------------------------------------------

    def _check_included(self, file: RulesFile) -> None:
        document, data = file.document, file.document.data
        if not isinstance(data, dict):
            hint = "it needs 'rules:', and may have 'include', 'vars', 'defaults', 'blueprints'"
            self._problems.add(document.value(()), "a rules file is a mapping", hint)
            return
        for key in data:
            if key in SHARED or key.startswith("x-"):
                continue
            place = document.key((key,))
            if key in {*_mapping(self._files[0].document.data)} or key in FIRST_ONLY:
                name = self._files[0].path.name
                message = f"'{key[:60]}' belongs in the first file, which is {name}"
                self._problems.add(place, message, "an included file has rules, and what they use")
            else:
                hint = self._problems.suggest(key, SHARED)
                self._problems.add(place, f"there is no '{key[:60]}' here", hint)

    def _share_variables(self, data: dict[str, Any]) -> None:
        shared: dict[str, Any] = {}
        whole: dict[str, Place] = {}
        for file in self._files:
            raw = _mapping(file.document.data).get("vars")
            if raw is None:
                continue
            if not isinstance(raw, dict):
                place = file.document.value(("vars",))
                self._problems.add(place, "'vars' must be a mapping", "as in: vars: {artist: …}")
                continue
            for name, value in raw.items():
                place = file.document.key(("vars", name))
                if name in shared:
                    self._twice(place, "variable", name, whole[name])
                    continue
                shared[name], whole[name] = value, place
                self._made.take(("vars", name), file.document, ("vars", name), value)
        data.pop("vars", None)
        if shared:
            data["vars"] = shared

    def _twice(self, place: Place, kind: str, name: str, first: Place) -> None:
        at = self._problems.position(first)
        where = f"in {at.file}, line {at.line}"
        hint = "names hold in all files: keep one of the two"
        self._problems.add(place, f"there is another {kind} '{name[:60]}': {where}", hint)

    def _note_blueprints(self, file: RulesFile) -> None:
        document = file.document
        raw = _mapping(document.data).get("blueprints")
        if raw is None:
            return
        if not isinstance(raw, dict):
            hint = "as in: blueprints: {inbox: {parameters: [folder], rule: {…}}}"
            place = document.value(("blueprints",))
            self._problems.add(place, "'blueprints' must be a mapping of names", hint)
            return
        for name, about in raw.items():
            place = document.key(("blueprints", name))
            if name in self._blueprints:
                self._twice(place, "blueprint", name, self._blueprints[name].place)
                continue
            self._blueprints[name] = _Blueprint(name, about, file, self._problems)

    def _check_defaults(self, file: RulesFile) -> None:
        document = file.document
        if "defaults" not in _mapping(document.data):
            return
        raw = _mapping(document.data)["defaults"]
        if not isinstance(raw, dict):
            hint = "as in: defaults: {limits: {…}, do: {add_file: {duplicates: keep}}}"
            place = document.value(("defaults",))
            self._problems.add(place, "'defaults' must be a mapping", hint)
            return
        known = [key for key in self._rule_keys if key not in _NOT_BY_DEFAULT]
        for key, value in raw.items():
            at: DataPath = ("defaults", key)
            if key not in known:
                hint = self._problems.suggest(key, known)
                self._problems.add(document.key(at), f"'{key[:60]}' can have no default", hint)
            elif key in {"on", "do"}:
                kind = "trigger" if key == "on" else "action"
                if not isinstance(value, dict):
                    hint = f"as in: {key}: {{some_{kind}: {{its: parameters}}}}"
                    message = f"the defaults of '{key}' are parameters by {kind}"
                    self._problems.add(document.value(at), message, hint)
                    continue
                for name, parameters in value.items():
                    if name not in self._names[key]:
                        hint = self._problems.suggest(name, self._names[key], kind=f"{kind}s")
                        place = document.key((*at, name))
                        self._problems.add(place, f"there is no {kind} '{name[:60]}'", hint)
                    if not isinstance(parameters, dict):
                        message = f"the defaults of '{name[:60]}' must be a mapping"
                        self._problems.add(document.value((*at, name)), message)

    # -- the rules ------------------------------------------------------------------

    def _take_rules(self, data: dict[str, Any]) -> None:
        taken: list[Any] = []
        data["rules"] = taken
        made = self._made
        for file in self._files:
            document = file.document
            raw = _mapping(document.data).get("rules")
            if "rules" not in _mapping(document.data):
                continue
            if ("rules",) not in made.values:
                made.keys[("rules",)] = document.key(("rules",))
                made.values[("rules",)] = document.value(("rules",))
            if not isinstance(raw, list):
                place = document.value(("rules",))
                hint = "begin each rule with '- name: …'"
                self._problems.add(place, "'rules' must be a list", hint)
                continue
            for index, rule in enumerate(raw):
                at: DataPath = ("rules", len(taken))
                try:
                    filled = self._rule(rule, file, ("rules", index), at)
                    self._default(filled, file, at)
                except _Wrong:
                    continue
                taken.append(filled)

    def _rule(self, rule: Any, file: RulesFile, path: DataPath, at: DataPath) -> Any:
        """Give a rule as it is meant, and note the places of all that is in it."""
        document, made = file.document, self._made
        if not isinstance(rule, dict) or "use" not in rule:
            self._spend(rule, document.value(path))
            made.take(at, document, path, rule)
            return rule.copy() if isinstance(rule, dict) else rule
        blueprint = self._used(rule, document, path)
        given = blueprint.given(rule, document, path)
        filled = _Filling(blueprint, given, self._problems, made, self).rule(at)
        made.values[at] = document.value(path)
        for key, value in rule.items():
            if key in {"use", "with"}:
                continue
            made.take((*at, key), document, (*path, key), value)
            filled[key] = value
        return filled

    def _used(self, rule: dict[str, Any], document: Document, path: DataPath) -> _Blueprint:
        name = rule["use"]
        blueprint = self._blueprints.get(name) if isinstance(name, str) else None
        if blueprint is None:
            hint = self._problems.suggest(str(name), self._blueprints, kind="blueprints")
            place = document.value((*path, "use"))
            self._problems.add(place, f"there is no blueprint '{str(name)[:60]}'", hint)
            raise _Wrong
        return blueprint

    def _spend(self, value: object, place: Place) -> None:
        for _ in _every(value):
            self.spend(place)

    def spend(self, place: Place) -> None:
        """Count one value. Raises where there are too many."""
        self._left -= 1
        if self._left < 0:
            message = f"by here, the rules come to more than {MAX_VALUES:,} values"
            self._problems.add(
                place, message, "each use of a blueprint counts as what it stands for"
            )
            raise _Wrong

    # -- defaults -------------------------------------------------------------------

    def _default(self, rule: Any, file: RulesFile, at: DataPath) -> None:
        """Give a rule what it does not say itself and its file, or one above it, says for all."""
        by: RulesFile | None = file
        while by is not None:
            defaults = _mapping(_mapping(by.document.data).get("defaults"))
            if isinstance(rule, dict) and defaults:
                for key, value in defaults.items():
                    self._default_key(rule, key, value, by.document, at)
            by = by.by

    def _default_key(
        self, rule: dict[str, Any], key: str, value: Any, document: Document, at: DataPath
    ) -> None:
        if key in _NOT_BY_DEFAULT or key not in self._rule_keys:
            return
        there: DataPath = ("defaults", key)
        if key == "on":
            rule["on"] = self._default_one(rule.get("on"), value, document, there, (*at, "on"))
        elif key == "do":
            self._default_steps(rule, value, document, at)
        elif key not in rule:
            self._made.take((*at, key), document, there, value)
            rule[key] = value
        elif isinstance(rule[key], dict) and isinstance(value, dict):
            rule[key] = self._merged(rule[key], value, document, there, (*at, key))

    def _default_steps(
        self, block: dict[str, Any], defaults: Any, document: Document, at: DataPath
    ) -> None:
        for key in BLOCKS:
            steps = block.get(key)
            if not isinstance(steps, list):
                continue
            made = [
                self._default_step(step, defaults, document, (*at, key, index))
                for index, step in enumerate(steps)
            ]
            block[key] = made

    def _default_step(self, step: Any, defaults: Any, document: Document, at: DataPath) -> Any:
        if isinstance(step, dict) and {"do", "else", "for_each"} & {*step}:
            block = dict(step)
            self._default_steps(block, defaults, document, at)
            return block
        return self._default_one(step, defaults, document, ("defaults", "do"), at)

    def _default_one(
        self, named: Any, defaults: Any, document: Document, there: DataPath, at: DataPath
    ) -> Any:
        """Give a trigger or a step the parameters that its kind has by default."""
        if not isinstance(defaults, dict):
            return named
        name = named if isinstance(named, str) else None
        if isinstance(named, dict):
            name = next((key for key in named if key in defaults), None)
        if name is None or not isinstance(defaults.get(name), dict):
            return named
        inner: DataPath = (*at, name)
        if isinstance(named, str):
            named = {name: None}
            self._made.keys[inner] = self._made.value(at)
            self._made.values[inner] = self._made.value(at)
            self._made.scalars.pop(at, None)
        own = named[name]
        if own is not None and not isinstance(own, dict):
            return named
        return {
            **named,
            name: self._merged(own or {}, defaults[name], document, (*there, name), inner),
        }

    def _merged(
        self,
        own: dict[str, Any],
        defaults: dict[str, Any],
        document: Document,
        there: DataPath,
        at: DataPath,
    ) -> dict[str, Any]:
        merged = dict(own)
        for key, value in defaults.items():
            if key not in own:
                self._spend(value, document.value((*there, key)))
                self._made.take((*at, key), document, (*there, key), value)
                merged[key] = value
        return merged


FIRST_ONLY = frozenset({"client", "clients", "plugins", "allow", "backups", "history", "tests"})


class _Blueprint:
    """A rule with gaps. ``parameters`` are what its user may or must say."""

    def __init__(self, name: str, about: Any, file: RulesFile, problems: Problems) -> None:
        self.name = name
        self.document = file.document
        self.path: DataPath = ("blueprints", name)
        self.place = self.document.key(self.path)
        self.rule: dict[str, Any] | None = None
        self.parameters: dict[str, dict[str, Any]] = {}
        self._problems = problems
        if not isinstance(about, dict):
            hint = "it needs 'rule', and 'parameters' for what differs"
            problems.add(self.document.value(self.path), "a blueprint is a mapping", hint)
            return
        self._refuse_unknown(about, self.path, _BLUEPRINT)
        self._read_parameters(about.get("parameters"))
        rule = about.get("rule")
        if not isinstance(rule, dict):
            place = self.document.value((*self.path, "rule"))
            problems.add(place, "'rule' is missing, or no mapping", "it is what one rule would say")
        elif "use" in rule:
            place = self.document.key((*self.path, "rule", "use"))
            problems.add(place, "the rule of a blueprint cannot use a blueprint")
        else:
            self.rule = rule
            self._look_for_unused()

    def _refuse_unknown(self, data: dict[str, Any], path: DataPath, known: Sequence[str]) -> None:
        for key in data:
            if key not in known:
                place = self.document.key((*path, key))
                hint = self._problems.suggest(key, known)
                self._problems.add(place, f"there is no '{key[:60]}' here", hint)

    def _read_parameters(self, raw: Any) -> None:
        at: DataPath = (*self.path, "parameters")
        hint = "as in: parameters: [folder], or: parameters: {folder: {type: text}}"
        if isinstance(raw, list):
            for index, name in enumerate(raw):
                if not isinstance(name, str) or not _NAME.fullmatch(name):
                    place = self.document.value((*at, index))
                    self._problems.add(place, "a parameter is called by letters, digits and _")
                else:
                    self.parameters[name] = {}
            return
        if not isinstance(raw, dict | None):
            self._problems.add(self.document.value(at), "'parameters' must be a list", hint)
            return
        for name, about in (raw or {}).items():
            here: DataPath = (*at, name)
            if not _NAME.fullmatch(name):
                place = self.document.key(here)
                self._problems.add(place, "a parameter is called by letters, digits and _")
                continue
            self.parameters[name] = {}
            if about is None:
                continue
            if not isinstance(about, dict):
                place = self.document.value(here)
                words = f"as in: {name}: {{type: text, default: …}}"
                self._problems.add(place, "what a parameter may be is a mapping", words)
                continue
            self._refuse_unknown(about, here, _PARAMETER)
            kind = about.get("type")
            if kind is not None and kind not in PARAMETER_KINDS:
                words = self._problems.suggest(str(kind), PARAMETER_KINDS, kind="types")
                place = self.document.value((*here, "type"))
                self._problems.add(place, f"there is no type '{str(kind)[:60]}'", words)
                continue
            self.parameters[name] = about
            if "default" in about:
                self._check_kind(name, about["default"], self.document.value((*here, "default")))

    def _look_for_unused(self) -> None:
        used = {
            found[2]
            for text in _texts(self.rule)
            for found in _PARAMETER_IN_TEXT.finditer(text)
            if not found[1]
        }
        at: DataPath = (*self.path, "parameters")
        for index, name in enumerate(self.parameters):
            if name not in used:
                inner: DataPath = (*at, name)
                key = inner if inner in self.document.keys else (*at, index)
                place = self.document.key(key)
                message = f"the rule of this blueprint has no ${{{name}}}"
                self._problems.warn(place, message, "what is given for it has no effect")

    def given(
        self, rule: dict[str, Any], document: Document, path: DataPath
    ) -> dict[str, tuple[Any, Document, DataPath]]:
        """Give each parameter's value, and where it stands. Raises where some are wrong."""
        if self.rule is None:
            raise _Wrong  # what is wrong with it is said
        before = len(self._problems)
        at: DataPath = (*path, "with")
        raw = rule.get("with")
        if not isinstance(raw, dict | None):
            hint = f"as in: with: {{{', '.join(f'{name}: …' for name in self.parameters)}}}"
            self._problems.add(document.value(at), "'with' must be a mapping", hint)
            raise _Wrong
        values: dict[str, tuple[Any, Document, DataPath]] = {}
        for name, value in (raw or {}).items():
            if name not in self.parameters:
                hint = self._problems.suggest(name, self.parameters, kind="parameters")
                message = f"the blueprint '{self.name[:60]}' has no parameter '{name[:60]}'"
                self._problems.add(document.key((*at, name)), message, hint)
                continue
            self._check_kind(name, value, document.value((*at, name)))
            values[name] = (value, document, (*at, name))
        for name, about in self.parameters.items():
            if name in values:
                continue
            if "default" in about:
                where = (*self.path, "parameters", name, "default")
                values[name] = (about["default"], self.document, where)
            else:
                place = document.key(at) if raw is not None else document.value((*path, "use"))
                hint = str(about.get("description") or f"as in: with: {{{name}: …}}")
                message = f"'{name}' is missing: the blueprint '{self.name[:60]}' needs it"
                self._problems.add(place, message, hint)
        if len(self._problems) > before:
            raise _Wrong
        return values

    def _check_kind(self, name: str, value: Any, place: Place) -> None:
        kind = self.parameters[name].get("type")
        if kind is None:
            return
        fits = isinstance(value, _KINDS[kind]) and (kind == "boolean") == isinstance(value, bool)
        if not fits:
            self._problems.add(place, f"'{name}' must be {_WORDS[kind]}")


class _Filling:
    """Fills the gaps of a blueprint's rule."""

    def __init__(
        self,
        blueprint: _Blueprint,
        given: Mapping[str, tuple[Any, Document, DataPath]],
        problems: Problems,
        made: Document,
        assembly: _Assembly,
    ) -> None:
        self._blueprint = blueprint
        self._source = blueprint.document
        self._given = given
        self._problems = problems
        self._made = made
        self._assembly = assembly

    def rule(self, at: DataPath) -> dict[str, Any]:
        """Give the rule with all parameters filled in. Raises where that cannot be."""
        before = len(self._problems)
        path: DataPath = (*self._blueprint.path, "rule")
        filled = self._fill(self._blueprint.rule, path, at, block=True)
        if len(self._problems) > before:
            raise _Wrong
        assert isinstance(filled, dict)
        return filled

    def _fill(self, value: Any, path: DataPath, at: DataPath, *, block: bool) -> Any:
        """``block``: this is a rule or a block of steps, whose ``if`` is an expression."""
        place = self._source.value(path)
        self._assembly.spend(place)
        self._made.values[at] = place
        if isinstance(value, dict):
            return self._fill_mapping(value, path, at, block=block)
        if isinstance(value, list):
            return self._fill_list(value, path, at, block=block)
        if isinstance(value, str) and _PARAMETER_IN_TEXT.search(value):
            return self._fill_text(value, path, at, expression=False)
        if path in self._source.scalars:
            self._made.scalars[at] = self._source.scalars[path]
        return value

    def _fill_mapping(
        self, value: dict[str, Any], path: DataPath, at: DataPath, *, block: bool
    ) -> dict[str, Any]:
        filled: dict[str, Any] = {}
        for key, inner in value.items():
            there: DataPath = (*path, key)
            place = self._source.key(there)
            name = self._scalar_text(key, place) if "${" in key else key
            if name in filled:
                self._problems.add(place, f"filled in, this is a second '{name[:60]}'")
                raise _Wrong
            here: DataPath = (*at, name)
            self._made.keys[here] = place
            if block and key in EXPRESSIONS and isinstance(inner, str) and "${" in inner:
                self._assembly.spend(place)
                self._made.values[here] = self._source.value(there)
                filled[name] = self._fill_text(inner, there, here, expression=True)
            else:
                within = block and key in {*BLOCKS}
                filled[name] = self._fill(inner, there, here, block=within)
        return filled

    def _fill_list(
        self, value: list[Any], path: DataPath, at: DataPath, *, block: bool
    ) -> list[Any]:
        filled: list[Any] = []
        for index, inner in enumerate(value):
            here: DataPath = (*at, len(filled))
            made = self._fill(inner, (*path, index), here, block=block)
            if isinstance(made, list) and isinstance(inner, str):
                # A list in the place of a text stands for its items, as it does in templates.
                name = _PARAMETER_IN_TEXT.fullmatch(inner.strip())
                assert name is not None
                _, document, where = self._given[name[2]]
                for number, item in enumerate(made):
                    spot: DataPath = (*at, len(filled))
                    self._made.take(spot, document, (*where, number), item)
                    filled.append(item)
            else:
                filled.append(made)
        return filled

    def _fill_text(self, text: str, path: DataPath, at: DataPath, *, expression: bool) -> Any:
        alone = _PARAMETER_IN_TEXT.fullmatch(text.strip())
        if alone and not alone[1] and not expression:
            value, document, where = self._known(alone[2], path, text, alone.start())
            for _ in _every(value):
                self._assembly.spend(self._source.value(path))
            key = self._made.keys.get(at)
            self._made.take(at, document, where, value)
            if key is not None:
                self._made.keys[at] = key
            return value
        parts: list[str] = []
        end = length = 0
        for found in _PARAMETER_IN_TEXT.finditer(text):
            parts.append(text[end : found.start()])
            end = found.end()
            if found[1]:
                parts.append(found[0][1:])  # $${name} stands for ${name}
            else:
                value, _, _ = self._known(found[2], path, text, found.start())
                place = self._within(path, text, found.start())
                if expression or _is_inside(text, found.start()):
                    quote = text[found.start() - 1 : found.start()]
                    if quote in {"'", '"'} and text[found.end() : found.end() + 1] == quote:
                        message = f"in an expression ${{{found[2]}}} stands for the whole value"
                        self._problems.add(place, message, "leave out the quotes around it")
                        raise _Wrong
                    parts.append(_literal(value))
                else:
                    parts.append(self._text_of(value, found[2], place))
            length += len(parts[-1])
            if length > MAX_TEXT:
                place = self._source.value(path)
                message = f"filled in, this is longer than {MAX_TEXT:,} characters"
                self._problems.add(place, message)
                raise _Wrong
        parts.append(text[end:])
        return "".join(parts)

    def _scalar_text(self, text: str, place: Place) -> str:
        def put(found: re.Match[str]) -> str:
            if found[1]:
                return found[0][1:]
            if found[2] not in self._given:
                self._unknown(found[2], place)
            return self._text_of(self._given[found[2]][0], found[2], place)

        return _PARAMETER_IN_TEXT.sub(put, text)

    def _known(
        self, name: str, path: DataPath, text: str, offset: int
    ) -> tuple[Any, Document, DataPath]:
        if name not in self._given:
            self._unknown(name, self._within(path, text, offset))
        return self._given[name]

    def _unknown(self, name: str, place: Place) -> None:
        hint = self._problems.suggest(name, self._given, kind="parameters")
        own = "; a literal ${…} is written $${…}"
        message = f"the blueprint has no parameter '{name[:60]}'"
        self._problems.add(place, message, hint + own)
        raise _Wrong

    def _within(self, path: DataPath, text: str, offset: int) -> Place:
        before = text[:offset]
        column = len(before) - (before.rfind("\n") + 1) + 1
        return self._source.within(path, before.count("\n") + 1, column)

    def _text_of(self, value: Any, name: str, place: Place) -> str:
        """Give a value as part of a text."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            _, document, where = self._given[name]
            return document.text(where) or str(value)
        kind = (
            "nothing" if value is None else f"a {'list' if isinstance(value, list) else 'mapping'}"
        )
        hint = "alone, as the whole value, it can be anything"
        self._problems.add(place, f"'{name}' is {kind}, and cannot be part of a text", hint)
        raise _Wrong


def _is_inside(text: str, offset: int) -> bool:
    """Say whether a place is between ``{{`` and ``}}``, or ``{%`` and ``%}``."""
    opened = max(text.rfind("{{", 0, offset), text.rfind("{%", 0, offset))
    closed = max(text.rfind("}}", 0, offset), text.rfind("%}", 0, offset))
    return opened > closed


def _literal(value: Any) -> str:
    """Write a value as an expression does."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(k)}: {_literal(v)}' for k, v in value.items())}}}"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text.replace(chr(10), chr(92) + 'n').replace(chr(13), chr(92) + 'r')}'"


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _every(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _texts(value: object) -> Iterator[str]:
    """Give all texts in a piece of YAML, keys included."""
    for each in _every(value):
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            yield from each
