"""What trace needs of the rooms below it: narrow protocols, met by the rooms and by fakes.

Trace reads everything and writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

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

    def list_nodes(
        self, kind: NodeKind, *, type_: str | Collection[str] | None = None, name_prefix: str | None = None
    ) -> Iterator[AnyNode]:
        """All nodes for which every given condition holds, by id."""
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

    @property
    def declaration(self) -> Declaration:
        """Its declared key and times."""
        ...

    def files(self) -> object:
        """What an engine reads; raises when the version is gone."""
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
    def source(self) -> str:
        """The table version that was read, ``table:arrivals@95``."""
        ...

    @property
    def value(self) -> object:
        """The value as the engine computes it now."""
        ...

    @property
    def rows(self) -> pa.Table:
        """The raw rows, with their references in the column ``_row``."""
        ...

    @property
    def predicate(self) -> str:
        """The rule that chose them."""
        ...


class View(Protocol):
    """A definition of features."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns it makes."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The definition as JSON."""
        ...


class Features(Protocol):
    """Of the features: definitions, the rows behind a value, and the value without the compiler."""

    def get(self, name: str) -> View:
        """A definition by its digest."""
        ...

    def explain(
        self,
        view: str,
        feature: str,
        keys: Mapping[str, Any],
        at: datetime,
        sources: Mapping[str, int] | None = None,
    ) -> Explanation:
        """The raw rows of one value."""
        ...

    def recompute(self, explanation: Any) -> object:
        """The value from the raw rows, in plain Python."""
        ...


class Prediction(Protocol):
    """One row of a predictions table."""

    @property
    def ref(self) -> str:
        """Its reference."""
        ...

    @property
    def table_ref(self) -> str:
        """The version of the predictions table."""
        ...

    @property
    def key(self) -> Mapping[str, object]:
        """What names it."""
        ...

    @property
    def row(self) -> Mapping[str, object]:
        """All columns of the row."""
        ...

    @property
    def features(self) -> Mapping[str, object]:
        """What the model was given."""
        ...

    @property
    def score(self) -> float:
        """What it answered."""
        ...

    @property
    def features_at(self) -> datetime:
        """The moment."""
        ...

    @property
    def model(self) -> str:
        """``late@3``."""
        ...

    @property
    def definitions(self) -> Mapping[str, str]:
        """View → definition digest."""
        ...

    @property
    def definitions_error(self) -> str | None:
        """Why the definitions are out of reach, where they are."""
        ...

    @property
    def sources(self) -> Mapping[str, int]:
        """Table → version."""
        ...

    @property
    def view_sources(self) -> Mapping[str, int]:
        """``table#view`` → version, of views that were read at a later version than `sources` says."""
        ...

    @property
    def execution(self) -> str:
        """The uid of the scoring."""
        ...

    @property
    def scored_at(self) -> datetime:
        """When."""
        ...


class Scoring(Protocol):
    """Of the serving: one prediction by its reference."""

    def find(self, ref: str) -> Prediction:
        """The prediction; raises when there is none."""
        ...


class Run(Protocol):
    """A run."""

    @property
    def uid(self) -> str:
        """Its execution."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """The latest value of each metric."""
        ...


class Runs(Protocol):
    """Of the tracking: a run's metrics."""

    def get(self, ref: str) -> Run:
        """The run of a reference."""
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
