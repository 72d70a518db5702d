"""Groups of files that need not be asked about one by one."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty: it fills by itself."""
    op.create_table(
        "known_files",
        sa.Column("folder", sa.LargeBinary(16), nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("view", sa.LargeBinary(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sa.PrimaryKeyConstraint("folder", "part", "view", name="pk_known_files"),
        sqlite_with_rowid=False,
    )
