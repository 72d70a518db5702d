"""Which job was about a file is looked for in the order of the jobs.

The index that this replaces was in the order of the hashes, which is none: each job was written to
a page of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the one in the place of the other."""
    hashed = sa.text("file_hash IS NOT NULL")
    op.create_index(
        "ix_job_hashed",
        "job",
        ["id", "file_hash"],
        sqlite_where=hashed,
        postgresql_where=hashed,
    )
    op.drop_index("ix_job_file_hash", "job")
