"""The examples of docs/shipped-plugins.md."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sqlite3
import sys
import zipfile
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from exampling import Example
from local import HurryingClock
from PIL import ExifTags, Image, PngImagePlugin

from hydrusd.model import JobState
from hydrusd.testing import paint

sys.path.append(str(Path(__file__).parents[1] / "builtin"))
sys.path.append(str(Path(__file__).parents[1] / "shipped"))

from downloads import Site
from outside import Hook

PAGE = "shipped-plugins.md"
CURRENT = 0
MOST_LOOKS = 10


def photo():
    picture = Image.new("RGB", (8, 6), "teal")
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon", "Canon EOS 6D"
    exif[ExifTags.Base.ImageDescription] = "A lake"
    written = io.BytesIO()
    picture.save(written, "JPEG", exif=exif)
    return written.getvalue()


def a_photo(project):
    project.drop("Pictures/photos/lake.jpg", photo())


def its_camera_is_told(project):
    file_hash = project.sha256("Pictures/photos/lake.jpg")
    assert project.simulator.tags(file_hash)[CURRENT] == {"camera:canon eos 6d"}
    [row] = project.ask("/get_files/file_metadata", hash=file_hash, include_notes="true")[
        "metadata"
    ]
    assert row["notes"] == {"description": "A lake"}


def a_generated_picture(project):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a castle, (night:1.2)\nSteps: 20, Seed: 7, Model: dream")
    written = io.BytesIO()
    Image.new("RGB", (8, 6)).save(written, "PNG", pnginfo=info)
    project.drop("Pictures/generated/a.png", written.getvalue())


def its_prompt_is_told(project):
    tags = project.simulator.tags(project.sha256("Pictures/generated/a.png"))
    assert tags[CURRENT] == {"prompt:a castle", "prompt:night", "model:dream"}


def an_archive(project):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(zipfile.ZipInfo("1.png"), paint("1.png"))  # of a fixed time
    project.drop("Pictures/archives/My Comic.cbz", written.getvalue())


def its_picture_was_imported(project):
    tags = project.simulator.tags(hashlib.sha256(paint("1.png")).hexdigest())
    assert tags[CURRENT] == {"title:my comic"}


class Almost(HurryingClock):
    """A clock that runs ahead, and begins shortly before a certain time tomorrow."""

    def __init__(self, hour: int, minute: int) -> None:
        super().__init__()
        now = datetime.now().astimezone()
        day = now.replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(days=1)
        self._ahead = day - timedelta(seconds=90) - now

    def now(self) -> datetime:
        return super().now() + self._ahead


def a_database(project):
    (project.folder / "Hydrus" / "db").mkdir(parents=True)
    with closing(sqlite3.connect(project.folder / "Hydrus" / "db" / "client.db")) as database:
        database.execute("CREATE TABLE t (name TEXT)")


def it_was_copied(project):
    [copy] = (project.folder / "backup" / "hydrus").iterdir()
    assert (copy / "client.db").read_bytes().startswith(b"SQLite format 3")
    assert project.ask("/get_services")


def duplicates(project):
    one, other = project.seed("one.png"), project.seed("other.png")
    project.simulator.add_potential_duplicates(one, other, distance=0, same_pixels=True)


def they_are_tagged(project):
    for name in ("one.png", "other.png"):
        assert project.simulator.tags(project.sha256(name))[CURRENT] == {"to do:duplicates"}


def a_broken_file(project):
    project.drop("Pictures/inbox/broken.png", b"this is no picture")


def it_is_told_of(project):
    [popup] = project.ask("/manage_popups/get_popups")["job_statuses"]
    assert "1 job failed since" in str(popup)
    assert "broken.png: " in str(popup)


VIDEO = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(4000)
SITES = []


def on_a_site(name, kind, content, listed):
    """Give what puts a file on a site, and its address into a list."""

    def prepare(project):
        SITES.append(Site({f"/{name}": (kind, content)}))
        project.write({listed: f"{SITES[-1].url}/{name}\n"})

    return prepare


def downloaded(content, *tags):
    """Give what says that it was downloaded once, imported and disposed of."""

    def check(project):
        site = SITES.pop()
        site.close()
        sha256 = hashlib.sha256(content).hexdigest()
        assert project.simulator.files[sha256].status == "current"
        assert project.simulator.tags(sha256, "downloader tags").get(CURRENT, set()) >= set(tags)
        downloads = next(project.folder.glob("*/downloads"))
        assert [path for path in downloads.iterdir() if path.name[0] != "."] == []
        # The programs tell in it of a port and of a browser, which are others each time.
        [told] = downloads.parent.glob("trash/*.json")
        told.unlink()

    return check


def of_the_documents():
    """Give the tagger that the documents write down."""
    text = (Path(__file__).parents[2] / "docs" / PAGE).read_text(encoding="utf-8")
    return re.search(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]


def a_moving_picture(project):
    project.write({"tagger.py": of_the_documents()})
    project.drop("Pictures/inbox/a.gif", paint("a.gif") + b"NETSCAPE2.0")


def it_is_said_to_move(project):
    tags = project.simulator.tags(project.sha256("Pictures/inbox/a.gif"))
    assert tags[CURRENT] == {"animated", "rating:unknown"}


class Proxied(Mapping):
    """An environment in which a board of the documents is on this machine, behind a proxy.

    Whoever looks what is in it gets a new board.
    """

    board = None
    names = ("HTTP_PROXY", "http_proxy")

    def __iter__(self):
        type(self).board = Hook()
        md5 = hashlib.md5(paint("a.png")).hexdigest()
        for _ in range(MOST_LOOKS):
            self.board.answer(200, json.dumps([{"id": 17, "md5": md5}]).encode())
        return iter(self.names)

    def __getitem__(self, name):
        if name not in self.names:
            raise KeyError(name)
        return self.board.url

    def __len__(self):
        return len(self.names)


def a_picture_of_the_board(project):
    project.drop("Pictures/inbox/a.png", paint("a.png"))


def its_post_is_noted(project):
    Proxied.board.close()
    entry = project.simulator._client.store.entries[project.sha256("Pictures/inbox/a.png")]
    assert list(entry.known_urls) == ["http://board.example/posts/17"]


UNHURRIED = partial(HurryingClock, 2)
"""A program takes its time; by a clock that runs faster it would be taken for one that hangs."""

EXAMPLES = {
    "gallery_dl": Example(
        PAGE,
        downloaded(paint("a.png")),
        on_a_site("a.png", "image/png", paint("a.png"), "galleries.txt"),
        run={"jobs": 2},
        clock=UNHURRIED,
    ),
    "yt_dlp": Example(
        PAGE,
        downloaded(VIDEO, "title:film"),
        on_a_site("film.mp4", "video/mp4", VIDEO, "videos.txt"),
        run={"jobs": 2},
        clock=UNHURRIED,
    ),
    "find_posts": Example(PAGE, its_post_is_noted, a_picture_of_the_board, environ=Proxied()),
    "ask_tagger": Example(PAGE, it_is_said_to_move, a_moving_picture),
    "failures": Example(
        PAGE,
        it_is_told_of,
        a_broken_file,
        run={"jobs": 2},
        clock=HurryingClock,
        states=frozenset({JobState.DONE, JobState.DEAD}),
    ),
    "back_up_database": Example(
        PAGE,
        it_was_copied,
        a_database,
        clock=partial(Almost, 4, 30),
    ),
    "find_duplicates": Example(PAGE, they_are_tagged, duplicates, clock=partial(Almost, 20, 0)),
    "unpack_archive": Example(PAGE, its_picture_was_imported, an_archive, run={"jobs": 2}),
    "read_prompt": Example(PAGE, its_prompt_is_told, a_generated_picture),
    "read_exif": Example(PAGE, its_camera_is_told, a_photo),
}
