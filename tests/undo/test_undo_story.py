"""Taking back what a run did: just that, as a run of its own, which can be taken back in turn."""

from __future__ import annotations

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
      - add_tags: {my tags: ["from:inbox", "new"]}
      - move_source: {to: done}
"""
FILES = 100
KNOWN = 30


def test_just_what_a_run_has_changed_vanishes_and_comes_back(undoing):
    it = undoing(RULES)
    names = [f"inbox/{number}.png" for number in range(FILES)]
    for name in names[:KNOWN]:
        it.tag(it.made.seed(name), add=["from:inbox", "mine"])
    before = it.library()
    assert len(before) == KNOWN
    for name in names:
        it.made.drop(name)
    dropped = it.remains()
    it.run(jobs=FILES)
    after, moved = it.library(), it.remains()
    assert len(after) == FILES
    assert {name.split("/")[0] for name in moved} == {"done"}
    first = it.newest_run()

    told = it.undo("run", first)
    assert f"{FILES} done" in told
    assert it.library() == before
    assert it.remains() == dropped

    # The daemon finds the files again and leaves them: they were put back.
    it.made.run(until=lambda made: len(made.passed_over) == FILES)
    assert it.library() == before
    assert it.remains() == dropped

    it.undo("run", it.newest_run())
    assert it.library() == after
    assert it.remains() == moved
