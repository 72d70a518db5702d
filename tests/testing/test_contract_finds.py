"""The contract finds what it is there to find: each promise, broken by one small plugin."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hydrusd.testing import ContractBroken, Example, NotAsExpected, Promise
from hydrusd.testing._world import Photographer, difference

HEAD = """
import anyio, asyncio, logging
from pathlib import Path
from hydrusd.plugin import *
from hydrusd.plugin import Secret

class Mine(Action):
    "A plugin to try."
    action = "mine"
    token: Secret | None = None
"""
TAIL = """
@hookimpl
def hydrusd_register_actions(register):
    register(Mine)
"""
RULES = """
rules:
  - name: r
    on: startup
    do: [{mine: }]
"""
CHANGES = "await call.client.set_favourite_tags(['mine'])"


def example(body, **given):
    """Give an example with a plugin whose class has this body."""
    source = HEAD + "".join(f"    {line}\n" for line in body.strip("\n").splitlines()) + TAIL
    return Example(**{"rules": RULES, "files": {"plugins/mine.py": source}, **given})


def broken(contract, tried):
    with pytest.raises(ContractBroken) as caught:
        contract(tried)
    assert {each.name for each in caught.value.broken} == {"mine"}
    return {each.promise: each.detail for each in caught.value.broken}


def run(*lines):
    """Give the body of a class whose ``run`` has these lines."""
    return "async def run(self, call):\n" + "".join(f"    {line}\n" for line in lines)


def test_a_good_one_passes(contract):
    contract(example(run(CHANGES, "return Outcome.done('done')")))


def test_a_plan_that_writes(contract):
    body = run(CHANGES, "return Outcome.done()") + (
        "@classmethod\nasync def plan(cls, calls):\n"
        "    (Path.home() / 'planned.txt').write_text('oops')\n"
        "    return [Foreseen('x') for _ in calls]\n"
    )
    assert "planned.txt" in broken(contract, example(body))[Promise.PLAN]


def test_a_plan_that_fails(contract):
    body = run(CHANGES, "return Outcome.done()") + (
        "@classmethod\nasync def plan(cls, calls):\n    return [Foreseen(calls[0].nothing)]\n"
    )
    assert "nothing" in broken(contract, example(body))[Promise.PLAN]


COUNTS = (
    "path = Path.home() / 'count.txt'",
    "count = int(path.read_text()) if path.exists() else 0",
    "path.write_text(str(count + 1))",
    "return Outcome.done()",
)


def test_what_counts_its_calls(contract):
    found = broken(contract, example(run(*COUNTS)))
    assert "count.txt: '1' → '2'" in found[Promise.AGAIN]


def test_what_is_waived_is_not_told(contract):
    tried = example("changes_client = False\n" + run(*COUNTS))
    waived = dict.fromkeys((Promise.AGAIN, Promise.CANCEL), "it is to count")
    contract(replace(tried, waived=waived))


def test_a_receipt_that_is_lost(contract):
    body = run(
        "there = 'mine' in await call.client.get_favourite_tags()",
        CHANGES,
        "return Outcome.done(receipt={'added': [] if there else ['mine']})",
    ) + (
        "@classmethod\nasync def undo_set(cls, calls):\n"
        "    for call in calls:\n        call.finish(Outcome.done(receipt={}))\n"
    )
    assert "keep_receipts" in broken(contract, example(body))[Promise.RECEIPT]


def test_what_takes_a_cancellation_for_a_failure(contract):
    body = run(
        "try:",
        f"    {CHANGES}",
        "except BaseException as error:",
        "    return Outcome.retry(f'failed: {type(error).__name__}')",
        "return Outcome.done()",
    )
    assert "took that for a failure" in broken(contract, example(body))[Promise.CANCEL]


def test_what_leaves_half_of_it_done(contract):
    body = run(
        "mark = Path.home() / 'begun.txt'",
        "if not mark.exists():",
        "    mark.write_text('')",
        "    await call.client.get_favourite_tags()",
        f"    {CHANGES}",
        "return Outcome.done()",
    )
    found = broken(contract, example(body))
    assert Promise.CANCEL in found
    assert "mine" in found[Promise.CANCEL]


def test_a_task_that_is_left_behind(contract):
    body = run(
        "global kept",
        "kept = asyncio.get_running_loop().create_task(asyncio.sleep(30), name='orphan')",
        CHANGES,
        "return Outcome.done()",
    )
    assert "orphan" in broken(contract, example(body))[Promise.CANCEL]


def test_what_is_not_done_again_after_the_client_died(contract):
    body = "@classmethod\nasync def lost(cls, calls):\n    return ()\n" + run(
        CHANGES, "return Outcome.done()"
    )
    assert "mine" in broken(contract, example(body))[Promise.RESTART]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("return Outcome.done(f'used {secret}')", "handed to hydrusd"),
        ("return Outcome.done(receipt={'by': secret})", "handed to hydrusd"),
        ("print(secret)", "printed and logged"),
        ("logging.getLogger('mine').warning('with %s', secret)", "printed and logged"),
    ],
)
def test_a_secret_that_gets_out(contract, line, place):
    tried = example(
        run("secret = self.token.reveal()", line, "return Outcome.done()"),
        rules=RULES.replace("mine:", "mine: {token: '${env:MY_TOKEN}'}"),
        environ={"MY_TOKEN": "sesame-open-7007"},
    )
    found = broken(contract, tried)
    assert place in found[Promise.SECRETS]
    assert "sesame" not in str(found)


TRIGGER = """
import uuid, anyio
from hydrusd.plugin import *

class Mine(Trigger):
    "A trigger to try."
    trigger = "mine"

    async def run(self, context):
        key = KEY
        if await context.unseen([key]):
            await context.emit([Event(key, {"n": 1})])
        await anyio.sleep_forever()

@hookimpl
def hydrusd_register_triggers(register):
    register(Mine)
"""
TRIGGERED = "rules:\n  - name: r\n    on: mine\n    do: [{log: {message: noticed}}]\n"


def triggered(key):
    files = {"plugins/mine.py": TRIGGER.replace("KEY", key)}
    return Example(rules=TRIGGERED, files=files, jobs=1)


def test_a_trigger_that_tells_the_same_twice(contract):
    contract(triggered("'always the same'"))
    found = broken(contract, triggered("uuid.uuid4().hex"))
    assert "jobs of 'r' that are done: 1 → 2" in found[Promise.AGAIN]


def test_an_example_that_does_not_work_is_told_as_that(contract):
    with pytest.raises(NotAsExpected, match="jobs ended otherwise"):
        contract(example(run("return Outcome.dead('never')")))


def test_there_must_be_something_to_try(contract):
    tried = Example(rules=RULES.replace("mine:", "log: {message: x}"))
    with pytest.raises(ValueError, match="nothing but hydrusd's own"):
        contract(tried)
    with pytest.raises(ValueError, match="use no mine"):
        contract(tried, "mine")


def test_a_plugin_that_is_left_out_is_named(contract, tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    tried = Example(rules=RULES.replace("mine:", "log: {message: x}"), plugins=[tmp_path])
    with pytest.raises(ValueError, match="nothing_of_this_name"):
        contract(tried)


def test_other_projects_wait_for_nothing():
    """What pytest imports into every run of every project is pytest itself and this package."""
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import hydrusd.testing\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    own = {f"hydrusd.testing{name}" for name in ("", "._collecting", "._fixtures")}
    assert set(told) <= {"hydrusd", *own}


def test_pytest_finds_it_by_its_entry_point():
    import tomllib

    root = Path(__file__).parents[2]
    told = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert told["project"]["entry-points"]["pytest11"] == {"hydrusd.testing": "hydrusd.testing"}


def test_long_texts_are_told_where_they_differ():
    told = difference({"disk/a": "same " * 40 + "one"}, {"disk/a": "same " * 40 + "other"})
    assert told.count("…") == 2
    assert "one'" in told
    assert "other'" in told
    assert len(told) < 120


def test_times_and_databases_count_by_what_they_say(project, tmp_path):
    made = project({"rules.yaml": RULES.replace("mine:", "log: {message: x}")})
    photographer = Photographer.of(made)

    def look(text, *statements):
        path = tmp_path / "made.sqlite3"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.executescript("CREATE TABLE t (name TEXT);" + ";".join(statements))
        made.write({"told.json": text, "held.sqlite3": path.read_bytes()})
        return photographer.picture()

    now = int(time.time())
    one = look(f'{{"epoch": {now}, "port": "127.0.0.1:4711"}}', "INSERT INTO t VALUES ('a')")
    rewritten = "INSERT INTO t VALUES ('b'); DELETE FROM t; INSERT INTO t VALUES ('a'); VACUUM"
    assert difference(one, look(f'{{"epoch": {now + 1}, "port": "127.0.0.1:17"}}', rewritten)) == ""
    other = look('{"epoch": 1000000000}', "INSERT INTO t VALUES ('b')")
    assert {"disk/told.json", "disk/held.sqlite3"} == {k for k in one if one[k] != other[k]}


def test_what_is_named_after_a_time_is_counted(project):
    made = project({"rules.yaml": RULES.replace("mine:", "log: {message: x}")})
    photographer = Photographer.of(made)
    made.write({"out/20260131T043000Z.txt": "a"})
    one = photographer.picture()
    made.write({"out/20260131T043001Z.txt": "a"})
    assert difference(one, photographer.picture()) == ("disk/out/<time>.txt (2): nothing → 'a'")
