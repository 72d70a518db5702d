"""YAML as people mean it, with the place of everything.

Plain YAML 1.1 turns ``no`` into False, ``1:30`` into 90, ``012`` into 10 and a date
into an object, takes the last of two equal keys without a word, and lets nine short
lines expand to gigabytes. Here only ``true`` and ``false`` are booleans, numbers are
those of YAML 1.2, equal keys are an error and size is bounded. Each value keeps its
place and its text as written, for messages and for numbers that are meant as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hydrusd.rules._problems import LINE_BREAK, UNPRINTABLE, Problems

MAX_BYTES = 1024 * 1024
TOO_LARGE = "the file is larger than 1 MiB: too large for rules"
MAX_VALUES = 100_000
MAX_DEPTH = 50

Path = tuple[str | int, ...]
Place = tuple[int, int]

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(f"{_TAG}{kind}" for kind in ("bool", "float", "int", "null", "str"))
_MERGE = f"{_TAG}merge"
_NUMBER_LENGTH = 60  # beyond that it is no number anybody meant


class _Loader(yaml.SafeLoader):
    """Gives nodes only, and stops early where there are too many or they are too deep."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - the way PyYAML keeps them

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.count = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self.count += 1
        if self.count > MAX_VALUES:
            raise _BoundError(f"more than {MAX_VALUES:,} values", mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _BoundError(f"nested deeper than {MAX_DEPTH}", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _kind, _pattern, _first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("int", r"(?:[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)\Z", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z",
        "-+.0123456789",
    ),
    ("merge", r"<<\Z", "<"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(_pattern), list(_first))


class _BoundError(yaml.MarkedYAMLError):  # type: ignore[misc, unused-ignore]
    def __init__(self, problem: str, mark: yaml.Mark) -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.mark = mark


@dataclass
class Document:
    """The plain data of a file, and where each part of it stands.

    ``keys`` and ``values`` lead from a path such as ``("rules", 0, "on")`` to a line and
    a column from 1; items of a list have no key. ``scalars`` holds the nodes of texts and numbers.
    ``lines`` are those of all files that are read together, and the file's own begin behind
    ``start``.
    """

    data: object = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    scalars: dict[Path, ScalarNode] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    start: int = 0

    def key(self, path: Path) -> Place:
        """Give the place of the key that leads there; for an item of a list, of the item."""
        return self.keys.get(path) or self.value(path)

    def value(self, path: Path) -> Place:
        """Give the place of the value, or of the nearest thing around it."""
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, (self.start + 1, 1))

    def text(self, path: Path) -> str | None:
        """Give the text of a scalar as it was written, or None for a list or mapping."""
        node = self.scalars.get(path)
        return None if node is None else str(node.value)

    def extent(self, path: Path) -> tuple[Place, Place]:
        """Give where a scalar begins and ends; for anything else its first place, twice."""
        node = self.scalars.get(path)
        if node is None:
            return self.value(path), self.value(path)
        start, end = node.start_mark, node.end_mark
        return (start.line + 1, start.column + 1), (end.line + 1, end.column + 1)

    def within(self, path: Path, line: int, column: int) -> Place:
        """Give the place of a character (line and column from 1) of a text value.

        The text's own place where the source does not show the characters as they are.
        """
        node = self.scalars.get(path)
        if node is None:
            return self.value(path)
        start = node.start_mark
        texts = LINE_BREAK.split(str(node.value))
        if not 1 <= line <= len(texts):
            return self.value(path)
        wanted = texts[line - 1]
        if node.style in ("|", ">"):
            number = start.line + line
            source = self._line(number)
            indent = len(source) - len(wanted)
            if source.endswith(wanted) and not source[:indent].strip():
                return number + 1, indent + column
        elif start.line == node.end_mark.line:
            first = start.column + (1 if node.style else 0)
            if self._line(start.line)[first : first + len(wanted)] == wanted:
                return start.line + 1, first + column
        return self.value(path)

    def take(self, at: Path, source: Document, path: Path, data: object) -> None:
        """Note where a piece of another document, with this data, stands: it is now at ``at``."""
        waiting = [(at, path, data)]
        while waiting:
            here, there, value = waiting.pop()
            if there in source.keys:
                self.keys[here] = source.keys[there]
            if there in source.values:
                self.values[here] = source.values[there]
            if there in source.scalars:
                self.scalars[here] = source.scalars[there]
            if isinstance(value, dict):
                waiting += [((*here, k), (*there, k), inner) for k, inner in value.items()]
            elif isinstance(value, list):
                waiting += [((*here, i), (*there, i), inner) for i, inner in enumerate(value)]

    def _line(self, index: int) -> str:
        return self.lines[index] if index < len(self.lines) else ""


def read(text: str, problems: Problems, start: int = 0) -> Document | None:
    """Give the document, or None where the problems leave nothing to go on with.

    ``start`` is the number of the file's line 0 among the lines of all files.
    """
    if len(text) > MAX_BYTES:
        problems.add((start, 0), TOO_LARGE)
        return None
    document = Document(lines=problems.lines, start=start)
    for number, line in enumerate(LINE_BREAK.split(text), start + 1):
        bad = UNPRINTABLE.search(line)
        if bad:
            problems.add((number, bad.start() + 1), *_bad_character(bad[0]))
            return None
    loader = _Loader(text)
    loader.line = start  # so that its marks count through all files
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        place, message, hint = _in_words(error, document)
        problems.add(place, message, hint)
        return None
    except (ValueError, OverflowError, yaml.YAMLError):
        # PyYAML's own slips, such as an escape beyond the last character there is.
        mark = loader.get_mark()
        problems.add(_place(mark), "this is not valid YAML")
        return None
    finally:
        loader.dispose()
    if root is None:
        needs = "it needs 'rules:'" if start else "it needs 'client:' and 'rules:'"
        problems.add((start, 0), "the file is empty", needs)
        return None
    reader = _Reader(document, problems)
    try:
        document.data = reader.value(root, (), ())
    except _BoundError as error:
        problems.add(_place(error.mark), str(error.problem), _BOMB_HINT)
        return None
    problems.settle()
    return document


_SURROGATE = re.compile("[\ud800-\udfff]")
_BOMB_HINT = "aliases (*name) repeat what they stand for each time"


def _bad_character(character: str) -> tuple[str, str]:
    if character == "\0":
        return "the file holds a NUL character", "this is not a text file"
    return f"the character U+{ord(character):04X} cannot stand in YAML", ""


def _place(mark: yaml.Mark) -> Place:
    return mark.line + 1, mark.column + 1


class _Reader:
    """Turns nodes into plain data, following aliases as far as is bearable."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self._document = document
        self._problems = problems
        self._left = MAX_VALUES

    def value(self, node: Node, path: Path, above: tuple[int, ...]) -> object:
        self._left -= 1
        if self._left < 0:
            raise _BoundError(f"more than {MAX_VALUES:,} values", node.start_mark)
        if id(node) in above:
            self._problems.add(_place(node.start_mark), "this refers to itself")
            return None
        if len(above) >= MAX_DEPTH:
            raise _BoundError(f"nested deeper than {MAX_DEPTH}", node.start_mark)
        self._document.values[path] = _place(node.start_mark)
        above = (*above, id(node))
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, (*path, i), above) for i, item in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path, above)
        self._refuse_tag(node)
        return None

    def _scalar(self, node: ScalarNode, path: Path) -> object:
        self._document.scalars[path] = node
        text = str(node.value)
        if _SURROGATE.search(text):
            self._problems.add(
                _place(node.start_mark),
                "this holds half a character",
                "write the character itself, or its number as in \\U0001F600",
            )
            return None
        if node.tag not in _PLAIN_TAGS and node.tag != _MERGE:
            self._refuse_tag(node)
            return None
        kind = node.tag.removeprefix(_TAG)
        try:
            return _convert(kind, text)
        except ValueError:
            self._problems.add(
                _place(node.start_mark), f"{text[:40]!r} is not of the kind !!{kind}"
            )
            return None

    def _mapping(self, node: MappingNode, path: Path, above: tuple[int, ...]) -> dict[str, object]:
        data: dict[str, object] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE and key_node.style is None:
                merged += self._merge_sources(value_node)
                continue
            if not isinstance(key_node, ScalarNode):
                self._refuse_key(node, key_node)
                continue
            key = str(key_node.value)
            place = _place(key_node.start_mark)
            if key in data:
                first = self._problems.position(self._document.keys[(*path, key)])
                self._problems.add(
                    place,
                    f"'{_short(key)}' is here twice: also in line {first.line}, "
                    f"column {first.column}",
                    "keep one of the two",
                )
                continue
            if _SURROGATE.search(key):
                self._problems.add(place, "this holds half a character")
                continue
            self._document.keys[(*path, key)] = place
            data[key] = self.value(value_node, (*path, key), above)
        for source in merged:
            self._merge(data, source, path, above)
        return data

    def _merge_sources(self, node: Node) -> list[Node]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        wrong = [source for source in sources if not isinstance(source, MappingNode)]
        for source in wrong:
            self._problems.add(
                _place(source.start_mark), "'<<' takes in the keys of a mapping; this is none"
            )
        return [source for source in sources if isinstance(source, MappingNode)]

    def _merge(
        self, data: dict[str, object], source: Node, path: Path, above: tuple[int, ...]
    ) -> None:
        # Read beside the document first: what is there already wins, places included.
        aside = Document()
        document, self._document = self._document, aside
        try:
            found = self.value(source, path, above)
        finally:
            self._document = document
        if not isinstance(found, dict):
            return
        new = {key: value for key, value in found.items() if key not in data}
        data.update(new)
        depth = len(path)

        def taken(inner: Path) -> bool:
            return len(inner) > depth and inner[depth] in new

        document.keys.update({at: place for at, place in aside.keys.items() if taken(at)})
        document.values.update({at: place for at, place in aside.values.items() if taken(at)})
        document.scalars.update({at: node for at, node in aside.scalars.items() if taken(at)})

    def _refuse_tag(self, node: Node) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        self._problems.add(
            _place(node.start_mark),
            f"the tag {_short(tag)} cannot be used in a rules file",
            "write the value without it",
        )

    def _refuse_key(self, mapping: MappingNode, key: Node) -> None:
        if isinstance(key, MappingNode) and mapping.flow_style:
            self._problems.add(
                _place(mapping.start_mark),
                "YAML reads '{{' as the start of a mapping",
                'put the whole text in quotes, as in "{{ file.name }}"',
            )
        else:
            self._problems.add(_place(key.start_mark), "a key must be text")


def _convert(kind: str, text: str) -> object:
    """Give the value of a scalar. Raises ValueError for a tag that does not fit."""
    if kind == "null":
        return None
    if kind == "bool":
        if text.casefold() not in {"true", "false"}:
            raise ValueError
        return text.casefold() == "true"
    if kind in {"int", "float"} and len(text) <= _NUMBER_LENGTH:
        if kind == "int":
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        number = float(text)
        # Neither infinity nor "not a number" is anything a rule could mean.
        return number if abs(number) < float("inf") else text
    return text


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


# PyYAML's words → (ours, hint). ``context`` says that the place is where it began.
_WORDS: tuple[tuple[str, str, str, bool], ...] = (
    (
        r"mapping values are not allowed",
        "a ':' is not allowed here",
        "put text that holds ': ' in quotes, and check how far the line is indented",
        False,
    ),
    (
        r"could not find expected ':'",
        "a ':' is missing after this",
        "a key is written 'key: value'; longer text needs to be indented or in quotes",
        True,
    ),
    (r"found character '\\t'", "a tab: YAML is indented with spaces", "use two spaces", False),
    (
        r"found character '(.+?)' that cannot start",
        "text cannot begin with '{}'",
        "put the text in quotes",
        False,
    ),
    (
        r"found unexpected (?:end of stream|document separator)",
        "a quote is opened here and not closed",
        "close it, or write it twice where it is part of the text",
        True,
    ),
    (
        r"expected ',' or '\]'",
        "the list that begins here is not closed, or a ',' is missing",
        "a list is written [a, b, c]",
        True,
    ),
    (
        r"expected ',' or '\}'",
        "the mapping that begins here is not closed, or a ',' is missing",
        "a mapping is written {a: 1, b: 2}",
        True,
    ),
    (
        r"expected <block end>, but found '(.+?)'",
        "this does not fit what stands above it",
        "check how far the lines are indented",
        False,
    ),
    (r"sequence entries are not allowed", "a '- ' is not allowed here", "begin a new line", False),
    (r"found undefined alias '(.+?)'", "there is no '&{}' for this '*{}'", "", False),
    (r"found duplicate anchor '(.+?)'", "the name '&{}' is used twice", "", False),
    (
        r"found unknown escape character '(.+?)'",
        "'\\{}' means nothing in double quotes",
        "in single quotes a backslash is only a backslash",
        False,
    ),
    (
        r"expected escape sequence of",
        "a backslash in double quotes begins a special character; this is none",
        "in single quotes a backslash is only a backslash",
        False,
    ),
    (
        r"but found another document|expected '<document start>'",
        "the file should end here",
        "a rules file holds one document: remove the '---' and check what stands above",
        False,
    ),
    (
        r"while scanning an alias expected",
        "text that begins with '*' needs quotes",
        "write '*.jpg' with the quotes",
        True,
    ),
    (
        r"while scanning an anchor expected",
        "text that begins with '&' needs quotes",
        "",
        True,
    ),
    (
        r"while scanning a directive",
        "text that begins with '%' needs quotes",
        "",
        True,
    ),
    (
        r"expected the node content, but found '<stream end>'",
        "the file ends, and a list or mapping is still open",
        "' #' begins a comment: text with a # in it needs quotes",
        False,
    ),
    (
        r"expected the node content, but found '(.+?)'",
        "there is nothing in front of this '{}'",
        "put the text in quotes if it is meant as text",
        False,
    ),
    (r"^ nested deeper than|^ more than", "", "", False),
)


def _in_words(error: yaml.MarkedYAMLError, document: Document) -> tuple[Place, str, str]:
    problem = f"{error.context or ''} {error.problem}"
    mark = error.problem_mark or error.context_mark
    message, hint = f"this is not valid YAML: {error.problem}", ""
    for pattern, words, advice, at_context in _WORDS:
        if found := re.search(pattern, problem):
            if at_context and error.context_mark is not None:
                mark = error.context_mark
            named = found[1] if found.groups() else ""
            message, hint = words.replace("{}", named) or str(error.problem), advice
            break
    if mark is None:
        return (document.start + 1, 1), message, hint
    return _on_a_line(_place(mark), document), message, hint


def _on_a_line(place: Place, document: Document) -> Place:
    """Move a place behind the last line back to the end of what was written."""
    line, column = place
    lines = document.lines
    while line > document.start + 1 and (line > len(lines) or not lines[line - 1].strip()):
        line -= 1
        column = len(lines[line - 1]) + 1 if line <= len(lines) else 1
    return line, column


def keys(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Give every key of plain data, with its path."""
    waiting: list[tuple[Path, Any]] = [(path, data)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, dict):
            for key, item in value.items():
                yield (*at, key), key
                waiting.append(((*at, key), item))
        elif isinstance(value, list):
            waiting += [((*at, index), item) for index, item in enumerate(value)]


def strings(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Give every text among the values of plain data, with its path."""
    waiting: list[tuple[Path, Any]] = [(path, data)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, str):
            yield at, value
        elif isinstance(value, dict):
            waiting += [((*at, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*at, index), item) for index, item in enumerate(value)]
