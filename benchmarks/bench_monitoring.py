"""A drift report against a stored reference, beside its floor: one DuckDB scan that builds the same histograms.

Run: ``python benchmarks/bench_monitoring.py [ROWS]``. Only the ratios mean something: machines are noisy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from whence.monitoring import Layout, compare
from whence.monitoring.profile import Profile, from_sparse, pack, to_sparse, unpack

REPEATS = 3


def make_rows(n: int, seed: int) -> pa.Table:
    """n rows of 14 numbers and 6 texts."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for i in range(14):
        values = random.normal(i, 1 + i, n) if i % 2 else random.gamma(2, 10, n)
        columns[f"f{i}"] = pa.array(values)
    for i, top in enumerate((2, 3, 16, 40, 105, 180)):
        words = pa.array([f"value-{k}" for k in range(top)])
        columns[f"s{i}"] = words.take(pa.array(random.integers(0, top, n)))
    return pa.table(columns)


def best(work: Callable[[], object]) -> tuple[float, float]:
    """The best wall and CPU seconds of some repeats."""
    found = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(w for w, _ in found), min(c for _, c in found)


def line(name: str, measured: tuple[float, float], floor: tuple[float, float]) -> None:
    ratio = f"   {measured[0] / floor[0]:6.2f} x wall   {measured[1] / floor[1]:6.2f} x cpu"
    print(f"{name:<52}{measured[0]:8.3f} s wall{measured[1]:8.3f} s cpu{ratio}")


def query(layout: Layout, file: Path) -> str:
    """One statement that reads each column once and builds the histograms.

    A number's 2k + 1 cells are bins whose upper bounds are the edges and the numbers just below them: one binary
    search a value, half the time of counting on the edges and between them. Texts are grouped, not gathered in a map.
    """
    numbers, texts = [], []
    for column in layout.columns:
        if column.values is None:
            edges = np.array(column.edges)
            bounds = np.stack([np.nextafter(edges, -np.inf), edges], axis=1).ravel().tolist()
            numbers.append(f"map_values(histogram({column.name}, [{', '.join(map(repr, bounds))}]))")
        else:
            grouped = f"SELECT {column.name} AS value, count(*) AS n FROM '{file}' GROUP BY value"
            texts.append(f"(SELECT map_from_entries(list((value, n))) FROM ({grouped}))")
    return f"SELECT [{', '.join(numbers)}], [{', '.join(texts)}] FROM '{file}'"


def check(found: tuple[Any, Any], layout: Layout, counted: Profile) -> None:
    """The floor's counts are ours."""
    numbers, texts = (iter(part) for part in found)
    for start, column in zip(layout.starts.tolist(), layout.columns, strict=True):
        mine = counted.cells[start : start + column.n_cells].tolist()
        if column.values is None:
            theirs = next(numbers)  # the last bin is there only when something falls into it
            assert mine == theirs + [0] * (len(mine) - len(theirs)), column.name
        else:
            known = next(texts)
            assert mine == [known.get(v, 0) for v in column.values] + [0], column.name


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with TemporaryDirectory() as folder:
        file = Path(folder) / "current.parquet"
        reference, current = make_rows(n, 1), make_rows(n, 2)
        pq.write_table(current, file)
        layout = Layout.fit(reference, reference.column_names)
        counted = layout.count(reference)
        places, counts = to_sparse(counted.cells)
        stored = pack({}, {"places": places, "counts": counts, "nulls": counted.nulls})

        def report() -> None:
            _, arrays = unpack(stored)
            cells = from_sparse(arrays["places"], arrays["counts"], layout.n_cells)
            known = type(counted)(cells, arrays["nulls"])
            compare(layout, known, layout.count(pq.read_table(file)))

        connection = duckdb.connect(config={"python_enable_replacements": False})
        connection.execute("SET threads = 1")
        pa.set_cpu_count(1)
        text = query(layout, file)
        check(connection.execute(text).fetchall()[0], layout, layout.count(current))
        floor = best(lambda: connection.execute(text).fetchall())
        print(f"{n:,} rows x {current.num_columns} columns against a stored reference, one thread each")
        line("floor: one DuckDB scan, the same histograms", floor, floor)
        line("drift report: read, count, all distances", best(report), floor)
        profile = layout.count(current)
        line("distances of a stored profile, no scan", best(lambda: compare(layout, counted, profile)), floor)


if __name__ == "__main__":
    main()
