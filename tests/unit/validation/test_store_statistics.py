from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import whence as w
from tests.unit.validation.fakes import FakeVersion
from whence._base.progress import reporting
from whence.errors import NotFoundError, UsageError
from whence.metadata import Artifact, Execution, Recorder
from whence.validation import (
    Check,
    Feature,
    IntDomain,
    Rule,
    Schema,
    Slice,
    Statistics,
    StatisticsOptions,
    Validation,
    describe,
)

ROWS = pa.table({"k": ["a", "b", "a", None], "x": [1, 2, 3, 4], "w": [1.0, 2.0, 0.5, 1.0]})
GOLDEN = Path(__file__).parents[2] / "golden" / "validation"


class Bars:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.titles: list[tuple[str, int | None]] = []
        self.n = 0

    def start(self, title: str, total: int | None) -> int:
        self.titles.append((title, total))
        return 0

    def advance(self, bar: int, n: int, note: str | None) -> None:
        self.n += n

    def end(self, bar: int) -> None:
        """Nothing to remember."""


def kept(recorder: Recorder) -> list[str]:
    nodes = recorder.store.find_nodes("artifact", type_="Statistics").nodes
    return sorted(str(n.name) for n in nodes if isinstance(n, Artifact))


class TestVersions:
    def test_kept_per_version_and_options(self, room: tuple[Validation, Recorder]) -> None:
        validation, recorder = room
        version = FakeVersion(ROWS)
        plain = validation.statistics(version)
        options = StatisticsOptions(weight="w", num_histogram_buckets=3)
        for _ in range(2):
            weighted = validation.statistics(version, options=options)
        assert version.reads == 2
        assert kept(recorder) == ["flights@12", f"flights@12{options.suffix()}"]
        assert plain["x"].weighted is None
        assert weighted["x"].weighted is not None
        assert weighted["x"].weighted.mean == pytest.approx(10.5 / 4.5)
        executions = recorder.store.find_nodes("execution", type_="statistics").nodes
        params = [n.get("params") for n in executions if isinstance(n, Execution)]
        assert any("num_histogram_buckets" in json.dumps(p) for p in params)

    def test_some_columns_come_from_all(self, room: tuple[Validation, Recorder]) -> None:
        validation, _ = room
        version = FakeVersion(ROWS)
        options = StatisticsOptions(num_top_values=1)
        validation.statistics(version, options=options)
        part = validation.statistics(version, columns=["x"], options=options)
        assert (list(part.features), version.reads) == (["x"], 1)
        with pytest.raises(NotFoundError, match="column 'y' not found"):
            validation.statistics(version, columns=["y"], options=options)

    def test_slices_of_every_kind(self, validation: Validation) -> None:
        slices: list[str | list[str] | Slice] = [
            "k",
            ["k", "x"],
            Slice("small", "x < 3"),
            Slice("head", query="SELECT * FROM rows ORDER BY x LIMIT 1"),
        ]
        made = validation.statistics(FakeVersion(ROWS), slices=slices)
        found = {n: s.n_rows for n, s in made.slices.items()}
        assert (found["k=a"], found["k=a,x=1"], found["small"], found["head"]) == (2, 1, 2, 1)

    def test_progress(self, validation: Validation) -> None:
        bars = Bars()
        n: list[int] = []
        with reporting(bars):
            validation.statistics(FakeVersion(ROWS), progress=n.append)
        assert (bars.titles, bars.n, sum(n)) == ([("statistics of flights@12", None)], 4, 4)


class TestSources:
    def test_rows_files_and_frames(self, room: tuple[Validation, Recorder], tmp_path: Path) -> None:
        validation, recorder = room
        (tmp_path / "r.csv").write_text("k,x,w\na,1,1.0\nb,2,2.0\na,3,0.5\nNA,4,1.0\n")
        pq.write_table(ROWS, tmp_path / "r.parquet")
        pd = pytest.importorskip("pandas")
        pl = pytest.importorskip("polars")
        sources: list[Any] = [
            ROWS,
            ROWS.to_reader(),
            str(tmp_path / "r.csv"),
            tmp_path / "r.parquet",
            [tmp_path / "r.parquet"],
            ROWS.to_pandas(),
            pl.from_arrow(ROWS),
            pd.DataFrame(ROWS.to_pydict()),
            ROWS.to_pylist(),
        ]
        for source in sources:
            s = validation.statistics(source, slices=["k"], columns=["k", "x"])
            assert (s["x"].mean, s["k"].num_missing, s.slices["k=a"].n_rows) == (2.5, 1, 2)
            assert list(s.features) == ["k", "x"]
        assert kept(recorder) == []

    def test_bad_files(self, validation: Validation, tmp_path: Path) -> None:
        (tmp_path / "r.csv").write_text("a,b\n1\n")
        with pytest.raises(UsageError, match=r"r\.csv, line 2 has 1 field"):
            validation.statistics(tmp_path / "r.csv")
        with pytest.raises(NotFoundError):
            validation.statistics(str(tmp_path / "gone.csv"))


def test_queries_views_and_versions(tmp_path: Path) -> None:
    ws = w.connect(tmp_path / "w.whence")
    ws.table("rows").append(ROWS)
    ws.lake.create_view("big", "SELECT x FROM rows WHERE x > 1")
    assert ws.validation.statistics("SELECT x * 2 AS y FROM rows WHERE k = 'a'")["y"].max == 6
    assert ws.validation.statistics(ws.lake.view("big").pin())["x"].n_values == 3
    bars = Bars()
    with reporting(bars):
        assert ws.validation.statistics("rows@0")["x"].mean == 2.5
    assert bars.titles == [("statistics of rows@0", 4)]
    assert ws.validation.find_statistics("rows@0") is not None


def test_slices_by_query_of_views_and_queries(tmp_path: Path) -> None:
    ws = w.connect(tmp_path / "w.whence")
    ws.table("rows").append(ROWS)
    ws.lake.create_view("big", "SELECT x FROM rows WHERE x > 1")
    slices = [Slice("head", query="SELECT * FROM rows ORDER BY x LIMIT 1")]
    for source in ("SELECT x FROM rows WHERE x > 1", ws.lake.view("big").pin()):
        made = ws.validation.statistics(source, slices=slices)
        assert (made["x"].n_values, made.slices["head"]["x"].max) == (3, 2)


def test_a_view_is_named_as_text(tmp_path: Path) -> None:
    ws = w.connect(tmp_path / "w.whence")
    ws.table("rows").append(ROWS)
    ws.lake.create_view("big", "SELECT x FROM rows WHERE x > 1")
    for name in ("big", "big@1", "view:big", "view:big@1"):
        assert (ws.validation.statistics(name).name, ws.validation.statistics(name).n_rows) == (
            "view:big@1",
            3,
        )
    for name in ("table:big", "small"):
        with pytest.raises(NotFoundError, match=r"\(table-not-found\)"):
            ws.validation.statistics(name)


def test_rows_of_views_are_not_held(tmp_path: Path) -> None:
    ws = w.connect(tmp_path / "w.whence")
    columns = ", ".join(f"(range * {i + 3}) % 1000 AS c{i}" for i in range(24))
    ws.lake.create_view("wide", f"SELECT {columns} FROM range(300_000)")  # 58 MB of rows
    view = ws.lake.view("wide").pin()
    low = Schema().add(Feature("c0", "INT", domain=IntDomain(0, 996)))
    schema = replace(low, rules=(Rule("few", "c1 < 990"),), checks=(Check("mean", "avg(c2) < 5"),))
    slices = [Slice("low", query="SELECT c0 FROM rows WHERE c0 < 500")]
    before = pa.total_allocated_bytes()
    held: list[int] = []
    made = ws.validation.statistics(
        view, slices=slices, progress=lambda _: held.append(pa.total_allocated_bytes() - before)
    )
    assert made.slices["low"].n_rows == 150_000
    report = ws.validation.validate(view, schema)
    told = {a.type: (a.n_rows, a.rows[:2]) for a in report.anomalies if a.feature == "c0" or not a.feature}
    assert told["INT_TYPE_BIG_INT"] == (900, ("row:view:wide@1/#333", "row:view:wide@1/#666"))
    rules = [(a.n_rows, a.rows[:1]) for a in report.anomalies if a.type == "CUSTOM_VALIDATION"]
    assert rules == [(2_400, ("row:view:wide@1/#248",)), (None, ())]
    assert max(held) < 40 << 20
    assert not list(Path(tempfile.gettempdir()).glob(f"whence-rows-{os.getpid()}-*"))


def test_views_and_queries_stream(tmp_path: Path) -> None:
    ws = w.connect(tmp_path / "w.whence")
    columns = ", ".join(f"range + {i} AS c{i}" for i in range(24))
    query = f"SELECT {columns} FROM range(1_000_000)"  # 192 MB of rows
    ws.lake.create_view("wide", query)
    view, memory = ws.lake.view("wide").pin(), Path("/proc/self/statm")
    for source in ("SELECT * FROM (" + query + ")", view):
        before = after = int(memory.read_text().split()[1]) * 4096

        def look(_: int) -> None:
            nonlocal after
            after = max(after, int(memory.read_text().split()[1]) * 4096)

        assert ws.validation.statistics(source, columns=["c0"], progress=look)["c0"].max == 999_999
        assert after - before < 100 << 20


class TestFormats:
    def test_the_format_before_is_read(self) -> None:
        old = json.loads((GOLDEN / "statistics-1.json").read_text())
        s = Statistics.from_dict(old)
        want = json.loads((GOLDEN / "statistics-1.summary.json").read_text())
        have = json.loads(json.dumps(s.summary(top=3)))
        for f, g in zip(have["features"], want["features"], strict=True):
            assert {k: f[k] for k in g} == g
        again = Statistics.from_bytes(s.to_bytes())
        assert again.to_dict()["format"] == "whence-statistics-2"
        assert again.merge(s)["l"].tot_num_values == 6

    def test_what_has_no_states_is_not_merged(self) -> None:
        from whence.validation.given import GivenStatistics

        computed = Statistics.from_dict(json.loads((GOLDEN / "statistics-1.json").read_text()))
        given = Statistics("file", 2, {"x": GivenStatistics("x", "INT", num_non_missing=2, n_values=2)})
        for a, b in ((given, computed), (computed, given)):
            with pytest.raises(UsageError, match="not-mergeable"):
                a.merge(b)
        back = Statistics.from_bytes(given.to_bytes())
        assert back["x"].num_non_missing == 2


def test_equal_rows_have_equal_statistics() -> None:
    one, other = describe(ROWS), describe(ROWS.slice(0, 2))
    assert one == describe(ROWS)
    assert one["x"] == describe(ROWS)["x"]
    assert hash(one) == hash(describe(ROWS))
    assert one != other
    assert one["x"] != other["x"]


def test_slices_by_times_that_no_calendar_has() -> None:
    rows = pa.table(
        {"d": pa.array([2**31 - 1, 0], pa.date32()), "n": pa.array([1, 1_000], pa.timestamp("ns"))}
    )
    assert "d=1970-01-01" in describe(rows, slices=["d"]).slices
    assert len(describe(rows, slices=["d", "n"]).slices) == 4
