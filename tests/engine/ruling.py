"""Rules from text, with the real vocabulary."""

from __future__ import annotations

from functools import partial

from hydrusd.daemon import load_plugins
from hydrusd.engine import check_list, check_rule
from hydrusd.engine.compiling import compile_rule
from hydrusd.expressions import Expressions
from hydrusd.rules import Vocabulary, parse

HOST = load_plugins([], safe_mode=True)
EXPRESSIONS = Expressions(filters=HOST.filters)
VOCABULARY = Vocabulary(
    triggers=HOST.triggers,
    actions=HOST.actions,
    check_condition=EXPRESSIONS.condition,
    check_template=EXPRESSIONS.template,
    check_list=partial(check_list, EXPRESSIONS),
    check_rule=check_rule,
)

FILE = {
    "file": {
        "name": "a.jpg",
        "stem": "a",
        "suffix": ".jpg",
        "size": 1000,
        "parent": {"name": "Cats"},
    }
}


def rule_set(text, folder):
    client = f"client: {{url: 'http://127.0.0.1:1', access_key: {'ab' * 32}}}\n"
    return parse(
        f"{client}rules:\n{text}",
        VOCABULARY,
        file=str(folder / "rules.yaml"),
        folder=folder,
        environ={},
    )


def compiled(steps, folder, condition=None):
    when = f"    if: {condition}\n" if condition else ""
    text = f"  - name: one\n    on: {{watch_folder: {{path: inbox}}}}\n{when}    do:\n{steps}"
    return compile_rule(rule_set(text, folder).rules[0], EXPRESSIONS, folder)
