"""What has to end and what has to begin so that a running daemon is what the rules now say. Pure.

Whatever is the same before and after goes on undisturbed: a scan of a million files, the
connection to a client, the wait for its commit. What differs in anything that it was made of ends
and begins anew; that is harmless at any moment, since all of it may also end by a power cut.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from hydrusd.engine.rulebook import RuleBook, Source
from hydrusd.rules import ClientSpec


@dataclass(frozen=True, slots=True)
class Desired:
    """What there is to be: clients by name, triggers with the rules that listen to them."""

    clients: Mapping[str, ClientSpec]
    sources: Sequence[Source] = ()
    revisions: Mapping[str, str] | None = None

    @classmethod
    def of(cls, clients: Mapping[str, ClientSpec], book: RuleBook) -> Self:
        """Give what these clients and rules ask for."""
        return cls(clients, book.sources(), book.revisions)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done, in this order: end triggers, end clients, begin clients, begin triggers.

    A client that is another one under the same name ends and begins. ``same_sources`` go on; the
    rules that listen to them are the same ones, made anew.
    """

    ending_sources: Sequence[Source]
    ending_clients: Sequence[str]
    new_clients: Sequence[str]
    new_sources: Sequence[Source]
    same_sources: Sequence[Source]
    new_rules: Sequence[str]
    changed_rules: Sequence[str]
    gone_rules: Sequence[str]

    def told(self, invalid: Collection[str] = ()) -> list[str]:
        """Say what it comes to, in words; nothing where all is as it was.

        ``invalid`` are the rules that are still there, and left out.
        """
        clients = {*self.ending_clients, *self.new_clients}
        changed = [name for name in self.new_clients if name in self.ending_clients]
        parts = (
            ("new", "rule", self.new_rules),
            ("changed", "rule", self.changed_rules),
            ("gone", "rule", [name for name in self.gone_rules if name not in invalid]),
            ("left out", "rule", [name for name in self.gone_rules if name in invalid]),
            ("new", "client", sorted(set(self.new_clients) - set(changed))),
            ("changed", "client", changed),
            ("gone", "client", sorted(clients - set(self.new_clients))),
        )
        return [
            f"{state} {noun}{'s' if len(names) != 1 else ''}: {', '.join(map(repr, names))}"
            for state, noun, names in parts
            if names
        ]


def source_key(source: Source) -> tuple[str, str]:
    """Give what tells a trigger from all others of a daemon."""
    return source.name, source.identity


def reconcile(present: Desired, desired: Desired) -> Changes:
    """Say how to get from what there is to what there is to be."""
    ending_clients = [
        name for name, spec in present.clients.items() if desired.clients.get(name) != spec
    ]
    new_clients = [
        name for name, spec in desired.clients.items() if present.clients.get(name) != spec
    ]
    there = {source_key(source): source for source in present.sources}
    same = [
        source
        for source in desired.sources
        if source.client not in new_clients and _is_same(there.get(source_key(source)), source)
    ]
    kept = {source_key(source) for source in same}
    before, after = present.revisions or {}, desired.revisions or {}
    return Changes(
        ending_sources=[s for s in present.sources if source_key(s) not in kept],
        ending_clients=ending_clients,
        new_clients=new_clients,
        new_sources=[s for s in desired.sources if source_key(s) not in kept],
        same_sources=same,
        new_rules=[name for name in after if name not in before],
        changed_rules=[n for n in after if n in before and after[n] != before[n]],
        gone_rules=[name for name in before if name not in after],
    )


def _is_same(present: Source | None, desired: Source) -> bool:
    """Say whether a running trigger does what is desired.

    Equal triggers are of one class: one that a plugin brought, and brings anew, is another.
    """
    return (
        present is not None
        and present.trigger == desired.trigger
        and present.revisions == desired.revisions
    )
