"""What a change does to a store, decided before anything is written.

Every backend uses it: it answers look-ups inside its transaction, and carries the plan out: removals first, then
updates in their order, then inserts, then edges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, get_args

from msgspec import Raw

from whence.errors import ConflictError, DeniedError, NotFoundError, UsageError
from whence.metadata.allowed import check_mask, check_text, check_texts, moment_us
from whence.metadata.encode import INT64_MAX, INT64_MIN, check_properties, encode
from whence.metadata.ids import MAX_N, kind_of_id, node_id, wire_id
from whence.metadata.past import changed, delta_of, parts, parts_text
from whence.metadata.rows import (
    EventRow,
    MarkRow,
    NodeRow,
    PastRow,
    kind_of,
    leave,
    path_text,
    to_tombstone,
    tombstone_of,
)
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    EventKind,
    Lift,
    Mark,
    NodeKind,
    Policy,
    Put,
    Removal,
    Rows,
    Type,
    Verdict,
)

EVENT_KINDS: Final = frozenset(get_args(EventKind))
POLICIES: Final = get_args(Policy)
VERDICTS: Final = get_args(Verdict)


@dataclass(slots=True)
class Wanted:
    """What a plan must know of the store: nodes by each of their names."""

    uids: set[str] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)
    names: set[tuple[int, int, str]] = field(default_factory=set)
    """(type id, namespace id, name)"""
    external_ids: set[tuple[NodeKind, int, str]] = field(default_factory=set)
    """(kind, namespace id, external id)"""

    def __bool__(self) -> bool:
        return bool(self.uids or self.ids or self.names or self.external_ids)


class Lookup(Protocol):
    """A store's state, as its transaction sees it."""

    namespace_id: int
    """The namespace that is written into."""

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:
        """The stored type, read again if it lacks one of `properties`; `NotFoundError` when there is none."""
        ...

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        """The stored nodes with any of these names."""
        ...

    def next_id(self) -> int:
        """The first number (see `whence.metadata.ids`) that is free, and that no node has had."""
        ...

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        """The (child, parent) pairs of these children."""
        ...

    def events(self, keys: Collection[tuple[int, int, str]]) -> Iterable[tuple[int, int, str]]:
        """Those of these (execution, artifact, kind) that stored events have."""
        ...

    def marks(self, ids: Collection[int]) -> Iterable[MarkRow]:
        """The stored marks with these ids."""
        ...

    def next_mark(self) -> int:
        """The first id of a mark that is free."""
        ...


@dataclass(slots=True)
class Plan:
    """The rows to write, and the stored row of each uid that was given.

    Attributes:
        now_us: The moment of the change.
        removed: Nodes that become tombstones; their past is forgotten.
        updates: Nodes that change, in the order in which their names become free.
        inserts: Nodes that are new.
        past: What updated nodes were before.
        events: In order; those that are there are left.
        members: (context, node), and since when it is known; None: since both are there.
        parents: (child, parent), and since when, likewise.
        marks: New marks.
        lifted: Marks taken back.
        imported: (source, kind, their id, node id).
        given: The row of each uid of a put.
    """

    now_us: int
    removed: dict[int, NodeRow] = field(default_factory=dict)
    updates: dict[int, NodeRow] = field(default_factory=dict)
    inserts: dict[int, NodeRow] = field(default_factory=dict)
    past: list[PastRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    members: dict[tuple[int, int], int | None] = field(default_factory=dict)
    parents: dict[tuple[int, int], int | None] = field(default_factory=dict)
    marks: list[MarkRow] = field(default_factory=list)
    lifted: list[MarkRow] = field(default_factory=list)
    imported: list[tuple[str, NodeKind, int, int]] = field(default_factory=list)
    given: dict[str, NodeRow] = field(default_factory=dict)


def make_plan(change: Change, look: Lookup, now_us: int, *, trusting: bool = False) -> Plan:
    """Resolve a change against a store.

    Args:
        change: What is asked.
        look: The store.
        now_us: The moment of the change, later than that of any before.
        trusting: Take it that a put that must be new is new, and look up nothing for it. The store's own unique
            names then tell when it is not; the plan made again without this says which name it is.

    Raises:
        ConflictError, NotFoundError, UsageError: As `MetadataStore.write` says.
    """
    return _Planner(look, now_us, trusting=trusting).change(change)


def make_load(rows: Rows, look: Lookup, now_us: int, *, trusting: bool = False) -> Plan:
    """Resolve a batch with ids and times of its own against a store; `trusting` as for `make_plan`, but for uids.

    Raises:
        ConflictError, NotFoundError, UsageError: As `MetadataStore.load` says.
    """
    return _Planner(look, now_us, trusting=trusting).load(rows)


class _Planner:
    def __init__(self, look: Lookup, now_us: int, *, trusting: bool) -> None:
        self._look = look
        self._now_us = now_us
        self._trusting = trusting
        self._namespace_id = look.namespace_id
        self._spaces: Mapping[str, int] = {}
        self._plan = Plan(now_us)
        self._by_uid: dict[str, NodeRow] = {}
        self._by_id: dict[int, NodeRow] = {}
        self._by_name: dict[tuple[int, int, str], NodeRow] = {}
        self._by_external: dict[tuple[NodeKind, int, str], NodeRow] = {}
        self._free: int | None = None

    # the whole

    def change(self, change: Change) -> Plan:
        typed = [(put, self._typed(put.node)) for put in change.puts]
        for put in change.puts:
            if put.mask is not None:
                check_mask(put.mask)
        wanted = Wanted()
        new: set[str] = set()
        for put, type_ in typed:
            if self._trusting and put.if_exists == "error" and put.node.id is None and put.revision is None:
                new.add(put.node.uid)
            else:
                self._want(wanted, put.node, type_)
        for pairs in (change.attributions, change.associations, change.parents):
            for pair in pairs:
                wanted.uids.update(pair)
        for event in change.events:
            wanted.uids.add(event.execution)
            wanted.uids.add(event.artifact)
        wanted.uids.update(removal.uid for removal in change.removals)
        wanted.uids.update(mark.uid for mark in change.marks)
        wanted.uids -= new
        self._know_all(wanted)
        for removal in change.removals:
            self._remove(removal)
        for put, type_ in typed:
            self._plan.given[put.node.uid] = self._put(put, type_)
        self._settle()
        self._edges(change, strict=change.strict_events)
        if change.marks:
            self._mark(change.marks)
        if change.lifts:
            self._lift(change.lifts)
        return self._plan

    def load(self, rows: Rows) -> Plan:
        self._spaces = rows.namespaces
        typed = [(node, self._typed(node)) for node in rows.nodes]
        wanted = Wanted()
        for node, type_ in typed:
            if self._trusting:
                wanted.uids.add(node.uid)
            else:
                self._want(wanted, node, type_)
        for event in rows.events:
            wanted.uids.update((event.execution, event.artifact))
        for pairs in (rows.attributions, rows.associations, rows.parents):
            for pair in pairs:
                wanted.uids.update(pair)
        wanted.uids.update(uid for _, _, uid in rows.imported)
        self._know_all(wanted)
        highest = max((wire_id(node.id) for node in rows.nodes if node.id is not None), default=0)
        self._free = max(self._look.next_id(), highest + 1)
        for node, type_ in typed:
            self._plan.given[node.uid] = self._place(node, type_)
        self._settle()
        self._edges(rows, at_once=True)
        for kind, their_id, uid in rows.imported:
            if not INT64_MIN <= their_id <= INT64_MAX:
                raise UsageError(f"{their_id} does not fit 64 bits", code="bad-argument")
            self._plan.imported.append((rows.source, kind, their_id, self._find(uid, kind)))
        return self._plan

    def _settle(self) -> None:
        # A later put of the same change may have updated what an earlier one gave back.
        given = self._plan.given
        for uid, row in given.items():
            given[uid] = self._by_id[row.id]

    # what is known

    def _typed(self, node: AnyNode) -> Type:
        kind = kind_of(node)
        type_ = self._look.type(kind, node.type, node.type_version, node.properties)
        check_texts(node)
        return type_

    def _want(self, wanted: Wanted, node: AnyNode, type_: Type) -> None:
        wanted.uids.add(node.uid)
        if node.id is not None and 0 < wire_id(node.id) <= MAX_N:
            wanted.ids.add(node.id)
        if node.name is not None:
            assert type_.id is not None
            wanted.names.add((type_.id, self._space(node), node.name))
        if node.external_id is not None:
            wanted.external_ids.add((type_.kind, self._space(node), node.external_id))

    def _space(self, node: AnyNode) -> int:
        """The namespace that a node comes into."""
        return self._spaces.get(node.namespace, self._namespace_id) if self._spaces else self._namespace_id

    def _know_all(self, wanted: Wanted) -> None:
        if wanted:
            for row in self._look.rows(wanted):
                self._know(row)

    def _know(self, row: NodeRow) -> None:
        old = self._by_id.get(row.id)
        if old is not None and old.name is not None and old.name != row.name:
            self._by_name.pop((old.type_id, old.namespace_id, old.name), None)
        if old is not None and old.external_id is not None and old.external_id != row.external_id:
            self._by_external.pop((old.kind, old.namespace_id, old.external_id), None)
        self._by_id[row.id] = row
        self._by_uid[row.uid] = row
        if row.name is not None:
            self._by_name[row.type_id, row.namespace_id, row.name] = row
        if row.external_id is not None:
            self._by_external[row.kind, row.namespace_id, row.external_id] = row

    # nodes

    def _remove(self, removal: Removal) -> None:
        row = self._by_uid.get(removal.uid)
        if row is None:
            raise NotFoundError("node", removal.uid)
        if row.removed_us is not None:
            return
        self._refuse_foreign(row)
        for text in (removal.reason, removal.principal):
            check_text(text)
        was = leave(row, removal.reason, removal.principal)
        tombstone = to_tombstone(row, was, self._now_us)._replace(
            updated_us=max(self._now_us, row.updated_us), revision=row.revision + 1
        )
        self._plan.removed[row.id] = tombstone
        self._know(tombstone)

    def _put(self, put: Put, type_: Type) -> NodeRow:
        node = put.node
        stored = self._stored(put, type_)
        if stored is None:
            if put.revision is not None:
                raise NotFoundError(type_.kind, node.name or node.uid)
            return self._insert(
                node_row(node, type_, self._number(type_.kind), self._namespace_id, self._now_us)
            )
        if put.revision is not None and put.revision != stored.revision:
            raise ConflictError(
                f"{type_.kind} {_label(stored)} has revision {stored.revision}, not {put.revision}",
                code="stale-revision",
                hint="read it again, then retry",
                details={"uid": stored.uid, "revision": stored.revision},
            )
        if put.if_exists == "reuse":
            return stored
        if put.if_exists == "error" and node.id is None:
            raise _taken(type_.kind, stored, node)
        if stored.removed_us is not None:
            raise _removed(stored)
        self._refuse_foreign(stored)
        if put.unchanged_since is not None and stored.updated_us > moment_us(put.unchanged_since):
            raise ConflictError(
                f"{type_.kind} {_label(stored)} was updated after {put.unchanged_since.isoformat()}",
                code="stale-update",
                hint="read it again, then retry",
                details={"uid": stored.uid},
            )
        return self._update(put, type_, stored)

    def _stored(self, put: Put, type_: Type) -> NodeRow | None:
        node = put.node
        if node.id is not None:
            stored = self._by_id.get(node.id)
            if stored is None:
                raise NotFoundError(type_.kind, node.id)
        else:
            stored = self._by_uid.get(node.uid)
            if stored is None and node.name is not None:
                assert type_.id is not None
                stored = self._by_name.get((type_.id, self._namespace_id, node.name))
        if stored is not None and stored.type_id != type_.id:
            raise _other_type(type_, stored, node)
        if put.if_exists != "reuse" or stored is None:
            self._check_free(node, type_, stored, put.mask)
        return stored

    def _check_free(
        self, node: AnyNode, type_: Type, stored: NodeRow | None, mask: frozenset[str] | None = None
    ) -> None:
        others: list[NodeRow | None] = []
        if node.name is not None and (mask is None or stored is None or "name" in mask):
            assert type_.id is not None
            others.append(self._by_name.get((type_.id, self._space(node), node.name)))
        if node.external_id is not None and (mask is None or stored is None or "external_id" in mask):
            others.append(self._by_external.get((type_.kind, self._space(node), node.external_id)))
        for other in others:
            if other is not None and (stored is None or other.id != stored.id):
                raise _taken(type_.kind, other, node)

    def _number(self, kind: NodeKind) -> int:
        if self._free is None:
            self._free = self._look.next_id()
        self._free += 1
        return node_id(self._free - 1, kind)

    def _insert(self, row: NodeRow) -> NodeRow:
        self._plan.inserts[row.id] = row
        self._know(row)
        return row

    def _update(self, put: Put, type_: Type, stored: NodeRow) -> NodeRow:
        node, mask = put.node, put.mask
        given = parts(encode(check_properties(type_, node.properties), node.custom))
        old = parts(stored.properties)
        uri = node.uri if isinstance(node, Artifact) else None
        state = None if isinstance(node, Context) else node.state
        name, external_id = node.name, node.external_id
        if mask is not None:
            name = name if "name" in mask else stored.name
            external_id = external_id if "external_id" in mask else stored.external_id
            uri = uri if "uri" in mask else stored.uri
            state = state if "state" in mask else stored.state  # type: ignore[assignment]  # stored by us
            new = {part: _masked(word, mask, old[part], given[part]) for part, word in _WORDS.items()}
        elif put.if_exists == "replace":
            name = stored.name if name is None else name
            new = given
        else:
            name = stored.name if name is None else name
            external_id = stored.external_id if external_id is None else external_id
            uri = stored.uri if uri is None else uri
            new = {part: {**old[part], **given[part]} for part in _WORDS}
        differs = changed(old["p"], new["p"]) or changed(old["c"], new["c"])
        row = stored._replace(
            name=name,
            external_id=external_id,
            uri=uri,
            state=state,
            properties=parts_text(new) if differs else stored.properties,
        )
        counts = put.touch or (mask is None and put.if_exists != "replace")
        if row == stored and not counts:
            return stored
        return self._revise(
            stored,
            row._replace(updated_us=max(self._now_us, stored.updated_us), revision=stored.revision + 1),
        )

    def _revise(self, stored: NodeRow, row: NodeRow) -> NodeRow:
        plan = self._plan
        plan.past.append(PastRow(stored.id, stored.revision, self._now_us, delta_of(stored, row)))
        (plan.inserts if row.id in plan.inserts else plan.updates)[row.id] = row
        self._know(row)
        return row

    def _place(self, node: AnyNode, type_: Type) -> NodeRow:
        """A node with an id and times of its own: new, or in place of the stored one of its uid."""
        stored = self._by_uid.get(node.uid)
        if stored is not None and stored.type_id != type_.id:
            raise _other_type(type_, stored, node)
        if stored is not None and stored.removed_us is not None:
            return stored
        if node.removed_at is None:
            self._check_free(node, type_, stored)
        created_us = self._now_us if stored is None else stored.created_us
        if node.created_at is not None:
            created_us = moment_us(node.created_at)
        updated_us = created_us if node.updated_at is None else moment_us(node.updated_at)
        if stored is None:
            row = node_row(node, type_, self._given_id(node, type_.kind), self._space(node), created_us)
            if node.removed_at is not None:
                row = to_tombstone(row, tombstone_of(node), moment_us(node.removed_at))
            return self._insert(row._replace(updated_us=updated_us) if updated_us != created_us else row)
        row = node_row(node, type_, stored.id, stored.namespace_id, created_us)._replace(
            updated_us=updated_us, revision=stored.revision
        )
        new, old = parts(row.properties), parts(stored.properties)
        if not changed(old["p"], new["p"]) and not changed(old["c"], new["c"]):
            row = row._replace(properties=stored.properties)
        if row == stored:
            return stored
        self._refuse_foreign(stored)
        return self._revise(stored, row._replace(revision=stored.revision + 1))

    def _given_id(self, node: AnyNode, kind: NodeKind) -> int:
        if node.id is None:
            return self._number(kind)
        if not 0 < wire_id(node.id) <= MAX_N or node.id & 3 == 0 or kind_of_id(node.id) != kind:
            raise UsageError(f"{node.id} is no id of {kind} {node.uid}", code="bad-argument")
        other = self._by_id.get(node.id)
        if other is not None:
            raise ConflictError(
                f"id {node.id} of {kind} {node.uid} is {other.uid}'s",
                code="id-taken",
                hint="bring it in without ids, or into a graph of its own",
                details={"uid": other.uid},
            )
        return node.id

    def _refuse_foreign(self, row: NodeRow) -> None:
        if row.namespace_id != self._namespace_id:
            raise DeniedError(
                f"{row.kind} {_label(row)} is in another namespace",
                code="namespace-closed",
                hint="change it through the handle of its own namespace",
                details={"uid": row.uid},
            )

    # edges

    def _edges(self, change: Change | Rows, *, strict: bool = False, at_once: bool = False) -> None:
        plan, now, inserts = self._plan, self._now_us, self._plan.inserts
        for event in change.events:
            plan.events.append(self._event(event, len(plan.events), at_once=at_once))
        if strict:
            self._refuse_events()
        for pairs, kind in ((change.attributions, "artifact"), (change.associations, "execution")):
            for context, node in pairs:
                pair = self._end(context, "context"), self._end(node, kind)  # type: ignore[arg-type]  # kinds
                fresh = at_once or pair[0] in inserts or pair[1] in inserts
                plan.members.setdefault(pair, None if fresh else now)
        for child, parent in change.parents:
            pair = self._end(child, "context"), self._end(parent, "context")
            fresh = at_once or pair[0] in inserts or pair[1] in inserts
            plan.parents.setdefault(pair, None if fresh else now)
        if plan.parents:
            self._refuse_circles()

    def _event(self, event: Event, position: int, *, at_once: bool) -> EventRow:
        if event.kind not in EVENT_KINDS:
            raise UsageError(
                f"{event.kind!r} is not a kind of event", code="bad-event", near=sorted(EVENT_KINDS)
            )
        at_us = self._now_us if event.at is None else moment_us(event.at)
        ends = self._end(event.execution, "execution"), self._end(event.artifact, "artifact")
        known_us = self._now_us
        if at_once:  # known since it happened, but not before there was something it could happen to
            known_us = max(at_us, *(self._by_id[end].created_us for end in ends))
        return EventRow(
            *ends,
            event.kind,
            path_text(event.path),
            at_us,
            position,
            None if known_us == at_us else known_us,
        )

    def _refuse_events(self) -> None:
        events = self._plan.events
        keys = [(event.execution_id, event.artifact_id, event.kind) for event in events]
        there = set(self._look.events(set(keys)))
        for key in keys:
            if key in there:
                execution, artifact, kind = key
                raise ConflictError(
                    f"execution {_label(self._by_id[execution])} has an event {kind} with artifact "
                    f"{_label(self._by_id[artifact])}",
                    code="event-taken",
                )
            there.add(key)

    def _find(self, uid: str, kind: NodeKind) -> int:
        row = self._plan.given.get(uid) or self._by_uid.get(uid)
        if row is None or row.kind != kind:
            raise NotFoundError(kind, uid)
        return row.id

    def _end(self, uid: str, kind: NodeKind) -> int:
        row = self._plan.given.get(uid) or self._by_uid.get(uid)
        if row is None or row.kind != kind:
            raise NotFoundError(kind, uid)
        if row.removed_us is not None and row.id not in self._plan.inserts:
            raise _removed(row)
        return row.id

    def _refuse_circles(self) -> None:
        above: dict[int, set[int]] = {}
        frontier = {parent for _, parent in self._plan.parents} - self._plan.inserts.keys()
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

    # marks

    def _mark(self, marks: Iterable[Mark]) -> None:
        next_id = self._look.next_mark()
        for n, mark in enumerate(marks):
            if mark.verdict not in VERDICTS or mark.policy not in POLICIES:
                raise UsageError(
                    f"a mark says {mark.verdict!r} with policy {mark.policy!r}",
                    code="bad-mark",
                    hint="policies: " + ", ".join(POLICIES),
                )
            row = self._plan.given.get(mark.uid) or self._by_uid.get(mark.uid)
            if row is None:
                raise NotFoundError("node", mark.uid)
            if row.kind == "context":
                raise UsageError(f"{_label(row)} is a context and takes no mark", code="bad-mark")
            for text in (mark.reason, mark.principal):
                check_text(text)
            self._plan.marks.append(
                MarkRow(
                    next_id + n,
                    row.id,
                    mark.verdict,
                    mark.policy,
                    mark.reason,
                    mark.principal[:255],
                    self._now_us,
                    # What says that something is good again is never in force.
                    *((self._now_us, mark.principal[:255]) if mark.verdict == "repaired" else ()),
                )
            )

    def _lift(self, lifts: Iterable[Lift]) -> None:
        near = {lift.mark for lift in lifts if 0 < lift.mark <= INT64_MAX}  # others no store can look for
        stored = {row.id: row for row in self._look.marks(near)}
        lifted: dict[int, MarkRow] = {}
        for lift in lifts:
            row = stored.get(lift.mark)
            if row is None:
                raise NotFoundError("mark", lift.mark)
            if row.lifted_us is None and row.id not in lifted:
                check_text(lift.principal)
                lifted[row.id] = row._replace(lifted_us=self._now_us, lifted_by=lift.principal[:255])
        self._plan.lifted = list(lifted.values())


_WORDS: Final = {"p": "properties", "c": "custom"}


def node_row(node: AnyNode, type_: Type, id_: int, namespace_id: int, now_us: int) -> NodeRow:
    """The row of a new node.

    Raises:
        UsageError: A property does not fit (``property-type``, ``unknown-property``, ``too-large``, ``invalid-text``).
    """
    assert type_.id is not None
    return NodeRow(
        id_,
        type_.kind,
        type_.id,
        node.uid,
        node.name,
        node.external_id,
        node.uri if isinstance(node, Artifact) else None,
        None if isinstance(node, Context) else node.state,
        encode(check_properties(type_, node.properties), node.custom),
        now_us,
        now_us,
        1,
        namespace_id,
    )


def _masked(
    word: str, mask: frozenset[str], old: Mapping[str, Raw], given: Mapping[str, Raw]
) -> dict[str, Raw]:
    if word in mask:
        return dict(given)
    new = dict(old)
    for path in mask:
        part, dot, name = path.partition(".")
        if part != word or not dot:
            continue
        if name in given:
            new[name] = given[name]
        else:
            new.pop(name, None)
    return new


def _reach(above: Mapping[int, set[int]], start: int) -> set[int]:
    seen, todo = {start}, [start]
    while todo:
        for parent in above.get(todo.pop(), ()):
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return seen


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


def _other_type(type_: Type, stored: NodeRow, node: AnyNode) -> ConflictError:
    return ConflictError(
        f"{_label(stored)} is stored with another type than {type_.kind} {node.type!r}",
        code="name-taken",
        details={"uid": stored.uid},
    )


def _removed(stored: NodeRow) -> ConflictError:
    return ConflictError(
        f"{stored.kind} {stored.uid} was removed",
        code="removed",
        hint="make a new node: its name is free",
        details={"uid": stored.uid},
    )
