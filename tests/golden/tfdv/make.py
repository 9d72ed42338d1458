"""Write what the real TFDV says of `rides.csv` with its optional statistics: run by a Python that has TFDV 1.16.1.

$WHENCE_TEST_TFDV tests/golden/tfdv/make.py

Kept are the custom statistics and the cross features; the types of Beam's steps are not checked, since those of
TFDV's lift do not hold.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent

# Any: TFDV is not installed where types are checked
tfdv: Any = importlib.import_module("tensorflow_data_validation")
beam_options: Any = importlib.import_module("apache_beam.options.pipeline_options")
statistics_pb: Any = importlib.import_module("tensorflow_metadata.proto.v0.statistics_pb2")
text_format: Any = importlib.import_module("google.protobuf.text_format")


def write(name: str, **options: Any) -> None:
    made = tfdv.generate_statistics_from_csv(
        str(HERE / "rides.csv"),
        stats_options=tfdv.StatsOptions(**options),
        pipeline_options=beam_options.PipelineOptions(["--no_pipeline_type_check"]),
    ).datasets[0]
    out = statistics_pb.DatasetFeatureStatisticsList()
    kept = out.datasets.add(cross_features=made.cross_features)
    for f in made.features:
        if f.custom_stats:
            kept.features.add(path=f.path, custom_stats=f.custom_stats)
    (HERE / f"{name}.pbtxt").write_text(text_format.MessageToString(out))


if __name__ == "__main__":
    rides = tfdv.load_schema_text(str(HERE / "rides.schema.pbtxt"))
    language = tfdv.load_schema_text(str(HERE / "language.schema.pbtxt"))
    write("lift", schema=rides, label_feature="tip")
    write("lift_weighted", schema=rides, label_feature="tip", weight_feature="w")
    write("meanings", enable_semantic_domain_stats=True)
    write("language", schema=language, vocab_paths={"v": str(HERE / "words.txt")})
