"""The shipped plugin that has gallery-dl download: the real one, from a site on this machine."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from downloads import Site, Step, not_installed

from hydrusd.errors import ConfigError
from hydrusd.model import OutcomeKind
from hydrusd.plugin import ProgramEnd, _downloading
from hydrusd.testing import paint

pytestmark = pytest.mark.anyio
PICTURES = {f"/{name}.png": ("image/png", paint(f"{name}.png")) for name in "abc"}


@pytest.fixture
def site():
    site = Site(PICTURES)
    yield site
    site.close()


@pytest.fixture
def step(tmp_path):
    return Step("gallery_dl", tmp_path, options=["--option", "filename={filename}.{extension}"])


def urls(site, *names):
    return [f"{site.url}/{name}.png" for name in names]


def archived(step):
    with closing(sqlite3.connect(step.to / ".gallery-dl-archive.sqlite3")) as database:
        return database.execute("SELECT count(*) FROM archive").fetchone()[0]


def names(step):
    return [path.rpartition("/")[2] for path in step.there()]


async def test_what_comes_is_one_folder_with_sidecars(site, step):
    outcome = await step.run(url=urls(site, "a", "b"))
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    assert names(step) == ["a.png", "a.png.json", "b.png", "b.png.json"]
    [folder] = [path for path in step.to.iterdir() if path.is_dir()]
    assert outcome.values["folder"] == str(folder)
    assert outcome.values["files"] == 4
    [picture] = folder.rglob("a.png")
    assert picture.read_bytes() == PICTURES["/a.png"][1]
    assert str(picture) in outcome.values["paths"]
    assert json.loads(picture.with_name("a.png.json").read_bytes())["filename"] == "a"
    assert step.rooms() == []


async def test_nothing_is_downloaded_twice(site, step):
    await step.run(url=urls(site, "a"))
    outcome = await step.run(url=urls(site, "a"), job_id=8)
    assert (outcome.kind, outcome.detail) == (OutcomeKind.DONE, "nothing new")
    assert outcome.values == {"folder": "", "files": 0, "paths": []}
    assert (names(step), site.asked) == (["a.png", "a.png.json"], {"/a.png": 1})


async def test_what_failed_does_not_keep_the_rest_away(site, step):
    outcome = await step.run(url=urls(site, "a", "none", "b"))
    assert outcome.kind is OutcomeKind.RETRY
    assert "not all could be downloaded (exit code 4" in outcome.detail
    assert names(step) == ["a.png", "a.png.json", "b.png", "b.png.json"]
    outcome = await step.run(url=urls(site, "a", "none", "b"), ok=[4])
    assert outcome.kind is OutcomeKind.DONE
    assert site.asked["/a.png"] == 1


async def test_stopped_with_hydrusd_it_shows_no_half_and_goes_on(site, step):
    site.held.add("/b.png")
    await step.stopped(site, "b.png.part", url=urls(site, "a", "b", "c"))
    [room] = step.rooms()
    assert (room / "stopped").exists()
    assert step.there() == []
    outcome = await step.run(url=urls(site, "a", "b", "c"))
    assert outcome.kind is OutcomeKind.DONE
    assert [n for n in names(step) if n.endswith("png")] == ["a.png", "b.png", "c.png"]
    [half] = step.to.rglob("b.png")
    assert half.read_bytes() == PICTURES["/b.png"][1]
    assert (site.asked["/a.png"], step.rooms(), archived(step)) == (1, [], 3)


async def test_when_its_time_is_up_it_is_stopped_and_goes_on_later(site, step):
    site.held.add("/a.png")
    outcome = await step.run(url=urls(site, "a"), timeout="700ms")
    assert (outcome.kind, "did not end within 0.7 s" in outcome.detail) == (OutcomeKind.RETRY, True)
    assert step.there() == []
    assert [(room / "stopped").exists() for room in step.rooms()] == [True]


async def test_a_run_that_nobody_saw_end_keeps_a_room_that_leads_nowhere(site, step):
    room = step.to / ".hydrusd-7-0badf00d.part"
    (room / "files" / "sub").mkdir(parents=True)
    whole = room / "files" / "sub" / "whole.png"
    for path in (whole, whole.with_name("whole.png.json"), whole.with_name("half.png")):
        path.write_bytes(b"{}")
    (room / "files" / "sub" / "other.png.part").write_bytes(b"h")
    (room / "parts").mkdir()
    (room / "complete.txt").write_text("files/sub/whole.png\nfiles/sub/gone.png\n")
    # What its copy of the archive says is not believed: what it speaks of may not be on the disk.
    (room / "archive.sqlite3").write_bytes(b"half a database")
    outcome = await step.run(url=urls(site, "a"))
    assert outcome.kind is OutcomeKind.DONE
    assert sorted(names(step)) == ["a.png", "a.png.json", "whole.png", "whole.png.json"]
    assert step.rooms() == []


@pytest.mark.parametrize("at", ["note", "merge", "rename", "rmtree"])
async def test_killed_at_any_point_nothing_is_lost_and_nothing_comes_twice(
    site, step, monkeypatch, at
):
    def dies(*_, **__):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        match at:
            case "merge":
                patch.setattr(step.kind, "merge_archive", dies)
            case "rename":
                patch.setattr(_downloading, "sync_folder", _Counted(2, dies))
            case "rmtree":
                patch.setattr(_downloading.shutil, "rmtree", dies)
            case _:
                patch.setattr(_downloading._Room, at, dies)
        assert (await step.run(url=urls(site, "a", "b"))).kind is OutcomeKind.DEAD
    outcome = await step.run(url=urls(site, "a", "b"))
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    assert names(step) == ["a.png", "a.png.json", "b.png", "b.png.json"]
    assert outcome.values["files"] == 4
    assert archived(step) == 2
    assert step.rooms() == []
    assert site.asked == {"/a.png": 1, "/b.png": 1}


class _Counted:
    """Does as the original the first times, and then something else."""

    def __init__(self, times, otherwise):
        self.left, self.otherwise, self.original = times, otherwise, _downloading.sync_folder

    def __call__(self, folder):
        self.left -= 1
        return self.original(folder) if self.left >= 0 else self.otherwise()


async def test_cookies_and_configuration_are_passed_on(site, step, tmp_path):
    cookies, config = tmp_path / "cookies.txt", tmp_path / "config.json"
    text = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\topen-sesame\n"
    cookies.write_text(text)
    config.write_text(json.dumps({"extractor": {"keywords": {"tags": ["from config"]}}}))
    outcome = await step.run(url=urls(site, "a"), cookies=str(cookies), config=str(config))
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    [sidecar] = step.to.rglob("a.png.json")
    assert json.loads(sidecar.read_bytes())["tags"] == ["from config"]
    assert cookies.read_text() == text
    outcome = await step.run(url=urls(site, "b"), cookies=str(tmp_path / "none.txt"))
    assert (outcome.kind, "there is no file" in outcome.detail) == (OutcomeKind.DEAD, True)


async def test_what_is_put_elsewhere_is_told(site, step, tmp_path):
    config = tmp_path / "config.json"
    pp = {"name": "exec", "event": "after", "command": "echo /etc/passwd> complete.txt"}
    config.write_text(json.dumps({"extractor": {"postprocessors": [pp]}}))
    outcome = await step.run(url=urls(site, "a"), config=str(config))
    assert (outcome.kind, "outside of" in outcome.detail) == (
        OutcomeKind.DEAD,
        True,
    )


@pytest.mark.parametrize("url", ["--version", "file:///etc/passwd", "r:http://x/", "x", "http://"])
async def test_only_urls_are_handed_over(step, url):
    outcome = await step.run(url=url)
    assert (outcome.kind, "is no URL" in outcome.detail) == (OutcomeKind.DEAD, True)
    [seen] = await step.kind.plan([step.call(url=url)])
    assert seen.outcome is OutcomeKind.DEAD
    assert not step.to.exists()


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (0, None, ""),
        (1, OutcomeKind.RETRY, "it failed"),
        (2, OutcomeKind.DEAD, "it failed"),
        (4, OutcomeKind.RETRY, "not all could be downloaded"),
        (12, OutcomeKind.RETRY, "not all could be downloaded; the site wants to see a person"),
        (20, OutcomeKind.DEAD, "cookies"),
        (32, OutcomeKind.DEAD, "options"),
        (64, OutcomeKind.DEAD, "does not know the site"),
        (128, OutcomeKind.RETRY, "the system refused"),
    ],
)
async def test_its_exit_codes_are_bits(step, code, kind, told):
    outcome = step.call(url="https://example.com").action.judge(
        ProgramEnd(code, b"", b"why\n", whole=True)
    )
    assert (outcome and outcome.kind) == kind
    if outcome:
        assert told in outcome.detail
        assert outcome.detail.endswith(f"(exit code {code}: why)")


async def test_where_it_is_missing_the_rule_waits_and_says_what_to_install(
    site, step, monkeypatch, tmp_path
):
    not_installed(monkeypatch, tmp_path)
    outcome = await step.run(url=urls(site, "a"))
    assert outcome.kind is OutcomeKind.PARK
    assert outcome.detail.startswith("there is no program 'gallery-dl' that could be run: pip inst")
    [fault] = step.call(url="https://example.com").action.check({})
    assert (fault.severity, "pip install gallery-dl" in fault.hint) == ("warning", True)


async def test_planning_says_what_would_be_downloaded(step):
    data = {"url": "https://example.com/?api_key=abcdefgh"}
    [seen] = await step.kind.plan([step.call(data=data)])
    assert seen.detail.startswith("would have gallery-dl download https://example.com/?api_key=[hi")
    [seen] = await step.kind.plan([step.call()])
    assert "has no url" in seen.detail
    assert not step.to.exists()


def test_it_must_be_allowed_and_options_hold_no_templates(project):
    rules = (
        "rules:\n  - name: r\n    on: startup\n    do: [{gallery_dl: {to: x, url: 'http://a.b'}}]"
    )
    with pytest.raises(ConfigError, match="allow"):
        project({"rules.yaml": rules}).run()
    rules = f"allow: [gallery_dl]\n{rules}".replace("to: x", "to: x, options: ['{{ url }}']")
    with pytest.raises(ConfigError, match="must not hold a template"):
        project({"rules.yaml": rules}).run()
