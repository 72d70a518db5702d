"""``hydrusd demo``: the main job, on real files, with nothing else installed.

The simulator, the daemon, the rules and the pictures are real; only the Hydrus client
is not. Everything lives in one temporary folder, the trash included.
"""

from __future__ import annotations

import colorsys
import json
import tempfile
from collections import Counter
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

from hydrusd import logs
from hydrusd.daemon import LEDGER_FILE, Daemon, read_configuration, stopping_on_signals
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
LONGEST_SECONDS = 300
PICTURE_SECONDS = 0.06
ROWS_SHOWN = 40

Report = Callable[[str], None]


@dataclass
class _Result:
    """What the demo came to."""

    jobs: list[JobView] = field(default_factory=list)
    committed: int = 0
    left: list[str] = field(default_factory=list)
    trashed: int = 0
    seconds: float = 0.0


def run_demo(pictures: int, *, as_json: bool) -> None:
    """Run it, show it, clean up."""
    console = Console(highlight=False, stderr=as_json)
    logs.configure(level="warning")
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
    inbox = folder / "inbox"
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
        async with anyio.create_task_group() as tasks:
            with stopping_on_signals(daemon.stop):

                async def run_and_end() -> None:
                    await daemon.run()
                    tasks.cancel_scope.cancel()

                async def drop() -> None:
                    await to_thread.run_sync(_make_pictures, inbox, pictures)

                tasks.start_soon(run_and_end, name="the daemon")
                tasks.start_soon(drop, name="dropping pictures")
                console.print(f"Dropping {pictures} pictures into the watched folder …")
                result = await _watch(folder, pictures, console)
                daemon.stop()
        if result is not None:
            committed = simulator.committed_files()
            result.committed = sum(job.file_hash in committed for job in result.jobs)
            result.left = sorted(p.name for p in inbox.rglob("*") if p.is_file())
            result.trashed = sum(p.is_file() for p in (folder / "trash").rglob("*"))
        return result


async def _watch(folder: Path, pictures: int, console: Console) -> _Result | None:
    """Follow the ledger until every picture has come to its end."""
    began = anyio.current_time()
    said = ""
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        with anyio.move_on_after(LONGEST_SECONDS):
            while True:
                await anyio.sleep(0.2)
                counts = await to_thread.run_sync(_count, folder / "state" / LEDGER_FILE)
                ended = sum(counts[s] for s in (JobState.DONE, JobState.SKIPPED, JobState.DEAD))
                line = _progress(counts, ended, pictures)
                if console.is_terminal:
                    live.update(Text(line))
                elif line != said and ended == pictures:
                    console.print(line)
                said = line
                if ended >= pictures:
                    break
    result = _Result(seconds=anyio.current_time() - began)
    result.jobs = await to_thread.run_sync(_jobs, folder / "state" / LEDGER_FILE, pictures)
    return result


def _progress(counts: Counter[JobState], ended: int, pictures: int) -> str:
    width = 30
    bar = "█" * (width * ended // pictures)
    working = counts[JobState.READY] + counts[JobState.RUNNING]
    return (
        f"{bar:░<{width}}  noticed {sum(counts.values())} · working {working} · "
        f"settling {counts[JobState.SETTLING]} · done {ended} of {pictures}"
    )


def _count(path: Path) -> Counter[JobState]:
    counts: Counter[JobState] = Counter()
    if path.is_file():
        try:
            reader = LedgerReader.open(path)
        except HydrusdError:
            return counts  # the daemon is just making it
        try:
            for count in reader.counts():
                counts[count.state] += count.jobs
        finally:
            reader.close()
    return counts


def _jobs(path: Path, limit: int) -> list[JobView]:
    reader = LedgerReader.open(path)
    try:
        return reader.jobs(limit)
    finally:
        reader.close()


def _make_pictures(inbox: Path, count: int) -> None:
    """Paint small pictures, each of its own, as four kinds of files in three folders."""
    for number in range(count):
        suffix, kind = KINDS[number % len(KINDS)]
        album = inbox / ALBUMS[number % len(ALBUMS)]
        album.mkdir(exist_ok=True)
        red, green, blue = colorsys.hsv_to_rgb(number / count, 0.6, 0.9)
        colour = (round(255 * red), round(255 * green), round(255 * blue))
        picture = Image.new("RGB", (160, 120), colour)
        draw = ImageDraw.Draw(picture)
        draw.ellipse((20 + number % 60, 20, 100 + number % 60, 100), fill=colour[::-1])
        draw.text((8, 8), f"{number + 1}", fill="black")
        picture.save(album / f"picture {number + 1:03}.{suffix}", kind)


def _tags(job: JobView) -> list[str]:
    for step in job.steps:
        if step.action == "add_tags" and step.receipt is not None:
            added = step.receipt.get("added")
            if isinstance(added, dict):
                return [tag for tags in added.values() for tag in tags]
    return []


def _ended(job: JobView, action: str) -> str:
    return next((s.detail for s in job.steps if s.action == action and s.outcome is DONE), "")


DONE = OutcomeKind.DONE


def _file(job: JobView) -> str:
    file = job.data["file"]
    assert isinstance(file, dict)
    return str(file["relative"])


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
                "source": _ended(job, "trash_source"),
            }
            for job in result.jobs
        ],
    }


def _show(result: _Result, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("file", "Hydrus", "tags", "source"):
        table.add_column(column)
    for job in result.jobs[:ROWS_SHOWN]:
        table.add_row(
            Text(_file(job)),
            Text(f"{_ended(job, 'add_file')} {(job.file_hash or '')[:8]}"),
            Text(", ".join(_tags(job))),
            Text("in the trash" if _ended(job, "trash_source") else str(job.state)),
        )
    console.print(table)
    if len(result.jobs) > ROWS_SHOWN:
        console.print(f"… and {len(result.jobs) - ROWS_SHOWN} more")
    console.print(
        f"\n{len(result.jobs)} files in {result.seconds:.1f} s: {result.committed} committed by "
        f"the client before their sources went to the trash ({result.trashed}). "
        f"Left in the folder: {', '.join(result.left) or 'nothing'}."
    )
