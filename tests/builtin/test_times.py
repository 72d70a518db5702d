"""Times: each says which moment it is or is refused, and one that cannot be set spoils no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from edits_acting import editing
from library_acting import DEAD, DONE
from pydantic import ValidationError

from hydrusd.builtin.actions.set_time import SetTime
from hydrusd.builtin.actions.set_viewing_time import SetViewingTime
from hydrusd.hydrus import CanvasType
from hydrusd.model import JobState

pytestmark = pytest.mark.anyio

MY_FILES = "6c6f63616c2066696c6573"
AT = datetime(2024, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)
TEXT = "2024-05-01T12:00:00.123+00:00"


def web(at=TEXT, **more):
    return SetTime(kind="modified_on_web", domain="example.com", at=at, **more)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-05-01T12:00:00Z", datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("2024-05-01 14:00:00+02:00", datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("2024-05-01T12:00:00.1239999Z", AT),
        ("1714564800 s", datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("1714564800.123999s", AT),
        ("1714564800123ms", AT),
        ("1714564800123999 us", AT),
        ("1714564800123999999 ns", AT),
        ("-1 s", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
async def test_a_time_is_read_to_the_millisecond(stage, tmp_path, written, meant):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        (outcome,) = await at.run(web(written), [one])
        assert outcome.kind is DONE
        assert (await at.row(one)).modified_times["example.com"] == meant


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2024-05-01T12:00:00", "has no time zone"),
        ("2024-05-01", "has no time zone"),
        ("1714564800", "is no time"),
        (1714564800, "must be a time"),
        ("yesterday", "is no time"),
        ("", "is no time"),
        ("99999999999999999999 s", "beyond any calendar"),
        ("0001-01-01T00:00:00+14:00", "beyond any calendar"),
        (True, "must be a time"),
    ],
)
def test_a_time_that_could_be_another_is_refused(written, words):
    with pytest.raises(ValidationError, match=words):
        web(written)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"kind": "modified_on_web", "at": TEXT}, "needs domain"),
        ({"kind": "archived", "at": TEXT, "domain": "x.com"}, "has no domain"),
        ({"kind": "imported", "at": TEXT}, "needs file_service"),
        ({"kind": "last_viewed", "at": TEXT}, "needs canvas"),
        ({"kind": "archived", "at": None}, "cannot be removed"),
        ({"kind": "modified_on_web", "domain": "local", "at": TEXT}, "modified_on_disk"),
        ({"kind": "modified_on_web", "domain": "x.com"}, "Field required"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(parameters, words):
    with pytest.raises(ValidationError, match=words):
        SetTime.model_validate(parameters)


async def test_the_time_of_a_website_comes_goes_and_is_in_the_receipts(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one, other = await at.add(2)
        of = {"kind": "modified_on_web", "domain": "example.com"}
        (first, _) = await at.run(web(), [one], [other])
        assert at.written == 1
        assert first.receipt == {"changed": {one: {**of, "before": None, "after": TEXT}}}
        assert await at.lost(web(), [one], [other]) == []
        (again,) = await at.run(web(), [one])
        assert (again.receipt, again.detail, at.written) == ({}, "the time is so already", 1)
        (foreseen,) = await at.plan(web("none"), [one])
        assert foreseen.detail == "would change: modified on web time removed"
        (gone,) = await at.run(web("none"), [one])
        assert gone.receipt == {"changed": {one: {**of, "before": TEXT, "after": None}}}
        assert set((await at.row(one)).modified_times) == {"local"}
        assert (await at.run(web(None), [one]))[0].receipt == {}


async def test_every_kind_that_is_there_can_be_set(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        await at.client.archive_files([one])
        await at.client.set_file_viewtime([one], CanvasType.PREVIEW, seconds=1, views=1, at=AT)
        later = (AT + timedelta(days=1)).isoformat()
        for more in (
            {"kind": "modified_on_disk"},
            {"kind": "archived"},
            {"kind": "imported", "file_service": "my files"},
            {"kind": "last_viewed", "canvas": "preview"},
        ):
            action = SetTime(at=later, **more)
            assert list(action.preflight(at.client)) == []
            assert await at.lost(action, [one]) == [0]
            (outcome,) = await at.run(action, [one])
            assert outcome.receipt["changed"][one]["before"]
            assert await at.lost(action, [one]) == []
        row = await at.row(one)
        day_after = AT + timedelta(days=1)
        times = (
            row.modified_times["local"],
            row.archived_at,
            row.current[MY_FILES].imported_at,
            row.views[1].last_viewed_at,
        )
        assert times == (day_after,) * 4
        await at.client.delete_files([one])
        for kind in ("deleted", "previously_imported"):
            action = SetTime(at=TEXT, kind=kind, file_service=MY_FILES)
            (outcome,) = await at.run(action, [one])
            assert outcome.receipt["changed"][one]["file_service"] == MY_FILES
        gone = (await at.row(one)).deleted[MY_FILES]
        assert (gone.deleted_at, gone.imported_at) == (AT, AT)


async def test_a_file_without_the_time_is_a_dead_letter_and_spoils_no_other(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        inbox, archived = await at.add(2)
        await at.client.archive_files([archived])
        action = SetTime(kind="archived", at=TEXT)
        first, second = await at.run(action, [inbox], [archived])
        assert first.kind is DEAD
        assert f"{inbox} has no archived time" in first.detail
        assert second.kind is DONE
        assert (await at.row(archived)).archived_at == AT
        (foreseen,) = await at.plan(action, [inbox])
        assert (foreseen.changes, "no archived time" in foreseen.detail) == (False, True)


async def test_an_unknown_service_and_an_old_client_are_found_beforehand(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        action = SetTime(kind="imported", at=TEXT, file_service="nowhere")
        (fault,) = action.preflight(at.client)
        assert "no file service is called 'nowhere'" in fault.message
        (outcome,) = await at.run(action, ["ab" * 32])
        assert outcome.kind is DEAD
    async with editing(stage, tmp_path, api_version=32) as at:
        assert "≥ 59" in next(iter(web().preflight(at.client))).message
        viewing = SetViewingTime(views=1, time="1s")
        assert "≥ 78" in next(iter(viewing.preflight(at.client))).message


async def test_a_key_that_may_not_look_sets_all_the_same_and_claims_nothing(stage, tmp_path):
    async with editing(stage, tmp_path, basic={1, 11}) as at:
        (one,) = await at.add()
        for action in (web(), SetViewingTime(views=1, time="1s")):
            (outcome,) = await at.run(action, [one])
            assert (outcome.kind, outcome.receipt) == (DONE, None)
            assert await at.lost(action, [one]) == [0]


RULES = """
rules:
  - name: times
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file:
      - set_time: {kind: modified_on_disk, at: "{{ file.mtime_ns }} ns"}
      - set_time: {kind: modified_on_web, domain: a.com, at: "{{ file.stem }}"}
"""


def test_times_come_from_templates_and_what_these_give_is_judged(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/2024-05-01T12.png").drop("inbox/{{ x }}.png")
    made.drop("inbox/20240501T120000Z.png").run()
    path = made.folder / "inbox/20240501T120000Z.png"
    entry = made.simulator._client.store.entries[
        made.sha256(path.relative_to(made.folder).as_posix())
    ]
    assert entry.file.modified_at == path.stat().st_mtime_ns // 10**6 / 1000
    assert entry.site_times == {"a.com": 1714564800.0}
    assert made.job("inbox/20240501T120000Z.png").state is JobState.DONE
    no_zone, no_time = sorted(letter.detail for letter in made.dead_letters)
    assert "has no time zone" in no_zone + no_time
    assert "is not what is wanted here" in no_zone + no_time


# --- viewing, absolute -----------------------------------------------------------------------


async def test_viewing_is_set_once_and_the_receipt_has_the_old_numbers(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one, other = await at.add(2)
        canvas = CanvasType.MEDIA_VIEWER
        await at.client.set_file_viewtime([one], canvas, seconds=10, views=2, at=AT)
        written = at.written
        action = SetViewingTime(views="3", time="1m30.1s", last="2024-05-02T00:00:00Z")
        outcomes = await at.run(action, [one], [other])
        assert at.written == written + 1
        changed = outcomes[0].receipt["changed"][one]
        assert changed["before"] == {"views": 2, "seconds": 10.0, "last_viewed": TEXT}
        assert changed["after"]["views"] == 3
        for file_hash in (one, other):
            (viewed, *_) = (await at.row(file_hash)).views
            assert (viewed.views, viewed.seconds) == (3, 90.1)
            assert viewed.last_viewed_at == datetime(2024, 5, 2, tzinfo=UTC)
        (again,) = await at.run(action, [one])
        assert (again.receipt, again.detail) == ({}, "it is counted so already")
        assert at.written == written + 1
        assert await at.lost(action, [one]) == []
        keeps = SetViewingTime(views=0, time="0s")
        await at.run(keeps, [one])
        assert (await at.row(one)).views[0].last_viewed_at == datetime(2024, 5, 2, tzinfo=UTC)


@pytest.mark.parametrize("views", [-1, 1.5, True, "many", ""])
def test_views_are_whole_numbers(views):
    with pytest.raises(ValidationError, match="whole number"):
        SetViewingTime(views=views, time="1s")


@pytest.mark.parametrize("time", [2, 2.5, "2", "soon"])
def test_a_viewing_time_carries_its_unit(time):
    with pytest.raises(ValidationError):
        SetViewingTime(views=1, time=time)
