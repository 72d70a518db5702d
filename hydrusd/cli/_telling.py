"""How the command line calls things: what a job is about, when, how long, what was changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from hydrusd.cli._terminal import plain, shorten
from hydrusd.model import UNDO, Data
from hydrusd.redaction import redact, redact_tree

NARROWEST = 12
"""Names and paths are not shortened below this, however narrow the terminal."""
MOST_LINES = 10
"""How many lines a receipt may take before the others are only counted."""

_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def line(console: Console, start: str, subject: str = "", *, whole: bool = False) -> None:
    """Print one line, its subject shortened so that it stays one, unless it is told ``whole``."""
    start, subject = plain(redact(start)), plain(redact(subject))
    if not whole:
        subject = shorten(subject, max(console.width - len(start), NARROWEST))
    console.print(Text(start + subject), soft_wrap=True)


def indented(console: Console, text: str, columns: int) -> None:
    """Print a text of any length, wrapped at the width and indented."""
    console.print(Padding(Text(plain(redact(text))), (0, 0, 0, columns), expand=False))


def subject(data: Data) -> str:
    """Say what an event is about: a file, a URL, a hash; failing these, all of it."""
    file = data.get("file")
    path = file.get("path") if isinstance(file, Mapping) else None
    for named in (path, data.get("url"), data.get("hash")):
        if isinstance(named, str) and named:
            return named
    plainly = {name: value for name, value in data.items() if name != UNDO}
    return json.dumps(redact_tree(plainly), ensure_ascii=False)


def when(moment: datetime | None) -> str:
    """Give a time as the clock on the wall shows it."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def took(seconds: float | None) -> str:
    """Give a duration in words; nothing where it is not known."""
    if seconds is None or seconds < 0:  # a clock that was put back
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")
    return " ".join(filter(None, (*parts, f"{rest} s" if rest and not hours else "")))


def between(start: datetime | None, end: datetime | None) -> str:
    """Give the duration between two times; nothing where one is not known."""
    return "" if start is None or end is None else took((end - start).total_seconds())


def facts(data: object) -> list[str]:
    """Give plain data as lines of ``name.name: value``."""
    return [f"{'.'.join(way)}: {value}" for way, value in _leaves(redact_tree(data))]


def receipt_in_words(receipt: Data | None, *, own: str | None) -> list[str]:
    """Say what a step changed; nothing where it changed nothing or did not keep it.

    ``own`` is the file of the client that need not be named each time.
    """
    lines = []
    for way, value in _leaves(redact_tree(receipt or {})):
        if value:
            told = " · ".join(map(_readable, (part for part in way if part != own)))
            lines.append(_HASH.sub(r"\1…", f"{told}: {value}"))
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"… and {more} more"] if more > 0 else lines


def _readable(key: str) -> str:
    """Give the key of a service that Hydrus makes itself, "local tags" in hex, as what it says."""
    try:
        said = bytes.fromhex(key).decode("ascii")
    except ValueError:
        return key
    return said if len(said) > 4 and said.isprintable() else key


def _leaves(value: object, *way: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give the single values in plain data with the way to each; of nothing, nothing."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, *way, str(key))
    elif isinstance(value, list | tuple):
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            for number, item in enumerate(value, 1):
                yield from _leaves(item, *way, str(number))
        else:
            yield way, ", ".join(map(_word, value))
    else:
        yield way, "" if value is None else _word(value)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def some(count: int, noun: str) -> str:
    """Give "1 file", "1,000 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
