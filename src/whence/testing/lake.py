"""What every lake backend must do: subclass `LakeSuite`, give it a `backend` fixture, run pytest."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence._base.rows import rows_digest
from whence.compute import Engine, open_engine
from whence.errors import (
    ConflictError,
    DataRejectedError,
    NotFoundError,
    UnsupportedError,
    UsageError,
    WhenceError,
)
from whence.lake import Lake, LakeBackend, Table, TableVersion, pinned, pinning
from whence.metadata import Artifact, Execution, Recorder, open_store

DAY = timedelta(days=1)
START = datetime(2013, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema({"id": pa.int64(), "carrier": pa.string(), "delay": pa.float64()})
FEED = pa.schema([*SCHEMA, pa.field("known_at", TS)])


def rows(*ids: int, carrier: str = "B6", delay: float = 1.5) -> pa.Table:
    """Rows of `SCHEMA` with these ids."""
    return pa.table(
        {"id": list(ids), "carrier": [carrier] * len(ids), "delay": [delay] * len(ids)}, schema=SCHEMA
    )


def feed(*ids: int, known: datetime = START) -> pa.Table:
    """Rows of `FEED`."""
    return rows(*ids).append_column(FEED.field("known_at"), pa.array([known] * len(ids), TS))


def ids_of(table: pa.Table) -> list[int]:
    """The ids, sorted."""
    return sorted(table.column("id").to_pylist())


def error_of(call: Callable[[], object], kind: type[WhenceError] = UsageError) -> WhenceError:
    """The error a call raises."""
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def check_digest(version: TableVersion) -> None:
    """The digest counted on through the commits is that of the rows."""
    assert version.digest() == rows_digest(version.arrow()).text
    assert version.n_rows == version.arrow().num_rows
    assert version.verify() == version.digest()


class LakeSuite:
    """The suite: what a lake promises, whatever keeps the tables."""

    @pytest.fixture
    def backend(self) -> LakeBackend:
        """Override: an empty backend."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Engine:
        """The engine, shared by the tests of a class."""
        return open_engine("duckdb://", threads=2)

    @pytest.fixture
    def recorder(self) -> Recorder:
        """A recorder on a graph in memory."""
        return Recorder(open_store("memory://"))

    @pytest.fixture
    def clock(self) -> ReplayClock:
        """A clock that stands at `START`."""
        return ReplayClock(START)

    @pytest.fixture
    def lake(self, backend: LakeBackend, recorder: Recorder, engine: Engine, clock: ReplayClock) -> Lake:
        """An empty lake."""
        return Lake(backend, recorder, engine, clock=clock, locks=None)

    @pytest.fixture
    def flights(self, lake: Lake) -> Table:
        """A table with versions 0 (empty), 1 (ids 1, 2) and 2 (id 3)."""
        table = lake.create("flights", SCHEMA, key=["id"])
        table.append(rows(1, 2))
        table.append(rows(3, carrier="UA"))
        return table

    # --- making tables

    def test_a_table_is_made_by_its_first_rows(self, lake: Lake) -> None:
        table = lake.table("train.late")
        assert not table.exists
        commit = table.append([{"a": 1, "b": "x"}])
        assert (commit.ref, commit.n_rows, commit.duplicate) == ("table:train.late@0", 1, False)
        assert lake.list() == ["train.late"]
        assert table.schema.equals(pa.schema({"a": pa.int64(), "b": pa.string()}))
        assert table.arrow().to_pylist() == [{"a": 1, "b": "x"}]

    def test_a_declaration_is_kept_with_the_table(self, lake: Lake) -> None:
        schema = pa.schema([*FEED, pa.field("day", pa.date32())])
        told: dict[str, Any] = {
            "key": ["id"], "event_time": "known_at", "known_at": "known_at", "subject_key": "carrier",
            "pii": ["carrier"], "partition_by": ["day"], "description": 'when they "landed"',
        }  # fmt: skip
        table = lake.create("arrivals", schema, **told)
        for declaration in (table.declaration, lake.table("arrivals").at(0).declaration):
            for name, value in told.items():
                assert getattr(declaration, name) == (tuple(value) if isinstance(value, list) else value)
        assert table.schema.equals(schema)
        assert table.head().n_rows == 0
        check_digest(table.head())

    def test_create_again_changes_nothing_and_something_else_is_a_conflict(self, lake: Lake) -> None:
        lake.create("flights", SCHEMA, key=["id"])
        assert lake.create("flights", SCHEMA, key=["id"]).versions() == [0]
        error = error_of(lambda: lake.create("flights", SCHEMA, key=["carrier"]), ConflictError)
        assert error.code == "table-exists"
        assert "key: have ('id',), want ('carrier',)" in error.message
        other = pa.schema({"id": pa.string(), "carrier": pa.string(), "delay": pa.float64()})
        assert (
            "id: have string, want int64"
            in error_of(lambda: lake.create("flights", other), ConflictError).message
        )

    @pytest.mark.parametrize("name", ["Flights", "1st", "a-b", "a..b", ".a", "a.", "", "../x", "a/b", "a b"])
    def test_names_that_are_no_names(self, lake: Lake, name: str) -> None:
        assert error_of(lambda: lake.table(name)).code == "bad-name"

    def test_a_table_inside_another_is_refused(self, lake: Lake) -> None:
        lake.table("train.late").append(rows(1))
        for name in ("train", "train.late.more"):
            assert error_of(partial(lake.table(name).append, rows(1))).code == "nested-name"
            assert error_of(partial(lake.create, name, SCHEMA)).code == "nested-name"
        assert lake.list() == ["train.late"]

    def test_declarations_that_the_columns_cannot_carry(self, lake: Lake) -> None:
        def code(**told: Any) -> str:
            return error_of(lambda: lake.create("t", FEED, **told)).code

        assert code(key=["idd"]) == "declared-column"
        assert code(known_at="id") == "declared-type"
        assert code(event_time="carrier") == "declared-type"
        assert code(partition_by=["delay"]) == "declared-type"
        assert code(key=["delay"]) == "declared-type"
        assert code(key="id") == "bad-columns"
        assert lake.list() == []

    def test_columns_that_no_table_keeps(self, lake: Lake) -> None:
        def code(schema: pa.Schema) -> str:
            return error_of(lambda: lake.create("t", schema)).code

        assert code(pa.schema({"a": pa.null()})) == "unsupported-type"
        assert code(pa.schema({"a": pa.uint64()})) == "unsupported-type"
        assert code(pa.schema({"a": pa.timestamp("us")})) == "naive-time"
        assert code(pa.schema({"a": pa.int64(), "A": pa.int64()})) == "duplicate-column"
        assert code(pa.schema([])) == "no-columns"
        assert error_of(lambda: lake.table("t").append({"a": [None]})).code == "unsupported-type"
        assert lake.list() == []

    # --- appending

    def test_versions_are_counted_and_stay_readable(self, flights: Table) -> None:
        assert flights.versions() == [0, 1, 2]
        assert [ids_of(flights.at(v).arrow()) for v in (0, 1, 2)] == [[], [1, 2], [1, 2, 3]]
        assert (flights.head().version, flights.head().ref, flights.head().name) == (
            2,
            "table:flights@2",
            "flights@2",
        )
        for version in flights.versions():
            check_digest(flights.at(version))

    def test_the_digest_does_not_know_the_order_of_commits(self, lake: Lake) -> None:
        one, two = lake.table("one"), lake.table("two")
        one.append(rows(1, 2))
        commit = one.append(rows(3))
        two.append(rows(3, 2))
        two.append(rows(1))
        assert one.head().digest() == two.head().digest() == commit.digest
        assert one.head().digest() == rows_digest(rows(2, 1, 3)).text

    def test_every_difference_of_columns_is_named_and_nothing_is_written(self, flights: Table) -> None:
        wrong = pa.table({"id": ["7"], "delay": [1], "extra": [True]})
        error = error_of(lambda: flights.append(wrong))
        assert error.code == "schema-mismatch"
        assert error.message == (
            "the data do not fit table 'flights': id: have string, want int64; "
            "carrier: missing, want string; delay: have int64, want double; extra: extra, have bool"
        )
        assert error_of(lambda: flights.append(rows(9).append_column("x", pa.array([1])))).hint == (
            "pass evolve=True to add the new columns"
        )
        assert flights.versions() == [0, 1, 2]

    @pytest.mark.parametrize(
        ("column", "values"),
        [
            ("id", pa.array([1.9])),
            ("id", pa.array(["7"])),
            ("carrier", pa.array([7])),
            ("delay", pa.array(["x"])),
        ],
    )
    def test_nothing_is_cast_silently(self, flights: Table, column: str, values: pa.Array) -> None:
        data = rows(1).set_column(SCHEMA.get_field_index(column), column, values)
        assert error_of(lambda: flights.append(data)).code == "schema-mismatch"
        assert flights.head().version == 2

    def test_narrower_numbers_are_widened(self, flights: Table) -> None:
        data = pa.table(
            {"delay": pa.array([0.5], pa.float32()), "id": pa.array([9], pa.int8()), "carrier": pa.nulls(1)}
        )
        flights.append(data)
        assert {"id": 9, "carrier": None, "delay": 0.5} in flights.arrow().to_pylist()
        check_digest(flights.head())

    def test_null_where_none_is_allowed(self, lake: Lake) -> None:
        table = lake.create(
            "t", pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.int64())])
        )
        table.append({"a": [1], "b": [None]})
        error = error_of(lambda: table.append({"a": [None], "b": [1]}))
        assert "a: have null, want not null" in error.message
        extra = {"a": [None], "b": [1], "c": [1]}
        assert error_of(lambda: table.append(extra, evolve=True)).code == "schema-mismatch"
        assert table.arrow().to_pylist() == [{"a": 1, "b": None}]

    def test_columns_are_added_only_when_asked(self, flights: Table) -> None:
        before = flights.head()
        data = rows(4).append_column("origin", pa.array(["JFK"]))
        commit = flights.append(data, evolve=True)
        assert flights.schema.names == ["id", "carrier", "delay", "origin"]
        got = {r["id"]: r["origin"] for r in flights.arrow().to_pylist()}
        assert got == {1: None, 2: None, 3: None, 4: "JFK"}
        assert flights.at(2).schema.equals(SCHEMA)
        assert flights.at(2).digest() == before.digest()
        check_digest(flights.head())
        assert commit.digest == flights.head().digest()
        assert error_of(lambda: flights.append(rows(5), evolve=True)).code == "schema-mismatch"
        flights.append(data, evolve=True)
        assert flights.head().n_rows == 5

    def test_a_new_column_of_nothing_has_no_type(self, flights: Table) -> None:
        data = rows(4).append_column("x", pa.nulls(1))
        assert error_of(lambda: flights.append(data, evolve=True)).code == "unsupported-type"

    def test_python_values_take_the_tables_types(self, lake: Lake) -> None:
        schema = pa.schema({"n": pa.int32(), "at": TS, "tags": pa.list_(pa.string())})
        table = lake.create("t", schema)
        table.append([{"n": 1, "at": START, "tags": ["a"]}, {"n": None, "at": None, "tags": []}])
        assert table.arrow().schema.equals(schema)
        assert table.arrow().to_pylist()[0] == {"n": 1, "at": START, "tags": ["a"]}
        assert (
            error_of(lambda: table.append([{"n": 1, "at": START.replace(tzinfo=None), "tags": None}])).code
            == "naive-time"
        )
        check_digest(table.head())

    def test_no_rows_are_a_commit_too(self, flights: Table) -> None:
        commit = flights.append(rows())
        assert (commit.version, commit.n_rows) == (3, 0)
        assert flights.at(3).digest() == flights.at(2).digest()

    def test_partitions_change_nothing_but_the_folders(self, lake: Lake) -> None:
        table = lake.create("t", SCHEMA, partition_by=["carrier"])
        table.append(pa.concat_tables([rows(1, carrier="B 6"), rows(2, carrier="ü/%41")]))
        table.append(pa.table({"id": [3], "carrier": [None], "delay": [0.0]}, schema=SCHEMA))
        assert {r["id"]: r["carrier"] for r in table.arrow().to_pylist()} == {1: "B 6", 2: "ü/%41", 3: None}
        assert table.arrow().schema.equals(SCHEMA)
        assert table.arrow(["id"], "carrier = 'B 6'").to_pydict() == {"id": [1]}
        check_digest(table.head())
        assert error_of(lambda: table.append(rows(4, carrier=""))).code == "empty-partition"

    def test_reading_chooses_columns_and_rows(self, flights: Table) -> None:
        assert flights.arrow(["delay", "id"], "id >= 2 AND carrier = 'UA'").to_pylist() == [
            {"delay": 1.5, "id": 3}
        ]
        assert error_of(lambda: flights.arrow(["idd"]), NotFoundError).near == ["id"]
        assert error_of(lambda: flights.arrow(where="nix = 1")).code == "bad-sql"
        assert flights.at(2).arrow().equals(flights.at(2).arrow())

    def test_absent_tables_and_versions_are_named(self, lake: Lake, flights: Table) -> None:
        error = error_of(lambda: lake.table("flight").arrow(), NotFoundError)
        assert (error.code, error.near) == ("table-not-found", ["flights"])
        for when in (3, -1, "99"):
            assert error_of(partial(flights.at, when), NotFoundError).code == "table-version-not-found"

    def test_row_checks_refuse_with_reasons(self, lake: Lake, flights: Table) -> None:
        def check(batch: pa.Table) -> tuple[Sequence[bool], Sequence[str | None]]:
            good = [v < 100 for v in batch.column("id").to_pylist()]
            return good, [None if g else "id of 100 or more" for g in good]

        lake.row_checks["flights"] = check
        flights.append(rows(5))
        error = error_of(lambda: flights.append(rows(6, 100, 101)), DataRejectedError)
        assert error.code == "rows-rejected"
        assert error.details["anomalies"] == [
            {"row": 1, "reason": "id of 100 or more"}, {"row": 2, "reason": "id of 100 or more"},
        ]  # fmt: skip
        assert ids_of(flights.arrow()) == [1, 2, 3, 5]

    # --- knowledge time

    def test_known_at_lies_above_the_watermark_before(self, lake: Lake) -> None:
        table = lake.create("arrivals", FEED, known_at="known_at")
        first = table.append(feed(1, known=START - DAY), watermark=START)
        assert (first.watermark, first.n_late) == (START, 0)
        late = table.append(pa.concat_tables([feed(2, known=START - DAY), feed(3, known=START + DAY)]))
        assert (late.watermark, late.n_late) == (START, 1)
        known = {r["id"]: r["known_at"] for r in table.arrow().to_pylist()}
        assert known == {1: START - DAY, 2: START + timedelta(microseconds=1), 3: START + DAY}
        assert table.history()[0].n_late == 1
        check_digest(table.head())

    def test_a_day_without_rows_moves_the_watermark(self, lake: Lake) -> None:
        table = lake.create("arrivals", FEED, known_at="known_at")
        commit = table.append(feed(), watermark=START + DAY)
        assert (commit.version, commit.n_rows, table.head().watermark) == (1, 0, START + DAY)
        assert table.at(0).watermark is None

    def test_the_watermark_never_goes_back(self, lake: Lake) -> None:
        table = lake.create("arrivals", FEED, known_at="known_at")
        table.append(feed(1), watermark=START + DAY)
        error = error_of(lambda: table.append(feed(2), watermark=START), ConflictError)
        assert error.code == "watermark-back"
        assert (
            error_of(lambda: table.append(feed(2), watermark=START.replace(tzinfo=None))).code == "naive-time"
        )
        assert table.head().version == 1

    def test_a_row_must_say_when_it_was_known(self, lake: Lake) -> None:
        table = lake.create("arrivals", FEED, known_at="known_at")
        data = feed(1).set_column(3, FEED.field("known_at"), pa.nulls(1, TS))
        assert error_of(lambda: table.append(data)).code == "null-known-at"

    # --- exactly once

    def test_an_app_transaction_is_written_once(self, flights: Table) -> None:
        first = flights.append(rows(4), transaction=("feed", 7))
        again = flights.append(rows(4), transaction=("feed", 7))
        assert again.duplicate
        assert (again.version, again.execution, again.n_rows) == (first.version, first.execution, 1)
        assert flights.append(rows(5), transaction=("feed", 6)).duplicate
        assert not flights.append(rows(5), transaction=("feed", 8)).duplicate
        assert not flights.append(rows(6), transaction=("other", 1)).duplicate
        assert ids_of(flights.arrow()) == [1, 2, 3, 4, 5, 6]

    def test_a_transaction_outlives_compaction_and_other_writes(self, flights: Table) -> None:
        flights.append(rows(4), transaction=("feed", 7))
        flights.compact()
        flights.delete("id = 1")
        assert flights.append(rows(4), transaction=("feed", 7)).duplicate
        assert ids_of(flights.arrow()) == [2, 3, 4]

    def test_a_transaction_makes_the_table_too(self, lake: Lake) -> None:
        table = lake.table("t")
        assert table.append(rows(1), transaction=("feed", 0)).version == 0
        assert table.append(rows(1), transaction=("feed", 0)).duplicate

    def test_a_key_is_written_once(self, flights: Table, recorder: Recorder) -> None:
        first = flights.append(rows(4), key="2013-01-04")
        again = flights.append(rows(4), key="2013-01-04")
        assert (again.version, again.duplicate, again.execution) == (first.version, True, first.execution)
        assert recorder.find_complete("append", "2013-01-04") is not None
        assert not flights.append(rows(5), key="2013-01-05").duplicate
        assert flights.head().n_rows == 5

    def test_bad_input_does_not_use_up_a_key(self, flights: Table) -> None:
        assert error_of(lambda: flights.append({"id": ["x"]}, key="k")).code == "schema-mismatch"
        assert not flights.append(rows(4), key="k").duplicate

    # --- changing rows

    def test_overwrite_replaces_everything(self, flights: Table) -> None:
        commit = flights.overwrite(rows(7, 8))
        assert (commit.version, commit.n_rows) == (3, 2)
        assert ids_of(flights.arrow()) == [7, 8]
        assert flights.head().digest() == rows_digest(rows(8, 7)).text
        info = flights.history()[0]
        assert (info.added and info.added.n, info.removed and info.removed.n) == (2, 3)
        assert ids_of(flights.at(2).arrow()) == [1, 2, 3]

    def test_overwrite_of_a_condition_leaves_the_rest(self, flights: Table) -> None:
        flights.overwrite(rows(3, 9, carrier="UA", delay=0.0), where="carrier = 'UA'")
        assert ids_of(flights.arrow()) == [1, 2, 3, 9]
        check_digest(flights.head())
        error = error_of(lambda: flights.overwrite(rows(5, carrier="DL"), where="carrier = 'UA'"))
        assert error.code == "outside-predicate"
        assert flights.head().version == 3

    def test_overwrite_makes_a_table_and_may_evolve(self, lake: Lake) -> None:
        table = lake.table("t")
        assert table.overwrite(rows(1)).version == 0
        table.overwrite(rows(2).append_column("x", pa.array([1])), evolve=True)
        assert table.arrow().to_pylist() == [{"id": 2, "carrier": "B6", "delay": 1.5, "x": 1}]
        check_digest(table.head())

    def test_merge_replaces_by_key_and_adds(self, flights: Table) -> None:
        commit = flights.merge(rows(3, 4, carrier="DL", delay=9.0))
        assert commit.n_rows == 2
        assert {r["id"]: r["carrier"] for r in flights.arrow().to_pylist()} == {
            1: "B6",
            2: "B6",
            3: "DL",
            4: "DL",
        }
        check_digest(flights.head())
        info = flights.history()[0]
        assert (info.type, info.added and info.added.n, info.removed and info.removed.n) == ("merge", 2, 1)
        flights.merge(rows(1, delay=0.0), on=["id", "carrier"])
        assert flights.arrow(["delay"], "id = 1").to_pydict() == {"delay": [0.0]}
        check_digest(flights.head())

    def test_merges_that_would_be_ambiguous(self, lake: Lake, flights: Table) -> None:
        assert error_of(lambda: flights.merge(rows(4, 4))).code == "duplicate-key"
        null = pa.table({"id": [None], "carrier": ["x"], "delay": [0.0]}, schema=SCHEMA)
        assert error_of(lambda: flights.merge(null)).code == "null-key"
        assert error_of(lambda: flights.merge(rows(1), on=["delay"])).code == "declared-type"
        assert error_of(lambda: flights.merge(rows(1), on=["nix"])).code == "declared-column"
        flights.append(rows(1))
        assert error_of(lambda: flights.merge(rows(1))).code == "duplicate-key"
        keyless = lake.create("keyless", SCHEMA)
        assert error_of(lambda: keyless.merge(rows(1))).code == "no-key"
        assert error_of(lambda: lake.table("nix").merge(rows(1)), NotFoundError).code == "table-not-found"
        assert (flights.head().version, keyless.head().version) == (3, 0)

    def test_delete_removes_what_is_true(self, flights: Table) -> None:
        flights.append(pa.table({"id": [None], "carrier": ["B6"], "delay": [0.0]}, schema=SCHEMA))
        commit = flights.delete("id < 3")
        assert (commit.n_rows, commit.version) == (2, 4)
        assert sorted(flights.arrow().column("id").to_pylist(), key=str) == [3, None]
        check_digest(flights.head())
        assert flights.delete("id = 777").version == 4
        assert flights.head().version == 4
        assert error_of(lambda: flights.delete("nix = 1")).code == "bad-sql"

    def test_changes_start_an_epoch_and_additions_do_not(self, flights: Table) -> None:
        assert flights.head().epoch == 0
        flights.delete("id = 1")
        flights.append(rows(5))
        flights.merge(rows(5, delay=2.0))
        flights.compact()
        flights.overwrite(rows(1))
        epochs = {i.version: (i.type, flights.at(i.version).epoch) for i in flights.history()}
        assert [epochs[v] for v in sorted(epochs)][2:6] == [
            ("append", 0), ("delete", 1), ("append", 1), ("merge", 2),
        ]  # fmt: skip
        assert epochs[max(epochs)] == ("overwrite", 3)

    def test_compaction_changes_no_row_and_no_digest(self, flights: Table) -> None:
        for i in range(10, 20):
            flights.append(rows(i))
        before = flights.head()
        commit = flights.compact()
        assert commit.version == before.version + 1
        after = flights.head()
        assert after.digest() == before.digest() == commit.digest
        assert ids_of(after.arrow()) == ids_of(before.arrow())
        assert (after.epoch, after.watermark) == (before.epoch, before.watermark)
        check_digest(after)
        flights.append(rows(99))
        check_digest(flights.head())
        assert flights.history()[1].changes_rows is False

    # --- history and time travel

    def test_history_tells_each_commit(self, flights: Table, clock: ReplayClock) -> None:
        clock.advance_to(START + DAY)
        flights.append(rows(4), watermark=START, transaction=("feed", 1))
        newest = flights.history()[0]
        assert (newest.version, newest.type, newest.at) == (3, "append", START + DAY)
        assert (newest.watermark, newest.transaction, newest.base) == (START, ("feed", 1), 2)
        assert newest.principal is not None
        assert [i.type for i in flights.history()] == ["append", "append", "append", "create"]
        assert newest.added is not None
        assert newest.added.n == 1
        assert newest.added.total == rows_digest(rows(4)).total

    def test_a_moment_means_the_newest_version_made_by_then(self, lake: Lake, clock: ReplayClock) -> None:
        table = lake.table("t")
        for day in range(3):
            clock.advance_to(START + day * DAY)
            table.append(rows(day))
        assert [table.at(START + day * DAY).version for day in range(3)] == [0, 1, 2]
        assert table.at(START + DAY + timedelta(hours=5)).version == 1
        assert table.at("2013-01-02T12:00:00Z").version == 1
        assert table.at("1").version == 1
        assert table.at(START + 99 * DAY).version == 2
        error = error_of(lambda: table.at(START - DAY), NotFoundError)
        assert error.code == "table-version-not-found"
        assert error_of(lambda: table.at(START.replace(tzinfo=None))).code == "naive-time"
        assert error_of(lambda: table.at("yesterday")).code == "bad-version"

    # --- holds and cleanup

    def test_a_held_version_outlives_vacuum(self, flights: Table) -> None:
        flights.overwrite(rows(7))
        flights.overwrite(rows(8))
        flights.hold(3, reason="training set")
        dry = flights.vacuum(retention_hours=0)
        assert dry.dry_run
        assert dry.files
        assert ids_of(flights.at(2).arrow()) == [1, 2, 3]
        report = flights.vacuum(retention_hours=0, dry_run=False)
        assert report.held == (3,)
        assert 2 in report.ended
        assert 3 not in report.ended
        assert ids_of(flights.at(3).arrow()) == [7]
        assert ids_of(flights.arrow()) == [8]
        assert error_of(lambda: flights.at(2).arrow(), NotFoundError).code == "table-version-not-found"
        check_digest(flights.head())
        flights.append(rows(9))
        check_digest(flights.head())

    def test_vacuum_names_the_versions_it_ends(self, lake: Lake) -> None:
        table = lake.create("t", SCHEMA, partition_by=["carrier"])
        for i, carrier in enumerate(["a b", "ü/%41", "x"]):
            table.overwrite(rows(i, carrier=carrier))
        report = table.vacuum(retention_hours=0)
        assert [v for v in report.ended if v > 0] == [1, 2]
        assert table.vacuum(retention_hours=0, dry_run=False).ended == report.ended
        assert ids_of(table.arrow()) == [2]

    def test_holds_are_listed_and_given_back(self, lake: Lake, flights: Table) -> None:
        flights.hold(1, reason="a")
        flights.hold(1, reason="a")
        flights.hold(1, reason="b")
        assert [(h.version, h.reason) for h in flights.holds()] == [(1, "a"), (1, "b")]
        assert len(lake.holds()) == 2
        assert [h.reason for h in flights.release(1, reason="a")] == ["a"]
        assert [h.reason for h in flights.holds()] == ["b"]
        flights.release(1)
        assert flights.holds() == []
        assert error_of(lambda: flights.release(1), NotFoundError).code == "hold-not-found"
        assert error_of(lambda: flights.hold(99, reason="x"), NotFoundError).code == "table-version-not-found"
        assert error_of(lambda: flights.hold(1, reason=" ")).code == "bad-reason"
        flights.hold(1, reason="a")
        assert len(flights.holds()) == 1

    def test_nothing_is_cleaned_up_by_default(self, flights: Table) -> None:
        flights.overwrite(rows(7))
        assert flights.vacuum(dry_run=False).ended == ()
        assert ids_of(flights.at(2).arrow()) == [1, 2, 3]
        assert error_of(lambda: flights.vacuum(retention_hours=-1)).code == "bad-retention"

    # --- SQL

    def test_sql_reads_versions(self, lake: Lake, flights: Table, clock: ReplayClock) -> None:
        def count(source: str) -> object:
            return lake.sql(f"SELECT count(*) AS n FROM {source}").to_pylist()[0]["n"]

        assert count("flights") == 3
        assert count("flights VERSION AS OF 1") == 2
        assert count("FLIGHTS AT (VERSION => 1) f WHERE f.id > 1") == 1
        assert count("flights VERSION AS OF 1 WHERE flights.id > 1") == 1
        clock.advance_to(START + DAY)
        flights.append(rows(9))
        assert count("flights TIMESTAMP AS OF '2013-01-01T12:00:00Z'") == 3
        assert count("flights AT (TIMESTAMP => '2013-01-01 12:00:00')") == 3
        assert count("flights TIMESTAMP AS OF TIMESTAMP '2013-01-05'") == 4

    @pytest.mark.usefixtures("flights")
    def test_sql_joins_versions_subqueries_and_expressions(self, lake: Lake) -> None:
        got = lake.sql(
            """
            WITH old AS (SELECT * FROM flights VERSION AS OF 1), new AS (SELECT id FROM flights WHERE id > 1)
            SELECT n.id FROM new AS n LEFT JOIN old ON old.id = n.id
            WHERE old.id IS NULL AND n.id IN (SELECT f.id FROM flights AT (VERSION => 2) f)
            """
        )
        assert got.to_pydict() == {"id": [3]}
        got = lake.sql("SELECT a.id FROM flights a ANTI JOIN flights VERSION AS OF 1 b ON a.id = b.id")
        assert got.to_pydict() == {"id": [3]}
        got = lake.sql(
            "WITH flights AS (SELECT id FROM flights WHERE id > 1) SELECT sum(id)::INT AS s FROM flights"
        )
        assert got.to_pydict() == {"s": [5]}
        got = lake.sql(
            "SELECT (SELECT count(*) FROM flights VERSION AS OF 0) AS n, (SELECT max(id) FROM flights) AS m"
        )
        assert got.to_pylist() == [{"n": 0, "m": 3}]
        got = lake.sql("SELECT id FROM flights VERSION AS OF 1 UNION ALL SELECT id FROM flights ORDER BY id")
        assert got.to_pydict() == {"id": [1, 1, 2, 2, 3]}

    def test_sql_names_with_namespaces(self, lake: Lake) -> None:
        lake.table("train.late").append(rows(1))
        lake.table("train.late").append(rows(2))
        got = lake.sql("SELECT train.late.id, late.carrier FROM train.late VERSION AS OF 0")
        assert got.to_pylist() == [{"id": 1, "carrier": "B6"}]
        assert lake.sql('SELECT count(*) AS n FROM "train.late"').to_pydict() == {"n": [2]}

    @pytest.mark.usefixtures("flights")
    def test_sql_says_what_it_read(self, lake: Lake) -> None:
        got = lake.sql("SELECT * FROM flights a JOIN flights VERSION AS OF 1 b USING (id)")
        assert json.loads(got.schema.metadata[b"whence"]) == {
            "sources": {"flights": [2, 1]}, "views": [], "lineage": "query",
        }  # fmt: skip

    def test_sql_takes_parameters_and_relations(self, lake: Lake, flights: Table) -> None:
        got = lake.sql(
            "SELECT f.id FROM flights f JOIN wanted w USING (id) JOIN old USING (id) WHERE f.carrier = $c ORDER BY 1",
            relations={"wanted": [{"id": 1}, {"id": 2}, {"id": 3}], "old": flights.at(1)},
            parameters={"c": "B6"},
        )
        assert got.to_pydict() == {"id": [1, 2]}
        shadow = lake.sql("SELECT id FROM flights", relations={"flights": pa.table({"id": [42]})})
        assert shadow.to_pydict() == {"id": [42]}
        error = error_of(lambda: lake.sql("SELECT * FROM w VERSION AS OF 1", relations={"w": rows(1)}))
        assert error.code == "no-versions"

    @pytest.mark.parametrize(
        ("sql", "code"),
        [
            ("SELECT 1; SELECT 2", "not-a-query"),
            ("DROP TABLE flights", "not-a-query"),
            ("COPY flights TO 'x.csv'", "not-a-query"),
            ("INSERT INTO flights VALUES (1)", "not-a-query"),
            ("CREATE TABLE x AS SELECT 1", "not-a-query"),
            ("ATTACH 'x.db'", "not-a-query"),
            ("SET threads = 1", "not-a-query"),
            ("", "not-a-query"),
            ("SELECT * FROM read_csv('x.csv')", "sql-function"),
            ("SELECT * FROM flights, glob('*')", "sql-function"),
            ("SELECT * FROM 'x.csv'", "table-not-found"),
            ("SELECT * FROM flight", "table-not-found"),
            ("SELECT * FROM flights VERSION AS OF 99", "table-version-not-found"),
            ("SELECT * FROM flights VERSION AS OF 'x'", "bad-version"),
            ("SELECT * FROM flights TIMESTAMP AS OF now()", "bad-version"),
            ("SELECT nix FROM flights", "bad-sql"),
            ("SELECT FROM WHERE flights VERSION AS OF 1 ((", "unparsable-query"),
            ("SELECT ((( FROM read_csv('x')", "unparsable-query"),
        ],
    )
    def test_sql_that_is_refused(self, lake: Lake, flights: Table, sql: str, code: str) -> None:
        error = error_of(lambda: lake.sql(sql), WhenceError)
        assert error.code == code
        if sql == "SELECT * FROM flight":
            assert error.near == ["flights"]
        assert flights.head().version == 2

    @pytest.mark.usefixtures("flights")
    def test_sql_sees_the_tables_of_upper_rooms(self, lake: Lake) -> None:
        class Runs:
            def names(self) -> list[str]:
                return ["runs"]

            def table(self, name: str) -> pa.Table:
                return pa.table({"run": [name]})

        lake.add_provider(Runs())
        assert lake.sql("SELECT run FROM runs").to_pydict() == {"run": ["runs"]}
        assert error_of(lambda: lake.sql("SELECT * FROM runs VERSION AS OF 1")).code == "no-versions"

    # --- views

    def test_a_view_is_a_query_with_a_name(self, lake: Lake, flights: Table) -> None:
        view = lake.create_view("late", "SELECT id, delay FROM flights WHERE carrier = 'B6'")
        assert ids_of(view.arrow()) == [1, 2]
        assert view.tables() == ["flights"]
        assert lake.views() == ["late"]
        assert lake.create_view("late", view.sql).sql == view.sql
        assert lake.sql("SELECT count(*) AS n FROM late l JOIN flights f USING (id)").to_pydict() == {
            "n": [2]
        }
        flights.append(rows(4))
        assert ids_of(lake.view("late").arrow()) == [1, 2, 4]

    def test_a_pinned_view_is_a_dataset_version(self, lake: Lake, flights: Table, recorder: Recorder) -> None:
        view = lake.create_view("late", "SELECT id FROM flights WHERE carrier = 'B6'")
        first = view.pin()
        assert (first.ref, first.sources) == ("view:late@1", {"flights": 2})
        assert view.pin().ref == "view:late@1"
        flights.append(rows(4))
        lake.create_view("late", "SELECT id FROM flights WHERE carrier = 'UA'", replace=True)
        second = lake.view("late").pin()
        assert (second.ref, second.sources) == ("view:late@2", {"flights": 3})
        assert ids_of(first.arrow()) == [1, 2]
        assert ids_of(lake.sql("SELECT * FROM late VERSION AS OF 1")) == [1, 2]
        assert ids_of(second.arrow()) == [3]
        assert [v.version for v in lake.view("late").versions()] == [1, 2]
        assert [(h.version, h.reason) for h in flights.holds()] == [(2, "view:late@1"), (3, "view:late@2")]
        above = recorder.store.lineage([recorder.put_artifact(first.artifact()).uid], direction="up")
        assert {a.name for a in above.artifacts if a.type == "TableVersion"} == {"flights@2"}
        error = error_of(lambda: lake.view("late").at(9), NotFoundError)
        assert error.code == "view-version-not-found"

    @pytest.mark.usefixtures("flights")
    def test_views_of_views(self, lake: Lake) -> None:
        lake.create_view("b6", "WITH x AS (SELECT * FROM flights) SELECT * FROM x WHERE carrier = 'B6'")
        lake.create_view("n_b6", "SELECT count(*) AS n FROM b6")
        assert lake.view("n_b6").arrow().to_pydict() == {"n": [2]}
        assert lake.sql("WITH t AS (SELECT 1 AS k) SELECT n, k FROM n_b6, t").to_pylist() == [
            {"n": 2, "k": 1}
        ]
        error = error_of(lambda: lake.create_view("b6", "SELECT * FROM n_b6", replace=True))
        assert error.code == "view-cycle"
        assert lake.view("n_b6").pin().sources == {"flights": 2}

    @pytest.mark.usefixtures("flights")
    def test_views_that_are_refused(self, lake: Lake) -> None:
        assert error_of(lambda: lake.create_view("flights", "SELECT 1"), ConflictError).code == "table-exists"
        assert error_of(lambda: lake.create_view("v", "DROP TABLE flights")).code == "not-a-query"
        assert (
            error_of(lambda: lake.create_view("v", "SELECT * FROM nix"), NotFoundError).code
            == "table-not-found"
        )
        lake.create_view("v", "SELECT * FROM flights")
        assert error_of(lambda: lake.create_view("v", "SELECT 1 AS a"), ConflictError).code == "view-exists"
        assert error_of(lambda: lake.table("v").append(rows(1)), ConflictError).code == "view-exists"
        assert error_of(lambda: lake.create("v", SCHEMA), ConflictError).code == "view-exists"
        assert error_of(lambda: lake.view("w"), NotFoundError).code == "view-not-found"

    # --- pinning

    def test_pinned_blocks_read_what_they_fixed(self, lake: Lake, flights: Table) -> None:
        with pinned({"flights": 1}):
            assert flights.head().version == 1
            assert lake.sql("SELECT count(*) AS n FROM flights").to_pydict() == {"n": [2]}
            assert flights.append(rows(8)).version == 3
            assert flights.head().version == 1
            assert flights.at(3).n_rows == 4
        assert flights.head().version == 3

    def test_pinning_fixes_what_was_read_first(self, lake: Lake, flights: Table) -> None:
        with pinning() as scope:
            assert flights.head().version == 2
            flights.append(rows(8))
            assert ids_of(flights.arrow()) == [1, 2, 3]
            assert lake.sql("SELECT count(*) AS n FROM flights").to_pydict() == {"n": [3]}
        assert scope.versions == {"flights": 2}
        assert flights.head().version == 3
        with pinned(scope):
            assert flights.head().version == 2

    # --- the graph

    def test_a_write_is_one_execution_with_its_version(self, flights: Table, recorder: Recorder) -> None:
        commit = flights.append(rows(4), watermark=START, properties={"feed": "x"})
        node = recorder.store.get_nodes("execution", uids=[commit.execution])[0]
        assert isinstance(node, Execution)
        assert (node.type, node.state, node.get("feed")) == ("append", "COMPLETE", "x")
        output = self._artifact(recorder, "flights@3")
        assert output.state == "LIVE"
        assert (output.get("table"), output.get("version"), output.get("n_rows")) == ("flights", 3, 4)
        assert output.get("digest") == commit.digest
        assert output.get("watermark") == START.isoformat()
        events = recorder.store.list_events(artifacts=[output.uid])
        assert {e.execution for e in events if e.kind == "OUTPUT"} == {commit.execution}
        assert not recorder.store.find_nodes("artifact", state="PENDING").nodes

    def test_inside_a_recording_reads_are_inputs_and_writes_outputs(
        self, lake: Lake, flights: Table, recorder: Recorder
    ) -> None:
        with recorder.execution("step") as recording:
            flights.at(1).arrow()
            flights.at(1).arrow(["id"])
            lake.sql("SELECT * FROM flights")
            commit = lake.table("out").append(rows(1))
            lake.table("out").arrow()
        assert commit.execution == recording.uid
        assert [a.name for a in recording.inputs] == ["flights@1", "flights@2"]
        assert [a.name for a in recording.outputs] == ["out@0"]
        assert lake.table("out").history()[0].inputs == ("table:flights@1", "table:flights@2")
        assert len(recorder.store.find_nodes("execution", type_="append").nodes) == 2

    def test_a_duplicate_inside_a_recording_is_its_output(self, flights: Table, recorder: Recorder) -> None:
        flights.append(rows(4), transaction=("step", 1))
        with recorder.execution("step") as recording:
            assert flights.append(rows(4), transaction=("step", 1)).duplicate
        assert [a.name for a in recording.outputs] == ["flights@3"]

    def test_bad_input_leaves_no_execution(self, flights: Table, recorder: Recorder) -> None:
        before = len(recorder.store.find_nodes("execution").nodes)
        error_of(lambda: flights.append({"id": ["x"]}))
        error_of(lambda: flights.merge(rows(1, 1)))
        error_of(lambda: flights.delete("nix = 1"))
        assert len(recorder.store.find_nodes("execution").nodes) == before

    def test_the_graph_is_derived_from_commits(
        self, lake: Lake, flights: Table, backend: LakeBackend, engine: Engine, clock: ReplayClock
    ) -> None:
        other = Recorder(open_store("memory://"))
        again = Lake(backend, other, engine, clock=clock, locks=None)
        assert [c.ref for c in again.reconcile().commits] == [f"table:flights@{v}" for v in range(3)]
        assert again.reconcile().commits == []
        output = self._artifact(other, "flights@2")
        assert output.get("digest") == flights.head().digest()
        made = [e.execution for e in other.store.list_events(artifacts=[output.uid]) if e.kind == "OUTPUT"]
        assert made == [flights.history()[0].execution]
        assert lake.reconcile().commits == []

    def test_statistics_come_from_whoever_was_handed_in(self, lake: Lake, flights: Table) -> None:
        class Counts:
            def statistics(self, version: object, /) -> object:
                assert isinstance(version, TableVersion)
                return version.n_rows

        assert error_of(lambda: flights.head().statistics(), UnsupportedError).code == "no-describer"
        lake.describer = Counts()
        assert flights.head().statistics() == 3

    @staticmethod
    def _artifact(recorder: Recorder, name: str) -> Artifact:
        found = recorder.store.find_nodes("artifact", type_="TableVersion", name=name).nodes
        assert len(found) == 1
        assert isinstance(found[0], Artifact)
        return found[0]
