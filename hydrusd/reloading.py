"""Reads the rules again when their files change, or when somebody asks.

Files are looked at every four seconds, and not listened to: there are few of them, a look costs
next to nothing, and it sees what no notification tells of on some system or other (a file that is
renamed into its place, a link that leads elsewhere, a share). What changed is read when it has been
left alone for a moment; what is wrong then is looked at once more before anybody is told, because
an editor may be in the middle of it.

A file that cannot be used changes nothing: the rules go on as they were, and the log and
`hydrusd status` say so until it can. Whoever asks with `hydrusd reload` leaves that in the ledger,
which every process on this machine can write to on any system, and finds the answer there. The
ledger is asked for that only when somebody has written into it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import anyio
import structlog
from anyio import to_thread

from hydrusd.clock import Clock, first_of
from hydrusd.errors import ConfigError, Problem
from hydrusd.ledger import Ledger, LedgerWriter, Memory, forget_conditions
from hydrusd.looking_out import look_out
from hydrusd.plugin.host import SETTINGS

LOOK_SECONDS = 4.0
"""How often to see whether a file has changed."""
PHASE_SECONDS = 2.5
"""When in that time: never at once with whoever looks at whole seconds."""
QUIET_SECONDS = 0.5
"""How long the files must be left alone before they are read."""
DOUBT_SECONDS = 2.0
"""How long what is wrong may stay so before anybody is told: it may be half written."""
TRY_AGAIN_SECONDS = 60.0
"""How often to read anew what could not be used: the reason may lie in no file that is known."""
ENDINGS = (".py", *SETTINGS)
"""How the names of files end that matter in a folder of rules or plugins."""
KIND = "rules"
"""What a condition of the rules as a whole is about."""
_MEMORY, _REQUEST, _ANSWER = "engine:reload", "request", "answer"

Signature = tuple[object, ...] | None
Look = Mapping[Path, Signature]

log = structlog.get_logger("hydrusd.reloading")


@dataclass(frozen=True, slots=True)
class Report:
    """What came of reading the rules again.

    ``taken``: they are in force. ``changes`` are what is different now, in words. ``problems``
    are why they were not taken, or which of them are left out or wait, and why.
    """

    taken: bool
    changes: Sequence[str] = ()
    problems: Sequence[Problem] = ()


class Read(Protocol):
    """A configuration, with what its files looked like before they were read."""

    @property
    def look(self) -> Look:
        """The files and folders that it was made of, and what they looked like."""
        ...


C = TypeVar("C", bound=Read)


def look_at(paths: Iterable[Path]) -> dict[Path, Signature]:
    """Say what these files look like, and what in these folders may be rules or plugins.

    In folders below them there is nothing that is read.
    """
    return {path: _signature(path) for path in paths}


def _signature(path: Path) -> Signature:
    try:
        status = os.stat(path)  # noqa: PTH116 - every few seconds, for months
        if not stat.S_ISDIR(status.st_mode):
            return _of_file(status)
        with os.scandir(path) as entries:
            named = sorted((e.name, e.path) for e in entries if e.name.lower().endswith(ENDINGS))
    except (OSError, ValueError):
        return None
    found: list[object] = [status.st_dev, status.st_ino]
    for name, at in named:
        try:
            found.append((name, _of_file(os.stat(at))))  # noqa: PTH116
        except OSError:
            found.append((name, None))  # it is just being replaced
    return tuple(found)


def _of_file(status: os.stat_result) -> tuple[object, ...]:
    # What tells a file from the one that was there before, however that was replaced.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


class Reloading(Generic[C]):
    """Keeps a daemon to what its files say. ``present`` is what it runs by."""

    def __init__(
        self,
        present: C,
        *,
        read: Callable[[C], C],
        apply: Callable[[C], Awaitable[Report]],
        file: Path,
        ledger: LedgerWriter,
        clock: Clock,
        problems: Sequence[Problem] = (),
    ) -> None:
        """Take what to do: ``read`` runs in a thread and raises ConfigError, ``apply`` swaps.

        ``read`` is given the present configuration; ``apply`` raises ConfigError too, where
        nothing has changed yet. ``problems`` are those of the present one, which are told.
        """
        self._present = present
        self._read = read
        self._apply = apply
        self._file = str(file)
        self._ledger = ledger
        self._clock = clock
        self._asked = self._changed = False
        self._stirred = anyio.Event()
        self._seen: Look = present.look
        self._since: datetime = clock.now()
        self._refused = False
        self._told = tuple(problems)
        self._again_at: float | None = None
        self._plan_again()

    def _plan_again(self) -> None:
        """Read again after a while where something is wrong.

        What a rule lacks may come without any file that is known being changed.
        """
        wrong = bool(self._told)
        self._again_at = self._clock.monotonic() + TRY_AGAIN_SECONDS if wrong else None

    def _tell(self, problems: Sequence[Problem]) -> bool:
        """Say what is wrong, unless that has been said; False where there is nothing new."""
        news = tuple(problems) != self._told
        self._told = tuple(problems)
        self._plan_again()
        for problem in problems if news else ():
            log.error(f"{problem.place}: {problem.message}", hint=problem.hint)
        return news and bool(problems)

    def ask(self) -> None:
        """Have the rules read again now. Call it on the event loop."""
        self._asked = True
        self.stir()

    def stir(self) -> None:
        """Say that there may be a wish in the ledger. Call it on the event loop."""
        self._stirred.set()

    async def run(self) -> None:
        """Look until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._look_at_files, name="look at the rules")
            await self._follow()

    async def _look_at_files(self) -> None:
        def have_changed() -> bool:
            seen = self._seen
            return look_at(list(seen)) != seen

        while True:
            await look_out(self._clock, lambda: LOOK_SECONDS, have_changed, phase=PHASE_SECONDS)
            self._changed = True
            self.stir()

    async def _follow(self) -> None:
        answered = await self._ledger(Ledger.recall, _MEMORY, _ANSWER)
        done = answered.get("id")
        while True:
            left = None if self._again_at is None else self._again_at - self._clock.monotonic()
            await first_of(self._stirred, self._clock, left, name="next try to read the rules")
            self._stirred = anyio.Event()
            asked, self._asked = self._asked, False
            request = (await self._ledger(Ledger.recall, _MEMORY, _REQUEST)).get("id")
            wanted = request is not None and request != done
            changed, self._changed = self._changed, False
            if changed:  # and has not been read since
                changed = await self._look() != self._seen
            due = self._again_at is not None and self._clock.monotonic() >= self._again_at
            if not (asked or wanted or changed or due):
                continue
            report = await self._reload(asked=asked or wanted)
            if wanted:
                done = request
                values = {"id": request, "at": self._clock.now().isoformat(), **_plain(report)}
                await self._ledger(Ledger.remember, _MEMORY, Memory(_ANSWER, values))

    async def _look(self) -> Look:
        return await to_thread.run_sync(look_at, list(self._seen), abandon_on_cancel=True)

    async def _quiet(self) -> Look:
        """Wait until the files are left alone, and give what they look like."""
        look = await self._look()
        while True:
            await self._clock.sleep(QUIET_SECONDS)
            now = await self._look()
            if now == look:
                return look
            look = now

    async def _reload(self, *, asked: bool) -> Report:
        doubted = False
        while True:
            self._seen = look = await self._quiet()
            try:
                fresh = await to_thread.run_sync(self._read, self._present, abandon_on_cancel=True)
            except Exception as error:  # noqa: BLE001 - plugins have their say in reading, too
                problems = (
                    error.problems
                    if isinstance(error, ConfigError)
                    else (Problem(self._file, 0, 0, f"it cannot be read: {error!r}"),)
                )
                # What is wrong may be in a file that was not known to be one of them.
                files = {Path(p.file) for p in problems if p.file} - look.keys()
                self._seen = {**look, **await to_thread.run_sync(look_at, files)}
                if not asked and not doubted:
                    doubted = True
                    await self._clock.sleep(DOUBT_SECONDS)
                    if await self._look() != self._seen:
                        doubted = False
                    continue
                return await self._refuse(problems)
            if await to_thread.run_sync(look_at, list(fresh.look)) != fresh.look:
                continue  # somebody has written meanwhile
            try:
                report = await self._apply(fresh)
            except ConfigError as error:
                return await self._refuse(error.problems)
            return await self._take(fresh, report, asked=asked)

    async def _refuse(self, problems: tuple[Problem, ...]) -> Report:
        """Go on by the rules as they were, and say so."""
        self._refused = True
        if self._tell(problems):
            going = f"the rules of {self._since.astimezone():%Y-%m-%d %H:%M} go on"
            log.error(f"{self._file} cannot be used as it is now; {going}")
            said = "; ".join(f"{problem.place}: {problem.message}" for problem in problems)
            state, reason, now = "not taken", f"{going}: {said}", self._clock.now()
            await self._ledger(Ledger.set_condition, KIND, self._file, state, reason, now)
        return Report(taken=False, problems=problems)

    async def _take(self, fresh: C, report: Report, *, asked: bool) -> Report:
        self._present, self._seen = fresh, fresh.look
        self._since = self._clock.now()
        if self._refused:
            self._refused = False
            await self._ledger(forget_conditions, KIND, [self._file])
        if report.changes:
            log.info(f"{self._file} was read again: {'; '.join(report.changes)}")
        elif asked:
            log.info(f"{self._file} was read again: nothing has changed")
        self._tell(report.problems)
        return report


# --- asking from another process ----------------------------------------------------------


def ask_for_reload(ledger: Ledger, request: str, now: datetime) -> None:
    """Leave word for the running daemon to read its rules again. ``request`` names the wish."""
    ledger.remember(_MEMORY, Memory(_REQUEST, {"id": request, "at": now.isoformat()}))


def answer_to(ledger: Ledger, request: str) -> Report | None:
    """Give what the daemon has answered to that; None where it has not yet."""
    answer = ledger.recall(_MEMORY, _ANSWER)
    if answer.get("id") != request:
        return None
    changes, problems = answer.get("changes"), answer.get("problems")
    return Report(
        answer.get("taken") is True,
        list(map(str, changes)) if isinstance(changes, list) else (),
        [Problem(**each) for each in problems] if isinstance(problems, list) else (),
    )


def _plain(report: Report) -> dict[str, object]:
    return {
        "taken": report.taken,
        "changes": list(report.changes),
        "problems": [asdict(problem) for problem in report.problems],
    }
