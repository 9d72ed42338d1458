"""Marks on a line chart: where they stand, what they say."""

from __future__ import annotations

from datetime import date
from xml.etree import ElementTree as ET

import pytest

from whence.drawing import Mark, Series, line_chart
from whence.errors import UsageError

DAYS = [date(2013, 7, n) for n in (1, 2, 3)]


def test_a_mark_stands_at_its_place_and_is_said() -> None:
    chart = line_chart(
        DAYS, [Series("psi", [0.1, 0.4, 0.2])], title="Drift", marks=[Mark(DAYS[1], "1", "psi <0.4> of wind")]
    )
    root = ET.fromstring(chart)
    groups = [g for g in root if g.tag.endswith("}g")]
    assert [t.text for t in groups[0] if t.tag.endswith("title")] == ["1, 2013-07-02: psi <0.4> of wind"]
    line = next(e for e in groups[0] if e.tag.endswith("line"))
    assert line.get("x1") == line.get("x2") == "384"
    description = next(e.text for e in root if e.tag.endswith("desc"))
    assert description is not None
    assert description.endswith("Mark 1 at 2013-07-02: psi <0.4> of wind.")


def test_without_marks_nothing_is_said_of_them() -> None:
    chart = line_chart(DAYS, [Series("psi", [0.1, 0.4, 0.2])], title="Drift")
    assert "Mark" not in chart


def test_a_mark_beside_the_chart_is_refused() -> None:
    with pytest.raises(UsageError, match="no place of the chart") as caught:
        line_chart(DAYS, [Series("psi", [0.1, 0.4, 0.2])], title="Drift", marks=[Mark(date(2014, 1, 1), "1")])
    assert caught.value.code == "bad-chart"
