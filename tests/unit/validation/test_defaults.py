"""The schema's defaults in place of missing values: in a batch, in one row, at ingest."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import whence
from whence.errors import DataRejectedError, UsageError
from whence.validation import (
    Feature,
    IntDomain,
    Presence,
    Schema,
    Statistics,
    describe,
    schema_from_yaml,
    schema_to_yaml,
)
from whence.validation.defaults import apply_defaults, defaults_of, row_filler
from whence.validation.lines import terminal_table
from whence.validation.page import statistics_page

SCHEMA = Schema().add(
    Feature("k", "INT", Presence(1.0, 1)),
    Feature("n", "INT", Presence(1.0, 1), domain=IntDomain(0, 9), default=7),
    Feature("t", "STRING", default="none"),
)


@pytest.mark.parametrize(
    ("type_", "default", "kind", "value"),
    [
        ("INT", 3, pa.int32(), 3),
        ("FLOAT", 3, pa.float32(), 3.0),
        ("STRING", "a", pa.dictionary(pa.int8(), pa.string()), "a"),
        ("BYTES", "a", pa.binary(), b"a"),
        ("BOOL", True, pa.bool_(), True),
        ("DATE", "2013-01-01", pa.date32(), date(2013, 1, 1)),
        ("TIMESTAMP", "2013-01-01T00:00:00Z", pa.timestamp("us", "UTC"), datetime(2013, 1, 1, tzinfo=UTC)),
        ("INT", [1, 2], pa.list_(pa.int64()), [1, 2]),
    ],
)
def test_a_default_of_every_type(type_: Any, default: Any, kind: pa.DataType, value: Any) -> None:
    schema = Schema().add(Feature("x", type_, default=default))
    filled = apply_defaults(pa.table({"x": pa.nulls(2, kind)}), schema)
    assert filled.rows.column("x").to_pylist() == [value, value]
    assert (filled.rows.schema.field("x").type, dict(filled.counts)) == (kind, {"x": 2})
    again = Schema.from_json(schema.to_json())
    assert defaults_of(again) == defaults_of(schema)
    made = apply_defaults(pa.table({"y": [1]}), again)
    assert made.rows.column("x").to_pylist() == [value]


@pytest.mark.parametrize(
    ("type_", "default"), [("INT", "3"), ("INT", 1.5), ("DATE", "x"), ("FLOAT", True), ("STRUCT", {})]
)
def test_a_default_that_is_no_value_of_the_column(type_: Any, default: Any) -> None:
    with pytest.raises(UsageError, match=r"\(bad-default\)"):
        defaults_of(Schema().add(Feature("x", type_, default=default)))


@pytest.mark.parametrize(
    ("value", "kind"), [(0.5, pa.int64()), (1e300, pa.float32()), ([0.5], pa.list_(pa.int8()))]
)
def test_a_default_is_not_cut(value: Any, kind: pa.DataType) -> None:
    schema = Schema().add(Feature("x", "FLOAT", default=value))
    with pytest.raises(UsageError, match=r"of x is no .* \(bad-default\)"):
        apply_defaults(pa.table({"x": pa.nulls(1, kind)}), schema)


def test_a_default_too_large_for_the_column() -> None:
    with pytest.raises(UsageError, match=r"the default 300 of x is no int8 \(bad-default\)"):
        apply_defaults(
            pa.table({"x": pa.nulls(1, pa.int8())}), Schema().add(Feature("x", "INT", default=300))
        )


def test_a_column_of_another_environment_is_not_made() -> None:
    schema = Schema().add(Feature("late", "BOOL", default=False)).environments("TRAINING", "SERVING")
    schema = schema.not_in_environment("SERVING", "late")
    assert apply_defaults(pa.table({"a": [1]}), schema, "SERVING").rows.column_names == ["a"]
    assert apply_defaults(pa.table({"a": [1]}), schema, "TRAINING").rows.column_names == ["a", "late"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"k": st.integers(0, 9), "n": st.none() | st.integers(0, 9), "t": st.none() | st.just("a")}
        )
    )
)
def test_a_batch_and_its_rows_are_filled_alike(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, pa.schema({"k": pa.int64(), "n": pa.int64(), "t": pa.string()}))
    filled = apply_defaults(table, SCHEMA)
    fill = row_filler(SCHEMA)
    assert filled.rows.to_pylist() == [fill(r) for r in rows]
    assert sum(filled.counts.values()) == sum(v is None for r in rows for v in r.values())
    again = apply_defaults(filled.rows, SCHEMA)
    assert not again.counts
    assert again.rows.equals(filled.rows)


def test_statistics_tell_how_many_were_filled() -> None:
    filled = apply_defaults(pa.table({"k": [1, 2], "n": [None, 3], "t": ["a", "b"]}), SCHEMA)
    told = filled.told_in(describe(filled.rows))
    assert told.features["n"].custom == {"num_filled": 1}
    assert told.features["t"].custom == {}
    assert told.merge(told).features["n"].custom == {"num_filled": 2}
    assert type(told).from_bytes(told.to_bytes()).features["n"].custom == {"num_filled": 1}


class TestIngest:
    @pytest.fixture
    def ws(self, tmp_path: Path) -> Any:
        with whence.connect(tmp_path / "w.whence") as ws:
            ws.lake.create("t", pa.schema({"k": pa.int64(), "n": pa.int64(), "t": pa.string()}))
            yield ws

    def test_missing_values_get_the_default_when_asked(self, ws: Any) -> None:
        table = ws.table("t")
        ws.validation.put_schema("t", SCHEMA, enforce=True)
        with pytest.raises(DataRejectedError, match="n is missing"):
            table.append([{"k": 1, "n": None, "t": None}])
        ws.validation.put_schema("t", SCHEMA, fill=True)
        commit = table.append([{"k": 1, "n": None, "t": None}, {"k": 2, "n": 3, "t": "a"}])
        assert table.at(commit.version).arrow().sort_by("k").to_pylist() == [
            {"k": 1, "n": 7, "t": "none"},
            {"k": 2, "n": 3, "t": "a"},
        ]
        assert ws.graph.execution(commit.execution).get("filled") == {"n": 1, "t": 1}
        assert describe(table.head().arrow()).features["n"].num_missing == 0

    def test_what_is_set_aside_is_as_it_came(self, ws: Any) -> None:
        ws.validation.put_schema("t", SCHEMA, enforce=True, fill=True)
        commit = ws.table("t").append(
            [{"k": 1, "n": None}, {"k": None, "n": None}, {"k": 3, "n": 12}], on_error="quarantine"
        )
        assert (commit.n_rows, commit.n_quarantined) == (1, 2)
        rows = ws.quarantine("t").list()
        assert [r.row.get("n") for r in rows] == [None, 12]
        assert ws.graph.execution(commit.execution).get("filled") == {"n": 1, "t": 1}

    def test_statistics_of_versions_tell_what_was_filled(self, ws: Any) -> None:
        ws.validation.put_schema("t", SCHEMA, enforce=True, fill=True)
        table = ws.table("t")
        table.append([{"k": 1, "n": None, "t": "a"}])
        table.append([{"k": 2, "n": 3, "t": "a"}])
        table.append([{"k": 3, "n": None, "t": None}])
        head = table.head()
        described = ws.validation.statistics(head)
        assert described["n"].custom == {"num_filled": 2}
        assert described["t"].custom == {"num_filled": 1}
        assert described["k"].custom == {}
        sliced = ws.validation.statistics(head, slices=["t"]).slices
        assert sliced["t=a"]["n"].custom == {"num_filled_at_most": 2}
        assert sliced["t=none"]["n"].custom == {"num_filled_at_most": 1}
        assert "≤ 1 (100 %)" in terminal_table(sliced["t=none"])
        assert ws.validation.added("t@2")["n"].custom == {}
        window = ws.validation.window("t", versions=range(2, head.version + 1))
        assert window["n"].custom == {"num_filled": 1}
        assert Statistics.from_bytes(window.to_bytes())["t"].custom == {"num_filled": 1}
        assert "of them defaults" in statistics_page(described)
        assert "2 (66.7 %)" in terminal_table(described)
        table.delete("k = 1")
        assert ws.validation.statistics(table.head())["n"].custom == {"num_filled_at_most": 2}
        table.overwrite([{"k": 4, "n": None, "t": "a"}])
        assert ws.validation.statistics(table.head())["n"].custom == {"num_filled": 1}

    def test_what_is_let_in_from_quarantine_is_counted(self, ws: Any) -> None:
        ws.validation.put_schema("t", SCHEMA, enforce=True, fill=True)
        table = ws.table("t")
        table.append([{"k": None, "n": None, "t": None}], on_error="quarantine")
        ws.quarantine("t").correct({"k": 9})
        commit = ws.quarantine("t").replay()
        assert table.head().arrow().to_pylist() == [{"k": 9, "n": 7, "t": "none"}]
        assert ws.graph.execution(commit.execution).get("filled") == {"n": 1, "t": 1}
        assert dict(table.history()[0].filled) == {"n": 1, "t": 1}
        assert ws.validation.statistics(table.head())["n"].custom == {"num_filled": 1}

    def test_who_filled_before_says_so(self, ws: Any) -> None:
        ws.validation.put_schema("t", SCHEMA, enforce=True, fill=True)
        commit = ws.table("t").append([{"k": 1, "n": 7, "t": None}], filled={"n": 1})
        assert ws.graph.execution(commit.execution).get("filled") == {"n": 1, "t": 1}
        with pytest.raises(UsageError, match=r"\(bad-argument\)"):
            ws.table("t").append([{"k": 1, "n": 7}], filled={"n": 1}, on_error="quarantine")

    def test_the_option_stays_until_it_is_taken_back(self, ws: Any) -> None:
        ws.validation.put_schema("t", SCHEMA, enforce=True, fill=True)
        ws.validation.put_schema("t", SCHEMA.edit("n", default=8))
        assert ws.validation.find_guard("t").fills == {"n", "t"}
        ws.validation.put_schema("t", SCHEMA, fill=False)
        assert not ws.validation.find_guard("t").fills

    def test_a_default_that_is_none_is_refused_when_it_is_asked_for(self, ws: Any) -> None:
        wrong = Schema({"k": Feature("k", "INT", default="x")})
        with pytest.raises(UsageError, match=r"\(bad-default\)"):
            ws.validation.put_schema("t", wrong, enforce=True, fill=True)


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("FLOAT", math.nan),
        ("TIMESTAMP", datetime(2020, 1, 1)),  # noqa: DTZ001
        ("DATE", datetime(2020, 1, 1, tzinfo=UTC)),
        ("BYTES", b"\xff"),
        ("STRING", "\ud800"),
        ("INT", 2**64),
    ],
)
def test_a_default_that_cannot_be_written_and_read_is_refused(type_: Any, default: Any) -> None:
    with pytest.raises(UsageError, match=r"its default .* is .* \(bad-default\)"):
        Schema().add(Feature("x", type_, default=default))


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("FLOAT", math.inf),
        ("TIMESTAMP", datetime(2020, 1, 1, tzinfo=UTC)),
        ("DATE", date(2020, 1, 1)),
        ("BYTES", b"abc"),
        ("INT", 2**63),
    ],
)
def test_a_default_equals_itself_after_it_was_written(type_: Any, default: Any) -> None:
    schema = Schema().add(Feature("x", type_, default=default))
    assert Schema.from_json(schema.to_json()) == schema
    assert schema_from_yaml(schema_to_yaml(schema)) == schema
