import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.trace.agree import agreement
from whence.trace.plain import plain, plain_text, shown

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.decimals(),
    st.datetimes(),
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v) | st.sets(st.integers()), max_leaves=10
)


@given(VALUES)
def test_whatever_it_is_json_can_say_it_without_nan(value: object) -> None:
    assert json.loads(plain_text(value)) == plain(value)
    json.dumps(plain(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("inf"), None),
        (Decimal("0.5"), 0.5),
        (Decimal("0.1"), "0.1"),
        (Decimal("NaN"), None),
        (b"\x00\xff", "AP8="),
        (datetime(2013, 7, 1, 2, tzinfo=timezone(timedelta(hours=-4))), "2013-07-01T06:00:00+00:00"),
        (date(2013, 7, 1), "2013-07-01"),
        (timedelta(minutes=1), 60.0),
        (np.int64(3), 3),
        (np.float64("nan"), None),
        (pa.scalar(4), 4),
        ((1, "a"), [1, "a"]),
    ],
)
def test_each_type_has_one_form(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_what_is_shown_is_one_short_line() -> None:
    assert shown("a\nb") == "a b"
    assert shown("x" * 100) == "x" * 79 + "…"
    assert shown("sha256:" + "ab" * 32) == "sha256:abababababab…"
    assert shown([1, None]) == "1, null"


@pytest.mark.parametrize(
    ("stored", "recomputed", "expected"),
    [
        (1, 1.0, "exact"),
        (-0.0, 0, "exact"),
        (None, math.nan, "exact"),
        (None, 0, "different"),
        (0.1 + 0.2, 0.3, "equivalent"),
        (1.0, 1.0 + 1e-11, "different"),
        (3, 4, "different"),
        (10**15, 10**15 + 1, "different"),
        (True, 1, "different"),
        ("B6", "B6", "exact"),
        ("1", 1, "different"),
        (Decimal("0.50"), 0.5, "exact"),
        (math.inf, 1.0, "different"),
        (math.inf, math.inf, "exact"),
        (
            datetime(2013, 7, 1, tzinfo=UTC),
            datetime(2013, 6, 30, 20, tzinfo=timezone(timedelta(hours=-4))),
            "exact",
        ),
        (datetime(2013, 7, 1, tzinfo=UTC), datetime(2013, 7, 1), "different"),  # noqa: DTZ001 - a naive time
    ],
)
def test_agreement(stored: object, recomputed: object, expected: str) -> None:
    assert agreement(stored, recomputed) == expected
    assert agreement(recomputed, stored) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_agreement_is_the_relative_bound(a: float, b: float) -> None:
    close = a == b or abs(a - b) / max(abs(a), abs(b)) <= 1e-12
    assert (agreement(a, b) != "different") == close
