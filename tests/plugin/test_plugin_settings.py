"""What a rules file says about plugins, and what becomes of rules whose plugin is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydrusd.daemon import load_plugins, load_plugins_of, read_configuration
from hydrusd.errors import ConfigError
from hydrusd.model import JobState
from hydrusd.plugin.host import FOLDER, SHIPPED
from hydrusd.testing._project import Project

CLIENT = f"client: {{url: http://127.0.0.1:1, access_key: {'ab' * 32}}}\n"
GREET = """\
from hydrusd.plugin import Call, action

@action
def greet(call: Call, name: str = "you") -> str:
    "Greet somebody."
    return f"hello {name}"
"""
OTHER = GREET.replace("greet", "part").replace("hello", "farewell")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "polite.py").write_text(GREET, encoding="utf-8")
    (tmp_path / "plugins" / "rude.py").write_text(OTHER, encoding="utf-8")
    return tmp_path


def rules(place: Path, plugins: str, *steps: str, condition: str = "") -> Path:
    path = place / "rules.yaml"
    made = "".join(
        f"  - name: {step}\n    on: manual\n{condition}    do: [{{{step}: }}]\n" for step in steps
    )
    path.write_text(f"{CLIENT}{plugins}\nrules:\n{made or '  []'}\n", encoding="utf-8")
    return path


def names(host, *kinds):
    return {plugin.name for plugin in host.plugins if plugin.kind in (kinds or {FOLDER})}


def test_all_are_loaded_where_nothing_is_said(place):
    assert names(load_plugins_of(rules(place, ""))) == {"polite", "rude"}


def test_one_is_disabled_by_name(place):
    host = load_plugins_of(rules(place, "plugins: {disable: rude}"))
    assert names(host) == {"polite"}
    [fault] = host.faults
    assert (fault.plugin, fault.deliberate) == ("rude", True)
    assert fault.message == "disabled in the rules file"


def test_one_that_comes_with_hydrusd_is_disabled_by_name(place):
    host = load_plugins_of(rules(place, "plugins: {disable: [exif_tags]}"))
    assert "read_exif" not in host.actions
    assert "exif_tags" not in names(host, SHIPPED)
    assert "folder_tags" in names(host, SHIPPED)


def test_only_those_of_a_list_are_loaded_beside_what_comes_with_hydrusd(place):
    host = load_plugins_of(rules(place, "plugins: {only: [polite]}"))
    assert names(host) == {"polite"}
    assert names(host, SHIPPED) == names(load_plugins([]), SHIPPED) != set()


@pytest.mark.parametrize("only", ["[[1]]", "{a: b}", "''"])
def test_a_list_that_cannot_be_read_allows_nothing(place, only):
    path = rules(place, f"plugins: {{only: {only}}}")
    assert names(load_plugins_of(path)) == set()
    with pytest.raises(ConfigError):
        read_configuration(path)


def test_folders_stand_beside_the_other_settings(place, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    (more / "third.py").write_text(GREET.replace("greet", "third"), encoding="utf-8")
    path = rules(place, "plugins: {folders: more, disable: [rude]}")
    assert names(load_plugins_of(path)) == {"polite", "third"}
    assert read_configuration(path).rules.plugins.folders == (more,)


def test_a_name_that_no_plugin_has_is_doubted(place):
    path = rules(place, "plugins: {disable: [rudee], only: [polite], isolate: {plite: 64 MB}}")
    warnings = {w.message: w.hint for w in read_configuration(path).warnings}
    assert warnings == {
        "`plugins: disable:` names 'rudee', and there is no such plugin": "did you mean 'rude'?",
        "`plugins: isolate:` names 'plite', and there is no such plugin": "did you mean 'polite'?",
    }


def test_a_rule_whose_plugin_is_disabled_is_a_rule_and_a_problem_for_check(place):
    path = rules(place, "plugins: {disable: rude}", "greet", "part")
    configuration = read_configuration(path)
    assert [rule.name for rule in configuration.rules.rules] == ["greet", "part"]
    [warning] = configuration.warnings
    said = "there is no action 'part': plugin rude was left out: disabled in the rules file"
    assert (warning.line, warning.message) == (9, said)
    with pytest.raises(ConfigError, match="plugin rude was left out"):
        read_configuration(path, doubting=True)


def test_what_no_plugin_speaks_of_is_still_a_mistake(place):
    path = rules(place, "plugins: {disable: rude}", "paart")
    with pytest.raises(ConfigError, match="there is no action 'paart'"):
        read_configuration(path)


def test_safe_mode_leaves_rules_that_need_plugins_waiting(place):
    path = rules(place, "", "greet")
    configuration = read_configuration(path, safe_mode=True)
    assert names(configuration.host, FOLDER, SHIPPED) == set()
    [warning] = configuration.warnings
    assert "plugin polite was left out: hydrusd runs in safe mode" in warning.message


def test_an_isolated_plugin_must_be_written_for_it(place):
    text = GREET.replace("def greet", "async def greet")
    (place / "plugins" / "polite.py").write_text(text, encoding="utf-8")
    host = load_plugins_of(rules(place, "plugins: {isolate: {polite: 64 MB}}"))
    assert names(host) == {"rude"}
    assert "cannot be isolated: greet is `async def`" in host.faults[0].message


@pytest.mark.skipif(os.name == "nt", reason="who may write there is in no mode on Windows")
@pytest.mark.parametrize("what", ["folder", "file", "above", "link"])
def test_code_that_everyone_may_change_is_not_run(place, what):
    plugins = place / "plugins"
    if what == "link":
        target = place / "elsewhere"
        target.mkdir()
        (plugins / "polite.py").rename(target / "polite.py")
        (plugins / "polite.py").symlink_to(target / "polite.py")
        target.chmod(0o777)
    path = {"folder": plugins, "file": plugins / "polite.py", "above": place}.get(what)
    if path is not None:
        path.chmod(0o777)
    host = load_plugins_of(rules(place, ""))
    assert "polite" not in names(host)
    fault = next(fault for fault in host.faults if fault.plugin == "polite")
    assert "everyone on this machine may" in fault.message
    assert "chmod o-w" in fault.message
    assert not fault.deliberate


def test_what_was_noticed_while_a_plugin_was_left_out_is_done_once_it_is_mended(tmp_path):
    project = Project(
        tmp_path / "here",
        {
            "rules.yaml": (
                "rules:\n"
                "  - name: greets\n"
                "    on: {watch_folder: {path: inbox, settle: 10ms}}\n"
                "    do: [{add_file: }, {greet: {name: '{{ file.name }}'}}]\n"
                "  - name: tags\n"
                "    on: {watch_folder: {path: inbox, settle: 10ms}}\n"
                "    do: [{add_file: }, {add_tags: {my tags: [a]}}]\n"
            ),
            "plugins/polite.py": GREET + "import no_such_library\n",
        },
    )
    try:
        project.drop("inbox/a.png")
        project.run(until=lambda p: any(j.state is JobState.DONE for j in p.jobs))
        states = {job.rule: job.state for job in project.jobs}
        assert states == {"greets": JobState.READY, "tags": JobState.DONE}
        assert [list(job.steps) for job in project.jobs if job.rule == "greets"] == [[]]
        parked = {c.name: c.reason for c in project.conditions if c.state == "parked"}
        assert "No module named 'no_such_library'" in parked["greets"]

        project.write({"plugins/polite.py": GREET})
        project.run().assert_success()
        [greeted] = [job for job in project.jobs if job.rule == "greets"]
        assert [step.detail for step in greeted.steps][-1] == "hello a.png"
    finally:
        project.close()


def test_a_sidecar_format_that_is_missing_makes_its_rule_wait(place):
    (place / "plugins" / "lyrics.py").write_text(
        "from hydrusd.plugin import SidecarFormat, hookimpl\n"
        "@hookimpl\ndef hydrusd_register_sidecar_formats(register):\n"
        "    register(SidecarFormat('lyrics', ('.lrc',), len))\n1 / 0\n",
        encoding="utf-8",
    )
    path = place / "rules.yaml"
    path.write_text(
        f"{CLIENT}rules:\n  - name: songs\n"
        "    on: {watch_folder: {path: x, sidecars: [txt, lyrics]}}\n    do: [{add_file: }]\n",
        encoding="utf-8",
    )
    [warning] = read_configuration(path).warnings
    assert "there is no sidecar format 'lyrics': plugin lyrics was left out" in warning.message
