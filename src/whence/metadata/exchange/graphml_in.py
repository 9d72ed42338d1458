"""GraphML that tells kinds and types, as nodes and edges of the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import IO, Final, cast, get_args
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError, iterparse

from whence.errors import NotFoundError, UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.exchange.draft import Draft, Found
from whence.metadata.exchange.graphml import OURS, READ
from whence.metadata.exchange.sink import Received
from whence.metadata.exchange.values import from_text
from whence.metadata.rows import KINDS
from whence.metadata.types import Event, EventKind, PropertyType, Value

_TYPES: Final[Mapping[str, PropertyType]] = {
    "boolean": "BOOLEAN",
    "int": "INT",
    "long": "INT",
    "float": "DOUBLE",
    "double": "DOUBLE",
    "string": "STRING",
}
_EVENTS: Final[frozenset[str]] = frozenset(get_args(EventKind))


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    type: PropertyType
    held: str


def read_graphml(store: MetadataStore, source: Path | str | IO[bytes]) -> Received:
    """Bring a GraphML document that `write_graphml` (or a program with its words) wrote into the graph.

    Every node needs the data ``kind`` (artifact, execution or context) and ``type``; every edge a ``kind``: one of
    the seven events, MEMBER or PARENT. All of it is written or nothing: the whole is tried before the first write. A
    second time changes nothing: nodes whose uid, or whose type and name, are known stay as they are.

    Raises:
        UsageError: It is not GraphML, or a node or edge does not say what it is (``bad-document``); something in it
            is more than a graph keeps (``too-long``, ``too-large``, …).
        NotFoundError: The file is absent.
        ConflictError: A stored type has a property of another type (``type-conflict``), and as `Draft.commit` says.

    Example:
        >>> import io
        >>> from whence.metadata import open_store
        >>> text = '''<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
        ...   <key id="k" for="node" attr.name="kind" attr.type="string"/>
        ...   <key id="t" for="node" attr.name="type" attr.type="string"/>
        ...   <graph edgedefault="directed">
        ...     <node id="raw"><data key="k">artifact</data><data key="t">Table</data></node>
        ...   </graph></graphml>'''
        >>> read_graphml(open_store("memory://"), io.BytesIO(text.encode()))
        Received(nodes=1, edges=0, new=1, left_out={})
    """
    draft = Draft()
    edges: list[tuple[str, str, dict[str, Value]]] = []
    try:
        for said in _elements(source):
            if isinstance(said, Found):
                draft.add(said)
            else:
                edges.append(said)
    except FileNotFoundError as error:
        raise NotFoundError("file", str(source)) from error
    except (ParseError, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        raise UsageError(f"this is not GraphML: {error}", code="bad-document") from error
    for source_uid, target_uid, data in edges:
        _add_edge(draft, source_uid, target_uid, data)
    return draft.commit(store)


def _elements(source: Path | str | IO[bytes]) -> Iterator[Found | tuple[str, str, dict[str, Value]]]:
    keys: dict[str, _Key] = {}
    seen_root = False
    for event, element in iterparse(source, events=("start", "end")):  # noqa: S314 - expat bounds what entities grow to
        tag = element.tag.rpartition("}")[2]
        if not seen_root:
            seen_root = True
            if tag != "graphml":
                raise UsageError(f"this is not GraphML: it begins with <{tag}>", code="bad-document")
        if event == "start":
            continue
        if tag == "key":
            keys[element.get("id", "")] = _key(element)
        elif tag == "node":
            yield _node(element, _data(element, keys))
            element.clear()
        elif tag == "edge":
            ends = unquote(element.get("source", "")), unquote(element.get("target", ""))
            yield (*ends, _data(element, keys))
            element.clear()


def _key(element: Element) -> _Key:
    type_ = _TYPES.get(element.get("attr.type", "string"))
    if type_ is None:
        raise UsageError(
            f"a key has the type {element.get('attr.type')!r}", code="bad-document", near=sorted(_TYPES)
        )
    return _Key(element.get("attr.name", element.get("id", "")), type_, element.get(f"{{{OURS}}}as", ""))


def _data(element: Element, keys: Mapping[str, _Key]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for data in element:
        if data.tag.rpartition("}")[2] != "data":
            continue
        key = keys.get(data.get("key", ""))
        if key is None:
            raise UsageError(f"no key {data.get('key')!r} is declared", code="bad-document")
        words = key.held.split()
        name = key.name
        if "NAMED" in words:
            name = _only(from_text(name, "STRUCT"))
            words.remove("NAMED")
        text = data.text or ""
        if words == ["TEXT"]:
            found[name] = _only(from_text(text, "STRUCT"))
        else:
            found[name] = from_text(text, cast("PropertyType", words[0]) if words else key.type)
    return found


def _only(value: Value) -> str:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    raise UsageError("a text is not spelled as a list of one", code="bad-document")


def _node(element: Element, data: dict[str, Value]) -> Found:
    uid = unquote(element.get("id", ""))
    kind, type_ = data.get("kind"), data.get("type")
    if kind not in KINDS or not isinstance(type_, str):
        raise UsageError(
            f"node {uid!r} does not say what it is",
            code="bad-document",
            hint="give it the data kind (artifact, execution or context) and type",
        )
    found = Found(kind, type_, uid)
    for name, value in data.items():
        part, dot, rest = name.partition(".")
        if dot and part in {"p", "c"}:
            (found.properties if part == "p" else found.custom)[rest] = value
        elif name in {"type_version", "base", "name", "external_id", "namespace", "uri", "state"}:
            setattr(found, name, str(value))
        elif name in {"created_at", "updated_at", "removed_at"}:
            setattr(found, name, read_time(str(value)))
        elif name not in {"kind", "type"}:
            found.custom[name] = value  # another program's data
    return found


def _add_edge(draft: Draft, source: str, target: str, data: dict[str, Value]) -> None:
    kind = data.get("kind")
    if kind in {"MEMBER", "PARENT"}:
        draft.add_member(source, target)
        return
    if kind not in _EVENTS:
        raise UsageError(
            f"the edge from {source!r} to {target!r} does not say what it is",
            code="bad-document",
            hint="give it the data kind: an event such as INPUT or OUTPUT, MEMBER or PARENT",
            near=sorted(_EVENTS),
        )
    execution, artifact = (target, source) if kind in READ else (source, target)
    path, at = data.get("path"), data.get("at")
    draft.add_event(
        Event(
            execution,
            artifact,
            cast("EventKind", kind),
            read_path(path) if isinstance(path, str) else (),
            read_time(at) if isinstance(at, str) else None,
        )
    )


def read_path(text: str) -> tuple[str | int, ...]:
    """An event's path: a JSON list of texts and whole numbers, or one plain text.

    Example:
        >>> read_path('["model",0]'), read_path("model")
        (('model', 0), ('model',))
    """
    if not text.startswith("["):
        return (text,)
    steps = from_text(text, "STRUCT")
    if not isinstance(steps, list) or not all(type(step) in {str, int} for step in steps):
        raise UsageError(f"{text[:80]!r} is no path of an event", code="bad-document")
    return tuple(cast("list[str | int]", steps))


def read_time(text: str, *, zone: tzinfo | None = None) -> datetime:
    """A time in ISO 8601 with its zone, or in `zone` when it names none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text[:80]!r} is no time in ISO 8601", code="bad-document") from error
    if moment.tzinfo is None and zone is not None:
        return moment.replace(tzinfo=zone)
    if moment.tzinfo is None:
        raise UsageError(f"the time {text!r} has no zone", code="bad-document", hint="add Z or +00:00")
    return moment
