"""An index that holds the backlog alone, in its order; when the last error was.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits every DDL statement: what a killed upgrade left half done is done only as far as it is missing.
    found = sa.inspect(op.get_bind())
    indexes = {index["name"] for index in found.get_indexes("calls")}
    if "error_at" not in {column["name"] for column in found.get_columns("calls")}:
        op.add_column("calls", sa.Column("error_at", sa.Double()))
    if "calls_step" not in indexes:
        op.create_index("calls_step", "calls", ["step", "ended_at", "due_at", "lease_until"])
    if "calls_due" in indexes:
        op.drop_index("calls_due", "calls")


def downgrade() -> None:
    op.create_index("calls_due", "calls", ["due_at"])
    op.drop_index("calls_step", "calls")
    op.drop_column("calls", "error_at")
