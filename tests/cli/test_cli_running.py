"""The daemon as its user meets it: what it says while it cannot work, and that it stops."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest
from terminals import ON_WINDOWS, STOP_SECONDS, everything_in

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Service, Simulator, SimulatorConfig

IMPORT, TAG, SEARCH, DATABASE = 1, 2, 3, 6
LOCAL_TAGS = 5
# Windows cannot send Ctrl-C to one other process.
STOPPING = [signal.CTRL_BREAK_EVENT] if ON_WINDOWS else [signal.SIGINT, signal.SIGTERM]


def a_client(*permissions, **config):
    if permissions:
        config["access_keys"] = {DEFAULT_ACCESS_KEY: Permissions(basic=frozenset(permissions))}
    return Simulator(SimulatorConfig(**config))


def test_client_and_folder_that_come_later_are_found_and_nothing_is_lost(terminal, free_port):
    url = f"http://127.0.0.1:{free_port}"
    terminal.write_rules(url)
    running = terminal.start("run")
    running.wait_for(
        f"{terminal.folder / 'inbox'} does not exist; create it or correct `path`",
        f"waiting for Hydrus (asked again by itself): cannot connect to {url}",
    )
    terminal.paint(5)
    running.wait_for("noticed 5 events, 5 jobs")
    waiting = terminal.run("status").stdout
    assert "client hydrus: waiting since " in waiting
    assert f"cannot connect to {url}" in waiting
    with a_client() as client, client.serve(port=free_port):
        running.wait_until(lambda: len(terminal.trashed()) == 5)
        assert len(client.committed_files()) == 5
        running.wait_for("rule 'import all': trash_source: 5 done")
        assert running.stop() == 0
    assert "connected to Hydrus" in running.output


def test_a_folder_that_is_a_file_is_told(terminal):
    terminal.write_rules()
    (terminal.folder / "inbox").touch()
    running = terminal.start("run")
    running.wait_for("inbox is not a folder; correct `path`")
    assert running.stop() == 0


def test_an_unknown_access_key_is_told_and_shown_nowhere(terminal):
    wrong = "abcdef0123456789" * 4
    with a_client() as client, client.serve() as url:
        terminal.write_rules(url)
        running = terminal.start("run", "--log-level", "debug", HYDRUS_TEST_KEY=wrong)
        running.wait_for("the client refuses this access key", "services > review services")
        status = terminal.run("status").stdout
        assert "the client refuses this access key" in status
        assert running.stop() == 0
    assert wrong.encode() not in everything_in(terminal.folder)
    assert wrong not in status


@pytest.mark.parametrize(
    ("permissions", "box"),
    [((TAG, SEARCH, DATABASE), "import and delete files"),
     ((IMPORT, SEARCH, DATABASE), "edit file tags")],
)  # fmt: skip
def test_a_missing_permission_is_named_and_its_rule_waits(terminal, permissions, box):
    terminal.paint(2)
    with a_client(*permissions) as client, client.serve() as url:
        terminal.write_rules(url)
        running = terminal.start("run")
        running.wait_for(
            f"rule 'import all' waits: the access key lacks '{box}'", "noticed 2 events, 2 jobs"
        )
        found = json.loads(terminal.run("status", "--json").stdout)
        assert found["rules"] == {"import all": {"ready": 2}}
        assert [c["state"] for c in found["conditions"] if c["kind"] == "rule"] == ["parked"]
        assert running.stop() == 0
        assert not client.imports()
    assert DEFAULT_ACCESS_KEY.encode() not in everything_in(terminal.folder)


def test_a_client_that_cannot_be_told_to_commit_is_waited_for(terminal):
    terminal.paint(2)
    with a_client(IMPORT, TAG, SEARCH) as client, client.serve() as url:
        terminal.write_rules(url)
        running = terminal.start("run")
        running.wait_for("cannot be told to commit", "'manage database'", "waiting 60 s")
        assert running.stop() == 0
    assert not terminal.trashed()


@pytest.mark.parametrize(
    ("service", "extra", "said"),
    [
        ("my tagz", (), "no tag service is called 'my tagz'"),
        ("my tags", (Service("my tags", LOCAL_TAGS),), "2 tag services are called 'my tags'"),
    ],
)
def test_rules_that_the_client_shows_to_be_wrong_are_refused(terminal, service, extra, said):
    with a_client(extra_services=extra) as client, client.serve() as url:
        terminal.write_rules(url, service=service)
        ended = terminal.run("run")
    assert ended.returncode == 2
    first, excerpt, caret, *others = ended.stderr.splitlines()
    assert first.startswith("rules.yaml:")
    assert said in first
    assert first.split(":")[1].isdecimal()
    assert first.split(":")[2].isdecimal()
    assert excerpt.strip()
    assert caret.strip() == "^"
    assert others[-1] == "1 problem found; nothing was done."


def test_what_hydrus_refuses_waits_for_a_person_who_puts_it_back(terminal):
    names = ["broken.jpg", "[red]markup[1].jpg"]
    if not ON_WINDOWS:
        names += [
            "line\nbreak.jpg",
            "\x1b[31mred\x1b]0;title\x07.jpg",
            os.fsdecode(b"odd \xff.jpg"),
        ]
    terminal.paint(3)
    for number, name in enumerate(names):
        (terminal.folder / "inbox" / name).write_text(f"garbage {number}", encoding="utf-8")
    with a_client() as client, client.serve() as url:
        terminal.write_rules(url)
        running = terminal.start("run")
        running.wait_until(lambda: len(terminal.trashed()) == 3)
        running.wait_until(lambda: running.output.count("gave up on") == len(names))

        status = terminal.run("status", COLUMNS="80").stdout
        assert f"Dead letters: {len(names)} " in status
        assert status.count("Hydrus cannot import it") == len(names)
        assert max(map(len, status.splitlines()[1:])) <= 80

        second = terminal.run("run")
        assert second.returncode == 1
        assert f"is in use by process {running.process.pid}: a hydrusd is already running" in (
            second.stderr
        )

        put_back = terminal.run("dead", "retry", "--all")
        assert put_back.stdout == f"{len(names)} jobs put back to work\n"
        running.wait_until(lambda: running.output.count("gave up on") == 2 * len(names))
        assert running.stop() == 0
    assert all(c == "\n" or c.isprintable() for c in running.output + status)
    assert "Traceback" not in running.output
    assert {p.name for p in (terminal.folder / "inbox").iterdir()} == set(names)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_told_twice_is_one_wish_to_stop(terminal, number):
    terminal.write_rules()
    running = terminal.start("run")
    running.wait_for("waiting for Hydrus")
    running.process.send_signal(number)
    running.process.send_signal(number)
    assert running.process.wait(STOP_SECONDS) == 0
    assert running.output.endswith(" stopped\n")


def test_the_log_for_programs_is_json(terminal):
    terminal.write_rules()
    running = terminal.start("run", "--json")
    running.wait_for("waiting for Hydrus")
    assert running.stop() == 0
    lines = [json.loads(line) for line in running.output.splitlines()]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    assert lines[0]["rules"] == 1
    assert lines[-1]["event"] == "stopped"


def test_a_port_that_is_taken_is_told(terminal):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = terminal.run("simulator", "--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"hydrusd: cannot listen on 127.0.0.1:{port}: ")
    assert "--port" in ended.stderr


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file/x", "the collection cannot be kept in "),
        (".", "the collection in . cannot be used: "),
    ],
)
def test_a_collection_that_cannot_be_kept_is_told(terminal, place, said):
    (terminal.folder / "file").touch()
    (terminal.folder / "simulator.sqlite3").write_bytes(b"no database" * 500)
    ended = terminal.run("simulator", "--port", "0", "--state-dir", place)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"hydrusd: {said}")
    assert len(ended.stderr.splitlines()) == 1


def test_the_simulator_says_where_it_is_and_stops(terminal):
    running = terminal.start("simulator", "--port", "0")
    running.wait_for("listens at http://127.0.0.1:", DEFAULT_ACCESS_KEY, "Ctrl-C")
    assert running.stop() == 0
