"""Does this rule want this event? Pure: no clock, no ledger, no client."""

from __future__ import annotations

from hydrusd.engine.compiling import CompiledRule, speaks_of_variables
from hydrusd.errors import ExpressionError
from hydrusd.ledger import NewJob, NotMatched
from hydrusd.model import Data


def judge(rule: CompiledRule, data: Data) -> NewJob | NotMatched:
    """Give the verdict of a rule on an event.

    A condition that cannot be evaluated is neither yes nor no: it makes a dead letter,
    which a person sees and can retry once the rule is mended.
    """
    failure = ""
    if rule.condition is not None:
        try:
            asked = speaks_of_variables(rule.condition.text)
            if not rule.condition.holds(rule.context(data, variables=asked)):
                return NotMatched(rule.name, rule.revision, f"not so: {rule.condition.text}")
        except ExpressionError as error:
            failure = f"`if` cannot be judged: {error}"
    needs_client = rule.steps[0].action_class.needs_client
    return NewJob(rule.name, rule.revision, rule.spec.client, needs_client, failure)
