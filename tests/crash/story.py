"""The proof by SIGKILL: the main job, with its processes killed at random moments.

One round drops real pictures, kills the daemon, the client or both, starts again at once
what was killed, and waits until every source has been disposed of. Then it asks, from the
outside, what the promises say: nothing lost, nothing imported twice, no source disposed
of before the commit that holds its file and tags.

The client is killed at the end of each round as well, so that only what it had committed
counts. What a round does follows from its seed. The long form, with a table of figures::

    python tests/crash/story.py --rounds 50
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stage import (
    ON_WINDOWS,
    ClientProcess,
    DaemonProcess,
    Place,
    digest,
    paint,
    tags_of,
    wait_until,
)

from hydrusd.model import JobState, OutcomeKind
from hydrusd.simulator import Commit, Simulator, SimulatorConfig

TARGETS = ("daemon", "simulator", "both")
IMPORT_SECONDS = 0.003
CLOCK_TICK_SECONDS = 0.01
"""File systems take their times from a clock that ticks only so often."""


@dataclass(frozen=True)
class Moment:
    """When to kill: a share of the files has come so far, and then some seconds."""

    mark: str
    share: float = 0
    then_seconds: float = 0

    def __str__(self) -> str:
        share = f" {self.share:.0%}" if self.mark in {"imported", "disposed"} else ""
        return f"{self.mark}{share} + {self.then_seconds:.2f} s"


@dataclass(frozen=True)
class Plan:
    """What happens in a round."""

    seed: int
    moments: tuple[Moment, ...]
    dropped_while_running: bool
    commit_seconds: float
    api_version: int

    @classmethod
    def of(cls, target: str, seed: int, usual_seconds: float) -> Plan:
        """Draw one. ``usual_seconds`` is how long the daemon works when nobody is killed."""
        chance = random.Random(f"{target} {seed}")
        # Clients without force_commit are seldom: the wait for their commits is long.
        api_version = chance.choices((95, 32, 11), (10, 1, 1))[0]
        kills = chance.choices((1, 2, 3), (6, 3, 1))[0]
        return cls(
            seed=seed,
            moments=tuple(_moment(chance, usual_seconds, again=n > 0) for n in range(kills)),
            dropped_while_running=chance.random() < 0.5,
            commit_seconds=1.5 if api_version < 95 else chance.choice((30, 30, 0.5)),
            api_version=api_version,
        )


def _moment(chance: random.Random, usual_seconds: float, *, again: bool) -> Moment:
    at_any_time = Moment("started", then_seconds=chance.uniform(0, usual_seconds))
    # Time alone would hit the short phases seldom, and on a busy machine not at all.
    marks = (
        at_any_time,
        Moment("noticed", then_seconds=chance.uniform(0, 0.1)),
        Moment("imported", chance.random()),
        Moment("imported", 1, chance.uniform(0, usual_seconds / 4)),
        Moment("settling", then_seconds=chance.uniform(0, 0.05)),
        Moment("disposed", chance.random()),
    )
    # What was once reached is reached at once after a restart; then only time tells.
    return at_any_time if again else chance.choice(marks)


@dataclass
class Report:
    """What a round came to. ``closest_ms``: how soon after its commit a source was disposed of."""

    plan: Plan
    target: str
    files: int
    kills: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    lost: int = 0
    untagged: int = 0
    damaged: int = 0
    twice: int = 0
    early: int = 0
    redone: int = 0
    closest_ms: float | None = None
    seconds: float = 0
    working_seconds: float = 0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Give the round in one line."""
        plan = self.plan
        closest = "" if self.closest_ms is None else f", closest {self.closest_ms:.0f} ms"
        kills = "; ".join(self.kills) or "never"
        return (
            f"seed {plan.seed}, API {plan.api_version}, {self.seconds:4.1f} s, "
            f"redone {self.redone}{closest}: {self.target} killed {kills}"
        )


class Round:
    """One round in a folder of its own."""

    def __init__(self, folder: Path, originals: Mapping[str, Path], target: str, plan: Plan):
        self._plan = plan
        self._target = target
        self._originals = originals
        self._hashes = {relative: digest(path) for relative, path in originals.items()}
        self._place = Place(folder)
        self._daemon = DaemonProcess(self._place)
        self._client = ClientProcess(
            self._place,
            commit_seconds=plan.commit_seconds,
            import_seconds=IMPORT_SECONDS,
            api_version=plan.api_version,
        )
        self._dropped: list[str] = []
        # For each life of the client: how many imports it had answered before, and what was safe.
        self._lives: list[tuple[int, set[str]]] = [(0, set())]
        self._report = Report(plan, target, len(originals))

    def play(self) -> Report:
        """Play it and look what it came to."""
        began = time.monotonic()
        try:
            self._play()
        except AssertionError as error:
            self._fault(f"{error}\n--- daemon\n{self._daemon.words()}")
        finally:
            self._daemon.close()
            self._client.close()
        self._report.seconds = time.monotonic() - began
        return self._report

    def _fault(self, text: str) -> None:
        self._report.faults.append(text)

    # --- what happens --------------------------------------------------------------------

    def _play(self) -> None:
        url = self._client.start()
        self._place.write_rules(url, commit_wait_seconds=5)
        if not self._plan.dropped_while_running:
            self._drop()
        self._daemon.start()
        began = time.monotonic()
        dropping = threading.Thread(target=self._drop)
        if self._plan.dropped_while_running:
            dropping.start()
        for moment in self._plan.moments:
            self._await(moment)
            self._kill(moment)
        if self._plan.dropped_while_running:
            dropping.join()
        wait_until(self._over, "all disposed of", pause=0.1)
        self._report.working_seconds = time.monotonic() - began
        self._daemon.wait_until_started()
        code = self._daemon.stop()
        if code != 0:
            self._fault(f"the daemon was asked to stop and ended with {code}")
        self._client.kill()
        self._judge()

    def _drop(self) -> None:
        chance = random.Random(self._plan.seed)
        for relative, original in self._originals.items():
            self._place.drop(relative, original)
            self._dropped.append(relative)
            if self._plan.dropped_while_running:
                time.sleep(chance.uniform(0, 0.02))

    def _over(self) -> bool:
        self._daemon.running()
        self._client.running()
        trashed = len(self._place.trashed())
        return trashed >= len(self._originals) and self._place.ended(len(self._originals))

    def _await(self, moment: Moment) -> None:
        files = len(self._originals)
        reached = {
            "started": lambda: True,
            "noticed": lambda: self._place.states().total() > 0,
            "imported": lambda: len(set(self._client.acknowledged())) >= moment.share * files,
            "settling": lambda: self._place.states()["settling"] > 0 or self._over(),
            "disposed": lambda: len(self._place.trashed()) >= moment.share * files,
        }[moment.mark]
        wait_until(reached, str(moment), pause=0.005)
        time.sleep(moment.then_seconds)

    def _kill(self, moment: Moment) -> None:
        if self._target != "simulator":
            self._daemon.kill()
        if self._target != "daemon":
            self._client.kill()
        phase = self._phase()
        self._report.phases.append(phase)
        imported, trashed = len(set(self._client.acknowledged())), len(self._place.trashed())
        self._report.kills.append(f"while {phase} ({imported} in, {trashed} out; at {moment})")
        # What is dead does not commit any more; what is alive was asked after the look.
        disposed = self._disposed()
        if self._target == "daemon":
            committed = set(self._client.state()["committed_files"])  # type: ignore[call-overload]
            tagged = committed
        else:
            with self._inside() as simulator:
                committed = simulator.committed_files()
                tagged = {h for r, h in self._hashes.items() if tags_of(r) <= _tags(simulator, h)}
            self._lives.append((len(self._client.acknowledged()), committed))
        early = [r for r in disposed if self._hashes[r] not in committed & tagged]
        self._report.early += len(early)
        if early:
            self._fault(f"gone when the {self._target} was killed, and not committed: {early}")
        if self._target != "daemon":
            self._client.start()
        if self._target != "simulator":
            self._daemon.start()

    def _disposed(self) -> list[str]:
        dropped = list(self._dropped)
        waiting = self._place.waiting()
        return [relative for relative in dropped if relative not in waiting]

    def _inside(self) -> Simulator:
        """Open what the dead client has committed."""
        config = SimulatorConfig(
            state_dir=self._place.client_state, api_version=self._plan.api_version
        )
        return Simulator(config)

    def _phase(self) -> str:
        """Say what the daemon was about, as far as the ledger knows."""
        jobs = self._place.jobs()
        if not jobs:
            return "noticing" if self._place.ledger.exists() else "starting"
        running = [job for job in jobs if job.state is JobState.RUNNING]
        if running:
            done = sum(step.outcome is OutcomeKind.DONE for step in running[0].steps)
            if done:
                return ("tagging", "disposing")[min(done, 2) - 1]
            sent = set(self._client.acknowledged())
            files = (job.data["file"] for job in running)
            hashes = {self._hashes[f["relative"]] for f in files if isinstance(f, dict)}
            return "uploading" if hashes & sent else "hashing"
        states = Counter(job.state for job in jobs)
        if states[JobState.SETTLING]:
            return "settling"
        if states[JobState.READY]:
            return "between two sets"
        return "noticing" if len(jobs) < len(self._originals) else "idle"

    # --- what it came to -----------------------------------------------------------------

    def _judge(self) -> None:
        with self._inside() as simulator:
            self._judge_client(simulator)
        self._judge_disk()
        self._judge_ledger()

    def _judge_client(self, simulator: Simulator) -> None:
        report = self._report
        committed = simulator.committed_files()
        lost = [r for r, h in self._hashes.items() if h not in committed]
        report.lost = len(lost)
        if lost or len(committed) != len(self._hashes):
            self._fault(f"{len(committed)} files committed; lost: {lost}")
        for relative, sha256 in self._hashes.items():
            if (tags := _tags(simulator, sha256)) != tags_of(relative):
                report.untagged += 1
                self._fault(f"{relative} is tagged {tags}")
        # One life of the client answers "imported" once, and never for what it has kept.
        answered = self._client.acknowledged()
        ends = [start for start, _ in self._lives[1:]] + [len(answered)]
        twice: list[str] = []
        for (start, safe), end in zip(self._lives, ends, strict=True):
            life = Counter(answered[start:end])
            twice += [h for h, times in life.items() if times > 1 or h in safe]
        twice += [h for h, times in simulator.committed_imports().items() if times > 1]
        report.twice = len(twice)
        report.redone = len(answered) - len(set(answered))
        if twice:
            self._fault(f"imported twice: {twice}")
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
        self._report.early += len(early)
        self._report.closest_ms = min(margins.values()) * 1000
        if early:
            self._fault(f"disposed of before the commit: {early}")

    def _judge_disk(self) -> None:
        if left := self._place.waiting():
            self._fault(f"left in the inbox: {left}")
        found = Counter(digest(path) for path in self._place.trashed())
        wrong = found - Counter(self._hashes.values())
        missing = Counter(self._hashes.values()) - found
        self._report.damaged = missing.total()
        if wrong or missing:
            names = [path.name for path in self._place.trashed() if digest(path) in wrong]
            self._fault(f"{missing.total()} originals not in the trash; too much there: {names}")

    def _judge_ledger(self) -> None:
        jobs = self._place.jobs()
        files = Counter(job.data["file"]["relative"] for job in jobs)  # type: ignore[index]
        if files != Counter(self._hashes.keys()):
            self._fault(f"{len(jobs)} jobs, for {len(files)} files")
        for job in jobs:
            if job.state is not JobState.DONE:
                told = [f"{s.action}: {s.outcome}, {s.detail}" for s in job.steps]
                self._fault(f"job {job.job_id} is {job.state}: {told}")


def _tags(simulator: Simulator, sha256: str) -> set[str]:
    return simulator.committed_tags(sha256, "my tags").get(0, set())


def play(folder: Path, originals: Mapping[str, Path], target: str, plan: Plan) -> Report:
    """Play one round in an empty folder."""
    return Round(folder, originals, target, plan).play()


def usual(folder: Path, originals: Mapping[str, Path]) -> Report:
    """Play a round in which nobody is killed, to know how long one takes."""
    plan = Plan(0, (), dropped_while_running=False, commit_seconds=30, api_version=95)
    return play(folder, originals, "nobody", plan)


# --- the command -------------------------------------------------------------------------


def main() -> int:
    """Play many rounds and print what they came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50, help="for each target")
    parser.add_argument("--kill", choices=(*TARGETS, "all"), default="all")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hydrusd-crash-"))
    originals = paint(folder / "originals", given.files)
    reports = [usual(folder / "usual", originals)]
    seconds = reports[0].working_seconds
    _say(f"{given.files} files take {seconds:.1f} s when nobody is killed")
    for target in TARGETS if given.kill == "all" else (given.kill,):
        for seed in range(given.seed, given.seed + given.rounds):
            place = folder / f"{target}-{seed}"
            report = play(place, originals, target, Plan.of(target, seed, seconds))
            reports.append(report)
            _say(report.line())
            for fault in report.faults:
                _say(f"  FAULT ({place} is kept): {fault}")
            if not report.faults:
                shutil.rmtree(place)
    _say(table(reports))
    if any(report.faults for report in reports):
        return 1
    shutil.rmtree(folder)
    return 0


def table(reports: Sequence[Report]) -> str:
    """Give the figures of all rounds by what was killed."""
    columns = ("killed", "rounds", "kills", "files", "redone", "lost", "untagged", "damaged")
    columns += ("twice", "early", "faults", "closest")
    rows = [columns]
    for target in dict.fromkeys(report.target for report in reports):
        mine = [report for report in reports if report.target == target]
        counted = ("redone", "lost", "untagged", "damaged", "twice", "early")
        sums = [str(sum(getattr(report, name) for report in mine)) for name in counted]
        margins = [report.closest_ms for report in mine if report.closest_ms is not None]
        rows.append(
            (
                target,
                str(len(mine)),
                str(sum(len(report.kills) for report in mine)),
                str(sum(report.files for report in mine)),
                *sums,
                str(sum(len(report.faults) for report in mine)),
                f"{min(margins):.0f} ms" if margins else "-",
            )
        )
    lines = ["  ".join(f"{cell:>9}" for cell in row) for row in rows]
    phases = Counter(phase for report in reports for phase in report.phases)
    told = ", ".join(f"{phase} {count}" for phase, count in phases.most_common())
    return "\n".join(["", *lines, "", f"killed while: {told}"])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
