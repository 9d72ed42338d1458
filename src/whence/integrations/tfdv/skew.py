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
from whence.stats.base import Array
from whence.validation.nested import one_array

_MISSING: Final = -2
_EMPTY: Final = -1
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
    values and kinds of numbers are the same (NaN is NaN, -0.0 is not 0.0, a value is a list of it); one that only one of them has is ``base_only`` or
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
    keys = [_coded(sides, name, float_round_ndigits) for name in sorted(identifier_features)]
    match, rows = _paired(keys, duplicates=allow_duplicate_identifiers)
    ignored = {*identifier_features, *(features_to_ignore or ())}
    names = sorted({n for side in sides for n in side.column_names} - ignored)
    compared = {
        name: _compare(*(c[r] for c, r in zip(_coded(sides, name, float_round_ndigits), rows, strict=True)))
        for name in names
    }
    features = tuple(s for name in names if (s := _summed(name, compared[name])) is not None)
    counted = [
        side.select([c.name for c in confusion_configs or () if c.name in side.column_names]).take(r)
        for side, r in zip(sides, rows, strict=True)
    ]
    confusion = tuple(confusion_counts(counted[0], counted[1], confusion_configs or ()))
    return SkewResult(features, _sample(sides, rows, compared, sample_size), match, confusion)


def _table(rows: Any, what: str) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "iloc"):
        return pa.Table.from_pandas(rows, preserve_index=False)
    raise TypeError(
        f"{what} is of type {type(rows).__name__}, should be an Arrow table or a pandas DataFrame"
    )


# --- values -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of a feature: n rows that have m values together.

    Attributes:
        kind: Values of two kinds are never the same.
        values: The m values, in a form in which the same ones are equal.
        sizes: How many values a row has; -1 where it has no list at all.
        starts: Which is its first.
    """

    kind: str
    values: pa.Array
    sizes: Array
    starts: Array


def _coded(sides: Sequence[pa.Table], name: str, digits: int | None) -> tuple[Array, Array]:
    """The rows' values of a feature as numbers, the same where both sides have the same list; below 0 is none.

    One value is a list of it. Numbers are the same by their bits, as TFDV compares what it has written: -0.0
    is not 0.0, and NaN is NaN.
    """
    base, test = (_values(side, name, digits) for side in sides)
    if base.kind == test.kind:
        both = _codes(pa.concat_arrays([base.values, test.values]))
        of = both[: len(base.values)], both[len(base.values) :]
    else:
        of = _codes(base.values), _codes(test.values) + len(base.values)
    lists: dict[bytes, int] = {}
    first_list = len(base.values) + len(test.values)
    out = []
    for side, codes in zip((base, test), of, strict=True):
        made = np.where(side.sizes == 0, _EMPTY, _MISSING)
        made[side.sizes == 1] = codes[side.starts[side.sizes == 1]]
        for row in np.flatnonzero(side.sizes > 1).tolist():
            key = codes[side.starts[row] : side.starts[row] + side.sizes[row]].tobytes()
            made[row] = first_list + lists.setdefault(key, len(lists))
        out.append(made)
    return out[0], out[1]


def _codes(values: pa.Array) -> Array:
    coded = values.dictionary_encode(null_encoding="encode")
    return np.asarray(coded.indices.to_numpy(), dtype=np.int64)


def _values(side: pa.Table, name: str, digits: int | None) -> _Values:
    if name not in side.column_names:
        nothing = np.full(side.num_rows, -1)
        return _Values("none", pa.nulls(0), nothing, nothing)
    column = one_array(side.column(name))
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        sizes = pc.fill_null(pc.list_value_length(column), -1).to_numpy().astype(np.int64)
        values = column.flatten()
    else:
        sizes = np.where(column.is_valid().to_numpy(zero_copy_only=False), 1, -1)
        values = column.drop_null()
    kind, values = _same_form(values, digits)
    held = np.maximum(sizes, 0)
    return _Values(kind, values, sizes, np.cumsum(held) - held)


def _same_form(values: pa.Array, digits: int | None) -> tuple[str, pa.Array]:
    """Values in a form in which the same ones are equal, and their kind: integers, floats, text, others."""
    t = values.type
    if pa.types.is_integer(t) or pa.types.is_boolean(t):
        return "int", values.cast(pa.int64(), safe=False)
    if pa.types.is_floating(t):
        floats = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        bits = np.where(np.isnan(floats), np.nan, floats).view(np.int64)
        if digits is not None:
            # Python's round is exact where scaled arithmetic is not, and what TFDV uses.
            unique, places = np.unique(bits, return_inverse=True)
            rounded = [round(v, digits) for v in unique.view(np.float64).tolist()]
            bits = np.array(rounded, dtype=np.float64).view(np.int64)[places]
        return "float", pa.array(bits)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    if any(is_(t) for is_ in texts):
        return "text", values.cast(pa.large_binary())
    if pa.types.is_nested(t):
        return str(t), pa.array([repr(v) for v in values.to_pylist()], pa.string())
    return str(t), values


# --- pairs --------------------------------------------------------------------------------------


def _paired(
    keys: Sequence[tuple[Array, Array]], *, duplicates: bool
) -> tuple[MatchStats, tuple[Array, Array]]:
    """How rows find each other by their identifiers, and the rows of both sides that stand side by side."""
    sides = [np.stack([key[i] for key in keys], axis=1) for i in (0, 1)]
    there = [np.flatnonzero((side >= 0).all(axis=1)) for side in sides]
    both = np.concatenate([side[rows] for side, rows in zip(sides, there, strict=True)])
    _, groups = np.unique(both, axis=0, return_inverse=True)
    groups = groups.reshape(-1)
    base, test = groups[: len(there[0])], groups[len(there[0]) :]
    n = int(groups.max(initial=-1)) + 1
    n_base, n_test = np.bincount(base, minlength=n), np.bincount(test, minlength=n)
    twice = (n_base > 1) | (n_test > 1)
    match = MatchStats(
        base_with_id_count=len(base),
        test_with_id_count=len(test),
        identifiers_count=n,
        ids_missing_in_base_count=int((n_base == 0).sum()),
        ids_missing_in_test_count=int((n_test == 0).sum()),
        matching_pairs_count=int((n_base * n_test).sum()),
        base_missing_id_count=len(sides[0]) - len(base),
        test_missing_id_count=len(sides[1]) - len(test),
        duplicate_id_count=int(twice.sum()),
    )
    order = np.argsort(test, kind="stable")
    firsts = np.cumsum(n_test) - n_test
    times = n_test[base] if duplicates else np.where(twice, 0, n_test)[base]
    within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    return match, (
        there[0][np.repeat(np.arange(len(base)), times)],
        there[1][order[np.repeat(firsts[base], times) + within]],
    )


# --- features -----------------------------------------------------------------------------------


def _compare(base: Array, test: Array) -> Mapping[str, Array]:
    """Per pair, as masks: which side has the feature, and whether it is the same."""
    there = base >= 0, test >= 0
    same = base == test
    return {
        "base_count": there[0],
        "test_count": there[1],
        "base_only": there[0] & ~there[1],
        "test_only": there[1] & ~there[0],
        "mismatch_count": there[0] & there[1] & ~same,
        # Lists without a value on both sides are the same; one against no list is neither.
        "match_count": same & (base != _MISSING),
        "seen": (base != _MISSING) | (test != _MISSING),
    }


def _summed(name: str, masks: Mapping[str, Any]) -> FeatureSkew | None:
    """The counts of a feature; None when no pair has it."""
    if not masks["seen"].any():
        return None
    counts = {k: int(v.sum()) for k, v in masks.items() if k != "seen"}
    differ = counts["base_only"] + counts["test_only"] + counts["mismatch_count"]
    return FeatureSkew(name, **counts, diff_count=differ)


def _sample(
    sides: Sequence[pa.Table],
    rows: tuple[Array, Array],
    compared: Mapping[str, Mapping[str, Array]],
    size: int,
) -> tuple[SkewPair, ...]:
    if not size or not compared:
        return ()
    skewed = np.any([m["seen"] & ~m["match_count"] for m in compared.values()], axis=0)
    chosen = np.flatnonzero(skewed)[:size]
    base, test = (s.take(pa.array(r[chosen])).to_pylist() for s, r in zip(sides, rows, strict=True))
    said = (
        {flag: tuple(n for n, m in compared.items() if m[flag][pair]) for flag in _FLAGS}
        for pair in chosen.tolist()
    )
    return tuple(
        SkewPair(a, b, f["match_count"], f["mismatch_count"], f["base_only"], f["test_only"])
        for a, b, f in zip(base, test, said, strict=True)
    )


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
