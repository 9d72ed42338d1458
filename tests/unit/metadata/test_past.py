"""A difference rolls back exactly what a step changed."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from whence.metadata.encode import decode, encode
from whence.metadata.past import as_of, delta_of, revisions, rolled_back
from whence.metadata.rows import NodeRow, PastRow

names = st.none() | st.sampled_from(["x", "y", "ü"])
keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=2)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"), max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
properties = st.dictionaries(st.sampled_from(["a", "b", "$c", "-p"]), values, max_size=3)
texts = st.builds(encode, properties, properties)
states = st.sampled_from(["LIVE", "PENDING"])
rows = st.builds(
    NodeRow, st.just(5), st.just("artifact"), st.just(1), st.just("u"), names, names, names, states, texts,
    st.just(10), st.integers(10, 12), st.just(1), namespace_id=st.just(0), removed_us=st.none(),
)  # fmt: skip


def _sorted(row: NodeRow) -> list[list[tuple[str, str]]]:
    return [sorted((name, repr(value)) for name, value in part.items()) for part in decode(row.properties)]


@given(st.lists(rows, min_size=1, max_size=4))
def test_every_revision_comes_back(given_rows: list[NodeRow]) -> None:
    history = [row._replace(revision=n) for n, row in enumerate(given_rows, 1)]
    pasts = [
        PastRow(5, old.revision, 100 + old.revision, delta_of(old, new)) for old, new in pairwise(history)
    ]
    found = revisions(history[-1], pasts)
    assert [r._replace(properties="") for r in found] == [r._replace(properties="") for r in history]
    assert [_sorted(r) for r in found] == [_sorted(r) for r in history]
    for row in history:
        then = as_of(history[-1], pasts, 100 + row.revision - 1)
        assert then is not None
        assert (then.revision, _sorted(then)) == (row.revision, _sorted(row))
    assert as_of(history[-1], pasts, 9) is None


def test_only_what_changed_is_kept() -> None:
    big = encode({"n": 1}, {"text": "x" * 1000, "gone": 0})
    old = NodeRow(5, "execution", 1, "u", "x", None, None, "RUNNING", big, 10, 10, 1)
    new = old._replace(
        state="COMPLETE", updated_us=20, revision=2, properties=encode({"n": 1}, {"text": "x" * 1000})
    )
    assert delta_of(old, new) == '{"s":"RUNNING","c":{"gone":0}}'
    assert delta_of(old, old._replace(updated_us=20)) == "{}"
    assert rolled_back(new, PastRow(5, 1, 20, delta_of(old, new))) == old


def test_numbers_keep_their_kind() -> None:
    old = NodeRow(5, "context", 1, "u", None, None, None, None, encode({}, {"a": 1.0, "z": -0.0}), 10, 10, 1)
    new = old._replace(properties=encode({}, {"a": 1, "z": 0}), revision=2, updated_us=11)
    back = rolled_back(new, PastRow(5, 1, 11, delta_of(old, new)))
    assert back.properties == old.properties


def test_a_revision_that_a_wrong_clock_ended_later_is_not_taken_off_a_newer_one() -> None:
    first = NodeRow(5, "artifact", 1, "u", "x", None, None, "LIVE", '{"p":{},"c":{"n":0}}', 10, 10, 1)
    second = first._replace(properties='{"p":{},"c":{"n":1}}', updated_us=900, revision=2)
    third = second._replace(properties='{"p":{},"c":{"n":2}}', revision=3)
    pasts = [PastRow(5, 1, 900, delta_of(first, second)), PastRow(5, 2, 20, delta_of(second, third))]
    assert as_of(third, pasts, 30) == third
    assert as_of(third, pasts[:1], 30) == third  # the store gives only those that ended later
    assert as_of(third, pasts, 15) == first
