"""Exports and sidecars: whole, compared, never over another file, and not twice."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
from library_acting import DEAD, DONE, acting
from PIL import Image
from pydantic import ValidationError

from hydrusd.builtin.actions.export_file import ExportFile
from hydrusd.builtin.actions.write_sidecar import WriteSidecar
from hydrusd.errors import HydrusFailed, PermanentError, RequestRejected
from hydrusd.model import OutcomeKind, StepRecord
from hydrusd.plugin import FileSource
from hydrusd.simulator import Fault, FaultKind

pytestmark = pytest.mark.anyio
SKIPPED = OutcomeKind.SKIPPED


async def export(at, action, hashes, **more):
    (call,) = at.calls(action, hashes, **more)
    return await action.run(call)


def source_of(path, root):
    return {"file": FileSource.of(path, root, path.stat()).to_data()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("api_version", [95, 32, 11])
async def test_the_file_is_written_once(stage, tmp_path, api_version):
    async with acting(stage, tmp_path, api_version=api_version) as at:
        (one,) = await at.add()
        out = tmp_path / "new" / "out"
        (before,) = await at.plan(ExportFile(to=out), [one])
        assert (before.changes, out.exists()) == (True, False)
        outcome = await export(at, ExportFile(to=out), [one])
        path = out / f"{one}.png"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == one
        assert outcome.receipt == {"written": {str(path): one}}
        assert outcome.values == {"path": str(path), "paths": {one: str(path)}}
        assert before.values == outcome.values
        asked = at.simulator.requests["/get_files/file"]
        again = await export(at, ExportFile(to=out), [one])
        assert (again.receipt, again.values) == ({"written": {}}, outcome.values)
        assert at.simulator.requests["/get_files/file"] == asked
        (after,) = await at.plan(ExportFile(to=out), [one])
        assert not after.changes
        assert names(out) == [path.name]


@pytest.mark.parametrize("policy", ["rename", "skip", "fail"])
async def test_another_file_is_never_overwritten(stage, tmp_path, policy):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        out = tmp_path / "out"
        out.mkdir()
        (out / "a.png").write_bytes(b"mine")
        action = ExportFile(to=out, name="a", on_collision=policy)
        (foreseen,) = await at.plan(action, [one])
        assert foreseen.changes == (policy == "rename")
        if policy == "fail":
            with pytest.raises(PermanentError, match="another file"):
                await export(at, action, [one])
        else:
            outcome = await export(at, action, [one, two])
            assert outcome.kind is (DONE if policy == "rename" else SKIPPED)
        assert (out / "a.png").read_bytes() == b"mine"
        more = ["a (2).png", "a (3).png"] if policy == "rename" else []
        assert names(out) == sorted(["a.png", *more])


async def test_with_skip_what_has_room_is_exported(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        out = tmp_path / "out"
        outcome = await export(
            at, ExportFile(to=out, name="a.PNG", on_collision="skip"), [one, two]
        )
        assert (outcome.kind, set(outcome.values["paths"])) == (DONE, {one})
        assert "left out" in outcome.detail


@pytest.mark.parametrize("api_version", [95, 32, 11])
async def test_thumbnails(stage, tmp_path, api_version):
    async with acting(stage, tmp_path, api_version=api_version) as at:
        (one,) = await at.add()
        action = ExportFile(to=tmp_path / "out", what="thumbnail")
        (before,) = await at.plan(action, [one])
        outcome = await export(at, action, [one])
        (path,) = (tmp_path / "out").iterdir()
        assert path.name in {f"{one}.thumbnail.png", f"{one}.thumbnail.jpg"}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert outcome.receipt == {"written": {str(path): digest}}
        again = await export(at, action, [one])
        (after,) = await at.plan(action, [one])
        assert (before.changes, after.changes) == (True, False)
        assert again.receipt == {"written": {}}
        assert names(tmp_path / "out") == [path.name]


async def test_renders(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        action = ExportFile(to=tmp_path / "out", name="r", what="render", format="webp")
        (before,) = await at.plan(action, [one])
        await export(at, action, [one])
        held = (tmp_path / "out" / "r.webp").read_bytes()
        assert Image.open(io.BytesIO(held)).format == "WEBP"
        (after,) = await at.plan(action, [one])
        assert (before.changes, after.changes) == (True, False)
    for wrong in ({"format": "png"}, {"what": "render", "width": 5}):
        with pytest.raises(ValidationError):
            ExportFile(to=tmp_path, **wrong)


async def test_a_cut_download_leaves_nothing_and_a_later_one_is_whole(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        out = tmp_path / "out"
        at.simulator.inject(Fault(kind=FaultKind.NOT_JSON, path="/get_files/file"))
        with pytest.raises(HydrusFailed, match="not the file"):
            await export(at, ExportFile(to=out), [one])
        assert names(out) == []
        # What a killed daemon left of this very step is cleared away.
        action = ExportFile(to=out)
        part = action._place(await at.row(one), ".png").part(1, f"file|{one}")
        part.write_bytes(b"half")
        await export(at, action, [one])
        assert names(out) == [f"{one}.png"]


async def test_what_is_not_there_or_has_no_place(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        path, _ = at.picture()
        with pytest.raises(RequestRejected):
            await export(at, ExportFile(to=tmp_path / "out"), ["ab" * 32])
        none = await export(at, ExportFile(to=tmp_path / "out"), [])
        assert (none.kind, "put add_file or add_url" in none.detail) == (DEAD, True)
        (unknown,) = await at.plan(ExportFile(to=tmp_path / "out"), ["ab" * 32])
        assert unknown.changes
        for action in (
            ExportFile(to=tmp_path / "inside"),
            ExportFile(to=tmp_path.parent / "o", name="../a"),
        ):
            data = source_of(path, tmp_path)
            with pytest.raises(PermanentError, match=r"watched folder|cannot be the name"):
                await export(at, action, [one], data=data)
            (foreseen,) = await at.plan(action, [one], data=data)
            assert not foreseen.changes
        assert not (tmp_path / "inside").exists()


async def tagged(at, sha256):
    await at.client.add_tags([sha256], {"my tags": ["b", "ä"], "downloader tags": ["b", "c"]})


@pytest.mark.parametrize("api_version", [95, 32])
async def test_a_text_sidecar_holds_the_tags(stage, tmp_path, api_version):
    async with acting(stage, tmp_path, api_version=api_version) as at:
        one, plain = await at.add(2)
        await tagged(at, one)
        out = tmp_path / "out"
        before = await at.plan(WriteSidecar(to=out), [one], [plain])
        outcome, nothing = await at.run(WriteSidecar(to=out), [one], [plain])
        path = out / f"{one}.png.txt"
        assert path.read_bytes() == "b\nc\nä\n".encode()
        assert outcome.receipt == {
            "written": {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}
        }
        assert (nothing.kind, nothing.receipt) == (DONE, {"written": {}})
        assert names(out) == [path.name]
        after = await at.plan(WriteSidecar(to=out), [one], [plain])
        assert [f.changes for f in (*before, *after)] == [True, False, False, False]
        (again,) = await at.run(WriteSidecar(to=out), [one])
        assert again.receipt == {"written": {}}
        await at.run(WriteSidecar(to=out, name="t", tag_services="my tags"), [one])
        assert (out / "t.txt").read_text(encoding="utf-8") == "b\nä\n"


async def test_a_json_sidecar_holds_all_that_is_known(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        await tagged(at, one)
        await at.client.set_notes(one, {"n": "text"})
        await at.client.associate_url([one], urls_to_add=["http://example.com/a"])
        await at.client.set_rating([one], "favourites", rating=True)
        await at.client.archive_files([one])
        await at.run(WriteSidecar(to=tmp_path / "out", name="a.png", format="json"), [one])
        held = json.loads((tmp_path / "out" / "a.png.json").read_text(encoding="utf-8"))
        assert held["hash"] == one
        assert held["tags"] == {"my tags": ["b", "ä"], "downloader tags": ["b", "c"]}
        assert held["notes"] == {"n": "text"}
        assert held["urls"] == ["http://example.com/a"]
        assert held["ratings"]["favourites"] is True
        assert held["times"]["imported"].keys() == {"my files", "combined local file domains"}
        assert held["times"]["archived"] == (await at.row(one)).archived_at.isoformat()


async def test_beside_the_export_and_beside_the_source(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        for sha256 in (one, two):
            await tagged(at, sha256)
        exported = await export(at, ExportFile(to=tmp_path / "out", name="a"), [one, two])
        step = StepRecord(0, "export_file", DONE, "", exported.values, exported.receipt)
        await at.run(WriteSidecar(beside="export"), [one, two], steps=[step])
        assert names(tmp_path / "out") == ["a (2).png", "a (2).png.txt", "a.png", "a.png.txt"]
        path = next(tmp_path.glob(f"{one[:8]}*"))
        data = source_of(path, tmp_path)
        await at.run(WriteSidecar(beside="source"), [one], data=data)
        assert f"{path.name}.txt" in names(tmp_path)
        calls = (WriteSidecar(beside="export"), WriteSidecar(beside="source"))
        for action, why in zip(calls, ("no export_file before", "is not a file"), strict=True):
            (outcome,) = await at.run(action, [one])
            (foreseen,) = await at.plan(action, [one])
            assert (outcome.kind, foreseen.changes, why in outcome.detail) == (DEAD, False, True)


@pytest.mark.parametrize(("policy", "kind"), [("rename", DONE), ("skip", SKIPPED), ("fail", DEAD)])
async def test_another_sidecar_is_left_alone(stage, tmp_path, policy, kind):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        await tagged(at, one)
        await tagged(at, two)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / f"{one}.png.txt").write_bytes(b"mine")
        action = WriteSidecar(to=tmp_path / "out", on_collision=policy)
        outcomes = await at.run(action, [one], [two], [])
        # One that cannot be written spoils nothing for the others of its set.
        assert [outcome.kind for outcome in outcomes] == [kind, DONE, DEAD]
        assert (tmp_path / "out" / f"{one}.png.txt").read_bytes() == b"mine"


async def test_wrong_parameters(stage, tmp_path):
    for wrong in ({}, {"beside": "source", "to": tmp_path}, {"beside": "source", "name": "a"}):
        with pytest.raises(ValidationError, match="Value error"):
            WriteSidecar(**wrong)
    async with acting(stage, tmp_path) as at:
        action = WriteSidecar(beside="source", tag_services=["my tag", "{{ x }}"])
        (fault,) = action.preflight(at.client)
        assert (fault.path, "did you mean 'my tags'" in fault.message) == (
            ("tag_services", 0),
            True,
        )
