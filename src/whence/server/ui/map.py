"""The arrows of the journey map: one picture behind the cards, whose places follow from their order.

The cards are HTML in seven columns of equal rows, so a narrow window shows the same cards as a list and
leaves the arrows out. Lengths are in rem, as those of the cards are in the style sheet.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

from whence.drawing import Html
from whence.server.api.base import Data

COLUMN, GUTTER = 5.0, 1.1
CARD: Final = 3.1
GAP: Final = 0.55


def rows_of(data: Any) -> int:
    """The number of rows of the longest column."""
    return max((_rows(stage) for stage in data["stages"]), default=0)


def _rows(stage: Any) -> int:
    return max(1, len(stage["nodes"]) + (1 if stage["more"] else 0))


def height(n: int) -> float:
    """The height of a column of n cards, in rem."""
    return n * (CARD + GAP) - GAP


def arrows(data: Data) -> Html:
    """The arrows as one SVG that is stretched over the columns; hidden from those who hear the page."""
    # Any: the JSON of the page
    given: Any = data
    tall = height(rows_of(given))
    places = _places(given, tall)
    width = len(given["stages"]) * (COLUMN + GUTTER) - GUTTER
    curves = [
        _curve(places[e["from"]], places[e["to"]], e)
        for e in given["edges"]
        if e["from"] in places and e["to"] in places
    ]
    return Html(
        f'<svg class="arrows" viewBox="0 0 {width:g} {tall:g}" height="{tall:g}rem" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false">{"".join(curves)}</svg>'
    )


def _places(data: Any, tall: float) -> dict[str, tuple[float, float]]:
    """Node → left edge of its column and its middle."""
    found: dict[str, tuple[float, float]] = {}
    for i, stage in enumerate(data["stages"]):
        names = [n["id"] for n in stage["nodes"]] + ([f"{stage['stage']}/…"] if stage["more"] else [])
        top = (tall - height(len(names))) / 2
        for j, name in enumerate(names):
            found[name] = (i * (COLUMN + GUTTER), top + j * (CARD + GAP) + CARD / 2)
    return found


def _curve(start: tuple[float, float], end: tuple[float, float], edge: Any) -> str:
    x1, y1, x2, y2 = start[0] + COLUMN, start[1], end[0], end[1]
    bend = max((x2 - x1) / 2, GUTTER / 2)
    path = f"M{x1:.2f} {y1:.2f}C{x1 + bend:.2f} {y1:.2f} {x2 - bend:.2f} {y2:.2f} {x2:.2f} {y2:.2f}"
    ends = f'data-from="{escape(edge["from"])}" data-to="{escape(edge["to"])}"'
    return f'<path d="{path}" {ends}/>'
