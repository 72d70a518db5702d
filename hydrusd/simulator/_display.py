"""Siblings and parents: what a tag service shows and finds instead of what it stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hydrusd.simulator._config import TagRules
from hydrusd.simulator._tags import human_sorted


class Display:
    """The rules of all tag services; a service without any shows what it stores."""

    def __init__(self, rules: Iterable[TagRules]) -> None:
        self._rules = {rule.service_key: rule for rule in rules}

    def shown(self, service_key: str, tags: Iterable[str]) -> set[str]:
        """Give the tags that are shown for stored ones: the ideal ones and their ancestors."""
        rules = self._rules.get(service_key)
        if rules is None:
            return set(tags)
        ideals = {_ideal(rules, tag) for tag in tags}
        return ideals.union(*(_ancestors(rules, ideal) for ideal in ideals))

    def is_plain(self, service_key: str) -> bool:
        """Whether a service shows what it stores."""
        return service_key not in self._rules

    def lookup(self, service_key: str, tag: str) -> dict[str, Any]:
        """Give a tag's relatives in a service, as the API words it."""
        rules = self._rules.get(service_key) or TagRules(service_key=service_key)
        ideal = _ideal(rules, tag)
        known = {*rules.siblings, *rules.parents, *rules.siblings.values()}
        same = {ideal, *(other for other in known if _ideal(rules, other) == ideal)}
        below = {_ideal(rules, other) for other in known if ideal in _ancestors(rules, other)}
        return {
            "siblings": human_sorted(same),
            "ideal_tag": ideal,
            "descendants": human_sorted(below),
            "ancestors": human_sorted(_ancestors(rules, ideal)),
        }


def _ideal(rules: TagRules, tag: str) -> str:
    seen = {tag}
    while (better := rules.siblings.get(tag)) is not None and better not in seen:
        seen.add(better)
        tag = better
    return tag


def _ancestors(rules: TagRules, tag: str) -> set[str]:
    """Give all that a tag implies, by whichever of its siblings the rule is written."""
    parents: Mapping[str, set[str]] = _parents(rules)
    found: set[str] = set()
    waiting = [_ideal(rules, tag)]
    while waiting:
        new = parents.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found - {_ideal(rules, tag)}


def _parents(rules: TagRules) -> dict[str, set[str]]:
    parents: dict[str, set[str]] = {}
    for child, above in rules.parents.items():
        ideals = {_ideal(rules, parent) for parent in above}
        parents.setdefault(_ideal(rules, child), set()).update(ideals)
    return parents
