"""Nodes made of raw rows, field by field as they are looked at: the properties without the rest, the rest without them.

What a lineage of thousands of nodes costs is what is made of them. Who asks for nodes by their ids is going to look at
them: `read_nodes` reads their properties at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import compress, repeat
from typing import Any, Final, Protocol

import msgspec

from whence.metadata.backends.lists import Tuple
from whence.metadata.codes import STATES, unpack_uid
from whence.metadata.encode import decode
from whence.metadata.lazy import Source, set_source
from whence.metadata.rows import EPOCH, SETTERS, NodeRow, fill_node
from whence.metadata.types import AnyNode, Artifact, Context, Execution, Type
from whence.metadata.typetable import TypeTable

_CLASSES: Final[tuple[type[AnyNode], ...]] = (Context, Artifact, Execution, Context)
_new: Final = object.__new__
_run: Final = deque[None](maxlen=0).extend
"""Takes whatever there is, and keeps nothing."""
MAX_READ_CHARS: Final = 16_384
"""Longer properties are read when they are looked at."""
_set: Final = SETTERS[Context]
_set_properties, _set_custom = _set["properties"], _set["custom"]
_set_type, _set_type_version, _set_uid, _set_id = (
    _set["type"],
    _set["type_version"],
    _set["uid"],
    _set["id"],
)
_set_name, _set_external_id, _set_revision = _set["name"], _set["external_id"], _set["revision"]
_set_created_at, _set_updated_at = _set["created_at"], _set["updated_at"]
_set_namespace, _set_removed_at = _set["namespace"], _set["removed_at"]
_set_uri: Final = SETTERS[Artifact]["uri"]
_set_state: Final = (None, SETTERS[Artifact]["state"], SETTERS[Execution]["state"], None)


class _Stored(msgspec.Struct, gc=False):
    """A stored text whose values are as JSON has them; see `whence.metadata.encode`."""

    p: dict[str, Any]  # Any: msgspec would look into every value of a closed set of types
    c: dict[str, Any]


_decode_all: Final = msgspec.json.Decoder(list[_Stored]).decode


class Reading(Protocol):
    """Who knows what the numbers of a raw row mean."""

    types: TypeTable
    namespaces: dict[int, str]

    def row(self, raw: Tuple) -> NodeRow:
        """A raw node in words."""


def spell(raw: Tuple) -> str:
    """The uid of a raw row."""
    return raw[4] or unpack_uid(raw[3])


def node_maker(reader: Reading, uid_of: Callable[[Tuple], str] = spell) -> Callable[[Tuple], AnyNode]:
    """What makes the node of a raw row.

    Args:
        reader: Who knows what its numbers mean.
        uid_of: Who spells its uid.
    """

    def node(raw: Tuple) -> AnyNode:
        made: AnyNode = _new(_CLASSES[raw[0] & 3])
        set_source(made, (_fill, raw, reader, uid_of))
        return made

    return node


def read_nodes(reader: Reading, raws: Sequence[Tuple]) -> list[AnyNode]:
    """The nodes of raw rows, their properties read already.

    All texts are decoded at once, and what is done to every node is a `map` for all of them: for a thousand nodes a
    loop takes a third longer.
    """
    nodes: list[AnyNode] = [_new(_CLASSES[raw[0] & 3]) for raw in raws]
    plain = [raw[13] is None and '"$' not in raw[9] and len(raw[9]) <= MAX_READ_CHARS for raw in raws]
    texts = [raw[9] for raw in compress(raws, plain)]
    read = _decode_all(f"[{','.join(texts)}]")
    some = nodes if len(read) == len(nodes) else list(compress(nodes, plain))
    fills = [_fill_rest if ready else _fill for ready in plain]
    _run(map(_set_properties, some, [stored.p for stored in read]))
    _run(map(_set_custom, some, [stored.c for stored in read]))
    _run(map(set_source, nodes, zip(fills, raws, repeat(reader), repeat(spell))))
    return nodes


def _fill(node: AnyNode, field: str, source: Source) -> bool:
    """Set the properties, or all the rest."""
    _, raw, reader, uid_of = source
    if raw[13] is not None:
        type_: Type = reader.types.by_id(raw[1])
        return fill_node(node, field, (fill_node, reader.row(raw), type_, reader.namespaces[raw[2]]))
    if field == "properties" or field == "custom":
        typed, custom = decode(raw[9])
        _set_properties(node, typed)
        _set_custom(node, custom)
        set_source(node, (_fill_rest, raw, reader, uid_of))
    else:
        _fill_rest(node, field, source)
        set_source(node, (_fill_properties, raw[9]))
    return False


def _fill_properties(node: AnyNode, field: str, source: Source) -> bool:  # noqa: ARG001 - both come together
    typed, custom = decode(source[1])
    _set_properties(node, typed)
    _set_custom(node, custom)
    return True


def _fill_rest(node: AnyNode, field: str, source: Source) -> bool:  # noqa: ARG001 - all of it comes together
    _, raw, reader, uid_of = source
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
    _set_uid(node, uid_of(raw))
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
