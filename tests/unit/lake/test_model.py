"""Any history of writes gives the table that a plain list of rows would be, at every version."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence._base.rows import rows_digest
from whence.compute import Engine
from whence.lake import Table, open_lake
from whence.metadata import Recorder, open_store
from whence.testing.lake_world import SCHEMA, rows

Rows = list[dict[str, Any]]

KEYS = st.lists(st.integers(0, 5), max_size=4, unique=True)
CARRIERS = st.sampled_from(["B6", "UA", "it's"])
STEPS = st.one_of(
    st.tuples(st.just("append"), KEYS, CARRIERS),
    st.tuples(st.just("overwrite"), KEYS, CARRIERS),
    st.tuples(st.just("replace"), KEYS, CARRIERS),
    st.tuples(st.just("merge"), KEYS, CARRIERS),
    st.tuples(st.just("delete"), st.integers(0, 5), CARRIERS),
    st.tuples(st.just("compact"), st.none(), st.none()),
)


def new_rows(ids: list[int], carrier: str) -> Rows:
    found: Rows = rows(*ids, carrier=carrier).to_pylist()
    return found


def do(table: Table, model: Rows, step: tuple[str, Any, Any]) -> Rows:
    """One step on the table and on the model; the model it becomes."""
    kind, what, carrier = step
    quoted = "" if carrier is None else carrier.replace("'", "''")
    if kind == "append":
        table.append(rows(*what, carrier=carrier))
        return model + new_rows(what, carrier)
    if kind == "overwrite":
        table.overwrite(rows(*what, carrier=carrier))
        return new_rows(what, carrier)
    if kind == "replace":
        table.overwrite(rows(*what, carrier=carrier), where=f"carrier = '{quoted}'")
        return [r for r in model if r["carrier"] != carrier] + new_rows(what, carrier)
    if kind == "merge":
        known = [r["id"] for r in model]
        what = [i for i in what if known.count(i) <= 1]  # others are refused as ambiguous
        table.merge(rows(*what, carrier=carrier), on=["id"])
        return [r for r in model if r["id"] not in what] + new_rows(what, carrier)
    if kind == "delete":
        table.delete(f"id < {what} AND carrier <> '{quoted}'")
        return [r for r in model if not (r["id"] < what and r["carrier"] != carrier)]
    table.compact()
    return model


def by_value(found: Rows) -> list[str]:
    return sorted(map(repr, found))


@pytest.mark.parametrize("kind", ["memory", "delta"])
@given(steps=st.lists(STEPS, max_size=6))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_equals_a_list(kind: str, steps: list[tuple[str, Any, Any]], engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = "memory://" if kind == "memory" else Path(folder) / "lake"
        lake = open_lake(url, recorder=Recorder(open_store("memory://")), engine=engine)
        table = lake.create("t", SCHEMA)
        models: dict[int, Rows] = {0: []}
        model: Rows = []
        for step in steps:
            model = do(table, model, step)
            models[table.head().version] = model
        for version, wanted in models.items():
            found = table.at(version)
            assert by_value(found.arrow().to_pylist()) == by_value(wanted)
            assert found.n_rows == len(wanted)
            assert found.digest() == rows_digest(found.arrow()).text
        added = sum(i.added.n - i.removed.n for i in table.history() if i.added and i.removed)
        assert added == len(model)


@pytest.mark.parametrize("kind", ["memory", "delta", "delta without locks"])
def test_threads_share_a_lake(kind: str, engine: Engine, tmp_path: Path) -> None:
    url = "memory://" if kind == "memory" else tmp_path / "lake"
    locks = tmp_path / "locks" if kind == "delta" else None
    lake = open_lake(url, recorder=Recorder(open_store("memory://")), engine=engine, locks=locks)
    table = lake.table("t")

    def work(worker: int) -> None:
        for i in range(4):
            table.append(rows(worker * 10 + i), transaction=(f"worker {worker}", i))
            head = table.head()
            assert head.verify() == head.digest()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(table.arrow()["id"].to_pylist()) == [w * 10 + i for w in range(4) for i in range(4)]
    assert table.versions() == list(range(16))
    assert lake.reconcile().commits == []
