"""Rules are changed while the daemon runs: what changed begins anew, the rest goes on."""

from __future__ import annotations

import pytest

from hydrusd.model import JobState
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, SimulatorConfig

RULE = """
  - name: {name}
    on: {{watch_folder: {{path: {folder}, settle: 200ms, scan_every: 1h}}}}
    do:
      - add_file:
      - add_tags: {{my tags: ["{tag}"]}}
"""
BROKEN = "rules:\n  - name: [\n"


def rule(name="one", *, folder="inbox", tag="old"):
    return RULE.format(name=name, folder=folder, tag=tag)


def rules(*texts, head=""):
    return f"{head}rules:\n" + "".join(texts)


# A trigger that writes down each time it begins, and an action that says which version it is.
PLUGIN = '''
from pathlib import Path
import anyio
from hydrusd.plugin import Action, FolderPath, Outcome, Trigger, hookimpl

HERE = Path(__file__).parent.parent

class Beginning(Trigger):
    """Writes down that it has begun."""
    trigger = "beginning"
    which: str

    async def run(self, context):
        with (HERE / f"begun-{self.which}").open("a") as file:
            file.write("x")
        await anyio.sleep_forever()

class Version(Action):
    """Writes down its version."""
    action = "version"
    needs_client = False

    async def run(self, call):
        with (HERE / "versions").open("a") as file:
            file.write("1")
        return Outcome.done()

class Hold(Action):
    """Waits until it may go on."""
    action = "hold"
    needs_client = False

    async def run(self, call):
        (HERE / "holding").touch()
        while not (HERE / "go").exists():
            await anyio.sleep(0.01)
        return Outcome.done()

@hookimpl
def hydrusd_register_triggers(register):
    register(Beginning)

@hookimpl
def hydrusd_register_actions(register):
    register(Version)
    register(Hold)
'''


def beginning(which, message="hello"):
    return (
        f"  - name: {which}\n    on: {{beginning: {{which: {which}}}}}\n"
        f"    do: [{{log: {{message: {message}}}}}]\n"
    )


def begun(living, which):
    file = living.folder / f"begun-{which}"
    return len(file.read_text(encoding="utf-8")) if file.exists() else 0


# --- what changes, and what does not ------------------------------------------------------


def test_a_changed_rule_holds_for_what_comes_then(living):
    made = living({"rules.yaml": rules(rule())})
    made.drop("inbox/a.jpg")
    made.wait_for_jobs(1)
    report = made.reload({"rules.yaml": rules(rule(tag="new"))})
    assert (report.taken, report.changes, report.problems) == (True, ["changed rule: 'one'"], [])
    made.drop("inbox/b.jpg")
    made.wait_for_jobs(2)
    assert (made.tags("inbox/a.jpg"), made.tags("inbox/b.jpg")) == ({"old"}, {"new"})
    assert made.reload().changes == []


def test_a_changed_file_is_noticed_without_being_asked(living):
    made = living({"rules.yaml": rules(rule())})
    text = made.project._with_client(rules(rule(), rule("two", folder="other")))
    # As editors do it: written beside, and renamed into its place.
    (made.folder / "rules.yaml~").write_text(text, encoding="utf-8")
    (made.folder / "rules.yaml~").replace(made.folder / "rules.yaml")
    made.drop("other/a.jpg")
    made.wait_for_jobs(1)
    assert made.project.job("other/a.jpg").rule == "two"


def test_a_file_that_comes_into_an_included_folder_is_noticed_too(living):
    included = {"rules.d/one.yaml": rules(rule())}
    made = living({"rules.yaml": "include: rules.d\n", **included})
    made.write({"rules.d/two.yaml": rules(rule("two", folder="other"))})
    made.drop("inbox/a.jpg", "other/b.jpg")
    made.wait_for_jobs(2)
    made.write({"rules.d/one.yaml": rules(rule(tag="new"))})
    made.wait_until(lambda: made.reload().changes == [])
    made.drop("inbox/c.jpg")
    made.wait_for_jobs(3)
    assert made.tags("inbox/c.jpg") == {"new"}


def test_only_what_changed_begins_anew(living):
    both = rules(beginning("one"), beginning("two"))
    made = living({"rules.yaml": both, "plugins/mine.py": PLUGIN})
    made.wait_until(lambda: (begun(made, "one"), begun(made, "two")) == (1, 1))
    made.reload({"rules.yaml": rules(beginning("one", "other words"), beginning("two"))})
    made.wait_until(lambda: begun(made, "one") == 2)
    made.reload({"rules.yaml": rules(beginning("two"))})
    made.reload({"rules.yaml": rules(beginning("two"), beginning("three"))})
    made.wait_until(lambda: begun(made, "three") == 1)
    assert (begun(made, "one"), begun(made, "two")) == (2, 1)


def test_reading_the_rules_again_is_no_start(living):
    startup = "  - name: s\n    on: startup\n    do: [{{log: {{message: {}}}}}]\n"
    made = living({"rules.yaml": rules(startup.format("hello"))})
    made.wait_for_jobs(1)
    late = "  - name: late\n    on: startup\n    do: [{log: {message: late}}]\n"
    made.reload({"rules.yaml": rules(startup.format("bye"), late, rule())})
    made.drop("inbox/a.jpg")
    made.wait_for_jobs(2)
    assert [job.rule for job in made.project.jobs] == ["s", "one"]


def test_a_job_that_has_begun_ends_by_the_rule_that_it_began_with(living):
    held = "      - hold:\n"
    text = rules(rule(tag="old").replace("    do:\n", f"    do:\n{held}"))
    made = living({"rules.yaml": text, "plugins/mine.py": PLUGIN})
    made.drop("inbox/a.jpg")
    made.wait_until((made.folder / "holding").exists)
    # The set that is under way is not waited for: others may need the new rules now.
    assert made.reload({"rules.yaml": text.replace('"old"', '"new"')}).taken
    (made.folder / "go").touch()
    made.wait_for_jobs(1)
    made.drop("inbox/b.jpg")
    made.wait_for_jobs(2)
    assert (made.tags("inbox/a.jpg"), made.tags("inbox/b.jpg")) == ({"old"}, {"new"})


def test_limits_that_change_disturb_nobody(living):
    made = living({"rules.yaml": rules(beginning("one")), "plugins/mine.py": PLUGIN})
    made.wait_until(lambda: begun(made, "one") == 1)
    text = rules(beginning("one") + "    limits: {per_hour: 7}\n")
    assert made.reload({"rules.yaml": text}).changes == ["changed: limits of rules"]
    assert begun(made, "one") == 1


def test_a_mode_that_changes_holds_for_what_a_running_trigger_notices_next(living):
    text = rules(rule().replace("    do:\n", "    do:\n      - hold:\n"))
    made = living({"rules.yaml": text, "plugins/mine.py": PLUGIN})
    made.drop("inbox/a.jpg")
    made.wait_until((made.folder / "holding").exists)
    made.reload({"rules.yaml": text.replace("    do:\n", "    mode: single\n    do:\n")})
    made.drop("inbox/b.jpg")
    made.wait_until(lambda: made.project.passed_over)
    assert "(mode: single)" in made.project.passed_over[0].reason
    assert [job.rule for job in made.project.jobs] == ["one"]
    (made.folder / "go").touch()
    made.wait_for_jobs(1)


def test_a_rule_whose_cooldown_is_taken_away_is_not_said_to_wait(living):
    made = living({"rules.yaml": rules(rule() + "    cooldown: 10h\n")})
    made.drop("inbox/a.jpg")
    made.wait_for_jobs(1)
    made.drop("inbox/b.jpg")
    made.wait_until(lambda: getattr(made.condition("rule", "one"), "state", "") == "waiting")
    made.reload({"rules.yaml": rules(rule())})
    made.wait_for_jobs(2)
    assert made.condition("rule", "one").state == "working"


# --- what cannot be used ------------------------------------------------------------------


def test_a_broken_file_changes_nothing_and_is_told_of_until_it_is_mended(living):
    made = living({"rules.yaml": rules(rule())})
    report = made.reload({"rules.yaml": BROKEN})
    assert not report.taken
    assert "still open" in report.problems[0].message
    told = made.condition("rules")
    assert told.state == "not taken"
    assert "rules.yaml:" in told.reason
    made.drop("inbox/a.jpg")
    made.wait_for_jobs(1)
    assert made.tags("inbox/a.jpg") == {"old"}
    assert made.reload({"rules.yaml": rules(rule(tag="new"))}).taken
    assert made.condition("rules") is None


def test_a_rule_that_is_wrong_by_itself_is_left_out_and_the_others_go_on(living):
    wrong = rule("two", folder="other").replace("add_tags", "add_tagz")
    made = living({"rules.yaml": rules(rule(), wrong)})
    assert made.condition("rule", "two").state == "invalid"
    assert "there is no action 'add_tagz'" in made.condition("rule", "two").reason
    made.drop("inbox/a.jpg", "other/b.jpg")
    made.wait_for_jobs(1)
    report = made.reload({"rules.yaml": rules(rule(), rule("two", folder="other"))})
    assert (report.changes, report.problems) == (["new rule: 'two'"], [])
    made.wait_for_jobs(2)
    assert made.condition("rule", "two") is None


def test_jobs_of_a_rule_that_becomes_invalid_wait_until_it_is_mended(living):
    held = rule(tag="old").replace("    do:\n", "    do:\n      - hold:\n")
    made = living({"rules.yaml": rules(held, rule("two")), "plugins/mine.py": PLUGIN})
    made.drop("inbox/a.jpg")
    made.wait_until((made.folder / "holding").exists)
    report = made.reload({"rules.yaml": rules(held.replace("add_tags", "add_tagz"), rule("two"))})
    assert report.taken
    assert report.changes == ["left out rule: 'one'"]
    assert report.problems[0].message.startswith("rule 'one' is left out: ")
    (made.folder / "go").touch()
    made.wait_until(
        lambda: made.project.job("inbox/a.jpg").state in {JobState.READY, JobState.DONE}
    )
    made.drop("inbox/b.jpg")
    made.wait_until(lambda: sum(job.state is JobState.DONE for job in made.project.jobs) == 2)
    assert {job.rule for job in made.project.jobs if job.state is JobState.READY} == {"one"}
    assert made.condition("rule", "one").state == "invalid"
    made.reload({"rules.yaml": rules(held, rule("two"))})
    made.wait_for_jobs(4)
    assert made.tags("inbox/b.jpg") == {"old"}
    assert {job.state for job in made.project.jobs} == {JobState.DONE}


def test_a_file_without_any_usable_rule_is_a_broken_file(living):
    made = living({"rules.yaml": rules(rule())})
    report = made.reload({"rules.yaml": rules(rule().replace("add_file", "add_fil"))})
    assert not report.taken
    assert made.condition("rules").state == "not taken"
    assert made.condition("rule", "one") is None


def test_a_service_that_is_not_there_is_told_at_once(living):
    made = living({"rules.yaml": rules(rule())})
    wrong = rule("two", folder="other").replace("my tags", "my tagz")
    report = made.reload({"rules.yaml": rules(rule(), wrong)})
    assert report.taken
    assert "did you mean 'my tags'" in report.problems[0].message
    made.wait_until(lambda: made.condition("rule", "two") is not None)
    assert made.condition("rule", "two").state == "parked"


def test_a_service_that_is_not_there_at_the_start_keeps_one_rule_from_running(living):
    wrong = rule("two", folder="other").replace("my tags", "my tagz")
    made = living({"rules.yaml": rules(rule(), wrong)})
    made.wait_until(lambda: made.condition("rule", "two") is not None)
    assert made.condition("rule", "two").state == "parked"
    made.drop("inbox/a.jpg")
    made.wait_for_jobs(1)


# --- rules that go ------------------------------------------------------------------------


def test_jobs_of_a_rule_that_is_taken_out_wait_until_it_is_back(living):
    held = rule(tag="old").replace("    do:\n", "    do:\n      - hold:\n")
    made = living({"rules.yaml": rules(held), "plugins/mine.py": PLUGIN})
    made.drop("inbox/a.jpg")
    made.wait_until((made.folder / "holding").exists)
    made.reload({"rules.yaml": rules(rule("two", folder="other"))})
    (made.folder / "go").touch()
    made.wait_until(lambda: made.condition("rule", "one") is not None)
    assert "no longer in the rules file" in made.condition("rule", "one").reason
    made.drop("other/b.jpg")
    made.wait_until(lambda: made.state_of("other/b.jpg") is JobState.DONE)
    assert made.state_of("inbox/a.jpg") is JobState.READY
    made.reload({"rules.yaml": rules(held)})
    made.wait_until(lambda: made.state_of("inbox/a.jpg") is JobState.DONE)
    assert made.condition("rule", "one") is None


# --- clients ------------------------------------------------------------------------------


def test_an_access_key_that_is_replaced_in_its_file_is_used(living):
    keys = {
        "a" * 64: Permissions(name="first", permits_everything=True),
        "b" * 64: Permissions(name="second", permits_everything=True),
    }
    head = "client: {url: '{url}', access_key: '${file:key}'}\n"
    made = living(
        {"rules.yaml": rules(rule(), head=head), "key": "a" * 64},
        SimulatorConfig(access_keys={**keys, DEFAULT_ACCESS_KEY: Permissions()}),
    )
    made.wait_until(lambda: "'first'" in made.reason("client"))
    made.write({"key": "b" * 64})
    made.wait_until(lambda: "'second'" in made.reason("client"))
    made.drop("inbox/a.jpg")
    made.wait_for_jobs(1)


def test_clients_come_and_go(living):
    client = "{url: '{url}', access_key: '{access_key}'}"
    one = f"clients:\n  main: {client}\n"
    both = f"{one}  other: {client}\n"
    first = rule() + "    client: main\n"
    second = rule("two", folder="other") + "    client: other\n"
    made = living({"rules.yaml": rules(first, head=one)})
    report = made.reload({"rules.yaml": rules(first, second, head=both)})
    assert report.changes == ["new rule: 'two'", "new client: 'other'"]
    made.drop("inbox/a.jpg", "other/b.jpg")
    made.wait_for_jobs(2)
    report = made.reload({"rules.yaml": rules(first, head=one)})
    assert report.changes == ["gone rule: 'two'", "gone client: 'other'"]
    assert made.condition("client", "other") is None
    made.drop("inbox/c.jpg")
    made.wait_for_jobs(3)


# --- plugins ------------------------------------------------------------------------------


def test_a_changed_plugin_is_used_for_what_begins_then(living):
    steps = "    do:\n      - version:\n"
    text = rules(rule().partition("    do:\n")[0] + steps)
    made = living({"rules.yaml": text, "plugins/mine.py": PLUGIN})
    made.drop("inbox/a.jpg")
    made.wait_for_jobs(1)
    # Of the same length, and saved within the same second: Python itself would not look twice.
    made.reload({"plugins/mine.py": PLUGIN.replace('write("1")', 'write("2")')})
    made.drop("inbox/b.jpg")
    made.wait_for_jobs(2)
    report = made.reload({"plugins/mine.py": "raise RuntimeError('half written')"})
    assert not report.taken
    assert "half written" in report.problems[0].message
    made.drop("inbox/c.jpg")
    made.wait_for_jobs(3)
    assert (made.folder / "versions").read_text(encoding="utf-8") == "122"


def test_a_plugin_that_did_not_change_is_not_loaded_anew(living):
    files = {"rules.yaml": rules(beginning("one")), "plugins/mine.py": PLUGIN}
    made = living(files)
    made.wait_until(lambda: begun(made, "one") == 1)
    other = "from hydrusd.plugin import hookimpl\n"
    assert made.reload({"plugins/other.py": other}).taken
    assert begun(made, "one") == 1
    made.reload({"plugins/mine.py": PLUGIN + "\n# as before\n"})
    made.wait_until(lambda: begun(made, "one") == 2)


# --- under load ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [150])
def test_five_reloads_under_load_lose_nothing_and_do_nothing_twice(living, count):
    moved = "      - move_source: {to: moved}\n"
    made = living(
        {"rules.yaml": rules(rule(tag="t0") + moved)}, SimulatorConfig(import_seconds=0.005)
    )
    names = [f"inbox/{number}.png" for number in range(count)]
    stages = [rules(rule(tag=f"t{number}") + moved) for number in (1, 2, 3, 4)]
    stages.insert(2, BROKEN)
    share = count // 6
    for number, text in enumerate(stages):
        made.drop(*names[number * share : (number + 1) * share])
        assert made.reload({"rules.yaml": text}).taken is (text != BROKEN)
    made.drop(*names[5 * share :])
    made.wait_until(lambda: len(made.project.jobs) == count)
    made.wait_for_jobs(count)
    made.project.assert_success()
    hashes = [made.project.sha256(name) for name in names]
    assert made.project.simulator.imports() == dict.fromkeys(hashes, 1)
    for name in names:
        [tag] = made.tags(name)  # by one revision from its first step to its last
        assert tag in {"t0", "t1", "t2", "t3", "t4"}
    assert sorted(p.name for p in (made.folder / "moved").iterdir()) == sorted(
        name.partition("/")[2] for name in names
    )
    assert list((made.folder / "inbox").iterdir()) == []
    # Observers are told of what is stored: a moment later.
    made.wait_until(lambda: len(made.project.finished) >= count)
    assert len({each.job_id for each in made.project.finished}) == len(made.project.finished)
    assert len(made.project.finished) == count
