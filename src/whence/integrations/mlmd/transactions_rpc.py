"""The two methods that write a whole piece of the graph at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whence.integrations.mlmd.draft import Draft
from whence.integrations.mlmd.errors import OutOfRangeError, invalid
from whence.integrations.mlmd.graph import Graph
from whence.integrations.mlmd.types_rpc import Method
from whence.integrations.mlmd.wire import Message


def put_execution(graph: Graph, request: Message, response: Message) -> None:
    """PutExecution: an execution, its artifacts and events, and the contexts all of them are in."""
    if not request.HasField("execution"):
        raise invalid("No execution is found.")
    options = request.options
    draft = Draft(graph, touch=options.force_update_time)
    execution = draft.node("execution", request.execution)
    artifacts = [
        _pair(draft, pair, request.execution, execution, options) for pair in request.artifact_event_pairs
    ]
    contexts = [
        draft.context(c, reuse=options.reuse_context_if_already_exist, keep=options.force_reuse_context)
        for c in request.contexts
    ]
    for context in contexts:
        draft.member(context, execution=execution)
        for artifact in artifacts:
            if artifact is not None:
                draft.member(context, artifact=artifact)
    draft.commit()
    response.execution_id = draft.id(execution)
    response.artifact_ids.extend(draft.id(a) for a in artifacts if a is not None)
    response.context_ids.extend(draft.id(c) for c in contexts)


def _pair(
    draft: Draft, pair: Message, execution: Message, execution_uid: str, options: Message
) -> str | None:
    event = pair.event if pair.HasField("event") else None
    if (
        event is not None
        and event.HasField("execution_id")
        and (not execution.HasField("id") or event.execution_id != execution.id)
    ):
        raise invalid("Request's event.execution_id does not match with the given execution.")
    if pair.HasField("artifact"):
        if (
            event is not None
            and event.HasField("artifact_id")
            and (not pair.artifact.HasField("id") or event.artifact_id != pair.artifact.id)
        ):
            raise invalid("Given event.artifact_id is not aligned with the artifact.")
        reuse = options.reuse_artifact_if_already_exist_by_external_id
        artifact = draft.artifact(pair.artifact, reuse_external=reuse)
    elif event is not None and event.HasField("artifact_id"):
        artifact = draft.known(
            "artifact", event.artifact_id, f"No artifact with the given id {event.artifact_id}"
        )
    elif event is not None:
        raise invalid("If no artifact is present, given event must have an artifact_id.")
    else:
        return None
    if event is not None:
        draft.event(event, execution_uid, artifact)
    return artifact


def put_lineage_subgraph(graph: Graph, request: Message, response: Message) -> None:
    """PutLineageSubgraph: nodes of all kinds, events between them, and every node in every context."""
    options = request.options
    draft = Draft(graph)
    contexts = [draft.context(c, reuse=options.reuse_context_if_already_exist) for c in request.contexts]
    reuse = options.reuse_artifact_if_already_exist_by_external_id
    artifacts = [draft.artifact(a, reuse_external=reuse) for a in request.artifacts]
    executions = [draft.node("execution", e) for e in request.executions]
    for edge in request.event_edges:
        _edge(draft, edge, request, executions, artifacts)
    for context in contexts:
        for execution in executions:
            draft.member(context, execution=execution)
        for artifact in artifacts:
            draft.member(context, artifact=artifact)
    draft.commit()
    response.execution_ids.extend(draft.id(e) for e in executions)
    response.artifact_ids.extend(draft.id(a) for a in artifacts)
    response.context_ids.extend(draft.id(c) for c in contexts)


def _edge(
    draft: Draft, edge: Message, request: Message, executions: Sequence[str], artifacts: Sequence[str]
) -> None:
    if not edge.HasField("event"):
        raise invalid("Event_edge is missing an event.")
    execution = _end(edge, "execution", request.executions, executions)
    if execution is None:
        id_ = edge.event.execution_id
        execution = draft.known("execution", id_, f"No execution with the given id {id_}")
    artifact = _end(edge, "artifact", request.artifacts, artifacts)
    if artifact is None:
        id_ = edge.event.artifact_id
        artifact = draft.known("artifact", id_, f"No artifact with the given id {id_}")
    draft.event(edge.event, execution, artifact)


def _end(edge: Message, kind: str, nodes: Sequence[Message], given: Sequence[str]) -> str | None:
    """The node of the request an edge ends in, or None when it names a stored one."""
    if edge.HasField(f"{kind}_index"):
        index: int = getattr(edge, f"{kind}_index")
        if not 0 <= index < len(given):
            raise OutOfRangeError(
                f"The event_edge has an {kind}_index {index} that is outside the bounds of the request's {kind}s "
                f"list, [0, {len(given)})."
            )
        if edge.event.HasField(f"{kind}_id") and getattr(edge.event, f"{kind}_id") != nodes[index].id:
            raise invalid(
                f"The event_edge has {kind}_index {index}, and an event.{kind}_id that is not the id of that {kind}."
            )
        return given[index]
    if not edge.event.HasField(f"{kind}_id"):
        raise invalid(
            f"Event_edge is missing an {kind}. Could not find either an {kind}_index or an event.{kind}_id."
        )
    return None


TRANSACTION_METHODS: Final[dict[str, Method]] = {
    "PutExecution": put_execution,
    "PutLineageSubgraph": put_lineage_subgraph,
}
