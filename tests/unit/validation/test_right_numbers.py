"""Numbers that were wrong without a word: merged slices, uniques judged by an estimate; and what texts show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from whence.errors import NotFoundError, UsageError
from whence.stats import Distinct
from whence.validation import (
    Feature,
    Report,
    Schema,
    Slice,
    Statistics,
    StatisticsOptions,
    Unique,
    describe,
    infer_schema,
    schema_from_yaml,
    validate_statistics,
)
from whence.validation.cells import FeatureType
from whence.validation.types import Expectation


def of(values: Any, **options: Any) -> Statistics:
    return describe(pa.table({"x": values}), **options)


def rows(statistics: Statistics) -> dict[str, int]:
    return {name: part.n_rows for name, part in statistics.slices.items()}


def older(statistics: Statistics) -> Statistics:
    """As a blob from before slicings were kept."""
    data = statistics.to_dict()
    for part in (data, *data["slices"].values()):
        part.pop("slicings", None)
        part.pop("slicing", None)
    return Statistics.from_dict(data)


class TestMergedSlices:
    def test_a_slicing_only_one_side_has_is_left_out(self) -> None:
        sliced, plain = of(["a", "a"], slices=["x"]), of(["a", "a"])
        assert rows(sliced.merge(plain)) == rows(plain.merge(sliced)) == {}
        assert sliced.merge(plain).slicings == ()
        assert rows(older(sliced).merge(plain)) == {}

    def test_a_value_only_one_side_has_is_kept(self) -> None:
        both = of(["a", "a"], slices=["x"]).merge(of(["b", "a"], slices=["x"]))
        assert rows(both) == {"x=a": 3, "x=b": 1}
        again = Statistics.from_bytes(both.to_bytes())
        assert again.to_bytes() == both.to_bytes()
        assert rows(again.merge(of(["c"], slices=["x"]))) == {"x=a": 3, "x=b": 1, "x=c": 1}
        assert rows(older(both).merge(older(of(["c"], slices=["x"])))) == {"x=a": 3, "x=b": 1, "x=c": 1}

    def test_a_side_without_rows_changes_nothing(self) -> None:
        sliced = of(["a", "a"], slices=["x"])
        assert rows(sliced.merge(Statistics("none"))) == rows(Statistics("none").merge(sliced)) == {"x=a": 2}

    def test_a_condition_no_row_fulfils_is_a_slicing_too(self) -> None:
        some, none = (of(v, slices=[Slice("large", "x > 1")]) for v in ([1, 2, 3], [0, 1]))
        assert rows(some.merge(none)) == rows(none.merge(some)) == {"large": 2}
        assert rows(Statistics.from_bytes(none.to_bytes()).merge(some)) == {"large": 2}

    def test_one_name_of_two_conditions_is_refused(self) -> None:
        a, b = (of([1, 2, 3], slices=[Slice("s", sql)]) for sql in ("x > 1", "x <= 1"))
        with pytest.raises(UsageError, match=r"'s' is 'x > 1' on one side and 'x <= 1'.*not-mergeable"):
            a.merge(b)
        with pytest.raises(UsageError, match="not-mergeable"):
            of([1, 2], slices=["x", Slice("x=1", "x > 1")])

    def test_unknown_slices_of_both_sides_add_up(self) -> None:
        a = older(of([1, 2, 3], slices=[Slice("s", "x > 1")]))
        assert rows(a.merge(a)) == {"s": 4}
        assert rows(a.merge(of([5]))) == {}


class TestUniques:
    @pytest.mark.parametrize(
        "values",
        [
            np.arange(5_001),
            np.arange(5_001) / 7 - 300,
            np.arange(5_001).astype("datetime64[s]"),
            np.arange(5_001).astype(np.uint64) + np.uint64(2**63),
        ],
        ids=["int", "float", "time", "unsigned"],
    )
    def test_numbers_are_counted_exactly(self, values: Any) -> None:
        whole = of(values)
        parts = of(values[:4_000]).merge(Statistics.from_bytes(of(values[3_000:]).to_bytes()))
        for s in (whole, parts, Statistics.from_bytes(whole.to_bytes())):
            assert (s["x"].num_unique, s["x"].unique_is_exact) == (5_001, True)
        assert whole.to_bytes() == Statistics.from_bytes(whole.to_bytes()).to_bytes()
        assert parts["x"].top_values(1)[0][1] == 2

    def test_exact_up_to_the_limit_in_any_order(self) -> None:
        values = np.random.default_rng(0).permutation(np.repeat(np.arange(100_000), 2))
        assert of(values)["x"].num_unique == 100_000
        for more in (np.append(values, -1), np.append(-1, values)):
            seen = of(more)["x"]
            assert not seen.unique_is_exact
            assert seen.num_unique == Distinct().add(range(-1, 100_000)).estimate
        options = StatisticsOptions(exact_limit=3_000)
        a, b = of(np.arange(2_500), options=options), of(np.arange(2_000, 4_500), options=options)
        assert a["x"].unique_is_exact
        assert (
            a.merge(b)["x"].num_unique == b.merge(a)["x"].num_unique == Distinct().add(range(4_500)).estimate
        )
        assert Statistics.from_bytes(a.to_bytes()).to_bytes() == a.to_bytes()

    def test_a_clean_key_keeps_its_schema(self) -> None:
        schema = Schema().add(
            Feature("x", "INT", unique=Unique(1, 5_050), expect=(Expectation("unique_ratio", 1.0, None),))
        )
        assert validate_statistics(of(range(5_001)), schema)[0] == []

    @pytest.mark.parametrize("n", [120_000, 150_000, 170_001])
    @pytest.mark.parametrize("text", [False, True])
    def test_an_estimate_is_judged_with_its_error(self, n: int, text: bool) -> None:
        found = of([str(v) for v in range(n)] if text else np.arange(n))
        assert not found["x"].unique_is_exact
        kind: FeatureType = "STRING" if text else "INT"

        def types(**rules: Any) -> list[str]:
            return [a.type for a in validate_statistics(found, Schema().add(Feature("x", kind, **rules)))[0]]

        assert types(unique=Unique(n, n)) == []
        assert types(expect=(Expectation("unique_ratio", 1.0, 1.0), Expectation("unique", n, n))) == []
        assert types(unique=Unique(int(n * 1.2), None)) == ["FEATURE_TYPE_LOW_UNIQUE"]
        assert types(unique=Unique(None, int(n * 0.8))) == ["FEATURE_TYPE_HIGH_UNIQUE"]
        assert types(expect=(Expectation("unique_ratio", None, 0.8),)) == ["EXPECTATION_HIGH"]
        low = Schema().add(Feature("x", kind, expect=(Expectation("unique", n * 1.2, None),)))
        assert "about" in validate_statistics(found, low)[0][0].message


class TestWhatIsSaid:
    @pytest.mark.parametrize("word", ["0694", "true", "1.50"])
    @pytest.mark.parametrize(
        "text", ["features: {{a: {{type: STRING, values: [{}]}}}}", "domains: {{d: [x, {}]}}"]
    )
    def test_the_hint_quotes_the_source(self, word: str, text: str) -> None:
        with pytest.raises(UsageError, match=f"write it in quotes: '{word}'"):
            schema_from_yaml(text.format(word))

    def test_deep_nesting_is_an_error_of_the_tree(self) -> None:
        with pytest.raises(UsageError, match=r"nested too deeply \(bad-schema\)"):
            schema_from_yaml("[" * 1_200)

    def test_control_characters_are_escaped(self) -> None:
        evil = "a\x1b[2J\nb"
        schema = infer_schema(of(["a", "a"])).rule(evil, "x <> ''")
        report_of = describe(pa.table({"x": [evil, "a"], evil: ["v", "w"]}))
        anomalies, _ = validate_statistics(report_of, schema)
        report = Report(evil, evil, None, 2, tuple(anomalies), (), (evil,))
        for text in (report.text(), str(report_of), schema.text()):
            assert "\x1b" not in text
            assert "a\\x1b[2J\\nb" in text
            assert "\nb" not in text

    def test_an_environment_of_a_schema_without_any_is_refused(self) -> None:
        with pytest.raises(NotFoundError, match="the schema names no environments"):
            validate_statistics(of([1]), infer_schema(of([1])), environment="NOPE")
