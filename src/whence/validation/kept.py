"""What the parts of the validation room share: the graph, the blobs and the tables, and how a table is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from whence._base.clock import Clock
from whence._base.refs import Ref
from whence.compute import Engine, Relation
from whence.metadata import Artifact, Recorder
from whence.validation.base import Blobs, Version
from whence.validation.extra.filled import FilledValues


class Rows(Protocol):
    """How many rows a commit added or removed."""

    @property
    def n(self) -> int:
        """The number."""
        ...


class State(Protocol):
    """What a commit says of the version it made."""

    @property
    def n_rows(self) -> int | None:
        """Its rows; None when unknown."""
        ...


class Commit(Protocol):
    """One commit of a table, as the lake's history tells it."""

    @property
    def version(self) -> int:
        """The version it made."""
        ...

    @property
    def type(self) -> str:
        """``append``, ``overwrite``, …, ``foreign``."""
        ...

    @property
    def at(self) -> datetime:
        """When."""
        ...

    @property
    def execution(self) -> str | None:
        """Who wrote it: the uid of the execution."""
        ...

    @property
    def principal(self) -> str | None:
        """Who had it written."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """References of what the execution had read."""
        ...

    @property
    def added(self) -> Rows | None:
        """Rows added; None when nobody counted."""
        ...

    @property
    def removed(self) -> Rows | None:
        """Rows removed; None when nobody counted."""
        ...

    @property
    def filled(self) -> tuple[tuple[str, int], ...]:
        """Columns, and how many of their missing values were given a default as the rows came."""
        ...

    @property
    def changes_rows(self) -> bool:
        """False for compaction and the like."""
        ...

    @property
    def state(self) -> State | None:
        """What it says of its version."""
        ...


class LakeVersion(Version, Protocol):
    """A version that also knows which rows its commit added."""

    def added(self) -> Relation:
        """The rows that came with it, as an engine reads them."""
        ...

    def commits(self) -> Sequence[Commit]:
        """The commits that led to it, oldest first."""
        ...


class TableHandle(Protocol):
    """A table of the lake."""

    def head(self) -> LakeVersion:
        """The newest version."""
        ...

    def at(self, version: int, /) -> LakeVersion:
        """One version."""
        ...

    def history(self) -> Sequence[Commit]:
        """Its commits."""
        ...


TableLike: TypeAlias = str | TableHandle


@dataclass(frozen=True, slots=True)
class Kept:
    """The collaborators of the room.

    Attributes:
        recorder: The graph.
        blobs: Bytes by digest.
        lake: The tables.
        engine: Reads rows.
        clock: What time it is.
    """

    recorder: Recorder
    blobs: Blobs
    lake: Any  # of the lake only `table(name)` is used
    engine: Engine
    clock: Clock

    def find(self, type_: str, name: str) -> Artifact | None:
        """The artifact of this type and name."""
        page = self.recorder.store.find_nodes("artifact", type_=type_, name=name, state="LIVE", limit=1)
        return next((n for n in page.nodes if isinstance(n, Artifact)), None)

    def artifacts(self, type_: str, *, name_prefix: str | None = None) -> Iterator[Artifact]:
        """All artifacts of a type, those of a prefix when given."""
        nodes = self.recorder.store.list_nodes("artifact", type_=type_, name_prefix=name_prefix, state="LIVE")
        yield from (n for n in nodes if isinstance(n, Artifact))

    def table(self, table: TableLike) -> tuple[str, TableHandle]:
        """A table's name and handle, of either."""
        name = table_name(table)
        handle: TableHandle = self.lake.table(name)
        return name, handle


def table_name(table: TableLike) -> str:
    """``flights`` of a handle, of ``flights`` and of ``table:flights@12``."""
    return Ref.parse(table, kind="table").name if isinstance(table, str) else str(table.name)  # type: ignore[attr-defined]


class AddedRows:
    """The rows that a version's commit added, as a `Version` of their own."""

    def __init__(self, version: LakeVersion) -> None:
        self._version = version
        self.ref = version.ref
        self.schema = version.schema
        self.declaration = version.declaration

    def files(self) -> Relation:
        """The rows."""
        return self._version.added()

    def filled(self) -> FilledValues | None:
        """How many missing values were given a default in these rows; None when none was."""
        own = next((c for c in self._version.commits() if self.ref.endswith(f"@{c.version}")), None)
        return FilledValues(dict(own.filled)) if own is not None and own.filled else None

    def artifact(self) -> Artifact:
        """The version's node in the graph."""
        return self._version.artifact()


def filled_in(commits: Sequence[Commit]) -> FilledValues | None:
    """How many missing values were given a default in the rows of a version, from the commits that led to it.

    Rows that replaced all others begin anew. Once rows were changed or removed, nobody knows whether filled values
    were among them: the counts are the most there can be. None when nothing was filled, or the first commits are gone.
    """
    counts: Counter[str] = Counter()
    whole, exact = False, True
    for commit in commits:
        if commit.version == 0 or is_fresh_start(commit):
            counts, whole, exact = Counter(), True, True
        elif not is_addition(commit) and not is_quiet(commit) and counts:
            exact = False
        counts.update(dict(commit.filled))
    return FilledValues(dict(counts), exact) if whole and counts else None


def commits_of(handle: TableHandle, upto: int | None = None) -> list[Commit]:
    """The commits of a table, oldest first."""
    found = sorted(handle.history(), key=lambda c: c.version)
    return [c for c in found if upto is None or c.version <= upto]


def is_addition(commit: Commit) -> bool:
    """Whether a commit added rows and left the others alone."""
    return commit.type in ("append", "create")


def is_quiet(commit: Commit) -> bool:
    """Whether the rows are those of the version before: compaction, vacuum, a watermark."""
    if not commit.changes_rows:
        return True
    return is_addition(commit) and commit.added is not None and commit.added.n == 0 and commit.version > 0


def is_fresh_start(commit: Commit) -> bool:
    """Whether every row of the version came with this commit: it replaced them all."""
    if commit.added is None or commit.state is None or commit.state.n_rows is None:
        return False
    return commit.type == "overwrite" and commit.state.n_rows == commit.added.n


__all__ = [
    "AddedRows",
    "Commit",
    "Kept",
    "LakeVersion",
    "TableHandle",
    "TableLike",
    "commits_of",
    "filled_in",
    "is_addition",
    "is_fresh_start",
    "is_quiet",
    "table_name",
]
