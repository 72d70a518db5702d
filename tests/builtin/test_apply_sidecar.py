"""Applying what sidecars say: what is sent, what is told, and what is refused."""

from __future__ import annotations

import json

import pytest
from hurrying import HurryingClock

from hydrusd.errors import ConfigError
from hydrusd.model import JobState
from hydrusd.simulator import Fault, FaultKind, SimulatorConfig

CURRENT = 0
RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 50ms, sidecars: [txt, urls, json], sidecar_wait: 80ms}}
    do:
      - add_file:
      - apply_sidecar:PARAMETERS
"""
OURS = {
    "tags": {"my tags": ["a"], "downloader tags": ["b"]},
    "ratings": {"favourites": True},
    "times": {"modified": {"local": "2020-01-01T00:00:00+00:00", "a.example": "2021-01-01T00:00Z"}},
}


def rules(parameters=""):
    return {"rules.yaml": RULES.replace("PARAMETERS", parameters)}


def drop(made, name, **sidecars):
    made.drop(f"inbox/{name}")
    for suffix, content in sidecars.items():
        text = content if isinstance(content, str) else json.dumps(content)
        made.drop(f"inbox/{name}.{suffix}", text.encode(), noticed=False)
    return made


def step(made, name):
    return made.job(f"inbox/{name}").steps[1]


def tags(made, name, service="my tags"):
    return made.simulator.tags(made.sha256(f"inbox/{name}"), service).get(CURRENT, set())


def test_many_files_that_are_told_the_same_share_their_requests(project):
    made = project(rules())
    for number in range(30):
        drop(made, f"{number}.png", txt="one\ntwo\n")
    made.run().assert_success()
    assert all(tags(made, f"{number}.png") == {"one", "two"} for number in range(30))
    assert made.simulator.requests["/add_tags/add_tags"] <= 10
    assert step(made, "0.png").detail == "2 tags added"
    [added] = step(made, "0.png").receipt["tags"]["added"].values()
    assert list(added.values()) == [["one", "two"]]


def test_what_is_there_already_is_not_claimed(project):
    made = project(rules())
    drop(made, "a.png", txt="one\n").run().assert_success()
    made.drop("inbox/a.png.json", b'{"tags": ["one"]}', noticed=False)
    made.run(jobs=2).assert_success()
    late = made.jobs[1].steps[1]
    assert late.detail == "all of it is there already"
    assert late.receipt == {}


def test_parts_can_be_left_out_and_sent_elsewhere(project):
    parameters = " {tags: downloader tags, urls: false, ratings: false, times: [modified_on_disk]}"
    made = project(rules(parameters))
    drop(made, "a.png", json={**OURS, "url": "https://a.example/1"}, txt="x\n").run()
    assert made.job("inbox/a.png").steps[1].detail == (
        "3 tags added; modified on disk time set to 2020-01-01T00:00:00.000+00:00"
    )
    assert tags(made, "a.png") == set()
    # Without a hash nobody knows that the names are those of services: they are kinds of tags.
    assert tags(made, "a.png", "downloader tags") == {"my tags:a", "downloader tags:b", "x"}


def test_ours_goes_back_to_its_services_where_that_is_wanted(project):
    made = project(rules(" {keep_services: true, times: [modified_on_web, modified_on_disk]}"))
    made.drop("inbox/a.png")
    told = {**OURS, "hash": made.sha256("inbox/a.png")}
    made.drop("inbox/a.png.json", json.dumps(told).encode(), noticed=False)
    made.run().assert_success()
    assert tags(made, "a.png") == {"a"}
    assert tags(made, "a.png", "downloader tags") == {"b"}
    [row] = made.ask("/get_files/file_metadata", hashes=json.dumps([made.sha256("inbox/a.png")]))[
        "metadata"
    ]
    assert row["time_modified_details"] == {"local": 1577836800, "a.example": 1609459200}
    assert True in row["ratings"].values()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"hash": "0" * 64, "tags": {}}, "the sidecar says that it is about another file"),
        ({"ratings": {"no such": 1}}, "no such"),
        ({"ratings": {"favourites": 7}}, "takes like, dislike or none, and not 7"),
    ],
)
def test_what_hydrus_cannot_take_is_a_dead_letter_with_the_rest_applied(project, said, why):
    made = project(rules())
    drop(made, "a.png", json=said, txt="fine\n").run()
    job = made.job("inbox/a.png")
    assert job.state is JobState.DEAD
    assert why in job.steps[1].detail
    # A sidecar of another file says nothing that can be trusted.
    assert tags(made, "a.png") == (set() if "hash" in said else {"fine"})
    assert (made.folder / "inbox/a.png").exists()


def test_what_was_done_before_a_failure_is_claimed_and_not_done_again(project):
    made = project(rules())
    made.simulator.inject(
        Fault(kind=FaultKind.STATUS, path="/add_urls/associate_url", status=500, times=2)
    )
    drop(made, "a.png", txt="one\n", json={"url": "https://a.example/1"})
    made.run(clock=HurryingClock()).assert_success()
    receipt = step(made, "a.png").receipt
    assert receipt["tags"]["added"]
    assert receipt["urls"]["added"]
    assert made.simulator.requests["/add_tags/add_tags"] == 1


def test_an_old_client_says_what_it_lacks(project):
    made = project(rules(), SimulatorConfig(api_version=32))
    drop(made, "a.png", txt="one\n", json={"notes": {"title": "x"}}).run()
    assert step(made, "a.png").detail == (
        "the sidecar's notes need Client API ≥ 38, this client speaks 32; update Hydrus, "
        "or say `notes: false`"
    )
    assert tags(made, "a.png") == {"one"}


def test_a_restart_that_loses_it_has_it_done_again(project):
    config = SimulatorConfig(commit_seconds=10_000)
    made = project(rules(), config)
    made.simulator.inject(
        Fault(kind=FaultKind.STATUS, path="/manage_database/force_commit", status=503, times=3)
    )
    drop(made, "a.png", txt="one\n")
    crashed = []

    def crash(project):
        if not crashed and project.jobs and project.jobs[0].state is JobState.SETTLING:
            project.simulator.crash()
            crashed.append(True)
        return bool(crashed) and project.jobs[0].state is JobState.DONE

    made.run(until=crash, clock=HurryingClock())
    assert made.simulator.committed_tags(made.sha256("inbox/a.png")) == {CURRENT: {"one"}}


def test_a_trigger_that_looks_for_none_is_refused(project):
    text = RULES.replace("PARAMETERS", "").replace(
        ", sidecars: [txt, urls, json], sidecar_wait: 80ms", ""
    )
    made = project({"rules.yaml": text})
    with pytest.raises(ConfigError) as refused:
        made.run()
    [problem] = refused.value.problems
    assert problem.message == "apply_sidecar needs sidecars, and the trigger looks for none"


def test_a_tag_service_that_is_not_there_is_refused(project):
    made = project(rules(" {tags: nowhere}"))
    with pytest.raises(ConfigError) as refused:
        made.run()
    assert "nowhere" in refused.value.problems[0].message
