"""A database that ML Metadata wrote, read as value objects of the graph: SQLite files of schema versions 6 to 10.

The file is opened read-only and read in one transaction; nothing is ever written beside it. What older versions lack
is absent: ``external_id`` before 9, ``byte_value`` before 7, values of kinds PROTO and BOOLEAN before 10.
"""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, cast, get_args
from urllib.parse import quote

from whence._base.ids import derived_uid
from whence.errors import IntegrityError, NotFoundError, UsageError
from whence.integrations.mlmd.convert import from_ms, struct_value
from whence.metadata.types import (
    AnyNode,
    Artifact,
    ArtifactState,
    Context,
    Event,
    EventKind,
    Execution,
    ExecutionState,
    NodeKind,
    PropertyType,
    Type,
    Value,
)

VERSIONS: Final = range(6, 11)
BATCH: Final = 1_000
_STRUCT: Final = "mlmd-struct::"
_KINDS: Final[tuple[NodeKind, ...]] = ("execution", "artifact", "context")  # by ``type_kind``
_STATES: Final[Mapping[NodeKind, tuple[str, ...]]] = {
    "artifact": get_args(ArtifactState),
    "execution": get_args(ExecutionState),
}
_EVENTS: Final = get_args(EventKind)
_TABLES: Final[Mapping[NodeKind, str]] = {
    "artifact": "Artifact",
    "execution": "Execution",
    "context": "Context",
}


@dataclass(frozen=True, slots=True)
class SourceNode:
    """A node with its id and type's id there; `node` has a uid made from the source's name, kind and id."""

    id: int
    node: AnyNode


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """An event; its kind is None when the database says UNKNOWN."""

    id: int
    event: Event | None


class SqliteSource:
    """An open database of ML Metadata.

    Args:
        path: The file.
        name: What it is called in uids; None derives a name from its first rows, which never change.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: It is no database of ML Metadata, or of another version (``mlmd-version``).
    """

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        if not path.is_file():
            raise NotFoundError("file", path)
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            self._connection.execute("BEGIN")
            self.version = self._read_version(path)
            self.name = name or self._fingerprint()
            self._types: dict[int, Type] = {t.id or 0: t for t in self._read_types()}
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the reading."""
        self._connection.close()

    def types(self) -> list[Type]:
        """Every type, by its id there."""
        return list(self._types.values())

    def counts(self) -> dict[str, int]:
        """The number of rows of each table that is brought in."""
        tables = ("Type", *_TABLES.values(), "Event", "Attribution", "Association", "ParentContext")
        return {t: self._rows(f"SELECT count(*) FROM {t}")[0][0] for t in tables}

    def uid(self, kind: NodeKind, id_: int) -> str:
        """The uid a node has wherever this source is brought in."""
        return derived_uid("mlmd", self.name, kind, str(id_))

    def nodes(self, kind: NodeKind) -> Iterator[list[SourceNode]]:
        """The nodes of a kind by id, in batches."""
        table, last = _TABLES[kind], 0
        while True:
            rows = self._dicts(f"SELECT * FROM {table} WHERE id > ? ORDER BY id LIMIT {BATCH}", last)
            if not rows:
                return
            values = self._properties(kind, rows[0]["id"], rows[-1]["id"])
            yield [self._node(kind, row, values.get(row["id"], ({}, {}))) for row in rows]
            last = rows[-1]["id"]

    def events(self) -> Iterator[list[SourceEvent]]:
        """The events by id, in batches."""
        last = 0
        while True:
            rows = self._dicts(f"SELECT * FROM Event WHERE id > ? ORDER BY id LIMIT {BATCH}", last)
            if not rows:
                return
            paths: dict[int, list[str | int]] = {}
            query = "SELECT * FROM EventPath WHERE event_id BETWEEN ? AND ? ORDER BY rowid"
            for step in self._dicts(query, rows[0]["id"], rows[-1]["id"]):
                part = step["step_index"] if step["is_index_step"] else step["step_key"]
                paths.setdefault(step["event_id"], []).append(part)
            yield [self._event(row, tuple(paths.get(row["id"], ()))) for row in rows]
            last = rows[-1]["id"]

    def pairs(self, table: str) -> Iterator[list[tuple[str, str]]]:
        """The pairs of ``Attribution``, ``Association`` or ``ParentContext`` in batches, as (context or child, other)."""
        ends: dict[str, tuple[NodeKind, str]] = {
            "Attribution": ("artifact", "artifact_id"),
            "Association": ("execution", "execution_id"),
            "ParentContext": ("context", "parent_context_id"),
        }
        kind, column = ends[table]
        last = 0
        query = (
            f"SELECT rowid, context_id, {column} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {BATCH}"
        )
        while rows := self._rows(query, last):
            yield [(self.uid("context", a), self.uid(kind, b)) for _, a, b in rows]
            last = rows[-1][0]

    # rows

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"the database cannot be read: {error}", code="mlmd-mismatch") from error

    def _dicts(self, query: str, *values: object) -> list[dict[str, Any]]:
        try:
            cursor = self._connection.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"the database cannot be read: {error}", code="mlmd-mismatch") from error

    def _read_version(self, path: Path) -> int:
        try:
            found = self._connection.execute("SELECT schema_version FROM MLMDEnv").fetchone()
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{path} is no database of ML Metadata", code="mlmd-version") from error
        version: int = found[0] if found else 0
        if version not in VERSIONS:
            raise UsageError(
                f"{path} has schema version {version} of ML Metadata; versions 6 to 10 can be read",
                code="mlmd-version",
                hint="let ML Metadata 1.x upgrade a copy with enable_upgrade_migration",
            )
        return version

    def _fingerprint(self) -> str:
        first = [
            self._rows(f"SELECT id, type_id, create_time_since_epoch FROM {table} ORDER BY id LIMIT 1")
            for table in _TABLES.values()
        ]
        types = self._rows("SELECT id, name FROM Type WHERE name NOT LIKE 'mlmd.%' ORDER BY id LIMIT 1")
        return derived_uid("mlmd-source", repr((types, first)))

    def _read_types(self) -> Iterator[Type]:
        names = dict(self._rows("SELECT id, name FROM Type"))
        bases = {a: names[b] for a, b in self._rows("SELECT type_id, parent_type_id FROM ParentType")}
        properties: dict[int, dict[str, PropertyType]] = {}
        kinds = get_args(PropertyType)
        for id_, name, number in self._rows("SELECT type_id, name, data_type FROM TypeProperty"):
            properties.setdefault(id_, {})[name] = kinds[number - 1]
        for row in self._dicts("SELECT * FROM Type ORDER BY id"):
            yield Type(
                _KINDS[row["type_kind"]],
                row["name"],
                properties.get(row["id"], {}),
                version=row["version"] or None,
                description=row["description"],
                base=bases.get(row["id"]),
                id=row["id"],
            )

    def _node(
        self, kind: NodeKind, row: dict[str, Any], values: tuple[dict[str, Value], dict[str, Value]]
    ) -> SourceNode:
        type_ = self._types.get(row["type_id"])
        if type_ is None or type_.kind != kind:
            raise IntegrityError(
                f"{kind} {row['id']} has type {row['type_id']}, which is absent", code="mlmd-mismatch"
            )
        given: dict[str, Any] = {
            "type": type_.name,
            "type_version": type_.version,
            "name": row["name"] or None,
            "external_id": row.get("external_id") or None,
            "properties": values[0],
            "custom": values[1],
            "uid": self.uid(kind, row["id"]),
            "created_at": from_ms(row["create_time_since_epoch"]),
            "updated_at": from_ms(row["last_update_time_since_epoch"]),
        }
        if kind == "artifact":
            node: AnyNode = Artifact(**given, uri=row["uri"], state=self._state(kind, row["state"]))  # type: ignore[arg-type]  # one of the states
        elif kind == "execution":
            node = Execution(**given, state=self._state(kind, row["last_known_state"]))  # type: ignore[arg-type]  # one of the states
        else:
            node = Context(**given)
        return SourceNode(row["id"], node)

    def _state(self, kind: NodeKind, number: int | None) -> str:
        states = _STATES[kind]
        if number is not None and not 0 <= number < len(states):
            raise IntegrityError(f"{number} is no state of an {kind}", code="mlmd-mismatch")
        return states[number or 0]

    def _properties(
        self, kind: NodeKind, first: int, last: int
    ) -> dict[int, tuple[dict[str, Value], dict[str, Value]]]:
        key = f"{kind}_id"
        out: dict[int, tuple[dict[str, Value], dict[str, Value]]] = {}
        query = f"SELECT * FROM {_TABLES[kind]}Property WHERE {key} BETWEEN ? AND ?"
        for row in self._dicts(query, first, last):
            typed, custom = out.setdefault(row[key], ({}, {}))
            (custom if row["is_custom_property"] else typed)[row["name"]] = _value(row, kind, row[key])
        return out

    def _event(self, row: dict[str, Any], path: tuple[str | int, ...]) -> SourceEvent:
        number = row["type"]
        if not 0 < number <= len(_EVENTS):
            return SourceEvent(row["id"], None)
        at = row["milliseconds_since_epoch"]
        execution = self.uid("execution", row["execution_id"])
        artifact = self.uid("artifact", row["artifact_id"])
        return SourceEvent(row["id"], Event(execution, artifact, _EVENTS[number - 1], path, from_ms(at or 0)))


def _value(row: dict[str, Any], kind: NodeKind, id_: int) -> Value:
    place = f"property {row['name']!r} of {kind} {id_}"
    if row.get("byte_value") is not None:
        raise IntegrityError(f"{place} has a byte_value, which ML Metadata never wrote", code="mlmd-mismatch")
    try:
        if row.get("proto_value") is not None:
            return base64.b64decode(row["proto_value"], validate=True)
        text = row["string_value"]
        if isinstance(text, str) and text.startswith(_STRUCT):
            return struct_value(base64.b64decode(text.removeprefix(_STRUCT), validate=True))
    except (binascii.Error, ValueError) as error:
        raise IntegrityError(f"{place} cannot be decoded: {error}", code="mlmd-mismatch") from error
    if row.get("bool_value") is not None:
        return bool(row["bool_value"])
    for column in ("int_value", "double_value"):
        if row[column] is not None:
            return cast("int | float", row[column])
    return cast("str | None", text)
