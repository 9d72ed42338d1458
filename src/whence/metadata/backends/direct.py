"""The short way to write: a change that only adds, in one pass from value objects to the driver's tuples.

Nearly every change is one: new nodes, events and memberships. It takes for granted that a new name is free, which
the unique indexes then say; whatever is odd in any way makes it give up, and the plan (`whence.metadata.plan`)
does the work, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from whence.database import Session
from whence.errors import UsageError
from whence.metadata.backends.lists import Tuple
from whence.metadata.backends.reading import Reader
from whence.metadata.codes import EVENT_CODES, KIND_CODES, STATE_CODES, pack_uid
from whence.metadata.encode import INT64_MAX, INT64_MIN, MAX_VALUE_BYTES
from whence.metadata.plan import MAX_NAME, MAX_URI
from whence.metadata.rows import NODE_CLASSES, path_text, to_us
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
    """Tuples to insert.

    Attributes:
        nodes: Raw nodes by their given uid.
        events: Rows of the event table.
        members: Rows of the member table.
    """

    nodes: dict[str, Tuple] = field(default_factory=dict)
    events: list[Tuple] = field(default_factory=list)
    members: list[Tuple] = field(default_factory=list)


def only_adds(change: Change) -> bool:
    """Whether a change is of the kind that can go the short way."""
    return not (change.parents or change.removals or change.marks or change.lifts or change.strict_events)


def additions(
    change: Change, reader: Reader, session: Session, *, namespace_id: int, first_n: int, now_us: int
) -> Additions | None:
    """The rows of a change that only adds, or None when it must be planned.

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

    def add(self, change: Change, first_n: int) -> Additions:
        out = Additions()
        self._nodes(change.puts, first_n, out.nodes)
        if change.events or change.attributions or change.associations:
            self._know_ends(change)
            self._events(change.events, out.events)
            if change.attributions or change.associations:
                self._new = {raw[0] for raw in out.nodes.values()}
                self._members(change.attributions, KIND_CODES["artifact"], out.members)
                self._members(change.associations, KIND_CODES["execution"], out.members)
        return out

    def _nodes(self, puts: Iterable[Put], n: int, out: dict[str, Tuple]) -> None:
        known, ids = self._reader.plain_types, self._ids
        namespace_id, now_us = self._namespace_id, self._now_us
        for put in puts:
            node = put.node
            if put.if_exists != "error" or node.id is not None or put.revision is not None:
                raise _OddError
            key = (node.__class__, node.type, node.type_version)
            type_id, code, plain, states = known.get(key) or self._learn(key)
            uid, name, external_id = node.uid, node.name, node.external_id
            uri = state = None
            if code != 3:
                state = states.get(node.state)  # type: ignore[union-attr]  # a context has code 3
                if state is None:
                    raise _OddError
                if code == 1:
                    uri = node.uri  # type: ignore[union-attr]
                    if uri is not None and not (len(uri) <= MAX_URI and uri.isprintable() and uri.isascii()):
                        raise _OddError
            if name is not None and not (0 < len(name) <= MAX_NAME and name.isascii() and "\0" not in name):
                raise _OddError
            if external_id is not None and not _is_name(external_id):
                raise _OddError
            packed, odd_uid = pack_uid(uid)
            if odd_uid is not None or uid in ids:
                raise _OddError
            id_ = 4 * n + code
            n += 1
            ids[uid] = id_
            text = _text(node, plain)
            out[uid] = (
                id_, type_id, namespace_id, packed, None, name, external_id, uri, state, text, now_us, None, 1, None,
            )  # fmt: skip

    def _learn(self, key: tuple[type, str, str | None]) -> Known:
        kind: NodeKind | None = NODE_CLASSES.get(key[0])  # type: ignore[assignment]  # a node's class
        type_ = None if kind is None else self._reader.types.find(kind, *key[1:])
        if kind is None or type_ is None:
            raise _OddError
        known = self._reader.plain_types[key] = _known(kind, type_)
        return known

    def _know_ends(self, change: Change) -> None:
        ids = self._ids
        wanted = {event.artifact for event in change.events}
        wanted.update(event.execution for event in change.events)
        for pairs in (change.attributions, change.associations):
            for pair in pairs:
                wanted.update(pair)
        wanted -= ids.keys()
        if wanted:
            for uid, id_, removed_us in self._reader.ends(self._session, wanted):
                if removed_us is not None:
                    raise _OddError
                ids[uid] = id_

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
                at_us = _us(event.at)
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


def _known(kind: NodeKind, type_: Type) -> Known:
    assert type_.id is not None
    plain = {name: _PLAIN[want] for name, want in type_.properties.items() if want in _PLAIN}
    return type_.id, KIND_CODES[kind], plain, STATE_CODES[kind]


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isascii() and "\0" not in text


def _text(node: AnyNode, plain: dict[str, type]) -> str:
    """The stored text of a node's properties, as `whence.metadata.encode.encode` makes it."""
    properties, custom = node.properties, node.custom
    for name, value in properties.items():
        kind = value.__class__
        if kind is not plain.get(name) or not (kind is str or _is_plain(value, kind)):
            raise _OddError
    for name, value in custom.items():
        kind = value.__class__
        if not (kind is str or _is_plain(value, kind)) or not name or name.__class__ is not str:
            raise _OddError
    data = _encode(
        {
            "p": properties if properties.__class__ is dict else {**properties},
            "c": custom if custom.__class__ is dict else {**custom},
        }
    )
    if len(data) > MAX_VALUE_BYTES or b"\\u0000" in data:
        raise _OddError
    return data.decode()


def _is_plain(value: Any, kind: type) -> bool:  # Any: a property value of whatever kind
    """Whether JSON and 64 bits have this number (or truth, or nothing) as it is."""
    if kind is int:
        return bool(INT64_MIN <= value <= INT64_MAX)
    if kind is float:
        return bool(value - value == 0.0)  # neither infinite nor NaN
    return kind is bool or value is None


def _us(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise _OddError
    return to_us(moment)
