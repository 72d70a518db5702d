"""What the steps on files foresee: the truth before and after, and nothing written by it."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

import pytest
import send2trash
from disposal import CONTENT, dispose, remains
from outside import call_of

from hydrusd.builtin.actions import trash_source
from hydrusd.builtin.actions.add_file import AddFile
from hydrusd.builtin.actions.copy_source import CopySource
from hydrusd.builtin.actions.delete_source import DeleteSource
from hydrusd.builtin.actions.move_source import MoveSource
from hydrusd.builtin.actions.trash_source import TrashSource
from hydrusd.hydrus import HydrusClient
from hydrusd.model import OutcomeKind
from hydrusd.plugin import Call, FileSource, PermanentError
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Simulator, SimulatorConfig
from hydrusd.testing import paint

pytestmark = pytest.mark.anyio


async def foreseen(call):
    [seen] = await type(call.action).plan([call])
    return seen


def disk(folder):
    return {
        (path, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


ON_COLLISION = ["rename", "skip", "fail"]


@pytest.mark.parametrize("kind", [MoveSource, CopySource])
@pytest.mark.parametrize("on_collision", ON_COLLISION)
@pytest.mark.parametrize("there", ["nothing", "another", "the same", "the same as second"])
async def test_where_a_file_would_go_is_where_it_goes(
    call, picture, tmp_path, kind, on_collision, there
):
    to = tmp_path / "sorted"
    if there != "nothing":
        to.mkdir()
        (to / "a.jpg").write_bytes(CONTENT if there == "the same" else b"?" * len(CONTENT))
        if there == "the same as second":
            (to / "a (2).jpg").write_bytes(CONTENT)
    action = kind(to=to, on_collision=on_collision)
    made = call(action, picture)
    before, held = disk(tmp_path), remains(tmp_path)
    seen = await foreseen(made)
    assert disk(tmp_path) == before
    try:
        outcome = await (dispose(made) if kind is MoveSource else action.run(made))
    except PermanentError:
        assert not seen.changes
        assert "would fail" in seen.detail
        return
    assert seen.changes is (remains(tmp_path) != held)
    if outcome.kind is OutcomeKind.SKIPPED:
        assert "left alone" in seen.detail
        return
    receipt = outcome.receipt if kind is MoveSource else outcome.values
    target = receipt["to" if kind is MoveSource else "path"]
    assert seen.detail.endswith(target)
    assert seen.values == outcome.values
    assert not (await foreseen(call(action, picture, source=made.source))).changes


@pytest.mark.parametrize(
    "action",
    [DeleteSource(), TrashSource(), TrashSource(folder="{trash}"), MoveSource(to="{trash}")],
    ids=["delete", "trash", "own trash", "move"],
)
async def test_disposing(call, picture, tmp_path, monkeypatch, action):
    monkeypatch.setattr(send2trash, "send2trash", lambda path: path.unlink())
    fields = {n: tmp_path / "trash" for n, v in action if str(v) == "{trash}"}
    action = action.model_copy(update=fields)
    made = call(action, picture)
    before = disk(tmp_path)
    seen = await foreseen(made)
    assert seen.changes
    assert str(picture) in seen.detail or str(tmp_path / "trash" / "a.jpg") in seen.detail
    assert disk(tmp_path) == before
    await dispose(made)
    after = await foreseen(made)
    assert not after.changes
    # A new file in its place is another one.
    picture.write_bytes(b"another")
    other = await foreseen(made)
    assert not other.changes
    assert "has changed since" in other.detail
    assert picture.read_bytes() == b"another"


@pytest.mark.parametrize("kind", [DeleteSource, TrashSource, MoveSource, CopySource, AddFile])
async def test_what_is_about_no_file_would_come_to_nothing(tmp_path, kind, client_of):
    fields = {"to": tmp_path} if "to" in kind.model_fields else {}
    made = call_of(kind(**fields), data={"url": "x"})
    async with client_of() as client:
        made.client = client
        seen = await foreseen(made)
    assert not seen.changes
    assert "is not a file" in seen.detail


async def test_where_there_is_no_trash_it_says_so(call, picture, monkeypatch):
    monkeypatch.setattr(trash_source, "_has_trash", lambda path: False)
    seen = await foreseen(call(TrashSource(), picture))
    assert not seen.changes
    assert "would fail: there is no recycle bin" in seen.detail


# --- add_file --------------------------------------------------------------------------------


@pytest.fixture
def client_of():
    """Connect to a simulated client."""

    @asynccontextmanager
    async def connected(config=None):
        simulator = Simulator(config)
        with simulator, simulator.serve() as url:
            async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
                client.simulator = simulator
                await client.connect()
                yield client

    return connected


@pytest.fixture
def adding(inbox):
    def make(client, name, content=None):
        path = inbox / name
        if content is None:
            content = paint(name)
        path.write_bytes(content)
        source = FileSource.of(path, inbox, path.lstat())
        made = call_of(AddFile(), data={"file": source.to_data()})
        made.client = client
        return made

    return make


def again(made):
    return Call(made.action, made.job_id, made.rule, made.data, made.client, made.clock)


@pytest.mark.parametrize("api_version", [95, 32, 11])
async def test_adding(client_of, adding, api_version):
    async with client_of(SimulatorConfig(api_version=api_version)) as client:
        calls = [adding(client, f"{n}.jpg") for n in range(3)]
        await AddFile.run_set([calls[0]])
        looked_up = dict(client.simulator.requests)
        calls[0] = again(calls[0])
        plans = await AddFile.plan(calls)
        asked = {p for p, n in client.simulator.requests.items() if n != looked_up.get(p, 0)}
        assert all(path.startswith("/get_files/") for path in asked)
        # A client before API 12 cannot be asked; sending finds out.
        knows = api_version >= 12
        assert [p.changes for p in plans] == [not knows, True, True]
        assert plans[0].detail == ("already in Hydrus" if knows else "would import it")
        await AddFile.run_set(calls)
        for made, plan in zip(calls, plans, strict=True):
            assert made.outcome.values["hash"] == plan.values["hash"]
            if knows:
                assert made.outcome.values == plan.values
        after = await AddFile.plan([again(made) for made in calls])
        assert [p.changes for p in after] == [not knows] * 3


async def test_adding_what_was_deleted_before(client_of, adding):
    async with client_of() as client:
        made = adding(client, "a.jpg")
        await AddFile.run_set([made])
        await client.delete_files([made.outcome.values["hash"]])
        [seen] = await AddFile.plan([again(made)])
        assert not seen.changes
        repeated = again(made)
        await AddFile.run_set([repeated])
        assert repeated.outcome.kind is OutcomeKind.SKIPPED
        assert seen.values == repeated.outcome.values


async def test_adding_with_a_key_that_may_not_look(client_of, adding):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1}))}
    async with client_of(SimulatorConfig(access_keys=keys)) as client:
        [seen] = await AddFile.plan([adding(client, "a.jpg")])
        assert seen.changes


async def test_adding_a_file_that_is_gone_or_another(client_of, adding, inbox, tmp_path):
    async with client_of() as client:
        gone, changed = adding(client, "a.jpg"), adding(client, "b.jpg")
        (inbox / "a.jpg").unlink()
        (inbox / "b.jpg").write_bytes(b"another")
        os.utime(inbox / "b.jpg", ns=(1, 1))
        plans = await AddFile.plan([gone, changed])
    assert [plan.changes for plan in plans] == [False, False]
    assert "no longer there" in plans[0].detail
    assert "has changed since" in plans[1].detail
    assert remains(tmp_path) == {"inbox/b.jpg": b"another"}
