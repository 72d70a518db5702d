"""The tables. A new ledger is made of them, an older one by migrations; a test proves that both
come to the same, down to the order of the columns.

Times are aware UTC, stored as text in ISO form so that they sort and can be read
by anyone with a SQL shell. Payloads are JSON, never pickle: what is written here
is read by later versions, and by people.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal,
    text,
)
from sqlalchemy.types import TypeDecorator

from hydrusd.ledger._mentioning import storable


@lru_cache(maxsize=256)  # a set of jobs has one time, written many times over
def written(moment: datetime) -> str:
    """Give a time as the ledger keeps it. Raises ValueError for one without a time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _written_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else written(moment)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time as fixed-width ISO text."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Refuse naive times: what zone would they be in?"""
        del dialect
        return None if value is None else written(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:
        """Give the same without the detour: it is called a dozen times for each file."""
        del dialect
        return _written_or_none

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Read it back as aware UTC."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


def _storable_or_none(text: str | None) -> str | None:
    return None if text is None else storable(text)


class Words(TypeDecorator[str]):
    """Text for people, which may quote a file name that is not valid Unicode."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write lone surrogates as escapes."""
        del dialect
        return None if value is None else storable(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None]:
        """Give the same without the detour, as above."""
        del dialect
        return _storable_or_none


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# `freed` is 0 while the event stands for something that is there, and the event's own
# id afterwards: so a key is unique among what is there, and free again when it is gone,
# with an ordinary constraint that every database has.
event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("trigger", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("freed", Integer, nullable=False, server_default="0"),
    Column("data", JSON, nullable=False),
    Column("noticed_at", Moment, nullable=False),
    # When all but its identity was let go: `data` is empty then.
    Column("pruned_at", Moment),
    UniqueConstraint("trigger", "key", "freed"),
    # Of which rows an index is, only the migrations say for PostgreSQL as well. To say it here
    # would load all that SQLAlchemy knows of that, 3 MB, into every daemon.
    Index(
        "ix_event_whole",
        "noticed_at",
        "id",
        sqlite_where=text("pruned_at IS NULL"),
    ),
)

rule_revision = Table(
    "rule_revision",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("revision", String(64), primary_key=True),
    Column("definition", Text, nullable=False),
    Column("first_seen_at", Moment, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("trigger", String(64), nullable=False),
    Column("started_at", Moment, nullable=False),
    # False where, so far, nothing was changed and nothing gave up: such runs are many, dull,
    # and must not hide the others.
    Column("eventful", Boolean, nullable=False, server_default="1"),
    Index("ix_run_eventful", "eventful"),
    Index("ix_run_rule_eventful", "rule", "eventful"),
)

not_matched = Table(
    "not_matched",
    metadata,
    Column("event_id", ForeignKey("event.id", ondelete="CASCADE"), primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("revision", String(64), nullable=False),
    Column("reason", Words, nullable=False),
    Column("judged_at", Moment, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event_id", ForeignKey("event.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", ForeignKey("run.id", ondelete="SET NULL")),
    Column("rule", Text, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("lane", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("needs_client", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("run_at", Moment, nullable=False),
    Column("owner", String(64)),
    Column("lease_until", Moment),
    Column("file_hash", String(64)),
    Column("boot", String(128)),
    Column("ending", String(16)),
    Column("detail", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment),
    # How often a restart of the client has taken back what it did.
    Column("losses", Integer, nullable=False, server_default="0"),
    UniqueConstraint("event_id", "rule"),
    # Only what is still to be done is looked for by lane and state; a ledger of a
    # million finished jobs must not slow a claim down.
    Index(
        "ix_job_open",
        "lane",
        "state",
        "id",
        sqlite_where=text("finished_at IS NULL"),
    ),
    # In the order of the jobs, and gone through from the newest on by who looks for a hash. One in
    # the order of the hashes took a fifth of what a known file costs the ledger, and more the
    # larger it grew: each job lands on a page of its own there.
    Index(
        "ix_job_hashed",
        "id",
        "file_hash",
        sqlite_where=text("file_hash IS NOT NULL"),
    ),
    Index(
        "ix_job_open_rule",
        "rule",
        sqlite_where=text("finished_at IS NULL"),
    ),
    Index("ix_job_run_id", "run_id"),
    Index(
        "ix_job_dead",
        "finished_at",
        sqlite_where=text("state = 'dead'"),
    ),
)

# What is left of a job that was pruned: that the rule has had the event, once and for all.
pruned_job = Table(
    "pruned_job",
    metadata,
    Column("event_id", ForeignKey("event.id", ondelete="CASCADE"), primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("finished_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

# How many jobs of a rule ever ended as done or skipped, those included that were pruned since:
# counting a million rows is too slow for `status`. Beside these states there are two kinds of
# files, as its import steps found them: `imported` (new to the client) and `known`.
ended = Table(
    "ended",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("state", String(16), primary_key=True),
    Column("jobs", Integer, nullable=False),
)

# How many jobs of a rule began in a minute of the last hour, so that a limit by the hour
# outlives the daemon.
begun = Table(
    "begun",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("minute", Moment, primary_key=True),
    Column("jobs", Integer, nullable=False),
)

step = Table(
    "step",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("action", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Words, nullable=False),
    Column("values", JSON, nullable=False),
    Column("receipt", JSON(none_as_null=True)),
    Column("ended_at", Moment, nullable=False),
    Column("began_at", Moment),
)

DEAD = literal("dead", literal_execute=True)
"""The state of dead letters, as the index of these wants it: not a value that is told later."""

# By what words people ask for an event: the name of its file, its URLs, its hashes.
mention = Table(
    "mention",
    metadata,
    Column("event_id", ForeignKey("event.id", ondelete="CASCADE"), primary_key=True),
    Column("word", Words, primary_key=True),
    Index("ix_mention_word", "word"),
    sqlite_with_rowid=False,
)

# Which job takes back what another one did. That one may have been pruned since.
undoing = Table(
    "undoing",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("of_job", Integer, nullable=False),
    Column("of_run", Integer),
    Index("ix_undoing_of_job", "of_job"),
    Index("ix_undoing_of_run", "of_run"),
)

# Which jobs are to end at the next point at which that is safe, and for which later one.
superseded = Table(
    "superseded",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("by_job", Integer, nullable=False),
)

# What a trigger keeps for itself: since when a rule listens, what was fired last.
trigger_memory = Table(
    "trigger_memory",
    metadata,
    Column("trigger", String(64), primary_key=True),
    Column("identity", Text, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)

# A memory of what was answered about whole groups of files: ids of folders and digests, which
# only `_known_files` understands. It may be emptied at any time.
known_files = Table(
    "known_files",
    metadata,
    Column("folder", LargeBinary(16), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("view", LargeBinary(16), primary_key=True),
    Column("digest", LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)

# What happens inside hydrusd and may fire a rule: stored with what caused it, so that a
# chain of rules does not break where the daemon dies between two of them.
signal = Table(
    "signal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("ix_signal_topic_id", "topic", "id"),
    sqlite_autoincrement=True,  # an id that was pruned must not come back: listeners count by it
)

# What a lane, a rule or a trigger waits for, so that `status` in another process can say it.
condition = Table(
    "condition",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("name", Words, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Words, nullable=False),
    Column("since", Moment, nullable=False),
)
