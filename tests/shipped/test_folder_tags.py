"""The shipped plugin that tags with the names of folders."""

from __future__ import annotations

from hydrusd.model import JobState

RULES = """
rules:
  - name: albums
    on:
      watch_folder: {path: inbox, settle: 50ms}
    do:
      - add_file:
      - add_folder_tags: {service: my tags}
"""


def test_each_folder_below_the_watched_one_becomes_a_tag(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/2024/Iceland/a.jpg").drop("inbox/b.png").run().assert_success()
    tags = made.simulator.committed_tags
    assert tags(made.sha256("inbox/2024/Iceland/a.jpg")) == {0: {"folder:2024", "folder:iceland"}}
    assert tags(made.sha256("inbox/b.png")) == {}
    assert made.job("inbox/b.png").steps[1].detail == "it lies in the watched folder itself"


def test_the_namespace_and_the_service_can_be_chosen(project):
    rules = RULES.replace("{service: my tags}", "{service: downloader tags, namespace: album}")
    made = project({"rules.yaml": rules})
    made.drop("inbox/Cats/a.webp").run().assert_success()
    hashed = made.sha256("inbox/Cats/a.webp")
    assert made.simulator.tags(hashed, "downloader tags") == {0: {"album:cats"}}
    assert made.simulator.tags(hashed) == {}


def test_a_folder_with_an_odd_name_stays_one_tag_and_is_no_template(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/{{ 7 * 6 }}/system:-x, y/a.gif").run().assert_success()
    hashed = made.sha256("inbox/{{ 7 * 6 }}/system:-x, y/a.gif")
    assert made.simulator.tags(hashed) == {0: {"folder:{{ 7 * 6 }}", "folder:x, y"}}


def test_without_an_import_before_it_there_is_nothing_to_tag(project):
    made = project({"rules.yaml": RULES.replace("      - add_file:\n", "")})
    made.drop("inbox/Cats/a.jpg").run()
    [letter] = made.dead_letters
    assert "put add_file before add_folder_tags" in letter.detail
    assert (made.folder / "inbox/Cats/a.jpg").exists()


def test_a_service_that_the_client_does_not_have_makes_a_dead_letter_that_names_it(project):
    made = project({"rules.yaml": RULES.replace("my tags", "my tagz")})
    made.drop("inbox/Cats/a.jpg").run()
    assert made.job("inbox/Cats/a.jpg").state is JobState.DEAD
    assert "'my tagz'" in made.dead_letters[0].detail
    assert "did you mean 'my tags'" in made.dead_letters[0].detail
