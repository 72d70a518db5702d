"""What people ask the ledger: timings, runs worth a look, words by which events are found."""

import sqlalchemy as sa
from alembic import op

from hydrusd.ledger._mentioning import words_in_event, words_in_values

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.String(27)
PAGE = 1_000


def upgrade() -> None:
    """Add them, and find the words in what is there."""
    op.add_column("step", sa.Column("began_at", MOMENT))
    op.add_column("job", sa.Column("losses", sa.Integer, nullable=False, server_default="0"))
    # Of runs that are there already nobody knows any more how they were: they count as eventful.
    op.add_column("run", sa.Column("eventful", sa.Boolean, nullable=False, server_default="1"))
    op.create_index("ix_run_eventful", "run", ["eventful"])
    op.create_index("ix_run_rule_eventful", "run", ["rule", "eventful"])
    op.create_index("ix_job_run_id", "job", ["run_id"])
    dead = sa.text("state = 'dead'")
    op.create_index("ix_job_dead", "job", ["finished_at"], sqlite_where=dead, postgresql_where=dead)
    op.create_table(
        "mention",
        sa.Column("event_id", sa.Integer, nullable=False),
        sa.Column("word", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name="fk_mention_event_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", "word", name="pk_mention"),
        sqlite_with_rowid=False,
    )
    _fill_mentions()
    op.create_index("ix_mention_word", "mention", ["word"])


def _fill_mentions() -> None:
    """Find the words in what is there already, a page of jobs or events at a time."""
    connection = op.get_bind()
    event = sa.table("event", sa.column("id", sa.Integer), sa.column("data", sa.JSON))
    job = sa.table("job", *map(sa.column, ("id", "event_id", "file_hash")))
    step = sa.table("step", sa.column("job_id", sa.Integer), sa.column("values", sa.JSON))
    mention = sa.table("mention", sa.column("event_id", sa.Integer), sa.column("word", sa.Text))
    last = 0
    while rows := connection.execute(
        sa.select(event.c.id, event.c.data)
        .where(event.c.id > last)
        .order_by(event.c.id)
        .limit(PAGE)
    ).all():
        last = rows[-1].id
        found = {row.id: words_in_event(row.data) for row in rows}
        values = (
            sa.select(job.c.event_id, job.c.file_hash, step.c["values"])
            .join(step, step.c.job_id == job.c.id)
            .where(job.c.event_id >= rows[0].id, job.c.event_id <= last)
        )
        for event_id, known, kept in connection.execute(values):
            found[event_id] |= words_in_values(kept) - {known}
        pairs = [{"event_id": i, "word": word} for i, words in found.items() for word in words]
        if pairs:
            connection.execute(sa.insert(mention), pairs)
