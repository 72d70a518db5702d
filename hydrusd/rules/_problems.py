"""Collects what is wrong with a rules file, and shows none of its secrets.

An excerpt is the user's own line, which may well hold the access key or a password:
so everything in it that is or looks like a secret is covered before it becomes part
of a problem. Covered character by character, or the caret would point elsewhere.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from pathlib import Path

from hydrusd.errors import ConfigError, Problem, Severity
from hydrusd.redaction import HIDDEN, redact
from hydrusd.rules._specs import Position

MAX_PROBLEMS = 100
EXCERPT_LENGTH = 240

# What YAML counts as the end of a line.
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
UNPRINTABLE = re.compile("[^\t\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
COVER = "*"

# A Hydrus key, wherever it stands (and, to be sure, everything that looks like one).
_KEY = re.compile(r"\b([0-9a-fA-F]{32,})\b")
_SECRETS = (
    # The rest of the line after the key; a reference names a secret and is none.
    re.compile(
        r"(?i)(?:access|session)[-_ ]?key[\"']?(?>\s*[:=]?\s*)"
        r"(?![\"']?\$\{[^}]*\}[\"']?\s*(?:#|,|}|$))(.+)"
    ),
    _KEY,
    # What a website wants to be sent, written out.
    re.compile(
        r"(?i)\b(?:authorization|password|passwd|token|secret|api[-_]?key|cookie)[\"']?\s*[:=]\s*"
        r"(?![\"']?\$\{)([^,}\]]+)"
    ),
    re.compile(r"(?i)\b(?:bearer|basic)\s+(?!\$\{)([^\s,}\]\"']+)"),
    # http://user:password@host
    re.compile(r"://([^@\s]+)@"),
)


class Problems:
    """The problems of a file and of those that it includes, each with its line.

    Lines are counted through all of them, in the order in which they were read: so a place is
    two numbers, whichever file it is in, and what stands in one file may become part of a rule
    of another. Line 0 of a file is the file as a whole.
    """

    def __init__(self, file: str, text: str = "") -> None:
        self.file = file
        self.lines = LINE_BREAK.split(text)
        self._files = [file]
        self._starts = [0]
        self._found: dict[tuple[int, int, str], Problem] = {}
        self._warnings: dict[tuple[int, int, str], Problem] = {}
        self._covered: dict[int, list[tuple[int, int]]] = {}
        self._more = 0
        self._times = 0
        self._settled: frozenset[tuple[int, int]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._found)

    def __len__(self) -> int:
        """Say how often something was found wrong: also where it had been said before."""
        return self._times

    def open(self, file: str, text: str) -> int:
        """Take in another file. Gives the number of its line 0."""
        self.lines.append("")
        start = len(self.lines)
        self.lines += LINE_BREAK.split(text)
        self._files.append(file)
        self._starts.append(start)
        return start

    def position(self, place: tuple[int, int]) -> Position:
        """Give a place as its own file counts."""
        line, column = place
        index = bisect_right(self._starts, line) - 1
        return Position(self._files[index], line - self._starts[index], column)

    def cover(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Never show what stands between these two places (line and column from 1)."""
        for line in range(start[0], end[0] + 1):
            first = start[1] if line == start[0] else 1
            last = end[1] if line == end[0] else 1 << 30
            self._covered.setdefault(line, []).append((first, last))

    def add(self, place: tuple[int, int], message: str, hint: str = "") -> None:
        """Note a problem, once. Beyond a hundred they are only counted."""
        self._times += 1
        line, column = place
        key = (line, column, message)
        if key in self._found or place in self._settled:
            return
        if len(self._found) >= MAX_PROBLEMS:
            self._more += 1
            return
        self._found[key] = self.problem(place, message, hint, "error")

    def warn(self, place: tuple[int, int], message: str, hint: str = "") -> None:
        """Note a doubt: it stops nothing, and does not count as a problem."""
        key = (*place, message)
        if key not in self._warnings and len(self._warnings) < MAX_PROBLEMS:
            self._warnings[key] = self.problem(place, message, hint, "warning")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """All doubts, in the order of the files."""
        return tuple(doubt for _, doubt in sorted(self._warnings.items(), key=_by_place))

    def problem(
        self, place: tuple[int, int], message: str, hint: str, severity: Severity
    ) -> Problem:
        """Give a problem with its line, and nothing secret in it."""
        at = self.position(place)
        excerpt = self.excerpt(*place)
        return Problem(
            at.file, at.line, at.column, _hidden(message), _hidden(hint), excerpt, severity
        )

    @property
    def noted(self) -> int:
        """How many different problems there are, for ``take``."""
        return len(self._found)

    def take(self, start: int) -> tuple[Problem, ...]:
        """Give the problems that came after the first ``start``, and forget them."""
        taken = [(key, self._found.pop(key)) for key in list(self._found)[start:]]
        found = [problem for _, problem in sorted(taken, key=_by_place)]
        if self._more:
            found.append(Problem(self.file, 0, 0, f"… and {self._more} more problems"))
            self._more = 0
        return tuple(found)

    def settle(self) -> None:
        """Say nothing more about places that have a problem by now.

        What could not be read as YAML is not wrong a second time for what it became.
        """
        self._settled = frozenset((line, column) for line, column, _ in self._found)

    def suggest(self, word: str, known: Collection[str], *, kind: str = "others") -> str:
        """Say which known word was probably meant, or which there are."""
        if len(self._found) >= MAX_PROBLEMS:
            return ""
        near = nearest(word, known)
        if near:
            return f"did you mean '{near}'?"
        if not known:
            return f"there are no {kind}"
        shown = sorted(known)
        listed = ", ".join(shown[:20]) + (", …" if len(shown) > 20 else "")
        return f"there are: {listed}"

    def raise_if_any(self) -> None:
        """Raise a ConfigError with all problems and doubts, in the order of the files."""
        if not self._found:
            return
        found = [*self._found.items(), *self._warnings.items()]
        problems = [problem for _, problem in sorted(found, key=_by_place)]
        if self._more:
            problems.append(Problem(self.file, 0, 0, f"… and {self._more} more problems"))
        raise ConfigError(problems)

    def excerpt(self, line: int, column: int) -> str:
        """Give a line as it may be shown; nothing where there is no such place."""
        # A caret beyond the excerpt would point at nothing.
        if not 1 <= line <= len(self.lines) or column > EXCERPT_LENGTH:
            return ""
        return self._clean(line, self.lines[line - 1])[:EXCERPT_LENGTH].rstrip()

    def _clean(self, number: int, line: str) -> str:
        spans: Iterable[tuple[int, int]] = (
            (first - 1, last - 1) for first, last in self._covered.get(number, ())
        )
        found = [match.span(1) for secret in _SECRETS for match in secret.finditer(line)]
        for first, last in (*spans, *found):
            shown = line[first:last]
            line = line[:first] + COVER * len(shown.rstrip()) + line[first + len(shown.rstrip()) :]
        return redact(UNPRINTABLE.sub("\ufffd", line))


def _by_place(found: tuple[tuple[int, int, str], Problem]) -> tuple[int, int]:
    (line, column, _), _ = found
    return line, column


def problem_at(place: Position, message: str, hint: str, severity: Severity) -> Problem:
    """Give what showed after a file was read, with its line, which is read again for that."""
    try:
        text = Path(place.file).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        text = ""
    excerpt = Problems(place.file, text).excerpt(place.line, place.column)
    # What looks like an access key may be the key of a service here, which is no secret and
    # which a person may have to write instead of its name. Known secrets are hidden all the same.
    said, advice = (redact(UNPRINTABLE.sub("\ufffd", words)) for words in (message, hint))
    return Problem(place.file, place.line, place.column, said, advice, excerpt, severity)


def _hidden(text: str) -> str:
    # A quoted text may hold any character, also those that command a terminal.
    return redact(UNPRINTABLE.sub("\ufffd", _KEY.sub(HIDDEN, text)))


def nearest(word: str, known: Collection[str]) -> str:
    """Give the known word that this one is probably meant to be, or an empty text."""
    if not word or len(word) > 60:
        return ""
    folded = {name.casefold().replace("-", "_").replace(" ", "_"): name for name in known}
    wanted = word.casefold().replace("-", "_").replace(" ", "_")
    near = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.65)
    return folded[near[0]] if near else ""
