"""A trace as characters and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from whence.drawing import Branch, Html, Section, html_table, join_html, text_tree
from whence.drawing import page as drawn_page
from whence.trace.node import TraceNode
from whence.trace.plain import printable, shown

LINE_WIDTH = 240
FACT_WIDTH = 160
CELL_WIDTH = 60
OPEN_LEVELS = 4

STYLE = """
.whence-trace ul{list-style:none;margin:0;padding-left:1.2em;border-left:1px solid #8884}
.whence-trace li{margin:.15em 0}
.whence-trace summary{cursor:pointer}
.whence-trace .kind{font-size:.75em;border:1px solid #8886;border-radius:3px;padding:0 .35em}
.whence-trace .bad{color:#c0392b}
.whence-trace .quiet{opacity:.75}
""".strip()


def tree_text(root: TraceNode, *, max_rows: int = 3, notes: Sequence[str] = ()) -> str:
    """The tree with one line a node, and the notes below it."""
    lines = [text_tree(_branch(root, max_rows))]
    if notes:
        lines += ["", *(f"note: {printable(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def _branch(node: TraceNode, max_rows: int) -> Branch:
    children = [*_row_branches(node, max_rows), *(_branch(child, max_rows) for child in node.children)]
    label = node.label
    if node.ref is not None and node.ref not in node.label:
        label = f"{label} [{node.ref}]"
    return Branch(label, tuple(children), _cut(_said(node), LINE_WIDTH))


def _said(node: TraceNode) -> str:
    return ", ".join(f"{name}={shown(value, width=FACT_WIDTH)}" for name, value in node.facts.items())


def _row_branches(node: TraceNode, max_rows: int) -> list[Branch]:
    if node.rows is None or node.rows.num_columns == 0:
        return []
    found = []
    for row in node.rows.slice(0, max_rows).to_pylist():
        ref = row.pop("_row", None)
        cells = ", ".join(f"{name}={shown(value, width=CELL_WIDTH)}" for name, value in row.items())
        found.append(Branch(str(ref) if ref else "row", note=_cut(cells, LINE_WIDTH)))
    hidden = node.n_rows - len(found)
    if hidden > 0:
        found.append(Branch(f"… and {hidden} more rows"))
    return found


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def fragment(root: TraceNode, *, max_rows: int = 50, notes: Sequence[str] = ()) -> str:
    """The tree as HTML to stand in a notebook or inside a page; every text is escaped."""
    said = "".join(f"<p class='quiet'>{escape(printable(note))}</p>" for note in notes)
    tree = _item(root, max_rows, depth=0)
    return f"<style>{STYLE}</style>\n<div class='whence-trace'><ul>{tree}</ul>{said}</div>"


def page(title: str, root: TraceNode, *, max_rows: int = 50, notes: Sequence[str] = ()) -> str:
    """One self-contained page: the feature values in a table, then the tree."""
    sections = [Section("Tree", [Html(fragment(root, max_rows=max_rows, notes=notes))])]
    values = [node.feature for node in root.walk() if node.feature is not None]
    if values:
        rows = [
            [printable(v.name), shown(v.value), shown(v.recomputed), v.agreement, v.n_rows] for v in values
        ]
        columns = ["feature", "stored", "recomputed from its rows", "agreement", "rows"]
        sections.insert(0, Section("Feature values", [html_table(columns, rows)]))
    return str(drawn_page(printable(title), sections))


def _item(node: TraceNode, max_rows: int, *, depth: int) -> str:
    inner = str(_rows_table(node, max_rows))
    if node.children:
        below = "".join(_item(child, max_rows, depth=depth + 1) for child in node.children)
        inner += f"<ul>{below}</ul>"
    if not inner:
        return f"<li>{_head(node)}</li>\n"
    opened = " open" if depth < OPEN_LEVELS and node.rows is None else ""
    return f"<li><details{opened}><summary>{_head(node)}</summary>{inner}</details></li>\n"


def _head(node: TraceNode) -> str:
    doubtful = node.feature is not None and node.feature.agreement in ("different", "unknown")
    kind = " class='bad'" if doubtful or node.facts.get("missing") is not None else ""
    ref = f" <code>{escape(printable(node.ref))}</code>" if node.ref and node.ref not in node.label else ""
    said = f" <span class='quiet'>{escape(_said(node))}</span>" if node.facts else ""
    return f"<span class='kind'>{escape(node.kind)}</span> <b{kind}>{escape(printable(node.label))}</b>{ref}{said}"


def _rows_table(node: TraceNode, max_rows: int) -> Html:
    if node.rows is None or node.rows.num_columns == 0 or node.rows.num_rows == 0:
        return Html("")
    kept = node.rows.slice(0, max_rows)
    names = ["row" if name == "_row" else printable(name) for name in kept.column_names]
    rows = [[_cell(value) for value in row.values()] for row in kept.to_pylist()]
    hidden = node.n_rows - kept.num_rows
    rest = Html(f"<p class='quiet'>… and {hidden} more rows</p>") if hidden > 0 else Html("")
    return join_html([html_table(names, rows), rest])


def _cell(value: object) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and shown(value) != "null" else shown(value, width=200)
