"""How many missing values were given a default before the rows were described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa

from whence.validation.extras import Extra, register_extra


@register_extra
@dataclass(frozen=True)
class FilledValues(Extra):
    """How many missing values were given a default as the rows came; no rows show it, commits tell it.

    Among the `custom` statistics of a feature it is ``num_filled``; where rows were changed or removed
    afterwards, or only a sample or a slice of them is described, ``num_filled_at_most``.

    Attributes:
        counts: Column → how many.
        exact: Whether all of those values are among the rows.

    Example:
        >>> FilledValues({"delay": 2}).merge(FilledValues({"delay": 1}, exact=False)).by_feature()
        {'delay': {'num_filled_at_most': 3}}
    """

    kind: ClassVar[str] = "filled"

    counts: Mapping[str, int]
    exact: bool = True

    def key(self) -> str:
        """``filled``."""
        return self.kind

    def columns(self) -> tuple[str, ...]:
        """None of them."""
        return ()

    def add(self, block: pa.Table, /) -> Self:  # noqa: ARG002 - rows do not show what was filled in them
        """The same: what was filled is told, not seen."""
        return self

    def merge(self, other: Self, /) -> Self:
        """The counts of both."""
        names = {**self.counts, **other.counts}
        counts = {n: self.counts.get(n, 0) + other.counts.get(n, 0) for n in names}
        return type(self)(counts, self.exact and other.exact)

    def beside_none(self) -> Self:
        """The same: in rows of which nobody tells it, nothing was filled."""
        return self

    def finish(self) -> Any:
        """The counts, and whether they are exact."""
        return self.to_dict()

    def by_feature(self) -> Mapping[str, Any]:
        """``num_filled`` of each column that has some."""
        name = "num_filled" if self.exact else "num_filled_at_most"
        return {n: {name: c} for n, c in self.counts.items() if c}

    def to_dict(self) -> dict[str, Any]:
        """The counts, and whether they are exact."""
        return {"counts": dict(self.counts), "exact": self.exact}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The extra that `to_dict` wrote."""
        return cls({str(n): int(c) for n, c in data["counts"].items()}, bool(data["exact"]))
