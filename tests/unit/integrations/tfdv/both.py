"""Small programs that come to the same here and in TFDV 1.16.1, with what they come to.

Whence's tests run them as they are; where there is a Python with TFDV, `main` runs them in it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

import pyarrow as pa
from google.protobuf import json_format, text_format

CASES: dict[str, tuple[str, Any]] = {
    "a share of values needs a domain of texts": (
        """
schema = schema_of('''
    feature { name: "int" type: INT int_domain { min: 0 max: 9 } distribution_constraints { min_domain_mass: 1 } }
    feature { name: "bool" type: INT bool_domain {} distribution_constraints { min_domain_mass: 1 } }
    feature { name: "float" type: FLOAT distribution_constraints { min_domain_mass: 0.9 } }
    feature { name: "text" type: BYTES distribution_constraints { min_domain_mass: 1 } string_domain { value: "x" } }
    feature { name: "later" type: INT lifecycle_stage: PLANNED distribution_constraints { min_domain_mass: 1 } }
    feature { name: "there" type: INT in_environment: "X" distribution_constraints {} }
    default_environment: "Y"
''')
rows = {"int": [1, 2], "bool": [0, 1], "float": [0.5, 0.5], "text": ["x", "x"], "later": [1, 2], "there": [1, 2]}
stats = stats_of(rows)
shares = [f.name for f in tfdv.update_schema(schema, stats).feature if f.HasField("distribution_constraints")]
said = [types(tfdv.validate_statistics(stats, schema)), shares]
""",
        [{"bool": [69], "float": [69], "int": [69], "there": [69]}, ["text", "later"]],
    ),
    "what is no text takes its shared domain away from all": (
        """
schema = schema_of('''
    feature { name: "a" type: BYTES domain: "s" not_in_environment: "X" }
    feature { name: "z" type: STRUCT struct_domain { feature { name: "b" type: BYTES domain: "s" } } }
    string_domain { name: "q" value: "1" }
    string_domain { name: "s" value: "x" value: "y" }
''')
updated = tfdv.update_schema(schema, stats_of({"a": [b"\\xff\\xfe", b"x"]}))
said = [[d.name for d in updated.string_domain], as_json(updated.feature[1])]
""",
        [
            ["q"],
            {"name": "z", "type": "STRUCT", "struct_domain": {"feature": [{"name": "b", "type": "BYTES"}]}},
        ],
    ),
    "booleans that are none span what was seen": (
        """
schema = schema_of('''
    feature { name: "low" type: INT bool_domain {} }
    feature { name: "high" type: INT bool_domain {} }
    feature { name: "part" type: FLOAT bool_domain {} }
    feature { name: "wide" type: FLOAT float_domain { min: 0 max: 1 disallow_nan: false } }
''')
stats = stats_of({"low": [-3, -3], "high": [1, 3], "part": [0.25, 4.0], "wide": [0.5, 2.0]})
said = [as_json(f).get("int_domain") or as_json(f).get("float_domain") for f in tfdv.update_schema(schema, stats).feature]
""",
        [
            {"min": "-3", "max": "-3"},
            {"min": "1", "max": "3"},
            {"min": 0.25, "max": 4.0},
            {"min": 0.0, "max": 2.0, "disallow_nan": False},
        ],
    ),
    "no default generators": (
        """
class Rows(Combiner):
    def create_accumulator(self):
        return 0
    def add_input(self, accumulator, batch):
        return accumulator + batch.num_rows
    def merge_accumulators(self, accumulators):
        return sum(accumulators)
    def extract_output(self, accumulator):
        out = statistics_pb2.DatasetFeatureStatistics()
        out.features.add(path={"step": ["x"]}).custom_stats.add(name="rows", num=accumulator)
        return out

path = os.path.join(tmp, "rows.csv")
with open(path, "w") as file:
    file.write("x,y,z\\n" + "".join(f"{i},{i % 3},t{i % 2}\\n" for i in range(20)))
weighted = schema_of('''feature { name: "x" type: INT }
    weighted_feature { name: "w" feature { step: "x" } weight_feature { step: "y" } }''')
said = []
for options in (
    {"generators": [Rows("r")]},
    {"generators": [Rows("r")], "weight_feature": "y", "feature_allowlist": ["y"]},
    {"generators": [Rows("r")], "experimental_slice_functions": [tfdv.experimental_get_feature_value_slicer({"z": None})]},
    {"schema": weighted},
):
    made = tfdv.generate_statistics_from_csv(path, stats_options=tfdv.StatsOptions(add_default_generators=False, **options))
    for f in (f for d in made.datasets for f in d.features):
        f.custom_stats.sort(key=lambda c: c.name)
    said.append([as_json(d) for d in made.datasets])
said.append(as_json(stats_of({"x": [1, 2]}, add_default_generators=False)))
""",
        [
            [{"features": [{"path": {"step": ["x"]}, "custom_stats": [{"name": "rows", "num": 20.0}]}]}],
            [{"features": [{"path": {"step": ["x"]}, "custom_stats": [{"name": "rows", "num": 20.0}]}]}],
            [
                {
                    "name": name,
                    "features": [{"path": {"step": ["x"]}, "custom_stats": [{"name": "rows", "num": n}]}],
                }
                for name, n in (("All Examples", 20.0), ("z_t0", 10.0), ("z_t1", 10.0))
            ],
            [
                {
                    "features": [
                        {
                            "path": {"step": ["w"]},
                            "custom_stats": [
                                {"name": name, "num": 0.0}
                                for name in (
                                    "max_weight_length_diff",
                                    "min_weight_length_diff",
                                    "missing_value",
                                    "missing_weight",
                                )
                            ],
                        }
                    ]
                }
            ],
            {"datasets": [{}]},
        ],
    ),
}
"""By what they show: the program, which leaves its result in ``said``, and that result."""


def run(names: dict[str, Any], tmp: str) -> dict[str, Any]:
    """What each program comes to, as JSON has it.

    Args:
        names: ``tfdv``, ``stats_impl``, ``Combiner``, ``schema_pb2`` and ``statistics_pb2`` of one side.
        tmp: A folder for files.
    """
    given = {**names, "os": os, "tmp": tmp, "as_json": _as_json, "types": _types}
    given["schema_of"] = lambda text: text_format.Parse(text, names["schema_pb2"].Schema())

    def stats_of(rows: dict[str, list[Any]], **options: Any) -> Any:
        batch = pa.RecordBatch.from_pydict({name: [[v] for v in values] for name, values in rows.items()})
        return names["stats_impl"].generate_statistics_in_memory(batch, names["tfdv"].StatsOptions(**options))

    given["stats_of"] = stats_of
    said = {}
    for name, (program, _) in CASES.items():
        scope = dict(given)
        exec(compile(program, name, "exec"), scope)
        said[name] = json.loads(json.dumps(scope["said"]))
    return said


def _as_json(message: Any) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _types(anomalies: Any) -> dict[str, list[int]]:
    return {name: [r.type for r in info.reason] for name, info in sorted(anomalies.anomaly_info.items())}


def main(out: str) -> None:
    """Run them in TFDV."""
    import tensorflow_data_validation as tfdv  # type: ignore[import-not-found, unused-ignore]
    from tensorflow_data_validation.statistics import (  # type: ignore[import-not-found, unused-ignore]
        stats_impl,
    )
    from tensorflow_data_validation.statistics.generators.stats_generator import (  # type: ignore[import-not-found, unused-ignore]
        CombinerStatsGenerator,
    )
    from tensorflow_metadata.proto.v0 import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        schema_pb2,
        statistics_pb2,
    )

    names = {
        "tfdv": tfdv,
        "stats_impl": stats_impl,
        "Combiner": CombinerStatsGenerator,
        "schema_pb2": schema_pb2,
        "statistics_pb2": statistics_pb2,
    }
    with tempfile.TemporaryDirectory() as tmp, open(out, "w") as file:  # noqa: PTH123 - runs in any Python
        json.dump(run(names, tmp), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
