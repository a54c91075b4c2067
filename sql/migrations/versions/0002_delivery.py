"""What delivery chooses by and tells of: when a call ended, its next step, its last error; one CALL_ID, one call.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits every DDL statement: what a killed upgrade left half done is done only as far as it is missing.
    found = sa.inspect(op.get_bind())
    present = {column["name"] for column in found.get_columns("calls")}
    kinds = {"ended_at": sa.Double(), "step": sa.String(10), "last_error": sa.String(255)}
    for name in kinds.keys() - present:
        op.add_column("calls", sa.Column(name, kinds[name]))
    table = sa.table("calls", sa.column("id"), sa.column("portal_call_id"), sa.column("state"), sa.column("step"),
                     sa.column("due_at"), sa.column("started_at"), sa.column("ended_at"))  # fmt: skip
    connection = op.get_bind()
    _one_call_each(connection, table)
    # Exact values come with a call's next event; until then what is due must be found.
    step = sa.case(
        (table.c.state == "finished", "attach"), (table.c.portal_call_id.is_(None), "register"), else_="finish"
    )
    connection.execute(sa.update(table).where(table.c.due_at.is_not(None)).values(step=step))
    over = table.c.state.in_(("ended", "finished", "complete"))
    connection.execute(sa.update(table).where(over).values(ended_at=table.c.started_at))
    unique = {index["name"]: index["unique"] for index in found.get_indexes("calls")}
    if not unique.get("calls_portal", True):
        op.drop_index("calls_portal", "calls")
    if not unique.get("calls_portal"):
        op.create_index("calls_portal", "calls", ["portal_call_id"], unique=True)


def _one_call_each(connection: sa.Connection, table: sa.TableClause) -> None:
    owned = table.c.portal_call_id.is_not(None)
    shared = (
        sa.select(table.c.portal_call_id, sa.func.min(table.c.id).label("owner"))
        .where(owned).group_by(table.c.portal_call_id).having(sa.func.count() > 1)
    )  # fmt: skip
    for call_id, owner in connection.execute(shared).all():
        others = sa.update(table).where(table.c.portal_call_id == call_id, table.c.id != owner)
        connection.execute(others.values(portal_call_id=None))


def downgrade() -> None:
    op.drop_index("calls_portal", "calls")
    op.create_index("calls_portal", "calls", ["portal_call_id"])
    with op.batch_alter_table("calls") as calls:
        for name in ("last_error", "step", "ended_at"):
            calls.drop_column(name)
