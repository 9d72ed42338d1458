"""Tables and trees in characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from whence.drawing.types import Branch
from whence.errors import UsageError

GAP = "  "


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An aligned table: numbers to the right, everything else to the left, None as nothing.

    Raises:
        UsageError: A row has another number of cells than there are columns.

    Example:
        >>> print(text_table(["table", "rows"], [["flights", 336776], ["weather", 26115]]))
        table      rows
        -------  ------
        flights  336776
        weather   26115
    """
    for row in rows:
        if len(row) != len(columns):
            raise UsageError(
                f"row {list(row)!r} does not fit the columns {list(columns)!r}", code="bad-chart"
            )
    cells = [[one_line(v) for v in row] for row in rows]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(columns))]
    widths = [
        max([display_width(c), *(display_width(row[i]) for row in cells)]) for i, c in enumerate(columns)
    ]

    def line(values: Sequence[str]) -> str:
        return GAP.join(_pad(v, w, right=r) for v, w, r in zip(values, widths, right, strict=True)).rstrip()

    return "\n".join(
        [line([one_line(c) for c in columns]), GAP.join("-" * w for w in widths), *map(line, cells)]
    )


def text_tree(root: Branch) -> str:
    """A tree with one line a node.

    Example:
        >>> print(text_tree(Branch("model:late@1", (Branch("run:01J"), Branch("table:flights@9", note="9 rows")))))
        model:late@1
        ├── run:01J
        └── table:flights@9  9 rows
    """
    return "\n".join([_node(root), *_below(root, "")])


def _below(node: Branch, indent: str) -> Iterator[str]:
    for i, child in enumerate(node.children):
        last = i == len(node.children) - 1
        yield f"{indent}{'└── ' if last else '├── '}{_node(child)}"
        yield from _below(child, indent + ("    " if last else "│   "))


def _node(node: Branch) -> str:
    return one_line(f"{node.label}{GAP}{node.note}" if node.note else node.label)


def display_width(text: str) -> int:
    """How many terminal cells `text` takes: wide characters two, combining marks none.

    Example:
        >>> display_width("abc"), display_width("日本")
        (3, 4)
    """
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def one_line(value: object) -> str:
    r"""A value as text in which control characters are escapes, so that data cannot move the cursor.

    Example:
        >>> print(one_line("a" + chr(27) + "[2J"))
        a\x1b[2J
    """
    if value is None:
        return ""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def _is_number(value: object) -> bool:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return True
    if not isinstance(value, str):
        return False
    if not value:
        return True
    try:
        float(value)
    except ValueError:
        return False
    return value[0] in "+-0123456789."


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - display_width(text))
    return space + text if right else text + space
