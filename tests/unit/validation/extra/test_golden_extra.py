"""Optional statistics against what the real TFDV 1.16.1 says of the same data (`make_extra.py`)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from whence.validation import (
    Correlation,
    EmptyValues,
    Extra,
    Lift,
    Meanings,
    SparseFeatures,
    StatisticsOptions,
    TokenStatistics,
    WeightedFeatures,
    describe,
)
from whence.validation.extra.times import UNIX

HERE = Path(__file__).parents[3] / "golden" / "validation"
GOLDEN: dict[str, Any] = json.loads((HERE / "extra.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cases() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("whence_extra_cases", HERE / "extra_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def series_of(extra: Lift, table: Any, *, weighted: bool = False) -> list[Any]:
    """The lifts in the form of the golden file."""
    told = extra.add(table).finish()
    # TFDV divides the weight of y by the number of rows, not by their weight.
    scale = told["n_rows"] / told["weight"] if weighted else 1
    out = []
    for column in told["lifts"]:
        for s in column["series"]:
            infinite = {None: 0}
            y = s["y"] if "low" not in s else [infinite.get(s["low"], s["low"]), s["high"]]
            values = [[v["x"], v["lift"] * scale, v["x_count"], v["x_and_y_count"]] for v in s["values"]]
            out.append([column["x"], "weighted_" if weighted else "", y, s["y_count"], values])
    return sorted(out, key=json.dumps)


def same_series(found: list[Any], wanted: list[Any]) -> None:
    assert [s[:4] for s in found] == [s[:4] for s in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        assert [[v[0], *v[2:]] for v in mine[4]] == [[v[0], *v[2:]] for v in theirs[4]]
        assert [v[1] for v in mine[4]] == pytest.approx([v[1] for v in theirs[4]], rel=1e-12)


def test_lift(cases: Any) -> None:
    given = cases.lift()
    rows, y, x = given["rows"], given["y"], given["x"]
    same_series(series_of(Lift(y, x), rows), GOLDEN["lift"])
    few = Lift(y, ["zone"], min_count=25, top=1, bottom=1)  # TFDV: more than 24
    same_series(series_of(few, rows), GOLDEN["lift_few"])
    wanted = [s for s in GOLDEN["lift_weighted"] if s[1]]
    same_series(series_of(Lift(y, x, weight="w"), rows, weighted=True), wanted)


def test_lift_of_buckets(cases: Any) -> None:
    given = cases.lift()
    told = Lift("fare", ["pay"], y_edges=given["fare_edges"]).add(given["rows"]).finish()
    mine = {
        (s["low"] or 0.0, s["high"]): (
            s["y_count"],
            [[v["x"], v["x_count"], v["x_and_y_count"]] for v in s["values"]],
        )
        for s in told["lifts"][0]["series"]
    }
    theirs = {
        (low or 0.0, high): (n, [[v[0], *v[2:]] for v in values])
        for _, _, (low, high), n, values in GOLDEN["lift_buckets"]
    }
    assert mine == theirs


def test_correlation(cases: Any) -> None:
    pairs = Correlation().add(cases.numbers()).finish()["pairs"]
    mine = {(p["x"], p["y"]): p for p in pairs}
    assert len(GOLDEN["cross"]) == len(mine) == 10
    for x, y, count, covariance, correlation in GOLDEN["cross"]:
        assert mine[x, y]["count"] == count
        # TFDV takes differences of sums of 1e12: they keep 4 digits here.
        if "k" in (x, y):
            assert mine[x, y]["correlation"] is None
        else:
            assert mine[x, y]["covariance"] == pytest.approx(covariance, rel=1e-2, abs=1e-2)
            assert mine[x, y]["correlation"] == pytest.approx(correlation, rel=1e-2, abs=1e-3)


def test_sparse_and_weighted_features(cases: Any) -> None:
    tfdv = pytest.importorskip("whence.integrations.tfdv.text")
    messages = importlib.import_module("whence.integrations.tfdv.messages")
    reader = importlib.import_module("whence.integrations.tfdv.schema_in")
    proto = tfdv.read_text(messages.schema_pb2.Schema, cases.SPARSE_SCHEMA, name="extra_cases")
    schema = reader.schema_from_proto(proto)
    extras: tuple[Extra, ...] = (SparseFeatures.of(schema), WeightedFeatures.of(schema))
    mine: dict[str, Any] = {}
    for extra in extras:
        mine |= extra.add(cases.sparse()).finish()
    theirs = {name.rpartition(".")[2]: said for name, said in GOLDEN["sparse"].items()}
    assert set(mine) == set(theirs) == {"vec", "gone", "inner", "vw", "sw"}
    for name, said in theirs.items():
        plain = {k: dict(v) if isinstance(v, list) else v for k, v in said.items()}
        assert mine[name] == plain


def test_meanings(cases: Any) -> None:
    s = describe(cases.meanings(), options=StatisticsOptions(extras=(Meanings(),)))
    wanted: dict[str, Any] = GOLDEN["meanings"]
    for f in s:
        theirs, mine = dict(wanted.get(f.name, {})), dict(f.custom)
        info = mine.pop("domain_info", None)
        both = "time_match_ratio" in mine and "natural_language_match_rate" in mine
        assert (info is None) == ("domain_info" not in theirs), f.name
        said = theirs.pop("domain_info", "")
        if info is not None and not both:
            if "integer_format" in info:  # an enumeration of the proto, from 1
                assert info["integer_format"] in UNIX
                assert said.startswith("time_domain {integer_format:")
            else:
                assert info.get("string_format", "") in said
                assert info["kind"] in said
        # Sizes cost TFDV the decoding; it tells them only when asked.
        mine.pop("image_max_width", None), mine.pop("image_max_height", None)
        assert mine == theirs, f.name
    sizes = GOLDEN["image_sizes"]["pictures"]
    for name in ("image_max_width", "image_max_height"):
        assert s["pictures"].custom[name] == sizes[name]


def test_tokens(cases: Any) -> None:
    tfdv = pytest.importorskip("whence.integrations.tfdv.text")
    messages = importlib.import_module("whence.integrations.tfdv.messages")
    reader = importlib.import_module("whence.integrations.tfdv.schema_in")
    proto = tfdv.read_text(messages.schema_pb2.Schema, cases.TOKENS_SCHEMA, name="extra_cases")
    mine = TokenStatistics.of(reader.schema_from_proto(proto)).add(cases.tokens()).finish()["words"]
    theirs = GOLDEN["tokens"]["words"]["nl_statistics"]
    for name in ("feature_coverage", "avg_token_length", "min_sequence_length", "max_sequence_length"):
        assert mine[name] == pytest.approx(theirs[name], rel=1e-6), name
    ranks = sorted([b["label"], b["sample_count"]] for b in mine["rank_histogram"]["buckets"])
    assert ranks == theirs["ranks"]
    for said in mine["token_statistics"]:
        token = theirs["tokens"][said["string_token"]]
        positions = [
            [b["low_value"], b["sample_count"]] for b in said.get("positions", {}).get("buckets", ())
        ]
        assert positions == token.pop("positions")
        for name, value in token.items():
            assert said.get(name, 0) == pytest.approx(value, rel=1e-6), name


def test_empty_values(cases: Any) -> None:
    mine = EmptyValues().add(cases.empty()).finish()
    assert mine == GOLDEN["empty"]


def test_stored_ones_are_known_in_another_process() -> None:
    stored = describe(
        pa.table({"x": [1, 2], "y": [1, 3]}), options=StatisticsOptions(extras=(Correlation(), EmptyValues()))
    ).to_bytes()
    program = (
        "import sys; from whence.validation.statistics import Statistics;"
        "s = Statistics.from_bytes(sys.stdin.buffer.read());"
        "print(sorted((k, e.kind) for k, e in s.extras.items()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], input=stored, capture_output=True, check=True)
    assert ran.stdout.decode().strip() == "[('correlation', 'correlation'), ('empty values', 'empty-values')]"
