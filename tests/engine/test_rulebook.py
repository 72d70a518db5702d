"""All rules by name: shared triggers, and rules as they were."""

from __future__ import annotations

import pytest
from ruling import EXPRESSIONS, FILE, HOST, VOCABULARY, rule_set

from hydrusd.clock import SystemClock
from hydrusd.engine import RuleBook
from hydrusd.errors import HydrusdError
from hydrusd.ledger import Ledger, LedgerWriter
from hydrusd.rules import Vocabulary

pytestmark = pytest.mark.anyio

RULES = """
  - name: a
    on: {watch_folder: {path: inbox, settle: 2s}}
    do: [add_file]
  - name: b
    on: {watch_folder: {settle: 2000ms, path: ./inbox}}
    do: [add_file]
  - name: c
    on: {watch_folder: {path: inbox, settle: 3s}}
    do: [add_file]
  - name: d
    on: {watch_folder: {path: other}}
    do: [add_file]
  - name: off
    enabled: false
    on: {watch_folder: {path: inbox}}
    do: [add_file]
"""


def book_of(text, folder, vocabulary=VOCABULARY):
    return RuleBook(rule_set(text, folder), vocabulary, EXPRESSIONS)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_rules_with_equal_triggers_share_one(tmp_path):
    book = book_of(RULES, tmp_path)
    heard = [[rule.name for rule in source.rules] for source in book.sources()]
    assert heard == [["a", "b"], ["c"], ["d"]]
    assert book.sources()[0].revisions == {"a": book.revisions["a"], "b": book.revisions["b"]}
    assert book.sources()[0].name == "watch_folder"


def test_a_rule_that_is_turned_off_is_not_there(tmp_path):
    book = book_of(RULES, tmp_path)
    assert [rule.name for rule in book] == list(book.revisions) == ["a", "b", "c", "d"]


async def test_a_rule_at_its_present_revision_is_the_rule_itself(tmp_path, ledger):
    book = book_of(RULES, tmp_path)
    rule = book.current("a")
    assert await book.at("a", rule.revision, LedgerWriter(ledger)) is rule


async def test_a_rule_is_rebuilt_as_it_was(tmp_path, ledger):
    was = book_of(
        RULES.replace("[add_file]", "[add_file, {add_tags: {my tags: '{{ file.stem }}'}}]"),
        tmp_path,
    )
    former = was.current("a")
    ledger.remember_rules([("a", former.revision, former.spec.definition)], SystemClock().now())
    book = book_of(RULES, tmp_path)
    rebuilt = await book.at("a", former.revision, LedgerWriter(ledger))
    assert rebuilt.revision == former.revision != book.revisions["a"]
    assert [step.name for step in rebuilt.steps] == ["add_file", "add_tags"]
    assert rebuilt.steps[1].action(lambda: rebuilt.context(FILE), {}).model_extra == {
        "my tags": ("a",)
    }
    assert rebuilt.trigger == former.trigger
    assert await book.at("a", former.revision, LedgerWriter(ledger)) is rebuilt


async def test_a_revision_that_nobody_remembers_is_an_error(tmp_path, ledger):
    with pytest.raises(HydrusdError, match="at revision 0123 is not in the ledger"):
        await book_of(RULES, tmp_path).at("a", "0123", LedgerWriter(ledger))


async def test_a_former_rule_whose_action_is_gone_is_an_error_that_names_it(tmp_path, ledger):
    former = book_of(RULES, tmp_path).current("a")
    ledger.remember_rules([("a", former.revision, former.spec.definition)], SystemClock().now())
    poorer = Vocabulary(
        triggers=HOST.triggers,
        actions={name: a for name, a in HOST.actions.items() if name != "add_file"},
        check_condition=EXPRESSIONS.condition,
        check_template=EXPRESSIONS.template,
    )
    rules = rule_set(RULES.replace("[add_file]", "[{add_tags: {my tags: x}}]"), tmp_path)
    book = RuleBook(rules, poorer, EXPRESSIONS)
    with pytest.raises(HydrusdError, match="add_file"):
        await book.at("a", former.revision, LedgerWriter(ledger))
