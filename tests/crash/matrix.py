"""The crash matrix: every boundary of a job's way, and who dies there.

Where ``story`` kills at random, this kills at named moments (see ``dying``): before, within and
after each thing that is stored, asked, answered or done, the daemon, the client, or both. A
round is a list of such deaths, one after the other, each with a few files of its own in the
inbox, so that the moment is sure to come; what it came to is judged as in the story.

CI has each moment once. The long form has each with each victim, so many times, at the
first, second, third … time that the moment comes, and prints how it ended::

    python tests/crash/matrix.py --times 10
    python tests/crash/matrix.py --times 3 --api-version 32
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dying import CLIENT_MOMENTS, DAEMON_MOMENTS, LOSS_MOMENTS, VICTIMS
from stage import ClientProcess, DaemonProcess, all_steps, paint, wait_until
from story import Plan, Report, Round, table

FILES_A_DEATH = 4
IMPORT_SECONDS = 0.03
"""Long enough for some of a set to be stored while the others are sent."""
DEATH_DEADLINE_SECONDS = 30
LAUNCHER = Path(__file__).with_name("dying.py").resolve()

# How often a moment comes, at the least, while a few files go their way; once where not named.
OFTEN = {
    "request sent": 8,
    "answer received": 8,
    "outcome stored": 5,
    "batch half stored: within": 5,
    "commit asked": 2,
    "source disposed of": FILES_A_DEATH,
    "file served": FILES_A_DEATH,
    "change served": 8,
    "commit promised": 2,
}
NEEDS_FORCED_COMMITS = ("commit asked", "commit answered", "commit promised")


@dataclass(frozen=True)
class Death:
    """Who dies at which moment, the n-th time that it comes."""

    moment: str
    victims: tuple[str, ...]
    n: int = 1

    def __str__(self) -> str:
        times = f" ({self.n}.)" if self.n > 1 else ""
        return f"{' and '.join(self.victims)} at {self.moment}{times}"

    @property
    def target(self) -> str:
        """The same in the story's words."""
        if len(self.victims) > 1:
            return "both"
        return "daemon" if self.victims == ("daemon",) else "simulator"


LOSS = Death("answer received: after", ("client",), n=FILES_A_DEATH)
"""A client that dies with something acknowledged and not committed."""


def boundary(moment: str) -> str:
    """Give what a moment is before, within or after."""
    return moment.partition(":")[0]


def boundaries() -> dict[str, list[str]]:
    """Give all moments by their boundary."""
    found: dict[str, list[str]] = {}
    for moment in (*DAEMON_MOMENTS, *LOSS_MOMENTS, *CLIENT_MOMENTS):
        found.setdefault(boundary(moment), []).append(moment)
    return found


def death(moment: str, victims: tuple[str, ...], chance: random.Random) -> list[Death]:
    """Give the death at a moment, at any time that it is sure to come, and what has to precede."""
    most = OFTEN.get(moment, OFTEN.get(boundary(moment), 1))
    planned = Death(moment, victims, chance.randint(1, most))
    return [LOSS, planned] if moment in LOSS_MOMENTS else [planned]


class Deaths(Round):
    """One round in a folder of its own: these deaths, in this order."""

    def __init__(
        self,
        folder: Path,
        originals: Mapping[str, Path],
        deaths: Sequence[Death],
        *,
        api_version: int = 95,
    ) -> None:
        # Only what was asked for is committed, so that all else is lost with the client;
        # clients that cannot be asked commit by themselves all the time.
        seconds = 30 if api_version >= 95 else 0.4
        plan = Plan(0, (), False, seconds, api_version)
        super().__init__(folder, originals, "matrix", plan)
        self._deaths = deaths
        self._daemon = DaemonProcess(self._place, launcher=LAUNCHER)
        self._client = ClientProcess(
            self._place,
            commit_seconds=seconds,
            import_seconds=IMPORT_SECONDS,
            api_version=api_version,
            launcher=LAUNCHER,
        )

    def _play(self) -> None:
        url = self._client.start()
        rules = all_steps(self._plan.api_version)
        self._place.write_rules(url, rules=rules, settle="50ms", commit_wait_seconds=1)
        self._daemon.start()
        began = time.monotonic()
        files = list(self._originals.items())
        for number, each in enumerate(self._deaths):
            self._tell_pids()
            self._order(number, each)
            for relative, original in files[number * FILES_A_DEATH :][:FILES_A_DEATH]:
                self._place.drop(relative, original)
                self._dropped.append(relative)
            self._await_death(number, each)
            self._report.kills.append(str(each))
            self._report.phases.append(each.moment)
            self._bury(each.target)
        self._end(began)

    def _tell_pids(self) -> None:
        """Let each know the other, before it can be told to kill it."""
        for name, other in (("daemon", self._daemon), ("client", self._client)):
            (self._place.folder / f"{name}.pid").write_text(str(other.running().pid))

    def _order(self, number: int, each: Death) -> None:
        order = {"number": number, "moment": each.moment, "n": each.n, "victims": each.victims}
        passing = self._place.folder / "moment.passing"
        passing.write_text(json.dumps(order), encoding="utf-8")
        passing.replace(self._place.folder / "moment.json")

    def _await_death(self, number: int, each: Death) -> None:
        done = self._place.folder / f"moment-{number}"
        victims = [self._daemon if v == "daemon" else self._client for v in each.victims]

        def dead() -> bool:
            if not done.exists():
                ended = self._daemon.is_dead() or self._client.is_dead()
                if not ended or done.exists():  # it came that very moment
                    return False
                self._daemon.running()  # nobody dies unasked: it is told as what it is
                self._client.running()
            return all(victim.is_dead() for victim in victims)

        wait_until(dead, f"death of {each}", seconds=DEATH_DEADLINE_SECONDS)


def play(
    folder: Path, originals: Mapping[str, Path], deaths: Sequence[Death], *, api_version: int = 95
) -> Report:
    """Play one round in an empty folder, with as many of the pictures as it takes."""
    needed = len(deaths) * FILES_A_DEATH
    assert needed <= len(originals), f"{needed} pictures are needed"
    mine = dict(list(originals.items())[:needed])
    return Deaths(folder, mine, deaths, api_version=api_version).play()


# --- the command -------------------------------------------------------------------------


def main() -> int:
    """Play the whole matrix so often, and print what it came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=3, help="each moment with each victim")
    parser.add_argument("--api-version", type=int, choices=(95, 32, 11), default=95)
    parser.add_argument("--only", default="", help="boundaries whose name has this in it")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hydrusd-matrix-"))
    chosen = {
        name: moments
        for name, moments in boundaries().items()
        if given.only in name and (given.api_version >= 95 or name not in NEEDS_FORCED_COMMITS)
    }
    most = max(len(moments) for moments in chosen.values())
    originals = paint(folder / "originals", most * len(VICTIMS) * 2 * FILES_A_DEATH)
    reports, deaths = [], Counter[str]()
    for time_number in range(given.times):
        for name, moments in chosen.items():
            chance = random.Random(f"{name} {given.seed + time_number}")
            pairs = [(moment, victims) for moment in moments for victims in VICTIMS]
            chance.shuffle(pairs)
            planned = [each for pair in pairs for each in death(*pair, chance)]
            place = folder / f"{name} {time_number}"
            report = play(place, originals, planned, api_version=given.api_version)
            reports.append(report)
            deaths.update(each.target for each in planned[: len(report.kills)])
            _say(f"{name}: {len(report.kills)} deaths, {report.seconds:.1f} s")
            for fault in report.verdict.faults:
                _say(f"  FAULT ({place} is kept): {fault}\n  after {'; '.join(report.kills)}")
            if not report.verdict.faults:
                shutil.rmtree(place)
    _say(table(reports))
    _say(", ".join(f"{target} died {count} times" for target, count in deaths.items()))
    if any(report.verdict.faults for report in reports):
        return 1
    shutil.rmtree(folder)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
