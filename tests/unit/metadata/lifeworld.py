"""Random graphs for tests of removal and taint, and what brute force says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import strategies as st

from whence.database import sqlite_url
from whence.metadata import Artifact, Change, Event, Execution, MetadataStore, Put, Type, open_store
from whence.metadata.types import EventKind

READS: frozenset[str] = frozenset({"INPUT", "DECLARED_INPUT"})
WRITES: frozenset[str] = frozenset({"OUTPUT", "DECLARED_OUTPUT", "PENDING_OUTPUT"})

STORES = [
    "memory",
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.service),
    pytest.param("mariadb", marks=pytest.mark.service),
]
"""Parameters of a fixture that opens each kind of store."""


def open_kind(request: pytest.FixtureRequest, folder: Path) -> MetadataStore:
    """The store of the parameter, empty but for a type of artifacts."""
    kind = str(request.param)
    url = {"memory": "memory://", "sqlite": sqlite_url(folder / "whence.db")}.get(kind)
    store = open_store(url or request.getfixturevalue(f"{kind}_url"))
    store.put_type(Type("artifact", "Table", {"rows": "INT"}))
    return store


Edge = tuple[int, int, EventKind]
"""execution, artifact, kind"""


@dataclass
class Drawn:
    """A graph of n artifacts and m executions, stored."""

    artifacts: list[Artifact]
    executions: list[Execution]
    edges: list[Edge]
    uids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.uids = [n.uid for n in (*self.artifacts, *self.executions)]

    def store_in(self, store: MetadataStore) -> None:
        store.put_type(Type("artifact", "Thing"))
        store.put_type(Type("execution", "doing"))
        events = [
            Event(self.executions[x].uid, self.artifacts[a].uid, kind, (str(i),))
            for i, (x, a, kind) in enumerate(self.edges)
        ]
        store.write(Change([*map(Put, self.artifacts), *map(Put, self.executions)], events))

    def below(self, *, internal: bool) -> dict[str, set[str]]:
        """The nodes that each node leads to in one step."""
        found: dict[str, set[str]] = {uid: set() for uid in self.uids}
        for x, a, kind in self.edges:
            execution, artifact = self.executions[x].uid, self.artifacts[a].uid
            if kind in READS or (internal and kind == "INTERNAL_INPUT"):
                found[artifact].add(execution)
            if kind in WRITES or (internal and kind == "INTERNAL_OUTPUT"):
                found[execution].add(artifact)
        return found


@st.composite
def graphs(draw: st.DrawFn, *, most: int = 7) -> Drawn:
    """Graphs of any shape: several writers of one artifact, circles, parts that do not hang together."""
    n, m = draw(st.integers(1, most)), draw(st.integers(1, most))
    kinds: st.SearchStrategy[EventKind] = st.sampled_from(
        ["INPUT", "OUTPUT", "INPUT", "OUTPUT", "DECLARED_INPUT", "PENDING_OUTPUT", "INTERNAL_INPUT"]
    )
    edges = draw(st.lists(st.tuples(st.integers(0, m - 1), st.integers(0, n - 1), kinds), max_size=4 * most))
    return Drawn(
        [Artifact(type="Thing", name=f"a{i}") for i in range(n)],
        [Execution(type="doing", name=f"x{i}", state="COMPLETE") for i in range(m)],
        edges,
    )


def reach(below: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Everything a node leads to, itself included, by a naive walk."""
    seen, todo = {start}, [start]
    while todo:
        for uid in below[todo.pop()]:
            if uid not in seen:
                seen.add(uid)
                todo.append(uid)
    return seen


def reached_in(
    store: MetadataStore, uids: Iterable[str], direction: Literal["up", "down"] = "down"
) -> dict[str, set[str]]:
    """The same, as the store says it."""
    return {
        uid: {n.uid for n in (*piece.artifacts, *piece.executions)}
        for uid in uids
        for piece in [store.lineage([uid], direction=direction)]
    }
