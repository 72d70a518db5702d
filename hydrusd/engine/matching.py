"""Does this rule want this event? Pure: no clock, no ledger, no client.

Many rules listen to one trigger, and what they ask of an event is mostly the same few things, held
against other constants. So their conditions are asked together, conjunct by conjunct: what they
look at is worked out once for an event, and only if some condition comes so far; a table for each
kind of comparison tells which of them hold. Nothing is decided in another way by that: where a
condition is not plainly true or false, ``judge`` has the word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hydrusd.engine.compiling import CompiledRule, speaks_of_variables
from hydrusd.engine.indexing import Bits, Table, table_for
from hydrusd.errors import ExpressionError
from hydrusd.expressions import Condition, Conjunct, Term, plain
from hydrusd.ledger import NewJob, NotMatched
from hydrusd.model import Data

Verdict = NewJob | NotMatched

_OF_THE_RULE = frozenset({"rule", "steps", "vars"})
"""What is not the same for all rules that look at an event."""

_DOES_WITHOUT = re.compile(r"\bvars\s*(?:is\b|\|)")
"""How a condition may ask for variables without failing where there are none."""

_IN_THEIR_PLACE = {"rule": {"name": ""}, "steps": {}}
"""What hides data of these names, as what is really there does."""

KEPT_VERDICTS = 100_000
"""So many verdicts are kept of former events, for the next that has the same rules."""


def judge(rule: CompiledRule, data: Data) -> Verdict:
    """Give the verdict of a rule on an event.

    A condition that cannot be evaluated is neither yes nor no: it makes a dead letter,
    which a person sees and can retry once the rule is mended.
    """
    failure = ""
    if rule.condition is not None:
        try:
            if not _holds(rule, rule.condition, data):
                return _refusal(rule, rule.condition)
        except ExpressionError as error:
            failure = f"`if` cannot be judged: {error}"
    return _job(rule, failure)


def _holds(rule: CompiledRule, condition: Condition, data: Data) -> bool:
    """Ask a condition. Raises ExpressionError."""
    if not speaks_of_variables(condition.text):
        return condition.holds(rule.context(data, variables=False))
    try:
        context = rule.context(data)
    except ExpressionError:
        # What is decided before any variable is looked at, needs none.
        if _DOES_WITHOUT.search(condition.text):
            raise
        try:
            return condition.holds(rule.context(data, variables=False))
        except ExpressionError:
            pass
        raise
    return condition.holds(context)


def _job(rule: CompiledRule, failure: str = "") -> NewJob:
    needs_client = rule.steps[0].action_class.needs_client
    return NewJob(rule.name, rule.revision, rule.spec.client, needs_client, failure)


def _refusal(rule: CompiledRule, condition: Condition) -> NotMatched:
    return NotMatched(rule.name, rule.revision, f"not so: {condition.text}")


class _Asked:
    """Comparisons of one kind that stand at the same place of their conditions."""

    __slots__ = ("others", "table", "term")

    def __init__(self, term: Term, table: Table) -> None:
        self.term = term
        self.table = table
        self.others: Bits = 0
        """Those that ask something else there, or nothing."""


class Matching:
    """The rules that listen to one trigger, made ready to judge one event after the other."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._jobs = [_job(rule) for rule in rules]
        self._refusals: list[Verdict] = [
            job if rule.condition is None else _refusal(rule, rule.condition)
            for rule, job in zip(rules, self._jobs, strict=True)
        ]
        self._conditional: Bits = 0
        # Those with something in their condition that only ``judge`` can answer.
        self._beyond: Bits = 0
        self._terms: dict[object, Term] = {}
        columns: list[dict[object, _Asked]] = []
        for place, rule in enumerate(rules):
            if rule.condition is not None:
                self._enter(rule.condition, 1 << place, columns)
        for column in columns:
            for asked in column.values():
                asked.others = self._conditional & ~asked.table.members
        self._columns = [list(column.values()) for column in columns]
        self._told: dict[Bits, tuple[Verdict, ...]] = {}

    def _enter(self, condition: Condition, bit: Bits, columns: list[dict[object, _Asked]]) -> None:
        self._conditional |= bit
        for place, conjunct in enumerate(condition.conjuncts):
            if conjunct.term.roots & _OF_THE_RULE:
                self._beyond |= bit
                return
            if place == len(columns):
                columns.append({})
            self._asked(conjunct, columns[place]).table.enter(conjunct, bit)
        if not condition.whole:
            self._beyond |= bit

    def _asked(self, conjunct: Conjunct, column: dict[object, _Asked]) -> _Asked:
        kind = table_for(conjunct)
        term = self._terms.setdefault(conjunct.term.key, conjunct.term)
        key = (term.key, kind)
        if key not in column:
            column[key] = _Asked(term, kind())
        return column[key]

    def judge(self, data: Data) -> Sequence[Verdict]:
        """Give the verdict of each rule on an event, in their order."""
        if not self._conditional:
            return self._tell(0)
        try:
            seen = plain({**data, **_IN_THEIR_PLACE})
        except ExpressionError:
            return [judge(rule, data) for rule in self._rules]
        holding, doubtful = self._conditional, 0
        values: dict[Term, object] = {}
        for column in self._columns:
            for asked in column:
                # As in a condition itself, nothing is worked out unless all before it has held.
                concerned = asked.table.members & holding
                if not concerned:
                    continue
                if asked.term not in values:
                    values[asked.term] = asked.term.value(seen)
                found = asked.table.holding(values[asked.term])
                if found is None:
                    doubtful |= concerned
                    found = 0
                holding &= asked.others | found
        doubtful |= holding & self._beyond
        holding &= ~doubtful
        verdicts = self._tell(holding)
        if not doubtful:
            return verdicts
        each = list(verdicts)
        for place in _places(doubtful):
            each[place] = judge(self._rules[place], data)
        return each

    def _tell(self, holding: Bits) -> tuple[Verdict, ...]:
        """Give the verdicts where just these conditions hold."""
        if known := self._told.get(holding):
            return known
        verdicts = self._refusals.copy()
        for place in _places(holding):
            verdicts[place] = self._jobs[place]
        if len(self._told) * len(verdicts) > KEPT_VERDICTS:
            self._told.clear()
        told = self._told[holding] = tuple(verdicts)
        return told


def _places(bits: Bits) -> Iterator[int]:
    """Give the numbers in a set."""
    digits = f"{bits:b}"[::-1]
    place = digits.find("1")
    while place >= 0:
        yield place
        place = digits.find("1", place + 1)
