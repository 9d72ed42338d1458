"""The tables of the graph, layout 2, one for every SQL system.

**An id is 4n + code** (artifact 1, execution 2, context 3): a walk knows the kind of a neighbour from its
number alone. **States and kinds are ML Metadata's numbers, uids are 16 bytes**: a third of the file was
words; the views ``graph_node`` and ``graph_event`` show them again to a person who opens the file.
**One JSON column for the properties**: a third of the size of a row per property and a third of the writes.

No foreign keys: a plan has looked at every end of every edge, under the writers' turn.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    literal_column,
)
from sqlalchemy.dialects import mysql

# SQLite gives rowids only to INTEGER keys; elsewhere an id has 64 bits by name.
ID: Final = BigInteger().with_variant(Integer, "sqlite")
UID: Final = LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
# MySQL's TEXT ends at 64 KiB; properties and uris have up to 16 MiB.
TEXT: Final = (
    Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb").with_variant(Text(collation="C"), "postgresql")
)


def _string(length: int) -> String:
    """Text in the order of its code points everywhere."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


METADATA: Final = MetaData()

TYPE: Final = Table(
    "type",
    METADATA,
    Column("id", ID, primary_key=True, autoincrement=False),
    Column("code", SmallInteger, nullable=False, comment="the kind: 1 artifact, 2 execution, 3 context"),
    Column("name", _string(255), nullable=False),
    Column("version", _string(255), nullable=False, comment="empty when there is none"),
    Column("description", TEXT),
    Column("base", _string(255)),
    Column("external_id", _string(255)),
    Column("input_type", TEXT),
    Column("output_type", TEXT),
    Column("properties", TEXT, nullable=False, comment="JSON: name to type"),
    Index("type_name", "code", "name", "version", unique=True),
    Index("type_external", "code", "external_id", unique=True),
)

NAMESPACE: Final = Table(
    "namespace",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", _string(64), nullable=False, unique=True),
    Column("created_us", BigInteger, nullable=False),
    Column("closed", Boolean(create_constraint=False), nullable=False),
)

NODE: Final = Table(
    "node",
    METADATA,
    Column("id", ID, primary_key=True, autoincrement=False),
    Column("type_id", ID, nullable=False),
    Column("namespace_id", SmallInteger, nullable=False),
    Column("uid", UID, nullable=False),
    Column("uid_text", _string(64), comment="the uid, when it is not a ULID"),
    Column("name", _string(512)),
    Column("external_id", _string(512)),
    Column("uri", TEXT),
    Column("state", SmallInteger),
    Column(
        "properties", TEXT, nullable=False, comment="JSON: typed under p, custom under c, of a tombstone t"
    ),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, comment="null: never since it was created"),
    Column("revision", Integer, nullable=False),
    Column("removed_us", BigInteger, comment="a tombstone's moment"),
)
Index("node_uid", NODE.c.uid, unique=True)
Index("node_name", NODE.c.type_id, NODE.c.namespace_id, NODE.c.name, unique=True)
_URI = NODE.c.uri.is_not(None)
# PostgreSQL's trees refuse values of more than 2,704 bytes; its hashes do not.
Index(
    "node_uri",
    NODE.c.uri,
    sqlite_where=_URI,
    postgresql_where=_URI,
    postgresql_using="hash",
    mysql_length=512,
    mariadb_length=512,
)

OPEN_STATES: Final = {"artifact": ("PENDING",), "execution": ("NEW", "RUNNING")}
"""The states of nodes that something still happens to; there are few of them, and an index of them."""


def code_of(node: FromClause) -> ColumnElement[int]:
    """The kind of a node row as a number: 1 artifact, 2 execution, 3 context."""
    return node.c.id.op("&", return_type=Integer())(literal_column("3", Integer()))


def is_open(node: FromClause) -> ColumnElement[bool]:
    """The condition of the index ``node_open``; and it to a query that asks for open states only.

    PENDING (1) of an artifact, NEW (1) and RUNNING (2) of an execution: from 1 to the code of the kind. A planner uses
    a partial index only where the query says its condition in the same words; and a condition with a list costs
    SQLite 3 µs for each row that is inserted.
    """
    return and_(node.c.state >= literal_column("1", Integer()), node.c.state <= code_of(node))


def _has_partial(*_: object, dialect: Dialect, **__: object) -> bool:
    return dialect.name in ("sqlite", "postgresql")


def _has_no_partial(*_: object, dialect: Dialect, **__: object) -> bool:
    return dialect.name not in ("sqlite", "postgresql")


_EXTERNAL = NODE.c.external_id.is_not(None)
Index(
    "node_external",
    NODE.c.external_id,
    NODE.c.namespace_id,
    code_of(NODE),
    unique=True,
    sqlite_where=_EXTERNAL,
    postgresql_where=_EXTERNAL,
).ddl_if(callable_=_has_partial)
Index("node_open", NODE.c.id, sqlite_where=is_open(NODE), postgresql_where=is_open(NODE)).ddl_if(
    callable_=_has_partial
)
Index("node_state", NODE.c.state).ddl_if(callable_=_has_no_partial)

EVENT: Final = Table(
    "event",
    METADATA,
    Column("execution_id", ID, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("artifact_id", ID, primary_key=True, autoincrement=False),
    Column("path", _string(500), primary_key=True, comment="JSON, empty when there is none"),
    Column("position", Integer, nullable=False, comment="among the events of one write"),
    Column("at_us", BigInteger, nullable=False),
    Column("known_us", BigInteger, comment="when it was written; null: at_us"),
    sqlite_with_rowid=False,
)
Index("event_of_artifact", EVENT.c.artifact_id, EVENT.c.kind, EVENT.c.execution_id)

MEMBER: Final = Table(
    "member",
    METADATA,
    Column("context_id", ID, primary_key=True, autoincrement=False),
    Column("node_id", ID, primary_key=True, autoincrement=False),
    Column("known_us", BigInteger, comment="null: since both exist"),
    comment="attributions (the node is an artifact) and associations (it is an execution)",
    sqlite_with_rowid=False,
)
Index("member_of_node", MEMBER.c.node_id, MEMBER.c.context_id)

PARENT: Final = Table(
    "parent_context",
    METADATA,
    Column("child_id", ID, primary_key=True, autoincrement=False),
    Column("parent_id", ID, primary_key=True, autoincrement=False),
    Column("known_us", BigInteger, comment="null: since both exist"),
    sqlite_with_rowid=False,
)
Index("parent_context_of_parent", PARENT.c.parent_id)

NODE_PAST: Final = Table(
    "node_past",
    METADATA,
    Column("node_id", ID, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("until_us", BigInteger, nullable=False, comment="when the next revision came"),
    Column("delta", TEXT, nullable=False, comment="JSON: what the next revision changed, as it was before"),
    comment="earlier revisions of nodes",
    sqlite_with_rowid=False,
)

COUNTER: Final = Table(
    "counter",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("last_n", BigInteger, nullable=False, comment="n of the newest node there ever was"),
    Column("last_us", BigInteger, nullable=False, comment="the moment of the last write; the next is later"),
    comment="one row; a node that is newer says the same of itself",
)

MARK: Final = Table(
    "mark",
    METADATA,
    Column("id", ID, primary_key=True, autoincrement=False),
    Column("node_id", ID, nullable=False),
    Column("verdict", _string(16), nullable=False),
    Column("policy", _string(16), nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("principal", _string(255), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("lifted_us", BigInteger),
    Column("lifted_by", _string(255)),
    Index("mark_of_node", "node_id"),
)

LIFE: Final = Table(
    "life",
    METADATA,
    Column("uid", _string(64), primary_key=True),
    Column("host", _string(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("beat_us", BigInteger, nullable=False),
    comment="processes that have executions open, and their heartbeats",
    sqlite_with_rowid=False,
)

PROPERTY_INDEX: Final = Table(
    "property_index",
    METADATA,
    Column("name", _string(64), primary_key=True),
    Column("code", SmallInteger, nullable=False),
    Column("part", _string(16), nullable=False),
    Column("key", _string(255), nullable=False),
    Column("affinity", _string(16), nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("used_us", BigInteger, nullable=False),
    Column("state", _string(16), nullable=False),
    comment="the expression indexes that exist",
    sqlite_with_rowid=False,
)

IMPORTED: Final = Table(
    "imported",
    METADATA,
    Column("source", _string(64), primary_key=True),
    Column("code", SmallInteger, primary_key=True, autoincrement=False),
    Column("their_id", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", ID, nullable=False),
    comment="ids that imported nodes have elsewhere",
    sqlite_with_rowid=False,
)
Index("imported_node", IMPORTED.c.node_id)
