from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import NotFoundError
from whence.validation import (
    Feature,
    NaturalLanguageDomain,
    Schema,
    Statistics,
    TokenStatistics,
    validate_statistics,
)
from whence.validation.types import Coverage, SequenceLength, TokenConstraint

WORDS = ["bird", "ü", "OOV", "[CLS]", "new"]
DOMAIN = NaturalLanguageDomain(
    vocabulary="v",
    coverage=Coverage(oov_string_tokens=("OOV",), excluded_string_tokens=("[CLS]",)),
    token_constraints=(TokenConstraint("bird"), TokenConstraint(1), TokenConstraint("never")),
    sequence_length=SequenceLength(excluded_string_values=("[CLS]",)),
)
VOCABULARY = ["bird", "ü", "OOV", "[CLS]"]
rows = st.lists(st.one_of(st.none(), st.lists(st.sampled_from(WORDS), max_size=6)), max_size=15)


@given(rows, st.lists(st.integers(0, 15), max_size=3), st.booleans())
def test_as_a_naive_loop_and_over_any_split(
    same_any_split: Callable[..., Any], found: list[Any], cuts: list[int], as_numbers: bool
) -> None:
    numbers = {w: i for i, w in enumerate(VOCABULARY)} | {"new": 99}
    given = [None if r is None else [numbers[w] for w in r] for r in found] if as_numbers else found
    kind = pa.list_(pa.int64() if as_numbers else pa.string())
    table = pa.table({"words": pa.array(given, kind)})
    extra = TokenStatistics({"words": DOMAIN}, vocabularies={"v": VOCABULARY})
    told = same_any_split(extra, table, cuts)["words"]
    check_reported(told.get("reported_sequences", []), found, as_numbers=as_numbers)
    tokens = [w for r in found if r for w in r if w != "[CLS]"]
    known = [w for w in tokens if w in ("bird", "ü")]
    assert told.get("feature_coverage", 0) == (len(known) / len(tokens) if tokens else 0)
    if known:
        assert told["avg_token_length"] == pytest.approx(sum(map(len, known)) / len(known))
        ranks = [(b["label"], b["sample_count"]) for b in told["rank_histogram"]["buckets"]]
        assert ranks == sorted(Counter(known).items(), key=lambda p: (-p[1], p[0]))
    full = [r for r in found if r]
    lengths = [sum(w != "[CLS]" for w in r) for r in full]
    if full:
        assert (told["min_sequence_length"], told["max_sequence_length"]) == (min(lengths), max(lengths))
    sequences = [r for r in found if r is not None]
    if not sequences:
        assert "token_statistics" not in told
        return
    for said, word in zip(told["token_statistics"], ("bird", "ü", "never"), strict=True):
        per = [r.count(word) for r in full]
        assert said.get("frequency", 0) == sum(per)
        if sum(per):
            assert said["fraction_of_sequences"] == sum(p > 0 for p in per) / len(sequences)
            assert said["per_sequence_min_frequency"] == min(per)
            assert said["per_sequence_max_frequency"] == max(per)
            assert said["per_sequence_avg_frequency"] == sum(per) / sum(p > 0 for p in per)
            tenths = Counter(int(i / len(r) * 10) for r in full for i, w in enumerate(r) if w == word)
            assert {
                round(b["low_value"] * 10): b["sample_count"] for b in said["positions"]["buckets"]
            } == tenths


def test_validation_reads_them(through_describe: Callable[..., Statistics]) -> None:
    domain = NaturalLanguageDomain(
        coverage=Coverage(min_coverage=0.9, oov_string_tokens=("OOV",)),
        token_constraints=(TokenConstraint("bird", max_per_sequence=1),),
    )
    schema = Schema({"words": Feature("words", "STRING", domain=domain)})
    t = pa.table({"words": [["bird", "bird", "OOV"], ["tree"]]})
    s = through_describe(TokenStatistics.of(schema), t)
    assert {a.type for a in validate_statistics(s, schema)[0]} == {
        "FEATURE_COVERAGE_TOO_LOW",
        "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES",
    }


def check_reported(said: list[str], found: list[Any], *, as_numbers: bool) -> None:
    """Up to 5 different sequences of the smallest coverage, then up to 5 of the shortest known tokens."""
    known = set(VOCABULARY) - {"OOV"}
    measures: list[dict[str, float]] = [{}, {}]
    for r in (r for r in found if r):
        text = str([99 if as_numbers and w == "new" else w for w in r])
        lengths = [len(w) for w in r if w in known]
        measures[0][text] = len(lengths) / len(r)
        measures[1][text] = sum(lengths) / max(len(lengths), 1)
    n = min(5, len(measures[0]))
    assert len(said) == 2 * n
    for mine, measure in zip((said[:n], said[n:]), measures, strict=True):
        assert len(set(mine)) == n
        assert [measure[t] for t in mine] == sorted(measure.values())[:n]


def test_states_that_were_stored_without_reported_sequences_are_read() -> None:
    extra = TokenStatistics({"w": NaturalLanguageDomain()}).add(pa.table({"w": ["a", "b"]}))
    stored = extra.to_dict()
    assert len(extra.finish()["w"]["reported_sequences"]) == 4
    del stored["seen"]["w"]["reported"]
    assert "reported_sequences" not in TokenStatistics.from_dict(stored).finish()["w"]


def test_single_words_fields_and_absent_columns() -> None:
    extra = TokenStatistics(
        {"w": NaturalLanguageDomain(), "s.w": NaturalLanguageDomain(), "gone": NaturalLanguageDomain()}
    )
    t = pa.table({"w": ["a", "bb", None], "s": [{"w": ["ccc"]}, None, {"w": []}]})
    told = extra.add(t).finish()
    assert {n: (s["avg_token_length"], s["max_sequence_length"]) for n, s in told.items()} == {
        "w": (1.5, 1),
        "s.w": (3.0, 1),
    }
    assert repr(extra) == "<Tokens of w, s.w, gone>"
    assert extra == extra.merge(extra)
    assert len({extra, extra.sealed()}) == 1


def test_a_vocabulary_that_is_not_given() -> None:
    with pytest.raises(NotFoundError, match=r"vocabulary 'v' not found.*Near: 'vv'"):
        TokenStatistics({"words": DOMAIN}, vocabularies={"vv": []})
