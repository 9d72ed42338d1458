"""Which slices of two statistics may be put together."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from whence.errors import UsageError
from whence.validation.options import Slice

_MISSING: Final = re.compile(r'(^|,)([^=,"]+)=None(?=,|$)')


def slicing_to_dict(slicing: Slice) -> dict[str, Any]:
    """A slicing as JSON."""
    return {f.name: getattr(slicing, f.name) for f in fields(slicing) if getattr(slicing, f.name)}


def slicing_from_dict(data: Mapping[str, Any]) -> Slice:
    """The slicing that `slicing_to_dict` wrote."""
    return Slice(**{**data, "by": tuple(data.get("by", ()))})


def slicings_of(slices: Mapping[str, Slice | None], columns: Container[str]) -> tuple[Slice, ...]:
    """The slicings behind some slices, for statistics that do not say them.

    A slice that does not say its own and is called ``column=value`` is taken for one by that column.

    Example:
        >>> slicings_of({"c=US": None, "c=DE": None, "late": None}, ["c"])
        (Slice(name='c', where=None, by=('c',), query=None),)
    """
    found = (slicing_of(key, known, columns) for key, known in slices.items())
    return tuple(dict.fromkeys(s for s in found if s is not None))


def slice_words(key: str) -> str:
    """What a reader is shown for the name of a slice: rows without a value are said to miss it.

    Example:
        >>> slice_words("country=None"), slice_words("country=None,device=phone"), slice_words('name="None"')
        ('country is missing', 'country is missing, device=phone', 'name="None"')
    """
    return _MISSING.sub(r"\1\2 is missing", key).replace(" is missing,", " is missing, ")


def slicing_of(key: str, known: Slice | None, columns: Container[str]) -> Slice | None:
    """What made a slice, as far as that is known."""
    if known is not None:
        return known
    for end in (i for i, c in enumerate(key) if c == "="):
        if key[:end] in columns:
            return Slice(by=(key[:end],))
    return None


def same_slicing(a: Slice, b: Slice) -> bool:
    """Whether two slicings put a row into the same slices: a slicing by columns whatever it is called."""
    return a.by == b.by if a.by or b.by else a == b


def one_of(slicing: Slice | None, slicings: Sequence[Slice]) -> bool:
    """Whether a slicing is among others; an unknown one never is."""
    return slicing is not None and any(same_slicing(slicing, s) for s in slicings)


def check_same(key: str, mine: Slice | None, theirs: Slice | None) -> None:
    """Check that a slice both sides have is made in the same way, where that is known.

    Raises:
        UsageError: It is not (``not-mergeable``).
    """
    if mine is None or theirs is None or same_slicing(mine, theirs):
        return
    raise UsageError(
        f"the slice {key!r} is {_said(mine)} on one side and {_said(theirs)} on the other",
        code="not-mergeable",
        hint="give slices of other conditions other names",
    )


def _said(slicing: Slice) -> str:
    if slicing.by:
        return f"by {', '.join(slicing.by)}"
    return repr(slicing.where or slicing.query)
