"""What trace needs of the rooms below it: narrow protocols, met by the rooms and by fakes.

Trace reads everything and writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from whence.metadata.types import AnyNode, Context, Direction, Event, NodeKind, Page, Subgraph, Value


class Graph(Protocol):
    """The reading half of `whence.metadata.MetadataStore`."""

    def get_nodes(
        self, kind: NodeKind, *, ids: Sequence[int] | None = None, uids: Sequence[str] | None = None
    ) -> list[AnyNode]:
        """The nodes with these uids."""
        ...

    def find_nodes(
        self,
        kind: NodeKind,
        *,
        type_: str | Collection[str] | None = None,
        name: str | Collection[str] | None = None,
        name_prefix: str | None = None,
        where: Mapping[str, Value] | None = None,
        descending: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Nodes for which every given condition holds."""
        ...

    def list_events(
        self, *, artifacts: Collection[str] | None = None, executions: Collection[str] | None = None
    ) -> list[Event]:
        """Events of these artifacts or executions, oldest first."""
        ...

    def list_contexts(
        self, *, artifact: str | None = None, execution: str | None = None, child: str | None = None
    ) -> list[Context]:
        """The contexts a node is in."""
        ...

    def lineage(
        self,
        starts: Sequence[str],
        *,
        direction: Direction = "up",
        max_hops: int | None = None,
        internal: bool = False,
    ) -> Subgraph:
        """Everything reachable from these uids."""
        ...


class Blobs(Protocol):
    """Of the blob store: whether bytes are still there."""

    def exists(self, digest: str) -> bool:
        """Whether the blob is stored."""
        ...


class Files(Protocol):
    """The files of one table version."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where they lie."""
        ...


class TableVersion(Protocol):
    """One version of a table."""

    @property
    def version(self) -> int:
        """Its number."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        ...

    def files(self) -> Files:
        """Its files; raises when the version is gone."""
        ...

    def arrow(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Its rows, all or those for which the SQL condition `where` holds."""
        ...


class Part(Protocol):
    """Rows that a commit added or removed."""

    @property
    def n(self) -> int:
        """How many."""
        ...


class State(Protocol):
    """What a commit knows of its version."""

    @property
    def n_rows(self) -> int | None:
        """How many rows it has."""
        ...

    @property
    def epoch(self) -> int:
        """How often rows were changed or removed by then."""
        ...


class CommitInfo(Protocol):
    """One commit of a table."""

    @property
    def version(self) -> int:
        """The version it made."""
        ...

    @property
    def type(self) -> str:
        """``append``, ``overwrite``, …; ``foreign`` when whence did not make it."""
        ...

    @property
    def at(self) -> datetime:
        """When."""
        ...

    @property
    def execution(self) -> str | None:
        """The uid of the execution that made it."""
        ...

    @property
    def added(self) -> Part | None:
        """Rows added."""
        ...

    @property
    def removed(self) -> Part | None:
        """Rows removed."""
        ...

    @property
    def state(self) -> State | None:
        """What is known of the version."""
        ...


class Declaration(Protocol):
    """What a table says of itself."""

    @property
    def key(self) -> Sequence[str]:
        """The columns that name a row."""
        ...

    @property
    def event_time(self) -> str | None:
        """The column of the event's time."""
        ...

    @property
    def known_at(self) -> str | None:
        """The column of the knowledge time."""
        ...


class Table(Protocol):
    """A table by name."""

    @property
    def exists(self) -> bool:
        """Whether it has a version."""
        ...

    @property
    def declaration(self) -> Declaration:
        """Its declared key and times."""
        ...

    def at(self, when: int | datetime | str) -> TableVersion:
        """The version with this number."""
        ...

    def history(self) -> Sequence[CommitInfo]:
        """Its commits; those no longer in the log are left out."""
        ...

    def head(self) -> TableVersion:
        """The newest version."""
        ...


class Tables(Protocol):
    """The lake."""

    def table(self, name: str) -> Table:
        """A handle; the table need not exist."""
        ...


class Explanation(Protocol):
    """The raw rows one feature value is made of."""

    @property
    def value(self) -> object:
        """The value as the engine computes it now."""
        ...

    @property
    def rows(self) -> pa.Table:
        """The raw rows, with their references in the column ``_row``."""
        ...


class Features(Protocol):
    """Of the features: the rows behind a value, and the value again without the compiler."""

    def explain(
        self, view: str, feature: str, keys: Mapping[str, object], at: datetime, sources: Mapping[str, int]
    ) -> Explanation:
        """The raw rows of one value."""
        ...

    def recompute(self, explanation: Explanation) -> object:
        """The value from the raw rows, in plain Python."""
        ...


class Prediction(Protocol):
    """One row of a predictions table."""

    @property
    def row(self) -> Mapping[str, object]:
        """Its columns."""
        ...


class Scoring(Protocol):
    """Of the serving: one prediction by its reference."""

    def find(self, ref: str) -> Prediction:
        """The prediction; raises when there is none."""
        ...


class ModelVersion(Protocol):
    """One version of a model."""

    @property
    def ref(self) -> str:
        """``model:late@3``."""
        ...


class Models(Protocol):
    """Of the registry: aliases resolved."""

    def get(self, ref: str) -> ModelVersion:
        """The model version an alias or a name stands for."""
        ...
