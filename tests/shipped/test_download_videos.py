"""The shipped plugin that has yt-dlp download: the real one, from a site on this machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from downloads import Site, Step, not_installed

from hydrusd.daemon import load_plugins
from hydrusd.model import OutcomeKind
from hydrusd.plugin import MalformedSidecar, ProgramEnd

pytestmark = pytest.mark.anyio

# What makes a file an mp4 to whoever looks at its start; no ffmpeg is needed to get this one.
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(range(256)) * 400
VIDEOS = {f"/{name}.mp4": ("video/mp4", MP4 + name.encode()) for name in "ab"}
COMPLETE = ["a [a].info.json", "a [a].mp4", "b [b].info.json", "b [b].mp4"]


@pytest.fixture
def site():
    site = Site(VIDEOS)
    yield site
    site.close()


@pytest.fixture
def step(tmp_path):
    return Step("yt_dlp", tmp_path)


def urls(site, *names):
    return [f"{site.url}/{name}.mp4" for name in names]


def archived(step):
    return (step.to / ".yt-dlp-archive.txt").read_text().splitlines()


async def test_what_comes_is_one_folder_with_sidecars_and_comes_once(site, step):
    outcome = await step.run(url=urls(site, "a", "b"))
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    assert step.there() == COMPLETE
    [video] = step.to.rglob("a *.mp4")
    assert video.read_bytes() == VIDEOS["/a.mp4"][1]
    info = json.loads(video.with_suffix(".info.json").read_bytes())
    assert (info["webpage_url"], info["formats"]) == (f"{site.url}/a.mp4", "")
    asked = site.asked.copy()
    outcome = await step.run(url=urls(site, "a", "b"), job_id=8)
    assert (outcome.kind, outcome.detail) == (OutcomeKind.DONE, "nothing new")
    assert site.asked["/a.mp4"] <= asked["/a.mp4"] + 1  # it looks what is there
    assert (step.there(), step.rooms(), archived(step)) == (
        COMPLETE,
        [],
        ["generic a", "generic b"],
    )


async def test_stopped_with_hydrusd_it_shows_no_half_and_goes_on(site, step):
    site.held.add("/b.mp4")
    await step.stopped(site, "parts/b*", url=urls(site, "a", "b"))
    assert step.there() == []
    [room] = step.rooms()
    # The half of it is not where complete files are, and is kept: a video can be large.
    assert [path.name for path in (room / "parts").iterdir()] == ["b [b].mp4.part"]
    outcome = await step.run(url=urls(site, "a", "b"))
    assert (outcome.kind, outcome.values["files"]) == (OutcomeKind.DONE, 4)
    assert step.there() == COMPLETE
    [half] = step.to.rglob("b *.mp4")
    assert half.read_bytes() == VIDEOS["/b.mp4"][1]
    assert (step.rooms(), sorted(archived(step))) == ([], ["generic a", "generic b"])


async def test_what_failed_does_not_keep_the_rest_away(site, step):
    outcome = await step.run(url=urls(site, "a", "none"))
    assert (outcome.kind, "not all could be" in outcome.detail) == (OutcomeKind.RETRY, True)
    assert step.there() == COMPLETE[:2]


async def test_a_line_that_was_cut_swallows_no_other(step, tmp_path):
    archive, copy = tmp_path / "archive.txt", tmp_path / "copy.txt"
    archive.write_bytes(b"youtube one\nyoutube tw")
    copy.write_bytes(b"youtube one\nyoutube tw\nyoutube three\n")
    for _ in range(2):
        step.kind.merge_archive(copy, archive)
        assert archive.read_bytes().split() == b"youtube one youtube tw youtube three".split()


@pytest.mark.parametrize(
    ("parameters", "wanted", "unwanted"),
    [
        ({}, {"--part"}, {"--write-subs", "--embed-subs", "--write-thumbnail", "--cookies"}),
        ({"subtitles": "embed"}, {"--write-subs", "--embed-subs"}, {"--embed-thumbnail"}),
        (
            {"subtitles": "beside", "languages": ["en", "de"], "thumbnail": "beside"},
            {"--write-subs", "--sub-langs=en,de", "--write-thumbnail"},
            {"--embed-subs", "--embed-thumbnail"},
        ),
        ({"thumbnail": "embed", "format": "-x"}, {"--embed-thumbnail", "--format=-x"}, {"-x"}),
        ({"cookies": "c.txt"}, {"cookies.txt"}, {"c.txt"}),
        ({"config": "/c.conf"}, {"--ignore-config", "--config-locations"}, set()),
    ],
)
async def test_parameters_become_options(step, parameters, wanted, unwanted):
    options = set(step.call(**parameters).action.command())
    assert wanted <= options
    assert not unwanted & options


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0, None), (101, None), (1, "retry"), (100, "retry"), (2, "dead")],
)
async def test_its_exit_codes(step, code, kind):
    outcome = step.call().action.judge(ProgramEnd(code, b"", b"why", whole=True))
    assert (outcome and outcome.kind) == kind


async def test_where_it_is_missing_the_rule_waits_and_says_what_to_install(
    site, step, monkeypatch, tmp_path
):
    not_installed(monkeypatch, tmp_path)
    outcome = await step.run(url=urls(site, "a"))
    assert outcome.kind is OutcomeKind.PARK
    assert "'yt-dlp' that could be run: pip install yt-dlp" in outcome.detail


# --- its sidecars ----------------------------------------------------------------------------


def read(content):
    form = load_plugins([]).sidecar_formats["yt_dlp"]
    return form.read(content if isinstance(content, bytes) else json.dumps(content).encode())


def test_what_a_sidecar_says():
    said = read(
        {
            "title": " A film ",
            "uploader": "Ann",
            "series": None,
            "tags": ["sea", "", 3, "sea"],
            "webpage_url": "https://video.example/w/1",
            "description": "About the sea.",
            "timestamp": 1_700_000_000,
        }
    )
    assert said.tags == ["title:A film", "creator:Ann", "sea"]
    assert said.urls == ["https://video.example/w/1"]
    assert said.notes == {"description": "About the sea."}
    assert said.times == {"modified": {"video.example": "2023-11-14T22:13:20+00:00"}}
    said = read({"webpage_url": "javascript:1", "timestamp": 1e99, "tags": "x", "upload_date": "1"})
    assert (said.tags, said.urls, said.notes, said.times) == ([], [], {}, {})
    assert read({"webpage_url": "https://video.example", "timestamp": 1e99}).times == {}


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_malformed_sidecar_says_so(content):
    with pytest.raises(MalformedSidecar):
        read(content)


def old_program(folder):
    """Put a program of the same name where PATH leads first."""
    folder.mkdir()
    name = "yt-dlp.bat" if os.name == "nt" else "yt-dlp"
    path = folder / name
    path.write_text("exit 1\n" if os.name == "nt" else "#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


async def test_what_is_installed_for_hydrusd_comes_before_what_path_leads_to(
    site, step, monkeypatch, tmp_path
):
    old = old_program(tmp_path / "old")
    monkeypatch.setenv("PATH", f"{old.parent}{os.pathsep}{os.environ['PATH']}")
    found = step.call().action._found()
    assert Path(found[0]).parent == Path(sys.executable).parent
    # Its script is not there, but the package is: it is run as one.
    monkeypatch.setattr(shutil, "which", only_in_path(shutil.which))
    assert step.call().action._found() == [sys.executable, "-P", "-m", "yt_dlp"]
    outcome = await step.run(url=urls(site, "a"))
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    # What a rule names is what is taken; and PATH is better than nothing.
    assert step.call(executable=str(old)).action._found() == [str(old)]
    not_installed(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(old.parent))
    assert step.call().action._found() == [str(old)]


def only_in_path(which):
    def found(program, mode=os.F_OK | os.X_OK, path=None):
        beside = path is not None and Path(path) == Path(sys.executable).parent
        return None if beside else which(program, mode, path)

    return found
