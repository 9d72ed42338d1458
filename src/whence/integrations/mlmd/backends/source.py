"""A database that ML Metadata wrote, as value objects of the graph: schema versions 6 to 10, in each of its systems.

What older versions lack is absent: ``external_id`` before 9, ``byte_value`` before 7, values of kinds PROTO and BOOLEAN
before 10. An event without a time happened at 1970; a state that is not given is UNKNOWN.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar, cast, get_args

from whence._base.ids import derived_uid
from whence.errors import IntegrityError, UsageError
from whence.integrations.mlmd.backends.reader import open_reader
from whence.integrations.mlmd.convert import FIRST_MS, LAST_MS, from_ms, is_time, proto_value, struct_value
from whence.integrations.mlmd.sentences import Sentences
from whence.metadata.codes import unpack_uid
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

Rows: TypeAlias = Sequence[Sequence[Any]]  # Any: what a database holds

VERSIONS: Final = range(6, 11)
BATCH: Final = 5_000
RECENT: Final = 65_536
"""Uids that are kept, to be given again."""
PAIRS: Final[Mapping[str, tuple[NodeKind, NodeKind, str]]] = {
    "Attribution": ("context", "artifact", "artifact_id"),
    "Association": ("context", "execution", "execution_id"),
    "ParentContext": ("context", "context", "parent_context_id"),
}
"""The tables of pairs: the kinds of both ends, and the column of the second."""
MAX_ID: Final = 1 << 60
"""The greatest id that comes in: the graph makes another of it, and of all of them at once."""
EXTERNAL_IDS: Final = 9
"""The version since which nodes have external ids."""
_STRUCT: Final = "mlmd-struct::"
_KINDS: Final[tuple[NodeKind, ...]] = ("execution", "artifact", "context")  # by ``type_kind``
_STATES: Final[Mapping[NodeKind, tuple[str, ...]]] = {
    "artifact": get_args(ArtifactState),
    "execution": get_args(ExecutionState),
}
_EVENTS: Final = get_args(EventKind)
_PROPERTY_TYPES: Final = get_args(PropertyType)
_TABLES: Final[Mapping[NodeKind, str]] = {
    "artifact": "Artifact",
    "execution": "Execution",
    "context": "Context",
}


_TIMES: Final = "create_time_since_epoch, last_update_time_since_epoch"
_VALUES: Final = "name, is_custom_property, int_value, double_value, string_value"
_COLUMNS: Final[Mapping[str, str]] = {
    "Type": "id, name, version, type_kind, description, input_type, output_type",
    "TypeProperty": "type_id, name, data_type",
    "ParentType": "type_id, parent_type_id",
    "Artifact": f"id, type_id, uri, state, name, {_TIMES}",
    "Execution": f"id, type_id, last_known_state, name, {_TIMES}",
    "Context": f"id, type_id, name, {_TIMES}",
    **{f"{table}Property": f"{table.lower()}_id, {_VALUES}" for table in _TABLES.values()},
    "Event": "id, artifact_id, execution_id, type, milliseconds_since_epoch",
    "EventPath": "event_id, is_index_step, step_index, step_key",
}
"""What every version has."""
_NAMED: Final = frozenset({"Type", *_TABLES.values()})
"""What has external ids besides, where a version has them."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SourceNode:
    """A node with its id and type's id there; `node` has a uid made from the source's name, kind and id."""

    id: int
    node: AnyNode


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """An event, or the reason why there is none."""

    id: int
    event: Event | None
    reason: str = ""


def _hashed(*parts: str) -> hashlib._Hash:
    """The digest of `derived_uid` after its first parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest


def _fingerprint(types: Rows, first: Sequence[Rows]) -> str:
    return derived_uid("mlmd-source", repr((types, list(first))))


def _earlier(types: Rows, first: Sequence[Rows]) -> list[str]:
    choices = product(*((rows, []) if rows else (rows,) for rows in first))
    return [_fingerprint(types, some) for some in choices if any(some)][1:]


def _text(row: Mapping[str, Any], column: str, what: str) -> str | None:
    """A text of a row; the empty one is none. SQLite keeps anything in a column of texts."""
    value = row.get(column)
    return None if value is None else _checked(value, f"the {column} of {what}") or None


def _checked(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise IntegrityError(f"{what} is no text: {value!r:.80}", code="mlmd-mismatch")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise IntegrityError(f"{what} is no UTF-8: {value!r:.80}", code="mlmd-mismatch") from error
    return value


def _property_type(id_: object, name: object, number: object) -> PropertyType:
    if number not in range(1, len(_PROPERTY_TYPES) + 1):
        raise IntegrityError(f"property {name!r} of type {id_} is of no kind", code="mlmd-mismatch")
    _checked(name, f"the name of a property of type {id_}")
    return cast("PropertyType", _PROPERTY_TYPES[cast("int", number) - 1])


def _type(row: Mapping[str, Any], properties: Mapping[str, PropertyType], base: str | None) -> Type:
    if row["type_kind"] not in range(len(_KINDS)):
        raise IntegrityError(f"type {row['id']} is of no kind", code="mlmd-mismatch")
    what = f"type {row['id']}"
    name = _text(row, "name", what)
    if name is None:
        raise IntegrityError(f"{what} has no name", code="mlmd-mismatch")
    description = row["description"] and _text(row, "description", what)
    return Type(
        _KINDS[row["type_kind"]],
        name,
        properties,
        version=_text(row, "version", what),
        description=description,
        base=base,
        id=row["id"],
        external_id=_text(row, "external_id", what),
        input_type=_text(row, "input_type", what),
        output_type=_text(row, "output_type", what),
    )


class Source:
    """An open database of ML Metadata.

    Args:
        place: A SQLite file, or a URL ``mysql://…``, ``postgresql://…``.
        name: What it is called in uids; None derives a name from its first rows, which never change.
        wrong: Told every row that contradicts the database, which is then left out; without it the first one raises.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: It is no database of ML Metadata, or of another version (``mlmd-version``).
        BackendError: The server cannot be reached.
    """

    def __init__(
        self, place: str | Path, *, name: str | None = None, wrong: Callable[[str], None] | None = None
    ) -> None:
        self._wrong = wrong
        self._reader = open_reader(place)
        self.place = self._reader.place
        try:
            self.version = self._read_version()
            for table, columns in _COLUMNS.items():
                named = table in _NAMED and self.version >= EXTERNAL_IDS
                more = ", external_id" if named else ""
                self._reader.rows(
                    f"SELECT {columns}{more} FROM {table} LIMIT 0"
                )  # else it says which is absent
            first = self._first_rows()
            self.name = name or _fingerprint(*first)
            self.earlier_names: list[str] = [] if name else _earlier(*first)
            """The names that were derived of it when some of its tables were still empty."""
            self._types: dict[int, Type] = {t.id or 0: t for t in self._read_types()}
        except BaseException:
            self._reader.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the reading."""
        self._reader.close()

    @property
    def told(self) -> Sentences:
        """What could not be kept as it was, so far."""
        return self._reader.told

    def types(self) -> list[Type]:
        """Every type, by its id there."""
        return list(self._types.values())

    def counts(self) -> dict[str, int]:
        """The number of rows of each table that is brought in."""
        tables = ("Type", *_TABLES.values(), "Event", *PAIRS)
        return {t: self._reader.rows(f"SELECT count(*) FROM {t}")[0][0] for t in tables}

    @property
    def name(self) -> str:
        """What it is called in uids."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name
        self._uid = lru_cache(maxsize=RECENT)(self._made_uid)  # edges name the same nodes again and again
        self._before = {kind: _hashed("mlmd", name, kind) for kind in _TABLES}

    def uid(self, kind: NodeKind, id_: int) -> str:
        """The uid a node has wherever this source is brought in: ``derived_uid("mlmd", name, kind, id)``."""
        return self._uid(kind, id_)

    def _made_uid(self, kind: NodeKind, id_: int) -> str:
        # What all of a kind begin with is hashed once.
        digest = self._before[kind].copy()
        text = str(id_).encode()
        digest.update(len(text).to_bytes(8, "big") + text)
        return unpack_uid(digest.digest()[:16])

    def ids(self, kind: NodeKind) -> Iterator[list[int]]:
        """The ids of a kind, in batches."""
        last = 0
        query = f"SELECT id FROM {_TABLES[kind]} WHERE id > ? ORDER BY id LIMIT {BATCH}"
        while rows := self._reader.rows(query, last):
            yield [id_ for (id_,) in rows]
            last = rows[-1][0]

    def nodes(self, kind: NodeKind) -> Iterator[list[SourceNode]]:
        """The nodes of a kind by id, in batches."""
        table, last = _TABLES[kind], 0
        query = f"SELECT * FROM {table} WHERE id > ? ORDER BY id LIMIT {BATCH}"
        while rows := self._reader.dicts(query, last):
            values = self._properties(kind, rows[0]["id"], rows[-1]["id"])
            made = [self._kept(self._node, kind, row, values.get(row["id"], ({}, {}))) for row in rows]
            yield [node for node in made if node is not None]
            last = rows[-1]["id"]

    def events(self) -> Iterator[list[SourceEvent]]:
        """The events by id, in batches."""
        last = 0
        rows_of = (
            "SELECT e.*, CASE WHEN a.id IS NULL OR x.id IS NULL THEN 0 ELSE 1 END AS whole FROM Event e"
            " LEFT JOIN Artifact a ON a.id = e.artifact_id LEFT JOIN Execution x ON x.id = e.execution_id"
            f" WHERE e.id > ? ORDER BY e.id LIMIT {BATCH}"
        )
        while rows := self._reader.dicts(rows_of, last):
            paths: dict[int, list[str | int]] = {}
            query = f"SELECT * FROM EventPath WHERE event_id BETWEEN ? AND ? {self._reader.path_order}"
            for step in self._reader.dicts(query, rows[0]["id"], rows[-1]["id"]):
                part = step["step_index"] if step["is_index_step"] else step["step_key"]
                paths.setdefault(step["event_id"], []).append(part)
            made = [self._kept(self._event, row, tuple(paths.get(row["id"], ()))) for row in rows]
            yield [event for event in made if event is not None]
            last = rows[-1]["id"]

    def pairs(self, table: str) -> Iterator[list[tuple[str, str]]]:
        """The pairs of ``Attribution``, ``Association`` or ``ParentContext`` in batches, as (context or child, other).

        A pair with an end that is absent is left out, and told.
        """
        one, other, column = PAIRS[table]
        query = (
            f"SELECT p.context_id, p.{column}, CASE WHEN c.id IS NULL OR o.id IS NULL THEN 0 ELSE 1 END"
            f" FROM {table} p LEFT JOIN Context c ON c.id = p.context_id"
            f" LEFT JOIN {_TABLES[other]} o ON o.id = p.{column}"
        )
        order = f"ORDER BY p.context_id, p.{column} LIMIT {BATCH}"
        # Each system answers both from the index on both columns: a context may hold all there is.
        same = f"{query} WHERE p.context_id = ? AND p.{column} > ? {order}"
        next_ = f"{query} WHERE p.context_id > ? {order}"
        a = b = 0
        while rows := self._reader.rows(same, a, b) or self._reader.rows(next_, a):
            lost = [f"{x}-{y}" for x, y, whole in rows if not whole]
            if lost:
                self.told.add(
                    f"{table}: {len(lost)} rows have an end that is absent and are left out: {lost[0]}"
                )
            yield [(self.uid(one, x), self.uid(other, y)) for x, y, whole in rows if whole]
            a, b, _ = rows[-1]

    def parent_ids(self) -> Iterator[tuple[int, int]]:
        """(child, parent) of its contexts, by their ids there; like `pairs` without those that have an end absent."""
        yield from self._reader.rows(
            "SELECT p.context_id, p.parent_context_id FROM ParentContext p"
            " JOIN Context c ON c.id = p.context_id JOIN Context o ON o.id = p.parent_context_id"
        )

    def unnumbered(self) -> list[str]:
        """Tables with rows whose ids are none of ML Metadata's; rows are read by them, so no other reading goes on."""
        told: list[str] = []
        for table in ("Type", *_TABLES.values(), "Event"):
            ids = f"CASE WHEN id > 0 AND id <= {MAX_ID} {self._reader.whole('id')} THEN id END"
            ((n, good),) = self._reader.rows(f"SELECT COUNT(*), COUNT(DISTINCT {ids}) FROM {table}")
            if n != good:
                told.append(f"{n - good} rows of {table} have no id of their own from 1 to {MAX_ID}")
        return told

    def doubles(self) -> Iterator[str]:
        """Names and external ids that several rows have, of which ML Metadata's own tables let only one."""
        older = self.version < EXTERNAL_IDS
        for kind, table in _TABLES.items():
            query = (
                f"SELECT t.name, COALESCE(t.version, ''), n.name, MIN(n.id), MAX(n.id) FROM {table} n"
                " JOIN Type t ON t.id = n.type_id WHERE n.name IS NOT NULL AND n.name <> ''"
                " GROUP BY t.name, COALESCE(t.version, ''), n.name HAVING COUNT(*) > 1"
            )
            for type_, _, name, first, last in self._reader.rows(query):
                yield f"{kind}s {first} and {last} of type {type_!r} have the same name {name!r}"
            query = (
                f"SELECT external_id, MIN(id), MAX(id) FROM {table}"
                " WHERE external_id IS NOT NULL AND external_id <> '' GROUP BY external_id HAVING COUNT(*) > 1"
            )
            for external_id, first, last in [] if older else self._reader.rows(query):
                yield f"{kind}s {first} and {last} have the same external id {external_id!r}"

    # rows

    def _kept(self, make: Callable[..., _T], *arguments: object) -> _T | None:
        """What `make` makes; of a row that contradicts the database nothing, once somebody wants to know of all."""
        try:
            return make(*arguments)
        except IntegrityError as error:
            if self._wrong is None:
                raise
            self._wrong(error.message)
            return None

    def _read_version(self) -> int:
        try:
            found = self._reader.rows("SELECT schema_version FROM MLMDEnv")
        except IntegrityError as error:
            raise UsageError(
                f"{self.place} is no database of ML Metadata",
                code="mlmd-version",
                hint="its table MLMDEnv cannot be read: it is another program's, empty, cut off or damaged",
            ) from error
        version: int = found[0][0] if found else 0
        if version not in VERSIONS:
            raise UsageError(
                f"{self.place} has schema version {version} of ML Metadata; versions 6 to 10 can be read",
                code="mlmd-version",
                hint="let ML Metadata 1.x upgrade a copy with enable_upgrade_migration",
            )
        return version

    def _first_rows(self) -> tuple[Rows, list[Rows]]:
        """The first type, and the first node of each kind."""
        first: list[Rows] = [
            self._reader.rows(f"SELECT id, type_id, create_time_since_epoch FROM {table} ORDER BY id LIMIT 1")
            for table in _TABLES.values()
        ]
        types = self._reader.rows(
            "SELECT id, name FROM Type WHERE NOT (id <= 9 AND substr(name, 1, 5) = 'mlmd.') ORDER BY id LIMIT 1"
        )
        return types, first

    def _read_types(self) -> Iterator[Type]:
        names = dict(self._reader.rows("SELECT id, name FROM Type"))
        parents = self._reader.rows("SELECT type_id, parent_type_id FROM ParentType")
        bases = {a: names[b] for a, b in parents if b in names}
        properties: dict[int, dict[str, PropertyType]] = {}
        for id_, name, number in self._reader.rows(
            "SELECT type_id, name, data_type FROM TypeProperty ORDER BY type_id, name"
        ):
            found = self._kept(_property_type, id_, name, number)
            if found is not None:
                properties.setdefault(id_, {})[name] = found
        for row in self._reader.dicts("SELECT * FROM Type ORDER BY id"):
            type_ = self._kept(_type, row, properties.get(row["id"], {}), bases.get(row["id"]))
            if type_ is not None:
                yield type_

    def _node(
        self, kind: NodeKind, row: dict[str, Any], values: tuple[dict[str, Value], dict[str, Value]]
    ) -> SourceNode:
        type_ = self._types.get(row["type_id"])
        if type_ is None or type_.kind != kind:
            raise IntegrityError(
                f"{kind} {row['id']} has type {row['type_id']}, which is absent", code="mlmd-mismatch"
            )
        if row["id"] > MAX_ID:
            raise IntegrityError(f"{kind} {row['id']} has an id beyond {MAX_ID}", code="mlmd-mismatch")
        for name, value in values[0].items():
            # The graph would take it for a double; ML Metadata has the two apart.
            if type(value) is int and type_.properties.get(name) == "DOUBLE":
                raise IntegrityError(
                    f"property {name!r} of {kind} {row['id']} is DOUBLE, and has an int_value",
                    code="mlmd-mismatch",
                )
        made, changed = row["create_time_since_epoch"], row["last_update_time_since_epoch"]
        if not (is_time(made) and is_time(changed)):
            raise IntegrityError(f"{kind} {row['id']} has a time that is none", code="mlmd-mismatch")
        what = f"{kind} {row['id']}"
        given: dict[str, Any] = {
            "type": type_.name,
            "type_version": type_.version,
            "name": _text(row, "name", what),
            "external_id": _text(row, "external_id", what),
            "properties": values[0],
            "custom": values[1],
            "uid": self.uid(kind, row["id"]),
            "created_at": from_ms(made),
            # A row that says it was updated before it was made was never updated.
            "updated_at": from_ms(max(changed, made)),
        }
        if kind == "artifact":
            uri = _text(row, "uri", what)
            node: AnyNode = Artifact(**given, uri=uri, state=self._state(kind, row["state"]))  # type: ignore[arg-type]  # one of the states
        elif kind == "execution":
            node = Execution(**given, state=self._state(kind, row["last_known_state"]))  # type: ignore[arg-type]  # one of the states
        else:
            node = Context(**given)
        return SourceNode(row["id"], node)

    def _state(self, kind: NodeKind, number: int | None) -> str:
        states = _STATES[kind]
        if number is not None and number not in range(len(states)):
            raise IntegrityError(f"{number!r} is no state of an {kind}", code="mlmd-mismatch")
        return states[number or 0]

    def _properties(
        self, kind: NodeKind, first: int, last: int
    ) -> dict[int, tuple[dict[str, Value], dict[str, Value]]]:
        key = f"{kind}_id"
        out: dict[int, tuple[dict[str, Value], dict[str, Value]]] = {}
        query = f"SELECT * FROM {_TABLES[kind]}Property WHERE {key} BETWEEN ? AND ?"
        for row in self._reader.dicts(query, first, last):
            typed, custom = out.setdefault(row[key], ({}, {}))
            value = self._kept(self._value, row, kind, row[key])
            if value is not None:
                (custom if row["is_custom_property"] else typed)[row["name"]] = value
        return out

    def _event(self, row: dict[str, Any], path: tuple[str | int, ...]) -> SourceEvent:
        number = row["type"]
        if number not in range(1, len(_EVENTS) + 1):
            return SourceEvent(row["id"], None, "is of kind UNKNOWN")
        if not row["whole"]:
            return SourceEvent(row["id"], None, "has an end that is absent")
        at = row["milliseconds_since_epoch"] or 0
        if not is_time(at):  # the client's own word, such as one in microseconds
            if not isinstance(at, int):
                raise IntegrityError(f"event {row['id']} has a time that is none", code="mlmd-mismatch")
            kept = LAST_MS if at > 0 else FIRST_MS
            self.told.add(
                f"event {row['id']} happened at {at} ms, which is no date, and is kept at {kept} ms"
            )
            at = kept
        for step in path:
            if isinstance(step, str):
                _checked(step, f"the path of event {row['id']}")
        execution = self.uid("execution", row["execution_id"])
        artifact = self.uid("artifact", row["artifact_id"])
        return SourceEvent(row["id"], Event(execution, artifact, _EVENTS[number - 1], path, from_ms(at)))

    def _value(self, row: dict[str, Any], kind: NodeKind, id_: int) -> Value:
        place = f"property {row['name']!r} of {kind} {id_}"
        _checked(row["name"], f"the name of a property of {kind} {id_}")
        if row.get("byte_value") is not None:
            raise IntegrityError(
                f"{place} has a byte_value, which ML Metadata never wrote", code="mlmd-mismatch"
            )
        try:
            if row.get("proto_value") is not None:
                return proto_value(self._reader.proto_bytes(row["proto_value"]))
            text = row["string_value"]
            if isinstance(text, str) and text.startswith(_STRUCT):
                return struct_value(base64.b64decode(text.removeprefix(_STRUCT), validate=True))
        except (binascii.Error, TypeError, ValueError) as error:
            raise IntegrityError(f"{place} cannot be decoded: {error}", code="mlmd-mismatch") from error
        if row.get("bool_value") is not None:
            return bool(row["bool_value"])
        for column in ("int_value", "double_value"):
            if row[column] is not None:
                return cast("int | float", row[column])
        return None if text is None else _checked(text, place)
