"""The graph as tables: what they hold, in batches, as of a moment, and in SQL beside the lake."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest

import whence as w
from whence.errors import NotFoundError, UsageError
from whence.metadata import Artifact, Change, Context, Event, Execution, MetadataStore, Put, Type, open_store
from whence.metadata.arrow import SCHEMAS, GraphTables, read_table, scan
from whence.metadata.types import GraphTable, Lift, Mark, Removal


@pytest.fixture
def store() -> MetadataStore:
    """raw → load → clean, in a group in a group."""
    store = open_store("memory://")
    store.put_type(Type("artifact", "Table", {"n_rows": "INT"}, version="2"))
    store.put_type(Type("execution", "load"))
    store.put_type(Type("context", "Group"))
    raw = Artifact(type="Table", type_version="2", name="raw", uri="u:raw", properties={"n_rows": 3})
    clean = Artifact(type="Table", type_version="2", name="clean", custom={"note": float("inf")})
    load = Execution(type="load", name="l", state="COMPLETE")
    inner, outer = Context(type="Group", name="inner"), Context(type="Group", name="outer")
    store.write(
        Change(
            [Put(node) for node in (raw, clean, load, inner, outer)],
            [Event(load.uid, raw.uid, "INPUT", ("rows", 0)), Event(load.uid, clean.uid, "OUTPUT")],
            [(inner.uid, raw.uid)],
            [(inner.uid, load.uid)],
            [(inner.uid, outer.uid)],
        )
    )
    return store


def test_every_table_has_its_columns(store: MetadataStore) -> None:
    tables = {name: read_table(store, name) for name in SCHEMAS}
    assert all(table.schema == SCHEMAS[name] for name, table in tables.items())
    assert {name: table.num_rows for name, table in tables.items()} == {
        "artifacts": 2,
        "executions": 1,
        "contexts": 2,
        "types": 12,
        "events": 2,
        "attributions": 1,
        "associations": 1,
        "parent_contexts": 1,
        "marks": 0,
        "history": 5,
    }
    assert set(SCHEMAS) == set(get_args(GraphTable))


def test_a_row_says_what_the_node_says(store: MetadataStore) -> None:
    rows = {row["name"]: row for row in read_table(store, "artifacts").to_pylist()}
    (raw,) = store.list_nodes("artifact", name_prefix="raw")
    told = {
        name: rows["raw"][name] for name in ("uid", "id", "type", "type_version", "created_at", "revision")
    }
    assert told == {name: getattr(raw, name) for name in told}
    assert (rows["raw"]["uri"], rows["raw"]["state"]) == ("u:raw", "LIVE")
    assert json.loads(rows["raw"]["properties"]) == {"n_rows": 3}
    assert json.loads(rows["clean"]["custom_properties"]) == {"note": {"$float": "inf"}}
    event = read_table(store, "events").to_pylist()[0]
    assert (event["kind"], event["path"], event["artifact"]) == ("INPUT", ["rows", "0"], raw.uid)


def test_batches_are_no_longer_than_asked(store: MetadataStore) -> None:
    assert [batch.num_rows for batch in scan(store, "types", batch_rows=5)] == [5, 5, 2]
    assert list(scan(store, "marks")) == []


def test_tables_are_of_a_moment(store: MetadataStore) -> None:
    (raw,) = store.list_nodes("artifact", name_prefix="raw")
    before = store.now()
    store.write(Change([Put(Artifact(type="Table", type_version="2", name="late"))]))
    store.write(Change(marks=[Mark(raw.uid, "wrong unit")]))
    marked = store.now()
    store.write(
        Change(lifts=[Lift(mark.id or 0) for mark in store.list_marks()], removals=[Removal(raw.uid)])
    )
    assert [read_table(store, "artifacts", as_of=m).num_rows for m in (before, marked, None)] == [2, 3, 3]
    assert [read_table(store, "marks", as_of=m).num_rows for m in (before, marked, None)] == [0, 1, 1]
    assert read_table(store, "marks", as_of=marked)["lifted_at"].to_pylist() == [None]
    assert read_table(store, "marks")["lifted_at"].null_count == 0
    gone = [row["name"] for row in read_table(store, "artifacts").to_pylist() if row["removed_at"]]
    assert gone == ["raw"]


def test_history_has_every_revision(store: MetadataStore) -> None:
    (load,) = store.list_nodes("execution")
    store.write(
        Change([Put(Execution(type="load", uid=load.uid, name="l", state="FAILED"), if_exists="update")])
    )
    rows = [row for row in read_table(store, "history").to_pylist() if row["uid"] == load.uid]
    assert [(row["revision"], row["state"]) for row in rows] == [(1, "COMPLETE"), (2, "FAILED")]


def test_an_unknown_table_is_said(store: MetadataStore) -> None:
    with pytest.raises(NotFoundError) as error:
        list(scan(store, "artefacts"))  # type: ignore[arg-type]  # what a typing mistake does
    assert "graph.artifacts" in error.value.near
    with pytest.raises(NotFoundError):
        GraphTables(lambda: store).tables([("graph.types", None), ("graph.artefacts", None)])


def test_tables_asked_for_together_are_of_one_moment(
    store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_then_write(still: MetadataStore, table: GraphTable, *, as_of: datetime | None) -> pa.Table:
        found = read_table(still, table, as_of=as_of)
        store.write(Change([Put(Artifact(type="Table", type_version="2"))]))
        return found

    monkeypatch.setattr("whence.metadata.arrow.read_table", read_then_write)
    n_before = store.count_nodes("artifact")["artifact"]
    found = GraphTables(lambda: store).tables([("graph.artifacts", None)] * 2)
    assert [table.num_rows for table in found] == [n_before] * 2
    assert store.count_nodes("artifact")["artifact"] == n_before + 2


# --- in SQL -----------------------------------------------------------------------------------------


def test_sql_asks_lake_and_graph_together(tmp_path: Path) -> None:
    with w.connect(tmp_path / "shop") as ws:
        ws.table("orders").append([{"order": 1, "eur": 12.5}])
        with ws.execution("clean"):
            ws.table("clean.orders").append(ws.sql("SELECT * FROM orders"))
        found = ws.sql(
            "SELECT x.type, e.kind, (SELECT count(*) FROM orders) AS n FROM graph.events e"
            " JOIN graph.executions x ON x.uid = e.execution WHERE x.type = 'clean' AND e.kind IN ('INPUT', 'OUTPUT')"
            " ORDER BY e.kind"
        )
        assert found.to_pylist() == [
            {"type": "clean", "kind": "INPUT", "n": 1},
            {"type": "clean", "kind": "OUTPUT", "n": 1},
        ]


def test_sql_travels_to_a_moment_and_to_no_version(tmp_path: Path) -> None:
    with w.connect(tmp_path / "shop") as ws:
        ws.table("orders").append([{"order": 1}])
        then = ws.store.now().isoformat()
        ws.table("orders").append([{"order": 2}])
        counted = ws.sql(
            f"SELECT (SELECT count(*) FROM graph.executions TIMESTAMP AS OF '{then}') AS was,"
            " (SELECT count(*) FROM graph.executions) AS now"
        ).to_pylist()
        assert counted[0]["was"] < counted[0]["now"]
        with pytest.raises(UsageError) as error:
            ws.sql("SELECT * FROM graph.executions VERSION AS OF 1")
        assert error.value.code == "no-versions"
        assert "TIMESTAMP" in str(error.value.hint)
