"""The JSON Schema of a rules file, for editors, and the settings for the reference.

Made of the very models that check a file, once the plugins are loaded: what a plugin brings is
completed and explained like the rest. A schema can say less than the checks; what it refuses is
always wrong, but not all that is wrong is refused by it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from hydrusd.rules._assembling import SHARED
from hydrusd.rules._pace import PACE, Allowed, Pace
from hydrusd.rules._settings import Backups, Client, Folders, History, Limits, Plugins
from hydrusd.rules._specs import MAX_ITEMS, Vocabulary
from hydrusd.rules._tests import Content, Expect, Given, Had, Happening, Library, Written

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFINITIONS = "#/$defs/"
Json = dict[str, Any]

_RULE_WORDS = {
    "name": "What the rule is called: one line, and no other rule's name.",
    "client": "The client that it works on, where there are several.",
    "on": "The trigger, with its parameters: what the rule waits for.",
    "if": "A condition; where it does not hold, nothing is done.",
    "vars": "Variables, by names: what expressions here call `vars.NAME`.",
    "do": "The steps, one after the other; blocks of steps under a condition, and loops.",
    "limits": "How much the rule may do before it waits or rests.",
    **PACE,
    "enabled": "False puts the rule aside.",
    "tests": "What the rule is to do, for `hydrusd test`.",
}
_BLOCK_WORDS = {
    "if": "A condition; where it does not hold, this is passed over.",
    "do": "Steps.",
    "else": "Steps for where the condition does not hold.",
    "for_each": "A list, or one {{ … }} that gives it; its items are gone through one by one.",
    "as": "What an item is called in the steps; `item` unless you say otherwise.",
    "stop": "Ends the job, as done. It may have a reason.",
    "use": "The name of a blueprint.",
    "with": "Its parameters.",
}
_TOP_WORDS = {
    "client": "How to reach Hydrus.",
    "clients": "How to reach several clients, each by a name of its own, instead of `client`.",
    "plugins": "Folders with plugins, beside `plugins/` next to this file; or which are loaded.",
    "allow": "Actions that run only where this file allows them.",
    "backups": "How the ledger is backed up.",
    "history": "How long what has ended is kept whole.",
    "include": "More files with rules, and folders of them.",
    "vars": "Variables for all rules, by names.",
    "defaults": "What holds for rules of this file, and those it includes, that do not say it.",
    "blueprints": "Rules with gaps (`${name}`), by names, for rules that `use` them.",
    "rules": "The rules. They all look at whatever is noticed; their order does not matter.",
    "tests": "What the rules are to do together, for `hydrusd test`.",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter: of a trigger, of an action, or of a part of the file.

    ``kind`` says in words what may stand there, ``default`` how what is left out would be written.
    """

    name: str
    kind: str
    default: str
    description: str
    required: bool


def schema(vocabulary: Vocabulary, *, included: bool = False) -> Json:
    """Give the JSON Schema (draft 2020-12) of rules files with these triggers and actions.

    ``included`` is for files that others include: all that belongs in the first is wrong there.
    """
    definitions: Json = {}
    triggers = _by_name(vocabulary.triggers, "trigger", definitions)
    _steps(vocabulary, definitions)
    client = _model("setting.client", Client, definitions)
    tests = {"type": "array", "items": _model("setting.test", Written, definitions)}
    guarded = [n for n, a in vocabulary.actions.items() if getattr(a, "needs_allowing", False)]
    top: Json = {
        "client": client,
        "clients": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
            "additionalProperties": client,
        },
        "plugins": {
            "anyOf": [
                _one_or_more({"type": "string"}),
                _model("setting.plugins", Plugins, definitions),
            ]
        },
        "allow": _one_or_more({"enum": sorted(guarded)} if guarded else {"type": "string"}),
        "backups": _or_nothing(_model("setting.backups", Backups, definitions)),
        "history": _model("setting.history", History, definitions),
        "include": _one_or_more({"type": "string"}),
        "vars": {"type": "object"},
        "defaults": {"type": "object"},
        "blueprints": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "description": {"type": "string"},
                    "parameters": {"type": ["array", "object", "null"]},
                    "rule": {"type": "object"},
                },
                "required": ["rule"],
                "additionalProperties": False,
            },
        },
        "rules": {
            "type": "array",
            "items": {
                "anyOf": [{"$ref": f"{_DEFINITIONS}rule"}, {"$ref": f"{_DEFINITIONS}rule.use"}]
            },
        },
        "tests": tests,
    }
    definitions["rule"] = {
        "type": "object",
        "description": "What to do, and when.",
        "properties": _described(
            {
                "name": {"type": ["string", "number", "boolean"]},
                "client": {"type": ["string", "number"]},
                "on": triggers,
                "if": {"type": ["string", "number", "boolean", "null"]},
                "vars": {"type": ["object", "null"]},
                "do": {"$ref": f"{_DEFINITIONS}steps"},
                "limits": _model("setting.limits", Limits, definitions),
                **_keys("setting.pace", Pace, definitions),
                "enabled": {"type": "boolean"},
                "tests": tests,
            },
            _RULE_WORDS,
        ),
        "required": ["name", "on", "do"],
        "additionalProperties": False,
    }
    own = definitions["rule"]["properties"]
    used = {"use": {"type": "string"}, "with": {"type": ["object", "null"]}}
    definitions["rule.use"] = {
        "type": "object",
        "description": "A rule after a blueprint. What it says itself holds instead.",
        "properties": {**_described(used, _BLOCK_WORDS), **own},
        "required": ["use"],
        "additionalProperties": False,
    }
    needed: Json = {
        "anyOf": [{"required": ["rules"]}, {"required": ["include"]}],
        "oneOf": [{"required": ["client"]}, {"required": ["clients"]}],
    }
    if included:
        top = {name: about for name, about in top.items() if name in SHARED}
        needed = {"minProperties": 1}
    return {
        "$schema": DIALECT,
        "title": "Rules for hydrusd, in an included file" if included else "Rules for hydrusd",
        "type": "object",
        "properties": _described(top, _TOP_WORDS),
        "patternProperties": {"^x-": {"description": "A place for anchors, as in &tags."}},
        **needed,
        "additionalProperties": False,
        "$defs": definitions,
    }


def settings(model: type[BaseModel]) -> list[Setting]:
    """Give the parameters of a trigger or an action, in the order of its class."""
    whole = _plain_schema(model)
    definitions = whole.get("$defs", {})
    required = whole.get("required", [])
    return [
        Setting(
            name,
            " or ".join(dict.fromkeys(_kinds(about, definitions))) or "anything",
            "" if name in required else _default(about),
            str(about.get("description", "")),
            name in required,
        )
        for name, about in whole.get("properties", {}).items()
    ]


FILE_PARTS: Mapping[str, type[BaseModel]] = {
    "client": Client,
    "client.path_map": Folders,
    "plugins": Plugins,
    "backups": Backups,
    "history": History,
    "limits": Limits,
    "tests": Written,
    "tests: given": Given,
    "tests: given: files": Content,
    "tests: given: client": Library,
    "tests: given: client: has": Had,
    "tests: when": Happening,
    "tests: expect": Expect,
    "rule": Pace,
    "rule.allowed": Allowed,
}
"""The parts of a rules file that are settings, by the keys that lead there."""


def _default(about: Mapping[str, Any]) -> str:
    if "default" not in about or about["default"] is None:
        return ""
    value = about["default"]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float) and value == int(value):
        return f"{value:g}"
    return str(value)


def _kinds(about: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """Say what may stand there, in words."""
    if "$ref" in about:
        about = definitions.get(str(about["$ref"]).rpartition("/")[2], {})
    if "anyOf" in about:
        for each in about["anyOf"]:
            yield from _kinds(each, definitions)
    elif "enum" in about or "const" in about:
        yield ", ".join(f"`{each}`" for each in about.get("enum", [about.get("const")]))
    elif about.get("format") == "path":
        yield "a path"
    elif "(ms|s|m|h|d)" in str(about.get("pattern", "")):
        yield "a duration"
    elif "[KMGT" in str(about.get("pattern", "")):
        yield "a size"
    else:
        kinds = about.get("type", "")
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            if kind == "array":
                items = " or ".join(dict.fromkeys(_kinds(about.get("items", {}), definitions)))
                yield f"a list of {items}" if items else "a list"
            elif kind in _KINDS:
                yield _KINDS[kind]


_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
}


def _by_name(models: Mapping[str, type[BaseModel]], kind: str, definitions: Json) -> Json:
    """Give the schema of a trigger or a step: a map with one key, or a name alone."""
    properties: Json = {}
    alone: list[str] = []
    for name, model in sorted(models.items()):
        properties[name] = _model(f"{kind}.{name}", model, definitions)
        if not definitions[f"{kind}.{name}"].get("required"):
            properties[name] = _or_nothing(properties[name])
            alone.append(name)
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": properties,
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
            {"enum": alone},
        ]
    }


def _steps(vocabulary: Vocabulary, definitions: Json) -> None:
    """Put among the definitions what may stand under ``do``: steps and blocks of them."""
    plain = _by_name(vocabulary.actions, "action", definitions)
    alone, named = plain["anyOf"][1], plain["anyOf"][0]
    alone["enum"].append("stop")
    steps = {"$ref": f"{_DEFINITIONS}steps"}
    condition = {"type": ["string", "number", "boolean"]}
    free = {"type": ["string", "number", "boolean", "null"]}
    items = {"anyOf": [{"type": "array", "maxItems": MAX_ITEMS}, {"type": "string"}]}
    blocks: list[tuple[Json, list[str]]] = [
        ({"if": condition, "do": steps, "else": steps}, ["if"]),
        ({"for_each": items, "as": {"type": "string"}, "do": steps}, ["for_each", "do"]),
        ({"stop": free, "if": condition}, ["stop"]),
    ]
    definitions["steps"] = {
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                named,
                {
                    **named,
                    "properties": {
                        **named["properties"],
                        **_described({"if": condition}, _BLOCK_WORDS),
                    },
                    "required": ["if"],
                    "minProperties": 2,
                    "maxProperties": 2,
                },
                *(
                    {
                        "type": "object",
                        "properties": _described(properties, _BLOCK_WORDS),
                        "required": required,
                        "additionalProperties": False,
                        **({} if required != ["if"] else {"minProperties": 2}),
                    }
                    for properties, required in blocks
                ),
                alone,
            ]
        },
    }


def _model(name: str, model: type[BaseModel], definitions: Json) -> Json:
    """Put a model among the definitions, and give a reference to it."""
    whole = _plain_schema(model)
    for inner, about in whole.pop("$defs", {}).items():
        definitions[f"{name}.{inner}"] = _lenient(about, name)
    whole.pop("title", None)
    definitions[name] = _lenient(whole, name)
    return {"$ref": f"{_DEFINITIONS}{name}"}


def _keys(name: str, model: type[BaseModel], definitions: Json) -> Json:
    """Give the fields of a model as keys of something else."""
    _model(name, model, definitions)
    keys: Json = definitions.pop(name)["properties"]
    return keys


def _plain_schema(model: type[BaseModel]) -> Json:
    try:
        whole = model.model_json_schema()
    except PydanticInvalidForJsonSchema:
        whole = {"type": "object", "description": inspect.getdoc(model) or ""}
    return whole


def _lenient(about: Any, owner: str) -> Any:
    """Let text be written as a number, as rules files allow, and find what is in the model."""
    if isinstance(about, list):
        return [_lenient(each, owner) for each in about]
    if not isinstance(about, dict):
        return about
    made: Json = {}
    for key, value in about.items():
        if key == "properties":
            made[key] = {name: _lenient(each, owner) for name, each in value.items()}
        elif key == "$ref":
            made[key] = f"{_DEFINITIONS}{owner}.{str(value).rpartition('/')[2]}"
        elif key in {"title", "default", "enum", "const", "required", "examples"}:
            if key != "title":  # pydantic's own, made of the name
                made[key] = value
        else:
            made[key] = _lenient(value, owner)
    free = not {"pattern", "format", "enum", "const", "minLength", "maxLength"} & {*about}
    if about.get("type") == "string" and free:
        made["type"] = ["string", "number", "boolean"]
    return made


def _one_or_more(item: Json) -> Json:
    return {"anyOf": [item, {"type": "array", "items": item}, {"type": "null"}]}


def _or_nothing(about: Json) -> Json:
    return {"anyOf": [about, {"type": "null"}]}


def _described(properties: Json, words: Mapping[str, str]) -> Json:
    return {name: {"description": words[name], **about} for name, about in properties.items()}
