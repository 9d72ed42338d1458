"""The methods about what lies between nodes: events, membership of contexts, parents of contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whence.integrations.mlmd.convert import event_kind, event_to
from whence.integrations.mlmd.draft import Draft
from whence.integrations.mlmd.errors import absent, invalid, taken
from whence.integrations.mlmd.graph import Graph
from whence.integrations.mlmd.nodes_rpc import message_of
from whence.integrations.mlmd.types_rpc import Method
from whence.integrations.mlmd.wire import Message
from whence.metadata import Context, Event


def put_events(graph: Graph, request: Message, response: Message) -> None:  # noqa: ARG001 - an empty response
    """PutEvents: an event is written once and does not change."""
    draft = Draft(graph)
    draft.read("artifact", [e.artifact_id for e in request.events])
    draft.read("execution", [e.execution_id for e in request.events])
    for event in request.events:
        if not event.HasField("artifact_id"):
            raise invalid("No artifact id is specified.")
        if not event.HasField("execution_id"):
            raise invalid("No execution id is specified.")
        event_kind(event)
        artifact = draft.known(
            "artifact", event.artifact_id, f"No artifact with the given id {event.artifact_id}"
        )
        execution = draft.known(
            "execution", event.execution_id, f"No execution with the given id {event.execution_id}"
        )
        draft.event(event, execution, artifact)
    draft.commit()


def event_messages(graph: Graph, events: Sequence[Event]) -> list[Message]:
    """The messages of stored events; one with an end that is not seen is left out."""
    ids = {n.uid: graph.wire_id(n) for n in graph.by_uid("artifact", {e.artifact for e in events})}
    ids |= {n.uid: graph.wire_id(n) for n in graph.by_uid("execution", {e.execution for e in events})}
    return [
        event_to(e, execution_id=ids[e.execution], artifact_id=ids[e.artifact])
        for e in events
        if e.execution in ids and e.artifact in ids
    ]


def get_events_by_execution_ids(graph: Graph, request: Message, response: Message) -> None:
    """GetEventsByExecutionIDs."""
    uids = [n.uid for n in graph.nodes("execution", request.execution_ids)]
    response.events.extend(event_messages(graph, graph.events(executions=uids)))


def get_events_by_artifact_ids(graph: Graph, request: Message, response: Message) -> None:
    """GetEventsByArtifactIDs."""
    uids = [n.uid for n in graph.nodes("artifact", request.artifact_ids)]
    response.events.extend(event_messages(graph, graph.events(artifacts=uids)))


def put_attributions_and_associations(graph: Graph, request: Message, response: Message) -> None:  # noqa: ARG001
    """PutAttributionsAndAssociations; again is no error."""
    draft = Draft(graph)
    pairs = (*request.attributions, *request.associations)
    draft.read("context", [p.context_id for p in pairs])
    draft.read("artifact", [p.artifact_id for p in request.attributions])
    draft.read("execution", [p.execution_id for p in request.associations])
    for pair in request.attributions:
        artifact = draft.known("artifact", pair.artifact_id, "Artifact id not found.")
        context = draft.known("context", pair.context_id, "Context id not found.")
        draft.member(context, artifact=artifact)
    for pair in request.associations:
        execution = draft.known("execution", pair.execution_id, "Execution id not found.")
        context = draft.known("context", pair.context_id, "Context id not found.")
        draft.member(context, execution=execution)
    draft.commit()


def put_parent_contexts(graph: Graph, request: Message, response: Message) -> None:  # noqa: ARG001
    """PutParentContexts; again is an error, and so is a circle."""
    draft = Draft(graph)
    seen: set[tuple[int, int]] = set()
    for pair in request.parent_contexts:
        if not pair.HasField("child_id") or not pair.HasField("parent_id"):
            raise invalid("Missing parent / child id in the parent_context.")
        missing = "Given parent / child id in the parent_context cannot be found."
        child = draft.known("context", pair.child_id, missing)
        parent = draft.known("context", pair.parent_id, missing)
        stored = draft.stored("context", pair.child_id)
        assert isinstance(stored, Context)
        key = (pair.child_id, pair.parent_id)
        if key in seen or parent in {c.uid for c in graph.parents(stored)}:
            raise taken(
                f"Given parent_context already exists: child {pair.child_id}, parent {pair.parent_id}"
            )
        seen.add(key)
        draft.parent(child, parent)
    draft.commit()


def get_contexts_by_artifact(graph: Graph, request: Message, response: Message) -> None:
    """GetContextsByArtifact."""
    node = graph.artifact(request.artifact_id)
    found = graph.contexts_of(node) if node is not None else []
    if not found:
        raise absent(f"No contexts found for artifact_id: {request.artifact_id}")
    response.contexts.extend(message_of(graph, c, "context") for c in found)


def get_contexts_by_execution(graph: Graph, request: Message, response: Message) -> None:
    """GetContextsByExecution."""
    node = graph.execution(request.execution_id)
    found = graph.contexts_of(node) if node is not None else []
    if not found:
        raise absent(f"No contexts found for execution_id: {request.execution_id}")
    response.contexts.extend(message_of(graph, c, "context") for c in found)


def get_parent_contexts_by_context(graph: Graph, request: Message, response: Message) -> None:
    """GetParentContextsByContext."""
    node = graph.context(request.context_id)
    found = graph.parents(node) if node is not None else []
    response.contexts.extend(message_of(graph, c, "context") for c in found)


def get_children_contexts_by_context(graph: Graph, request: Message, response: Message) -> None:
    """GetChildrenContextsByContext."""
    node = graph.context(request.context_id)
    found = graph.children(node) if node is not None else []
    response.contexts.extend(message_of(graph, c, "context") for c in found)


def get_parent_contexts_by_contexts(graph: Graph, request: Message, response: Message) -> None:
    """GetParentContextsByContexts: a context without parents has no entry."""
    for node in graph.nodes("context", request.context_ids):
        assert isinstance(node, Context)
        found = graph.parents(node)
        if found:
            entry = response.contexts[graph.wire_id(node)]
            entry.parent_contexts.extend(message_of(graph, c, "context") for c in found)


def get_children_contexts_by_contexts(graph: Graph, request: Message, response: Message) -> None:
    """GetChildrenContextsByContexts: a context without children has no entry."""
    for node in graph.nodes("context", request.context_ids):
        assert isinstance(node, Context)
        found = graph.children(node)
        if found:
            entry = response.contexts[graph.wire_id(node)]
            entry.children_contexts.extend(message_of(graph, c, "context") for c in found)


EDGE_METHODS: Final[dict[str, Method]] = {
    "PutEvents": put_events,
    "PutAttributionsAndAssociations": put_attributions_and_associations,
    "PutParentContexts": put_parent_contexts,
    "GetEventsByExecutionIDs": get_events_by_execution_ids,
    "GetEventsByArtifactIDs": get_events_by_artifact_ids,
    "GetContextsByArtifact": get_contexts_by_artifact,
    "GetContextsByExecution": get_contexts_by_execution,
    "GetParentContextsByContext": get_parent_contexts_by_context,
    "GetChildrenContextsByContext": get_children_contexts_by_context,
    "GetParentContextsByContexts": get_parent_contexts_by_contexts,
    "GetChildrenContextsByContexts": get_children_contexts_by_contexts,
}
