"""The graph as GraphML, which programs that lay out and search graphs read.

Every node is a node, with its kind as data; every edge points the way data flowed: from what was read to the
execution, from the execution to what it wrote, from a context to its members and to its child contexts.

Source:
    The GraphML format, attributes extension: a key has a name and a type. Several keys may have one name, when
    a property has one type here and another there. What is neither number nor plain text has a key with
    ``whence:as``, the type of property that its text holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from whence._base.progress import progress
from whence.metadata.exchange.piece import Piece
from whence.metadata.exchange.sink import Destination, Exported, Sections, counted, written
from whence.metadata.exchange.values import to_text, type_of
from whence.metadata.rows import kind_of
from whence.metadata.types import INPUT_KINDS, Artifact, Context, Event, Execution, NodeKind, Value

XMLNS: Final = "http://graphml.graphdrawing.org/xmlns"
OURS: Final = "urn:whence:graphml"
READ: Final = INPUT_KINDS | {"INTERNAL_INPUT"}

Side: TypeAlias = Literal["node", "edge"]
# XML 1.0 has no way to write these characters, not even by number; a lone line end would come back as another.
_UNSPEAKABLE: Final = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNSAFE: Final = re.compile(f"%|{_UNSPEAKABLE.pattern}")
_ODD: Final = re.compile(f"[&<>]|{_UNSPEAKABLE.pattern}")
_is_plain: Final = re.compile(r"[\w.-]*", re.ASCII).fullmatch
_TYPES: Final = {"BOOLEAN": "boolean", "INT": "long", "DOUBLE": "double"}


def write_graphml(piece: Piece, to: Destination, *, replace: bool = False) -> Exported:
    """Write a piece of the graph as one GraphML document.

    `read_graphml` makes the same nodes, edges and values of it: names, states, times, namespaces, bases of types, and
    why and by whom a node was removed. Ids, earlier revisions and marks are not in it. It is the graph of one moment.
    The file is there whole or not at all, and is written in one pass: memory does not grow with it.

    Args:
        piece: What to write.
        to: A path or an open text file.
        replace: A file that is there is replaced.

    Raises:
        ConflictError: A file is there (``file-exists``).

    Example:
        >>> import io
        >>> from whence.metadata import Artifact, Change, Put, Type, open_store
        >>> store = open_store("memory://")
        >>> _ = store.put_type(Type("artifact", "Table", {"n_rows": "INT"}))
        >>> _ = store.write(Change(puts=[Put(Artifact(type="Table", name="raw", properties={"n_rows": 3}))]))
        >>> out = io.StringIO()
        >>> write_graphml(Piece.of(store), out)
        Exported(nodes=1, edges=0)
        >>> [line.strip() for line in out.getvalue().splitlines() if "n_rows" in line]
        ['<key id="k6" for="node" attr.name="p.n_rows" attr.type="long"/>']
    """
    with (
        written(to, replace=replace) as out,
        piece.still() as piece,
        progress("exporting") as step,
        Sections(["graph"]) as parts,
    ):
        document = _Document(parts, piece.bases)
        nodes = edges = 0
        for node in counted(piece.nodes(), step):
            nodes += 1
            document.node(node)
        for event in counted(piece.events(), step):
            edges += 1
            document.event(event)
        for context, member, _ in counted(piece.members(), step):
            edges += 1
            document.edge(context, member, "MEMBER")
        for child, parent in counted(piece.parents(), step):
            edges += 1
            document.edge(parent, child, "PARENT")
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        out.write(f'<graphml xmlns="{XMLNS}" xmlns:whence="{OURS}">\n')
        out.writelines(f"  {key}\n" for key in document.declared())
        out.write('  <graph id="whence" edgedefault="directed">\n')
        parts.write("graph", out)
        out.write("  </graph>\n</graphml>\n")
        return Exported(nodes, edges)


class _Document:
    """Writes nodes and edges, and keeps the keys they used."""

    def __init__(self, parts: Sections, bases: Mapping[tuple[NodeKind, str, str | None], str]) -> None:
        self._parts = parts
        self._bases = bases
        self._keys: dict[tuple[Side, str, str, str], str] = {}

    def declared(self) -> Iterator[str]:
        """The declarations of the keys."""
        for (side, name, type_, held), key in self._keys.items():
            more = f' whence:as="{held}"' if held else ""
            yield f'<key id="{key}" for="{side}" attr.name={quoteattr(name)} attr.type="{type_}"{more}/>'

    def node(self, node: Artifact | Execution | Context) -> None:
        said: list[tuple[str, Value]] = [("kind", kind_of(node)), ("type", node.type)]
        base = self._bases.get((kind_of(node), node.type, node.type_version))
        said += [("type_version", node.type_version), ("base", base)]
        said += [("name", node.name), ("external_id", node.external_id)]
        if isinstance(node, Artifact):
            said.append(("uri", node.uri))
        if not isinstance(node, Context):
            said.append(("state", node.state))
        if node.namespace != "default":
            said.append(("namespace", node.namespace))
        said += [
            (name, moment.isoformat())
            for name, moment in (
                ("created_at", node.created_at),
                ("updated_at", node.updated_at),
                ("removed_at", node.removed_at),
            )
            if moment is not None
        ]
        said += [(f"p.{name}", value) for name, value in node.properties.items()]
        said += [(f"c.{name}", value) for name, value in node.custom.items()]
        self._parts.add("graph", f"    <node id={_attribute(node.uid)}>{self._data('node', said)}</node>\n")

    def event(self, event: Event) -> None:
        ends = (event.artifact, event.execution) if event.kind in READ else (event.execution, event.artifact)
        path = to_text(list(event.path)) if event.path else None
        self.edge(*ends, event.kind, [("path", path), ("at", event.at.isoformat() if event.at else None)])

    def edge(self, source: str, target: str, kind: str, more: list[tuple[str, Value]] | None = None) -> None:
        data = self._data("edge", [("kind", kind), *(more or ())])
        self._parts.add(
            "graph", f"    <edge source={_attribute(source)} target={_attribute(target)}>{data}</edge>\n"
        )

    def _data(self, side: Side, said: list[tuple[str, Value]]) -> str:
        return "".join(self._datum(side, name, value) for name, value in said if value is not None)

    def _datum(self, side: Side, name: str, value: Value) -> str:
        if isinstance(value, str) and not _ODD.search(value):  # nearly all there is
            key = self._keys.get((side, name, "string", ""))
            if key is not None:
                return f'<data key="{key}">{value}</data>'
        kind = type_of(value)
        text = to_text(value)
        type_ = _TYPES.get(kind, "string")
        held: str = "" if kind in _TYPES or kind == "STRING" else kind
        if kind == "STRING" and _UNSPEAKABLE.search(text):
            text, held = (
                to_text([text]),
                "TEXT",
            )  # a list of one text is JSON, where every character has a name
        if _UNSPEAKABLE.search(name):
            name, held = _spelled(to_text([name])), f"{held} NAMED".strip()
        key = self._keys.setdefault((side, name, type_, held), f"k{len(self._keys)}")
        return f'<data key="{key}">{escape(_spelled(text))}</data>'


def _spelled(json: str) -> str:
    """JSON with its own escapes for the few characters that JSON may hold raw and XML may not."""
    return _UNSPEAKABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def _attribute(uid: str) -> str:
    return (
        f'"{uid}"' if _is_plain(uid) else quoteattr(_UNSAFE.sub(lambda found: quote(found[0], safe=""), uid))
    )
