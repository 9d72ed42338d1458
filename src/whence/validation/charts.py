"""Pictures of a column: spreads over each other, boxes, bars of values. SVG and HTML that need nothing else.

Colours are classes: the page says what they are in light, dark and print. Versions differ by dash as well.
"""

from __future__ import annotations

import bisect
import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from whence.drawing import Html
from whence.drawing.escape import escape
from whence.drawing.scales import make_axis, nice_ticks, number_label
from whence.stats import Histogram
from whence.validation.cells import TIMES, Cell, FeatureType, jsonable
from whence.validation.odd import all_different, percent
from whence.validation.view import FeatureView

WIDTH, HEIGHT = 480, 150
LEFT, RIGHT, TOP = 8, 8, 8
DASHES: Final = ("", "6 3", "2 3", "8 3 2 3", "12 4", "4 2 1 2")
#: What stands where nothing is known.
NOTHING: Final = "\u2013"
BLOCKS: Final = "▁▂▃▄▅▆▇█"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOX: Final = 16
_LARGEST: Final = sys.float_info.max
_SMALLEST: Final = sys.float_info.min
_NARROWEST: Final = 1e-9
_POINTS: Final = 65
_ZOOM_BINS: Final = 16
_ONE_BAR: Final = 0.9
_SPARK: Final = (96, 22)
_SPARK_BAR: Final = 16
_PARTS: Final = re.compile(r"([_./])")
_Bars = list[tuple[float, float, float]]
Views = Sequence["FeatureView | None"]


# --- numbers and words ---------------------------------------------------------------------------


def said(value: object, width: int = 40) -> str:
    """A cell in a few characters.

    Example:
        >>> said(3.14159265), said(12345678), said("x" * 60, 8), said(43096.7), said(1e9)
        ('3.142', '12,345,678', 'xxxxxxx…', '43,097', '1,000,000,000')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _float_said(value)
    if isinstance(value, datetime):
        exact = "minutes" if value.second == value.microsecond == 0 else "seconds"
        value = value.isoformat(sep=" ", timespec=exact).removesuffix("+00:00")
    text = str(jsonable(value))
    return text if len(text) <= width else text[: width - 1] + "…"


def _float_said(value: float) -> str:
    """Four figures, whole numbers and large ones with their thousands apart."""
    size = abs(value)
    if not 1_000 <= size < 1e15:
        return f"{value:.4g}"
    return (
        f"{value:,.0f}"
        if size >= 10_000 or value == math.floor(value)
        else f"{value:,.1f}".removesuffix(".0")
    )


def place_of(value: Cell) -> float | None:
    """A number or time as the number its histogram has: microseconds or days since 1970.

    Example:
        >>> place_of(date(1970, 1, 3)), place_of(2), place_of("a")
        (2.0, 2.0, None)
    """
    if isinstance(value, datetime):
        return (value - _EPOCH) / timedelta(microseconds=1)
    if isinstance(value, date):
        return float((value - _EPOCH.date()).days)
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def moment_at(place: float, type_: FeatureType) -> datetime | None:
    """The time a place of a histogram stands for; None when no calendar has it."""
    step = timedelta(microseconds=1) if type_ == "TIMESTAMP" else timedelta(days=1)
    try:
        return _EPOCH + place * step
    except OverflowError:
        return None


def edge_said(place: float, type_: FeatureType) -> str:
    """An edge of a bucket in words."""
    if type_ in TIMES:
        at = moment_at(place, type_)
        return said(place) if at is None else said(at if type_ == "TIMESTAMP" else at.date())
    return said(place)


def breakable(name: str) -> str:
    """A name, escaped, that may go on in the next line after its parts.

    Example:
        >>> breakable("pickup_area.<id>")
        'pickup_<wbr>area.<wbr>&lt;id&gt;'
    """
    return _PARTS.sub(r"\1<wbr>", escape(name))


def missing_cell(share: float) -> Html:
    """The share of rows without a value as a cell: in words, and as a bar below them."""
    words = percent(share) if share else "0"
    bar = f' style="--part:{100 * share:.3g}%"' if share else ""
    return Html(f'<td class="n{" part" if share else ""}" data-v="{share:.9g}"{bar}>{escape(words)}</td>')


# --- the spread of numbers and times -------------------------------------------------------------


def spread(views: Views, names: Sequence[str], *, column: str) -> Html:
    """Histograms of the versions on one axis, a box for each below; empty when there is nothing to draw.

    One version is drawn as bars of counts; several as outlines of shares, so that sizes do not matter.
    Where one bar would hold nearly everything, a second picture shows the middle 98 %.
    """
    bars = [None if v is None else _bars(v.histogram) for v in views]
    kind: FeatureType = next((v.type for v in views if v is not None), "FLOAT")
    drawn = _picture(bars, views, names, kind, title=f"{column}: spread of the values")
    if not drawn:
        return Html("")
    if any(b and _is_one_bar(b) for b in bars):
        close = [None if v is None else _middle(v) for v in views]
        if any(close):
            inner = _picture(close, (), names, kind, title=f"{column}: the middle 98 % of the values")
            drawn += f"<figcaption>the middle 98 % of the values</figcaption>{inner}"
    return Html(f"<figure>{drawn}</figure>")


def _bars(h: Histogram | None) -> _Bars:
    """The buckets of a histogram; infinite edges are drawn in to the finite ones."""
    if h is None:
        return []
    finite = [e for b in h.buckets for e in (b.low, b.high) if math.isfinite(e)]
    if not finite:
        return []
    low, high = min(finite), max(finite)
    return [(max(b.low, low), min(b.high, high), float(b.count)) for b in h.buckets if b.low <= b.high]


def _is_one_bar(bars: _Bars) -> bool:
    total = math.fsum(n for _, _, n in bars)
    return len(bars) > 2 and total > 0 and max(n for _, _, n in bars) >= _ONE_BAR * total


def _middle(f: FeatureView) -> _Bars:
    """Shares between the 1st and the 99th percentile, in equal widths, out of the quantiles."""
    qs = [0.01 + 0.98 * i / (_POINTS - 1) for i in range(_POINTS)]
    found = [place_of(f.quantile(q)) for q in qs]
    at = [p for p in found if p is not None]
    if len(at) < _POINTS or at[0] >= at[-1]:
        return []
    step = (at[-1] - at[0]) / _ZOOM_BINS
    edges = [at[0] + i * step for i in range(_ZOOM_BINS)] + [at[-1]]
    below = [_share_below(at, e) for e in edges[:-1]] + [1.0]
    n = 0.98 * f.n_values
    return [(edges[i], edges[i + 1], n * max(below[i + 1] - below[i], 0.0)) for i in range(_ZOOM_BINS)]


def _share_below(points: Sequence[float], x: float) -> float:
    """The share of values under x when equal shares lie between neighbouring points."""
    i = bisect.bisect_left(points, x)
    if i == 0:
        return 0.0
    low, high = points[i - 1], points[min(i, len(points) - 1)]
    within = (x - low) / (high - low) if high > low else 0.0
    return (i - 1 + within) / (len(points) - 1)


def _picture(
    bars: Sequence[_Bars | None], views: Views, names: Sequence[str], kind: FeatureType, *, title: str
) -> str:
    there = {i: b for i, b in enumerate(bars) if b and math.fsum(n for _, _, n in b) > 0}
    if not there:
        return ""
    axis = _Axis(min(b[0][0] for b in there.values()), max(b[-1][1] for b in there.values()), kind)
    several = len(bars) > 1
    parts = _outlines(there, axis, names) if several else _columns(there[0], axis)
    boxes = _boxes(views, axis, HEIGHT + 6)
    base = HEIGHT + (6 + _BOX * len(views) if boxes else 0)
    words = "; ".join(_told(names[i], b, kind) for i, b in there.items())
    rule = f'<path class="axis" d="M{LEFT} {HEIGHT}H{WIDTH - RIGHT}"/>'
    return _svg([*parts, rule, *boxes, *axis.ticks(base)], height=base + 22, title=title, words=words)


class _Axis:
    """The horizontal axis of a picture: numbers, or moments."""

    def __init__(self, low: float, high: float, kind: FeatureType) -> None:
        if high / 2 - low / 2 < _SMALLEST:
            pad = abs(low) * 0.1 if abs(low) > 10 * _SMALLEST else 0.5
            low, high = max(low - pad, -_LARGEST), min(high + pad, _LARGEST)
        self.low, self.high, self.kind = low, high, kind

    @property
    def half(self) -> float:
        """Half its length: the whole may be beyond the largest number."""
        return self.high / 2 - self.low / 2

    def at(self, place: float) -> float:
        return LEFT + (place / 2 - self.low / 2) / self.half * (WIDTH - LEFT - RIGHT)

    def within(self, place: float) -> float:
        """The same, held inside the picture."""
        return min(max(self.at(place), LEFT), WIDTH - RIGHT)

    def ticks(self, y: float) -> list[str]:
        parts = []
        for x, words in self._marks():
            near = "start" if x < 24 else "end" if x > WIDTH - 30 else "middle"
            parts.append(f'<path class="axis" d="M{_n(x)} {_n(y)}v4"/>')
            parts.append(f'<text x="{_n(x)}" y="{_n(y + 16)}" text-anchor="{near}">{escape(words)}</text>')
        return parts

    def _marks(self) -> list[tuple[float, str]]:
        ends = [moment_at(p, self.kind) for p in (self.low, self.high)] if self.kind in TIMES else []
        moments = [m for m in ends if m is not None]
        if len(moments) == 2:
            marks = make_axis(moments).ticks[:6]
            return [(LEFT + place * (WIDTH - LEFT - RIGHT), words) for place, words in marks]
        try:
            ticks = nice_ticks(self.low, self.high, 5)
        except (OverflowError, ValueError):
            return []
        return [(self.at(t), number_label(t)) for t in ticks if self.low <= t <= self.high]


def _told(name: str, bars: _Bars, kind: FeatureType) -> str:
    low, high, most = max(bars, key=lambda b: b[2])
    total = math.fsum(n for _, _, n in bars)
    return (
        f"{name}: {said(total)} values from {edge_said(bars[0][0], kind)} to {edge_said(bars[-1][1], kind)}, "
        f"the most ({said(most)}) from {edge_said(low, kind)} to {edge_said(high, kind)}"
    )


def _columns(bars: _Bars, axis: _Axis) -> list[str]:
    """Bars of counts; equal widths make their heights the counts."""
    heights = _heights(bars, axis)
    most = max(heights)
    parts = []
    for (low, high, n), h in zip(bars, heights, strict=True):
        left, right = axis.within(low), axis.within(high)
        if low == high:
            left, right = left - 3, right + 3
        top = HEIGHT - (HEIGHT - TOP) * h / most
        words = f"{edge_said(low, axis.kind)} to {edge_said(high, axis.kind)}: {said(n)}"
        wide = max(right - left - 1, 1)
        parts.append(
            f'<rect class="f0" x="{_n(left)}" y="{_n(top)}" width="{_n(wide)}" '
            f'height="{_n(HEIGHT - top)}"><title>{escape(words)}</title></rect>'
        )
    return parts


def _outlines(there: Mapping[int, _Bars], axis: _Axis, names: Sequence[str]) -> list[str]:
    """One outline a version, in shares per width: they cover the same area."""
    heights = {i: _heights(b, axis) for i, b in there.items()}
    totals = {i: math.fsum(n for _, _, n in b) for i, b in there.items()}
    most = max(h / totals[i] for i, found in heights.items() for h in found)
    parts = []
    for i, bars in there.items():
        path = [f"M{_n(axis.within(bars[0][0]))} {HEIGHT}"]
        for (low, high, _), h in zip(bars, heights[i], strict=True):
            top = HEIGHT - (HEIGHT - TOP) * h / totals[i] / most
            left, right = axis.within(low), axis.within(high)
            if low == high:
                left, right = left - 2, right + 2
            path.append(f"L{_n(left)} {_n(top)}H{_n(right)}")
        path.append(f"V{HEIGHT}")
        dash = DASHES[i % len(DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(
            f'<path class="s{i % 6}{" under" if i == 0 else ""}"{dashed} d="{"".join(path)}">'
            f"<title>{escape(names[i])}</title></path>"
        )
    return parts


def _heights(bars: _Bars, axis: _Axis) -> list[float]:
    """Counts per width; a bar without a width stands as high as if it had a fiftieth of the axis."""
    thin = axis.half / 50
    # Relative to the axis, so that neither the widest nor the narrowest bar leaves the numbers there are.
    widths = [(high / 2 - low / 2 if high > low else thin) / axis.half for low, high, _ in bars]
    return [n / max(width, _NARROWEST) for (_, _, n), width in zip(bars, widths, strict=True)]


def _boxes(views: Views, axis: _Axis, top: float) -> list[str]:
    """For each version a line from the least to the greatest, a box of the middle half, a mark at the median."""
    parts = []
    for i, f in enumerate(views):
        found = (
            []
            if f is None
            else [place_of(v) for v in (f.min, f.quantile(0.25), f.median, f.quantile(0.75), f.max)]
        )
        at = [axis.within(p) for p in found if p is not None]
        if f is None or len(at) < 5:
            continue
        y = top + _BOX * i + _BOX / 2
        low, left, middle, right, high = at
        words = ", ".join(
            f"{name} {said(v)}"
            for name, v in (
                ("least", f.min), ("a quarter below", f.quantile(0.25)), ("median", f.median),
                ("three quarters below", f.quantile(0.75)), ("greatest", f.max),
            )
        )  # fmt: skip
        parts.append(
            f'<g class="box s{i % 6}"><title>{escape(words)}</title><path d="M{_n(low)} {_n(y)}H{_n(high)}"/>'
            f'<rect class="f{i % 6}" x="{_n(left)}" y="{_n(y - 5)}" width="{_n(max(right - left, 1))}" height="10"/>'
            f'<path class="middle" d="M{_n(middle)} {_n(y - 7)}v14"/></g>'
        )
    return parts


def _svg(parts: Sequence[str], *, height: float, title: str, words: str) -> str:
    label = escape(f"{title}. {words}.")
    return (
        f'<svg viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{label}">'
        + "".join(parts)
        + "</svg>"
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


# --- the size of a word ---------------------------------------------------------------------------


def counts_of(f: FeatureView, most: int = 12) -> list[float]:
    """The heights of the bars that stand for a column: buckets, else its commonest values."""
    if f.histogram is not None and f.type != "BOOL":
        bars = _bars(f.histogram)
        if len(bars) > 1:
            return [n for _, _, n in bars]
    if all_different(f):
        return []  # bars of height one tell nothing
    return [float(n) for _, n in f.top_values(most)]


def blocks(f: FeatureView, width: int = 10) -> str:
    """The spread of a column in block characters, for a terminal.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> blocks(describe(pa.table({"a": ["x", "x", "x", "y"]}))["a"])
        '█▃'
    """
    counts = counts_of(f, width)[:width]
    most = max(counts, default=0.0)
    if most <= 0:
        return ""
    return "".join(BLOCKS[max(math.ceil(n / most * 8) - 1, 0)] if n else " " for n in counts).rstrip()


def spark(views: Views, *, column: str) -> Html:
    """The newest version's spread in the size of a word."""
    f = next((v for v in reversed(views) if v is not None), None)
    counts = [] if f is None else counts_of(f)
    most = max(counts, default=0.0)
    if most <= 0:
        return Html("")
    width, height = _SPARK
    step = min(width / len(counts), _SPARK_BAR)
    bars = "".join(
        f"M{_n(i * step)} {height}v-{_n(max(height * n / most, 0.8))}h{_n(max(step - 1, 1))}V{height}z"
        for i, n in enumerate(counts)
        if n
    )
    words = escape(f"{column}: {len(counts)} bars, the highest {said(most)}")
    return Html(
        f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" aria-label="{words}">'
        f'<path class="f0" d="{bars}"/></svg>'
    )


# --- values and their counts ----------------------------------------------------------------------


def value_bars(views: Views, names: Sequence[str], *, column: str, most: int = 10) -> Html:
    """The commonest values, a bar and the count of each version beside it; empty when there are none."""
    if all(v is None or all_different(v) for v in views) and any(v is not None for v in views):
        return Html('<p class="quiet">All values are different.</p>')
    known = [_Counts(v) for v in views]
    values = _together(known, most)
    if not values:
        return Html("")
    top = max((k.share(v) or 0.0 for k in known for v in values), default=0.0) or 1.0
    heads = "".join(f'<th scope="col" class="n">{escape(n)}</th>' for n in names)
    rows = []
    for value in values:
        bars = "".join(_bar(i, k.share(value), top) for i, k in enumerate(known))
        cells = "".join(f'<td class="n">{k.words(value)}</td>' for k in known)
        full = said(value, 300)
        shown = said(value, 32) or "(empty)"
        rows.append(
            f'<tr><th scope="row" title="{escape(full)}">{escape(shown)}</th><td class="bars">{bars}</td>{cells}</tr>'
        )
    rest = _rest(known, values)
    return Html(
        f'<div class="wide"><table class="values"><caption>{escape(_caption(column, views, len(values)))}</caption>'
        f'<thead><tr><th scope="col">value</th><th scope="col"><span class="sr">bar</span></th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}{rest}</tbody></table></div>"
    )


class _Counts:
    """How often each value occurs in one version, as far as it is known."""

    def __init__(self, f: FeatureView | None) -> None:
        self.n = 0 if f is None else f.n_values
        every = None if f is None else f.value_counts()
        self.all_known = f is not None and every is not None
        self.top: list[tuple[Cell, float]] = [] if f is None else list(f.top_values(1_000))
        self.by_value = dict(self.top) if every is None else {**every}

    def count(self, value: Cell) -> float | None:
        return self.by_value.get(value, 0.0 if self.all_known else None)

    def share(self, value: Cell) -> float | None:
        n = self.count(value)
        return None if n is None else n / self.n if self.n else 0.0

    def words(self, value: Cell) -> str:
        n = self.count(value)
        if n is None:
            return NOTHING
        return f'{said(n)} <span class="quiet">{100 * n / self.n:.1f} %</span>' if self.n else said(n)


def _together(known: Sequence[_Counts], most: int) -> list[Cell]:
    """The values that are commonest in any version, by the greatest share."""
    shares: dict[Cell, float] = {}
    for k in known:
        for value, n in k.top[: most * 2]:
            shares[value] = max(shares.get(value, 0.0), n / k.n if k.n else 0.0)
    ordered = sorted(shares, key=lambda v: -shares[v])
    return ordered[:most]


def _rest(known: Sequence[_Counts], values: Sequence[Cell]) -> str:
    left = [max(k.n - math.fsum(k.count(v) or 0.0 for v in values), 0.0) for k in known]
    if not any(left):
        return ""
    cells = "".join(
        f'<td class="n">{said(n)} <span class="quiet">{100 * n / k.n if k.n else 0:.1f} %</span></td>'
        for n, k in zip(left, known, strict=True)
    )
    return f'<tr class="rest"><th scope="row">all others</th><td></td>{cells}</tr>'


def _caption(column: str, views: Views, n: int) -> str:
    uniques = [v.num_unique for v in views if v is not None and v.num_unique is not None]
    of = f" of {max(uniques):,}" if uniques and max(uniques) > n else ""
    return f"{n}{of} values of {column}"


def _bar(i: int, share: float | None, top: float) -> str:
    width = 0.0 if share is None else 100.0 * share / top
    return f'<span class="bar b{i % 6}" style="width:{width:.1f}%"></span>'
