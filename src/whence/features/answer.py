"""What an online store answers: values, and why a value is null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

import pyarrow as pa

from whence.errors import UsageError

Status: TypeAlias = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "FUTURE"]
"""Why a feature has its value.

``PRESENT``: it has one. ``NULL_VALUE``: the key is known, and the value is null. ``NOT_FOUND``: the key is not
known. ``OUTSIDE_MAX_AGE``: the newest row is older than the ttl. ``FUTURE``: the key's rows can only be used later.
"""

STATUSES: Final[tuple[str, ...]] = get_args(Status)


@dataclass(frozen=True, slots=True)
class OnlineAnswer:
    """Features of n keys, each at its moment.

    Attributes:
        values: By feature, n values; null wherever there is none. A count of nothing is 0.
        statuses: By feature, n times why.
        moments: The n moments.
        progress: By group of rows that was read: its source, and how far the store has come with it.
        schema: The features' columns and types.
        view_versions: By view, the version of its source whose rows are in the answer.
    """

    values: Mapping[str, Sequence[Any]]
    statuses: Mapping[str, Sequence[Status]]
    moments: Sequence[datetime]
    progress: Sequence[tuple[str, Mapping[str, int]]] = field(repr=False)
    schema: pa.Schema = field(compare=False, repr=False)
    view_versions: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The features, in the order of the views."""
        return tuple(self.values)

    @property
    def versions(self) -> dict[str, int]:
        """By source, the table version whose rows are in the answer; the lowest, where groups of rows differ."""
        found: dict[str, int] = {}
        for source, progress in self.progress:
            found[source] = min(progress["version"], found.get(source, progress["version"]))
        return found

    @property
    def complete_to(self) -> datetime | None:
        """Up to when every source is complete; None when one of them has never said."""
        watermarks = [progress.get("watermark_us") for _, progress in self.progress]
        known = [watermark for watermark in watermarks if watermark is not None]
        if not known or len(known) < len(watermarks):
            return None
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=min(known))

    def __len__(self) -> int:
        return len(self.moments)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping of feature to value for each key."""
        return [dict(zip(self.values, row, strict=True)) for row in zip(*self.values.values(), strict=True)]

    def table(self) -> pa.Table:
        """The features as an Arrow table of n rows, with the types `point_in_time` gives.

        Raises:
            UsageError: A sum does not fit its column (``sum-overflow``).
        """
        arrays = []
        for column in self.schema:
            try:
                arrays.append(pa.array(self.values[column.name], column.type))
            except (pa.ArrowInvalid, OverflowError) as error:
                raise UsageError(
                    f"a sum of feature {column.name} does not fit {column.type}",
                    code="sum-overflow",
                    hint="take the mean, or divide the column by a power of ten before it is written",
                ) from error
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: one object a key, each feature with value and status."""
        keys = [
            {
                "at": moment.isoformat(),
                "features": {
                    name: {"value": self.values[name][i], "status": self.statuses[name][i]}
                    for name in self.values
                },
            }
            for i, moment in enumerate(self.moments)
        ]
        complete = None if self.complete_to is None else self.complete_to.isoformat()
        return {"keys": keys, "versions": self.versions, "complete_to": complete}
