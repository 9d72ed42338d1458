"""Which keys have their answer: eight bytes a key in memory, and the predictions table where those agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence._base.ids import derived_uid
from whence.compute import Relation, quoted
from whence.lake import Lake
from whence.serving.types import Deployment

Hashes = npt.NDArray[np.int64]

_MERGE_AT: Final = 2
"""A sorted part at most so many times as long as the next is merged with it: few parts are looked through, and
few hashes are moved."""


class ScoredKeys:
    """The keys that a predictions table answers for.

    A key is remembered by 64 bits of its hash. Where these agree, the table itself is asked: so the answer
    is exact, and a table of a million predictions takes eight megabytes.

    Args:
        lake: Where the predictions are.
        deployment: Whose.
    """

    def __init__(self, lake: Lake, deployment: Deployment) -> None:
        self._lake = lake
        self._deployment = deployment
        self._sorted: list[Hashes] = []
        self._coming: pa.Table | None = None
        self.version = -1

    def with_coming(self, rows: pa.Table, hashes: Hashes) -> ScoredKeys:
        """What is known once these rows are committed; this one stays as it is.

        Until then the table cannot tell of them: where hashes agree, the rows are asked too.

        Args:
            rows: The rows that are about to get their answer.
            hashes: Of their keys.
        """
        after = ScoredKeys(self._lake, self._deployment)
        after.version, after._sorted = self.version, self._sorted  # one of its kind
        after._coming = rows.select(list(self._deployment.key))
        after.add_hashes(hashes)
        return after

    def read(self, steps: int) -> None:
        """Learn all keys of the newest version of the table.

        Args:
            steps: How many steps it has; with an epoch above 0 only their rows count.
        """
        self._sorted = []
        table = self._lake.table(self._deployment.into)
        if not table.exists:
            self.version = -1
            return
        head = table.head()
        self.version = head.version
        columns = list(self._deployment.key)
        rows = head.arrow([*columns, *(["execution"] if self._deployment.epoch else [])])
        if self._deployment.epoch:
            rows = rows.filter(_made_by(rows, self._deployment, steps)).select(columns)
        self.add(rows)

    def add(self, rows: pa.Table) -> None:
        """These rows are answered now."""
        self.add_hashes(key_hashes(rows, self._deployment.key))

    def add_hashes(self, hashes: Hashes) -> None:
        """The rows with these hashes are answered now."""
        parts = [*self._sorted, np.sort(hashes)]
        while len(parts) > 1 and len(parts[-2]) <= _MERGE_AT * len(parts[-1]):
            parts[-2:] = [np.sort(np.concatenate(parts[-2:]), kind="stable")]
        self._sorted = parts

    def seen(self, rows: pa.Table, hashes: Hashes, steps: int) -> npt.NDArray[np.bool_]:
        """For each row, whose key has this hash, whether the key is answered."""
        mask = np.zeros(len(hashes), dtype=bool)
        for known in self._sorted:
            if len(known):
                mask |= known.take(np.searchsorted(known, hashes), mode="clip") == hashes
        if mask.any():
            found = np.flatnonzero(mask)
            mask[found] = self._answered(rows.take(pa.array(found)), steps)
        return mask

    def _answered(self, rows: pa.Table, steps: int) -> npt.NDArray[np.bool_]:
        """The same, from the table itself."""
        keys = list(self._deployment.key)
        asked = rows.select(keys).append_column("_row", pa.array(np.arange(rows.num_rows)))
        answered = np.zeros(rows.num_rows, dtype=bool)
        for relation in self._relations(keys, steps):
            same = " AND ".join(f"scored.{quoted(k)} = asked.{quoted(k)}" for k in keys)
            found = self._lake.engine.query(
                f"SELECT _row FROM asked WHERE EXISTS (SELECT 1 FROM scored WHERE {same})",
                {"asked": asked, "scored": relation},
            )
            answered[np.asarray(found.column("_row").to_numpy())] = True
        return answered

    def _relations(self, keys: Sequence[str], steps: int) -> Iterator[Relation]:
        """Where answered keys are."""
        if self._coming is not None:
            yield self._coming
        table = self._lake.table(self._deployment.into)
        if not table.exists:
            return
        scored = table.head()
        if self._deployment.epoch:
            source = scored.arrow([*keys, "execution"])
            yield source.filter(_made_by(source, self._deployment, steps))
        else:
            yield scored.files()


def key_hashes(rows: pa.Table, key: Sequence[str]) -> Hashes:
    """64 bits for each row's key; they hold within this process.

    Example:
        >>> a, b = key_hashes(pa.table({"id": ["x", "x"]}), ["id"]).tolist()
        >>> a == b
        True
    """
    columns = [_plain(rows.column(name)) for name in key]
    values = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    return np.fromiter(map(hash, values), dtype=np.int64, count=rows.num_rows)


def _plain(column: pa.ChunkedArray) -> list[object]:
    """Values that are cheap to make and to hash."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    found: list[object] = column.to_pylist()
    return found


def _made_by(rows: pa.Table, deployment: Deployment, steps: int) -> pa.Array:
    uids = [step_uid(deployment, n) for n in range(1, steps + 1)]
    return pa.compute.is_in(rows.column("execution"), pa.array(uids, pa.string()))


def step_key(deployment: Deployment, step: int) -> str:
    """The key of a step's execution."""
    return f"{deployment.name}:{deployment.epoch}:{step}"


def step_uid(deployment: Deployment, step: int) -> str:
    """The uid of a step's execution: derived, so that a repetition is the same step."""
    return derived_uid("score", step_key(deployment, step))
