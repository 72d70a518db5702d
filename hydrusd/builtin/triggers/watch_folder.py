"""The trigger that notices files in a folder.

Two tasks share the work. The *scanner* walks the folder now and then: it is what makes
sure that nothing is missed. The *settler* takes in hints and what the scanner found, and
hands over each file once it has been left alone for long enough. It sleeps until the
very moment the next file is due, so an idle folder costs nothing but its scans and a
look, once a minute, whether it is still that folder and whether the machine was asleep.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from hydrusd.builtin.sidecars import FORMATS
from hydrusd.builtin.triggers._asking import Asking
from hydrusd.builtin.triggers._globs import Selection, problem_of, samples_of
from hydrusd.builtin.triggers._looking import FolderAway, Looker, Survey, silent
from hydrusd.builtin.triggers._methods import Method, doubt_about, spoken
from hydrusd.builtin.triggers._settling import EMPTY_SECONDS, Settled, Settling
from hydrusd.builtin.triggers._sidecars import InThread, SidecarNames, Units, names_of
from hydrusd.plugin import (
    FILE_NAMES,
    Doubt,
    Duration,
    Event,
    Fault,
    FileGroup,
    FileSource,
    FolderIdentity,
    FolderPath,
    Prospect,
    Trigger,
    TriggerContext,
    first_of,
    mount_of,
)

if TYPE_CHECKING:
    from hydrusd.builtin.triggers._hints import Listener

BATCH = 2_048
"""How many files are asked about and handed over at once…"""
FIRST_BATCH = 256
"""… and how many at first: the sooner those behind have something to do, the better."""
MOST_SETTLING = 50_000
"""How many files may wait at once; the scanner pauses there. Bounds memory, of which each takes
half a kilobyte, and the pace: no more than so many are taken in each `settle`."""
MOST_FOLDERS = 1_000
"""How many changed folders are walked one by one before all are, in one scan."""
MOST_TOLD = 10
"""How many unreadable paths are named before the others are only counted."""
AWAY_SECONDS = 5.0
SCAN_SECONDS = 300.0
UNRELIABLE_SECONDS = 30.0
"""How often to scan where hints are missing or proved to be incomplete."""
LOOK_SECONDS = 60.0
"""How often to see whether the folder was replaced, or the machine asleep."""
ASLEEP_SECONDS = 30.0
"""What a clock may be off, or a timer late, before the machine is taken to have been asleep."""
TEST_AGAIN_SECONDS = 3600.0
"""How soon to see whether hints that were missing come by now."""
FOLDER = "folder"
"""The name under which is remembered which folder was watched."""
LOOK_TIMEOUT_SECONDS = 30.0
"""How long a folder may take to answer when it is only looked at, for `check --live`."""
MOST_LOOKED_AT = 100_000
"""How many files and folders such a look counts at most."""
SILENT_SECONDS = 60.0
"""How long a folder may leave one question unanswered, in real time, before that is told."""
RAREST_SECONDS = 3600.0
"""How long a scan may be put off: by its own length, or because hints prove complete."""


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
    what the system did not tell (bursts of many files, what happened while hydrusd was off).
    Where hints do not come, or not all of them (network folders), it scans every 30 seconds.
    A large folder with complete hints is scanned less often: half a thousandth of the time, once
    an hour at least. `scan_every` says otherwise. `method: auto` finds out by itself whether hints
    come; `native` wants them wherever the system gives some, `poll` wants none. `hydrusd
    status` tells which it is, and why.

    An unplugged disk is waited for, also where it leaves an empty folder behind.

    Never noticed: symbolic links and what they lead to (unless `symlinks: follow`), hidden files
    and folders (unless `hidden`), names of unfinished or passing files, such as `*.part`,
    `*.crdownload`, `*.!qB`, `*.tmp`, `*~` or `.~lock*`, and what a system keeps for itself, such
    as `@eaDir`, `#recycle` or `._*`. A file with `.aria2` (or the like) beside it waits until that
    is gone.

    Patterns do not tell upper from lower case. One without `/` is matched with the name,
    in whatever folder; one with `/` with the path below `path`, where `**` stands for any
    number of folders. `exclude` passes over whole folders too.

    Conditions and templates see `file.path`, `file.name`, `file.stem`, `file.suffix`,
    `file.parent.name`, `file.parent.path`, `file.root`, `file.relative`, `file.size`.
    """

    trigger: ClassVar[str] = "watch_folder"
    in_portions: ClassVar[bool] = True
    gives: ClassVar[Mapping[str, Any] | None] = {"file": FILE_NAMES, "sidecar": None}

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
    scan_every: Duration | None = Field(
        default=None,
        ge=1,
        description="How often to look through the whole folder for what no hint told. "
        "By default every 5 minutes, and every 30 seconds where hints are missing.",
    )
    method: Method = Field(
        default="auto",
        description="How to watch: by the system's hints (`native`), by scans alone (`poll`), or "
        "whichever the folder's file system and a test show to be right (`auto`).",
    )
    hidden: bool = Field(
        default=False,
        description="Whether to take hidden files, too: a leading dot, or Windows' attribute.",
    )

    symlinks: Literal["skip", "follow"] = Field(
        default="skip",
        description="What to do with symbolic links: pass them over, or take the files and go into "
        "the folders that they lead to. No step may dispose of files then.",
    )

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Doubt patterns that cannot match any file here."""
        del rules
        looker = self.looker()
        for position, pattern in enumerate(self.include):
            path = ("include", position)
            if pattern.startswith(("~/", str(self.path))) or Path(pattern).drive:
                yield Fault(
                    f"{pattern!r} matches nothing: patterns begin below `path`",
                    "write it without the folder, as in *.jpg",
                    path,
                    "warning",
                )
            elif (samples := samples_of(pattern)) and all(map(looker.objection_to_name, samples)):
                why = looker.objection_to_name(samples[0])
                yield Fault(f"{pattern!r} matches nothing: {why}", "", path, "warning")

    @property
    def folder(self) -> Path:
        """Give the watched folder."""
        return self.path

    def samples(self) -> Sequence[Path]:
        """Give a path for each pattern of `include`."""
        looker = self.looker()
        made = (samples_of(pattern) for pattern in self.include)
        found = (next((s for s in each if not looker.objection_to_name(s)), None) for each in made)
        return [self.path / sample for sample in found if sample is not None]

    async def look(self) -> Iterable[Fault]:
        """See whether the folder can be read, and how it would be watched.

        Whether hints come is seen as the daemon sees it: a hidden folder is made and removed.
        """
        from hydrusd.builtin.triggers._hints import Listener

        looker, limiter = self.looker(), CapacityLimiter(2)
        path = ("path",)
        with anyio.move_on_after(LOOK_TIMEOUT_SECONDS):
            try:
                await to_thread.run_sync(looker.identity, limiter=limiter, abandon_on_cancel=True)
                seen = await to_thread.run_sync(
                    _seen, looker, limiter=limiter, abandon_on_cancel=True
                )
            except FolderAway as away:
                return [Fault(str(away), path=path)]
            listener = Listener(self.path, recursive=self.recursive, wake=lambda: None)
            try:
                how = await choose(self.method, looker, listener, limiter, now=0.0)
            finally:
                with anyio.CancelScope(shield=True):
                    await listener.stop()
            return list(_told(self, seen, how))
        return [Fault(f"{self.path} does not answer", "is its disk or server there?", path)]

    @property
    def leads_elsewhere(self) -> bool:
        """Say whether it notices files that are not in its folder."""
        return self.symlinks == "follow"

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

    def for_test(self) -> WatchFolder:
        """Look by scans alone: hints come when the system likes."""
        return self.model_copy(update={"method": "poll", "scan_every": None})

    @property
    def patience(self) -> float:
        """Give what files are left alone for, empty ones longest, and wait for sidecars."""
        waits = self.sidecar_wait if self._names is not None else 0.0
        return UNRELIABLE_SECONDS + max(self.settle, EMPTY_SECONDS) + waits

    def looker(self) -> Looker:
        """Give what looks into the folder."""
        sidecars = self._names.patterns if self._names is not None else ()
        selection = Selection((*self.include, *sidecars), self.exclude, hidden=self.hidden)
        follows = self.symlinks == "follow"
        return Looker(self.path, selection, recursive=self.recursive, follows=follows)

    async def preview(self, context: TriggerContext) -> Prospect:
        """Look through the folder once; what is there is taken to be complete."""
        looker = self.looker()
        asked = Asking(looker)
        try:
            identity = await asked(looker.identity)
            before = FolderIdentity.from_text(await context.recall(FOLDER))
            if before is not None and before.was_unmounted(identity):
                return Prospect(detail=f"{before.mount} is not mounted: the files are away")
            walk = looker.walk()
            there, new, unreadable = 0, dict[str, FileSource](), list[str]()
            while (found := await asked(lambda: next(walk, None))) is not None:
                unreadable += found.unreadable
                sources = {source.key: source for source in found.sources}
                there += len(sources)
                unseen = await context.unseen(list(sources)) if sources else set()
                new |= {key: source for key, source in sources.items() if key in unseen}
            taken, incomplete = await asked(lambda: _as_noticed(looker, list(new.values())))
            for source in taken:
                source.root_identity = identity
            units = self.units(context, looker, asked)
            events = (
                await units.foresee(taken)
                if units is not None
                else [Event(source.key, {"file": source.to_data()}) for source in taken]
            )
        except FolderAway as away:
            return Prospect(detail=str(away))
        counts = (
            (there - len(new), "known already"),
            (incomplete, "not complete yet"),
            (len(unreadable), "that cannot be read"),
        )
        words = [f"{there:,} files there", *(f"{n:,} {what}" for n, what in counts if n)]
        return Prospect(events, ", ".join(words))

    def units(self, context: TriggerContext, looker: Looker, in_thread: InThread) -> Units | None:
        """Give what brings files and their sidecars together, if there are to be any."""
        if self._names is None:
            return None
        return Units(
            context,
            looker,
            self._names,
            in_thread,
            settle_seconds=self.settle,
            wait_seconds=self.sidecar_wait,
        )

    async def run(self, context: TriggerContext) -> None:
        """Notice files until cancelled."""
        await _Watch(self, context).run()


def _as_noticed(looker: Looker, sources: Sequence[FileSource]) -> tuple[list[FileSource], int]:
    """Give the files as they would be handed over, and how many are not complete."""
    relatives = [source.path.relative_to(looker.root).as_posix() for source in sources]
    found = looker.look_at(relatives)
    unfinished = looker.unfinished_among(found)
    taken = [source for source in found if source.text not in unfinished]
    return sorted(taken, key=lambda source: source.text), len(found) - len(taken)


@dataclass(frozen=True, slots=True)
class _How:
    """How a folder is watched at present. ``complete``: the hints leave nothing to be found."""

    why: str
    listens: bool = False
    complete: bool = False
    failed: bool = False  # hints were wanted, and the system does not give them
    again_at: float | None = None  # when to try anew (monotonic)


async def choose(
    method: Method, looker: Looker, listener: Listener, limiter: CapacityLimiter, *, now: float
) -> _How:
    """Find out how a folder is to be watched. Listens already, where that is by hints."""
    from hydrusd.builtin.triggers._hints import Heard, HintsUnavailable

    if method == "poll":
        return _How("as `method: poll` says")
    try:
        mount = await to_thread.run_sync(
            mount_of, looker.root, limiter=limiter, abandon_on_cancel=True
        )
    except OSError as error:
        return _How(f"its file system cannot be told ({error.strerror})", again_at=now)
    doubt = doubt_about(mount)
    if doubt and method == "auto":
        return _How(doubt)
    try:
        await listener.start()
    except HintsUnavailable as reason:
        return _How(str(reason), failed=True, again_at=now)
    if refused := listener.refused:
        why = f"not from all folders: {refused}"
        return _How(why, listens=True, failed=True, again_at=now + TEST_AGAIN_SECONDS)
    if doubt:
        return _How(f"as `method: native` says, though {doubt}", listens=True)
    if looker.follows:
        return _How("nothing is told of what symbolic links lead to", listens=True)
    if method == "native":
        return _How("as `method: native` says", listens=True, complete=True)
    kind = mount.kind or "a local disk"
    match await listener.hears():
        case Heard.YES:
            return _How(
                f"it is on {kind}, and a test showed that hints come",
                listens=True,
                complete=True,
            )
        case Heard.UNTRIED:
            return _How(
                f"it is on {kind}, where nothing can be written to test it",
                listens=True,
                complete=True,
            )
        case Heard.NO:
            await listener.stop()
            return _How(
                f"the system did not tell of a change that was made to test it (on {kind})",
                failed=True,
                again_at=now + TEST_AGAIN_SECONDS,
            )


@dataclass(slots=True)
class _Seen:
    """What a quick look through a folder showed."""

    wanted: int = 0
    entries: int = 0
    unreadable: list[str] = field(default_factory=list)


def _seen(looker: Looker) -> _Seen:
    seen = _Seen()
    for part in looker.walk():
        seen.entries += part.entries
        seen.wanted += sum(len(listing.files) for listing in part.listings)
        seen.unreadable += part.unreadable
        if seen.entries >= MOST_LOOKED_AT:
            break
    return seen


def _told(trigger: WatchFolder, seen: _Seen, how: _How) -> Iterable[Fault]:
    """Say what a look at a folder has shown."""
    for path in seen.unreadable[:MOST_TOLD]:
        hint = "allow the user that runs hydrusd to read it, or name it in `exclude`"
        yield Fault(f"{path} cannot be read", hint, ("path",), "warning")
    if seen.entries and not seen.wanted and trigger.include != ("*",):
        message = "`include` matches nothing of what is there now"
        yield Fault(message, "", ("include",), "warning")
    how_often = "every 5 minutes" if how.complete else f"every {spoken(UNRELIABLE_SECONDS)}"
    by = (
        f"by the system's hints, and scanned {how_often}"
        if how.listens
        else f"by scans {how_often}"
    )
    if trigger.scan_every is not None:
        by = by.replace(how_often, f"every {spoken(trigger.scan_every)}")
    more = " or more" if seen.entries >= MOST_LOOKED_AT else ""
    there = f"{seen.wanted:,}{more} file{'' if seen.wanted == 1 else 's'} there"
    message = f"{trigger.path} is watched {by}: {how.why}; {there}"
    yield Fault(message, "", ("path",), "warning" if how.failed else "note")


def _rarely(seconds: float, took: float) -> float:
    """Give a pause of so many seconds, or a longer one after a scan that took a while: scans take
    a tenth of the time at most.
    """
    return max(seconds, min(9 * took, RAREST_SECONDS))


class _Watch:
    """One run of the trigger. Forgets everything when it ends."""

    def __init__(self, trigger: WatchFolder, context: TriggerContext) -> None:
        # Imported late: watchdog costs more start-up time than the rest of this trigger.
        from hydrusd.builtin.triggers._hints import Listener

        self._context = context
        self._clock = context.clock
        self._root = trigger.path
        self._scan_every = trigger.scan_every
        self._method = trigger.method
        self._looker = trigger.looker()
        self._settling = Settling(trigger.settle)
        self._listener = Listener(trigger.path, recursive=trigger.recursive, wake=self._stir)
        # A folder that hangs (a dead network mount) must not use up the threads of others.
        self._limiter = CapacityLimiter(2)
        self._units = trigger.units(context, self._looker, self._in_thread)
        self._stirred = anyio.Event()  # hints wait, or the scanner found something to settle
        self._called = anyio.Event()  # the settler wants something walked
        self._room = anyio.Event()  # the settler is done with some files
        self._scan_wanted = False
        self._folders: set[str] = set()
        self._identity: FolderIdentity | None = None  # of the folder that is watched now
        self._remembered: FolderIdentity | None = None  # of the one before, perhaps long ago
        self._how = _How("")
        self._away: str | None = None  # why nothing can be noticed
        self._silence = str(silent(self._root))
        self._working = ""  # what was told last while all was well
        self._deaf: str | None = None  # why not all hints come, if it was told
        self._unreadable: set[str] = set()
        self._found = 0  # in the scan that goes on, or the last one
        self._scanning = False
        self._unhinted = 0  # files found since the last scan that a hint should have told of
        self._portion = FIRST_BATCH
        self._in_hand = 0  # files that are settled, and not yet in the ledger

    async def run(self) -> None:
        try:
            send, receive = anyio.create_memory_object_stream[list[Settled]]()
            async with send, receive, anyio.create_task_group() as tasks:
                tasks.start_soon(self._scan_forever, name=f"scanner of {self._root}")
                tasks.start_soon(self._settle_forever, send, name=f"settler of {self._root}")
                tasks.start_soon(self._hand_over_forever, receive, name=f"bearer of {self._root}")
        finally:
            with anyio.CancelScope(shield=True):
                await self._listener.stop()

    def _stir(self) -> None:
        self._stirred.set()

    # --- the scanner ---------------------------------------------------------------------

    async def _scan_forever(self) -> None:
        self._remembered = FolderIdentity.from_text(await self._context.recall(FOLDER))
        while True:
            began = self._clock.monotonic()
            pause = await self._reconcile()
            ended = self._clock.monotonic()
            # Scanning takes at most half of the time, and a tenth where nothing called for it.
            # A machine that was asleep meanwhile makes a scan look like one of hours.
            soonest, latest = ended + min(ended - began, RAREST_SECONDS), ended + pause
            while True:
                self._called = anyio.Event()
                await self._walk_hinted()
                left = (soonest if self._scan_wanted else latest) - self._clock.monotonic()
                if left <= 0 or await self._rest(left):
                    break

    async def _rest(self, seconds: float) -> bool:
        """Wait until called, a while at most; say whether something calls for a scan."""
        asked = min(seconds, LOOK_SECONDS)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        await first_of(self._called, self._clock, asked)
        passed = self._clock.monotonic() - monotonic
        # Asleep, a machine's monotonic clock stands still, or it goes on and nobody is woken.
        unseen = (self._clock.now() - now).total_seconds() - passed
        if max(unseen, passed - asked) >= ASLEEP_SECONDS:
            self._scan_wanted = True  # as if it had been asked for: what is found is no surprise
            return True
        if passed < asked or self._identity is None:
            return False
        try:
            return await self._in_thread(self._looker.identity) != self._identity
        except FolderAway:
            return True

    async def _reconcile(self) -> float:
        """Look through the whole folder; give the seconds until the next time."""
        excused, self._scan_wanted = self._scan_wanted, False
        try:
            identity = await self._in_thread(self._looker.identity)
            await self._wait_for_disk(identity)
        except FolderAway as away:
            self._identity = None
            self._tell_away(away)
            return AWAY_SECONDS
        # Listen before looking, so that no moment is left in which a file can slip in.
        excused |= not self._listener.listening or identity != self._identity
        await self._listen(identity)
        surprised, self._unhinted = self._unhinted > 0, 0
        self._folders.clear()
        began = self._clock.monotonic()
        self._found, self._scanning = 0, True
        try:
            unreadable, groups = await self._walk("", hinted=excused or not self._how.complete)
        except FolderAway as away:
            self._tell_away(away)
            return _rarely(AWAY_SECONDS, self._clock.monotonic() - began)
        finally:
            self._scanning = False
            self._tell_counts()
        self._away = None
        self._tell_unreadable(unreadable, of_all=True)
        await self._context.forget_gone(groups)
        pause = self._pause(self._clock.monotonic() - began, surprised=surprised)
        self._working = self._told(pause)
        self._context.working(self._working)
        return pause

    def _tell_away(self, away: FolderAway) -> None:
        if self._away != str(away):
            self._away = str(away)
            self._context.waiting(self._away)

    async def _wait_for_disk(self, identity: FolderIdentity) -> None:
        """Raise ``FolderAway`` where only the empty place is left of what was watched before."""
        before = self._remembered
        if (
            before is not None
            and before.was_unmounted(identity)
            and not await self._in_thread(lambda: os.listdir(self._root))  # noqa: PTH208
        ):
            raise FolderAway(
                f"{before.mount} is not mounted, and {self._root} is empty: its files are away, "
                "not deleted; mount it again, or put a file there to go on without it"
            )
        if before != identity:
            self._remembered = identity
            await self._context.emit([], remember={FOLDER: identity.to_text()})

    def _pause(self, took: float, *, surprised: bool) -> float:
        """Say how long to wait for the next scan, after one that took so many seconds."""
        if surprised or self._how.failed:
            seconds = min(self._scan_every or UNRELIABLE_SECONDS, UNRELIABLE_SECONDS)
        elif self._scan_every is not None:
            seconds = self._scan_every
        elif self._how.complete:
            seconds = max(SCAN_SECONDS, min(1999 * took, RAREST_SECONDS))
        else:
            seconds = UNRELIABLE_SECONDS
        return _rarely(seconds, took)

    def _told(self, pause: float) -> str:
        by = "by the system's hints, and by a scan" if self._how.listens else "by a scan"
        said = f"watching {self._root} {by} every {spoken(round(pause))}: {self._how.why}"
        if not self._unreadable:
            return said
        more = len(self._unreadable) - 1
        what = f"{min(self._unreadable)}{f' and {more:,} more' if more else ''}"
        return f"{said}; what is in {what} is not noticed, because it cannot be read"

    # --- how to watch --------------------------------------------------------------------

    async def _listen(self, identity: FolderIdentity) -> None:
        """See to it that hints come from the folder that is there now, if they are to come."""
        how, now = self._how, self._clock.monotonic()
        due = how.again_at is not None and how.again_at <= now
        if identity == self._identity and not due and self._listener.listening == how.listens:
            return
        await self._listener.stop()
        self._how = await self._choose(now)
        self._identity = identity
        if not self._how.failed:
            self._deaf = None
        elif self._deaf != self._how.why:
            self._deaf = self._how.why
            pause = spoken(self._pause(0.0, surprised=False))
            self._context.warn(f"{self._deaf}; {self._root} is scanned every {pause} meanwhile")

    async def _choose(self, now: float) -> _How:
        return await choose(self._method, self._looker, self._listener, self._limiter, now=now)

    async def _walk_hinted(self) -> None:
        folders, self._folders = self._folders, set()
        for folder in folders:
            try:
                unreadable, _ = await self._walk(folder, hinted=True)
            except FolderAway:
                self._scan_wanted = True  # which will tell
                return
            self._tell_unreadable(unreadable)

    async def _walk(self, folder: str, *, hinted: bool) -> tuple[list[str], int]:
        """Pass on what is in a folder and below; give what could not be read.

        With it comes of how many groups of files the ledger was asked.
        """
        unreadable: list[str] = []
        groups = 0
        walk = self._looker.survey(folder)
        while (survey := await self._in_thread(lambda: next(walk, None))) is not None:
            unreadable += survey.unreadable
            groups += len(survey.digests)
            if survey.digests:
                doubt = await self._context.doubt(survey.digests)
                if doubt.groups:
                    await self._clear_up(survey, doubt, hinted=hinted)
            if not folder:
                self._found += survey.count
                self._tell_counts()
                # A large tree takes long; what somebody drops meanwhile should not wait for it.
                await self._walk_hinted()
        return unreadable, groups

    async def _clear_up(self, survey: Survey, doubt: Doubt, *, hinted: bool) -> None:
        """Ask about each file of the doubted groups, and pass on what is news."""
        files = self._looker.files_in(survey, doubt.groups, BATCH)
        with_news: set[FileGroup] = set()
        while (batch := await self._in_thread(lambda: next(files, None))) is not None:
            now = self._clock.monotonic()
            # Asked before anything waits: a known file costs this question, no second look.
            new = await self._unseen([source for source, _ in batch])
            for source, group in batch:
                if source.key in new:
                    with_news.add(group)
                    self._settling.saw(source, now, hinted=hinted, asked=True)
            if new:
                self._stir()
            while self._waiting >= MOST_SETTLING:
                self._room = anyio.Event()
                await self._room.wait()
        known = {
            group: survey.digests[group]
            for group in doubt.groups - with_news
            if group in survey.digests
        }
        if known:
            await self._context.vouch(doubt, known)

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
        units = self._units.waiting if self._units is not None else 0
        return len(self._settling) + self._in_hand + units

    async def _settle_forever(self, bearer: ObjectSendStream[list[Settled]]) -> None:
        while True:
            dues = [self._settling.next_due]
            dues += [self._units.next_due] if self._units is not None else []
            due = min((each for each in dues if each is not None), default=None)
            left = None if due is None else due - self._clock.monotonic()
            await first_of(self._stirred, self._clock, left)
            self._stirred = anyio.Event()
            await self._take_hints()
            await self._take_due(bearer)
            self._tell_counts()

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

    async def _take_due(self, bearer: ObjectSendStream[list[Settled]]) -> None:
        waited = self._settling.due(self._clock.monotonic(), self._portion)
        full = len(waited) == self._portion
        self._portion = min(2 * self._portion, BATCH) if full else FIRST_BATCH
        if not waited:
            await self._hand_over_units([])
            return
        looks, unfinished = await self._in_thread(lambda: self._look_at(waited))
        now = self._clock.monotonic()
        settled: list[Settled] = []
        for each in self._settling.settle(waited, looks, now):
            if each.source.text in unfinished:
                # No word will come of its end.
                self._settling.saw(each.source, now, hinted=each.hinted, asked=each.asked)
            else:
                settled.append(each)
        self._room.set()
        if self._units is not None:
            await self._hand_over_units(settled)
            return
        self._in_hand += len(settled)
        await bearer.send(settled)

    async def _hand_over_forever(self, taken: ObjectReceiveStream[list[Settled]]) -> None:
        """Hand over what is settled, while the next files are looked at."""
        async for settled in taken:
            new = await self._news_among(settled)
            if new:
                await self._context.emit(
                    [Event(key, {"file": source.to_data()}) for key, source in new.items()]
                )
            self._in_hand -= len(settled)
            surprises = [each.source.key for each in settled if not each.hinted]
            self._unhinted += sum(key in new for key in surprises)
            self._room.set()
            self._tell_counts()

    async def _news_among(self, settled: Sequence[Settled]) -> dict[str, FileSource]:
        """Give those that are news to a rule, by their keys.

        What was said of a file before it waited still holds, or makes no difference: an event
        that is known by now is not stored twice. It is only asked again of a file that nobody
        hinted at, because then a hint may have come in between.
        """
        sure = {each.source.key: each.source for each in settled if each.asked and each.hinted}
        return sure | await self._unseen(
            [each.source for each in settled if not (each.asked and each.hinted)]
        )

    def _look_at(self, paths: Sequence[str]) -> tuple[list[FileSource], set[str]]:
        """Look at files, and at the folder they are in: later it may be another one.

        With them come the paths of those that something beside them calls incomplete.
        """
        found = self._looker.look_at(self._looker.relatives(paths))
        try:
            identity = self._looker.identity()
        except FolderAway:
            return [], set()
        for source in found:
            source.root_identity = identity
        return found, self._looker.unfinished_among(found)

    def _tell_counts(self) -> None:
        self._context.counted(self._found, self._waiting, scanning=self._scanning)

    async def _hand_over_units(self, settled: Sequence[Settled]) -> None:
        """Have files and sidecars wait for each other, and hand over what is complete."""
        if self._units is not None:
            await self._units.take([(each.source, each.hinted) for each in settled])
            self._unhinted += await self._units.hand_over()
            self._room.set()

    # --- both ----------------------------------------------------------------------------

    async def _unseen(self, sources: Sequence[FileSource]) -> dict[str, FileSource]:
        """Give those that are news to a rule, by their keys."""
        by_key = {source.key: source for source in sources}
        unseen = await self._context.unseen(list(by_key)) if by_key else set()
        return {key: source for key, source in by_key.items() if key in unseen}

    async def _in_thread(self, work: Callable[[], T]) -> T:
        timer = asyncio.get_running_loop().call_later(SILENT_SECONDS, self._tell_silence)
        # These only look, so a cancelled one need not be waited for: it may never return.
        try:
            return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
        finally:
            timer.cancel()
            if self._away == self._silence:
                self._away = None
                self._context.working(self._working)

    def _tell_silence(self) -> None:
        if self._away is None:
            self._away = self._silence
            self._context.waiting(self._away)
