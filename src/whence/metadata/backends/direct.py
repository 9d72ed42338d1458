"""The short way to write: what is asked every day, in one pass from value objects to the driver's tuples.

Nearly every change is of that kind: new nodes, events and memberships; nodes that may be there already and are then
reused (a context); stored nodes that say something more (an execution that ends). It takes for granted that a new
name is free, which the unique indexes then say; whatever is odd in any way makes it give up, and the plan
(`whence.metadata.plan`) does the work, and says what is wrong. Results and errors are the plan's either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from whence.database import Session
from whence.errors import UsageError
from whence.metadata.allowed import MAX_NAME, MAX_URI, moment_us
from whence.metadata.backends.lists import Tuple
from whence.metadata.backends.reading import (
    EXTERNAL_ID,
    ID,
    NAME,
    NAMESPACE_ID,
    PROPERTIES,
    REMOVED,
    REVISION,
    TYPE_ID,
    UID,
    UID_TEXT,
    URI,
    Reader,
)
from whence.metadata.codes import EVENT_CODES, KIND_CODES, STATE_CODES, pack_uid
from whence.metadata.encode import INT64_MAX, INT64_MIN, MAX_VALUE_BYTES, check_properties, encode
from whence.metadata.past import changed, delta_of, parts, parts_text
from whence.metadata.rows import NODE_CLASSES, path_text
from whence.metadata.types import AnyNode, Change, Event, NodeKind, Put, Type

# What a typed value is when nothing has to be converted or looked into.
_PLAIN: Final[dict[str, type]] = {"INT": int, "DOUBLE": float, "STRING": str, "BOOLEAN": bool}
_encode: Final = msgspec.json.Encoder().encode

Known: TypeAlias = tuple[int, int, dict[str, type], dict[str, int]]
"""A type: its id, the code of its kind, the plain types of its properties, the codes of its states."""


class _OddError(Exception):
    """Something that the plan must look at."""


@dataclass(slots=True)
class Additions:
    """Tuples to write.

    Attributes:
        nodes: New raw nodes by their given uid.
        events: Rows of the event table.
        members: Rows of the member table.
        updates: Raw nodes in the place of stored ones.
        pasts: What those were before, as rows of the table of the past.
        given: The raw node of each uid of a put; that of `nodes` where nothing else was put.
    """

    nodes: dict[str, Tuple] = field(default_factory=dict)
    events: list[Tuple] = field(default_factory=list)
    members: list[Tuple] = field(default_factory=list)
    updates: list[Tuple] = field(default_factory=list)
    pasts: list[Tuple] = field(default_factory=list)
    given: dict[str, Tuple] = field(default_factory=dict)


def only_adds(change: Change) -> bool:
    """Whether a change is of the kind that can go the short way."""
    return not (change.parents or change.removals or change.marks or change.lifts or change.strict_events)


def additions(
    change: Change,
    reader: Reader,
    session: Session,
    *,
    namespace_id: int,
    first_n: int,
    now_us: int,
) -> Additions | None:
    """The rows of a change of that kind, or None when it must be planned.

    Args:
        change: What is asked.
        reader: The store.
        session: Its transaction.
        namespace_id: Where the nodes go.
        first_n: The number of the first new node.
        now_us: The moment of the change.
    """
    try:
        return _Adding(reader, session, namespace_id, now_us).add(change, first_n)
    except (
        _OddError,
        UsageError,
        UnicodeEncodeError,
        TypeError,
        AttributeError,
    ):  # the plan says what is wrong
        return None


class _Adding:
    def __init__(self, reader: Reader, session: Session, namespace_id: int, now_us: int) -> None:
        self._reader = reader
        self._session = session
        self._namespace_id = namespace_id
        self._now_us = now_us
        self._ids: dict[str, int] = {}
        """Ids by uid, of both ends of every edge."""
        self._new: frozenset[int] | set[int] = frozenset()
        self._stored: dict[str, Tuple] = {}
        """Stored nodes by uid, of puts that look for one and of ends."""
        self._packed: dict[str, bytes] = {}
        """Uids as they are stored."""
        self._named: dict[tuple[int, str], Tuple] = {}
        """Stored nodes by type and name, of puts whose uid is not stored."""

    def add(self, change: Change, first_n: int) -> Additions:
        out, ends = Additions(), _ends(change)
        looking = [put for put in change.puts if put.if_exists != "error"]
        if looking:
            self._look(looking, change, ends)
        else:
            out.given = out.nodes
        self._nodes(change.puts, first_n, out)
        if ends:
            self._know_ends(ends)
            self._events(change.events, out.events)
            if change.attributions or change.associations:
                self._new = {raw[0] for raw in out.nodes.values()}
                self._members(change.attributions, KIND_CODES["artifact"], out.members)
                self._members(change.associations, KIND_CODES["execution"], out.members)
        return out

    # what is there

    def _look(self, puts: Sequence[Put], change: Change, ends: set[str]) -> None:
        """Read the nodes that these puts may mean, and the ends of the edges with them."""
        reader, stored, named = self._reader, self._stored, self._named
        wanted = ends.union([put.node.uid for put in puts])
        wanted.difference_update([put.node.uid for put in change.puts if put.if_exists == "error"])
        uids = {self._pack(uid): uid for uid in wanted}
        for raw in reader.raw_by_packed(self._session, list(uids)):
            if raw[UID_TEXT] is None:
                stored[uids[raw[UID]]] = raw
        by_type: dict[int, list[str]] = {}
        for put in puts:
            node = put.node
            if node.name is not None and node.uid not in stored:
                key = (node.__class__, node.type, node.type_version)
                type_id = (reader.plain_types.get(key) or self._learn(key))[0]
                by_type.setdefault(type_id, []).append(node.name)
        for type_id, names in by_type.items():
            for raw in reader.raw_by_names(self._session, type_id, self._namespace_id, names):
                named[type_id, raw[NAME]] = raw

    def _pack(self, uid: str) -> bytes:
        packed = self._packed.get(uid)
        if packed is None:
            packed, odd = pack_uid(uid)
            if odd is not None:
                raise _OddError
            self._packed[uid] = packed
        return packed

    def _know_ends(self, ends: set[str]) -> None:
        ids = self._ids
        wanted = ends - ids.keys()
        for uid in wanted & self._stored.keys():
            raw = self._stored[uid]
            if raw[REMOVED] is not None:
                raise _OddError
            ids[uid] = raw[ID]
            wanted.discard(uid)
        if wanted:
            for uid, id_, removed_us in self._reader.ends(self._session, wanted):
                if removed_us is not None:
                    raise _OddError
                ids[uid] = id_

    # nodes

    def _nodes(self, puts: Iterable[Put], n: int, out: Additions) -> None:
        known, ids, nodes, given = self._reader.plain_types, self._ids, out.nodes, out.given
        namespace_id, now_us = self._namespace_id, self._now_us
        meant: dict[int, Put] = {}
        for put in puts:
            node = put.node
            key = (node.__class__, node.type, node.type_version)
            type_id, code, plain, states = known.get(key) or self._learn(key)
            uid, name, external_id = node.uid, node.name, node.external_id
            uri = state = None
            if code != 3:
                state = states.get(node.state)  # type: ignore[union-attr]  # a context has code 3
                uri = node.uri if code == 1 else None  # type: ignore[union-attr]  # an artifact has code 1
                if state is None or not (uri is None or _is_uri(uri)):
                    raise _OddError
            if not (name is None or _is_name(name)) or not (external_id is None or _is_name(external_id)):
                raise _OddError
            if uid in ids or put.mask is not None:
                raise _OddError
            stored = None
            if put.if_exists != "error":
                stored = self._there(put, type_id, meant)
            elif node.id is not None or put.revision is not None:
                raise _OddError
            if stored is not None:
                if put.if_exists == "update":
                    stored = self._updated(put, stored, plain, state, out)
                ids[uid], given[uid] = stored[ID], stored
                continue
            ids[uid] = id_ = 4 * n + code
            n += 1
            given[uid] = nodes[uid] = (
                id_, type_id, namespace_id, self._pack(uid), None, name, external_id, uri, state,
                self._text(node, type_id, plain), now_us, None, 1, None,
            )  # fmt: skip

    def _there(self, put: Put, type_id: int, meant: dict[int, Put]) -> Tuple | None:
        """The stored node that a put means, by its uid or else its name; None when it is new."""
        node = put.node
        raw = self._stored.get(node.uid)
        if raw is None and node.name is not None:
            raw = self._named.get((type_id, node.name))
        if put.if_exists not in ("reuse", "update"):
            raise _OddError
        if raw is None:
            if node.id is not None or put.revision is not None:
                raise _OddError
            return None
        if (
            raw[TYPE_ID] != type_id
            or raw[NAMESPACE_ID] != self._namespace_id
            or raw[REMOVED] is not None
            or node.id not in (None, raw[ID])
            or put.revision not in (None, raw[REVISION])
        ):
            raise _OddError
        first = meant.setdefault(raw[ID], put)
        if first is not put and "update" in (first.if_exists, put.if_exists):
            raise _OddError  # each must see what the one before has made of it
        return raw

    def _updated(
        self, put: Put, raw: Tuple, plain: dict[str, type], state: int | None, out: Additions
    ) -> Tuple:
        """The stored node with what a put says of it, as the plan merges them."""
        node = put.node
        if (
            node.name not in (None, raw[NAME])
            or node.external_id not in (None, raw[EXTERNAL_ID])
            or put.unchanged_since is not None
        ):
            raise _OddError
        old, given = parts(raw[PROPERTIES]), parts(self._text(node, raw[TYPE_ID], plain))
        new = {part: {**old[part], **given[part]} for part in old}
        differs = any(changed(old[part], new[part]) for part in old)
        row = self._reader.row(raw)
        uri = getattr(node, "uri", None)
        made = row._replace(
            uri=row.uri if uri is None else uri,
            state=getattr(node, "state", None),
            properties=parts_text(new) if differs else row.properties,
            updated_us=max(self._now_us, row.updated_us),
            revision=row.revision + 1,
        )
        out.pasts.append((row.id, row.revision, self._now_us, delta_of(row, made)))
        updated_us = None if made.updated_us == row.created_us else made.updated_us
        stored = (
            *raw[:URI], made.uri, state, made.properties, row.created_us, updated_us, made.revision, None,
        )  # fmt: skip
        out.updates.append(stored)
        return stored

    def _learn(self, key: tuple[type, str, str | None]) -> Known:
        kind: NodeKind | None = NODE_CLASSES.get(key[0])  # type: ignore[assignment]  # a node's class
        type_ = None if kind is None else self._reader.types.find(kind, *key[1:])
        if kind is None or type_ is None:
            raise _OddError
        known = self._reader.plain_types[key] = _known(kind, type_)
        return known

    def _text(self, node: AnyNode, type_id: int, plain: dict[str, type]) -> str:
        """The stored text of a node's properties."""
        text = _text(node, plain)
        if text is not None:
            return text
        return encode(check_properties(self._reader.types.by_id(type_id), node.properties), node.custom)

    # edges

    def _events(self, events: Iterable[Event], out: list[Tuple]) -> None:
        ids, now_us = self._ids, self._now_us
        for event in events:
            execution, artifact = ids.get(event.execution, 0), ids.get(event.artifact, 0)
            kind = EVENT_CODES.get(event.kind, 0)
            if execution & 3 != 2 or artifact & 3 != 1 or not kind:
                raise _OddError
            path = path_text(event.path) if event.path else ""
            if event.at is None:
                out.append((execution, kind, artifact, path, len(out), now_us, None))
            else:
                at_us = moment_us(event.at)
                out.append(
                    (execution, kind, artifact, path, len(out), at_us, None if at_us == now_us else now_us)
                )

    def _members(self, pairs: Iterable[tuple[str, str]], code: int, out: list[Tuple]) -> None:
        ids, new, now_us = self._ids, self._new, self._now_us
        for pair in pairs:
            context, node = ids.get(pair[0], 0), ids.get(pair[1], 0)
            if context & 3 != 3 or node & 3 != code:
                raise _OddError
            out.append((context, node, None if context in new or node in new else now_us))


def _ends(change: Change) -> set[str]:
    """The uids of both ends of every edge."""
    ends = {event.artifact for event in change.events}
    ends.update(event.execution for event in change.events)
    for pairs in (change.attributions, change.associations):
        for pair in pairs:
            ends.update(pair)
    return ends


def _known(kind: NodeKind, type_: Type) -> Known:
    assert type_.id is not None
    plain = {name: _PLAIN[want] for name, want in type_.properties.items() if want in _PLAIN}
    return type_.id, KIND_CODES[kind], plain, STATE_CODES[kind]


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isascii() and "\0" not in text


def _is_uri(text: str) -> bool:
    return len(text) <= MAX_URI and text.isprintable() and text.isascii()


def _text(node: AnyNode, plain: dict[str, type]) -> str | None:
    """The stored text of a node's properties, as `encode` makes it; None when a value must be looked into."""
    properties, custom = node.properties, node.custom
    for name, value in properties.items():
        kind = value.__class__
        if kind is not plain.get(name) or not (kind is str or _is_plain(value, kind)):
            return None
    for name, value in custom.items():
        kind = value.__class__
        if not (kind is str or _is_plain(value, kind)) or not name or name.__class__ is not str:
            return None
    data = _encode(
        {
            "p": properties if properties.__class__ is dict else {**properties},
            "c": custom if custom.__class__ is dict else {**custom},
        }
    )
    return None if len(data) > MAX_VALUE_BYTES or b"\\u0000" in data else data.decode()


def _is_plain(value: Any, kind: type) -> bool:  # Any: a property value of whatever kind
    """Whether JSON and 64 bits have this number (or truth, or nothing) as it is."""
    if kind is int:
        return bool(INT64_MIN <= value <= INT64_MAX)
    if kind is float:
        return bool(value - value == 0.0)  # neither infinite nor NaN
    return kind is bool or value is None
