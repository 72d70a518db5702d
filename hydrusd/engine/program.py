"""A rule's steps as a row of positions, blocks and loops included.

Everything that outlives a crash goes by the position of a step: claims, receipts, settling,
retries, undo. So blocks are laid out in a row when a rule is compiled. A condition has a position
of its own, where its decision is kept like the outcome of a step; the steps under it follow, then
those under ``else``. A loop has room for as many turns as it may ever take, one behind the other,
and keeps its items at its own position: the same position always means the same step with the
same item, whatever happens in between. Nothing of that room is ever laid out in memory.

Where a job goes next is found by ``arrive``, from what is recorded alone: it is the same before
and after a crash. A decision is made anew only where a job comes through it again, because the
client has lost what came before it: then what came before may have ended otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from hydrusd.errors import ExpressionError
from hydrusd.expressions import Condition
from hydrusd.model import Data, OutcomeKind, StepRecord
from hydrusd.plugin import AnyAction
from hydrusd.rules import MAX_ITEMS

MAX_ITEMS_TEXT = 65_536
"""How long the items of a loop may be together, as they are kept."""
MAX_SHOWN = 200

Render = Callable[[Mapping[str, object]], object]


class Flow(AnyAction):
    """What leads through the steps and does nothing itself."""

    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    takes_sidecars: ClassVar[bool] = True


class If(Flow):
    """A condition over a block of steps."""

    action: ClassVar[str] = "if"


class ForEach(Flow):
    """A loop."""

    action: ClassVar[str] = "for_each"


class Stop(Flow):
    """The end of a job before its last step."""

    action: ClassVar[str] = "stop"


class Step(Protocol):
    """A step with an action, as far as the program needs to know it."""

    condition: Condition | None

    @property
    def name(self) -> str:
        """The action's name in YAML."""

    @property
    def action_class(self) -> type[AnyAction]:
        """The action."""

    @property
    def takes_sidecars(self) -> bool:
        """Say whether it also runs for a sidecar that came late."""


@dataclass(frozen=True, eq=False)
class Branch:
    """A condition, and the steps for both of its ends."""

    condition: Condition
    body: Sequence[Node]
    otherwise: Sequence[Node]
    action_class: ClassVar[type[AnyAction]] = If
    name: ClassVar[str] = "if"
    takes_sidecars: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class Loop:
    """Steps for each item of a list, which they call ``variable``."""

    items: Render
    variable: str
    body: Sequence[Node]
    action_class: ClassVar[type[AnyAction]] = ForEach
    name: ClassVar[str] = "for_each"
    takes_sidecars: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class End:
    """A ``stop``. ``reason`` gives its words."""

    reason: Render
    condition: Condition | None
    action_class: ClassVar[type[AnyAction]] = Stop
    name: ClassVar[str] = "stop"
    takes_sidecars: ClassVar[bool] = True


Node = Step | Branch | Loop | End


@dataclass(frozen=True, slots=True)
class Scope:
    """A block around a position. ``block`` is the position at which it is decided.

    ``part`` is True or False for the two ends of a condition and the number of the turn for a
    loop; ``end`` is where one comes to without it.
    """

    block: int
    part: bool | int
    end: int
    variable: str = ""

    def is_entered(self, record: StepRecord | None) -> bool | None:
        """Say whether what was decided leads in here; None where nothing was decided yet."""
        if record is None or record.outcome is not OutcomeKind.DONE:
            return None
        if self.variable:
            items = record.values.get("items")
            return isinstance(items, Sequence) and self.part < len(items)
        return record.values.get("holds") is self.part


@dataclass(frozen=True, slots=True)
class Spot:
    """What is at a position. ``levels`` are the rows of nodes around it, the outermost first,
    each with the place of the node in it and the position at which this one begins.
    """

    node: Node
    scopes: tuple[Scope, ...]
    levels: tuple[tuple[Sequence[Node], int, int], ...]


@dataclass(frozen=True)
class Arrival:
    """Where a job goes on. ``records`` are what was decided and passed over on the way there.

    ``failure`` says why it cannot go on from there; ``stopped`` why it ends.
    """

    position: int
    records: Sequence[StepRecord] = ()
    failure: str = ""
    stopped: str | None = None


def span(nodes: Sequence[Node]) -> int:
    """Give the number of positions that a row of nodes takes."""
    return sum(map(_span, nodes))


def _span(node: Node) -> int:
    match node:
        case Branch():
            return 1 + span(node.body) + span(node.otherwise)
        case Loop():
            return 1 + MAX_ITEMS * span(node.body)
        case _:
            return 1


def every(nodes: Sequence[Node]) -> Iterator[Node]:
    """Give all nodes, each once, in the order in which they are written."""
    for node in nodes:
        yield node
        if isinstance(node, Branch):
            yield from every(node.body)
            yield from every(node.otherwise)
        elif isinstance(node, Loop):
            yield from every(node.body)


@dataclass(frozen=True, eq=False)
class Program(Sequence[Node]):
    """The row of positions of a rule with blocks, which looks like a list of its steps."""

    nodes: Sequence[Node]
    length: int = field(init=False)

    def __post_init__(self) -> None:
        """Count the positions, once."""
        object.__setattr__(self, "length", span(self.nodes))

    def __len__(self) -> int:
        """Give the number of positions."""
        return self.length

    def __getitem__(self, position: Any) -> Any:
        """Give the node at a position."""
        return self.at(position).node

    def at(self, position: int) -> Spot:
        """Find what is at a position. Raises IndexError for one behind the end."""
        if not 0 <= position < self.length:
            raise IndexError(position)
        nodes, start = self.nodes, 0
        scopes: list[Scope] = []
        levels: list[tuple[Sequence[Node], int, int]] = []
        while True:
            index, start = _entry(nodes, start, position)
            node = nodes[index]
            size = _span(node)
            levels.append((nodes, index, start))
            if position == start:
                return Spot(node, tuple(scopes), tuple(levels))
            if isinstance(node, Branch):
                middle, end = start + 1 + span(node.body), start + size
                if position < middle:
                    scopes.append(Scope(start, True, middle))
                    nodes, start = node.body, start + 1
                else:
                    scopes.append(Scope(start, False, end))
                    nodes, start = node.otherwise, middle
            else:
                assert isinstance(node, Loop)
                turn, _ = divmod(position - start - 1, span(node.body))
                scopes.append(Scope(start, turn, start + size, node.variable))
                nodes, start = node.body, start + 1 + turn * span(node.body)

    def behind(self, position: int) -> Iterator[Node]:
        """Give the nodes that begin behind a position, each once: a loop's as in its first turn."""
        for at, node in self.placed():
            if at > position:
                yield node

    def placed(self) -> list[tuple[int, Node]]:
        """Give all nodes with their positions, in order; a loop's as in its first turn."""
        waiting: list[tuple[int, Sequence[Node]]] = [(0, self.nodes)]
        found: list[tuple[int, Node]] = []
        while waiting:
            at, row = waiting.pop()
            for node in row:
                found.append((at, node))
                if isinstance(node, Branch):
                    waiting.append((at + 1, node.body))
                    waiting.append((at + 1 + span(node.body), node.otherwise))
                elif isinstance(node, Loop):
                    waiting.append((at + 1, node.body))
                at += _span(node)
        return sorted(found, key=lambda each: each[0])

    def is_on_the_way(self, position: int, known: Mapping[int, StepRecord]) -> bool:
        """Say whether what was decided leads to a position."""
        return all(scope.is_entered(known.get(scope.block)) for scope in self.at(position).scopes)

    def items(self, position: int, known: Mapping[int, StepRecord]) -> dict[str, object]:
        """Give what the loops around a position have as their items, by the names of these."""
        named: dict[str, object] = {}
        for scope in self.at(position).scopes if position < self.length else ():
            record = known.get(scope.block)
            if scope.variable and record is not None:
                items = record.values.get("items")
                if isinstance(items, Sequence) and scope.part < len(items):
                    named[scope.variable] = items[scope.part]
                    named[f"{scope.variable}_number"] = int(scope.part) + 1
        return named

    def next_disposal(self, position: int) -> int:
        """Give the next step behind this one that surely disposes of the source, or the end."""
        for nodes, index, start in reversed(self.at(position).levels):
            at = start + _span(nodes[index])
            for node in nodes[index + 1 :]:
                if node.action_class.disposes and getattr(node, "condition", None) is None:
                    return at
                at += _span(node)
        return self.length

    def arrive(
        self,
        position: int,
        known: dict[int, StepRecord],
        context: Callable[[int, Mapping[int, StepRecord]], Mapping[str, object]],
    ) -> Arrival:
        """Find where a job goes on that comes to a position.

        ``known`` is what is recorded, by position, and takes in what is decided here. ``context``
        gives what expressions see at a position.
        """
        new: dict[int, StepRecord] = {}

        def note(record: StepRecord) -> None:
            known[record.position] = new[record.position] = record

        while position < self.length:
            spot = self.at(position)
            if (elsewhere := _way_out(spot.scopes, known)) is not None:
                position = elsewhere
                continue
            node = spot.node
            try:
                arrival = self._pass(node, position, known, context, note)
            except ExpressionError as error:
                why = f"{node.name}: {error}" if not isinstance(node, Branch) else f"if: {error}"
                record = StepRecord(position, node.name, OutcomeKind.DEAD, why, {}, None)
                return Arrival(position, [*new.values(), record], why)
            if isinstance(arrival, str):
                return Arrival(self.length, list(new.values()), stopped=arrival)
            if arrival == position:
                break
            position = arrival
        return Arrival(position, list(new.values()))

    def _pass(
        self,
        node: Node,
        position: int,
        known: Mapping[int, StepRecord],
        context: Callable[[int, Mapping[int, StepRecord]], Mapping[str, object]],
        note: Callable[[StepRecord], None],
    ) -> int | str:
        """Give the position behind a node that has no work to do, the same where it has.

        A text is the reason of a ``stop``.
        """
        if isinstance(node, Branch):
            holds = node.condition.holds(context(position, known))
            why = f"{'so' if holds else 'not so'}: {_shown(node.condition)}"
            note(_decided(position, node, why, {"holds": holds}))
            start = position + 1
            left = (start + span(node.body), node.otherwise) if holds else (start, node.body)
            self._pass_over(*left, why, known, note)
            return start
        if isinstance(node, Loop):
            items = _checked(node.items(context(position, known)))
            count = len(items)
            note(_decided(position, node, f"{count} item{'s' * (count != 1)}", {"items": items}))
            return position + 1
        if node.condition is not None and not node.condition.holds(context(position, known)):
            self._pass_over(position, [node], f"not so: {_shown(node.condition)}", known, note)
            return position + 1
        if isinstance(node, End):
            reason = str(node.reason(context(position, known)))
            note(_decided(position, node, reason, {}))
            return reason
        return position

    @staticmethod
    def _pass_over(
        position: int,
        nodes: Sequence[Node],
        why: str,
        known: Mapping[int, StepRecord],
        note: Callable[[StepRecord], None],
    ) -> None:
        """Record of steps that they do not run, unless it is known that they did."""
        waiting = [(position, nodes)]
        while waiting:
            at, row = waiting.pop()
            for node in row:
                former = known.get(at)
                if not isinstance(node, Branch) and (former is None or not former.is_work):
                    note(StepRecord(at, node.name, OutcomeKind.PASSED, why, {}, None))
                if isinstance(node, Branch):
                    waiting.append((at + 1, node.body))
                    waiting.append((at + 1 + span(node.body), node.otherwise))
                at += _span(node)


def _entry(nodes: Sequence[Node], start: int, position: int) -> tuple[int, int]:
    """Give which node of a row a position is in, and where that one begins."""
    index = 0
    while position >= (end := start + _span(nodes[index])):
        index, start = index + 1, end
    return index, start


def _way_out(scopes: Sequence[Scope], known: Mapping[int, StepRecord]) -> int | None:
    """Give where to go from a position to which nothing leads; None where something does."""
    for scope in scopes:
        entered = scope.is_entered(known.get(scope.block))
        if entered is None:
            return scope.block
        if not entered:
            return scope.end
    return None


def _decided(position: int, node: Node, detail: str, values: Data) -> StepRecord:
    # With a receipt that tells of nothing: there is nothing to take back.
    return StepRecord(position, node.name, OutcomeKind.DONE, detail, values, {})


def _shown(condition: Condition) -> str:
    """Give a condition as it is kept beside each step that it decides on."""
    text = condition.text
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _checked(items: object) -> list[object]:
    """Give the items of a loop. Raises ExpressionError where they are too many, or are none."""
    if not isinstance(items, list | tuple):
        raise ExpressionError("a loop needs a list")
    if len(items) > MAX_ITEMS:
        raise ExpressionError(f"{len(items):,} items: a loop goes over {MAX_ITEMS} at most")
    listed = [_plain(item) for item in items]
    if len(json.dumps(listed, ensure_ascii=False)) > MAX_ITEMS_TEXT:
        raise ExpressionError(f"the items come to more than {MAX_ITEMS_TEXT:,} characters")
    return listed


def _plain(value: object) -> object:
    """Give texts as they are kept, without what a rendered one carries."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
