"""Nodes whose fields are read from their stored row when they are looked at, and sequences made item by item.

A node that comes from a store holds its row; a field is decoded when somebody looks at it, the two properties together,
since they are one JSON text. Everything else (equality, repr, pickle, `dataclasses.replace`) looks at the fields, and
so is as for any frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, overload

S = TypeVar("S")
T = TypeVar("T")
N = TypeVar("N", bound="Deferred")

Source: TypeAlias = tuple[Any, ...]  # Any: (fill, whatever it needs)
"""Where a node's fields are read from: ``source[0](node, name, source)`` sets the field `name`, and whatever comes
with it, and says whether nothing is left to be read."""


class Deferred:
    """The base of nodes: a field that is not set yet is read from the node's source."""

    __slots__ = ("_source",)

    # Hidden from type checkers, to which it would say that a node has whatever attribute.
    if not TYPE_CHECKING:

        def __getattr__(self, name):  # only called for a field that is not set
            if name != "_source":
                try:
                    source = self._source
                except AttributeError:
                    pass  # not from a store; or another thread read the last field meanwhile
                else:
                    if source[0](self, name, source):
                        with suppress(AttributeError):  # another thread did
                            _drop(self)
            return object.__getattribute__(self, name)


set_source: Callable[[Deferred, Source], None] = Deferred.__dict__["_source"].__set__
_drop: Callable[[Deferred], None] = Deferred.__dict__["_source"].__delete__


def defer(cls: type[N], source: Source) -> N:
    """A node of class `cls` that reads its fields from `source`."""
    node = object.__new__(cls)
    set_source(node, source)
    return node


class LazySequence(Sequence[T], Generic[S, T]):
    """A sequence whose items are made when they are looked at, each time anew.

    Args:
        sources: What the items are made from, m of them.
        make: Makes the item of a source.

    Example:
        >>> LazySequence([1, 2, 3], str)[1:] == ["2", "3"]
        True
    """

    __slots__ = ("_make", "_sources")

    def __init__(self, sources: Sequence[S], make: Callable[[S], T]) -> None:
        self._sources = sources
        self._make = make

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> LazySequence[S, T]: ...
    def __getitem__(self, index: int | slice) -> T | LazySequence[S, T]:
        if isinstance(index, slice):
            return LazySequence(self._sources[index], self._make)
        return self._make(self._sources[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._sources)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[type[list[T]], tuple[list[T]]]:
        return list, (list(self),)
