"""Which job takes back what which other job did."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "undoing",
        sa.Column("job_id", sa.Integer, nullable=False),
        sa.Column("of_job", sa.Integer, nullable=False),
        sa.Column("of_run", sa.Integer),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name="fk_undoing_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_undoing"),
    )
    op.create_index("ix_undoing_of_job", "undoing", ["of_job"])
    op.create_index("ix_undoing_of_run", "undoing", ["of_run"])
