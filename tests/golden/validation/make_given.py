"""Fill `given.json` with what the real TFDV says of its cases: run by a Python that has TFDV 1.16.1.

    $WHENCE_TEST_TFDV tests/golden/validation/make_given.py

A case is statistics, a schema, and what they are compared with, as text protos of one line: what no table could
provoke by itself (statistics of meanings, weights, counts that contradict each other). The answer is the types by
path, sorted, and the distances; a case that TFDV refuses says so.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
FILE = Path(__file__).parent / "given.json"

# Any: TFDV is not installed where types are checked
text_format: Any = importlib.import_module("google.protobuf.text_format")
schema_pb: Any = importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
statistics_pb: Any = importlib.import_module("tensorflow_metadata.proto.v0.statistics_pb2")
anomalies_pb: Any = importlib.import_module("tensorflow_metadata.proto.v0.anomalies_pb2")
validate: Any = importlib.import_module(
    "tensorflow_data_validation.api.validation_api"
).validate_statistics_internal


def statistics(text: str | None) -> Any:
    if text is None:
        return None
    return text_format.Parse(f"datasets {{ {text} }}", statistics_pb.DatasetFeatureStatisticsList())


def said(case: dict[str, Any]) -> dict[str, Any]:
    try:
        found = validate(
            statistics(case["statistics"]),
            text_format.Parse(case["schema"], schema_pb.Schema()),
            case.get("environment"),
            previous_span_statistics=statistics(case.get("previous")),
            serving_statistics=statistics(case.get("serving")),
        )
    except ValueError as error:
        return {"refused": type(error).__name__}
    name = anomalies_pb.AnomalyInfo.Type.Name
    out: dict[str, Any] = {
        "anomalies": {
            ".".join(i.path.step) or key.strip("'"): sorted(name(r.type) for r in i.reason)
            for key, i in sorted(found.anomaly_info.items())
        }
    }
    if found.dataset_anomaly_info.reason:
        out["dataset"] = sorted(name(r.type) for r in found.dataset_anomaly_info.reason)
    if found.data_missing:
        out["data_missing"] = True
    kind = anomalies_pb.DriftSkewInfo.Measurement.Type.Name
    distances = [
        [".".join(i.path.step), side, kind(m.type), m.value]
        for i in found.drift_skew_info
        for side in ("drift", "skew")
        for m in getattr(i, f"{side}_measurements")
    ]
    return out | ({"distances": distances} if distances else {})


def main() -> None:
    cases = json.loads(FILE.read_text(encoding="utf-8"))
    asked = ("statistics", "schema", "previous", "serving", "environment")
    lines = []
    for name, case in cases.items():
        given = {k: case[k] for k in asked if k in case}
        lines.append(f"  {json.dumps(name)}: {json.dumps({**given, **said(given)}, ensure_ascii=False)}")
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
