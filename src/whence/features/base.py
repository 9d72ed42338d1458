"""The port of an online store: features of a key, now."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa


class OnlineStore(ABC):
    """A store that answers for one moment, now: a forward-only projection of the sources.

    Of two rows of one key the one later by (event time, knowledge time) stays, in whatever order they
    are written; so writing again changes nothing.
    """

    @abstractmethod
    def write(self, view: str, rows: pa.Table) -> int:
        """Project rows of a view; gives how many changed something."""

    @abstractmethod
    def read(self, view: str, keys: Sequence[Mapping[str, object]]) -> list[Mapping[str, Any] | None]:
        """The newest row of each key, None where there is none."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""
