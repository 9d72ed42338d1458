"""Reports as anomalies protos: every type, every distance, in text and bytes."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from whence.integrations.tfdv.anomalies_out import report_to_anomalies, serialized
from whence.integrations.tfdv.messages import anomalies_pb2
from whence.integrations.tfdv.text import read_binary, read_text, to_text
from whence.validation import Anomaly, Distance, Feature, Report, Schema
from whence.validation.paths import path_text
from whence.validation.reasons import REASONS

TYPES = anomalies_pb2.AnomalyInfo.Type
STEPS = st.lists(st.text("ab.'\" é", min_size=1, max_size=4), min_size=1, max_size=3).map(tuple)
PATHS = st.lists(STEPS, max_size=4, unique=True)


@st.composite
def reports(draw: st.DrawFn) -> tuple[Report, dict[str, Any]]:
    paths = {path_text(p): p for p in draw(PATHS)}
    names = st.sampled_from(["", *paths])
    anomalies = draw(
        st.lists(
            st.builds(
                Anomaly,
                names,
                st.sampled_from(sorted(REASONS)),
                st.sampled_from(["ERROR", "WARNING"]),
                st.just("rule"),
                st.integers(),
                st.integers(),
                st.text(max_size=8),
            ),
            max_size=5,
        )
    )
    distances = draw(
        st.lists(
            st.builds(
                Distance,
                st.sampled_from([*paths, "x"]),
                st.sampled_from(["drift", "skew"]),
                st.sampled_from(["infinity_norm", "jensen_shannon_divergence", "psi", "ks"]),
                st.none() | st.floats(0, 1),
                st.none() | st.floats(0, 1),
            ),
            max_size=5,
        )
    )
    return Report("t@1", "s", None, 3, tuple(anomalies), tuple(distances)), paths


@given(reports())
@settings(max_examples=80, deadline=None)
def test_nothing_of_a_report_is_lost(made: tuple[Report, dict[str, Any]]) -> None:
    report, paths = made
    proto = report_to_anomalies(report, paths=paths)
    assert read_text(anomalies_pb2.Anomalies, to_text(proto)) == proto
    if proto.ListFields():
        assert read_binary(anomalies_pb2.Anomalies, proto.SerializeToString()) == proto
    by_path = {tuple(i.path.step): i for i in proto.anomaly_info.values()}
    for name, path in paths.items():
        said = [a for a in report.anomalies if a.feature == name]
        assert (path in by_path) == bool(said)
        if said:
            info = by_path[path]
            assert proto.anomaly_info[serialized(path)] == info
            assert [TYPES.Name(r.type) for r in info.reason] == [
                a.type if a.type in TYPES.keys() else "CUSTOM_VALIDATION"  # noqa: SIM118
                for a in said
            ]
            errors = any(a.severity == "ERROR" for a in said)
            assert info.severity == (2 if errors else 1)
    whole = [a for a in report.anomalies if not a.feature]
    assert len(proto.dataset_anomaly_info.reason) == len(whole)
    measured = [
        d
        for d in report.distances
        if d.value is not None and d.threshold is not None and d.metric not in ("psi", "ks")
    ]
    n = sum(len(i.drift_measurements) + len(i.skew_measurements) for i in proto.drift_skew_info)
    assert n == len(measured)


def test_what_is_ours_alone_is_custom_and_the_schema_is_the_baseline() -> None:
    found = Anomaly(
        "x", "EXPECTATION_HIGH", "WARNING", "expect.mean", 3.0, 2.0, "x: the mean is 3, allowed is 2"
    )
    schema = Schema().add(Feature("x", "FLOAT", default=1.0))
    far = Distance("x", "drift", "jensen_shannon_divergence", 0.5, 0.1)
    proto = report_to_anomalies(Report("t@1", "s", anomalies=(found,), distances=(far,)), schema=schema)
    info = proto.anomaly_info["x"]
    assert (info.severity, info.description) == (1, "the mean is 3, allowed is 2")
    assert [TYPES.Name(r.type) for r in info.reason] == ["CUSTOM_VALIDATION"]
    assert proto.baseline.feature[0].annotation.comment[0].startswith("whence: ")
    assert math.isclose(proto.drift_skew_info[0].drift_measurements[0].value, 0.5)
    bare = report_to_anomalies(Report("t@1", "s"), schema=schema, plain=True)
    assert not bare.baseline.feature[0].HasField("annotation")
