from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence._base.arrow import TS, compare_schemas, conform, normalise, to_arrow, widens
from whence.errors import NotFoundError, UsageError

MOMENT = datetime(2013, 7, 1, 12, tzinfo=UTC)
SCHEMA = pa.schema({"a": pa.int32(), "s": pa.string(), "at": TS})


def code_of(call: Any) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return caught.value.code


def test_every_kind_of_data_gives_the_same_table(tmp_path: Path) -> None:
    want = pa.table({"a": [1, 2], "s": ["x", None]})
    pq.write_table(want, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("a,s\n1,x\n2,\n")
    kinds: list[object] = [
        want,
        want.to_batches()[0],
        want.to_reader(),
        want.to_pandas(),
        pl.DataFrame({"a": [1, 2], "s": ["x", None]}),
        duckdb.sql("SELECT * FROM (VALUES (1::BIGINT, 'x'), (2, NULL)) t(a, s)"),
        {"a": [1, 2], "s": ["x", None]},
        [{"a": 1, "s": "x"}, {"a": 2}],
        iter([{"a": 1, "s": "x"}, {"a": 2}]),
        tmp_path / "t.parquet",
        str(tmp_path / "t.csv"),
    ]
    for kind in kinds:
        assert to_arrow(kind).to_pydict() == want.to_pydict(), type(kind)
    assert all(
        to_arrow(k).schema.equals(want.schema)
        for k in kinds
        if not hasattr(k, "__next__") and not isinstance(k, pa.RecordBatchReader)
    )


def test_untyped_values_take_the_declared_types() -> None:
    table = to_arrow([{"a": 1, "s": None, "at": MOMENT}], schema=SCHEMA)
    assert table.schema.equals(SCHEMA)


def test_values_that_do_not_fit_keep_their_type() -> None:
    for values, have in (
        ([1.5], pa.float64()),
        ([2**40], pa.int64()),
        (["7"], pa.string()),
        ([True], pa.bool_()),
    ):
        assert to_arrow({"a": values}, schema=SCHEMA).schema.field("a").type == have


def test_a_float_that_fits_float32_takes_it() -> None:
    schema = pa.schema({"f": pa.float32(), "d": pa.decimal128(10, 3)})
    assert to_arrow({"f": [0.5], "d": [Decimal("1.5")]}, schema=schema).schema.equals(schema)
    assert to_arrow({"f": [0.1]}, schema=schema).schema.field("f").type == pa.float64()


def test_csv_reads_declared_types_and_quoted_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,s,at\n1,"NA",2013-07-01T12:00:00Z\n2,NA,2013-07-01T12:00:00+00:00\n')
    table = to_arrow(path, schema=SCHEMA)
    assert table.schema.equals(SCHEMA)
    assert table["s"].to_pylist() == ["NA", None]
    assert table["at"].to_pylist() == [MOMENT, MOMENT]


def test_bad_data_is_refused_by_name(tmp_path: Path) -> None:
    assert code_of(lambda: to_arrow(7)) == "bad-data"
    assert code_of(lambda: to_arrow(b"abc")) == "bad-data"
    assert code_of(lambda: to_arrow([1])) == "bad-data"
    assert code_of(lambda: to_arrow({"a": [1, "x"]})) == "bad-data"
    assert code_of(lambda: to_arrow({"a": [1], "b": [1, 2]})) == "bad-data"
    assert code_of(lambda: to_arrow(tmp_path / "t.json")) == "bad-data"
    assert code_of(lambda: to_arrow(pd.Series([1]))) == "bad-data"
    with pytest.raises(NotFoundError, match=r"file .* not found"):
        to_arrow(tmp_path / "absent.csv")


def test_a_named_index_is_refused_and_row_labels_are_not_data() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert to_arrow(frame[frame.a > 1]).to_pydict() == {"a": [2, 3]}
    assert code_of(lambda: to_arrow(frame.set_index("a"))) == "named-index"


def test_times_without_a_zone_are_refused_everywhere() -> None:
    naive = MOMENT.replace(tzinfo=None)
    assert code_of(lambda: to_arrow({"t": [naive]})) == "naive-time"
    assert code_of(lambda: to_arrow({"t": [MOMENT, naive]}, schema=pa.schema({"t": TS}))) == "naive-time"
    assert code_of(lambda: to_arrow(pa.table({"t": pa.array([naive], pa.timestamp("us"))}))) == "naive-time"
    assert code_of(lambda: to_arrow(pd.DataFrame({"t": pd.to_datetime(["2013-07-01"])}))) == "naive-time"


def test_times_of_other_zones_and_units_become_utc_microseconds() -> None:
    for type_ in (
        pa.timestamp("ns", "America/New_York"),
        pa.timestamp("s", "UTC"),
        pa.timestamp("ms", "+02:00"),
    ):
        got = normalise(pa.table({"t": pa.array([MOMENT], type_)}))
        assert got.schema.field("t").type == TS
        assert got["t"].to_pylist() == [MOMENT]


def test_nanoseconds_that_would_be_lost_are_refused() -> None:
    table = pa.table({"t": pa.array([1], pa.timestamp("ns", "UTC"))})
    assert code_of(lambda: normalise(table)) == "lossy-time"


@pytest.mark.parametrize(
    ("given_type", "want"),
    [
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.run_end_encoded(pa.int32(), pa.string()), pa.string()),
    ],
)
def test_variants_of_text_become_text(given_type: Any, want: Any) -> None:
    plain = pa.array(["x", None, "x"])
    if pa.types.is_run_end_encoded(given_type):
        import pyarrow.compute as pc

        encoded = pc.run_end_encode(plain, pa.int32())
    else:
        encoded = plain.cast(given_type)
    got = normalise(pa.table({"a": encoded}))
    assert got.schema.field("a").type == want
    assert got["a"].to_pylist() == ["x", None, "x"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pl.Categorical, ["x", None, "x"]),
        (pl.Enum(["x", "y"]), ["x", None, "y"]),
        (pl.List(pl.Categorical), [["x", None], None, []]),
        (pl.Array(pl.Categorical, 2), [["x", "y"], None, ["x", None]]),
        (pl.Struct({"q": pl.Categorical}), [{"q": "x"}, {"q": None}, {"q": "y"}]),
    ],
)
def test_categories_of_polars_become_text(kind: Any, values: list[Any]) -> None:
    assert to_arrow(pl.DataFrame({"a": pl.Series(values, dtype=kind)}))["a"].to_pylist() == values


def test_variants_of_other_types() -> None:
    table = pa.table(
        {
            "b": pa.array([b"abc"], pa.binary(3)),
            "l": pa.array([[1, 2]], pa.list_(pa.int64(), 2)),
            "ll": pa.array([[1]], pa.large_list(pa.large_string().__class__ and pa.int64())),
            "u": pa.array([2**32 - 1], pa.uint32()),
            "d": pa.array([Decimal("1.5")], pa.decimal64(5, 2)),
        }
    )
    got = normalise(table)
    assert [str(f.type) for f in got.schema] == [
        "binary",
        "list<element: int64>",
        "list<element: int64>",
        "int64",
        "decimal128(5, 2)",
    ]
    assert got.to_pylist() == table.to_pylist()


def test_types_without_a_place_are_refused() -> None:
    for type_ in (
        pa.uint64(),
        pa.duration("s"),
        pa.time64("us"),
        pa.map_(pa.string(), pa.int64()),
        pa.float16(),
    ):
        assert code_of(lambda t=type_: normalise(pa.table({"a": pa.nulls(1, t)}))) == "unsupported-type"


def test_a_column_twice_is_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert code_of(lambda: normalise(table)) == "duplicate-column"


def test_metadata_of_the_table_stays() -> None:
    table = pa.table({"a": pa.array(["x"], pa.large_string())}).replace_schema_metadata({b"whence": b"{}"})
    assert normalise(table).schema.metadata == {b"whence": b"{}"}


def test_differences_are_named_in_the_declared_order() -> None:
    have = pa.schema([pa.field("b", pa.string()), pa.field("x", pa.int8()), pa.field("c", pa.int64())])
    want = pa.schema(
        [pa.field("a", pa.int64()), pa.field("b", pa.int64()), pa.field("c", pa.int64(), nullable=False)]
    )
    assert [(d.name, d.kind, d.have, d.want) for d in compare_schemas(have, want)] == [
        ("a", "missing", None, "int64"),
        ("b", "type", "string", "int64"),
        ("c", "nullable", "nullable", "not null"),
        ("x", "extra", "int8", None),
    ]


def test_column_order_is_no_difference() -> None:
    have, want = pa.schema({"b": pa.int8(), "a": pa.int8()}), pa.schema({"a": pa.int8(), "b": pa.int8()})
    assert compare_schemas(have, want) == []


def test_conform_names_every_column_and_what_is_wanted() -> None:
    want = pa.schema({"a": pa.int64(), "b": pa.string(), "c": pa.float64()})
    with pytest.raises(UsageError) as caught:
        conform(pa.table({"a": [1.5], "x": [1], "c": [1]}), want, what="table 'flights'")
    assert caught.value.code == "schema-mismatch"
    assert caught.value.message == (
        "the data do not fit table 'flights': a: have double, want int64; b: missing, want string; "
        "c: have int64, want double; x: extra, have int64"
    )


def test_conform_widens_and_orders() -> None:
    want = pa.schema({"a": pa.int64(), "f": pa.float64(), "n": pa.string()})
    got = conform(
        pa.table({"n": pa.nulls(1), "f": pa.array([0.1], pa.float32()), "a": pa.array([1], pa.int8())}), want
    )
    assert got.schema.equals(want)
    assert got.to_pylist() == [{"a": 1, "f": float(np.float32(0.1)), "n": None}]


def test_null_where_none_is_allowed() -> None:
    want = pa.schema([pa.field("a", pa.int64(), nullable=False)])
    assert conform(pa.table({"a": [1]}), want).schema.equals(want)
    for bad in (
        pa.table({"a": [1, None]}),
        pa.table({"a": pa.nulls(1)}),
        pa.table({"a": pa.array([None], pa.int8())}),
    ):
        assert code_of(lambda b=bad: conform(b, want)) == "schema-mismatch"


INTS = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]


@given(st.sampled_from(INTS), st.sampled_from(INTS), st.data())
def test_widening_never_changes_a_value(have: Any, want: Any, data: st.DataObject) -> None:
    bits = have.bit_width
    value = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    if widens(have, want):
        assert pa.array([value], have).cast(want).to_pylist() == [value]
    else:
        assert bits > want.bit_width
