from __future__ import annotations

import itertools
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.dom import minidom

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.drawing import (
    Bin,
    Branch,
    Html,
    Series,
    Threshold,
    bar_chart,
    calibration_plot,
    histogram,
    line_chart,
    tree_chart,
)
from whence.drawing.scales import make_axis, nice_ticks, number_label
from whence.errors import UsageError

GOLDEN = Path(__file__).parent / "golden"
MONTHS = ["2013-04", "2013-05", "2013-06", "2013-07"]

PICTURES = {
    "line": lambda: line_chart(
        MONTHS,
        [Series("baseline", [0.61, 0.6, 0.63, 0.62]), Series("champion", [0.7, None, 0.74, 0.71])],
        title="AUC per month",
        x_label="month",
        y_label="AUC",
        thresholds=[Threshold(0.5, "chance")],
    ),
    "bars": lambda: bar_chart(MONTHS, [Series("gain", [0.05, -0.01, 0.09, None])], title="Gain"),
    "histogram": lambda: histogram([0, 0.5, 1, 2], [10, 0, 3], title="Scores", x_label="score"),
    "calibration": lambda: calibration_plot([Bin(0.05, 0.04, 900), Bin(0.4, 0.5, 100)], title="Calibration"),
    "tree": lambda: tree_chart(
        Branch(
            "prediction:p/B6",
            (Branch("model:late@1", (Branch("run:1"),)), Branch("table:flights@9", note="3 rows")),
        ),
        title="Trace",
    ),
}


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_pictures_are_as_they_were(name: str) -> None:
    drawn = PICTURES[name]()
    assert drawn == PICTURES[name](), "equal data draw equal bytes"
    file = GOLDEN / f"{name}.svg"
    assert drawn + "\n" == file.read_text(encoding="utf-8"), f"look at it, then write it to {file.name}"


def tags(picture: Html, name: str) -> list[minidom.Element]:
    return list(minidom.parseString(picture).getElementsByTagName(name))


def words(node: minidom.Element) -> str:
    return "".join(n.data for n in node.childNodes if isinstance(n, minidom.Text))


def test_a_missing_value_is_a_gap_and_not_a_zero() -> None:
    picture = line_chart([1, 2, 3, 4], [Series("a", [1.0, None, float("nan"), 4.0])], title="t")
    assert len(tags(picture, "polyline")) == 2
    assert len(tags(picture, "circle")) == 2


def test_no_data_says_so() -> None:
    for picture in (
        line_chart([], [], title="t"),
        line_chart(["a"], [Series("s", [None])], title="t"),
        bar_chart([], [], title="t"),
        histogram([0], [], title="t"),
        calibration_plot([Bin(0, 0, 0)], title="t"),
    ):
        assert "no data" in picture


def test_a_picture_has_words_for_who_cannot_see_it() -> None:
    picture = PICTURES["line"]()
    root = minidom.parseString(picture).documentElement
    assert root is not None
    assert root.getAttribute("role") == "img"
    ids = root.getAttribute("aria-labelledby").split()
    said = {n.getAttribute("id"): words(n) for n in [*tags(picture, "title"), *tags(picture, "desc")]}
    assert [said[i] for i in ids] == [
        "AUC per month",
        "baseline from 0.6 to 0.63; champion from 0.7 to 0.74; over 2013-04 to 2013-07.",
    ]


def test_lines_differ_by_more_than_colour() -> None:
    names = [Series(f"s{i}", [float(i), float(i + 1)]) for i in range(4)]
    lines = tags(line_chart([0, 1], names, title="t"), "polyline")
    assert len({(n.getAttribute("stroke"), n.getAttribute("stroke-dasharray")) for n in lines}) == 4
    assert len({n.getAttribute("stroke-dasharray") for n in lines}) == 4


def test_bars_stand_on_zero_and_hang_from_it() -> None:
    up, down = tags(bar_chart(["a", "b"], [Series("s", [2.0, -2.0])], title="t"), "rect")
    base = float(up.getAttribute("y")) + float(up.getAttribute("height"))
    assert base == pytest.approx(float(down.getAttribute("y")), abs=0.02)
    assert up.getAttribute("height") == down.getAttribute("height")


def test_the_diagonal_of_a_calibration_plot_ends_in_the_corner() -> None:
    picture = calibration_plot([Bin(0.2, 0.2, 5)], title="t")
    (circle,) = tags(picture, "circle")
    (diagonal,) = [n for n in tags(picture, "line") if n.getAttribute("class") == "threshold"]
    x1, y1, x2, y2 = (float(diagonal.getAttribute(a)) for a in ("x1", "y1", "x2", "y2"))
    share = (float(circle.getAttribute("cx")) - x1) / (x2 - x1)
    assert float(circle.getAttribute("cy")) == pytest.approx(y1 + share * (y2 - y1), abs=0.02)
    assert "mean distance from the diagonal 0.0000" in picture


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="series 'a' has 1 values for 2 places") as raised:
        line_chart([1, 2], [Series("a", [1.0])], title="t")
    assert raised.value.code == "bad-chart"
    with pytest.raises(UsageError, match="2 counts need 3 ascending edges"):
        histogram([0, 2, 1], [1, 1], title="t")
    with pytest.raises(UsageError, match="scores and rates lie in"):
        Bin(1.2, 0.0, 1)
    with pytest.raises(UsageError, match="has no zone"):
        line_chart([datetime(2013, 1, 1)], [Series("a", [1.0])], title="t")  # noqa: DTZ001
    with pytest.raises(UsageError, match="stands among times"):
        line_chart([date(2013, 1, 1), 3.0], [Series("a", [1.0, 2.0])], title="t")


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (timedelta(hours=2), ["01-01 00:00", "01-01 01:00", "01-01 02:00"]),
        (timedelta(days=4), ["2013-01-01", "2013-01-02", "2013-01-03", "2013-01-04", "2013-01-05"]),
    ],
)
def test_times_have_round_ticks(span: timedelta, labels: list[str]) -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    axis = make_axis([start, start + span])
    assert axis.places == [0.0, 1.0]
    assert set(labels) <= {words for _, words in axis.ticks}


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.integers(2, 9))
def test_ticks_enclose_the_data_and_are_evenly_spaced(a: float, b: float, n: int) -> None:
    ticks = nice_ticks(a, b, n)
    span = max(abs(a), abs(b), 1e-300)
    assert ticks[0] <= min(a, b) + 1e-6 * span
    assert ticks[-1] >= max(a, b) - 1e-6 * span
    assert 2 <= len(ticks) <= 3 * n + 2
    steps = [y - x for x, y in itertools.pairwise(ticks)]
    assert all(s > 0 for s in steps)
    assert max(steps) - min(steps) <= 1e-6 * max(abs(ticks[0]), abs(ticks[-1]), *steps)


values = st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=8)


@given(values, st.text(), st.text())
def test_any_values_and_words_make_well_formed_pictures(
    ys: list[float | None], title: str, name: str
) -> None:
    usable = [y if y is None or not math.isfinite(y) else max(-1e12, min(1e12, y)) for y in ys]
    for picture in (
        line_chart(list(range(len(ys))), [Series(name, usable)], title=title),
        bar_chart([name] * len(ys), [Series(name, usable)], title=title),
        tree_chart(Branch(name, (Branch(title),), note=title), title=title),
    ):
        minidom.parseString(picture)
        assert (
            "nan" not in picture.split("</desc>")[1].replace(name, "").replace(title, "").lower()
            or "nan" in name + title
        )


def test_numbers_are_short() -> None:
    assert [number_label(v) for v in (0.1 + 0.2, 1e20, -3.0, 1234567.5)] == [
        "0.3",
        "1e+20",
        "-3",
        "1.23457e+06",
    ]
