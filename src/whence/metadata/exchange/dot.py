"""The graph as a drawing: DOT, which Graphviz lays out."""

from __future__ import annotations

from typing import Final

from whence._base.progress import progress
from whence.metadata.exchange.graphml import READ
from whence.metadata.exchange.piece import Piece
from whence.metadata.exchange.sink import Destination, Exported, counted, written
from whence.metadata.types import Artifact, Context, Event, Execution

# Fill and outline; the shape tells the kind too, for those who see no colours.
_LOOKS: Final = {
    Artifact: 'shape=box, style="rounded,filled", fillcolor="#e8f1fb", color="#2f6db3"',
    Execution: 'shape=ellipse, style=filled, fillcolor="#fdf3e1", color="#b3792f"',
    Context: 'shape=folder, style=filled, fillcolor="#f0f0f0", color="#777777"',
}
_LONGEST: Final = 60


def write_dot(piece: Piece, to: Destination, *, contexts: bool = False, replace: bool = False) -> Exported:
    r"""Write a piece of the graph as a directed graph in DOT, in the direction in which data flowed.

    It is the graph of one moment.

    Args:
        piece: What to draw.
        to: A path or an open text file.
        contexts: Draw contexts too, with a dotted line to each member.
        replace: A file that is there is replaced.

    Raises:
        ConflictError: A file is there (``file-exists``).

    Example:
        >>> import sys
        >>> from whence.metadata import Artifact, Change, Put, Type, open_store
        >>> store = open_store("memory://")
        >>> _ = store.put_type(Type("artifact", "Table"))
        >>> raw = Artifact(type="Table", name="raw", uid="01JG0000000000000000000000")
        >>> _ = store.write(Change(puts=[Put(raw)]))
        >>> exported = write_dot(Piece.of(store), sys.stdout)  # doctest: +ELLIPSIS
        digraph whence {
          rankdir=LR; node [fontname="sans-serif", fontsize=11]; edge [fontname="sans-serif", fontsize=9];
          "01JG0000000000000000000000" [label="raw\nTable", shape=box, ...];
        }
    """
    nodes = edges = 0
    with written(to, replace=replace) as out, piece.still() as piece, progress("exporting") as step:
        out.write("digraph whence {\n")
        out.write(
            '  rankdir=LR; node [fontname="sans-serif", fontsize=11]; edge [fontname="sans-serif", fontsize=9];\n'
        )
        for node in counted(piece.nodes(), step):
            if contexts or not isinstance(node, Context):
                nodes += 1
                out.write(f"  {_quoted(node.uid)} [{_node(node)}];\n")
        for event in counted(piece.events(), step):
            edges += 1
            out.write(f"  {_edge(event)};\n")
        if contexts:
            for context, member, _ in counted(piece.members(), step):
                edges += 1
                out.write(f"  {_quoted(context)} -> {_quoted(member)} [style=dotted, arrowhead=none];\n")
            for child, parent in counted(piece.parents(), step):
                edges += 1
                out.write(f"  {_quoted(parent)} -> {_quoted(child)} [style=dotted, arrowhead=empty];\n")
        out.write("}\n")
    return Exported(nodes, edges)


def _node(node: Artifact | Execution | Context) -> str:
    label = [
        node.name or node.uid,
        node.type if node.type_version is None else f"{node.type}@{node.type_version}",
    ]
    looks = _LOOKS[type(node)]
    if node.removed_at is not None:
        label.append("removed")
        looks = looks.replace("filled", "dashed")
    elif isinstance(node, Execution) and node.state == "FAILED":
        label.append("failed")
        looks = looks.replace("#b3792f", "#b3302f")
    elif isinstance(node, Artifact) and node.state != "LIVE":
        label.append(node.state.lower())
        looks = looks.replace("filled", "dashed")
    return f"label={_label(label)}, {looks}, tooltip={_quoted(node.uid)}"


def _edge(event: Event) -> str:
    ends = (event.artifact, event.execution) if event.kind in READ else (event.execution, event.artifact)
    said = []
    if event.path:
        said.append(f"label={_quoted('.'.join(map(str, event.path)))}")
    if event.kind.startswith("INTERNAL"):
        said.append('color="#aaaaaa"')
    elif event.kind == "PENDING_OUTPUT":
        said.append("style=dashed")
    arrow = f"{_quoted(ends[0])} -> {_quoted(ends[1])}"
    return f"{arrow} [{', '.join(said)}]" if said else arrow


def _label(lines: list[str]) -> str:
    short = [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…" for line in lines]
    return '"' + "\\n".join(_escaped(line) for line in short) + '"'


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"')
