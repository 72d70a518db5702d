"""Jobs are looked for by their rule only while they are open.

The index that this replaces had all jobs that ever were in it, and was written four times for each.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put a small index in the place of a large one."""
    op.create_index(
        "ix_job_open_rule", "job", ["rule"], sqlite_where=sa.text("finished_at IS NULL")
    )
    op.drop_index("ix_job_rule_state", "job")
