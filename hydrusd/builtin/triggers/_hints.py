"""What the system tells of changes in a folder: hints, never more.

Measured: a burst overflows the kernel's queue and files go missing from it; network
mounts tell nothing of what others do; watches run out. So a hint only makes things
quick, the scan makes them sure, and this module's one duty beside passing hints on is
to say when some may have been lost.

The only module that imports watchdog. Its callbacks run in a thread of its own and
must never wait: what they bring is put into a bounded set that the event loop empties.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

MOST_WAITING = 10_000
_KINDS: list[type[events.FileSystemEvent]] = [
    events.FileCreatedEvent,
    events.FileMovedEvent,
    events.FileClosedEvent,
    events.DirCreatedEvent,
    events.DirMovedEvent,
    events.DirDeletedEvent,
    # Where nothing tells that a file was closed, its changes must do; on Linux they
    # would only fill the kernel's queue.
    *([] if sys.platform == "linux" else [events.FileModifiedEvent]),
]


class HintsUnavailable(Exception):
    """The system will not tell of changes in this folder. The text says what to do."""


@dataclass(slots=True)
class Hints:
    """What was hinted at: paths below the root, with ``/``. ``lost``: there was more."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    lost: bool = False


class Listener:
    """Listens to one folder. ``wake`` is called on the event loop when hints wait."""

    def __init__(self, root: Path, *, recursive: bool, wake: Callable[[], None]) -> None:
        self._root = root
        self._recursive = recursive
        self._wake = wake
        self._lock = threading.Lock()
        self._hints = Hints()
        self._woken = False
        self._observer: BaseObserver | None = None
        self._complaints: _Complaints | None = None
        self._limiter = CapacityLimiter(1)

    @property
    def listening(self) -> bool:
        """Whether every thread that brings the hints is still alive."""
        observer = self._observer
        return (
            observer is not None
            and observer.is_alive()
            and all(emitter.is_alive() for emitter in observer.emitters)
        )

    async def start(self) -> None:
        """Begin to listen, anew if need be. Raises ``HintsUnavailable``."""
        await self.stop()
        loop = asyncio.get_running_loop()
        # Adding watches walks the whole tree: seconds, on a large one.
        await to_thread.run_sync(self._begin, loop, limiter=self._limiter)

    async def stop(self) -> None:
        """Stop listening and wait for the threads to end."""
        await to_thread.run_sync(self._end, limiter=self._limiter)

    def take(self) -> Hints:
        """Give the hints that wait, and forget them."""
        with self._lock:
            hints, self._hints, self._woken = self._hints, Hints(), False
        return hints

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        # Links are not followed while listening, and macOS reports real paths anyway.
        real = os.path.realpath(self._root)
        handler = _Handler(real, lambda note: self._put(loop, note))
        self._complaints = _Complaints(handler.lost)
        logging.getLogger("watchdog").addHandler(self._complaints)
        try:
            self._observer = Observer()
            self._observer.schedule(handler, real, recursive=self._recursive, event_filter=_KINDS)
            self._observer.start()
        except OSError as error:
            self._end()
            raise HintsUnavailable(_advice(error)) from error

    def _end(self) -> None:
        observer, self._observer = self._observer, None
        if self._complaints is not None:
            logging.getLogger("watchdog").removeHandler(self._complaints)
        if observer is not None:
            observer.stop()
            if observer.ident is not None:  # it was started
                observer.join()

    def _put(self, loop: asyncio.AbstractEventLoop, note: Callable[[Hints], None]) -> None:
        with self._lock:
            if len(self._hints.files) + len(self._hints.folders) < MOST_WAITING:
                note(self._hints)
            else:
                self._hints.lost = True
            wake, self._woken = not self._woken, True
        if wake:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon is stopping
                loop.call_soon_threadsafe(self._wake)


class _Handler(events.FileSystemEventHandler):
    """Turns watchdog's events into paths below the root."""

    def __init__(self, real: str, put: Callable[[Callable[[Hints], None]], None]) -> None:
        self._real = real
        self._inside = real.rstrip(os.sep) + os.sep
        self._put = put

    def dispatch(self, event: events.FileSystemEvent) -> None:
        path = os.fsdecode(event.dest_path or event.src_path)
        if path == self._real:
            self.lost()  # the folder itself was deleted or replaced
        elif path.startswith(self._inside) and event.event_type != events.EVENT_TYPE_DELETED:
            relative = path[len(self._inside) :].replace(os.sep, "/")
            if event.is_directory:
                self._put(lambda hints: hints.folders.add(relative))
            else:
                self._put(lambda hints: hints.files.add(relative))

    def lost(self) -> None:
        self._put(_note_loss)


class _Complaints(logging.Handler):
    """Hears what watchdog logs: an overflow of the kernel's queue is told in no other way."""

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._lost = lost

    def emit(self, record: logging.LogRecord) -> None:
        del record
        self._lost()


def _note_loss(hints: Hints) -> None:
    hints.lost = True


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC:
            knob = "fs.inotify.max_user_watches=1048576"
        case errno.EMFILE:
            knob = "fs.inotify.max_user_instances=1024"
        case _:
            return f"the system does not tell of changes here ({error.strerror or error})"
    return (
        "the system has no more inotify watches to give to this user; "
        f"raise the limit with `sysctl {knob}`"
    )
