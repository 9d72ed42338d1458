"""Feature skew: rows of two sides that are the same by their identifiers, compared feature by feature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.integrations.tfdv.confusion import ConfusionConfig, ConfusionCount, confusion_counts
from whence.integrations.tfdv.frames import frame
from whence.integrations.tfdv.refusals import NotFoundError, UsageError

_FLAGS: Final = ("base_only", "test_only", "mismatch_count", "match_count")


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """How a feature differs over all pairs of rows, with TFDV's field names."""

    feature_name: str
    base_count: int = 0
    test_count: int = 0
    match_count: int = 0
    base_only: int = 0
    test_only: int = 0
    mismatch_count: int = 0
    diff_count: int = 0


@dataclass(frozen=True, slots=True)
class MatchStats:
    """How rows found each other, with TFDV's field names."""

    base_with_id_count: int = 0
    test_with_id_count: int = 0
    identifiers_count: int = 0
    ids_missing_in_base_count: int = 0
    ids_missing_in_test_count: int = 0
    matching_pairs_count: int = 0
    base_missing_id_count: int = 0
    test_missing_id_count: int = 0
    duplicate_id_count: int = 0


@dataclass(frozen=True, slots=True)
class SkewPair:
    """Two rows of one identifier that differ, and in what."""

    base: Mapping[str, Any]
    test: Mapping[str, Any]
    matched_features: tuple[str, ...] = ()
    mismatched_features: tuple[str, ...] = ()
    base_only_features: tuple[str, ...] = ()
    test_only_features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkewResult:
    """What `detect_feature_skew` finds.

    Attributes:
        features: One a feature, by name.
        pairs: Some of the pairs that differ, as many as were asked for.
        match: How rows found each other.
        confusion: Values side by side, counted, of the features that were asked for.
    """

    features: tuple[FeatureSkew, ...]
    pairs: tuple[SkewPair, ...]
    match: MatchStats
    confusion: tuple[ConfusionCount, ...] = ()


def detect_feature_skew(
    base: Any,
    test: Any,
    identifier_features: Sequence[str],
    features_to_ignore: Sequence[str] | None = None,
    sample_size: int = 0,
    float_round_ndigits: int | None = None,
    allow_duplicate_identifiers: bool = False,
    confusion_configs: Sequence[ConfusionConfig] | None = None,
) -> SkewResult:
    """The features in which training and serving rows of one identifier differ.

    Rows are paired where all identifiers are there and equal. A feature that both rows have matches when
    values and kinds of numbers are the same; one that only one of them has is ``base_only`` or
    ``test_only``; one that neither has is not counted.

    Args:
        base: Training rows: an Arrow table or a pandas data frame.
        test: Serving rows.
        identifier_features: Columns that name a row.
        features_to_ignore: Columns that are not compared.
        sample_size: So many pairs that differ are given, the first ones.
        float_round_ndigits: Floats are rounded to so many digits before they are compared.
        allow_duplicate_identifiers: Compare every pair of an identifier that occurs more than once;
            else its rows are left out.
        confusion_configs: Features of text whose values are counted side by side.

    Raises:
        UsageError: There is no identifier, or a feature of `confusion_configs` is no single text
            (``bad-confusion``).
        NotFoundError: A side lacks an identifier (``column-not-found``).

    Source:
        TFDV ``DetectFeatureSkew``, over tables in memory instead of a Beam pipeline.

    Example:
        >>> a, b = pa.table({"id": [1, 2], "x": [1.0, 2.0]}), pa.table({"id": [1, 2], "x": [1.0, 2.5]})
        >>> found = detect_feature_skew(a, b, ["id"]).features[0]
        >>> found.match_count, found.mismatch_count
        (1, 1)
    """
    if not identifier_features:
        raise UsageError("give at least one identifier feature")
    sides = [_table(base, "base"), _table(test, "test")]
    for side in sides:
        for name in identifier_features:
            if name not in side.column_names:
                raise NotFoundError("column", name, near=side.column_names)
    keys = [_keys(side, sorted(identifier_features), float_round_ndigits) for side in sides]
    match, rows = _paired(keys[0], keys[1], duplicates=allow_duplicate_identifiers)
    ignored = {*identifier_features, *(features_to_ignore or ())}
    names = sorted({n for side in sides for n in side.column_names} - ignored)
    pairs = [side.take(pa.array(r, pa.int64())) for side, r in zip(sides, rows, strict=True)]
    compared = {name: _compare(name, pairs[0], pairs[1], float_round_ndigits) for name in names}
    features = tuple(s for name in names if (s := _summed(name, compared[name])) is not None)
    confusion = tuple(confusion_counts(pairs[0], pairs[1], confusion_configs or ()))
    return SkewResult(features, _sample(pairs, compared, sample_size), match, confusion)


def _table(rows: Any, what: str) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "iloc"):
        return pa.Table.from_pandas(rows, preserve_index=False)
    raise TypeError(
        f"{what} is of type {type(rows).__name__}, should be an Arrow table or a pandas DataFrame"
    )


# --- pairs --------------------------------------------------------------------------------------


def _keys(side: pa.Table, names: Sequence[str], digits: int | None) -> list[tuple[Any, ...] | None]:
    """The identifier of each row; None where a part is missing or empty."""
    columns = [_rounded(side.column(n), digits).to_pylist() for n in names]
    return [
        None if any(v is None or v == [] for v in row) else tuple(_hashable(v) for v in row)
        for row in zip(*columns, strict=True)
    ]


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else (type(value).__name__, value)


def _paired(
    base: list[tuple[Any, ...] | None], test: list[tuple[Any, ...] | None], *, duplicates: bool
) -> tuple[MatchStats, tuple[list[int], list[int]]]:
    groups: dict[tuple[Any, ...], tuple[list[int], list[int]]] = {}
    for side, keys in enumerate((base, test)):
        for row, key in enumerate(keys):
            if key is not None:
                groups.setdefault(key, ([], []))[side].append(row)
    rows: tuple[list[int], list[int]] = ([], [])
    for mine, theirs in groups.values():
        if duplicates or (len(mine) <= 1 and len(theirs) <= 1):
            for a in mine:
                rows[0].extend([a] * len(theirs))
                rows[1].extend(theirs)
    sizes = [(len(a), len(b)) for a, b in groups.values()]
    match = MatchStats(
        base_with_id_count=sum(a for a, _ in sizes),
        test_with_id_count=sum(b for _, b in sizes),
        identifiers_count=len(sizes),
        ids_missing_in_base_count=sum(not a for a, _ in sizes),
        ids_missing_in_test_count=sum(not b for _, b in sizes),
        matching_pairs_count=sum(a * b for a, b in sizes),
        base_missing_id_count=sum(k is None for k in base),
        test_missing_id_count=sum(k is None for k in test),
        duplicate_id_count=sum(a > 1 or b > 1 for a, b in sizes),
    )
    return match, rows


# --- features -----------------------------------------------------------------------------------


def _compare(name: str, base: pa.Table, test: pa.Table, digits: int | None) -> Mapping[str, Any]:
    """Per pair, as masks: which side has the feature, and whether it is the same."""
    sides = [_rounded(t.column(name), digits) if name in t.column_names else None for t in (base, test)]
    n = base.num_rows
    there = [np.zeros(n, bool) if c is None else _said(c) for c in sides]
    empty = [
        np.zeros(n, bool) if c is None else c.is_valid().to_numpy() & ~h
        for c, h in zip(sides, there, strict=True)
    ]
    same = np.zeros(n, bool) if None in sides else _same(sides[0], sides[1])
    both = there[0] & there[1]
    return {
        "base_count": there[0],
        "test_count": there[1],
        "base_only": there[0] & ~there[1],
        "test_only": there[1] & ~there[0],
        "mismatch_count": both & ~same,
        # Lists without a value on both sides are the same; one against no list is neither.
        "match_count": (both & same) | (empty[0] & empty[1]),
        "seen": there[0] | there[1] | empty[0] | empty[1],
    }


def _said(column: pa.ChunkedArray) -> Any:
    """Which rows have a value: not null, and no empty list."""
    here = column.is_valid()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        here = pc.and_(here, pc.fill_null(pc.greater(pc.list_value_length(column), 0), False))
    return here.to_numpy()


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> Any:
    if _kind(a.type) != _kind(b.type):
        return np.zeros(len(a), bool)
    if pa.types.is_nested(a.type):
        return np.array(
            [_hashable(x) == _hashable(y) for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)], bool
        )
    equal = pc.fill_null(pc.equal(a, b), False)
    if pa.types.is_floating(a.type) and pa.types.is_floating(b.type):
        both_nan = pc.and_(pc.fill_null(pc.is_nan(a), False), pc.fill_null(pc.is_nan(b), False))
        equal = pc.or_(equal, both_nan)
    return equal.to_numpy()


def _kind(type_: pa.DataType) -> str:
    """Kinds that are never the same value: integers, numbers, text."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list of {_kind(type_.value_type)}"
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_integer(type_) or pa.types.is_boolean(type_):
        return "int"
    if pa.types.is_floating(type_):
        return "float"
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return "text" if any(is_(type_) for is_ in texts) else str(type_)


def _rounded(column: pa.ChunkedArray, digits: int | None) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    if digits is not None and pa.types.is_floating(column.type):
        return pc.round(column, ndigits=digits)
    return column


def _summed(name: str, masks: Mapping[str, Any]) -> FeatureSkew | None:
    """The counts of a feature; None when no pair has it."""
    if not masks["seen"].any():
        return None
    counts = {k: int(v.sum()) for k, v in masks.items() if k != "seen"}
    differ = counts["base_only"] + counts["test_only"] + counts["mismatch_count"]
    return FeatureSkew(name, **counts, diff_count=differ)


def _sample(
    pairs: Sequence[pa.Table], compared: Mapping[str, Mapping[str, Any]], size: int
) -> tuple[SkewPair, ...]:
    if not size or not compared:
        return ()
    skewed = np.any([m["seen"] & ~m["match_count"] for m in compared.values()], axis=0)
    out = []
    for row in np.flatnonzero(skewed)[:size].tolist():
        said = {flag: tuple(n for n, m in compared.items() if m[flag][row]) for flag in _FLAGS}
        base, test = (t.slice(row, 1).to_pylist()[0] for t in pairs)
        out.append(
            SkewPair(
                base, test, said["match_count"], said["mismatch_count"], said["base_only"], said["test_only"]
            )
        )
    return tuple(out)


# --- as data frames -----------------------------------------------------------------------------


def get_skew_result_dataframe(skew_results: Iterable[Any]) -> Any:
    """One row a feature, by name.

    Raises:
        UsageError: pandas is not installed (``extra-missing``).
    """
    names = ["feature_name", "base_count", "test_count", "match_count", "base_only", "test_only"]
    names += ["mismatch_count", "diff_count"]
    rows = sorted(
        ({n: getattr(s, n) for n in names} for s in skew_results), key=lambda r: str(r["feature_name"])
    )
    return frame(rows, names)


def get_match_stats_dataframe(match_stats: MatchStats) -> Any:
    """The counts of how rows found each other, one row.

    Raises:
        UsageError: pandas is not installed (``extra-missing``).
    """
    said = asdict(match_stats)
    return frame([said], list(said))
