"""What a batch asks: moments of keys, in the order of keys, then of moments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.features.folding.growing import Bools, Ints
from whence.features.folding.keys import Numbers, Values


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that ask, each at its moment; the values of a key column are read once for all that look them up.

    Attributes:
        spine: The rows.
        moments: Their distinct moments, ascending.
        numbers: Of each row the number of its moment.
    """

    spine: pa.Table
    moments: Ints
    numbers: Ints
    _values: dict[str, Values] = field(default_factory=dict)
    _found: dict[tuple[int, str], Ints] = field(default_factory=dict)

    def find(self, numbers: Numbers, name: str) -> Ints:
        """The numbers of a column's values."""
        at = (id(numbers), name)
        if at not in self._found:
            if name not in self._values:
                self._values[name] = numbers.values_of(self.spine.column(name))
            self._found[at] = numbers.find_values(self._values[name])
        return self._found[at]


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions of a batch to one list of join keys: a key and a moment each, by key, then moment.

    Rows whose key is null or has no rows ask nothing.

    Attributes:
        moments: The distinct moments of the batch, ascending.
        codes: Of each question the key's code.
        numbers: Of each question the number of its moment.
        rows: The row of the batch that asks it.
        n_rows: How many rows the batch has.
        n_keys: How many codes there are.
        places: The questions on one line, ascending.
    """

    moments: Ints
    codes: Ints
    numbers: Ints
    rows: Ints
    n_rows: int
    n_keys: int
    places: Ints = field(init=False)
    askers: Ints = field(init=False)
    """Of each row of the batch its question; one more than there are for rows that ask nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", self.line(self.codes, self.numbers))
        askers = np.full(self.n_rows, len(self.rows))
        askers[self.rows] = np.arange(len(self.rows))
        object.__setattr__(self, "askers", askers)

    @classmethod
    def of(cls, moments: Ints, numbers: Ints, codes: Ints, n_keys: int) -> Asked:
        """The questions of a batch: of each row the number of its moment and the code of its key."""
        # which of equal questions comes first makes no difference
        order = np.argsort(codes * (len(moments) + 1) + numbers)
        order = order[np.count_nonzero(codes < 0) :]
        return cls(moments, codes[order], numbers[order], order, len(codes), n_keys)

    @property
    def runs(self) -> tuple[Ints, Ints]:
        """The codes that are asked about, ascending, and how many questions each has."""
        codes = self.codes
        edges = np.flatnonzero(codes[1:] != codes[:-1]) + 1
        bounds = np.concatenate([[0], edges, [len(codes)]]) if len(codes) else np.zeros(1, dtype=np.int64)
        return codes.take(bounds[:-1]), bounds[1:] - bounds[:-1]

    def line(self, codes: Ints, numbers: Ints | int) -> Ints:
        """Where pairs of keys and numbers of moments lie on one line."""
        return codes * (len(self.moments) + 1) + numbers

    def place(self, codes: Ints, times: Ints) -> Ints:
        """Where on that line what happens to a key at a time takes effect."""
        return self.line(codes, np.searchsorted(self.moments, times))

    def wanted(self, codes: Ints) -> Bools:
        """Which codes are asked about; -1 is not."""
        mask = np.zeros(self.n_keys + 1, dtype=bool)
        mask[self.codes] = True
        return np.asarray(mask[codes])

    def spread(self, values: npt.NDArray[Any], nothing: int) -> npt.NDArray[Any]:
        """Values of the questions, along the last axis, as values of the batch's rows."""
        n = len(self.rows)
        found = np.empty((*values.shape[:-1], n + 1), dtype=values.dtype)
        found[..., :n], found[..., n] = values, nothing
        return found.take(self.askers, axis=-1)
