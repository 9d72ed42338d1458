"""PROV-JSON, ours or another program's, as nodes and edges of the graph."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO, TypeAlias, cast
from urllib.parse import unquote

from whence._base.ids import derived_uid
from whence.errors import NotFoundError, UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.exchange.draft import Draft, Found
from whence.metadata.exchange.graphml_in import read_path, read_time
from whence.metadata.exchange.prov import DATATYPES, GENERATED, PLAIN, PREFIXES, USED
from whence.metadata.exchange.sink import Received
from whence.metadata.exchange.values import from_text
from whence.metadata.types import Event, EventKind, NodeKind, PropertyType, Value

Record: TypeAlias = Mapping[str, Any]  # Any: a JSON object of another program

_KINDS: Final[dict[str, tuple[NodeKind, str]]] = {
    "entity": ("artifact", "Entity"),
    "activity": ("execution", "Activity"),
    "agent": ("context", "Agent"),
}
"""Of each element of PROV: its kind of node, and the type of one that names none."""
_XSD: Final[dict[str, PropertyType]] = {
    **{datatype: kind for kind, datatype in DATATYPES.items()},
    "xsd:int": "INT",
    "xsd:integer": "INT",
    "xsd:short": "INT",
    "xsd:byte": "INT",
    "xsd:unsignedInt": "INT",
    "xsd:nonNegativeInteger": "INT",
    "xsd:positiveInteger": "INT",
    "xsd:float": "DOUBLE",
    "xsd:decimal": "DOUBLE",
}
# Relations that say what the graph says with an edge; the others are counted and left out.
_READ: Final = frozenset(
    {
        "used",
        "wasGeneratedBy",
        "wasAssociatedWith",
        "wasAttributedTo",
        "wasDerivedFrom",
        "hadMember",
        "wasInfluencedBy",
    }
)
_ELSEWHERE: Final = frozenset({"prefix", "entity", "activity", "agent"})
_WORDS: Final = frozenset({"state", "type_version", "base", "external_id", "namespace"})
_TIMES: Final = frozenset({"created_at", "updated_at", "removed_at"})
_ONCE: Final = frozenset({"prov:startTime", "prov:endTime"})
"""Attributes of which PROV lets a thing have one value only."""


def read_prov(store: MetadataStore, source: Path | str | TextIO) -> Received:
    """Bring a PROV-JSON document into the graph.

    What `write_prov` wrote comes back as it was. Of another program's document entities become artifacts, activities
    executions, agents contexts of type ``Agent``, collections contexts; ``prov:type`` names the type of the node,
    other attributes are its custom properties, and its uid is derived from its identifier, so that documents that
    speak of the same thing meet; a time without a zone is UTC. Several records of one identifier are one thing with
    the attributes of all, an attribute with several values a list; an agent that is an entity or activity too is two
    nodes. A derivation that names no activity gets an execution of type ``Derivation``. Relations the graph has no edge
    for are counted in `Received.left_out`. All of it is written or nothing: the whole is tried before the first write.
    A second time changes nothing, nodes whose uid, or whose type and name, are known stay as they are.

    Raises:
        UsageError: It is not PROV-JSON, a relation lacks an end, or records of one thing contradict each other
            (``bad-document``); something in it is more than a graph keeps (``too-long``, ``too-large``, …).
        NotFoundError: The file is absent.
        ConflictError: A stored type has a property of another type (``type-conflict``), and as `Draft.commit` says.

    Example:
        >>> import io
        >>> from whence.metadata import open_store
        >>> text = '''{"prefix": {"ex": "http://example.org/"}, "entity": {"ex:raw": {}}, "activity": {"ex:train": {}},
        ...            "used": {"_:u1": {"prov:activity": "ex:train", "prov:entity": "ex:raw"}}}'''
        >>> read_prov(open_store("memory://"), io.StringIO(text))
        Received(nodes=2, edges=1, new=2, left_out={})
    """
    try:
        text = Path(source).read_text(encoding="utf-8") if isinstance(source, str | Path) else source.read()
        document = json.loads(text, object_pairs_hook=_object)
        if "\\u" in text:  # JSON can name half a character, which no text can hold
            json.dumps(document, ensure_ascii=False).encode()
    except FileNotFoundError as error:
        raise NotFoundError("file", str(source)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is not PROV-JSON: {error}", code="bad-document") from error
    if not isinstance(document, dict) or not all(isinstance(part, dict) for part in document.values()):
        raise UsageError("this is not PROV-JSON: it is no object of objects", code="bad-document")
    if not all(isinstance(meant, str) for meant in document.get("prefix", {}).values()):
        raise UsageError("this is not PROV-JSON: a prefix stands for no text", code="bad-document")
    reading = _Reading(document, hashlib.sha256(text.encode()).hexdigest())
    try:
        reading.nodes()
        reading.relations()
    except RecursionError as error:
        raise UsageError("this is not PROV-JSON: a value is too deep", code="bad-document") from error
    return reading.draft.commit(store)


class _Reading:
    """One document on its way into a draft."""

    def __init__(self, document: Mapping[str, Record], digest: str) -> None:
        self.draft = Draft()
        self._document = document
        self._digest = digest
        self._prefixes: dict[str, str] = dict(document.get("prefix", {}))
        self._ours = self._prefixes.get("node") == PREFIXES["node"]
        self._agents: dict[str, str] = {}
        """The uids of agents that are something else too."""

    def nodes(self) -> None:
        """Every entity, activity and agent."""
        for section, (kind, type_) in _KINDS.items():
            for name, said in _merged(self._document.get(section, {})):
                if section == "agent" and self._is_ours(name, "agent:"):
                    continue  # it is the property `principal` of its executions
                found = self._node(name, said, kind, type_)
                if section == "agent" and self.draft.has(found.uid):
                    # PROV lets a thing be an entity, and act as an agent too.
                    found.uid = self._agents[name] = derived_uid("prov", "agent", found.uid)
                self.draft.add(found)

    def relations(self) -> None:
        """Every relation the graph has an edge for."""
        for section, records in self._document.items():
            if section in _ELSEWHERE:
                continue
            for name, said in _each(records):
                if section in _READ:
                    getattr(self, f"_{section}")(name, said)
                else:
                    self.draft.tell(section)

    def _is_ours(self, name: str, prefix: str) -> bool:
        return self._ours and name.startswith(prefix)

    def _uid(self, name: object) -> str:
        if not isinstance(name, str) or not name:
            raise UsageError("a relation lacks one of its ends", code="bad-document")
        if self._is_ours(name, "node:"):
            return unquote(name.removeprefix("node:"))
        prefix, colon, local = name.partition(":")
        if prefix == "_":
            return derived_uid("prov", self._digest, name)
        return derived_uid("prov", self._prefixes.get(prefix, f"{prefix}:") + local if colon else name)

    def _node(self, name: str, said: Record, kind: NodeKind, type_: str) -> Found:
        types = [_plain(one) for one in _listed(said.get("prov:type"))]
        if "prov:Collection" in types:
            kind, type_ = "context", "Collection"
        named = [
            str(one) for one in types if str(one) not in {"prov:Collection", "prov:Entity", "prov:Activity"}
        ]
        if named:
            type_ = unquote(named[0].removeprefix("type:")) if self._ours else named[0].rpartition(":")[2]
        found = Found(kind, type_, self._uid(name))
        if not self._is_ours(name, "node:"):
            found.custom["prov_id"] = name
        for key, value in said.items():
            if key in _ONCE and isinstance(value, list):
                raise UsageError(f"{name!r} has several {key}", code="bad-document")
            self._attribute(found, key, value)
        return found

    def _attribute(self, found: Found, key: str, value: object) -> None:
        prefix, _, local = key.partition(":")
        if key == "prov:type":
            return
        if key == "prov:label":
            found.name = str(_plain(value)) if self._ours else found.name
            if not self._ours:
                found.custom["label"] = _value(value)
        elif key == "prov:location" and found.kind == "artifact" and not isinstance(value, list):
            found.uri = str(_plain(value))
        elif key in {"prov:startTime", "prov:endTime"} and found.kind == "execution":
            if not self._ours:
                found.properties["started_at" if key == "prov:startTime" else "finished_at"] = str(
                    _plain(value)
                )
        elif self._ours and prefix == "whence" and local in _WORDS:
            setattr(found, local, str(_plain(value)))
        elif self._ours and prefix == "whence" and local in _TIMES:
            setattr(found, local, read_time(str(_plain(value))))
        elif self._ours and prefix in {"p", "c"}:
            (found.properties if prefix == "p" else found.custom)[unquote(local)] = _value(value)
        else:
            found.custom[key] = _value(value)

    # one method a relation

    def _used(self, _: str, said: Record) -> None:
        if "prov:entity" not in said:
            self.draft.tell("used without an entity")
            return
        self._event("used", said, USED)

    def _wasGeneratedBy(self, _: str, said: Record) -> None:  # noqa: N802 - PROV's own name
        if "prov:activity" not in said:
            self.draft.tell("wasGeneratedBy without an activity")
            return
        self._event("wasGeneratedBy", said, GENERATED)

    def _path(self, role: object) -> tuple[str | int, ...]:
        """A path of ours, or the roles of another program as they are."""
        if self._ours:
            return read_path(str(_plain(role)))
        return tuple(str(_plain(one)) for one in _listed(role))

    def _time(self, text: str) -> datetime:
        """A time; PROV lets other programs leave the zone out, and it is UTC then."""
        return read_time(text, zone=None if self._ours else UTC)

    def _event(self, relation: str, said: Record, kinds: frozenset[str]) -> None:
        kind = str(said.get("whence:event", PLAIN[relation]))
        if kind not in kinds:
            raise UsageError(f"{kind!r} is no event of {relation}", code="bad-document", near=sorted(kinds))
        role, at = said.get("prov:role"), said.get("prov:time")
        execution, artifact = self._uid(said.get("prov:activity")), self._uid(said.get("prov:entity"))
        if not self._both(relation, execution, artifact):
            return
        self.draft.add_event(
            Event(
                execution,
                artifact,
                cast("EventKind", kind),
                () if role is None else self._path(role),
                None if at is None else self._time(str(_plain(at))),
            )
        )

    def _wasAssociatedWith(self, _: str, said: Record) -> None:  # noqa: N802 - PROV's own name
        agent = said.get("prov:agent")
        if isinstance(agent, str) and self._is_ours(agent, "agent:"):
            return
        self._member("wasAssociatedWith", said.get("prov:agent"), said.get("prov:activity"))

    def _wasAttributedTo(self, _: str, said: Record) -> None:  # noqa: N802 - PROV's own name
        self._member("wasAttributedTo", said.get("prov:agent"), said.get("prov:entity"))

    def _hadMember(self, _: str, said: Record) -> None:  # noqa: N802 - PROV's own name
        for entity in _listed(said.get("prov:entity")):
            self._member("hadMember", said.get("prov:collection"), entity)

    def _member(self, relation: str, context: object, node: object) -> None:
        if context is None or node is None:
            self.draft.tell(f"{relation} without both ends")
            return
        agent = None if relation == "hadMember" else self._agents.get(str(context))
        pair = agent or self._uid(context), self._uid(node)
        if not self._both(relation, *pair):
            return
        if self.draft.kind(pair[0]) != "context":
            self.draft.tell(
                f"{relation} of what is no {'collection' if relation == 'hadMember' else 'agent'}"
            )
            return
        self.draft.add_member(*pair)

    def _wasInfluencedBy(self, _: str, said: Record) -> None:  # noqa: N802 - PROV's own name
        influenced, by = said.get("prov:influencee"), said.get("prov:influencer")
        if self._ours and said.get("whence:event") == "PENDING_OUTPUT":
            at, role = said.get("whence:at"), said.get("prov:role")
            path = () if role is None else read_path(str(_plain(role)))
            moment = None if at is None else read_time(str(_plain(at)))
            self.draft.add_event(Event(self._uid(by), self._uid(influenced), "PENDING_OUTPUT", path, moment))
        elif self._ours and self.draft.kind(self._uid(by)) == "context":
            self.draft.add_member(self._uid(by), self._uid(influenced))
        else:
            self.draft.tell("wasInfluencedBy")

    def _wasDerivedFrom(self, _: str, said: Record) -> None:  # noqa: N802 - PROV's own name
        made, source = self._uid(said.get("prov:generatedEntity")), self._uid(said.get("prov:usedEntity"))
        activity = said.get("prov:activity")
        step = derived_uid("prov", "Derivation", made, source) if activity is None else self._uid(activity)
        if not self._both("wasDerivedFrom", made, source):
            return
        if activity is None and not self.draft.has(step):
            self.draft.add(Found("execution", "Derivation", step, state="COMPLETE"))
        if self._both("wasDerivedFrom", step, made):
            self.draft.add_event(Event(step, source, "INPUT"))
            self.draft.add_event(Event(step, made, "OUTPUT"))

    def _both(self, relation: str, *uids: str) -> bool:
        """Whether the document describes both ends; PROV allows to name what it does not describe."""
        if all(map(self.draft.has, uids)):
            return True
        self.draft.tell(f"{relation} of something not described")
        return False


def _each(records: Record) -> Iterator[tuple[str, Record]]:
    """The records of a section; several may share one identifier."""
    for name, said in records.items():
        for one in said if isinstance(said, list) else [said]:
            if not isinstance(one, dict):
                raise UsageError(f"{name!r} is no object", code="bad-document")
            yield name, one


def _merged(records: Record) -> Iterator[tuple[str, Record]]:
    """The things of a section, each with what all its records say."""
    for name, said in records.items():
        if not isinstance(said, list):
            yield name, next(_each({name: said}))[1]
            continue
        values: dict[str, list[object]] = {}
        for _, one in _each({name: said}):
            for key, value in one.items():
                known = values.setdefault(key, [])
                known += [v for v in _listed(value) if v not in known]
        yield name, {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; what stands under one name several times is a list, as PROV-JSON itself writes it."""
    made = dict(pairs)
    if len(made) < len(pairs):
        said = Counter(name for name, _ in pairs)
        several: dict[str, list[Any]] = {}
        for name, value in pairs:
            if said[name] > 1:
                several.setdefault(name, []).extend(_listed(value))
        made |= several
    return made


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _plain(value: object) -> object:
    return value.get("$") if isinstance(value, dict) and "$" in value else value


def _value(said: object) -> Value:
    """An attribute's value with its own type where we have one, else as text."""
    if isinstance(said, list):
        return [_value(one) for one in said]
    if isinstance(said, dict) and "$" in said:
        kind = _XSD.get(str(said.get("type", "")))
        plain = said["$"]
        return (
            from_text(plain if isinstance(plain, str) else json.dumps(plain), kind)
            if kind
            else cast("Value", plain)
        )
    return cast("Value", said)
