"""O10: what the online store answers equals the point-in-time join, cell by cell, at every moment.

Random rows: late, early, corrected, repeated, moved to another key, tied, null; written in random batches, with
materialization after some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import whence.features as w
from tests.unit.features.online_world import OnlineWorld, minute, row, view_of
from whence.compute import Engine
from whence.features.packing import group_of
from whence.features.types import Aggregation

raw_row = st.builds(
    row,
    st.sampled_from(["a", "b", "c", "d", "e", "f", "g", None]),
    st.sampled_from(["K", "K", "L", "M", None]),
    st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**53 + 1, -(2**60)])),
    st.one_of(st.integers(-5, 20), st.integers(-5, 20), st.none()),
    at=st.integers(-5, 25),
    x=st.one_of(st.none(), st.sampled_from([0.1, 0.2, -0.3, 1e3, 39.02, 0.5, 2.5, -0.0])),
    b=st.sampled_from([True, False, None]),
)
batches = st.lists(st.tuples(st.lists(raw_row, max_size=6), st.booleans()), min_size=1, max_size=5)
asked = st.tuples(st.sampled_from(["K", "L", "Z", None]), st.integers(-5, 30).map(minute))


def named(rows: Sequence[dict[str, Any]], *, keyed: bool) -> list[dict[str, Any]]:
    """The rows a table takes: with a declared key, those that have one."""
    return [one for one in rows if one["id"] is not None or not keyed]


def every_feature() -> list[Aggregation]:
    found = [w.last("n"), w.last("x"), w.last("e").named("when"), w.last("b", where="n > 0")]
    for over in ("4min", "10min"):
        found += [
            w.count(over=over),
            w.count("n", over=over),
            w.count(over=over, where="n > 0").named(f"positive_{over}"),
            *(op("b", over=over) for op in (w.sum, w.mean, w.std)),
            *(op("x", over=over) for op in (w.sum, w.mean, w.std, w.max, w.min)),
            w.mean("x", over=over, scale=2).named(f"mean_scaled_{over}"),
            *(op("n", over=over) for op in (w.mean, w.min, w.first, w.last, w.std)),
            w.last("x", over=over, where="n > 0").named(f"last_positive_{over}"),
            w.first("x", over=over),
            w.max("e", over=over).named(f"latest_{over}"),
        ]
    return found


FEATURES = every_feature()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    chosen=st.lists(st.sampled_from(FEATURES), min_size=1, max_size=6, unique=True),
    written=batches,
    asks=st.lists(asked, min_size=1, max_size=8),
    ttl=st.sampled_from([None, "3min", "1h"]),
    hop=st.sampled_from([None, "3min"]),
    keyed=st.booleans(),
    in_file=st.booleans(),
)
def test_online_equals_point_in_time(
    chosen: list[Aggregation],
    written: list[tuple[list[dict[str, Any]], bool]],
    asks: list[tuple[str | None, Any]],
    ttl: str | None,
    hop: str | None,
    keyed: bool,
    in_file: bool,
    engine: Engine,
) -> None:
    hop = hop if any(f.over for f in chosen) else None
    view = view_of(*chosen, ttl=ttl, hop=hop)
    with TemporaryDirectory() as folder:
        world = OnlineWorld(engine, url=f"sqlite:///{Path(folder) / 'o.db'}" if in_file else "memory://")
        world.table(keyed=keyed)
        for rows, then_load in written:
            world.append(named(rows, keyed=keyed))
            if then_load:
                world.features.materialize(view)
        world.features.materialize(view)
        check_equal(view.outputs, world.online(view, asks), world.offline(view, asks))
        world.store.close()


def check_equal(outputs: Sequence[str], answer: w.OnlineAnswer, want: pa.Table) -> None:
    """Equal cells; sums of doubles within 1e-12; and every status fits its value."""
    got = answer.table()
    assert got.schema == want.schema
    for name in outputs:
        found, wanted = got.column(name).to_pylist(), want.column(name).to_pylist()
        if name.startswith(("v__sum_x", "v__mean_x", "v__std_x")):
            wanted = [None if v is None else pytest.approx(v, rel=1e-12, abs=1e-12) for v in wanted]
        assert found == wanted, name
        for value, status in zip(found, answer.statuses[name], strict=True):
            assert (status == "PRESENT") == (value is not None) or value == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    written=batches, asks=st.lists(asked, min_size=1, max_size=6), keyed=st.booleans(), known=st.booleans()
)
def test_timeless_lookups_and_sources_without_knowledge_time(
    written: list[tuple[list[dict[str, Any]], bool]],
    asks: list[tuple[str | None, Any]],
    keyed: bool,
    known: bool,
    engine: Engine,
) -> None:
    views = [view_of(w.last("n"), w.last("x"), timestamp=None), view_of(w.last("n"), w.count(over="10min"))]
    world = OnlineWorld(engine)
    world.table(keyed=keyed, known_at="at" if known else None)
    for rows, then_load in written:
        world.append(named(rows, keyed=keyed))
        if then_load:
            world.features.materialize(*views)
    world.features.materialize(*views)
    for view in views:
        check_equal(view.outputs, world.online(view, asks), world.offline(view, asks))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    chosen=st.lists(st.sampled_from(FEATURES), min_size=1, max_size=4, unique=True),
    rows=st.lists(raw_row, max_size=12),
    later=st.lists(raw_row, max_size=5),
    asks=st.lists(asked, min_size=1, max_size=8),
    before=st.integers(-5, 20),
    ttl=st.sampled_from([None, "3min"]),
    keyed=st.booleans(),
    in_file=st.booleans(),
    at_once=st.booleans(),
)
def test_forgetting_changes_no_answer_from_its_moment_on(
    chosen: list[Aggregation],
    rows: list[dict[str, Any]],
    later: list[dict[str, Any]],
    asks: list[tuple[str | None, Any]],
    before: int,
    ttl: str | None,
    keyed: bool,
    in_file: bool,
    at_once: bool,
    engine: Engine,
) -> None:
    """Whether it is loaded and forgotten, or not loaded at all."""
    view = view_of(*chosen, ttl=ttl)
    with TemporaryDirectory() as folder:
        world = OnlineWorld(engine, url=f"sqlite:///{Path(folder) / 'o.db'}" if in_file else "memory://")
        world.table(keyed=keyed)
        world.append(named(rows, keyed=keyed), watermark=minute(before))
        world.features._projection.batch_rows = 1
        world.features.materialize(view, since=minute(before) if at_once else None)
        n_loaded = world.store.count(group_of(view))
        world.features.forget_online(minute(before), view)
        if at_once and not keyed:  # versions of one key all come, because one may take another back
            assert world.store.count(group_of(view)) == n_loaded
        world.append(named(later, keyed=keyed))  # raised to lie above the watermark
        world.features.materialize(view)
        still = [(k, max(q, minute(before))) for k, q in asks]
        check_equal(view.outputs, world.online(view, still), world.offline(view, still))
        world.store.close()
