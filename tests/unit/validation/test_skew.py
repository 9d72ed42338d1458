"""Training and serving rows joined on keys: what agrees, what differs, what is missing on a side."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.validation.fakes import FakeVersion
from whence.compute import Engine, open_engine
from whence.errors import NotFoundError, UsageError
from whence.metadata import Recorder
from whence.validation import Validation
from whence.validation.find import Rows, rows_of
from whence.validation.skew import SkewReport, detect_skew

TRAINING = pa.table({
    "k": [1, 2, 3, 4, 5, 5, None],
    "x": [1.0, 2.0, None, math.nan, 0.0, 0.0, 0.0],
    "t": ["a", "b", "c", None, "e", "e", "f"],
    "v": [[1.0], [2.0, 3.0], None, [], [], [], []],
})  # fmt: skip
SERVING = pa.table({
    "t": ["a", "x", None, None, "z"],
    "k": [1, 2, 3, 4, 9],
    "x": [1.0005, 2.0, 3.0, math.nan, 1.0],
    "v": [[1.0], [2.0], None, [], []],
})  # fmt: skip


def rows(name: str, table: pa.Table) -> Rows:
    return Rows(name, table, table.column_names)


def counts(report: SkewReport, feature: str) -> tuple[int, int, int, int]:
    f = report[feature]
    return f.match, f.mismatch, f.training_only, f.serving_only


def test_what_is_counted(engine: Engine) -> None:
    report = detect_skew(rows("train@3", TRAINING), rows("serve@1", SERVING), ["k"], engine)
    assert (report.n_pairs, report.n_training_only, report.n_serving_only, report.n_left_out) == (4, 0, 1, 3)
    assert counts(report, "x") == (2, 1, 0, 1)
    assert counts(report, "t") == (1, 1, 1, 0)
    assert counts(report, "v") == (2, 1, 0, 0)
    assert report["t"].share == pytest.approx(2 / 3)
    assert not report.ok
    first = report["t"].examples[0]
    assert (first.training, first.serving) == ("row:train@3/2", "row:serve@1/2")
    assert (first.training_value, first.serving_value) == ("b", "x")
    assert "train@3" in report.text()
    assert SkewReport.from_bytes(json.dumps(report.to_dict()).encode()) == report


def test_numbers_within_the_tolerance_are_the_same(engine: Engine) -> None:
    a, b = rows("a", TRAINING), rows("b", SERVING)
    assert counts(detect_skew(a, b, ["k"], engine, tolerance=0.001, columns=["x"]), "x") == (3, 0, 0, 1)
    assert counts(detect_skew(a, b, ["k"], engine, tolerance={"t": 1.0}), "x") == (2, 1, 0, 1)


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf, True, "x"])
def test_a_tolerance_is_a_number(engine: Engine, wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"the tolerance of x is .* \(bad-tolerance\)"):
        detect_skew(rows("a", TRAINING), rows("b", SERVING), ["k"], engine, columns=["x"], tolerance=wrong)


def test_columns_of_other_types(engine: Engine) -> None:
    a = pa.table({"k": ["a", "b"], "n": [1, 2], "t": ["1", "2"], "l": [[1], [2]]})
    b = pa.table({"k": ["a", "b"], "n": [1.0, 2.5], "t": [1, 2], "l": [1, 2]})
    report = detect_skew(rows("a", a), rows("b", b), ["k"], engine)
    assert [counts(report, c) for c in "ntl"] == [(1, 1, 0, 0), (0, 2, 0, 0), (0, 2, 0, 0)]


def test_refusals(engine: Engine) -> None:
    a, b = rows("a", TRAINING), rows("b", SERVING.drop(["t"]))
    with pytest.raises(UsageError, match=r"\(no-keys\)"):
        detect_skew(a, b, [], engine)
    with pytest.raises(NotFoundError, match="column 't' not found"):
        detect_skew(a, b, ["k"], engine, columns=["t"])
    with pytest.raises(NotFoundError, match="column 'q' not found"):
        detect_skew(a, b, ["q"], engine)
    assert [f.feature for f in detect_skew(a, b, ["k"], engine).features] == ["x", "v"]


SIDE = st.lists(
    st.tuples(
        st.none() | st.integers(0, 4),
        st.integers(0, 1),
        st.none() | st.sampled_from([0.0, -0.0, 1.0, 1.5, math.nan, math.inf]),
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(SIDE, SIDE, st.sampled_from([0.0, 0.5]))
def test_equals_a_naive_loop(engine: Engine, left: Any, right: Any, tolerance: float) -> None:
    def table(side: Any) -> pa.Table:
        kinds = [pa.int64(), pa.int64(), pa.float64()]
        return pa.table({n: pa.array([r[i] for r in side], kinds[i]) for i, n in enumerate("kjx")})

    def unique(side: Any) -> dict[Any, Any]:
        keys = [r[:2] for r in side]
        return {r[:2]: r[2] for r in side if r[0] is not None and keys.count(r[:2]) == 1}

    a, b = unique(left), unique(right)
    expected = [0, 0, 0, 0]
    for key in a.keys() & b.keys():
        x, y = a[key], b[key]
        if x is None or y is None:
            if x is not y:
                expected[2 if y is None else 3] += 1
        else:
            same = x == y or (math.isnan(x) and math.isnan(y)) or abs(x - y) <= tolerance
            expected[0 if same else 1] += 1
    report = detect_skew(
        rows("a", table(left)), rows("b", table(right)), ["k", "j"], engine, tolerance=tolerance
    )
    assert list(counts(report, "x")) == expected
    assert report.n_pairs == len(a.keys() & b.keys())
    assert (report.n_training_only, report.n_serving_only) == (
        len(a) - report.n_pairs,
        len(b) - report.n_pairs,
    )
    assert len(report["x"].examples) == min(5, sum(expected[1:]))


def test_it_is_recorded_of_versions(room: tuple[Validation, Recorder]) -> None:
    validation, recorder = room
    a, b = FakeVersion(TRAINING, "train@3"), FakeVersion(SERVING, "serve@1")
    report = validation.skew(a, b, ["k"])
    assert report.ref is not None
    (execution,) = recorder.store.find_nodes("execution", type_="skew").nodes
    assert execution.get("keys") == ["k"] or execution.properties
    (kept,) = recorder.store.find_nodes("artifact", type_="FeatureSkew").nodes
    assert (kept.name, kept.get("n_pairs"), kept.get("ok")) == ("train@3~serve@1", 4, False)


def test_of_rows_nothing_is_recorded(room: tuple[Validation, Recorder]) -> None:
    validation, recorder = room
    assert validation.skew(TRAINING, SERVING.to_pylist(), ["k"]).ref is None
    assert not recorder.store.find_nodes("execution", type_="skew").nodes


class TestFiles:
    """Files are read as `describe` reads them, and nobody holds their rows."""

    def test_csv_and_parquet(self, room: tuple[Validation, Recorder], tmp_path: Path) -> None:
        at = pa.array([h * 3600 for h in range(376_944, 376_947)], pa.timestamp("s"))
        pq.write_table(pa.table({"k": [1, 2, 3], "x": [1, 2, 3], "at": at}), tmp_path / "t.parquet")
        lines = [
            "k,x,at",
            "1,1,2013-01-01 00:00:00",
            "2,2.5,2013-01-01 01:00:00",
            "3,3,2013-01-01 02:00:00.5",
        ]
        (tmp_path / "s.csv").write_text("\n".join(lines))
        for training in (tmp_path / "t.parquet", str(tmp_path / "t.parquet")):
            report = room[0].skew(training, str(tmp_path / "s.csv"), ["k"])
            assert (report.training, report.serving, report.ref) == ("t.parquet", "s.csv", None)
            assert (counts(report, "x"), counts(report, "at")) == ((2, 1, 0, 0), (2, 1, 0, 0))
            assert report["at"].examples[0].serving_value.startswith("2013-01-01 02:00:00.5")
        assert room[0].skew(str(tmp_path / "s.csv"), str(tmp_path / "s.csv"), ["at"]).ok

    def test_a_later_value_widens_and_an_error_names_the_line(
        self, room: tuple[Validation, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("whence.validation.csv.BLOCK_BYTES", 64)
        path = tmp_path / "s.csv"
        path.write_text("\n".join(["k,x", *(f"{i},{i}" for i in range(500)), "500,0.5"]))
        report = room[0].skew(path, path, ["k"])
        assert (report.n_pairs, report["x"].match) == (501, 501)
        path.write_text("k,x\n1,2\n3\n")
        with pytest.raises(UsageError, match=r"s\.csv, line 3 has 1 field, the header has 2"):
            room[0].skew(path, path, ["k"])

    def test_rows_are_not_held(self, tmp_path: Path) -> None:
        n = 300_000
        table = pa.table({"k": range(n), **{f"c{i}": [i] * n for i in range(8)}})
        pq.write_table(table, tmp_path / "t.parquet")
        pq.write_table(table.set_column(1, "c0", pa.array([*[0] * (n - 1), 1])), tmp_path / "s.parquet")
        del table
        engine = open_engine(threads=1, memory_limit="64MiB")
        before = pa.total_allocated_bytes()
        with ExitStack() as stack:
            stack.callback(engine.close)
            report = detect_skew(
                rows_of(tmp_path / "t.parquet"), rows_of(tmp_path / "s.parquet"), ["k"], engine
            )
        assert counts(report, "c0") == (n - 1, 1, 0, 0)
        assert pa.total_allocated_bytes() - before < 8 << 20


def test_columns_that_one_side_has_are_named(engine: Engine) -> None:
    a, b = pa.table({"k": [1], "x": [1], "label": [0]}), pa.table({"k": [1], "x": [1], "more": [2]})
    report = detect_skew(rows("a", a), rows("b", b), ["k"], engine)
    assert (report.training_columns, report.serving_columns, report.ok) == (("label",), ("more",), True)
    assert "only training has label\nonly serving has more\nno feature differs" in report.text()
    assert SkewReport.from_bytes(json.dumps(report.to_dict()).encode()) == report
    nothing = detect_skew(rows("a", a.select(["k", "label"])), rows("b", b.select(["k"])), ["k"], engine)
    assert not nothing.ok
    assert nothing.text().endswith("only training has label\nnothing was compared")


def test_a_tolerance_is_for_a_column_that_is_compared(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match=r"column 'xx' not found .*Near: 'x'"):
        detect_skew(rows("a", TRAINING), rows("b", SERVING), ["k"], engine, tolerance={"xx": 1.0})


def test_an_example_tells_apart_what_looks_alike(engine: Engine) -> None:
    a, b = pa.table({"k": [1], "x": ["1"], "y": [0.3]}), pa.table({"k": [1], "x": [1], "y": [0.1 + 0.2]})
    text = detect_skew(rows("a", a), rows("b", b), ["k"], engine).text()
    assert "1: '1', 1" in text
    assert "1: 0.3, 0.30000000000000004" in text
