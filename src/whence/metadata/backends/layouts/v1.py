"""Layout 1, as whence 0.1 made it: for SQLite only. Frozen: databases that have it exist."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

# SQLite gives rowids only to INTEGER keys; elsewhere an id has 64 bits by name.
ID: Final = BigInteger().with_variant(Integer, "sqlite")

METADATA: Final = MetaData()

TYPE: Final = Table(
    "type",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("version", String(255), nullable=False, comment="empty when there is none"),
    Column("description", Text),
    Column("base", String(255)),
    Column("properties", Text, nullable=False, comment="JSON: name to type"),
    Index("type_name", "kind", "name", "version", unique=True),
)

NODE: Final = Table(
    "node",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("type_id", ID, ForeignKey("type.id"), nullable=False),
    Column("uid", String(64), nullable=False),
    Column("name", String(512)),
    Column("external_id", String(512)),
    Column("uri", Text),
    Column("state", String(24)),
    Column("properties", Text, nullable=False, comment="JSON: typed under p, custom under c"),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
)
Index("node_uid", NODE.c.uid, unique=True)
Index("node_name", NODE.c.type_id, NODE.c.name, unique=True)
Index("node_state", NODE.c.kind, NODE.c.state)
Index("node_created", NODE.c.created_us)
Index("node_updated", NODE.c.updated_us)
_EXTERNAL = NODE.c.external_id.is_not(None)
Index(
    "node_external",
    NODE.c.kind,
    NODE.c.external_id,
    unique=True,
    sqlite_where=_EXTERNAL,
    postgresql_where=_EXTERNAL,
)
_URI = NODE.c.uri.is_not(None)
Index("node_uri", NODE.c.uri, sqlite_where=_URI, postgresql_where=_URI, mysql_length=512)

EVENT: Final = Table(
    "event",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("execution_id", ID, ForeignKey("node.id"), nullable=False),
    Column("artifact_id", ID, ForeignKey("node.id"), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("path", String(500), nullable=False, comment="JSON, empty when there is none"),
    Column("at_us", BigInteger, nullable=False),
)
Index(
    "event_of_execution", EVENT.c.execution_id, EVENT.c.artifact_id, EVENT.c.kind, EVENT.c.path, unique=True
)
Index("event_of_artifact", EVENT.c.artifact_id, EVENT.c.execution_id, EVENT.c.kind)

MEMBER: Final = Table(
    "member",
    METADATA,
    Column("context_id", ID, ForeignKey("node.id"), primary_key=True, autoincrement=False),
    Column("node_id", ID, ForeignKey("node.id"), primary_key=True, autoincrement=False),
    comment="attributions (the node is an artifact) and associations (it is an execution)",
    sqlite_with_rowid=False,
)
Index("member_of_node", MEMBER.c.node_id, MEMBER.c.context_id)

PARENT: Final = Table(
    "parent_context",
    METADATA,
    Column("child_id", ID, ForeignKey("node.id"), primary_key=True, autoincrement=False),
    Column("parent_id", ID, ForeignKey("node.id"), primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
Index("parent_context_of_parent", PARENT.c.parent_id)


def make(connection: Connection) -> None:
    """Make the tables of layout 1, with the nine simple types."""
    METADATA.create_all(connection)
    simple = {
        "artifact": ("Dataset", "Model", "Metrics", "Statistics"),
        "execution": ("Train", "Transform", "Process", "Evaluate", "Deploy"),
    }
    pairs = [(kind, f"mlmd.{name}") for kind, names in simple.items() for name in names]
    rows = [
        {"id": i, "kind": kind, "name": name, "version": "", "properties": "{}"}
        for i, (kind, name) in enumerate(pairs, 1)
    ]
    connection.execute(TYPE.insert(), rows)
