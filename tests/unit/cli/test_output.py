from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.cli.output import jsonable, print_facts, print_json, print_rows
from whence.cli.progress import LINE_INTERVAL_S, LineReporter, make_reporter


@dataclass
class Point:
    x: float
    where: Path


def test_everything_a_room_hands_out_becomes_json() -> None:
    value = {
        "point": Point(float("inf"), Path("a")),
        "when": datetime(2013, 7, 1, tzinfo=UTC),
        "took": timedelta(seconds=90),
        "array": pa.array([1, None]),
        "scalar": np.int64(3),
        "bytes": b"\x00\xff",
        "set": {"b", "a"},
        3: (1, 2.5, True),
    }
    assert jsonable(value) == {
        "point": {"x": None, "where": "a"},
        "when": "2013-07-01T00:00:00+00:00",
        "took": 90.0,
        "array": [1, None],
        "scalar": 3,
        "bytes": "00ff",
        "set": ["a", "b"],
        "3": [1, 2.5, True],
    }


@given(st.recursive(st.one_of(st.none(), st.floats(), st.text(), st.integers(), st.binary()), st.lists))
def test_json_is_always_json(value: object) -> None:
    json.loads(json.dumps(jsonable(value), allow_nan=False))


def test_a_listing_is_a_table_or_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"table": "flights", "rows": 3, "watermark": None}]
    print_rows(rows, as_json=False)
    assert capsys.readouterr().out == "table    rows  watermark\n-------  ----  ---------\nflights     3\n"
    print_rows(rows, as_json=True)
    assert json.loads(capsys.readouterr().out) == rows
    print_rows([], as_json=True)
    assert json.loads(capsys.readouterr().out) == []
    print_rows([], as_json=False, empty="no tables yet")
    assert capsys.readouterr().out == "no tables yet\n"


def test_facts_are_lines_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"rows": 3, "columns": {"a": "int64"}}, as_json=False)
    assert capsys.readouterr().out == 'rows     3\ncolumns  {"a": "int64"}\n'
    print_json({"nothing": float("nan")})
    assert json.loads(capsys.readouterr().out) == {"nothing": None}


def test_progress_in_a_file_is_a_few_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [100.0]
    monkeypatch.setattr("whence.cli.progress.time.monotonic", lambda: now_s[0])
    reporter = LineReporter()
    bar = reporter.start("scoring", 3)
    reporter.advance(bar, 1, "day 1")
    now_s[0] += LINE_INTERVAL_S
    reporter.advance(bar, 1, "day 2")
    now_s[0] += 1.5
    reporter.end(bar)
    assert capsys.readouterr().err == "scoring …\nscoring: 2/3, day 2\nscoring: 2/3, 11.5 s\n"


def test_short_work_that_is_done_again_and_again_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whence.cli.progress.time.monotonic", lambda: 100.0)
    reporter = LineReporter()
    for title in ("checking", "reading", "checking", "reading"):
        reporter.end(reporter.start(title, 1))
    assert capsys.readouterr().err == "checking …\nreading …\n"


def test_without_a_terminal_there_are_no_bars() -> None:
    with make_reporter() as reporter:
        assert isinstance(reporter, LineReporter)
