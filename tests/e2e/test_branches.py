"""Rules with conditions, loops, variables and ends: what comes of files that go different ways."""

from __future__ import annotations

import anyio
from stage import DaemonProcess, paint, wait_until

from hydrusd.daemon import make_plan, read_configuration
from hydrusd.engine import Flow
from hydrusd.model import JobState, OutcomeKind

TEXT = b"this is no picture"

RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
vars:
  album: "{{ file.parent.name | lower }}"
  unused: "{{ nothing.of.this.is.there }}"
rules:
  - name: sort
    on: {watch_folder: {path: inbox, settle: 50ms}}
    vars:
      words: "{{ file.stem.split('-') }}"
      many: "{{ vars.words | length > 2 }}"
    do:
      - add_file: {deleted_before: go_on, refused: go_on}
      - if: steps.add_file.status == 'refused'
        do:
          - move_source: {to: refused}
          - stop: "Hydrus says: {{ steps.add_file.note | length > 0 }}"
      - if: steps.add_file.status == 'deleted before'
        do:
          - move_source: {to: deleted}
        else:
          - add_tags: {my tags: "status:{{ steps.add_file.status }}"}
            if: vars.many
          - for_each: "{{ vars.words }}"
            as: word
            do:
              - add_tags: {my tags: "word{{ word_number }}:{{ word }}"}
                if: word != 'skip'
          - add_tags: {my tags: "album:{{ vars.album }}"}
          - trash_source
"""


def outcomes(job):
    return [(step.position, step.action, str(step.outcome)) for step in job.steps]


def test_each_status_goes_its_own_way(project):
    made = project({"rules.yaml": RULES})
    known = made.seed("inbox/b-known.png")
    gone = made.seed("inbox/c.png")
    made.simulator._client.store.destroy_file(gone, "not wanted")
    made.drop("inbox/a-skip-new.png").drop("inbox/b-known.png").drop("inbox/c.png")
    made.drop("inbox/d.png", TEXT)
    made.run().assert_success()

    tags = made.simulator.tags(made.sha256("inbox/a-skip-new.png"))[0]
    assert tags == {"status:imported", "word1:a", "word3:new", "album:inbox"}
    assert made.simulator.tags(known)[0] == {"word1:b", "word2:known", "album:inbox"}
    assert not made.simulator.tags(gone)
    left = {str(p.relative_to(made.folder)) for p in made.folder.rglob("*.png")}
    assert left == {"deleted/c.png", "refused/d.png"}

    new, refused = made.job("inbox/a-skip-new.png"), made.job("inbox/d.png")
    assert outcomes(new) == [
        (0, "add_file", "done"),
        (1, "if", "done"),
        (2, "move_source", "passed over"),
        (3, "stop", "passed over"),
        (4, "if", "done"),
        (5, "move_source", "passed over"),
        (6, "add_tags", "done"),
        (7, "for_each", "done"),
        (8, "add_tags", "done"),
        (9, "add_tags", "passed over"),
        (10, "add_tags", "done"),
        (108, "add_tags", "done"),
        (109, "trash_source", "done"),
    ]
    assert new.steps[1].values == {"holds": False}
    assert new.steps[2].detail == "not so: steps.add_file.status == 'refused'"
    assert new.steps[7].values == {"items": ["a", "skip", "new"]}
    assert new.steps[9].detail == "not so: word != 'skip'"
    assert outcomes(refused)[-1] == (3, "stop", "done")
    assert refused.steps[-1].detail == "Hydrus says: true"


def test_a_source_that_was_refused_is_never_trashed_whatever_the_rule_says(project):
    rule = """
rules:
  - name: careless
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file: {refused: go_on}
      - trash_source
"""
    made = project({"rules.yaml": rule})
    made.drop("inbox/a.png", TEXT).run()
    job = made.job("inbox/a.png")
    assert job.state is JobState.DEAD
    assert job.steps[-1].outcome is OutcomeKind.DEAD
    assert "no step of this job has brought into Hydrus" in job.steps[-1].detail
    assert (made.folder / "inbox/a.png").read_bytes() == TEXT


def test_what_cannot_be_decided_is_a_dead_letter_that_goes_on_there(project, tmp_path):
    rule = """
rules:
  - name: r
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file
      - if: file.name == 'a.png' and steps.add_tags.none_such
        do: [trash_source]
        else: [log: {message: other}]
"""
    made = project({"rules.yaml": rule})
    made.drop("inbox/a.png").drop("inbox/b.png").run()
    job = made.job("inbox/a.png")
    assert job.state is JobState.DEAD
    assert outcomes(job) == [(0, "add_file", "done"), (1, "if", "dead")]
    assert "there is no 'add_tags'" in made.dead_letters[0].detail
    assert made.job("inbox/b.png").state is JobState.DONE
    assert (made.folder / "inbox/a.png").exists()


def test_a_loop_over_too_many_items_is_a_dead_letter(project):
    rule = """
rules:
  - name: r
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - for_each: "{{ range(101) }}"
        do: [log: {message: "{{ item }}"}]
"""
    made = project({"rules.yaml": rule})
    made.drop("inbox/a.png").run()
    assert made.dead_letters[0].detail == "for_each: 101 items: a loop goes over 100 at most"


def test_a_plan_takes_the_ways_that_the_run_takes(project):
    made = project({"rules.yaml": RULES})
    known = made.seed("inbox/b-known.png")
    made.drop("inbox/a-skip-new.png").drop("inbox/b-known.png")
    configuration = read_configuration(made.folder / "rules.yaml")

    async def plan():
        return await make_plan(configuration, made.state_dir)

    planned = {job.event.data["file"]["name"]: job for job in anyio.run(plan).jobs}
    made.run().assert_success()
    for name, job in planned.items():
        foreseen = [(step.name, str(step.foreseen.outcome)) for step in job.steps]
        run = [(action, outcome) for _, action, outcome in outcomes(made.job(f"inbox/{name}"))]
        assert foreseen == run
    assert made.simulator.tags(known)
    told = [s.foreseen.detail for s in planned["a-skip-new.png"].steps if s.name == "if"]
    assert told[0] == "not so: steps.add_file.status == 'refused' (if add_file ends as foreseen)"
    told = [s.foreseen.detail for s in planned["b-known.png"].steps if issubclass(s.action, Flow)]
    assert told[0] == "not so: steps.add_file.status == 'refused'"


BRANCHES = """\
  - name: ways
    on:
      watch_folder: {{path: inbox, settle: {settle}}}
    do:
      - add_file
      - if: steps.add_file.status == 'imported' and file.suffix != '.gif'
        do:
          - for_each: [one, two]
            do:
              - add_tags: {{my tags: "new:{{{{ item }}}}"}}
        else:
          - add_tags: {{my tags: other}}
      - log: {{message: "{{{{ steps.add_file.status }}}}", level: debug}}
      - trash_source: {{folder: trash}}
"""


def test_a_daemon_that_is_killed_takes_the_same_ways(place, simulator, settle, tmp_path):
    """Killed again and again, it still calls new what was new, and does each way to its end."""
    rules = (place.folder / "rules.yaml").read_text(encoding="utf-8").partition("rules:\n")[0]
    rules += "rules:\n" + BRANCHES.format(settle=settle)
    (place.folder / "rules.yaml").write_text(rules, encoding="utf-8")
    pictures = paint(tmp_path / "pictures", 40)
    for relative, path in pictures.items():
        place.drop(relative, path)
    count = len(pictures)
    for done in (1, count // 4, count // 2, count):
        daemon = DaemonProcess(place)
        daemon.start()
        try:
            wait_until(lambda done=done: len(place.trashed()) >= done, f"{done} of them")
            if done == count:
                wait_until(lambda: place.states() == {"done": count}, "all jobs done")
            else:
                daemon.kill()
        finally:
            daemon.close()
    for job in place.jobs():
        is_gif = job.data["file"]["suffix"] == ".gif"
        tags = simulator.tags(job.steps[0].values["hash"])[0]
        assert tags == ({"other"} if is_gif else {"new:one", "new:two"})
        assert job.steps[0].values["status"] == "imported"
        passed = {step.action for step in job.steps if step.outcome is OutcomeKind.PASSED}
        assert passed == ({"for_each"} if is_gif else {"add_tags"})
    assert place.waiting() == set()
