"""Tagging: only what is missing, never what somebody removed, and receipts of exactly that."""

from __future__ import annotations

import pytest

from hydrusd.errors import ConfigError
from hydrusd.model import JobState
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Service, SimulatorConfig

ADD_TAGS = "/add_tags/add_tags"
REPOSITORY = Service("public", 0, "cc" * 32)


def rules(tags):
    return f"""
client: {{url: '{{url}}', access_key: '{{access_key}}', commit_wait: 100ms}}
rules:
  - name: tag
    on: {{watch_folder: {{path: inbox, settle: 50ms}}}}
    do:
      - add_file:
      - add_tags: {tags}
"""


def added(job):
    """The receipt, whatever the services' keys."""
    receipt = job.steps[1].receipt
    if receipt is None:
        return None
    return [
        sorted(tags)
        for kind in ("added", "pended")
        for services in receipt.get(kind, {}).values()
        for tags in services.values()
    ]


def set_tags(made, name, statuses, service="my tags"):
    """Give a file tags as its user can: status to tags."""
    client = made.simulator._client
    with client.store.writing():
        mine = client.store.touch(made.sha256(name)).statuses(client.services.named(service).key)
        mine.clear()
        mine.update({status: set(tags) for status, tags in statuses.items()})


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_tags_are_cleaned_as_hydrus_does_and_each_given_once(project, api_version):
    written = "{my tags: ['  Big CAT ', 'big cat', 'Artist: Me', '', 'system:x', '-']}"
    made = project({"rules.yaml": rules(written)}, SimulatorConfig(api_version=api_version))
    made.drop("inbox/a.jpg").run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"artist:me", "big cat", "x"}}
    assert added(made.job("inbox/a.jpg")) == [["artist:me", "big cat", "x"]]
    assert made.job("inbox/a.jpg").steps[1].detail == "3 tags added"


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_the_receipt_names_what_was_missing_and_nothing_else(project, api_version):
    config = SimulatorConfig(api_version=api_version)
    made = project({"rules.yaml": rules("{my tags: [one, two]}")}, config).drop("inbox/a.jpg")
    set_tags(made, "inbox/a.jpg", {0: ["one", "other"]})
    made.run().assert_success()
    assert added(made.job("inbox/a.jpg")) == [["two"]]
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"one", "two", "other"}}


def test_where_all_is_there_nothing_is_sent(project):
    made = project({"rules.yaml": rules("{my tags: [one]}")}).drop("inbox/a.jpg")
    set_tags(made, "inbox/a.jpg", {0: ["one"]})
    made.run().assert_success()
    assert made.simulator.requests[ADD_TAGS] == 0
    assert made.job("inbox/a.jpg").steps[1].detail == "the tags are so already"


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_a_tag_that_somebody_removed_stays_removed(project, api_version):
    config = SimulatorConfig(api_version=api_version)
    made = project({"rules.yaml": rules("{my tags: [one, two]}")}, config).drop("inbox/a.jpg")
    set_tags(made, "inbox/a.jpg", {2: ["one"]})
    made.run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"two"}, 2: {"one"}}
    assert added(made.job("inbox/a.jpg")) == [["two"]]


def test_a_removed_tag_comes_back_where_the_rule_says_so(project):
    written = "{my tags: [one, two], readd_deleted: true}"
    made = project({"rules.yaml": rules(written)}).drop("inbox/a.jpg")
    set_tags(made, "inbox/a.jpg", {2: ["one"]})
    made.run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"one", "two"}}
    assert added(made.job("inbox/a.jpg")) == [["one", "two"]]


def test_a_key_that_may_not_look_tags_all_the_same_and_claims_nothing(project):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 2}))}
    config = SimulatorConfig(access_keys=keys)
    made = project({"rules.yaml": rules("{my tags: [one, two]}")}, config).drop("inbox/a.jpg")
    set_tags(made, "inbox/a.jpg", {0: ["one"], 2: ["two"]})
    made.run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"one"}, 2: {"two"}}
    assert added(made.job("inbox/a.jpg")) is None


def test_in_a_repository_tags_are_left_pending_and_not_given_twice(project):
    config = SimulatorConfig(extra_services=(REPOSITORY,))
    made = project({"rules.yaml": rules("{public: one, my tags: mine}")}, config)
    made.drop("inbox/a.jpg").run().assert_success()
    sha256 = made.sha256("inbox/a.jpg")
    assert made.simulator.tags(sha256, "public") == {1: {"one"}}
    assert made.simulator.tags(sha256) == {0: {"mine"}}
    before = made.simulator.requests[ADD_TAGS]
    content = (made.folder / "inbox/a.jpg").read_bytes()
    made.drop("inbox/b.jpg", content).run().assert_success()
    assert made.simulator.requests[ADD_TAGS] == before


def test_files_that_get_the_same_tags_share_a_request(project):
    made = project({"rules.yaml": rules("{my tags: ['{{ file.suffix[1:] }}', both]}")})
    for number in range(6):
        made.drop(f"inbox/{number}.jpg").drop(f"inbox/{number}.png")
    made.run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/3.png")) == {0: {"png", "both"}}
    # Two groups, should all have been noticed at once; never one request a file.
    assert 2 <= made.simulator.requests[ADD_TAGS] <= 6


def test_a_service_may_be_named_by_its_key(project):
    config = SimulatorConfig(extra_services=(REPOSITORY,))
    made = project({"rules.yaml": rules(f"{{{'CC' * 32}: one}}")}, config)
    made.drop("inbox/a.jpg").run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg"), "public") == {1: {"one"}}


def test_a_service_given_by_name_and_by_key_is_one(project):
    config = SimulatorConfig(extra_services=(REPOSITORY,))
    made = project({"rules.yaml": rules(f"{{{'cc' * 32}: one, public: [one, two]}}")}, config)
    made.drop("inbox/a.jpg").run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg"), "public") == {1: {"one", "two"}}
    assert added(made.job("inbox/a.jpg")) == [["one", "two"]]


def test_a_service_that_takes_no_tags_is_refused(project):
    made = project({"rules.yaml": rules("{all known tags: one}")})
    with pytest.raises(ConfigError, match="tags cannot be written to it"):
        made.run()


def test_a_rule_that_names_no_service_is_refused(project):
    made = project({"rules.yaml": rules("{readd_deleted: true}")})
    with pytest.raises(ConfigError, match="name a tag service"):
        made.run()


def test_tags_are_a_text_or_a_list_of_texts(project):
    made = project({"rules.yaml": rules("{my tags: {a: b}}")})
    with pytest.raises(ConfigError, match="my tags"):
        made.run()


def test_without_a_file_there_is_nothing_to_tag(project):
    made = project({"rules.yaml": rules("{my tags: x}").replace("      - add_file:\n", "")})
    made.drop("inbox/a.jpg").run()
    assert "put add_file or add_url before it" in made.dead_letters[0].detail


def test_a_tag_from_a_file_name_is_text_and_no_template(project):
    made = project({"rules.yaml": rules("{my tags: '{{ file.stem }}'}")})
    made.drop("inbox/{{ 6 * 7 }}.jpg").run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/{{ 6 * 7 }}.jpg")) == {0: {"{{ 6 * 7 }}"}}


def test_a_template_that_gives_nothing_gives_no_tag(project):
    made = project({"rules.yaml": rules("{my tags: '{{ \"\" }}'}")})
    made.drop("inbox/a.jpg").run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {}
    assert made.job("inbox/a.jpg").state is JobState.DONE
