"""The environments story on covertype-shaped rows: by our own words and by TFDV's functions, beside the real TFDV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from tests.unit.validation.golden import (
    GOLDEN,
    anomalies_of,
    distances_of,
    golden_statistics,
    read_pbtxt,
    same_feature,
    types_of,
)
from whence.integrations import tfdv
from whence.integrations.tfdv.messages import anomalies_pb2, schema_pb2, statistics_pb2
from whence.integrations.tfdv.text import read_text, to_text
from whence.testing.covertype import LABEL, MISSING, NEW_SOIL, STEEP, Files, write_covertype
from whence.validation import Statistics, infer_schema, update_schema, validate_statistics
from whence.validation.sources import describe_file

PLACE = GOLDEN / "covertype"
SPLITS = ("train", "eval", "serving", "broken")
Message = Any  # made at run time


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write_covertype(tmp_path_factory.mktemp("covertype"))


@pytest.fixture(scope="module")
def described(files: Files) -> Mapping[str, Statistics]:
    return {f.name: describe_file(getattr(files, f.name)) for f in fields(files)}


@pytest.fixture(scope="module")
def statistics(files: Files) -> Mapping[str, Message]:
    return {s: tfdv.generate_statistics_from_csv(str(getattr(files, s))) for s in SPLITS}


def golden(name: str, kind: Any) -> Message:
    return read_text(kind, (PLACE / name).read_text(encoding="utf-8"), name=name)


def test_the_faults_are_where_they_are_said_to_be(described: Mapping[str, Statistics]) -> None:
    assert (described["train"].n_rows, described["eval"].n_rows) == (2_000, 600)
    assert dict(described["eval"]["Soil_Type"].top_values())[NEW_SOIL] == 6
    assert NEW_SOIL not in dict(described["train"]["Soil_Type"].top_values())
    assert (described["train"]["Slope"].max, described["eval"]["Slope"].max) == (37, STEEP)
    assert LABEL not in described["serving"]
    assert MISSING in described["serving"]
    assert MISSING not in described["broken"]


@pytest.mark.parametrize("split", SPLITS)
def test_statistics_are_those_of_tfdv(described: Mapping[str, Statistics], split: str) -> None:
    n_rows, features = golden_statistics(f"covertype/{split}")
    assert described[split].n_rows == n_rows
    assert [f.path for f in described[split]] == list(features)
    for f in described[split]:
        same_feature(f, features[f.path])


class TestOurWords:
    def test_environments(self, described: Mapping[str, Statistics]) -> None:
        schema = infer_schema(described["train"])
        found, _ = validate_statistics(described["serving"], schema)
        assert [(a.feature, a.type) for a in found] == [(LABEL, "SCHEMA_MISSING_COLUMN")]
        schema = schema.environments("TRAINING", "SERVING").not_in_environment("SERVING", LABEL)
        assert validate_statistics(described["serving"], schema, environment="SERVING")[0] == []
        assert validate_statistics(described["train"], schema, environment="TRAINING")[0] == []
        found, _ = validate_statistics(described["serving"], schema, environment="TRAINING")
        assert [a.feature for a in found] == [LABEL]
        found, _ = validate_statistics(described["broken"], schema, environment="SERVING")
        assert [(a.feature, a.type) for a in found] == [(MISSING, "SCHEMA_MISSING_COLUMN")]

    def test_injected_faults_are_found_and_can_be_accepted(self, described: Mapping[str, Statistics]) -> None:
        schema = infer_schema(described["train"]).edit("Slope", min=0, max=90)
        found, _ = validate_statistics(described["eval"], schema)
        assert {a.feature: (a.type, a.severity) for a in found} == {
            "Slope": ("INT_TYPE_BIG_INT", "ERROR"),
            "Soil_Type": ("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "ERROR"),
        }
        accepted = update_schema(schema, [a for a in found if a.feature == "Soil_Type"])
        left, _ = validate_statistics(described["eval"], accepted)
        assert [(a.feature, a.observed, a.allowed) for a in left] == [("Slope", STEEP, 90)]
        assert validate_statistics(described["eval"], update_schema(accepted, left))[0] == []


class TestTfdvsWalk:
    """The notebook, with only the import line changed."""

    def test_schema(self, statistics: Mapping[str, Message]) -> None:
        made = tfdv.infer_schema(statistics["train"])
        assert to_text(made) == to_text(golden("inferred.schema.pbtxt", schema_pb2.Schema))

    def test_the_story(self, files: Files, statistics: Mapping[str, Message]) -> None:
        schema = tfdv.infer_schema(statistics=statistics["train"])
        options = tfdv.StatsOptions(schema=schema, infer_type_from_schema=True)
        serving = tfdv.generate_statistics_from_csv(data_location=str(files.serving), stats_options=options)
        found = tfdv.validate_statistics(serving, schema)
        assert {k: i.reason[0].type for k, i in found.anomaly_info.items()} == {
            LABEL: anomalies_pb2.AnomalyInfo.SCHEMA_MISSING_COLUMN
        }
        schema.default_environment.append("TRAINING")
        schema.default_environment.append("SERVING")
        tfdv.get_feature(schema, LABEL).not_in_environment.append("SERVING")
        assert not tfdv.validate_statistics(serving, schema, environment="SERVING").anomaly_info

    @pytest.mark.parametrize("split", ["eval", "serving", "broken"])
    def test_anomalies(self, statistics: Mapping[str, Message], split: str) -> None:
        """Against the inferred schema, and against the curated one with an environment and drift."""
        inferred = golden("inferred.schema.pbtxt", schema_pb2.Schema)
        found = tfdv.validate_statistics(statistics[split], inferred)
        assert types_of(found) == anomalies_of(read_pbtxt(PLACE / f"{split}.first.anomalies.pbtxt"))
        curated = golden("curated.schema.pbtxt", schema_pb2.Schema)
        environment = "TRAINING" if split == "eval" else "SERVING"
        found = tfdv.validate_statistics(statistics[split], curated, environment, statistics["train"])
        assert types_of(found) == anomalies_of(read_pbtxt(PLACE / f"{split}.curated.anomalies.pbtxt"))

    @pytest.mark.parametrize("split", ["eval", "serving", "broken"])
    def test_distances_of_tfdvs_own_statistics(self, split: str) -> None:
        """From the statistics TFDV wrote, the same divergence to the last digits."""
        kind = statistics_pb2.DatasetFeatureStatisticsList
        seen, before = golden(f"{split}.stats.pbtxt", kind), golden("train.stats.pbtxt", kind)
        curated = golden("curated.schema.pbtxt", schema_pb2.Schema)
        environment = "TRAINING" if split == "eval" else "SERVING"
        found = tfdv.validate_statistics(seen, curated, environment, before)
        wanted = golden(f"{split}.curated.anomalies.pbtxt", anomalies_pb2.Anomalies)
        assert types_of(found) == types_of(wanted)
        assert distances_of(found) == {k: pytest.approx(v) for k, v in distances_of(wanted).items()}

    def test_accepting_all(self, statistics: Mapping[str, Message]) -> None:
        schema = golden("inferred.schema.pbtxt", schema_pb2.Schema)
        updated = tfdv.update_schema(schema, statistics["eval"])
        assert to_text(updated) == to_text(golden("updated.schema.pbtxt", schema_pb2.Schema))
