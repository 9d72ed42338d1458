"""What a change does to a store, decided before anything is written.

Both backends use it: they answer look-ups inside their transaction, and carry the plan out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata.encode import check_properties, decode, encode
from whence.metadata.rows import KINDS, EventRow, NodeRow, kind_of, path_text, to_us
from whence.metadata.types import AnyNode, Artifact, Change, Context, Event, NodeKind, Put, Type

MAX_NAME: Final = 512  # characters of a name or external id: part of a unique index in every SQL system
ARTIFACT_STATES: Final = frozenset(
    {"UNKNOWN", "PENDING", "LIVE", "MARKED_FOR_DELETION", "DELETED", "ABANDONED", "REFERENCE"}
)
EXECUTION_STATES: Final = frozenset({"UNKNOWN", "NEW", "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELED"})
EVENT_KINDS: Final = frozenset(
    {
        "DECLARED_OUTPUT",
        "DECLARED_INPUT",
        "INPUT",
        "OUTPUT",
        "INTERNAL_INPUT",
        "INTERNAL_OUTPUT",
        "PENDING_OUTPUT",
    }
)


@dataclass(slots=True)
class Wanted:
    """What a plan must know of the store: nodes by each of their names."""

    uids: set[str] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)
    names: set[tuple[int, str]] = field(default_factory=set)
    """(type id, name)"""
    external_ids: set[tuple[NodeKind, str]] = field(default_factory=set)


class Lookup(Protocol):
    """A store's state, as its transaction sees it."""

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:
        """The stored type, read again if it lacks one of `properties`; `NotFoundError` when there is none."""
        ...

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        """The stored nodes with any of these names."""
        ...

    def next_id(self) -> int:
        """The first id that is free."""
        ...

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        """The (child, parent) pairs of these children."""
        ...


@dataclass(slots=True)
class Plan:
    """The rows to write, and the stored row of each uid that was given."""

    inserts: dict[int, NodeRow] = field(default_factory=dict)
    updates: dict[int, NodeRow] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    members: dict[tuple[int, int], None] = field(default_factory=dict)
    """(context, node), in order, once"""
    parents: dict[tuple[int, int], None] = field(default_factory=dict)
    given: dict[str, NodeRow] = field(default_factory=dict)


def make_plan(change: Change, look: Lookup, now_us: int) -> Plan:
    """Resolve a change against a store.

    Raises:
        ConflictError, NotFoundError, UsageError: As `MetadataStore.write` says.
    """
    return _Planner(change, look, now_us).plan()


@dataclass(slots=True)
class _Typed:
    put: Put
    kind: NodeKind
    type: Type
    type_id: int


class _Planner:
    def __init__(self, change: Change, look: Lookup, now_us: int) -> None:
        self._change = change
        self._look = look
        self._now_us = now_us
        self._plan = Plan()
        self._by_uid: dict[str, NodeRow] = {}
        self._by_id: dict[int, NodeRow] = {}
        self._by_name: dict[tuple[int, str], NodeRow] = {}
        self._by_external: dict[tuple[NodeKind, str], NodeRow] = {}
        self._free: int | None = None

    def plan(self) -> Plan:
        typed = [self._typed(put) for put in self._change.puts]
        for row in self._look.rows(self._wanted(typed)):
            self._know(row)
        for item in typed:
            self._plan.given[item.put.node.uid] = self._put(item)
        # A later put of the same change may have updated what an earlier one gave back.
        self._plan.given = {uid: self._by_id[row.id] for uid, row in self._plan.given.items()}
        self._edges()
        return self._plan

    def _typed(self, put: Put) -> _Typed:
        node = put.node
        kind = kind_of(node)
        type_ = self._look.type(kind, node.type, node.type_version, node.properties)
        _check_texts(node)
        assert type_.id is not None
        return _Typed(put, kind, type_, type_.id)

    def _wanted(self, typed: list[_Typed]) -> Wanted:
        wanted = Wanted()
        for item in typed:
            node = item.put.node
            wanted.uids.add(node.uid)
            if node.id is not None:
                wanted.ids.add(node.id)
            if node.name is not None:
                wanted.names.add((item.type_id, node.name))
            if node.external_id is not None:
                wanted.external_ids.add((item.kind, node.external_id))
        change = self._change
        for event in change.events:
            wanted.uids.update((event.execution, event.artifact))
        for pairs in (change.attributions, change.associations, change.parents):
            for pair in pairs:
                wanted.uids.update(pair)
        return wanted

    def _know(self, row: NodeRow) -> None:
        old = self._by_id.get(row.id)
        if old is not None and old.name is not None and old.name != row.name:
            self._by_name.pop((old.type_id, old.name), None)
        if old is not None and old.external_id is not None and old.external_id != row.external_id:
            self._by_external.pop((old.kind, old.external_id), None)
        self._by_id[row.id] = row
        self._by_uid[row.uid] = row
        if row.name is not None:
            self._by_name[row.type_id, row.name] = row
        if row.external_id is not None:
            self._by_external[row.kind, row.external_id] = row

    def _put(self, item: _Typed) -> NodeRow:
        put, node = item.put, item.put.node
        stored = self._stored(item)
        if stored is None:
            if put.revision is not None:
                raise NotFoundError(item.kind, node.name or node.uid)
            return self._insert(item)
        if put.revision is not None and put.revision != stored.revision:
            raise ConflictError(
                f"{item.kind} {_label(stored)} has revision {stored.revision}, not {put.revision}",
                code="stale-revision",
                hint="read it again, then retry",
                details={"uid": stored.uid, "revision": stored.revision},
            )
        if put.if_exists == "reuse":
            return stored
        if put.if_exists == "error" and node.id is None:
            raise _taken(item.kind, stored, node)
        return self._update(item, stored)

    def _stored(self, item: _Typed) -> NodeRow | None:
        node = item.put.node
        if node.id is not None:
            stored = self._by_id.get(node.id)
            if stored is None:
                raise NotFoundError(item.kind, node.id)
        else:
            stored = self._by_uid.get(node.uid)
            if stored is None and node.name is not None:
                stored = self._by_name.get((item.type_id, node.name))
        if stored is not None and (stored.kind != item.kind or stored.type_id != item.type_id):
            raise ConflictError(
                f"{_label(stored)} is stored with another type than {item.kind} {node.type!r}",
                code="name-taken",
                details={"uid": stored.uid},
            )
        self._check_free(item, stored)
        return stored

    def _check_free(self, item: _Typed, stored: NodeRow | None) -> None:
        node = item.put.node
        others: list[NodeRow | None] = []
        if node.name is not None:
            others.append(self._by_name.get((item.type_id, node.name)))
        if node.external_id is not None:
            others.append(self._by_external.get((item.kind, node.external_id)))
        for other in others:
            if other is not None and (stored is None or other.id != stored.id):
                raise _taken(item.kind, other, node)

    def _insert(self, item: _Typed) -> NodeRow:
        node = item.put.node
        if self._free is None:
            self._free = self._look.next_id()
        row = NodeRow(
            id=self._free,
            kind=item.kind,
            type_id=item.type_id,
            uid=node.uid,
            name=node.name,
            external_id=node.external_id,
            uri=node.uri if isinstance(node, Artifact) else None,
            state=None if isinstance(node, Context) else node.state,
            properties=encode(check_properties(item.type, node.properties), node.custom),
            created_us=self._now_us,
            updated_us=self._now_us,
            revision=1,
        )
        self._free += 1
        self._plan.inserts[row.id] = row
        self._know(row)
        return row

    def _update(self, item: _Typed, stored: NodeRow) -> NodeRow:
        node = item.put.node
        properties, custom = decode(stored.properties)
        properties.update(check_properties(item.type, node.properties))
        custom.update(node.custom)
        uri = node.uri if isinstance(node, Artifact) else None
        row = stored._replace(
            name=node.name if node.name is not None else stored.name,
            external_id=node.external_id if node.external_id is not None else stored.external_id,
            uri=uri if uri is not None else stored.uri,
            state=stored.state if isinstance(node, Context) else node.state,
            properties=encode(properties, custom),
            updated_us=max(self._now_us, stored.updated_us),
            revision=stored.revision + 1,
        )
        (self._plan.inserts if row.id in self._plan.inserts else self._plan.updates)[row.id] = row
        self._know(row)
        return row

    def _edges(self) -> None:
        change, plan = self._change, self._plan
        for event in change.events:
            plan.events.append(self._event(event))
        for context, artifact in change.attributions:
            plan.members[self._find(context, "context"), self._find(artifact, "artifact")] = None
        for context, execution in change.associations:
            plan.members[self._find(context, "context"), self._find(execution, "execution")] = None
        for child, parent in change.parents:
            plan.parents[self._find(child, "context"), self._find(parent, "context")] = None
        if plan.parents:
            self._refuse_circles()

    def _event(self, event: Event) -> EventRow:
        if event.kind not in EVENT_KINDS:
            raise UsageError(
                f"{event.kind!r} is not a kind of event", code="bad-event", near=sorted(EVENT_KINDS)
            )
        return EventRow(
            self._find(event.execution, "execution"),
            self._find(event.artifact, "artifact"),
            event.kind,
            path_text(event.path),
            self._now_us if event.at is None else to_us(event.at),
        )

    def _find(self, uid: str, kind: NodeKind) -> int:
        row = self._plan.given.get(uid) or self._by_uid.get(uid)
        if row is None or row.kind != kind:
            raise NotFoundError(kind, uid)
        return row.id

    def _refuse_circles(self) -> None:
        above: dict[int, set[int]] = {}
        frontier = {parent for _, parent in self._plan.parents}
        while frontier:
            for child, parent in self._look.parents(frontier):
                above.setdefault(child, set()).add(parent)
            known = {parent for child in frontier for parent in above.get(child, ())}
            frontier = known - above.keys() - frontier
        for child, parent in self._plan.parents:
            if child in _reach(above, parent):
                raise ConflictError(
                    f"context {_label(self._by_id[child])} would be its own ancestor", code="context-cycle"
                )
            above.setdefault(child, set()).add(parent)


def _reach(above: Mapping[int, set[int]], start: int) -> set[int]:
    seen, todo = {start}, [start]
    while todo:
        for parent in above.get(todo.pop(), ()):
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return seen


def _check_texts(node: AnyNode) -> None:
    for text in (node.name, node.external_id):
        if text is not None and not 0 < len(text) <= MAX_NAME:
            raise UsageError(
                f"a name has 1 to {MAX_NAME} characters, got {len(text)}: {text[:40]!r}…", code="too-long"
            )
    uri = node.uri if isinstance(node, Artifact) else None
    for text in (node.uid, node.name, node.external_id, uri):
        if text is not None and not text.isascii():
            _check_unicode(text)
    if not 0 < len(node.uid) <= 64:
        raise UsageError(f"a uid has 1 to 64 characters, got {node.uid!r:.80}", code="too-long")
    if isinstance(node, Context):
        return
    states = ARTIFACT_STATES if isinstance(node, Artifact) else EXECUTION_STATES
    if node.state not in states:
        raise UsageError(f"{node.state!r} is not a state", code="bad-state", near=sorted(states))


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"text is not valid Unicode: {error}", code="invalid-text") from error


def _label(row: NodeRow) -> str:
    return repr(row.name) if row.name is not None else row.uid


def _taken(kind: str, stored: NodeRow, node: AnyNode) -> ConflictError:
    if stored.uid == node.uid:
        what = f"uid {node.uid}"
    elif node.name is not None and stored.name == node.name:
        what = f"name {node.name!r}"
    else:
        what = f"external id {node.external_id!r}"
    return ConflictError(
        f"{kind} {what} is taken in type {node.type!r}",
        code="name-taken",
        hint="reuse or update the stored one",
        details={"uid": stored.uid},
    )


__all__ = ["KINDS", "Lookup", "Plan", "Wanted", "make_plan"]
