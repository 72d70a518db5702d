"""What plugins print goes to the log, under their names.

Standard output belongs to the command: a ``print`` that somebody forgot must not end up in the
middle of a plan in JSON. Who prints is seen on the stack. What a library in C or a program that
a plugin has started writes there by itself is not seen.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

import structlog

from hydrusd.plugin.accounts import Accounts

MOST_CHARACTERS = 2_000
"""How much of one line is kept."""

log = structlog.get_logger("hydrusd.plugins")


class _Output:
    """Stands in front of a stream, and takes out what plugins write."""

    def __init__(self, stream: TextIO, accounts: Accounts) -> None:
        self._stream = stream
        self._accounts = accounts
        self._begun: dict[tuple[str, int], str] = {}
        self._logging = threading.local()

    def is_for(self, accounts: Accounts) -> bool:
        """Say whether it looks for the plugins that have these accounts."""
        return self._accounts is accounts

    def write(self, text: str) -> int:
        """Write, or log."""
        caller = sys._getframe(1)  # noqa: SLF001 - who calls is the question
        # A log that goes to standard output, with a lock that is held meanwhile, is no print.
        logging = getattr(self._logging, "now", False) or _is_ours(caller)
        found = None if logging else self._accounts.owner_on(caller)
        if found is None:
            return self._stream.write(text)
        plugin, place = found
        key = plugin, threading.get_ident()
        *lines, rest = (self._begun.pop(key, "") + text).split("\n")
        if len(rest) > MOST_CHARACTERS:
            lines, rest = [*lines, rest], ""
        if rest:
            self._begun[key] = rest
        for line in lines:
            if line.strip():
                self._accounts.printed(plugin)
                self._log(plugin, place, line.rstrip()[:MOST_CHARACTERS])
        return len(text)

    def _log(self, plugin: str, place: str, line: str) -> None:
        self._logging.now = True
        try:
            log.info(f"plugin {plugin} printed: {line}", plugin=plugin, place=place)
        finally:
            self._logging.now = False

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_lent: deque[_Output] = deque(maxlen=100)


def _is_ours(frame: FrameType) -> bool:
    """Say whether it is hydrusd, or a log, that writes, whoever has called that."""
    name = str(frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] in {"hydrusd", "structlog", "logging"}


@contextmanager
def capturing_prints(accounts: Accounts) -> Iterator[None]:
    """Have what plugins print logged, for as long as this lasts; once is enough.

    A thread that is printing has only borrowed what stood in ``sys.stdout``: Python crashes where
    that is replaced meanwhile, and nobody else holds it. So nothing is replaced while a daemon
    runs, and what was replaced is held for a while.
    """
    former = sys.stdout
    if isinstance(former, _Output) and former.is_for(accounts):
        yield
        return
    mine = _Output(former, accounts)
    _lent.append(mine)
    sys.stdout = mine
    try:
        yield
    finally:
        if sys.stdout is mine:
            sys.stdout = former
