"""What no rule may have: hydrusd's ledger, Hydrus' own files, and a rule's own work."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from hydrusd.engine import OffLimits, Stores
from hydrusd.engine.off_limits import SHARDS
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import Ledger, LedgerWriter
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Simulator, SimulatorConfig
from hydrusd.testing import paint


@pytest.fixture
def limits(tmp_path):
    return OffLimits(tmp_path / "state")


def reason(limits, path):
    return limits.reasons([str(path)]).get(str(path), "")


def test_the_ledgers_folder_is_off_limits(limits, tmp_path):
    assert "keeps its ledger" in reason(limits, tmp_path / "state" / "ledger.sqlite")
    assert "keeps its ledger" in reason(limits, tmp_path / "state" / "below" / "a.png")
    assert reason(limits, tmp_path / "statement" / "a.png") == ""
    assert reason(limits, tmp_path / "a.png") == ""


def test_a_link_to_the_ledgers_folder_is_no_way_around(limits, tmp_path):
    (tmp_path / "state").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "state", target_is_directory=True)
    except OSError:
        return  # Windows lets not everyone make links
    assert "keeps its ledger" in reason(limits, tmp_path / "link" / "a.png")


def test_a_clients_database_folder_is_off_limits(limits, tmp_path):
    db = tmp_path / "hydrus" / "db"
    db.mkdir(parents=True)
    assert reason(limits, db / "client.db") == ""
    for name in ("client.db", "client.master.db", "client.mappings.db"):
        (db / name).touch()
    anew = OffLimits(tmp_path / "state")
    assert "belongs to the Hydrus client" in reason(anew, db / "client_files" / "f12" / "x.png")
    assert reason(anew, db.parent / "x.png") == ""


def test_a_clients_file_store_elsewhere_is_off_limits(limits, tmp_path):
    store = tmp_path / "disk2"
    for number in range(SHARDS):
        (store / f"f{number + 0x80:02x}").mkdir(parents=True)
    assert "keeps its files in" in reason(limits, store / "f82" / "x.png")
    assert reason(limits, store / "x.png") == ""
    assert reason(limits, tmp_path / "f82" / "x.png") == ""


def test_a_few_folders_that_are_called_like_a_clients_are_nobodys(limits, tmp_path):
    for name in ("f00", "f7f", "fff"):
        (tmp_path / "cameras" / name).mkdir(parents=True)
    assert reason(limits, tmp_path / "cameras" / "f00" / "x.png") == ""


def test_what_a_client_says_of_its_store_counts_where_it_is_so_here(limits, tmp_path):
    store = tmp_path / "disk3"
    (store / "f12").mkdir(parents=True)
    (store / "mine").mkdir()
    limits.claim("main", {str(store): ["f12", "f13"], str(tmp_path / "elsewhere"): ["f00"]})
    assert reason(limits, store / "f12" / "x.png") == ""
    (store / "f13").mkdir()
    limits.claim("main", {str(store): ["f12", "f13"]})
    assert "belongs to the client 'main'" in reason(limits, store / "f12" / "x.png")
    assert "belongs to the client 'main'" in reason(limits, store / "f13" / "below" / "x.png")
    assert reason(limits, store / "mine" / "x.png") == ""
    limits.claim("other", {str(store): []})
    assert reason(limits, store / "x.png") == ""


@pytest.mark.anyio
async def test_a_client_is_asked_for_its_store_and_what_it_said_is_remembered(tmp_path):
    config = SimulatorConfig(state_dir=tmp_path / "hydrus")
    with Simulator(config) as simulator, simulator.serve() as url:
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            [location] = await client.local_file_storage_locations()
            here = tmp_path / "share"
            for folder in (Path(location.path), here):
                for name in location.prefixes:
                    (folder / name).mkdir(parents=True, exist_ok=True)
            # The looks alone must not be what gives it away.
            for folder in (Path(location.path), here):
                for name in location.prefixes[1:]:
                    (folder / name).rmdir()
            path_map = [(str(here), location.path)]
            with closing(Ledger.open(tmp_path / "state" / "ledger.sqlite")) as ledger:
                writer = LedgerWriter(ledger)
                stores = Stores(OffLimits(tmp_path / "state"), writer)
                await stores.look("main", client, path_map)
                shard = location.prefixes[0]
                assert reason(stores.off_limits, here / shard / "x.png") == ""
                for folder in (Path(location.path), here):
                    for name in location.prefixes[1:]:
                        (folder / name).mkdir()
                # In another life, and while the client is away.
                again = Stores(OffLimits(tmp_path / "state"), writer)
                await again.recall("main")
                await again.recall("unknown")
                for folder in (Path(location.path), here):
                    told = reason(again.off_limits, folder / shard / "x.png")
                    assert "belongs to the client 'main'" in told


@pytest.mark.anyio
async def test_a_client_that_may_not_say_where_its_files_are_is_no_reason_to_stop(tmp_path):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="some", basic=frozenset({1, 2}))}
    with (
        Simulator(SimulatorConfig(access_keys=keys)) as simulator,
        simulator.serve() as url,
        closing(Ledger.open(tmp_path / "state" / "ledger.sqlite")) as ledger,
    ):
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            stores = Stores(OffLimits(tmp_path / "state"), LedgerWriter(ledger))
            await stores.look("main", client, [])
            assert ledger.recall("off limits", "main") == {}


def test_a_watched_folder_above_the_ledger_does_not_give_the_ledger_away(project):
    made = project(
        {
            "rules.yaml": "rules:\n  - {name: tidy, on: {watch_folder: {path: ., settle: 100ms, "
            'include: ["*.sqlite", "*.png"]}}, do: [{move_source: {to: ../moved}}]}\n',
            "state/decoy.sqlite": b"not the ledger, but beside it",
        }
    )
    made.drop("a.png")
    made.run(until=lambda p: any("decoy" in str(o.data) for o in p.passed_over) and p.jobs)
    assert (made.state_dir / "decoy.sqlite").exists()
    assert all("keeps its ledger" in o.reason for o in made.passed_over)


def test_two_rules_do_not_feed_on_each_other(project):
    made = project(
        {
            "rules.yaml": """
rules:
  - {name: there, on: {watch_folder: {path: a, settle: 100ms}}, do: [{copy_source: {to: b}}]}
  - name: back
    on: {watch_folder: {path: b, settle: 100ms}}
    do: [{copy_source: {to: a, name: "copy {{ file.stem }}"}}]
"""
        }
    )
    made.drop("b/x.txt", b"not noticed yet", noticed=False)
    (made.folder / "b" / "x.txt").unlink()
    made.drop("a/a.png", paint("a.png"))
    made.run(until=lambda p: any("there → back → there" in o.reason for o in p.passed_over))
    assert sorted(job.rule for job in made.jobs) == ["back", "there"]


THERE = "{name: there, on: {watch_folder: {path: a, settle: 100ms}}, do: [{copy_source: {to: b}}]}"
BACK = """{name: back, on: {watch_folder: {path: b, settle: 100ms}}, do: [{copy_source: {to: a,
      name: "copy {{ file.name }}"}}]}"""


def test_a_circle_is_seen_by_a_daemon_that_was_started_since(project):
    """What former lives of the daemon wrote is known from the ledger."""
    made = project({"rules.yaml": f"rules: [{THERE}]"})
    (made.folder / "b").mkdir()
    made.drop("a/a.png", paint("a.png")).run(jobs=1)
    made.write({"rules.yaml": f"rules: [{BACK}]"}).run(jobs=2)
    made.write({"rules.yaml": f"rules: [{THERE}]"})
    made.run(until=lambda p: any("there → back → there" in o.reason for o in p.passed_over))
    assert [job.rule for job in made.jobs] == ["there", "back"]
    assert sorted(f.name for f in (made.folder / "a").iterdir()) == ["a.png", "copy a.png"]
