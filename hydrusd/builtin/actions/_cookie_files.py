"""Reads the cookie files that people have: cookies.txt, and what add-ons export as JSON.

The standard library's reader will not do. It takes ``#HttpOnly_`` lines for comments, which
are the cookies that log one in; a row whose two ways of saying "subdomains too" differ ends
it; and its errors quote the line they are about. Here a bad row costs that row only, and is
named by its number, never by what it holds.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from hydrusd.plugin import Cookie, FoundCookies, PermanentError, RequestRejected, TemporaryError

QUIET_SECONDS = 2.0
"""A file must have been left alone for so long before it is read."""
MOST_BYTES = 16 * 1024 * 1024
LATEST = 253_402_300_799
"""The last second of the year 9999. What is later is not meant to be seconds."""

_HTTP_ONLY = "#HttpOnly_"
_HOST = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[?[0-9a-f:]+\]?")
_ADDRESS = re.compile(r"[\d.]+|\[?[0-9a-f:]+\]?")
_TEXTS = ("name", "value", "domain", "path")
_FLAGS = {"TRUE", "FALSE"}
_DATABASE = b"SQLite format 3\0"


class _BadRow(Exception):
    """Why a row is no cookie, without what it holds."""


def read_cookie_file(path: Path, now: datetime) -> FoundCookies:
    """Read a file of either kind, told apart by what is in it.

    Raises TemporaryError where it may be readable later (missing, locked, being written) and
    PermanentError where it is no cookie file.
    """
    data = _read(path, now)
    if data.startswith(_DATABASE):
        raise PermanentError(
            f"{path} is a browser's own database: set_browser_cookies reads those, by profile"
        )
    text = _decode(data)
    if not text.strip():
        raise PermanentError(f"{path} is empty")
    is_json = text.lstrip()[0] in "[{"
    rows = _json_rows(path, text) if is_json else _lines(path, text)
    cookies, faults = [], []
    for name, row in rows:
        try:
            cookies.append(_json_cookie(row) if is_json else _line_cookie(str(row)))
        except _BadRow as why:
            faults.append(f"{name}: {why}")
        except RequestRejected as error:
            faults.append(f"{name}: {error.message}")
    if not cookies:
        first = f": {faults[0]}" if faults else ""
        raise PermanentError(f"{path} holds no cookies{first}")
    return FoundCookies(str(path), cookies, faults)


def _read(path: Path, now: datetime) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PermanentError(f"{path} is not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
            after = os.fstat(file.fileno())
    except FileNotFoundError:
        raise TemporaryError(f"there is no file {path}") from None
    except OSError as error:
        raise TemporaryError(f"{path} cannot be read: {error.strerror or error}") from error
    grown = (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns)
    if grown or abs(now.timestamp() - after.st_mtime) < QUIET_SECONDS:
        raise TemporaryError(f"{path} is just being written", delay_seconds=QUIET_SECONDS)
    if len(data) > MOST_BYTES:
        raise PermanentError(f"{path} is too large to be a cookie file")
    return data


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")  # as Windows' shell redirects
    # What is not UTF-8 stays in its row, which is refused alone.
    return data.decode("utf-8-sig", "surrogateescape")


# --- cookies.txt -------------------------------------------------------------------------


def _lines(path: Path, text: str) -> Iterator[tuple[str, object]]:
    # Not splitlines(): values may hold what only Unicode takes for the end of a line.
    lines = text.split("\n")
    last = lines[-1].removeprefix(_HTTP_ONLY)
    if "\t" in text and last.strip() and not last.startswith("#") and last.count("\t") < 5:
        raise TemporaryError(f"{path} is cut off in line {len(lines)}: it may still be written")
    for number, line in enumerate(lines, 1):
        row = line.rstrip("\r").removeprefix(_HTTP_ONLY)
        if row.strip() and not row.startswith("#"):
            yield f"line {number}", row


def _line_cookie(line: str) -> Cookie:
    columns = line.split("\t")
    if len(columns) == 6:
        columns.append("")  # an editor took away the tab before an empty value
    if len(columns) != 7:
        spaces = len(columns) == 1 and len(line.split()) in {6, 7}
        hint = ", its tabs have become spaces" if spaces else ""
        raise _BadRow(f"it has {len(columns)} columns, not 7{hint}")
    domain, below, path, secure, expires, name, value = columns
    if not {below.upper(), secure.upper()} <= _FLAGS:
        raise _BadRow("its columns 2 and 4 are not TRUE or FALSE")
    dotted = True if below.upper() == "TRUE" else None
    return _cookie(name, value, domain, path, _expiry(expires), dotted=dotted)


# --- JSON --------------------------------------------------------------------------------


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, object]]:
    try:
        data = json.loads(text)
    except RecursionError:
        raise PermanentError(f"{path} is JSON, but holds no list of cookies") from None
    except ValueError as error:
        # ``from None``: the error carries the whole text.
        line = getattr(error, "lineno", 1)
        raise TemporaryError(
            f"{path} is no whole JSON (line {line}): it may still be written"
        ) from None
    rows = data.get("cookies") if isinstance(data, Mapping) else data
    if not isinstance(rows, list):
        raise PermanentError(f"{path} is JSON, but holds no list of cookies")
    for number, row in enumerate(rows, 1):
        yield f"cookie {number}", row


def _json_cookie(row: object) -> Cookie:
    if not isinstance(row, Mapping):
        raise _BadRow("it is no object")
    # As browsers, Playwright and Selenium call it.
    given = [row[key] for key in ("expirationDate", "expires", "expiry") if key in row]
    expires = None if row.get("session") is True or not given else _expiry(given[0])
    host_only = row.get("hostOnly")
    dotted = not host_only if isinstance(host_only, bool) else None
    texts = ["" if row.get(key) is None else row[key] for key in _TEXTS]
    if not all(isinstance(text, str) for text in texts):
        raise _BadRow("its name, value, domain or path is no text")
    name, value, domain, path = texts
    return _cookie(name, value, domain, path, expires, dotted=dotted)


# --- both --------------------------------------------------------------------------------


def _cookie(
    name: str, value: str, domain: str, path: str, expires: int | None, *, dotted: bool | None
) -> Cookie:
    """Make a cookie. ``dotted``: whether it is for subdomains too; None as its domain says."""
    host = domain.strip().lower()
    if not name:
        raise _BadRow("it has no name")
    if not _HOST.fullmatch(host):
        raise _BadRow("it has no domain" if not host else "what it has for a domain is none")
    bare = host.removeprefix(".")
    if dotted is None:
        dotted = host != bare
    if dotted and not _ADDRESS.fullmatch(bare):
        bare = f".{bare}"
    return Cookie(name, value, bare, path if path.startswith("/") else "/", expires)


def _expiry(given: object) -> int | None:
    """Give seconds since 1970, or None for a cookie without expiry, which many write as 0 or -1."""
    if given is None or given == "":
        return None
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise _BadRow("its expiry is no number")
    try:
        seconds = float(given)
    except (ValueError, OverflowError):
        raise _BadRow("its expiry is no number") from None
    if not math.isfinite(seconds):
        raise _BadRow("its expiry is no number")
    if seconds > LATEST:
        seconds = min(seconds / 1000, LATEST)  # milliseconds, or "never"
    return int(seconds) if seconds > 0 else None
