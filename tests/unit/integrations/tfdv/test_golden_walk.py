"""TFDV's functions by their names give what the real TFDV gave: schemas, anomalies, accepted schemas, distances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import json_format

from tests.unit.validation.golden import GOLDEN, module_of
from whence.errors import UsageError
from whence.integrations.tfdv.messages import anomalies_pb2, schema_pb2, statistics_pb2
from whence.integrations.tfdv.schema_in import schema_from_proto
from whence.integrations.tfdv.statistics_in import statistics_from_proto
from whence.integrations.tfdv.statistics_out import statistics_to_proto
from whence.integrations.tfdv.text import read_text, to_text
from whence.integrations.tfdv.update import update_schema
from whence.integrations.tfdv.validate import infer_schema, validate_statistics
from whence.validation import describe
from whence.validation.anomalies import validate_statistics as judge
from whence.validation.extra.lengths import SparseFeatures, WeightedFeatures
from whence.validation.options import DEFAULTS, StatisticsOptions

cases: Any = module_of("cases")
checks: Any = {c.name: c for c in module_of("anomaly_cases").all_checks()}
SAID: Mapping[str, Any] = json.loads((GOLDEN / "anomalies.json").read_text(encoding="utf-8"))
Message = Any  # made at run time

REFUSED = {
    "schema.twice": "duplicate-feature",
    "schema.same_domain_twice": "duplicate-domain",
}
"""Schemas that TFDV takes and whence does not: they say one thing twice, and one of both would be lost."""


def proto_of(table: pa.Table, options: StatisticsOptions = DEFAULTS) -> Message:
    return statistics_to_proto(describe(table, options=options), plain=True)


def golden(name: str, kind: Any) -> Message:
    return read_text(kind, (GOLDEN / name).read_text(encoding="utf-8"), name=name)


@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_an_inferred_schema_is_that_of_tfdv(name: str) -> None:
    case = cases.CASES[name]()
    made = infer_schema(proto_of(case.table, StatisticsOptions(weight=case.options.get("weight_feature"))))
    assert to_text(made) == to_text(golden(f"small/{name}.schema.pbtxt", schema_pb2.Schema))


@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_a_schema_inferred_from_tfdvs_statistics_is_its_own(name: str) -> None:
    statistics = golden(f"small/{name}.stats.pbtxt", statistics_pb2.DatasetFeatureStatisticsList)
    assert to_text(infer_schema(statistics)) == to_text(
        golden(f"small/{name}.schema.pbtxt", schema_pb2.Schema)
    )


def judged(check: Any) -> Message:
    """The anomalies of a check, by TFDV's function where it takes what the check needs."""
    tables = module_of("anomaly_cases").as_table
    sides = [
        None if c is None else proto_of(tables(c)) for c in (check.columns, check.previous, check.serving)
    ]
    schema = read_text(schema_pb2.Schema, check.schema)
    return validate_statistics(sides[0], schema, check.environment, sides[1], sides[2])


def plain(found: Message) -> dict[str, Any]:
    """Anomalies as the golden file has them."""
    info = anomalies_pb2.AnomalyInfo
    out: dict[str, Any] = {}
    by_path = {
        ".".join(i.path.step): [
            info.Severity.Name(i.severity),
            *sorted(info.Type.Name(r.type) for r in i.reason),
        ]
        for i in found.anomaly_info.values()
    }
    if by_path:
        out["anomalies"] = by_path
    if found.dataset_anomaly_info.reason:
        d = found.dataset_anomaly_info
        out["dataset"] = [info.Severity.Name(d.severity), *sorted(info.Type.Name(r.type) for r in d.reason)]
    return out


THROUGH_THE_WALK = [n for n, c in checks.items() if c.version is None and not c.overrides and not c.semantics]


@pytest.mark.parametrize("name", THROUGH_THE_WALK)
def test_anomalies_are_those_of_tfdv(name: str) -> None:
    wanted = SAID[name]
    if "refused" in wanted:
        with pytest.raises(ValueError, match="environment"):
            judged(checks[name])
        return
    if name in REFUSED:
        with pytest.raises(UsageError, match=REFUSED[name]):
            judged(checks[name])
        return
    assert plain(judged(checks[name])) == {k: wanted[k] for k in ("anomalies", "dataset") if k in wanted}


def meaning(data: Any) -> Any:
    """A schema as plain values, without what says what holds anyway."""
    if isinstance(data, dict):
        kept = {k: meaning(v) for k, v in data.items()}
        unsaid = (
            {"disallow_nan": False},
            {"disallow_inf": False},
            {"distribution_constraints": {"min_domain_mass": 1.0}},
            {"name": ""},
        )
        return {k: v for k, v in kept.items() if {k: v} not in unsaid}
    return [meaning(v) for v in data] if isinstance(data, list) else data


def as_dict(schema: Message) -> Any:
    return meaning(json_format.MessageToDict(schema, preserving_proto_field_name=True))


@pytest.mark.parametrize("name", [n for n in THROUGH_THE_WALK if "updated" in SAID[n] and n not in REFUSED])
def test_accepted_schemas_are_those_of_tfdv(name: str) -> None:
    check = checks[name]
    current = proto_of(module_of("anomaly_cases").as_table(check.columns))
    made = update_schema(read_text(schema_pb2.Schema, check.schema), current)
    assert as_dict(made) == meaning(SAID[name]["updated"])
    assert plain(validate_statistics(current, made)).get("anomalies") == SAID[name].get("left")


@pytest.mark.parametrize("name", [n for n in THROUGH_THE_WALK if "distances" in SAID[n]])
def test_distances_are_those_of_tfdv(name: str) -> None:
    found = judged(checks[name])
    measured = {
        (
            ".".join(i.path.step),
            side,
            m.DESCRIPTOR.enum_types_by_name["Type"].values_by_number[m.type].name,
        ): (m.value, m.threshold)
        for i in found.drift_skew_info
        for side in ("drift", "skew")
        for m in getattr(i, f"{side}_measurements")
    }
    for path, side, kind, value, threshold in SAID[name]["distances"]:
        if kind in ("L_INFTY", "NORMALIZED_ABSOLUTE_DIFFERENCE") and "number" in name:
            assert (path, side, kind) not in measured  # nothing was compared: TFDV says 0
            continue
        # TFDV's histograms are read off a sketch, ours are exact: a divergence differs a little.
        assert measured.pop((path, side, kind)) == pytest.approx(
            (value, threshold), rel=0.05 if "js" in name else 1e-6
        )
    assert not measured


@pytest.mark.parametrize("name", [n for n, c in checks.items() if c.version is not None or c.overrides])
def test_what_tfdvs_public_functions_do_not_take(name: str) -> None:
    """The previous version of a span, and severities, by our own function."""
    check = checks[name]
    schema = schema_from_proto(read_text(schema_pb2.Schema, check.schema), exact=True)
    for type_, severity in check.overrides.items():
        schema = schema.severity(type_, severity)
    tables = module_of("anomaly_cases").as_table
    seen, version = (
        None if c is None else statistics_from_proto(proto_of(tables(c)))
        for c in (check.columns, check.version)
    )
    assert seen is not None
    found, _ = judge(seen, schema, previous_version=version)
    of_rows = [a for a in found if not a.feature]
    by_feature = {a.feature: [a.severity, a.type] for a in found if a.feature}
    assert by_feature == SAID[name].get("anomalies", {})
    said = SAID[name].get("dataset", [None])
    assert [a.type for a in of_rows] == said[1:]


@pytest.mark.parametrize("name", [n for n, c in checks.items() if c.semantics])
def test_columns_that_belong_together(name: str) -> None:
    """Sparse and weighted features, whose lengths are an optional statistic."""
    check = checks[name]
    schema = schema_from_proto(read_text(schema_pb2.Schema, check.schema), exact=True)
    table = module_of("anomaly_cases").as_table(check.columns)
    extras = (SparseFeatures.of(schema), WeightedFeatures.of(schema))
    found, _ = judge(describe(table, options=StatisticsOptions(extras=extras)), schema)
    by_feature: dict[str, list[str]] = {}
    for a in found:
        by_feature.setdefault(a.feature, []).append(a.type)
    assert {k: sorted(v) for k, v in by_feature.items()} == {
        k: v[1:] for k, v in SAID[name].get("anomalies", {}).items()
    }
