"""What every optional statistic must keep: any split merged is the whole, and what is stored reads again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pytest

from whence.validation import Extra, Statistics, StatisticsOptions, describe

Check: TypeAlias = Callable[[Any, pa.Table, Sequence[int]], Any]


def close(a: Any, b: Any) -> bool:
    """Equal JSON; floats to 1e-9."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return bool(a == b)


@pytest.fixture(scope="session")
def nearly() -> Callable[[Any, Any], bool]:
    """Equality of JSON but for rounding."""
    return close


@pytest.fixture(scope="session")
def same_any_split() -> Check:
    """A function that checks an empty extra over a table cut at the places, and gives what is finished."""

    def check(extra: Extra, table: pa.Table, cuts: Sequence[int]) -> Any:
        whole = extra.add(table)
        told = whole.finish()
        places = sorted(min(c, len(table)) for c in cuts)
        ends = [*places, len(table)]
        parts = [table.slice(a, b - a) for a, b in zip([0, *places], ends, strict=True)]
        one_by_one = extra
        for part in parts:
            one_by_one = one_by_one.add(part)
        assert close(one_by_one.finish(), told)
        merged = extra
        for part in reversed(parts):
            merged = merged.merge(type(extra).from_dict(extra.to_dict()).add(part))
        assert close(merged.finish(), told)
        stored = json.loads(json.dumps(merged.to_dict(), allow_nan=False))
        assert close(type(extra).from_dict(stored).finish(), told)
        assert merged.merge(extra).finish() == merged.finish()
        return told

    return check


@pytest.fixture(scope="session")
def through_describe() -> Callable[[Extra, pa.Table], Statistics]:
    """A function that describes a table with an extra, and stores and reads the statistics once."""

    def run(extra: Extra, table: pa.Table) -> Statistics:
        s = describe(table, options=StatisticsOptions(extras=(extra,)))
        back = Statistics.from_bytes(s.to_bytes())
        assert back.to_bytes() == s.to_bytes()
        assert close(back.extras[extra.key()].finish(), s.extras[extra.key()].finish())
        return back

    return run
