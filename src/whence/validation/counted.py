"""Every different number with its count, while there are not too many of them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whence.stats.base import Array
from whence.stats.quantiles import join_parts


@dataclass(frozen=True, slots=True)
class Counted:
    """Sorted different numbers (int64, uint64 or float64) and how often each occurs: 16 bytes for each.

    Integers below 0 and from 2**63 on together, as of two columns of different types, are Python's.

    Example:
        >>> c = Counted(np.array([1, 3]), np.array([2, 1])).merge(Counted(np.array([3, 4]), np.array([1, 1])))
        >>> c.values.tolist(), c.weights.tolist()
        ([1, 3, 4], [2, 2, 1])
    """

    values: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    weights: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.values)

    def merge(self, other: Counted) -> Counted:
        """The counts of both."""
        if not len(self) or not len(other):
            return self if len(self) else other
        if self.values.dtype == other.values.dtype:
            large, small = (self, other) if len(self) >= len(other) else (other, self)
            places = np.searchsorted(large.values, small.values)
            places[places == len(large)] = 0
            if np.array_equal(large.values[places], small.values):  # nothing new, as in most blocks
                weights = large.weights.copy()
                weights[places] += small.weights
                return Counted(large.values, weights)
        return Counted(*join_parts((self, other)))

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON: steps from value to value and counts, compressed, as base64."""
        said: dict[str, Any] = {
            "kind": str(self.values.dtype),
            "n": len(self),
            "weights": _packed(self.weights),
        }
        if self.values.dtype == object:
            return {**said, "values": self.values.tolist()}
        return {**said, "steps": _packed(np.diff(self.values.view(np.uint64), prepend=np.uint64(0)))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Counted:
        """The state that `to_dict` wrote."""
        n, weights = data["n"], _unpacked(data["weights"], data["n"]).view(np.int64)
        if data["kind"] == "object":
            return cls(np.array(data["values"], dtype=object), weights)
        if data["kind"] not in ("int64", "uint64", "float64"):
            raise ValueError(f"numbers of kind {data['kind']!r}")
        words = np.cumsum(_unpacked(data["steps"], n).view(np.uint64), dtype=np.uint64)
        return cls(words.view(data["kind"]), weights)


def _packed(words: Array) -> str:
    """64-bit words, first bytes first: what neighbours share lies together and compresses."""
    planes = np.ascontiguousarray(words.astype(words.dtype.newbyteorder("<"))).view(np.uint8).reshape(-1, 8).T
    return base64.b64encode(zlib.compress(planes.tobytes(), level=6)).decode()


def _unpacked(text: str, n: int) -> Array:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8).reshape(8, n)
    return np.ascontiguousarray(planes.T).reshape(-1).view("<u8")
