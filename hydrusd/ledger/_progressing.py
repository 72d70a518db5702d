"""How far each rule is: what it found, what waits, what came of the rest, and how fast.

Nothing here counts what has ended: that is tallied as it ends. What is open is counted, and how
fast it goes is told by the jobs that began in the last minutes, which are tallied for the limits
anyway. A rate is only given where it is one: over whole minutes in which the rule was at work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, delete, func, select

from hydrusd.ledger._ledger import Ledger
from hydrusd.ledger._reading import LedgerReader
from hydrusd.ledger._sqlite import insert_or_update
from hydrusd.ledger._tables import DEAD, begun, condition, ended, job, trigger_memory
from hydrusd.model import JobState

MINUTE = timedelta(minutes=1)
MINUTES = 5
"""Over how many minutes at most a rate is taken."""
SOON = MINUTE
"""What is due later than that waits for something: it is not worked at, and no rate tells when."""
_NOTICING, _NAME = "engine:noticing", "now"


@dataclass(frozen=True, slots=True)
class Noticing:
    """What a trigger sees at present.

    ``found``: how many things it wants it has found in the scan that goes on (``scanning``), or in
    the last one. ``waiting``: how many of them it does not hand over yet, since they may change.
    """

    found: int
    waiting: int
    scanning: bool


@dataclass(frozen=True, slots=True)
class RuleProgress:
    """How many jobs of a rule are where, and how many a second begin.

    ``unbegun`` of the ``queued`` have done nothing yet and can at once; ``later`` are those not due
    within a minute. ``imported`` and ``known`` count what
    its import steps brought to the client, and what that had already; jobs that have not ended
    among them. ``per_second`` is None where there is no telling. ``noticing`` is None
    where its trigger does not count.
    """

    rule: str
    queued: int = 0
    unbegun: int = 0
    later: int = 0
    settling: int = 0
    imported: int = 0
    known: int = 0
    done: int = 0
    skipped: int = 0
    dead: int = 0
    per_second: float | None = None
    noticing: Noticing | None = None

    @property
    def left(self) -> int:
        """How many are still to be begun, as far as is known."""
        return self.unbegun + (self.noticing.waiting if self.noticing else 0)

    @property
    def remaining_seconds(self) -> float | None:
        """How long that takes if it goes on like this; None where there is no telling."""
        return self.left / self.per_second if self.per_second and self.left else None


def note_noticing(ledger: Ledger, trigger: str, rules: Sequence[str], seen: Noticing) -> None:
    """Keep what a trigger sees, for ``status`` to show."""
    value = {
        "rules": list(rules),
        "found": seen.found,
        "waiting": seen.waiting,
        "scanning": seen.scanning,
    }
    row = {"trigger": _NOTICING, "identity": trigger, "name": _NAME, "value": value}
    with ledger.engine.begin() as connection:
        insert_or_update(connection, trigger_memory, [row])


def forget_noticing(ledger: Ledger, triggers: Collection[str] | None = None) -> None:
    """Forget what triggers saw that are no longer there; all of them, if none are named."""
    statement = delete(trigger_memory).where(trigger_memory.c.trigger == _NOTICING)
    if triggers is not None:
        statement = statement.where(trigger_memory.c.identity.in_(triggers))
    with ledger.engine.begin() as connection:
        connection.execute(statement)


def progress(reader: LedgerReader, now: datetime) -> list[RuleProgress]:
    """Say of each rule how far it is, those first whose names come first."""
    rules: dict[str, dict[str, Any]] = {}
    with reader.snapshot() as connection:
        for rule, kind, jobs in connection.execute(
            select(ended.c.rule, ended.c.state, ended.c.jobs)
        ):
            rules.setdefault(rule, {})[kind] = jobs
        for row in connection.execute(_open(now)).mappings():
            rules.setdefault(row["rule"], {}).update(
                {state: jobs for state, jobs in row.items() if state != "rule"}
            )
        # By the name itself SQLite would go through all jobs there ever were, in its order.
        name = job.c.rule.concat("")
        of_dead = select(name, func.count()).where(job.c.state == DEAD).group_by(name)
        for rule, dead in connection.execute(of_dead):
            rules.setdefault(rule, {})["dead"] = dead
        stopped = _stopped(connection)
        for rule, per_second in _rates(connection, now).items():
            if stopped is not None and rule not in stopped:
                rules.setdefault(rule, {})["per_second"] = per_second
        for rule, seen in _seen(connection).items():
            rules.setdefault(rule, {})["noticing"] = seen
    return [RuleProgress(rule, **found) for rule, found in sorted(rules.items())]


def _open(now: datetime) -> Any:
    settling, late = job.c.state == JobState.SETTLING, job.c.run_at > now + SOON
    name = job.c.rule.concat("")
    return (
        select(
            name.label("rule"),
            func.sum(case((settling, 0), else_=1)).label("queued"),
            func.sum(case((settling, 0), (late, 0), (job.c.step == 0, 1), else_=0)).label(
                "unbegun"
            ),
            func.sum(case((settling, 0), (late, 1), else_=0)).label("later"),
            func.sum(case((settling, 1), else_=0)).label("settling"),
        )
        .where(job.c.finished_at.is_(None))
        .group_by(name)
    )


def _stopped(connection: Connection) -> set[str] | None:
    """Give the rules that wait for something; None where all do, as no client is there."""
    statement = select(condition.c.kind, condition.c.name, condition.c.state)
    found = connection.execute(statement.where(condition.c.kind.in_(["client", "rule"]))).all()
    if not any(kind == "client" and state == "connected" for kind, _, state in found):
        return None
    still = {"parked", "waiting", "invalid"}
    return {name for kind, name, state in found if kind == "rule" and state in still}


def _rates(connection: Connection, now: datetime) -> Mapping[str, float]:
    this = now.replace(second=0, microsecond=0)
    first = this - MINUTES * MINUTE
    statement = select(begun).where(begun.c.minute >= first, begun.c.minute <= this)
    by_rule: dict[str, dict[datetime, int]] = {}
    for row in connection.execute(statement):
        by_rule.setdefault(row.rule, {})[row.minute] = row.jobs
    found = {rule: rate(minutes, now) for rule, minutes in by_rule.items()}
    return {rule: per_second for rule, per_second in found.items() if per_second is not None}


def rate(by_minute: Mapping[datetime, int], now: datetime) -> float | None:
    """Give how many a second begin, by how many began in each of the last minutes.

    The minute in which a rule began to work tells nothing: it may have done so at its end. So a
    rate takes one whole minute at least of going on; None where there is none.
    """
    this = now.replace(second=0, microsecond=0)
    last = this if by_minute.get(this) else this - MINUTE  # this one may have only just begun
    if not by_minute.get(last):
        return None
    first = last
    while by_minute.get(first - MINUTE) and this - first < MINUTES * MINUTE:
        first -= MINUTE
    if not by_minute.get(first - MINUTE):
        first += MINUTE
    seconds = (now - first).total_seconds()
    if seconds < MINUTE.total_seconds():
        return None
    return sum(jobs for minute, jobs in by_minute.items() if minute >= first) / seconds


def _seen(connection: Connection) -> Mapping[str, Noticing]:
    statement = select(trigger_memory.c.value).where(trigger_memory.c.trigger == _NOTICING)
    found: dict[str, Noticing] = {}
    for value in connection.execute(statement).scalars():
        for rule in value["rules"]:
            found[rule] = Noticing(value["found"], value["waiting"], value["scanning"])
    return found
