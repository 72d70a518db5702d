"""What the promises come to, asked from the outside when all is over.

Nothing of hydrusd's own is believed but its list of jobs: what the client has comes from what
it had committed when it was killed, what became of the sources from the disk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stage import ON_WINDOWS, STEPS, Place, digest, tags_of

from hydrusd.model import JobState
from hydrusd.simulator import Commit, Simulator, SimulatorConfig

CLOCK_TICK_SECONDS = 0.01
"""File systems take their times from a clock that ticks only so often."""
MEDIA_VIEWER = 0


@dataclass
class Verdict:
    """How often each promise was broken.

    ``lost``: files that the client does not have. ``undone``: files without a tag, URL or note
    that they should have. ``damaged``: originals that are not in the trash. ``twice``: imports,
    notes, viewing times and firings that were made once more than asked for, and URLs and tags
    that nobody asked for. ``early``: sources gone before what was done with them was committed.
    ``redone``: imports that a killed client had forgotten. ``closest_ms``: the shortest time
    between a commit and the disposal of its source.
    """

    lost: int = 0
    undone: int = 0
    damaged: int = 0
    twice: int = 0
    early: int = 0
    redone: int = 0
    closest_ms: float | None = None
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Say what is wrong."""
        self.faults.append(text)


class Judge:
    """Watches over one folder from when it is set up until all is over."""

    def __init__(self, place: Place, hashes: Mapping[str, str], api_version: int) -> None:
        """``hashes``: what is dropped, by its path in the inbox."""
        self.verdict = Verdict()
        self._place = place
        self._hashes = hashes
        self._api_version = api_version
        # For each life of the client: how many imports it had answered before, and what was safe.
        self._lives: list[tuple[int, set[str]]] = [(0, set())]

    def inside(self) -> Simulator:
        """Open what the dead client has committed."""
        state_dir = self._place.client_state
        return Simulator(SimulatorConfig(state_dir=state_dir, api_version=self._api_version))

    def client_died(self, acknowledged: Sequence[str], disposed: Iterable[str]) -> None:
        """Note what a killed client keeps, and what is gone from the disk by then."""
        with self.inside() as simulator:
            kept = simulator.committed_files()
            whole = {r for r in self._hashes if not self._lacks(simulator, r)}
        self._lives.append((len(acknowledged), kept))
        self.hold_against(disposed, whole, "the client was killed")

    def hold_against(self, disposed: Iterable[str], whole: set[str], when: str) -> None:
        """Find what was disposed of and is not wholly committed."""
        early = sorted(set(disposed) - whole)
        self.verdict.early += len(early)
        if early:
            self.verdict.fault(f"gone when {when}, and not committed: {early}")

    def _does(self, step: str) -> bool:
        return any(text.startswith(step) and since <= self._api_version for since, text in STEPS)

    def _lacks(self, simulator: Simulator, relative: str) -> list[str]:
        """Give what is not committed of what should be done with a file."""
        entry = simulator._client.store.committed(self._hashes[relative])
        if entry is None or entry.file is None or not entry.file.is_current:
            return ["the file"]
        sha256 = self._hashes[relative]
        found = {
            "tags": _tags(simulator, sha256) >= tags_of(relative),
            "url": url_of(sha256) in entry.known_urls,
            "note": not self._does("set_notes") or entry.notes.get("source") is not None,
            "viewing": not self._does("add_viewing_time") or MEDIA_VIEWER in entry.viewings,
        }
        return [name for name, there in found.items() if not there]

    def _has_twice(self, simulator: Simulator, relative: str) -> list[str]:
        """Give what was done to a file more often than asked for."""
        sha256 = self._hashes[relative]
        entry = simulator._client.store.committed(sha256)
        if entry is None:
            return []
        note = {"source": f"from {relative}"}
        viewings = {canvas: v[:2] for canvas, v in entry.viewings.items()}
        exact = {
            "tags": _tags(simulator, sha256) <= tags_of(relative),
            "urls": set(entry.known_urls) <= {url_of(sha256)},
            "notes": entry.notes in ({}, note),
            "viewings": viewings in ({}, {MEDIA_VIEWER: (1, 10.0)}),
        }
        return [f"{name} of {relative}" for name, right in exact.items() if not right]

    # --- when all is over ----------------------------------------------------------------

    def judge(self, answered: Sequence[str]) -> Verdict:
        """Say what it came to. The client must have been killed; ``answered``: its imports."""
        with self.inside() as simulator:
            self._judge_client(simulator, answered)
        self._judge_disk()
        self._judge_ledger()
        return self.verdict

    def _judge_client(self, simulator: Simulator, answered: Sequence[str]) -> None:
        verdict = self.verdict
        committed = simulator.committed_files()
        lost = [r for r, h in self._hashes.items() if h not in committed]
        verdict.lost = len(lost)
        if lost or len(committed) != len(set(self._hashes.values())):
            verdict.fault(f"{len(committed)} files committed; lost: {lost}")
        undone = {r: lacks for r in self._hashes if (lacks := self._lacks(simulator, r))}
        verdict.undone = len(undone)
        if undone:
            verdict.fault(f"not done: {undone}")
        # One life of the client answers "imported" once, and never for what it has kept.
        ends = [start for start, _ in self._lives[1:]] + [len(answered)]
        twice: list[str] = []
        for (start, safe), end in zip(self._lives, ends, strict=True):
            life = Counter(answered[start:end])
            twice += [h for h, times in life.items() if times > 1 or h in safe]
        twice += [h for h, times in simulator.committed_imports().items() if times > 1]
        for relative in self._hashes:
            twice += self._has_twice(simulator, relative)
        verdict.twice += len(twice)
        verdict.redone = len(answered) - len(set(answered))
        if twice:
            verdict.fault(f"done twice: {twice}")
        if not ON_WINDOWS:  # there a file keeps no time at which it was moved
            self._judge_order(simulator.commits)

    def _judge_order(self, commits: Sequence[Commit]) -> None:
        """Compare the time of each file's last commit with that of its move to the trash."""
        safe_at = {sha256: commit.time for commit in commits for sha256 in commit.changed}
        margins = {
            path.name: path.stat().st_ctime - safe_at.get(digest(path), time.time())
            for path in self._place.trashed()
        }
        early = [name for name, margin in margins.items() if margin < -CLOCK_TICK_SECONDS]
        self.verdict.early += len(early)
        self.verdict.closest_ms = min(margins.values(), default=0) * 1000
        if early:
            self.verdict.fault(f"disposed of before the commit: {early}")

    def _judge_disk(self) -> None:
        if left := self._place.waiting():
            self.verdict.fault(f"left in the inbox: {left}")
        found = Counter(digest(path) for path in self._place.trashed())
        wrong = found - Counter(self._hashes.values())
        missing = Counter(self._hashes.values()) - found
        self.verdict.damaged = missing.total()
        if wrong or missing:
            names = [path.name for path in self._place.trashed() if digest(path) in wrong]
            self.verdict.fault(
                f"{missing.total()} originals not in the trash; too much there: {names}"
            )

    def _judge_ledger(self) -> None:
        jobs = self._place.jobs()
        for rule, name in (("import all", "jobs"), ("count", "firings")):
            mine = [job.data for job in jobs if job.rule == rule]
            told = Counter(str(data.get("relative") or data["file"]["relative"]) for data in mine)  # type: ignore[index]
            wanted = Counter(self._hashes.keys())
            self.verdict.twice += (told - wanted).total()
            if told != wanted:
                missing, more = wanted - told, told - wanted
                self.verdict.fault(f"{name}: missing {dict(missing)}, too many {dict(more)}")
        for job in jobs:
            if job.state is not JobState.DONE:
                steps = [f"{s.action}: {s.outcome}, {s.detail}" for s in job.steps]
                self.verdict.fault(f"job {job.job_id} is {job.state}: {steps}")


def url_of(sha256: str) -> str:
    """Give the URL that the rule notes on a file."""
    return f"https://pictures.example/{sha256}"


def _tags(simulator: Simulator, sha256: str) -> set[str]:
    return simulator.committed_tags(sha256, "my tags").get(0, set())
