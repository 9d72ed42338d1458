"""Values that stand for nothing: -1, the empty text, the empty list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import numbers
from whence.validation.cells import is_list
from whence.validation.extra.leaves import as_bytes, chosen_features, leaves_of
from whence.validation.extras import Extra, register_extra
from whence.validation.nested import one_array
from whence.validation.paths import Path

_TYPES: Final = frozenset({"STRING", "BYTES", "INT", "FLOAT"})


@register_extra
@dataclass(frozen=True)
class EmptyValues(Extra):
    """How many values are not null and may still stand for nothing.

    ``int_-1``: numbers that are -1; ``str_empty``: texts and bytes of length 0; ``list_empty``: rows
    that are a list of no values. Counts, exact over any split; those that are 0 are not told.

    Args:
        columns: Features; None is all of text, bytes and numbers.

    Source:
        TFDV ``EmptyValueCounterGenerator``. Differs: lists are counted at the outermost level of any
        column (TFDV: the inner lists of lists of lists, and then no values).

    Example:
        >>> from whence.validation import StatisticsOptions, describe
        >>> t = pa.table({"n": [-1, 2, -1], "s": ["", "a", None], "l": [[], [1], []]})
        >>> describe(t, options=StatisticsOptions(extras=(EmptyValues(),))).extras["empty values"].finish()
        {'l': {'list_empty': 2}, 'n': {'int_-1': 2}, 's': {'str_empty': 1}}
    """

    kind: ClassVar[str] = "empty-values"

    names: tuple[str, ...] | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict, repr=False)

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        *,
        _counts: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        object.__setattr__(self, "names", None if columns is None else tuple(columns))
        object.__setattr__(self, "counts", _counts or {})

    def key(self) -> str:
        """``empty values``, with the columns where they were said."""
        return "empty values" if self.names is None else f"empty values({', '.join(self.names)})"

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block."""
        found = {}
        for name, (path, type_) in chosen_features(block.schema, self.names, _TYPES).items():
            counts = {"list_empty": _empty_lists(block, path)}
            values = leaves_of(block, path).values
            if type_ in ("STRING", "BYTES"):
                n = 0 if pa.types.is_null(values.type) else pc.binary_length(as_bytes(values))
                counts["str_empty"] = int(pc.sum(pc.equal(n, 0)).as_py() or 0) if len(values) else 0
            elif type_ in _TYPES:
                counts["int_-1"] = int(np.count_nonzero(numbers(values) == -1))
            found[name] = {k: n for k, n in sorted(counts.items()) if n}
        return self._merged(found)

    def merge(self, other: Self, /) -> Self:
        """The state of both."""
        return self._merged(other.counts)

    def _merged(self, other: Mapping[str, Mapping[str, int]]) -> Self:
        both: dict[str, dict[str, int]] = {}
        for name in sorted({*self.counts, *other}):
            a, b = self.counts.get(name, {}), other.get(name, {})
            counts = {k: a.get(k, 0) + b.get(k, 0) for k in sorted({*a, *b})}
            if counts:
                both[name] = counts
        return type(self)(self.names, _counts=both)

    def finish(self) -> Any:
        """The counts above 0 by column."""
        return {name: dict(counts) for name, counts in self.counts.items()}

    def by_feature(self) -> Mapping[str, Any]:
        """The same: it becomes part of the columns' custom statistics."""
        return self.counts

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"columns": self.names, "counts": self.finish()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        return cls(data["columns"], _counts=data["counts"])


def _empty_lists(block: pa.Table, path: Path) -> int:
    """Rows (for a field of a struct: values of the struct) that are a list of nothing."""
    if len(path) == 1:
        array = one_array(block.column(path[0]))
    else:
        structs = leaves_of(block, path[:-1]).values
        array = one_array(structs.flatten()[structs.type.get_field_index(path[-1])])
    if not is_list(array.type):
        return 0
    return int(pc.sum(pc.equal(pc.list_value_length(array), 0)).as_py() or 0)
