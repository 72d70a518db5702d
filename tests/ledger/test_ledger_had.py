"""What was noticed at a path before, and plain keys that are free again with another form's."""

from __future__ import annotations

from pathlib import Path

from ledgering import NOW, claim, ended, later, match, noticed

from hydrusd.ledger import FOR_GOOD, NotMatched, Retention
from hydrusd.plugin import FileSource

FOLDER = Path("/data/inbox")
HASH = "ab" * 32


def source(name, *, size=1, mtime_ns=7):
    return FileSource(FOLDER / name, FOLDER, size, mtime_ns, 42)


def take(ledger, file, *verdicts, key=None, **data):
    told = {"file": file.to_data(), **data}
    ledger.take_in("folder", [noticed(key or file.key, *verdicts, data=told)], NOW)


def had(ledger, *names, stems=()):
    paths = [str(FOLDER / name) for name in names]
    found = ledger.files_had("folder", paths, [str(FOLDER / stem) for stem in stems])
    return {Path(one.file["path"]).name: one for one in found}


def import_all(ledger, sha256=HASH):
    jobs = claim(ledger)
    ledger.checkpoint("me", [ended(job, file_hash=sha256) for job in jobs], [], NOW)


def test_a_file_is_found_with_its_rules_and_its_hash(ledger):
    take(ledger, source("a.jpg"), match("import"), match("copy"))
    assert had(ledger, "a.jpg")["a.jpg"].under_way
    import_all(ledger)
    one = had(ledger, "a.jpg", "b.jpg")["a.jpg"]
    assert (one.rules, one.sha256, one.under_way) == ({"import", "copy"}, HASH, False)
    assert FileSource.from_data({"file": one.file}) == source("a.jpg")


def test_a_stem_stands_for_any_suffix_and_for_nothing_else(ledger):
    for name in ("a.jpg", "a.tar.gz", "a", "ab.jpg", "a.b/c.jpg", "a b.jpg", "ä.jpg", "ä.png"):
        take(ledger, source(name))
    assert set(had(ledger, stems=["a"])) == {"a.jpg"}
    assert set(had(ledger, stems=["a.tar"])) == {"a.tar.gz"}
    assert set(had(ledger, stems=["ä"])) == {"ä.jpg", "ä.png"}
    assert set(had(ledger, "a", stems=["ab"])) == {"a", "ab.jpg"}


def test_of_what_was_at_a_path_only_the_last_counts(ledger):
    take(ledger, source("a.jpg"), match("old"))
    import_all(ledger)
    take(ledger, source("a.jpg", size=2), match("new"))
    one = had(ledger, "a.jpg")["a.jpg"]
    assert (one.rules, one.sha256, one.file["size"]) == ({"new"}, None, 2)


def test_all_events_about_the_same_file_count_together(ledger):
    file = source("a.jpg")
    take(ledger, file, match("import"), key=file.key_as("with sidecars"))
    import_all(ledger)
    take(ledger, file, NotMatched("import", FOR_GOOD, "taken in another form"))
    take(ledger, file, NotMatched("log", "r1", "not so"), key=file.key_as("another"))
    one = had(ledger, "a.jpg")["a.jpg"]
    assert (one.rules, one.sha256) == ({"import"}, HASH)


def test_with_a_form_the_plain_key_is_free_again(ledger):
    file, other = source("a|as b.jpg"), source("b.jpg")
    for each in (file, other):
        take(ledger, each, NotMatched("import", FOR_GOOD, "taken in another form"))
    take(ledger, file, match("import"), key=file.key_as("with a | in it"))
    assert ledger.unseen("folder", [file.key, other.key], {"import": "r1"}) == set()
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job, frees_event=True)], [], NOW)
    assert ledger.unseen("folder", [file.key, other.key], {"import": "r1"}) == {file.key}


def test_of_what_was_pruned_the_file_and_its_rules_are_known_and_no_hash(ledger):
    file = source("a.jpg")
    take(ledger, file, match("import"), key=file.key_as("with | sidecars"), hash=HASH)
    take(ledger, file, NotMatched("import", FOR_GOOD, "taken in another form"))
    import_all(ledger)
    take(ledger, source("b.jpg"), match("import"))  # the newest job is never pruned
    assert had(ledger, stems=["a"])["a.jpg"].sha256 == HASH
    pruned = ledger.prune_events(Retention(later(60), None), later(100), after=None)
    assert pruned.jobs == 1
    one = had(ledger, stems=["a"])["a.jpg"]
    assert (one.rules, one.sha256, one.under_way) == ({"import"}, None, False)
    known = FileSource.from_data({"file": one.file})
    assert (known.path, known.key) == (file.path, file.key)
