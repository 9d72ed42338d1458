"""Chicago taxi: statistics, schema and anomalies are those of the real TFDV on the same rows, kept as golden files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.validation.golden import (
    GOLDEN,
    anomalies_of,
    distances_of,
    golden_statistics,
    module_of,
    read_pbtxt,
    same_feature,
    types_of,
)
from whence.integrations import tfdv
from whence.integrations.tfdv.messages import anomalies_pb2, schema_pb2
from whence.integrations.tfdv.text import read_text, to_text
from whence.validation import Statistics
from whence.validation.sources import describe_file

taxi: Any = module_of("taxi")
PLACE = GOLDEN / "taxi"
Message = Any  # made at run time
pytestmark = pytest.mark.public_data


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    from tests.conftest import DATA

    assert DATA is not None
    found: Mapping[str, Path] = taxi.write_taxi(DATA, tmp_path_factory.mktemp("taxi"))
    return found


@pytest.fixture(scope="module")
def described(files: Mapping[str, Path]) -> Mapping[str, Statistics]:
    return {split: describe_file(path) for split, path in files.items()}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_split_is_the_stated_one(files: Mapping[str, Path]) -> None:
    rows = {s: rows_of(p) for s, p in files.items()}
    assert {s: len(r) for s, r in rows.items()} == {"train": 7778, "eval": 3645, "serving": 3579}
    for column, held_back in taxi.HELD_BACK.items():
        assert not {r[column] for r in rows["train"]} & set(held_back)
        assert {r[column] for r in [*rows["eval"], *rows["serving"]]} >= set(held_back)
    assert "tips" not in rows["serving"][0]
    assert all(int(r["trip_seconds"] or 0) % 1000 == 0 for r in rows["serving"])


@pytest.mark.parametrize("split", taxi.SPLITS)
def test_statistics_are_those_of_tfdv(described: Mapping[str, Statistics], split: str) -> None:
    n_rows, golden = golden_statistics(f"taxi/{split}")
    ours = described[split]
    assert ours.n_rows == n_rows
    assert [f.path for f in ours] == list(golden)
    for f in ours:
        same_feature(f, golden[f.path], narrow=True)


@pytest.mark.parametrize("split", taxi.SPLITS)
def test_quantiles_are_within_their_rank(
    files: Mapping[str, Path], described: Mapping[str, Statistics], split: str
) -> None:
    rows = rows_of(files[split])
    for f in described[split]:
        if f.is_text:
            continue
        ordered = sorted(float(r[f.name]) for r in rows if r[f.name])
        assert f.rank_error < 0.01
        for q in (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0):
            value = f.quantile(q)
            assert isinstance(value, (int, float))
            below = sum(v < value for v in ordered) / len(ordered)
            up_to = sum(v <= value for v in ordered) / len(ordered)
            assert below - 0.01 <= q <= up_to + 0.01


class TestTfdvsWalk:
    """The same files, by TFDV's functions: what its golden files say."""

    def test_schema(self, walked: Mapping[str, Message]) -> None:
        assert to_text(tfdv.infer_schema(walked["train"])) == to_text(
            golden("inferred.schema.pbtxt", schema_pb2.Schema)
        )

    @pytest.mark.parametrize("split", ["eval", "serving"])
    def test_first_anomalies(self, walked: Mapping[str, Message], split: str) -> None:
        found = tfdv.validate_statistics(walked[split], golden("inferred.schema.pbtxt", schema_pb2.Schema))
        assert types_of(found) == anomalies_of(read_pbtxt(PLACE / f"{split}.first.anomalies.pbtxt"))

    def test_curated_schema(self, walked: Mapping[str, Message]) -> None:
        """New values within the mass that is allowed, drift, the changed unit, the missing label."""
        schema = golden("curated.schema.pbtxt", schema_pb2.Schema)
        found = {
            "eval.curated": tfdv.validate_statistics(walked["eval"], schema, "TRAINING", walked["train"]),
            "serving.curated": tfdv.validate_statistics(walked["serving"], schema, "SERVING"),
            "train.skew": tfdv.validate_statistics(
                walked["train"], schema, "TRAINING", serving_statistics=walked["serving"]
            ),
        }
        for name, anomalies in found.items():
            wanted = golden(f"{name}.anomalies.pbtxt", anomalies_pb2.Anomalies)
            assert types_of(anomalies) == types_of(wanted), name
            assert distances_of(anomalies) == {
                k: pytest.approx(v, abs=0.02) for k, v in distances_of(wanted).items()
            }, name
        assert types_of(found["train.skew"])["trip_seconds"] == ["COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"]


@pytest.fixture(scope="module")
def walked(files: Mapping[str, Path]) -> Mapping[str, Message]:
    return {split: tfdv.generate_statistics_from_csv(str(path)) for split, path in files.items()}


def golden(name: str, kind: Any) -> Message:
    return read_text(kind, (PLACE / name).read_text(encoding="utf-8"), name=name)
