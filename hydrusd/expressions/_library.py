r"""Filters for what rules are about: tags, paths, dates, patterns.

Patterns are those of the library ``regex``, which can be told when to give up. Python's own can
take years over thirty letters (``(a+)+$``), and a file name is what strangers choose.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hydrusd.errors import ExpressionError
from hydrusd.expressions._bounds import MAX_ITEMS, MAX_TEXT, name_of

if TYPE_CHECKING:
    from regex import Match, Pattern

MAX_PATTERN = 1_000
PATTERN_SECONDS = 0.5
"""So long a pattern may search in one text."""
_LONGEST_TAG = 1024
_UNSEEN = frozenset("\u200b\u200e\u200f\ufeff") | {
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_UNSEEN_KINDS = frozenset({"Cc", "Cs", "Co"})
_JOINERS = re.compile("[\u200c\u200d]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_LATIN = re.compile("[ -~\u00a0-\u024f]*")
_LEADING = re.compile(r"(?:-|system:)*\s*")
_NANOSECONDS_FROM = 10**14
_DIRECTIVES = frozenset("aAbBdfHIjmMpSUwWyYzZ%")


def _needs(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"{name} needs text, not {name_of(value)}")
    return value


# --- tags ------------------------------------------------------------------------------------


def clean_tag(value: object) -> object:
    """A tag, or a list of them, as Hydrus would store it; what nothing is left of is left out."""
    if isinstance(value, list | tuple):
        cleaned = [_clean(_needs("clean_tag", each)) for each in value]
        return list(dict.fromkeys(tag for tag in cleaned if tag))
    return _clean(_needs("clean_tag", value))


def _clean(text: str) -> str:
    tag = text[:_LONGEST_TAG].lower()
    if tag[:1] == ":" and ":" not in tag[1:] and len(tag) > 1:
        tag = f":{tag}"  # a smiley, and no empty namespace
    if ":" not in tag:
        return _tidied(tag)
    namespace, colon, subtag = _tidied(tag).partition(":")
    if not colon:
        namespace, subtag = "", namespace
    namespace, subtag = _tidied(namespace), _tidied(subtag)
    needs_colon = namespace or ":" in subtag
    return f"{namespace}:{subtag}" if subtag and needs_colon else subtag


def _tidied(text: str) -> str:
    seen = "".join(
        c for c in text if c not in _UNSEEN and unicodedata.category(c) not in _UNSEEN_KINDS
    )
    tag = " ".join(seen.split())
    tag = tag[_LEADING.match(tag).end() :]  # type: ignore[union-attr] # it matches nothing, too
    if not _HANGUL.search(tag):
        tag = tag.replace("\u3164", "")
    bare = _JOINERS.sub("", tag)
    return " ".join((bare if not bare or _LATIN.fullmatch(bare) else tag).split())


# --- paths -----------------------------------------------------------------------------------


def parts(value: object) -> list[str]:
    r"""The folders and the name of a path, `/` and `\` alike."""
    return [part for part in re.split(r"[/\\]+", _needs("parts", value)) if part]


def basename(value: object) -> str:
    """The last part of a path."""
    return (parts(value) or [""])[-1]


def dirname(value: object) -> str:
    """A path without its last part."""
    text = _needs("dirname", value).rstrip("/\\")
    return re.sub(r"[/\\]*[^/\\]*$", "", text)


def stem(value: object) -> str:
    """The name at the end of a path, without its suffix."""
    name = basename(value)
    before, dot, _ = name.rpartition(".")
    return before if dot and before else name


def suffix(value: object) -> str:
    """The suffix of a path, in small letters and with its dot; empty where there is none."""
    name = basename(value)
    before, dot, after = name.rpartition(".")
    return f".{after.lower()}" if dot and before and after else ""


# --- dates -----------------------------------------------------------------------------------


def date(value: object, form: object = "%Y-%m-%d", zone: object = None) -> str:
    """A time in words, as `strftime` writes it, in local time or in a zone by its name."""
    moment = _moment(value, _zone("date", zone))
    form = _form("date", form)
    try:
        return moment.strftime(form)
    except (ValueError, UnicodeError) as error:
        raise ExpressionError(f"date: {error}") from None


def parse_date(value: object, form: object = "%Y-%m-%d", zone: object = None) -> float | int:
    """A text as a time, in seconds since 1970: the other way round."""
    text = _needs("parse_date", value)
    try:
        moment = datetime.strptime(text, _form("parse_date", form))  # noqa: DTZ007 - its zone follows
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_zone("parse_date", zone))
        seconds = moment.timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ExpressionError(f"parse_date: {error}") from None
    return int(seconds) if seconds == int(seconds) else seconds


def _form(name: str, form: object) -> str:
    text = _needs(name, form)
    unknown = [found[1] for found in re.finditer(r"%(.?)", text) if found[1] not in _DIRECTIVES]
    if len(text) > 200 or unknown or text.replace("%%", "").endswith("%"):
        shown = f"%{unknown[0]}" if unknown else "this"
        raise ExpressionError(f"{name}: {shown} is not known in a form of dates")
    return text


@lru_cache(maxsize=64)
def _zone_named(name: str) -> tzinfo:
    return ZoneInfo(name)


def _zone(filter_name: str, zone: object) -> tzinfo | None:
    if zone is None:
        return None
    name = _needs(filter_name, zone)
    try:
        return UTC if name == "UTC" else _zone_named(name)
    except (LookupError, ValueError, OSError):
        message = f"{filter_name}: there is no time zone {name[:60]!r}"
        raise ExpressionError(message) from None


def _moment(value: object, zone: tzinfo | None) -> datetime:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 10**9 if abs(value) >= _NANOSECONDS_FROM else value
            return datetime.fromtimestamp(seconds, UTC).astimezone(zone)
        read = datetime.fromisoformat(_needs("date", value).strip())
        if read.tzinfo is None and zone is None:
            return read  # as it is written
        return read.replace(tzinfo=zone) if read.tzinfo is None else read.astimezone(zone)
    except (ValueError, OverflowError, OSError) as error:
        raise ExpressionError(f"date: {value!r:.80} is no time: {error}") from None


# --- patterns --------------------------------------------------------------------------------


PATTERNS = frozenset({"matches", "regex", "regex_all", "regex_replace"})
"""The filters whose first parameter is a pattern."""

# Also where it would be no more than text: what can be seen without reading the whole pattern
# as the library does cannot be got around.
_RECURSION = re.compile(r"(?<!\\)(?:\\\\)*\((\?(?:R|[-+]?[0-9]+|&\w*|P>\w*))")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Pattern[str]:
    if control := re.search(r"[\x00-\x08\x0b-\x1f]", pattern):
        message = f"the pattern holds U+{ord(control[0]):04X}"
        raise ExpressionError(f"{message}; in quotes a backslash before a letter is written twice")
    if found := _RECURSION.search(pattern):
        # It takes a gigabyte in a second.
        raise ExpressionError(f"a pattern cannot refer to itself, as '({found[1]}' does")
    import regex as library  # loaded by the first rule that has a pattern

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what brackets in brackets may mean one day
            return library.compile(pattern)
    except library.error as error:
        words = str(error)
    except RecursionError:
        words = "too much in it is in brackets in brackets"
    raise ExpressionError(f"the pattern {pattern!r:.80} is not right: {words}")


def check_pattern(text: str) -> None:
    """Refuse what is no pattern, or not bounded. Raises ExpressionError."""
    _pattern(text)


def _pattern(pattern: object) -> Pattern[str]:
    text = _needs("a pattern", pattern)
    if len(text) > MAX_PATTERN:
        raise ExpressionError(f"a pattern of more than {MAX_PATTERN:,} characters")
    return _compiled(text)


def _searched(name: str, value: object) -> str:
    """Give a text to search in: what a search keeps grows with it, beside the time."""
    text = _needs(name, value)
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"{name}: a text longer than {MAX_TEXT:,} characters")
    return text


def _first(name: str, value: object, pattern: object) -> Match[str] | None:
    compiled, text = _pattern(pattern), _searched(name, value)
    with _limited(name, compiled):
        return compiled.search(text, timeout=PATTERN_SECONDS)


def _each(name: str, compiled: Pattern[str], text: str) -> Iterator[Match[str]]:
    """Give all that is found; the time limit is one for all of it."""
    with _limited(name, compiled):
        yield from compiled.finditer(text, timeout=PATTERN_SECONDS)


@contextmanager
def _limited(name: str, compiled: Pattern[str]) -> Iterator[None]:
    try:
        yield
    except (TimeoutError, MemoryError):
        raise ExpressionError(
            f"{name}: the pattern {compiled.pattern!r:.80} takes too long over this text (more "
            f"than {PATTERN_SECONDS} s): a repetition within a repetition, as in (a+)+, does that"
        ) from None


def matches(value: object, pattern: object) -> bool:
    """Whether a pattern is found in a text; `^` and `$` are its ends."""
    return _first("matches", value, pattern) is not None


def regex(value: object, pattern: object) -> dict[str, object] | None:
    """The groups of a pattern where it is first found, by name and number; nothing elsewhere."""
    found = _first("regex", value, pattern)
    if found is None:
        return None
    numbered = {str(n): group for n, group in enumerate((found.group(), *found.groups()))}
    return {**numbered, **found.groupdict()}


def regex_all(value: object, pattern: object) -> list[str]:
    """All that a pattern finds: its first group, or the whole where it has none."""
    compiled, text = _pattern(pattern), _searched("regex_all", value)
    listed: list[str] = []
    for found in _each("regex_all", compiled, text):
        listed.append(found.group(1 if compiled.groups else 0) or "")
        if len(listed) > MAX_ITEMS:
            raise ExpressionError(f"a list that holds more than {MAX_ITEMS:,} values")
    return listed


def regex_replace(value: object, pattern: object, by: object = "") -> str:
    r"""A text in which all that a pattern finds is another text; `\\1` is its first group."""
    text, by = _searched("regex_replace", value), _needs("regex_replace", by)
    pieces: list[str] = []
    end = length = 0
    for found in _each("regex_replace", _pattern(pattern), text):
        put = _expanded(by, found)
        pieces += [text[end : found.start()], put]
        length += found.start() - end + len(put)
        if length > MAX_TEXT:
            raise ExpressionError(f"a text longer than {MAX_TEXT:,} characters")
        end = found.end()
    return "".join([*pieces, text[end:]])


def _expanded(by: str, found: Match[str]) -> str:
    def group(reference: re.Match[str]) -> str:
        try:
            return found.group(int(reference[1])) or ""
        except IndexError:
            raise ExpressionError(f"regex_replace: there is no group {reference[1]}") from None

    return re.sub(r"\\([0-9])", group, by)


def _digest(name: str) -> Callable[[object], str]:
    def digest(value: object) -> str:
        text = _needs(name, value).encode("utf-8", "surrogatepass")
        return hashlib.new(name, text, usedforsecurity=False).hexdigest()

    return digest


LIBRARY: dict[str, Callable[..., object]] = {
    "basename": basename,
    "clean_tag": clean_tag,
    "date": date,
    "dirname": dirname,
    "matches": matches,
    "md5": _digest("md5"),
    "parse_date": parse_date,
    "parts": parts,
    "regex": regex,
    "regex_all": regex_all,
    "regex_replace": regex_replace,
    "sha256": _digest("sha256"),
    "stem": stem,
    "suffix": suffix,
}
