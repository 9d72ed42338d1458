"""Groups of rows counted together are counted as each alone, and judged as each alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from whence.monitoring import Layout, compare
from whence.monitoring.drift import judged, judged_apart
from whence.monitoring.reference import split

NUMBER = (
    st.none() | st.sampled_from([float("nan"), float("inf"), -0.0, 0.0]) | st.integers(-40, 40).map(float)
)
ROW = st.tuples(NUMBER, st.none() | st.sampled_from("abcdef"), st.none() | st.booleans(), st.integers(0, 3))


def table_of(rows: list[tuple[float | None, str | None, bool | None, int]]) -> pa.Table:
    """Three columns of every kind."""
    types = {"x": pa.float64(), "s": pa.string(), "b": pa.bool_()}
    columns = {
        name: pa.array([row[i] for row in rows], type_) for i, (name, type_) in enumerate(types.items())
    }
    return pa.table(columns)


@given(st.lists(ROW, min_size=1, max_size=30), st.lists(ROW, min_size=1, max_size=200))
def test_groups_together_are_groups_alone(
    first: list[tuple[float | None, str | None, bool | None, int]],
    rows: list[tuple[float | None, str | None, bool | None, int]],
) -> None:
    layout, table = Layout.fit(table_of(first), ["x", "s", "b"]), table_of(rows)
    groups = np.array([row[3] for row in rows])
    found = dict(split(layout, table, groups))
    assert [*found] == sorted({*groups.tolist()})
    total = layout.count(table)
    for group, profile in found.items():
        alone = layout.count(table.filter(pa.array(groups == group)))
        np.testing.assert_array_equal(profile.cells, alone.cells)
        np.testing.assert_array_equal(profile.nulls, alone.nulls)
    together = judged_apart(layout, total, [*found.values()])
    for row, profile in zip(together, found.values(), strict=True):
        np.testing.assert_array_equal(row, judged(layout, compare(layout, total - profile, profile)))
