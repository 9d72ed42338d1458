"""A first schema from statistics, by TFDV's rules in their order; ranges learned robustly when asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from whence.validation.patterns import parse_int
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import (
    BoolDomain,
    Domain,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Shape,
    StringDomain,
    StructDomain,
    ValueCount,
    read_domain_info,
    to_plain,
)
from whence.validation.view import FeatureView

SPREAD_FACTOR: Final = 10.0
"""A value is out of line beyond so many times the spread between the median and the outer quantile."""
_OUTER: Final = 0.001
_MIN_ROWS: Final = 20
# Codes and parts of dates have few values and no tails: a range learned from January would refuse December.
_MIN_DISTINCT: Final = 10
# The spellings for which TFDV 1.16 infers a bool domain, true before false; "Yes" or "True" are texts to it.
_SPELLINGS: Final = (("true", "false"), ("TRUE", "FALSE"), ("1", "0"), ("", "0"))


def infer_schema(
    statistics: Statistics,
    *,
    max_string_domain_size: int = 100,
    infer_feature_shape: bool = True,
    robust_ranges: bool = False,
    factor: float = SPREAD_FACTOR,
) -> Schema:
    """The schema the rows of `statistics` satisfy.

    In this order, per column:

    1. type from the statistics;
    2. presence: ``min_count`` 1 (0 when nothing is there), ``min_fraction`` 1 when nothing is missing;
    3. lists only: a fixed shape when nothing is missing and every level has the same number of values,
       not 0, in every row, and they are no structs; else the number of values, of nested lists per level:
       constant n gives [n, n], else at least 1 when no list is empty;
    4. domain, the first that fits: the meaning the statistics recognised (``domain_info``); none for
       bytes and text with invalid UTF-8; bool for integers with min >= 0 and max = 1, and for texts that
       are all ``true`` or ``false``, ``TRUE`` or ``FALSE``, ``1`` or ``0``, empty or ``0``; int for texts
       that all read as integers of 64 bits; the list of texts when there are at most `max_string_domain_size` of
       them; none.

    With `robust_ranges`, numeric columns also get a range, see `learn_ranges`: so a value far outside
    the others is an anomaly of the very data the schema was inferred from.

    Args:
        statistics: Of the rows.
        max_string_domain_size: So many different texts make a domain.
        infer_feature_shape: Whether a constant number of values is a shape.
        robust_ranges: Whether numeric columns get a range.
        factor: As of `robust_range`.

    Source:
        TFDV ``infer_schema`` (``schema.cc``, CreateColumn), as version 1.16 answers. Differs: text,
        booleans and times are types; domains of texts stand at their features; a column that is known to
        be no list has no number of values.

    Example:
        >>> from whence.validation import describe
        >>> import pyarrow as pa
        >>> print(infer_schema(describe(pa.table({"carrier": ["AA", "UA"], "late": [0, 1]}))))
        feature  type    presence  values  domain      environments
        -------  ------  --------  ------  ----------  ------------
        carrier  STRING  required          'AA', 'UA'
        late     INT     required          bool
    """
    features = {
        f.name: infer_feature(
            f, max_string_domain_size=max_string_domain_size, infer_feature_shape=infer_feature_shape
        )
        for f in statistics.features.values()
    }
    schema = Schema(features, source=statistics.name)
    return learn_ranges(schema, statistics, factor=factor) if robust_ranges else schema


def infer_feature(
    f: FeatureView, *, max_string_domain_size: int = 100, infer_feature_shape: bool = True
) -> Feature:
    """What one column is, by the rules of `infer_schema`."""
    path = f.path if len(f.path) > 1 else ()
    if not f.num_non_missing:
        return Feature(f.name, f.type, Presence(min_count=0), path=path)
    made = Feature(
        f.name,
        f.type,
        Presence(1.0 if not f.num_missing else None, 1),
        domain=_domain(f, max_string_domain_size),
        path=path,
    )
    if f.custom and f.custom.get("validation_derived_source"):
        made = Feature.from_dict(
            {
                **made.to_dict(),
                "lifecycle_stage": "VALIDATION_DERIVED",
                "validation_derived_source": f.custom["validation_derived_source"],
            }
        )
    if not _counts_values(f):
        return made
    shape = _shape(f) if infer_feature_shape and f.type != "STRUCT" else None
    if shape is not None:
        return replace(made, shape=shape)
    counts = _value_counts(f)
    return replace(made, value_counts=counts) if len(counts) > 1 else replace(made, value_count=counts[0])


def infer_value_counts(f: FeatureView) -> dict[str, Any]:
    """The keys of a feature that say how many values its rows have, as JSON; None takes a key away."""
    counts = _value_counts(f)
    if len(counts) > 1:
        return {"value_count": None, "value_counts": [to_plain(c or ValueCount()) for c in counts]}
    return {"value_count": to_plain(counts[0]) if counts[0] is not None else None, "value_counts": None}


def _counts_values(f: FeatureView) -> bool:
    # What came from a file does not say whether a column is a list; then a scalar counts one value.
    return not f.arrow_type or f.arrow_type.startswith(("list", "large_list", "fixed_size_list"))


def _levels(f: FeatureView) -> list[tuple[int, int, int]]:
    if len(f.levels) > 1:
        return [(v.n_missing, v.min or 0, v.max or 0) for v in f.levels]
    return [(f.num_missing, f.min_num_values or 0, f.max_num_values or 0)]


def _shape(f: FeatureView) -> Shape | None:
    levels = _levels(f)
    if all(not missing and low == high and low for missing, low, high in levels):
        return Shape(tuple(low for _, low, _ in levels))
    return None


def _value_counts(f: FeatureView) -> tuple[Any, ...]:
    """Per level; of one level None where nothing holds, of several an empty `ValueCount`."""
    levels = _levels(f)
    made = [_value_count(low, high) for _, low, high in levels]
    return tuple(made) if len(made) == 1 else tuple(v or ValueCount() for v in made)


def _value_count(low: int, high: int) -> ValueCount | None:
    if low == high and low > 0:
        return ValueCount(low, high)
    return ValueCount(min=1) if low > 0 else None


def _domain(f: FeatureView, max_size: int) -> Domain | None:
    from_meaning = read_domain_info(f.custom.get("domain_info")) if f.custom else None
    if from_meaning is not None:
        return from_meaning
    if f.type == "INT":
        return BoolDomain() if f.min in (0, 1) and f.max == 1 else None
    if f.type == "STRUCT":
        return StructDomain() if not f.arrow_type else None
    if f.type != "STRING" or f.num_invalid_utf8:
        return None
    if f.weighted is not None:
        values = [str(v) for v, n in f.weighted.rank_histogram if n]
    else:
        counts = f.value_counts()
        if counts is None:
            return None
        values = [str(v) for v in counts]
    return _bool_domain(values) or _int_domain(values) or _string_domain(values, max_size)


def _bool_domain(values: list[str]) -> BoolDomain | None:
    for true, false in _SPELLINGS:
        if values and set(values) <= {true, false}:
            return BoolDomain(true if true in values else None, false if false in values else None)
    return None


def _int_domain(values: list[str]) -> IntDomain | None:
    return IntDomain() if values and all(parse_int(v) is not None for v in values) else None


def _string_domain(values: list[str], max_size: int) -> StringDomain | None:
    return StringDomain(tuple(sorted(values))) if 0 < len(values) <= max_size else None


# --- ranges -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outlier:
    """A side of a numeric column that lies far outside the others.

    Attributes:
        feature: The column.
        side: Which extreme.
        observed: The extreme.
        allowed: The bound it is beyond.
        times: How many spreads it lies from the median.
    """

    feature: str
    side: Literal["min", "max"]
    observed: float
    allowed: float
    times: float


def robust_range(f: FeatureView, *, factor: float = SPREAD_FACTOR) -> tuple[float | None, float | None]:
    """The bounds a numeric column keeps when a few corrupt values are not believed.

    ``median ± factor * spread``, each side with its own spread: the distance from the median to the
    quantile 0.001 (0.999). With few rows the outer quantile moves inwards so that one extreme value
    is never part of its own yardstick: ``max(0.001, 1.5 / n)``. Bounds are rounded outwards to two
    digits. A side without spread, a column of fewer than 20 finite or 10 different values, booleans
    and times have no bound (None).

    Example:
        >>> from whence.validation.describe import describe
        >>> import pyarrow as pa
        >>> s = describe(pa.table({"x": [float(i % 21) for i in range(2000)] + [1048.0]}))
        >>> robust_range(s["x"])
        (-90.0, 110.0)
    """
    if f.type not in ("INT", "FLOAT"):
        return None, None
    n = f.n_values - f.num_nan - f.num_inf
    if n < _MIN_ROWS or (f.num_unique or _MIN_DISTINCT) < _MIN_DISTINCT:
        return None, None
    outer = max(_OUTER, 1.5 / n)
    cells: list[Any] = [f.quantile(q) for q in (outer, 0.5, 1 - outer)]
    low, middle, high = cells
    if low is None or middle is None or high is None or not all(map(math.isfinite, (low, middle, high))):
        return None, None
    down, up = middle - low, high - middle
    bottom = _outwards(middle - factor * down, math.floor) if down else None
    return bottom, (_outwards(middle + factor * up, math.ceil) if up else None)


def _outwards(bound: float, way: Callable[[float], int]) -> float:
    """A bound with two digits, moved away from the data: 276.19 becomes 280.0."""
    if bound == 0.0:
        return 0.0
    digits = 1 - math.floor(math.log10(abs(bound)))
    step = 10.0**digits
    return way(round(bound * step, 9)) / step


def list_outliers(statistics: Statistics, *, factor: float = SPREAD_FACTOR) -> list[Outlier]:
    """Columns whose extreme value lies beyond the robust range, the furthest first.

    Example:
        >>> from whence.validation.describe import describe
        >>> import pyarrow as pa
        >>> list_outliers(describe(pa.table({"x": [float(i % 21) for i in range(2000)] + [1048.0]})))
        [Outlier(feature='x', side='max', observed=1048.0, allowed=110.0, times=103.8)]
    """
    found = [o for f in statistics.features.values() for o in _outliers(f, factor)]
    return sorted(found, key=lambda o: (-o.times, o.feature))


def _outliers(f: FeatureView, factor: float) -> list[Outlier]:
    low, high = robust_range(f, factor=factor)
    middle: Any = f.median
    smallest: Any = f.min
    largest: Any = f.max
    found = []
    if low is not None and smallest < low:
        times = (middle - smallest) / ((middle - low) / factor)
        found.append(Outlier(f.name, "min", smallest, low, times))
    if high is not None and largest > high:
        times = (largest - middle) / ((high - middle) / factor)
        found.append(Outlier(f.name, "max", largest, high, times))
    return found


def learn_ranges(schema: Schema, statistics: Statistics, *, factor: float = SPREAD_FACTOR) -> Schema:
    """The schema with a range for every numeric column that has a robust one and no domain yet.

    Bounds are those of `robust_range`, integers rounded outwards. A range already in the schema is
    kept where it is wider, so learning from several versions one after another only widens.
    """
    for f in statistics.features.values():
        if f.name not in schema or schema[f.name].type != f.type:
            continue
        domain = schema.domain_of(schema[f.name])
        if domain is None or isinstance(domain, (IntDomain, FloatDomain)):
            schema = _learn(schema, f, domain, factor)
    return schema


def _learn(schema: Schema, f: FeatureView, domain: IntDomain | FloatDomain | None, factor: float) -> Schema:
    low, high = robust_range(f, factor=factor)
    if low is None and high is None:
        return schema
    new: Domain
    if f.type == "INT":
        new = IntDomain(None if low is None else math.floor(low), None if high is None else math.ceil(high))
    else:
        new = FloatDomain(low, high)
    if domain is not None:
        new = replace(domain, min=_wider(domain.min, new.min, min), max=_wider(domain.max, new.max, max))
    return schema.edit(f.name, domain=new)


def _wider(have: Any, new: Any, pick: Any) -> Any:
    return None if have is None or new is None else pick(have, new)
