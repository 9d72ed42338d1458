from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from tests.unit.validation.fakes import FakeLake, FakeTable, FakeVersion, open_room
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Artifact, Execution, Recorder, Type
from whence.validation import Feature, Presence, Report, Schema, Validation, kept_schemas

FLIGHTS = pa.table(
    {
        "flight_id": ["B6-35", "B6-36", "AA-1", "UA-7"],
        "carrier": ["B6", "B6", "AA", "UA"],
        "dep": [10, 20, 30, 40],
        "arr": [11, 19, 31, None],
    }
)


def executions(recorder: Recorder, type_: str) -> list[Execution]:
    return [n for n in recorder.store.find_nodes("execution", type_=type_).nodes if isinstance(n, Execution)]


def artifacts(recorder: Recorder, uids: list[str]) -> dict[str, str | None]:
    return {
        a.type: a.name for a in recorder.store.get_nodes("artifact", uids=uids) if isinstance(a, Artifact)
    }


def edges(recorder: Recorder, execution: Execution) -> tuple[dict[str, str | None], dict[str, str | None]]:
    events = recorder.store.list_events(executions=[execution.uid])
    read = [e.artifact for e in events if e.kind == "INPUT"]
    written = [e.artifact for e in events if e.kind == "OUTPUT"]
    return artifacts(recorder, read), artifacts(recorder, written)


class TestStatistics:
    def test_computed_once_and_recorded(self, room: tuple[Validation, Recorder]) -> None:
        validation, recorder = room
        version = FakeVersion(FLIGHTS)
        first = validation.statistics(version)
        second = validation.statistics(version)
        assert first.to_bytes() == second.to_bytes()
        assert (first.name, first.n_rows, version.reads) == ("flights@12", 4, 1)
        (execution,) = executions(recorder, "statistics")
        assert execution.state == "COMPLETE"
        assert edges(recorder, execution) == ({"TableVersion": "flights@12"}, {"Statistics": "flights@12"})
        (artifact,) = recorder.store.find_nodes("artifact", type_="Statistics").nodes
        assert (artifact.get("n_rows"), artifact.get("source")) == (4, "table:flights@12")
        found = validation.find_statistics("flights@12")
        assert found is not None
        assert found.to_bytes() == first.to_bytes()
        assert validation.find_statistics(FakeVersion(FLIGHTS, "flights@13")) is None

    def test_columns_come_from_the_whole_when_it_is_known(self, validation: Validation) -> None:
        version = FakeVersion(FLIGHTS)
        assert list(validation.statistics(version, columns=["dep"]).features) == ["dep"]
        assert version.reads == 1
        validation.statistics(version)
        assert list(validation.statistics(version, columns=["arr"]).features) == ["arr"]
        assert version.reads == 2
        with pytest.raises(NotFoundError, match=r"column 'dap' not found .* Near: 'dep'"):
            validation.statistics(version, columns=["dap"])
        with pytest.raises(NotFoundError, match="column-not-found"):
            validation.statistics(FakeVersion(FLIGHTS, "other@1"), columns=["dap"])

    def test_slices_are_kept_beside(self, validation: Validation) -> None:
        version = FakeVersion(FLIGHTS)
        s = validation.statistics(version, slices=["carrier"])
        assert {k: p.n_rows for k, p in s.slices.items()} == {
            "carrier=AA": 1,
            "carrier=B6": 2,
            "carrier=UA": 1,
        }
        assert validation.statistics(version, slices=["carrier"]).to_bytes() == s.to_bytes()
        assert version.reads == 1

    def test_rows_of_any_kind_are_not_recorded(self, room: tuple[Validation, Recorder]) -> None:
        validation, recorder = room
        assert validation.statistics([{"a": 1}, {"a": 3}])["a"].mean == 2.0
        assert validation.statistics({"a": [1, 3]}, columns=["a"])["a"].mean == 2.0
        assert executions(recorder, "statistics") == []
        with pytest.raises(NotFoundError, match="column-not-found"):
            validation.statistics({"a": [1]}, columns=["b"])

    def test_references_and_handles(self) -> None:
        old, new = FakeVersion(FLIGHTS.slice(0, 1), "flights@1"), FakeVersion(FLIGHTS, "flights@2")
        table = FakeTable(old, new)
        validation, _, engine = open_room(FakeLake(flights=table))
        assert validation.statistics("flights@1").n_rows == 1
        assert validation.statistics("table:flights").n_rows == 4
        assert validation.statistics(table).n_rows == 4
        engine.close()

    def test_a_view(self, room: tuple[Validation, Recorder]) -> None:
        validation, recorder = room
        recorder.store.put_type(Type("artifact", "View"))

        class Pinned:
            ref = "view:daily@3"
            reads = 0

            def arrow(self) -> pa.Table:
                return FLIGHTS

            def stream(self) -> pa.RecordBatchReader:
                self.reads += 1
                return FLIGHTS.to_reader()

            def artifact(self) -> Artifact:
                return Artifact(type="View", name="daily@3")

        class Daily:
            def __init__(self) -> None:
                self.pinned = Pinned()

            def pin(self) -> Pinned:
                return self.pinned

        view = Daily()
        s = validation.statistics(view)
        assert (s.name, s.n_rows) == ("view:daily@3", 4)
        assert validation.statistics(view.pinned).to_bytes() == s.to_bytes()
        assert view.pinned.reads == 1
        (execution,) = executions(recorder, "statistics")
        assert edges(recorder, execution) == ({"View": "daily@3"}, {"Statistics": "view:daily@3"})
        report = validation.validate(view, Schema().add(Feature("dep", "INT")).edit("dep", max=5))
        assert report.anomalies[0].rows == tuple(f"row:view:daily@3/#{i}" for i in range(4))
        assert validation.reports("view:daily@3") == [report]
        assert validation.reports("daily") == []

    def test_a_corrupted_blob_is_an_error(self, room: tuple[Validation, Recorder]) -> None:
        validation, recorder = room
        validation.statistics(FakeVersion(FLIGHTS))
        (artifact,) = recorder.store.find_nodes("artifact", type_="Statistics").nodes
        validation._blobs.delete(str(artifact.get("digest")))  # type: ignore[attr-defined]
        with pytest.raises(NotFoundError, match="blob-not-found"):
            validation.statistics(FakeVersion(FLIGHTS))


class TestSchemas:
    SCHEMA = Schema().add(Feature("dep", "INT", Presence(1.0, 1)))

    def test_versions_and_diffs(self, room: tuple[Validation, Recorder]) -> None:
        validation, recorder = room
        first = validation.put_schema("flights", self.SCHEMA)
        assert (first.name, first.get("version")) == ("flights@1", 1)
        assert validation.put_schema("flights", self.SCHEMA).uid == first.uid, "the same schema is kept once"
        second = validation.put_schema("flights", self.SCHEMA.edit("dep", max=5))
        assert second.name == "flights@2"
        assert second.get("changes") == [
            '+ features.dep.domain.kind = "int"',
            "+ features.dep.domain.max = 5",
        ]
        assert validation.get_schema("flights") == self.SCHEMA.edit("dep", max=5)
        assert validation.get_schema("flights", 1) == validation.get_schema("flights@1") == self.SCHEMA
        assert validation.get_schema("schema:flights@2").digest == second.get("digest")
        assert validation.list_schemas() == ["flights"]
        assert [str(c) for c in validation.schema("flights").diff(1, 2)] == second.get("changes")
        assert [a.name for a in validation.schema("flights").versions()] == ["flights@1", "flights@2"]
        last = executions(recorder, "put_schema")[-1]
        assert edges(recorder, last) == ({"Schema": "flights@1"}, {"Schema": "flights@2"})

    def test_a_schema_knows_the_statistics_it_came_from(self, room: tuple[Validation, Recorder]) -> None:
        validation, recorder = room
        inferred = validation.infer_schema(validation.statistics(FakeVersion(FLIGHTS)))
        validation.put_schema("flights", inferred.edit("dep", max=50).rule("r", "dep > 0"))
        (execution,) = executions(recorder, "put_schema")
        assert edges(recorder, execution) == ({"Statistics": "flights@12"}, {"Schema": "flights@1"})
        assert validation.get_schema("flights")["dep"].domain is not None

    def test_back_to_an_older_schema_is_a_new_version(self, validation: Validation) -> None:
        other = self.SCHEMA.optional("dep")
        names = [validation.put_schema("flights", s).name for s in (self.SCHEMA, other, self.SCHEMA)]
        assert names == ["flights@1", "flights@2", "flights@3"]

    def test_absent(self, validation: Validation) -> None:
        validation.put_schema("flights", self.SCHEMA)
        with pytest.raises(
            NotFoundError, match=r"schema 'flight' not found \(schema-not-found\). Near: 'flights'"
        ):
            validation.get_schema("flight")
        with pytest.raises(NotFoundError, match=r"schema 'flights@9' not found"):
            validation.get_schema("flights", 9)
        assert validation.find_schema("nothing") is None
        assert not validation.schema("nothing").exists
        assert validation.schema("flights").exists

    def test_enforcing_is_a_version_of_its_own_and_stays_until_taken_back(
        self, validation: Validation
    ) -> None:
        assert validation.find_guard("flights") is None
        validation.put_schema("flights", self.SCHEMA)
        assert validation.find_guard("flights") is None
        second = validation.put_schema("flights", self.SCHEMA, enforce=True)
        assert (second.name, second.get("enforced"), second.get("changes")) == ("flights@2", True, [])
        assert validation.put_schema("flights", self.SCHEMA).uid == second.uid
        guard = validation.find_guard("flights")
        assert guard is not None
        assert guard is validation.find_guard("flights")
        assert guard(pa.table({"dep": [1, None]})) == ([True, False], [None, "dep is missing"])
        third = validation.put_schema("flights", self.SCHEMA.edit("dep", max=0))
        assert third.get("enforced") is True
        stricter = validation.find_guard("flights")
        assert stricter is not None
        assert stricter(pa.table({"dep": [1]})) == ([False], ["dep 1 is above 0"])
        validation.schema("flights").put(self.SCHEMA, enforce=False)
        assert validation.find_guard("flights") is None

    @pytest.mark.parametrize("name", ["", "a@b", "a/b", "a b"])
    def test_bad_names(self, validation: Validation, name: str) -> None:
        with pytest.raises(UsageError, match="bad-name"):
            validation.put_schema(name, self.SCHEMA)

    def test_many_writers_make_one_version_each(self, validation: Validation) -> None:
        def put(i: int) -> str | None:
            return validation.put_schema("flights", self.SCHEMA.edit("dep", max=i)).name

        with ThreadPoolExecutor(4) as pool:
            names = list(pool.map(put, range(8)))
        assert sorted(map(str, names)) == [f"flights@{i}" for i in range(1, 9)]
        assert [a.get("version") for a in validation.schema_versions("flights")] == list(range(1, 9))

    def test_endless_contention_is_a_conflict(
        self, validation: Validation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: object, **options: object) -> Artifact:
            raise ConflictError("somebody runs it", code="execution-running")

        monkeypatch.setattr(validation, "_put_schema", refuse)
        monkeypatch.setattr(kept_schemas, "_PAUSE_S", 0.0)
        with pytest.raises(
            ConflictError, match=r"schema 'flights' is being changed by others \(schema-contested\)"
        ):
            validation.put_schema("flights", self.SCHEMA)


class TestValidate:
    @pytest.fixture
    def schema(self) -> Schema:
        return (
            Schema()
            .add(
                Feature("flight_id", "STRING", Presence(1.0, 1)),
                Feature("carrier", "STRING", Presence(1.0, 1)),
                Feature("dep", "INT", Presence(1.0, 1)),
                Feature("arr", "INT", Presence(1.0, 1)),
            )
            .edit("carrier", values=["B6", "AA"])
            .edit("dep", max=30)
            .rule("arrival after departure", "arr > dep")
        )

    EXPECTED: ClassVar = [
        ("carrier", "ENUM_TYPE_UNEXPECTED_STRING_VALUES", 1, ("row:flights@12/UA-7",)),
        ("dep", "INT_TYPE_BIG_INT", 1, ("row:flights@12/UA-7",)),
        ("arr", "FEATURE_TYPE_LOW_FRACTION_PRESENT", 1, ("row:flights@12/UA-7",)),
        ("", "CUSTOM_VALIDATION", 1, ("row:flights@12/B6-36",)),
    ]

    def found(self, report: Report) -> list[Any]:
        return [(a.feature, a.type, a.n_rows, a.rows) for a in report.anomalies]

    def test_a_version_has_example_rows_by_key(self, validation: Validation, schema: Schema) -> None:
        report = validation.validate(FakeVersion(FLIGHTS, key=("flight_id",)), schema)
        assert self.found(report) == self.EXPECTED
        custom = report.anomalies[-1]
        assert (custom.rule, custom.observed, custom.allowed) == ("arrival after departure", 1, "arr > dep")
        assert custom.message == "1 row breaks the rule 'arrival after departure': arr > dep"
        assert (report.ok, report.n_rows, report.notes) == (False, 4, ())

    def test_without_a_key_rows_are_named_by_position(self, validation: Validation, schema: Schema) -> None:
        report = validation.validate(FakeVersion(FLIGHTS), schema)
        assert [a.rows for a in report.anomalies] == [
            ("row:flights@12/#3",),
            ("row:flights@12/#3",),
            ("row:flights@12/#3",),
            ("row:flights@12/#1",),
        ]

    def test_a_key_of_several_columns(self, validation: Validation, schema: Schema) -> None:
        report = validation.validate(FakeVersion(FLIGHTS, key=("carrier", "dep")), schema)
        assert report.anomalies[1].rows == ('row:flights@12/["UA",40]',)

    def test_the_first_five_keys_in_order(self, validation: Validation) -> None:
        ids = [f"k{i:02}" for i in range(30)]
        table = pa.table({"id": ids[::-1], "x": [9] * 30})
        schema = (
            Schema().add(Feature("id", "STRING"), Feature("x", "INT")).edit("x", max=3).rule("r", "x < 5")
        )
        report = validation.validate(FakeVersion(table, key=("id",)), schema)
        rows = tuple(f"row:flights@12/k0{i}" for i in range(5))
        assert [(a.n_rows, a.rows) for a in report.anomalies] == [(30, rows), (30, rows)]

    def test_recorded_with_everything_it_read(
        self, room: tuple[Validation, Recorder], schema: Schema
    ) -> None:
        validation, recorder = room
        validation.put_schema("flights", schema)
        report = validation.schema("flights").validate(FakeVersion(FLIGHTS))
        (execution,) = executions(recorder, "validate")
        assert edges(recorder, execution) == (
            {"TableVersion": "flights@12", "Statistics": "flights@12", "Schema": "flights@1"},
            {"Anomalies": "flights@12~flights@1"},
        )
        assert report.schema == "schema:flights@1"
        (artifact,) = recorder.store.find_nodes("artifact", type_="Anomalies").nodes
        assert report.ref == f"artifact:{artifact.uid}"
        assert [artifact.get(p) for p in ("ok", "n_errors", "n_warnings")] == [False, 4, 0]
        assert validation.reports("flights@12") == [report]
        assert validation.reports() == [report]
        assert validation.reports("flights@13") == []
        assert validation.reports("flights") == validation.reports("table:flights") == [report]
        assert validation.reports("flight") == []

    def test_again_is_the_same_artifact(self, room: tuple[Validation, Recorder], schema: Schema) -> None:
        validation, recorder = room
        first = validation.validate(FakeVersion(FLIGHTS), schema)
        assert validation.validate(FakeVersion(FLIGHTS), schema) == first
        assert len(recorder.store.find_nodes("artifact", type_="Anomalies").nodes) == 1

    def test_serving_data_have_no_label(self, validation: Validation) -> None:
        training, serving = FakeVersion(FLIGHTS), FakeVersion(FLIGHTS.drop_columns(["arr"]), "flights@13")
        schema = validation.infer_schema(validation.statistics(training)).environments("TRAINING", "SERVING")
        schema = schema.required("arr").not_in_environment("SERVING", "arr")
        schema = schema.rule("arrival after departure", "arr > dep")
        validation.put_schema("flights", schema)
        handle = validation.schema("flights")
        assert [a.type for a in handle.validate(serving, environment="TRAINING").anomalies] == [
            "SCHEMA_MISSING_COLUMN"
        ]
        report = handle.validate(serving, environment="SERVING")
        assert report.ok
        assert report.notes == ("rule 'arrival after departure' does not apply: column arr is absent",)
        assert report.headline == "flights@13 under schema:flights@1 in SERVING: no anomalies found"
        with pytest.raises(NotFoundError, match=r"environment 'SERVIN' not found"):
            handle.validate(serving, environment="SERVIN")

    def test_rows_and_statistics(self, room: tuple[Validation, Recorder], schema: Schema) -> None:
        validation, recorder = room
        report = validation.validate(FLIGHTS, schema)
        assert [a.rows[0] for a in report.anomalies] == [
            "row:data/#3",
            "row:data/#3",
            "row:data/#3",
            "row:data/#1",
        ]
        of_statistics = validation.validate(validation.statistics(FLIGHTS), schema)
        assert [a.type for a in of_statistics.anomalies] == [t for _, t, _, _ in self.EXPECTED[:3]]
        assert of_statistics.notes == (
            "rule 'arrival after departure' needs rows, only statistics are known",
        )
        assert executions(recorder, "validate") == []

    def test_drift_against_the_version_before(self, validation: Validation) -> None:
        before, now = FakeVersion(FLIGHTS, "flights@11"), FakeVersion(FLIGHTS.slice(0, 2), "flights@12")
        schema = Schema().add(*(Feature(n, t) for n, t in (("carrier", "STRING"), ("dep", "INT"))))  # type: ignore[arg-type]
        schema = schema.add(Feature("flight_id", "STRING"), Feature("arr", "INT")).edit(
            "carrier", drift_threshold=0.3
        )
        report = validation.validate(now, schema, previous=before)
        assert [(a.type, a.observed) for a in report.anomalies] == [("COMPARATOR_L_INFTY_HIGH", 0.5)]
        assert report.anomalies[0].message == (
            "carrier: drift, the infinity_norm to flights@11 is 0.5, most at 'B6', allowed is 0.3"
        )
        assert any(d.metric == "ks" and d.feature == "dep" for d in report.distances)
        assert validation.reports("flights@12") == [report]

    def test_a_rule_the_engine_refuses_is_a_fault_of_the_schema(self, validation: Validation) -> None:
        schema = Schema().add(Feature("dep", "INT")).rule("r", "dep + nowhere > 3")
        report = validation.validate(pa.table({"dep": [1]}), schema)
        assert [(a.type, a.rule, a.observed) for a in report.anomalies] == [
            ("INVALID_SCHEMA_SPECIFICATION", "r", "dep + nowhere > 3")
        ]
        assert report.anomalies[0].message.startswith("rule 'r' cannot be run: ")

    def test_severity_of_rules(self, validation: Validation) -> None:
        schema = Schema().add(Feature("dep", "INT")).rule("r", "dep > 3", severity="WARNING")
        report = validation.validate(pa.table({"dep": [1]}), schema)
        assert (report.ok, [a.severity for a in report.warnings]) == (True, ["WARNING"])
        louder = validation.validate(pa.table({"dep": [1]}), schema.severity("CUSTOM_VALIDATION", "ERROR"))
        assert not louder.ok

    def test_not_a_schema(self, validation: Validation) -> None:
        with pytest.raises(UsageError, match=r"a schema or its name is wanted, got int \(bad-schema\)"):
            validation.validate(FLIGHTS, 3)  # type: ignore[arg-type]

    def test_row_check_of_a_kept_schema(self, validation: Validation, schema: Schema) -> None:
        validation.put_schema("flights", schema)
        mask, reasons = validation.schema("flights").row_check()(FLIGHTS)
        assert mask == [True, False, True, False]
        assert reasons[1] == "rule 'arrival after departure' does not hold"
        assert reasons[3] == "carrier 'UA' is not in the domain; dep 40 is above 30; arr is missing"
        assert validation.row_check(schema)(FLIGHTS) == (mask, reasons)

    def test_a_failure_leaves_no_report(self, room: tuple[Validation, Recorder], schema: Schema) -> None:
        validation, recorder = room
        version = FakeVersion(FLIGHTS)
        validation.statistics(version)

        class Full:
            def put(self, data: bytes) -> str:
                raise OSError(28, "No space left on device")

            def get(self, digest: str) -> bytes:
                return blobs.get(digest)

        blobs = validation._blobs
        validation._blobs = Full()
        with pytest.raises(OSError, match="No space left"):
            validation.validate(version, schema)
        validation._blobs = blobs
        (execution,) = executions(recorder, "validate")
        assert execution.state == "FAILED"
        assert recorder.store.find_nodes("artifact", type_="Anomalies").nodes == []
        assert len(validation.validate(version, schema).anomalies) == 4
