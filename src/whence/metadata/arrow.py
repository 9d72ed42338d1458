"""The graph as Arrow tables, so that SQL can ask it beside the lake: ``SELECT … FROM graph.executions``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

import msgspec
import pyarrow as pa

from whence._base.arrow import TS
from whence.errors import NotFoundError, UsageError
from whence.metadata.encode import encode
from whence.metadata.rows import KINDS, kind_of
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Context,
    Event,
    GraphTable,
    Mark,
    NodeKind,
    Properties,
    Type,
)

if TYPE_CHECKING:
    from whence.metadata.base import MetadataStore

Columns: TypeAlias = dict[str, list[Any]]  # Any: one column's values, by the schema beside

PREFIX: Final = "graph."

_TEXT, _INT = pa.string(), pa.int64()
_NODE: Final[tuple[tuple[str, pa.DataType], ...]] = (
    ("uid", _TEXT),
    ("id", _INT),
    ("type", _TEXT),
    ("type_version", _TEXT),
    ("name", _TEXT),
    ("external_id", _TEXT),
    ("namespace", _TEXT),
    ("created_at", TS),
    ("updated_at", TS),
    ("removed_at", TS),
    ("revision", _INT),
    ("properties", _TEXT),
    ("custom_properties", _TEXT),
)
SCHEMAS: Final[Mapping[GraphTable, pa.Schema]] = {
    "artifacts": pa.schema([*_NODE, ("uri", _TEXT), ("state", _TEXT)]),
    "executions": pa.schema([*_NODE, ("state", _TEXT)]),
    "contexts": pa.schema(_NODE),
    "types": pa.schema(
        [
            ("id", _INT),
            ("kind", _TEXT),
            ("name", _TEXT),
            ("version", _TEXT),
            ("base", _TEXT),
            ("description", _TEXT),
            ("external_id", _TEXT),
            ("properties", _TEXT),
        ]
    ),
    "events": pa.schema(
        [
            ("execution", _TEXT),
            ("artifact", _TEXT),
            ("kind", _TEXT),
            ("path", pa.list_(_TEXT)),
            ("at", TS),
        ]
    ),
    "attributions": pa.schema([("context", _TEXT), ("artifact", _TEXT)]),
    "associations": pa.schema([("context", _TEXT), ("execution", _TEXT)]),
    "parent_contexts": pa.schema([("child", _TEXT), ("parent", _TEXT)]),
    "marks": pa.schema(
        [
            ("id", _INT),
            ("uid", _TEXT),
            ("verdict", _TEXT),
            ("policy", _TEXT),
            ("reason", _TEXT),
            ("principal", _TEXT),
            ("at", TS),
            ("lifted_at", TS),
            ("lifted_by", _TEXT),
        ]
    ),
    "history": pa.schema([("kind", _TEXT), *_NODE, ("uri", _TEXT), ("state", _TEXT)]),
}
"""The columns of each table. References are uids; properties are JSON as it is stored; times are UTC."""

_OF_NODE: Final[tuple[str, ...]] = tuple(name for name, _ in _NODE if not name.endswith("properties"))


def scan(
    store: MetadataStore,
    table: GraphTable,
    *,
    batch_rows: int = 65_536,
    as_of: datetime | None = None,
) -> Iterator[pa.RecordBatch]:
    """One table of the graph in batches of at most `batch_rows` rows, tombstones included.

    The default of `MetadataStore.scan`, for every backend. All batches are of one moment; to have several tables of
    one moment, scan them within one `MetadataStore.snapshot`.

    Raises:
        NotFoundError: There is no such table (``table-not-found``).
        UsageError: The moment has no zone (``naive-time``).

    Example:
        >>> from whence.metadata import open_store
        >>> sum(batch.num_rows for batch in scan(open_store("memory://"), "types"))
        9
    """
    if table not in SCHEMAS:
        raise NotFoundError("table", f"{PREFIX}{table}", near=[PREFIX + name for name in SCHEMAS])
    if as_of is not None and as_of.tzinfo is None:
        raise UsageError(f"the time {as_of.isoformat()} has no zone", code="naive-time")
    with store.snapshot() as still:
        yield from _scan(still, table, batch_rows, as_of)


def _scan(
    store: MetadataStore, table: GraphTable, batch_rows: int, as_of: datetime | None
) -> Iterator[pa.RecordBatch]:
    schema = SCHEMAS[table]
    columns: Columns = {name: [] for name in schema.names}
    appends = [columns[name].append for name in schema.names]
    for n, row in enumerate(_rows(store, table, as_of), 1):
        for append, value in zip(appends, row, strict=True):
            append(value)
        if n % batch_rows == 0:
            yield _batch(columns, schema)
    if columns[schema.names[0]]:
        yield _batch(columns, schema)


def _batch(columns: Columns, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    for values in columns.values():
        values.clear()
    return pa.record_batch(arrays, schema=schema)


def read_table(store: MetadataStore, table: GraphTable, *, as_of: datetime | None = None) -> pa.Table:
    """One table of the graph, whole; see `scan`."""
    batches = list(store.scan(table, as_of=as_of))  # refuses a table that is not there
    return pa.Table.from_batches(batches, schema=SCHEMAS[table])


class GraphTables:
    """The tables of a graph under the names that SQL has for them, such as ``graph.artifacts``.

    Args:
        store: Gives the graph when it is first asked.

    Example:
        >>> from whence.metadata import open_store
        >>> store = open_store("memory://")
        >>> [table.num_rows for table in GraphTables(lambda: store).tables([("graph.types", None), ("graph.events", None)])]
        [9, 0]
    """

    keeps_moments = True

    def __init__(self, store: Callable[[], MetadataStore]) -> None:
        self._store = store

    def names(self) -> Sequence[str]:
        """The names, each beginning with ``graph.``."""
        return [PREFIX + name for name in SCHEMAS]

    def tables(self, wanted: Sequence[tuple[str, datetime | None]], /) -> list[pa.Table]:
        """Tables by name, read at one moment: whatever is written meanwhile, an event has both of its ends.

        Args:
            wanted: n names, each with the moment as of which the table is wanted (None: as it is).

        Raises:
            NotFoundError: There is no such table (``table-not-found``).
        """
        named = {PREFIX + table: table for table in SCHEMAS}
        for name, _ in wanted:
            if name not in named:
                raise NotFoundError("table", name, near=self.names())
        with self._store().snapshot() as still:
            return [read_table(still, named[name], as_of=as_of) for name, as_of in wanted]


# --- rows -------------------------------------------------------------------------------------------


def _rows(store: MetadataStore, table: GraphTable, as_of: datetime | None) -> Iterator[Sequence[object]]:
    match table:
        case "artifacts" | "executions" | "contexts":
            kind: NodeKind = table.removesuffix("s")  # type: ignore[assignment]  # these three are the kinds
            return map(_node, _nodes(store, kind, as_of))
        case "types":
            return map(_type, store.list_types())
        case "events":
            return map(_event, store.all_events(as_of=as_of))
        case "attributions":
            return ((c, n) for c, n, kind in store.all_members(as_of=as_of) if kind == "artifact")
        case "associations":
            return ((c, n) for c, n, kind in store.all_members(as_of=as_of) if kind == "execution")
        case "parent_contexts":
            return store.all_parents(as_of=as_of)
        case "marks":
            return (row for mark in store.list_marks() if (row := _mark(mark, as_of)) is not None)
        case "history":
            every = chain.from_iterable(_nodes(store, kind, as_of) for kind in KINDS)
            return (_past(node) for last in every for node in _revisions(store, last))


def _nodes(store: MetadataStore, kind: NodeKind, as_of: datetime | None) -> Iterator[AnyNode]:
    # Of a graph that is seen in part those that are closed have no namespace to be told.
    return (node for node in store.all_nodes(kind, as_of=as_of) if node.namespace)


def _revisions(store: MetadataStore, last: AnyNode) -> Iterable[AnyNode]:
    """Every revision of a node up to one of them, oldest first."""
    if last.revision <= 1:
        return [last]
    return [node for node in store.history(last.uid) if node.revision <= last.revision]


def _node(node: AnyNode) -> list[object]:
    row = [getattr(node, name) for name in _OF_NODE]
    row += _texts(node.properties, node.custom)
    if isinstance(node, Artifact):
        row.append(node.uri)
    if not isinstance(node, Context):
        row.append(node.state)
    return row


def _past(node: AnyNode) -> list[object]:
    row = [kind_of(node), *(getattr(node, name) for name in _OF_NODE), *_texts(node.properties, node.custom)]
    return [*row, getattr(node, "uri", None), getattr(node, "state", None)]


class _Stored(msgspec.Struct):
    """The stored form of properties, each side left as it is written."""

    p: msgspec.Raw
    c: msgspec.Raw


def _texts(properties: Properties, custom: Properties) -> tuple[str, str]:
    if not properties and not custom:
        return "{}", "{}"
    stored = msgspec.json.decode(encode(properties, custom), type=_Stored)
    return bytes(stored.p).decode(), bytes(stored.c).decode()


def _type(type_: Type) -> tuple[object, ...]:
    properties = msgspec.json.encode(dict(type_.properties)).decode()
    said = (type_.name, type_.version, type_.base, type_.description, type_.external_id)
    return (type_.id, type_.kind, *said, properties)


def _event(event: Event) -> tuple[object, ...]:
    return (event.execution, event.artifact, event.kind, [str(step) for step in event.path], event.at)


def _mark(mark: Mark, as_of: datetime | None) -> tuple[object, ...] | None:
    lifted_at, lifted_by = mark.lifted_at, mark.lifted_by
    if as_of is not None:
        if mark.at is not None and mark.at > as_of:
            return None
        if lifted_at is not None and lifted_at > as_of:
            lifted_at = lifted_by = None
    said = (mark.verdict, mark.policy, mark.reason, mark.principal)
    return (mark.id, mark.uid, *said, mark.at, lifted_at, lifted_by)


assert set(SCHEMAS) == set(get_args(GraphTable))
