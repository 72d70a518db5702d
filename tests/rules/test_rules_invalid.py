"""A rule that is wrong by itself can be left out; what may concern others cannot."""

from __future__ import annotations

import pytest
from ruling_out import HEAD, read

from hydrusd.errors import ConfigError

GOOD = "  - name: good\n    on: {watch_folder: {path: in}}\n    do: [add_file]\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("    on: {watch_foldr: {path: x}}\n    do: [add_file]\n", "no trigger 'watch_foldr'"),
        ("    on: manual\n    do: [add_fil]\n", "no action 'add_fil'"),
        ("    on: manual\n    do: [{log: {message: '{{ a'}}]\n", "unexpected end of template"),
        ("    on: manual\n    if: 'a =='\n    do: [add_file]\n", ""),
        ("    on: manual\n    do: [trash_source]\n", "no step before it has imported"),
        ("    on: manual\n    do: [add_file]\n    client: other\n", "no client 'other'"),
        ("    on: manual\n    do: [add_file]\n    nonsense: 1\n", "no 'nonsense' here"),
        ("    on: manual\n    do: [run_command: {command: [ls]}]\n", "is off until"),
        ("    on: manual\n", "'do' is missing"),
    ],
)
def test_a_rule_that_is_wrong_by_itself_is_left_out(wrong, said, tmp_path):
    found = read(f"{HEAD}{GOOD}  - name: bad\n{wrong}", tmp_path)
    assert [rule.name for rule in found.rules] == ["good"]
    [invalid] = found.invalid
    assert invalid.name == "bad"
    assert invalid.problems
    assert said in invalid.reason or not said
    assert all(problem.line > 5 for problem in invalid.problems)
    with pytest.raises(ConfigError) as caught:
        read(f"{HEAD}{GOOD}  - name: bad\n{wrong}", tmp_path, tolerant=False)
    assert caught.value.problems == invalid.problems


def test_what_it_waits_for_is_known_where_it_can_be(tmp_path):
    text = "  - name: {}\n    on: {}\n    do: [nothing]\n"
    rules = text.format("a", "manual") + text.format("b", "manuall")
    a, b = read(f"{HEAD}{GOOD}{rules}", tmp_path).invalid
    assert (a.trigger, a.trigger_config.trigger) == ("manual", "manual")
    assert (b.trigger, b.trigger_config) == ("", None)
    assert len(a.problems) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}{GOOD}  - on: manual\n    do: [add_fil]\n",
        f"{HEAD}{GOOD}  - name: good\n    on: manual\n    do: [add_fil]\n",
        f"{HEAD}{GOOD}  - 7\n",
        f"{HEAD}{GOOD}  - name: bad\n    on: manual\n    on: manual\n    do: [add_fil]\n",
        f"{HEAD}{GOOD}  - name: bad\n    on: [\n",
        HEAD.replace("http:", "gopher:") + GOOD,
        f"backups: 7\n{HEAD}{GOOD}",
        f"allow: [nonsense]\n{HEAD}{GOOD}",
    ],
    ids=["no name", "name twice", "no rule", "key twice", "syntax", "client", "backups", "allow"],
)
def test_what_may_concern_others_refuses_the_file(text, tmp_path):
    with pytest.raises(ConfigError):
        read(text, tmp_path)


def test_the_same_mistake_in_two_rules_leaves_out_both(tmp_path):
    anchored = "x-steps: &steps [add_fil]\n"
    rules = "".join(f"  - name: {n}\n    on: manual\n    do: *steps\n" for n in "ab")
    found = read(f"{anchored}{HEAD}{GOOD}{rules}", tmp_path)
    assert [rule.name for rule in found.invalid] == ["a", "b"]
    assert found.invalid[0].problems == found.invalid[1].problems


def test_a_rule_with_hundreds_of_problems_is_one_that_is_left_out(tmp_path):
    many = "".join(f"      - nothing_{number}\n" for number in range(300))
    found = read(f"{HEAD}  - name: bad\n    on: manual\n    do:\n{many}{GOOD}", tmp_path)
    assert [rule.name for rule in found.rules] == ["good"]
    assert len(found.invalid[0].problems) == 101
    assert "200 more" in found.invalid[0].problems[-1].message


def test_files_with_secrets_are_known(tmp_path):
    (tmp_path / "key").write_text("ab" * 32, encoding="utf-8")
    head = "client: {url: 'http://127.0.0.1:1', access_key: '${file:key}'}\nrules:\n"
    assert read(f"{head}{GOOD}", tmp_path).secret_files == (tmp_path / "key",)
