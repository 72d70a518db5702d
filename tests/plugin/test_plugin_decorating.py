"""The short form of an action, and the program of an author who uses all forms."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from hydrusd.daemon import load_plugins
from hydrusd.plugin import Action, Call, Duration, Outcome, Permission, action
from hydrusd.plugin.host import PluginHost
from hydrusd.rules import settings

AUTHOR = Path(__file__).parents[1] / "typing" / "author.py"


@action
async def plainly(call: Call, often: int, wait: Duration = 2.0, *, words: tuple[str, ...] = ()):
    """Do it often."""
    return f"{call} {often} {wait} {words}"


@action(name="other_name", permissions={Permission.EDIT_TAGS}, needs_client=False)
def blocking(call: Call) -> Outcome:
    """Do it at once."""
    return Outcome.dead(str(call))


def test_it_is_a_class_like_any_other():
    assert issubclass(plainly, Action)
    assert (plainly.action, plainly.__doc__) == ("plainly", "Do it often.")
    assert [(s.name, s.kind, s.required) for s in settings(plainly)] == [
        ("often", "a whole number", True),
        ("wait", "a duration", False),
        ("words", "a list of text", False),
    ]
    assert plainly(often=3, wait="5s").wait == 5.0
    with pytest.raises(ValidationError):
        plainly(often="x")
    with pytest.raises(ValidationError):
        plainly(often=1, more=2)


def test_it_says_of_itself_what_the_decorator_was_told():
    assert blocking.action == "other_name"
    assert blocking.permissions == {Permission.EDIT_TAGS}
    assert (blocking.needs_client, blocking.changes_client) == (False, True)
    assert Action.needs_client
    assert Action.action == ""


@pytest.mark.anyio
async def test_it_is_called_with_the_call_and_its_parameters():
    outcome = await plainly(often=3, words=["a"]).run("call")
    assert outcome == Outcome.done("call 3 2.0 ('a',)")
    assert blocking().run("call") == Outcome.dead("call")


def none(call):
    """Give nothing."""


@pytest.mark.anyio
async def test_nothing_is_enough_for_done():
    assert action(none)().run("call") == Outcome.done()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("def f(): pass", "f() needs a first parameter, which takes the call"),
        ("def f(*calls): pass", "f() needs a first parameter, which takes the call"),
        ("def f(call, size): pass", "f(): 'size' needs an annotation"),
        ("def f(call, **more): pass", "f(): **more cannot be a parameter in YAML"),
        ("def f(call, run: int): pass", "f(): 'run' means something else for an action"),
        ("f = 3", "@action is for functions, not for 3"),
    ],
)
def test_what_cannot_be_an_action_is_refused_with_the_reason(function, said):
    made: dict[str, object] = {}
    exec(function, made)
    with pytest.raises(TypeError, match=re.escape(said)):
        action(made["f"])


def test_it_registers_itself_but_only_where_it_was_made(tmp_path):
    (tmp_path / "one.py").write_text(
        "from hydrusd.plugin import action\n@action\ndef mine(call):\n    'Mine.'\n",
        encoding="utf-8",
    )
    (tmp_path / "two.py").write_text(
        "from hydrusd_plugin_one import mine\nagain = mine\n", encoding="utf-8"
    )
    host = PluginHost()
    host.load_folder(tmp_path)
    assert host.faults == []
    assert [(p.name, p.actions) for p in host.plugins] == [("one", ["mine"]), ("two", [])]


def test_the_program_that_is_type_checked_loads_with_all_that_it_brings():
    host = load_plugins([AUTHOR.parent])
    assert host.faults == []
    [plugin] = [p for p in host.plugins if p.name == "author"]
    assert set(plugin.actions) == {
        "wait_until_old",
        "first_bytes",
        "mark_all",
        "tag_large",
        "count_bytes",
    }
    assert (plugin.triggers, plugin.filters) == (["ticks"], ["shout"])
    assert (plugin.sidecar_formats, plugin.commands) == (["lyrics"], ["count-ticks"])
    assert len(plugin.hooks) == 10
    assert importlib.util.find_spec("hydrusd_plugin_author") is not None
