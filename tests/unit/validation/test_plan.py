"""The three checkers of a plan agree: a batch in Arrow, one row in Python, all rows in SQL."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence.compute import Engine, Files
from whence.validation import (
    BoolDomain,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Schema,
    StringDomain,
    TimeDomain,
    ValueCount,
)
from whence.validation.cells import FeatureType
from whence.validation.find import Rows, find_rows
from whence.validation.plan import Plan
from whence.validation.types import Anomaly, ImageDomain, MidDomain, Shape, TimeOfDayDomain, UrlDomain

BERLIN = timezone(timedelta(hours=1))
NUMBERS = [
    "", "1", " 2 ", "+3", "-0", "007", "9" * 19, "9" * 30, "0" * 25 + "4", "1.5", ".5", "1e3", "1e", "nan", "-inf",
    "Infinity", "0x1p3", "1_0", "x", "\u0663", "\u0131nf", "12\n", "\x00",
]  # fmt: skip
TEXTS = [
    *NUMBERS,
    "a",
    "b",
    "true",
    "2013-02-31",
    "2013-1-1",
    "23:59",
    "24:00",
    "https://a.b/c?d",
    "a b",
    "/m/05vl_",
]
FLOATS = [0.0, -0.0, 1.0, 0.5, 2.5, -7.25, 1e308, math.nan, math.inf, -math.inf]
TIMES = [datetime(2013, 1, d, h, tzinfo=UTC) for d in (1, 2, 3) for h in (0, 12)] + [
    datetime(2013, 1, 2, 0, 30, tzinfo=BERLIN)
]
NOON = datetime(2013, 1, 2, 12, tzinfo=UTC)
INTEGERS = st.sampled_from([0, 1, -1, 5, 2**31, -(2**31), 2**63 - 1, -(2**63)])

COLUMNS: dict[str, tuple[Any, list[pa.DataType], st.SearchStrategy[Any], list[Any]]] = {
    "int": (
        "INT", [pa.int64()], INTEGERS,
        [None, IntDomain(0, 5), IntDomain(-(2**70), 2**31), IntDomain(2**64, None), BoolDomain()],
    ),
    "big": ("INT", [pa.uint64()], st.sampled_from([0, 7, 2**64 - 1]), [None, IntDomain(-1, 6), IntDomain(1, 2**64)]),
    "small": ("INT", [pa.int8(), pa.bool_()], st.booleans(), [None, IntDomain(1, 1), IntDomain(-300, 300), BoolDomain()]),
    "float": (
        "FLOAT", [pa.float64(), pa.float32()], st.sampled_from(FLOATS),
        [None, FloatDomain(0.0, 1.0), FloatDomain(None, math.inf, disallow_nan=True, disallow_inf=True), BoolDomain()],
    ),
    "text": (
        "STRING", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], st.sampled_from(TEXTS),
        [
            None, StringDomain(("a", "b'", "")), IntDomain(0, 5), IntDomain(), FloatDomain(0.0, 2.0),
            FloatDomain(disallow_nan=True, disallow_inf=True), BoolDomain("true", "a"), UrlDomain(), MidDomain(),
            TimeDomain(string_format="%Y-%m-%d"), TimeOfDayDomain("%H:%M"), TimeDomain(string_format="%Q"),
        ],
    ),
    "bytes": (
        "BYTES", [pa.binary(), pa.string()], st.sampled_from([b"a", b"", b"1", b"long one"]),
        [None, StringDomain(("a",)), IntDomain(0, 0), ImageDomain(max_image_byte_size=3), UrlDomain()],
    ),
    "raw": ("BYTES", [pa.binary()], st.sampled_from([b"a", b"\xff", b"/m/\xc3"]), [None, StringDomain(("a",)), MidDomain()]),
    "time": (
        "TIMESTAMP", [pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("us")],
        st.sampled_from(TIMES), [None, TimeDomain(NOON, None), TimeDomain(None, date(2013, 1, 2))],
    ),
    "day": (
        "DATE", [pa.date32()], st.dates(date(2013, 1, 1), date(2013, 1, 3)),
        [None, TimeDomain(NOON, None), TimeDomain(None, date(2013, 1, 2))],
    ),
    "list": ("INT", [pa.list_(pa.int64())], st.lists(st.none() | st.integers(-2, 4), max_size=3), [None, IntDomain(0, 3)]),
    "vector": (
        "FLOAT", [pa.list_(pa.float64())], st.lists(st.sampled_from(FLOATS), max_size=3),
        [None, FloatDomain(0.0, 2.0, disallow_nan=True, is_embedding=True, embedding_dim=2)],
    ),
    "deep": (
        "STRING", [pa.list_(pa.list_(pa.string()))],
        st.lists(st.none() | st.lists(st.sampled_from(["a", "b"]), max_size=2), max_size=2), [None, StringDomain(("a",))],
    ),
}  # fmt: skip
PARTS = {"x": pa.int64(), "y": pa.struct({"z": pa.string()}), "l": pa.list_(pa.float64())}
TRIPS = st.fixed_dictionaries({
    "x": st.none() | st.integers(-2, 4),
    "y": st.none() | st.fixed_dictionaries({"z": st.none() | st.sampled_from(["a", "b"])}),
    "l": st.none() | st.lists(st.sampled_from(FLOATS), max_size=2),
})  # fmt: skip


@st.composite
def plans_and_rows(draw: st.DrawFn) -> tuple[Plan, pa.Table]:
    n = draw(st.integers(0, 4))
    schema, columns = Schema(), {}
    presence = st.sampled_from([None, Presence(1.0, 1), Presence(None, 1), Presence(0.5)])
    for name in draw(st.lists(st.sampled_from(sorted(COLUMNS)), unique=True, min_size=1, max_size=4)):
        type_, kinds, values, domains = COLUMNS[name]
        counts = draw(st.sampled_from([None, ValueCount(1, 2), ValueCount(2), ValueCount()]))
        levels = draw(st.sampled_from([(), (), (ValueCount(1), ValueCount(1, 1))]))
        shape = draw(st.sampled_from([None, None, Shape(), Shape((2,)), Shape((2, 1))]))
        wanted = draw(st.sampled_from([type_, type_, type_, "FLOAT", "STRING", "INT"]))
        schema = schema.add(
            Feature(
                name, wanted, draw(presence), None if levels else counts, draw(st.sampled_from(domains)),
                value_counts=levels, shape=shape,
            ),
            stored=True,
        )  # fmt: skip
        if draw(st.integers(0, 9)):
            columns[name] = fill(
                draw(st.lists(st.none() | values, min_size=n, max_size=n)), draw(st.sampled_from(kinds))
            )
    listed = draw(st.booleans())
    kind = pa.struct(PARTS)
    trips = draw(
        st.lists(
            st.none() | (st.lists(st.none() | TRIPS, max_size=2) if listed else TRIPS), min_size=n, max_size=n
        )
    )
    if draw(st.booleans()):
        columns["trip"] = pa.array(trips, pa.list_(kind) if listed else kind)
        schema = schema.add(
            Feature("trip", "STRUCT", draw(presence)),
            Feature("trip.x", "INT", draw(presence), domain=IntDomain(0, 3), path=("trip", "x")),
            Feature(
                "trip.y.z", "STRING", draw(presence), domain=StringDomain(("a",)), path=("trip", "y", "z")
            ),
            Feature("trip.l", "FLOAT", draw(presence), ValueCount(1), FloatDomain(0.0), path=("trip", "l")),
            Feature("trip.gone", "INT", draw(presence), path=("trip", "gone")),
        )
    if not columns:
        return Plan(schema), pa.table({"k": pa.array(range(n), pa.int64())})
    return Plan(schema), pa.table(columns).append_column("k", pa.array(range(n), pa.int64()))


def fill(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([v.decode() if isinstance(v, bytes) else v for v in values], kind)
    if kind == pa.int8():
        return pa.array([None if v is None else int(v) for v in values], kind)
    if kind == pa.timestamp("us"):
        return pa.array([None if v is None else v.astimezone(UTC).replace(tzinfo=None) for v in values], kind)
    return pa.array(values, kind)


def types_of(reasons: list[Any]) -> list[tuple[str, str]]:
    return [(r.feature, r.type) for r in reasons]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(plans_and_rows())
def test_the_three_checkers_agree(engine: Engine, both: tuple[Plan, pa.Table]) -> None:
    plan, table = both
    batch = plan.batch(table)
    rows = [plan.row(row) for row in table.to_pylist()]
    assert [sorted(types_of(r)) for r in rows] == [sorted(types_of(r)) for r in batch]
    assert [sorted(r.text for r in row) for row in rows] == [sorted(r.text for r in row) for row in batch]
    counted = plan.count(table, engine, key=["k"])
    for test, bad in counted.items():
        marked = [i for i, r in enumerate(batch) if test.reason(None)[:2] in {x[:2] for x in r}]
        if sum((t.feature, t.type) == (test.feature, test.type) for t in counted) > 1:  # one a level
            assert set(bad.keys) <= {str(i) for i in marked}
        else:
            assert (bad.n, bad.keys) == (len(marked), [str(i) for i in marked]), (test, marked)
    pieces = [r for b in table.to_batches(max_chunksize=2) for r in plan.batch(b)]
    assert pieces == batch


def test_what_engines_are_asked_in_sql(engine: Engine) -> None:
    schema = Schema().add(
        Feature("i", "INT", Presence(1.0), domain=IntDomain(0, 5)),
        Feature("f", "FLOAT", domain=FloatDomain(0.0, 1.0, disallow_nan=True)),
        Feature("t", "STRING", domain=IntDomain(0, 5)),
        Feature("l", "INT", value_count=ValueCount(1, 2), domain=IntDomain(0, 5)),
    )
    table = pa.table({"i": [1], "f": [1.0], "t": ["1"], "l": [[1]]})
    plan = Plan(schema)
    rest = {(t.feature, t.op) for t in plan.rejecting} - {
        (t.feature, t.op) for t in plan.in_sql(table, engine)
    }
    assert rest == {("t", "utf8")}


def test_text_that_is_not_utf8() -> None:
    plan = Plan(Schema().add(Feature("t", "STRING", domain=StringDomain(("a",)))))
    raw = pa.array([b"a", b"\xff"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    expected = [[], [("t", "ENUM_TYPE_INVALID_UTF8"), ("t", "ENUM_TYPE_UNEXPECTED_STRING_VALUES")]]
    assert [types_of(r) for r in plan.batch(pa.table({"t": texts}))] == expected
    rows = [{"t": "a"}, {"t": b"\xff".decode("utf-8", "surrogateescape")}]
    assert [types_of(plan.row(r)) for r in rows] == expected


class TestOneRow:
    def test_an_absent_column_is_a_fault_where_it_is_required(self) -> None:
        plan = Plan(Schema().add(Feature("a", "INT", Presence(None, 1)), Feature("b", "INT")))
        assert [r.text for r in plan.row({})] == ["the column a is missing"]
        assert plan.row({"a": None}) == []

    def test_the_environment_counts(self) -> None:
        schema = Schema().add(Feature("late", "BOOL", Presence(1.0))).environments("TRAINING", "SERVING")
        schema = schema.not_in_environment("SERVING", "late")
        assert Plan(schema, "SERVING").row({}) == []
        assert Plan(schema, "TRAINING").row({})

    def test_one_is_a_float_in_json_only(self) -> None:
        plan = Plan(Schema().add(Feature("x", "FLOAT", domain=FloatDomain(0.0, 5.0))))
        assert [r.text for r in plan.row({"x": 1})] == ["x is INT, the schema says FLOAT"]
        assert plan.json_row({"x": 1}) == []
        assert [r.text for r in plan.json_row({"x": 6})] == ["x 6 is above 5.0"]

    @pytest.mark.parametrize("value", [3, True])
    def test_integers_and_booleans(self, value: Any) -> None:
        assert Plan(Schema().add(Feature("x", "INT", domain=IntDomain(0, 3)))).row({"x": value}) == []

    def test_numbers_of_numpy(self) -> None:
        np = pytest.importorskip("numpy")
        plan = Plan(Schema().add(Feature("x", "INT", domain=IntDomain(0, 3)), Feature("y", "FLOAT")))
        assert plan.row({"x": np.int64(3), "y": np.float32(1.5)}) == []
        assert [r.text for r in plan.row({"x": np.array([3, 4])})] == ["x [3, 4] is above 3"]

    def test_columns_with_names_of_any_kind(self) -> None:
        plan = Plan(
            Schema().add(Feature("a'\"\n", "INT", Presence(1.0)), Feature("v", "INT"), Feature("out", "INT"))
        )
        assert [r.text for r in plan.row({"a'\"\n": None, "v": 1, "out": "x"})] == [
            "a'\"\n is missing",
            "out is STRING, the schema says INT",
        ]


ROWS = pa.table({
    "k": list(range(12)),
    "n": [*range(11), None],
    "t": ["1", "x", None, "12", *["3"] * 8],
    "v": [[i] * (i % 3) for i in range(12)],
    "p": [{"x": i} if i else None for i in range(12)],
})  # fmt: skip
FOUND = {
    ("n", "INT_TYPE_BIG_INT"): (5, "6"),
    ("n", "FEATURE_TYPE_LOW_FRACTION_PRESENT"): (1, "11"),
    ("p.x", "INT_TYPE_BIG_INT"): (2, "10"),
    ("t", "INT_TYPE_NOT_INT_STRING"): (1, "1"),
    ("v", "FEATURE_TYPE_LOW_NUMBER_VALUES"): (4, "0"),
}


@pytest.mark.parametrize("key", [("k",), ()])
@pytest.mark.parametrize("kept", [True, False])
def test_rows_are_found_in_files_as_in_memory(
    engine: Engine, tmp_path: Path, kept: bool, key: tuple[str, ...]
) -> None:
    schema = Schema().add(
        Feature("n", "INT", Presence(1.0), domain=IntDomain(0, 5)),
        Feature("t", "STRING", domain=IntDomain(0, 9)),
        Feature("v", "INT", value_count=ValueCount(1)),
        Feature("p.x", "INT", domain=IntDomain(0, 9), path=("p", "x")),
    )
    relation: Any = ROWS
    if kept:
        parts = (ROWS.slice(0, 5), ROWS.slice(5))
        paths = tuple(str(tmp_path / f"{i}.parquet") for i in range(2))
        for path, part in zip(paths, parts, strict=True):
            pq.write_table(part, path)
        relation = Files(paths, ROWS.schema)
    rows = Rows("t@1", relation, ROWS.column_names, key)
    wanted = [Anomaly(f, t, "ERROR", "", None, None, "") for f, t in FOUND]  # type: ignore[arg-type]
    for anomaly in find_rows(rows, schema, wanted, engine):
        n, first = FOUND[anomaly.feature, anomaly.type]
        assert anomaly.n_rows == n, anomaly
        expected = sorted([str(i) for i in range(6, 11)]) if n == 5 and key else [first]
        assert anomaly.rows[0] == f"row:t@1/{'' if key else '#'}{expected[0]}", anomaly
        assert len(anomaly.rows) == min(n, 5)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view(), pa.list_(pa.string_view())], ids=str)
def test_views_of_text_are_text(kind: pa.DataType) -> None:
    rows: list[Any] = [["a"], None, ["b"]] if pa.types.is_list(kind) else ["a", None, "b"]
    type_: FeatureType = "BYTES" if pa.types.is_binary_view(kind) else "STRING"
    plan = Plan(Schema().add(Feature("x", type_, domain=StringDomain(("a",)))))
    assert [len(r) for r in plan.batch(pa.table({"x": pa.array(rows, kind)}))] == [0, 0, 1]
