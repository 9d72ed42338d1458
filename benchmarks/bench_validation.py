"""Statistics, validation and row checks beside their floor: DuckDB's SUMMARIZE of the same rows.

Run: ``python benchmarks/bench_validation.py [ROWS]``. Only the ratios mean something: machines are noisy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from whence.validation import RowCheck, describe, infer_schema, validate_statistics

REPEATS = 3


def make_rows(n: int) -> pa.Table:
    """n rows of 8 floats, 5 integers and 7 texts, one of them unique; 2 % nulls in half of them."""
    random = np.random.default_rng(2013)
    columns: dict[str, Any] = {}
    for i in range(8):
        values = random.normal(i, 1 + i, n) if i % 2 else random.gamma(2, 10, n)
        columns[f"f{i}"] = pa.array(values, mask=random.random(n) < 0.02 if i < 4 else None)
    for i, top in enumerate((2, 60, 2_400, 100_000, 10**9)):
        columns[f"i{i}"] = pa.array(
            random.integers(0, top, n), mask=random.random(n) < 0.02 if i < 2 else None
        )
    for i, top in enumerate((3, 16, 105, 4_000, 50_000, 90_000)):
        words = pa.array([f"value-{k}" for k in range(top)])
        codes = pa.array(random.integers(0, top, n), mask=random.random(n) < 0.02 if i < 3 else None)
        columns[f"s{i}"] = words.take(codes)
    columns["id"] = pa.array([f"row-{k:09}" for k in range(n)])
    return pa.table(columns)


def best(work: Callable[[], object]) -> tuple[float, float]:
    """The best wall and CPU seconds of some repeats."""
    found = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(w for w, _ in found), min(c for _, c in found)


def line(name: str, measured: tuple[float, float], floor: tuple[float, float] | None = None) -> None:
    ratio = (
        ""
        if floor is None
        else f"   {measured[0] / floor[0]:6.2f} x wall   {measured[1] / floor[1]:6.2f} x cpu"
    )
    print(f"{name:<44}{measured[0]:8.3f} s wall{measured[1]:8.3f} s cpu{ratio}")


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    table = make_rows(n)
    connection = duckdb.connect(config={"python_enable_replacements": False})
    connection.register("rows", table)
    floor = best(lambda: connection.sql("SUMMARIZE rows").fetchall())
    print(f"{n:,} rows x {table.num_columns} columns")
    line("floor: DuckDB SUMMARIZE (approximate)", floor)
    line("describe (exact counts, top values, merge)", best(lambda: describe(table)), floor)
    statistics = describe(table)
    stored = statistics.to_bytes()
    line(
        "store and load the statistics",
        best(lambda: type(statistics).from_bytes(statistics.to_bytes())),
        floor,
    )
    line("merge two statistics", best(lambda: statistics.merge(statistics)), floor)
    schema = infer_schema(statistics, robust_ranges=True)
    line("validate the statistics", best(lambda: validate_statistics(statistics, schema)), floor)
    check = RowCheck(schema)
    scan = best(lambda: connection.sql(f"SELECT {_predicates(table)} FROM rows").fetchall())
    line("floor: one comparison a column in DuckDB", scan)
    line("check every row", best(lambda: check(table)), scan)
    print(f"stored: {len(stored):,} bytes")


def _predicates(table: pa.Table) -> str:
    return ", ".join(f'count(*) FILTER (WHERE "{c}" IS NULL OR "{c}" > \'9\')' if pa.types.is_string(table.schema.field(c).type)
                     else f'count(*) FILTER (WHERE "{c}" IS NULL OR "{c}" > 1e9)' for c in table.column_names)  # fmt: skip


if __name__ == "__main__":
    main()
