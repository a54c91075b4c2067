"""What becomes of a line's calls, and of the employees what Bitrix24's structure and our own tables say.

Revision ID: 0009
Revises: 0008
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits every DDL statement: what a killed upgrade left half done is done only as far as it is missing.
    found = sa.inspect(op.get_bind())
    for table, columns in {"lines": _of_lines(), "users": [sa.Column("departments", sa.Text())]}.items():
        present = {column["name"] for column in found.get_columns(table)}
        for column in columns:
            if column.name not in present:
                op.add_column(table, column)
    present_tables = set(found.get_table_names())
    for name, columns in _tables().items():
        if name not in present_tables:
            op.create_table(name, *columns, mysql_charset="utf8mb4", mysql_engine="InnoDB")


def _of_lines() -> list[sa.Column[Any]]:
    return [
        sa.Column("source", sa.String(50), nullable=False, server_default=""),
        sa.Column("default_user", sa.BigInteger()),
        sa.Column("leads", sa.String(16), nullable=False, server_default="lead"),
        sa.Column("caller_name", sa.String(255), nullable=False, server_default=""),
        sa.Column("latin", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("longest", sa.Integer(), nullable=False, server_default="40"),
    ]


def _tables() -> dict[str, list[sa.Column[Any]]]:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return {
        "departments": [
            sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("parent", sa.BigInteger()),
            sa.Column("head", sa.BigInteger()),
            sa.Column("name", sa.String(255), nullable=False),
        ],
        "mobiles": [
            sa.Column("number", sa.String(32), primary_key=True),
            sa.Column("user_id", sa.BigInteger(), nullable=False),
        ],
        "heads": [
            sa.Column("user_id", sa.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("head_id", sa.BigInteger(), nullable=False),
        ],
        "deputies": [
            sa.Column("id", number, primary_key=True, autoincrement=True),
            sa.Column("user_id", sa.BigInteger(), nullable=False),
            sa.Column("deputy_id", sa.BigInteger(), nullable=False),
            *_period(),
        ],
        "absences": [
            sa.Column("id", number, primary_key=True, autoincrement=True),
            sa.Column("user_id", sa.BigInteger(), nullable=False),
            *_period(),
            sa.Column("by_portal", sa.Boolean(), nullable=False),
        ],
    }


def _period() -> list[sa.Column[Any]]:
    return [sa.Column("since", sa.Double()), sa.Column("until", sa.Double())]


def downgrade() -> None:
    for name in _tables():
        op.drop_table(name)
    with op.batch_alter_table("users") as users:
        users.drop_column("departments")
    with op.batch_alter_table("lines") as lines:
        for column in _of_lines():
            lines.drop_column(column.name)
