"""When the rules are read again, and what is said of it."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import anyio
import pytest
from living import Hurrying

from hydrusd import reloading
from hydrusd.clock import SystemClock
from hydrusd.engine import Lookout
from hydrusd.errors import ConfigError, Problem
from hydrusd.ledger import Ledger, LedgerReader, LedgerWriter
from hydrusd.reloading import Reloading, Report, answer_to, ask_for_reload, look_at

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Text:
    """What the file says, and what it looked like before it was read."""

    text: str
    look: reloading.Look


class Scripted(Hurrying):
    """A clock on which things happen while somebody sleeps for so long."""

    def __init__(self):
        super().__init__(50)
        self.script = []

    async def sleep(self, seconds):
        if seconds == reloading.QUIET_SECONDS and self.script:
            self.script.pop(0)()
        await super().sleep(seconds)


class Bench:
    """A file, whoever reads it, and a ledger."""

    def __init__(self, folder):
        self.file = folder / "rules.yaml"
        self.file.write_text("good 0", encoding="utf-8")
        self.clock = Scripted()
        self.read_texts = []
        self.applied = []
        self.meanwhile = []
        self.path = folder / "ledger.sqlite"
        self.ledger = Ledger.open(self.path)
        self.writer = LedgerWriter(self.ledger)
        self.reloading = None
        self.others = []

    def look(self):
        return look_at([self.file, *self.others])

    def read(self, former):
        """Read the file; what is to happen meanwhile happens after that."""
        look = self.look()
        text = self.file.read_text(encoding="utf-8")
        self.read_texts.append(text)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if not text.startswith("good"):
            if text == "odd":
                raise RuntimeError("a plugin's validator failed")
            raise ConfigError(
                [Problem(str(self.others[-1] if self.others else self.file), 1, 1, text)]
            )
        assert former.text.startswith("good")
        return Text(text, look)

    async def apply(self, fresh):
        self.applied.append(fresh.text)
        problems = [Problem("rules.yaml", 2, 1, "half")] if "half" in fresh.text else []
        return Report(taken=True, changes=[fresh.text], problems=problems)

    @asynccontextmanager
    async def running(self):
        self.reloading = Reloading(
            Text("good 0", self.look()),
            read=self.read,
            apply=self.apply,
            file=self.file,
            ledger=self.writer,
            clock=self.clock,
        )
        self.lookout = Lookout(self.path, self.clock, lambda _: self.reloading.stir())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.reloading.run)
            tasks.start_soon(self.lookout.run)
            yield
            tasks.cancel_scope.cancel()

    async def until(self, condition):
        with anyio.fail_after(20):
            while not condition():  # noqa: ASYNC110 - of files and a ledger nobody tells
                await anyio.sleep(0.005)

    async def ask(self, request="1"):
        # By the one thread that may use this connection: another process has one of its own.
        await self.writer(ask_for_reload, request, SystemClock().now())
        with anyio.fail_after(20):
            while (answer := await self.writer(answer_to, request)) is None:  # noqa: ASYNC110 - of a ledger nobody tells
                await anyio.sleep(0.005)
        return answer

    def write(self, text):
        self.file.write_text(text, encoding="utf-8")

    def conditions(self):
        reader = LedgerReader.open(self.path)
        try:
            return {(c.kind, c.name): c for c in reader.conditions()}
        finally:
            reader.close()


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.ledger.close()


async def test_what_is_written_bit_by_bit_is_read_when_it_is_left_alone(bench):
    bench.clock.script = [lambda n=n: bench.write(f"bad {n}") for n in range(5)]
    bench.clock.script.append(lambda: bench.write("good 1"))
    async with bench.running():
        bench.write("bad, the first of many writes")
        await bench.until(lambda: bench.applied)
    assert bench.read_texts == ["good 1"]


async def test_what_is_half_written_for_a_moment_scares_nobody(bench, capsys, caplog):
    async with bench.running():
        bench.meanwhile = [lambda: bench.write("good 1")]
        bench.write("ba")
        await bench.until(lambda: bench.applied)
    assert bench.read_texts == ["ba", "good 1"]
    assert bench.conditions() == {}
    assert "error" not in capsys.readouterr().out + caplog.text.lower()


async def test_what_stays_wrong_is_told_once_and_until_it_is_right(bench, capsys, caplog):
    async with bench.running():
        bench.write("bad")
        await bench.until(bench.conditions)
        assert bench.read_texts == ["bad", "bad"]  # looked at twice before anybody is told
        told = bench.conditions()["rules", str(bench.file)]
        assert told.state == "not taken"
        assert told.reason.endswith(f" go on: {bench.file}:1:1: bad")
        # It is tried again by itself: what is wrong may be nothing in a file.
        await bench.until(lambda: len(bench.read_texts) >= 6)
        bench.write("good 1")
        await bench.until(lambda: bench.applied)
        await bench.until(lambda: not bench.conditions())
    # Where it goes hangs on whether another test has set up the logs.
    assert (capsys.readouterr().out + caplog.text).count(":1:1: bad") == 1


async def test_a_file_that_changes_while_it_is_read_is_read_again(bench):
    async with bench.running():
        bench.meanwhile = [lambda: bench.write("good 2")]
        bench.write("good 1")
        await bench.until(lambda: bench.applied)
        await bench.ask()
    assert bench.read_texts[:2] == ["good 1", "good 2"]
    assert bench.applied[0] == "good 2"


async def test_whoever_asks_gets_an_answer_at_once_and_only_once(bench):
    async with bench.running():
        report = await bench.ask("a")
        assert (report.taken, report.changes, report.problems) == (True, ["good 0"], [])
        bench.write("bad")
        report = await bench.ask("b")
        assert (report.taken, report.problems[0].message) == (False, "bad")
        bench.write("good, half")
        report = await bench.ask("c")
        assert (report.taken, report.problems[0].message) == (True, "half")
        assert await bench.writer(answer_to, "a") is None
    reads = len(bench.read_texts)
    async with bench.running():  # a daemon that is started later has nothing to answer
        bench.write("good 3")
        await bench.until(lambda: "good 3" in bench.applied)
    assert len(bench.read_texts) == reads + 1


async def test_a_signal_asks_too(bench):
    async with bench.running():
        bench.reloading.ask()
        await bench.until(lambda: bench.applied)


async def test_what_fails_in_an_unforeseen_way_changes_nothing(bench):
    async with bench.running():
        bench.write("odd")
        report = await bench.ask()
    assert not report.taken
    assert "a plugin's validator failed" in report.problems[0].message


async def test_the_file_in_which_something_is_wrong_is_looked_at_from_then_on(bench, tmp_path):
    included = tmp_path / "included.yaml"
    async with bench.running():
        bench.others = [included]
        bench.write("bad")
        await bench.ask()
        bench.meanwhile = [lambda: bench.write("good 1")]
        reads = len(bench.read_texts)
        included.touch()
        await bench.until(lambda: len(bench.read_texts) > reads)


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_looks_different(tmp_path):
    file, other = tmp_path / "rules.yaml", tmp_path / "rules.yaml.new"
    file.write_text("one", encoding="utf-8")
    other.write_text("two", encoding="utf-8")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    before = look_at([file])
    other.replace(file)
    assert look_at([file]) != before


def test_a_folder_looks_different_with_what_may_be_rules_or_plugins_in_it(tmp_path):
    seen = [look_at([tmp_path / "plugins"])]
    (tmp_path / "plugins").mkdir()
    seen.append(look_at([tmp_path / "plugins"]))
    for name in ("a.py", "a.toml", "b.yaml"):
        (tmp_path / "plugins" / name).write_text(name, encoding="utf-8")
        seen.append(look_at([tmp_path / "plugins"]))
    (tmp_path / "plugins" / "a.py").write_text("longer", encoding="utf-8")
    seen.append(look_at([tmp_path / "plugins"]))
    assert all(a != b for a, b in pairwise(seen))
    (tmp_path / "plugins" / "a.log").touch()
    (tmp_path / "plugins" / "__pycache__").mkdir()
    assert look_at([tmp_path / "plugins"]) == seen[-1]
