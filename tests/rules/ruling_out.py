"""Rules with the real vocabulary, of which some may be wrong."""

from __future__ import annotations

from hydrusd.daemon import check_client, load_plugins
from hydrusd.engine import check_rule
from hydrusd.expressions import Expressions
from hydrusd.rules import Vocabulary, parse

HOST = load_plugins([], safe_mode=True)
EXPRESSIONS = Expressions(filters=HOST.filters)
VOCABULARY = Vocabulary(
    triggers=HOST.triggers,
    actions=HOST.actions,
    check_condition=EXPRESSIONS.condition,
    check_template=EXPRESSIONS.template,
    check_rule=check_rule,
    check_client=check_client,
)
HEAD = f"client: {{url: 'http://127.0.0.1:1', access_key: {'ab' * 32}}}\nrules:\n"


def read(text, folder, *, tolerant=True):
    return parse(
        text,
        VOCABULARY,
        file=str(folder / "rules.yaml"),
        folder=folder,
        environ={},
        tolerant=tolerant,
    )
