"""The port of a lake, and the ports through which upper rooms help it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Protocol

import pyarrow as pa

from whence.compute.base import Relation
from whence.errors import IntegrityError
from whence.lake.types import CommitFacts, LogEntry


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of one table, as the backend found it.

    Attributes:
        table: The name.
        version: The version.
        schema: Its columns.
        table_id: What tells this table from another that had the name before.
        uri: Where it is.
        declaration: The text the table says about itself.
        partition_by: Its partition columns.
        native: The backend's own.
    """

    table: str
    version: int
    schema: pa.Schema
    table_id: str
    uri: str
    declaration: str | None = None
    partition_by: tuple[str, ...] = ()
    native: object = field(default=None, compare=False, repr=False)


class LakeBackend(ABC):
    """Versioned tables, thin. The rules of whence are above; here is what a table format does.

    Every write names the snapshot it was made on. It succeeds as the next version, or on top of commits
    that changed no rows, or raises `ConflictError` (``commit-conflict``) and writes nothing: of two writers
    that carry the same app transaction name on the same snapshot, one wins.
    """

    name: ClassVar[str]

    @abstractmethod
    def list(self) -> list[str]:
        """The names of all tables, sorted."""

    @abstractmethod
    def find(self, table: str, version: int | None = None) -> Snapshot | None:
        """A version of a table, the newest by default; None when there is no such table.

        Raises:
            NotFoundError: The table has no such version (``table-version-not-found``).
        """

    @abstractmethod
    def create(
        self, table: str, data: pa.Table, *, declaration: str, partition_by: Sequence[str], facts: CommitFacts
    ) -> Snapshot:
        """Make a table whose version 0 holds `data`; `ConflictError` (``table-exists``) if there is one."""

    @abstractmethod
    def append(self, base: Snapshot, data: pa.Table, *, evolve: bool, facts: CommitFacts) -> Snapshot:
        """Add rows; with `evolve`, new nullable columns may come with them."""

    @abstractmethod
    def overwrite(
        self,
        base: Snapshot,
        data: pa.Table,
        *,
        where: str | None,
        evolve: bool,
        rest: Callable[[], pa.Table],
        facts: CommitFacts,
    ) -> Snapshot:
        """Replace all rows, or those for which `where` is true, by `data`.

        Args:
            base: What is replaced.
            data: The new rows; all fulfil `where`.
            where: Which rows go; None is all.
            evolve: New nullable columns may come with the rows.
            rest: The rows of `base` that stay, for backends without a predicate of their own.
            facts: What the commit carries.
        """

    @abstractmethod
    def delete(
        self, base: Snapshot, where: str, *, rest: Callable[[], pa.Table], facts: CommitFacts
    ) -> Snapshot:
        """Remove the rows for which `where` is true; `rest` as in `overwrite`."""

    @abstractmethod
    def merge(
        self,
        base: Snapshot,
        data: pa.Table,
        *,
        on: Sequence[str],
        rest: Callable[[], pa.Table],
        facts: CommitFacts,
    ) -> Snapshot:
        """Put `data` in the place of the rows with the same `on` values, and add what is new."""

    def matching(self, base: Snapshot, where: str) -> pa.Table | None:  # noqa: ARG002
        """The rows for which the backend's own language finds `where` true; None: it has none of its own."""
        return None

    @abstractmethod
    def relation(self, snapshot: Snapshot) -> Relation:
        """What an engine reads to see the rows of a version.

        Raises:
            NotFoundError: Files of the version are gone (``table-version-not-found``).
        """

    @abstractmethod
    def added(self, snapshot: Snapshot, version: int) -> Relation:
        """The rows that the commit of one version added, as `snapshot` (that version or a later one) names them.

        Raises:
            IntegrityError: What the commit added cannot be told apart any more (``changes-gone``).
            UnsupportedError: The files' columns are not named as the table's (``table-features``).
        """

    @abstractmethod
    def log(self, table: str, *, after: int, upto: int) -> Sequence[LogEntry]:
        """The commits of versions after < version <= upto, oldest first; those no longer known are left out."""

    @abstractmethod
    def transaction_version(self, base: Snapshot, application: str) -> int | None:
        """The version an application has committed, as of this snapshot."""

    @abstractmethod
    def compact(self, base: Snapshot, *, facts: CommitFacts) -> Snapshot:
        """Rewrite many small files as few; no row changes. Nothing to do returns `base`."""

    @abstractmethod
    def vacuum(
        self,
        base: Snapshot,
        *,
        retention_hours: float,
        keep_versions: Sequence[int],
        full: bool,
        dry_run: bool,
        facts: CommitFacts,
    ) -> tuple[Sequence[str], Sequence[int]]:
        """Remove files that no version of `keep_versions`, nor the newest, needs.

        Returns:
            The files, and the versions that cannot be read without them.
        """

    def check_writable(self, base: Snapshot) -> None:  # noqa: B027
        """Refuse a table that this backend must not write.

        Raises:
            UnsupportedError: It uses features this backend does not write (``table-features``).
            ConflictError: Its log would be cleaned behind our back (``log-cleanup``).
        """

    def attach(self, base: Snapshot, *, facts: CommitFacts) -> Snapshot:  # noqa: ARG002
        """Make a foreign table safe for whence: its log is kept."""
        return base

    @abstractmethod
    def close(self) -> None:
        """Give back what the backend holds; it is not used afterwards."""


def changes_gone(table: str, version: int, why: str) -> IntegrityError:
    """What a commit added cannot be read apart from the rest any more."""
    return IntegrityError(
        f"what version {version} of table {table!r} added cannot be read any more: {why}",
        code="changes-gone",
        hint="read the newest version anew, then follow from there",
        details={"table": table, "version": version},
    )


class TableProvider(Protocol):
    """Tables that are kept elsewhere and shown to SQL: runs, statistics, the graph."""

    keeps_moments: bool
    """Whether its tables can be had as of a moment; versions they have none."""

    def names(self) -> Iterable[str]:
        """The tables it has."""
        ...

    def tables(self, wanted: Sequence[tuple[str, datetime | None]], /) -> Sequence[pa.Table]:
        """Tables by name, all read at one moment, each as it was at its own (only given when it keeps moments)."""
        ...


class Describer(Protocol):
    """Computes the statistics of a version; validation has one."""

    def statistics(self, version: object, /) -> object:
        """The statistics of a table version."""
        ...
