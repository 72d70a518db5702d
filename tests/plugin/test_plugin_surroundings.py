"""What a plugin changes for the whole process is put back, told with its name, and harms nobody."""

from __future__ import annotations

import json
import logging
import os
import threading
import warnings

import pytest
from structlog.testing import capture_logs

from hydrusd.plugin.host import PluginHost
from hydrusd.plugin.surroundings import Surroundings

HEAD = """
import asyncio, json, locale, logging, os, pathlib, signal, socket, sys, threading, warnings
from hydrusd.plugin import *

"""
CHANGES = {
    "json.loads = lambda *_, **__: {}": "json.loads was replaced",
    "os.replace = os.rename = lambda *_: None": "os.rename was replaced",
    "pathlib.Path.unlink = lambda *_, **__: None": "Path.unlink was replaced",
    "os.chdir('..')": "the folder that hydrusd works in was changed",
    "os.environ['HOME'] = '/nowhere'; os.environ.pop('PATH', None)": "were changed: HOME, PATH",
    "logging.getLogger().handlers.clear(); logging.shutdown()": "the log's handlers were taken",
    "logging.disable(100)": "the log was turned off",
    "logging.getLogger('hydrusd').setLevel(99)": "the level of the log of hydrusd",
    "sys.setrecursionlimit(5000)": "the recursion limit was changed",
    "socket.setdefaulttimeout(0.001)": "the default timeout of sockets",
}


@pytest.fixture(autouse=True)
def surroundings():
    """Fail unless all is as it was, and have it so for the other tests."""
    root = logging.getLogger()
    root.addHandler(handler := logging.NullHandler())
    before = Surroundings()
    yield
    told = before.put_back(imported=True)
    root.removeHandler(handler)
    assert [each for each in told if not each.endswith("PYTEST_CURRENT_TEST")] == []


def acting(*codes, head="async def"):
    """Give a plugin with an action for each code: beast_0, beast_1, …"""
    classes = []
    for number, code in enumerate(codes):
        lines = "".join(f"        {line}\n" for line in code.splitlines())
        classes.append(
            f'class Beast{number}(Action):\n    "A beast."\n    action = "beast_{number}"\n\n'
            f"    {head} run(self, call):\n{lines}\n\n"
        )
    names = ", ".join(f"Beast{number}" for number in range(len(codes)))
    return (
        f"{HEAD}{''.join(classes)}@hookimpl\ndef hydrusd_register_actions(register):\n"
        f"    for beast in ({names},):\n        register(beast)\n"
    )


def at_work(project, *codes, head="async def"):
    """Have the good rule do its work beside beasts; give what their account says, and by rule
    what their jobs do."""
    watched = "on: {watch_folder: {path: inbox, settle: 10ms}}"
    rules = "rules:\n  - name: good\n    " + watched
    rules += '\n    do: [add_file, {add_tags: {my tags: ["good:{{ file.name }}"]}}]\n'
    for number in range(len(codes)):
        rules += f"  - name: bad {number}\n    {watched}\n    do: [beast_{number}]\n"
    made = project({"rules.yaml": rules, "plugins/beast.py": acting(*codes, head=head)})
    for name in ("a.png", "b.png"):
        made.drop(f"inbox/{name}")
    configuration = made.configuration()

    def over(m):
        jobs = m.jobs
        good = [job for job in jobs if job.rule == "good" and job.state == "done"]
        bad = [job for job in jobs if job.rule != "good"]
        return len(good) == 2 and len(bad) == 2 * len(codes) and all(job.steps for job in bad)

    with capture_logs():  # what was raised, painted with all variables, takes seconds
        made.run(until=over, configuration=configuration)
    for name in ("a.png", "b.png"):
        assert made.simulator.tags(made.sha256(f"inbox/{name}")) == {0: {f"good:{name}"}}
    details = [
        [step.detail for job in made.jobs if job.rule == f"bad {number}" for step in job.steps]
        for number in range(len(codes))
    ]
    return configuration.host.accounts.of("beast").last_error, details


@pytest.mark.parametrize(("code", "told"), CHANGES.items())
def test_what_is_changed_at_the_import_is_put_back(tmp_path, code, told):
    (tmp_path / "beast.py").write_text(f"{acting('pass')}\n{code}\n", encoding="utf-8")
    host = PluginHost()
    host.load_folder(tmp_path)
    assert [plugin.name for plugin in host.plugins] == ["beast"]
    said = host.accounts.of("beast").last_error
    assert said.startswith("at its import it has changed what belongs to all, which was put back")
    assert told in said


def test_warnings_that_are_made_errors_at_the_import_are_none(tmp_path):
    code = "warnings.simplefilter('error', ImportWarning)\nwarnings.simplefilter('ignore')"
    (tmp_path / "beast.py").write_text(f"{acting('pass')}\n{code}\n", encoding="utf-8")
    host = PluginHost()
    with warnings.catch_warnings():
        host.load_folder(tmp_path)
        assert warnings.filters[0][0] == "ignore"  # what makes others quieter may stay
        assert ("error", None, ImportWarning, None, 0) not in warnings.filters
    assert "warnings were made errors" in host.accounts.of("beast").last_error


def test_what_is_only_added_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("BEAST", raising=False)
    code = "os.environ['BEAST'] = '1'\nos.beast = 7\nlogging.getLogger('beast').setLevel(99)"
    (tmp_path / "beast.py").write_text(f"{acting('pass')}\n{code}\n", encoding="utf-8")
    host = PluginHost()
    host.load_folder(tmp_path)
    assert host.accounts.of("beast").errors == 0
    assert (os.environ.pop("BEAST"), os.beast) == ("1", 7)
    del os.beast


@pytest.mark.parametrize("head", ["async def", "def"])
def test_what_is_changed_at_work_is_put_back(project, head):
    code = "\n".join([*CHANGES, "return Outcome.done('done')"])
    said, _ = at_work(project, code, head=head)
    assert said.startswith("it has changed what belongs to all, which was put back: ")
    assert json.loads("[1]") == [1]


SHAPES = {
    "return Outcome.done('x', values=[1])": "its values are a list",
    "return Outcome.done('x', receipt='abc')": "its receipt is a str",
    "return Outcome('nope')": "its kind is none that there is",
    "return Outcome.done(object())": "cannot be kept",
    "class E(Exception):\n    def __str__(self):\n        raise KeyboardInterrupt\nraise E": (
        "it raised E, which fails when it is asked what it says (plugin beast: beast.py, line"
    ),
    "raise GeneratorExit": "it raised GeneratorExit",
    "asyncio.get_running_loop().stop()": "wants to stop the event loop of hydrusd (beast.py, line",
    "def again():\n    again()\nagain()": "RecursionError",
    "raise BaseExceptionGroup('g', [KeyboardInterrupt()])": "it raised BaseExceptionGroup: g",
}


def test_what_no_action_should_give_or_raise_spoils_only_its_own_job(project):
    _, details = at_work(project, *SHAPES)
    for (code, told), said in zip(SHAPES.items(), details, strict=True):
        assert len(said) == 2, code
        assert all(told in each for each in said), (code, said)


def test_an_exception_that_cannot_be_told_of_is_told_of_at_the_import(tmp_path):
    source = "class E(Exception):\n    def __str__(self):\n        raise SystemExit\n\n\nraise E\n"
    (tmp_path / "beast.py").write_text(source, encoding="utf-8")
    host = PluginHost()
    host.load_folder(tmp_path)
    [fault] = host.faults
    assert fault.message == "E: it fails when it is asked what it says (beast.py, line 6)"


LEAVES = """
stop = threading.Event()
threading.Thread(target=stop.wait, args=(20,), name="mine", daemon=False).start()
return Outcome.done('left a thread')
"""


def test_a_thread_that_is_left_keeps_no_daemon_from_ending(project):
    said, [details] = at_work(project, LEAVES)
    assert (said, details) == ("", ["left a thread"] * 2)
    left = [thread for thread in threading.enumerate() if thread.name == "mine"]
    assert len(left) == 2
    for thread in left:
        thread._target.__self__.set()
        thread.join()
