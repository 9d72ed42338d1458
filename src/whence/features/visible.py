"""Which rows of a table some moment from now on can still see: what a new group of the online store is given."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from whence.features.packing import Batch, Facts, Ints, Mask


def visible(rows: pa.Table, facts: Facts, before_us: int, since_us: int) -> Mask:
    """Which rows a group needs whose moments begin at `before_us` and whose views look back to `since_us`.

    Those that `OnlineStore.forget` leaves, and no fewer: rows of later events or known later; all that share a
    declared key with another row, because they may take each other back; else the newest of each join key.

    Args:
        rows: All rows of one version.
        facts: What they are to the group.
        before_us: The first moment that will be asked.
        since_us: Where the windows and ttl of that moment begin.

    Example:
        >>> schema = pa.schema({"k": pa.string(), "at": pa.int64()})
        >>> rows = pa.table({"k": ["a", "a", "b", "a"], "at": [1, 2, 3, 9]}, schema=schema)
        >>> facts = Facts("s", "t", "at", ("k",), (), None, schema)
        >>> visible(rows, facts, 10, 8).tolist(), visible(rows, facts, 10, 2).tolist()
        ([False, False, True, True], [False, True, True, True])
    """
    batch = Batch(rows)
    event, happened = batch.moments(facts.timestamp or facts.known_at)
    known, usable = batch.moments(facts.known_at or facts.timestamp)
    old = (known <= before_us) & (event < since_us)
    if not old.any():
        return usable
    keys, names = codes(rows, facts.keys), codes(rows, facts.declared)
    if keys is None or names is None:  # values that have no order here
        return usable
    if facts.declared:
        several = np.bincount(names[names >= 0], minlength=1) > 1
        old &= (names < 0) | ~several[names]
    asked = usable & happened & (keys >= 0) & (event <= before_us) & (known <= before_us)
    if facts.declared:
        asked &= (names < 0) | ~several[names]
    newest = np.full(int(keys.max(initial=-1)) + 1, np.iinfo(np.int64).min)
    np.maximum.at(newest, keys[asked], event[asked])
    old[asked] &= event[asked] < newest[keys[asked]]
    seen: Mask = usable & ~old
    return seen


def codes(rows: pa.Table, names: tuple[str, ...]) -> Ints | None:
    """Equal numbers for equal values of some columns, -1 where one of them is null; None if it cannot be told."""
    found = np.zeros(rows.num_rows, dtype=np.int64)
    null = np.zeros(rows.num_rows, dtype=bool)
    for name in names:
        column = rows.column(name)
        if pa.types.is_nested(column.type) or pa.types.is_floating(column.type):
            return None
        coded = column.combine_chunks().dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        place = np.asarray(coded.indices.fill_null(0)).astype(np.int64)
        null |= np.asarray(coded.is_null())
        _, found = np.unique(found * max(1, len(coded.dictionary)) + place, return_inverse=True)
    found[null] = -1
    return found
