"""Which jobs are to end, as a later one of their rule has taken their place."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "superseded",
        sa.Column("job_id", sa.Integer, nullable=False),
        sa.Column("by_job", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name="fk_superseded_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_superseded"),
    )
