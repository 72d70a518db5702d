"""A simulator in a process of its own: killed, stopped, restarted. And in a running loop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator

KEY = "5e" * 32
ON_WINDOWS = os.name == "nt"


@pytest.fixture
def launched(tmp_path, call):
    """``launched()``: a fresh process on the same state, as (process, caller)."""
    processes = []

    def launch(*more):
        command = [sys.executable, "-m", "hydrusd.simulator", "--port", "0", "--control"]
        command += ["--state-dir", str(tmp_path), "--access-key", KEY, *more]
        # On Windows only a process group of its own can be sent the Ctrl-Break below.
        flags = subprocess.CREATE_NEW_PROCESS_GROUP if ON_WINDOWS else 0
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, creationflags=flags)
        processes.append(process)
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        return process, call(url, KEY)

    yield launch
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_kill_loses_what_was_not_committed_and_a_stop_does_not(launched, picture):
    process, http = launched("--commit-seconds", "1000")
    committed = [http.add(picture(number))["hash"] for number in range(20)]
    http.tag(committed, ["a"])
    http.commit()
    lost = [http.add(picture(number))["hash"] for number in range(20, 40)]
    http.tag(lost, ["b"])
    boot = http.get("/client_info").json()["boot_id"]
    process.kill()
    process.wait()

    process, http = launched("--commit-seconds", "1000")
    state = http.get("/_simulator/state").json()
    assert state["committed_files"] == sorted(state["files"]) == sorted(committed)
    assert sorted(state["tags"]) == sorted(committed)
    assert state["boot_id"] != boot
    assert [state["imports"][sha256] for sha256 in lost] == [1] * 20
    assert [http.add(picture(number))["status"] for number in (0, 20)] == [2, 1]
    process.send_signal(signal.CTRL_BREAK_EVENT if ON_WINDOWS else signal.SIGTERM)
    assert process.wait(20) == 0

    _, http = launched()
    state = http.get("/_simulator/state").json()
    assert state["committed_files"] == sorted([*committed, lost[0]])
    assert state["imports"][lost[0]] == 2
    assert state["committed_imports"][lost[0]] == 1


@pytest.mark.anyio
async def test_it_lives_in_a_running_loop_too():
    headers = {"Hydrus-Client-API-Access-Key": DEFAULT_ACCESS_KEY}
    with Simulator() as simulator:
        transport = httpx.ASGITransport(simulator.app)
        async with httpx.AsyncClient(
            base_url="http://client", transport=transport, headers=headers
        ) as http:
            assert (await http.get("/verify_access_key")).status_code == 200
        async with (
            simulator.serve() as url,
            httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http,
        ):
            assert (await http.get("/verify_access_key")).status_code == 200
