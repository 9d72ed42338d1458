"""With a real lake: references, handles, views, ingest, and validation inside another execution."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from whence._base.clock import ReplayClock
from whence.blobs import open_blobs
from whence.compute import open_engine
from whence.errors import DataRejectedError
from whence.lake import Lake, open_lake
from whence.metadata import Artifact, Recorder, open_store
from whence.validation import Schema, Validation

ARRIVALS = pa.table({"flight_id": ["a", "b", "c"], "dep": [1, 2, 3], "arr": [2, 3, 4]})


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[tuple[Validation, Lake, Recorder]]:
    recorder = Recorder(open_store("memory://"))
    engine = open_engine(threads=1)
    lake = open_lake(
        f"file:{tmp_path / 'lake'}",
        recorder=recorder,
        engine=engine,
        clock=ReplayClock(datetime(2013, 4, 1, tzinfo=UTC)),
        locks=tmp_path / "locks",
    )
    validation = Validation(recorder, open_blobs("memory://"), lake, engine)
    lake.create("arrivals", ARRIVALS.schema, key=["flight_id"]).append(ARRIVALS)
    yield validation, lake, recorder
    engine.close()


def reviewed(validation: Validation) -> Schema:
    schema = validation.infer_schema(validation.statistics("arrivals"), max_string_domain_size=1)
    return schema.rule("arrival after departure", "arr > dep")


def test_references_handles_and_versions_mean_the_same(rooms: tuple[Validation, Lake, Recorder]) -> None:
    validation, lake, recorder = rooms
    table = lake.table("arrivals")
    head = table.head()
    texts = {
        validation.statistics(s).to_bytes() for s in ("arrivals", f"arrivals@{head.version}", table, head)
    }
    assert len(texts) == 1
    assert len(recorder.store.find_nodes("execution", type_="statistics").nodes) == 1
    (artifact,) = recorder.store.find_nodes("artifact", type_="Statistics").nodes
    up = recorder.store.lineage([artifact.uid])
    assert {(a.type, a.name) for a in up.artifacts} >= {
        ("TableVersion", head.name),
        ("Statistics", head.name),
    }


def test_rows_of_a_version(rooms: tuple[Validation, Lake, Recorder]) -> None:
    validation, lake, _ = rooms
    schema = reviewed(validation)
    validation.put_schema("arrivals", schema)
    assert validation.validate("arrivals", "arrivals").ok
    commit = lake.table("arrivals").append(pa.table({"flight_id": ["z"], "dep": [9], "arr": [1]}))
    report = validation.validate("arrivals", "arrivals")
    assert [(a.type, a.rows) for a in report.anomalies] == [
        ("CUSTOM_VALIDATION", (f"row:arrivals@{commit.version}/z",))
    ]
    assert [r.name for r in validation.reports("arrivals")] == [report.name, f"arrivals@{commit.version - 1}"]


def test_a_schema_guards_the_door(rooms: tuple[Validation, Lake, Recorder]) -> None:
    validation, lake, _ = rooms
    table = lake.table("arrivals")
    lake.row_checks["arrivals"] = validation.row_check(reviewed(validation))
    before = table.head().version
    with pytest.raises(DataRejectedError, match="rule 'arrival after departure' does not hold") as caught:
        table.append(pa.table({"flight_id": ["y", "z"], "dep": [1, 9], "arr": [5, 1]}))
    assert caught.value.exit_code == 1
    assert table.head().version == before
    table.append(pa.table({"flight_id": ["y"], "dep": [1], "arr": [5]}))
    assert table.head().n_rows == 4


def test_inside_another_execution_it_is_one_of_its_own(rooms: tuple[Validation, Lake, Recorder]) -> None:
    validation, lake, recorder = rooms
    schema = reviewed(validation)
    with recorder.execution("step") as outer:
        lake.table("arrivals").append(pa.table({"flight_id": ["y"], "dep": [1], "arr": [5]}))
        assert validation.validate("arrivals", schema).ok
    (inner,) = recorder.store.find_nodes("execution", type_="validate").nodes
    assert inner.get("parent") == outer.uid
    assert "Anomalies" not in {a.type for a in outer.outputs}
    read = [e for e in recorder.store.list_events(executions=[inner.uid]) if e.kind == "INPUT"]
    found = recorder.store.get_nodes("artifact", uids=[e.artifact for e in read])
    assert sorted(a.type for a in found if isinstance(a, Artifact)) == ["Statistics", "TableVersion"]


def test_a_view(rooms: tuple[Validation, Lake, Recorder]) -> None:
    validation, lake, _ = rooms
    view = lake.create_view("late", "SELECT flight_id, arr - dep AS minutes FROM arrivals")
    statistics = validation.statistics(view)
    assert (statistics.name, statistics["minutes"].mean) == ("view:late@1", 1.0)
    assert validation.validate(view, Schema().add()).n_rows == 3


def test_the_lake_describes_its_versions(rooms: tuple[Validation, Lake, Recorder]) -> None:
    validation, lake, _ = rooms
    lake.describer = validation
    assert lake.table("arrivals").head().statistics()["dep"].mean == 2.0


def test_new_rows_new_digests_same_rows_same_statistics(rooms: tuple[Validation, Lake, Recorder]) -> None:
    validation, lake, _ = rooms
    table = lake.table("arrivals")
    first = validation.statistics(table)
    table.append(ARRIVALS.slice(0, 0))
    again = validation.statistics(table)
    assert first.summary()["features"] == again.summary()["features"]
    assert first.name != again.name
