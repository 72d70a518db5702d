"""The proof by SIGKILL: files imported, tagged and noted, with the processes killed at random.

One round drops real pictures, kills the daemon, the client or both a few times, starts again
at once what was killed, and waits until every source has been disposed of. Then it asks, from
the outside, what the promises say (see ``judging``): nothing lost, nothing done twice, no
source disposed of before the commit that holds its file, tags, URL, note and viewing time.

The client is killed at the end of each round as well, so that only what it had committed
counts. What a round does follows from its seed. The long form, with a table of figures, kills
each 200 times, and both together 100 times, over rounds of 1,000 files::

    python tests/crash/story.py --kills 200 --files 1000
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

from judging import Judge, Verdict
from stage import ClientProcess, DaemonProcess, Place, all_steps, digest, paint, wait_until

from hydrusd.model import JobState, OutcomeKind

TARGETS = ("daemon", "simulator", "both")
IMPORT_SECONDS = 0.003
ROUND_DEADLINE_SECONDS = 1200


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
    def of(cls, target: str, seed: int, usual_seconds: float, most_kills: int = 3) -> Plan:
        """Draw one. ``usual_seconds`` is how long the daemon works when nobody is killed."""
        chance = random.Random(f"{target} {seed}")
        # Clients without force_commit are seldom: the wait for their commits is long.
        api_version = chance.choices((95, 32, 11), (10, 1, 1))[0]
        kills = chance.randint(1, most_kills)
        return cls(
            seed=seed,
            moments=(
                _moment(chance, usual_seconds),
                # What was once reached is reached at once after a restart; then only time tells.
                *(_soon(chance, usual_seconds / kills) for _ in range(kills - 1)),
            ),
            dropped_while_running=chance.random() < 0.5,
            commit_seconds=1.5 if api_version < 95 else chance.choice((30, 30, 0.5)),
            api_version=api_version,
        )


def _moment(chance: random.Random, usual_seconds: float) -> Moment:
    # Time alone would hit the short phases seldom, and on a busy machine not at all.
    marks = (
        _soon(chance, usual_seconds),
        Moment("noticed", then_seconds=chance.uniform(0, 0.1)),
        Moment("imported", chance.random()),
        Moment("imported", 1, chance.uniform(0, usual_seconds / 4)),
        Moment("settling", then_seconds=chance.uniform(0, 0.05)),
        Moment("disposed", chance.random()),
    )
    return chance.choice(marks)


def _soon(chance: random.Random, seconds: float) -> Moment:
    return Moment("started", then_seconds=chance.uniform(0, min(seconds, 12)))


@dataclass
class Report:
    """What a round came to."""

    plan: Plan
    target: str
    files: int
    verdict: Verdict
    kills: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    seconds: float = 0
    working_seconds: float = 0

    def line(self) -> str:
        """Give the round in one line."""
        plan = self.plan
        soonest = self.verdict.closest_ms
        closest = "" if soonest is None else f", closest {soonest:.0f} ms"
        kills = "; ".join(self.kills) or "never"
        return (
            f"seed {plan.seed}, API {plan.api_version}, {self.seconds:4.1f} s, "
            f"redone {self.verdict.redone}{closest}: {self.target} killed {kills}"
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
        self._judge = Judge(self._place, self._hashes, plan.api_version)
        self._report = Report(plan, target, len(originals), self._judge.verdict)

    def play(self) -> Report:
        """Play it and look what it came to."""
        began = time.monotonic()
        try:
            self._play()
        except AssertionError as error:
            self._judge.verdict.fault(f"{error}\n--- daemon\n{self._daemon.words()}")
        finally:
            self._daemon.close()
            self._client.close()
        self._report.seconds = time.monotonic() - began
        return self._report

    # --- what happens --------------------------------------------------------------------

    def _play(self) -> None:
        url = self._client.start()
        rules = all_steps(self._plan.api_version)
        self._place.write_rules(url, rules=rules, commit_wait_seconds=5)
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
        self._end(began)

    def _end(self, began: float) -> None:
        """Wait until all is done, and judge what it came to."""
        wait_until(self._over, "all disposed of", pause=0.1, seconds=ROUND_DEADLINE_SECONDS)
        self._report.working_seconds = time.monotonic() - began
        self._daemon.wait_until_started()
        code = self._daemon.stop()
        if code != 0:
            self._judge.verdict.fault(f"the daemon was asked to stop and ended with {code}")
        self._client.kill()
        self._judge.judge(self._client.acknowledged())

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
        files = len(self._originals)
        return len(self._place.trashed()) >= files and self._place.ended(2 * files)

    def _await(self, moment: Moment) -> None:
        files = len(self._originals)
        reached = {
            "started": lambda: True,
            "noticed": lambda: self._place.states().total() > 0,
            "imported": lambda: len(set(self._client.acknowledged())) >= moment.share * files,
            "settling": lambda: self._place.states()["settling"] > 0 or self._over(),
            "disposed": lambda: len(self._place.trashed()) >= moment.share * files,
        }[moment.mark]
        wait_until(reached, str(moment), pause=0.02, seconds=ROUND_DEADLINE_SECONDS)
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
        self._bury(self._target)

    def _bury(self, target: str) -> None:
        """Hold what is gone from the disk against what was kept, and start anew what is dead."""
        # What is dead does not commit any more; what is alive was asked after the look.
        disposed = self._disposed()
        if target == "daemon":
            safe = set(self._client.state()["committed_files"])  # type: ignore[call-overload]
            whole = {r for r, h in self._hashes.items() if h in safe}
            self._judge.hold_against(disposed, whole, "the daemon was killed")
            self._daemon.start()
            return
        self._judge.client_died(self._client.acknowledged(), disposed)
        self._client.start()
        if target == "both":
            self._daemon.start()

    def _disposed(self) -> list[str]:
        dropped = list(self._dropped)
        waiting = self._place.waiting()
        return [relative for relative in dropped if relative not in waiting]

    def _phase(self) -> str:
        """Say what the daemon was about, as far as the ledger knows."""
        jobs = self._place.jobs()
        if not jobs:
            return "noticing" if self._place.ledger.exists() else "starting"
        running = [job for job in jobs if job.state is JobState.RUNNING]
        if running:
            done = [s.action for s in running[0].steps if s.outcome is OutcomeKind.DONE]
            if done:
                return f"after {done[-1]}"
            sent = set(self._client.acknowledged())
            files = (job.data["file"] for job in running if "file" in job.data)
            hashes = {self._hashes[f["relative"]] for f in files if isinstance(f, dict)}
            return "uploading" if hashes & sent else "hashing"
        states = Counter(job.state for job in jobs)
        if states[JobState.SETTLING]:
            return "settling"
        if states[JobState.READY]:
            return "between two sets"
        return "noticing" if len(jobs) < len(self._originals) else "idle"


def play(folder: Path, originals: Mapping[str, Path], target: str, plan: Plan) -> Report:
    """Play one round in an empty folder."""
    return Round(folder, originals, target, plan).play()


def usual(folder: Path, originals: Mapping[str, Path]) -> Report:
    """Play a round in which nobody is killed, to know how long one takes."""
    plan = Plan(0, (), dropped_while_running=False, commit_seconds=30, api_version=95)
    return play(folder, originals, "nobody", plan)


# --- the command -------------------------------------------------------------------------


def main() -> int:
    """Play rounds until there were kills enough, and print what they came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="of each; of both at once, half")
    parser.add_argument("--kills-a-round", type=int, default=9, help="at most")
    parser.add_argument("--kill", choices=(*TARGETS, "all"), default="all")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hydrusd-crash-"))
    originals = paint(folder / "originals", given.files)
    reports = [usual(folder / "usual", originals)]
    seconds = reports[0].working_seconds
    _say(f"{given.files} files take {seconds:.1f} s when nobody is killed")
    _say_faults(reports[0], folder / "usual")
    for target in TARGETS if given.kill == "all" else (given.kill,):
        kills, seed = 0, given.seed
        wanted = given.kills // 2 if target == "both" else given.kills
        while kills < wanted:
            place = folder / f"{target}-{seed}"
            plan = Plan.of(target, seed, seconds, min(given.kills_a_round, wanted - kills))
            report = play(place, originals, target, plan)
            reports.append(report)
            kills, seed = kills + len(report.kills), seed + 1
            _say(report.line())
            _say_faults(report, place)
        _say(table(reports))
    if any(report.verdict.faults for report in reports):
        return 1
    shutil.rmtree(folder)
    return 0


def _say_faults(report: Report, place: Path) -> None:
    for fault in report.verdict.faults:
        _say(f"  FAULT ({place} is kept): {fault}")
    if not report.verdict.faults:
        shutil.rmtree(place)


def table(reports: Sequence[Report]) -> str:
    """Give the figures of all rounds by what was killed."""
    columns = ("killed", "rounds", "kills", "files", "redone", "lost", "undone", "damaged")
    columns += ("twice", "early", "faults", "closest")
    rows = [columns]
    for target in dict.fromkeys(report.target for report in reports):
        mine = [report for report in reports if report.target == target]
        verdicts = [report.verdict for report in mine]
        counted = ("redone", "lost", "undone", "damaged", "twice", "early")
        sums = [str(sum(getattr(verdict, name) for verdict in verdicts)) for name in counted]
        margins = [v.closest_ms for v in verdicts if v.closest_ms is not None]
        rows.append(
            (
                target,
                str(len(mine)),
                str(sum(len(report.kills) for report in mine)),
                str(sum(report.files for report in mine)),
                *sums,
                str(sum(len(verdict.faults) for verdict in verdicts)),
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
