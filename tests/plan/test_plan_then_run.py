"""What a plan says is what a run then does, item by item."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
from planning_ahead import NO_DIFFERENCE, difference, plan_of, world

from hydrusd.cli._dead import to_json
from hydrusd.cli._plan import as_data
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


BRANCHING = """
rules:
  - name: sort
    on: {watch_folder: {path: inbox, settle: 100ms}}
    if: file.size > 10
    vars: {kind: "{{ file.stem.split('-')[0] }}"}
    do:
      - add_file: {deleted_before: go_on}
      - if: steps.add_file.status == 'deleted before'
        do:
          - move_source: {to: deleted}
          - stop: gone
      - for_each: ["from:inbox", "kind:{{ vars.kind }}"]
        as: tag
        do:
          - add_tags: {my tags: "{{ tag }}"}
      - associate_url: {add: ["https://example.org/{{ file.stem }}"]}
      - set_notes: {notes: {found: "in {{ file.parent.name }}"}}
      - archive_file:
        if: vars.kind != 'new'
      - if: steps.add_file.status == 'already in Hydrus'
        do: [trash_source: {folder: trash}]
        else: [move_source: {to: "taken/{{ vars.kind }}"}]
"""

MADE = {
    "new": (),
    "known": (),
    "tagged": ("tags",),
    "noted": ("notes", "url"),
    "whole": ("tags", "notes", "url", "archived"),
    "deleted": ("deleted",),
    "small": (),
}
SEEN_BY_SENDING = "refused"


def fill_for_branches(project, count):
    """Drop so many files of each kind, and make the client as its user might have."""
    for number in range(count):
        project.drop(f"inbox/{SEEN_BY_SENDING}-{number}.jpg", b"no picture at all %d" % number)
        for kind, made in MADE.items():
            name = f"inbox/{kind}-{number}.jpg"
            if kind == "small":
                project.drop(name, b"%d" % number)
                continue
            project.drop(name)
            if kind == "new":
                continue
            sha256 = project.seed(name)
            if "tags" in made:
                keys = ["from:inbox", f"kind:{kind}"][: 1 + (number + len(made)) % 2]
                tags = {my_tags(project): keys}
                project.tell("/add_tags/add_tags", hash=sha256, service_keys_to_tags=tags)
            if "notes" in made:
                note = "in inbox" if number % 2 else "elsewhere"
                project.tell("/add_notes/set_notes", hash=sha256, notes={"found": note})
            if "url" in made:
                url = f"https://example.org/{kind}-{number}"
                project.tell("/add_urls/associate_url", hash=sha256, url_to_add=url)
            if "archived" in made:
                project.tell("/add_files/archive_files", hash=sha256)
            if "deleted" in made:
                project.tell("/add_files/delete_files", hash=sha256)


def held(project):
    """Give what there is of each file that was dropped: in the client, and where its source is."""
    sources = {p.name: p for p in project.folder.rglob("*.jpg")}
    found = {}
    for name in (path for path in project._hashes if path.startswith("inbox/")):
        place = sources[name.partition("/")[2]].relative_to(project.folder).parent.as_posix()
        sha256 = project.sha256(name)
        [row] = project.ask(
            "/get_files/file_metadata",
            hashes=json.dumps([sha256]),
            include_notes="true",
            create_new_file_ids="true",
        )["metadata"]
        tags = row.get("tags", {}).get(my_tags(project), {}).get("storage_tags", {})
        found[name] = {
            "place": place,
            "tags": sorted(tags.get("0", [])),
            "urls": sorted(row.get("known_urls", [])),
            "notes": row.get("notes", {}),
            "archived": bool(row.get("is_local")) and not row["is_inbox"],
        }
    return found


def foretold(before, job):
    """Give what would be there of a file if what the plan says of it, as JSON, came true."""
    after = {**before, "tags": list(before["tags"]), "urls": list(before["urls"])}
    for step in job["steps"]:
        added = [line[2:] for line in step["diff"] if line[0] == "+"]
        match step["step"]:
            case "add_tags":
                after["tags"] += added
            case "associate_url":
                after["urls"] += added
            case "set_notes" if added:
                after["notes"] = {"found": "in inbox"}
            case "archive_file" if step["changes"]:
                after["archived"] = True
            case "trash_source" if step["changes"]:
                after["place"] = "trash"
            case "move_source" if step["changes"]:
                folder, _, name = step["detail"].rpartition("/")
                assert job["about"].endswith(f"/{name}")
                after["place"] = folder.partition("/project-1/")[2]
    return {**after, "tags": sorted(after["tags"]), "urls": sorted(after["urls"])}


def what_was_done(job):
    """Give the steps of a job as the ledger has them, in the words of a plan."""
    for step in job.steps:
        if step.action == "add_file":
            yield step.action, step.values["status"]
        elif step.action == "if":
            yield step.action, "so" if step.values.get("holds") else "not so"
        elif step.outcome is OutcomeKind.PASSED:
            yield step.action, "passed over"
        else:
            yield step.action, "changed" if any((step.receipt or {}).values()) else "nothing to do"


def what_was_planned(job):
    for step in job["steps"]:
        fate = {"to import": "imported", "to do": "changed", "to dispose of": "changed"}.get(
            step["fate"], step["fate"]
        )
        yield step["step"], "nothing to do" if fate == "gone through" else fate


def compare_branches(project, plan, before, count):
    """Hold the plan, as JSON, against the ledger, and against the client and the disk."""
    planned = {job["about"].rpartition("/")[2]: job for job in plan["jobs"]}
    done = {name_of(job): job for job in project.jobs}
    passed = {FileSource.from_data(each.data).path.name: each for each in project.passed_over}
    after = held(project)
    assert {f"inbox/{name}" for name in planned} == after.keys()
    assert len(planned) == count * (1 + len(MADE))
    for name, job in planned.items():
        now = after[f"inbox/{name}"]
        if name in passed:
            assert job["passed_over"] == passed[name].reason
            assert now == before[f"inbox/{name}"]
        elif name.startswith(SEEN_BY_SENDING):
            # What Hydrus makes of a file, only sending it can tell: it is planned to be sent.
            assert job["steps"][0]["fate"] == "to import"
            assert done[name].state is JobState.DEAD
            assert now == before[f"inbox/{name}"]
        else:
            assert job["ending"] == done[name].state.value
            assert sorted(what_was_planned(job)) == sorted(what_was_done(done[name]))
            assert foretold(before[f"inbox/{name}"], job) == now


def plan_and_run_branches(project, count):
    """Plan for so many files of each kind, run, and compare."""
    fill_for_branches(project, count)
    before = held(project)
    untouched = world(project)
    plan = json.loads(to_json(as_data(plan_of(project))))
    assert difference(project, untouched) == NO_DIFFERENCE
    project.run(timeout_seconds=120)
    compare_branches(project, plan, before, count)


def test_the_plan_in_json_is_what_is_there_afterwards(project):
    plan_and_run_branches(project({"rules.yaml": BRANCHING}), 2)


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
