"""All rules by name, as they are now and, for jobs already begun, as they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import anyio

from hydrusd.engine.compiling import CompiledRule, compile_rule
from hydrusd.engine.matching import Matching
from hydrusd.engine.undoing import UndoRule, is_undo, undo_rule
from hydrusd.errors import HydrusdError
from hydrusd.expressions import Expressions
from hydrusd.ledger import Ledger, LedgerWriter, Listener
from hydrusd.model import fired_topic
from hydrusd.plugin import Trigger
from hydrusd.rules import InvalidRule, RuleSet, RuleSpec, Vocabulary, rule_from_definition


@dataclass(frozen=True)
class Source:
    """One trigger and the rules that listen to it."""

    trigger: Trigger
    rules: Sequence[CompiledRule]

    @cached_property
    def matching(self) -> Matching:
        """The rules, made ready to judge what it notices."""
        return Matching(self.rules)

    @property
    def name(self) -> str:
        """The trigger's name in YAML."""
        return self.trigger.trigger

    @property
    def revisions(self) -> Mapping[str, str]:
        """Each listening rule's revision by its name."""
        return {rule.name: rule.revision for rule in self.rules}

    @property
    def topics(self) -> frozenset[str]:
        """The topics of signals on which it listens."""
        return frozenset(self.trigger.topics([rule.name for rule in self.rules]))

    @property
    def client(self) -> str:
        """The name of the client that the rules work on."""
        return self.rules[0].spec.client

    @property
    def identity(self) -> str:
        """Under what the trigger remembers: its parameters, and its rule where that has its own."""
        rule = self.rules[0]
        return _identity(self.trigger, rule.spec.client, rule.name)

    @property
    def view(self) -> bytes:
        """Give what stands for this trigger and these rules as they are: 16 bytes."""
        listening = json.dumps([self.name, self.identity, sorted(self.revisions.items())])
        return hashlib.sha256(listening.encode()).digest()[:16]


def _parameters(trigger: Trigger, client: str) -> str:
    return f"{client} {trigger.trigger} {trigger.model_dump_json()}"


def _identity(trigger: Trigger, client: str, rule: str) -> str:
    parameters = hashlib.sha256(_parameters(trigger, client).encode()).hexdigest()[:16]
    return parameters if trigger.shared else f"{rule} {parameters}"


class RuleBook:
    """The rules of one daemon."""

    def __init__(self, rules: RuleSet, vocabulary: Vocabulary, expressions: Expressions) -> None:
        folder = rules.file.parent.absolute()
        self._compile: Callable[[RuleSpec], CompiledRule] = lambda spec: compile_rule(
            spec, expressions, folder
        )
        self._vocabulary = vocabulary
        self._folder: Path = folder
        self._allow = rules.allow
        self._rules = {s.name: self._compile(s) for s in rules.rules if s.enabled}
        self.invalid: Mapping[str, InvalidRule] = {each.name: each for each in rules.invalid}
        self.adopting = anyio.Lock()
        """Held by a lane that puts jobs under these rules: no two must judge the same ones."""
        self._former: dict[tuple[str, str], CompiledRule] = {}
        self._undos: dict[tuple[str, str], UndoRule] = {}

    def __iter__(self) -> Iterator[CompiledRule]:
        """Give the rules as they are now, in the order of the file."""
        return iter(self._rules.values())

    @property
    def revisions(self) -> Mapping[str, str]:
        """Each rule's present revision by its name."""
        return {name: rule.revision for name, rule in self._rules.items()}

    def revisions_on(self, client: str) -> Mapping[str, str]:
        """Each present revision of the rules that work on a client, by name."""
        return {n: rule.revision for n, rule in self._rules.items() if rule.spec.client == client}

    def knows(self, name: str) -> bool:
        """Say whether jobs of this rule can be worked: it is in the file, or undoes one."""
        return name in self._rules or is_undo(name)

    def why_unknown(self, name: str) -> str:
        """Say why the jobs of a rule that is not known wait."""
        if (invalid := self.invalid.get(name)) is not None:
            return f"the rule is invalid, and its jobs wait until it is mended: {invalid.reason}"
        return "the rule is no longer in the rules file; its jobs wait until it is back"

    @property
    def topics(self) -> frozenset[str]:
        """The topics of signals on which some rule's trigger listens."""
        return frozenset(topic for listener in self.listeners() for topic in listener.topics)

    def listeners(self) -> list[Listener]:
        """Give those who have signals to read; rules that will when they are mended, too."""
        listening = [Listener(s.name, s.identity, s.topics) for s in self.sources()]
        for rule in self.invalid.values():
            if isinstance(trigger := rule.trigger_config, Trigger):
                topics = frozenset(trigger.topics([rule.name]))
                identity = _identity(trigger, rule.client, rule.name)
                listening.append(Listener(rule.trigger, identity, topics))
        return [each for each in listening if each.topics]

    def can_fire(self, name: str) -> bool:
        """Say whether a rule listens for being fired."""
        rule = self._rules.get(name)
        return rule is not None and fired_topic(name) in rule.trigger.topics([name])

    def current(self, name: str) -> CompiledRule:
        """Give a rule as it is now."""
        return self._rules[name]

    def sources(self) -> list[Source]:
        """Give each distinct trigger with the rules that listen to it."""
        grouped: dict[tuple[str, str], list[CompiledRule]] = {}
        for rule in self._rules.values():
            own = "" if rule.trigger.shared else rule.name
            parameters = _parameters(rule.trigger, rule.spec.client)
            grouped.setdefault((parameters, own), []).append(rule)
        return [Source(rules[0].trigger, tuple(rules)) for rules in grouped.values()]

    async def at(self, name: str, revision: str, ledger: LedgerWriter) -> CompiledRule | UndoRule:
        """Give a rule as it was at a revision. Raises HydrusdError where it no longer loads."""
        if is_undo(name):
            return await self._undo(name, revision, ledger)
        rule = self._rules[name]
        if rule.revision == revision:
            return rule
        if (name, revision) not in self._former:
            definition = await ledger(Ledger.definition, name, revision)
            if definition is None:
                raise HydrusdError(f"rule {name!r} at revision {revision} is not in the ledger")
            spec = rule_from_definition(name, definition, self._vocabulary, folder=self._folder)
            for step in spec.steps:
                if step.config.needs_allowing and step.action not in self._allow:  # type: ignore[attr-defined]
                    raise HydrusdError(f"the rules file no longer allows {step.action}")
            self._former[name, revision] = self._compile(spec)
        return self._former[name, revision]

    async def _undo(self, name: str, revision: str, ledger: LedgerWriter) -> UndoRule:
        if (name, revision) not in self._undos:
            definition = await ledger(Ledger.definition, name, revision)
            if definition is None:
                raise HydrusdError(f"{name!r} at revision {revision} is not in the ledger")
            self._undos[name, revision] = undo_rule(name, definition, self._vocabulary.actions)
        return self._undos[name, revision]
