"""Every error that hydrusd raises on purpose.

One tree, because the engine turns an error into the fate of a job by looking
at its class (``engine/retrying.py`` holds that table), and a user reads its
text without a traceback. The tree::

    HydrusdError
    ├─ ConfigError            all problems of a rules file at once
    ├─ PluginError            a plugin that cannot be used, by name
    ├─ ExpressionError        a template or condition that cannot be compiled or evaluated
    ├─ ActionError            what the authors of actions raise
    │  ├─ PermanentError      give up now: dead letter
    │  └─ TemporaryError      try again, optionally after a delay
    ├─ HydrusError            a request to Hydrus that did not end well
    │  ├─ HydrusUnavailable   refused, timed out, cut, 503, 509: the lane waits
    │  ├─ AccessDenied        401, or 403 for an unknown key: the lane waits for the user
    │  ├─ PermissionMissing   403 for a permission: the rule waits for the user
    │  ├─ RequestRejected     400, 404, 406, 416, 426: repeating would not help
    │  ├─ HydrusFailed        409, 422, 500 and answers that make no sense: try again later
    │  ├─ WriteRefused        it could change something, and the client only looks; not sent
    │  └─ VersionTooOld       the client cannot do that; nothing was sent
    └─ LedgerError
       ├─ LedgerLocked        another daemon has it open
       ├─ LedgerFull          its disk has no room: everything waits until there is
       └─ LedgerDamaged       its file or its disk fails: nothing more may be written
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

EXCERPT_LENGTH = 256

Severity = Literal["error", "warning", "note"]
"""An error stops the rules from being run, a warning doubts what they say, a note only tells."""


def text_of(error: BaseException) -> str | None:
    """Give what an exception says; None where it cannot even say that, but raises something."""
    try:
        text = str(error)
        repr(error)
    except BaseException:  # noqa: BLE001 - it is other people's, and may raise anything
        return None
    return text


class HydrusdError(Exception):
    """The root of all errors that hydrusd raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a rules file.

    ``line`` and ``column`` count from 1; 0 means that the problem has no place
    in the file (the file itself cannot be read, say). ``excerpt`` is the line's text.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    excerpt: str = ""
    severity: Severity = "error"

    @property
    def place(self) -> str:
        """``file:line:column``, or only the file where there is no line."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def render(self) -> str:
        """Give the problem as text: place, message, the line with a caret, the hint."""
        kind = "" if self.severity == "error" else f"{self.severity}: "
        lines = [f"{self.place}: {kind}{self.message}"]
        if self.excerpt:
            # A tab before the caret must stay a tab, or the caret points elsewhere.
            padding = "".join("\t" if c == "\t" else " " for c in self.excerpt[: self.column - 1])
            lines += [f"    {self.excerpt}", f"    {padding}^"]
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(lines)


class ConfigError(HydrusdError):
    """A rules file that cannot be used. Carries every problem found, in order of place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


class PluginError(HydrusdError):
    """A plugin that cannot be used. ``plugin`` is its name, the text says why."""

    def __init__(self, plugin: str, message: str) -> None:
        self.plugin = plugin
        super().__init__(f"plugin {plugin}: {message}")


class ExpressionError(HydrusdError):
    """A template or condition that cannot be compiled or evaluated."""


class ActionError(HydrusdError):
    """What the authors of actions raise to say how an item ended."""


class PermanentError(ActionError):
    """Repeating would not help: the job becomes a dead letter now."""


class TemporaryError(ActionError):
    """Try again, ``delay_seconds`` from now or after the usual backoff."""

    def __init__(self, message: str, *, delay_seconds: float | None = None) -> None:
        self.delay_seconds = delay_seconds
        super().__init__(message)


def found_no_room(error: BaseException) -> bool:
    """Say whether this came from a disk, or somebody's share of it, that is full.

    An ``OSError``, or what was raised ``from`` one. An action that raises it has its items wait
    for room, at no cost.
    """
    origin = error if isinstance(error, OSError) else error.__cause__
    return isinstance(origin, OSError) and origin.errno in _FULL


_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


class HydrusError(HydrusdError):
    """A request to Hydrus that did not end well.

    ``status`` is the HTTP status, or None where no whole answer came.
    ``excerpt`` is the client's own words, already redacted, at most 256 characters:
    enough to act on, too short to flood a log.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        excerpt: str = "",
    ) -> None:
        self.message = message
        self.method = method
        self.path = path
        self.status = status
        self.excerpt = excerpt[:EXCERPT_LENGTH]
        super().__init__(message)

    def __str__(self) -> str:
        request = f"{self.method} {self.path}".strip()
        status = f" → {self.status}" if self.status is not None else ""
        said = f": {self.excerpt}" if self.excerpt and self.excerpt not in self.message else ""
        return f"{self.message} [{request}{status}]{said}" if request else f"{self.message}{said}"


class HydrusUnavailable(HydrusError):
    """The client is away or busy: the lane waits, nothing is lost.

    ``outcome_unknown`` is True where the request may have been carried out (a write
    that was sent and never answered): look before repeating it.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False, **request: object) -> None:
        self.outcome_unknown = outcome_unknown
        super().__init__(message, **request)  # type: ignore[arg-type]


class AccessDenied(HydrusError):
    """The access key is missing, malformed or unknown to the client: a person must act."""


class PermissionMissing(HydrusError):
    """The access key lacks a permission. ``permission`` is its name as the user ticks it."""

    def __init__(self, message: str, *, permission: str, **request: object) -> None:
        self.permission = permission
        super().__init__(message, **request)  # type: ignore[arg-type]


class RequestRejected(HydrusError):
    """The client understood and refused: repeating the same request would not help."""


class HydrusFailed(HydrusError):
    """The client failed at it, or answered nonsense: worth another try, later."""


class WriteRefused(HydrusError):
    """The request could change something, and this client was made only to look. Never sent."""


class VersionTooOld(HydrusError):
    """The client's API version cannot do that. Raised before anything is sent."""


class LedgerError(HydrusdError):
    """The ledger cannot be opened, read or written."""


class LedgerFull(LedgerError):
    """The ledger's disk has no room. What was to be stored was not, as a whole; try it again."""


class LedgerDamaged(LedgerError):
    """The ledger's file is damaged, or its disk fails.

    Whoever writes on could make it worse, so this ends the daemon, whatever it came from.
    """


class LedgerLocked(LedgerError):
    """Another daemon has the ledger open. ``pid`` is its process, where known."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        self.pid = pid
        super().__init__(message)
