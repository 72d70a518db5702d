"""``backups``: how often the ledger is copied, and how many copies are kept."""

from __future__ import annotations

import pytest
from rules_vocabulary import HEAD

from hydrusd.rules import BackupsSpec

RULE = "rules: []\n"


@pytest.mark.parametrize(
    ("text", "every_hours", "keep"),
    [
        ("", 24, 3),
        ("backups:\n", 24, 3),
        ("backups: {every: 6h}\n", 6, 3),
        ("backups: {every: 7d, keep: 10}\n", 168, 10),
        ("backups: {keep: 0}\n", 24, 0),
    ],
)
def test_what_is_said_of_them(read, text, every_hours, keep):
    assert read(HEAD + text + RULE).backups == BackupsSpec(every_hours * 3600.0, keep)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("backups: daily\n", "backups: daily", "'backups' must be a mapping"),
        ("backups: {every: 1m}\n", "every: 1m", "1h"),
        ("backups: {keep: -1}\n", "keep: -1", "0"),
        ("backups: {kep: 1}\n", "kep", "kep"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(problems, text, line, words):
    [problem] = problems(HEAD + text + RULE)
    assert line in problem.excerpt
    assert words in f"{problem.message} {problem.hint}"
