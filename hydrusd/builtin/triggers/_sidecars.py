"""Files and their sidecars as units: which belong together, and when a unit is complete.

A file that has settled is not handed over yet: it is looked for the small files beside it
that are called after it. Those have to settle, too, and one that is not there is waited for.
Then the unit goes out as one event, with all that its sidecars say, and with the sidecars
themselves set aside in the same transaction, so that none of them is ever taken for a file.

A sidecar that comes later finds its file in the ledger, be it on the disk still or not, and
makes an event of its own about it. So does one that was changed: it is another sidecar by its
size and time. One that nothing can be found for is told of, and goes with its file should
that come one day.

All decisions look at the disk anew. What is kept here is only who waits, and since when.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from hydrusd.builtin.triggers._looking import Looker
from hydrusd.plugin import (
    Aside,
    Event,
    FileChangedError,
    FileSource,
    HadFile,
    MalformedSidecar,
    SidecarData,
    SidecarFile,
    SidecarForm,
    SidecarFormat,
    SourceState,
    TriggerContext,
)

BATCH = 256
"""How many units are looked at, read and handed over at once."""
MOST_BYTES = 1024 * 1024
LONGEST_RAW = 64 * 1024
"""What a sidecar says beyond this, as JSON, is not kept for templates: the ledger keeps events."""
MOST_HELD = 20_000
"""How many sidecars without a file may wait at once."""
ORPHAN_SECONDS = 60.0
"""For how long a sidecar is thought to be early before it is told of."""
AGAIN_SECONDS = 5.0
MOST_TOLD = 10
TOLERANCE_SECONDS = 0.001
"""Sums of times are not exact: what is due by so much is due."""

T = TypeVar("T")


class InThread(Protocol):
    """Runs blocking work in a thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Run it, and give what it gives."""
        ...


@dataclass(frozen=True)
class SidecarNames:
    """How sidecars are called: formats in the order in which they count, and names in folders."""

    formats: Sequence[SidecarFormat]
    folders: Mapping[str, SidecarFormat] = field(default_factory=dict)

    @cached_property
    def suffixes(self) -> list[str]:
        """All suffixes, the longest first: ``a.urls.txt`` is not about a file ``a.urls``."""
        some = {suffix for each in self.formats for suffix in each.suffixes}
        return sorted(some, key=lambda suffix: (-len(suffix), suffix))

    @property
    def patterns(self) -> list[str]:
        """Patterns that match all sidecars, for a selection of files."""
        literal = ("".join(f"[{c}]" if c in "*?[" else c for c in name) for name in self.folders)
        return [*(f"*{suffix}" for suffix in self.suffixes), *literal]

    @cached_property
    def identity(self) -> str:
        """Give what tells this way of pairing from another one, for keys."""
        return json.dumps([[each.name for each in self.formats], list(self.folders)])

    def readers(self) -> dict[str, SidecarFormat]:
        """Give all formats by their names."""
        return {each.name: each for each in (*self.formats, *self.folders.values())}

    def suffix_of(self, name: str) -> str:
        """Give the suffix that makes a name that of a sidecar of one file; nothing for others."""
        if name in self.folders:
            return ""
        lowered = name.lower()
        return next((s for s in self.suffixes if lowered.endswith(s) and lowered != s), "")

    def is_sidecar(self, name: str) -> bool:
        """Say whether a file is called like a sidecar."""
        return name in self.folders or bool(self.suffix_of(name))

    def candidates(self, name: str) -> list[tuple[str, SidecarFormat, str, SidecarForm]]:
        """Give how sidecars of a file may be called: name, format, suffix, and its form."""
        found: dict[str, tuple[str, SidecarFormat, str, SidecarForm]] = {}
        bases: list[tuple[str, SidecarForm]] = [(name, "name"), (PurePosixPath(name).stem, "stem")]
        for base, form in bases:
            for each in self.formats:
                for suffix in each.suffixes:
                    for written in (suffix, suffix.upper()):
                        full = f"{base}{written}"
                        if self.suffix_of(full) == suffix:
                            found.setdefault(full, (full, each, written, form))
        return list(found.values())


def names_of(
    formats: Sequence[str], folder_names: Sequence[str], known: Mapping[str, SidecarFormat]
) -> SidecarNames:
    """Find the formats that a rule names. Raises ValueError for what cannot be."""
    chosen = [_format_called(name, known) for name in dict.fromkeys(formats)]
    taken: dict[str, str] = {}
    for each in chosen:
        for suffix in each.suffixes:
            if taken.setdefault(suffix, each.name) != each.name:
                raise ValueError(f"{taken[suffix]} and {each.name} are both called *{suffix}")
    folders: dict[str, SidecarFormat] = {}
    for name in folder_names:
        if not name.strip() or "/" in name or "\\" in name:
            raise ValueError(f"{name!r} must be the name of a file, without a folder")
        # One that is chosen for files counts before others with the same suffix.
        found = _format_for(name, (*chosen, *known.values()))
        if found is None:
            raise ValueError(f"{name!r} has the suffix of no format; there are {_listed(known)}")
        folders[name] = found
    return SidecarNames(chosen, folders)


def _format_called(name: str, known: Mapping[str, SidecarFormat]) -> SidecarFormat:
    if name not in known:
        raise ValueError(f"there is no format {name!r} of sidecars; there are {_listed(known)}")
    return known[name]


def _format_for(name: str, formats: Iterable[SidecarFormat]) -> SidecarFormat | None:
    """Give the format that a file of this name is read as: that of the longest suffix."""
    fitting = [
        (len(suffix), -place, each)
        for place, each in enumerate(formats)
        for suffix in each.suffixes
        if name.lower().endswith(suffix)
    ]
    return max(fitting, key=lambda found: found[:2])[2] if fitting else None


def _listed(known: Mapping[str, SidecarFormat]) -> str:
    return ", ".join(known)


@dataclass(slots=True)
class _Unit:
    """A settled file that waits for its sidecars. Times are monotonic seconds."""

    source: FileSource
    hinted: bool
    since: float
    due: float
    looked: Mapping[Path, FileSource] = field(default_factory=dict)
    looked_at: float | None = None


@dataclass(slots=True)
class _Held:
    """A settled sidecar that no file has claimed yet."""

    source: FileSource
    since: float
    due: float


@dataclass(frozen=True, slots=True)
class _Look:
    """A file with its sidecars, as a look at the disk has found them."""

    there: bool
    sidecars: Sequence[SidecarFile]

    @property
    def own(self) -> Sequence[SidecarFile]:
        return [each for each in self.sidecars if each.form != "folder"]


@dataclass(frozen=True, slots=True)
class _Mains:
    """The files that a sidecar belongs to. ``lost`` is one of which Hydrus' hash is not known."""

    files: Sequence[HadFile]
    lost: str = ""


@dataclass(slots=True)
class _Said:
    """What was read of a unit's sidecars."""

    good: list[tuple[SidecarFile, SidecarData]] = field(default_factory=list)
    malformed: list[tuple[SidecarFile, str]] = field(default_factory=list)
    unreadable: list[tuple[SidecarFile, str]] = field(default_factory=list)
    changed: bool = False


class Units:
    """The files and sidecars of one watched folder that wait for each other."""

    def __init__(
        self,
        context: TriggerContext,
        looker: Looker,
        names: SidecarNames,
        in_thread: InThread,
        *,
        settle_seconds: float,
        wait_seconds: float,
    ) -> None:
        self._context = context
        self._looker = looker
        self._names = names
        self._in_thread = in_thread
        self._settle_seconds = settle_seconds
        self._wait_seconds = wait_seconds
        self._units: dict[Path, _Unit] = {}
        self._by_stem: dict[Path, set[Path]] = {}
        self._held: dict[Path, _Held] = {}
        self._told: set[Path] = set()

    @property
    def waiting(self) -> int:
        """How many files wait."""
        return len(self._units)

    @property
    def next_due(self) -> float | None:
        """When something has to be looked at; None where nothing waits."""
        dues = [unit.due for unit in self._units.values()]
        dues += [held.due for held in self._held.values()]
        return min(dues, default=None)

    async def take(self, settled: Sequence[tuple[FileSource, bool]]) -> None:
        """Take in what has been left alone for long enough, with whether a hint told of it."""
        now = self._context.clock.monotonic()
        if not settled:
            return
        new = await self._context.unseen([source.key for source, _ in settled])
        for source, hinted in settled:
            if source.key not in new or self._waits(source):
                continue
            if self._names.is_sidecar(source.path.name):
                self._hold(source, now)
            else:
                self._units[source.path] = _Unit(source, hinted, now, now)
                self._by_stem.setdefault(source.path.with_suffix(""), set()).add(source.path)

    def _waits(self, source: FileSource) -> bool:
        """Say whether it is here already, just so: a scan must not have it wait anew."""
        waiting = self._units.get(source.path) or self._held.get(source.path)
        return waiting is not None and waiting.source == source

    def _hold(self, source: FileSource, now: float) -> None:
        wait = self._wait_seconds + self._settle_seconds if len(self._held) < MOST_HELD else 0.0
        self._held[source.path] = _Held(source, now, now + wait)
        for base in self._bases(source.path):
            for path in (base, *self._by_stem.get(base, ())):
                if path in self._units:
                    self._units[path].due = now

    def _bases(self, sidecar: Path) -> list[Path]:
        """Give the path of the file that a sidecar is called after, which may lack its suffix."""
        suffix = self._names.suffix_of(sidecar.name)
        return [sidecar.with_name(sidecar.name[: -len(suffix)])] if suffix else []

    async def hand_over(self) -> int:
        """Hand over what is complete by now; give how many files no hint had told of."""
        now = self._context.clock.monotonic()
        due = [unit for unit in self._units.values() if unit.due <= now][:BATCH]
        unhinted = await self._hand_over_units(due, now) if due else 0
        held = [each for each in self._held.values() if each.due <= now][:BATCH]
        if held:
            await self._hand_over_sidecars(held, now)
        return unhinted

    # --- files with their sidecars -------------------------------------------------------

    async def foresee(self, sources: Sequence[FileSource]) -> list[Event]:
        """Give the events of files with the sidecars that are there now, complete as they are."""
        mains = [each for each in sources if not self._names.is_sidecar(each.path.name)]
        looks = await self._in_thread(lambda: self._look(mains))
        there = [(main, look) for main, look in zip(mains, looks, strict=True) if look.there]
        said = await self._in_thread(lambda: [self._read(look.sidecars) for _, look in there])
        events: list[Event] = []
        for (main, _), each in zip(there, said, strict=True):
            self._compose(main, each, events, [])
        return events

    async def _hand_over_units(self, units: Sequence[_Unit], now: float) -> int:
        looks = await self._in_thread(lambda: self._look([unit.source for unit in units]))
        ready: list[tuple[_Unit, Sequence[SidecarFile]]] = []
        for unit, look in zip(units, looks, strict=True):
            if not look.there:
                self._forget(unit)
            elif (sidecars := self._complete(unit, look, now)) is not None:
                ready.append((unit, sidecars))
        if not ready:
            return 0
        said = await self._in_thread(lambda: [self._read(sidecars) for _, sidecars in ready])
        events: list[Event] = []
        aside: list[Aside] = []
        for (unit, _), each in zip(ready, said, strict=True):
            if each.changed:
                unit.looked, unit.looked_at, unit.due = {}, None, now + self._settle_seconds
                continue
            self._compose(unit.source, each, events, aside)
        if events:
            await self._context.emit(events, aside=aside)
        gone = [unit for (unit, _), each in zip(ready, said, strict=True) if not each.changed]
        for unit in gone:
            self._forget(unit)
        self._tell_unreadable(said)
        return sum(not unit.hinted for unit in gone)

    def _forget(self, unit: _Unit) -> None:
        self._units.pop(unit.source.path, None)
        stem = unit.source.path.with_suffix("")
        if (some := self._by_stem.get(stem)) is not None:
            some.discard(unit.source.path)
            if not some:
                del self._by_stem[stem]

    def _complete(self, unit: _Unit, look: _Look, now: float) -> Sequence[SidecarFile] | None:
        """Give the sidecars that a file goes with now; None where it has to wait, and till when."""
        seen = {each.source.path: each.source for each in look.sidecars}
        still = [each for each in look.sidecars if self._is_still(unit, each.source, now)]
        wanted = look.own if self._names.formats else look.sidecars
        waited = now - unit.since + TOLERANCE_SECONDS
        if not wanted:
            if waited >= self._wait_seconds:
                return still
            unit.due = unit.since + self._wait_seconds
        elif len(still) == len(seen):
            return still
        elif waited >= max(self._wait_seconds, 2 * self._settle_seconds):
            # One that never stops changing must not keep its file: what it says comes late.
            return still
        else:
            unit.due = now + self._settle_seconds
        if seen != unit.looked or unit.looked_at is None:
            unit.looked, unit.looked_at = seen, now
        return None

    def _is_still(self, unit: _Unit, sidecar: FileSource, now: float) -> bool:
        held = self._held.get(sidecar.path)
        if held is not None and held.source == sidecar:
            return True
        looked_at = unit.looked_at
        return (
            looked_at is not None
            and unit.looked.get(sidecar.path) == sidecar
            and now - looked_at + TOLERANCE_SECONDS >= self._settle_seconds
        )

    def _compose(
        self, source: FileSource, said: _Said, events: list[Event], aside: list[Aside]
    ) -> None:
        """Make the event of a file with its sidecars, and what is set aside along with it."""
        data = {"file": source.to_data(), "sidecar": self._data(said.good)}
        events.append(Event(source.key_as(f"with sidecars {self._names.identity}"), data))
        reason = "it is taken together with its sidecars, as an event of its own"
        aside.append(Aside(Event(source.key, {"file": source.to_data()}), reason))
        for sidecar, _ in said.good:
            if sidecar.form != "folder":
                aside.append(_went(sidecar.source, source.path.name))
        for sidecar, fault in said.malformed:
            aside += self._malformed(sidecar, source, fault)

    def _malformed(
        self,
        sidecar: SidecarFile,
        main: FileSource,
        fault: str,
        late_for: Iterable[str] = (),
        sha256: str | None = None,
    ) -> list[Aside]:
        """Make a dead letter of a sidecar, and not of its file."""
        name = sidecar.source.path.name
        told = f"the sidecar {name} cannot be used: {fault}; put right, it counts by itself"
        data = self._late_data(main, [], late_for, sha256, fault=told)
        key = self._late_key(sidecar.source, main)
        if sidecar.form == "folder":
            key = sidecar.source.key_as("broken")  # one dead letter, however many files it is for
        event = Event(key, data)
        reason = f"it is a sidecar of {main.path.name}, and cannot be used: {fault}"
        own = Aside(Event(sidecar.source.key, {"file": sidecar.source.to_data()}), reason)
        return [Aside(event, told, failed=True), own]

    def _tell_unreadable(self, said: Iterable[_Said]) -> None:
        for each in said:
            for sidecar, why in each.unreadable:
                if sidecar.source.path not in self._told:
                    self._told.add(sidecar.source.path)
                    self._context.warn(
                        f"the sidecar {sidecar.source.path} cannot be read ({why}); its file is "
                        "taken without it, and what it says is added when it can be read"
                    )

    # --- sidecars that no file has taken along ---------------------------------------------

    async def _hand_over_sidecars(self, held: Sequence[_Held], now: float) -> None:
        unseen = await self._context.unseen([each.source.key for each in held])
        left: list[_Held] = []
        for each in held:
            if each.source.key in unseen:
                left.append(each)
            else:
                self._held.pop(each.source.path, None)
        if not left:
            return
        mains = await self._mains(left)
        events: list[Event] = []
        aside: list[Aside] = []
        orphans: list[tuple[_Held, str]] = []
        for each in left:
            found = mains[each.source.path]
            if found is None:
                # Its file is there and not noticed yet, or on its way to Hydrus.
                each.due = now + max(self._wait_seconds, AGAIN_SECONDS)
            elif found.files:
                if not await self._compose_late(each, found.files, events, aside, now):
                    continue
                self._held.pop(each.source.path, None)
            elif self._may_be_early(each, now):
                each.due = each.since + ORPHAN_SECONDS
            else:
                reason = self._reason_of_orphan(each.source, found)
                orphans.append((each, reason))
                aside.append(Aside(Event(each.source.key, {"file": each.source.to_data()}), reason))
        if events or aside:
            await self._context.emit(events, aside=aside)
        for each, _ in orphans:
            self._held.pop(each.source.path, None)
        self._tell_orphans(orphans)

    def _may_be_early(self, held: _Held, now: float) -> bool:
        is_folders = held.source.path.name in self._names.folders
        waited = now - held.since + TOLERANCE_SECONDS
        return not is_folders and len(self._held) < MOST_HELD and waited < ORPHAN_SECONDS

    def _reason_of_orphan(self, source: FileSource, mains: _Mains) -> str:
        if source.path.name in self._names.folders:
            return "it counts for the files that come into its folder from now on"
        if mains.lost:
            return (
                f"it is a sidecar of {mains.lost}, which is gone; which file of Hydrus that was "
                "is not known (any more)"
            )
        return "it is a sidecar, and there is no file that it belongs to"

    def _tell_orphans(self, orphans: Iterable[tuple[_Held, str]]) -> None:
        of_folders = self._names.folders
        told = [(o.source.path, why) for o, why in orphans if o.source.path.name not in of_folders]
        for path, why in told[:MOST_TOLD]:
            self._context.warn(f"{path}: {why}")
        if len(told) > MOST_TOLD:
            self._context.warn(f"{len(told) - MOST_TOLD} more sidecars have no file")

    async def _mains(self, held: Sequence[_Held]) -> dict[Path, _Mains | None]:
        """Find the files that sidecars belong to, as rules have had them.

        None where that cannot be said yet.
        """
        there = await self._in_thread(
            lambda: self._files_beside([each.source.path for each in held])
        )
        bases = [base for each in held for base in self._bases(each.source.path)]
        paths = [source.path for some in there.values() for source in some]
        had = {
            one.source.path: one
            for one in await self._context.files_had([*bases, *paths], stems=bases)
        }
        current = [source.key for some in there.values() for source in some]
        unseen = await self._context.unseen(current) if current else set()
        mains: dict[Path, _Mains | None] = {}
        for each in held:
            path = each.source.path
            mains[path] = self._mains_of(path, there[path], had, unseen)
        return mains

    def _mains_of(
        self,
        sidecar: Path,
        there: Sequence[FileSource],
        had: Mapping[Path, HadFile],
        unseen: set[str],
    ) -> _Mains | None:
        lost = ""
        if there:
            if any(source.key in unseen for source in there):
                return None
            mains = [had[source.path] for source in there if source.path in had]
            # Not what was there before it, under the same name.
            keys = {source.key for source in there}
            mains = [one for one in mains if one.source.key in keys]
        else:
            bases = self._bases(sidecar)
            by_stem = [
                one
                for path, one in had.items()
                if path.with_suffix("") in bases and not self._names.is_sidecar(path.name)
            ]
            found = [had[base] for base in bases if base in had] or by_stem
            mains = [one for one in found if one.sha256 is not None or one.under_way]
            lost = "" if mains else next((one.source.path.name for one in found), "")
        if any(one.under_way for one in mains):
            return None
        root = self._looker.root
        return _Mains([replace(one, source=replace(one.source, root=root)) for one in mains], lost)

    def _files_beside(self, sidecars: Sequence[Path]) -> dict[Path, Sequence[FileSource]]:
        """Find the files on the disk that sidecars belong to. Blocks."""
        folders: dict[Path, dict[str, list[str]]] = {}
        found: dict[Path, Sequence[FileSource]] = {}
        for sidecar in sidecars:
            bases = self._bases(sidecar)
            if not bases:
                found[sidecar] = []
                continue
            (base,) = bases
            whole = self._files([base])
            if not whole:
                if base.parent not in folders:
                    folders[base.parent] = _by_stem(base.parent)
                names = folders[base.parent].get(base.name, [])
                whole = self._files([base.with_name(n) for n in names])
            found[sidecar] = whole
        return found

    def _files(self, paths: Iterable[Path]) -> list[FileSource]:
        """Look at files that are wanted, and are no sidecars."""
        root = self._looker.root
        relatives = [
            path.relative_to(root).as_posix()
            for path in paths
            if not self._names.is_sidecar(path.name)
        ]
        return self._looker.look_at(relatives)

    async def _compose_late(
        self,
        held: _Held,
        mains: Sequence[HadFile],
        events: list[Event],
        aside: list[Aside],
        now: float,
    ) -> bool:
        """Make events about files of what came after them. False where it cannot be read now."""
        sidecar = self._as_sidecar_of(held.source, mains[0].source)
        said = await self._in_thread(lambda: self._read([sidecar]))
        if said.changed or said.unreadable:
            self._tell_unreadable([said])
            held.due = now + AGAIN_SECONDS
            if said.changed:  # gone, or another one: what is there now is noticed on its own
                self._held.pop(held.source.path, None)
            return False
        for main in mains:
            if said.malformed:
                fault = said.malformed[0][1]
                aside += self._malformed(sidecar, main.source, fault, main.rules, main.sha256)
            else:
                data = self._late_data(main.source, said.good, main.rules, main.sha256)
                events.append(Event(self._late_key(held.source, main.source), data))
        if not said.malformed:
            aside.append(_went(held.source, ", ".join(main.source.path.name for main in mains)))
        return True

    def _as_sidecar_of(self, source: FileSource, main: FileSource) -> SidecarFile:
        for full, each, suffix, form in self._names.candidates(main.path.name):
            if full == source.path.name:
                return SidecarFile(source, each.name, form, suffix)
        raise AssertionError(f"{source.path} is no sidecar of {main.path}")

    def _late_key(self, sidecar: FileSource, main: FileSource) -> str:
        of = json.dumps([main.path.name, main.size, main.mtime_ns])
        return sidecar.key_as(f"late for {of} {self._names.identity}")

    def _late_data(
        self,
        main: FileSource,
        said: Sequence[tuple[SidecarFile, SidecarData]],
        late_for: Iterable[str],
        sha256: str | None,
        *,
        fault: str = "",
    ) -> dict[str, object]:
        sidecar = self._data(said, late_for=late_for, fault=fault)
        data: dict[str, object] = {"file": main.to_data(), "sidecar": sidecar}
        return data | ({"hash": sha256} if sha256 else {})

    # --- looking and reading: plain blocking code ------------------------------------------

    def _look(self, sources: Sequence[FileSource]) -> list[_Look]:
        root = self._looker.root
        paths: dict[Path, None] = {}
        for source in sources:
            paths |= dict.fromkeys([source.path, source.path.with_suffix("")])
            names = [name for name, *_ in self._names.candidates(source.path.name)]
            paths |= dict.fromkeys(map(source.path.with_name, (*names, *self._names.folders)))
        found = {
            source.path: source
            for source in self._looker.look_at([p.relative_to(root).as_posix() for p in paths])
        }
        return [
            _Look(found.get(source.path) == source, self._found_for(source.path, found))
            for source in sources
        ]

    def _found_for(self, main: Path, found: Mapping[Path, FileSource]) -> list[SidecarFile]:
        sidecars: list[SidecarFile] = []
        # ``a.txt`` belongs to a file that is called just ``a``, should there be one.
        stem = main.with_suffix("")
        lent = stem != main and stem in found and not self._names.is_sidecar(stem.name)
        for name, each, suffix, form in self._names.candidates(main.name):
            path = main.with_name(name)
            if path in found and not (form == "stem" and lent):
                new = SidecarFile(found[path], each.name, form, suffix)
                if not any(_is_same(new.source, other.source) for other in sidecars):
                    sidecars.append(new)
        for name, each in self._names.folders.items():
            path = main.with_name(name)
            if path in found:
                sidecars.append(SidecarFile(found[path], each.name, "folder", path.suffix))
        return sidecars

    def _read(self, sidecars: Sequence[SidecarFile]) -> _Said:
        said = _Said()
        formats = self._names.readers()
        for sidecar in sidecars:
            source = sidecar.source
            self._looker.heard()
            try:
                content = _content(source)
                if source.state() is not SourceState.SAME:
                    said.changed = True
                    continue
                what = formats[sidecar.format].read(content)
                json.dumps(merged([(sidecar.format, what)]))  # or the ledger could not keep it
                said.good.append((sidecar, what))
            except MalformedSidecar as error:
                said.malformed.append((sidecar, str(error)))
            except (FileNotFoundError, FileChangedError):
                said.changed = True
            except OSError as error:
                said.unreadable.append((sidecar, error.strerror or str(error)))
            except Exception as error:  # noqa: BLE001 - a plugin's own reader may fail in any way
                why = f"{sidecar.format} failed to read it: {type(error).__name__}: {error}"
                said.malformed.append((sidecar, why))
        return said

    def _data(
        self,
        said: Sequence[tuple[SidecarFile, SidecarData]],
        *,
        late_for: Iterable[str] = (),
        fault: str = "",
    ) -> dict[str, object]:
        """Give what templates and conditions see as ``sidecar``: what all of them say together."""
        late_for = sorted(late_for)
        stems = any(sidecar.form == "stem" for sidecar, _ in said)
        data: dict[str, object] = {
            "found": bool(said),
            "late": bool(late_for),
            "late_for": late_for,
            "fault": fault,
            "files": [s.to_data() for s, _ in said if s.form != "folder"],
            "suffixes": self._names.suffixes if stems else [],
        }
        return data | merged([(sidecar.format, what) for sidecar, what in said])


def merged(said: Sequence[tuple[str, SidecarData]]) -> dict[str, object]:
    """Give what several sidecars of one file say together; of two that disagree, the first counts.

    ``said`` are they, each with the name of its format.
    """
    tags: dict[str, None] = {}
    urls: dict[str, None] = {}
    services: dict[str, dict[str, None]] = {}
    notes: dict[str, str] = {}
    times: dict[str, object] = {}
    ratings: dict[str, object] = {}
    raw: dict[str, object] = {}
    sha256: str | None = None
    for name, each in said:
        tags |= dict.fromkeys(each.tags)
        urls |= dict.fromkeys(each.urls)
        for service, some in each.services.items():
            services.setdefault(service, {}).update(dict.fromkeys(some))
        for title, text in each.notes.items():
            notes.setdefault(title, text)
        for kind, at in each.times.items():
            there = times.setdefault(kind, at)
            if isinstance(there, Mapping) and isinstance(at, Mapping):
                times[kind] = {**at, **there}
        for service, rating in each.ratings.items():
            ratings.setdefault(service, rating)
        if len(json.dumps(each.raw)) <= LONGEST_RAW:
            raw.setdefault(name, each.raw)
        sha256 = sha256 or each.sha256
    return {
        "tags": list(tags),
        "services": {service: list(some) for service, some in services.items()},
        "urls": list(urls),
        "notes": notes,
        "times": times,
        "ratings": ratings,
        "hash": sha256,
        "raw": raw,
    }


def _went(source: FileSource, main: str) -> Aside:
    reason = f"it is a sidecar, and goes with {main}"
    return Aside(Event(source.key, {"file": source.to_data()}), reason)


def _content(source: FileSource) -> bytes:
    if source.size > MOST_BYTES:
        raise MalformedSidecar(f"it is larger than {MOST_BYTES // 1024} KB")
    with source.open() as file:
        return file.read(MOST_BYTES + 1)


def _by_stem(folder: Path) -> dict[str, list[str]]:
    """Give the names in a folder by their stems."""
    found: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                found.setdefault(PurePosixPath(entry.name).stem, []).append(entry.name)
    except OSError:
        return {}
    return found


def _is_same(one: FileSource, other: FileSource) -> bool:
    """Say whether two paths, of which only the case may differ, are one file."""
    if one.path.name.lower() != other.path.name.lower():
        return False
    try:
        return one.path.samefile(other.path)
    except OSError:
        return False
