"""What is true of Delta tables only: the traps of delta-rs, foreign writers, broken files."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from whence._base.rows import rows_digest
from whence.compute import Engine, Files
from whence.errors import (
    BackendError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UnsupportedError,
    UsageError,
)
from whence.lake import Lake, Table, open_backend, open_lake
from whence.lake.backends import delta
from whence.lake.backends.delta_facts import CHECKPOINT_INTERVAL
from whence.lake.types import CommitFacts
from whence.metadata import Execution, Recorder, open_store
from whence.testing.lake_world import FEED, SCHEMA, check_digest, feed, ids_of, rows


@pytest.fixture
def flights(lake: Lake) -> Table:
    table = lake.create("flights", SCHEMA, key=["id"])
    table.append(rows(1, 2))
    return table


def handle(root: Path, name: str = "flights") -> DeltaTable:
    return DeltaTable(root / name)


def test_the_log_is_kept_and_carries_the_facts(lake: Lake, root: Path) -> None:
    table = lake.create("arrivals", FEED, event_time="known_at", known_at="known_at")
    commit = table.append(feed(1), transaction=("feed", 3))
    opened = handle(root, "arrivals")
    properties = opened.metadata().configuration
    assert properties["delta.enableExpiredLogCleanup"] == "false"
    assert properties["delta.dataSkippingStatsColumns"] == "known_at"
    facts = opened.history(1)[0]
    assert facts["whence.execution"] == commit.execution
    assert facts["whence.type"] == "append"
    assert json.loads(facts["whence.rows"])["added"]["n"] == 1
    assert opened.transaction_version("feed") == 3
    assert opened.transaction_version("whence.head") == 1
    assert json.loads(opened.metadata().description)["whence"]["known_at"] == "known_at"


def test_values_of_the_data_do_not_stand_in_the_log(lake: Lake, root: Path) -> None:
    lake.table("people").append({"name": ["Ada Lovelace"]})
    logged = "".join(p.read_text() for p in (root / "people" / "_delta_log").glob("*.json"))
    assert "Lovelace" not in logged


def test_names_are_folders(lake: Lake, root: Path) -> None:
    lake.table("train.late").append(rows(1))
    assert (root / "train" / "late" / "_delta_log").is_dir()
    (root / "train" / "late" / "more").mkdir()
    (root / "other").mkdir()
    assert lake.list() == ["train.late"]


def test_reading_is_by_files(flights: Table, root: Path) -> None:
    relation = flights.head().files()
    assert isinstance(relation, Files)
    assert [Path(p).parent for p in relation.paths] == [root / "flights"]
    assert relation.schema.equals(SCHEMA)


# --- many handles ---------------------------------------------------------------------------------


def test_two_lakes_see_each_others_commits(lake: Lake, flights: Table, root: Path, engine: Engine) -> None:
    other = open_lake(root, recorder=Recorder(open_store("memory://")), engine=engine).table("flights")
    assert ids_of(other.arrow()) == [1, 2]
    flights.append(rows(3), transaction=("feed", 1))
    assert other.append(rows(3), transaction=("feed", 1)).duplicate
    other.append(rows(4))
    flights.overwrite(rows(9))
    assert ids_of(other.arrow()) == [9]
    check_digest(other.head())
    check_digest(flights.head())


def test_a_write_on_an_old_snapshot_is_refused(root: Path, flights: Table) -> None:
    one, two = open_backend(root), open_backend(root)
    base, same = one.find("flights"), two.find("flights")
    assert base is not None
    assert same is not None
    facts = CommitFacts(transactions=(("whence.head", base.version + 1),))
    one.append(base, rows(3), evolve=False, facts=facts)
    writes: list[Callable[[], object]] = [
        lambda: two.append(same, rows(4), evolve=False, facts=facts),
        lambda: two.overwrite(same, rows(4), where=None, evolve=False, rest=rows, facts=facts),
        lambda: two.delete(same, "id = 1", rest=rows, facts=facts),
        lambda: two.merge(same, rows(1), on=["id"], rest=rows, facts=facts),
        lambda: two.append(base, rows(4), evolve=False, facts=facts),
    ]
    for write in writes:
        with pytest.raises(ConflictError) as caught:
            write()
        assert caught.value.code == "commit-conflict"
    assert ids_of(flights.arrow()) == [1, 2, 3]


def test_a_lost_race_begins_again(
    lake: Lake, flights: Table, root: Path, engine: Engine, monkeypatch: Any
) -> None:
    rival = open_lake(root, recorder=Recorder(open_store("memory://")), engine=engine).table("flights")
    write = write_deltalake
    lost: list[bool] = []

    def late(*args: Any, **options: Any) -> None:
        if not lost:
            lost.append(True)
            rival.append(rows(3))
        write(*args, **options)

    monkeypatch.setattr(delta, "write_deltalake", late)
    monkeypatch.setattr(lake._core.locks, "_folder", None)
    monkeypatch.setattr(rival._core.locks, "_folder", None)
    commit = flights.overwrite(rows(9))
    assert commit.version == 3
    assert ids_of(flights.arrow()) == [9]
    check_digest(flights.head())
    check_digest(flights.at(2))


def test_a_creation_that_lost_the_race_appends(
    lake: Lake, root: Path, engine: Engine, monkeypatch: Any
) -> None:
    rival = open_lake(root, recorder=Recorder(open_store("memory://")), engine=engine).table("t")
    write = write_deltalake
    lost: list[bool] = []

    def late(*args: Any, **options: Any) -> None:
        if not lost:
            lost.append(True)
            rival.append(rows(1))
        write(*args, **options)

    monkeypatch.setattr(delta, "write_deltalake", late)
    monkeypatch.setattr(lake._core.locks, "_folder", None)
    commit = lake.table("t").append(rows(2))
    assert commit.version == 1
    assert ids_of(lake.table("t").arrow()) == [1, 2]
    check_digest(lake.table("t").head())


def test_the_handle_is_fresh_after_each_checkpoint(lake: Lake, flights: Table) -> None:
    backend = lake._core.backend
    assert isinstance(backend, delta.DeltaBackend)
    opened = set()
    for i in range(2 * CHECKPOINT_INTERVAL):
        flights.append(rows(100 + i))
        current = backend._handles.get("flights")
        opened.add(None if current is None else current.opened_at)
    assert opened >= {None, 0, CHECKPOINT_INTERVAL}
    check_digest(flights.head())
    assert flights.head().n_rows == 2 + 2 * CHECKPOINT_INTERVAL


# --- foreign writers ------------------------------------------------------------------------------


def test_a_foreign_commit_is_read_and_counted_anew(lake: Lake, flights: Table, root: Path) -> None:
    write_deltalake(handle(root), rows(3, 4), mode="append")
    head = flights.head()
    assert head.n_rows == 4
    assert head.digest() == rows_digest(rows(1, 2, 3, 4)).text
    assert flights.history()[0].type == "foreign"
    assert head.epoch == 1
    flights.append(rows(5))
    known = lake._core.state(flights.head()._snapshot)
    assert known.n_rows == 5
    check_digest(flights.head())


def test_foreign_compaction_and_vacuum_do_not_break_the_chain(lake: Lake, flights: Table, root: Path) -> None:
    flights.append(rows(3))
    handle(root).optimize.compact()
    handle(root).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    known = lake._core.state(flights.head()._snapshot)
    assert known.n_rows == 3
    flights.append(rows(4))
    assert lake._core.state(flights.head()._snapshot).n_rows == 4
    check_digest(flights.head())


def test_a_foreign_commit_enters_the_graph(
    lake: Lake, flights: Table, root: Path, recorder: Recorder
) -> None:
    write_deltalake(handle(root), rows(3), mode="append")
    assert [c.type for c in lake.reconcile().commits] == ["foreign"]
    assert lake.reconcile().commits == []
    nodes = recorder.store.find_nodes("execution", type_="foreign_commit").nodes
    assert [n.state for n in nodes if isinstance(n, Execution)] == ["COMPLETE"]


def test_a_foreign_table_is_read_and_must_be_attached_to_be_written(lake: Lake, root: Path) -> None:
    write_deltalake(root / "theirs", rows(1), description="their own words")
    theirs = lake.table("theirs")
    assert theirs.declaration.description == "their own words"
    assert ids_of(theirs.arrow()) == [1]
    with pytest.raises(ConflictError) as caught:
        theirs.append(rows(2))
    assert caught.value.code == "log-cleanup"
    assert caught.value.hint is not None
    assert "attach()" in caught.value.hint
    assert theirs.attach().version == 1
    assert theirs.attach().version == 1
    theirs.append(rows(2))
    assert ids_of(theirs.arrow()) == [1, 2]
    check_digest(theirs.head())


def test_deletion_vectors_and_mapped_columns_are_read_and_not_written(lake: Lake, root: Path) -> None:
    for name, properties in (
        ("vectors", {"delta.enableDeletionVectors": "true"}),
        ("mapped", {"delta.columnMapping.mode": "name"}),
    ):
        DeltaTable.create(root / name, SCHEMA, configuration=properties)
        write_deltalake(root / name, rows(2, 1), mode="append")
        table = lake.table(name)
        assert ids_of(table.arrow()) == [1, 2]
        assert table.arrow().equals(table.arrow())
        assert table.arrow().schema.equals(SCHEMA)
        assert lake.sql(f"SELECT max(id) AS m FROM {name}").to_pydict() == {"m": [2]}
        with pytest.raises(UnsupportedError) as caught:
            table.append(rows(3))
        assert caught.value.code == "table-features"


def test_a_condition_that_means_two_things_is_refused(lake: Lake, monkeypatch: Any, flights: Table) -> None:
    monkeypatch.setattr(type(lake._core.backend), "matching", lambda self, base, where: rows(1))
    with pytest.raises(UnsupportedError) as caught:
        flights.delete("id <= 2")
    assert caught.value.code == "predicate-dialect"
    assert flights.head().n_rows == 2


# --- broken stores --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        DeltaError(
            "Generic LocalFileSystem error: Unable to write: Os { code: 28, message: No space left on device }"
        ),
    ],
)
def test_a_full_disk_leaves_nothing_half_done(
    lake: Lake, flights: Table, recorder: Recorder, monkeypatch: Any, failure: Exception
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(delta, "write_deltalake", full)
        writes: list[Callable[[], object]] = [
            lambda: flights.append(rows(3), transaction=("feed", 1)),
            lambda: flights.overwrite(rows(3)),
            lambda: lake.table("new").append(rows(3)),
        ]
        for write in writes:
            with pytest.raises(BackendError) as caught:
                write()
            assert caught.value.code == "store-full"
            assert caught.value.retryable
            assert caught.value.__cause__ is failure
    states = [
        n.state
        for n in recorder.store.find_nodes("artifact", type_="TableVersion").nodes
        if hasattr(n, "state")
    ]
    assert states.count("PENDING") == 0
    assert states.count("ABANDONED") == 3
    assert not recorder.store.find_nodes("execution", state="RUNNING").nodes
    assert lake.list() == ["flights"]
    assert not flights.append(rows(3), transaction=("feed", 1)).duplicate
    assert ids_of(flights.arrow()) == [1, 2, 3]
    assert lake.table("new").append(rows(3)).version == 0


def damaged(flights: Table) -> Path:
    relation = flights.head().files()
    assert isinstance(relation, Files)
    return Path(relation.paths[0])


def test_a_corrupted_file_is_an_integrity_error(flights: Table) -> None:
    path = damaged(flights)
    path.write_bytes(path.read_bytes()[:50] + b"\0" * 50)
    with pytest.raises(IntegrityError) as caught:
        flights.arrow()
    assert caught.value.code == "file-corrupted"


def test_a_file_that_is_gone_is_an_integrity_error_at_the_head(flights: Table) -> None:
    damaged(flights).unlink()
    with pytest.raises(IntegrityError) as caught:
        flights.arrow()
    assert caught.value.code == "file-missing"


def test_rows_that_were_exchanged_are_found_by_verify(flights: Table) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows(1, 777), damaged(flights))
    with pytest.raises(IntegrityError) as caught:
        flights.head().verify()
    assert caught.value.code == "digest-mismatch"


def test_a_corrupted_log_is_an_integrity_error(flights: Table, root: Path, engine: Engine) -> None:
    (root / "flights" / "_delta_log" / f"{1:020}.json").write_text('{"add": nonsense')
    other = open_lake(root, recorder=Recorder(open_store("memory://")), engine=engine).table("flights")
    with pytest.raises(IntegrityError) as caught:
        other.arrow()
    assert caught.value.code == "log-corrupted"


def test_a_log_folder_without_a_commit_is_no_table(lake: Lake, root: Path) -> None:
    (root / "t" / "_delta_log").mkdir(parents=True)
    assert not lake.table("t").exists
    with pytest.raises(NotFoundError):
        lake.table("t").arrow()


def test_a_table_folder_that_is_replaced_is_another_table(
    lake: Lake, flights: Table, root: Path, engine: Engine
) -> None:
    import shutil

    before = flights.head()
    shutil.rmtree(root / "flights")
    assert not flights.exists
    lake.table("flights").append(rows(42))
    assert flights.head() != before
    assert flights.head().digest() == rows_digest(rows(42)).text


def test_folders_that_cannot_be_written_are_a_backend_error(lake: Lake, root: Path) -> None:
    root.parent.mkdir(exist_ok=True)
    root.write_text("a file stands where the lake should be")
    with pytest.raises(BackendError) as caught:
        lake.table("t").append(rows(1))
    assert caught.value.code == "lake-failed"
    assert root.is_file()


def test_urls() -> None:
    for url, code in (("ftp://x", "bad-url"), ("file://host/x", "bad-url")):
        with pytest.raises(UsageError) as caught:
            open_backend(url)
        assert caught.value.code == code
    with pytest.raises(UnsupportedError) as caught_unsupported:
        open_backend("s3://bucket/lake")
    assert caught_unsupported.value.code == "lake-s3"
    assert open_backend("file:///tmp/a%20b").name == "delta"
