"""What following a lake promises: changes, and progress carried by commits. A part of `LakeSuite`."""

from __future__ import annotations

import pyarrow as pa
import pytest

from whence.errors import IntegrityError, NotFoundError
from whence.lake import Lake, Table, pinned
from whence.metadata import Recorder
from whence.testing.lake_world import FEED, SCHEMA, START, Furnished, error_of, ids_of, rows


class FollowingRules(Furnished):
    """The part of the suite that goes on where it stopped."""

    def test_changes_are_the_rows_of_each_commit(self, flights: Table) -> None:
        assert [(c.version, ids_of(c.rows)) for c in flights.changes(-1)] == [(1, [1, 2]), (2, [3])]
        assert [(c.version, ids_of(c.rows)) for c in flights.changes(1)] == [(2, [3])]
        assert [(c.version, ids_of(c.rows)) for c in flights.changes(-1, 1)] == [(1, [1, 2])]
        assert list(flights.changes(2)) == []
        [change] = flights.changes(1)
        assert change.rows.equals(rows(3, carrier="UA"))
        assert (change.info.type, change.info.version, change.info.execution) == (
            "append",
            2,
            flights.history()[0].execution,
        )

    def test_changes_of_columns(self, flights: Table) -> None:
        [change] = flights.changes(1, columns=["carrier", "id"])
        assert change.rows.to_pydict() == {"carrier": ["UA"], "id": [3]}
        assert error_of(lambda: flights.changes(1, columns=["nix"]), NotFoundError).code == "column-not-found"

    def test_changes_pass_over_what_adds_no_rows(self, lake: Lake) -> None:
        table = lake.create("arrivals", FEED, known_at="known_at")
        known = pa.array([START], FEED.field("known_at").type)
        for i in range(4):
            table.append(rows(i).append_column("known_at", known))
        before = list(table.changes(-1))
        table.append(FEED.empty_table(), watermark=START)
        table.compact()
        table.append(rows(4).append_column("known_at", known))
        assert [c.version for c in before] == [1, 2, 3, 4]
        assert [(c.version, ids_of(c.rows)) for c in table.changes(3)] == [(4, [3]), (7, [4])]
        assert [c.rows for c in table.changes(-1, 4)] == [c.rows for c in before]

    def test_a_column_that_came_later_is_null(self, flights: Table) -> None:
        flights.append(rows(4).append_column("gate", pa.array(["A1"])), evolve=True)
        gates = {c.version: c.rows["gate"].to_pylist() for c in flights.changes(-1)}
        assert gates == {1: [None, None], 2: [None], 3: ["A1"]}
        assert [c.rows.schema.names for c in flights.changes(1, 2)] == [SCHEMA.names]

    def test_changes_of_a_partitioned_table(self, lake: Lake) -> None:
        table = lake.create("parts", SCHEMA, partition_by=["carrier"])
        table.append(pa.concat_tables([rows(1, carrier="a b/c%"), rows(2, carrier="UA")]))
        table.append(rows(3, carrier="UA"))
        first, second = table.changes(0)
        assert sorted(zip(*first.rows.select(["id", "carrier"]).to_pydict().values(), strict=True)) == [
            (1, "a b/c%"),
            (2, "UA"),
        ]
        assert second.rows.to_pylist() == rows(3, carrier="UA").to_pylist()

    @pytest.mark.parametrize("kind", ["delete", "merge", "overwrite"])
    def test_changes_across_an_epoch_are_refused_at_once(self, flights: Table, kind: str) -> None:
        if kind == "delete":
            flights.delete("id = 1")
        elif kind == "merge":
            flights.merge(rows(3, delay=2.0))
        else:
            flights.overwrite(rows(7))
        flights.append(rows(8))
        error = error_of(lambda: flights.changes(1), IntegrityError)
        assert (error.code, error.details["version"]) == ("table-epoch", 3)
        assert "rows of table 'flights' were changed or removed in version 3" in error.message
        assert [(c.version, ids_of(c.rows)) for c in flights.changes(3)] == [(4, [8])]
        assert [c.version for c in flights.changes(0, 2)] == [1, 2]

    def test_changes_after_what_is_not_there(self, lake: Lake, flights: Table) -> None:
        assert error_of(lambda: flights.changes(7), IntegrityError).code == "table-epoch"
        assert error_of(lambda: lake.table("flight").changes(-1), NotFoundError).code == "table-not-found"
        assert error_of(lambda: flights.changes(0, 9), NotFoundError).code == "table-version-not-found"

    def test_changes_whose_files_are_gone_are_said(self, flights: Table) -> None:
        flights.compact()
        flights.vacuum(retention_hours=0, dry_run=False)
        assert error_of(lambda: list(flights.changes(0)), IntegrityError).code == "changes-gone"
        newest = flights.head().version
        flights.append(rows(9))
        assert [(c.version, ids_of(c.rows)) for c in flights.changes(newest)] == [(newest + 1, [9])]

    def test_changes_keep_to_the_version_that_is_fixed(self, flights: Table, recorder: Recorder) -> None:
        with pinned({"flights": 1}):
            assert [c.version for c in flights.changes(-1)] == [1]
        with recorder.execution("step") as recording:
            assert len(list(flights.changes(0))) == 2
        assert [a.name for a in recording.inputs] == ["flights@2"]

    def test_a_commit_carries_progress(self, flights: Table) -> None:
        assert flights.head().transaction("read/version") is None
        flights.append(rows(4), transaction=("read", 1), progress={"read/version": 17, "read/moment": 5})
        flights.append(rows(5), transaction=("read", 2), progress={"read/version": 12})
        flights.compact()
        head = flights.head()
        told = {name: head.transaction(name) for name in ("read", "read/version", "read/moment", "nix")}
        assert told == {"read": 2, "read/version": 12, "read/moment": 5, "nix": None}
        assert (flights.at(3).transaction("read"), flights.at(3).transaction("read/version")) == (1, 17)
        assert [i.progress for i in flights.history()[1:3]] == [
            (("read/version", 12),),
            (("read/moment", 5), ("read/version", 17)),
        ]

    def test_a_duplicate_moves_no_progress(self, flights: Table) -> None:
        flights.append(rows(4), transaction=("read", 1), progress={"read/version": 17})
        again = flights.append(rows(4), transaction=("read", 1), progress={"read/version": 99})
        assert (again.duplicate, flights.head().transaction("read/version")) == (True, 17)

    def test_progress_has_names_of_its_own(self, flights: Table) -> None:
        for name in ("read", "whence.head"):
            error = error_of(
                lambda name=name: flights.append(rows(4), transaction=("read", 1), progress={name: 1})  # type: ignore[misc]
            )
            assert error.code == "progress-name"
        assert flights.head().version == 2
