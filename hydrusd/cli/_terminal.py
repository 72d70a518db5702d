"""What a person's terminal gets to see: nothing that commands it, and lines that fit.

File names, tags and Hydrus' own words are other people's text. A control character in
them would be obeyed by the terminal (colours, window titles, a line that overwrites the
one before it), so it is shown as an escape instead. Rich is imported late: whoever only
asks for help does not need it.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 1000
"""Columns where no terminal sets a limit: what is piped to a program is not wrapped."""

# Control characters, line separators, what reverses the order of letters, lone surrogates.
_UNSHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PUNCTUATION = "…,;:.()'\"`"
_IN_ASCII = {"→": "->", "·": "-", "…": "...", "≥": ">=", "█": "#", "░": "."}
_ERRORS = "hydrusd.readable"


def plain(text: str, *, keep: str = "") -> str:
    """Give the text with everything a terminal would obey as escapes, except what to keep."""
    return _UNSHOWN.sub(
        lambda found: (
            found[0] if found[0] in keep else found[0].encode("unicode_escape").decode("ascii")
        ),
        text,
    )


def shorten(text: str, width: int) -> str:
    """Give the text in at most so many columns, an ellipsis in its middle if need be.

    Two thirds of what is kept are the end: of a path that is the part which tells files apart.
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    room = max(width - 1, 0)
    start = _fitting(text, room // 3)
    end = _fitting(text[::-1], room - cell_len(start))[::-1]
    return f"{start}…{end}" if width > 0 else ""


def _fitting(text: str, width: int) -> str:
    from rich.cells import cell_len

    fitting = text[:width]
    while cell_len(fitting) > width:
        fitting = fitting[:-1]
    return fitting


def make_console(*, stderr: bool = False) -> Console:
    """Give a console that takes text as it is: no markup, no emoji names, no highlighting."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def write_what_can_be_written() -> None:
    """Have standard output and error replace what their encoding lacks, rather than fail."""
    codecs.register_error(_ERRORS, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    if character in _IN_ASCII:
        return _IN_ASCII[character], error.start + 1
    error.end = error.start + 1
    return codecs.backslashreplace_errors(error)


def configure_logs(*, level: str, as_json: bool = False) -> None:
    """Send log lines to standard error, for people or as JSON lines."""
    from hydrusd import logs

    logs.configure(level=level, as_json=as_json)
    if not as_json:
        for handler in logging.getLogger().handlers:
            handler.addFilter(_ForPeople())


class _ForPeople(logging.Filter):
    """Leaves out of each line what its sentence says already, and what commands a terminal."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, dict):  # from structlog, with its fields
            record.msg = _for_people(record.msg)
        else:
            record.msg, record.args = plain(record.getMessage()), ()
        return True


def _for_people(entry: Mapping[str, Any]) -> dict[str, Any]:
    sentence = plain(str(entry.get("event", "")))
    said = _words(sentence)
    shown: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "level" and value == "info":
            continue  # what is not a warning needs no word for it
        if key == "exc_info" and isinstance(value, BaseException):
            shown["exception"] = plain("".join(traceback.format_exception(value)), keep="\n\t")
        elif key in {"timestamp", "level", "exc_info"} or key.startswith("_"):
            shown[key] = value
        elif key != "event":
            text = plain(str(value))
            # A number is only said where what it counts is said, too.
            needed = _words(text if isinstance(value, str) else f"{key} {text}")
            if not needed <= said:
                shown[key] = text if isinstance(value, str) else value
    shown["event"] = sentence
    return shown


def is_said(text: str, sentence: str) -> bool:
    """Say whether a sentence has every word of a text."""
    return _words(text) <= _words(sentence)


def _words(text: str) -> set[str]:
    # One rule, two rules: the same word.
    return {word.strip(_PUNCTUATION).casefold().rstrip("s") for word in text.split()} - {""}
