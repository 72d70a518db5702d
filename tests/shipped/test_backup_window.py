"""The shipped plugin that locks Hydrus: whatever happens, the lock does not stay on."""

from __future__ import annotations

import importlib
import sqlite3

import anyio
import pytest

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobId, OutcomeKind, StepRecord
from hydrusd.plugin import Call, HydrusUnavailable, PermanentError, TemporaryError
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator

NAMES = ("client.db", "client.caches.db", "client.mappings.db", "client.master.db")
LOCK_ON, LOCK_OFF = "/manage_database/lock_on", "/manage_database/lock_off"

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def action():
    return load_plugins([]).actions["back_up_database"]


@pytest.fixture
def plugin(action, monkeypatch):
    plugin = importlib.import_module(action.__module__)
    monkeypatch.setattr(plugin, "_announced", set())
    monkeypatch.setattr(plugin, "UNLOCK_PAUSE_SECONDS", 0)
    return plugin


def database(folder):
    folder.mkdir()
    for name in NAMES:
        with sqlite3.connect(folder / name) as made:
            made.execute("CREATE TABLE t (name TEXT)")
            made.execute("INSERT INTO t VALUES (?)", [name])
        made.close()
    (folder / "client_files").mkdir()
    (folder / "notes.txt").write_text("not ours")
    return folder


class Window:
    """One step of one job, called as the engine would."""

    def __init__(self, action, folder, client, **parameters):
        places = {"database": str(folder / "db"), "to": str(folder / "copies")}
        self.step = action.model_validate(places | parameters)
        self.client, self.progress, self.noted = client, None, None
        self.copies = folder / "copies"

    async def call(self):
        steps = ()
        if self.progress is not None:
            name = self.step.action
            steps = (StepRecord(0, name, OutcomeKind.LATER, "", self.progress, self.noted),)
        made = Call(self.step, JobId(1), "r", {}, self.client, SystemClock(), steps=steps)
        made.keeper = self.keep
        outcome = await self.step.run(made)
        if outcome.kind is OutcomeKind.LATER:
            self.progress = outcome.values
        return outcome

    async def keep(self, receipts):
        self.noted = receipts[JobId(1)]

    def names(self):
        return sorted(path.name for path in self.copies.iterdir())


@pytest.fixture
async def window(action, plugin, stage, tmp_path):
    server, url = stage
    database(tmp_path / "db")
    with Simulator() as server.simulator:
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            made = Window(action, tmp_path, client)
            made.simulator = server.simulator
            yield made


async def is_free(window):
    """Say whether the client answers."""
    try:
        await window.client.get_pending_counts()
    except HydrusUnavailable:
        return False
    return True


async def test_the_database_is_copied_behind_a_lock(window, tmp_path):
    assert (await window.call()).kind is OutcomeKind.LATER
    assert window.simulator.requests[LOCK_ON] == 0
    outcome = await window.call()
    assert outcome.kind is OutcomeKind.DONE
    asked = window.simulator.requests
    assert (asked[LOCK_ON], asked[LOCK_OFF]) == (1, 1)
    assert await is_free(window)
    [copy] = window.copies.iterdir()
    assert str(copy) == outcome.values["folder"]
    assert {p.name for p in copy.iterdir()} == set(NAMES)
    for name in NAMES:
        assert (copy / name).read_bytes() == (tmp_path / "db" / name).read_bytes()


async def test_a_hydrusd_that_was_killed_unlocks_when_it_runs_again(window, plugin):
    await window.call()
    await window.client.lock_on()  # and killed here: the note is in the ledger, no more
    plugin._announced.clear()
    assert not await is_free(window)
    again = await window.call()
    assert "was left locked" in again.detail
    assert await is_free(window)
    assert (await window.call()).kind is OutcomeKind.DONE


async def test_a_copy_of_which_only_the_note_is_left_is_not_made_again(window, plugin):
    await window.call()
    done = await window.call()
    plugin._announced.clear()  # as after a restart of hydrusd
    again = await window.call()
    assert again.kind is OutcomeKind.DONE
    assert again.values == done.values
    assert again.detail.endswith("as a former try has done")
    assert len(window.names()) == 1
    (window.copies / window.names()[0] / NAMES[0]).unlink()  # it is not whole any more
    assert (await window.call()).kind is OutcomeKind.LATER


async def test_a_locked_client_is_unlocked_without_being_connected(action, window, stage, tmp_path):
    await window.call()
    await window.client.lock_on()
    async with HydrusClient(stage[1], DEFAULT_ACCESS_KEY) as fresh:
        later = Window(action, tmp_path, fresh)
        later.progress = {"window": "of a former life"}
        assert "was left locked" in (await later.call()).detail
    assert await is_free(window)


async def test_a_lock_of_somebody_else_stays_on(window):
    await window.client.lock_on()
    await window.call()
    with pytest.raises(HydrusUnavailable):
        await window.call()
    assert window.simulator.requests[LOCK_OFF] == 0
    assert not await is_free(window)
    assert window.names() == []


async def test_a_copy_that_fails_unlocks_and_leaves_nothing(window, tmp_path, plugin, monkeypatch):
    (tmp_path / "db" / "client.zzz.db").write_bytes(b"this is no database")
    await window.call()
    with pytest.raises(PermanentError, match="is no database"):
        await window.call()
    assert await is_free(window)
    assert window.names() == []

    def full(source, copy):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plugin, "_piece", full)
    with pytest.raises(TemporaryError, match="No space left"):
        await window.call()
    assert await is_free(window)
    assert window.names() == []


async def test_a_database_that_is_written_to_is_another_one(window, tmp_path, plugin, monkeypatch):
    real = plugin._piece

    def writes(source, copy):
        with (tmp_path / "db" / "client.db").open("ab") as file:
            file.write(b"\x00")
        return real(source, copy)

    monkeypatch.setattr(plugin, "_piece", writes)
    await window.call()
    with anyio.fail_after(20), pytest.raises(PermanentError, match="was written to while"):
        await window.call()
    assert await is_free(window)


async def test_a_time_that_is_up_unlocks(action, window, tmp_path):
    slow = Window(action, tmp_path, window.client, at_most="1ms")
    await slow.call()
    with pytest.raises(PermanentError, match="at_most"):
        await slow.call()
    assert await is_free(window)
    assert window.names() == []


async def test_being_stopped_unlocks(window, plugin, monkeypatch):
    await window.call()
    copying = anyio.Event()

    async def forever(path, target):
        copying.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(plugin, "_copy", forever)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(window.call)
        await copying.wait()
        assert not await is_free(window)
        tasks.cancel_scope.cancel()
    assert await is_free(window)
    assert window.names() == []


async def test_two_jobs_do_not_take_off_each_others_lock(
    action, window, plugin, monkeypatch, tmp_path
):
    await window.call()
    copying, goes_on = anyio.Event(), anyio.Event()
    real = plugin._copy

    async def slow(path, target):
        copying.set()
        await goes_on.wait()
        return await real(path, target)

    monkeypatch.setattr(plugin, "_copy", slow)
    left = Window(action, tmp_path, window.client)
    left.progress = {"window": "of a former life"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(window.call)
        await copying.wait()
        assert "another copy" in (await left.call()).detail
        assert not await is_free(window)
        goes_on.set()
    assert "was left locked" in (await left.call()).detail
    assert len(window.names()) == 1


async def test_only_old_copies_of_its_own_make_room(action, window, tmp_path):
    old = [f"hydrus-2020010{day}T000000Z" for day in (1, 2, 3)]
    for name in [*old, "hydrus-by-hand", "20200101"]:
        (window.copies / name).mkdir(parents=True)
    kept = Window(action, tmp_path, window.client, keep=2)
    await kept.call()
    outcome = await kept.call()
    assert outcome.receipt["deleted"] == old[:2]
    assert len(window.names()) == 4
    assert {old[2], "hydrus-by-hand", "20200101"} < set(window.names())


async def test_a_wrong_folder_is_told_before_anything_is_locked(action, window, tmp_path):
    wrong = Window(action, tmp_path, window.client, database=str(tmp_path))
    with pytest.raises(PermanentError, match=r"there is no client\.db in"):
        await wrong.call()
    assert window.simulator.requests[LOCK_ON] == 0


async def test_planning_locks_nothing(action, window):
    made = Call(window.step, JobId(1), "r", {}, window.client, SystemClock())
    [seen] = await action.plan([made])
    assert seen.detail.startswith("would lock Hydrus and copy 4 files")
    assert window.simulator.requests[LOCK_ON] == 0
    assert not window.step.to.exists()
