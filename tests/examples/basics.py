"""Examples of watched folders, and of what fires rules from within hydrusd."""

from __future__ import annotations

from exampling import Example

from hydrusd.cli._fire import fire_rule
from hydrusd.testing import Promise

CURRENT = 0


def fired_by_command(project):
    file_hash = project.seed("there.png")
    fire_rule(
        "label",
        [f"hash={file_hash}", "label=cats"],
        rules_file=project.folder / "rules.yaml",
        state_dir=project.state_dir,
    )


def label_was_added(project):
    [file] = project.simulator.files
    assert project.simulator.tags(file)[CURRENT] == {"cats"}


def two_dropped_one_broken(project):
    project.drop("Pictures/inbox/good.png")
    project.drop("Pictures/inbox/broken.png", b"this is no picture")


def told_of_the_broken_one(project):
    [popup] = project.ask("/manage_popups/get_popups")["job_statuses"]
    assert "broken.png: " in str(popup)


def fired_for_each_file(project):
    file_hash = project.sha256("Pictures/inbox/a.png")
    assert project.simulator.tags(file_hash)[CURRENT] == {"from inbox"}


def photos(project):
    for name in ("a.jpg", "2026/trip/b.png", "other/c.png", "private/d.jpg"):
        project.drop(f"Pictures/photos/{name}", noticed=False)


def the_photos_were_imported(project):
    wanted = {project.sha256(f"Pictures/photos/{name}") for name in ("a.jpg", "2026/trip/b.png")}
    assert set(project.simulator.files) == wanted


def told_that_it_runs(project):
    [popup] = project.ask("/manage_popups/get_popups")["job_statuses"]
    assert "hydrusd has started" in str(popup)


EXAMPLES = {
    "watch_folder": Example("rules.md", the_photos_were_imported, photos, run={"jobs": 2}),
    "startup": Example(
        "triggers.md",
        told_that_it_runs,
        waived={Promise.AGAIN: "each start is an event of its own, one after a crash, too"},
    ),
    "manual": Example("triggers.md", label_was_added, fired_by_command),
    "rule_finished": Example(
        "triggers.md",
        told_of_the_broken_one,
        two_dropped_one_broken,
        run={"jobs": 3},
        states=frozenset({"done", "dead"}),
    ),
    "fire": Example(
        "local-actions.md",
        fired_for_each_file,
        lambda project: project.drop("Pictures/inbox/a.png"),
        run={"jobs": 2},
    ),
}
