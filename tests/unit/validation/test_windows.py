"""Windows: statistics of the rows that came, merged and never read twice."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.validation.days import BEGIN, Days, opened
from whence.errors import NotFoundError, UsageError
from whence.validation import Statistics, describe


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    with opened(tmp_path) as made:
        yield made


def exact(s: Statistics) -> list[Any]:
    """What a merge must give to the last bit, or the last rounding."""
    out: list[Any] = [s.n_rows]
    for f in s:
        out.append(
            (f.name, f.num_non_missing, f.num_missing, f.num_unique, f.min, f.max, f.num_zeros, f.num_nan)
        )
        out.append(
            (sorted(f.top_values(50)), f.min_num_values, f.max_num_values) if f.is_text else f.n_values
        )
        out.append(
            tuple(None if v is None else pytest.approx(v, rel=1e-12, abs=1e-12) for v in (f.mean, f.std_dev))
        )
        out.append([f.quantile(q) for q in (0.0, 0.25, 0.5, 1.0)] if not f.is_text else None)
    return out


def test_a_window_of_versions_is_one_read_of_its_rows(days: Days) -> None:
    for n in range(5):
        days.append(float(n), n + 0.5, None, cs=["a", f"v{n}", None])
    got = days.validation.window("days", versions=range(2, 5))
    rows = pa.concat_tables([c.rows for c in days.table.changes(1, 4)])
    assert exact(got) == exact(describe(rows))
    assert got.name == "days@2..4"


def test_a_window_is_kept_and_names_what_went_in(days: Days) -> None:
    for n in range(4):
        days.append(float(n))
    first = days.validation.window("days", versions=range(1, 4))
    (merged,) = days.executions("merge_statistics")
    assert len(days.executions("statistics")) == 3
    events = days.recorder.store.list_events(executions=[merged.uid])
    read = days.recorder.store.get_nodes("artifact", uids=[e.artifact for e in events if e.kind == "INPUT"])
    assert sorted(str(a.name) for a in read if a.type == "Statistics") == [
        f"days@{v}+added" for v in (1, 2, 3)
    ]
    assert days.validation.window("table:days", versions=[3, 1, 2]).to_bytes() == first.to_bytes()
    found = days.validation.find_statistics("days@1..3")
    assert found is not None
    assert found.to_bytes() == first.to_bytes()
    assert len(days.executions("merge_statistics")) == 1
    days.validation.window("days", versions=range(2, 5))
    assert len(days.executions("statistics")) == 4, "only the new day was read"


def test_days_and_moments(days: Days) -> None:
    for n in range(6):
        days.append(float(n))
    assert days.validation.window(days.table, days=2).name == "days@4..6"
    assert days.validation.window("days", days=1).n_rows == 2, "that long ago, to the moment, belongs to it"
    between = BEGIN + timedelta(days=2), BEGIN + timedelta(days=4)
    assert days.validation.window("days", between=between).name == "days@2..3"
    with pytest.raises(UsageError, match=r"no version of 'days' was made from .*\(empty-window\)"):
        days.validation.window("days", between=(BEGIN - timedelta(days=9), BEGIN - timedelta(days=8)))


def test_the_window_serves_as_the_other_side_of_drift(days: Days) -> None:
    for _ in range(3):
        days.append(1.0, 2.0, cs=["a", "b"])
    days.append(1.0, 2.0, cs=["b", "b"])
    schema = days.validation.infer_schema(days.validation.statistics("days@3")).edit("c", drift_threshold=0.1)
    days.validation.put_schema("days", schema)
    previous = days.validation.window("days", versions=range(1, 4))
    report = days.validation.validate("days@4", "days", previous=previous)
    assert [a.type for a in report.anomalies] == ["COMPARATOR_L_INFTY_HIGH"]
    (validated,) = days.executions("validate")
    events = days.recorder.store.list_events(executions=[validated.uid])
    read = days.recorder.store.get_nodes("artifact", uids=[e.artifact for e in events if e.kind == "INPUT"])
    assert "days@1..3" in {a.name for a in read}


def test_compaction_adds_nothing(days: Days) -> None:
    days.append(1.0)
    days.append(2.0)
    before = days.validation.window("days", versions=range(1, 3))
    days.table.compact()
    assert days.table.head().version == 3
    assert exact(days.validation.window("days", versions=range(1, 4))) == exact(before)
    nothing = days.validation.window("days", versions=[3])
    assert (nothing.n_rows, list(nothing.features)) == (0, ["id", "x", "c"])


def test_what_replaces_all_rows_begins_anew(days: Days) -> None:
    days.append(1.0)
    days.table.overwrite(days.rows([5.0, 6.0]))
    days.append(7.0)
    got = days.validation.window("days", versions=range(1, 4))
    assert (got.n_rows, got["x"].min, got["x"].max) == (3, 5.0, 7.0)


@pytest.mark.parametrize("what", ["delete", "merge"])
def test_changed_rows_are_refused_by_name(days: Days, what: str) -> None:
    days.append(1.0, 2.0)
    days.append(3.0)
    if what == "delete":
        days.table.delete("x = 1.0")
    else:
        days.table.merge(pa.table({"id": [0], "x": [9.0], "c": ["z"]}, schema=days.table.schema))
    days.append(4.0)
    with pytest.raises(
        UsageError, match=rf"what table:days@3 added cannot be told .* type {what}.*\(not-additive\)"
    ):
        days.validation.window("days", versions=range(2, 5))
    assert days.validation.window("days", versions=[4]).n_rows == 1
    whole = days.validation.window("days", versions=range(5))
    assert exact(whole) == exact(days.validation.statistics("days@4"))
    with pytest.raises(UsageError, match="not-additive"):
        days.validation.added("days@3")


def test_new_columns_are_missing_before(days: Days) -> None:
    days.append(1.0)
    more = days.rows([2.0]).append_column("new", pa.array([7], pa.int64()))
    days.table.append(more, evolve=True)
    got = days.validation.window("days", versions=range(1, 3))
    assert (got["new"].num_missing, got["new"].num_non_missing) == (1, 1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "one of versions=, days= and between="),
        ({"days": 1, "versions": [1]}, "one of versions=, days= and between="),
        ({"days": 0}, "a window of 0 days has no rows"),
        ({"versions": []}, "the window has no versions"),
        ({"versions": [0, 2]}, "have gaps"),
        ({"between": (BEGIN, BEGIN)}, "before it begins"),
    ],
)
def test_bad_windows(days: Days, asked: dict[str, Any], said: str) -> None:
    days.append(1.0)
    days.append(1.0)
    with pytest.raises(UsageError, match=said + r".*\(bad-window\)"):
        days.validation.window("days", **asked)


def test_absent(days: Days) -> None:
    with pytest.raises(NotFoundError, match="table-version-not-found"):
        days.validation.window("days", versions=range(3, 5))
    with pytest.raises(UsageError, match="naive-time"):
        days.validation.window("days", between=(BEGIN.replace(tzinfo=None), BEGIN))


CELL = st.one_of(st.none(), st.integers(-50, 50).map(lambda n: n / 4), st.just(float("nan")))
TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "ccc"]))
DAY = st.lists(st.tuples(CELL, TEXT), max_size=8)


@settings(max_examples=25, deadline=None)
@given(made=st.lists(DAY, min_size=1, max_size=6), data=st.data())
def test_any_window_is_one_read(
    made: list[list[tuple[float | None, str | None]]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), "memory://") as days:
        tables = []
        for day in made:
            table = days.rows([x for x, _ in day], [c for _, c in day])
            tables.append(table)
            days.table.append(table)
        last = len(made)
        assert days.table.head().version == last
        low = data.draw(st.integers(1, last))
        high = data.draw(st.integers(low, last))
        got = days.validation.window("days", versions=range(low, high + 1))
        assert exact(got) == exact(describe(pa.concat_tables(tables[low - 1 : high])))
