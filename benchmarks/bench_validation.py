"""Statistics, validation and row checks beside their floor and beside TFDV, each in a process of its own.

    python benchmarks/bench_validation.py [--rows 1000000] [--memory-rows 10000000] [--only csv memory columns schema row import] [--repeats 3]
    python benchmarks/bench_validation.py --only files --files 1 16 100

The file has 20 columns: 8 floats, 5 integers, 7 texts, one of them unique; 2 % of half of them are missing. ``--files`` lists
a Parquet file of a million such rows so many times: 100 are 100 million rows (half an hour of CPU and more). The floor
reads the same file and computes the same set in one DuckDB query. TFDV is measured when WHENCE_TEST_TFDV names a Python
that has it (1.16.1), from a data frame (pandas' reading included) and from the file.

CPU seconds are those of all threads, from the first byte read to the statistics; imports are measured apart. Memory is the
peak of the process, imports included. Floor and whence run in turn, so that a busy moment hits both. Only ratios are
claimed: machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet
from pydantic import Field, create_model

from whence.validation import (
    FloatDomain,
    IntDomain,
    Schema,
    Statistics,
    StringDomain,
    describe,
    infer_schema,
    validate_statistics,
)
from whence.validation.features import FeatureStatistics
from whence.validation.plan import Plan
from whence.validation.sources import describe_file

HERE: Final = Path(__file__).parent
PART: Final = 100_000
DRIFT_REPEATS: Final = 9
Measured = dict[str, float]


# --- rows ---------------------------------------------------------------------------------------


def make_rows(n: int, start: int = 0) -> pa.Table:
    """n rows of 8 floats, 5 integers and 7 texts, one of them unique; 2 % nulls in half of them."""
    random = np.random.default_rng([2013, start])
    columns: dict[str, Any] = {}
    for i in range(8):
        values = random.normal(i, 1 + i, n) if i % 2 else random.gamma(2, 10, n)
        columns[f"f{i}"] = pa.array(values.round(6), mask=random.random(n) < 0.02 if i < 4 else None)
    for i, top in enumerate((2, 60, 2_400, 100_000, 10**9)):
        columns[f"i{i}"] = pa.array(
            random.integers(0, top, n), mask=random.random(n) < 0.02 if i < 2 else None
        )
    for i, top in enumerate((3, 16, 105, 4_000, 50_000, 90_000)):
        words = pa.array([f"value-{k}" for k in range(top)])
        codes = pa.array(random.integers(0, top, n), mask=random.random(n) < 0.02 if i < 3 else None)
        columns[f"s{i}"] = words.take(codes)
    columns["id"] = pa.array([f"row-{k:09}" for k in range(start, start + n)])
    return pa.table(columns)


def parts(n: int) -> Iterator[pa.Table]:
    """The same rows in parts: their number changes nothing but the end."""
    for start in range(0, n, PART):
        yield make_rows(min(PART, n - start), start)


def write_rows(path: Path, n: int) -> None:
    schema = make_rows(1).schema
    with csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="needed")) as writer:
        for part in parts(n):
            writer.write_table(part)


# --- what is measured, each in a process of its own ----------------------------------------------


def child_floor(path: str) -> Callable[[], object]:
    """One query: counts, moments, extremes, zeros, 11 quantiles and uniques of numbers; uniques, top values and lengths of
    text, the uniques exact as whence's and TFDV's are."""
    return _query(path, "count(DISTINCT {})")


def child_rough(path: str) -> Callable[[], object]:
    """The same with estimated uniques of text."""
    return _query(path, "approx_count_distinct({})")


def _query(path: str, uniques: str) -> Callable[[], object]:
    connection = duckdb.connect(config={"python_enable_replacements": False})
    return lambda: connection.sql(f"SELECT {floor_query(uniques)} FROM read_csv('{path}')").fetchall()


def floor_query(uniques: str) -> str:
    tenths = "[" + ", ".join(f"{i / 10}" for i in range(11)) + "]"
    found = ["count(*)"]
    for field in make_rows(1).schema:
        c = f'"{field.name}"'
        found.append(f"count({c})")
        if pa.types.is_string(field.type):
            found += [uniques.format(c), f"approx_top_k({c}, 20)"]
            found += [f"{f}(strlen({c}))" for f in ("avg", "min", "max")]
        else:
            found += [f"{f}({c})" for f in ("avg", "stddev_pop", "min", "max", "approx_count_distinct")]
            found += [f"count(*) FILTER (WHERE {c} = 0)", f"approx_quantile({c}, {tenths})"]
    return ", ".join(found)


def child_whence(path: str) -> Callable[[], object]:
    """Every statistic of the file."""
    return lambda: describe_file(path)


def child_files(folder: str) -> Callable[[], object]:
    """Every statistic of the Parquet files of a folder."""
    return lambda: describe_file(f"{folder}/*.parquet")


def child_stream(rows: str) -> Callable[[], object]:
    """Statistics of rows that are made on the way: nothing but states is kept."""

    def run() -> object:
        schema = make_rows(1).schema
        batches = (b for part in parts(int(rows)) for b in part.to_batches())
        return describe(pa.RecordBatchReader.from_batches(schema, batches))

    return run


def child_make(rows: str) -> Callable[[], object]:
    """The same rows, made and let go: what the source alone costs."""
    return lambda: sum(part.num_rows for part in parts(int(rows)))


def wide(n_columns: int, n_rows: int = 1_000, *, seed: int = 5) -> pa.Table:
    """Half floats, a quarter integers, a quarter texts."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for i in range(n_columns):
        if i % 2:
            columns[f"c{i}"] = random.normal(size=n_rows)
        elif i % 4:
            columns[f"c{i}"] = random.integers(0, 50, n_rows)
        else:
            columns[f"c{i}"] = random.choice(np.array(["a", "b", "c", "d"]), n_rows)
    return pa.table(columns)


def child_wide_floor(size: str) -> Callable[[], object]:
    """DuckDB's own summary of as many columns and rows."""
    connection = duckdb.connect(config={"python_enable_replacements": False})
    connection.register("rows", wide(*map(int, size.split("x"))))
    return lambda: connection.sql("SUMMARIZE rows").fetchall()


def child_wide(size: str) -> Callable[[], object]:
    table = wide(*map(int, size.split("x")))
    return lambda: describe(table)


def child_validate(n: str) -> Callable[[], object]:
    """Statistics of n columns against the schema inferred from them."""
    statistics = describe(wide(int(n)))
    schema = infer_schema(statistics)
    return lambda: validate_statistics(statistics, schema)


def child_drift(n: str) -> Callable[[], object]:
    """The same beside the statistics of other rows, read from their files before each time: no histogram is made yet."""
    now, before = (describe(wide(int(n), seed=seed)) for seed in (5, 6))
    schema, files = infer_schema(now), (now.to_bytes(), before.to_bytes())
    fresh = iter([tuple(map(Statistics.from_bytes, files)) for _ in range(DRIFT_REPEATS)])

    def run() -> object:
        statistics, previous = next(fresh)
        return validate_statistics(statistics, schema, previous=previous)

    return run


def child_drift_floor(n: str) -> Callable[[], object]:
    """What of it no batching saves: the values of both sides of each column of numbers in one order."""
    sides = [
        [
            f.number.quantiles.entries()[0]
            for f in describe(wide(int(n), seed=seed)).features.values()
            if isinstance(f, FeatureStatistics) and f.number is not None
        ]
        for seed in (5, 6)
    ]
    merged = [np.concatenate(pair) for pair in zip(*sides, strict=True)]
    return lambda: [values.argsort(kind="stable") for values in merged]


def child_stored(n: str) -> Callable[[], object]:
    """Statistics of n columns written and read: what a cached validation reads."""
    statistics = describe(wide(int(n)))
    return lambda: Statistics.from_bytes(statistics.to_bytes())


def request_schema() -> tuple[Schema, dict[str, Any]]:
    """What a request of 20 columns must be, and one that is: ranges, domains, presence."""
    table = make_rows(5_000)
    schema = infer_schema(describe(table), robust_ranges=True).required(*table.column_names)
    row = table.slice(1_000).filter(pc.is_valid(table.column("f0").slice(1_000))).to_pylist()
    return schema, next(r for r in row if None not in r.values() and not Plan(schema).row(r))


def child_row(n: str) -> Callable[[], object]:
    """One row after the other, n times."""
    schema, row = request_schema()
    check = Plan(schema).row
    assert check({**row, "f1": 1e9, "s0": "nothing"}), "it looks"

    def run() -> None:
        for _ in range(int(n)):
            check(row)

    return run


def child_pydantic(n: str) -> Callable[[], object]:
    """The same row as a model with the same ranges and values."""
    schema, row = request_schema()
    fields: dict[str, Any] = {}
    annotated: Any = Annotated  # made here, which no type checker follows
    literal: Any = Literal
    for f in schema:
        kind: Any = {"FLOAT": float, "INT": int}.get(str(f.type), str)
        if isinstance(f.domain, (FloatDomain, IntDomain)):
            kind = annotated[kind, Field(ge=f.domain.min, le=f.domain.max)]
        elif isinstance(f.domain, StringDomain):
            kind = literal[f.domain.values]
        fields[f.name] = (kind, ...)
    check = create_model("Request", **fields).model_validate

    def run() -> None:
        for _ in range(int(n)):
            check(row)

    return run


def child_read_csv(path: str) -> Callable[[], object]:
    """Arrow's reading of the file alone, streamed."""

    def run() -> None:
        with csv.open_csv(path, csv.ReadOptions(block_size=1 << 22)) as reader:
            for _ in reader:
                pass

    return run


def child(name: str, argument: str, repeats: int) -> None:
    """Run one of the above and print what it took."""
    call: Callable[[], object] = globals()[f"child_{name}"](argument)
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": min(walls), "cpu": min(cpus), "peak_mb": peak}))


def measure(name: str, argument: object, repeats: int = 1) -> Measured:
    """The best of what a new process says of a call."""
    return _run([sys.executable, __file__, "--child", name, str(argument), str(repeats)])


def measure_tfdv(name: str, argument: object, repeats: int = 1) -> Measured | None:
    python = os.environ.get("WHENCE_TEST_TFDV")
    if not python:
        return None
    return _run([python, "-W", "ignore", str(HERE / "peer_tfdv.py"), name, str(argument), str(repeats)])


def _run(command: list[str]) -> Measured:
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    if done.returncode:
        raise SystemExit(f"{command[1:4]}: {done.stderr[-2000:]}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def in_turn(names: dict[str, tuple[str, object]], repeats: int) -> dict[str, Measured]:
    """The smallest of several processes each, one after the other."""
    best: dict[str, Measured] = {}
    for _ in range(repeats):
        for title, (name, argument) in names.items():
            found = measure(name, argument)
            held = best.setdefault(title, found)
            best[title] = {k: min(v, held[k]) for k, v in found.items()}
    return best


# --- the report ----------------------------------------------------------------------------------


def line(title: str, m: Measured, note: str = "") -> None:
    print(
        f"{title:<44}{m['cpu']:9.2f} s cpu{m['wall']:9.2f} s wall{m['peak_mb']:8.0f} MB   {note}", flush=True
    )


def ratio(ours: float, theirs: float, wanted: str) -> str:
    return f"{ours / theirs:6.2f} x (wanted {wanted})"


def bench_csv(n: int, repeats: int, folder: Path) -> None:
    path = folder / "rows.csv"
    write_rows(path, n)
    print(f"\nstatistics of a CSV: {n:,} rows x 20 columns, {path.stat().st_size / 1e6:.0f} MB")
    best = in_turn({name: (name, path) for name in ("floor", "whence", "rough", "read_csv")}, repeats)
    floor, ours, rough = best["floor"], best["whence"], best["rough"]
    line("Arrow reads the file, nothing else", best["read_csv"])
    line(
        "one DuckDB query, uniques of text estimated",
        rough,
        f"whence {ratio(ours['cpu'], rough['cpu'], 'no wish')} its cpu",
    )
    line("floor: one DuckDB query, the same set", floor)
    memory = f"peak {ours['peak_mb']:.0f} MB (wanted <= 400)"
    line("whence describe", ours, f"{ratio(ours['cpu'], floor['cpu'], '<= 1.5')} the floor's cpu; {memory}")
    frame = measure_tfdv("dataframe", path, 2)
    if frame is None:
        print("TFDV is not measured: WHENCE_TEST_TFDV names no Python that has it")
        return
    line(
        "TFDV from a data frame, pandas' read included",
        frame,
        f"whence {ratio(ours['cpu'], frame['cpu'], '<= 1')} its cpu",
    )
    beam = measure_tfdv("csv", path)
    assert beam is not None
    line("TFDV from the file", beam, f"{ratio(beam['cpu'], ours['cpu'], '>= 15')} whence's cpu")


def bench_memory(n: int) -> None:
    print("\nmemory while rows stream by (the rows are made on the way; the source's own cost beside)")
    small, large = measure("stream", n // 10), measure("stream", n)
    source = measure("make", n // 10)
    line(f"source alone, {n // 10:,} rows", source)
    line(f"describe, {n // 10:,} rows", small)
    line(
        f"describe, {n:,} rows",
        large,
        f"peak {ratio(large['peak_mb'], small['peak_mb'], 'about 1')} for ten times the rows",
    )
    step = (large["peak_mb"] - small["peak_mb"]) / (n - n // 10) * 1e6
    print(
        f"a line through both: {step:+.2f} MB a million rows, so about {small['peak_mb'] + step * 100:.0f} MB for 100 million"
    )


def bench_files(numbers: list[int], folder: Path) -> None:
    whole = folder / "rows.parquet"
    writer = parquet.ParquetWriter(whole, make_rows(1).schema)
    with writer:
        for part in parts(1_000_000):
            writer.write_table(part)
    print("\nParquet files of 1,000,000 rows x 20 columns, the same one listed several times")
    first: Measured | None = None
    for n in numbers:
        listed = folder / f"{n}"
        listed.mkdir()
        for i in range(n):
            os.link(whole, listed / f"{i:04}.parquet")
        found = measure("files", listed)
        first = first or found
        note = f"{found['cpu'] / n:.2f} s cpu a million rows, peak {ratio(found['peak_mb'], first['peak_mb'], 'about 1')}"
        line(f"describe, {n} million rows", found, f"{note} that of {numbers[0]} million")


def bench_columns(repeats: int) -> None:
    for columns, rows in ((1_000, 10_000), (5_000, 2), (5_000, 1_000), (5_000, 10_000)):
        print(f"\n{columns:,} columns x {rows:,} rows")
        size = f"{columns}x{rows}"
        best = in_turn({"floor": ("wide_floor", size), "whence": ("wide", size)}, repeats)
        line("DuckDB SUMMARIZE", best["floor"])
        line("describe", best["whence"], ratio(best["whence"]["cpu"], best["floor"]["cpu"], "works"))


def bench_schema() -> None:
    print("\nvalidation of the statistics of 1,000 columns")
    ours = measure("validate", 1_000, 7)
    line("validate_statistics", ours, f"{ours['wall'] * 1000:.1f} ms (wanted < 50 ms)")
    floor = measure("drift_floor", 1_000, DRIFT_REPEATS)
    line("the values of both sides in one order", floor)
    drift = measure("drift", 1_000, DRIFT_REPEATS)
    line(
        "validate_statistics with drift",
        drift,
        f"{ratio(drift['cpu'], floor['cpu'], '<= 12')} the floor's cpu",
    )
    stored = measure("stored", 1_000, 3)
    line("the statistics written and read", stored)
    theirs = measure_tfdv("validate", 1_000, 5)
    if theirs is not None:
        line(
            "TFDV validate_statistics (C++)",
            theirs,
            f"whence {ratio(ours['wall'], theirs['wall'], 'no wish')}",
        )


def bench_row() -> None:
    print("\none request row of 20 columns")
    n = 20_000
    best = in_turn({"whence": ("row", n), "pydantic": ("pydantic", n)}, 3)
    for title, name in (("whence Plan.row", "whence"), ("pydantic, the same ranges and values", "pydantic")):
        note = (
            f"whence {ratio(best['whence']['cpu'], best[name]['cpu'], 'no wish')} its cpu"
            if name != "whence"
            else ""
        )
        print(f"{title:<44}{best[name]['cpu'] / n * 1e6:9.2f} us a row (wanted < 20 us)   {note}")


def bench_import(repeats: int) -> None:
    print("\nimport")

    def best(statement: str) -> tuple[float, float]:
        clocks = "(time.perf_counter(), time.process_time())"
        code = f"import time; a = {clocks}; {statement}; b = {clocks}; print(b[0] - a[0], b[1] - a[1])"
        command = [sys.executable, "-c", code]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(repeats + 2)
        ]
        pairs = [tuple(map(float, r.stdout.split())) for r in runs]
        return min(p[0] for p in pairs), min(p[1] for p in pairs)

    floor, ours = best("import numpy, pyarrow, pyarrow.compute"), best("import whence.validation")
    print(f"numpy and pyarrow alone: {floor[0]:.3f} s wall, {floor[1]:.3f} s cpu")
    times = f"{ours[1] / floor[1]:.2f} x"
    print(
        f"whence.validation:       {ours[0]:.3f} s wall, {ours[1]:.3f} s cpu (wanted < 0.3 s): {times} the floor's cpu"
    )
    theirs = measure_tfdv("validate", 1)
    if theirs is not None:
        share = theirs["import"] / ours[1]
        print(f"tensorflow_data_validation: {theirs['import']:.1f} s cpu, {share:.0f} x whence's")


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = ("csv", "memory", "columns", "schema", "row", "import")
    parser.add_argument("--files", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--memory-rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=(*sections, "files"), default=sections)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "csv" in given.only:
            bench_csv(given.rows, given.repeats, Path(folder))
        if "files" in given.only:
            bench_files(given.files, Path(folder))
    if "memory" in given.only:
        bench_memory(given.memory_rows)
    if "columns" in given.only:
        bench_columns(given.repeats)
    if "schema" in given.only:
        bench_schema()
    if "row" in given.only:
        bench_row()
    if "import" in given.only:
        bench_import(given.repeats)


if __name__ == "__main__":
    main()
