"""The kinds of write, each as two questions: does the input fit, and what would it do to this snapshot?"""

# ruff: noqa: ARG002  # check and effect have one shape for every kind of write

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import TS, conform, to_arrow
from whence._base.clock import utc
from whence._base.rows import row_digests, rows_digest, sum_digests
from whence.compute import quoted
from whence.compute.base import Relation
from whence.errors import ConflictError, DataRejectedError, UnsupportedError, UsageError
from whence.lake.base import Snapshot
from whence.lake.core import Core, filled_by, n_filled
from whence.lake.types import CommitFacts, Part, RowCheck, State, TableDeclaration

REJECTED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Effect:
    """What a write does to the snapshot it is made on.

    Attributes:
        write: Does it, with the facts of the commit.
        added: Rows that come.
        removed: Rows that go.
        n_rows: What the caller is told: rows written, or removed.
        watermark: The watermark afterwards.
        n_late: Rows whose ``known_at`` was raised.
        epoch: The epoch afterwards.
    """

    write: Callable[[CommitFacts], Snapshot]
    added: Part
    removed: Part
    n_rows: int
    watermark: datetime | None
    n_late: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Digested:
    """Rows whose digest is known already, so that appending them need not compute it.

    Attributes:
        rows: The rows.
        total: The sum of their row digests, as in `RowsDigest`.
    """

    rows: pa.Table
    total: int

    @classmethod
    def of(cls, rows: pa.Table) -> Digested:
        """Compute the digest of rows.

        Example:
            >>> Digested.of(pa.table({"a": [1]})).total == rows_digest(pa.table({"a": [1]})).total
            True
        """
        return cls(rows, sum_digests(row_digests(rows)))

    def holds(self, rows: pa.Table) -> bool:
        """Whether these, made of them to fit a table, have the same digest.

        Columns that were added are null and leave no bytes; the order of columns does not count.
        """
        types = dict(zip(rows.column_names, rows.schema.types, strict=True))
        more = set(types).difference(self.rows.column_names)
        return (
            rows.num_rows == self.rows.num_rows
            and all(types.get(field.name) == field.type for field in self.rows.schema)
            and all(rows.column(name).null_count == rows.num_rows for name in more)
        )


class Operation(ABC):
    """One write that was asked for. It may be tried on several snapshots until a commit succeeds."""

    type: ClassVar[str]
    n_quarantined: int = 0
    filled: Mapping[str, int] = MappingProxyType({})

    def __init__(self, core: Core, table: str) -> None:
        self.core = core
        self.table = table

    @abstractmethod
    def check(self, base: Snapshot | None, state: State) -> None:
        """Refuse input that does not fit the table, before anything is written."""

    @abstractmethod
    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        """What it does to this snapshot; None when there is nothing to do."""


class _RowsOperation(Operation):
    """A write that brings rows."""

    _sifted_by: RowCheck | None = None

    def __init__(
        self, core: Core, table: str, data: object, *, evolve: bool = False, watermark: datetime | None = None
    ) -> None:
        super().__init__(core, table)
        self._digested = data if isinstance(data, Digested) else None
        self._data = data.rows if isinstance(data, Digested) else data
        self._given: pa.Table | None = None
        self._evolve = evolve
        self._watermark = None if watermark is None else utc(watermark)
        self._fitted: tuple[pa.Schema, pa.Table] | None = None
        self._clamped: tuple[tuple[datetime | None, int], pa.Table, int, int] | None = None

    def check(self, base: Snapshot | None, state: State) -> None:
        self.fitted(base)
        if self._watermark is not None and state.watermark is not None and self._watermark < state.watermark:
            raise ConflictError(
                f"the watermark of table {self.table!r} stands at {state.watermark.isoformat()} and cannot go "
                f"back to {self._watermark.isoformat()}",
                code="watermark-back",
                hint="read the table's watermark, then continue from there",
            )

    def fitted(self, base: Snapshot | None) -> pa.Table:
        """The rows with exactly the table's columns and types."""
        want = None if base is None else base.schema
        if self._fitted is not None and (want is None or self._fitted[0].equals(want)):
            return self._fitted[1]
        check = self.core.row_check(self.table)
        if self._given is None:
            self._given = to_arrow(self._data, schema=want)
            self._data = None
            if self._sifted_by is None:
                self._fill(check, want)
        data = self._given
        if want is None:
            check_creatable(self.table, data.schema)
            self.core.check_free(self.table)
            want = data.schema.remove_metadata()
            data = data.cast(want)
        else:
            evolved = self._evolved(want, data.schema)
            if not data.schema.equals(evolved, check_metadata=True):
                data = conform(data, evolved, what=f"table {self.table!r}")
        self._check_rows(base, data, check)
        self._fitted, self._clamped = (want, data), None
        return data

    def _evolved(self, want: pa.Schema, have: pa.Schema) -> pa.Schema:
        if not self._evolve or have.equals(want):
            return want
        known = set(want.names)
        new = [f for f in have if f.name not in known]
        if not new:
            return want
        evolved = pa.schema([*want, *(pa.field(f.name, f.type, nullable=True) for f in new)])
        check_creatable(self.table, evolved, new=[f.name for f in new])
        return evolved

    def _fill(self, check: RowCheck | None, want: pa.Schema | None) -> None:
        assert self._given is not None
        came = self._given
        self._given = filled_by(check, came, want)
        filled = n_filled(came, self._given)
        if filled:
            self.filled = Counter(filled) + Counter(self.filled)
            self._digested = None  # it is that of the rows as they came

    def _check_rows(self, base: Snapshot | None, data: pa.Table, check: RowCheck | None) -> None:
        declaration = declaration_of(base)
        if declaration.known_at is not None and data.column(declaration.known_at).null_count:
            raise UsageError(
                f"column {declaration.known_at!r} of table {self.table!r} says when a row was known; it has nulls",
                code="null-known-at",
                hint="give every row the time at which it was known",
            )
        nameless = null_keys(data, declaration.key)
        n_nameless = 0 if nameless is None else int(pc.sum(nameless).as_py() or 0)
        if n_nameless:
            raise UsageError(
                f"{n_nameless} rows have nothing but null in the key of table {self.table!r} "
                f"({', '.join(declaration.key)}): they have no name",
                code="null-key",
                hint="leave such rows out, or set them aside with on_error='quarantine'",
            )
        for column in declaration.partition_by:
            if (
                data.schema.field(column).type == pa.string()
                and pc.any(pc.equal(data.column(column), "")).as_py()
            ):
                raise UsageError(
                    f"partition column {column!r} of table {self.table!r} has empty text, which Delta reads back as null",
                    code="empty-partition",
                    hint="use a word for it, or null",
                )
        if check is not None and data.num_rows and check is not self._sifted_by:
            mask, reasons = check(data)
            refuse_rows(self.table, mask, reasons)

    def clamped(self, base: Snapshot | None, state: State) -> tuple[pa.Table, Part, int]:
        """The rows as they enter after this state: the table, its part of the digest, the number of late rows."""
        data = self.fitted(base)
        column = declaration_of(base).known_at
        floor = (state.watermark if column is not None else None), state.raises
        if self._clamped is None or self._clamped[0] != floor:
            n_late = 0
            if column is not None and floor[0] is not None:
                data, n_late = raise_known_at(data, column, floor[0], raises=state.raises)
            known = None if n_late or self._digested is None else self._digested
            total = known.total if known is not None and known.holds(data) else Digested.of(data).total
            self._clamped = floor, data, n_late, total
        _, data, n_late, total = self._clamped
        return data, Part(data.num_rows, total), n_late

    def watermark_after(self, state: State) -> datetime | None:
        """The watermark once the rows are in."""
        return state.watermark if self._watermark is None else self._watermark

    def evolves(self, base: Snapshot) -> bool:
        """Whether the rows bring new columns."""
        return bool(self.fitted(base).num_columns > len(base.schema.names))

    def create(self, state: State) -> Effect:
        """The rows as version 0 of a table that does not exist yet."""
        data, added, n_late = self.clamped(None, state)
        declaration = TableDeclaration().to_json()
        return Effect(
            lambda facts: self.core.backend.create(
                self.table, data, declaration=declaration, partition_by=(), facts=facts
            ),
            added, Part(), added.n, self.watermark_after(state), n_late,
        )  # fmt: skip


class Create(Operation):
    """An empty table with a declaration."""

    type = "create"

    def __init__(self, core: Core, table: str, schema: pa.Schema, declaration: TableDeclaration) -> None:
        super().__init__(core, table)
        self._schema = schema
        self._declaration = declaration

    def check(self, base: Snapshot | None, state: State) -> None:
        check_creatable(self.table, self._schema)
        if base is None:
            self.core.check_free(self.table)
        self._declaration.check(self._schema, table=self.table)

    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        if base is not None:
            return None
        return Effect(
            lambda facts: self.core.backend.create(
                self.table,
                self._schema.empty_table(),
                declaration=self._declaration.to_json(),
                partition_by=self._declaration.partition_by,
                facts=facts,
            ),
            Part(), Part(), 0, None,
        )  # fmt: skip


class Append(_RowsOperation):
    """Rows are added.

    Args:
        core: The lake.
        table: The table.
        data: The rows.
        evolve: New columns in the data become nullable columns of the table.
        watermark: Up to when the feed is complete afterwards.
        sifted_by: The row check that has let these rows pass already.
        n_quarantined: How many rows of the batch were set aside.
        filled: Column → how many missing values were given the default before.
    """

    type = "append"

    def __init__(
        self,
        core: Core,
        table: str,
        data: object,
        *,
        evolve: bool = False,
        watermark: datetime | None = None,
        sifted_by: RowCheck | None = None,
        n_quarantined: int = 0,
        filled: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(core, table, data, evolve=evolve, watermark=watermark)
        self._sifted_by = sifted_by
        self.filled = filled or {}
        self.n_quarantined = n_quarantined

    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        if base is None:
            return self.create(state)
        data, added, n_late = self.clamped(base, state)
        evolve = self.evolves(base)
        return Effect(
            lambda facts: self.core.backend.append(base, data, evolve=evolve, facts=facts),
            added, Part(), added.n, self.watermark_after(state), n_late, state.epoch,
        )  # fmt: skip


class Overwrite(_RowsOperation):
    """All rows, or those of a condition, are replaced."""

    type = "overwrite"

    def __init__(
        self,
        core: Core,
        table: str,
        data: object,
        *,
        where: str | None,
        evolve: bool,
        watermark: datetime | None,
    ) -> None:
        super().__init__(core, table, data, evolve=evolve, watermark=watermark)
        self._where = where

    def check(self, base: Snapshot | None, state: State) -> None:
        super().check(base, state)
        if self._where is None:
            return
        data = self.fitted(base)
        sql = f"SELECT count(*) AS n FROM given WHERE ({self._where}\n) IS NOT TRUE"
        outside = self.core.engine.query(sql, {"given": data}).column("n")[0].as_py()
        if outside:
            raise UsageError(
                f"{outside} of the {data.num_rows} rows are outside of the condition {self._where!r} they replace",
                code="outside-predicate",
                hint="give only rows that fulfil it",
            )

    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        if base is None:
            return self.create(state)
        data, added, n_late = self.clamped(base, state)
        evolve, where = self.evolves(base), self._where
        removed = _all_of(self.core, base) if where is None else _part(matching_rows(self.core, base, where))
        return Effect(
            lambda facts: self.core.backend.overwrite(
                base, data, where=where, evolve=evolve, rest=lambda: _rest(self.core, base, where), facts=facts
            ),
            added, removed, added.n, self.watermark_after(state), n_late, state.epoch + 1,
        )  # fmt: skip


class Delete(Operation):
    """The rows of a condition are removed."""

    type = "delete"

    def __init__(self, core: Core, table: str, where: str) -> None:
        super().__init__(core, table)
        self._where = where
        self._found: tuple[int, Part] | None = None

    def check(self, base: Snapshot | None, state: State) -> None:
        self._removed(base or self.core.get(self.table))

    def _removed(self, base: Snapshot) -> Part:
        if self._found is None or self._found[0] != base.version:
            self._found = base.version, _part(matching_rows(self.core, base, self._where))
        return self._found[1]

    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        base = base or self.core.get(self.table)
        removed, where = self._removed(base), self._where
        if removed.n == 0:
            return None
        return Effect(
            lambda facts: self.core.backend.delete(
                base, where, rest=lambda: _rest(self.core, base, where), facts=facts
            ),
            Part(), removed, removed.n, state.watermark, 0, state.epoch + 1,
        )  # fmt: skip


class Merge(_RowsOperation):
    """Rows take the place of those with the same key; new ones are added."""

    type = "merge"

    def __init__(
        self, core: Core, table: str, data: object, *, on: Sequence[str] | None, watermark: datetime | None
    ) -> None:
        super().__init__(core, table, data, watermark=watermark)
        self._on = None if on is None else tuple(on)

    def check(self, base: Snapshot | None, state: State) -> None:
        base = base or self.core.get(self.table)
        super().check(base, state)
        on, data = self._columns(base), self.fitted(base)
        for column in on:
            if data.column(column).null_count:
                raise UsageError(
                    f"key column {column!r} has nulls", code="null-key", hint="leave such rows out"
                )
        _check_unique(data, on, "the data", self.table)

    def _columns(self, base: Snapshot) -> tuple[str, ...]:
        on = self._on if self._on is not None else declaration_of(base).key
        if not on:
            raise UsageError(
                f"table {self.table!r} declares no key",
                code="no-key",
                hint="say which columns: merge(…, on=[…])",
            )
        TableDeclaration(key=on).check(base.schema, table=self.table)
        return on

    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        base = base or self.core.get(self.table)
        data, added, n_late = self.clamped(base, state)
        on, found = self._columns(base), base
        replaced = self._joined(found, data, on, "SEMI")
        _check_unique(replaced, on, "the table", self.table)
        return Effect(
            lambda facts: self.core.backend.merge(
                found, data, on=on, rest=lambda: self._joined(found, data, on, "ANTI"), facts=facts
            ),
            added, _part(replaced), added.n, self.watermark_after(state), n_late, state.epoch + 1,
        )  # fmt: skip

    def _joined(self, base: Snapshot, data: pa.Table, on: Sequence[str], kind: str) -> pa.Table:
        keys = ", ".join(quoted(c) for c in on)
        relations: dict[str, Relation] = {"t": self.core.backend.relation(base), "s": data.select(list(on))}
        chosen = ", ".join(f"t.{quoted(c)}" for c in base.schema.names)
        got = self.core.engine.query(f"SELECT {chosen} FROM t {kind} JOIN s USING ({keys})", relations)
        return got.cast(base.schema)


# --- what several of them need --------------------------------------------------------------------


def declaration_of(base: Snapshot | None) -> TableDeclaration:
    """What a snapshot declares."""
    if base is None:
        return TableDeclaration()
    return TableDeclaration.from_json(base.declaration, partition_by=base.partition_by)


def check_creatable(table: str, schema: pa.Schema, *, new: Sequence[str] | None = None) -> None:
    """Refuse columns that a table cannot keep, or that SQL could not name or tell apart.

    Args:
        table: The table's name.
        schema: All columns it would have.
        new: Names of those that it has not yet; None is all.

    Raises:
        UsageError: ``no-columns``, ``unsupported-type``, ``nameless-column``, ``duplicate-column``.
    """
    if not schema.names:
        raise UsageError(f"table {table!r} would have no columns", code="no-columns")
    if "" in (schema.names if new is None else new):
        raise UsageError(
            f"column {schema.names.index('') + 1} of table {table!r} has no name",
            code="nameless-column",
            hint="name it, or leave it out: pandas writes its index so, unless asked with index=False",
        )
    for field in schema:
        if pa.types.is_null(field.type):
            raise UsageError(
                f"column {field.name!r} holds nothing but null, so its type is unknown",
                code="unsupported-type",
                hint="create the table with a schema first, or cast the column",
            )
    seen: dict[str, str] = {}
    for name in schema.names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UsageError(
                f"columns {other!r} and {name!r} differ only in case, SQL cannot tell them apart",
                code="duplicate-column",
            )


def null_keys(data: pa.Table, key: Sequence[str]) -> pa.ChunkedArray | None:
    """Which rows have no name: null in every column of the declared key. A part of a key may be null."""
    nameless: pa.ChunkedArray | None = None
    for column in key:
        null = pc.is_null(data.column(column))
        nameless = null if nameless is None else pc.and_(nameless, null)
    return nameless


def raise_known_at(
    data: pa.Table, column: str, watermark: datetime, *, raises: int = 0
) -> tuple[pa.Table, int]:
    """Raise what is claimed at or below the watermark above it; returns the rows and how many were raised.

    The first commit after a watermark raises to 1 µs above it, each later one 1 µs further, so that of
    two late corrections the later one is known later.

    Example:
        >>> from datetime import UTC
        >>> w = datetime(2013, 1, 1, tzinfo=UTC)
        >>> rows, n = raise_known_at(pa.table({"k": pa.array([w], TS)}), "k", w)
        >>> rows["k"][0].as_py().isoformat(), n
        ('2013-01-01T00:00:00.000001+00:00', 1)
    """
    floor = pa.scalar(watermark + timedelta(microseconds=1 + raises), TS)
    claimed = data.column(column)
    late = pc.less_equal(claimed, pa.scalar(watermark, TS))
    n_late = int(pc.sum(late).as_py() or 0)
    if n_late:
        raised = pc.if_else(late, floor, claimed)
        data = data.set_column(data.schema.get_field_index(column), data.schema.field(column), raised)
    return data, n_late


def refuse_rows(table: str, mask: Sequence[bool], reasons: Sequence[str | None]) -> None:
    """Raise if a row check refuses any row; the first few are named with their reasons."""
    refused = np.flatnonzero(~np.asarray(mask, dtype=bool))
    if refused.size == 0:
        return
    shown = [{"row": int(i), "reason": str(reasons[int(i)])} for i in refused[:REJECTED_SHOWN]]
    first = shown[0]
    raise DataRejectedError(
        f"{refused.size} of {len(mask)} rows may not enter table {table!r}; row {first['row']}: {first['reason']}",
        code="rows-rejected",
        hint="correct or leave out these rows; nothing was written",
        details={"table": table, "n_rejected": int(refused.size), "anomalies": shown},
    )


def matching_rows(core: Core, base: Snapshot, where: str) -> pa.Table:
    """The rows for which a condition is true, the same for the engine and for the table format.

    Raises:
        UnsupportedError: The two languages differ about the condition (``predicate-dialect``).
    """
    found = core.rows(base, where=where)
    theirs = core.backend.matching(base, where)
    if theirs is not None and rows_digest(theirs) != rows_digest(found):
        raise UnsupportedError(
            f"the condition {where!r} means {found.num_rows} rows to {core.engine.name} and {theirs.num_rows} "
            f"to {core.backend.name}",
            code="predicate-dialect",
            hint="write it with plain comparisons, or list the keys",
        )
    return found


def _rest(core: Core, base: Snapshot, where: str | None) -> pa.Table:
    if where is None:
        return base.schema.empty_table()
    return core.rows(base, where=f"({where}\n) IS NOT TRUE")


def _all_of(core: Core, base: Snapshot) -> Part:
    digest = core.digest(base)
    return Part(digest.n_rows, digest.total)


def _part(rows: pa.Table) -> Part:
    return Part(rows.num_rows, sum_digests(row_digests(rows)))


def _check_unique(rows: pa.Table, on: Sequence[str], where: str, table: str) -> None:
    distinct = rows.select(list(on)).group_by(list(on)).aggregate([]).num_rows
    if distinct != rows.num_rows:
        raise UsageError(
            f"{rows.num_rows - distinct} rows repeat a key ({', '.join(on)}) in {where}; a merge into table "
            f"{table!r} would be ambiguous",
            code="duplicate-key",
            hint="keep one row per key",
        )
