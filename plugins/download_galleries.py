"""Has gallery-dl download galleries, for another rule to import with what they say of themselves.

    allow: [gallery_dl]
    rules:
      - name: download
        on:
          url_list: {path: ~/urls.txt}
        do:
          - gallery_dl: {to: ~/Pictures/downloads}
      - name: import
        on:
          watch_folder: {path: ~/Pictures/downloads, sidecars: [json]}
        do:
          - add_file:
          - apply_sidecar:

gallery-dl is a program of its own (GPL), and is only run as one. That a half of a file is never
imported, and nothing twice, is `hydrusd.plugin.DownloadAction`'s work. What is here is what one
has to know of gallery-dl: its options, its exit codes, which are bits, and its archive, which is
a database of SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from hydrusd.plugin import (
    AnyAction,
    DownloadAction,
    Outcome,
    ProgramEnd,
    hookimpl,
)

LOCKED_SECONDS = 60.0
"""How long to wait for others who use the archive."""

_LOGIN, _INPUT, _UNKNOWN_SITE = 16, 32, 64
_USAGE = 2
_WHY = {
    1: "it failed",
    4: "not all could be downloaded",
    8: "the site wants to see a person first",
    _LOGIN: "the site wants a login: give it `cookies`, or a `config` that holds one",
    _INPUT: "its options or its configuration are wrong",
    _UNKNOWN_SITE: "it does not know the site",
    128: "the system refused something",
}


class GalleryDl(DownloadAction):
    """Have gallery-dl download a gallery, with a JSON sidecar for each file.

    What came appears in `to`, as one folder, when all of it is whole; another rule imports it
    from there. What was downloaded once is not downloaded again. Stopped in the middle, it goes
    on later with what is missing.

    Where something failed, what came is there, and the rest is tried again, and then is a dead
    letter; `ok: [4]` overlooks files that cannot be had. Needs gallery-dl: `pip install
    gallery-dl`.

    Later steps see `steps.gallery_dl.folder` (empty where there was nothing new), `.files` (how
    many, sidecars included) and `.paths` (the first 1000).
    """

    action: ClassVar[str] = "gallery_dl"
    program: ClassVar[str] = "gallery-dl"
    package: ClassVar[str] = "gallery_dl"
    install: ClassVar[str] = "pip install gallery-dl, or name it as `executable`"
    archive_name: ClassVar[str] = "archive.sqlite3"

    def command(self) -> Sequence[str]:
        """Say where to, and what to note. All paths are plain names: it would expand others."""
        own = [] if self.config is None else ["--config-ignore", "--config", str(self.config)]
        if self.cookies is not None:
            own += ["--cookies", self.cookies_name]
        return [
            *own,
            "--no-input",
            "--no-colors",
            "--write-metadata",
            *("--destination", self.files_name),
            *("--download-archive", self.archive_name),
            # What an earlier run has left complete is in no archive yet.
            *("--option", "archive-event=file,skip"),
            *("--option", "skip=true"),
            *("--option", "part=true"),
            *("--Print-to-file", "after:{_path}", f"./{self.list_name}"),
        ]

    def judge(self, end: ProgramEnd) -> Outcome | None:
        """Read the bits."""
        code = end.exit_code or 0
        if code == 0:
            return None
        why = "; ".join(words for bit, words in _WHY.items() if code & bit) or "it failed"
        told = f"gallery-dl: {why} ({end.story})"
        if code == _USAGE or code & (_LOGIN | _INPUT | _UNKNOWN_SITE):
            return Outcome.dead(told)
        return Outcome.retry(told)

    @classmethod
    def copy_archive(cls, archive: Path, copy: Path) -> None:
        """Copy it as it is between two changes."""
        with (
            closing(sqlite3.connect(archive, timeout=LOCKED_SECONDS)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)

    @classmethod
    def merge_archive(cls, copy: Path, archive: Path) -> None:
        """Add what each table has more. Some people have one for each site."""
        with closing(sqlite3.connect(archive, timeout=LOCKED_SECONDS)) as database:
            database.execute("ATTACH ? AS new", (str(copy),))
            tables = database.execute(
                "SELECT name, sql FROM new.sqlite_master WHERE type = 'table'"
            ).fetchall()
            there = {name for (name,) in database.execute("SELECT name FROM main.sqlite_master")}
            for name, sql in tables:
                if name not in there:
                    database.execute(sql)
                quoted = '"' + name.replace('"', '""') + '"'
                database.execute(
                    f"INSERT OR IGNORE INTO main.{quoted} SELECT * FROM new.{quoted} "  # noqa: S608
                    f"EXCEPT SELECT * FROM main.{quoted}"
                )
            database.commit()


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(GalleryDl)
