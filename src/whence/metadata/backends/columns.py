"""Many new nodes at once: a change that only adds, column by column, for `MetadataStore.load`.

What `direct` does node by node is done here for a whole batch at a time, a field of all nodes, then the next field:
each step is one call of Python's own, where a step a node would cost more than its row costs SQLite. As there it is
taken for granted that a new name is free, which the unique indexes then say; whatever is odd makes it give up, and
the plan (`whence.metadata.plan`) does the work, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from math import isfinite
from operator import add, attrgetter, is_not, itemgetter
from typing import Any, Final

import msgspec

from whence.database import Session
from whence.errors import UsageError
from whence.metadata.allowed import MAX_NAME, MAX_URI, check_text, moment_us
from whence.metadata.backends.direct import Additions
from whence.metadata.backends.lists import Column, Tuple
from whence.metadata.backends.reading import Reader
from whence.metadata.backends.uids import pack_ulids
from whence.metadata.codes import EVENT_CODES, KIND_CODES, STATE_CODES, pack_uid
from whence.metadata.encode import INT64_MAX, INT64_MIN, MAX_VALUE_BYTES, check_properties, encode
from whence.metadata.rows import NODE_CLASSES, path_text
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    NodeKind,
    Properties,
    Put,
    Type,
    Value,
)

MAX_UID: Final = 64
MAX_KNOWN: Final = 50_000
"""How many uids of earlier batches are remembered: those that the next ones are likely to name."""

_CODES: Final = {cls: KIND_CODES[kind] for cls, kind in NODE_CLASSES.items()}  # type: ignore[index]  # kinds of nodes
_STATES: Final = {cls: STATE_CODES[kind] for cls, kind in NODE_CLASSES.items()}  # type: ignore[index]  # the same
_EVENTS: Final = {kind: code for kind, code in EVENT_CODES.items() if code}
_PLAIN: Final[dict[str, type]] = {"INT": int, "DOUBLE": float, "STRING": str, "BOOLEAN": bool}
_AS_THEY_ARE: Final = frozenset({str, bool, type(None)})
_encode_lines: Final = msgspec.json.Encoder().encode_lines


class _OddError(Exception):
    """Something that the plan must look at."""


@dataclass(slots=True)
class Known:
    """Ids by uid, of nodes that nobody can have removed since: nothing was written but by this load.

    Attributes:
        ids: By uid.
        last_us: The moment of the last write when they were true.
    """

    ids: dict[str, int] = field(default_factory=dict)
    last_us: int | None = None

    def at(self, last_us: int) -> dict[str, int]:
        """What is known still, now that the last write was at this moment."""
        if last_us != self.last_us or len(self.ids) > MAX_KNOWN:
            self.ids.clear()
        return self.ids


@dataclass(slots=True)
class Columns:
    """Rows to insert, each table's columns in their order; a table without new rows has none.

    Attributes:
        n_nodes: How many nodes.
        n_events: How many events.
        n_members: How many memberships.
        nodes: The columns of the node table.
        events: The columns of the event table.
        members: The columns of the member table.
    """

    n_nodes: int = 0
    n_events: int = 0
    n_members: int = 0
    nodes: Sequence[Column] = ()
    events: Sequence[Column] = ()
    members: Sequence[Column] = ()

    def rows(self) -> Additions:
        """The same row by row, for systems that take them so."""
        nodes = _rows(self.nodes, self.n_nodes)
        return Additions(
            {str(raw[0]): raw for raw in nodes},
            _rows(self.events, self.n_events),
            _rows(self.members, self.n_members),
        )


def _rows(columns: Sequence[Column], n: int) -> list[Tuple]:
    lists = [column if isinstance(column, list) else repeat(column, n) for column in columns]
    return list(zip(*lists, strict=True))


def columns(
    change: Change,
    reader: Reader,
    session: Session,
    ids: dict[str, int],
    *,
    namespace_id: int,
    first_n: int,
    now_us: int,
) -> Columns | None:
    """The rows of a change that only adds (see `direct.only_adds`), or None when it must be planned.

    Args:
        change: What is asked.
        reader: The store.
        session: Its transaction.
        ids: Ids by uid that are known already; those of this change come in, also when there is no answer.
        namespace_id: Where the nodes go.
        first_n: The number of the first new node.
        now_us: The moment of the change.
    """
    try:
        out = Columns()
        if change.puts:
            _add_nodes(
                change.puts, reader, ids, out, namespace_id=namespace_id, first_n=first_n, now_us=now_us
            )
        ends = _Ends(reader, session, ids)
        if change.events:
            _add_events(change.events, ends, out, now_us)
        if change.attributions or change.associations:
            _add_members(change, ends, out, first_id=4 * first_n, now_us=now_us)
    except (_OddError, UsageError, TypeError, AttributeError, KeyError, ValueError, OverflowError):
        return None  # the plan says what is wrong
    return out


def _each(name: str, items: Iterable[object]) -> list[Any]:  # Any: what a field holds
    return list(map(attrgetter(name), items))


# Nodes


def _add_nodes(
    puts: Sequence[Put],
    reader: Reader,
    ids: dict[str, int],
    out: Columns,
    *,
    namespace_id: int,
    first_n: int,
    now_us: int,
) -> None:
    if not all([put.if_exists == "error" and put.revision is None and put.mask is None for put in puts]):  # noqa: C419 - half the time
        raise _OddError
    nodes: list[Any] = [put.node for put in puts]  # Any: a node of the class that its place in `classes` has
    n, uids, classes = len(nodes), _each("uid", nodes), list(map(type, nodes))
    if set(_each("id", nodes)) != {None}:
        raise _OddError
    keys = list(zip(classes, _each("type", nodes), _each("type_version", nodes), strict=True))
    types = {key: _type(key, reader) for key in set(keys)}
    type_ids = [types[key].id for key in keys]
    made = list(map(add, range(4 * first_n, 4 * (first_n + n), 4), map(_CODES.__getitem__, classes)))
    packed, odd = _uids(uids)
    n_known = len(ids)
    ids.update(zip(uids, made, strict=True))
    if len(ids) != n_known + n:
        raise _OddError  # a uid is there, or is there twice
    out.n_nodes = n
    out.nodes = (
        made,
        type_ids,
        namespace_id,
        packed,
        odd,
        _texts(_each("name", nodes), 1, MAX_NAME),
        _texts(_each("external_id", nodes), 1, MAX_NAME),
        _texts([node.uri if cls is Artifact else None for cls, node in zip(classes, nodes, strict=True)], 0, MAX_URI),
        [None if cls is Context else _STATES[cls][node.state] for cls, node in zip(classes, nodes, strict=True)],
        _properties(
            type_ids, {t.id: t for t in types.values()}, _each("properties", nodes), _each("custom", nodes)
        ),
        now_us,
        None,
        1,
        None,
    )  # fmt: skip


def _type(key: tuple[type[AnyNode], str, str | None], reader: Reader) -> Type:
    kind: NodeKind = NODE_CLASSES[key[0]]  # type: ignore[assignment]  # a node's class
    found = reader.types.find(kind, key[1], key[2])
    if found is None:
        raise _OddError
    return found


def _uids(uids: list[str]) -> tuple[Column, Column]:
    """The two columns of uids."""
    packed = pack_ulids(uids)
    if packed is not None:
        return packed, None
    _texts(uids, 1, MAX_UID)
    both = [pack_uid(uid) for uid in uids]
    return [one for one, _ in both], [text for _, text in both]


def _texts(column: list[Any], least: int, most: int) -> Column:
    """A column of texts, each of a length that fits, Unicode and without a NUL, or None."""
    kinds = set(map(type, column))
    texts = column
    if type(None) in kinds:
        if len(kinds) == 1:
            return None
        kinds.discard(type(None))
        texts = [text for text in column if text is not None]
    if kinds != {str}:
        raise _OddError
    lengths = set(map(len, texts))
    if min(lengths) < least or max(lengths) > most:
        raise _OddError
    check_text("".join(texts))
    return column


# Properties


def _properties(
    type_ids: Sequence[int | None],
    types: Mapping[int | None, Type],
    properties: Sequence[Properties],
    custom: Sequence[Properties],
) -> list[str]:
    """The stored text of each node's properties, as `whence.metadata.encode.encode` makes it."""
    shapes: dict[Any, list[int]] = {}  # Any: a type's id, names of typed properties, names of custom ones
    for i, shape in enumerate(zip(type_ids, map(tuple, properties), map(tuple, custom), strict=True)):
        if shape in shapes:
            shapes[shape].append(i)
        else:
            shapes[shape] = [i]
    odd: list[int] = []
    for (type_id, typed_names, custom_names), places in shapes.items():
        type_ = types[type_id]
        for name in (*typed_names, *custom_names):
            if name.__class__ is not str or not name:
                raise _OddError
        plain = {name: _PLAIN.get(type_.properties.get(name, "")) for name in typed_names}
        if not (
            _are_plain([properties[i] for i in places], typed_names, plain)
            and _are_plain([custom[i] for i in places], custom_names, {})
        ):
            odd += places
    texts = _lines(properties, custom, odd)
    for i in odd:
        texts[i] = encode(check_properties(types[type_ids[i]], properties[i]), custom[i])
    return texts


def _are_plain(maps: Sequence[Properties], names: Sequence[str], wanted: Mapping[str, type | None]) -> bool:
    """Whether JSON has all these values as they are, and each is of the kind that is wanted of its name.

    Args:
        maps: Properties.
        names: The names that each of them has.
        wanted: The class of the value of each name; nothing: any.
    """
    for name in names:
        column = list(map(itemgetter(name), maps))
        kinds = set(map(type, column))
        if wanted and kinds != {wanted[name]}:
            return False
        for kind in kinds - _AS_THEY_ARE:
            values = column if len(kinds) == 1 else [value for value in column if value.__class__ is kind]
            if kind is int:
                if min(values) < INT64_MIN or max(values) > INT64_MAX:
                    return False
            elif kind is not float or not all(map(isfinite, values)):
                return False
    return True


def _lines(properties: Sequence[Properties], custom: Sequence[Properties], odd: list[int]) -> list[str]:
    """Each node's properties as JSON; nothing for those that are `odd`, and more of them become so."""
    skipped = set(odd)
    plain: list[dict[str, dict[str, Value]] | None] = [
        {"p": p if p.__class__ is dict else dict(p), "c": c if c.__class__ is dict else dict(c)}
        for p, c in zip(properties, custom, strict=True)
    ]
    for i in skipped:
        plain[i] = None
    data = _encode_lines(plain)
    texts = data.decode().split("\n")
    texts.pop()
    if len(data) > MAX_VALUE_BYTES:
        odd += [i for i, text in enumerate(texts) if len(text) * 4 > MAX_VALUE_BYTES and i not in skipped]
    if b"\\u0000" in data:
        odd += [i for i, text in enumerate(texts) if "\\u0000" in text and i not in skipped]
    return texts


# Edges


class _Ends:
    """The ids of the ends of edges; those that are not known are looked up, those that are no longer there are odd."""

    def __init__(self, reader: Reader, session: Session, ids: dict[str, int]) -> None:
        self._reader = reader
        self._session = session
        self._ids = ids

    def of(self, uids: Sequence[str], code: int) -> list[int]:
        """The ids of nodes of a kind."""
        ids = self._ids
        found = list(map(ids.get, uids))
        if None in found:
            for uid, id_, removed_us in self._reader.ends(self._session, set(uids) - ids.keys()):
                if removed_us is not None:
                    raise _OddError
                ids[uid] = id_
            found = list(map(ids.get, uids))
        there: list[int] = found  # type: ignore[assignment]  # what is None has no bits
        if {id_ & 3 for id_ in there} != {code}:
            raise _OddError
        return there


def _add_events(events: Sequence[Event], ends: _Ends, out: Columns, now_us: int) -> None:
    paths, times = [event.path for event in events], [event.at for event in events]
    texts: Column = ""
    if any(paths):
        texts = [path_text(path) if path else "" for path in paths]
    at_us: Column = now_us
    known_us: Column = None
    if any(map(is_not, times, repeat(None))):
        at_us = [now_us if at is None else moment_us(at) for at in times]
        known_us = [None if at == now_us else now_us for at in at_us]
    out.n_events = len(events)
    out.events = (
        ends.of([event.execution for event in events], 2),
        [_EVENTS[event.kind] for event in events],
        ends.of([event.artifact for event in events], 1),
        texts,
        list(range(len(events))),
        at_us,
        known_us,
    )


def _add_members(change: Change, ends: _Ends, out: Columns, *, first_id: int, now_us: int) -> None:
    contexts: list[int] = []
    nodes: list[int] = []
    for pairs, code in ((change.attributions, 1), (change.associations, 2)):
        if pairs:
            left, right = zip(*pairs, strict=True)
            contexts += ends.of(left, 3)
            nodes += ends.of(right, code)
    known_us: Column = None
    if min(contexts) < first_id and min(nodes) < first_id:
        known_us = [None if max(pair) >= first_id else now_us for pair in zip(contexts, nodes, strict=True)]
    out.n_members = len(nodes)
    out.members = (contexts, nodes, known_us)
