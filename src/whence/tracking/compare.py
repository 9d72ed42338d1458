"""Runs side by side: what they were made with, what came out, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from whence.tracking.run import Run
from whence.tracking.types import ParamValue, param_text

RowKind: TypeAlias = Literal["run", "param", "metric", "tag", "input"]
Cell: TypeAlias = ParamValue


@dataclass(frozen=True, slots=True)
class Row:
    """One fact of every run.

    Attributes:
        kind: What sort of fact: ``param``, ``metric``, …
        key: Its key.
        values: One value a run; None where a run has not got it.
        differs: Whether not all of them are the same.
    """

    kind: RowKind
    key: str
    values: tuple[Cell, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs as columns, facts as rows."""

    refs: tuple[str, ...]
    rows: tuple[Row, ...]

    def differing(self) -> list[Row]:
        """The rows in which the runs differ."""
        return [row for row in self.rows if row.differs]

    def get(self, kind: RowKind, key: str) -> tuple[Cell, ...]:
        """The values of one row; nothing but None when no run has it."""
        for row in self.rows:
            if (row.kind, row.key) == (kind, key):
                return row.values
        return (None,) * len(self.refs)

    def to_dict(self) -> dict[str, object]:
        """The comparison as plain values, for ``--json``; NaN and infinities as text."""
        return {
            "runs": list(self.refs),
            "rows": [
                {"kind": r.kind, "key": r.key, "values": [_plain(v) for v in r.values], "differs": r.differs}
                for r in self.rows
            ],
        }


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """The runs as columns, in the order given; rows in key order."""
    rows = [
        *_rows("run", runs, _about),
        *_rows("param", runs, lambda run: run.params),
        *_rows("metric", runs, lambda run: run.metrics),
        *_rows("tag", runs, lambda run: run.tags),
        *_rows("input", runs, _inputs),
    ]
    return Comparison(tuple(run.ref for run in runs), tuple(rows))


def _rows(kind: RowKind, runs: Sequence[Run], read: Callable[[Run], Mapping[str, Cell]]) -> list[Row]:
    columns = [read(run) for run in runs]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    if kind != "run":
        keys.sort()
    rows = []
    for key in keys:
        values = tuple(column.get(key) for column in columns)
        rows.append(Row(kind, key, values, len({_identity(column, key) for column in columns}) > 1))
    return rows


def _about(run: Run) -> dict[str, Cell]:
    return {
        "name": run.name,
        "experiment": run.experiment,
        "state": run.state,
        "started_at": run.started_at.isoformat(),
        "duration_s": run.duration_s,
    }


def _inputs(run: Run) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for dataset in run.inputs:
        key = dataset.role or dataset.name.partition("@")[0]
        found[key] = f"{found[key]}, {dataset.ref}" if key in found else dataset.ref
    return found


def _identity(column: Mapping[str, Cell], key: str) -> str | None:
    return None if key not in column else f"{type(column[key]).__name__} {param_text(column[key])}"


def _plain(value: Cell) -> Cell:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
