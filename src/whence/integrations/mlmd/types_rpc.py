"""The methods about types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from whence.integrations.mlmd.convert import type_from, type_to
from whence.integrations.mlmd.errors import absent, invalid, taken, unimplemented
from whence.integrations.mlmd.graph import Graph
from whence.integrations.mlmd.wire import Message
from whence.metadata import NodeKind, Type
from whence.metadata.rows import KINDS

Method = Callable[[Graph, Message, Message], None]
"""Fills a response from a request."""


def put_type(graph: Graph, message: Message, kind: NodeKind, *, add: bool, omit: bool) -> int:
    """Store a type, or find it stored; its id."""
    given = type_from(message, kind)
    stored = graph.find_type(kind, given.name, given.version)
    if stored is not None and graph.is_simple(stored):
        assert stored.id is not None
        return stored.id
    if stored is not None:
        graph.types(kind)  # another process may have extended it
        stored = graph.find_type(kind, given.name, given.version) or stored
        _check_fits(stored, given, message, add=add, omit=omit)
    made = graph.put_type(given, extend=add)
    assert made.id is not None
    return made.id


def _check_fits(stored: Type, given: Type, message: Message, *, add: bool, omit: bool) -> None:
    what = "Type already exists with different properties: "
    for name, want in given.properties.items():
        if stored.properties.get(name, want) != want:
            raise taken(what + f"Conflicting property value type found in stored and given types: {name}")
    if not add and given.properties.keys() - stored.properties.keys():
        raise taken(what + "can_add_fields is false while the given type has more properties")
    if not omit and stored.properties.keys() - given.properties.keys():
        raise taken(what + "can_omit_fields is false while stored type has more properties")
    if stored.base is not None and message.HasField("base_type"):
        if given.base is None:
            raise unimplemented("base_type deletion is not supported yet")
        if given.base != stored.base:
            raise unimplemented("base_type update is not supported yet")


def _refuse_deprecated(request: Message) -> None:
    if not request.all_fields_match:
        raise unimplemented("Must match all fields.")
    if request.can_delete_fields:
        raise unimplemented("Updating (deleting) fields is not supported yet.")


def put_types(graph: Graph, request: Message, response: Message) -> None:
    """PutTypes: types of all kinds."""
    _refuse_deprecated(request)
    for kind in KINDS:
        ids = getattr(response, f"{kind}_type_ids")
        for message in getattr(request, f"{kind}_types"):
            ids.append(
                put_type(graph, message, kind, add=request.can_add_fields, omit=request.can_omit_fields)
            )


def _put_one(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        if not request.HasField(f"{kind}_type"):
            raise invalid("No type is given.")
        _refuse_deprecated(request)
        message = getattr(request, f"{kind}_type")
        response.type_id = put_type(
            graph, message, kind, add=request.can_add_fields, omit=request.can_omit_fields
        )

    return method


def _get_one(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        found = graph.find_type(kind, request.type_name, request.type_version or None)
        if found is None:
            version = request.type_version or "nullopt"
            raise absent(f"No type found for query, name: `{request.type_name}`, version: `{version}`")
        fresh = next((t for t in graph.types(kind) if t.id == found.id), found)
        getattr(response, f"{kind}_type").CopyFrom(type_to(fresh))

    return method


def _get_all(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:  # noqa: ARG001 - it has no fields
        types = [t for t in graph.types(kind) if not graph.is_simple(t)]
        getattr(response, f"{kind}_types").extend(type_to(t) for t in types)

    return method


def types_by_id(graph: Graph, kind: NodeKind, ids: Iterable[int]) -> list[Message]:
    """The messages of the types with these ids, by id; absent ones are left out."""
    wanted = set(ids)
    return [type_to(t) for t in graph.types(kind) if t.id in wanted]


def _get_by_id(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        getattr(response, f"{kind}_types").extend(types_by_id(graph, kind, request.type_ids))

    return method


def _get_by_external_ids(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        if not all(request.external_ids):
            raise invalid("Invalid argument because at least one empty external_id exists.")
        wanted = set(request.external_ids)
        found = [t for t in graph.types(kind) if t.external_id in wanted]
        if wanted and not found:
            raise absent("No types found for external_ids.")
        getattr(response, f"{kind}_types").extend(type_to(t) for t in found)

    return method


def _methods() -> dict[str, Method]:
    out: dict[str, Method] = {"PutTypes": put_types}
    for kind in KINDS:
        name = kind.capitalize()
        out[f"Put{name}Type"] = _put_one(kind)
        out[f"Get{name}Type"] = _get_one(kind)
        out[f"Get{name}Types"] = _get_all(kind)
        out[f"Get{name}TypesByID"] = _get_by_id(kind)
        out[f"Get{name}TypesByExternalIds"] = _get_by_external_ids(kind)
    return out


TYPE_METHODS: Final = _methods()
