"""What a node was before: the differences between revisions, and rolling a node back to a moment.

Beside the newest row of a node a store keeps, for each earlier revision, only what the next one changed, as it was
before::

    {"s": "RUNNING", "p": {"attempt": 1}, "-c": ["note"]}

One letter names a column (n name, x external id, u uri, s state, t time of the update, k time of the creation); ``p``
and ``c`` hold the old values of typed and custom properties, ``-p`` and ``-c`` the names of those that were not
there. The time of the update is left out where it is that of the creation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from whence.metadata.rows import NodeRow, PastRow

Parts: TypeAlias = dict[str, dict[str, Raw]]
"""Properties as stored, their values not decoded: typed under p, custom under c."""

_COLUMNS: Final = {
    "n": "name",
    "x": "external_id",
    "u": "uri",
    "s": "state",
    "k": "created_us",
    "t": "updated_us",
}
_PARTS: Final = ("p", "c")

_encoder = msgspec.json.Encoder()
_parts_decoder = msgspec.json.Decoder(Parts)
_delta_decoder = msgspec.json.Decoder(dict[str, Any])  # Any: columns are text and numbers, parts are objects


def parts(text: str) -> Parts:
    """The properties of a stored text, each value as its own JSON."""
    return _parts_decoder.decode(text)


def parts_text(found: Parts) -> str:
    """The stored text of properties."""
    return _encoder.encode(found).decode()


def delta_of(old: NodeRow, new: NodeRow) -> str:
    """What the step from `old` to `new` changed, as it was before.

    Example:
        >>> old = NodeRow(6, "execution", 3, "u", None, None, None, "RUNNING", '{"p":{"n":1},"c":{}}', 5, 5, 1)
        >>> delta_of(old, old._replace(state="COMPLETE", properties='{"p":{"n":2},"c":{"x":0}}', updated_us=9))
        '{"s":"RUNNING","p":{"n":1},"-c":["x"]}'
    """
    out: dict[str, object] = {}
    if old.name != new.name:
        out["n"] = old.name
    if old.external_id != new.external_id:
        out["x"] = old.external_id
    if old.uri != new.uri:
        out["u"] = old.uri
    if old.state != new.state:
        out["s"] = old.state
    if old.created_us != new.created_us:
        out["k"] = old.created_us
    if old.updated_us != old.created_us:
        out["t"] = old.updated_us
    if old.properties != new.properties:
        before, after = parts(old.properties), parts(new.properties)
        for part in _PARTS:
            was, now = before[part], after[part]
            changed = {name: value for name, value in was.items() if not _same(value, now.get(name))}
            added = [name for name in now if name not in was]
            if changed:
                out[part] = changed
            if added:
                out["-" + part] = added
    return _encoder.encode(out).decode()


def rolled_back(row: NodeRow, past: PastRow) -> NodeRow:
    """The row as it was in the revision `past`, which is the one before that of `row`.

    Example:
        >>> new = NodeRow(6, "execution", 3, "u", None, None, None, "COMPLETE", '{"p":{"n":2},"c":{"x":0}}', 5, 9, 2)
        >>> old = rolled_back(new, PastRow(6, 1, 9, '{"s":"RUNNING","p":{"n":1},"-c":["x"]}'))
        >>> old.state, old.properties, old.updated_us, old.revision
        ('RUNNING', '{"p":{"n":1},"c":{}}', 5, 1)
    """
    was = _delta_decoder.decode(past.delta)
    columns: dict[str, Any] = {name: was[key] for key, name in _COLUMNS.items() if key in was}
    columns.setdefault("updated_us", columns.get("created_us", row.created_us))
    if any(key in was for part in _PARTS for key in (part, "-" + part)):
        now = parts(row.properties)
        for part in _PARTS:
            for name in was.get("-" + part, ()):
                now[part].pop(name, None)
            now[part].update({name: Raw(_encoder.encode(value)) for name, value in was.get(part, {}).items()})
        columns["properties"] = parts_text(now)
    return row._replace(revision=past.revision, **columns)


def as_of(row: NodeRow, pasts: Iterable[PastRow], moment_us: int) -> NodeRow | None:
    """The row as it was known at a moment, or None before it was made; a tombstone made since is itself.

    Args:
        row: The newest row.
        pasts: The earlier revisions that ended after the moment; others do no harm.
        moment_us: Microseconds since 1970.
    """
    return None if row.created_us > moment_us else rolled_to(row, pasts, moment_us)


def rolled_to(row: NodeRow, pasts: Iterable[PastRow], moment_us: int) -> NodeRow:
    """The row of a node that was there at a moment, whatever time it claims; see `as_of`."""
    for past in sorted(pasts, key=lambda p: -p.revision):
        # A revision is missing where the clock had been wrong, and later ones ended earlier.
        if past.until_us <= moment_us or past.revision != row.revision - 1:
            break
        row = rolled_back(row, past)
    return row


def revisions(row: NodeRow, pasts: Iterable[PastRow]) -> list[NodeRow]:
    """Every revision of a node, oldest first."""
    out = [row]
    for past in sorted(pasts, key=lambda p: -p.revision):
        out.append(rolled_back(out[-1], past))
    return out[::-1]


def changed(old: Mapping[str, Raw], new: Mapping[str, Raw]) -> bool:
    """Whether two parts of properties differ, in whatever order they and their structs are."""
    return old.keys() != new.keys() or not all(_equal(value, new[name]) for name, value in old.items())


def _equal(one: Raw, other: Raw) -> bool:
    if _same(one, other):
        return True
    if bytes(one)[:1] not in b"{[" or bytes(other)[:1] != bytes(one)[:1]:
        return False
    ordered = (msgspec.json.encode(msgspec.json.decode(text), order="deterministic") for text in (one, other))
    return next(ordered) == next(ordered)


def _same(one: Raw, other: Raw | None) -> bool:
    return other is not None and bytes(one) == bytes(other)
