"""Make the golden files with the real TFDV: run by a Python that has tensorflow-data-validation 1.16.1.

    $WHENCE_TEST_TFDV tests/golden/validation/make.py [small] [covertype] [anomalies] [taxi=FOLDER] [into=FOLDER]

What is kept: statistics, schema and anomalies as TFDV's own text protos; of anomalies the types and paths, not the
sentences. Of public data only these aggregates are kept, never rows.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent
INTO = Path(next((a.removeprefix("into=") for a in sys.argv if a.startswith("into=")), HERE))
SOURCE = HERE.parents[2] / "src" / "whence" / "testing"
sys.path.insert(0, str(HERE))

# Any: TFDV is not installed where types are checked
tfdv: Any = importlib.import_module("tensorflow_data_validation")
in_memory: Any = importlib.import_module("tensorflow_data_validation.statistics.stats_impl")
text_format: Any = importlib.import_module("google.protobuf.text_format")
schema_pb: Any = importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
cases: Any = importlib.import_module("cases")


def load(path: Path) -> Any:
    """A module by its file: the package around it is not imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def write(path: Path, message: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_format.MessageToString(message, as_utf8=True), encoding="utf-8")


def bare(anomalies: Any) -> Any:
    """Anomalies without sentences and without the schema they were made with."""
    kept = type(anomalies)()
    kept.CopyFrom(anomalies)
    kept.ClearField("baseline")
    kept.ClearField("drift_skew_info")
    kept.drift_skew_info.extend(anomalies.drift_skew_info)
    for info in [*kept.anomaly_info.values(), kept.dataset_anomaly_info]:
        for name in ("description", "short_description"):
            info.ClearField(name)
        for reason in info.reason:
            reason.ClearField("description")
            reason.ClearField("short_description")
    if not kept.dataset_anomaly_info.reason:
        kept.ClearField("dataset_anomaly_info")
    return kept


def describe(case: Any) -> Any:
    table = cases.listed(case.table).combine_chunks()
    batches = table.to_batches()
    batch = batches[0] if batches else cases.pa.RecordBatch.from_arrays(
        [cases.pa.array([], f.type) for f in table.schema], schema=table.schema
    )  # fmt: skip
    return in_memory.generate_statistics_in_memory(batch, tfdv.StatsOptions(**case.options))


def make_small() -> None:
    for name, case in cases.CASES.items():
        statistics = describe(case())
        write(INTO / "small" / f"{name}.stats.pbtxt", statistics)
        write(INTO / "small" / f"{name}.schema.pbtxt", tfdv.infer_schema(statistics))


def from_csv(path: Path, **options: Any) -> Any:
    return tfdv.generate_statistics_from_csv(str(path), stats_options=tfdv.StatsOptions(**options))


def make_covertype() -> None:
    """The environments story: infer, validate, say that serving has no label, validate again."""
    place = INTO / "covertype"
    with tempfile.TemporaryDirectory() as folder:
        files = load(SOURCE / "covertype.py").write_covertype(folder)
        statistics = {s: from_csv(getattr(files, s)) for s in ("train", "eval", "serving", "broken")}
    for split, found in statistics.items():
        write(place / f"{split}.stats.pbtxt", found)
    schema = tfdv.infer_schema(statistics["train"])
    write(place / "inferred.schema.pbtxt", schema)
    for split in ("eval", "serving", "broken"):
        write(
            place / f"{split}.first.anomalies.pbtxt",
            bare(tfdv.validate_statistics(statistics[split], schema)),
        )
    slope = tfdv.get_feature(schema, "Slope")
    tfdv.set_domain(schema, "Slope", schema_pb.IntDomain(name="Slope", min=0, max=90))
    slope.drift_comparator.jensen_shannon_divergence.threshold = 0.1
    schema.default_environment.append("TRAINING")
    schema.default_environment.append("SERVING")
    tfdv.get_feature(schema, "Cover_Type").not_in_environment.append("SERVING")
    write(place / "curated.schema.pbtxt", schema)
    for split, environment in (("eval", "TRAINING"), ("serving", "SERVING"), ("broken", "SERVING")):
        found = tfdv.validate_statistics(
            statistics[split], schema, environment=environment, previous_statistics=statistics["train"]
        )
        write(place / f"{split}.curated.anomalies.pbtxt", bare(found))
    accepted = tfdv.infer_schema(statistics["train"])
    write(place / "updated.schema.pbtxt", tfdv.update_schema(accepted, statistics["eval"]))


def curated_taxi(schema: Any) -> Any:
    """What a person says after looking at the inferred schema."""
    tfdv.get_feature(schema, "company").distribution_constraints.min_domain_mass = 0.95
    tfdv.get_domain(schema, "payment_type").value.append("Prcard")
    tfdv.set_domain(schema, "trip_seconds", schema_pb.IntDomain(name="trip_seconds", min=0, max=86_400))
    tfdv.get_feature(schema, "trip_seconds").skew_comparator.jensen_shannon_divergence.threshold = 0.1
    tfdv.get_feature(schema, "fare").drift_comparator.jensen_shannon_divergence.threshold = 0.1
    tfdv.get_feature(schema, "company").drift_comparator.infinity_norm.threshold = 0.1
    tfdv.get_feature(schema, "payment_type").skew_comparator.infinity_norm.threshold = 0.1
    schema.default_environment.append("TRAINING")
    schema.default_environment.append("SERVING")
    tfdv.get_feature(schema, "tips").not_in_environment.append("SERVING")
    return schema


def make_taxi(data: str) -> None:
    """Train, eval and serving rows of the public file; only aggregates are kept."""
    place = INTO / "taxi"
    taxi = importlib.import_module("taxi")
    with tempfile.TemporaryDirectory() as folder:
        statistics = {split: from_csv(path) for split, path in taxi.write_taxi(data, folder).items()}
    for split, found in statistics.items():
        write(place / f"{split}.stats.pbtxt", found)
    schema = tfdv.infer_schema(statistics["train"])
    write(place / "inferred.schema.pbtxt", schema)
    for split in ("eval", "serving"):
        write(
            place / f"{split}.first.anomalies.pbtxt",
            bare(tfdv.validate_statistics(statistics[split], schema)),
        )
    schema = curated_taxi(schema)
    write(place / "curated.schema.pbtxt", schema)
    found = tfdv.validate_statistics(
        statistics["eval"], schema, environment="TRAINING", previous_statistics=statistics["train"]
    )
    write(place / "eval.curated.anomalies.pbtxt", bare(found))
    found = tfdv.validate_statistics(statistics["serving"], schema, environment="SERVING")
    write(place / "serving.curated.anomalies.pbtxt", bare(found))
    found = tfdv.validate_statistics(
        statistics["train"], schema, environment="TRAINING", serving_statistics=statistics["serving"]
    )
    write(place / "train.skew.anomalies.pbtxt", bare(found))


def judged(found: Any) -> dict[str, Any]:
    """Anomalies by path as plain values: severity and types, sorted."""
    severity = type(found).DESCRIPTOR.file.message_types_by_name["AnomalyInfo"].enum_types_by_name["Severity"]
    kinds = type(found).DESCRIPTOR.file.message_types_by_name["AnomalyInfo"].enum_types_by_name["Type"]

    def said(info: Any) -> list[str]:
        types = sorted(kinds.values_by_number[r.type].name for r in info.reason)
        return [severity.values_by_number[info.severity].name, *types]

    out: dict[str, Any] = {}
    by_path = {".".join(i.path.step) or name: said(i) for name, i in found.anomaly_info.items()}
    if by_path:
        out["anomalies"] = dict(sorted(by_path.items()))
    if found.dataset_anomaly_info.reason:
        out["dataset"] = said(found.dataset_anomaly_info)
    if found.data_missing:
        out["data_missing"] = True
    for info in found.drift_skew_info:
        for side in ("drift", "skew"):
            for m in getattr(info, f"{side}_measurements"):
                kind = m.DESCRIPTOR.enum_types_by_name["Type"].values_by_number[m.type].name
                out.setdefault("distances", []).append(
                    [".".join(info.path.step), side, kind, m.value, m.threshold]
                )
    return out


def make_anomalies() -> None:
    """What TFDV says of every check, and the schema that it would accept."""
    anomaly_cases = importlib.import_module("anomaly_cases")
    internal = importlib.import_module(
        "tensorflow_data_validation.api.validation_api"
    ).validate_statistics_internal
    options_of = importlib.import_module("tensorflow_data_validation.api.validation_options")
    overrides_pb = importlib.import_module("tensorflow_data_validation.anomalies.proto.validation_config_pb2")
    anomalies_pb = importlib.import_module("tensorflow_metadata.proto.v0.anomalies_pb2")
    as_dict = importlib.import_module("google.protobuf.json_format").MessageToDict
    out: dict[str, Any] = {}
    for check in anomaly_cases.all_checks():
        schema = text_format.Parse(check.schema, schema_pb.Schema())
        options = {"schema": schema} if check.semantics else {}
        sides = {
            key: None if columns is None else describe(cases.Case(anomaly_cases.as_table(columns), options))
            for key, columns in (
                ("current", check.columns), ("previous", check.previous), ("serving", check.serving), ("version", check.version)
            )
        }  # fmt: skip
        severities = [
            overrides_pb.SeverityOverride(
                type=anomalies_pb.AnomalyInfo.Type.Value(k),
                severity=anomalies_pb.AnomalyInfo.Severity.Value(v),
            )
            for k, v in check.overrides.items()
        ]
        try:
            found = internal(
                sides["current"],
                schema,
                check.environment,
                previous_span_statistics=sides["previous"],
                serving_statistics=sides["serving"],
                previous_version_statistics=sides["version"],
                validation_options=options_of.ValidationOptions(severity_overrides=severities),
            )
            out[check.name] = judged(found)
        except Exception as error:  # noqa: BLE001 - that it refuses is the golden fact
            out[check.name] = {"refused": type(error).__name__}
            continue
        if found.anomaly_info and check.environment is None:
            try:
                updated = tfdv.update_schema(schema, sides["current"])
            except Exception as error:  # noqa: BLE001 - that it refuses is the golden fact
                out[check.name]["update_refused"] = type(error).__name__
            else:
                out[check.name]["updated"] = as_dict(updated, preserving_proto_field_name=True)
                left = judged(tfdv.validate_statistics(sides["current"], updated)).get("anomalies")
                if left:
                    out[check.name]["left"] = left
    lines = [f"  {json.dumps(name)}: {json.dumps(said)}" for name, said in sorted(out.items())]
    (INTO / "anomalies.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main(names: list[str]) -> None:
    for name in [n for n in names if not n.startswith("into=")] or ["small", "covertype", "anomalies"]:
        if name.startswith("taxi="):
            make_taxi(name.removeprefix("taxi="))
        else:
            {"small": make_small, "covertype": make_covertype, "anomalies": make_anomalies}[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
