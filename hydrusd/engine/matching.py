"""Does this rule want this event? Pure: no clock, no ledger, no client.

Many rules listen to one trigger, and an event mostly concerns few of them. What all of them need
(the data, checked) is made once for an event; conditions that say the same are asked once; and
what a condition asks first is looked up, if it can be. Nothing is decided in another way by that:
where a rule's condition is not plainly false, ``judge`` has the word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydrusd.engine.compiling import CompiledRule, speaks_of_variables
from hydrusd.errors import ExpressionError
from hydrusd.expressions import Condition, PlainData, plain
from hydrusd.ledger import NewJob, NotMatched
from hydrusd.model import Data

Verdict = NewJob | NotMatched

_OF_THE_RULE = frozenset({"rule", "steps", "vars"})
"""What is not the same for all rules that look at an event."""


def judge(rule: CompiledRule, data: Data) -> Verdict:
    """Give the verdict of a rule on an event.

    A condition that cannot be evaluated is neither yes nor no: it makes a dead letter,
    which a person sees and can retry once the rule is mended.
    """
    failure = ""
    if rule.condition is not None:
        try:
            asked = speaks_of_variables(rule.condition.text)
            if not rule.condition.holds(rule.context(data, variables=asked)):
                return _refusal(rule, rule.condition)
        except ExpressionError as error:
            failure = f"`if` cannot be judged: {error}"
    return _job(rule, failure)


def _job(rule: CompiledRule, failure: str = "") -> NewJob:
    needs_client = rule.steps[0].action_class.needs_client
    return NewJob(rule.name, rule.revision, rule.spec.client, needs_client, failure)


def _refusal(rule: CompiledRule, condition: Condition) -> NotMatched:
    return NotMatched(rule.name, rule.revision, f"not so: {condition.text}")


class _Question:
    """A condition, and the places of the rules that ask just that."""

    __slots__ = ("condition", "shared", "where")

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.shared = not condition.roots & _OF_THE_RULE
        self.where: list[int] = []


class Matching:
    """The rules that listen to one trigger, made ready to judge one event after the other."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._jobs = [_job(rule) for rule in rules]
        # What is said where no condition has been asked, or none holds.
        self._first: list[Verdict] = []
        self._always: list[_Question] = []
        self._guarded: dict[tuple[str, ...], dict[str, list[_Question]]] = {}
        self._behind: dict[tuple[str, ...], list[_Question]] = {}
        questions: dict[str, _Question] = {}
        for place, rule in enumerate(rules):
            if rule.condition is None:
                self._first.append(self._jobs[place])
                continue
            self._first.append(_refusal(rule, rule.condition))
            question = questions.get(rule.condition.text)
            if question is None:
                question = questions[rule.condition.text] = _Question(rule.condition)
                self._enter(question)
            question.where.append(place)

    def _enter(self, question: _Question) -> None:
        guard = question.condition.guard
        if guard is None or guard.names[0] in _OF_THE_RULE:
            self._always.append(question)
            return
        by_text = self._guarded.setdefault(guard.names, {})
        for text in guard.texts:
            by_text.setdefault(text, []).append(question)
        self._behind.setdefault(guard.names, []).append(question)

    def judge(self, data: Data) -> list[Verdict]:
        """Give the verdict of each rule on an event, in their order."""
        if not (self._always or self._guarded):
            return self._first.copy()
        try:
            seen = plain(data)
        except ExpressionError:
            return [judge(rule, data) for rule in self._rules]
        verdicts = self._first.copy()
        for question in self._always:
            self._ask(question, seen, data, verdicts)
        for names, by_text in self._guarded.items():
            value = _value(seen, names)
            # Where there is no text, only the condition itself knows what comes of that.
            known = type(value) is str
            for question in by_text.get(value, ()) if known else self._behind[names]:  # type: ignore[call-overload]
                self._ask(question, seen, data, verdicts)
        return verdicts

    def _ask(
        self, question: _Question, seen: PlainData, data: Data, verdicts: list[Verdict]
    ) -> None:
        if question.shared:
            try:
                holds = question.condition.holds(seen)
            except ExpressionError:
                pass  # ``judge`` says it, for each rule in its own words
            else:
                for place in question.where if holds else ():
                    verdicts[place] = self._jobs[place]
                return
        for place in question.where:
            verdicts[place] = judge(self._rules[place], data)


def _value(data: Mapping[str, object], names: Sequence[str]) -> object:
    value: object = data
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
