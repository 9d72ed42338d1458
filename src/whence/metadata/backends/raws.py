"""Nodes made of raw rows, field by field as they are looked at.

What a lineage of thousands of nodes costs is what is made of them: so the properties are read without the rest, the
rest without the properties, and a uid is spelled once for its node and all its events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from whence.metadata.codes import EVENT_KINDS, STATES, unpack_uid
from whence.metadata.encode import decode
from whence.metadata.lazy import Source, set_source
from whence.metadata.rows import EPOCH, SETTERS, NodeRow, fill_node
from whence.metadata.types import AnyNode, Artifact, Context, Event, Execution
from whence.metadata.typetable import TypeTable

Raw: TypeAlias = tuple[Any, ...]  # Any: a row of the node table as the driver gives it

_UID, _UID_TEXT, _TEXT, _REMOVED = 3, 4, 9, 13
_CLASSES: Final[tuple[type[AnyNode], ...]] = (Context, Artifact, Execution, Context)
_new: Final = object.__new__
_decode_path: Final = msgspec.json.Decoder(tuple[str | int, ...]).decode
_set = SETTERS[Context]
_set_type, _set_type_version, _set_name = _set["type"], _set["type_version"], _set["name"]
_set_external_id, _set_properties, _set_custom = _set["external_id"], _set["properties"], _set["custom"]
_set_uid, _set_id, _set_revision = _set["uid"], _set["id"], _set["revision"]
_set_created_at, _set_updated_at, _set_removed_at = _set["created_at"], _set["updated_at"], _set["removed_at"]
_set_namespace: Final = _set["namespace"]
_set_uri: Final = SETTERS[Artifact]["uri"]
_set_state: Final = (None, SETTERS[Artifact]["state"], SETTERS[Execution]["state"], None)
_of_event: Final[tuple[Callable[[Event, Any], None], ...]] = tuple(  # Any: a field's value
    Event.__dict__[name].__set__ for name in ("execution", "artifact", "kind", "path", "at")
)
_set_event_execution, _set_event_artifact, _set_event_kind, _set_event_path, _set_event_at = _of_event


class Reading(Protocol):
    """Who knows what the numbers of a raw row mean."""

    types: TypeTable
    namespaces: dict[int, str]

    def row(self, raw: Raw) -> NodeRow:
        """A raw node in words."""


class Names(dict[int, str]):
    """Uids by id, each spelled once.

    Args:
        raws: The nodes whose uids can be asked for: all are spelled when one is.
    """

    def __init__(self, raws: Sequence[Raw]) -> None:
        super().__init__()
        self._raws = raws

    def spell(self) -> None:
        """Spell all of them."""
        if len(self) >= len(self._raws):
            return
        self.update(
            zip([raw[0] for raw in self._raws], unpack_uids([raw[_UID] for raw in self._raws]), strict=True)
        )
        self.update([(raw[0], raw[_UID_TEXT]) for raw in self._raws if raw[_UID_TEXT] is not None])

    def __missing__(self, id_: int) -> str:
        if len(self) >= len(self._raws):
            raise KeyError(id_)
        self.spell()
        return self[id_]

    def of(self, raw: Raw) -> str:
        """The uid of a node whose row is at hand."""
        found = self.get(raw[0])
        if found is None and self._raws:
            self.spell()
            found = self.get(raw[0])
        if found is None:
            found = self[raw[0]] = raw[_UID_TEXT] or unpack_uid(raw[_UID])
        return found


# 256 uids at a time: each in a lane of 32 bytes, whose groups of five bits are pulled apart until each has a byte.
_LANES: Final = 256
_LANE: Final = bytes(16)


def _mask(places: Sequence[tuple[int, int]]) -> int:
    """Bits (from, to) of every lane."""
    lane = sum((1 << high) - (1 << low) for low, high in places)
    return int.from_bytes(lane.to_bytes(32, "big") * _LANES, "big")


def _steps() -> list[tuple[int, int, int]]:
    """(what stays, what moves, how far it moves): halves of 32 groups, then of 16, 8, 4 and 2."""
    steps = []
    groups = 32
    while groups > 1:
        half, lane = groups // 2, groups * 8
        begins = range(0, 256, lane)
        low = _mask([(begin, begin + half * 5) for begin in begins])
        high = _mask([(begin + half * 5, begin + groups * 5) for begin in begins])
        steps.append((low, high, half * 3))
        groups = half
    return steps


_STEPS: Final = _steps()
_DIGITS: Final = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".ljust(256, b"?")


def unpack_uids(packed: Sequence[bytes]) -> list[str]:
    """The ULIDs of many times 16 bytes, ten times as fast as `unpack_uid` for each.

    Example:
        >>> from whence.metadata.codes import pack_uid
        >>> unpack_uids([pack_uid(uid)[0] for uid in ("01J0000000000000000000000Z", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ")])
        ['01J0000000000000000000000Z', '7ZZZZZZZZZZZZZZZZZZZZZZZZZ']
    """
    found: list[str] = []
    for begin in range(0, len(packed), _LANES):
        block = packed[begin : begin + _LANES]
        bits = int.from_bytes(_LANE.join(block), "big")
        for low, high, far in _STEPS:
            bits = bits & low | (bits & high) << far
        text = bits.to_bytes(32 * len(block), "big").translate(_DIGITS).decode()
        found += [text[i : i + 26] for i in range(6, len(text), 32)]
    return found


def maker(reader: Reading, names: Names) -> Callable[[Raw], Any]:  # Any: a node of the kind that its id says
    """What makes the node of a raw row."""

    def node_of(raw: Raw) -> AnyNode:
        node: AnyNode = _new(_CLASSES[raw[0] & 3])
        set_source(node, (_fill, raw, reader, names))
        return node

    return node_of


def events_of(rows: Sequence[Raw], names: Names) -> list[Event]:
    """The events of raw rows of the event table.

    Their class takes three times as long to make one, and a lineage has them by the thousand.
    """
    moments = {at_us: EPOCH + timedelta(0, 0, at_us) for at_us in {row[5] for row in rows}}
    events = []
    for execution_id, kind, artifact_id, path, _, at_us, _ in rows:
        event = _new(Event)
        _set_event_execution(event, names[execution_id])
        _set_event_artifact(event, names[artifact_id])
        _set_event_kind(event, EVENT_KINDS[kind])
        _set_event_path(event, _decode_path(path) if path else ())
        _set_event_at(event, moments[at_us])
        events.append(event)
    return events


def _fill(node: AnyNode, field: str, source: Source) -> bool:
    """Set the properties, or all the rest."""
    _, raw, reader, names = source
    if raw[_REMOVED] is None and (field == "properties" or field == "custom"):
        typed, custom = decode(raw[_TEXT])
        _set_properties(node, typed)
        _set_custom(node, custom)
        set_source(node, (_fill_rest, raw, reader, names))
        return False
    if raw[_REMOVED] is not None:
        types: TypeTable = reader.types
        return fill_node(
            node, field, (fill_node, reader.row(raw), types.by_id(raw[1]), reader.namespaces[raw[2]])
        )
    _fill_rest(node, field, source)
    set_source(node, (_fill_properties, raw[_TEXT]))
    return False


def _fill_properties(node: AnyNode, field: str, source: Source) -> bool:  # noqa: ARG001 - both come together
    typed, custom = decode(source[1])
    _set_properties(node, typed)
    _set_custom(node, custom)
    return True


def _fill_rest(node: AnyNode, field: str, source: Source) -> bool:  # noqa: ARG001 - all comes together
    _, raw, reader, names = source
    (
        id_,
        type_id,
        namespace_id,
        _,
        _,
        name,
        external_id,
        uri,
        state,
        _,
        created_us,
        updated_us,
        revision,
        _,
    ) = raw
    type_ = reader.types.by_id(type_id)
    created = EPOCH + timedelta(0, 0, created_us)
    _set_type(node, type_.name)
    _set_type_version(node, type_.version)
    _set_name(node, name)
    _set_external_id(node, external_id)
    _set_uid(node, names.of(raw))
    _set_id(node, id_)
    _set_created_at(node, created)
    _set_updated_at(node, created if updated_us is None else EPOCH + timedelta(0, 0, updated_us))
    _set_revision(node, revision)
    _set_namespace(node, reader.namespaces[namespace_id])
    _set_removed_at(node, None)
    code = id_ & 3
    set_state = _set_state[code]
    if set_state is not None:
        set_state(node, STATES[code][state])
        if code == 1:
            _set_uri(node, uri)
    return True
