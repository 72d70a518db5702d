"""The tests that rules carry beside them, as they are written.

A test is written by whoever wrote the rules, in the same file and under the same care: strict
keys, and each mistake with its place. That names of files in what is expected are names of
files that are given is found here, too: an expectation about nothing would always be met.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from hydrusd.rules._problems import Problems
from hydrusd.rules._specs import Position
from hydrusd.rules._units import OR_ONE, Duration, Size
from hydrusd.rules._yaml import Document, Path as DataPath

MAX_NAME = 200
A_PICTURE = "a picture"
_TEXTS = {"a damaged picture": "This is where a picture would be.", "an empty file": ""}
ServiceKind = Literal[
    "local tags",
    "tag repository",
    "local files",
    "like rating",
    "numerical rating",
    "counting rating",
]
PARTS = ("name", "rules", "given", "when", "expect")

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?)\s*(Z|[+-]\d\d:\d\d|[A-Za-z][\w+/-]*)?", re.ASCII
)


def _moment(value: object) -> datetime:
    hint = "must be a date and a time, as in 2026-03-01 05:00 or 2026-03-01 05:00 Europe/Berlin"
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(hint)
    day, time, zone = found.groups()
    try:
        if zone is None:
            # As the clock on the wall says, which is what schedules go by.
            return datetime.fromisoformat(f"{day} {time}").astimezone()
        if zone == "Z":
            return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=UTC)
        if zone[0] in "+-":
            return datetime.fromisoformat(f"{day} {time}{zone}")
        moment = datetime.fromisoformat(f"{day} {time}")
        return moment.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, OSError, IsADirectoryError):
        raise ValueError(f"there is no time zone '{zone}'; write it as in Europe/Berlin") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"'{value}' does not exist: {error}") from None


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _by_name(value: object) -> object:
    """Take a name, or a list of names, for a mapping that says no more of them."""
    listed = _listed(value)
    if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
        return dict.fromkeys(listed)
    return listed


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d"}),
]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed), OR_ONE]
Items = Annotated[
    dict[str, str | None],
    BeforeValidator(_by_name),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
            ]
        }
    ),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Content(_Part):
    """What is in a file of a test: a picture, unless it says otherwise."""

    text: str | None = Field(default=None, description="The text that it holds.")
    copy_of: str | None = Field(
        default=None, description="A real file, whose content it has; from the rules' folder on."
    )
    same_as: str | None = Field(
        default=None, description="Another file of the test, whose content it has."
    )
    size: Size | None = Field(default=None, description="How large it is; a picture is padded.")
    modified: Moment | None = Field(default=None, description="When it was last changed.")

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        kinds = [name for name in ("text", "copy_of", "same_as") if getattr(self, name) is not None]
        if len(kinds) > 1:
            raise ValueError(f"a file has one content; {' and '.join(kinds)} are given")
        if kinds and self.size is not None:
            raise ValueError(f"'size' is for pictures; with '{kinds[0]}' the size is known")
        return self


def _content(value: object) -> object:
    if value is None or value == A_PICTURE:
        return {}
    if not isinstance(value, str):
        return value
    if value not in _TEXTS:
        kinds = ", ".join(f"'{kind}'" for kind in (A_PICTURE, *_TEXTS))
        raise ValueError(f"must be one of {kinds}, or say what is in it, as in {{text: …}}")
    return {"text": _TEXTS[value]}


class _OrInWords:
    """Says in the schema that the content of a file may be told in words."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Give the schema of the content, of the words for it, and of nothing."""
        return {"anyOf": [handler(core), {"enum": [A_PICTURE, *_TEXTS]}, {"type": "null"}]}


Contents = dict[str, Annotated[Content, BeforeValidator(_content), _OrInWords()]]
Tags = Texts | dict[str, Texts]


class Had(_Part):
    """A file that the client has before the rules run."""

    tags: Tags = Field(
        default=(), description="Its tags: in `my tags`, or by the names of services."
    )
    urls: Texts = Field(default=(), description="The URLs that it is known under.")
    notes: dict[str, str] = Field(default={}, description="Its notes, by their names.")
    archived: StrictBool = Field(default=False, description="Whether it is out of the inbox.")


class Library(_Part):
    """What a client holds."""

    has: Annotated[
        dict[str, Had | None],
        BeforeValidator(_by_name),
        WithJsonSchema({"type": ["string", "array", "object"]}),
    ] = Field(
        default={},
        description="Files that it has: those of the test by their names, or pictures of its own.",
    )
    deleted: Texts = Field(
        default=(), description="Files that it once had, and its user deleted, by their names."
    )
    services: dict[str, ServiceKind] = Field(
        default={}, description="Services beside those that every client has, by their names."
    )


class Given(_Part):
    """What there is before the rules run."""

    files: Contents = Field(
        default={}, description="Files on the disk, by their paths, as the rules write paths."
    )
    client: Library = Field(default_factory=Library, description="What the Hydrus client holds.")
    clients: dict[str, Library] = Field(
        default={}, description="The same by the names of clients, where there are several."
    )
    web: Contents = Field(
        default={},
        description="What Hydrus gets from URLs. Nothing else is there, and nothing is fetched.",
    )
    answers: dict[str, dict[str, Any]] = Field(
        default={},
        description="What steps that are not really run give to later ones, by their names.",
    )
    for_real: Texts = Field(
        default=(), description="Actions that are run all the same, as `run_command`."
    )
    now: Moment | None = Field(
        default=None, description="What time it is; a minute before the first `at`, if left out."
    )


class Fire(_Part):
    """A rule that is fired by hand."""

    rule: str = Field(description="Which rule.")
    files: Texts = Field(default=(), description="The files of Hydrus that it is about.")
    values: dict[str, Any] = Field(
        default={}, alias="with", description="What it is fired with, by names."
    )


class Notice(_Part):
    """Something that a trigger is told it has noticed."""

    rule: str = Field(description="Whose trigger.")
    files: Texts = Field(default=(), description="The files of Hydrus that it is about.")
    data: dict[str, Any] = Field(
        default={}, description="What conditions and templates see, by names."
    )


class Happening(_Part):
    """Something that happens while the rules run."""

    at: Moment | None = Field(default=None, description="It becomes that time.")
    wait: Duration | None = Field(default=None, description="So much time passes.")
    files: Contents | None = Field(default=None, description="Files come, by their paths.")
    client: Library | None = Field(default=None, description="The client gets files.")
    fire: Fire | str | None = Field(
        default=None, description="A rule that is `on: manual` is fired."
    )
    notice: Notice | None = Field(
        default=None,
        description="A trigger notices something: for those that look elsewhere (`feed`, "
        "`webhook`).",
    )

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            said = f"here are {' and '.join(given)}" if given else "here is none"
            raise ValueError(f"one thing happens at a time; {said}")
        return self


def _happenings(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class Text(_Part):
    """A file that holds a text."""

    text: str = Field(description="All of its text.")


class Expect(_Part):
    """What there is afterwards. What is left out is not looked at, but for what went wrong."""

    imported: Items | None = Field(default=None, description="What came into Hydrus by the rules.")
    known: Items | None = Field(default=None, description="What Hydrus had already.")
    done: Items | None = Field(default=None, description="What went through all steps.")
    skipped: Items | None = Field(
        default=None, description="What was left in the middle, for a good reason; or with it."
    )
    dead: Items | None = Field(default=None, description="What was given up; or with the reason.")
    waiting: Items | None = Field(default=None, description="What waits and does not go on.")
    passed_over: Items | None = Field(
        default=None, description="What was noticed and not wanted; or with the reason."
    )
    unnoticed: Items | None = Field(default=None, description="Files that no trigger noticed.")
    tags: dict[str, Tags] | None = Field(
        default=None, description="All tags of files, or those of services by their names."
    )
    urls: dict[str, Texts] | None = Field(default=None, description="All URLs of files.")
    notes: dict[str, dict[str, str]] | None = Field(
        default=None, description="All notes of files, by their names."
    )
    sources: dict[str, str] | None = Field(
        default=None,
        description="What became of files: `stays`, `trashed`, `deleted` or `moved to PATH`.",
    )
    files: dict[str, Literal["there", "gone"] | Text] | None = Field(
        default=None, description="Other files on the disk: `there`, `gone`, or what they hold."
    )
    ran: list[str | dict[str, dict[str, Any] | None]] | None = Field(
        default=None,
        description="Steps that would have done something elsewhere, and were not really run.",
    )


OUTCOMES = (
    "imported",
    "known",
    "done",
    "skipped",
    "dead",
    "waiting",
    "passed_over",
    "unnoticed",
)
OF_FILES = ("tags", "urls", "notes", "sources")
SOURCE = re.compile(r"stays|trashed|deleted|moved to (\S.*)")


class Written(_Part):
    """What the rules are to do with what is given: a test."""

    name: str = Field(description="What it is about, in words; no other test's name.")
    rules: Texts = Field(
        default=(), description="The rules that run. All of them, or the one that the test is in."
    )
    given: Given = Field(default_factory=Given, description="What there is before.")
    when: Annotated[list[Happening], BeforeValidator(_happenings), OR_ONE] = Field(
        default=[], description="What happens then, one after the other."
    )
    expect: Expect = Field(description="What there is to be afterwards.")


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test that rules carry.

    ``rules`` are the names of those that run; all that are enabled, where it is empty. ``places``
    are by the paths in the test.
    """

    name: str
    rules: tuple[str, ...]
    given: Given
    when: tuple[Happening, ...]
    expect: Expect
    position: Position
    places: Mapping[DataPath, Position] = field(default_factory=dict, compare=False, repr=False)

    def place(self, path: DataPath) -> Position:
        """Give the place of what a path leads to, or of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path] if path else self.position

    @property
    def files(self) -> dict[str, Content]:
        """All files on the disk that there are at some time, by their paths as written."""
        given = [self.given.files, *(step.files for step in self.when if step.files)]
        return {name: each for files in given for name, each in files.items()}

    def libraries(self, client: str) -> list[Library]:
        """Give what a client holds, and what it gets later, in that order."""
        first = self.given.clients.get(client) or self.given.client
        return [first, *(step.client for step in self.when if step.client)]

    @property
    def names(self) -> list[str]:
        """All that what is expected may speak of: paths as written, files of the client, URLs."""
        libraries = [self.given.client, *self.given.clients.values()]
        libraries += [step.client for step in self.when if step.client]
        had = [name for library in libraries for name in library.has]
        files = list(self.files)
        own = [name for name in had if not named(name, files)]
        return list(dict.fromkeys([*files, *own, *self.given.web]))


def named(name: str, known: Collection[str]) -> list[str]:
    """Give those of the known paths that a name means: the path itself, or the end of some."""
    if name in known:
        return [name]
    wanted = "/" + name.replace("\\", "/")
    return [path for path in known if path.replace("\\", "/").endswith(wanted)]


Validated = Callable[[type[BaseModel], object, DataPath], tuple[BaseModel | None, object]]


class TestsReader:
    """Reads the tests of one file, and goes on after every problem it can."""

    def __init__(
        self,
        document: Document,
        problems: Problems,
        validated: Validated,
        *,
        rules: Collection[str],
        clients: Collection[str],
        actions: Collection[str],
    ) -> None:
        self._document = document
        self._problems = problems
        self._validated = validated
        self._rules = rules
        self._clients = clients
        self._actions = actions
        self._taken: set[str] = set()

    def read(self, raw: object, path: DataPath, rule: str | None = None) -> tuple[RuleTest, ...]:
        """Read a list of tests: of a rule, or of the whole file."""
        if raw is None:
            return ()
        if not isinstance(raw, list):
            self._wrong(path, "'tests' must be a list", "begin each test with '- name: …'")
            return ()
        found = [self._test(each, (*path, index), rule) for index, each in enumerate(raw)]
        return tuple(test for test in found if test is not None)

    def _test(self, raw: object, path: DataPath, rule: str | None) -> RuleTest | None:
        if not isinstance(raw, dict):
            self._wrong(path, "a test is a mapping", "it needs 'name' and 'expect'")
            return None
        before = len(self._problems)
        for key in raw:
            if key not in PARTS:
                hint = self._problems.suggest(key, PARTS)
                self._problems.add(self._key((*path, key)), f"there is no '{key[:60]}' here", hint)
        name = self._name(raw, path)
        rules = self._rules_of(raw, path, rule)
        given = self._given(raw.get("given"), (*path, "given"))
        when = self._when(raw.get("when"), (*path, "when"))
        if "expect" not in raw and len(self._problems) == before:
            self._wrong(path, "'expect' is missing", "it says what there is to be afterwards")
        expect, _ = self._part(Expect, raw.get("expect"), (*path, "expect"))
        if len(self._problems) > before or name is None:
            return None
        assert isinstance(expect, Expect)
        test = RuleTest(
            name, rules, given, when, expect, self._position(path), self._places(raw, path)
        )
        self._check_names(test, path)
        return test if len(self._problems) == before else None

    def _name(self, raw: Mapping[str, Any], path: DataPath) -> str | None:
        name = raw.get("name")
        if isinstance(name, bool | int | float):
            name = self._document.text((*path, "name"))
        if not isinstance(name, str) or not name.strip():
            at = (*path, "name") if "name" in raw else path
            message = "'name' must be text" if "name" in raw else "'name' is missing"
            self._wrong(at, message, "every test needs a name of its own")
            return None
        name = name.strip()
        if len(name) > MAX_NAME or len(name.splitlines()) > 1:
            message = f"'name' must be one line of at most {MAX_NAME} characters"
            self._wrong((*path, "name"), message)
            return None
        if name in self._taken:
            message = f"there is another test called '{name}'"
            self._wrong((*path, "name"), message, "names must differ")
            return None
        self._taken.add(name)
        return name

    def _rules_of(
        self, raw: Mapping[str, Any], path: DataPath, rule: str | None
    ) -> tuple[str, ...]:
        if "rules" not in raw:
            return () if rule is None else (rule,)
        at = (*path, "rules")
        if rule is not None:
            hint = "put the test into `tests` at the top level for several rules"
            self._problems.add(self._key(at), "a test within a rule is about that rule", hint)
            return (rule,)
        names = _listed(raw["rules"])
        if not isinstance(names, list) or not names:
            self._wrong(at, "'rules' must be a list of rules")
            return ()
        for index, name in enumerate(names):
            self._known(name, self._rules, "rule", (*at, index) if raw["rules"] is names else at)
        return tuple(map(str, names))

    def _given(self, raw: object, path: DataPath) -> Given:
        part, _ = self._part(Given, raw, path)
        if not isinstance(part, Given):
            return Given()
        for name in part.clients:
            self._known(name, self._clients, "client", (*path, "clients", name))
        for key, names in (("answers", part.answers), ("for_real", part.for_real)):
            for name in names:
                self._known(name, self._actions, "action", (*path, key, name))
        if len(self._clients) > 1 and "client" in part.model_fields_set:
            hint = f"write it under `clients`, as in clients: {{{next(iter(self._clients))}: …}}"
            self._problems.add(self._key((*path, "client")), "there are several clients", hint)
        return part

    def _when(self, raw: object, path: DataPath) -> tuple[Happening, ...]:
        if raw is None:
            return ()
        listed = raw if isinstance(raw, list) else [raw]
        found = []
        for index, each in enumerate(listed):
            at = (*path, index) if listed is raw else path
            part, _ = self._part(Happening, each, at)
            if not isinstance(part, Happening):
                continue
            found.append(part)
            for key, about in (("fire", part.fire), ("notice", part.notice)):
                rule = about if isinstance(about, str) else about.rule if about else None
                if rule is not None:
                    inner = (*at, key) if isinstance(about, str) else (*at, key, "rule")
                    self._known(rule, self._rules, "rule", inner)
        return tuple(found)

    def _part(
        self, model: type[BaseModel], raw: object, path: DataPath
    ) -> tuple[BaseModel | None, object]:
        if raw is not None and not isinstance(raw, dict):
            fields = ", ".join(f"'{name}'" for name in model.model_fields)
            self._wrong(path, f"'{path[-1]}' must be a mapping", f"it knows: {fields}")
            return None, raw
        return self._validated(model, raw or {}, path)

    # -- names ------------------------------------------------------------------------

    def _check_names(self, test: RuleTest, path: DataPath) -> None:
        files = list(test.files)
        for at, name in _references(test):
            known = files if at[-1] == "same_as" or "deleted" in at else test.names
            if at[0] == "expect" and (name in self._rules or "://" in name):
                continue
            self._is_one(name, known, (*path, *at))
        for item, what in (test.expect.sources or {}).items():
            if not SOURCE.fullmatch(what):
                at = (*path, "expect", "sources", item)
                ends = ("stays", "trashed", "deleted", "moved to PATH")
                hint = self._problems.suggest(what, ends)
                self._wrong(at, f"'{what[:60]}' is nothing that becomes of a file", hint)
        for index, each in enumerate(test.expect.ran or ()):
            names = [each] if isinstance(each, str) else list(each)
            at = (*path, "expect", "ran", index)
            if len(names) != 1:
                self._wrong(at, "a step names one action", "as in - run_command: {…}")
                continue
            self._known(names[0], self._actions, "action", at)

    def _is_one(self, name: str, known: Collection[str], path: DataPath) -> None:
        found = named(name, known)
        if len(found) > 1:
            hint = f"write more of its path; there are {', '.join(found[:5])}"
            self._problems.add(self._key(path), f"'{name[:60]}' may be several files", hint)
        elif not found:
            ends = [*known, *(each.replace("\\", "/").rpartition("/")[2] for each in known)]
            hint = self._problems.suggest(name, dict.fromkeys(ends), kind="files in this test")
            self._problems.add(self._key(path), f"'{name[:60]}' is nothing of this test", hint)

    def _known(self, name: object, known: Collection[str], kind: str, path: DataPath) -> None:
        if name not in known:
            hint = self._problems.suggest(str(name), known, kind=f"{kind}s")
            self._problems.add(self._key(path), f"there is no {kind} '{str(name)[:60]}'", hint)

    # -- places -----------------------------------------------------------------------

    def _places(self, raw: object, path: DataPath) -> dict[DataPath, Position]:
        places: dict[DataPath, Position] = {}
        waiting: list[tuple[DataPath, object]] = [((), raw)]
        while waiting:
            at, value = waiting.pop()
            place = self._key((*path, *at)) if at else self._document.value(path)
            places[at] = self._problems.position(place)
            if isinstance(value, dict):
                waiting += [((*at, key), item) for key, item in value.items()]
            elif isinstance(value, list):
                waiting += [((*at, index), item) for index, item in enumerate(value)]
                # An item of a list is found by what it says, too.
                waiting += [((*at, item), None) for item in value if isinstance(item, str)]
        return places

    def _key(self, path: DataPath) -> tuple[int, int]:
        while len(path) > 1 and path not in self._document.values:
            item, path = path[-1], path[:-1]
            # What stands in a list as text is asked for by that text.
            for index in range(1000):
                if (*path, index) not in self._document.values:
                    break
                if self._document.text((*path, index)) == item:
                    return self._document.value((*path, index))
        return self._document.key(path)

    def _position(self, path: DataPath) -> Position:
        return self._problems.position(self._document.value(path))

    def _wrong(self, path: DataPath, message: str, hint: str = "") -> None:
        self._problems.add(self._document.value(path), message, hint)


def _references(test: RuleTest) -> Iterator[tuple[DataPath, str]]:
    """Give each name that stands for a file, with its path in the test."""
    places: list[tuple[DataPath, Contents]] = [
        (("given", "files"), test.given.files),
        (("given", "web"), test.given.web),
    ]
    places += [(("when", n, "files"), each.files) for n, each in enumerate(test.when) if each.files]
    for path, contents in places:
        for name, content in contents.items():
            if content.same_as is not None:
                yield (*path, name, "same_as"), content.same_as
    libraries: list[tuple[DataPath, Library]] = [(("given", "client"), test.given.client)]
    libraries += [(("given", "clients", name), each) for name, each in test.given.clients.items()]
    libraries += [
        (("when", n, "client"), each.client) for n, each in enumerate(test.when) if each.client
    ]
    for path, library in libraries:
        for name in library.deleted:
            yield (*path, "deleted", name), name
        # What no file on the disk is called is a picture of the client's own.
        for name in library.has:
            if len(named(name, test.files)) > 1:
                yield (*path, "has", name), name
    for n, each in enumerate(test.when):
        for key, about in (("fire", each.fire), ("notice", each.notice)):
            if isinstance(about, Fire | Notice):
                yield from ((("when", n, key, "files", name), name) for name in about.files)
    for key in (*OUTCOMES, *OF_FILES):
        for name in getattr(test.expect, key) or ():
            yield ("expect", key, name), name
