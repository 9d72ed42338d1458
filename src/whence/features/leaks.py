"""Does anything in a training set come from the future? Brute force, row by row, in plain Python.

Every feature is computed again from rows that are cut at each row's moment: what was not known then is
not there. It shares nothing with the compiler. Columns that are no features are held against the sources
that have them, against the features as known *now*, and against the label; or the step that made them is
run again on cut sources (`rebuild`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import normalise
from whence._base.progress import progress
from whence.compute import Engine
from whence.errors import NotFoundError, UsageError
from whence.features.cut import CutSource
from whence.features.plain import fold, micros
from whence.features.source import Source
from whence.features.types import AnyView, FeatureView, Given

Rebuild: TypeAlias = Callable[[Mapping[str, pa.Table]], pa.Table]
"""Makes the training set again from sources by name."""

Kind: TypeAlias = Literal["feature", "column"]

MAX_EXAMPLES: Final = 5
TOLERANCE: Final = 1e-12
"""Relative; sums of doubles may differ by it, a leak does not."""
MIN_PER_CLASS: Final = 20
"""So many rows of each class before a perfect separation is no accident."""


@dataclass(frozen=True, slots=True)
class LeakCell:
    """One cell that changes when the sources are cut at knowledge time.

    Attributes:
        column: Its column.
        row: Its row in the training set.
        at: The row's moment.
        value: What stands there.
        cut: What could be known then.
    """

    column: str
    row: int
    at: datetime
    value: Any
    cut: Any


@dataclass(frozen=True, slots=True)
class LeakColumn:
    """A column that knows the future.

    Attributes:
        name: The column.
        kind: ``feature`` of a declared view, or another ``column``.
        how: By what it was found out.
        n_checked: How many of its cells were checked.
        n_differing: How many change.
        examples: The first of them.
    """

    name: str
    kind: Kind
    how: str
    n_checked: int
    n_differing: int
    examples: tuple[LeakCell, ...] = ()


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What the check found.

    Attributes:
        columns: Columns that know the future.
        n_rows: How many rows were checked.
        n_checked: How many cells.
        unchecked: Columns about which nothing can be said; `rebuild` could.
    """

    columns: tuple[LeakColumn, ...]
    n_rows: int
    n_checked: int
    unchecked: tuple[str, ...] = ()

    @property
    def n_cells(self) -> int:
        """How many cells change."""
        return sum(column.n_differing for column in self.columns)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.columns

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "ok": self.ok,
            "n_rows": self.n_rows,
            "n_checked": self.n_checked,
            "n_cells": self.n_cells,
            "columns": [
                {
                    "name": c.name,
                    "kind": c.kind,
                    "how": c.how,
                    "n_checked": c.n_checked,
                    "n_differing": c.n_differing,
                    "examples": [_example(cell) for cell in c.examples],
                }
                for c in self.columns
            ],
            "unchecked": list(self.unchecked),
        }

    def text(self) -> str:
        """For people."""
        lines = [f"{self.n_checked} cells of {self.n_rows} rows checked, {self.n_cells} change when cut"]
        for c in self.columns:
            lines.append(f"{c.name}: {c.n_differing} of {c.n_checked} cells, {c.how}")
            lines += [f"  row {e.row} at {e.at.isoformat()}: {e.value!r}, then {e.cut!r}" for e in c.examples]
        if self.unchecked:
            lines.append(f"not checked: {', '.join(self.unchecked)}")
        return "\n".join(lines)


def _example(cell: LeakCell) -> dict[str, Any]:
    return {"row": cell.row, "at": cell.at.isoformat(), "value": _json(cell.value), "cut": _json(cell.cut)}


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


@dataclass
class _Check:
    """The sampled rows and what was found about each column."""

    rows: list[dict[str, Any]]
    numbers: list[int]
    at: str
    found: list[LeakColumn] = field(default_factory=list)
    n_checked: int = 0
    settled: set[str] = field(default_factory=set)

    def compare(self, name: str, kind: Kind, how: str, cut: Sequence[Any]) -> None:
        """Hold a column against what could be known."""
        differing = []
        for number, row, value in zip(self.numbers, self.rows, cut, strict=True):
            if not same(row[name], value):
                differing.append(LeakCell(name, number, row[self.at], row[name], value))
        self.n_checked += len(cut)
        self.settled.add(name)
        if differing:
            examples = tuple(differing[:MAX_EXAMPLES])
            self.found.append(LeakColumn(name, kind, how, len(cut), len(differing), examples))

    def report(self, unchecked: Iterable[str]) -> LeakReport:
        return LeakReport(tuple(self.found), len(self.rows), self.n_checked, tuple(unchecked))


def find_leaks(
    training_set: pa.Table,
    views: Sequence[AnyView],
    sources: Mapping[str, Source],
    engine: Engine,
    *,
    at: str,
    labels: Sequence[str] = (),
    registers: Sequence[Source] = (),
    sample: int | None = None,
    seed: int = 0,
    rebuild: Rebuild | None = None,
    row_key: Sequence[str] = (),
    moments: int = 5,
) -> LeakReport:
    """Check a training set against what could be known at each row's moment.

    Args:
        training_set: The rows.
        views: The views whose features stand in it.
        sources: What the views read, at the versions that were read.
        engine: Reads the sources' files.
        at: The column of the moment.
        labels: Columns that are allowed to know the future.
        registers: Tables with a declared key and knowledge time, to hold other columns against.
        sample: How many rows; None is all.
        seed: Which rows.
        rebuild: Makes the training set again from cut sources; then every column but the labels is checked.
        row_key: With `rebuild`, the columns that name a row of the training set.
        moments: With `rebuild`, at how many moments.
    """
    training_set = normalise(training_set)
    for name in (at, *labels, *row_key):
        if name not in training_set.column_names:
            raise NotFoundError("column", name, near=training_set.column_names)
    n = training_set.num_rows
    size = n if sample is None else min(sample, n)
    # not for secrets: the sample must be the same for the same seed
    numbers = sorted(random.Random(seed).sample(range(n), size))  # noqa: S311
    check = _Check(training_set.take(pa.array(numbers, pa.int64())).to_pylist(), numbers, at)
    cuts = {name: CutSource(source, engine) for name, source in sources.items()}
    feature_views = [view for view in views if isinstance(view, FeatureView)]
    for view in feature_views:
        for name, values in _cut_features(view, cuts[view.source], check, known="then"):
            if name in training_set.column_names:
                check.compare(name, "feature", "differs from its value at the moment", values)
    _pass_over(check, views, labels, at)
    for register in registers:
        check.settled.update(register.key)
    check.settled.update(row_key)
    if rebuild is not None:
        _rebuilt(check, training_set, cuts, rebuild, row_key, labels, moments)
    _registered(check, training_set, registers, engine)
    _as_of_now(check, feature_views, cuts, training_set)
    for label in labels:
        _separating(check, label, training_set)
    return check.report(c for c in training_set.column_names if c not in check.settled)


def _pass_over(check: _Check, views: Sequence[AnyView], labels: Sequence[str], at: str) -> None:
    """What needs no check: keys and moments name the row, labels may know the future. What follows from one
    column of the spine alone knows what that column knows.
    """
    check.settled.update((at, *labels))
    for view in views:
        if isinstance(view, FeatureView):
            check.settled.update(view.spine_columns)
        elif not isinstance(view, Given):
            check.settled.update(view.outputs)


def _cut_features(
    view: FeatureView, source: CutSource, check: _Check, *, known: Literal["then", "now"]
) -> Iterator[tuple[str, list[Any]]]:
    """The features of a view for each sampled row, from rows cut at its moment."""
    keyed = source.by_key(view, {tuple(row[c] for c in view.spine_columns) for row in check.rows})
    with progress(f"checking {view.name}", total=len(view.features)) as step:
        for feature in view.features:
            values = []
            for row in check.rows:
                key = tuple(row[c] for c in view.spine_columns)
                q = micros(row[check.at])
                assert q is not None
                values.append(fold(feature, keyed.values(feature, key, q, known=known)))
            yield f"{view.name}__{feature.name}", values
            step()


def _registered(check: _Check, training_set: pa.Table, registers: Sequence[Source], engine: Engine) -> None:
    """Hold columns against tables that have them under the same key: is the value known at the moment?"""
    attested: dict[str, list[list[Any]]] = {}
    for register in registers:
        names = [
            c for c in training_set.column_names if c in register.schema.names and c not in check.settled
        ]
        if register.key and set(register.key) <= set(training_set.column_names):
            check.settled.update(register.key)  # they name the row
        if not names or not register.key or not set(register.key) <= set(training_set.column_names):
            continue
        cut = CutSource(register, engine)
        for name, values in cut.newest(names, check.rows, check.at).items():
            attested.setdefault(name, []).append(values)
    for name, columns in attested.items():
        best = min(columns, key=lambda values: _n_different(check, name, values))
        check.compare(name, "column", "was not known at the moment, in any table that has it", best)


def _n_different(check: _Check, name: str, values: Sequence[Any]) -> int:
    return sum(not same(row[name], value) for row, value in zip(check.rows, values, strict=True))


def _as_of_now(
    check: _Check, views: Sequence[FeatureView], cuts: Mapping[str, CutSource], training_set: pa.Table
) -> None:
    """Find columns that are a feature as it is known now."""
    open_columns = [c for c in _numeric(training_set) if c not in check.settled]
    if not open_columns:
        return
    for view in views:
        then = dict(_cut_features(view, cuts[view.source], check, known="then"))
        for name, now in _cut_features(view, cuts[view.source], check, known="now"):
            if all(same(a, b) for a, b in zip(now, then[name], strict=True)):
                continue
            for column in open_columns:
                if column not in check.settled and not _n_different(check, column, now):
                    check.compare(column, "column", f"is {name} as it is known now", then[name])


def _numeric(table: pa.Table) -> list[str]:
    kinds = pa.types
    return [
        f.name
        for f in table.schema
        if kinds.is_integer(f.type)
        or kinds.is_floating(f.type)
        or kinds.is_boolean(f.type)
        or kinds.is_decimal(f.type)
    ]


def _separating(check: _Check, label: str, training_set: pa.Table) -> None:
    """Find numbers that part the label's classes without a single mistake."""
    classes = sorted({row[label] for row in check.rows if row[label] is not None}, key=str)
    if len(classes) != 2:
        return
    for column in _numeric(training_set):
        if column in check.settled:
            continue
        low, high = (
            [r[column] for r in check.rows if r[label] == c and _is_number(r[column])] for c in classes
        )
        if min(len(low), len(high)) < MIN_PER_CLASS:
            continue
        if max(low) < min(high) or max(high) < min(low):
            n = len(low) + len(high)
            check.n_checked += n
            check.settled.add(column)
            how = f"parts the classes of {label!r} without a mistake"
            check.found.append(LeakColumn(column, "column", how, n, n))


def _is_number(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _rebuilt(
    check: _Check,
    training_set: pa.Table,
    cuts: Mapping[str, CutSource],
    rebuild: Rebuild,
    row_key: Sequence[str],
    labels: Sequence[str],
    moments: int,
) -> None:
    """Run what made the training set again, on sources cut at some of its moments."""
    if not row_key:
        raise UsageError("rebuild needs row_key, to find its rows again", code="missing-key")
    wanted = sorted({row[check.at] for row in check.rows})
    wanted = wanted[:: max(1, len(wanted) // max(1, moments))][:moments]
    before: dict[str, list[LeakCell]] = {}
    checked: dict[str, int] = {}
    names = [c for c in training_set.column_names if c not in (*row_key, *labels, check.at)]
    for moment in wanted:
        again = normalise(rebuild({name: cut.known_by(moment) for name, cut in cuts.items()}))
        rows = {tuple(r[c] for c in row_key): r for r in again.to_pylist()}
        here = pc.equal(
            training_set.column(check.at), pa.scalar(moment, training_set.schema.field(check.at).type)
        )
        numbers = [i for i, hit in enumerate(here.to_pylist()) if hit]
        for number, row in zip(numbers, training_set.take(pa.array(numbers)).to_pylist(), strict=True):
            other = rows.get(tuple(row[c] for c in row_key))
            for name in names:
                cut = None if other is None else other.get(name)
                checked[name] = checked.get(name, 0) + 1
                if not same(row[name], cut):
                    before.setdefault(name, []).append(LeakCell(name, number, moment, row[name], cut))
    check.n_checked += sum(checked.values())
    for name in names:
        if name in checked and name not in {c.name for c in check.found}:
            check.settled.add(name)
            cells = before.get(name, [])
            if cells:
                how = "changes when it is made again from cut sources"
                found = LeakColumn(
                    name, "column", how, checked[name], len(cells), tuple(cells[:MAX_EXAMPLES])
                )
                check.found.append(found)


def same(a: Any, b: Any) -> bool:
    """Whether two cells are equal, doubles to 1e-12 relative.

    Example:
        >>> same(0.1 + 0.2, 0.3), same(None, 0), same(float("nan"), float("nan"))
        (True, False, True)
    """
    if a is None or b is None:
        return a is b
    if isinstance(a, float) or isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=0.0)
    return bool(a == b)
