"""What validation needs of others: a version of a table to read, a place for bytes."""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard, runtime_checkable

import pyarrow as pa

from whence.compute import Relation
from whence.metadata import Artifact


class Declaration(Protocol):
    """The part of a table's declaration that names rows."""

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name a row."""
        ...


@runtime_checkable
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
    return not isinstance(source, pa.Table) and isinstance(source, Version)


def name_of(version: Version) -> str:
    """``flights@12`` of ``table:flights@12``."""
    return version.ref.partition(":")[2]
