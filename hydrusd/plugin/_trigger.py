"""What a trigger is, and what it is given to work with.

A trigger only notices. It may forget everything it knows at any moment, be told
twice, or be killed between two lines: the ledger remembers, and ``emit`` returns
only when what it was given is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from hydrusd.clock import Clock
from hydrusd.file_groups import FileGroup
from hydrusd.hydrus import HydrusClient
from hydrusd.model import Data, Event
from hydrusd.plugin._action import Fault
from hydrusd.plugin._source import FileSource


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that happened inside hydrusd: a rule was fired, a job ended."""

    id: int
    topic: str
    data: Data
    at: datetime


@dataclass(frozen=True, slots=True)
class Start:
    """A start of hydrusd: an id that no other one has, and the time.

    ``seconds`` is the clock's ``monotonic`` then. ``later``: the trigger itself began afterwards,
    because the rules were read again while hydrusd ran.
    """

    id: str
    at: datetime
    seconds: float
    later: bool = False


@dataclass(frozen=True, slots=True)
class Doubt:
    """The groups of files that have to be asked about, and what proves when that was found."""

    groups: frozenset[FileGroup]
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a trigger would notice if it looked now, and what there is to say about it."""

    events: Sequence[Event] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Aside:
    """Something that was noticed along with events and is not to be acted on, and why.

    ``failed``: it should have been, but cannot; each rule that wants it gets a dead letter.
    """

    event: Event
    reason: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class HadFile:
    """A file that was noticed before, as it was then.

    ``rules`` are those that have a job for it. ``sha256`` is its hash where a step has said so;
    while that may still come, it is ``under_way``.
    """

    source: FileSource
    rules: frozenset[str]
    sha256: str | None
    under_way: bool


class TriggerContext(Protocol):
    """What a running trigger can ask of the engine."""

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def client(self) -> HydrusClient:
        """The client. Before it was reached for the first time, calls raise HydrusUnavailable."""
        ...

    @property
    def start(self) -> Start:
        """The start of hydrusd, and whether this trigger began with it or later."""
        ...

    @property
    def rules(self) -> Sequence[str]:
        """The names of the rules that listen."""
        ...

    async def emit(
        self,
        events: Sequence[Event],
        *,
        aside: Sequence[Aside] = (),
        remember: Mapping[str, object] | None = None,
    ) -> None:
        """Hand over what was noticed. Returns when it is stored; known events are no-ops.

        ``aside`` and ``remember`` (plain JSON by name, None forgets) are stored in the same
        transaction.
        """
        ...

    async def pass_over(
        self,
        events: Sequence[Event],
        reason: str,
        *,
        remember: Mapping[str, object] | None = None,
    ) -> None:
        """Store what was noticed but is not to be acted on, and why: for good."""
        ...

    async def recall(self, name: str) -> object:
        """Give what ``remember`` stored last under this name; None where there is nothing."""
        ...

    async def signals(self, topics: Sequence[str], *, from_start: bool = False) -> Sequence[Signal]:
        """Wait for signals on these topics (which ``Trigger.topics`` announced) and give them.

        Oldest first, each once: the next call gives those behind the ones whose events were
        emitted with ``remember={"signal": id}``. A trigger that never asked before gets those
        from now on, or all that are kept.
        """
        ...

    async def unseen(self, keys: Sequence[str]) -> set[str]:
        """Give those of the keys that a rule listening here has not had yet."""
        ...

    async def doubt(self, digests: Mapping[FileGroup, bytes]) -> Doubt:
        """Give those groups of files that have to be asked about with ``unseen``, file by file.

        All files of the others are known, and are as they were then. ``digests`` are those of a
        ``Tally``, all groups of a folder at once.
        """
        ...

    async def vouch(self, doubt: Doubt, digests: Mapping[FileGroup, bytes]) -> None:
        """Say of doubted groups that ``unseen`` has given none of their files since.

        From here on they are not doubted as long as they have these digests, the rules are the
        same, and none of their events is free again.
        """
        ...

    async def forget_gone(self, groups: int) -> None:
        """Say how many groups there are in all, so that what is kept can be kept small."""
        ...

    async def files_had(
        self, paths: Sequence[Path], *, stems: Sequence[Path] = ()
    ) -> Sequence[HadFile]:
        """Give what was noticed at these paths before, each as it was last.

        ``stems`` are paths without their last suffix: any file of that name is meant.
        """
        ...

    def waiting(self, reason: str) -> None:
        """Tell the user that nothing can be noticed at the moment, and why."""
        ...

    def working(self, detail: str = "") -> None:
        """Tell the user that all is well (again)."""
        ...

    def counted(self, found: int, waiting: int, *, scanning: bool = False) -> None:
        """Tell the user how many things it has found so far, as often as it likes.

        ``waiting`` of them may still change and are not handed over yet. ``scanning``: it is
        looking at the moment, and there may be more.
        """
        ...

    def warn(self, message: str) -> None:
        """Tell the user of something that does not stop the trigger."""
        ...


class Trigger(BaseModel):
    """A source of events. Its annotated fields are its parameters in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trigger: ClassVar[str] = ""
    """The name under ``on`` in YAML."""
    shared: ClassVar[bool] = True
    """True where rules with equal parameters share one instance. What it remembers belongs to
    them all then; where that must not be (since when does a rule listen?), say False."""
    in_portions: ClassVar[bool] = False
    """True where one firing is handed over in many calls of ``emit``, each of a part of what was
    found: calls that come close together then make one run, to which limits apply as a whole."""
    outside: ClassVar[bool] = False
    """True where it looks at something beside the client and the folders that its parameters name:
    a website, a port. In tests of rules it does not run, and notices what the test says."""
    gives: ClassVar[Mapping[str, Any] | None] = None
    """The names in the data of its events, as conditions and templates see them, one in the other:
    ``{"page": {"title": None}}``. None stands for a value, or for names that only the event
    knows. With them `hydrusd check` finds a name that is misspelt."""

    @property
    def looks_for_sidecars(self) -> bool:
        """Say whether its events tell what sidecars say."""
        return False

    def topics(self, rules: Sequence[str]) -> Sequence[str]:
        """Give the topics of signals that it listens to, for these listening rules."""
        del rules
        return ()

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Name what is wrong with these parameters, given all rules: name → trigger."""
        del rules
        return ()

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what a look at the connected client shows to be wrong with these parameters."""
        del client
        return ()

    async def look(self) -> Iterable[Fault]:
        """Name what a look at this machine shows: a folder that cannot be read, how it is watched.

        For `hydrusd check --live`; leaves everything as it was.
        """
        return ()

    @property
    def folder(self) -> Path | None:
        """Give the folder whose files it notices; None where it notices no files."""
        return None

    def samples(self) -> Sequence[Path]:
        """Give a few made-up paths in ``folder`` that it would notice, one for each kind."""
        return ()

    @property
    def leads_elsewhere(self) -> bool:
        """Say whether it notices files that are not in its folder: no step may dispose of them."""
        return False

    def for_test(self) -> Trigger:
        """Give the trigger as it is to be in a test of rules, where no time is lost by waiting."""
        return self

    @property
    def patience(self) -> float:
        """Say after how many seconds, at most, it notices what is there when it begins to look."""
        return 0.0

    def overlooks(self, path: Path) -> str | None:
        """Say why a file at this path is not noticed: "" where it is.

        None is for a trigger that does not look there at all.
        """
        del path
        return None

    async def preview(self, context: TriggerContext) -> Prospect:
        """Say what it would notice now, for `hydrusd plan`. Looks once, waits for nothing.

        The same events as ``run`` would hand over, with the same keys; those that ``unseen`` does
        not give may be left out. What would store something raises here, and so does what the
        client would change by. The default is for what nobody can know.
        """
        del context
        return Prospect(detail="what it will notice cannot be foreseen")

    async def run(self, context: TriggerContext) -> None:
        """Notice things until cancelled. An exception restarts the trigger after a while."""
        raise NotImplementedError  # an abstract method: pydantic's metaclass leaves no room for ABC
