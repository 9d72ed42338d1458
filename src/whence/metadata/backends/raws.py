"""Nodes and events made of the raw rows of a lineage, which has them by the thousand: a uid is spelled once for its node
and all its events, and all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

import msgspec

from whence.metadata.backends.nodes import Reading, node_maker
from whence.metadata.backends.uids import unpack_uids
from whence.metadata.codes import EVENT_KINDS, unpack_uid
from whence.metadata.rows import EPOCH
from whence.metadata.types import Event

Raw: TypeAlias = tuple[Any, ...]  # Any: a row of the node table as the driver gives it

_UID, _UID_TEXT = 3, 4
_new: Final = object.__new__
_decode_path: Final = msgspec.json.Decoder(tuple[str | int, ...]).decode
_of_event: Final[tuple[Callable[[Event, Any], None], ...]] = tuple(  # Any: a field's value
    Event.__dict__[name].__set__ for name in ("execution", "artifact", "kind", "path", "at")
)
_set_event_execution, _set_event_artifact, _set_event_kind, _set_event_path, _set_event_at = _of_event


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


def maker(reader: Reading, names: Names) -> Callable[[Raw], Any]:  # Any: a node of the kind that its id says
    """What makes the node of a raw row."""
    return node_maker(reader, names.of)


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
