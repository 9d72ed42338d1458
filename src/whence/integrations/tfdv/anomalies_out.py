"""A `Report` as an anomalies proto: what was found of each feature, of all rows, and every distance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from whence.integrations.tfdv.messages import Message, anomalies_pb2, as_ours
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.validation import Distance, Report, Schema
from whence.validation.paths import Path, path_steps
from whence.validation.types import Anomaly

SEVERAL: Final = "Several reasons"
"""The short description of a feature with more than one."""
_MEASURES: Final = {
    "infinity_norm": "L_INFTY",
    "jensen_shannon_divergence": "JENSEN_SHANNON_DIVERGENCE",
    "normalized_abs_difference": "NORMALIZED_ABSOLUTE_DIFFERENCE",
}


def report_to_anomalies(
    report: Report,
    *,
    schema: Schema | Message | None = None,
    paths: Mapping[str, Path] | None = None,
    plain: bool = False,
) -> Message:
    """A report as an ``Anomalies`` proto.

    Each feature with anomalies has an entry under its path; those of the number of rows stand in
    ``dataset_anomaly_info``. A type the format does not have (expectations, ranges of times) is
    CUSTOM_VALIDATION. Distances the schema gives a threshold for stand in ``drift_skew_info``, also below
    it; one that does not apply is left out, never 0.

    Args:
        report: What validation found.
        schema: Under which schema: the message's baseline.
        paths: The steps of features by name; a name that is not among them is taken apart at its dots.
        plain: The schema without our own notes.

    Example:
        >>> found = Anomaly("late", "INT_TYPE_BIG_INT", "ERROR", "domain.max", 9, 1, "late: 9 is above 1")
        >>> proto = report_to_anomalies(Report("flights@2", "schema:flights@1", anomalies=(found,)))
        >>> proto.anomaly_info["late"].description, proto.anomaly_info["late"].short_description
        ('9 is above 1', 'Above the range')
    """
    out = anomalies_pb2.Anomalies(anomaly_name_format=anomalies_pb2.Anomalies.SERIALIZED_PATH)
    steps = _Steps(paths or {}, schema)
    if schema is not None:
        given = (
            schema_to_proto(schema, plain=plain) if isinstance(schema, Schema) else as_ours(schema, "Schema")
        )
        out.baseline.CopyFrom(given)
    by_feature: dict[str, list[Anomaly]] = {}
    for anomaly in report.anomalies:
        by_feature.setdefault(anomaly.feature, []).append(anomaly)
    for name, anomalies in by_feature.items():
        if name:
            info = out.anomaly_info[serialized(steps(name))]
            info.path.step.extend(steps(name))
        else:
            info = out.dataset_anomaly_info
        _fill(info, anomalies)
    _add_distances(out, report.distances, steps)
    return out


class _Steps:
    """The steps of a feature by its name."""

    def __init__(self, paths: Mapping[str, Path], schema: Any) -> None:
        self._paths = dict(paths)
        if isinstance(schema, Schema):
            self._paths = {f.name: f.steps for f in schema} | self._paths

    def __call__(self, name: str) -> Path:
        return self._paths.get(name) or path_steps(name)


def _fill(info: Message, anomalies: Sequence[Anomaly]) -> None:
    kinds = anomalies_pb2.AnomalyInfo
    for a in anomalies:
        type_ = a.type if a.type in kinds.Type.keys() else "CUSTOM_VALIDATION"  # noqa: SIM118 - an enum, no mapping
        info.reason.add(type=kinds.Type.Value(type_), short_description=_short(a), description=description(a))
    info.severity = max(kinds.Severity.Value(a.severity) for a in anomalies)
    info.description = " ".join(r.description for r in info.reason)
    short = {r.short_description for r in info.reason}
    info.short_description = short.pop() if len(short) == 1 else SEVERAL


def _short(a: Anomaly) -> str:
    return a.reason[:1].upper() + a.reason[1:]


def description(a: Anomaly) -> str:
    """The sentence of an anomaly without the feature's name, which stands beside it."""
    return a.message.removeprefix(f"{a.feature}: ")


def serialized(path: Path) -> str:
    """A path as the format writes it in one text: steps that need it in single quotation marks.

    Example:
        >>> serialized(("trip", "miles")), serialized(("a.b",))
        ('trip.miles', "'a.b'")
    """
    return ".".join(
        "'" + step.replace("'", "''") + "'" if not step or re.search(r"[.'()]", step) else step
        for step in path
    )


def _add_distances(out: Message, distances: Sequence[Distance], steps: _Steps) -> None:
    infos: dict[str, Message] = {}
    for d in sorted(distances, key=lambda d: d.feature):
        if d.value is None or d.threshold is None or d.metric not in _MEASURES:
            continue
        if d.feature not in infos:
            infos[d.feature] = out.drift_skew_info.add(path={"step": steps(d.feature)})
        getattr(infos[d.feature], f"{d.side}_measurements").add(
            type=anomalies_pb2.DriftSkewInfo.Measurement.Type.Value(_MEASURES[d.metric]),
            value=d.value,
            threshold=d.threshold,
        )
