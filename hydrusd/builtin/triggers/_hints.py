"""What the system tells of changes in a folder: hints, never more.

Measured: a burst overflows the kernel's queue and files go missing from it; network
mounts tell nothing of what others do; watches run out. So a hint only makes things
quick, the scan makes them sure, and this module's one duty beside passing hints on is
to say when some may have been lost, or cannot come at all. A system may also promise hints
and never send one; only a change that was really made shows it, so one is made: an empty
folder, removed at once. No program takes it for a file, and removing an empty folder cannot
remove anything.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import cast

from anyio import CapacityLimiter, to_thread
from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

if sys.platform == "linux":
    from watchdog.observers.inotify import InotifyEmitter, InotifyWatchGroup
    from watchdog.observers.inotify_c import (
        DEFAULT_EVENT_BUFFER_SIZE,
        CallbackId,
        InotifyConstants,
        InotifyEvent,
        InotifyFD,
        Mask,
        WatchCallback,
        WatchDescriptor,
    )

MOST_WAITING = 10_000
PROBE = ".hydrusd-probe.hydrusd-part"
"""The folder that is made to see whether the system tells of it: never noticed, by any rule."""
PROBE_SECONDS = 5.0
"""How long to wait for word of it, in real time: the system's, not the daemon's, is in question."""
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


_LIMITS = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENOMEM})


class HintsUnavailable(Exception):
    """The system will not tell of changes in this folder. The text says what to do."""


class Heard(StrEnum):
    """What came of the test whether hints come."""

    YES = "yes"
    NO = "no"
    UNTRIED = "untried"


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
        self._heard = threading.Event()
        self._gone = threading.Event()
        self._refused = ""
        self._observer: BaseObserver | None = None
        self._complaints: _Complaints | None = None
        self._limiter = CapacityLimiter(1)

    @property
    def listening(self) -> bool:
        """Whether every thread that brings the hints is still alive, and has what to bring."""
        observer = self._observer
        return (
            observer is not None
            and not self._gone.is_set()
            and observer.is_alive()
            and all(emitter.is_alive() for emitter in observer.emitters)
        )

    async def start(self) -> None:
        """Begin to listen, anew if need be. Raises ``HintsUnavailable``."""
        await self.stop()
        loop = asyncio.get_running_loop()
        # Adding watches walks the whole tree: seconds, on a large one.
        await to_thread.run_sync(self._begin, loop, limiter=self._limiter)

    @property
    def refused(self) -> str:
        """Why no hints come from some of the folders below, and what to do; "" where they do."""
        return self._refused

    async def hears(self) -> Heard:
        """See whether a hint comes. ``UNTRIED`` where nothing may be written to the folder."""
        return await to_thread.run_sync(self._try, limiter=self._limiter)

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
        self._gone.clear()
        self._refused = ""
        handler = _Handler(real, lambda note: self._put(loop, note), self._heard)
        self._complaints = _Complaints(handler.lost)
        logging.getLogger("watchdog").addHandler(self._complaints)

        def lose_root() -> None:
            self._gone.set()
            handler.lost()

        try:
            self._observer = _observer(self._refuse, lose_root)
            self._observer.schedule(handler, real, recursive=self._recursive, event_filter=_KINDS)
            self._observer.start()
        except OSError as error:
            self._end()
            raise HintsUnavailable(_advice(error)) from error

    def _refuse(self, error: OSError) -> None:
        self._refused = self._refused or _advice(error)

    def _try(self) -> Heard:
        probe = self._root / PROBE
        self._heard.clear()
        try:
            with contextlib.suppress(FileNotFoundError):
                probe.rmdir()  # that of a daemon which was killed in the middle
            probe.mkdir()
        except OSError:
            return Heard.UNTRIED
        try:
            return Heard.YES if self._heard.wait(PROBE_SECONDS) else Heard.NO
        finally:
            with contextlib.suppress(OSError):
                probe.rmdir()

    def _end(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            if observer.ident is not None:  # it was started
                observer.join()
        if self._complaints is not None:  # heard until the last thread that may have one has ended
            logging.getLogger("watchdog").removeHandler(self._complaints)

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

    def __init__(
        self, real: str, put: Callable[[Callable[[Hints], None]], None], heard: threading.Event
    ) -> None:
        self._real = real
        self._inside = real.rstrip(os.sep) + os.sep
        self._put = put
        self._heard = heard

    def dispatch(self, event: events.FileSystemEvent) -> None:
        path = os.fsdecode(event.dest_path or event.src_path)
        if path == self._real:
            self.lost()  # the folder itself was deleted or replaced
        elif path == self._inside + PROBE:
            self._heard.set()
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


if sys.platform == "linux":

    class _Watches(InotifyFD):
        """The watches of one folder and those below.

        watchdog passes over those that the system refuses and says nothing of it, nor does it
        of a file system that is unmounted: all watches on it are gone then.
        """

        def __init__(self, refuse: Callable[[OSError], None], lose: Callable[[], None]) -> None:
            super().__init__()
            self._refuse = refuse
            self.lose = lose
            self.group: _Group | None = None

        def add_callback(
            self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
        ) -> WatchDescriptor:
            try:
                return super().add_callback(path, mask, callback, id_)
            except OSError as error:
                if error.errno in _LIMITS and not path.endswith(os.fsencode(PROBE)):
                    self._refuse(error)
                raise

        def _add_callback(
            self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
        ) -> WatchDescriptor:
            # A folder that is made while its tree is walked is come by twice: by the walk, and by
            # the event. watchdog would warn of it, and where warnings are errors hear no more.
            watch = self._get_or_create_watch(path, mask)
            watch.callbacks[id_] = callback
            return watch.wd

        def handle_event(self, event: InotifyEvent) -> None:
            with self._tripping_is_a_loss():
                super().handle_event(event)
            if event.mask & InotifyConstants.IN_UNMOUNT:
                self.lose()

        def read_events(
            self, *, event_buffer_size: int = DEFAULT_EVENT_BUFFER_SIZE
        ) -> list[InotifyEvent]:
            if self.group is not None:
                with self._tripping_is_a_loss():
                    self.group.forget_left()
            return super().read_events(event_buffer_size=event_buffer_size)

        @contextlib.contextmanager
        def _tripping_is_a_loss(self) -> Iterator[None]:
            try:
                yield
            except KeyError:
                # watchdog trips over a watch that it has forgotten before. That would end the
                # thread, and nothing more would be heard: better to begin to listen anew.
                self.lose()

    class _Group(InotifyWatchGroup):
        """What the system tells of one folder and those below, until they are moved out of it.

        watchdog does not tell a folder that was moved out from one that stays: it would never
        give its watches back, and hints would come from there under the path that it once had.

        The system tells of a move in this order: from where, to where if that is watched, and
        that the folder itself was moved. So whatever is told to have been moved, and is still
        held to be where it went from, has left.

        Words come late, too, and watches are asked for by path: of a folder that is elsewhere by
        then, or has another one in its place. What was ``missed`` so is looked for again when
        the word of the move comes.
        """

        def __init__(self, watches: _Watches, path: bytes, mask: Mask, *, recursive: bool) -> None:
            self._lose = watches.lose
            self._going: dict[WatchDescriptor, bytes] = {}
            self._left: set[bytes] = set()
            self._missed: set[bytes] = set()
            super().__init__(watches, path, mask, recursive)

        def on_event(self, event: InotifyEvent) -> None:
            if event.is_move_self:
                self._note_moved(event.wd)
                return
            if event.is_moved_from and event.is_directory:
                self._note_going(event)
            elif not event.is_moved_from:
                self.forget_left()  # before another folder can come to be under the same path
            if event.is_delete and self._missed:
                self._forget_missed(event)
            came_from = self._source_for_move(event.cookie) if event.is_moved_to else None
            super().on_event(event)
            if event.is_moved_to and event.is_directory and self.is_recursive:
                self._look_for_missed(event, came_from)

        def on_watch_deleted(self, wd: WatchDescriptor) -> None:
            self._going.pop(wd, None)
            super().on_watch_deleted(wd)

        def on_queue_overflow(self) -> None:
            self._going.clear()
            self._left.clear()
            self._missed.clear()
            super().on_queue_overflow()  # watches everything anew

        def forget_left(self) -> None:
            """Give back the watches of what was moved out since the last time.

            All watches are gone through for that, so it is done for many at once.
            """
            if not self._left:
                return
            left, self._left = self._left, set()
            shortest = min(map(len, left))
            self._missed = {path for path in self._missed if not _is_in(path, left, shortest)}
            with self._lock:
                found = self._active_callbacks_by_watch.items()
                self._remove_callbacks([w for w, path in found if _is_in(path, left, shortest)])

        def _note_going(self, event: InotifyEvent) -> None:
            with self._lock:
                path = self._build_event_source_path(event)
                watch = None if path is None else self._active_callbacks_by_path.get(path)
                if path is not None and watch is not None:
                    self._going[watch] = path

        def _note_moved(self, watch: WatchDescriptor) -> None:
            went = self._going.pop(watch, None)
            with self._lock:
                now = self._active_callbacks_by_watch.get(watch)
            if now is not None and now == self.path:
                self._lose()  # nobody watches what is above it: it may be anywhere
            elif now is not None and now == went:
                self._left.add(now)

        def _look_for_missed(self, event: InotifyEvent, came_from: bytes | None) -> None:
            with self._lock:
                path = self._build_event_source_path(event)
                if path is None:
                    return
                held = self._active_callbacks_by_path.get(path)
                self._add_callback(path)
                watch = self._active_callbacks_by_path.get(path)
                if watch is not None:
                    self._going.pop(watch, None)  # it has arrived
                other = watch != held
                missed = set[bytes]()
                if came_from is not None:
                    missed = {m for m in self._missed if _is_in(m, {came_from}, len(came_from))}
                    self._missed -= missed
                if missed or other:
                    self._add_all_callbacks(path)

        def _forget_missed(self, event: InotifyEvent) -> None:
            with self._lock:
                if (path := self._build_event_source_path(event)) is not None:
                    self._missed.discard(path)

        def _add_all_callbacks(self, path: bytes) -> None:
            self._add_callback(path)
            if self.is_recursive:
                for folder, names, _ in os.walk(path, onerror=self._miss):
                    for name in names:
                        below = os.path.join(folder, name)  # noqa: PTH118 - bytes
                        if not os.path.islink(below):  # noqa: PTH114 - bytes
                            self._add_callback(below)

        def _add_callback(self, path: bytes) -> None:
            try:
                fd, mask = self._inotify_fd, self.event_mask
                watch = fd.add_callback(path, mask, self._callback, self._id)
            except OSError:
                if path == self.path:
                    raise
                self._note_missed(path)
            else:
                self._hold(watch, path)

        def _hold(self, watch: WatchDescriptor, path: bytes) -> None:
            """Take a watch for that of a path, and no other for it: there is one folder there."""
            self._remove_watch_internally(watch)
            other = self._active_callbacks_by_path.get(path)
            if other is not None:
                self._remove_callbacks([other])
            self._active_callbacks_by_path[path] = watch
            self._active_callbacks_by_watch[watch] = path
            self._missed.discard(path)

        def _move_watches(self, move_src_path: bytes, move_dst_path: bytes) -> bool:
            start = len(move_src_path)
            moved = [
                (watch, path)
                for path, watch in self._active_callbacks_by_path.items()
                if _is_in(path, {move_src_path}, start)
            ]
            for watch, path in moved:
                self._hold(watch, move_dst_path + path[start:])
            return any(path == move_src_path for _, path in moved)

        def _remove_watch_internally(self, wd: WatchDescriptor) -> None:
            path = self._active_callbacks_by_watch.pop(wd, None)
            if path is not None and self._active_callbacks_by_path.get(path) == wd:
                del self._active_callbacks_by_path[path]

        def _miss(self, error: OSError) -> None:
            if error.filename is not None:
                self._note_missed(os.fsencode(error.filename))

        def _note_missed(self, path: bytes) -> None:
            if len(self._missed) < MOST_WAITING:
                self._missed.add(path)
            else:
                self._missed.clear()
                self._lose()

    class _Emitter(InotifyEmitter):
        """What ``InotifyEmitter`` is, with a group of watches of our own.

        watchdog logs an error when it comes to read and has been stopped meanwhile, which is no
        more than how threads end: as like as not whenever a listener is stopped.
        """

        def on_thread_start(self) -> None:
            watches = cast("_Watches", self._inotify_fd)
            mask = Mask(self.get_event_mask_from_filter() | InotifyConstants.IN_MOVE_SELF)
            path = os.fsencode(self.watch.path)
            group = _Group(watches, path, mask, recursive=self.watch.is_recursive)
            self._inotify = watches.group = group

        def queue_events(self, timeout: float, *, full_events: bool = False) -> None:
            del timeout  # a stop is told to whoever waits
            group = self._inotify
            event = None if group is None else group.read_event()
            if event is not None and self.should_keep_running():
                self.build_and_queue_event(event, full_events=full_events)

    class _InotifyObserver(BaseObserver):
        """What ``Observer`` is on Linux, with watches of our own."""

        def __init__(self, refuse: Callable[[OSError], None], lose: Callable[[], None]) -> None:
            self._own = _Watches(refuse, lose)
            self._own.start()
            super().__init__(_Emitter, inotify_fd=self._own)

        def on_thread_stop(self) -> None:
            super().on_thread_stop()
            self._own.stop()
            self._own.join()

    def _is_in(path: bytes, folders: set[bytes], shortest: int) -> bool:
        while len(path) >= shortest:
            if path in folders:
                return True
            path = path.rpartition(b"/")[0]
        return False


def _observer(refuse: Callable[[OSError], None], lose: Callable[[], None]) -> BaseObserver:
    if sys.platform != "linux":
        return Observer()
    return _InotifyObserver(refuse, lose)


def _note_loss(hints: Hints) -> None:
    hints.lost = True


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC:
            knob = f"fs.inotify.max_user_watches={_doubled('max_user_watches', 524_288)}"
        case errno.EMFILE:
            knob = f"fs.inotify.max_user_instances={_doubled('max_user_instances', 512)}"
        case _:
            return f"the system does not tell of changes here ({error.strerror or error})"
    return (
        "the system has no more inotify watches to give to this user; "
        f"raise the limit with `sysctl {knob}`"
    )


def _doubled(limit: str, least: int) -> int:
    try:
        now = int(Path(f"/proc/sys/fs/inotify/{limit}").read_text(encoding="ascii"))
    except (OSError, ValueError):
        now = 0
    return max(2 * now, least)
