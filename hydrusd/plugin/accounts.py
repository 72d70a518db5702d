"""Whose code is at work, and what it has cost so far: an account for each plugin.

Whatever goes wrong is to be told with the name of the plugin that did it. The one thing that
always tells is the stack: code of a plugin lies in a file of it. So nothing has to be wrapped
or counted per item; who is asked is looked up when something is amiss.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from hydrusd.plugin.surroundings import Surroundings
from hydrusd.redaction import redact

MOST_HANGING = 16
"""So many calls of one plugin may never have come back before it is not called any more."""
PUT_BACK = "it has changed what belongs to all, which was put back"
_LONGEST_ERROR = 500

log = structlog.get_logger("hydrusd.plugins")


@dataclass(slots=True)
class Account:
    """What one plugin has cost since the daemon was started. Times are in seconds.

    ``hanging`` calls are under way in threads that nobody waits for any more. ``blocked`` counts
    how often it kept everything else waiting, ``printed`` the lines that it printed.
    """

    import_seconds: float = 0.0
    calls: int = 0
    seconds: float = 0.0
    errors: int = 0
    last_error: str = ""
    hanging: int = 0
    blocked: int = 0
    printed: int = 0

    @property
    def is_used(self) -> bool:
        """Say whether there is anything to tell beside how long it took to import."""
        return bool(self.calls or self.errors or self.hanging or self.blocked or self.printed)


class Accounts:
    """The accounts of all plugins of one host. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._owners: dict[str, str | None] = {}
        self._kinds: dict[type, str | None] = {}
        self.surroundings: Surroundings | None = None
        """What no plugin may change, while a daemon is at work."""

    # --- who -----------------------------------------------------------------------------

    def claim(self, plugin: str, *, file: Path | None = None, folder: Path | None = None) -> None:
        """Say that a file, or all in a folder, is code of a plugin."""
        with self._lock:
            if file is not None:
                self._files[str(file)] = plugin
            if folder is not None:
                self._folders[str(folder)] = plugin
            self._owners.clear()
            self._kinds.clear()
        self.of(plugin)

    def owner_of_file(self, name: str) -> str | None:
        """Give the plugin that a file of code belongs to."""
        try:
            return self._owners[name]
        except KeyError:
            pass
        found = self._files.get(name)
        if found is None and self._folders:
            above = (str(folder) for folder in Path(name).parents)
            found = next((self._folders[each] for each in above if each in self._folders), None)
        self._owners[name] = found
        return found

    def owner_of(self, kind: type) -> str | None:
        """Give the plugin that brought a class; None for hydrusd's own."""
        if not self._files and not self._folders:
            return None
        if kind not in self._kinds:
            file = getattr(kind, "__plugin_file__", "") or _file_of(kind)
            self._kinds[kind] = self.owner_of_file(file)
        return self._kinds[kind]

    def owner_on(self, frame: FrameType | None) -> tuple[str, str] | None:
        """Give the plugin that is at work on a stack, and its line: as ``tagger.py, line 3``."""
        while frame is not None:
            owner = self.owner_of_file(frame.f_code.co_filename)
            if owner is not None:
                return owner, f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
            frame = frame.f_back
        return None

    def blame(self, error: BaseException) -> tuple[str, str] | None:
        """Give the plugin whose code raised this, and its last line on the way there."""
        found = None
        for each in (error, error.__cause__):
            for frame, line in traceback.walk_tb(each.__traceback__ if each else None):
                owner = self.owner_of_file(frame.f_code.co_filename)
                if owner is not None:
                    found = owner, f"{Path(frame.f_code.co_filename).name}, line {line}"
        return found

    # --- what ----------------------------------------------------------------------------

    def of(self, plugin: str) -> Account:
        """Give the account of a plugin."""
        with self._lock:
            return self._accounts.setdefault(plugin, Account())

    def called(self, plugin: str, calls: int, seconds: float) -> None:
        """Put calls, and the time that they took, on an account."""
        account = self.of(plugin)
        with self._lock:
            account.calls += calls
            account.seconds += seconds

    def failed(self, plugin: str, error: str, count: int = 1) -> None:
        """Put errors on an account."""
        account = self.of(plugin)
        with self._lock:
            account.errors += count
            account.last_error = redact(error)[:_LONGEST_ERROR]

    def hangs(self, plugin: str, change: int) -> None:
        """Put a call that nobody waits for any more on an account, or take it off again."""
        account = self.of(plugin)
        with self._lock:
            account.hanging += change

    def blocked(self, plugin: str) -> None:
        """Put on an account that everything else had to wait for it."""
        account = self.of(plugin)
        with self._lock:
            account.blocked += 1

    def printed(self, plugin: str) -> None:
        """Put a printed line on an account."""
        account = self.of(plugin)
        with self._lock:
            account.printed += 1

    def look_around(self, plugin: str | None, *, imported: bool = False) -> None:
        """Put back what has been changed that belongs to all, and name who was at work."""
        if self.surroundings is None:
            return
        if changed := self.surroundings.put_back(imported=imported):
            said = f"{PUT_BACK}: {'; '.join(changed)}"
            if plugin is not None:
                self.failed(plugin, said)
            who = f"plugin {plugin}" if plugin is not None else "a plugin, or a library of one"
            log.error(f"{who}: {said}", plugin=plugin)

    def told(self) -> Mapping[str, Mapping[str, Any]]:
        """Give all accounts that there is something to tell of, as plain data."""
        with self._lock:
            return {n: asdict(each) for n, each in self._accounts.items() if each.is_used}


def _file_of(kind: type) -> str:
    """Give the file of a class's code, by one of its functions."""
    for made in kind.__mro__:
        for value in vars(made).values():
            code = getattr(getattr(value, "__func__", value), "__code__", None)
            if code is not None and getattr(value, "__module__", None) == made.__module__:
                return str(code.co_filename)
        if made is not kind and made.__module__.startswith("hydrusd."):
            break
    return ""
