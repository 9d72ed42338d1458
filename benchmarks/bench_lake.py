"""The lake beside its floors, in one run: appends, SQL, digests.

    python benchmarks/bench_lake.py [--quick]

Append: 1000 rows a commit through `Table.append` (SQLite graph, watermark, app transaction, digest, two
transactions of provenance) beside `write_deltalake` on a kept handle. SQL: `Lake.sql` beside DuckDB on the
same files. Digest: `rows_digest` beside a bare sha256 per row over bytes that are there already.
Only the ratios mean something; CPU time is given because machines are busy.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from whence._base.arrow import TS
from whence._base.locks import Life
from whence._base.rows import canonical_rows, rows_digest
from whence.compute import Files, open_engine
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store

ROWS = 1000
START = datetime(2013, 1, 1, tzinfo=UTC)
SQL = "SELECT carrier, count(*) AS n, avg(f0) AS m, sum(i0) AS s FROM flights WHERE i1 < 90 GROUP BY carrier ORDER BY carrier"


def day(k: int) -> pa.Table:
    """A day of rows, as wide as the flights."""
    rng = np.random.default_rng(k)
    known = START + timedelta(days=k)
    return pa.table(
        {
            **{f"f{i}": rng.random(ROWS) for i in range(8)},
            **{f"i{i}": rng.integers(0, 100, ROWS) for i in range(6)},
            "carrier": pa.array(rng.integers(0, 16, ROWS)).cast(pa.string()),
            "id": np.arange(ROWS) + k * ROWS,
            "known_at": pa.array([known] * ROWS, TS),
        }
    )


def spent(call: Callable[[], object], *, best_of: int = 1) -> tuple[float, float]:
    """Wall and CPU seconds of a call; the best of several."""
    found = []
    for _ in range(best_of):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(found)


def tell(what: str, ours: tuple[float, float], floor: tuple[float, float], n: int, unit: str) -> None:
    per = [1e3 * x / n for x in (*ours, *floor)]
    print(
        f"{what:<28} whence {per[0]:9.3f} ms (cpu {per[1]:9.3f})   floor {per[2]:9.3f} ms (cpu {per[3]:9.3f})"
        f"   per {unit}   ratio {ours[0] / floor[0]:5.2f} (cpu {ours[1] / floor[1]:5.2f})"
    )


def append(folder: Path, days: list[pa.Table]) -> Lake:
    recorder = Recorder(open_store(f"sqlite:///{folder / 'w.db'}"), life=Life(folder / "lives"))
    lake = open_lake(folder / "lake", recorder=recorder, locks=folder / "locks")
    flights = lake.create("flights", days[0].schema, key=["id"], known_at="known_at")

    def ours() -> None:
        for k, rows in enumerate(days):
            flights.append(rows, watermark=START + timedelta(days=k), transaction=("feed", k))

    raw = folder / "raw"
    DeltaTable.create(raw, days[0].schema)

    def floor() -> None:
        table = DeltaTable(raw)
        for k, rows in enumerate(days):
            properties = CommitProperties(app_transactions=[Transaction("feed", k)])
            write_deltalake(table, rows, mode="append", commit_properties=properties)

    flights.append(days[0].slice(0, 0))
    tell("append of 1000 rows", spent(ours), spent(floor), len(days), "commit")
    return lake


def sql(lake: Lake) -> None:
    files = lake.table("flights").head().files()
    assert isinstance(files, Files)
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    text = SQL.replace("FROM flights", f"FROM read_parquet({list(files.paths)})")
    ours = spent(lambda: lake.sql(SQL), best_of=5)
    tell(
        f"SQL over {len(files.paths)} files",
        ours,
        spent(lambda: connection.sql(text).fetchall(), best_of=5),
        1,
        "query",
    )
    lake.table("flights").compact()
    files = lake.table("flights").head().files()
    assert isinstance(files, Files)
    text = SQL.replace("FROM flights", f"FROM read_parquet({list(files.paths)})")
    ours = spent(lambda: lake.sql(SQL), best_of=5)
    tell("SQL after compaction", ours, spent(lambda: connection.sql(text).fetchall(), best_of=5), 1, "query")


def digest(days: list[pa.Table]) -> None:
    table = pa.concat_tables(days)
    encoded = list(canonical_rows(table))

    def bare() -> None:
        for row in encoded:
            hashlib.sha256(row).digest()

    ours = spent(lambda: rows_digest(table), best_of=3)
    tell("rows_digest", ours, spent(bare, best_of=3), table.num_rows // 1000, "1000 rows")
    loop = spent(lambda: list(canonical_rows(table)), best_of=3)
    tell("  of it, encoding", loop, spent(bare, best_of=3), table.num_rows // 1000, "1000 rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the commits")
    days = [day(k) for k in range(40 if parser.parse_args().quick else 200)]
    open_engine().query("SELECT 1", {})
    with tempfile.TemporaryDirectory() as folder:
        lake = append(Path(folder), days)
        sql(lake)
        digest(days)


if __name__ == "__main__":
    main()
