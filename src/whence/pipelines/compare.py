"""A reproduced output beside the recorded one: identical, equivalent or different."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.rows import rows_digest
from whence.pipelines.types import OutputComparison

TOLERANCE: Final = 1e-12
"""Float sums are equal to this, relative (DuckDB's differ between two runs on two threads)."""


def compare_tables(name: str, recorded: pa.Table, reproduced: pa.Table) -> OutputComparison:
    """Two tables as sets of rows.

    *Identical* when their row digests are equal. *Equivalent* when they have the same schema and,
    aligned by row order or else by their non-float columns, differ in float cells only, each by at
    most 1e-12 relative. Else *different*; `n_cells` counts the cells that differ where rows align.

    Example:
        >>> a, b = pa.table({"x": [1.0]}), pa.table({"x": [1.0 + 2e-16]})
        >>> compare_tables("t", a, b).verdict, compare_tables("t", a, pa.table({"x": [2.0]})).verdict
        ('equivalent', 'different')
    """
    have, want = rows_digest(reproduced).text, rows_digest(recorded).text
    if have == want:
        return OutputComparison(name, want, have, "identical")
    if not recorded.schema.equals(reproduced.schema):
        return OutputComparison(name, want, have, "different", note="the columns differ")
    if recorded.num_rows != reproduced.num_rows:
        note = f"{recorded.num_rows} rows recorded, {reproduced.num_rows} reproduced"
        return OutputComparison(name, want, have, "different", note=note)
    exact = [f.name for f in recorded.schema if not pa.types.is_floating(f.type)]
    floats = [f.name for f in recorded.schema if pa.types.is_floating(f.type)]
    if not recorded.select(exact).equals(reproduced.select(exact)):
        recorded, reproduced = _sorted(recorded, exact), _sorted(reproduced, exact)
    n_exact = sum(_n_unequal(recorded[c], reproduced[c]) for c in exact)
    errors = [_relative_errors(recorded[c], reproduced[c]) for c in floats]
    n_floats = sum(int((e > 0).sum()) for e in errors)
    largest = max((float(e.max()) for e in errors if e.size), default=0.0)
    verdict: str = "equivalent" if n_exact == 0 and largest <= TOLERANCE else "different"
    note = f"{n_exact + n_floats} cells differ"
    return OutputComparison(
        name,
        want,
        have,
        "equivalent" if verdict == "equivalent" else "different",
        n_exact + n_floats,
        largest if math.isfinite(largest) else 0.0,
        note,
    )


def compare_metrics(
    name: str, recorded: Mapping[str, float], reproduced: Mapping[str, float]
) -> OutputComparison:
    """Two sets of metrics, by name."""
    want, have = _metrics_text(recorded), _metrics_text(reproduced)
    if want == have:
        return OutputComparison(name, want, have, "identical")
    if set(recorded) != set(reproduced):
        absent = sorted(set(recorded) ^ set(reproduced))
        return OutputComparison(name, want, have, "different", note="only on one side: " + ", ".join(absent))
    errors = {k: _relative_error(float(recorded[k]), float(reproduced[k])) for k in recorded}
    largest, n = max(errors.values()), sum(e > 0 for e in errors.values())
    verdict = OutputComparison(name, want, have, "equivalent", n, largest, f"{n} metrics differ")
    if largest <= TOLERANCE:
        return verdict
    return OutputComparison(
        name, want, have, "different", n, largest if math.isfinite(largest) else 0.0, verdict.note
    )


def compare_digests(name: str, recorded: str, reproduced: str) -> OutputComparison:
    """Two blobs or models: equal by digest, or different."""
    if recorded == reproduced:
        return OutputComparison(name, recorded, reproduced, "identical")
    return OutputComparison(name, recorded, reproduced, "different", note="the digests differ")


def _metrics_text(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{k}={float(metrics[k])!r}" for k in sorted(metrics))


def _sorted(table: pa.Table, exact: list[str]) -> pa.Table:
    try:
        return table.sort_by(
            [(c, "ascending") for c in [*exact, *(n for n in table.column_names if n not in exact)]]
        )
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowInvalid):  # nested columns have no order
        return table


def _n_unequal(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int:
    try:
        same = pc.equal(a, b)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested columns
        return sum(x != y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True))
    both_null = pc.and_(pc.is_null(a), pc.is_null(b))
    return len(a) - int(pc.sum(pc.or_(pc.fill_null(same, False), both_null)).as_py() or 0)


def _relative_errors(a: pa.ChunkedArray, b: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    x, y = (np.asarray(c.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64) for c in (a, b))
    null_differs = np.asarray(pc.is_null(a).to_numpy()) != np.asarray(pc.is_null(b).to_numpy())
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.maximum(np.abs(x), np.abs(y))
        error = np.where(x == y, 0.0, np.abs(x - y) / scale)
    error = np.where(np.isnan(x) & np.isnan(y), 0.0, np.where(np.isnan(error), np.inf, error))
    return np.where(null_differs, np.inf, error)


def _relative_error(x: float, y: float) -> float:
    if x == y or (math.isnan(x) and math.isnan(y)):
        return 0.0
    error = abs(x - y) / max(abs(x), abs(y))
    return math.inf if math.isnan(error) else error
