"""What every lake backend must do: subclass `LakeSuite`, give it a `backend` fixture, run pytest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from whence._base.arrow import TS
from whence._base.rows import rows_digest
from whence.errors import (
    ConflictError,
    DataRejectedError,
    NotFoundError,
)
from whence.lake import Lake, Table
from whence.metadata import Recorder
from whence.testing.lake_changes import FollowingRules
from whence.testing.lake_quarantine import QuarantineRules
from whence.testing.lake_reading import ReadingRules
from whence.testing.lake_world import DAY, FEED, SCHEMA, START, check_digest, error_of, feed, ids_of, rows


class LakeSuite(FollowingRules, QuarantineRules, ReadingRules):
    """The suite: what a lake promises, whatever keeps the tables."""

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

    def test_of_two_late_commits_the_later_is_known_later(self, lake: Lake) -> None:
        """Two corrections of one key that come late, in the same period, keep their order."""
        table = lake.create("late", FEED, key=["id"], known_at="known_at")
        table.append(feed(1), watermark=START + DAY)
        table.append(feed(1, known=START))
        table.append(feed(1, known=START))
        known = sorted(table.arrow()["known_at"].to_pylist())
        micro = timedelta(microseconds=1)
        assert known == [START, START + DAY + micro, START + DAY + 2 * micro]
        table.append(feed(2), watermark=START + 2 * DAY)
        table.append(feed(3, known=START))
        newest = table.arrow(where="id = 3")["known_at"][0].as_py()
        assert newest == START + 2 * DAY + micro
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

    def test_a_row_must_have_a_name(self, lake: Lake, flights: Table) -> None:
        null = pa.table({"id": [None, 9], "carrier": ["x", "y"], "delay": [0.0, 0.0]}, schema=SCHEMA)
        error = error_of(lambda: flights.append(null))
        assert error.code == "null-key"
        assert "1 rows have nothing but null in the key of table 'flights' (id)" in error.message
        assert error_of(lambda: flights.overwrite(null)).code == "null-key"
        assert flights.head().version == 2
        parts = lake.create("parts", SCHEMA, key=["id", "carrier"])
        parts.append(null)
        assert parts.head().n_rows == 2

    def test_delete_removes_what_is_true(self, lake: Lake) -> None:
        flights = lake.create("keyless", SCHEMA)
        flights.append(rows(1, 2))
        flights.append(rows(3, carrier="UA"))
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
