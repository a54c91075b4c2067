"""Rules for numbers, white and black lists, and what the PBX itself knows of extensions and unwanted callers.

Revision ID: 0007
Revises: 0006
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits every DDL statement: what a killed upgrade left half done is done only as far as it is missing.
    found = set(sa.inspect(op.get_bind()).get_table_names())
    for name, columns in _tables().items():
        if name not in found:
            op.create_table(name, *columns, mysql_charset="utf8mb4", mysql_engine="InnoDB")


def downgrade() -> None:
    for name in _tables():
        op.drop_table(name)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=False)


def _id() -> sa.Column[int]:
    type_ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", type_, autoincrement=True, primary_key=True)


def _tables() -> dict[str, list[sa.Column[Any]]]:
    return {
        "number_rules": [
            _id(),
            sa.Column("position", sa.Integer(), nullable=False),
            _text("direction", 10),
            _text("trunk", 80),
            _text("did", 80),
            _text("prefix", 24),
            sa.Column("shortest", sa.Integer(), nullable=False),
            sa.Column("longest", sa.Integer(), nullable=False),
            sa.Column("extension", sa.Boolean(), nullable=False),
            _text("replacement", 24),
        ],
        "number_lists": [_id(), _text("kind", 10), _text("what", 10), _text("value", 80)],
        "pbx_lists": [
            sa.Column("kind", sa.String(length=10), primary_key=True),
            sa.Column("value", sa.String(length=40), primary_key=True),
        ],
    }
