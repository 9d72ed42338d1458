"""The graph as PROV-JSON.

An artifact is an *entity*, an execution an *activity*, whoever ran it an *agent*, a context an entity that is
a collection. What was read is ``used``, what was written ``wasGeneratedBy`` with its path as role; who belongs
to a context is a member of it (``hadMember``; an execution, which cannot be one, ``wasInfluencedBy`` it).

Source:
    W3C PROV-DM and the PROV-JSON member submission. What they have no word for stands under the prefix
    ``whence``; typed properties under ``p``, custom ones under ``c``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

from whence._base.progress import progress
from whence.metadata.exchange.piece import Piece
from whence.metadata.exchange.sink import Destination, Exported, Sections, counted, written
from whence.metadata.exchange.values import to_text, type_of
from whence.metadata.rows import kind_of
from whence.metadata.types import (
    Artifact,
    Context,
    Event,
    Execution,
    NodeKind,
    Properties,
    PropertyType,
    Value,
)

PREFIXES: Final = {
    "whence": "urn:whence:",
    "node": "urn:whence:node:",
    "agent": "urn:whence:agent:",
    "type": "urn:whence:type:",
    "p": "urn:whence:property:",
    "c": "urn:whence:custom:",
}
DATATYPES: Final[dict[PropertyType, str]] = {
    "INT": "xsd:long",
    "DOUBLE": "xsd:double",
    "BOOLEAN": "xsd:boolean",
    "PROTO": "xsd:base64Binary",
    "STRUCT": "whence:json",
}
USED: Final = frozenset({"INPUT", "DECLARED_INPUT", "INTERNAL_INPUT"})
GENERATED: Final = frozenset({"OUTPUT", "DECLARED_OUTPUT", "INTERNAL_OUTPUT"})
PLAIN: Final = {"used": "INPUT", "wasGeneratedBy": "OUTPUT"}
"""The event a relation is when nothing else is said."""

SECTIONS: Final = (
    "entity",
    "activity",
    "agent",
    "used",
    "wasGeneratedBy",
    "wasAssociatedWith",
    "hadMember",
    "wasInfluencedBy",
)
_is_plain: Final = re.compile(r"[\w.-]*", re.ASCII).fullmatch
# States in which an execution goes on.
_OPEN: Final = frozenset({"UNKNOWN", "NEW", "RUNNING"})


def write_prov(piece: Piece, to: Destination, *, replace: bool = False) -> Exported:
    """Write a piece of the graph as one PROV-JSON document.

    `read_prov` makes the same nodes, edges and values of it: names, states, times, namespaces, bases of types, and why
    and by whom a node was removed. Ids, earlier revisions and marks are not in it. It is the graph of one moment. The
    file is there whole or not at all, and is written in one pass: memory does not grow with it.

    Args:
        piece: What to write.
        to: A path or an open text file.
        replace: A file that is there is replaced.

    Raises:
        ConflictError: A file is there (``file-exists``).

    Example:
        >>> import io, json
        >>> from whence.metadata import Artifact, Change, Put, Type, open_store
        >>> store = open_store("memory://")
        >>> _ = store.put_type(Type("artifact", "Table", {"n_rows": "INT"}))
        >>> raw = Artifact(type="Table", name="raw", properties={"n_rows": 3}, uid="01JG0000000000000000000000")
        >>> _ = store.write(Change(puts=[Put(raw)]))
        >>> out = io.StringIO()
        >>> write_prov(Piece.of(store), out)
        Exported(nodes=1, edges=0)
        >>> json.loads(out.getvalue())["entity"]["node:01JG0000000000000000000000"]["p:n_rows"]
        {'$': '3', 'type': 'xsd:long'}
    """
    with (
        written(to, replace=replace) as out,
        piece.still() as piece,
        progress("exporting") as step,
        Sections(SECTIONS) as parts,
    ):
        document = _Document(parts, piece.bases)
        nodes = 0
        for node in counted(piece.nodes(), step):
            nodes += 1
            document.node(node)
        for event in counted(piece.events(), step):
            document.event(event)
        for context, member, kind in counted(piece.members(), step):
            document.member(context, member, kind)
        for child, parent in counted(piece.parents(), step):
            document.relate("hadMember", {"prov:collection": _node(parent), "prov:entity": _node(child)})
        out.write('{\n"prefix": ' + json.dumps(PREFIXES))
        for name in SECTIONS:
            if parts.n[name]:
                out.write(f',\n"{name}": {{\n')
                parts.write(name, out)
                out.write("\n}")
        out.write("\n}\n")
        return Exported(nodes, document.edges)


class _Document:
    """Fills the sections of one document."""

    def __init__(self, parts: Sections, bases: Mapping[tuple[NodeKind, str, str | None], str]) -> None:
        self._parts = parts
        self._bases = bases
        self._agents: set[str] = set()
        self.edges = 0

    def node(self, node: Artifact | Execution | Context) -> None:
        said: dict[str, object] = {"prov:type": [_name("type", node.type)]}
        if isinstance(node, Context):
            said["prov:type"] = [_name("type", node.type), {"$": "prov:Collection", "type": "xsd:QName"}]
        if node.name is not None:
            said["prov:label"] = node.name
        if isinstance(node, Artifact):
            if node.uri is not None:
                said["prov:location"] = {"$": node.uri, "type": "xsd:anyURI"}
            said["whence:state"] = node.state
        elif isinstance(node, Execution):
            said |= _times(node)
            said["whence:state"] = node.state
            self._associated(node)
        for key, value in (
            ("type_version", node.type_version),
            ("base", self._bases.get((kind_of(node), node.type, node.type_version))),
            ("external_id", node.external_id),
            ("namespace", None if node.namespace == "default" else node.namespace),
        ):
            if value is not None:
                said[f"whence:{key}"] = value
        for key, moment in (
            ("created_at", node.created_at),
            ("updated_at", node.updated_at),
            ("removed_at", node.removed_at),
        ):
            if moment is not None:
                said[f"whence:{key}"] = _time(moment)
        said |= _properties("p", node.properties) | _properties("c", node.custom)
        section = "activity" if isinstance(node, Execution) else "entity"
        self._add(section, _node(node.uid), said)

    def event(self, event: Event) -> None:
        execution, artifact = _node(event.execution), _node(event.artifact)
        said: dict[str, object] = {}
        if event.at is not None:
            said["prov:time"] = event.at.isoformat()
        if event.path:
            said["prov:role"] = {"$": to_text(list(event.path)), "type": "whence:json"}
        if event.kind in USED:
            relation, ends = "used", {"prov:activity": execution, "prov:entity": artifact}
        elif event.kind in GENERATED:
            relation, ends = "wasGeneratedBy", {"prov:entity": artifact, "prov:activity": execution}
        else:  # expected and not made: an influence is all that can be said
            relation, ends = "wasInfluencedBy", {"prov:influencee": artifact, "prov:influencer": execution}
            if "prov:time" in said:
                said["whence:at"] = {"$": said.pop("prov:time"), "type": "xsd:dateTime"}
        if PLAIN.get(relation) != event.kind:
            said["whence:event"] = event.kind
        self.relate(relation, {**ends, **said})

    def member(self, context: str, node: str, kind: NodeKind) -> None:
        if kind == "artifact":
            self.relate("hadMember", {"prov:collection": _node(context), "prov:entity": _node(node)})
        else:
            self.relate(
                "wasInfluencedBy", {"prov:influencee": _node(node), "prov:influencer": _node(context)}
            )

    def relate(self, relation: str, said: dict[str, object]) -> None:
        self._add(relation, f"_:{relation}{self._parts.n[relation] + 1}", said)
        self.edges += 1

    def _associated(self, node: Execution) -> None:
        principal = node.properties.get("principal")
        if not isinstance(principal, str) or not principal:
            return
        agent = "agent:" + _quoted(principal)
        if principal not in self._agents:
            self._agents.add(principal)
            self._add("agent", agent, {"prov:label": principal})
        name = f"_:wasAssociatedWith{self._parts.n['wasAssociatedWith'] + 1}"
        self._add("wasAssociatedWith", name, {"prov:activity": _node(node.uid), "prov:agent": agent})

    def _add(self, section: str, name: str, said: dict[str, object]) -> None:
        separator = ",\n" if self._parts.n[section] else ""
        self._parts.add(section, f'{separator}"{name}": {msgspec.json.encode(said).decode()}')


def _node(uid: str) -> str:
    return "node:" + _quoted(uid)


def _quoted(text: str) -> str:
    return text if _is_plain(text) else quote(text, safe="-._")


def _name(prefix: str, name: str) -> dict[str, str]:
    return {"$": f"{prefix}:{_quoted(name)}", "type": "xsd:QName"}


def _time(moment: datetime) -> dict[str, str]:
    return {"$": moment.isoformat(), "type": "xsd:dateTime"}


def _times(node: Execution) -> dict[str, object]:
    """When an execution began and ended, by its own words or by what the store saw."""
    began = _moment(node.properties.get("started_at")) or node.created_at
    ended = None if node.state in _OPEN else _moment(node.properties.get("finished_at")) or node.updated_at
    return {
        name: moment.isoformat()
        for name, moment in (("prov:startTime", began), ("prov:endTime", ended))
        if moment is not None
    }


def _moment(value: Value) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _properties(prefix: str, properties: Properties) -> dict[str, object]:
    said: dict[str, object] = {}
    for name, value in properties.items():
        if value is None:
            continue  # PROV has no word for a value that is absent
        kind = type_of(value)
        key = f"{prefix}:{_quoted(name)}"
        said[key] = value if kind == "STRING" else {"$": to_text(value), "type": DATATYPES[kind]}
    return said
