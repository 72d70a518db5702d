"""Copies Hydrus' database while Hydrus keeps its hands off it.

    rules:
      - name: nightly backup
        on:
          schedule: {cron: "30 4 * * *"}
        do:
          - back_up_database: {database: ~/Hydrus/db, to: /mnt/backup/hydrus}

Hydrus locks its database when it is told to, and from then on does nothing for anybody until it
is told to unlock. A lock that is left on is a collection that nobody can use. So:

- That a window is about to open is in the ledger before Hydrus is locked. Whoever finds such a
  note and has not written it itself knows that a former hydrusd was killed in between, and
  unlocks before anything else; the step needs no connection for that, which a locked client
  would refuse.
- Whatever ends the copying, a full disk, a time that is up, hydrusd being stopped, unlocking
  comes next, and is tried until Hydrus has answered.
- A lock that somebody else holds is not ours to take off.

A copy gets its name only when all of it is on the disk and nothing was written to while it was
made. Only then do older copies make room. That it is about to get its name is in the ledger, too:
whoever finds the note and the whole copy makes no second one.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar, cast
from weakref import WeakSet

import anyio
from anyio import to_thread
from pydantic import Field

from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Duration,
    FolderPath,
    Foreseen,
    HydrusClient,
    HydrusUnavailable,
    Outcome,
    PermanentError,
    Permission,
    RequestRejected,
    TemporaryError,
    hookimpl,
    keep_receipts,
    sync_folder,
    system_path,
)

PIECE_BYTES = 16 * 1024 * 1024
SPARE_BYTES = 256 * 1024 * 1024
UNLOCK_TRIES = 30
UNLOCK_PAUSE_SECONDS = 2.0
PAUSE_SECONDS = 5.0

_NAME = "hydrus-%Y%m%dT%H%M%SZ"
_OURS = re.compile(r"hydrus-\d{8}T\d{6}Z")
_SQLITE = b"SQLite format 3\x00"

_announced: set[str] = set()
"""The windows that this process has announced and that it cannot have left open."""

_under_way: WeakSet[HydrusClient] = WeakSet()
"""The clients that a job is locking: another one must neither lock nor unlock them."""


class BackUpDatabase(Action):
    """Lock Hydrus' database, copy it, and unlock it again.

    Copied are Hydrus' database files (`client*.db`), not the files of the collection. Each copy
    is a folder `hydrus-20260131T043000Z` in `to`; the `keep` newest stay, and nothing else is
    ever deleted there. While Hydrus is locked nobody can use it, so copy to a fast disk.

    If hydrusd is killed meanwhile, it unlocks Hydrus as soon as it runs again.

    Later steps see `steps.back_up_database.folder` and `.bytes`.
    """

    action: ClassVar[str] = "back_up_database"
    time_limit_seconds: ClassVar[float | None] = None  # as long as there is to write
    no_undo: ClassVar[str] = "a backup changes nothing: delete its folder yourself"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_DATABASE})
    # A client that is still locked lets nobody connect: it has to be unlocked without.
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False

    database: FolderPath = Field(
        description="The folder with Hydrus' `client.db`, as this machine sees it."
    )
    to: FolderPath = Field(description="The folder to keep copies in.")
    keep: int = Field(default=7, ge=1, description="How many copies stay.")
    at_most: Duration = Field(
        default=1800.0, gt=0, description="How long Hydrus may be locked at most."
    )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be copied."""
        plans = []
        for call in calls:
            action = cast("BackUpDatabase", call.action)
            try:
                files = await to_thread.run_sync(action._looked)  # noqa: SLF001 - its own
            except (PermanentError, TemporaryError) as error:
                plans.append(Foreseen(str(error), changes=False))
                continue
            size = sum(path.stat().st_size for path in files)
            plans.append(Foreseen(f"would lock Hydrus and copy {len(files)} files, {size} bytes"))
        return plans

    async def run(self, call: Call[Action]) -> Outcome:
        """Announce the window; then open it, copy, and close it."""
        window = call.progress.get("window")
        if not isinstance(window, str):
            await to_thread.run_sync(self._looked)
            return _about_to_lock("about to lock Hydrus")
        part = self.to / f".{window}.part"
        if call.client in _under_way:
            return Outcome.later(
                "waits for another copy", delay_seconds=PAUSE_SECONDS, values=call.progress
            )
        if window not in _announced:
            await _unlock(call.client)
            if (noted := await to_thread.run_sync(self._noted, call, part)) is not None:
                return await self._done(*noted, "as a former try has done")
            await to_thread.run_sync(partial(shutil.rmtree, part, ignore_errors=True))
            return _about_to_lock("Hydrus was unlocked, which was left locked; once more")
        if not _is_connected(call.client):
            # Raised, this would have hydrusd wait longer and longer for a client that is there.
            return Outcome.later(
                "waits until Hydrus is connected", delay_seconds=PAUSE_SECONDS, values=call.progress
            )
        _under_way.add(call.client)
        try:
            files = await to_thread.run_sync(self._looked)
            await to_thread.run_sync(partial(part.mkdir, parents=True, exist_ok=True))
            seconds, size = await self._copied(call.client, window, files, part)
            folder = self.to / call.clock.now().strftime(_NAME)
            await to_thread.run_sync(_refuse_taken, folder)
            await keep_receipts({call: {"copied": str(folder), "bytes": size}})
            await to_thread.run_sync(_name, part, folder)
        except OSError as error:
            raise TemporaryError(f"the copy failed: {error.strerror or error}") from error
        finally:
            _under_way.discard(call.client)
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(partial(shutil.rmtree, part, ignore_errors=True))
        _announced.discard(window)
        return await self._done(folder, size, f"Hydrus was locked for {seconds:.0f} s")

    async def _done(self, folder: Path, size: int, how: str) -> Outcome:
        gone = await to_thread.run_sync(self._make_room)
        return Outcome.done(
            f"{size} bytes copied to {folder}; {how}",
            values={"folder": str(folder), "bytes": size},
            receipt={"copied": str(folder), "bytes": size, "deleted": gone},
        )

    def _noted(self, call: Call[Action], part: Path) -> tuple[Path, int] | None:
        """Give the copy that a former try has finished, and died before it could say so.

        While its passing folder is there it has not got its name.
        """
        noted = (call.earlier.receipt if call.earlier is not None else None) or {}
        folder, size = Path(str(noted.get("copied"))), noted.get("bytes")
        if part.exists() or not folder.is_dir() or not isinstance(size, int):
            return None
        there = sum(path.stat().st_size for path in folder.iterdir())
        return (folder, size) if there == size else None

    async def _copied(
        self, client: HydrusClient, window: str, files: Sequence[Path], part: Path
    ) -> tuple[float, int]:
        """Copy behind a lock; give for how long that was on, and the bytes copied."""
        began = time.monotonic()
        locked = True
        size = 0
        try:
            try:
                await client.lock_on()
            except HydrusUnavailable as error:
                locked = error.outcome_unknown  # else it is away, or another's lock is on
                raise
            except BaseException as error:
                locked = isinstance(error, anyio.get_cancelled_exc_class())
                raise
            with anyio.fail_after(self.at_most):
                for path in [*files, *_logs_of(files)]:
                    size += await _copy(path, part / path.name)
        except TimeoutError:
            raise PermanentError(
                f"not copied within {self.at_most:g} s (at_most): Hydrus was unlocked, the "
                "copy thrown away"
            ) from None
        finally:
            if locked:
                _announced.discard(window)  # from here on it may be open
                with anyio.CancelScope(shield=True):
                    await _unlock(client)
                _announced.add(window)
        return time.monotonic() - began, size

    def _looked(self) -> list[Path]:
        """Give the database's files. Raises PermanentError or TemporaryError."""
        try:
            files = sorted(self.database.glob("client*.db"))
            needed = sum(path.stat().st_size for path in files)
            # A plan looks, too: the folder is made only when there is something to put into it.
            there = next(folder for folder in (self.to, *self.to.parents) if folder.exists())
            free = shutil.disk_usage(there).free
        except OSError as error:
            raise TemporaryError(f"{error.filename}: {error.strerror}") from error
        if self.database / "client.db" not in files:
            raise PermanentError(f"there is no client.db in {self.database}")
        if free < needed + SPARE_BYTES:
            raise TemporaryError(f"there is no room for {needed} bytes in {self.to}")
        return files

    def _make_room(self) -> list[str]:
        """Delete the oldest copies beyond those that stay."""
        ours = sorted(p for p in self.to.iterdir() if _OURS.fullmatch(p.name) and p.is_dir())
        gone = ours[: -self.keep]
        for folder in gone:
            shutil.rmtree(system_path(str(folder)), ignore_errors=True)
        return [folder.name for folder in gone]


def _about_to_lock(detail: str) -> Outcome:
    window = uuid.uuid4().hex
    _announced.add(window)
    return Outcome.later(detail, delay_seconds=0, values={"window": window})


def _is_connected(client: HydrusClient) -> bool:
    try:
        return client.info.api_version > 0
    except HydrusUnavailable:
        return False


async def _unlock(client: HydrusClient) -> None:
    """Unlock, trying for a minute. Then HydrusUnavailable has the step called until it works."""
    for number in range(UNLOCK_TRIES):
        try:
            await client.lock_off()
        except RequestRejected:
            return  # it is not locked: it was restarted, or never got so far
        except HydrusUnavailable:
            if number == UNLOCK_TRIES - 1:
                raise
            await anyio.sleep(UNLOCK_PAUSE_SECONDS)
        else:
            return


def _logs_of(files: Sequence[Path]) -> list[Path]:
    """Give what SQLite has not written into its files yet: nothing, as a rule."""
    logs = [path.with_name(f"{path.name}-wal") for path in files]
    return [path for path in logs if path.is_file() and path.stat().st_size]


@dataclass(frozen=True, slots=True)
class _State:
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> _State:
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


async def _copy(path: Path, target: Path) -> int:
    """Copy a file piece by piece, so that it can be stopped; give its size."""
    before = await to_thread.run_sync(_State.of, path)
    copied = 0
    with path.open("rb") as source, target.open("xb") as copy:
        while copied <= before.size and (size := await to_thread.run_sync(_piece, source, copy)):
            copied += size
        await to_thread.run_sync(_sync, copy)
    if path.suffix == ".db" and await to_thread.run_sync(_start, path) != _SQLITE:
        raise PermanentError(f"{path} is no database")
    if await to_thread.run_sync(_State.of, path) != before or copied != before.size:
        raise PermanentError(
            f"{path} was written to while it was copied: is this the database of the client "
            "that was locked?"
        )
    return before.size


def _piece(source: BinaryIO, copy: BinaryIO) -> int:
    piece = source.read(PIECE_BYTES)
    copy.write(piece)
    return len(piece)


def _sync(copy: BinaryIO) -> None:
    copy.flush()
    os.fsync(copy.fileno())


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_SQLITE))


def _refuse_taken(folder: Path) -> None:
    """Raise OSError where a name is taken."""
    if folder.exists():
        raise FileExistsError(0, f"{folder} is there already")


def _name(part: Path, folder: Path) -> None:
    """Give a whole copy its name. Raises OSError where that is taken."""
    _refuse_taken(folder)
    sync_folder(part)
    part.rename(folder)
    sync_folder(folder.parent)


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(BackUpDatabase)
