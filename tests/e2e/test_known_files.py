"""Files that the ledger vouches for as a group, and what makes it ask about them again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hydrusd.daemon import LEDGER_FILE
from hydrusd.model import JobState

RULES = """
rules:
  - name: tell
    on: {watch_folder: {path: inbox, settle: 100ms, scan_every: 1s, method: poll}}
    if: file.size > 1 * MB
    do: [{log: {message: "{{ file.name }}"}}]
"""
MOVING = """
rules:
  - name: move
    on: {watch_folder: {path: inbox, settle: 100ms, scan_every: 1s, method: poll}}
    do: [{wait: {for: 2s}}, {move_source: {to: away}}]
"""


def vouched(project):
    """The digests that stand in the ledger, by which it knows a group again."""
    path = project.state_dir / LEDGER_FILE
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT digest FROM known_files")}


def vouched_again(project):
    """Wait for a digest that does not change any more: a mark would, at each scan."""
    seen = []

    def stays(made):
        seen.append(vouched(made))
        return len(seen) > 100 and bool(seen[-1]) and all(each == seen[-1] for each in seen[-100:])

    project.run(until=stays)
    return seen[-1]


def test_files_that_a_rule_passed_over_are_judged_again_when_it_is_rewritten(project):
    made = project({"rules.yaml": RULES})
    for name in ("inbox/a.png", "inbox/b.png", "inbox/below/c.png"):
        made.drop(name)
    made.run()
    assert (made.jobs, len(made.passed_over)) == ([], 3)
    known = vouched_again(made)
    assert len(known) == 2
    made.run(until=lambda _: True)
    assert vouched(made) == known
    made.write({"rules.yaml": RULES.replace("> 1 *", "< 1 *")}).run(jobs=3)
    assert {job.state for job in made.jobs} == {JobState.DONE}


def test_the_very_file_that_was_moved_away_and_comes_back_is_noticed_again(project):
    made = project({"rules.yaml": MOVING})
    made.drop("inbox/a.png").drop("inbox/b.png")
    inbox, away = made.folder / "inbox", made.folder / "away"
    before = [(inbox / name).stat() for name in ("a.png", "b.png")]

    while_waiting = []

    def moved(_):
        while_waiting.append(vouched(made))
        return len(made.jobs) == 2 and all(job.state is JobState.DONE for job in made.jobs)

    made.run(until=moved)
    assert any(while_waiting)
    (away / "a.png").rename(inbox / "a.png")
    (away / "b.png").rename(inbox / "b.png")
    after = [(inbox / name).stat() for name in ("a.png", "b.png")]
    assert [(s.st_ino, s.st_mtime_ns) for s in after] == [(s.st_ino, s.st_mtime_ns) for s in before]
    made.run(until=lambda _: len(made.jobs) == 4 and not any(inbox.iterdir()))
    assert sorted(path.name for path in away.iterdir()) == ["a.png", "b.png"]
