"""The trigger that notices files in a folder.

Two tasks share the work. The *scanner* walks the folder now and then: it is what makes
sure that nothing is missed. The *settler* takes in hints and what the scanner found, and
hands over each file once it has been left alone for long enough. It sleeps until the
very moment the next file is due, so an idle folder costs nothing but its scans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Self, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from hydrusd.builtin.sidecars import FORMATS
from hydrusd.builtin.triggers._globs import Selection, problem_of
from hydrusd.builtin.triggers._looking import FolderAway, Looker
from hydrusd.builtin.triggers._settling import Settling
from hydrusd.builtin.triggers._sidecars import InThread, SidecarNames, Units, names_of
from hydrusd.plugin import (
    Duration,
    Event,
    FileSource,
    FolderPath,
    Trigger,
    TriggerContext,
    first_of,
)

BATCH = 500
"""How many files are asked about and handed over at once."""
MOST_SETTLING = 20_000
"""How many files may wait at once; the scanner pauses there. Bounds memory."""
MOST_FOLDERS = 1_000
"""How many changed folders are walked one by one before all are, in one scan."""
MOST_TOLD = 10
"""How many unreadable paths are named before the others are only counted."""
AWAY_SECONDS = 5.0
UNRELIABLE_SECONDS = 30.0
"""How often to scan where hints are missing or proved to be incomplete."""


T = TypeVar("T")


def _usable(pattern: str) -> str:
    if problem := problem_of(pattern):
        raise ValueError(problem)
    return pattern


Glob = Annotated[str, AfterValidator(_usable)]


class WatchFolder(Trigger):
    """Notice each new file in a folder, once, as soon as it is complete.

    It makes no difference how a file comes: written there, renamed after a download,
    moved in alone or with its folder, or there already when hydrusd starts. It is taken
    when it has not changed for `settle`; an empty file must stay so for ten seconds at
    least. A file that changes later is noticed again, as what it is then.

    The system's hints make this quick, a scan every `scan_every` makes it sure: it finds
    what the system did not tell (network folders, bursts of many files). Where the system
    gives no hints, or the scan shows that some are missing, it scans every 30 seconds.

    Never noticed: symbolic links and what they lead to, hidden files and folders (unless
    `hidden`), and names of unfinished or passing files, such as `*.part`, `*.crdownload`,
    `*.!qB`, `*.aria2`, `*.tmp`, `*~` or `.~lock*`.

    Patterns do not tell upper from lower case. One without `/` is matched with the name,
    in whatever folder; one with `/` with the path below `path`, where `**` stands for any
    number of folders. `exclude` passes over whole folders too.

    Conditions and templates see `file.path`, `file.name`, `file.stem`, `file.suffix`,
    `file.parent.name`, `file.parent.path`, `file.root`, `file.relative`, `file.size`.
    """

    trigger: ClassVar[str] = "watch_folder"

    path: FolderPath = Field(description="The folder to watch.")
    include: tuple[Glob, ...] = Field(
        default=("*",), min_length=1, description="Patterns; a file must match one of them."
    )
    exclude: tuple[Glob, ...] = Field(
        default=(), description="Patterns; files and folders that match one are passed over."
    )
    recursive: bool = Field(default=True, description="Whether to look into folders below, too.")
    settle: Duration = Field(
        default=2.0,
        gt=0,
        description="How long a file must be left alone before it is taken.",
        json_schema_extra={"default": "2s"},
    )
    scan_every: Duration = Field(
        default=300.0,
        ge=1,
        description="How often to look through the whole folder for what no hint told.",
        json_schema_extra={"default": "5m"},
    )
    hidden: bool = Field(
        default=False,
        description="Whether to take hidden files, too: a leading dot, or Windows' attribute.",
    )

    sidecars: tuple[str, ...] = Field(
        default=(),
        description=(
            "The formats of the small files beside each file that say something about it: "
            "`txt`, `txt_commas`, `urls`, `notes`, `json`. They are noticed with their file only."
        ),
    )
    sidecar_wait: Duration = Field(
        default=10.0,
        description="How long a file that has settled waits for a sidecar that is not there yet.",
        json_schema_extra={"default": "10s"},
    )
    folder_sidecars: tuple[str, ...] = Field(
        default=(),
        description="Names of files, as `tags.txt`, that speak of all files in their folder.",
    )

    _names: SidecarNames | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _finds_formats(self, info: ValidationInfo) -> Self:
        known = (info.context or {}).get("sidecar_formats") or {f.name: f for f in FORMATS}
        if self.sidecars or self.folder_sidecars:
            self._names = names_of(self.sidecars, self.folder_sidecars, known)
        elif "sidecar_wait" in self.model_fields_set:
            raise ValueError("'sidecar_wait' means something with 'sidecars' only")
        return self

    @property
    def looks_for_sidecars(self) -> bool:
        """Say whether any are named."""
        return self._names is not None

    def overlooks(self, path: Path) -> str | None:
        """Say why a file is not noticed."""
        # The folder may be named by another way than the file, through a link or with `..`.
        for file, root in ((path, self.path), (path.resolve(), self.path.resolve())):
            if file.is_relative_to(root) and file != root:
                if self._names is not None and self._names.is_sidecar(file.name):
                    return "it is a sidecar, which is noticed with its file only"
                return self.looker().objection(file.relative_to(root).as_posix())
        return None

    def looker(self) -> Looker:
        """Give what looks into the folder."""
        sidecars = self._names.patterns if self._names is not None else ()
        selection = Selection((*self.include, *sidecars), self.exclude, hidden=self.hidden)
        return Looker(self.path, selection, recursive=self.recursive)

    def units(self, context: TriggerContext, in_thread: InThread) -> Units | None:
        """Give what brings files and their sidecars together, if there are to be any."""
        if self._names is None:
            return None
        return Units(
            context,
            self.looker(),
            self._names,
            in_thread,
            settle_seconds=self.settle,
            wait_seconds=self.sidecar_wait,
        )

    async def run(self, context: TriggerContext) -> None:
        """Notice files until cancelled."""
        await _Watch(self, context).run()


class _Watch:
    """One run of the trigger. Forgets everything when it ends."""

    def __init__(self, trigger: WatchFolder, context: TriggerContext) -> None:
        # Imported late: watchdog costs more start-up time than the rest of this trigger.
        from hydrusd.builtin.triggers._hints import Listener

        self._context = context
        self._clock = context.clock
        self._root = trigger.path
        self._scan_every = trigger.scan_every
        self._looker = trigger.looker()
        self._settling = Settling(trigger.settle)
        self._listener = Listener(trigger.path, recursive=trigger.recursive, wake=self._stir)
        # A folder that hangs (a dead network mount) must not use up the threads of others.
        self._limiter = CapacityLimiter(2)
        self._units = trigger.units(context, self._in_thread)
        self._stirred = anyio.Event()  # hints wait, or the scanner found something to settle
        self._called = anyio.Event()  # the settler wants something walked
        self._room = anyio.Event()  # the settler is done with some files
        self._scan_wanted = False
        self._folders: set[str] = set()
        self._identity: tuple[int, int] | None = None
        self._away: str | None = None  # why nothing can be noticed
        self._deaf: str | None = None  # why no hints come
        self._unreadable: set[str] = set()
        self._unhinted = 0  # files found since the last scan that a hint should have told of

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._scan_forever, name=f"scanner of {self._root}")
                tasks.start_soon(self._settle_forever, name=f"settler of {self._root}")
        finally:
            with anyio.CancelScope(shield=True):
                await self._listener.stop()

    def _stir(self) -> None:
        self._stirred.set()

    # --- the scanner ---------------------------------------------------------------------

    async def _scan_forever(self) -> None:
        while True:
            began = self._clock.monotonic()
            pause = await self._reconcile()
            ended = self._clock.monotonic()
            # Scanning takes at most half of the time, and a tenth where nothing called for it.
            took = ended - began
            soonest, latest = ended + took, ended + max(pause, 9 * took)
            while True:
                self._called = anyio.Event()
                folders, self._folders = self._folders, set()
                for folder in folders:
                    self._tell_unreadable(await self._walk(folder, hinted=True))
                left = (soonest if self._scan_wanted else latest) - self._clock.monotonic()
                if left <= 0:
                    break
                await first_of(self._called, self._clock, left)

    async def _reconcile(self) -> float:
        """Look through the whole folder; give the seconds until the next time."""
        excused, self._scan_wanted = self._scan_wanted, False
        try:
            identity = await self._in_thread(self._looker.identity)
        except FolderAway as away:
            if self._away != str(away):
                self._away = str(away)
                self._context.waiting(self._away)
            return AWAY_SECONDS
        self._away = None
        # Listen before looking, so that no moment is left in which a file can slip in.
        excused |= not self._listener.listening or identity != self._identity
        listening = await self._listen(identity)
        reliable = listening and not self._unhinted
        self._unhinted = 0
        self._folders.clear()
        unreadable = await self._walk("", hinted=excused or not listening)
        self._tell_unreadable(unreadable, of_all=True)
        self._context.working(f"watching {self._root}")
        return self._scan_every if reliable else min(self._scan_every, UNRELIABLE_SECONDS)

    async def _listen(self, identity: tuple[int, int]) -> bool:
        """See to it that hints come, from the folder that is there now. False if none do."""
        from hydrusd.builtin.triggers._hints import HintsUnavailable

        if self._listener.listening and identity == self._identity:
            return True
        try:
            await self._listener.start()
        except HintsUnavailable as reason:
            if self._deaf != str(reason):
                self._deaf = str(reason)
                self._context.warn(
                    f"{reason}; until then {self._root} is scanned "
                    f"every {min(self._scan_every, UNRELIABLE_SECONDS):g} seconds"
                )
            return False
        self._deaf, self._identity = None, identity
        return True

    async def _walk(self, folder: str, *, hinted: bool) -> list[str]:
        """Pass on what is in a folder and below; give what could not be read."""
        unreadable: list[str] = []
        walk = self._looker.walk(folder)
        while (part := await self._in_thread(lambda: next(walk, None))) is not None:
            unreadable += part.unreadable
            for start in range(0, len(part.sources), BATCH):
                now = self._clock.monotonic()
                # Asked before anything waits: a known file costs this question, no second look.
                new = await self._unseen(part.sources[start : start + BATCH])
                for source in new.values():
                    self._settling.saw(source, now, hinted=hinted)
                if new:
                    self._stir()
                while self._waiting >= MOST_SETTLING:
                    self._room = anyio.Event()
                    await self._room.wait()
        return unreadable

    def _tell_unreadable(self, paths: Sequence[str], *, of_all: bool = False) -> None:
        new = sorted(set(paths) - self._unreadable)
        self._unreadable = set(paths) | (set() if of_all else self._unreadable)
        for path in new[:MOST_TOLD]:
            self._context.warn(f"{path} cannot be read; what is there is not noticed")
        if len(new) > MOST_TOLD:
            self._context.warn(f"{len(new) - MOST_TOLD} more in {self._root} cannot be read")

    # --- the settler ---------------------------------------------------------------------

    @property
    def _waiting(self) -> int:
        return len(self._settling) + (self._units.waiting if self._units is not None else 0)

    async def _settle_forever(self) -> None:
        while True:
            dues = [self._settling.next_due]
            dues += [self._units.next_due] if self._units is not None else []
            due = min((each for each in dues if each is not None), default=None)
            left = None if due is None else due - self._clock.monotonic()
            await first_of(self._stirred, self._clock, left)
            self._stirred = anyio.Event()
            await self._take_hints()
            await self._take_due()

    async def _take_hints(self) -> None:
        hints = self._listener.take()
        self._folders |= hints.folders
        crowded = self._waiting + len(hints.files) > 2 * MOST_SETTLING
        if hints.lost or crowded or len(self._folders) > MOST_FOLDERS:
            self._scan_wanted = True
            self._folders.clear()
        if self._scan_wanted or self._folders:
            self._called.set()
        if hints.files and not crowded:
            sources = await self._in_thread(lambda: self._looker.look_at(hints.files))
            now = self._clock.monotonic()
            for source in sources:
                self._settling.saw(source, now, hinted=True)

    async def _take_due(self) -> None:
        waited = self._settling.due(self._clock.monotonic(), BATCH)
        if not waited:
            await self._hand_over_units([])
            return
        relatives = [path.relative_to(self._root).as_posix() for path in waited]
        looks = await self._in_thread(lambda: self._looker.look_at(relatives))
        settled = self._settling.settle(waited, looks, self._clock.monotonic())
        self._room.set()
        if self._units is not None:
            await self._hand_over_units(settled)
            return
        new = await self._unseen([source for source, _ in settled])
        if new:
            await self._context.emit(
                [Event(key, {"file": source.to_data()}) for key, source in new.items()]
            )
        self._unhinted += sum(not hinted and source.key in new for source, hinted in settled)

    async def _hand_over_units(self, settled: Sequence[tuple[FileSource, bool]]) -> None:
        """Have files and sidecars wait for each other, and hand over what is complete."""
        if self._units is not None:
            await self._units.take(settled)
            self._unhinted += await self._units.hand_over()
            self._room.set()

    # --- both ----------------------------------------------------------------------------

    async def _unseen(self, sources: Sequence[FileSource]) -> dict[str, FileSource]:
        """Give those that are news to a rule, by their keys."""
        by_key = {source.key: source for source in sources}
        unseen = await self._context.unseen(list(by_key)) if by_key else set()
        return {key: source for key, source in by_key.items() if key in unseen}

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # These only look, so a cancelled one need not be waited for: it may never return.
        return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
