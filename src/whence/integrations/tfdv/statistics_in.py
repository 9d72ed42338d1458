"""Statistics of a proto as `Statistics`: what it says is read, nothing can be added to it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final

from whence.integrations.tfdv.messages import Message, as_ours, statistics_pb2
from whence.integrations.tfdv.refusals import UsageError
from whence.integrations.tfdv.schema_in import derived_source
from whence.stats import Histogram
from whence.stats.histogram import Bucket, HistogramKind
from whence.validation import Statistics
from whence.validation.cells import Cell, FeatureType
from whence.validation.given import GivenStatistics, GivenWeighted, Ranked
from whence.validation.paths import path_text
from whence.validation.plain import to_plain
from whence.validation.view import Level

DEFAULT_SLICE: Final = "All Examples"
"""How TFDV calls the set of all rows when there are slices beside it."""
NOTE: Final = "whence"
"""The custom statistic that holds what the format has no field for, as JSON."""
DERIVED: Final = "validation_derived_source"
"""The key under which a feature that validation derived says whence it comes."""
_TYPES: Final[dict[int, FeatureType]] = {0: "INT", 1: "FLOAT", 2: "STRING", 3: "BYTES", 4: "STRUCT"}
_STATS: Final = ("num_stats", "string_stats", "bytes_stats", "struct_stats")


def statistics_from_proto(proto: Message, *, name: str | None = None) -> Statistics:
    """The statistics a ``DatasetFeatureStatisticsList`` says, of all rows and of its slices.

    Args:
        proto: The message, of this module or of an installed ``tensorflow_metadata``.
        name: What was described; None takes the name in the message.

    Raises:
        TypeError: It is another message.
        UsageError: It has no data set, or several and none of all rows (``bad-statistics``), or two
            features of one name (``duplicate-feature``).

    Example:
        >>> dataset = statistics_pb2.DatasetFeatureStatistics(name="train", num_examples=3)
        >>> s = statistics_from_proto(statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset]))
        >>> s.name, s.n_rows
        ('train', 3)
    """
    given = as_ours(proto, "DatasetFeatureStatisticsList")
    if not given.datasets:
        raise UsageError("the statistics hold no data set", code="bad-statistics")
    whole = default_dataset(given)
    slices = {d.name: _dataset(d, d.name) for d in given.datasets if d is not whole}
    found = _dataset(whole, name or whole.name or "data")
    return Statistics(found.name, found.n_rows, found.features, slices)


def default_dataset(proto: Message) -> Message:
    """The data set of all rows: the only one, or the one called ``All Examples``.

    Raises:
        UsageError: There are several and none is called so (``bad-statistics``).
    """
    if len(proto.datasets) == 1:
        return proto.datasets[0]
    for dataset in proto.datasets:
        if dataset.name == DEFAULT_SLICE:
            return dataset
    names = ", ".join(repr(d.name) for d in proto.datasets)
    raise UsageError(
        f"the statistics hold several data sets and none is of all rows: {names}",
        code="bad-statistics",
        hint=f"one of them is called {DEFAULT_SLICE!r}",
    )


def _dataset(dataset: Message, name: str) -> Statistics:
    columns = {steps[0] for f in dataset.features if len(steps := steps_of(f)) == 1}
    features: dict[str, Any] = {}
    for proto in dataset.features:
        found = feature_from_proto(proto, columns)
        if found.weighted is not None and not dataset.weighted_num_examples:
            found = replace(found, weighted=None)  # weights without their sum: TFDV reads past them
        if found.name in features:
            raise UsageError(f"feature {found.name!r} is there twice", code="duplicate-feature")
        features[found.name] = found
    return Statistics(name, int(dataset.num_examples), features)


def steps_of(proto: Message) -> tuple[str, ...]:
    """The path of a feature; one that is given by name is one step."""
    return tuple(proto.path.step) if proto.WhichOneof("field_id") == "path" else (proto.name,)


def feature_from_proto(proto: Message, columns: Collection[str] = ()) -> GivenStatistics:
    """The statistics of one feature.

    Args:
        proto: A ``FeatureNameStatistics``.
        columns: The top-level columns, so that names of nested ones stay apart from theirs.

    Raises:
        UsageError: Its type is none, or a count or a length is infinite (``bad-statistics``).
    """
    steps = steps_of(proto)
    which = proto.WhichOneof("stats")
    said: dict[str, Any] = {}
    type_ = _TYPES.get(proto.type)
    if type_ is None:
        raise UsageError(
            f"feature {'.'.join(steps)!r} has the type {proto.type}, which nothing has", code="bad-statistics"
        )
    if which is not None:
        stats = getattr(proto, which)
        try:
            said = _common(stats.common_stats) | _READERS[which](stats)
        except (OverflowError, ValueError) as error:
            raise UsageError(
                f"feature {'.'.join(steps)!r} has a count or length that is no finite number: {error}",
                code="bad-statistics",
            ) from error
    custom, note = _custom(proto.custom_stats)
    if proto.HasField("validation_derived_source"):
        custom[DERIVED] = to_plain(derived_source(proto.validation_derived_source))
    if type_ == "INT":
        said |= {k: _whole(said[k]) for k in ("min", "max", "median") if said.get(k) is not None}
    name = path_text(steps, columns)
    plain = GivenStatistics(name, type_, steps, custom=custom, **said)
    if not note:
        return plain
    changed = {k: v for k, v in {**plain.to_dict(), **note}.items() if v is not None}
    return GivenStatistics.from_dict(changed)


# --- the four kinds -----------------------------------------------------------------------------


def _common(c: Message) -> dict[str, Any]:
    present, missing, total = int(c.num_non_missing), int(c.num_missing), int(c.tot_num_values)
    levels = tuple(
        _level(p.num_non_missing, p.num_missing, p.min_num_values, p.max_num_values, p.tot_num_values)
        for p in c.presence_and_valency_stats
    )
    return {
        "num_non_missing": present,
        "num_missing": missing,
        "min_num_values": int(c.min_num_values) if present else None,
        "max_num_values": int(c.max_num_values) if present else None,
        "tot_num_values": total,
        "n_values": total,
        "levels": levels or (_level(present, missing, c.min_num_values, c.max_num_values, c.tot_num_values),),
        "num_values_histogram": _histogram(c.num_values_histogram)
        if c.HasField("num_values_histogram")
        else None,
        "weighted": _weighted_common(c.weighted_common_stats)
        if c.HasField("weighted_common_stats")
        else None,
    }


def _level(present: int, missing: int, low: int, high: int, total: int) -> Level:
    if not present:
        return Level(0, int(missing), total=int(total))
    return Level(int(present), int(missing), int(low), int(high), int(total))


def _weighted_common(w: Message) -> GivenWeighted:
    return GivenWeighted(w.num_non_missing, w.num_missing, w.avg_num_values or None, w.tot_num_values)


def _numeric(stats: Message) -> dict[str, Any]:
    standard, quantiles = histograms_by_kind(stats.histograms)
    if standard is not None and not standard.buckets and stats.min == -math.inf:
        # All values are infinite, and TFDV does not say which are below; the tenths do.
        n_low = min(quantiles.n_low if quantiles else standard.n_high, standard.n_high)
        standard = replace(standard, n_low=standard.n_low + n_low, n_high=standard.n_high - n_low)
    if standard is not None and quantiles is not None:
        # TFDV cuts tenths through infinities; how many there are stands in the other histogram.
        quantiles = replace(quantiles, n_low=standard.n_low, n_high=standard.n_high)
    shown = standard or quantiles
    nan = shown.n_nan if shown else 0
    total = stats.common_stats.tot_num_values
    out: dict[str, Any] = {
        "histogram": standard,
        "quantile_histogram": quantiles,
        "num_zeros": int(stats.num_zeros),
        "num_nan": nan,
        "num_inf": shown.n_low + shown.n_high if shown else 0,
        "unique_is_exact": True,
    }
    if total > nan:
        out |= {"min": stats.min, "max": stats.max, "median": stats.median}
        # An infinite or undefined mean says that there are infinities, no more.
        if math.isfinite(stats.mean):
            out |= {"mean": stats.mean, "std_dev": stats.std_dev}
    if stats.HasField("weighted_numeric_stats") and stats.common_stats.HasField("weighted_common_stats"):
        w = stats.weighted_numeric_stats
        even, mass = histograms_by_kind(w.histograms)
        common = _weighted_common(stats.common_stats.weighted_common_stats)
        out["weighted"] = GivenWeighted(
            common.num_non_missing,
            common.num_missing,
            common.avg_num_values,
            common.tot_num_values,
            w.mean,
            w.std_dev,
            w.median,
            even,
            mass,
        )
    return out


def _string(stats: Message) -> dict[str, Any]:
    out: dict[str, Any] = {
        "num_unique": int(stats.unique),
        "top": _top(stats.top_values),
        "rank_histogram": _ranks(stats.rank_histogram),
        "num_invalid_utf8": int(stats.invalid_utf8_count),
        "given_rank_error": 0.01,
    }
    if stats.common_stats.tot_num_values:
        out["avg_length"] = stats.avg_length
    if stats.HasField("weighted_string_stats") and stats.common_stats.HasField("weighted_common_stats"):
        w, common = (
            stats.weighted_string_stats,
            _weighted_common(stats.common_stats.weighted_common_stats),
        )
        out["weighted"] = GivenWeighted(
            common.num_non_missing,
            common.num_missing,
            common.avg_num_values,
            common.tot_num_values,
            rank_histogram=_ranks(w.rank_histogram),
            top=_top(w.top_values),
        )
    return out


def _bytes(stats: Message) -> dict[str, Any]:
    # TFDV holds no limits of uniques against bytes, so the number is kept and not told.
    out: dict[str, Any] = {"untold_unique": int(stats.unique)}
    if stats.common_stats.tot_num_values:
        longest = stats.max_num_bytes_int or int(stats.max_num_bytes)
        out |= {
            "avg_length": stats.avg_num_bytes,
            "min_length": int(stats.min_num_bytes),
            "max_length": longest,
        }
    return out


def _struct(_stats: Message) -> dict[str, Any]:
    return {}


_READERS: Final = {
    "num_stats": _numeric,
    "string_stats": _string,
    "bytes_stats": _bytes,
    "struct_stats": _struct,
}


# --- parts --------------------------------------------------------------------------------------


def _top(values: Iterable[Message]) -> Ranked:
    return by_rank((v.value, _finite(v.frequency)) for v in values)


def _ranks(histogram: Message) -> Ranked:
    return by_rank((b.label, _finite(b.sample_count)) for b in histogram.buckets)


def _finite(count: float) -> float:
    if not math.isfinite(count):
        raise OverflowError(f"{count}")
    return count


def by_rank(values: Iterable[tuple[Cell, float]]) -> Ranked:
    """Values by count, ties by value."""
    return tuple(sorted(values, key=lambda pair: (-pair[1], sortable(pair[0]))))


def sortable(value: Any) -> Any:
    """A value as it is ordered among its like: text by its bytes."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def histograms_by_kind(histograms: Iterable[Message]) -> tuple[Histogram | None, Histogram | None]:
    """The first histogram of equal width and the first of equal mass."""
    by_kind = {h.kind: h for h in reversed([_histogram(proto) for proto in histograms])}
    return by_kind.get("STANDARD"), by_kind.get("QUANTILES")


def _histogram(proto: Message) -> Histogram:
    """A histogram; the mass of a bucket that reaches an infinity is there.

    Where all values are infinite, TFDV writes one bucket from infinity down to minus infinity.
    """
    buckets: list[Bucket] = []
    low = high = 0.0
    for b in proto.buckets:
        if b.low_value == -math.inf:
            low += b.sample_count
        elif math.inf in (b.low_value, b.high_value):
            high += b.sample_count
        else:
            buckets.append(Bucket(b.low_value, b.high_value, b.sample_count))
    kind: HistogramKind = "QUANTILES" if proto.type == statistics_pb2.Histogram.QUANTILES else "STANDARD"
    return Histogram(kind, tuple(buckets), int(proto.num_nan), _count(low), _count(high))


def _count(mass: float) -> int:
    return round(mass) or (1 if mass else 0)


def _custom(stats: Iterable[Message]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The custom statistics as JSON, and our own note."""
    custom: dict[str, Any] = {}
    note: dict[str, Any] = {}
    given = list(stats)
    if sum(s.name == DOMAIN_INFO for s in given) > 1:
        given = [s for s in given if s.name != DOMAIN_INFO]  # several meanings are none, as in TFDV
    for stat in given:
        which = stat.WhichOneof("val")
        if stat.name == NOTE and which == "str":
            try:
                note = json.loads(stat.str)
            except ValueError as error:
                raise UsageError(
                    f"the custom statistic {NOTE!r} is not JSON: {error}", code="bad-statistics"
                ) from error
        elif which is not None:
            custom[stat.name] = _value(stat.name, which, getattr(stat, which))
    return custom, note


DOMAIN_INFO: Final = "domain_info"
"""The custom statistic that says what the values of a feature mean."""
BY_INDEX: Final = frozenset({"missing_index", "min_length_diff", "max_length_diff"})
"""Custom statistics of sparse features that have a count for each index."""


def _value(name: str, which: str, value: Any) -> Any:
    if which == "histogram":
        return {"histogram": _histogram(value).to_dict()}
    if which == "rank_histogram":
        pairs = [(b.label, _whole(b.sample_count)) for b in value.buckets]
        return dict(pairs) if name in BY_INDEX else [list(pair) for pair in pairs]
    if which == "any":
        return _any(value)
    return value if which == "str" else _whole(value)


def _any(value: Message) -> Any:
    """A message inside a message as a mapping with the names of its fields; one that is not known as its bytes."""
    bare = value.type_url.rpartition("/")[2].removeprefix("tensorflow.metadata.v0.")
    cls = getattr(statistics_pb2, bare, None)
    if cls is None:
        return {"type_url": value.type_url, "value": value.value.hex()}
    inner = cls.FromString(value.value)
    return _plain(inner) | {"@type": bare}


def _plain(message: Message) -> dict[str, Any]:
    """The fields that are said, by name; integers stay integers."""
    out: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is None:
            out[field.name] = list(value) if _is_many(value) else value
        else:
            out[field.name] = [_plain(v) for v in value] if _is_many(value) else _plain(value)
    return out


def _is_many(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def _whole(number: float) -> Cell:
    return int(number) if float(number).is_integer() else number
