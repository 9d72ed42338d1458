"""What every engine must do: subclass `EngineSuite`, give it an `engine` fixture, run pytest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whence.compute.base import Engine, Files
from whence.errors import IntegrityError, NotFoundError, UsageError

TS = pa.timestamp("us", tz="UTC")
ALL_TYPES = pa.schema(
    {
        "b": pa.bool_(),
        "i8": pa.int8(),
        "i16": pa.int16(),
        "i32": pa.int32(),
        "i64": pa.int64(),
        "f32": pa.float32(),
        "f64": pa.float64(),
        "d": pa.decimal128(10, 2),
        "s": pa.string(),
        "x": pa.binary(),
        "day": pa.date32(),
        "at": TS,
        "l": pa.list_(pa.int64()),
        "r": pa.struct({"a": pa.int64(), "b": pa.string()}),
    }
)
ROW: dict[str, object] = {
    "b": True,
    "i8": -8,
    "i16": 16,
    "i32": 32,
    "i64": 2**62,
    "f32": 0.5,
    "f64": 0.1,
    "d": Decimal("1.50"),
    "s": "é'\"",
    "x": b"\x00\xff",
    "day": date(2013, 7, 1),
    "at": datetime(2013, 7, 1, 12, 0, 0, 1, tzinfo=UTC),
    "l": [1, None],
    "r": {"a": 1, "b": None},
}


def write_files(folder: Path, *tables: pa.Table) -> tuple[str, ...]:
    """Each table as one Parquet file, named in order."""
    paths = [folder / f"part-{i:03d}.parquet" for i in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    return tuple(map(str, paths))


class EngineSuite:
    """The suite. `make_engine` gives a new engine with that many threads."""

    @pytest.fixture
    def make_engine(self) -> Callable[[int], Engine]:
        """Override: a factory of engines by number of threads."""
        raise NotImplementedError

    @pytest.fixture
    def engine(self, make_engine: Callable[[int], Engine]) -> Engine:
        """The engine most tests use."""
        return make_engine(2)

    def test_rows_come_back_as_they_went_in(self, engine: Engine) -> None:
        empty = dict.fromkeys(ROW)
        table = pa.Table.from_pylist([ROW, empty], schema=ALL_TYPES)
        got = engine.query("SELECT * FROM t", {"t": table})
        assert got.to_pylist() == [ROW, empty]
        assert [f.type for f in got.schema] == [f.type for f in ALL_TYPES]

    def test_files_come_back_as_they_went_in(self, engine: Engine, tmp_path: Path) -> None:
        table = pa.Table.from_pylist([ROW, dict.fromkeys(ROW)], schema=ALL_TYPES)
        files = Files(write_files(tmp_path, table), ALL_TYPES)
        got = engine.query("SELECT * FROM t", {"t": files})
        assert got.to_pylist() == table.to_pylist()
        assert [f.type for f in got.schema] == [f.type for f in ALL_TYPES]

    def test_names_are_taken_exactly(self, engine: Engine) -> None:
        relations = {
            name: pa.table({"a": [i]}) for i, name in enumerate(["train.late@3", 'q"uote', "T", "select"])
        }
        sql = 'SELECT x.a, y.a AS b, z.a AS c FROM "train.late@3" x, "q""uote" y, "select" z'
        assert engine.query(sql, relations).to_pylist() == [{"a": 0, "b": 1, "c": 3}]

    def test_a_python_variable_is_not_a_table(self, engine: Engine) -> None:
        shadow = pa.table({"a": [1]})
        assert shadow.num_rows == 1
        with pytest.raises(UsageError) as caught:
            engine.query("SELECT * FROM shadow", {})
        assert caught.value.code == "bad-sql"

    def test_relations_of_one_call_are_gone_in_the_next(self, engine: Engine) -> None:
        engine.query("SELECT * FROM t", {"t": pa.table({"a": [1]})})
        with pytest.raises(UsageError):
            engine.query("SELECT * FROM t", {})

    def test_parameters_are_values(self, engine: Engine) -> None:
        table = pa.table({"a": [1, 2], "s": ["x'; DROP TABLE t", "y"]})
        got = engine.query("SELECT a FROM t WHERE s = $s", {"t": table}, parameters={"s": "x'; DROP TABLE t"})
        assert got.to_pydict() == {"a": [1]}

    def test_the_zone_is_utc(self, engine: Engine) -> None:
        table = pa.table({"t": pa.array([datetime(2013, 7, 1, 23, tzinfo=UTC)], TS)})
        got = engine.query("SELECT hour(t) AS h, CAST(t AS VARCHAR) AS s FROM t", {"t": table}).to_pylist()[0]
        assert got["h"] == 23
        assert str(got["s"]).startswith("2013-07-01 23:00:00")

    def test_columns_that_files_lack_are_null(self, engine: Engine, tmp_path: Path) -> None:
        paths = write_files(tmp_path, pa.table({"a": [1]}), pa.table({"b": ["x"], "a": [2], "old": [0]}))
        schema = pa.schema({"b": pa.string(), "a": pa.int64(), "never": TS})
        got = engine.query("SELECT * FROM t ORDER BY a", {"t": Files(paths, schema)})
        assert got.column_names == ["b", "a", "never"]
        assert got.to_pylist() == [{"b": None, "a": 1, "never": None}, {"b": "x", "a": 2, "never": None}]

    def test_no_files_are_no_rows(self, engine: Engine) -> None:
        got = engine.query("SELECT * FROM t", {"t": Files((), ALL_TYPES)})
        assert got.num_rows == 0
        assert [f.type for f in got.schema] == [f.type for f in ALL_TYPES]

    def test_partition_values_stand_in_the_paths(self, engine: Engine, tmp_path: Path) -> None:
        paths = []
        for i, part in enumerate(["day=2013-07-01/k=a%20b", "day=__HIVE_DEFAULT_PARTITION__/k=7"]):
            (tmp_path / part).mkdir(parents=True)
            paths.append(str(tmp_path / part / "f.parquet"))
            pq.write_table(pa.table({"a": [i]}), paths[-1])
        schema = pa.schema({"k": pa.string(), "day": pa.date32(), "a": pa.int64()})
        got = engine.query("SELECT * FROM t ORDER BY a", {"t": Files(tuple(paths), schema, ("day", "k"))})
        assert got.to_pylist() == [
            {"k": "a b", "day": date(2013, 7, 1), "a": 0},
            {"k": "7", "day": None, "a": 1},
        ]

    def test_a_reader_may_be_named_twice(self, engine: Engine) -> None:
        reader = pa.table({"a": [1, 2]}).to_reader()
        got = engine.query("SELECT count(*) AS n FROM t x, t y", {"t": reader})
        assert got.to_pydict() == {"n": [4]}

    def test_stream_gives_all_rows_in_batches(self, engine: Engine) -> None:
        table = pa.table({"a": list(range(10_000))})
        reader = engine.stream("SELECT a FROM t ORDER BY a", {"t": table}, batch_rows=2048)
        batches = list(reader)
        assert len(batches) > 1
        assert pa.Table.from_batches(batches).equals(table)

    def test_scan_keeps_the_order_of_paths_and_rows(
        self, make_engine: Callable[[int], Engine], tmp_path: Path
    ) -> None:
        tables = [pa.table({"i": list(range(k * 5000, (k + 1) * 5000))}) for k in (3, 0, 2, 1)]
        for i, table in enumerate(tables):
            pq.write_table(table, tmp_path / f"{i}.parquet", row_group_size=700)
        files = Files(tuple(str(tmp_path / f"{i}.parquet") for i in range(4)), tables[0].schema)
        whole = pa.concat_tables(tables)
        want = [i for i in whole["i"].to_pylist() if i % 7 != 0]
        for threads in (1, 2):
            engine = make_engine(threads)
            assert engine.scan(files).equals(whole)
            assert engine.scan(files, where="i % 7 <> 0 -- comment")["i"].to_pylist() == want
            assert engine.scan(whole, where="i % 7 <> 0")["i"].to_pylist() == want

    def test_scan_chooses_columns_and_names_absent_ones(self, engine: Engine) -> None:
        table = pa.table({"aa": [1], "b": [2]})
        assert engine.scan(table, columns=["b"]).to_pydict() == {"b": [2]}
        assert engine.scan(table, columns=["b"], where="aa = 1").to_pydict() == {"b": [2]}
        with pytest.raises(NotFoundError, match="column 'aaa' not found"):
            engine.scan(table, columns=["aaa"])

    def test_ordered_results_are_the_same_with_one_and_two_threads(
        self, make_engine: Callable[[int], Engine], tmp_path: Path
    ) -> None:
        n = 20_000
        table = pa.table({"k": [i * 7919 % 101 for i in range(n)], "v": [i * 31 % 997 for i in range(n)]})
        files = Files(write_files(tmp_path, *(table.slice(i, 4000) for i in range(0, n, 4000))), table.schema)
        sql = "SELECT k, count(*) AS n, sum(v) AS s, min(v) AS lo, avg(v) AS m FROM t GROUP BY k ORDER BY k"
        one, two = (make_engine(t).query(sql, {"t": files}) for t in (1, 2))
        assert one.equals(two)
        assert one.num_rows == 101

    @pytest.mark.parametrize(
        ("sql", "code"),
        [
            ("SELEC 1", "bad-sql"),
            ("SELECT zz FROM t", "bad-sql"),
            ("SELECT * FROM nowhere", "bad-sql"),
            ("SELECT CAST('x' AS INTEGER)", "bad-sql"),
            ("SELECT 1; SELECT 2", "not-a-query"),
            ("CREATE TABLE x (a INTEGER)", "not-a-query"),
            ("", "not-a-query"),
        ],
    )
    def test_wrong_sql_is_the_callers_fault(self, engine: Engine, sql: str, code: str) -> None:
        with pytest.raises(UsageError) as caught:
            engine.query(sql, {"t": pa.table({"a": [1]})})
        assert caught.value.code == code

    def test_absent_and_broken_files_are_named(self, engine: Engine, tmp_path: Path) -> None:
        schema = pa.schema({"a": pa.int64()})
        with pytest.raises(NotFoundError, match=r"gone\.parquet"):
            engine.query("SELECT * FROM t", {"t": Files((str(tmp_path / "gone.parquet"),), schema)})
        for name, data in ("text", b"PAR1 this is not a parquet file at all, only text"), ("empty", b""):
            path = tmp_path / f"{name}.parquet"
            path.write_bytes(data)
            with pytest.raises(IntegrityError) as caught:
                engine.query("SELECT * FROM t", {"t": Files((str(path),), schema)})
            assert caught.value.code == "file-corrupted"

    def test_a_file_changed_in_place_is_read_anew(self, engine: Engine, tmp_path: Path) -> None:
        path = tmp_path / "t.parquet"
        files = Files((str(path),), pa.schema({"a": pa.int64()}))
        for value in (1, 2):
            pq.write_table(pa.table({"a": [value]}), path)
            assert engine.scan(files).to_pydict() == {"a": [value]}
