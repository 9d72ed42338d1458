"""The shape of a filter: what is left of it when its constants are taken out.

Filters of one shape are one statement of SQL; a program asks few shapes with many constants.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from whence.metadata.filter import bound as b
from whence.metadata.filter.bound import Bound, Scalar, Scope

Constant: TypeAlias = Scalar | tuple[str, ...]
"""What stood in a slot: a number, text, or the signs of a pattern."""


def shape_of(scope: Scope) -> tuple[Scope, list[Constant]]:
    """A filter with a slot for each constant, and the constants by the numbers of their slots.

    States, kinds of events, TRUE and FALSE, names and words to search for are part of the shape.

    Example:
        >>> from whence.metadata.filter.bind import bind_filter
        >>> shapes = [shape_of(bind_filter(text, "artifact")) for text in ("name = 'a'", "name = 'b'")]
        >>> shapes[0][0] == shapes[1][0], shapes[1][1]
        (True, ['b'])
    """
    taker = _Taker()
    return taker.scope(scope), taker.taken


class _Taker:
    def __init__(self) -> None:
        self.taken: list[Constant] = []

    def scope(self, scope: Scope) -> Scope:
        return dataclasses.replace(scope, condition=self.of(scope.condition))

    def of(self, bound: Bound) -> Bound:
        match bound:
            case b.Value(value, kind) if kind not in ("state", "event", "any"):
                return b.Value(self._slot(value), kind)
            case b.Among(value, options):
                inside = self.of(value)
                if isinstance(value, b.ColumnOf) and value.kind in ("state", "event"):
                    return b.Among(inside, options)
                return b.Among(inside, tuple(self._option(option) for option in options))
            case b.Matches(value, pattern):
                inside = self.of(value)
                if isinstance(pattern, b.Slot):
                    return b.Matches(inside, pattern)
                self.taken.append(pattern)
                return b.Matches(inside, b.Slot(len(self.taken) - 1, "pattern"))
            case b.Logic(op, parts):
                return b.Logic(op, tuple(map(self.of, parts)))
            case b.Negation(part):
                return b.Negation(self.of(part))
            case b.Missing() | b.Function():
                return dataclasses.replace(bound, value=self.of(bound.value))
            case b.Comparison() | b.Arithmetic():
                return dataclasses.replace(bound, left=self.of(bound.left), right=self.of(bound.right))
            case b.Walked() | b.Counted():
                return dataclasses.replace(bound, inside=self.scope(bound.inside))
            case b.Folded():
                return dataclasses.replace(bound, inside=self.scope(bound.inside), value=self.of(bound.value))
            case _:
                return bound

    def _option(self, option: Scalar | b.Slot) -> Scalar | b.Slot:
        slot = self._slot(option)
        assert slot is not None
        return slot

    def _slot(self, value: Scalar | b.Slot | None) -> Scalar | b.Slot | None:
        flavour = flavour_of(value)
        if flavour is None or isinstance(value, b.Slot) or value is None:
            return value
        self.taken.append(value)
        return b.Slot(len(self.taken) - 1, flavour)


def flavour_of(value: Scalar | b.Slot | None) -> b.Flavour | None:
    """What a constant is, for SQL; None for TRUE, FALSE and NULL, which stand for themselves."""
    if isinstance(value, b.Slot):
        return value.flavour
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return "text"
    if isinstance(value, float):
        return "double"
    return "int" if abs(value) < b.EXACT else "big"
