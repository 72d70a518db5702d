"""Files with sidecars, from the folder to the client and out of the folder again."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter

import pytest
from stage import DaemonProcess, digest, paint, wait_until

from hydrusd.model import JobState
from hydrusd.simulator import Simulator, SimulatorConfig
from hydrusd.testing import Project

CURRENT = 0
RULES = """\
rules:
  - name: import
    on:
      watch_folder:
        path: inbox
        settle: 50ms
        sidecars: [txt, urls, notes, json]
        sidecar_wait: 100ms
        folder_sidecars: [tags.txt]
    do:
      - add_file:
      - apply_sidecar:
      - log: {message: "imported {{ file.name }}"}
      - move_source: {to: done}
"""
GALLERY_DL = {
    "category": "danbooru",
    "date": "2024-03-01 12:30:00",
    "extension": "png",
    "post_url": "https://danbooru.example/posts/1",
    "file_url": "https://cdn.danbooru.example/1.png",
    "tag_string_artist": "somebody",
    "tag_string_character": "alice bob",
    "tag_string_general": "blue_sky 1girl",
    "tags": ["1girl", "alice", "blue_sky", "bob", "somebody"],
    "description": "Drawn in an afternoon.",
}


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path / "project", {"rules.yaml": RULES})
    yield project
    project.close()


def lying(project, folder):
    return sorted(p.name for p in (project.folder / folder).rglob("*") if p.is_file())


def tags(project, name):
    return project.simulator.tags(project.sha256(name)).get(CURRENT, set())


def metadata(project, name):
    answer = project.ask(
        "/get_files/file_metadata",
        hashes=json.dumps([project.sha256(name)]),
        include_notes="true",
    )
    return answer["metadata"][0]


def reasons(project):
    return {
        passed.data["file"]["name"]: passed.reason
        for passed in project.passed_over
        if "sidecar" in passed.reason and "together" not in passed.reason
    }


def test_all_that_sidecars_say_is_applied_and_all_go_with_the_file(project):
    project.drop("inbox/a.png")
    project.drop("inbox/a.png.txt", b"flowers\r\nblue sky\n\n", noticed=False)
    project.drop("inbox/a.urls.txt", b"https://example.com/a\n", noticed=False)
    project.drop("inbox/a.png.notes.txt", b"artist: says: hello\n", noticed=False)
    project.drop("inbox/a.json", json.dumps(GALLERY_DL).encode(), noticed=False)
    project.drop("inbox/tags.txt", b"inbox tag\n", noticed=False)
    project.run(jobs=1).assert_success()
    assert tags(project, "inbox/a.png") == {
        "flowers", "blue sky", "inbox tag",
        "creator:somebody", "character:alice", "character:bob", "blue_sky", "1girl",
    }  # fmt: skip
    told = metadata(project, "inbox/a.png")
    assert set(told["known_urls"]) == {
        "https://example.com/a",
        GALLERY_DL["post_url"],
        GALLERY_DL["file_url"],
    }
    assert told["notes"] == {"artist": "says: hello", "description": GALLERY_DL["description"]}
    assert told["time_modified_details"]["danbooru.example"] == 1709296200
    assert lying(project, "inbox") == ["tags.txt"]
    assert lying(project, "done") == [
        "a.json", "a.png", "a.png.notes.txt", "a.png.txt", "a.urls.txt",
    ]  # fmt: skip
    assert len(project.jobs) == 1
    assert reasons(project)["a.png.txt"] == "it is a sidecar, and goes with a.png"
    # Nothing of it is noticed again.
    project.run(jobs=1)
    assert len(project.jobs) == 1


def test_one_that_comes_late_is_applied_to_the_file_that_is_gone(project):
    project.drop("inbox/a.png").run(jobs=1).assert_success()
    assert lying(project, "done") == ["a.png"]
    project.drop("inbox/a.png.txt", b"late\n", noticed=False)
    project.run(jobs=2).assert_success()
    assert tags(project, "inbox/a.png") == {"late"}
    assert lying(project, "inbox") == []
    assert lying(project, "done") == ["a.png", "a.png.txt"]
    assert project.simulator.imports() == {project.sha256("inbox/a.png"): 1}
    steps = {step.action: step.detail for step in project.jobs[1].steps}
    assert steps["add_file"] == "already in Hydrus"
    assert steps["log"] == "was done for the file; this is about its sidecar"
    # It may come again, with other words, and by the other name.
    project.drop("inbox/a.txt", b"later still\n", noticed=False)
    project.run(jobs=3).assert_success()
    assert tags(project, "inbox/a.png") == {"late", "later still"}
    assert lying(project, "inbox") == []


def test_one_that_changes_is_applied_again_without_importing_again(project):
    rules = RULES.replace("      - move_source: {to: done}\n", "")
    project.write({"rules.yaml": rules})
    project.drop("inbox/a.png").drop("inbox/a.png.txt", b"one\n", noticed=False)
    project.run(jobs=1).assert_success()
    project.drop("inbox/a.png.txt", b"one\ntwo\n", noticed=False)
    project.run(jobs=2).assert_success()
    assert tags(project, "inbox/a.png") == {"one", "two"}
    assert project.simulator.imports() == {project.sha256("inbox/a.png"): 1}
    assert lying(project, "inbox") == ["a.png", "a.png.txt"]
    project.run(jobs=2)
    assert len(project.jobs) == 2


def test_a_malformed_one_becomes_a_dead_letter_and_its_file_does_not(project):
    project.drop("inbox/a.png").drop("inbox/a.png.json", b'{"tags": [', noticed=False)
    project.drop("inbox/a.txt", b"good\n", noticed=False)
    project.run(jobs=2)
    assert Counter(job.state for job in project.jobs) == {JobState.DONE: 1, JobState.DEAD: 1}
    assert tags(project, "inbox/a.png") == {"good"}
    [dead] = project.dead_letters
    assert dead.detail.startswith(
        "the sidecar a.png.json cannot be used: line 1, column 11: it is not JSON"
    )
    assert lying(project, "inbox") == ["a.png.json"]
    assert lying(project, "done") == ["a.png", "a.txt"]
    # Put right, it is another one, and counts.
    project.drop("inbox/a.png.json", b'{"tags": ["right"]}', noticed=False)
    project.run(jobs=3)
    assert tags(project, "inbox/a.png") == {"good", "right"}
    assert lying(project, "inbox") == []


def test_one_that_two_files_share_goes_with_the_last_of_them(project):
    project.drop("inbox/a.png").drop("inbox/a.jpg")
    project.drop("inbox/a.txt", b"shared\n", noticed=False)
    project.run(jobs=2).assert_success()
    assert tags(project, "inbox/a.png") == tags(project, "inbox/a.jpg") == {"shared"}
    assert lying(project, "inbox") == []
    assert lying(project, "done") == ["a.jpg", "a.png", "a.txt"]


def test_rules_without_sidecars_have_events_of_their_own(project):
    plain = """
  - name: plain
    on:
      watch_folder: {path: inbox, settle: 50ms, include: ["*.png"]}
    do:
      - log: {message: "{{ file.name }}"}
"""
    project.write({"rules.yaml": RULES + plain})
    project.drop("inbox/a.png").drop("inbox/a.png.txt", b"mine\n", noticed=False)
    project.run(jobs=2).assert_success()
    assert tags(project, "inbox/a.png") == {"mine"}
    told = {job.rule: job.data for job in project.jobs}
    assert told["import"]["sidecar"]["tags"] == ["mine"]
    assert "sidecar" not in told["plain"]
    # The same file again, down to its inode and time, is news to both: its events are free.
    moved = project.folder / "done" / "a.png"
    shutil.move(moved, project.folder / "inbox" / "a.png")
    project.run(jobs=4).assert_success()
    assert Counter(job.rule for job in project.jobs) == {"import": 2, "plain": 2}


def test_templates_and_conditions_see_what_sidecars_say(project):
    project.write(
        {
            "rules.yaml": """\
rules:
  - name: import
    on:
      watch_folder: {path: inbox, settle: 50ms, sidecars: [txt, json], sidecar_wait: 100ms}
    if: sidecar.found and 'no' not in sidecar.tags
    do:
      - add_file:
      - add_tags:
          my tags: ["{{ sidecar.tags }}", "id:{{ sidecar.raw.json.id }}"]
"""
        }
    )
    hostile = {"id": 7, "tags": ["{{ 1 + 1 }}", "good"]}
    project.drop("inbox/a.png").drop(
        "inbox/a.png.json", json.dumps(hostile).encode(), noticed=False
    )
    project.drop("inbox/b.png").drop("inbox/b.png.txt", b"no\n", noticed=False)
    project.drop("inbox/c.png")
    project.run(jobs=1).assert_success()
    assert tags(project, "inbox/a.png") == {"{{ 1 + 1 }}", "good", "id:7"}
    assert len(project.jobs) == 1
    # What was not wanted without a sidecar is, in full, when it has one.
    project.drop("inbox/c.png.json", b'{"id": 8, "tags": ["c"]}', noticed=False)
    project.run(jobs=2).assert_success()
    assert tags(project, "inbox/c.png") == {"c", "id:8"}


def test_what_write_sidecar_writes_is_read_back_as_it_was(project, tmp_path):
    rules = """\
rules:
  - name: import
    on:
      watch_folder: {path: inbox, settle: 50ms, sidecars: [txt, json], sidecar_wait: 100ms}
    do:
      - add_file:
      - apply_sidecar: {keep_services: true}
      - set_rating: {service: favourites, rating: like}
      - write_sidecar: {to: written, name: "{{ file.name }}", format: json}
"""
    project.write({"rules.yaml": rules})
    project.drop("inbox/a.png")
    project.drop("inbox/a.png.json", json.dumps(GALLERY_DL).encode(), noticed=False)
    project.run(jobs=1).assert_success()
    before = metadata(project, "inbox/a.png")
    unrated = "".join(line for line in rules.splitlines(True) if "set_rating" not in line)
    other = Project(tmp_path / "other", {"rules.yaml": unrated})
    try:
        other.drop("inbox/a.png", (project.folder / "inbox/a.png").read_bytes())
        written = (project.folder / "written" / "a.png.json").read_bytes()
        other.drop("inbox/a.png.json", written, noticed=False)
        other.run(jobs=1).assert_success()
        after = metadata(other, "inbox/a.png")
    finally:
        other.close()
    assert set(after["known_urls"]) == set(before["known_urls"])
    for kept in ("tags", "notes", "ratings"):
        assert after[kept] == before[kept], kept
    domain = "danbooru.example"
    assert after["time_modified_details"][domain] == before["time_modified_details"][domain]


# --- killed in the middle --------------------------------------------------------------------

KILLED = """\
  - name: import all
    on:
      watch_folder: {{path: inbox, settle: {settle}, sidecars: [txt], sidecar_wait: 500ms}}
    do:
      - add_file:
      - run_command: {{command: [PYTHON, stop.py], if_interrupted: repeat}}
      - apply_sidecar:
      - move_source: {{to: done}}
allow: [run_command]
"""
STOP = """\
import pathlib, time
end = time.monotonic() + 100
while not pathlib.Path("go").exists() and time.monotonic() < end:
    time.sleep(0.05)
"""


def test_killed_between_the_import_and_its_sidecar(place, tmp_path):
    config = SimulatorConfig(import_seconds=0.01, commit_seconds=1000)
    (place.folder / "stop.py").write_text(STOP, encoding="utf-8")
    with Simulator(config) as client, client.serve() as url:
        rules = KILLED.replace("PYTHON", json.dumps(sys.executable))
        place.write_rules(url, rules=rules, settle="100ms")
        [(relative, picture)] = paint(tmp_path / "pictures", 1).items()
        place.drop(relative, picture)
        (place.inbox / f"{relative}.txt").write_text("from a sidecar\n", encoding="utf-8")
        for _ in range(2):
            daemon = DaemonProcess(place)
            daemon.start()
            wait_until(client.imports, "imported")
            daemon.kill()
        (place.folder / "go").touch()
        daemon = DaemonProcess(place)
        daemon.start()
        wait_until(lambda: place.ended(1), "all done")
        daemon.close()
        [job] = place.jobs()
        assert job.state == JobState.DONE, job
        assert client.imports() == {digest(picture): 1}
        assert client.committed_tags(digest(picture)) == {CURRENT: {"from a sidecar"}}
    assert place.waiting() == set()


def test_what_a_killed_daemon_has_sent_is_no_duplicate(place, tmp_path):
    """The answer dies with the daemon; that the file is there must not look like a duplicate."""
    rules = """\
  - name: import all
    on:
      watch_folder: {{path: inbox, settle: {settle}}}
    do:
      - add_file: {{duplicates: keep}}
      - add_tags: {{my tags: mine}}
      - move_source: {{to: done}}
"""
    with Simulator(SimulatorConfig(import_seconds=0.1)) as client, client.serve() as url:
        place.write_rules(url, rules=rules, settle="100ms")
        pictures = paint(tmp_path / "pictures", 3)
        for relative, picture in pictures.items():
            place.drop(relative, picture)
        place.drop("again.png", next(iter(pictures.values())))
        daemon = DaemonProcess(place)
        daemon.start()
        wait_until(client.imports, "imported", pause=0.001)
        daemon.kill()
        daemon = DaemonProcess(place)
        daemon.start()
        wait_until(lambda: place.ended(4), "all done")
        daemon.close()
        # Of two with the same content, one was sent, and the other is a duplicate of it.
        states = Counter(job.state for job in place.jobs())
        assert states == {JobState.DONE: 3, JobState.SKIPPED: 1}
        for picture in pictures.values():
            assert client.tags(digest(picture)) == {CURRENT: {"mine"}}
    assert len(place.waiting()) == 1
