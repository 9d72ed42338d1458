"""The text and the page of a trace, beside files a person can read; everything in them is escaped."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from whence.errors import NotFoundError
from whence.testing.trace import Journey
from whence.trace import Trace, Tracer

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2013, 7, 1, 12, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\x1b[31m & \"quoted\""


@dataclass
class FakeView:
    name: str
    outputs: tuple[str, ...]
    definition: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return self.definition


@dataclass
class FakeExplanation:
    source: str
    value: object
    rows: pa.Table
    predicate: str = "carrier = 'B6'"


class FakeFeatures:
    """One view of rows with a value that agrees, one that does not and one out of reach; one calendar."""

    def get(self, name: str) -> FakeView:
        if name == "sha256:" + "c" * 64:
            definition = {"kind": "calendar", "column": "features_at", "tz": "America/New_York"}
            return FakeView("clock", ("clock__hour",), definition)
        if name != "sha256:" + "a" * 64:
            raise NotFoundError("feature view", name)
        outputs = ("delays__mean", "delays__count", "delays__std")
        return FakeView(
            "delays", outputs, {"kind": "feature_view", "source": "arrivals", "keys": {"carrier": "flight"}}
        )

    def explain(
        self,
        view: str,
        feature: str,
        keys: Mapping[str, Any],
        at: datetime,
        sources: Mapping[str, int] | None = None,
    ) -> FakeExplanation:
        if feature == "std":
            raise NotFoundError("table version", "arrivals@3", hint="it was vacuumed")
        rows = pa.table({"note": [EVIL, "b", None, "d"], "delay": [1.0, 2.0, 3.0, float("nan")]})
        refs = pa.array([f"row:arrivals@3/{i}" for i in range(4)], pa.string())
        return FakeExplanation("table:arrivals@3", 3, rows.append_column("_row", refs))

    def recompute(self, explanation: Any) -> object:
        return 2.0


@dataclass
class FakePrediction:
    execution: str
    ref: str = f"prediction:late_scores/{EVIL}"
    table_ref: str = "table:late_scores@0"
    key: Mapping[str, object] = field(default_factory=lambda: {"flight": EVIL})
    features: Mapping[str, object] = field(
        default_factory=lambda: {
            "delays__mean": 2.0,
            "delays__count": 3,
            "delays__std": float("nan"),
            "clock__hour": 8,
            "gone__x": 1,
            "distance": 900,
        }
    )
    score: float = 0.25
    features_at: datetime = AT
    model: str = "late@1"
    definitions: Mapping[str, str] = field(
        default_factory=lambda: {
            "delays": "sha256:" + "a" * 64,
            "clock": "sha256:" + "c" * 64,
            "gone": "sha256:" + "d" * 64,
        }
    )
    sources: Mapping[str, int] = field(default_factory=lambda: {"arrivals": 3})
    view_sources: Mapping[str, int] = field(default_factory=dict)
    definitions_error: str | None = None
    row: Mapping[str, object] = field(default_factory=dict)
    scored_at: datetime = AT


@pytest.fixture
def trace(journey: Journey) -> Trace:
    class Serving:
        def find(self, ref: str) -> FakePrediction:
            return FakePrediction(journey.score.uid)

    tracer = Tracer(journey.story.store, features=FakeFeatures(), scoring=Serving())
    return tracer.trace("prediction:late_scores/x", max_rows=3)


def golden(name: str, text: str) -> str:
    """The text of a golden file; WHENCE_TEST_GOLDEN=write makes it anew."""
    path = GOLDEN / name
    if os.environ.get("WHENCE_TEST_GOLDEN") == "write":
        path.write_text(text)
    return path.read_text()


def test_the_text(trace: Trace) -> None:
    assert trace.text(max_rows=2) == golden("prediction.txt", trace.text(max_rows=2))


def test_the_page(trace: Trace) -> None:
    assert trace.html() == golden("prediction.html", trace.html())


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        assert not any(name in ("src", "onclick", "onload") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("form", ["html", "_repr_html_"])
def test_the_page_is_whole_asks_nobody_and_runs_nothing(trace: Trace, form: str) -> None:
    parser = Tags()
    parser.feed(getattr(trace, form)())
    assert parser.open == []
    assert not {"script", "img", "link", "iframe", "form"} & set(parser.tags)
    assert "&lt;script&gt;" in getattr(trace, form)()


def test_the_text_moves_no_cursor(trace: Trace) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", trace.text())


def test_the_values_say_null_for_what_is_no_number(trace: Trace) -> None:
    assert trace.values() == {
        "delays__mean": {"value": 2.0, "recomputed": 2.0, "rows": 4},
        "delays__count": {"value": 3, "recomputed": 2.0, "rows": 4},
        "delays__std": {"value": None, "recomputed": None, "rows": 0},
        "clock__hour": {"value": 8, "recomputed": 8, "rows": 0},
        "gone__x": {"value": 1, "recomputed": None, "rows": 0},
        "distance": {"value": 900, "recomputed": None, "rows": 0},
    }
    agreements = {f.name: f.agreement for f in trace.features()}
    assert agreements == {
        "delays__mean": "exact",
        "delays__count": "different",
        "delays__std": "unknown",
        "clock__hour": "exact",
        "gone__x": "unknown",
        "distance": "unknown",
    }
    assert [f.name for f in trace.mismatches()] == ["delays__count"]
