"""Values of the lake: declarations, commits, states, holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol

import pyarrow as pa

from whence._base.arrow import TS
from whence._base.digest import canonical_json
from whence._base.rows import RowsDigest
from whence.errors import UsageError, near_names

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_PARTITION_TYPES: Final = (
    pa.string(),
    pa.bool_(),
    pa.date32(),
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
)


def check_name(name: str, *, what: str = "table") -> str:
    """`name` if it may name a table: words of a-z, 0-9 and _, joined by dots.

    Raises:
        UsageError: ``bad-name``.

    Example:
        >>> check_name("train.late")
        'train.late'
    """
    given: object = name  # a caller without types may give anything
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise UsageError(
            f"{name!r} cannot name a {what}",
            code="bad-name",
            hint="use lower-case letters, digits and _, beginning with a letter; dots make namespaces",
        )
    return name


@dataclass(frozen=True, slots=True)
class TableDeclaration:
    """What is declared about a table's columns; it is stored with the table.

    Attributes:
        key: Columns that name a row. Later rows of the same key are corrections, so it is no constraint.
        event_time: When the row's event happened.
        known_at: When whence could first use the row; set at commit to lie above the watermark.
        subject_key: The person the row is about.
        pii: Columns with personal data.
        partition_by: Columns whose values make the folders.
        description: For people.
    """

    key: tuple[str, ...] = ()
    event_time: str | None = None
    known_at: str | None = None
    subject_key: str | None = None
    pii: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    description: str = ""

    def to_json(self) -> str:
        """The text stored with the table."""
        facts: dict[str, object] = {
            "key": list(self.key),
            "event_time": self.event_time,
            "known_at": self.known_at,
            "subject_key": self.subject_key,
            "pii": list(self.pii),
            "partition_by": list(self.partition_by),
            "description": self.description,
        }
        return canonical_json({"whence": {k: v for k, v in facts.items() if v}})

    @classmethod
    def from_json(cls, text: str | None, *, partition_by: Sequence[str] = ()) -> TableDeclaration:
        """Read what a table says about itself; text that is not ours is its description.

        Example:
            >>> TableDeclaration.from_json(TableDeclaration(key=("id",)).to_json()).key
            ('id',)
        """
        facts = _our_facts(text)
        if facts is None:
            return cls(partition_by=tuple(partition_by), description=text or "")
        return cls(
            key=tuple(facts.get("key", ())),
            event_time=facts.get("event_time"),
            known_at=facts.get("known_at"),
            subject_key=facts.get("subject_key"),
            pii=tuple(facts.get("pii", ())),
            partition_by=tuple(partition_by),
            description=facts.get("description", ""),
        )

    def check(self, schema: pa.Schema, *, table: str) -> None:
        """Refuse a declaration that the schema cannot carry.

        Raises:
            UsageError: A declared column is absent (``declared-column``) or of a type that its role
                does not allow (``declared-type``).
        """
        roles = [("key", c) for c in self.key] + [("pii", c) for c in self.pii]
        roles += [("partition_by", c) for c in self.partition_by]
        singles = (
            ("event_time", self.event_time),
            ("known_at", self.known_at),
            ("subject_key", self.subject_key),
        )
        roles += [(role, column) for role, column in singles if column is not None]
        for role, column in roles:
            if column not in schema.names:
                raise UsageError(
                    f"table {table!r} declares {role}={column!r}, which is not among its columns",
                    code="declared-column",
                    near=near_names(column, schema.names),
                )
            _check_role(table, role, schema.field(column))


def _our_facts(text: str | None) -> dict[str, Any] | None:
    # Any: parsed JSON
    try:
        parsed = json.loads(text) if text else None
    except ValueError:
        return None
    found = parsed.get("whence") if isinstance(parsed, dict) else None
    return found if isinstance(found, dict) else None


def _check_role(table: str, role: str, column: pa.Field) -> None:
    wanted: str | None = None
    if role in ("event_time", "known_at") and column.type != TS:
        wanted = str(TS)
    elif role == "partition_by" and column.type not in _PARTITION_TYPES:
        wanted = "a string, integer, date or bool"
    elif role == "key" and (pa.types.is_floating(column.type) or pa.types.is_nested(column.type)):
        wanted = "a type with exact equality"
    if wanted is not None:
        raise UsageError(
            f"table {table!r} declares {role}={column.name!r} of type {column.type}, want {wanted}",
            code="declared-type",
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that a commit added or removed: how many, and the sum of their digests."""

    n: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What the chain of commits knows of a version.

    Attributes:
        n_rows: How many rows; None when a commit in between was not made by whence.
        total: The sum of the row digests; None as above.
        watermark: Up to when the feed is complete; None when never said.
        epoch: How often rows were changed or removed; readers that only follow additions compare it.
        at: The moment of the newest commit, never before that of an earlier one.
        raises: How many commits raised late rows since the watermark last moved.
    """

    n_rows: int | None
    total: int | None
    watermark: datetime | None = None
    epoch: int = 0
    at: datetime | None = None
    raises: int = 0

    def digest(self, schema: str) -> RowsDigest | None:
        """The digest of the rows under a schema digest; None when unknown."""
        if self.n_rows is None or self.total is None:
            return None
        return RowsDigest(schema, self.n_rows, self.total)


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit as the lake's log tells it.

    Attributes:
        table: The table.
        version: The version it made.
        type: ``create``, ``append``, ``overwrite``, ``merge``, ``delete``, ``compact``, ``vacuum``; ``foreign``
            when it was not made by whence.
        at: When, by the clock of the workspace; for foreign commits by the machine's.
        operation: What the table format calls it.
        execution: The uid of the execution that made it; None when foreign.
        principal: Who made it.
        inputs: References of what the execution had read by then.
        added: Rows added; None when foreign.
        removed: Rows removed; None when foreign.
        n_late: Rows whose ``known_at`` was raised to lie above the watermark.
        transaction: The app transaction it carries.
        changes_rows: False for compaction and the like.
        state: What is known of the version by this commit alone.
        base: The version it was made on.
        progress: Further app transactions it carries: how far its writer had come by then.
        n_quarantined: Rows of its batch that were set aside.
        filled: Columns, and how many of their missing values were given a default as the rows came.
    """

    table: str
    version: int
    type: str
    at: datetime
    operation: str
    execution: str | None = None
    principal: str | None = None
    inputs: tuple[str, ...] = ()
    added: Part | None = None
    removed: Part | None = None
    n_late: int = 0
    transaction: tuple[str, int] | None = None
    changes_rows: bool = True
    state: State | None = None
    base: int | None = None
    progress: tuple[tuple[str, int], ...] = ()
    n_quarantined: int = 0
    filled: tuple[tuple[str, int], ...] = ()

    @property
    def ref(self) -> str:
        """``table:flights@12``."""
        return f"table:{self.table}@{self.version}"

    @property
    def watermark(self) -> datetime | None:
        """The watermark after this commit."""
        return None if self.state is None else self.state.watermark


@dataclass(frozen=True, slots=True)
class Commit:
    """What a write became.

    Attributes:
        table: The table.
        version: The version it made; for a duplicate, the version that holds the rows already.
        execution: The uid of the execution that made it.
        n_rows: Rows written (for a delete: removed).
        digest: ``rows-v1`` digest of the whole version; None when the table has foreign commits.
        watermark: The watermark after it.
        n_late: Rows whose ``known_at`` was raised.
        n_quarantined: Rows of the batch that were set aside; see `Quarantine`.
        duplicate: Nothing was written: the app transaction or key was there already.
        filled: Columns, and how many of their missing values were given a default.
    """

    table: str
    version: int
    execution: str
    n_rows: int
    digest: str | None = None
    watermark: datetime | None = None
    n_late: int = 0
    duplicate: bool = False
    n_quarantined: int = 0
    filled: tuple[tuple[str, int], ...] = ()

    @property
    def ref(self) -> str:
        """``table:flights@12``."""
        return f"table:{self.table}@{self.version}"


@dataclass(frozen=True, slots=True)
class Hold:
    """A version that cleanup leaves alone, and why."""

    table: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What a vacuum removed, or would remove.

    Attributes:
        table: The table.
        dry_run: Nothing was removed.
        files: The files, relative to the table.
        ended: Versions that cannot be read afterwards.
        held: Versions that were kept because they are held.
    """

    table: str
    dry_run: bool
    files: tuple[str, ...]
    ended: tuple[int, ...]
    held: tuple[int, ...]


EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """What a commit carries besides rows.

    Attributes:
        metadata: ``whence.*`` facts as text.
        transactions: App transactions: (application, version).
    """

    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    transactions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One commit as a backend reads it from its log."""

    version: int
    at: datetime
    operation: str
    changes_rows: bool
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)


class RowCheck(Protocol):
    """Decides row by row what may enter a table; validation has one.

    One that also has ``fills`` (names of columns) and ``filled(rows, want) -> rows`` puts defaults in
    place of nulls before it decides; with none of these names rows enter as they came.
    """

    def __call__(self, batch: pa.Table, /) -> tuple[Sequence[bool], Sequence[str | None]]:
        """For each row: may it enter, and if not, why not."""
        ...
