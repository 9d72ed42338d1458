"""What features need of the rooms below, and the port of an online store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from whence.compute import Relation
from whence.metadata import Artifact


class Declared(Protocol):
    """Of what a table says of itself: which columns name a row, and when it was known."""

    @property
    def key(self) -> Sequence[str]:
        """The columns that name a row."""
        ...

    @property
    def known_at(self) -> str | None:
        """The column of the knowledge time."""
        ...


@runtime_checkable
class SourceVersion(Protocol):
    """One version of a table, as features read it."""

    @property
    def ref(self) -> str:
        """``table:name@version``."""
        ...

    @property
    def version(self) -> int:
        """Its number."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        ...

    @property
    def watermark(self) -> datetime | None:
        """Up to when it is complete."""
        ...

    @property
    def declaration(self) -> Declared:
        """What the table says of itself."""
        ...

    def files(self) -> Relation:
        """Its rows, as an engine reads them."""
        ...

    def arrow(self) -> pa.Table:
        """Its rows."""
        ...

    def artifact(self) -> Artifact:
        """It, in the graph."""
        ...


@runtime_checkable
class SourceTable(Protocol):
    """A table by name."""

    @property
    def exists(self) -> bool:
        """Whether it has a version."""
        ...

    def head(self) -> SourceVersion:
        """The newest version, or the one it is pinned to."""
        ...

    def at(self, when: int, /) -> SourceVersion:
        """The version with this number."""
        ...


class Tables(Protocol):
    """Of the lake: tables by name."""

    def table(self, name: str) -> SourceTable:
        """A handle; the table need not exist."""
        ...

    def list(self) -> list[str]:
        """The names of all tables."""
        ...


class OnlineStore(ABC):
    """The port of a store that answers for one moment, now: a forward-only projection of the sources.

    Of two rows of one key the one later by (event time, knowledge time) stays, in whatever order they
    are written; so writing again changes nothing.
    """

    @abstractmethod
    def write(self, view: str, rows: pa.Table) -> int:
        """Project rows of a view; gives how many changed something."""

    @abstractmethod
    def read(self, view: str, keys: Sequence[Mapping[str, object]]) -> list[Mapping[str, Any] | None]:
        """The newest row of each key, None where there is none."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""
