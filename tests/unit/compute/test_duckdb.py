from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from whence.compute import Files, Streamed, open_engine
from whence.compute.backends.duckdb import duckdb_type, files_query
from whence.errors import BackendError, UnsupportedError, UsageError


def test_urls_that_name_no_engine_are_refused() -> None:
    for url, code in (("duckdb:///tmp/x.db", "bad-url"), ("sqlite://", "bad-url"), ("nonsense", "bad-url")):
        with pytest.raises(UsageError) as caught:
            open_engine(url)
        assert caught.value.code == code


def test_spark_is_named_as_absent() -> None:
    with pytest.raises(UnsupportedError, match="Spark engine is not part of this installation"):
        open_engine("spark://master")


def test_a_refused_setting_is_named() -> None:
    with pytest.raises(UsageError, match="DuckDB refuses a setting") as caught:
        open_engine(memory_limit="lots")
    assert caught.value.code == "bad-setting"


def test_threads_are_set() -> None:
    engine = open_engine(threads=1)
    assert engine.query("SELECT current_setting('threads') AS n", {}).to_pydict() == {"n": [1]}


def test_out_of_memory_is_a_backend_error() -> None:
    engine = open_engine(memory_limit="10MB", threads=1)
    with pytest.raises(BackendError) as caught:
        engine.query("SELECT list(i) AS l FROM range(20000000) t(i)", {})
    assert caught.value.code == "out-of-memory"


def test_quotes_in_paths_and_names_are_escaped() -> None:
    sql = files_query(Files(("/it's.parquet",), pa.schema({'a"b': pa.int64()})))
    assert "'/it''s.parquet'" in sql
    assert '"a""b"' in sql


def test_types_without_a_name_are_refused() -> None:
    with pytest.raises(UsageError, match="has no name in DuckDB"):
        duckdb_type(pa.null())
    assert duckdb_type(pa.struct({"a": pa.list_(pa.bool_())})) == 'STRUCT("a" BOOLEAN[])'


def test_streamed_rows_are_read_anew_and_raise_what_they_raised() -> None:
    reads: list[int] = []

    def batches(*, fail: bool = False) -> Iterator[pa.RecordBatch]:
        reads.append(1)
        yield pa.record_batch({"a": [1, 2]})
        if fail:
            raise UsageError("line 3 is no line", code="bad-csv")

    engine, schema = open_engine(threads=1), pa.schema({"a": pa.int64()})
    twice = "SELECT count(*) AS n FROM rows x JOIN rows y ON x.a = y.a"
    assert engine.query(twice, {"rows": Streamed(schema, batches)}).to_pylist() == [{"n": 2}]
    assert len(reads) == 2
    broken = Streamed(schema, lambda: batches(fail=True))
    with pytest.raises(UsageError, match="line 3 is no line"):
        engine.query("SELECT sum(a) FROM rows", {"rows": broken})
    with pytest.raises(UsageError, match="line 3 is no line"):
        engine.stream("SELECT a FROM rows", {"rows": broken}).read_all()
    engine.close()
