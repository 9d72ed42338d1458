"""The frame of every chart: size, axes, legend, and the words for who cannot see it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from whence.drawing.escape import escape
from whence.drawing.scales import Axis, number_label
from whence.drawing.types import Html, Threshold

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 52
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

#: Okabe and Ito's colours, told apart by people who see fewer of them; readable on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
#: Lines differ by dash as well as by colour.
DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4", "4 2 1 2")


def x_at(place: float) -> float:
    """The horizontal position of a place in [0, 1]."""
    return LEFT + place * PLOT_WIDTH


def y_at(value: float, ticks: Sequence[float]) -> float:
    """The vertical position of a value on an axis that ends at its first and last tick."""
    return TOP + PLOT_HEIGHT * (1 - (value - ticks[0]) / (ticks[-1] - ticks[0]))


def num(value: float) -> str:
    """A coordinate: two decimals are a fiftieth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(x: float, y: float, words: str, *, anchor: str = "middle", extra: str = "") -> str:
    """Words at a place."""
    return f'<text x="{num(x)}" y="{num(y)}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def tooltip(words: str) -> str:
    """Words shown when a pointer rests on the shape around them."""
    return f"<title>{escape(words)}</title>"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line of a class."""
    return f'<line x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}" class="{kind}"/>'


def y_axis(ticks: Sequence[float], label: str) -> list[str]:
    """Grid lines and numbers at the left."""
    parts = []
    for tick in ticks:
        y = y_at(tick, ticks)
        parts += [
            line(LEFT, y, WIDTH - RIGHT, y, "grid"),
            text(LEFT - 6, y + 4, number_label(tick), anchor="end"),
        ]
    if label:
        middle = num(TOP + PLOT_HEIGHT / 2)
        parts.append(text(14, TOP + PLOT_HEIGHT / 2, label, extra=f' transform="rotate(-90 14 {middle})"'))
    return parts


def x_axis(axis: Axis, label: str) -> list[str]:
    """Ticks and labels at the bottom."""
    base = TOP + PLOT_HEIGHT
    parts = [line(LEFT, base, WIDTH - RIGHT, base, "axis")]
    for place, words in axis.ticks:
        parts += [line(x_at(place), base, x_at(place), base + 4, "axis"), text(x_at(place), base + 18, words)]
    if label:
        parts.append(text(LEFT + PLOT_WIDTH / 2, HEIGHT - 10, label))
    return parts


def thresholds(levels: Sequence[Threshold], ticks: Sequence[float]) -> list[str]:
    """Levels across the plot, with their names at the right end."""
    parts = []
    for level in levels:
        y = y_at(level.value, ticks)
        parts += [
            line(LEFT, y, WIDTH - RIGHT, y, "threshold"),
            text(WIDTH - RIGHT - 4, y - 4, level.label, anchor="end"),
        ]
    return parts


def legend(names: Sequence[str]) -> list[str]:
    """Names with their colour and dash, above the plot; one name needs no legend."""
    if len(names) < 2:
        return []
    parts, x = [], float(LEFT)
    for i, name in enumerate(names):
        parts += [
            f'<line x1="{num(x)}" y1="28" x2="{num(x + 22)}" y2="28" {stroke(i)}/>',
            text(x + 28, 32, name, anchor="start"),
        ]
        x += 28 + 7.2 * len(name) + 24
    return parts


def stroke(i: int) -> str:
    """The colour and dash of the i-th series."""
    dash = DASHES[i % len(DASHES)]
    return f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="2"' + (
        f' stroke-dasharray="{dash}"' if dash else ""
    )


STYLE = (
    "text{font-family:system-ui,sans-serif;font-size:12px;fill:currentColor}"
    ".grid{stroke:currentColor;stroke-opacity:.15}.axis{stroke:currentColor;stroke-opacity:.6}"
    ".threshold{stroke:currentColor;stroke-opacity:.8;stroke-dasharray:4 4}"
    ".box{fill:none;stroke:currentColor;stroke-opacity:.5}.edge{fill:none;stroke:currentColor;stroke-opacity:.4}"
)


def picture(
    parts: Sequence[str], *, title: str, description: str, width: int = WIDTH, height: int = HEIGHT
) -> Html:
    """The parts as one image with a title and a description.

    Rules of style are bound to the image's own id, which is made from what it shows: equal data draw
    equal bytes, and two images on a page do not disturb each other.
    """
    body = "\n".join(parts)
    uid = "w" + hashlib.sha256(f"{title}\0{description}\0{body}".encode()).hexdigest()[:10]
    style = "".join(f"#{uid} {rule}}}" for rule in STYLE.split("}") if rule)
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{uid}" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-labelledby="{uid}t {uid}d"><title id="{uid}t">{escape(title)}</title><desc id="{uid}d">{escape(description)}</desc>'
        f"<style>{style}</style>\n{body}\n</svg>"
    )


def nothing(title: str) -> Html:
    """The picture of no data, which says so."""
    words = text(WIDTH / 2, HEIGHT / 2, "no data")
    return picture([text(WIDTH / 2, 18, title), words], title=title, description="There is no data to draw.")
