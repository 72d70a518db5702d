"""What becomes of files that Hydrus has already, or had: as `add_file` is told."""

from __future__ import annotations

import pytest
from hurrying import HurryingClock

from hydrusd.errors import ConfigError
from hydrusd.model import JobState
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind, Permissions, SimulatorConfig

CURRENT = 0


def rules(add_file, *, disposing="- move_source: {to: moved}"):
    return f"""
client: {{url: '{{url}}', access_key: '{{access_key}}', commit_wait: 100ms}}
rules:
  - name: import
    on: {{watch_folder: {{path: inbox, settle: 50ms}}}}
    do:
      - add_file: {add_file}
      - add_tags: {{my tags: new}}
      {disposing}
"""


def there(made, name):
    return (made.folder / name).exists()


@pytest.mark.parametrize(
    ("policy", "state", "tagged", "moved"),
    [
        ("go_on", JobState.DONE, True, True),
        ("keep", JobState.SKIPPED, False, False),
        ("dispose", JobState.DONE, False, True),
    ],
)
def test_a_file_that_hydrus_has(project, policy, state, tagged, moved):
    made = project({"rules.yaml": rules(f"{{duplicates: {policy}}}")})
    known = made.seed("inbox/a.png")
    made.drop("inbox/a.png").drop("inbox/b.png").run()
    job = made.job("inbox/a.png")
    assert job.state is state
    assert job.steps[0].values == {"hash": known, "status": "already in Hydrus"}
    assert (made.simulator.tags(known) == {CURRENT: {"new"}}) is tagged
    assert there(made, "moved/a.png") is moved
    assert there(made, "inbox/a.png") is not moved
    # One that it did not have is imported as ever.
    assert made.job("inbox/b.png").state is JobState.DONE
    assert made.simulator.tags(made.sha256("inbox/b.png")) == {CURRENT: {"new"}}
    assert there(made, "moved/b.png")


@pytest.mark.parametrize(
    ("policy", "state", "tagged", "moved"),
    [
        ("keep", JobState.SKIPPED, False, False),
        ("go_on", JobState.DONE, True, True),
        ("dispose", JobState.DONE, False, True),
    ],
)
def test_a_file_that_was_deleted_before(project, policy, state, tagged, moved):
    made = project({"rules.yaml": rules(f"{{deleted_before: {policy}}}")})
    gone = made.seed("inbox/a.png")
    made.simulator._client.store.destroy_file(gone, "not wanted")
    made.drop("inbox/a.png").run()
    job = made.job("inbox/a.png")
    assert job.state is state
    assert job.steps[0].values == {"hash": gone, "status": "deleted before"}
    assert (made.simulator.tags(gone) == {CURRENT: {"new"}}) is tagged
    assert there(made, "moved/a.png") is moved
    assert made.simulator.files[gone].status == "deleted"


def test_of_two_with_the_same_content_only_the_second_is_a_duplicate(project):
    made = project({"rules.yaml": rules("{duplicates: keep}")})
    made.drop("inbox/a.png")
    content = (made.folder / "inbox/a.png").read_bytes()
    made.drop("inbox/b.png", content).run()
    states = sorted(made.job(f"inbox/{name}.png").state for name in "ab")
    assert states == [JobState.DONE, JobState.SKIPPED]
    assert len(list((made.folder / "inbox").iterdir())) == 1
    assert made.simulator.imports() == {made.sha256("inbox/a.png"): 1}


def test_what_was_sent_and_not_answered_is_no_duplicate(project):
    made = project({"rules.yaml": rules("{duplicates: keep}")})
    made.simulator.inject(Fault(kind=FaultKind.WORK_THEN_CUT, path="/add_files/add_file"))
    made.drop("inbox/a.png").run(clock=HurryingClock()).assert_success()
    assert made.simulator.imports() == {made.sha256("inbox/a.png"): 1}
    assert made.simulator.tags(made.sha256("inbox/a.png")) == {CURRENT: {"new"}}
    assert there(made, "moved/a.png")


def test_to_dispose_of_duplicates_there_has_to_be_a_step_that_disposes(project):
    made = project({"rules.yaml": rules("{duplicates: dispose}", disposing="- log: {message: x}")})
    with pytest.raises(ConfigError) as refused:
        made.run()
    [problem] = refused.value.problems
    assert problem.message == "add_file is to dispose of files, but no step after it does so"


def test_a_key_that_may_not_search_cannot_tell_duplicates(project):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 2}))}
    made = project({"rules.yaml": rules("{duplicates: keep}")}, SimulatorConfig(access_keys=keys))
    with pytest.raises(ConfigError) as refused:
        made.run()
    assert "needs an access key that may search" in refused.value.problems[0].message
