"""What has to end and to begin when the rules become others."""

from __future__ import annotations

import dataclasses

from pydantic import SecretStr
from ruling import EXPRESSIONS, VOCABULARY, rule_set

from hydrusd.engine import Desired, RuleBook, reconcile
from hydrusd.rules import ClientSpec

RULE = "  - name: {}\n    on: {{watch_folder: {{path: {}}}}}\n    do:\n      - {}\n"


def client(key="ab" * 32, name="hydrus"):
    return ClientSpec("http://127.0.0.1:1", SecretStr(key), name=name)


def desired(folder, *rules, clients=None):
    text = "".join(RULE.format(name, path, steps) for name, path, steps in rules)
    book = RuleBook(rule_set(text, folder), VOCABULARY, EXPRESSIONS)
    return Desired.of({"hydrus": client()} if clients is None else clients, book)


def names(sources):
    return [[rule.name for rule in source.rules] for source in sources]


def test_at_first_everything_begins(tmp_path):
    wanted = desired(tmp_path, ("a", "in", "add_file"), ("b", "out", "add_file"))
    changes = reconcile(Desired({}), wanted)
    assert changes.new_clients == ["hydrus"]
    assert names(changes.new_sources) == [["a"], ["b"]]
    assert changes.new_rules == ["a", "b"]
    assert changes.ending_clients == changes.ending_sources == changes.same_sources == []


def test_what_is_the_same_goes_on_wherever_it_stands(tmp_path):
    before = desired(tmp_path, ("a", "in", "add_file"), ("b", "x", "add_file"))
    after = desired(tmp_path, ("b", "x", "add_file:"), ("a", "in", "add_file"))
    changes = reconcile(before, after)
    assert names(changes.same_sources) == [["b"], ["a"]]
    assert changes.ending_sources == changes.new_sources == changes.new_clients == []
    assert changes.told() == []


def test_a_trigger_begins_anew_with_any_of_its_rules(tmp_path):
    before = desired(
        tmp_path, ("a", "in", "add_file"), ("b", "in", "add_file"), ("c", "x", "archive_file")
    )
    wanted = [("a", "in", "add_file"), ("b", "in", "archive_file"), ("c", "x", "archive_file")]
    changes = reconcile(before, desired(tmp_path, *wanted))
    assert names(changes.ending_sources) == names(changes.new_sources) == [["a", "b"]]
    assert names(changes.same_sources) == [["c"]]
    assert changes.changed_rules == ["b"]
    wanted.append(("d", "in", "add_file"))
    changes = reconcile(desired(tmp_path, *wanted[:3]), desired(tmp_path, *wanted))
    assert names(changes.new_sources) == [["a", "b", "d"]]


def test_rules_that_go_and_rules_that_are_left_out(tmp_path):
    rules = [(name, name, "add_file") for name in "abc"]
    changes = reconcile(desired(tmp_path, *rules), desired(tmp_path, rules[1]))
    assert names(changes.ending_sources) == [["a"], ["c"]]
    assert changes.gone_rules == ["a", "c"]
    assert changes.told({"c"}) == ["gone rule: 'a'", "left out rule: 'c'"]


def test_another_client_under_the_same_name_takes_its_triggers_with_it(tmp_path):
    rule = ("a", "in", "add_file")
    after = desired(tmp_path, rule, clients={"hydrus": client("cd" * 32)})
    changes = reconcile(desired(tmp_path, rule), after)
    assert changes.ending_clients == changes.new_clients == ["hydrus"]
    assert names(changes.ending_sources) == names(changes.new_sources) == [["a"]]
    assert changes.told() == ["changed client: 'hydrus'"]


def test_where_a_client_stands_in_the_file_does_not_matter(tmp_path):
    rule = ("a", "in", "add_file")
    before = desired(tmp_path, rule)
    after = dataclasses.replace(before, clients={"hydrus": client()})
    assert reconcile(before, after).told() == []


def test_clients_come_and_go(tmp_path):
    rule = ("a", "in", "add_file")
    two = {"hydrus": client(), "other": client("cd" * 32, "other")}
    one = {"hydrus": client()}
    more = reconcile(desired(tmp_path, rule, clients=one), desired(tmp_path, rule, clients=two))
    less = reconcile(desired(tmp_path, rule, clients=two), desired(tmp_path, rule, clients=one))
    assert (more.new_clients, more.ending_clients) == (["other"], [])
    assert (less.new_clients, less.ending_clients) == ([], ["other"])
    assert names(more.same_sources) == names(less.same_sources) == [["a"]]
