"""What optional statistics say of pairs of features, as cross features of the format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from whence.integrations.tfdv.messages import Message, statistics_pb2

_INT32: Final = 2**31


def correlation_to_protos(said: Mapping[str, Any]) -> Iterator[Message]:
    """Correlation and covariance of pairs of numbers.

    Example:
        >>> pair = {"x": "a", "y": "b", "count": 3, "covariance": 0.5, "correlation": 1.0}
        >>> [cross] = correlation_to_protos({"weight": None, "pairs": [pair]})
        >>> list(cross.path_x.step), cross.num_cross_stats.covariance
        (['a'], 0.5)
    """
    for pair in said["pairs"]:
        cross = _cross(pair["x"], pair["y"], pair["count"])
        cross.num_cross_stats.SetInParent()
        cross.num_cross_stats.covariance = pair["covariance"] or 0.0
        cross.num_cross_stats.correlation = math.nan if pair["correlation"] is None else pair["correlation"]
        yield cross


def lift_to_protos(said: Mapping[str, Any]) -> Iterator[Message]:
    """The lift of each value of a column for each value of another; with weights, as TFDV scales it."""
    weighted = said["weight"] is not None
    # TFDV divides weighted shares by the number of rows and not by their weight.
    scale = said["n_rows"] / said["weight"] if weighted and said["weight"] else 1.0
    for lift in said["lifts"]:
        cross = _cross(lift["x"], said["y"], said["n_rows"])
        stats = cross.categorical_cross_stats.lift
        for series in lift["series"]:
            made = (stats.weighted_lift_series if weighted else stats.lift_series).add()
            if "low" in series:
                made.y_bucket.low_value = -math.inf if series["low"] is None else series["low"]
                made.y_bucket.high_value = math.inf if series["high"] is None else series["high"]
            else:
                _set_value(made, "y", series["y"])
            _set_count(made, "y_count", series["y_count"], weighted=weighted)
            for value in series["values"]:
                one = made.lift_values.add(lift=value["lift"] * scale)
                _set_value(one, "x", value["x"])
                for name in ("x_count", "x_and_y_count"):
                    _set_count(one, name, value[name], weighted=weighted)
        yield cross


def add_lift_as_tfdv(out: Message, crosses: Iterable[Message]) -> None:
    """Add lifts as TFDV writes them: to the cross features, and as custom statistics ``Lift (Y=1)`` of x.

    TFDV does not say the number of rows of these pairs, and lists the weighted series after the others.
    """
    features = {tuple(f.path.step): f for f in out.features}
    pairs = {
        _pair(c): c for c in out.cross_features if c.WhichOneof("cross_stats") == "categorical_cross_stats"
    }
    for cross in crosses:
        said = cross.categorical_cross_stats.lift
        found = [*said.lift_series, *said.weighted_lift_series]
        if _pair(cross) not in pairs:
            pairs[_pair(cross)] = out.cross_features.add(path_x=cross.path_x, path_y=cross.path_y)
        pairs[_pair(cross)].categorical_cross_stats.lift.lift_series.extend(found)
        feature = features.get(tuple(cross.path_x.step))
        if feature is None:
            continue
        for series in found:
            stat = feature.custom_stats.add(name=f"Lift (Y={_label(series, 'y')})")
            stat.rank_histogram.SetInParent()
            for value in series.lift_values:
                stat.rank_histogram.buckets.add(label=_label(value, "x"), sample_count=value.lift)


def _pair(cross: Message) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(cross.path_x.step), tuple(cross.path_y.step)


def _label(message: Message, side: str) -> str:
    which = next(n for n in (f"{side}_int", f"{side}_string", f"{side}_bucket") if message.HasField(n))
    value = getattr(message, which)
    return f"[{value.low_value}, {value.high_value})" if which.endswith("bucket") else str(value)


CROSSES: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterator[Message]]]] = {
    "correlation": correlation_to_protos,
    "lift": lift_to_protos,
}
"""By the kind of the optional statistic."""


def _cross(x: str, y: str, count: float) -> Message:
    made = statistics_pb2.CrossFeatureStatistics(path_x={"step": [x]}, path_y={"step": [y]})
    made.count = round(count)
    return made


def _set_value(out: Message, side: str, value: Any) -> None:
    if isinstance(value, int) and -_INT32 <= value < _INT32:
        setattr(out, f"{side}_int", value)
    else:
        setattr(out, f"{side}_string", str(value))


def _set_count(out: Message, name: str, count: float, *, weighted: bool) -> None:
    setattr(out, f"weighted_{name}" if weighted else name, count if weighted else round(count))
