"""One transaction of a client being put together: messages in, one `Change` out, then the ids that were given."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from whence.integrations.mlmd.convert import (
    event_from,
    properties_from,
    state_from,
    to_ms,
)
from whence.integrations.mlmd.errors import FailedPreconditionError, absent, invalid
from whence.integrations.mlmd.graph import Graph
from whence.integrations.mlmd.masks import mask_of, masked
from whence.integrations.mlmd.peer import PRINCIPAL, certified
from whence.integrations.mlmd.wire import Message
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    NodeKind,
    PropertyType,
    Put,
    Type,
)
from whence.metadata.rows import kind_of

_KINDS: Final[Mapping[str | None, PropertyType]] = {
    "int_value": "INT",
    "double_value": "DOUBLE",
    "string_value": "STRING",
    "struct_value": "STRUCT",
    "proto_value": "PROTO",
    "bool_value": "BOOLEAN",
}


class Draft:
    """What a client's call will write; nothing is written before `commit`.

    Args:
        graph: The graph; its turn is held by whoever makes the draft.
        mask: Paths of an update mask; they count for stored nodes only.
        unchanged: Refuse an update of a node that is newer than its message says.
        touch: Give updated nodes a new time though nothing changed.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        mask: Collection[str] = (),
        unchanged: bool = False,
        touch: bool = False,
    ) -> None:
        self._graph = graph
        self._mask = mask
        self._unchanged = unchanged
        self._touch = touch
        self._stored: dict[tuple[NodeKind, int], AnyNode] = {}
        """Stored nodes by kind and wire id, as they are."""
        self._puts: list[Put] = []
        self._events: list[Event] = []
        self._attributions: list[tuple[str, str]] = []
        self._associations: list[tuple[str, str]] = []
        self._parents: list[tuple[str, str]] = []
        self._ids: dict[str, int] = {}

    # nodes

    def read(self, kind: NodeKind, ids: Iterable[int]) -> None:
        """Read stored nodes at once that will be named one by one."""
        for node in self._graph.nodes(kind, ids):
            self._know(node)

    def node(self, kind: NodeKind, message: Message) -> str:
        """Insert a node without an id, or update the one that has it; its uid.

        Raises:
            StatusError: As ML Metadata: INVALID_ARGUMENT for a missing type, NOT_FOUND for an unknown one.
        """
        stored = self.stored(kind, message.id) if message.HasField("id") else None
        if message.HasField("id") and stored is None:
            raise invalid(f"Cannot find the given id {message.id}")
        if stored is not None and self._mask:
            message = masked(message, self._mask)
        type_ = self._type(kind, message, stored)
        if kind == "context" and not message.name and not (stored is not None and self._mask):
            raise invalid("Context name should not be empty")
        node = _with_maker(self._made(kind, message, type_), stored)
        if stored is None:
            self._puts.append(Put(node))
            return node.uid
        self._check_time(stored, message)
        self._update(kind, stored, node)
        return stored.uid

    def context(self, message: Message, *, reuse: bool, keep: bool = False) -> str:
        """Put a context; with `reuse` the one of its type and name is taken, with `keep` the one of its id."""
        if keep and message.HasField("id"):
            return self.known("context", message.id, f"Cannot find the given id {message.id}")
        if reuse and not message.HasField("id"):
            uid = self.node("context", message)
            self._puts[-1] = dataclasses.replace(self._puts[-1], if_exists="reuse")
            return uid
        return self.node("context", message)

    def artifact(self, message: Message, *, reuse_external: bool) -> str:
        """Put an artifact; with `reuse_external` the stored one of its external id is updated."""
        if reuse_external and message.external_id and not message.HasField("id"):
            found = self._graph.store.find_nodes("artifact", external_id=message.external_id, limit=1).nodes
            if found:
                self._know(found[0])
                same = type(message)()
                same.CopyFrom(message)
                same.id = self._graph.wire_id(found[0])
                return self.node("artifact", same)
        return self.node("artifact", message)

    def stored(self, kind: NodeKind, id_: int) -> AnyNode | None:
        """A stored node by wire id, or None."""
        if (kind, id_) not in self._stored:
            self.read(kind, [id_])
        return self._stored.get((kind, id_))

    def known(self, kind: NodeKind, id_: int, message: str) -> str:
        """The uid of a stored node; INVALID_ARGUMENT with `message` when there is none."""
        node = self.stored(kind, id_)
        if node is None:
            raise invalid(message)
        return node.uid

    def _know(self, node: AnyNode) -> None:
        id_ = self._graph.wire_id(node)
        self._stored[kind_of(node), id_] = node
        self._ids[node.uid] = id_

    def _type(self, kind: NodeKind, message: Message, stored: AnyNode | None) -> Type:
        given: int | None = message.type_id if message.HasField("type_id") else None
        if stored is not None:
            known = self._graph.type_id(stored, kind)
            if given is not None and given != known:
                raise invalid(f"Given type_id {given} is different from the one known before: {known}")
            given = known
        if given is None:
            raise invalid("Type id is missing.")
        found = self._graph.type_by_id(kind, given)
        if found is None:
            raise absent(f"Cannot find type for type_id: {given}")
        self._check_declared(found, message)
        return found

    def _check_declared(self, type_: Type, message: Message) -> None:
        lacking = [name for name in message.properties if name not in type_.properties]
        if lacking and self._graph.type_by_id(type_.kind, type_.id or 0) is type_:
            self._graph.types(type_.kind)  # another process may have extended it
            fresh = self._graph.type_by_id(type_.kind, type_.id or 0) or type_
            lacking = [name for name in lacking if name not in fresh.properties]
            type_ = fresh
        if lacking:
            raise invalid(f"Found unknown property: {lacking[0]}")
        for name, value in message.properties.items():
            # An int is no double here, though the graph itself takes it for one.
            if _KINDS.get(value.WhichOneof("value")) != type_.properties[name]:
                raise invalid(f"Found unmatched property type: {name}")

    def _made(self, kind: NodeKind, message: Message, type_: Type) -> AnyNode:
        properties, custom = properties_from(message)
        given: dict[str, object] = {
            "type": type_.name,
            "type_version": type_.version,
            "name": message.name or None,
            "external_id": message.external_id or None,
            "properties": properties,
            "custom": custom,
        }
        if kind == "artifact":
            return Artifact(**given, uri=message.uri or None, state=state_from(message, kind))  # type: ignore[arg-type]  # checked
        if kind == "execution":
            return Execution(**given, state=state_from(message, kind))  # type: ignore[arg-type]  # checked
        return Context(**given)  # type: ignore[arg-type]  # checked

    def _check_time(self, stored: AnyNode, message: Message) -> None:
        if not self._unchanged:
            return
        assert stored.updated_at is not None
        if message.last_update_time_since_epoch != to_ms(stored.updated_at):
            raise FailedPreconditionError(
                f"`abort_if_latest_updated_time_changed` is set, and the stored node with id = {message.id} has a "
                f"different last_update_time_since_epoch: {to_ms(stored.updated_at)} from the one in the given "
                f"node: {message.last_update_time_since_epoch}"
            )

    def _update(self, kind: NodeKind, stored: AnyNode, node: AnyNode) -> None:
        mask = mask_of(self._mask, kind) if self._mask else None
        if mask is not None and not mask:
            return  # it names nothing that a node has
        assert stored.updated_at is not None
        self._puts.append(
            Put(
                # Names of artifacts and executions stay.
                dataclasses.replace(
                    node, uid=stored.uid, id=stored.id, name=node.name if kind == "context" else None
                ),
                if_exists="replace",
                mask=mask,
                unchanged_since=stored.updated_at if self._unchanged else None,
                touch=self._touch,
            )
        )

    # edges

    def event(self, message: Message, execution: str, artifact: str) -> None:
        """Add an event between two nodes."""
        self._events.append(event_from(message, execution, artifact))

    def member(self, context: str, *, artifact: str | None = None, execution: str | None = None) -> None:
        """Put a node into a context."""
        if artifact is not None:
            self._attributions.append((context, artifact))
        if execution is not None:
            self._associations.append((context, execution))

    def parent(self, child: str, parent: str) -> None:
        """Put a context below another."""
        self._parents.append((child, parent))

    # the end

    def commit(self) -> None:
        """Write it all.

        Raises:
            WhenceError: What the store refuses: ``event-taken``, ``stale-update`` among others.
        """
        edges = (self._events, self._attributions, self._associations, self._parents)
        if not any((self._puts, *edges)):
            return
        # ML Metadata knows one event of a kind between two nodes, whatever its path.
        written = self._graph.write(Change(self._puts, *edges, strict_events=True))
        for uid, node in written.nodes.items():
            self._ids[uid] = self._graph.wire_id(node)

    def id(self, uid: str) -> int:
        """The wire id of a node of this draft, after `commit`."""
        return self._ids[uid]


def _with_maker(node: AnyNode, stored: AnyNode | None) -> AnyNode:
    """An execution with who made it, as a certificate said; no client takes that away, or says it of another."""
    maker = certified() if stored is None else stored.custom.get(PRINCIPAL)
    if not isinstance(node, Execution) or (maker is None and certified() is None):
        return node
    custom = {name: value for name, value in node.custom.items() if name != PRINCIPAL}
    return dataclasses.replace(node, custom=custom if maker is None else {**custom, PRINCIPAL: maker})
