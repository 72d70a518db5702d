"""Having a program download, such that what it brings is imported whole, once, or not yet.

Downloaders name their files before they are complete, convert them afterwards, are killed, and
note in an archive what they have had, so as not to fetch it twice. Such a note outlives a power
failure; the file it speaks of may not. So a program never works where a rule watches:

- Each run has a room of its own, hidden in the folder that is watched, with a copy of the
  archive. Only when the program has ended by itself, and what it brought is on the disk, is the
  archive told of it, and all of it gets its name at once: one folder.
- When a run was cut short, only what the program has said to be complete is believed, and is
  taken along into the room of the next run, which begins with the true archive. A run that
  nobody has seen end may still be going on (its hydrusd was killed): it keeps a room that leads
  nowhere.

How a run ended is noted before its files get their name, so that whoever finds the room knows
how far it came.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import uuid
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from pydantic import BeforeValidator, Field, field_validator

from hydrusd.errors import PermanentError, TemporaryError
from hydrusd.model import JobId, Outcome
from hydrusd.opening import system_path
from hydrusd.plugin._action import AnyAction, Call, Fault, Foreseen
from hydrusd.plugin._outside import BesideAction
from hydrusd.plugin._processes import ProgramEnd, find_program, run_program
from hydrusd.redaction import redact
from hydrusd.rules import OR_ONE, Duration, FilePath, FolderPath
from hydrusd.syncing import sync_folder

MOST_PATHS_TOLD = 1000

_FILES, _PARTS, _LISTED, _COOKIES = "files", "parts", "complete.txt", "cookies.txt"
_ENDED, _STOPPED = "ended.json", "stopped"
_TEMPLATE = re.compile(r"\{\{|\{%")

Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    OR_ONE,
]
"""Some texts: a list, or only one."""


class DownloadAction(BesideAction):
    """An action that has a program download URLs into a folder that another rule watches.

    Subclasses say how the program is called (``command``), what its exit codes mean
    (``judge``), and how its archive is copied and merged. Later steps see ``folder`` (empty
    where nothing new came), ``files`` (how many) and ``paths`` (the first 1000).
    """

    no_undo: ClassVar[str] = (
        "what was downloaded may have been imported or be the only copy by now: "
        "delete its folder yourself"
    )
    needs_allowing: ClassVar[bool] = True
    writes_into: ClassVar[tuple[str, ...]] = ("to",)
    at_once: ClassVar[int] = 1  # whoever is asked by two runs at a time soon answers none
    program: ClassVar[str] = ""
    """What the program is called."""
    package: ClassVar[str] = ""
    """What it is imported as, where it is a package of Python: `python -m …` runs it, too."""
    install: ClassVar[str] = ""
    """What to say to somebody who does not have it."""
    archive_name: ClassVar[str] = ""
    """What its archive is called."""
    files_name: ClassVar[str] = _FILES
    list_name: ClassVar[str] = _LISTED
    parts_name: ClassVar[str] = _PARTS
    cookies_name: ClassVar[str] = _COOKIES

    url: Texts = Field(
        default=(), description="The URL, or a list of them; if left out, the one noticed."
    )
    to: FolderPath = Field(
        description="The folder that another rule watches; each run makes a folder in it."
    )
    archive: FilePath | None = Field(
        default=None,
        description=(
            "The file that notes what was downloaded, so that nothing is twice. Without: a hidden "
            "one in `to`."
        ),
    )
    cookies: FilePath | None = Field(
        default=None, description="A `cookies.txt` to give it; it gets a copy."
    )
    config: FilePath | None = Field(
        default=None, description="Its configuration, instead of the one of whoever runs hydrusd."
    )
    options: tuple[str, ...] = Field(
        default=(), description="More of its options, each a text of its own; no templates."
    )
    executable: FilePath | None = Field(
        default=None,
        description=(
            "The program's path. Without: the one installed with the Python that runs hydrusd, "
            "or else the first on `PATH`."
        ),
    )
    ok: tuple[int, ...] = Field(
        default=(), description="Exit codes that count as success, beside those that mean it."
    )
    timeout: Duration = Field(
        default=6 * 3600.0,
        gt=0,
        description="How long it may take; then it is stopped, and goes on later.",
    )

    @field_validator("options", "executable")
    @classmethod
    def _stands_in_the_rules(cls, value: object) -> object:
        texts = value if isinstance(value, tuple) else (value,)
        if any(_TEMPLATE.search(str(text)) for text in texts):
            raise ValueError("must not hold a template: anybody could write an option into it")
        return value

    # --- what a program is like ----------------------------------------------------------

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Give the options of the program, which runs in its room.

        Complete files go into the folder ``files_name``, and a line with the path of each into
        ``list_name``; what is not complete may go into the folder ``parts_name``. A copy of the
        cookies is in ``cookies_name``, if there are any, and one of the archive in
        ``archive_name``, if there is one yet.
        """

    @abstractmethod
    def judge(self, end: ProgramEnd) -> Outcome | None:
        """Give the outcome that an exit code means; None for success."""

    @classmethod
    @abstractmethod
    def copy_archive(cls, archive: Path, copy: Path) -> None:
        """Copy the archive, which is there; others may be using it."""

    @classmethod
    @abstractmethod
    def merge_archive(cls, copy: Path, archive: Path) -> None:
        """Add what is new in the copy to the archive, lastingly; it may not be there yet."""

    # --- an action -----------------------------------------------------------------------

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Name a program that is not there."""
        del rules
        if not self._found():
            yield Fault(self._missing, self.install, severity="warning")

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be downloaded to where."""
        plans = []
        for call in calls:
            assert isinstance(call.action, DownloadAction)
            try:
                urls = call.action._urls(call)  # noqa: SLF001 - its own
            except PermanentError as error:
                plans.append(Foreseen.dead(str(error)))
                continue
            what = redact(urls[0]) + (f" and {len(urls) - 1} more" if len(urls) > 1 else "")
            plans.append(Foreseen(f"would have {cls.program} download {what} to {call.action.to}"))
        return plans

    @classmethod
    async def perform(cls, calls: Sequence[Call[Any]]) -> Outcome:
        """Download, and give what came its name."""
        action, call = calls[0].action, calls[0]
        assert isinstance(action, DownloadAction)
        urls = action._urls(call)  # noqa: SLF001 - its own
        program = action._found()  # noqa: SLF001 - its own
        if not program:
            return Outcome.park_rule(f"{action._missing}: {action.install}")  # noqa: SLF001
        try:
            room = await to_thread.run_sync(action._prepared, call.job_id)  # noqa: SLF001
            if not (room.path / _ENDED).exists():
                end = await action._run(program, urls, room)  # noqa: SLF001 - its own
                name = f"{call.clock.now():%Y%m%dT%H%M%SZ}-{call.job_id}"
                await to_thread.run_sync(partial(action._close, room, end, name))  # noqa: SLF001
            return await to_thread.run_sync(action._published, room)  # noqa: SLF001 - its own
        except OSError as error:
            raise TemporaryError(
                f"{error.filename or action.to}: {error.strerror or error}"
            ) from error

    @property
    def _missing(self) -> str:
        return f"there is no program {str(self.executable or self.program)!r} that could be run"

    def _found(self) -> list[str]:
        """Give how the program is called; nothing where there is none.

        What is installed beside hydrusd was installed for it. What `PATH` leads to may be years
        old, and a site that has changed since is what such a program fails at.
        """
        if self.executable is not None:
            named = find_program(str(self.executable), self.executable.parent)
            return [] if named is None else [named]
        if beside := shutil.which(self.program, path=str(Path(sys.executable).parent)):
            return [beside]
        if self.package and _is_installed(self.package):
            return [sys.executable, "-P", "-m", self.package]
        found = shutil.which(self.program)
        return [] if found is None else [found]

    def _urls(self, call: Call[Any]) -> tuple[str, ...]:
        noticed = call.data.get("url")
        urls = self.url or ((noticed,) if isinstance(noticed, str) else ())
        if not urls:
            raise PermanentError(f"{self.action} has no url, and none was noticed")
        for url in urls:
            try:
                parts = urlsplit(url)
                good = parts.scheme in {"http", "https"} and bool(parts.hostname)
            except ValueError:
                good = False
            if not good:
                raise PermanentError(f"{redact(url)!r} is no URL of http:// or https://")
        return urls

    @property
    def _archive(self) -> Path:
        return self.archive or self.to / f".{self.program}-{self.archive_name}"

    # --- a run ---------------------------------------------------------------------------

    def _prepared(self, job_id: JobId) -> _Room:
        """Give a room to run in, with what is worth keeping of earlier runs of the job.

        Or one whose run has ended, and whose files wait for their name.
        """
        self.to.mkdir(parents=True, exist_ok=True)
        former = [_Room(path) for path in sorted(self.to.glob(f".hydrusd-{job_id}-*.part"))]
        for room in former:
            if (room.path / _ENDED).exists():
                return room
        new = _Room(self.to / f".hydrusd-{job_id}-{uuid.uuid4().hex[:8]}.part")
        new.path.mkdir()
        (new.path / _FILES).mkdir()
        for room in former:
            room.hand_over_to(new)
        if self._archive.exists():
            self.copy_archive(self._archive, new.path / self.archive_name)
        if self.cookies is not None:
            if not self.cookies.is_file():
                raise PermanentError(f"there is no file {self.cookies} (cookies)")
            copy = new.path / _COOKIES
            copy.touch(mode=0o600)
            shutil.copyfile(self.cookies, copy)
        return new

    async def _run(self, program: Sequence[str], urls: Sequence[str], room: _Room) -> ProgramEnd:
        command = [*program, *self.options, *self.command(), "--", *urls]
        try:
            end = await run_program(command, folder=room.path, timeout_seconds=self.timeout)
        except anyio.get_cancelled_exc_class():
            room.stopped()
            raise
        if end.exit_code is None or end.exit_code < 0:
            await to_thread.run_sync(room.stopped)
            raise TemporaryError(
                f"{self.program} did not end within {self.timeout:g} s; it goes on from there"
                if end.exit_code is None
                else f"{self.program}: {end.story}"
            )
        return end

    def _close(self, room: _Room, end: ProgramEnd, name: str) -> None:
        """Have all of it on the disk, and note how it ended."""
        if outside := room.listed_outside():
            raise PermanentError(
                f"{self.program} has put {outside} outside of {self.to}: take what says so out "
                "of `options` or `config`"
            )
        files = room.sync_files()
        folder = _free(self.to / name) if files else None
        outcome = None if end.exit_code in self.ok else self.judge(end)
        room.note(
            {
                "folder": str(folder) if folder else "",
                "files": len(files),
                "paths": [str(folder / path) for path in files[:MOST_PATHS_TOLD] if folder],
                "kind": outcome.kind if outcome else "",
                "detail": redact(outcome.detail) if outcome else "",
            }
        )

    def _published(self, room: _Room) -> Outcome:
        """Tell the archive, and give the files their name. Can be done again at any moment."""
        ended = room.noted()
        copy = room.path / self.archive_name
        if copy.exists():
            self._archive.parent.mkdir(parents=True, exist_ok=True)
            self.merge_archive(copy, self._archive)
        folder, count = str(ended["folder"]), int(ended["files"])
        files = room.path / _FILES
        if folder and files.exists():
            Path(system_path(str(files))).rename(system_path(folder))
            sync_folder(self.to)
        shutil.rmtree(system_path(str(room.path)), ignore_errors=True)
        came = f"{count} files downloaded: {folder}" if folder else "nothing new"
        if ended["kind"] == "retry":
            raise TemporaryError(f"{ended['detail']} ({came})")
        values = {name: ended[name] for name in ("folder", "files", "paths")}
        if ended["kind"]:
            return Outcome.dead(f"{ended['detail']} ({came})", values=values)
        receipt = {"downloaded": folder, "files": count} if folder else {}
        return Outcome.done(came, values=values, receipt=receipt)


def _is_installed(package: str) -> bool:
    """Say whether a package is where any process of this Python finds it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    if spec is None or spec.origin is None:
        return False
    # Programs get neither the variable nor this folder to work in.
    own = {"", str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    return any(Path(spec.origin).is_relative_to(place) for place in sys.path if place not in own)


@dataclass(frozen=True, slots=True)
class _Room:
    """Where one run of a program works."""

    path: Path

    def hand_over_to(self, new: _Room) -> None:
        """Give what is surely complete to another room; and what is not, if its run is over."""
        complete = self._listed()
        with (new.path / _LISTED).open("a", encoding="utf-8", newline="") as listed:
            listed.writelines(f"{Path(_FILES, path)}{os.linesep}" for path in complete)
        for file in _files_in(self.path / _FILES):
            if any(_belongs(file, path) for path in complete):
                target = Path(system_path(str(new.path / _FILES / file)))
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    Path(system_path(str(self.path / _FILES / file))).rename(target)
        parts = self.path / _PARTS
        if (self.path / _STOPPED).exists() and parts.exists():
            parts.rename(new.path / _PARTS)
        shutil.rmtree(system_path(str(self.path)), ignore_errors=True)

    def stopped(self) -> None:
        """Note that nothing works here any more."""
        (self.path / _COOKIES).unlink(missing_ok=True)
        (self.path / _STOPPED).touch()

    def listed_outside(self) -> str:
        """Give the path of a file that the program has put elsewhere."""
        for line in self._lines():
            if self._inner(line) is None:
                return line
        return ""

    def sync_files(self) -> list[Path]:
        """Have the files on the disk, and drop what is none; give their paths."""
        files = []
        for path in _files_in(self.path / _FILES):
            whole = system_path(str(self.path / _FILES / path))
            if path.suffix == ".part" or not Path(whole).is_file() or Path(whole).is_symlink():
                Path(whole).unlink()
                continue
            opened = os.open(whole, os.O_RDWR | getattr(os, "O_BINARY", 0))
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
            files.append(path)
        for folder, _, _ in os.walk(system_path(str(self.path / _FILES))):
            sync_folder(folder)
        return files

    def note(self, ended: Mapping[str, object]) -> None:
        """Note how the run ended, lastingly and all at once."""
        part = self.path / f"{_ENDED}.part"
        with part.open("w", encoding="utf-8") as file:
            json.dump(ended, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self.path / _ENDED)
        sync_folder(self.path)

    def noted(self) -> dict[str, Any]:
        """Give what was noted."""
        found = json.loads((self.path / _ENDED).read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found

    def _lines(self) -> list[str]:
        try:
            text = (self.path / _LISTED).read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        return [line.rstrip("\r") for line in text.split("\n") if line.strip()]

    def _listed(self) -> list[Path]:
        return [path for line in self._lines() if (path := self._inner(line)) is not None]

    def _inner(self, line: str) -> Path | None:
        """Give the path of a file in ``_FILES``; None where it is not there."""
        whole = os.path.abspath(self.path / line)  # noqa: PTH100 - links must not be followed
        for room in (os.path.abspath(self.path), os.path.realpath(self.path)):  # noqa: PTH100
            files = Path(room, _FILES)  # a program may see either as the folder it runs in
            if Path(whole).is_relative_to(files):
                return Path(whole).relative_to(files)
        return None


def _files_in(top: Path) -> list[Path]:
    """Give all that is in a folder and is none itself, by its path in there, sorted."""
    return sorted(
        Path(folder, name).relative_to(system_path(str(top)))
        for folder, _, names in os.walk(system_path(str(top)))
        for name in names
    )


def _belongs(file: Path, complete: Path) -> bool:
    """Say whether a file is a complete one, or is called after it: its sidecars."""
    if file.parent != complete.parent or file.suffix == ".part":
        return False
    return file == complete or file.name.startswith((f"{complete.name}.", f"{complete.stem}."))


def _free(folder: Path) -> Path:
    """Give a path where nothing is."""
    names = [folder, *(folder.with_name(f"{folder.name} ({n})") for n in range(2, 100))]
    return next(path for path in names if not os.path.lexists(path))
