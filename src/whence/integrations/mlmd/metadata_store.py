"""`MetadataStore`: ML Metadata's Python interface on the graph, in this process or over a service.

Methods, arguments and messages are those of ``ml_metadata.MetadataStore``; messages of the installed package and our
own are both taken. An ABORTED call is made again up to five times, as its client does.
"""

# ruff: noqa: ARG002 - `extra_options` is taken and not used, as in ML Metadata's own open client
from __future__ import annotations

import enum
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from whence.integrations.mlmd.connection import connect_client, connect_config
from whence.integrations.mlmd.errors import AbortedError, invalid, unimplemented
from whence.integrations.mlmd.messages import as_ours, metadata_store_pb2, request_class
from whence.integrations.mlmd.wire import Message

MAX_NUM_RESULT: Final = 100
"""Results of one call when a list is asked for with options; the client asks again for the rest."""

_TRIES: Final = 5
_WAIT_S: Final = 2.0  # mean of ML Metadata's own client
_Field: Final = metadata_store_pb2.ListOperationOptions.OrderByField


@enum.unique
class OrderByField(enum.Enum):
    """By what a list is ordered."""

    CREATE_TIME = _Field.CREATE_TIME
    UPDATE_TIME = _Field.LAST_UPDATE_TIME
    ID = _Field.ID


@dataclass
class ListOptions:
    """How a list is answered: at most `limit` nodes (None: all), in which order, and which ones."""

    limit: int | None = None
    order_by: OrderByField | None = None
    is_asc: bool = True
    filter_query: str | None = None


class ExtraOptions:
    """Taken and not used, as in ML Metadata's own open client."""

    def __init__(self, euc: object = None) -> None:
        self.euc = euc


class MetadataStore:
    """ML Metadata's store on the graph of whence.

    Args:
        config: A ``ConnectionConfig`` or ``MetadataStoreClientConfig``.
        enable_upgrade_migration: Taken for the sake of old calls; whence migrates only when asked by its own command.

    Raises:
        ValueError: The config is neither, or a client asks for a migration.
        StatusError: The store cannot be opened.

    Example:
        >>> from whence.integrations.mlmd.messages import metadata_store_pb2 as pb
        >>> store = MetadataStore(pb.ConnectionConfig(fake_database={}))
        >>> type_id = store.put_artifact_type(pb.ArtifactType(name="Data"))
        >>> store.put_artifacts([pb.Artifact(type_id=type_id, uri="/data")])
        [1]
    """

    def __init__(self, config: Message, enable_upgrade_migration: bool = False) -> None:
        name = getattr(getattr(config, "DESCRIPTOR", None), "name", None)
        if name == "ConnectionConfig":
            ours = as_ours(config, name)
            self._max_num_retries = (
                ours.retry_options.max_num_retries if ours.HasField("retry_options") else _TRIES
            )
            self._connection = connect_config(ours)
        elif name == "MetadataStoreClientConfig":
            if enable_upgrade_migration:
                raise ValueError("Upgrade migration is not allowed when using a gRPC client.")
            self._max_num_retries = _TRIES
            self._connection = connect_client(as_ours(config, name))
        else:
            raise ValueError("MetadataStore expects a ConnectionConfig or a MetadataStoreClientConfig")

    def close(self) -> None:
        """Give back the connection; ML Metadata's own has no such method."""
        self._connection.close()

    @property
    def pipeline_asset(self) -> None:
        """Nothing, as in ML Metadata's own open store."""
        return

    def _call(self, method: str, request: Message) -> Message:
        left = self._max_num_retries
        while True:
            try:
                return self._connection.call(method, request)
            except AbortedError:
                left -= 1
                if left <= 0:
                    raise
                time.sleep(random.expovariate(1.0 / _WAIT_S))

    def _ask(self, method: str, **fields: Any) -> Message:  # values of a message's fields
        return self._call(method, request_class(method)(**fields))

    def _list(self, method: str, field: str, options: ListOptions | None, **fields: Any) -> list[Message]:
        request = request_class(method)(**fields)
        left = None if options is None else options.limit
        if options is not None:
            if left is not None and left < 1:
                raise invalid(f"list_options.limit must be at least 1, got {left}")
            request.options.max_result_size = MAX_NUM_RESULT
            request.options.order_by_field.is_asc = options.is_asc
            if options.order_by is not None:
                request.options.order_by_field.field = options.order_by.value
            if options.filter_query:
                request.options.filter_query = options.filter_query
        out: list[Message] = []
        while True:
            if left is not None and left < MAX_NUM_RESULT:
                request.options.max_result_size = left
            response = self._call(method, request)
            found = getattr(response, field)
            out.extend(found)
            if left is not None:
                left -= len(found)
            if left == 0 or not response.next_page_token:
                return out
            request.options.next_page_token = response.next_page_token

    # types

    def put_artifact_type(
        self,
        artifact_type: Message,
        can_add_fields: bool = False,
        can_omit_fields: bool = False,
        extra_options: ExtraOptions | None = None,
    ) -> int:
        """Store a type of artifacts, or find it stored; its id."""
        return int(
            self._ask(
                "PutArtifactType",
                artifact_type=as_ours(artifact_type, "ArtifactType"),
                can_add_fields=can_add_fields,
                can_omit_fields=can_omit_fields,
            ).type_id
        )

    def get_artifact_type(
        self, type_name: str, type_version: str | None = None, extra_options: ExtraOptions | None = None
    ) -> Message:
        """The type; NOT_FOUND when there is none."""
        return self._ask("GetArtifactType", type_name=type_name, type_version=type_version).artifact_type

    def get_artifact_types(self, extra_options: ExtraOptions | None = None) -> list[Message]:
        """All types but those every store has."""
        return list(self._ask("GetArtifactTypes").artifact_types)

    def get_artifact_types_by_id(
        self, type_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The types with these ids."""
        return list(self._ask("GetArtifactTypesByID", type_ids=list(type_ids)).artifact_types)

    def get_artifact_types_by_external_ids(
        self, external_ids: Iterable[str], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The types with these external ids."""
        return list(
            self._ask("GetArtifactTypesByExternalIds", external_ids=list(external_ids)).artifact_types
        )

    def put_execution_type(
        self,
        execution_type: Message,
        can_add_fields: bool = False,
        can_omit_fields: bool = False,
        extra_options: ExtraOptions | None = None,
    ) -> int:
        """Store a type of executions, or find it stored; its id."""
        return int(
            self._ask(
                "PutExecutionType",
                execution_type=as_ours(execution_type, "ExecutionType"),
                can_add_fields=can_add_fields,
                can_omit_fields=can_omit_fields,
            ).type_id
        )

    def get_execution_type(
        self, type_name: str, type_version: str | None = None, extra_options: ExtraOptions | None = None
    ) -> Message:
        """The type; NOT_FOUND when there is none."""
        return self._ask("GetExecutionType", type_name=type_name, type_version=type_version).execution_type

    def get_execution_types(self, extra_options: ExtraOptions | None = None) -> list[Message]:
        """All types but those every store has."""
        return list(self._ask("GetExecutionTypes").execution_types)

    def get_execution_types_by_id(
        self, type_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The types with these ids."""
        return list(self._ask("GetExecutionTypesByID", type_ids=list(type_ids)).execution_types)

    def get_execution_types_by_external_ids(
        self, external_ids: Iterable[str], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The types with these external ids."""
        return list(
            self._ask("GetExecutionTypesByExternalIds", external_ids=list(external_ids)).execution_types
        )

    def put_context_type(
        self,
        context_type: Message,
        can_add_fields: bool = False,
        can_omit_fields: bool = False,
        extra_options: ExtraOptions | None = None,
    ) -> int:
        """Store a type of contexts, or find it stored; its id."""
        return int(
            self._ask(
                "PutContextType",
                context_type=as_ours(context_type, "ContextType"),
                can_add_fields=can_add_fields,
                can_omit_fields=can_omit_fields,
            ).type_id
        )

    def get_context_type(
        self, type_name: str, type_version: str | None = None, extra_options: ExtraOptions | None = None
    ) -> Message:
        """The type; NOT_FOUND when there is none."""
        return self._ask("GetContextType", type_name=type_name, type_version=type_version).context_type

    def get_context_types(self, extra_options: ExtraOptions | None = None) -> list[Message]:
        """All types but those every store has."""
        return list(self._ask("GetContextTypes").context_types)

    def get_context_types_by_id(
        self, type_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The types with these ids."""
        return list(self._ask("GetContextTypesByID", type_ids=list(type_ids)).context_types)

    def get_context_types_by_external_ids(
        self, external_ids: Iterable[str], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The types with these external ids."""
        return list(self._ask("GetContextTypesByExternalIds", external_ids=list(external_ids)).context_types)

    # nodes

    def put_artifacts(
        self,
        artifacts: Sequence[Message],
        field_mask_paths: Sequence[str] | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> list[int]:
        """Insert artifacts without an id, update those with one; their ids."""
        response = self._ask(
            "PutArtifacts",
            artifacts=[as_ours(x, "Artifact") for x in artifacts],
            update_mask={"paths": list(field_mask_paths or ())},
        )
        return list(response.artifact_ids)

    def get_artifacts(
        self, list_options: ListOptions | None = None, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """Artifacts, all or as the options say."""
        return self._list("GetArtifacts", "artifacts", list_options)

    def get_artifacts_by_id(
        self, artifact_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The artifacts with these ids; absent ones are left out."""
        return list(self._ask("GetArtifactsByID", artifact_ids=list(artifact_ids)).artifacts)

    def get_artifacts_by_type(
        self, type_name: str, type_version: str | None = None, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The artifacts of a type."""
        return list(self._ask("GetArtifactsByType", type_name=type_name, type_version=type_version).artifacts)

    def get_artifact_by_type_and_name(
        self,
        type_name: str,
        artifact_name: str,
        type_version: str | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> Message | None:
        """The artifact of a type and name, or None."""
        response = self._ask(
            "GetArtifactByTypeAndName",
            type_name=type_name,
            artifact_name=artifact_name,
            type_version=type_version,
        )
        return response.artifact if response.HasField("artifact") else None

    def get_artifacts_by_external_ids(
        self, external_ids: Iterable[str], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The artifacts with these external ids."""
        return list(self._ask("GetArtifactsByExternalIds", external_ids=list(external_ids)).artifacts)

    def put_executions(
        self,
        executions: Sequence[Message],
        field_mask_paths: Sequence[str] | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> list[int]:
        """Insert executions without an id, update those with one; their ids."""
        response = self._ask(
            "PutExecutions",
            executions=[as_ours(x, "Execution") for x in executions],
            update_mask={"paths": list(field_mask_paths or ())},
        )
        return list(response.execution_ids)

    def get_executions(
        self, list_options: ListOptions | None = None, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """Executions, all or as the options say."""
        return self._list("GetExecutions", "executions", list_options)

    def get_executions_by_id(
        self, execution_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The executions with these ids; absent ones are left out."""
        return list(self._ask("GetExecutionsByID", execution_ids=list(execution_ids)).executions)

    def get_executions_by_type(
        self, type_name: str, type_version: str | None = None, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The executions of a type."""
        return list(
            self._ask("GetExecutionsByType", type_name=type_name, type_version=type_version).executions
        )

    def get_execution_by_type_and_name(
        self,
        type_name: str,
        execution_name: str,
        type_version: str | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> Message | None:
        """The execution of a type and name, or None."""
        response = self._ask(
            "GetExecutionByTypeAndName",
            type_name=type_name,
            execution_name=execution_name,
            type_version=type_version,
        )
        return response.execution if response.HasField("execution") else None

    def get_executions_by_external_ids(
        self, external_ids: Iterable[str], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The executions with these external ids."""
        return list(self._ask("GetExecutionsByExternalIds", external_ids=list(external_ids)).executions)

    def put_contexts(
        self,
        contexts: Sequence[Message],
        field_mask_paths: Sequence[str] | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> list[int]:
        """Insert contexts without an id, update those with one; their ids."""
        response = self._ask(
            "PutContexts",
            contexts=[as_ours(x, "Context") for x in contexts],
            update_mask={"paths": list(field_mask_paths or ())},
        )
        return list(response.context_ids)

    def get_contexts(
        self, list_options: ListOptions | None = None, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """Contexts, all or as the options say."""
        return self._list("GetContexts", "contexts", list_options)

    def get_contexts_by_id(
        self, context_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The contexts with these ids; absent ones are left out."""
        return list(self._ask("GetContextsByID", context_ids=list(context_ids)).contexts)

    def get_contexts_by_type(
        self, type_name: str, type_version: str | None = None, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The contexts of a type."""
        return list(self._ask("GetContextsByType", type_name=type_name, type_version=type_version).contexts)

    def get_context_by_type_and_name(
        self,
        type_name: str,
        context_name: str,
        type_version: str | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> Message | None:
        """The context of a type and name, or None."""
        response = self._ask(
            "GetContextByTypeAndName",
            type_name=type_name,
            context_name=context_name,
            type_version=type_version,
        )
        return response.context if response.HasField("context") else None

    def get_contexts_by_external_ids(
        self, external_ids: Iterable[str], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The contexts with these external ids."""
        return list(self._ask("GetContextsByExternalIds", external_ids=list(external_ids)).contexts)

    def get_artifacts_by_uri(self, uri: str, extra_options: ExtraOptions | None = None) -> list[Message]:
        """The artifacts at a uri."""
        return list(self._ask("GetArtifactsByURI", uris=[uri]).artifacts)

    def get_artifacts_and_types_by_artifact_ids(
        self, artifact_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> tuple[list[Message], list[Message]]:
        """Artifacts by id, and their types."""
        response = self._ask(
            "GetArtifactsByID", artifact_ids=list(artifact_ids), populate_artifact_types=True
        )
        return list(response.artifacts), list(response.artifact_types)

    # edges

    def put_events(self, events: Sequence[Message], extra_options: ExtraOptions | None = None) -> None:
        """Write events; each is written once."""
        self._ask("PutEvents", events=[as_ours(x, "Event") for x in events])

    def get_events_by_execution_ids(
        self, execution_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The events of executions."""
        return list(self._ask("GetEventsByExecutionIDs", execution_ids=list(execution_ids)).events)

    def get_events_by_artifact_ids(
        self, artifact_ids: Iterable[int], extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The events of artifacts."""
        return list(self._ask("GetEventsByArtifactIDs", artifact_ids=list(artifact_ids)).events)

    def put_attributions_and_associations(
        self,
        attributions: Sequence[Message],
        associations: Sequence[Message],
        extra_options: ExtraOptions | None = None,
    ) -> None:
        """Put artifacts and executions into contexts."""
        self._ask(
            "PutAttributionsAndAssociations",
            attributions=[as_ours(x, "Attribution") for x in attributions],
            associations=[as_ours(x, "Association") for x in associations],
        )

    def put_parent_contexts(
        self, parent_contexts: Sequence[Message], extra_options: ExtraOptions | None = None
    ) -> None:
        """Put contexts below others; a circle is refused."""
        self._ask("PutParentContexts", parent_contexts=[as_ours(x, "ParentContext") for x in parent_contexts])

    def get_contexts_by_artifact(
        self, artifact_id: int, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The contexts an artifact is in."""
        return list(self._ask("GetContextsByArtifact", artifact_id=artifact_id).contexts)

    def get_contexts_by_execution(
        self, execution_id: int, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The contexts an execution is in."""
        return list(self._ask("GetContextsByExecution", execution_id=execution_id).contexts)

    def get_artifacts_by_context(
        self,
        context_id: int,
        list_options: ListOptions | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> list[Message]:
        """The artifacts in a context."""
        return self._list("GetArtifactsByContext", "artifacts", list_options, context_id=context_id)

    def get_executions_by_context(
        self,
        context_id: int,
        list_options: ListOptions | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> list[Message]:
        """The executions in a context, newest first unless the options say otherwise."""
        options = list_options or ListOptions(order_by=OrderByField.CREATE_TIME, is_asc=False)
        return self._list("GetExecutionsByContext", "executions", options, context_id=context_id)

    def get_parent_contexts_by_context(
        self, context_id: int, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The parents of a context."""
        return list(self._ask("GetParentContextsByContext", context_id=context_id).contexts)

    def get_children_contexts_by_context(
        self, context_id: int, extra_options: ExtraOptions | None = None
    ) -> list[Message]:
        """The children of a context."""
        return list(self._ask("GetChildrenContextsByContext", context_id=context_id).contexts)

    # whole pieces

    def put_execution(
        self,
        execution: Message,
        artifact_and_events: Sequence[tuple[Message, Message | None]],
        contexts: Sequence[Message] | None,
        reuse_context_if_already_exist: bool = False,
        reuse_artifact_if_already_exist_by_external_id: bool = False,
        force_reuse_context: bool = False,
        force_update_time: bool = False,
        extra_options: ExtraOptions | None = None,
    ) -> tuple[int, list[int], list[int]]:
        """Write an execution with its artifacts, events and contexts at once; their ids."""
        request = request_class("PutExecution")(
            execution=as_ours(execution, "Execution"),
            contexts=[as_ours(x, "Context") for x in contexts or ()],
            options={
                "reuse_context_if_already_exist": reuse_context_if_already_exist,
                "reuse_artifact_if_already_exist_by_external_id": reuse_artifact_if_already_exist_by_external_id,
                "force_reuse_context": force_reuse_context,
                "force_update_time": force_update_time,
            },
        )
        for artifact, *events in artifact_and_events:
            event = events[0] if events and events[0] is not None else None
            request.artifact_event_pairs.add(
                artifact=as_ours(artifact, "Artifact"),
                event=None if event is None else as_ours(event, "Event"),
            )
        response = self._call("PutExecution", request)
        return response.execution_id, list(response.artifact_ids), list(response.context_ids)

    def put_lineage_subgraph(
        self,
        executions: Sequence[Message],
        artifacts: Sequence[Message],
        contexts: Sequence[Message],
        event_edges: Sequence[tuple[int | None, int | None, Message]],
        reuse_context_if_already_exist: bool = False,
        reuse_artifact_if_already_exist_by_external_id: bool = False,
        extra_options: ExtraOptions | None = None,
    ) -> tuple[list[int], list[int], list[int]]:
        """Write nodes and the events between them at once; ids of executions, artifacts, contexts."""
        response = self._ask(
            "PutLineageSubgraph",
            executions=[as_ours(x, "Execution") for x in executions],
            artifacts=[as_ours(x, "Artifact") for x in artifacts],
            contexts=[as_ours(x, "Context") for x in contexts],
            event_edges=[
                {"execution_index": e, "artifact_index": a, "event": as_ours(event, "Event")}
                for e, a, event in event_edges
            ],
            options={
                "reuse_context_if_already_exist": reuse_context_if_already_exist,
                "reuse_artifact_if_already_exist_by_external_id": reuse_artifact_if_already_exist_by_external_id,
            },
        )
        return list(response.execution_ids), list(response.artifact_ids), list(response.context_ids)

    def get_lineage_subgraph(
        self,
        query_options: Message,
        field_mask_paths: Sequence[str] | None = None,
        extra_options: ExtraOptions | None = None,
    ) -> Message:
        """The piece of the graph around starting nodes, every node and type whole; the mask names its parts."""
        paths = list(field_mask_paths or [f.name for f in metadata_store_pb2.LineageGraph.DESCRIPTOR.fields])
        asked = {p for p in paths if not p.endswith("_types")} | {
            p.replace("_types", "s") for p in paths if p.endswith("_types")
        }
        skeleton = self._ask(
            "GetLineageSubgraph",
            lineage_subgraph_query_options=as_ours(query_options, "LineageSubgraphQueryOptions"),
            read_mask={"paths": sorted(asked)},
        ).lineage_subgraph
        out = metadata_store_pb2.LineageGraph()
        for kind in ("artifact", "execution", "context"):
            self._whole(kind, skeleton, out, paths)
        for part in ("events", "associations", "attributions"):
            if part in paths:
                getattr(out, part).extend(getattr(skeleton, part))
        return out

    def _whole(self, kind: str, skeleton: Message, into: Message, paths: Sequence[str]) -> None:
        if f"{kind}s" not in paths and f"{kind}_types" not in paths:
            return
        name = kind.capitalize()
        ids = [node.id for node in getattr(skeleton, f"{kind}s")]
        nodes = getattr(self._ask(f"Get{name}sByID", **{f"{kind}_ids": ids}), f"{kind}s")
        if f"{kind}s" in paths:
            getattr(into, f"{kind}s").extend(nodes)
        if f"{kind}_types" in paths:
            used = sorted({node.type_id for node in nodes})
            types = getattr(self._ask(f"Get{name}TypesByID", type_ids=used), f"{kind}_types")
            getattr(into, f"{kind}_types").extend(types)


def downgrade_schema(config: Message, downgrade_to_schema_version: int) -> None:
    """Refused: whence's graph has a layout of its own, which MLMD's versions do not number."""
    as_ours(config, "ConnectionConfig")
    if downgrade_to_schema_version < 0:
        raise invalid("downgrade_to_schema_version not specified")
    raise unimplemented(
        "whence's graph has no older schema of ML Metadata. `whence export mlmd FILE` writes one of version 10, which "
        "ML Metadata itself brings down."
    )
