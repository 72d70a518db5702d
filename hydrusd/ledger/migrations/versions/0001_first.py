"""The first tables: events, rules, runs, jobs, steps, conditions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.String(27)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("trigger", sa.String(64), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("freed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("noticed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint("trigger", "key", "freed", name="uq_event_trigger_key_freed"),
    )
    op.create_table(
        "rule_revision",
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("first_seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("rule", "revision", name="pk_rule_revision"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("trigger", sa.String(64), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
    )
    op.create_table(
        "not_matched",
        sa.Column("event_id", sa.Integer, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("judged_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name="fk_not_matched_event_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", "rule", name="pk_not_matched"),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("lane", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("needs_client", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("run_at", MOMENT, nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("lease_until", MOMENT),
        sa.Column("file_hash", sa.String(64)),
        sa.Column("boot", sa.String(128)),
        sa.Column("ending", sa.String(16)),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name="fk_job_event_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_job_run_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("event_id", "rule", name="uq_job_event_id_rule"),
    )
    still_open = sa.text("finished_at IS NULL")
    op.create_index(
        "ix_job_open",
        "job",
        ["lane", "state", "id"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("ix_job_file_hash", "job", ["file_hash"])
    op.create_index("ix_job_rule_state", "job", ["rule", "state"])
    op.create_table(
        "step",
        sa.Column("job_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("values", sa.JSON, nullable=False),
        sa.Column("receipt", sa.JSON),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_step_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_step"),
    )
    op.create_table(
        "condition",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_condition"),
    )
