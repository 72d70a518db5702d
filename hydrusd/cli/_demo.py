"""``hydrusd demo``: the main job, on real files, with nothing else installed.

The simulator, the daemon, the rules and the pictures are real; only the Hydrus client
is not. Everything lives in one temporary folder, the trash included.
"""

from __future__ import annotations

import colorsys
import json
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import click
from anyio import to_thread
from PIL import Image, ImageDraw
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hydrusd.cli._stopping import stopping_on_signals
from hydrusd.cli._terminal import configure_logs, make_console, plain, shorten
from hydrusd.daemon import LEDGER_FILE, Daemon, read_configuration
from hydrusd.errors import HydrusdError
from hydrusd.ledger import JobView, LedgerReader
from hydrusd.model import JobState, OutcomeKind
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig

RULES = """\
client:
  url: {url}
  access_key: {key}

rules:
  - name: import my pictures
    on:
      watch_folder: {{path: inbox, exclude: ["*.txt"], settle: 500ms}}
    if: file.size > 100
    do:
      - add_file:
      - add_tags:
          my tags:
            - from:inbox
            - "album:{{{{ file.parent.name }}}}"
            - "type:{{{{ file.suffix[1:] }}}}"
      - trash_source: {{folder: trash}}
"""

KINDS = (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("gif", "GIF"))
ALBUMS = ("holiday", "cats", "drawings")
PICTURE_SECONDS = 0.06
"""What an import takes on a real client."""
LONGEST_SECONDS = 60.0
LONGEST_SECONDS_A_PICTURE = 1.0
ROWS_SHOWN = 10


@dataclass
class _Result:
    """What the demo came to."""

    jobs: list[JobView] = field(default_factory=list)
    committed: int = 0
    left: list[str] = field(default_factory=list)
    trashed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Progress:
    """How far it has come: counted in the client and on the disk, not taken from the daemon."""

    imported: int
    committed: int
    trashed: int

    def line(self, pictures: int, console: Console) -> Text:
        """Give one line that fits: a bar, of which half fills with imports, and the counts."""
        text = (
            f"  imported {self.imported} · committed {self.committed} · "
            f"trashed {self.trashed} of {pictures}"
        )
        width = max(min(40, console.width - len(text) - 1), 0)
        filled = width * (self.imported + self.trashed) // (2 * pictures)
        full, empty = ("#", ".") if console.options.ascii_only else ("█", "░")
        return Text(full * filled + empty * (width - filled) + text)


def run_demo(pictures: int, *, as_json: bool) -> None:
    """Run it, show it, clean up."""
    console = make_console(stderr=as_json)
    console.quiet = as_json and not console.is_terminal
    configure_logs(level="warning")
    with tempfile.TemporaryDirectory(prefix="hydrusd-demo-", ignore_cleanup_errors=True) as name:
        result = anyio.run(_demo, Path(name), pictures, console)
    if result is None:
        console.print("Stopped; nothing is left behind.")
        return
    if as_json:
        click.echo(json.dumps(_plain(result), indent=2))
    else:
        _show(result, console)
    done = sum(job.state is JobState.DONE for job in result.jobs)
    if done != pictures or result.committed != pictures or result.trashed != pictures:
        raise HydrusdError(
            f"the demo did not come to its end: {done} of {pictures} done, "
            f"{result.committed} committed, {result.trashed} trashed"
        )


async def _demo(folder: Path, pictures: int, console: Console) -> _Result | None:
    inbox, trash = folder / "inbox", folder / "trash"
    inbox.mkdir()
    (inbox / "notes.txt").write_text("not a picture: the rule excludes it\n", encoding="utf-8")
    simulator = Simulator(SimulatorConfig(import_seconds=PICTURE_SECONDS))
    with simulator.serve() as url:
        rules = folder / "rules.yaml"
        rules.write_text(RULES.format(url=url, key=DEFAULT_ACCESS_KEY), encoding="utf-8")
        console.print(f"A simulated Hydrus client listens at {url}. The rules:\n")
        hidden = rules.read_text(encoding="utf-8").replace(DEFAULT_ACCESS_KEY, "(a key)")
        console.print(Text(hidden, style="dim"))
        daemon = Daemon(read_configuration(rules, safe_mode=True), folder / "state")
        result: _Result | None = None
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            daemon.stop()

        def progress() -> _Progress:
            return _Progress(
                imported=len(simulator.files),
                committed=len(simulator.committed_files()),
                trashed=len(_files(trash)),
            )

        async with anyio.create_task_group() as tasks:
            with stopping_on_signals(stop):

                async def run_and_end() -> None:
                    await daemon.run()
                    tasks.cancel_scope.cancel()

                async def drop() -> None:
                    await to_thread.run_sync(_make_pictures, inbox, pictures, stopped)

                tasks.start_soon(run_and_end, name="the daemon")
                tasks.start_soon(drop, name="dropping pictures")
                console.print(f"Dropping {pictures} pictures into the watched folder …")
                result = await _watch(folder / "state" / LEDGER_FILE, pictures, progress, console)
                daemon.stop()
        if result is not None:
            committed = simulator.committed_files()
            result.committed = sum(job.file_hash in committed for job in result.jobs)
            result.left = sorted(path.name for path in _files(inbox))
            result.trashed = len(_files(trash))
        return result


async def _watch(
    ledger: Path, pictures: int, progress: Callable[[], _Progress], console: Console
) -> _Result:
    """Follow the work until every picture has come to its end."""
    began = anyio.current_time()
    with (
        Live(console=console, transient=True, refresh_per_second=8) as live,
        anyio.move_on_after(LONGEST_SECONDS + LONGEST_SECONDS_A_PICTURE * pictures),
    ):
        while await to_thread.run_sync(_ended, ledger) < pictures:
            await anyio.sleep(0.2)
            if console.is_terminal:
                live.update((await to_thread.run_sync(progress)).line(pictures, console))
    jobs = await to_thread.run_sync(_jobs, ledger, pictures)
    return _Result(jobs=jobs, seconds=anyio.current_time() - began)


def _ended(path: Path) -> int:
    """Count the jobs that have ended."""
    try:
        reader = LedgerReader.open(path)
    except HydrusdError:
        return 0  # the daemon is just making it
    try:
        return sum(count.jobs for count in reader.counts() if count.state in _ENDINGS)
    finally:
        reader.close()


def _jobs(path: Path, limit: int) -> list[JobView]:
    reader = LedgerReader.open(path)
    try:
        return sorted(reader.jobs(limit), key=lambda job: Path(_file(job)).name)
    finally:
        reader.close()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _make_pictures(inbox: Path, count: int, stopped: threading.Event) -> None:
    """Paint small pictures, each of its own, as four kinds of files in three folders."""
    for number in range(count):
        if stopped.is_set():
            return
        suffix, kind = KINDS[number % len(KINDS)]
        album = inbox / ALBUMS[number % len(ALBUMS)]
        album.mkdir(exist_ok=True)
        red, green, blue = colorsys.hsv_to_rgb(number / count, 0.6, 0.9)
        colour = (round(255 * red), round(255 * green), round(255 * blue))
        picture = Image.new("RGB", (160, 120), colour)
        draw = ImageDraw.Draw(picture)
        draw.ellipse((20 + number % 60, 20, 100 + number % 60, 100), fill=colour[::-1])
        draw.text((8, 8), f"{number + 1}", fill="black")
        picture.save(album / f"{number + 1:04}.{suffix}", kind)


def _tags(job: JobView) -> list[str]:
    for step in job.steps:
        if step.action == "add_tags" and step.receipt is not None:
            added = step.receipt.get("added")
            if isinstance(added, dict):
                return [tag for file in added.values() for tags in file.values() for tag in tags]
    return []


def _said(job: JobView, action: str) -> str:
    """Give what a step said when it was done."""
    done = (s for s in job.steps if s.action == action and s.outcome is OutcomeKind.DONE)
    return next((step.detail for step in done), "")


def _file(job: JobView) -> str:
    file = job.data["file"]
    assert isinstance(file, dict)
    return str(file["relative"])


_ENDINGS = (JobState.DONE, JobState.SKIPPED, JobState.DEAD)


def _plain(result: _Result) -> dict[str, object]:
    return {
        "seconds": round(result.seconds, 2),
        "committed": result.committed,
        "trashed": result.trashed,
        "left": result.left,
        "files": [
            {
                "file": _file(job),
                "state": job.state,
                "hash": job.file_hash,
                "tags": _tags(job),
                "source": _said(job, "trash_source"),
            }
            for job in result.jobs
        ],
    }


def _show(result: _Result, console: Console) -> None:
    rows = [
        (
            plain(_file(job)),
            (job.file_hash or "")[:8],
            plain(", ".join(_tags(job))),
            "trashed" if _said(job, "trash_source") else str(job.state),
        )
        for job in result.jobs[:ROWS_SHOWN]
    ]
    # What the tags leave of the line is for the file's path.
    tags = min(max(map(len, (row[2] for row in rows)), default=0), 40)
    room = max(console.width - tags - len("01234567") - len("trashed") - 6, 12)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("file", "hash", "tags", "source"):
        table.add_column(column, no_wrap=True)
    for file, digest, tagged, source in rows:
        table.add_row(*map(Text, (shorten(file, room), digest, tagged, source)))
    console.print(table)
    if len(result.jobs) > ROWS_SHOWN:
        console.print(f"… and {len(result.jobs) - ROWS_SHOWN} more (--json lists all)")
    console.print(
        f"\n{len(result.jobs)} files in {result.seconds:.1f} s: imported, tagged, committed by "
        f"the client ({result.committed}),\nand only then moved to the trash ({result.trashed}). "
        f"Left in the folder: {', '.join(result.left) or 'nothing'}."
    )
