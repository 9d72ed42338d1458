"""From the JSON of a page to charts of the drawing room, and the small ones that stand in a table's cell."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, Final

from whence.drawing import Html, Series, bar_chart, histogram
from whence.server.ui.render import number

TOP: Final = 10
LABEL: Final = 9
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def distribution(feature: Mapping[str, Any]) -> Html | None:
    """How the values of a column are spread: a histogram of numbers and times, bars of the commonest texts."""
    # Any: the JSON of statistics
    name = str(feature["name"])
    buckets = _buckets(feature)
    if buckets and feature["type"] in ("TIMESTAMP", "DATE"):
        names = [_day(feature["type"], low) for low, _, _ in buckets]
        return bar_chart(names, [Series("rows", [n for _, _, n in buckets])], title=name, y_label="rows")
    if len(buckets) > 1 or (buckets and buckets[0][0] < buckets[0][1]):
        edges = [low for low, _, _ in buckets] + [buckets[-1][1]]
        if all(a < b for a, b in itertools.pairwise(edges)):
            return histogram(edges, [n for _, _, n in buckets], title=name, x_label=name)
    return None if _all_differ(feature) else _commonest(name, feature.get("top_values") or [])


def _all_differ(feature: Mapping[str, Any]) -> bool:
    """Whether it is a text that names each row: bars of height one tell nothing."""
    n = feature["num_unique"]
    return feature.get("histogram") is None and n is not None and n == feature["num_non_missing"] and n > TOP


def _commonest(name: str, values: Sequence[Sequence[Any]]) -> Html | None:
    if not values:
        return None
    shown = values[:TOP]
    names = _apart([cut(str(v), LABEL) for v, _ in shown])
    return bar_chart(names, [Series("rows", [float(n) for _, n in shown])], title=name, y_label="rows")


def _apart(names: Sequence[str]) -> list[str]:
    """Labels that were cut alike are told apart by their place."""
    return [n if names.count(n) == 1 else f"{n} {i + 1}" for i, n in enumerate(names)]


def cut(text: str, width: int) -> str:
    """The beginning of a text."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _buckets(feature: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    found = (feature.get("histogram") or {}).get("buckets") or []
    return [(float(low), float(high), float(n)) for low, high, n in found]


def _day(type_: str, value: float) -> str:
    step = timedelta(microseconds=int(value)) if type_ == "TIMESTAMP" else timedelta(days=int(value))
    return (_EPOCH + step).strftime("%y-%m-%d")


def spark(feature: Mapping[str, Any]) -> Html:
    """A histogram, or the commonest values, in the size of a word; its numbers stand in the cells beside it."""
    counts = [n for _, _, n in _buckets(feature)] or [
        float(n) for _, n in (feature.get("top_values") or [])[:TOP]
    ]
    if not counts or max(counts) <= 0 or _all_differ(feature):
        return Html("")
    step, most = SPARK_WIDTH / len(counts), max(counts)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{SPARK_HEIGHT * (1 - n / most):.1f}" width="{max(step - 1, 1):.1f}" '
        f'height="{max(SPARK_HEIGHT * n / most, 0.5 if n else 0):.1f}"/>'
        for i, n in enumerate(counts)
    )
    words = escape(f"{feature['name']}: {len(counts)} bars, the highest {number(most)} rows")
    return Html(
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" width="{SPARK_WIDTH}" '
        f'height="{SPARK_HEIGHT}" role="img" aria-label="{words}">{bars}</svg>'
    )
