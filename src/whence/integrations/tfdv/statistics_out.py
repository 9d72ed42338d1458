"""`Statistics` as a proto: the fields of the format, and in a note of our own what it has none for."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from google.protobuf import json_format

from whence.integrations.tfdv.crosses import CROSSES, add_lift_as_tfdv
from whence.integrations.tfdv.messages import Message, statistics_pb2
from whence.integrations.tfdv.statistics_in import (
    BY_INDEX,
    DEFAULT_SLICE,
    DERIVED,
    DOMAIN_INFO,
    NOTE,
    by_rank,
    feature_from_proto,
    sortable,
)
from whence.stats import Histogram
from whence.stats.histogram import Bucket
from whence.validation import Statistics
from whence.validation.extras import Extra
from whence.validation.given import GivenStatistics, GivenWeighted, Ranked
from whence.validation.view import FeatureView, WeightedView

INVALID_TEXT: Final = "__BYTES_VALUE__"
"""How TFDV lists a value that is not UTF-8."""
_TOP: Final = 20
_RANKS: Final = 1_000
_NUMBERS_LISTED: Final = 20


def statistics_to_proto(statistics: Statistics, *, plain: bool = False) -> Message:
    """Statistics as a ``DatasetFeatureStatisticsList``.

    One data set under the name of the statistics; with slices the set of all rows is called
    ``All Examples``, as TFDV looks it up, and each slice follows under its name. Text, bytes and numbers
    that were counted as categories become string statistics, other numbers, booleans and times numeric
    ones. Values of equal count are listed by descending value, as TFDV does.

    Args:
        statistics: Computed here or given.
        plain: Only what TFDV itself would write. Else a custom statistic ``whence`` holds what the format
            has no field for (the type of times and booleans, exact integers beyond 2^53, lengths of
            texts), so that `statistics_from_proto` gives all of it back.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> proto = statistics_to_proto(describe(pa.table({"a": [1, 2, 3]}), name="train"))
        >>> proto.datasets[0].name, proto.datasets[0].features[0].num_stats.mean
        ('train', 2.0)
    """
    name = DEFAULT_SLICE if statistics.slices else ("" if plain else statistics.name)
    sets = [_dataset(statistics, name, plain=plain)]
    sets += [_dataset(part, key, plain=plain) for key, part in statistics.slices.items()]
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=sets)


def _dataset(statistics: Statistics, name: str, *, plain: bool) -> Message:
    features: list[FeatureView] = list(statistics.features.values())
    out = statistics_pb2.DatasetFeatureStatistics(name=name, num_examples=statistics.n_rows)
    out.features.extend(feature_to_proto(f, plain=plain) for f in features)
    for extra in statistics.extras.values():
        _add_composed(out, extra, statistics, plain=plain)
    weighted = next((f.weighted for f in features if f.weighted is not None and len(f.path) == 1), None)
    if weighted is not None:
        out.weighted_num_examples = weighted.num_non_missing + weighted.num_missing
    return out


def _add_composed(out: Message, extra: Extra, statistics: Statistics, *, plain: bool) -> None:
    """What an optional statistic says of pairs of features, and of names that are no feature."""
    if extra.kind in CROSSES:
        crosses = list(CROSSES[extra.kind](extra.finish()))
        if plain and extra.kind == "lift":
            add_lift_as_tfdv(out, crosses)
        else:
            out.cross_features.extend(crosses)
    for name, said in extra.by_feature().items():
        if name not in statistics.features and isinstance(said, Mapping):
            made = out.features.add(path={"step": [name]})
            for key, value in said.items():
                _add_custom(made, key, value)


def feature_to_proto(f: FeatureView, *, plain: bool = False) -> Message:
    """The statistics of one feature as a ``FeatureNameStatistics``."""
    given = as_given(f)
    out = statistics_pb2.FeatureNameStatistics(type=_type(given), path={"step": given.path})
    if given.num_rows or not given.custom:
        _fill(out, given)
    for key, value in given.custom.items():
        if key == DERIVED:
            _set_derived(out.validation_derived_source, value)
        else:
            _add_custom(out, key, value)
    if plain:
        _as_tfdv(out, given)
        return out
    note = _note(given, out)
    if note:
        out.custom_stats.add(name=NOTE, str=json.dumps(note, sort_keys=True, separators=(",", ":")))
    return out


def as_given(f: FeatureView) -> GivenStatistics:
    """The statistics of a feature as values: what a file can hold of it."""
    if isinstance(f, GivenStatistics):
        return f
    said: dict[str, Any] = {
        name: getattr(f, name)
        for name in (
            "name", "type", "path", "arrow_type", "num_non_missing", "num_missing", "levels", "min_num_values",
            "max_num_values", "tot_num_values", "num_values_histogram", "n_values", "mean", "std_dev", "num_zeros",
            "num_nan", "num_inf", "min", "max", "median", "histogram", "quantile_histogram", "num_unique",
            "unique_is_exact", "count_error", "avg_length", "min_length", "max_length", "num_invalid_utf8", "custom",
        )
    }  # fmt: skip
    ranked = _ranked(f)
    top = _ordered(ranked, len(f.top_values())) if f.is_text else ()
    return GivenStatistics(
        **said,
        given_rank_error=f.rank_error,
        rank_histogram=ranked,
        top=top,
        weighted=None if f.weighted is None else _weights(f.weighted, text=f.is_text),
    )


def _weights(w: WeightedView, *, text: bool) -> GivenWeighted:
    ranked = _ordered(w.rank_histogram, _RANKS) if text else ()
    return GivenWeighted(
        w.num_non_missing,
        w.num_missing,
        w.avg_num_values,
        w.tot_num_values,
        w.mean,
        w.std_dev,
        w.median,
        w.histogram,
        w.quantile_histogram,
        ranked,
        _ordered(ranked, len(w.top_values())) if text else (),
    )


# --- values by rank -----------------------------------------------------------------------------


def _ranked(f: FeatureView) -> Ranked:
    """The most frequent values, of equal ones the last by value, as TFDV takes them; of numbers only when
    they are few and all known.
    """
    if f.is_text:
        known = f.value_counts()
        limit = max(len(f.rank_histogram), 1)
        return _ordered(f.rank_histogram if known is None else known.items(), limit)
    if (f.num_unique or 0) > _NUMBERS_LISTED or (known := f.value_counts()) is None:
        return ()
    return _ordered(known.items(), _NUMBERS_LISTED)


def _ordered(counts: Iterable[tuple[Any, float]], limit: int) -> Ranked:
    found = heapq.nlargest(limit, counts, key=lambda pair: (pair[1], sortable(pair[0])))
    return by_rank((value, float(count)) for value, count in found)


def _labels(ranked: Sequence[tuple[Any, float]]) -> list[tuple[str, float]]:
    """Values as text, ties by descending value; those that are not UTF-8 are counted together, as in TFDV."""
    out: dict[str, tuple[float, bytes]] = {}
    for value, count in ranked:
        label = _label(value)
        raw = value if isinstance(value, bytes) else sortable(label)
        before, last = out.get(label, (0.0, b""))
        out[label] = (before + count, max(last, raw))
    order = sorted(out, key=out.__getitem__, reverse=True)
    return [(label, out[label][0]) for label in order]


def _label(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return INVALID_TEXT


# --- the four kinds -----------------------------------------------------------------------------


def _type(g: GivenStatistics) -> int:
    kinds = statistics_pb2.FeatureNameStatistics
    if g.type == "BYTES" and g.untold_unique is not None:
        return int(kinds.BYTES)
    names = {"BOOL": "INT", "TIMESTAMP": "INT", "DATE": "INT", "BYTES": "STRING"}
    return int(kinds.Type.Value(names.get(g.type, g.type)))


def _fill(out: Message, g: GivenStatistics) -> None:
    if out.type == statistics_pb2.FeatureNameStatistics.STRUCT:
        stats = out.struct_stats
    elif out.type == statistics_pb2.FeatureNameStatistics.BYTES:
        stats = out.bytes_stats
        stats.unique = g.untold_unique or 0
        stats.avg_num_bytes, stats.min_num_bytes = g.avg_length or 0.0, g.min_length or 0
        stats.max_num_bytes, stats.max_num_bytes_int = g.max_length or 0, g.max_length or 0
    elif g.is_text:
        stats = out.string_stats
        _fill_string(stats, g)
    else:
        stats = out.num_stats
        _fill_numeric(stats, g)
    stats.common_stats.SetInParent()
    _fill_common(stats.common_stats, g)


def _fill_common(out: Message, g: GivenStatistics) -> None:
    out.num_non_missing, out.num_missing = g.num_non_missing, g.num_missing
    out.min_num_values, out.max_num_values = g.min_num_values or 0, g.max_num_values or 0
    out.avg_num_values, out.tot_num_values = g.avg_num_values or 0.0, g.tot_num_values
    if g.num_values_histogram is not None and g.num_non_missing:
        out.num_values_histogram.CopyFrom(_histogram(g.num_values_histogram))
    if len(g.levels) > 1:
        for level in g.levels:
            out.presence_and_valency_stats.add(
                num_non_missing=level.n_present,
                num_missing=level.n_missing,
                min_num_values=level.min or 0,
                max_num_values=level.max or 0,
                tot_num_values=level.total,
            )
    if g.weighted is not None:
        w = out.weighted_common_stats
        w.num_non_missing, w.num_missing = g.weighted.num_non_missing, g.weighted.num_missing
        w.avg_num_values, w.tot_num_values = g.weighted.avg_num_values or 0.0, g.weighted.tot_num_values


def _fill_numeric(out: Message, g: GivenStatistics) -> None:
    if g.mean is not None:
        out.mean = g.mean
    if g.std_dev is not None:
        out.std_dev = g.std_dev
    out.num_zeros = g.num_zeros or 0
    for name in ("min", "median", "max"):
        number = _number(getattr(g, name))
        if number is not None:
            setattr(out, name, number)
    if g.num_non_missing:
        out.histograms.extend(_histogram(h) for h in (g.histogram, g.quantile_histogram) if h is not None)
    w = g.weighted
    if w is not None:
        made = out.weighted_numeric_stats
        made.SetInParent()
        made.mean, made.std_dev, made.median = w.mean or 0.0, w.std_dev or 0.0, _number(w.median) or 0.0
        made.histograms.extend(_histogram(h) for h in (w.histogram, w.quantile_histogram) if h is not None)


def _number(value: Any) -> float | None:
    """A cell as a number: instants as microseconds, dates as days since 1970."""
    if isinstance(value, datetime):
        delta = value - datetime(1970, 1, 1, tzinfo=UTC)
        return float((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)
    if isinstance(value, date):
        return float((value - date(1970, 1, 1)).days)
    return None if value is None else float(value)


def _fill_string(out: Message, g: GivenStatistics) -> None:
    out.unique = g.num_unique or 0
    out.avg_length = g.avg_length or 0.0
    out.invalid_utf8_count = g.num_invalid_utf8
    ranked = _labels(g.rank_histogram)
    _add_top(
        out.top_values, _labels(g.top) if INVALID_TEXT not in dict(ranked) else ranked[: len(g.top) or _TOP]
    )
    if ranked:
        _add_ranks(out.rank_histogram, ranked)
    if g.weighted is not None:
        w = out.weighted_string_stats
        w.SetInParent()
        _add_top(w.top_values, _labels(g.weighted.top))
        _add_ranks(w.rank_histogram, _labels(g.weighted.rank_histogram))


def _add_top(out: Any, values: Iterable[tuple[str, float]]) -> None:
    for value, count in values:
        out.add(value=value, frequency=count)


def _add_ranks(out: Message, values: Iterable[tuple[str, float]]) -> None:
    for rank, (label, count) in enumerate(values):
        out.buckets.add(low_rank=rank, high_rank=rank, label=label, sample_count=count)


def _histogram(h: Histogram) -> Message:
    buckets = list(h.buckets)
    if h.n_low:
        buckets.insert(0, Bucket(-math.inf, -math.inf, h.n_low))
    if h.n_high:
        buckets.append(Bucket(math.inf, math.inf, h.n_high))
    return statistics_pb2.Histogram(
        num_nan=round(h.n_nan),  # a weight, in weighted histograms
        buckets=[
            statistics_pb2.Histogram.Bucket(low_value=b.low, high_value=b.high, sample_count=b.count)
            for b in buckets
        ],
        type=statistics_pb2.Histogram.HistogramType.Value(h.kind),
    )


# --- what the format has no field for ---------------------------------------------------------------


def _as_tfdv(out: Message, g: GivenStatistics) -> None:
    """The mean of values with infinities as TFDV gives it: NaN."""
    if out.WhichOneof("stats") == "num_stats" and g.num_inf:
        out.num_stats.mean = math.nan
        out.num_stats.ClearField("std_dev")


def _note(g: GivenStatistics, out: Message) -> dict[str, Any]:
    """What reading the message would not give back, as `GivenStatistics.to_dict` says it."""
    back, mine = feature_from_proto(out, ()).to_dict(), g.to_dict()
    keys = dict.fromkeys([*mine, *back])
    note = {k: mine.get(k) for k in keys if mine.get(k) != back.get(k) and k != "name"}
    if back["name"] != mine["name"] and len(g.path) == 1:
        note["name"] = mine["name"]
    return note


def _add_custom(out: Message, name: str, value: Any) -> None:
    stat = out.custom_stats.add(name=name)
    if name == DOMAIN_INFO and isinstance(value, Mapping):
        stat.str = _domain_text(value)
    elif isinstance(value, bool) or value is None:
        stat.str = json.dumps(value)
    elif isinstance(value, (int, float)):
        stat.num = value
    elif isinstance(value, str):
        stat.str = value
    elif isinstance(value, Mapping) and set(value) == {"histogram"}:
        stat.histogram.CopyFrom(_histogram(Histogram.from_dict(value["histogram"])))
    elif isinstance(value, Mapping) and "@type" in value:
        _set_any(stat, {k: v for k, v in value.items() if k != "@type"}, value["@type"])
    elif isinstance(value, Mapping) and set(value) == {"type_url", "value"}:
        stat.any.type_url, stat.any.value = value["type_url"], bytes.fromhex(value["value"])
    elif isinstance(value, Mapping) and name == "nl_statistics":
        _set_any(stat, value, "NaturalLanguageStatistics")
    elif isinstance(value, Mapping) and name in BY_INDEX:
        _add_ranks(stat.rank_histogram, value.items())
    elif isinstance(value, list) and all(_is_rank(v) for v in value):
        _add_ranks(stat.rank_histogram, [(label, count) for label, count in value])
    else:
        stat.str = json.dumps(value, sort_keys=True)


def _domain_text(said: Mapping[str, Any]) -> str:
    """A domain found in the values, as TFDV writes it."""
    quoted = (f"{k}: {v}" if k == "integer_format" else f"{k}: '{v}'" for k, v in said.items() if k != "kind")
    return f"{said['kind']}_domain {{{', '.join(quoted)}}}"


def _set_derived(out: Message, said: Mapping[str, Any]) -> None:
    """Whence a feature comes that validation derived, as `DerivedSource` has it."""
    out.SetInParent()
    out.deriver_name, out.description = said.get("deriver_name", ""), said.get("description", "")
    for steps in said.get("source_paths", ()):
        out.source_path.add(step=steps)
    out.declaratively_configured = bool(said.get("declaratively_configured"))
    if said.get("config"):
        json_format.ParseDict(said["config"], out.config)


def _set_any(stat: Message, value: Mapping[str, Any], name: str) -> None:
    inner = json_format.ParseDict(dict(value), getattr(statistics_pb2, name)(), ignore_unknown_fields=True)
    stat.any.Pack(inner)


def _is_rank(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], (int, float))
    )
