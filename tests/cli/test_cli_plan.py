"""``hydrusd plan`` as a person sees it."""

from __future__ import annotations

import json

from invoking import invoke

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox}}
    if: file.size > 10
    do:
      - add_file:
      - add_tags: {my tags: ["from:inbox"]}
      - trash_source: {folder: trash}
"""


def test_a_plan_is_shown_and_nothing_is_changed(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/a.jpg").drop("inbox/small.jpg", b"x")
    rules, state = made.folder / "rules.yaml", made.folder / "state"
    result = invoke("plan", rules, "--state-dir", state)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    for told in (
        "Rule 'import', 1 job",
        "watch_folder: 2 files there",
        "add_file: 1 to import",
        "add_tags: 1 to do, 1 to come (+)",
        "+ from:inbox",
        "trash_source: 1 to dispose of",
        "passed over: 1, not so: file.size > 10",
        "Nothing was changed.",
    ):
        assert told in lines
    assert not state.exists()
    small = made.folder / "inbox" / "small.jpg"
    plan = json.loads(invoke("plan", rules, small, "--json", "--state-dir", state).output)
    [job] = plan["jobs"]
    assert job["about"] == str(small)
    assert job["passed_over"] == "not so: file.size > 10"
    assert made.access_key not in json.dumps(plan)


def test_a_rule_that_is_not_there_is_named(project):
    made = project({"rules.yaml": RULES})
    result = invoke("plan", made.folder / "rules.yaml", "--rule", "imprt")
    assert result.exit_code == 2
    assert "there is no rule 'imprt'" in result.output
    assert "'import'" in result.output
