"""Columns that grow at their end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Growing:
    """A numpy column to which values are added; room is doubled when it runs out.

    Example:
        >>> column = Growing(np.int64)
        >>> column.add(np.array([3, 4]))
        >>> column.values.tolist(), len(column)
        ([3, 4], 2)
    """

    def __init__(self, dtype: npt.DTypeLike, values: npt.NDArray[Any] | None = None) -> None:
        self._room: npt.NDArray[Any] = np.empty(0, dtype=dtype) if values is None else values.astype(dtype)
        self._n = len(self._room)

    def __len__(self) -> int:
        return self._n

    @property
    def values(self) -> npt.NDArray[Any]:
        """The values; a view, which may be written to."""
        return self._room[: self._n]

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        return self._room.nbytes

    def add(self, values: npt.NDArray[Any]) -> None:
        """Add values at the end."""
        n = self._n + len(values)
        if n > len(self._room):
            room = np.empty(max(n, 2 * len(self._room), 64), dtype=self._room.dtype)
            room[: self._n] = self.values
            self._room = room
        self._room[self._n : n] = values
        self._n = n

    def keep(self, rows: Ints) -> None:
        """Keep only these values."""
        self._room = self.values[rows]
        self._n = len(rows)
