"""P5: bursts of files in 100 new folders, against watchdog alone.

Each burst is written to a folder that the daemon watches and, another time, to one that only
watchdog listens to: as fast as the disk takes it, in about 5 s, and in about 20 s. Of the daemon
every file must become one job, and none two. The client is away.

    python benchmarks/burst.py [FILES]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from _measuring import KEY, Figure, folder
from _trees import CLOSED, DaemonProcess, make_file

FOLDERS = 100
SPEEDS = {"as fast as can be": 0.0, "in about 5 s": 5.0, "in about 20 s": 20.0}
QUIET_SECONDS = 5.0
"""How long nothing must have come for watchdog to be through."""

RULES = f"""\
client: {{url: "{CLOSED}", access_key: {KEY}}}
rules:
  - name: import
    on:
      watch_folder: {{path: inbox}}
    do:
      - add_file:
"""


def main() -> None:
    """Burst at each speed, for both."""
    if sys.argv[1:2] == ["--listen"]:
        listen(sys.argv[2])
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    for name, seconds in SPEEDS.items():
        with folder() as where:
            ours, took = with_daemon(where, count, seconds)
        with folder() as where:
            theirs = with_watchdog(where, count, seconds)
        print(f"{count:,} files written in {took:.1f} s ({name})")
        Figure(f"P5 burst, {name}", ours, theirs, "files", count / theirs).print()
        sys.stdout.flush()


def write_burst(where: Path, count: int, seconds: float) -> float:
    """Write the files into new folders, in so many seconds if that is possible; give how many."""
    began = time.perf_counter()
    each = count // FOLDERS
    for number in range(FOLDERS):
        below = where / f"{number:03}"
        below.mkdir()
        for position in range(each):
            make_file(f"{below}/{position:05}.jpg", b"%d" % position)
            ahead = seconds * (number * each + position) / count - (time.perf_counter() - began)
            if ahead > 0.01:
                time.sleep(ahead)
    return time.perf_counter() - began


def with_daemon(where: Path, count: int, seconds: float) -> tuple[int, float]:
    """Give how many files became exactly one job each, and how long it took to write them."""
    (where / "inbox").mkdir()
    with DaemonProcess(where, RULES) as daemon:
        daemon.said("watching")
        took = write_burst(where / "inbox", count, seconds)
        daemon.wait_for("SELECT count(*) FROM job", count)
        time.sleep(3)  # whatever comes twice would come by now
        jobs = daemon.ask("SELECT count(*) FROM job")
        files = daemon.ask("SELECT count(DISTINCT json_extract(data, '$.file.path')) FROM event")
        events = daemon.ask("SELECT count(*) FROM event")
    if not jobs == files == events:
        raise SystemExit(f"{jobs:,} jobs, {events:,} events of {files:,} files")
    return files, took


def with_watchdog(where: Path, count: int, seconds: float) -> int:
    """Give of how many files watchdog tells."""
    command = [sys.executable, __file__, "--listen", str(where)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        write_burst(where, count, seconds)
        process.stdin.close()
        return int(process.stdout.readline())


def listen(where: str) -> None:
    """Count the files of which watchdog tells, until the writer is done and no more come."""
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        """Keeps which files were told of."""

        def on_any_event(self, event: FileSystemEvent) -> None:
            """Keep it."""
            if not event.is_directory:
                told.add(event.src_path)

    told: set[bytes | str] = set()
    observer = Observer()
    observer.schedule(Handler(), where, recursive=True)
    observer.start()
    print("listening", flush=True)
    sys.stdin.read()
    before = -1
    while before != len(told):
        before = len(told)
        time.sleep(QUIET_SECONDS)
    print(len(told))
    observer.stop()
    observer.join()


if __name__ == "__main__":
    main()
