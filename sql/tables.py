"""What is stored, one table a paragraph. Times are unix seconds (UTC by definition, the same on every engine)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMTEXT

metadata = sa.MetaData()

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows only for INTEGER PRIMARY KEY
_Text = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")

# One row a call: what listings and the delivery worker look for, all of it derived from `events`.
# `due_at` is when delivery has something to do (`step`: register | finish | attach), both NULL when it has not: so
# `calls_step` holds the backlog alone, however long the journal, in the order in which it is worked off.
# A portal's CALL_ID belongs to one call only: the database refuses what would finish one call as another.
calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("call_id", sa.String(80), nullable=False, unique=True),
    sa.Column("linkedid", sa.String(80), nullable=False, default=""),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("direction", sa.String(10), nullable=False),
    sa.Column("client_number", sa.String(32), nullable=False, default=""),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("portal_call_id", sa.String(64)),
    sa.Column("step", sa.String(10)),
    sa.Column("due_at", sa.Double),
    sa.Column("last_error", sa.String(255)),
    sa.Column("error_at", sa.Double),
    sa.Column("lease_until", sa.Double),
    sa.Column("lease_owner", sa.String(64)),
    sa.Index("calls_step", "step", "ended_at", "due_at", "lease_until"),
    sa.Index("calls_started", "started_at"),
    sa.Index("calls_linkedid", "linkedid"),
    sa.Index("calls_portal", "portal_call_id", unique=True),
    sa.Index("calls_client", "client_number", "started_at"),
    sa.Index("calls_state", "state", "started_at"),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# The journal itself: everything that happened to a call, only ever added to. `event_id` makes a replay harmless.
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(32), nullable=False, unique=True),
    sa.Column("call_id", sa.String(80), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("data", _Text, nullable=False),
    sa.Index("events_call", "call_id"),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# The portal's users as last seen; replaced only by a complete answer.
users = sa.Table(
    "users",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("extension", sa.String(40), nullable=False),
    sa.Column("phones", _Text, nullable=False),
    sa.Column("departments", sa.Text),
    sa.Column("synced_at", sa.Double, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Whose extension it is where Bitrix24 has no inner number, or where the administrator knows better.
extensions = sa.Table(
    "extensions",
    metadata,
    sa.Column("extension", sa.String(40), primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Mobiles that are an employee's and may be rung, E.164.
mobiles = sa.Table(
    "mobiles",
    metadata,
    sa.Column("number", sa.String(32), primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# The portal's structure as last seen; replaced together with the users.
departments = sa.Table(
    "departments",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("parent", sa.BigInteger),
    sa.Column("head", sa.BigInteger),
    sa.Column("name", sa.String(255), nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Whose head somebody is where the administrator knows better than the structure.
heads = sa.Table(
    "heads",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("head_id", sa.BigInteger, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Who takes somebody's calls, always (both times NULL) or for a while.
deputies = sa.Table(
    "deputies",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("deputy_id", sa.BigInteger, nullable=False),
    sa.Column("since", sa.Double),
    sa.Column("until", sa.Double),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Who is away when: what the portal's calendar says is replaced at each reading, what the administrator wrote stays.
absences = sa.Table(
    "absences",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("since", sa.Double),
    sa.Column("until", sa.Double),
    sa.Column("by_portal", sa.Boolean, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# The rules of a DID, of `trunk/NAME` where calls come without one, or of `*`, all others: calls/lines.py.
lines = sa.Table(
    "lines",
    metadata,
    sa.Column("did", sa.String(64), primary_key=True),
    sa.Column("line", sa.String(50), nullable=False),
    sa.Column("name", sa.String(255), nullable=False, default=""),
    sa.Column("source", sa.String(50), nullable=False, default="", server_default=""),
    sa.Column("default_user", sa.BigInteger),
    sa.Column("leads", sa.String(16), nullable=False, default="lead", server_default="lead"),
    sa.Column("caller_name", sa.String(255), nullable=False, default="", server_default=""),
    sa.Column("latin", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Column("longest", sa.Integer, nullable=False, default=40, server_default="40"),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Moments that outlive a process, by name, and who is about something that one machine at a time does.
marks = sa.Table(
    "marks",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("owner", sa.String(64), nullable=False, default=""),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Request budgets that several machines behind one address share: the level of the portal's bucket at a moment.
budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# What the parts of the program leave for each other on any machine, one text a name: a key they share, what has shown.
notes = sa.Table(
    "notes",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("value", _Text, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Rules for numbers in their order (itgrix_bx/calls/number_rules.py); empty text and 0 ask for nothing.
number_rules = sa.Table(
    "number_rules",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("direction", sa.String(10), nullable=False),
    sa.Column("trunk", sa.String(80), nullable=False),
    sa.Column("did", sa.String(80), nullable=False),
    sa.Column("prefix", sa.String(24), nullable=False),
    sa.Column("shortest", sa.Integer, nullable=False),
    sa.Column("longest", sa.Integer, nullable=False),
    sa.Column("extension", sa.Boolean, nullable=False),
    sa.Column("replacement", sa.String(24), nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# White and black lists: `kind` white | black, `what` number | did | trunk | extension.
number_lists = sa.Table(
    "number_lists",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("what", sa.String(10), nullable=False),
    sa.Column("value", sa.String(80), nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# What the PBX itself knows, as last read from it: `kind` extension | blocked.
pbx_lists = sa.Table(
    "pbx_lists",
    metadata,
    sa.Column("kind", sa.String(10), primary_key=True),
    sa.Column("value", sa.String(40), primary_key=True),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Rules of routing in the words that set them; the empty DID is all lines. See calls/policy.py.
routing_rules = sa.Table(
    "routing_rules",
    metadata,
    sa.Column("did", sa.String(64), primary_key=True),
    sa.Column("rule", sa.String(40), primary_key=True),
    sa.Column("words", _Text, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)

# Clients on the VIP and the black list, by number (E.164) or entity (contact:7).
routing_clients = sa.Table(
    "routing_clients",
    metadata,
    sa.Column("list", sa.String(10), primary_key=True),
    sa.Column("whom", sa.String(64), primary_key=True),
    sa.Column("data", _Text, nullable=False),
    mysql_charset="utf8mb4",
    mysql_engine="InnoDB",
)
