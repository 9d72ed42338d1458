"""The nodes the metadata suite is played on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Event,
    Execution,
    MetadataStore,
    Put,
    Subgraph,
    Type,
)

TABLE = Type("artifact", "Table", {"n_rows": "INT", "drift": "DOUBLE", "note": "STRING"}, base="mlmd.Dataset")
EVERYTHING = Type(
    "artifact",
    "Everything",
    {"i": "INT", "d": "DOUBLE", "s": "STRING", "t": "STRUCT", "p": "PROTO", "b": "BOOLEAN"},
)
LOAD = Type("execution", "load", {"attempt": "INT"})
GROUP = Type("context", "Group", {"owner": "STRING"})
MOMENT = datetime(2013, 4, 1, 5, 15, tzinfo=UTC)
AT_THE_EDGES = (
    datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
)
"""Moments that are in no year of UTC."""


def names(subgraph: Subgraph) -> set[str | None]:
    """The names of a subgraph's artifacts and executions."""
    return {node.name for node in (*subgraph.artifacts, *subgraph.executions)}


def artifact(name: str | None = None, **fields: object) -> Artifact:
    """An artifact of type Table."""
    return Artifact(type="Table", name=name, **fields)  # type: ignore[arg-type]  # the test says what


def put(store: MetadataStore, *nodes: AnyNode) -> list[AnyNode]:
    """Store new nodes; returns them as stored."""
    written = store.write(Change([Put(node) for node in nodes]))
    return [written.nodes[node.uid] for node in nodes]


def chain(store: MetadataStore, n: int) -> list[Artifact]:
    """t0 → e1 → t1 → e2 → … → t(n-1), written at once."""
    tables = [artifact(f"t{i}") for i in range(n)]
    loads = [Execution(type="load", name=f"e{i}", state="COMPLETE") for i in range(1, n)]
    events = [Event(e.uid, tables[i].uid, "INPUT") for i, e in enumerate(loads)]
    events += [Event(e.uid, tables[i + 1].uid, "OUTPUT") for i, e in enumerate(loads)]
    nodes: list[AnyNode] = [*tables, *loads]
    store.write(Change([Put(node) for node in nodes], events))
    return tables


class Furnished:
    """A store with the suite's types."""

    @pytest.fixture
    def typed(self, store: MetadataStore) -> MetadataStore:
        """The store, with the suite's types."""
        for type_ in (TABLE, EVERYTHING, LOAD, GROUP):
            store.put_type(type_)
        return store
