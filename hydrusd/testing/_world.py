"""All that a project could have changed, as one value that can be compared.

What differs from run to run by its nature is put into one form: times of the run, keys that the
client makes up, the folder and the ports of the project. Everything else counts.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from hydrusd.testing._project import Project

World = dict[str, Any]
"""Each fact by its path: ``disk/inbox/a.jpg``, ``client/files/<hash>/notes/…``."""

_HOUR = 3600.0
_FAR_AHEAD = 400 * 24 * _HOUR
# Hydrus' keys; and the digests of 16 digits that hydrusd makes of the keys of events, which
# hang on where and when a file was written.
_KEY = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{16})\b")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T _]\d\d[:-]?\d\d([:-]?\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"
    r"|(?<!\d)\d{8}T\d{6}Z"
)
_STAMP = re.compile(r"(?<![\w.])\d{10}(?:\d{3})?(?:\.\d+)?(?![\w.])")
# Programs make names of files of it, too.
_HERE = re.compile(r"(?<![\d.])(127\.0\.0\.1|localhost)[:_]\d+")
_NUMBERED = frozenset({"file_id"})
_OF_A_RUN = ("state/", "rules.yaml")
_MOST_TOLD = 6
_LONG = 80


@dataclass(frozen=True)
class Photographer:
    """Takes pictures of one project. What is as late as ``since``, or later, is "now"."""

    project: Project
    since: float

    @classmethod
    def of(cls, project: Project) -> Photographer:
        """Begin now."""
        return cls(project, time.time() - _HOUR)

    def picture(self) -> World:
        """Give what is on the disk and in the client."""
        held = self.project.simulator.contents()
        known = frozenset(held["files"])
        return _each_counted(self._disk()) | dict(self._facts("client", held, known))

    def endings(self) -> World:
        """Give how many jobs each rule has, and how they ended."""
        counts = Counter((job.rule, job.state.value) for job in self.project.jobs)
        return {f"jobs of {rule!r} that are {state}": n for (rule, state), n in counts.items()}

    def _disk(self) -> Iterator[tuple[str, object]]:
        folder = self.project.folder
        for path in folder.rglob("*"):
            name = path.relative_to(folder).as_posix()
            if name.startswith(_OF_A_RUN) or name == "state":
                continue
            if path.is_symlink():
                yield f"disk/{self._text(name)}", "a link"
            elif path.is_dir():
                yield f"disk/{self._text(name)}/", "a folder"
            else:
                yield f"disk/{self._text(name)}", self._content(path.read_bytes())

    def _content(self, content: bytes) -> str:
        if content.startswith(b"SQLite format 3\0"):
            return self._text(_held(content))
        try:
            return self._text(content.decode())
        except UnicodeDecodeError:
            return hashlib.sha256(content).hexdigest()

    def _facts(
        self, path: str, value: object, known: frozenset[str]
    ) -> Iterator[tuple[str, object]]:
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                if key not in _NUMBERED:
                    yield from self._facts(f"{path}/{key}", inner, known)
        elif isinstance(value, list | tuple) and value:
            # Which of two files comes first is up to the disk.
            texts = all(isinstance(inner, str) for inner in value)
            for number, inner in enumerate(sorted(value) if texts else value):
                yield from self._facts(f"{path}/{number}", inner, known)
        elif isinstance(value, str):
            text = self._text(value)
            yield path, _KEY.sub(lambda found: found[0] if found[0] in known else "<key>", text)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path, "<time>" if self._is_now(value) else value
        else:
            yield path, value

    def _is_now(self, number: float) -> bool:
        late = time.time() + _FAR_AHEAD
        return self.since <= number <= late or self.since <= number / 1000 <= late

    def _text(self, text: str) -> str:
        text = text.replace(str(self.project.folder), "<folder>")
        text = _HERE.sub("<here>", _TIME.sub("<time>", text))
        return _STAMP.sub(
            lambda found: "<time>" if self._is_now(float(found[0])) else found[0], text
        )


def _each_counted(facts: Iterable[tuple[str, object]]) -> World:
    """Number those whose paths have become alike: two files named after two times are two."""
    world: World = {}
    for path, fact in sorted(facts, key=repr):
        number, name = 1, path
        while name in world:
            number += 1
            name = f"{path} ({number})"
        world[name] = fact
    return world


def _held(database: bytes) -> str:
    """Give what a database holds: that alone counts, not where in it things lie."""
    with closing(sqlite3.connect(":memory:")) as copy:
        try:
            copy.deserialize(database)
            return "\n".join(copy.iterdump())
        except sqlite3.Error:
            return hashlib.sha256(database).hexdigest()


def difference(before: World, after: World) -> str:
    """Tell how two pictures differ, in a few words for people; nothing where they are equal."""
    lines = []
    for path in sorted({*before, *after}):
        one, other = before.get(path, _NOTHING), after.get(path, _NOTHING)
        if one != other:
            lines.append(f"{path}: {' → '.join(_short(one, other))}")
    if len(lines) > _MOST_TOLD:
        lines[_MOST_TOLD:] = [f"and {len(lines) - _MOST_TOLD} more"]
    return "; ".join(lines)


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _short(*values: object) -> Iterator[str]:
    """Give them as texts, of long ones the part where they differ."""
    texts = [repr(value) for value in values]
    same = next((n for n, each in enumerate(zip(*texts, strict=False)) if len(set(each)) > 1), 0)
    begin = max(0, same - _LONG // 4) if max(map(len, texts)) > _LONG else 0
    for text in texts:
        part = f"…{text[begin:]}" if 0 < begin < len(text) else text
        yield part if len(part) <= _LONG else f"{part[: _LONG - 3]}…"
