"""A small tree as boxes and curves, the root at the left."""

from __future__ import annotations

from dataclasses import dataclass

from whence.drawing import canvas
from whence.drawing.canvas import num
from whence.drawing.text import display_width
from whence.drawing.types import Branch, Html

ROW, BOX_HEIGHT, GAP, MARGIN = 40, 28, 36, 12
CHARACTER = 7.0  # a generous mean width at 12 px
MAX_CHARACTERS = 44


@dataclass(frozen=True, slots=True)
class _Box:
    label: str
    full: str
    depth: int
    y: float
    children: tuple[_Box, ...]


def tree_chart(root: Branch, *, title: str) -> Html:
    """The tree with a box a node; a label that is too long is cut and stands whole in its tooltip."""
    box, rows = _place(root, 0, 0)
    widths = _widths(box, {})
    lefts = [float(MARGIN)]
    for depth in range(len(widths)):
        lefts.append(lefts[-1] + widths[depth] + GAP)
    width, height = int(lefts[-1] - GAP + MARGIN), 36 + rows * ROW + MARGIN
    parts = [
        canvas.text(MARGIN, 18, title, anchor="start", extra=' font-weight="600"'),
        *_draw(box, lefts, widths),
    ]
    words = f"A tree of {_count(root)} nodes and {len(widths)} levels below {root.label}."
    return canvas.picture(parts, title=title, description=words, width=width, height=height)


def _place(node: Branch, depth: int, row: int) -> tuple[_Box, int]:
    """The box of `node`, whose first leaf stands in `row`, and the first row that is free after it."""
    children = []
    free = row
    for child in node.children:
        box, free = _place(child, depth + 1, free)
        children.append(box)
    y = (children[0].y + children[-1].y) / 2 if children else 36 + (row + 0.5) * ROW
    full = f"{node.label}  {node.note}" if node.note else node.label
    label = full if len(full) <= MAX_CHARACTERS else full[: MAX_CHARACTERS - 1] + "…"
    return _Box(label, full, depth, y, tuple(children)), max(free, row + 1)


def _widths(box: _Box, widths: dict[int, float]) -> dict[int, float]:
    widths[box.depth] = max(widths.get(box.depth, 0.0), display_width(box.label) * CHARACTER + 20)
    for child in box.children:
        _widths(child, widths)
    return widths


def _draw(box: _Box, lefts: list[float], widths: dict[int, float]) -> list[str]:
    left, width = lefts[box.depth], widths[box.depth]
    parts = [
        f'<g>{canvas.tooltip(box.full)}<rect x="{num(left)}" y="{num(box.y - BOX_HEIGHT / 2)}" '
        f'width="{num(width)}" height="{BOX_HEIGHT}" rx="4" class="box"/>'
        + canvas.text(left + 10, box.y + 4, box.label, anchor="start")
        + "</g>"
    ]
    right = left + width
    for child in box.children:
        start = lefts[child.depth]
        middle = num((right + start) / 2)
        curve = f"M{num(right)} {num(box.y)}C{middle} {num(box.y)} {middle} {num(child.y)} {num(start)} {num(child.y)}"
        parts += [f'<path class="edge" d="{curve}"/>', *_draw(child, lefts, widths)]
    return parts


def _count(node: Branch) -> int:
    return 1 + sum(_count(c) for c in node.children)
