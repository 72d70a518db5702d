"""How code of plugins is called: what it raises, prints, blocks or never comes back from."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import anyio
import pytest
from structlog.testing import capture_logs

from hydrusd.errors import PluginError
from hydrusd.plugin import blocking, calling
from hydrusd.plugin.accounts import MOST_HANGING, Accounts
from hydrusd.plugin.blocking import LoopWatch
from hydrusd.plugin.calling import Misbehaviour, apart, in_thread
from hydrusd.plugin.prints import capturing_prints

pytestmark = pytest.mark.anyio

CODE = """\
import asyncio, threading, time

def say(*words, **how):
    print(*words, **how)

def fail(text):
    raise ValueError(text)

async def sleep(seconds):
    time.sleep(seconds)

async def spin():
    while True:
        pass

async def cling(held):
    while not held.is_set():
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            held.seen = True
"""


@pytest.fixture
def accounts():
    return Accounts()


@pytest.fixture
def code(tmp_path, accounts):
    """Functions of a plugin called ``noisy``."""
    file = tmp_path / "noisy.py"
    file.write_text(CODE, encoding="utf-8")
    accounts.claim("noisy", file=file)
    made: dict[str, object] = {}
    exec(compile(CODE, str(file), "exec"), made)
    return made


# --- threads -------------------------------------------------------------------------------


async def test_a_thread_gives_its_result_and_raises_what_it_raises(accounts, code):
    assert await in_thread(len, "abc", accounts=accounts, plugin="noisy") == 3
    with pytest.raises(ValueError, match="no good") as caught:
        await in_thread(code["fail"], "no good", accounts=accounts, plugin="noisy")
    assert accounts.blame(caught.value) == ("noisy", "noisy.py, line 7")


async def test_a_thread_that_is_nearly_through_is_waited_for(accounts):
    finished = []

    def work():
        time.sleep(0.2)
        return "through"

    with anyio.move_on_after(0.05) as scope:
        finished.append(await in_thread(work, accounts=accounts, plugin="noisy"))
    assert scope.cancel_called
    assert finished == ["through"]
    assert accounts.of("noisy").hanging == 0


async def test_a_thread_that_does_not_come_back_is_left_behind_and_counted(accounts, monkeypatch):
    monkeypatch.setattr(calling, "GRACE_SECONDS", 0.05)
    let_go = threading.Event()
    with anyio.move_on_after(0.05):
        await in_thread(let_go.wait, accounts=accounts, plugin="noisy")
    assert accounts.of("noisy").hanging == 1
    let_go.set()
    with anyio.fail_after(5):
        while accounts.of("noisy").hanging:  # noqa: ASYNC110 - what is true in a thread
            await anyio.sleep(0.01)


async def test_a_plugin_of_which_too_much_hangs_is_not_called(accounts):
    accounts.hangs("noisy", MOST_HANGING)
    with pytest.raises(PluginError, match="16 of its calls have never come back"):
        await in_thread(len, "abc", accounts=accounts, plugin="noisy")
    assert await in_thread(len, "abc", accounts=accounts, plugin="other") == 3


# --- tasks ---------------------------------------------------------------------------------


async def raising(error):
    raise error


@pytest.mark.parametrize("plugin", [None, "noisy"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(3), r"it called sys\.exit\(3\)"),
        (KeyboardInterrupt(), "it raised KeyboardInterrupt"),
        (asyncio.CancelledError(), "it was cancelled, and not by hydrusd"),
        (type("Out", (BaseException,), {})("free"), "it raised Out: free"),
    ],
)
async def test_what_would_reach_through_becomes_an_error(accounts, plugin, error, said):
    with pytest.raises(Misbehaviour, match=said):
        await apart(lambda: raising(error), accounts=accounts, plugin=plugin)


@pytest.mark.parametrize("plugin", [None, "noisy"])
async def test_a_real_cancellation_is_one(accounts, plugin):
    with anyio.move_on_after(0.05) as scope:
        await apart(anyio.sleep_forever, accounts=accounts, plugin=plugin)
    assert scope.cancelled_caught
    assert accounts.of("noisy").hanging == 0


async def test_a_task_that_clings_is_left_behind(accounts, code, monkeypatch):
    monkeypatch.setattr(calling, "GRACE_SECONDS", 0.05)
    held = threading.Event()
    with anyio.move_on_after(0.05) as scope:
        await apart(lambda: code["cling"](held), accounts=accounts, plugin="noisy")
    assert scope.cancelled_caught
    assert held.seen
    assert accounts.of("noisy").hanging == 1
    # So the end of the event loop does not wait for it.
    assert "plugin noisy" not in {task.get_name() for task in asyncio.all_tasks()}
    held.set()
    with anyio.fail_after(5):
        while accounts.of("noisy").hanging:  # noqa: ASYNC110 - it belongs to nobody any more
            await anyio.sleep(0.01)


async def test_a_plugin_that_pretends_to_be_thrown_away_is_not(accounts):
    with pytest.raises(Misbehaviour, match="it raised GeneratorExit"):
        await apart(lambda: raising(GeneratorExit()), accounts=accounts, plugin="noisy")


# --- blocking ------------------------------------------------------------------------------


async def watched(accounts, work):
    """Do it while somebody watches the loop; give what was logged."""
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(LoopWatch(accounts).run)
            await anyio.sleep(0.2)
            try:
                await work()
            finally:
                with anyio.fail_after(5):
                    while accounts.of("noisy").blocked and len(logs) < 2:  # noqa: ASYNC110 - as above
                        await anyio.sleep(0.05)
                tasks.cancel_scope.cancel()
    return [entry["event"] for entry in logs]


@pytest.fixture
def _quickly(monkeypatch):
    monkeypatch.setattr(blocking, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(blocking, "BLOCKED_SECONDS", 0.3)
    monkeypatch.setattr(blocking, "BREAK_OFF_SECONDS", 0.6)


@pytest.mark.usefixtures("_quickly")
async def test_who_blocks_the_loop_is_named(accounts, code, monkeypatch):
    monkeypatch.setattr(blocking, "BREAK_OFF_SECONDS", 60.0)
    said = await watched(accounts, lambda: code["sleep"](1.0))
    assert (
        "plugin noisy: it blocks the event loop, so that everything waits (noisy.py, line 10"
        in said[0]
    )
    assert said[1].startswith("plugin noisy has let go of the event loop after")
    assert accounts.of("noisy").blocked == 1


@pytest.mark.usefixtures("_quickly")
async def test_who_blocks_the_loop_for_ever_is_broken_off(accounts, code):
    async def work():
        with pytest.raises(Misbehaviour, match="broken off, because it blocked the event loop"):
            await apart(code["spin"], accounts=accounts, plugin="noisy")

    assert "noisy.py, line" in (await watched(accounts, work))[0]


@pytest.mark.usefixtures("_quickly")
async def test_hydrusd_itself_is_not_called_a_plugin(accounts):
    async def work():
        time.sleep(0.5)  # noqa: ASYNC251 - it is what is watched for

    assert await watched(accounts, work) == []


# --- printing ------------------------------------------------------------------------------


async def test_what_a_plugin_prints_is_logged_in_lines_under_its_name(accounts, code, capsys):
    with capture_logs() as logs, capturing_prints(accounts):
        code["say"]("one", end="")
        sys.stdout.write("mine\n")
        code["say"](" line\nand", "another")
        await in_thread(code["say"], "from a thread", accounts=accounts, plugin="noisy")
    assert [entry["event"] for entry in logs] == [
        "plugin noisy printed: one line",
        "plugin noisy printed: and another",
        "plugin noisy printed: from a thread",
    ]
    assert capsys.readouterr().out == "mine\n"
    assert accounts.of("noisy").printed == 3


async def test_a_log_on_standard_output_does_not_go_round_in_circles(accounts, code, capsys):
    with capturing_prints(accounts):
        code["say"]("hello")  # the log of a test goes to standard output
    assert capsys.readouterr().out.count("hello") == 1


def test_nothing_is_replaced_under_the_hands_of_who_prints(accounts):
    """What is loaded while a daemon runs, at a reload, leaves standard output as it is."""
    with capturing_prints(accounts):
        present = sys.stdout
        with capturing_prints(accounts):
            assert sys.stdout is present
        assert sys.stdout is present
    assert sys.stdout is not present
