"""A planted leak is found, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import whence.features as w
from whence.compute import Engine
from whence.errors import NotFoundError, UsageError
from whence.features.leaks import find_leaks
from whence.features.source import Source
from whence.features.types import FeatureView

TS = pa.timestamp("us", tz="UTC")
Hour = Callable[[float], datetime]
N = 300


@pytest.fixture
def source(hour: Hour) -> Source:
    rows = pa.table(
        {
            "id": [f"r{i % 280}" for i in range(N)],
            "k": ["abc"[i % 3] for i in range(N)],
            "v": [i * 31 % 97 for i in range(N)],
            "e": pa.array([hour(i % 280) for i in range(N)], TS),
            "at": pa.array([hour(i + i % 4) for i in range(N)], TS),
        }
    )
    return Source.of("s", rows, key=["id"], known_at="at")


VIEW = FeatureView(
    "f",
    entity=w.Entity("k", ["k"]),
    source="s",
    timestamp="e",
    ttl="12h",
    features=[
        w.mean("v", over="1d"),
        w.count(over="1d", where="v > 50"),
        w.last("v"),
        w.max("v", over="12h"),
    ],
)


@pytest.fixture
def spine(hour: Hour) -> pa.Table:
    return pa.table(
        {
            "id": [f"r{i}" for i in range(N - 20)],
            "k": ["abc"[i % 3] for i in range(N - 20)],
            "q": pa.array([hour(i + 0.5) for i in range(N - 20)], TS),
            "late": [i * 31 % 97 > 48 for i in range(N - 20)],
        }
    )


@pytest.fixture
def built(engine: Engine, source: Source, spine: pa.Table) -> pa.Table:
    return w.join_features(spine, [VIEW], {"s": source}, engine, at="q").table


def check(engine: Engine, source: Source, rows: pa.Table, **more: Any) -> w.LeakReport:
    return find_leaks(
        rows, [VIEW], {"s": source}, engine, at="q", labels=["late"], registers=[source], **more
    )


def test_a_clean_set_is_clean(engine: Engine, source: Source, built: pa.Table) -> None:
    report = check(engine, source, built)
    assert report.ok
    assert report.n_cells == 0
    assert report.n_rows == N - 20
    assert report.n_checked == 4 * (N - 20)
    assert report.unchecked == ()


def test_features_as_known_now_are_named(engine: Engine, source: Source, spine: pa.Table) -> None:
    leaky = w.join_features(spine, [VIEW], {"s": source}, engine, at="q", known="now").table
    report = check(engine, source, leaky)
    assert not report.ok
    assert {c.name for c in report.columns} == set(VIEW.outputs)
    assert {c.kind for c in report.columns} == {"feature"}
    cell = report.columns[0].examples[0]
    assert (leaky[cell.column][cell.row].as_py(), leaky["q"][cell.row].as_py()) == (cell.value, cell.at)
    assert cell.value != cell.cut


def test_one_changed_cell_is_found(engine: Engine, source: Source, built: pa.Table) -> None:
    values = built["f__v"].to_pylist()
    values[100] = -1
    changed = built.set_column(built.column_names.index("f__v"), "f__v", pa.array(values, pa.int64()))
    report = check(engine, source, changed)
    assert [(c.name, c.n_differing, c.examples[0].row) for c in report.columns] == [("f__v", 1, 100)]
    assert report.n_cells == 1


def test_a_column_that_is_a_feature_of_now_is_found(
    engine: Engine, source: Source, spine: pa.Table, built: pa.Table
) -> None:
    now = w.join_features(spine, [VIEW], {"s": source}, engine, at="q", known="now").table
    report = check(engine, source, built.append_column("peek", now["f__mean_v_1d"]))
    assert [(c.name, c.kind, c.how) for c in report.columns] == [
        ("peek", "column", "is f__mean_v_1d as it is known now")
    ]


def test_a_column_of_the_source_that_was_not_known_is_found(
    engine: Engine, source: Source, built: pa.Table
) -> None:
    rows = source.relation
    assert isinstance(rows, pa.Table)
    later = pa.array(rows["v"].to_pylist()[: N - 20], pa.int64())
    report = check(engine, source, built.append_column("v", later))
    (found,) = report.columns
    assert found.name == "v"
    assert found.how == "was not known at the moment, in any table that has it"
    assert found.examples[0].cut is None


def test_a_column_of_the_source_that_was_known_is_not(
    engine: Engine, source: Source, built: pa.Table, hour: Hour
) -> None:
    rows = source.relation
    assert isinstance(rows, pa.Table)
    early = rows.set_column(4, "at", pa.array([hour(-1)] * N, TS)).slice(0, 280)
    plan = Source.of("plan", early, key=["id"], known_at="at")
    report = find_leaks(
        built.append_column("v", rows["v"].slice(0, 280)), [VIEW], {"s": source}, engine, at="q", labels=["late"],
        registers=[source, plan],
    )  # fmt: skip
    assert report.ok, report.text()


def test_what_parts_the_label_is_found(engine: Engine, source: Source, built: pa.Table) -> None:
    score = pa.array([(i * 31 % 97) / 3 for i in range(N - 20)])
    report = check(engine, source, built.append_column("score", score))
    assert [(c.name, c.how) for c in report.columns] == [
        ("score", "parts the classes of 'late' without a mistake")
    ]


def test_what_cannot_be_checked_is_said(engine: Engine, source: Source, built: pa.Table) -> None:
    report = check(engine, source, built.append_column("remark", pa.array(["x"] * (N - 20))))
    assert report.ok
    assert report.unchecked == ("remark",)
    assert report.text().endswith("not checked: remark")


def test_rebuilding_from_cut_sources_finds_any_column(
    engine: Engine, source: Source, spine: pa.Table, built: pa.Table
) -> None:
    def rebuild(sources: Mapping[str, pa.Table]) -> pa.Table:
        cut = Source.of("s", sources["s"], key=["id"], known_at="at")
        rows = w.join_features(spine, [VIEW], {"s": cut}, engine, at="q").table
        total = pc.sum(sources["s"]["v"]).as_py() or 0
        return rows.append_column("share", pa.array([total] * rows.num_rows))

    whole = built.append_column("share", pa.array([pc.sum(source.relation["v"]).as_py()] * built.num_rows))  # type: ignore[index]
    report = check(engine, source, whole, rebuild=rebuild, row_key=["id"])
    assert [(c.name, c.how) for c in report.columns] == [
        ("share", "changes when it is made again from cut sources")
    ]
    assert report.unchecked == ()
    with pytest.raises(UsageError, match="row_key"):
        check(engine, source, whole, rebuild=rebuild)


def test_a_sample_is_the_same_for_the_same_seed(engine: Engine, source: Source, built: pa.Table) -> None:
    assert check(engine, source, built, sample=10, seed=3) == check(engine, source, built, sample=10, seed=3)
    assert check(engine, source, built, sample=10).n_rows == 10
    with pytest.raises(NotFoundError):
        check(engine, source, built.drop_columns(["late"]))


def test_the_report_is_json(engine: Engine, source: Source, spine: pa.Table) -> None:
    import json

    leaky = w.join_features(spine, [VIEW], {"s": source}, engine, at="q", known="now").table
    report = check(engine, source, leaky)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["n_cells"] == report.n_cells > 0
    assert "cells" in report.text()
