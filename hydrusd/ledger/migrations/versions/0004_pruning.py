"""What is left of pruned events, how many jobs ended, how many began lately."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.String(27)


def upgrade() -> None:
    """Add them, and count what has ended by now."""
    op.add_column("event", sa.Column("pruned_at", MOMENT))
    whole = sa.text("pruned_at IS NULL")
    op.create_index(
        "ix_event_whole",
        "event",
        ["noticed_at", "id"],
        sqlite_where=whole,
        postgresql_where=whole,
    )
    op.create_table(
        "pruned_job",
        sa.Column("event_id", sa.Integer, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("finished_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name="fk_pruned_job_event_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", "rule", name="pk_pruned_job"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ended",
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("rule", "state", name="pk_ended"),
    )
    op.create_table(
        "begun",
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("minute", MOMENT, nullable=False),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("rule", "minute", name="pk_begun"),
    )
    op.execute(
        "INSERT INTO ended (rule, state, jobs) SELECT rule, state, count(*) FROM job "
        "WHERE state IN ('done', 'skipped') GROUP BY rule, state"
    )
