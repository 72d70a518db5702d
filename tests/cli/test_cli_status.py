"""What the ledger knows, told so that it can be read and acted upon."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from terminals import kill_jobs

NASTY = [
    "/inbox/line\nbreak.jpg",
    "/inbox/\x1b[31mred\x1b]0;title\x07.jpg",
    "/inbox/[red]markup[/red].jpg",
    "/inbox/not unicode \udcff.jpg",
    "/inbox/turned \u202egpj.exe",
]


def test_without_a_ledger_it_says_what_makes_one(hydrusd, tmp_path):
    for arguments in (["status"], ["dead", "retry", "--all"]):
        code, printed, complaints = hydrusd(*arguments)
        assert (code, printed) == (1, "")
        assert complaints.startswith("hydrusd: there is no ledger at ")
        assert "`hydrusd run` makes it" in complaints
    assert not (tmp_path / "state").exists()


def test_an_empty_ledger(hydrusd, ledger):
    code, printed, _ = hydrusd("status")
    assert code == 0
    assert printed.splitlines()[1:] == ["Nothing has been noticed yet."]


def test_dead_letters_have_their_number_their_file_and_the_reason(hydrusd, ledger):
    kill_jobs(ledger, "/inbox/a.jpg", reason="Hydrus cannot import it")
    ledger.close()
    code, printed, complaints = hydrusd("status")
    assert (code, complaints) == (0, "")
    head, title, counts, *dead = printed.splitlines()
    assert head.startswith("hydrusd is not running; ledger ")
    assert title.split() == ["rule", "ready", "running", "settling", "done", "skipped", "dead"]
    assert counts.split() == ["import", "all", "1"]
    assert dead[0] == "Dead letters: 1 (see `hydrusd dead`)"
    assert dead[1].startswith("  1  import all · ")
    assert [line.strip() for line in dead[2:]] == ["/inbox/a.jpg", "Hydrus cannot import it"]


@pytest.mark.parametrize("columns", ["80", "120", ""])
def test_names_cannot_command_the_terminal(hydrusd, ledger, monkeypatch, columns):
    if not columns:
        monkeypatch.delenv("COLUMNS")
    else:
        monkeypatch.setenv("COLUMNS", columns)
    for path in NASTY:
        told = path.replace("\udcff", "")
        kill_jobs(ledger, path, rule=told, reason=told)
    code, printed, _ = hydrusd("status")
    assert code == 0
    assert all(character == "\n" or character.isprintable() for character in printed)
    assert "[red]markup[/red]" in printed
    assert r"\x1b[31mred\x1b]0;title\x07" in printed
    assert r"line\nbreak" in printed
    assert r"\udcff" in printed


def test_long_names_stay_on_their_line_and_keep_their_end(hydrusd, ledger):
    path = f"/home/someone/{'deeply/' * 20}nested/holiday 猫 0017.jpg"
    kill_jobs(ledger, path, rule="a rule with a very long name " * 6)
    _, printed, _ = hydrusd("status")
    lines = printed.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert any(line.endswith("holiday 猫 0017.jpg") and "…" in line for line in lines)
    assert lines[2].startswith("a rule")
    assert "…" in lines[2]


def test_what_is_piped_is_not_shortened(hydrusd, ledger, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    path = f"/home/someone/{'deeply/' * 20}nested/holiday.jpg"
    kill_jobs(ledger, path)
    assert path in hydrusd("status")[1]


def test_what_an_encoding_lacks_is_replaced(terminal, ledger):
    kill_jobs(ledger, "/inbox/猫\udcff.jpg")
    ended = terminal.run("status", PYTHONIOENCODING="ascii", COLUMNS="80")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "import all - " in ended.stdout
    assert r"/inbox/\u732b\udcff.jpg" in ended.stdout


def test_only_the_newest_dead_letters_are_shown(hydrusd, ledger):
    kill_jobs(ledger, *(f"/inbox/{number}.jpg" for number in range(25)))
    _, printed, _ = hydrusd("status")
    assert "Dead letters: 25, the newest 10" in printed
    assert printed.count("it was garbage") == 10
    assert len(json.loads(hydrusd("status", "--json")[1])["dead"]) == 25


def test_what_waits_and_for_what_is_told_while_a_daemon_runs(hydrusd, ledger):
    now = datetime.now(UTC)
    reason = "the access key lacks 'edit file tags': tick it in Hydrus"
    ledger.set_condition("rule", "import all", "parked", reason, now)
    ledger.set_condition("trigger", "watch_folder /inbox", "working", "watching /inbox", now)
    _, printed, _ = hydrusd("status")
    since = f"since {now.astimezone():%Y-%m-%d %H:%M}"
    assert printed.splitlines()[1:4] == [
        f"  rule import all: parked {since}",
        f"      {reason}",
        f"  trigger watch_folder /inbox: working {since}",
    ]
    assert printed.startswith("hydrusd is running; ")
    ledger.close()
    assert "parked" not in hydrusd("status")[1]


def test_json_has_all_of_it(hydrusd, ledger, tmp_path):
    kill_jobs(ledger, NASTY[1])
    ledger.set_condition("client", "hydrus", "waiting", "not there", datetime.now(UTC))
    code, printed, _ = hydrusd("status", "--json")
    found = json.loads(printed)
    assert code == 0
    assert sorted(found) == ["conditions", "dead", "ledger", "rules", "running"]
    assert found["running"] is True
    assert found["ledger"] == str(tmp_path / "state" / "ledger.sqlite")
    assert found["rules"] == {"import all": {"dead": 1}}
    (condition,) = found["conditions"]
    assert datetime.fromisoformat(condition.pop("since")).tzinfo
    assert condition == {
        "kind": "client", "name": "hydrus", "state": "waiting", "reason": "not there"
    }  # fmt: skip
    (letter,) = found["dead"]
    assert datetime.fromisoformat(letter.pop("ended_at")).tzinfo
    assert letter == {
        "job_id": 1,
        "rule": "import all",
        "action": "",
        "detail": "it was garbage",
        "data": {"file": {"path": NASTY[1]}},
        "attempts": 0,
    }


def test_retry_by_number_names_those_that_are_none(hydrusd, ledger):
    kill_jobs(ledger, "/inbox/a", "/inbox/b", "/inbox/c")
    ledger.close()
    assert hydrusd("dead", "retry", "1", "1") == (0, "1 job put back to work\n", "")
    code, printed, complaints = hydrusd("dead", "retry", "1", "2", "99")
    assert (code, printed) == (1, "1 job put back to work\n")
    assert complaints == "hydrusd: no dead letter has the number 1, 99 (see hydrusd dead)\n"
    counts = json.loads(hydrusd("status", "--json")[1])["rules"]["import all"]
    assert counts == {"ready": 2, "dead": 1}


def test_retry_by_rule(hydrusd, ledger):
    kill_jobs(ledger, "/inbox/a", "/inbox/b", rule="one")
    kill_jobs(ledger, "/inbox/c", rule="other")
    ledger.close()
    assert hydrusd("dead", "retry", "--rule", "one") == (0, "2 jobs put back to work\n", "")
    code, printed, complaints = hydrusd("dead", "retry", "--rule", "oen")
    assert (code, printed) == (1, "")
    assert complaints == "hydrusd: there are no dead letters of a rule 'oen' (see hydrusd dead)\n"
    assert hydrusd("dead", "retry", "--rule", "no unicode \udcff")[0] == 1


def test_retry_all(hydrusd, ledger):
    kill_jobs(ledger, "/inbox/a", "/inbox/b")
    ledger.close()
    assert hydrusd("dead", "retry", "--all") == (0, "2 jobs put back to work\n", "")
    assert hydrusd("dead", "retry", "--all") == (0, "0 jobs put back to work\n", "")


@pytest.mark.parametrize(
    "arguments", [[], ["1", "--all"], ["--all", "--rule", "r"], ["0"], ["one"], ["9" * 30]]
)
def test_retry_wants_to_know_which(hydrusd, ledger, arguments):
    kill_jobs(ledger, "/inbox/a")
    code, printed, complaints = hydrusd("dead", "retry", *arguments)
    assert (code, printed) == (2, "")
    assert complaints.startswith("Usage: hydrusd dead retry ")


def of_garbage(path):
    path.write_bytes(random.Random(1).randbytes(5000))


def of_a_newer_hydrusd(path):
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()


def that_is_a_folder(path):
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(of_garbage, "file is not a database"), (of_a_newer_hydrusd, "Upgrade hydrusd"),
     (that_is_a_folder, "ledger")],
)  # fmt: skip
@pytest.mark.parametrize("arguments", [["status"], ["dead", "retry", "--all"], ["run"]], ids=str)
def test_a_ledger_that_cannot_be_used(hydrusd, terminal, spoil, said, arguments, monkeypatch):
    monkeypatch.setenv("HYDRUS_TEST_KEY", terminal.environment["HYDRUS_TEST_KEY"])
    terminal.write_rules()
    terminal.state.mkdir()
    spoil(terminal.state / "ledger.sqlite")
    code, printed, complaints = hydrusd(*arguments)
    assert (code, printed) == (1, "")
    assert complaints.startswith("hydrusd: ")
    assert said in complaints
    assert len(complaints.splitlines()) == 1


def test_a_state_folder_that_cannot_be_made(hydrusd, terminal, monkeypatch):
    monkeypatch.setenv("HYDRUS_TEST_KEY", terminal.environment["HYDRUS_TEST_KEY"])
    terminal.write_rules()
    (terminal.folder / "file").touch()
    code, _, complaints = hydrusd("run", "--state-dir", terminal.folder / "file" / "state")
    assert code == 1
    assert complaints.startswith("hydrusd: the ledger cannot be kept in ")
