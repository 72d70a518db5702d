"""How long what was done is kept, and what a rule may do."""

from __future__ import annotations

import pytest

from hydrusd.errors import ConfigError
from hydrusd.rules import HistorySpec, LimitsSpec, Vocabulary, parse

DAY = 86_400.0
NOTHING = Vocabulary({}, {}, lambda _: None, lambda _: None)


def history(text):
    key = "0" * 64
    whole = f"client: {{url: 'http://127.0.0.1:1', access_key: '{key}'}}\n{text}\nrules: []\n"
    return parse(whole, NOTHING, file="rules.yaml", environ={}).history


def test_what_is_not_said_is_what_is_usual():
    assert history("") == HistorySpec()
    assert history("history: {keep: 500d}") == HistorySpec(500 * DAY, HistorySpec().keep_dull)
    assert LimitsSpec().per_run == 1_000_000


def test_for_ever_is_no_time():
    assert history("history: {keep: forever, keep_dull: 1d}") == HistorySpec(None, DAY)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{keep: 1h}", "'keep' must be a day or more"),
        ("{keep: 30}", "30 has no unit"),
        ("{keep: null}", "must be a duration"),
        ("{kep: 3d}", "did you mean 'keep'?"),
        ("3d", "'history' must be a mapping"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(said, told):
    with pytest.raises(ConfigError) as caught:
        history(f"history: {said}")
    assert told in str(caught.value)
    assert "rules.yaml:2:" in str(caught.value)
