"""Anomalies of given statistics are those of the real TFDV; see tests/golden/validation/make_given.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from whence.validation import Schema, Statistics, update_schema, validate_statistics
from whence.validation.reasons import FORMS
from whence.validation.types import Anomaly

pytest.importorskip("google.protobuf")

from whence.integrations.tfdv.messages import schema_pb2, statistics_pb2
from whence.integrations.tfdv.schema_in import schema_from_proto
from whence.integrations.tfdv.statistics_in import statistics_from_proto
from whence.integrations.tfdv.text import read_text

FILE: Final = Path(__file__).parents[2] / "golden" / "validation" / "given.json"
CASES: Final[Mapping[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))

_NAN = "NaN of both sides is one value, and so is an infinity; TFDV counts them apart, or loses NaN"
_PRESENCE = "a message that is there and empty is the same as none"
_WEIGHTED = "rows are counted and not weighed; the walk of `integrations.tfdv` weighs them"
_SHARED = "numbers may share a domain too"
DIFFERS: Final[Mapping[str, str]] = {
    "count: vcs empty flat": _PRESENCE,
    "count: vcs empty nest": _PRESENCE,
    "distance: num nan": _NAN,
    "distance: ex 0.5 2 10 0": "rows against none before are judged too",
    "distance: weighted examples": _WEIGHTED,
    "distance: weighted examples drift": _WEIGHTED,
    "domain: fit time_of_day_domain {} BYTES": "TFDV 1.16 does not know the domain it publishes",
    "domain: fit time_of_day_domain {} FLOAT": "TFDV 1.16 does not know the domain it publishes",
    "domain: fit time_of_day_domain {} INT": "TFDV 1.16 does not know the domain it publishes",
    "domain: mass 1 on int dom": _PRESENCE,
    "domain: shared float domain": _SHARED,
    "domain: shared int domain": _SHARED,
    "histogram: nan cur": _NAN,
    "histogram: nan only both": _NAN,
    "histogram: nan only cur": _NAN,
    "histogram: nan prev": _NAN,
    "order: w planned coll sparse": "a weighted feature that is switched off is not judged",
    "pair: unknown type + stats": "TYPE_UNKNOWN is no type",
    "pair: w planned": "a weighted feature that is switched off is not judged",
    "type: nothing there, bad": _PRESENCE,
}
"""Cases we answer in another way, and why."""


def statistics(text: str | None) -> Statistics | None:
    if text is None:
        return None
    return statistics_from_proto(
        read_text(statistics_pb2.DatasetFeatureStatisticsList, f"datasets {{ {text} }}")
    )


def judged(case: Mapping[str, Any]) -> tuple[Schema, Statistics, list[Anomaly], list[Any]]:
    schema = schema_from_proto(read_text(schema_pb2.Schema, case["schema"]), exact=True)
    current = statistics(case["statistics"])
    assert current is not None
    found, distances = validate_statistics(
        current,
        schema,
        environment=case.get("environment"),
        previous=statistics(case.get("previous")),
        serving=statistics(case.get("serving")),
    )
    return schema, current, found, distances


def by_path(found: list[Anomaly]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for a in found:
        # TFDV documents the one and 1.16.1 gives it for nothing; of the form of values it says nothing
        if a.type not in {"BOOL_TYPE_INVALID_CONFIG", *FORMS}:
            out.setdefault(a.feature, []).append(a.type)
    return {k: sorted(v) for k, v in out.items()}


@pytest.mark.parametrize(
    "name", [n for n, c in CASES.items() if "anomalies" in c and not c.get("data_missing")]
)
def test_what_tfdv_says(name: str) -> None:
    case = CASES[name]
    _, _, found, _ = judged(case)
    expected = {**case["anomalies"], **({"": case["dataset"]} if "dataset" in case else {})}
    if name in DIFFERS:
        assert by_path(found) != expected
    else:
        assert by_path(found) == expected


NO_WAY_OUT: Final = frozenset({"COMPARATOR_CONTROL_DATA_MISSING", "FEATURE_MISSING_NAME"})
"""Types that propose no change: the other side lacks the column, a feature has no name."""


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.get("anomalies")])
def test_what_is_accepted_is_no_anomaly_any_more(name: str) -> None:
    case = CASES[name]
    schema, current, found, _ = judged(case)
    assert all(a.proposed for a in found if a.type not in NO_WAY_OUT)
    previous, serving = statistics(case.get("previous")), statistics(case.get("serving"))
    for _ in range(3):  # a feature without a type is judged once it has one
        # a meaning that statistics recognised is believed: its form is not given up again
        schema = update_schema(schema, [a for a in found if a.type not in FORMS])
        found, _ = validate_statistics(
            current, schema, environment=case.get("environment"), previous=previous, serving=serving
        )
    assert [a for a in found if a.type not in NO_WAY_OUT | FORMS] == []
