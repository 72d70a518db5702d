"""Importing: what is sent, what is recognised, and what becomes of what the client refuses."""

from __future__ import annotations

import math
import os

import pytest

from hydrusd.model import JobState
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind, Permissions, SimulatorConfig
from hydrusd.testing import paint

RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file:
      - add_tags: {my tags: new}
      - move_source: {to: moved}
"""
ADD_FILE = "/add_files/add_file"
SEARCH = "/get_files/search_files"


def step(job, action="add_file"):
    return next(record for record in job.steps if record.action == action)


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_files_of_all_kinds_are_imported(project, api_version):
    made = project({"rules.yaml": RULES}, SimulatorConfig(api_version=api_version))
    names = [f"inbox/a.{suffix}" for suffix in ("jpg", "png", "gif", "webp")]
    for name in names:
        made.drop(name)
    made.run().assert_success()
    assert made.simulator.files.keys() == {made.sha256(name) for name in names}
    for name in names:
        assert step(made.job(name)).values == {"hash": made.sha256(name), "status": "imported"}
        assert step(made.job(name)).receipt == {"imported": made.sha256(name)}
        assert made.simulator.tags(made.sha256(name)) == {0: {"new"}}
        assert (made.folder / "moved" / name.removeprefix("inbox/")).exists()


def test_a_file_that_is_there_already_gets_its_tags_and_is_disposed_of_but_is_not_ours(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/a.jpg").run()
    content = (made.folder / "moved/a.jpg").read_bytes()
    made.drop("inbox/again.jpg", content).run().assert_success()
    job = made.job("inbox/again.jpg")
    assert step(job).values["status"] == "already in Hydrus"
    assert step(job).receipt == {"imported": None}
    assert step(job, "add_tags").receipt == {}
    assert made.simulator.requests[ADD_FILE] == 1
    assert (made.folder / "moved/again.jpg").exists()


def test_a_file_that_was_deleted_in_hydrus_stays_deleted_and_its_source_untouched(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/a.jpg").run()
    store = made.simulator._client.store
    store.destroy_file(made.sha256("inbox/a.jpg"), "not wanted")
    content = (made.folder / "moved/a.jpg").read_bytes()
    made.drop("inbox/again.jpg", content).run()
    job = made.job("inbox/again.jpg")
    assert job.state is JobState.SKIPPED
    assert "deleted in Hydrus before" in step(job).detail
    assert "not wanted" in step(job).detail
    assert (made.folder / "inbox/again.jpg").read_bytes() == content
    assert made.simulator.files[made.sha256("inbox/a.jpg")].status == "deleted"


def test_a_file_in_the_trash_of_hydrus_is_not_brought_back_either(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/a.jpg").run()
    sha256 = made.sha256("inbox/a.jpg")
    domains = set(made.simulator._client.store.entries[sha256].file.domains)
    made.simulator._client.store.remove_file(sha256, domains, "by mistake?")
    content = (made.folder / "moved/a.jpg").read_bytes()
    made.drop("inbox/again.jpg", content).run()
    assert made.job("inbox/again.jpg").state is JobState.SKIPPED
    assert made.simulator.files[sha256].status == "trashed"
    assert (made.folder / "inbox/again.jpg").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("text.jpg", b"no picture at all", "Unknown filetype"),
        ("damaged.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, ""),
    ],
)
@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_what_hydrus_cannot_import_is_a_dead_letter_in_its_words(
    project, name, content, told, api_version
):
    made = project({"rules.yaml": RULES}, SimulatorConfig(api_version=api_version))
    made.drop(f"inbox/{name}", content).drop("inbox/good.jpg").run()
    [letter] = made.dead_letters
    assert letter.detail.startswith("Hydrus cannot import it: ")
    assert told in letter.detail
    assert "Traceback" not in letter.detail
    assert (made.folder / "inbox" / name).read_bytes() == content
    assert made.job("inbox/good.jpg").state is JobState.DONE


def test_what_the_import_options_refuse_is_a_dead_letter_in_their_words(project):
    veto = SimulatorConfig(veto=lambda sha256, size, mime: "we do not like gifs" * ("gif" in mime))
    made = project({"rules.yaml": RULES}, veto)
    made.drop("inbox/a.gif").drop("inbox/a.jpg").run()
    [letter] = made.dead_letters
    assert letter.detail == "Hydrus' import options refuse it: we do not like gifs"
    assert (made.folder / "inbox/a.gif").exists()
    assert made.job("inbox/a.jpg").state is JobState.DONE


def test_a_key_that_may_not_search_finds_out_by_sending(project):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 2}))}
    made = project({"rules.yaml": RULES}, SimulatorConfig(access_keys=keys))
    made.drop("inbox/a.jpg").run().assert_success()
    content = (made.folder / "moved/a.jpg").read_bytes()
    made.drop("inbox/b.jpg", content).run().assert_success()
    assert made.simulator.requests[SEARCH] == 0
    assert step(made.job("inbox/b.jpg")).values["status"] == "already in Hydrus"
    assert step(made.job("inbox/b.jpg")).receipt == {"imported": None}


def test_without_looking_up_all_that_a_restart_may_have_lost_is_done_again(project):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 2, 6}))}
    config = SimulatorConfig(access_keys=keys, commit_seconds=math.inf)
    made = project({"rules.yaml": RULES}, config)
    made.simulator.inject(
        Fault(kind=FaultKind.STATUS, path="/manage_database/force_commit", times=1000)
    )
    made.drop("inbox/a.jpg")
    made.run(until=lambda p: any(job.state is JobState.SETTLING for job in p.jobs))
    assert made.simulator.committed_files() == set()
    made.simulator.crash()
    made.simulator.clear_faults()
    made.run().assert_success()
    assert made.simulator.committed_files() == {made.sha256("inbox/a.jpg")}
    assert made.simulator.committed_tags(made.sha256("inbox/a.jpg")) == {0: {"new"}}
    assert step(made.job("inbox/a.jpg")).receipt == {"imported": made.sha256("inbox/a.jpg")}


def test_a_file_larger_than_one_piece_arrives_whole(project):
    made = project({"rules.yaml": RULES})
    content = paint("a.gif") + os.urandom(3_000_000)
    made.drop("inbox/a.gif", content).run().assert_success()
    assert made.simulator.files[made.sha256("inbox/a.gif")].size == len(content)


def test_an_event_that_is_no_file_cannot_be_imported(project):
    source = '''
import anyio
from hydrusd.plugin import Event, Trigger, hookimpl

class Bell(Trigger):
    """Rings once."""

    trigger = "bell"

    async def run(self, context):
        await context.emit([Event("ring", {"bell": "rang"})])
        await anyio.sleep_forever()

@hookimpl
def hydrusd_register_triggers(register):
    register(Bell)
'''
    rules = "rules:\n  - {name: bell, on: bell, do: [add_file]}\n"
    made = project({"rules.yaml": rules, "plugins/bell.py": source}).run(jobs=1)
    assert "not a file" in made.dead_letters[0].detail
