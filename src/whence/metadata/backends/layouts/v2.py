"""Layout 2: the kind in the id, codes instead of words, uids of 16 bytes, revisions that are kept.

See `whence.metadata.backends.tables`, which has it as it stands: whoever changes that copies it here first.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, text

from whence._base.crash import crash_point, register
from whence.errors import UnsupportedError
from whence.metadata.backends.tables import COUNTER, METADATA, NAMESPACE, TYPE
from whence.metadata.codes import (
    ARTIFACT_STATES,
    EVENT_CODES,
    EVENT_KINDS,
    EXECUTION_STATES,
    KIND_CODES,
    STATE_CODES,
    pack_uid,
)
from whence.metadata.encode import decode, encode
from whence.metadata.simple import SIMPLE_TYPES

COPIED: Final = register(
    "metadata.migrate.copied", "every row is in the tables of layout 2, those of layout 1 are still there"
)
# Children before what they refer to: layout 1 has foreign keys.
OLD_TABLES: Final = ("parent_context", "member", "event", "node", "type")
OLD_INDEXES: Final = (
    "event_of_artifact",
    "event_of_execution",
    "member_of_node",
    "node_created",
    "node_external",
    "node_name",
    "node_state",
    "node_uid",
    "node_updated",
    "node_uri",
    "parent_context_of_parent",
    "type_name",
)


def make(connection: Connection) -> None:
    """Make empty tables, with the simple types and the namespace ``default``; they may be there in part."""
    _tables(connection)
    if connection.execute(text("SELECT count(*) FROM namespace")).scalar() == 0:
        connection.execute(NAMESPACE.insert(), [_default_namespace()])
        connection.execute(COUNTER.insert(), [{"id": 1, "last_n": 0, "last_us": 0}])
    if connection.execute(TYPE.select().limit(1)).first() is None:
        rows = [
            {"id": i, "code": KIND_CODES[t.kind], "name": t.name, "version": "", "properties": "{}"}
            for i, t in enumerate(SIMPLE_TYPES, 1)
        ]
        connection.execute(TYPE.insert(), rows)


def up(connection: Connection) -> None:
    """Bring a database of layout 1 here, whole: ids become 4n + code, nothing else that a caller sees changes."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):  # pragma: no cover - elsewhere whence began with layout 2
        raise UnsupportedError("layout 1 was for SQLite only")
    for table in OLD_TABLES:
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_1")
    for index in OLD_INDEXES:
        connection.exec_driver_sql(f"DROP INDEX {index}")
    _tables(connection)
    connection.execute(NAMESPACE.insert(), [_default_namespace()])
    driver.create_function("uid_bytes", 1, lambda uid: pack_uid(uid)[0], deterministic=True)
    driver.create_function("uid_text", 1, lambda uid: pack_uid(uid)[1], deterministic=True)
    driver.create_function("without_nul", 1, _without_nul, deterministic=True)
    for statement in _copies():
        connection.exec_driver_sql(statement)
    crash_point(COPIED)
    for table in OLD_TABLES:
        connection.exec_driver_sql(f"DROP TABLE {table}_1")


def _tables(connection: Connection) -> None:
    METADATA.create_all(connection)
    if connection.dialect.name in ("mysql", "mariadb"):
        # No transaction holds tables together there: a table may be there, and its indexes not.
        for table in METADATA.sorted_tables:
            for index in sorted(table.indexes, key=lambda i: str(i.name)):
                index.create(connection, checkfirst=True)
        _external_key(connection)
    for name, statement in views(connection.dialect.name).items():
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        connection.exec_driver_sql(statement)


def _external_key(connection: Connection) -> None:
    """MySQL has no index on an expression that MariaDB has too: a column that computes it stands in."""
    there = connection.exec_driver_sql("SHOW COLUMNS FROM node LIKE 'external_key'").first()
    if there is None:
        connection.exec_driver_sql(
            "ALTER TABLE node ADD COLUMN external_key SMALLINT AS (id & 3) VIRTUAL, "
            "ADD UNIQUE INDEX node_external (external_id, namespace_id, external_key)"
        )


def _default_namespace() -> dict[str, object]:
    return {"id": 0, "name": "default", "created_us": time.time_ns() // 1_000, "closed": False}


def _without_nul(properties: str) -> str:
    return encode(*decode(properties)) if "\\u0000" in properties else properties


def _copies() -> list[str]:
    """INSERT … SELECT for each table, words to codes."""
    kind = _case("kind", {str(k): code for k, code in KIND_CODES.items()})
    state = (
        f"CASE WHEN kind = 'artifact' THEN {_case('state', STATE_CODES['artifact'])} "
        f"WHEN kind = 'execution' THEN {_case('state', STATE_CODES['execution'])} END"
    )

    def copy(table: str, columns: str, select: str) -> str:
        return f"INSERT INTO {table} ({columns}) SELECT {select}"

    return [
        copy(
            "type",
            "id, code, name, version, description, base, properties",
            f"id, {kind}, name, version, description, base, properties FROM type_1 ORDER BY id",
        ),
        copy(
            "node",
            "id, type_id, namespace_id, uid, uid_text, name, external_id, uri, state, "
            "properties, created_us, updated_us, revision",
            f"id * 4 + {kind}, type_id, 0, uid_bytes(uid), uid_text(uid), name, external_id, uri, {state}, "
            "without_nul(properties), created_us, nullif(updated_us, created_us), revision FROM node_1 ORDER BY id",
        ),
        copy(
            "event",
            "execution_id, kind, artifact_id, path, position, at_us",
            f"execution_id * 4 + 2, {_case('kind', EVENT_CODES)}, artifact_id * 4 + 1, path, "
            "row_number() OVER (PARTITION BY execution_id, at_us ORDER BY id) - 1, at_us FROM event_1",
        ),
        copy(
            "member",
            "context_id, node_id",
            f"context_id * 4 + 3, node_id * 4 + {kind} FROM member_1 JOIN node_1 ON id = node_id",
        ),
        copy(
            "parent_context",
            "child_id, parent_id",
            "child_id * 4 + 3, parent_id * 4 + 3 FROM parent_context_1",
        ),
        copy(
            "counter",
            "id, last_n, last_us",
            "1, coalesce(max(id), 0), coalesce(max(updated_us), 0) FROM node_1",
        ),
    ]


def _case(column: str, codes: Mapping[str, int]) -> str:
    return f"CASE {column} " + " ".join(f"WHEN '{word}' THEN {code}" for word, code in codes.items()) + " END"


def views(dialect: str) -> dict[str, str]:
    """``graph_node`` and ``graph_event``: the tables in words, for a person with a SQL shell."""
    code = "(n.id & 3)"
    hexed = {"sqlite": "lower(hex(n.uid))", "postgresql": "encode(n.uid, 'hex')"}.get(
        dialect, "lower(hex(n.uid))"
    )
    states = " ".join(
        f"WHEN {code} = {c} AND n.state = {i} THEN '{word}'"
        for c, words in ((1, ARTIFACT_STATES), (2, EXECUTION_STATES))
        for i, word in enumerate(words)
    )
    kinds = " ".join(f"WHEN {code} = {c} THEN '{kind}'" for kind, c in KIND_CODES.items())
    events = " ".join(f"WHEN e.kind = {i} THEN '{word}'" for i, word in enumerate(EVENT_KINDS))
    type_ = "`type`" if dialect in ("mysql", "mariadb") else "type"
    return {
        "graph_node": (
            f"CREATE VIEW graph_node AS SELECT n.id, CASE {kinds} END AS kind, t.name AS type, "
            "t.version AS type_version, s.name AS namespace, "
            f"coalesce(n.uid_text, {hexed}) AS uid, n.name, n.external_id, n.uri, CASE {states} END AS state, "
            "n.properties, n.created_us, coalesce(n.updated_us, n.created_us) AS updated_us, n.revision, "
            f"n.removed_us FROM node n JOIN {type_} t ON t.id = n.type_id "
            "JOIN namespace s ON s.id = n.namespace_id"
        ),
        "graph_event": (
            f"CREATE VIEW graph_event AS SELECT e.execution_id, e.artifact_id, CASE {events} END AS kind, "
            "e.path, e.position, e.at_us, coalesce(e.known_us, e.at_us) AS known_us FROM event e"
        ),
    }
