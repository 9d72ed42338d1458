"""Which values of a training row stand beside which of its serving row, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from whence.integrations.tfdv.frames import frame
from whence.integrations.tfdv.refusals import UsageError

MISSING: Final = b"__MISSING_VALUE__"
"""How TFDV writes that a row has no value."""


@dataclass(frozen=True, slots=True)
class ConfusionConfig:
    """A feature whose values are counted in pairs.

    Attributes:
        name: A column of text or bytes.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ConfusionCount:
    """How many pairs of rows have one value on one side and one on the other.

    Attributes:
        feature_name: The feature.
        base: The value of the training row, ``__MISSING_VALUE__`` where it has none.
        test: The value of the serving row.
        count: The pairs.
    """

    feature_name: str
    base: bytes
    test: bytes
    count: int


def confusion_counts(
    base: pa.Table, test: pa.Table, configs: Sequence[ConfusionConfig]
) -> Iterator[ConfusionCount]:
    """The counts of rows that stand side by side; by feature, then by both values.

    Raises:
        UsageError: A feature is no text, or a row has several values of it (``bad-confusion``).
    """
    for config in configs:
        pairs = Counter(zip(_values(base, config.name), _values(test, config.name), strict=True))
        for (mine, theirs), count in sorted(pairs.items()):
            yield ConfusionCount(config.name, mine, theirs, count)


def _values(rows: pa.Table, name: str) -> list[bytes]:
    if name not in rows.column_names:
        return [MISSING] * rows.num_rows
    return [_value(v, name) for v in rows.column(name).to_pylist()]


def _value(value: Any, name: str) -> bytes:
    if isinstance(value, list):
        if len(value) > 1:
            raise UsageError(
                f"a row has {len(value)} values of {name!r}: confusion is counted of single values",
                code="bad-confusion",
            )
        value = value[0] if value else None
    if value is None:
        return MISSING
    if not isinstance(value, (str, bytes)):
        raise UsageError(
            f"{name!r} has {value!r}: confusion is counted of text and bytes", code="bad-confusion"
        )
    return value.encode() if isinstance(value, str) else value


def get_confusion_count_dataframes(confusion: Iterable[Any]) -> dict[str, Any]:
    """The values that differ, a data frame a feature.

    Args:
        confusion: Of `detect_feature_skew`, or TFDV's ``ConfusionCount`` protos.

    Returns:
        By feature the columns ``Base value``, ``Test value`` (bytes), ``Pair count``, ``Base count`` and
        ``Test count`` (the pairs that have the value at all); by base value, rarer pairs first.

    Raises:
        UsageError: pandas is not installed (``extra-missing``).
    """
    by_feature: dict[str, list[tuple[bytes, bytes, int]]] = {}
    for c in confusion:
        sides = (getattr(side, "bytes_value", side) for side in (c.base, c.test))
        by_feature.setdefault(c.feature_name, []).append((*sides, c.count))
    return {name: _frame(counts) for name, counts in by_feature.items()}


def _frame(counts: list[tuple[bytes, bytes, int]]) -> Any:
    of_base: Counter[bytes] = Counter()
    of_test: Counter[bytes] = Counter()
    for base, test, n in counts:
        of_base[base] += n
        of_test[test] += n
    names = ["Base value", "Test value", "Pair count", "Base count", "Test count"]
    differ = sorted((c for c in counts if c[0] != c[1]), key=lambda c: (c[0], c[2]))
    rows = [(base, test, n, of_base[base], of_test[test]) for base, test, n in differ]
    return frame([dict(zip(names, row, strict=True)) for row in rows], names)
