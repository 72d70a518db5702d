"""What no rule may have: hydrusd's ledger, Hydrus' own files, and a rule's own work."""

from __future__ import annotations

import pytest

from hydrusd.engine import OffLimits
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
    for name in ("f00", "f7f", "fff", "f12"):
        (store / name).mkdir(parents=True)
    assert "keeps its files in" in reason(limits, store / "f12" / "x.png")
    assert reason(limits, store / "x.png") == ""
    assert reason(limits, tmp_path / "f12" / "x.png") == ""


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
