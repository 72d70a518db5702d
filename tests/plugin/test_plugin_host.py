from __future__ import annotations

import importlib.metadata
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from hydrusd import builtin
from hydrusd.model import ConditionChange, FinishedJob, JobId, JobsMade, JobState
from hydrusd.plugin import hookspecs, observing
from hydrusd.plugin.host import PluginHost

HEAD = """\
from typing import ClassVar
from hydrusd.plugin import Action, Outcome, SetAction, Trigger, hookimpl


class Greet(Action):
    action: ClassVar[str] = "greet_NAME"

    async def run(self, call):
        return Outcome.done()


@hookimpl
def hydrusd_register_actions(register):
    register(Greet)


"""
HEAD_LINES = HEAD.count("\n")

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = FinishedJob(JobId(7), "tag", JobState.DONE, "", {"name": "a"}, None, NOW)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "plugins"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def _forget_plugins():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("hydrusd_plugin_"):
            del sys.modules[name]


def write(folder: Path, name: str, body: str = "") -> Path:
    """A plugin with an action called ``greet_<name>``, and this body below it."""
    file = folder / f"{name}.py"
    file.write_text(HEAD.replace("NAME", name) + dedent(body).lstrip("\n"), encoding="utf-8")
    return file


def loaded(*folders: Path) -> PluginHost:
    host = PluginHost()
    for folder in folders:
        host.load_folder(folder)
    return host


def only_fault(host: PluginHost) -> str:
    [fault] = host.faults
    return fault.message


# --- every hook ------------------------------------------------------------------------------


def hook_names() -> list[str]:
    return [
        name
        for name, function in vars(hookspecs).items()
        if hasattr(function, f"{hookspecs.PROJECT}_spec")
    ]


@pytest.mark.parametrize("hook", hook_names())
def test_every_hook_has_a_test_of_its_name(hook):
    assert callable(globals().get(f"test_{hook}"))


def test_there_are_hooks():
    assert len(hook_names()) >= 4


def test_hydrusd_register_actions(folder):
    write(
        folder,
        "both",
        """
        class Tag(SetAction):
            action: ClassVar[str] = "tag_set"
            words: list[str] = []

            @classmethod
            async def run_set(cls, calls):
                pass


        @hookimpl(specname="hydrusd_register_actions")
        def hydrusd_register_actions_too(register):
            register(Tag)
        """,
    )
    host = loaded(folder)
    assert host.faults == []
    assert set(host.actions) == {"greet_both", "tag_set"}
    assert sorted(host.plugins[0].actions) == ["greet_both", "tag_set"]
    assert host.actions["tag_set"](words=["a"]).words == ["a"]


def test_hydrusd_register_triggers(folder):
    write(
        folder,
        "ticks",
        """
        class Tick(Trigger):
            trigger: ClassVar[str] = "tick"
            seconds: float

            async def run(self, context):
                pass


        @hookimpl
        def hydrusd_register_triggers(register):
            register(Tick)
        """,
    )
    host = loaded(folder)
    assert host.faults == []
    assert host.plugins[0].triggers == ["tick"]
    assert host.triggers["tick"](seconds=2).seconds == 2


def test_hydrusd_register_filters(folder):
    write(
        folder,
        "words",
        """
        @hookimpl
        def hydrusd_register_filters(register):
            register("shout", lambda text: text.upper())
            register("twice", lambda text: text * 2)
        """,
    )
    host = loaded(folder)
    assert host.plugins[0].filters == ["shout", "twice"]
    assert host.filters["shout"]("a") == "A"


def test_hydrusd_register_sidecar_formats(folder):
    write(
        folder,
        "xmp",
        """
        from hydrusd.plugin import SidecarData, SidecarFormat

        def read(content):
            return SidecarData(tags=[content.decode()])


        @hookimpl
        def hydrusd_register_sidecar_formats(register):
            register(SidecarFormat("xmp", (".xmp",), read))
        """,
    )
    host = loaded(folder)
    assert host.faults == []
    assert host.plugins[0].sidecar_formats == ["xmp"]
    assert host.sidecar_formats["xmp"].read(b"a").tags == ["a"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("'xmp'", "'xmp' is registered as sidecar format but is no SidecarFormat"),
        ("SidecarFormat('X M P', ('.xmp',), len)", "wants a lower-case name and a function"),
        ("SidecarFormat('xmp', ('.xmp',), 'len')", "wants a lower-case name and a function"),
        ("SidecarFormat('xmp', ('xmp',), len)", "wants suffixes in lower case with their dot"),
        ("SidecarFormat('xmp', (), len)", "wants suffixes in lower case with their dot"),
    ],
)
def test_a_sidecar_format_that_cannot_be_is_refused(folder, made, said):
    write(
        folder,
        "xmp",
        "from hydrusd.plugin import SidecarFormat\n"
        "@hookimpl\ndef hydrusd_register_sidecar_formats(register):\n"
        f"    register({made})\n",
    )
    host = loaded(folder)
    assert said in host.faults[0].message
    assert not host.sidecar_formats


def test_hydrusd_job_finished(folder):
    write(
        folder,
        "a_keeps",
        """
        seen = []

        @hookimpl
        def hydrusd_job_finished(entry):
            seen.append(entry)
        """,
    )
    raises = write(
        folder,
        "b_raises",
        """
        @hookimpl
        def hydrusd_job_finished(entry):
            raise ValueError(f"cannot tell of {entry.rule}")
        """,
    )
    write(
        folder,
        "c_takes_nothing",
        """
        seen = []

        @hookimpl
        def hydrusd_job_finished():
            seen.append("something")
        """,
    )
    write(
        folder,
        "d_exits",
        """
        import sys

        @hookimpl
        def hydrusd_job_finished(entry):
            sys.exit(3)
        """,
    )
    host = loaded(folder)
    assert host.faults == []
    failures = told(host, "hydrusd_job_finished", entry=ENTRY)
    line = (
        raises.read_text(encoding="utf-8")
        .split("\n")
        .index('    raise ValueError(f"cannot tell of {entry.rule}")')
    )
    assert failures == {
        "b_raises": f"ValueError: cannot tell of tag (b_raises.py, line {line + 1})",
        "d_exits": f"called sys.exit(3) (d_exits.py, line {HEAD_LINES + 5})",
    }
    assert sys.modules["hydrusd_plugin_a_keeps"].seen == [ENTRY]
    assert sys.modules["hydrusd_plugin_c_takes_nothing"].seen == ["something"]
    accounts = host.accounts.told()
    assert {n: (a["calls"], a["errors"]) for n, a in accounts.items()} == {
        "a_keeps": (1, 0),
        "b_raises": (1, 1),
        "c_takes_nothing": (1, 0),
        "d_exits": (1, 1),
    }


def told(host: PluginHost, hook: str, **named: object) -> dict[str, str]:
    """Tell all observers of one thing; give what went wrong, by plugin."""
    observers = host.start_observers()
    observers.tell(hook, **named)
    observers.close()
    return {n: a["last_error"] for n, a in host.accounts.told().items() if a["last_error"]}


@pytest.mark.parametrize(
    ("hook", "named"),
    [
        ("hydrusd_started", {"rules": ["tag"], "clients": ["hydrus"]}),
        ("hydrusd_jobs_made", {"entry": JobsMade("tag", "watch_folder", 3, 2, NOW)}),
        (
            "hydrusd_condition_changed",
            {"entry": ConditionChange("rule", "tag", "parked", "its folder is away", NOW)},
        ),
        ("hydrusd_stopping", {}),
    ],
)
def test_observers_are_told_with_all_that_there_is(folder, hook, named):
    arguments, keep = ", ".join(named), ", ".join(f"{name}={name}" for name in named)
    write(
        folder,
        "keeps",
        f"seen = []\n@hookimpl\ndef {hook}({arguments}):\n    seen.append(dict({keep}))\n",
    )
    host = loaded(folder)
    assert host.faults == []
    assert host.plugins[0].hooks == sorted(["hydrusd_register_actions", hook])
    assert told(host, hook, **named) == {}
    assert sys.modules["hydrusd_plugin_keeps"].seen == [named]


def test_hydrusd_started(folder):
    assert_may_take_less(folder, "hydrusd_started", rules=[], clients=["main"])


def test_hydrusd_jobs_made(folder):
    assert_may_take_less(folder, "hydrusd_jobs_made", entry=JobsMade("r", "t", None, 1, NOW))


def test_hydrusd_condition_changed(folder):
    entry = ConditionChange("client", "hydrus", "connected", "", NOW)
    assert_may_take_less(folder, "hydrusd_condition_changed", entry=entry)


def test_hydrusd_stopping(folder):
    assert_may_take_less(folder, "hydrusd_stopping")


def assert_may_take_less(folder, hook, **named):
    """An implementation that takes none of the arguments, and fails."""
    write(folder, "short", f"@hookimpl\ndef {hook}():\n    raise LookupError('told')\n")
    said = told(loaded(folder), hook, **named)
    assert said == {"short": f"LookupError: told (short.py, line {HEAD_LINES + 3})"}


def test_hydrusd_register_commands(folder):
    write(
        folder,
        "adds",
        """
        import click

        @click.command("find-lost")
        def find_lost():
            "Find what is lost."
            click.echo("found")

        @hookimpl
        def hydrusd_register_commands(register):
            register(find_lost)
        """,
    )
    write(folder, "bad", "@hookimpl\ndef hydrusd_register_commands(register):\n    register(len)\n")
    host = loaded(folder)
    assert host.plugins[0].commands == ["find-lost"]
    assert host.commands["find-lost"].help == "Find what is lost."
    assert only_fault(host).startswith("<built-in function len> is registered as command but is no")


def test_without_observers_there_is_nobody_to_tell(folder):
    write(folder, "quiet")
    host = loaded(folder)
    assert host.observers == {}
    assert told(host, "hydrusd_job_finished", entry=ENTRY) == {}


def test_an_observer_that_hangs_holds_up_nobody(folder):
    write(
        folder,
        "hangs",
        """
        import threading
        let_go = threading.Event()

        @hookimpl
        def hydrusd_job_finished(entry):
            let_go.wait()
        """,
    )
    write(
        folder,
        "keeps",
        "seen = []\n@hookimpl\ndef hydrusd_job_finished(entry):\n    seen.append(entry)\n",
    )
    host = loaded(folder)
    observers = host.start_observers()
    try:
        for _ in range(observing.MOST_WAITING + 3):
            observers.tell("hydrusd_job_finished", entry=ENTRY)
        observers.close(0.5)
        assert len(sys.modules["hydrusd_plugin_keeps"].seen) > 0
        assert "not told of what is new" in host.accounts.told()["hangs"]["last_error"]
    finally:
        sys.modules["hydrusd_plugin_hangs"].let_go.set()


# --- one bad plugin harms no other -----------------------------------------------------------

AFTER = HEAD_LINES + 1
"""The line of the first statement of a body."""

BAD = {
    "a syntax error": ("def broken(:\n", rf"SyntaxError: .*\(bad\.py, line {AFTER}\)"),
    "a null byte": ("\0", r"null bytes"),
    "an import that is not there": (
        "import no_such_module_here\n",
        rf"ModuleNotFoundError: No module named 'no_such_module_here' \(bad\.py, line {AFTER}\)",
    ),
    "an error deep in a library": (
        "import json\n\njson.loads('{')\n",
        rf"JSONDecodeError: .*\(bad\.py, line {AFTER + 2}\)",
    ),
    "an error without words": (
        "raise ValueError\n",
        rf"^ValueError \(bad\.py, line {AFTER}\)$",
    ),
    "sys.exit": ("import sys\nsys.exit('bye')\n", rf"called sys.exit\('bye'\) .*line {AFTER + 1}"),
    "a misspelled hook": (
        "@hookimpl\ndef hydrusd_job_finised(entry):\n    pass\n",
        rf"unknown hook 'hydrusd_job_finised'.*\(bad\.py, line {AFTER}\)",
    ),
    "an argument that the hook does not have": (
        "@hookimpl\ndef hydrusd_job_finished(entry, mood):\n    pass\n",
        rf"mood.*\(bad\.py, line {AFTER}\)",
    ),
    "a hook without its mark": (
        "def hydrusd_job_finished(entry):\n    pass\n",
        rf"hydrusd_job_finished\(\) lacks @hookimpl \(bad\.py, line {AFTER}\)",
    ),
    "a hook that would never be awaited": (
        "@hookimpl\nasync def hydrusd_job_finished(entry):\n    pass\n",
        rf"must be a plain def.*\(bad\.py, line {AFTER}\)",
    ),
    "a hook around the others": (
        "@hookimpl(wrapper=True)\ndef hydrusd_job_finished(entry):\n    return (yield)\n",
        "must be a plain def",
    ),
    "a hook that raises": (
        "@hookimpl\ndef hydrusd_register_filters(register):\n    {}['a']\n",
        rf"KeyError: 'a' \(bad\.py, line {AFTER + 2}\)",
    ),
    "something that is no action": (
        "Greet = dict\n",
        r"<class 'dict'> is registered as action but is no subclass of AnyAction \(bad\.py, line",
    ),
    "an instance of an action": ("Greet = Greet()\n", "is registered as action but is no subclass"),
    "an action without a name": (
        "Greet.action = ''\n",
        r"Greet\.action = '': wants a name in lower case",
    ),
    "an action with a name that rules need": (
        "Greet.action = 'stop'\n",
        "action 'stop': this word has a meaning of its own",
    ),
    "an action with a name of two words": ("Greet.action = 'Add File'\n", "lower case"),
    "an action that does nothing": (
        "class Greet(Action):\n    action: ClassVar[str] = 'idle'\n",
        r"Greet has no run\(\) of its own",
    ),
    "an action that writes into what it does not have": (
        "Greet.writes_into = ('to',)\n",
        r"Greet\.writes_into names 'to', which is no parameter",
    ),
    "a set action that does nothing": (
        "class Greet(SetAction):\n    action: ClassVar[str] = 'idle'\n",
        r"Greet has no run_set\(\) of its own",
    ),
    "a set action that forgot @classmethod": (
        (
            "class Greet(SetAction):\n    action: ClassVar[str] = 'idle'\n\n"
            "    async def run_set(self, calls):\n        pass\n"
        ),
        r"Greet\.run_set must be a classmethod",
    ),
    "an action of neither shape": (
        (
            "from hydrusd.plugin import AnyAction\n\n\n"
            "class Greet(AnyAction):\n    action: ClassVar[str] = 'idle'\n"
        ),
        "must be a subclass of Action or SetAction",
    ),
    "a trigger that never runs": (
        (
            "class Tick(Trigger):\n    trigger: ClassVar[str] = 'tick'\n\n\n"
            "@hookimpl\ndef hydrusd_register_triggers(register):\n    register(Tick)\n"
        ),
        r"Tick has no run\(\) of its own",
    ),
    "an action for a trigger": (
        "@hookimpl\ndef hydrusd_register_triggers(register):\n    register(Greet)\n",
        "is registered as trigger but is no subclass of Trigger",
    ),
    "a filter that is no function": (
        "@hookimpl\ndef hydrusd_register_filters(register):\n    register('shout', 'AAA')\n",
        "filter 'shout': wants a lower-case name and a function",
    ),
    "a filter with an impossible name": (
        "@hookimpl\ndef hydrusd_register_filters(register):\n    register('to shout', len)\n",
        "filter 'to shout': wants",
    ),
    "a name that is taken": (
        "Greet.action = 'greet_a_good'\n",
        r"action 'greet_a_good' is taken already, by hydrusd_plugin_a_good \(bad\.py, line",
    ),
    "a name that it takes twice": (
        (
            "@hookimpl\ndef hydrusd_register_filters(register):\n"
            "    register('shout', len)\n    register('shout', len)\n"
        ),
        rf"filter 'shout' is taken already.*line {AFTER + 3}\)",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_plugin_is_named_and_the_others_work(folder, what):
    body, message = BAD[what]
    write(folder, "a_good")
    bad = write(folder, "bad", body)
    write(folder, "c_good")
    host = loaded(folder)
    [fault] = host.faults
    assert (fault.plugin, fault.origin) == ("bad", str(bad))
    assert re.search(message, fault.message), fault.message
    assert "\n" not in fault.message
    # Nothing of it stays behind, not even what it registered before it failed.
    assert [plugin.name for plugin in host.plugins] == ["a_good", "c_good"]
    assert set(host.actions) == {"greet_a_good", "greet_c_good"}
    assert dict(host.triggers) == {}
    assert dict(host.filters) == {}
    assert host.observers == {}


def test_a_failed_plugin_leaves_its_name_free(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for made in (first, second):
        made.mkdir()
    write(first, "same", "raise ValueError\n")
    write(second, "same")
    host = loaded(first, second)
    assert [plugin.origin for plugin in host.plugins] == [str(second / "same.py")]


def test_the_first_of_two_plugins_of_one_name_is_kept(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for made in (first, second):
        made.mkdir()
    write(first, "same")
    write(second, "same", "raise AssertionError('was imported')\n")
    host = loaded(first, second)
    assert only_fault(host) == "another plugin has this name and was loaded first"
    assert host.faults[0].origin == str(second / "same.py")
    assert [plugin.origin for plugin in host.plugins] == [str(first / "same.py")]


# --- where plugins come from -----------------------------------------------------------------


def test_the_built_ins_go_through_the_same_door():
    host = PluginHost()
    host.load_modules(importlib.import_module(name) for name in builtin.PLUGINS)
    assert host.faults == []
    assert {"add_file", "add_tags"} <= set(host.actions)
    assert "watch_folder" in host.triggers


def test_a_module_that_is_imported_already():
    module = ModuleType("my_plugin")
    exec(HEAD.replace("NAME", "module"), module.__dict__)
    host = PluginHost()
    host.load_modules([module])
    assert [(plugin.name, plugin.actions) for plugin in host.plugins] == [
        ("my_plugin", ["greet_module"])
    ]
    host.load_modules([module])
    assert only_fault(host) == "another plugin has this name and was loaded first"


def test_a_folder_is_read_in_order_and_without_what_is_no_plugin(folder):
    write(folder, "b")
    write(folder, "a")
    for name in ("_shared.py", "notes.txt", ".a.py", "._a.py"):
        (folder / name).write_bytes(b"\0 no Python")
    host = loaded(folder)
    assert host.faults == []
    assert [plugin.name for plugin in host.plugins] == ["a", "b"]


def test_a_folder_that_looks_like_a_plugin(folder):
    (folder / "a.py").mkdir()
    host = loaded(folder)
    assert host.faults[0].plugin == "a"


def test_a_folder_that_is_not_there(tmp_path):
    host = loaded(tmp_path / "nowhere")
    assert host.faults[0].origin == str(tmp_path / "nowhere")
    assert only_fault(host).startswith("cannot be read: ")


def test_entry_points_of_installed_packages(tmp_path, monkeypatch):
    package = tmp_path / "installed"
    info = package / "greeter-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[hydrusd]\ngreeter = hydrusd_plugin_greeter\nbroken = hydrusd_plugin_not_there\n"
    )
    write(package, "hydrusd_plugin_greeter")
    monkeypatch.syspath_prepend(package)
    host = PluginHost()
    host.load_entry_points()
    assert [(p.name, p.origin) for p in host.plugins if p.name == "greeter"] == [
        ("greeter", "greeter 1.2")
    ]
    [fault] = [fault for fault in host.faults if fault.plugin == "broken"]
    assert fault.origin == "greeter 1.2"
    assert "No module named 'hydrusd_plugin_not_there'" in fault.message
    assert importlib.metadata.version("greeter") == "1.2"


# --- hosts are their own ---------------------------------------------------------------------


def test_two_hosts_do_not_influence_each_other(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for made in (first, second):
        made.mkdir()
    observer = "@hookimpl\ndef hydrusd_job_finished(entry):\n    raise ValueError('{}')\n"
    write(first, "same", observer.format("first"))
    write(second, "same", observer.format("second"))
    write(second, "more")
    one, two = loaded(first), loaded(second)
    assert (one.faults, two.faults) == ([], [])
    assert (set(one.actions), set(two.actions)) == ({"greet_same"}, {"greet_same", "greet_more"})
    assert one.actions["greet_same"] is not two.actions["greet_same"]
    assert "first" in told(one, "hydrusd_job_finished", entry=ENTRY)["same"]
    assert "second" in told(two, "hydrusd_job_finished", entry=ENTRY)["same"]
    assert PluginHost().actions == {}


def test_a_plugin_that_fails_in_one_host_stays_in_the_other(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for made in (first, second):
        made.mkdir()
    write(first, "same")
    write(second, "same", "raise ValueError\n")
    one = loaded(first)
    loaded(second)
    assert sys.modules["hydrusd_plugin_same"].Greet is one.actions["greet_same"]


def test_what_a_host_shows_cannot_be_changed(folder):
    write(folder, "a")
    host = loaded(folder)
    with pytest.raises(TypeError):
        host.actions["mine"] = object
