"""Lines, bars, histograms and calibration as SVG."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from whence.drawing import canvas
from whence.drawing.canvas import COLOURS, LEFT, PLOT_HEIGHT, PLOT_WIDTH, TOP, WIDTH, num, text, x_at, y_at
from whence.drawing.scales import Axis, make_axis, nice_ticks, number_label
from whence.drawing.types import Bin, Html, Mark, Series, Threshold, X
from whence.errors import UsageError


def line_chart(
    x: Sequence[X],
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    thresholds: Sequence[Threshold] = (),
    marks: Sequence[Mark] = (),
    from_zero: bool = False,
) -> Html:
    """Lines over numbers, categories or times.

    Args:
        x: n places: numbers, text (categories, in the given order) or dates and aware times.
        series: Lines of n values; None, NaN and infinities are gaps.
        title: What the chart shows.
        x_label: What x is.
        y_label: What y is, with its unit.
        thresholds: Levels to draw across.
        marks: Places to point at.
        from_zero: Whether the vertical axis must contain 0.

    Raises:
        UsageError: A series has another length than `x`, or a mark stands at no place of it.
    """
    values = _values(x, series) + [t.value for t in thresholds] + ([0.0] if from_zero else [])
    if not _values(x, series):
        return canvas.nothing(title)
    ticks, axis = nice_ticks(min(values), max(values)), make_axis(x)
    parts = _frame(title, ticks, axis, x_label, y_label, thresholds, [s.name for s in series])
    for i, s in enumerate(series):
        parts += _line(i, s, x, axis, ticks)
    places = dict(zip(x, axis.places, strict=True))
    for mark in marks:
        if mark.x not in places:
            raise UsageError(
                f"mark {mark.label!r} stands at {mark.x}, no place of the chart", code="bad-chart"
            )
        parts.append(_mark(mark, x_at(places[mark.x])))
    said = " ".join(f"Mark {m.label} at {m.x}: {m.note}." for m in marks)
    return canvas.picture(parts, title=title, description=f"{_describe(series, x)} {said}".rstrip())


def _mark(mark: Mark, x: float) -> str:
    """A line from top to bottom with a pennant: told apart by shape, not by colour."""
    pennant = f"M{num(x)} {num(TOP)}l-6 -9h12z"
    words = canvas.tooltip(f"{mark.label}, {mark.x}: {mark.note}" if mark.note else f"{mark.label}, {mark.x}")
    post = f'<line x1="{num(x)}" y1="{num(TOP)}" x2="{num(x)}" y2="{num(TOP + PLOT_HEIGHT)}" stroke="{COLOURS[1]}"/>'
    return (
        f"<g>{words}{post}"
        f'<path d="{pennant}" fill="{COLOURS[1]}"/>{text(x + 9, TOP - 2, mark.label, anchor="start")}</g>'
    )


def _line(i: int, series: Series, x: Sequence[X], axis: Axis, ticks: Sequence[float]) -> list[str]:
    parts: list[str] = []
    run: list[str] = []
    for place, y in [*zip(axis.places, series.y, strict=True), (0.0, None)]:
        if y is not None and math.isfinite(y):
            run.append(f"{num(x_at(place))},{num(y_at(y, ticks))}")
        elif run:
            parts.append(f'<polyline fill="none" {canvas.stroke(i)} points="{" ".join(run)}"/>')
            run = []
    if len(x) > 200:  # so many points are a texture; their exact values belong in a table
        return parts
    for at, place, y in zip(x, axis.places, series.y, strict=True):
        if y is not None and math.isfinite(y):
            words = f"{series.name}, {at}: {number_label(y)}"
            parts.append(_dot(x_at(place), y_at(y, ticks), 3, i, words))
    return parts


def _dot(x: float, y: float, radius: float, i: int, words: str) -> str:
    colour = COLOURS[i % len(COLOURS)]
    circle = f'<circle cx="{num(x)}" cy="{num(y)}" r="{num(radius)}" fill="{colour}">'
    return f"{circle}{canvas.tooltip(words)}</circle>"


def bar_chart(
    names: Sequence[str],
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    thresholds: Sequence[Threshold] = (),
) -> Html:
    """Bars from zero, one group a name; None is no bar.

    Raises:
        UsageError: A series has another length than `names`.
    """
    values = _values(names, series)
    if not values:
        return canvas.nothing(title)
    levels = [0.0, *values, *(t.value for t in thresholds)]
    ticks, axis = nice_ticks(min(levels), max(levels)), make_axis([str(n) for n in names])
    parts = _frame(title, ticks, axis, x_label, y_label, thresholds, [s.name for s in series])
    group = PLOT_WIDTH / len(names) * 0.8
    width = group / len(series)
    for i, s in enumerate(series):
        for name, place, y in zip(names, axis.places, s.y, strict=True):
            if y is not None and math.isfinite(y):
                left = x_at(place) - group / 2 + i * width
                parts.append(_bar(left, width * 0.94, y, ticks, i, f"{s.name}, {name}: {number_label(y)}"))
    return canvas.picture(parts, title=title, description=_describe(series, names))


def histogram(
    edges: Sequence[float], counts: Sequence[float], *, title: str, x_label: str = "", y_label: str = "rows"
) -> Html:
    """Counts between edges, as touching bars whose width is the bin's width.

    Raises:
        UsageError: There is not one edge more than counts, or the edges do not ascend.
    """
    if len(edges) != len(counts) + 1 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise UsageError(f"{len(counts)} counts need {len(counts) + 1} ascending edges", code="bad-chart")
    if not counts:
        return canvas.nothing(title)
    ticks = nice_ticks(0.0, max(counts) or 1.0)
    low, high = edges[0], edges[-1]
    places = [(e - low) / (high - low) for e in edges]
    marks = [t for t in nice_ticks(low, high, 8) if low <= t <= high]
    axis = Axis(places, [((t - low) / (high - low), number_label(t)) for t in marks])
    parts = _frame(title, ticks, axis, x_label, y_label, (), [])
    for i, n in enumerate(counts):
        left, right = x_at(places[i]), x_at(places[i + 1])
        words = f"{number_label(edges[i])} to {number_label(edges[i + 1])}: {number_label(n)}"
        parts.append(_bar(left, max(right - left - 1, 0.5), n, ticks, 0, words))
    total = number_label(math.fsum(counts))
    words = f"{total} {y_label} in {len(counts)} bins from {number_label(low)} to {number_label(high)}."
    return canvas.picture(parts, title=title, description=words)


def _bar(left: float, width: float, y: float, ticks: Sequence[float], i: int, words: str) -> str:
    top, base = y_at(max(y, 0.0), ticks), y_at(min(y, 0.0), ticks)
    return (
        f'<rect x="{num(left)}" y="{num(top)}" width="{num(width)}" height="{num(base - top)}" '
        f'fill="{COLOURS[i % len(COLOURS)]}">{canvas.tooltip(words)}</rect>'
    )


def calibration_plot(bins: Sequence[Bin], *, title: str) -> Html:
    """What was said against what came true: on the diagonal, scores are probabilities.

    The area of a point is the share of predictions in its bin; empty bins are left out.
    """
    shown = [b for b in bins if b.n > 0]
    if not shown:
        return canvas.nothing(title)
    high = nice_ticks(0.0, max(max(b.mean_score, b.rate) for b in shown))[-1]
    ticks = nice_ticks(0.0, min(high, 1.0))
    top = ticks[-1]
    axis = Axis([], [(t / top, number_label(t)) for t in ticks])
    parts = _frame(title, ticks, axis, "mean score", "rate that came true", (), [])
    parts.append(canvas.line(LEFT, TOP + PLOT_HEIGHT, WIDTH - canvas.RIGHT, TOP, "threshold"))
    most = max(b.n for b in shown)
    for b in shown:
        words = f"score {b.mean_score:.3f}, came true {b.rate:.3f}, {b.n:,} predictions"
        parts.append(
            _dot(x_at(b.mean_score / top), y_at(b.rate, ticks), 3 + 9 * math.sqrt(b.n / most), 0, words)
        )
    total = sum(b.n for b in shown)
    gap = math.fsum(abs(b.rate - b.mean_score) * b.n for b in shown) / total
    words = f"{total:,} predictions in {len(shown)} bins; mean distance from the diagonal {gap:.4f}."
    return canvas.picture(parts, title=title, description=words)


def _frame(
    title: str,
    ticks: Sequence[float],
    axis: Axis,
    x_label: str,
    y_label: str,
    thresholds: Sequence[Threshold],
    names: Sequence[str],
) -> list[str]:
    return [
        text(LEFT, 16, title, anchor="start", extra=' font-weight="600"'),
        *canvas.legend(names),
        *canvas.y_axis(ticks, y_label),
        *canvas.x_axis(axis, x_label),
        *canvas.thresholds(thresholds, ticks),
    ]


def _values(x: Sequence[X], series: Sequence[Series]) -> list[float]:
    for s in series:
        if len(s.y) != len(x):
            raise UsageError(f"series {s.name!r} has {len(s.y)} values for {len(x)} places", code="bad-chart")
    return [y for s in series for y in s.y if y is not None and math.isfinite(y)]


def _describe(series: Sequence[Series], x: Sequence[X]) -> str:
    parts = []
    for s in series:
        ys = [y for y in s.y if y is not None and math.isfinite(y)]
        if ys:
            parts.append(f"{s.name} from {number_label(min(ys))} to {number_label(max(ys))}")
    return f"{'; '.join(parts)}; over {x[0]} to {x[-1]}."
