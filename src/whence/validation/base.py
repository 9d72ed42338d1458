"""What validation needs of others: a version of a table to read, a place for bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeGuard

import pyarrow as pa

from whence.compute import Relation, Streamed
from whence.metadata import Artifact
from whence.validation.spool import spooled


class Declaration(Protocol):
    """The part of a table's declaration that names rows."""

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name a row."""
        ...


class Version(Protocol):
    """A version of a table, as the lake hands it out."""

    @property
    def ref(self) -> str:
        """Its reference: ``table:flights@12``."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        ...

    @property
    def declaration(self) -> Declaration:
        """What was declared of the table."""
        ...

    def files(self) -> Relation:
        """The rows of this version, as an engine reads them."""
        ...

    def artifact(self) -> Artifact:
        """Its node in the graph."""
        ...


class Blobs(Protocol):
    """Bytes by digest."""

    def put(self, data: bytes) -> str:
        """Store bytes; their digest."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes of a digest, checked."""
        ...


def is_version(source: Any) -> TypeGuard[Version]:
    """Whether `source` is a version of a table and not the rows themselves."""
    # Not by isinstance: Python 3.11 would read every property, and a view's columns mean running it.
    return callable(getattr(source, "files", None)) and isinstance(getattr(source, "ref", None), str)


def name_of(version: Version) -> str:
    """``flights@12`` of ``table:flights@12``; a view keeps its kind, it may have a table's name.

    Example:
        >>> class Pinned: ref = "view:daily@3"
        >>> name_of(Pinned())
        'view:daily@3'
    """
    return version.ref.removeprefix("table:")


class PinnedView(Protocol):
    """A version of a view, as the lake hands it out."""

    @property
    def ref(self) -> str:
        """Its reference: ``view:daily@3``."""
        ...

    def arrow(self) -> pa.Table:
        """Its rows."""
        ...

    def stream(self) -> pa.RecordBatchReader:
        """Its rows in batches."""
        ...

    def artifact(self) -> Artifact:
        """Its node in the graph."""
        ...


def is_view(source: Any) -> TypeGuard[PinnedView]:
    """Whether `source` is a version of a view."""
    return str(getattr(source, "ref", "")).startswith("view:") and callable(getattr(source, "arrow", None))


@dataclass(frozen=True, slots=True)
class _NoKey:
    key: tuple[str, ...] = ()


class ViewRows:
    """A version of a view as a `Version`: its rows have no key.

    Who asks for its columns or its files has its query run once, and its rows kept in a temporary file; `stream`
    runs it anew and keeps none. Nothing holds them.
    """

    def __init__(self, view: PinnedView) -> None:
        self._view = view
        self.ref = view.ref
        self.declaration = _NoKey()

    def stream(self) -> pa.RecordBatchReader:
        """The rows in batches, by a run of its query."""
        return self._view.stream()

    @cached_property
    def _rows(self) -> Streamed:
        return spooled(self._view.stream())

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._rows.schema

    def files(self) -> Relation:
        """The rows."""
        return self._rows

    def artifact(self) -> Artifact:
        """The view's node in the graph."""
        return self._view.artifact()
