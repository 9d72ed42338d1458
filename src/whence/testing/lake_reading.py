"""What reading a lake promises: history, holds, SQL, views, pinning, the graph. A part of `LakeSuite`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from whence._base.clock import ReplayClock
from whence._base.rows import rows_digest
from whence.compute import Engine
from whence.errors import (
    ConflictError,
    NotFoundError,
    UnsupportedError,
    WhenceError,
)
from whence.lake import Lake, LakeBackend, Table, TableVersion, pinned, pinning
from whence.metadata import Artifact, Execution, Recorder, open_store
from whence.testing.lake_world import (
    DAY,
    SCHEMA,
    START,
    Furnished,
    check_digest,
    error_of,
    ids_of,
    rows,
)


class ReadingRules(Furnished):
    """The part of the suite that reads."""

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
            def __init__(self, *, keeps_moments: bool) -> None:
                self.keeps_moments = keeps_moments

            def names(self) -> list[str]:
                return [f"runs_{self.keeps_moments}"]

            def tables(self, wanted: Sequence[tuple[str, datetime | None]], /) -> list[pa.Table]:
                return [pa.table({"run": [name], "as_of": [as_of]}) for name, as_of in wanted]

        lake.add_provider(Runs(keeps_moments=False))
        lake.add_provider(Runs(keeps_moments=True))
        travel = "TIMESTAMP AS OF '2013-01-02T00:00:00Z'"
        moment = datetime(2013, 1, 2, tzinfo=UTC)
        assert lake.sql('SELECT run FROM "runs_False"').to_pydict() == {"run": ["runs_False"]}
        assert lake.sql(f'SELECT as_of FROM "runs_True" {travel}')["as_of"].to_pylist() == [moment]
        versions = error_of(lambda: lake.sql('SELECT * FROM "runs_True" VERSION AS OF 1'))
        moments = error_of(lambda: lake.sql(f'SELECT * FROM "runs_False" {travel}'))
        assert (versions.code, moments.code) == ("no-versions", "no-versions")

    def test_a_name_of_an_upper_room_is_not_given_again(self, lake: Lake, flights: Table) -> None:
        class Graph:
            keeps_moments = False

            def names(self) -> list[str]:
                return ["graph.artifacts"]

            def tables(self, wanted: Sequence[tuple[str, datetime | None]], /) -> list[pa.Table]:
                return [pa.table({"name": ["a"]}) for _ in wanted]

        lake.add_provider(Graph())
        for attempt in (
            lambda: lake.table("graph.artifacts").append(rows(4)),
            lambda: lake.create("graph.artifacts", flights.schema),
            lambda: lake.create_view("graph.artifacts", "SELECT 1 AS name"),
        ):
            assert error_of(attempt, ConflictError).code == "table-exists"
        assert lake.sql("SELECT name FROM graph.artifacts").to_pydict() == {"name": ["a"]}
        assert lake.list() == ["flights"]

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
