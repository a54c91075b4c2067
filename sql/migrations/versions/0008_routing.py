"""Routing: rules of all lines and of single ones, clients on the VIP and the black list.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "routing_rules",
        sa.Column("did", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("words", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("did", "rule"),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "routing_clients",
        sa.Column("list", sa.String(length=10), nullable=False),
        sa.Column("whom", sa.String(length=64), nullable=False),
        sa.Column("data", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("list", "whom"),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    op.drop_table("routing_clients")
    op.drop_table("routing_rules")
