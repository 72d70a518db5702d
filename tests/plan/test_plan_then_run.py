"""What a plan says is what a run then does, item by item."""

from __future__ import annotations

from collections import defaultdict

import pytest
from planning_ahead import NO_DIFFERENCE, difference, plan_of, world

from hydrusd.model import JobState, OutcomeKind
from hydrusd.plugin import FileSource

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    if: file.size > 10
    do:
      - add_file:
      - add_tags: {my tags: ["from:inbox", "name:{{ file.stem }}"]}
      - trash_source: {folder: trash}
"""

KINDS = ("new", "twin", "known", "tagged", "deleted", "refused", "small")
TWINS = ("new", "twin")


def my_tags(project):
    services = project.ask("/get_services")["local_tags"]
    return next(service["service_key"] for service in services if service["name"] == "my tags")


def fill(project, count):
    """Drop so many files of each kind."""
    for number in range(count):
        for kind in KINDS:
            name = f"inbox/{kind}-{number}.jpg"
            match kind:
                case "new":
                    project.drop(name)
                case "twin":  # the content of a new one that comes before it
                    project.drop(name, (project.folder / f"inbox/new-{number}.jpg").read_bytes())
                case "known" | "tagged" | "deleted":
                    sha256 = project.seed(name)
                    project.drop(name)
                    if kind == "tagged":
                        keys = ["from:inbox", f"name:{kind}-{number}"][: 1 + number % 2]
                        tags = {my_tags(project): keys}
                        project.tell("/add_tags/add_tags", hash=sha256, service_keys_to_tags=tags)
                    if kind == "deleted":
                        project.tell("/add_files/delete_files", hash=sha256)
                case "refused":
                    project.drop(name, b"this is no picture at all, says Hydrus %d" % number)
                case "small":
                    project.drop(name, b"%d" % number)


def name_of(job):
    return FileSource.from_data(job.data).path.name


def added(step):
    """Give the tags that a step put on, by its receipt."""
    kept = (step.receipt or {}).get("added", {})
    return sorted(t for services in kept.values() for tags in services.values() for t in tags)


def compare(project, plan):
    """Hold what was planned against what the ledger says was done; give how much of it there is."""
    planned = {FileSource.from_data(job.event.data).path.name: job for job in plan.jobs}
    done = {name_of(job): job for job in project.jobs}
    passed = {FileSource.from_data(each.data).path.name: each for each in project.passed_over}
    assert planned.keys() == done.keys() | passed.keys()
    counts = dict.fromkeys(KINDS, 0)
    statuses = defaultdict(list)
    for name, plan_ in planned.items():
        kind = name.partition("-")[0]
        counts[kind] += 1
        if name in passed:
            assert plan_.passed_over == passed[name].reason
            continue
        job, steps = done[name], {step.action: step for step in done[name].steps}
        if kind == "refused":
            # What Hydrus makes of a file, only sending it can tell: it is planned to be sent.
            assert plan_.steps[0].foreseen.changes
            assert job.state is JobState.DEAD
            continue
        assert plan_.ending is OutcomeKind(job.state.value)
        assert [step.name for step in plan_.steps] == [step.action for step in job.steps]
        foreseen = plan_.steps[0].foreseen.values
        assert foreseen["hash"] == steps["add_file"].values["hash"]
        # Which of two with the same content comes first is up to the disk; that one does, is not.
        statuses[0 if kind in TWINS else name].append(foreseen["status"])
        statuses[1 if kind in TWINS else name].append(steps["add_file"].values["status"])
        if job.state is JobState.DONE and kind not in TWINS:
            diff = plan_.steps[1].foreseen.diff
            assert sorted(d[2:] for d in diff if d[0] == "+") == added(steps["add_tags"])
            there = sum(each.startswith("= ") for each in diff)
            assert len(diff) == 2
            assert there == (0 if kind != "tagged" else 1 + int(name[-5]) % 2)
        disposed = not (project.folder / "inbox" / name).exists()
        assert any(s.action.disposes and s.foreseen.changes for s in plan_.steps) is disposed
    assert sorted(statuses.pop(0)) == sorted(statuses.pop(1))
    assert all(planned == done for planned, done in statuses.values())
    return counts


def test_the_plan_says_what_happens(project):
    project = project({"rules.yaml": RULES})
    fill(project, 3)
    before = world(project)
    plan = plan_of(project)
    assert difference(project, before) == NO_DIFFERENCE
    project.run()
    assert set(compare(project, plan).values()) == {3}
    # With a ledger: what is known is known, and nothing is written beside it either.
    before = world(project)
    again = plan_of(project)
    assert [job for job in again.jobs if not job.passed_over] == []
    asked = plan_of(project, subjects=[str(project.folder / "inbox" / "deleted-0.jpg")])
    [job] = asked.jobs
    assert job.passed_over == "the rule has dealt with it already"
    assert difference(project, before) == NO_DIFFERENCE


def test_what_is_asked_for_alone(project):
    project = project({"rules.yaml": RULES})
    project.drop("inbox/a.jpg").drop("inbox/sub/b.jpg").drop("inbox/c.part", b"half of it")
    inbox = project.folder / "inbox"
    plan = plan_of(project, subjects=[str(inbox / "sub"), str(inbox / "c.part"), "elsewhere.jpg"])
    assert [FileSource.from_data(job.event.data).path.name for job in plan.jobs] == ["b.jpg"]
    assert set(plan.unnoticed) == {str(inbox / "c.part"), "elsewhere.jpg"}
    assert "part" in plan.unnoticed[str(inbox / "c.part")]


PROSPECTS = """
rules:
  - name: urls
    on: {url_list: {path: urls.txt}}
    do: [{add_url: }, {add_tags: {my tags: ["{{ tags }}"]}}]
  - name: nightly
    on: {schedule: {cron: "30 3 * * *", time_zone: UTC}}
    do: [{log: {message: night}}]
  - name: found
    on: {search: {tags: [red], backfill: true}}
    do: [{archive_file: }]
  - name: from now on
    on: {search: {tags: [red]}}
    do: [{archive_file: }]
  - name: asked
    on: manual
    do: [{log: {message: asked}}]
  - name: hooked
    on: {webhook: {path: /hook, secret: "${env:HOOK_SECRET}"}}
    do: [{log: {message: hooked}}]
"""


def test_what_each_trigger_would_notice(project, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "a secret that is long enough")
    project = project({"rules.yaml": PROSPECTS, "urls.txt": "https://a.example/1 x, y\nnonsense\n"})
    sha256 = project.seed("a.jpg")
    tags = {my_tags(project): ["red"]}
    project.tell("/add_tags/add_tags", hash=sha256, service_keys_to_tags=tags)
    plan = plan_of(project)
    told = {trigger.rules[0]: trigger for trigger in plan.triggers}
    [url] = told["urls"].jobs
    assert url.event.data["tags"] == ["x", "y"]
    assert "nonsense" in told["urls"].detail
    assert "download" in url.steps[0].foreseen.detail
    assert told["nightly"].jobs == []
    assert told["nightly"].detail.count(" 03:30:00") == 3
    [found] = told["found"].jobs
    assert found.event.data["hash"] == sha256
    assert found.steps[0].foreseen.changes
    assert told["from now on"].jobs == []
    assert "passed over" in told["from now on"].detail
    assert "waits to be fired" in told["asked"].detail
    assert "cannot be foreseen" in told["hooked"].detail
    assert plan_of(project, subjects=["https://a.example/1"]).jobs[0].event == url.event
    only = plan_of(project, rules=["found"])
    assert [trigger.rules for trigger in only.triggers] == [["found"]]


def test_a_client_that_is_away_is_told_and_nothing_is_guessed(project):
    project = project({"rules.yaml": RULES})
    project.drop("inbox/a.jpg")
    project.close()
    plan = plan_of(project)
    assert "cannot connect" in plan.waits["import"]
    [job] = plan.jobs
    assert job.ending is None
    assert [step.foreseen for step in job.steps] == [None] * 3


def test_an_unknown_rule_is_named(project):
    project = project({"rules.yaml": RULES})
    with pytest.raises(Exception, match="there is no rule 'imprt'"):
        plan_of(project, rules=["imprt"])
