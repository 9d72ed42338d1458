"""The online store beside raw SQLite statements, in one run: rows written a second, microseconds a read.

    python benchmarks/bench_online.py [--quick]

Write: `put` (the rows as they come out of a table) and `Features.materialize` (a table version read, packed,
written and recorded) beside one executemany of the same rows into a table of the same columns and primary key.
Read: ten features in three views, of 1 and of 100 entities, beside the three SELECTs that find the newest row known
at the moment in bare tables of the same rows; and, for the price of asking about a moment at all, three SELECTs of
one ready row an entity. A window of a week is shown beside the SELECT of its raw rows. The values are the same,
which is asserted. CPU time, because machines are busy; only the ratios mean something.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence.compute import open_engine
from whence.features import Entity, Features, FeatureView, count, last, mean, open_online
from whence.features.base import NEVER
from whence.features.packing import Batch, Facts, group_of
from whence.lake import open_lake
from whence.metadata import Recorder, open_store

START = datetime(2013, 4, 1, tzinfo=UTC)
NOW = START + timedelta(days=8)
COLUMNS = [f"f{i}" for i in range(10)]
USER = Entity("user", join_keys=["user"])
TABLE = (
    "(k BLOB NOT NULL, name BLOB, e INTEGER NOT NULL, kn INTEGER NOT NULL, content BLOB NOT NULL,"
    " n INTEGER NOT NULL, s INTEGER NOT NULL, PRIMARY KEY (k, e, kn, n)) WITHOUT ROWID"
)


def view(number: int, columns: Sequence[str]) -> FeatureView:
    """The newest values of a third of the columns, from a table of its own."""
    return FeatureView(
        f"v{number}", entity=USER, source=f"s{number}", timestamp="at", ttl="30d",
        features=[last(c) for c in columns],
    )  # fmt: skip


VIEWS = [view(0, COLUMNS[:4]), view(1, COLUMNS[4:7]), view(2, COLUMNS[7:])]
WEEK = FeatureView(
    "week", entity=USER, source="s3", timestamp="at", features=[mean("f0", over="7d"), count(over="7d")]
)


def rows(n: int, users: int, seed: int) -> pa.Table:
    """Rows of users in random order; known when they happen."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(n) % users
    micros = int(START.timestamp()) * 1_000_000 + rng.choice(7 * 86_400_000, n, replace=False) * 1_000
    at = pa.array(micros, pa.int64()).cast(TS)
    values = {c: rng.integers(0, 1000, n) if i % 2 else rng.random(n) for i, c in enumerate(COLUMNS)}
    key = pa.array([f"r{i}" for i in range(n)])
    return pa.table({"id": key, "user": pa.array([f"u{i}" for i in who]), "at": at, "known": at, **values})


def spent(*calls: Callable[[], object], repeats: int) -> list[float]:
    """CPU seconds of the fastest of each call, taken in turns: machines are busy, and nothing here waits."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            began = time.process_time()
            call()
            best[i] = min(best[i], time.process_time() - began)
    return best


def connect(path: Path) -> sqlite3.Connection:
    """A bare connection, set as ours are."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA cache_size=-65536")
    return connection


def show(name: str, each: float, floor: float, unit: str) -> None:
    """One line."""
    print(f"{name:<52} {each:10,.2f} {unit}   time ratio {each / floor:5.2f}")


class Bench:
    """A lake of four tables, an online store, and bare SQLite files."""

    def __init__(self, folder: Path, n: int, users: int) -> None:
        self.folder, self.n, self.users = folder, n, users
        self.engine = open_engine(threads=2)
        recorder = Recorder(open_store("memory://"))
        self.lake = open_lake(folder / "lake", recorder=recorder, engine=self.engine)
        self.store = open_online(f"sqlite:///{folder / 'online.db'}")
        clock = ReplayClock(NOW)
        self.features = Features(recorder, self.lake, self.engine, online=self.store, clock=clock)
        for number in range(4):
            name = f"s{number}"
            made = rows(n if number == 3 else 5 * users, users, number)
            self.lake.create(name, made.schema, key=["id"], known_at="known")
            self.lake.table(name).append(made, watermark=NOW)

    def write(self) -> None:
        """Rows into the store, three ways."""
        table = self.lake.table("s3").arrow()
        facts = Facts("s3", "t", "at", ("user",), ("id",), "known", table.schema)
        packed = facts.pack(Batch(table))
        bare = connect(self.folder / "floor.db")
        bare.execute(f"CREATE TABLE bare {TABLE}")

        def floor() -> None:
            bare.execute("BEGIN")
            bare.executemany(
                "INSERT INTO bare VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((*row, i, NEVER) for i, row in enumerate(packed)),
            )
            bare.execute("COMMIT")

        def put() -> None:
            self.store.put("g", packed, progress={"version": 1}, after={}, facts="", rank=facts.rank)

        def materialize() -> None:
            self.features.materialize(WEEK)

        least, mine, whole = (s / self.n * 1e6 for s in spent(floor, put, materialize, repeats=1))
        show("floor: executemany of the same rows", least, least, "us/row")
        show("OnlineStore.put", mine, least, "us/row")
        show("Features.materialize", whole, least, "us/row")
        bare.close()

    def read(self, repeats: int) -> None:
        """Features of one user and of a hundred."""
        self.features.materialize(*VIEWS)
        bare = connect(self.folder / "wide.db")
        self._fill(bare)
        rng = np.random.default_rng(7)
        for size in (1, 100):
            asked = [[f"u{i}" for i in rng.integers(0, self.users, size)] for _ in range(repeats // size)]
            floor, ready = self._floor(bare, size), self._ready(bare, size)

            def ours(users: Sequence[str]) -> Any:
                return self.features.get_online({"user": users}, VIEWS, at=NOW)

            plain = {row[0]: row[1:] for row in floor(asked[0])[0]}
            answer = ours(asked[0])
            for i, user in enumerate(asked[0]):
                assert tuple(answer.values[f"v0__{c}"][i] for c in COLUMNS[:4]) == plain[user]
            least, simple, mine = spent(
                *(lambda call=call: [call(users) for users in asked] for call in (floor, ready, ours)),  # noqa: B023
                repeats=9,
            )
            what = f"{size} entit{'y' if size == 1 else 'ies'}"
            unit = 1e6 / len(asked)
            show(f"floor: 3 SELECTs of the newest known row, {what}", least * unit, least * unit, "us")
            show(f"3 SELECTs of ready rows, {what}", simple * unit, least * unit, "us")
            show(f"Features.get_online, 10 features in 3 views, {what}", mine * unit, least * unit, "us")
        bare.close()

    def _fill(self, bare: sqlite3.Connection) -> None:
        """Bare tables of all rows, and of one ready row a user."""
        for number, one in enumerate(VIEWS):
            names = [str(f.column) for f in one.features]
            table = self.lake.table(f"s{number}").arrow()
            times = [table["at"].cast(pa.int64()).to_pylist(), table["known"].cast(pa.int64()).to_pylist()]
            made = zip(table["user"].to_pylist(), *times, *(table[c].to_pylist() for c in names), strict=True)
            columns, marks = ", ".join(names), ", ".join("?" * (3 + len(names)))
            bare.execute(
                f"CREATE TABLE h{number} (user TEXT, at INTEGER, known INTEGER, {columns},"
                " PRIMARY KEY (user, at, known)) WITHOUT ROWID"
            )
            bare.executemany(f"INSERT INTO h{number} VALUES ({marks})", made)
            bare.execute(f"CREATE TABLE v{number} (user TEXT PRIMARY KEY, {columns}) WITHOUT ROWID")
            newest = f"SELECT user, {columns}, max(at) FROM h{number} GROUP BY user"
            bare.execute(f"INSERT INTO v{number} SELECT user, {columns} FROM ({newest})")

    def _floor(self, bare: sqlite3.Connection, size: int) -> Callable[[Sequence[str]], list[list[Any]]]:
        """What finds the newest row known at the moment, in one statement a view."""
        now = int(NOW.timestamp()) * 1_000_000
        texts = []
        for number, one in enumerate(VIEWS):
            names = ", ".join(f"r.{f.column}" for f in one.features)
            newest = "at <= ?1 AND known <= ?1 ORDER BY at DESC, known DESC LIMIT 1"
            if size == 1:
                texts.append(f"SELECT r.user, {names}, at FROM h{number} AS r WHERE user = ?2 AND {newest}")
                continue
            asked = ", ".join(f"(?{i + 2})" for i in range(size))
            texts.append(
                f"WITH asked (user) AS (VALUES {asked}) SELECT r.user, {names}, r.at FROM asked AS a CROSS JOIN"
                f" h{number} AS r ON r.user = a.user AND (r.at, r.known) ="
                f" (SELECT at, known FROM h{number} WHERE user = a.user AND {newest})"
            )
        return lambda users: [
            [row[:-1] for row in bare.execute(text, (now, *users)).fetchall()] for text in texts
        ]

    def _ready(self, bare: sqlite3.Connection, size: int) -> Callable[[Sequence[str]], list[list[Any]]]:
        """What fetches a ready row."""
        marks = ", ".join("?" * size)
        texts = [f"SELECT * FROM v{number} WHERE user IN ({marks})" for number in range(3)]
        return lambda users: [bare.execute(text, users).fetchall() for text in texts]

    def windows(self, repeats: int) -> None:
        """Two windows over the raw rows of a user."""
        bare = connect(self.folder / "online.db")
        g = bare.execute("SELECT g FROM groups WHERE name = ?", (group_of(WEEK),)).fetchone()[0]
        keys = [row[0] for row in bare.execute(f"SELECT DISTINCT k FROM rows_{g} LIMIT 200")]
        users = [f"u{i}" for i in range(200)]
        n = bare.execute(f"SELECT count(*) FROM rows_{g} WHERE k = ?", keys[:1]).fetchone()[0]
        sql = f"SELECT e, content FROM rows_{g} WHERE k = ?"
        least, mine = spent(
            lambda: [bare.execute(sql, (k,)).fetchall() for k in keys],
            lambda: [self.features.get_online({"user": u}, [WEEK], at=NOW) for u in users],
            repeats=repeats,
        )
        least, mine = least / len(keys), mine / len(users)
        show(f"floor: SELECT of the {n} raw rows of a window", least * 1e6, least * 1e6, "us")
        show("Features.get_online, mean and count over 7d", mine * 1e6, least * 1e6, "us")
        bare.close()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and repetitions")
    n, users, repeats = (20_000, 500, 300) if parser.parse_args().quick else (200_000, 10_000, 3_000)
    with tempfile.TemporaryDirectory() as top:
        bench = Bench(Path(top), n, users)
        bench.write()
        bench.read(repeats)
        bench.windows(3)
        bench.store.close()
        bench.engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
