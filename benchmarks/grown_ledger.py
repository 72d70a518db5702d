"""A ledger of a million finished jobs against one of a thousand: each thing must take as long.

Both are worked on in turns, so that the machine is as busy for one as for the other. The items of
the small ledger are made by the ledger itself; the large one has copies of them under other paths
and numbers, because making each would take an hour and be the same rows. At last all is pruned, to
see what an item takes on the disk before and after.

    python benchmarks/grown_ledger.py [ITEMS]
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from _measuring import Figure, folder
from upload_memory import resident

from hydrusd.ledger import (
    ClaimFilter,
    History,
    JobUpdate,
    Ledger,
    NewJob,
    PendingEvent,
    Retention,
    StepUpdate,
)
from hydrusd.model import Event, Job, JobState, OutcomeKind, StepRecord
from hydrusd.plugin import FileSource

SEED = 1_000
ROUNDS = 15
SET = 256
LANE = "hydrus"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FINISHED = NOW - timedelta(days=100)
RULES = {"import": "0123456789ab"}
REACH = 0.5
"""Twice as long is allowed for: its indexes are a level or two deeper, and lie on the disk."""
MEMORY_REACH = 1.25


def _source(number: int, where: str = "inbox") -> FileSource:
    root = Path(f"/home/somebody/Pictures/{where}")
    path = root / f"{number // 100:04}" / f"picture number {number}.png"
    return FileSource(path, root, 123_456 + number, 1_700_000_000_000_000_000 + number, number)


def _pending(number: int, where: str = "inbox") -> PendingEvent:
    source = _source(number, where)
    wanted = NewJob("import", RULES["import"], LANE, needs_client=True)
    return PendingEvent(Event(source.key, {"file": source.to_data()}), [wanted])


def _hash(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def _hash_of(item: Job) -> str:
    file: Any = item.data["file"]
    return _hash(file["inode"])


def _step(item: Job, position: int, now: datetime) -> StepUpdate:
    digest = _hash_of(item)
    if position == 0:
        receipt: dict[str, object] = {"imported": digest}
        values: dict[str, object] = {"hash": digest, "status": 1, "note": ""}
        record = StepRecord(0, "add_file", OutcomeKind.DONE, "imported", values, receipt, now)
    else:
        receipt = {"added": {"6c6f63616c2074616773": {digest: ["from:inbox", "folder:0001"]}}}
        record = StepRecord(1, "add_tags", OutcomeKind.DONE, "2 tags added", {}, receipt, now)
    return StepUpdate(item.id, record)


def _finish(ledger: Ledger, jobs: list[Job], now: datetime) -> None:
    updates = [
        JobUpdate(
            job_id=item.id,
            event_id=item.event_id,
            claimed_attempt=item.attempt,
            state=JobState.DONE,
            step=2,
            needs_client=True,
            attempt=0,
            run_at=now,
            file_hash=_hash_of(item),
            boot=None,
            run_id=item.run_id,
        )
        for item in jobs
    ]
    steps = [_step(item, position, now) for item in jobs for position in (0, 1)]
    ledger.checkpoint("me", updates, steps, now, began={"import": len(jobs)})


def make_small(path: Path) -> None:
    """Have the ledger itself take in and finish a thousand items."""
    with closing(Ledger.open(path)) as ledger:
        for first in range(0, SEED, 50):
            ledger.take_in("watch_folder", [_pending(first + n) for n in range(50)], FINISHED)
        while jobs := ledger.claim(ClaimFilter(LANE), "me", SET, FINISHED):
            _finish(ledger, jobs, FINISHED)


def grow(path: Path, items: int) -> None:
    """Copy the items until there are so many, under other paths, hashes and numbers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        tables = ("event", "run", "job", "step", "mention")
        columns = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in tables
        }
        connection.execute("BEGIN")
        for copy in range(1, items // SEED):
            shift = copy * SEED
            new = {
                "id": f"id + {shift}",
                "event_id": f"event_id + {shift}",
                "job_id": f"job_id + {shift}",
                "run_id": f"run_id + {copy * (SEED // 50)}",
                "key": f"""'"/home/somebody/Pictures/{copy:06}' || substr(key, 26)""",
                "file_hash": f"'{copy:08x}' || substr(file_hash, 9)",
            }
            for table in tables:
                moved = new | ({"id": f"id + {copy * (SEED // 50)}"} if table == "run" else {})
                names = ", ".join(f'"{name}"' for name in columns[table])
                values = ", ".join(moved.get(name, f'"{name}"') for name in columns[table])
                limit = SEED if table != "run" else SEED // 50
                own = {"mention": "event_id", "step": "job_id"}.get(table, "id")
                connection.execute(
                    f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} "
                    f"WHERE {own} <= {limit}"
                )
        connection.execute("UPDATE ended SET jobs = (SELECT count(*) FROM job)")
        connection.execute("COMMIT")


class Worked:
    """One of the two ledgers, with what is done to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger.open(path)
        self.history = History.open(path)
        self.jobs: list[Job] = []
        self.fresh = 10_000_000 + self.history.newest_job()

    def close(self) -> None:
        """Close it."""
        self.history.close()
        self.ledger.close()

    def start(self) -> None:
        """Do what a daemon does when it starts."""
        self.close()
        self.ledger, self.history = Ledger.open(self.path), History.open(self.path)
        self.ledger.clear_conditions()
        self.ledger.release(NOW)
        self.ledger.open_rules()
        self.ledger.latest_time()
        self.ledger.begun_since(NOW)
        self.ledger.unbegun({"import": "another"}, 500)
        self.ledger.settling(LANE)

    def unseen(self) -> None:
        """Ask for 500 files that were had, as the scan of a folder does."""
        keys = [_source(number).key for number in range(500)]
        assert not self.ledger.unseen("watch_folder", keys, RULES)

    def take_in(self) -> None:
        """Take in a set of new files."""
        self.fresh += SET
        pending = [_pending(self.fresh + n, "new") for n in range(SET)]
        assert self.ledger.take_in("watch_folder", pending, NOW).jobs == SET

    def claim(self) -> None:
        """Claim a set."""
        self.jobs = self.ledger.claim(ClaimFilter(LANE), "me", SET, NOW)
        assert len(self.jobs) == SET

    def checkpoint(self) -> None:
        """Store what came of a set."""
        _finish(self.ledger, self.jobs, NOW)

    def explain_path(self) -> None:
        """Explain a path."""
        assert len(self.history.about_key(FileSource.key_start(_source(7).path), 50)) == 1

    def explain_hash(self) -> None:
        """Explain a hash."""
        assert len(self.history.about_hash(_hash(7), 50)) == 1

    def explain_job(self) -> None:
        """Explain a job."""
        assert self.history.about_job(7) is not None

    def status(self) -> None:
        """Ask what `hydrusd status` shows."""
        assert self.history.counts()
        self.history.conditions()
        self.history.dead(10)

    def runs(self) -> None:
        """List the newest runs."""
        assert len(self.history.runs(20)) == 20

    def dead(self) -> None:
        """List dead letters, of a rule and all."""
        self.history.dead(20)
        self.history.dead(20, rule="import")


OPERATIONS: dict[str, Callable[[Worked], None]] = {
    "start": Worked.start,
    "unseen": Worked.unseen,
    "take in": Worked.take_in,
    "claim": Worked.claim,
    "checkpoint": Worked.checkpoint,
    "explain a path": Worked.explain_path,
    "explain a hash": Worked.explain_hash,
    "explain a job": Worked.explain_job,
    "status": Worked.status,
    "runs": Worked.runs,
    "dead": Worked.dead,
}


def _timed(operation: Callable[[Worked], None], worked: Worked) -> float:
    began = time.perf_counter()
    operation(worked)
    return time.perf_counter() - began


def memory_of(path: Path) -> float:
    """Give the megabytes of a process that has this ledger open and has done everything once."""
    code = "import sys; from grown_ledger import rest; rest(sys.argv[1])"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def rest(path: str) -> None:
    """Do everything once and print the memory that is held then."""
    worked = Worked(Path(path))
    for operation in OPERATIONS.values():
        operation(worked)
    print(resident()())
    worked.close()


def count(path: Path) -> int:
    """Give how many items there are."""
    with closing(History.open(path)) as history:
        return history.newest_job()


def prune(path: Path) -> tuple[float, float, float]:
    """Prune everything; give bytes of an item before and after, and the longest piece's seconds."""
    with closing(Ledger.open(path)) as ledger:
        ledger.compact()
        items = count(path)
        before, _ = ledger.room()
        cursor, longest, limits = None, 0.0, Retention(NOW, NOW)
        while True:
            began = time.perf_counter()
            part = ledger.prune_events(limits, NOW, after=cursor)
            longest = max(longest, time.perf_counter() - began)
            cursor = part.cursor
            if cursor is None:
                break
        ledger.compact()
        after, _ = ledger.room()
    return before / items, after / items, longest


def main() -> None:
    """Make both ledgers, measure in turns, print the ratios."""
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with folder() as where:
        paths = {"small": where / "small.sqlite", "large": where / "large.sqlite"}
        make_small(paths["small"])
        shutil.copy(paths["small"], paths["large"])
        grow(paths["large"], items)
        print(f"{items:,} finished items: {paths['large'].stat().st_size / 1024**2:,.0f} MB")
        both = {name: Worked(path) for name, path in paths.items()}
        for name, operation in OPERATIONS.items():
            seconds: dict[str, list[float]] = {each: [] for each in both}
            for _ in range(ROUNDS):
                for each, worked in both.items():
                    if name in {"claim", "checkpoint"}:
                        worked.take_in()
                    if name == "checkpoint":
                        worked.claim()
                    seconds[each].append(_timed(operation, worked))
                    if name == "claim":
                        worked.checkpoint()
            rates = {each: 1 / median(some) for each, some in seconds.items()}
            Figure(f"{name}", rates["large"], rates["small"], "a second", REACH).print()
        for worked in both.values():
            worked.close()
        memory = {name: memory_of(path) for name, path in paths.items()}
        ratio = memory["large"] / memory["small"]
        print(f"memory: {memory['large']:.0f} MB against {memory['small']:.0f}: {ratio:.2f}")
        print(json.dumps({"name": "memory", "ratio": round(ratio, 3), "at most": MEMORY_REACH}))
        before, after, longest = prune(paths["large"])
        print(
            f"pruned: {before:,.0f} bytes an item before, {after:,.0f} after; "
            f"the longest piece took {longest * 1000:.0f} ms"
        )


if __name__ == "__main__":
    main()
