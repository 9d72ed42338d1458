"""The methods that write and find nodes of one kind."""

from __future__ import annotations

from typing import Final

from whence.integrations.mlmd.convert import node_to
from whence.integrations.mlmd.draft import Draft
from whence.integrations.mlmd.errors import absent, invalid
from whence.integrations.mlmd.graph import Graph, Wanted
from whence.integrations.mlmd.paging import fill_page
from whence.integrations.mlmd.types_rpc import Method, types_by_id
from whence.integrations.mlmd.wire import Message
from whence.metadata import AnyNode, Context, NodeKind
from whence.metadata.rows import KINDS

_NO_URI: Final = "uri IS NULL OR uri = ''"


def message_of(graph: Graph, node: AnyNode, kind: NodeKind) -> Message:
    """The message of a stored node."""
    return node_to(node, id_=graph.wire_id(node), type_id=graph.type_id(node, kind))


def _put(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        messages = getattr(request, f"{kind}s")
        unchanged = kind == "artifact" and request.options.abort_if_latest_updated_time_changed
        draft = Draft(graph, mask=frozenset(request.update_mask.paths), unchanged=unchanged)
        draft.read(kind, [m.id for m in messages if m.HasField("id")])
        uids = [draft.node(kind, message) for message in messages]
        draft.commit()
        getattr(response, f"{kind}_ids").extend(draft.id(uid) for uid in uids)

    return method


def _get_by_id(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        nodes = graph.nodes(kind, getattr(request, f"{kind}_ids"))
        getattr(response, f"{kind}s").extend(message_of(graph, n, kind) for n in nodes)
        if kind == "artifact" and request.populate_artifact_types:
            used = {graph.type_id(n, kind) for n in nodes}
            response.artifact_types.extend(types_by_id(graph, kind, used))

    return method


def _get_all(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        fill_page(graph, kind, request, getattr(response, f"{kind}s"), response)

    return method


def _get_by_type(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        if not request.type_name:
            return
        wanted = Wanted(type_=request.type_name, version=request.type_version or None)
        fill_page(graph, kind, request, getattr(response, f"{kind}s"), response, wanted=wanted, whole=True)

    return method


def _get_by_type_and_name(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        name = getattr(request, f"{kind}_name")
        if not name or not request.type_name:
            return
        wanted = Wanted(type_=request.type_name, version=request.type_version or None, name=name)
        for node in graph.find(kind, wanted):
            getattr(response, kind).CopyFrom(message_of(graph, node, kind))

    return method


def _get_by_external_ids(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        if not all(request.external_ids):
            raise invalid("Invalid argument because at least one empty external_id exists.")
        found = [
            node
            for external_id in dict.fromkeys(request.external_ids)
            for node in graph.find(kind, Wanted(external_id=external_id))
        ]
        if request.external_ids and not found:
            raise absent(f"No {kind}s found for external_ids.")
        getattr(response, f"{kind}s").extend(
            message_of(graph, n, kind) for n in sorted(found, key=graph.wire_id)
        )

    return method


def get_artifacts_by_uri(graph: Graph, request: Message, response: Message) -> None:
    """GetArtifactsByURI; an artifact without a uri has the empty one."""
    for uri in dict.fromkeys(request.uris):
        found = graph.find("artifact", Wanted(uri=uri) if uri else Wanted(matching=_NO_URI))
        response.artifacts.extend(message_of(graph, n, "artifact") for n in found)


def _get_by_context(kind: NodeKind) -> Method:
    def method(graph: Graph, request: Message, response: Message) -> None:
        context = graph.context(request.context_id)
        if isinstance(context, Context):
            wanted = Wanted(context=context.uid)
            fill_page(graph, kind, request, getattr(response, f"{kind}s"), response, wanted=wanted)

    return method


def _methods() -> dict[str, Method]:
    out: dict[str, Method] = {"GetArtifactsByURI": get_artifacts_by_uri}
    for kind in KINDS:
        name = kind.capitalize()
        out[f"Put{name}s"] = _put(kind)
        out[f"Get{name}s"] = _get_all(kind)
        out[f"Get{name}sByID"] = _get_by_id(kind)
        out[f"Get{name}sByType"] = _get_by_type(kind)
        out[f"Get{name}ByTypeAndName"] = _get_by_type_and_name(kind)
        out[f"Get{name}sByExternalIds"] = _get_by_external_ids(kind)
        if kind != "context":
            out[f"Get{name}sByContext"] = _get_by_context(kind)
    return out


NODE_METHODS: Final = _methods()
