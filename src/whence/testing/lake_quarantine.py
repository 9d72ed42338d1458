"""What quarantine promises: rows set aside, put right, let in once. A part of `LakeSuite`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence.errors import ConflictError, IntegrityError, NotFoundError
from whence.lake import Expression, Lake, Quarantine, Table
from whence.metadata import Artifact, Execution, Recorder
from whence.testing.lake_world import (
    DAY,
    FEED,
    SCHEMA,
    START,
    Furnished,
    check_digest,
    error_of,
    feed,
    ids_of,
)

KNOWN = ("B6", "UA", "US")


def check_carrier(batch: pa.Table) -> tuple[Sequence[bool], Sequence[str | None]]:
    """Lets rows of a few carriers pass."""
    carriers = batch.column("carrier").to_pylist()
    good = [c in KNOWN for c in carriers]
    return good, [None if g else f"carrier {c!r} is not known" for g, c in zip(good, carriers, strict=True)]


def row(id_: object, carrier: object = "B6", delay: object = 1.5, **more: object) -> Mapping[str, object]:
    """One row of `FEED` as a mapping."""
    return {"id": id_, "carrier": carrier, "delay": delay, "known_at": START, **more}


def states_of(quarantine: Quarantine) -> dict[Any, str]:
    """The state of each row by its `id` value."""
    return {r.row.get("id"): r.state for r in quarantine.list(pending=False)}


def live_through(lake: Lake) -> Quarantine:
    """A feed with faults, lived through; begun again wherever it was broken off, it ends the same."""
    table = lake.create("arrivals", FEED, key=["id"], known_at="known_at")
    lake.row_checks["arrivals"] = check_carrier
    table.append(feed(1, known=START - DAY), transaction=("feed", 1), watermark=START)
    batch = [row(2), row(3, "US Airways"), row(4, "US Airways"), row(5, "XX"), row("6"), row(7)]
    table.append(batch, on_error="quarantine", transaction=("feed", 2), watermark=START + DAY)
    quarantine = lake.quarantine("arrivals")
    quarantine.correct({"carrier": "US"}, where="carrier = 'US Airways'")
    quarantine.replay(transaction=("fix", 1))
    given_up = [r.id for r in quarantine.list(reason="'XX'")]
    if given_up:
        quarantine.drop(given_up, reason="no such carrier")
    return quarantine


class QuarantineRules(Furnished):
    """The part of the suite that sets rows aside."""

    @staticmethod
    def arrivals(lake: Lake) -> Table:
        """A feed with a row check and a watermark."""
        table = lake.create("arrivals", FEED, key=["id"], known_at="known_at")
        lake.row_checks["arrivals"] = check_carrier
        table.append(feed(1, known=START - DAY), watermark=START)
        return table

    # --- setting aside

    def test_good_rows_enter_and_bad_rows_wait(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        batch = [
            row(2), row(3, "US Airways"), row("4"), row(5, delay="late"), row(6, known_at=None), row(7, gate="A1"),
            row(8, "XX"), row(9),
        ]  # fmt: skip
        commit = table.append(batch, on_error="quarantine", watermark=START + DAY)
        assert (commit.n_rows, commit.n_quarantined, commit.watermark) == (2, 6, START + DAY)
        assert ids_of(table.arrow()) == [1, 2, 9]
        waiting = lake.quarantine("arrivals").list()
        assert [(r.position, r.row["id"], r.reasons) for r in waiting] == [
            (1, 3, ("carrier 'US Airways' is not known",)),
            (2, "4", ("id: have text '4', want int64",)),
            (3, 5, ("delay: have text 'late', want double",)),
            (4, 6, ("known_at: null, it says when the row was known",)),
            (5, 7, ("gate: extra, have text 'A1'",)),
            (6, 8, ("carrier 'XX' is not known",)),
        ]
        assert {r.state for r in waiting} == {"in"}
        assert lake.quarantine("arrivals").counts() == {
            "in": 6, "pending": 6, "corrected": 0, "replayed": 0, "dropped": 0,
        }  # fmt: skip
        assert table.history()[0].n_quarantined == 6
        check_digest(table.head())

    def test_a_batch_without_bad_rows_makes_no_quarantine(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        assert table.append(feed(2), on_error="quarantine").n_quarantined == 0
        assert lake.list() == ["arrivals"]
        quarantine = lake.quarantine("arrivals")
        assert (quarantine.list(), quarantine.counts()["in"], quarantine.table().num_rows) == ([], 0, 0)
        assert quarantine.replay().version == table.head().version

    def test_a_batch_of_bad_rows_moves_the_watermark(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        commit = table.append(
            feed(2).set_column(1, "carrier", pa.array(["XX"])), watermark=START + DAY, on_error="quarantine"
        )
        assert (commit.version, commit.n_rows, commit.n_quarantined) == (2, 0, 1)
        assert table.head().watermark == START + DAY

    def test_typed_columns_that_do_not_fit(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        wrong = feed(2, 3, 4).set_column(2, "delay", pa.array(["12", None, "x"]))
        assert table.append(wrong, on_error="quarantine").n_quarantined == 2
        assert ids_of(table.arrow()) == [1, 3]
        unsigned = feed(5, 6).set_column(0, "id", pa.array([5, 6], pa.uint64()))
        naive = feed(7).set_column(3, "known_at", pa.array([START.replace(tzinfo=None)]))
        lacking = feed(8).drop_columns(["delay"])
        for batch, n in ((unsigned, 2), (naive, 1), (lacking, 1)):
            assert table.append(batch, on_error="quarantine").n_quarantined == n
        reasons = [r.reasons[0] for r in lake.quarantine("arrivals").list()]
        assert reasons == [
            "delay: have text '12', want double",
            "delay: have text 'x', want double",
            "id: have uint64, want int64",
            "id: have uint64, want int64",
            "known_at: have a time without a zone, want timestamp[us, tz=UTC]",
            "delay: missing, want double",
        ]

    def test_nulls_where_none_are_allowed(self, lake: Lake) -> None:
        table = lake.create("t", pa.schema([pa.field("a", pa.int64(), nullable=False)]))
        assert table.append({"a": [1, None, 2]}, on_error="quarantine").n_quarantined == 1
        assert table.arrow().to_pydict() == {"a": [1, 2]}
        assert lake.quarantine("t").list()[0].reasons == ("a: have null, want not null",)

    def test_rows_without_a_name_wait(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        assert table.append([row(None), row(2)], on_error="quarantine").n_quarantined == 1
        assert lake.quarantine("arrivals").list()[0].reasons == ("id: null, which names no row",)

    def test_a_repeated_batch_sets_nothing_aside_again(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        batch = [row(2), row(3, "XX"), row(3, "XX")]
        first = table.append(batch, on_error="quarantine", transaction=("feed", 1))
        again = table.append(batch, on_error="quarantine", transaction=("feed", 1))
        assert (again.version, again.duplicate, again.n_quarantined) == (first.version, True, 2)
        table.append(batch, on_error="quarantine", transaction=("feed", 2))
        assert lake.quarantine("arrivals").counts()["in"] == 4
        for key in ("a", "a", "b"):
            table.append(batch, on_error="quarantine", key=key)
        assert lake.quarantine("arrivals").counts()["in"] == 8

    def test_a_batch_that_nothing_names_is_another_one_each_time(
        self, lake: Lake, recorder: Recorder
    ) -> None:
        """Its good rows enter each time; its bad rows are as little lost, alike as they are."""
        table = lake.create("sales", pa.schema({"shop": pa.string(), "n": pa.int64()}))
        quarantine = lake.quarantine("sales")
        for day in range(1, 4):
            commit = table.append([{"shop": "a", "n": "two"}, {"shop": "b", "n": 1}], on_error="quarantine")
            assert (commit.n_rows, commit.n_quarantined, commit.duplicate) == (1, 1, False)
            assert (quarantine.counts()["in"], quarantine.counts()["pending"]) == (day, 1)
            assert quarantine.correct({"n": 2}) == 1
            assert quarantine.replay().n_rows == 1
            assert table.head().n_rows == 2 * day
        with recorder.execution("step"):
            for _ in range(2):
                table.append([{"shop": "a", "n": "two"}], on_error="quarantine")
        assert quarantine.counts()["pending"] == 2

    def test_what_is_refused_as_a_whole_sets_nothing_aside(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        batch = [row(2), row(3, "XX")]
        error = error_of(
            lambda: table.append(batch, on_error="quarantine", watermark=START - DAY), ConflictError
        )
        assert error.code == "watermark-back"
        assert lake.quarantine("arrivals").counts()["in"] == 0
        assert lake.list() == ["arrivals"]

    def test_a_new_table_takes_what_its_check_lets_pass(self, lake: Lake) -> None:
        lake.row_checks["t"] = check_carrier
        commit = lake.table("t").append([row(1), row(2, "XX")], on_error="quarantine")
        assert (commit.version, commit.n_rows, commit.n_quarantined) == (0, 1, 1)
        lake.quarantine("t").correct({"carrier": "UA"})
        lake.quarantine("t").replay()
        assert ids_of(lake.table("t").arrow()) == [1, 2]

    def test_new_columns_come_with_the_good_rows(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, gate="A1"), row(3, "XX", gate="A2")], on_error="quarantine", evolve=True)
        assert table.schema.names[-1] == "gate"
        lake.quarantine("arrivals").correct({"carrier": "UA"})
        lake.quarantine("arrivals").replay()
        assert {r["id"]: r["gate"] for r in table.arrow().to_pylist()} == {1: None, 2: "A1", 3: "A2"}

    def test_words_that_mean_no_quarantine(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        bad: Any = "ignore"
        assert error_of(lambda: table.append(feed(2), on_error=bad)).code == "bad-on-error"
        table.append([row(2, "XX")], on_error="quarantine")
        inner = lake.table("quarantine.arrivals")
        assert error_of(lambda: inner.append([], on_error="quarantine")).code == "quarantine-of-quarantine"
        assert error_of(lambda: lake.quarantine("quarantine.arrivals")).code == "quarantine-of-quarantine"
        assert error_of(lambda: table.append([1, 2], on_error="quarantine")).code == "bad-data"

    # --- putting right

    def test_corrected_rows_wait_until_they_are_replayed(self, lake: Lake, clock: ReplayClock) -> None:
        table = self.arrivals(lake)
        table.append(
            [row(2, "US Airways"), row(3, "XX", 9.0)], on_error="quarantine", watermark=START + 2 * DAY
        )
        quarantine = lake.quarantine("arrivals")
        assert quarantine.correct({"carrier": "US"}, where="carrier = 'US Airways'") == 1
        assert quarantine.correct({"carrier": "US"}, where="carrier = 'US Airways'") == 0
        assert states_of(quarantine) == {2: "corrected", 3: "in"}
        assert ids_of(table.arrow()) == [1]
        clock.advance_to(START + DAY)
        commit = quarantine.replay(watermark=START + 3 * DAY)
        assert (commit.n_rows, commit.n_late, commit.n_quarantined) == (1, 1, 1)
        known = {r["id"]: r["known_at"] for r in table.arrow().to_pylist()}
        assert known[2] == START + 2 * DAY + timedelta(microseconds=1)
        assert table.head().watermark == START + 3 * DAY
        assert states_of(quarantine) == {2: "replayed", 3: "in"}
        assert quarantine.counts() == {"in": 2, "pending": 1, "corrected": 1, "replayed": 1, "dropped": 0}
        check_digest(table.head())

    def test_corrections_by_expression_and_by_function(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX", 6.0), row(3, "YY", None), row("4", "B6")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        doubled = {"carrier": Expression("replace(carrier, 'XX', 'UA')"), "delay": Expression("delay * 2")}
        assert quarantine.correct(doubled, where="carrier IN ('XX', 'YY')") == 1

        def read_ids(rows: pa.Table) -> pa.Table:
            return rows.set_column(0, "id", pc.cast(rows.column("id"), pa.int64()))

        assert quarantine.correct(read_ids) == 1
        assert [(r.row["id"], r.row["delay"], r.reasons) for r in quarantine.list()] == [
            (2, 12.0, ()),
            (3, None, ("carrier 'YY' is not known",)),
            (4, 1.5, ()),
        ]
        assert quarantine.replay().n_rows == 2
        assert {r["id"]: r["delay"] for r in table.arrow().to_pylist()} == {1: 1.5, 2: 12.0, 4: 1.5}

    def test_corrections_that_do_not_fit(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX"), row(3, "YY")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        assert error_of(lambda: quarantine.correct(lambda rows: rows.slice(1))).code == "quarantine-fix"
        assert error_of(lambda: quarantine.correct({"delay": Expression("nix + 1")})).code == "bad-sql"
        assert error_of(lambda: quarantine.correct({"delay": 1.0}, where="(SELECT 1) = 1")).code == (
            "condition-reads"
        )
        error = error_of(lambda: quarantine.correct({"delay": 1.0}, ids=["nix"]), NotFoundError)
        assert error.code == "quarantined-row-not-found"
        bad: Any = "nix"
        assert error_of(lambda: quarantine.correct({"delay": 1.0}, ids=bad)).code == "bad-argument"
        assert states_of(quarantine) == {2: "in", 3: "in"}

    def test_columns_that_neither_table_nor_rows_have_are_refused(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX"), row(3, "YY", gate="A1")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        before = quarantine.table()
        error = error_of(lambda: quarantine.correct({"delay": 1.0, "carier": "UA"}), NotFoundError)
        assert (error.code, error.near) == ("column-not-found", ["carrier"])

        def misspelt(rows: pa.Table) -> pa.Table:
            return rows.append_column("carier", rows.column("carrier"))

        assert error_of(lambda: quarantine.correct(misspelt), NotFoundError).code == "column-not-found"
        for value in ("abc", 1.5, True):
            error = error_of(lambda value=value: quarantine.correct({"id": value}))  # type: ignore[misc]
            assert error.code == "quarantine-fix"
        assert "'abc' is string, which does not fit column 'delay' of double" in str(
            error_of(lambda: quarantine.correct({"delay": "abc"}))
        )
        assert quarantine.table().equals(before)
        assert quarantine.correct({"delay": 12, "carrier": None}, where="id = 2") == 1
        assert quarantine.list()[0].row["delay"] == 12.0

    def test_null_takes_a_column_away_that_the_table_does_not_have(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        batch = [row(2, gate="A1"), {**row(3, "XX"), "carier": "UA"}]
        table.append(batch, on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        assert quarantine.correct({"carrier": Expression("carier"), "carier": None}, where="id = 3") == 1
        assert quarantine.correct({"gate": None, "carier": None}) == 2  # null in rows of the same batch
        assert [(r.reasons, sorted(r.row)) for r in quarantine.list()] == [
            ((), ["carrier", "delay", "id", "known_at"])
        ] * 2
        assert quarantine.replay().n_rows == 2

    def test_a_table_that_is_not_there_has_no_quarantine(self, lake: Lake) -> None:
        self.arrivals(lake)
        quarantine = lake.quarantine("arivals")
        calls: list[Callable[[], object]] = [
            quarantine.list,
            quarantine.table,
            quarantine.counts,
            quarantine.replay,
            lambda: quarantine.correct({"carrier": "UA"}),
            lambda: quarantine.drop([], reason="x"),
        ]
        for call in calls:
            error = error_of(call, NotFoundError)
            assert (error.code, error.near) == ("table-not-found", ["arrivals"])

    def test_rows_are_chosen_by_id_and_by_reason(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX"), row(3, "YY"), row("4")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        [found] = quarantine.list(reason="'YY'")
        assert (found.row["id"], len(quarantine.list(limit=2))) == (3, 2)
        assert quarantine.correct({"carrier": "UA"}, ids=[found.id]) == 1
        assert quarantine.replay(ids=[found.id]).n_rows == 1
        assert ids_of(table.arrow()) == [1, 3]
        assert error_of(lambda: quarantine.replay(ids=[found.id]), NotFoundError).code == (
            "quarantined-row-not-found"
        )
        assert quarantine.get(found.id).state == "replayed"

    def test_what_was_done_to_a_row_is_kept(self, lake: Lake) -> None:
        self.arrivals(lake).append([row(2, "XX")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        [waiting] = quarantine.list()
        quarantine.correct({"carrier": "UA"})
        quarantine.correct({"delay": 0.0})
        quarantine.replay()
        history = quarantine.history(waiting.id)
        assert [h["state"] for h in history] == ["in", "corrected", "corrected", "replaying", "replayed"]
        moments = [h["at"] for h in history]
        assert moments == sorted(set(moments), key=moments.index)
        assert (history[0]["reasons"], history[1]["reasons"]) == (["carrier 'XX' is not known"], [])

    def test_dropped_rows_do_not_enter(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX"), row(3, "YY")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        [first, _] = quarantine.list()
        assert error_of(lambda: quarantine.drop([first.id], reason=" ")).code == "bad-reason"
        assert quarantine.drop([first.id], reason="a test flight") == 1
        assert quarantine.correct({"carrier": "UA"}) == 1
        quarantine.replay()
        assert ids_of(table.arrow()) == [1, 3]
        assert quarantine.counts() == {"in": 2, "pending": 0, "corrected": 1, "replayed": 1, "dropped": 1}
        dropped = quarantine.get(first.id)
        assert (dropped.state, dropped.note) == ("dropped", "a test flight")

    # --- letting in once

    def test_a_replay_enters_once(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX"), row(3, "YY")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")
        quarantine.correct({"carrier": "UA"})
        first = quarantine.replay(transaction=("fix", 1))
        again = quarantine.replay(transaction=("fix", 1))
        assert (first.n_rows, again.version, again.duplicate) == (2, first.version, True)
        idle = quarantine.replay()
        assert (idle.version, idle.n_rows, table.head().version) == (first.version, 0, first.version)
        assert ids_of(table.arrow()) == [1, 2, 3]

    def test_the_rules_of_the_replay_count(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX")], on_error="quarantine")
        commit = lake.quarantine("arrivals").replay()
        assert (commit.n_rows, commit.n_quarantined) == (0, 1)
        del lake.row_checks["arrivals"]
        assert lake.quarantine("arrivals").replay().n_rows == 1
        assert ids_of(table.arrow()) == [1, 2]

    def test_rules_that_change_do_not_part_a_batch_anew(self, lake: Lake) -> None:
        """A batch whose process died between its commits is parted as it was, whatever the rules say now."""
        table = self.arrivals(lake)
        batch = [row(2), row(3, "XX"), row(4, "UA")]
        table.append(batch, on_error="quarantine", transaction=("feed", 1))
        quarantine = lake.quarantine("arrivals")
        version = table.head().version
        table.delete("id IN (2, 4)")  # as if its commit had not come about
        del lake.row_checks["arrivals"]
        again = table.append(batch, on_error="quarantine", key="the same batch")
        assert (again.n_rows, again.n_quarantined) == (3, 0)
        other = lake.create("other", FEED)
        lake.row_checks["other"] = check_carrier
        other.append(batch, on_error="quarantine", transaction=("feed", 1))
        assert (quarantine.counts()["in"], version) == (1, 2)

    def test_a_quarantine_changed_meanwhile_is_a_conflict(self, lake: Lake) -> None:
        self.arrivals(lake).append([row(2, "XX")], on_error="quarantine")
        quarantine = lake.quarantine("arrivals")

        def interrupted(rows: pa.Table) -> pa.Table:
            lake.table("quarantine.arrivals").append(_again(lake), key="another")
            return rows.set_column(1, "carrier", pa.array(["UA"]))

        assert error_of(lambda: quarantine.correct(interrupted), ConflictError).code == "quarantine-changed"
        assert quarantine.counts()["corrected"] == 0

    def test_text_that_is_no_row_of_ours(self, lake: Lake) -> None:
        self.arrivals(lake).append([row(2, "XX")], on_error="quarantine")
        broken = _again(lake).set_column(2, "row", pa.array(["[1, 2]"]))
        lake.table("quarantine.arrivals").append(broken)
        error = error_of(lake.quarantine("arrivals").list, IntegrityError)
        assert error.code == "quarantine-corrupted"

    # --- the graph

    def test_executions_and_lineage(self, lake: Lake, recorder: Recorder) -> None:
        table = self.arrivals(lake)
        table.append([row(2, "XX"), row(3, "YY")], on_error="quarantine", transaction=("feed", 1))
        quarantine = lake.quarantine("arrivals")
        quarantine.correct({"carrier": "UA"}, where="id = 2")
        quarantine.drop([quarantine.list(reason="YY")[0].id], reason="no flight")
        commit = quarantine.replay()
        assert _made(recorder, "quarantine.arrivals@1") == ("quarantine", [])
        assert _made(recorder, "quarantine.arrivals@2") == ("correct", ["quarantine.arrivals@1"])
        assert _made(recorder, "quarantine.arrivals@3") == ("drop", ["quarantine.arrivals@2"])
        assert _made(recorder, f"arrivals@{commit.version}") == ("replay", ["quarantine.arrivals@3"])
        assert not recorder.store.find_nodes("artifact", state="PENDING").nodes
        assert not recorder.store.find_nodes("artifact", state="ABANDONED").nodes
        assert lake.reconcile().commits == []

    def test_inside_an_execution_all_belongs_to_it(self, lake: Lake, recorder: Recorder) -> None:
        table = self.arrivals(lake)
        with recorder.execution("step") as recording:
            table.append([row(2, "XX"), row(4)], on_error="quarantine")
            lake.quarantine("arrivals").correct({"carrier": "UA"})
            lake.quarantine("arrivals").replay()
        made = [str(a.name) for a in recording.outputs]
        assert {"arrivals@2", "arrivals@3", "quarantine.arrivals@1"} <= set(made)
        assert ids_of(table.arrow()) == [1, 2, 4]
        assert not recorder.store.find_nodes("artifact", state="ABANDONED").nodes

    # --- repeated rows are no fault

    def test_repeated_rows_are_corrections(self, lake: Lake) -> None:
        table = self.arrivals(lake)
        commit = table.append([row(2), row(2), row(1)], on_error="quarantine")
        assert (commit.n_rows, commit.n_quarantined) == (3, 0)
        keyed = lake.create("keyed", SCHEMA, key=["id"])
        keyed.append([{"id": 1, "carrier": "B6", "delay": 0.0}] * 2, on_error="quarantine")
        assert keyed.head().n_rows == 2

    def test_the_quarantine_is_a_table_like_others(self, lake: Lake) -> None:
        self.arrivals(lake).append([row(2, "XX"), row(3, "YY")], on_error="quarantine")
        kept = lake.table("quarantine.arrivals")
        assert (kept.declaration.key, kept.declaration.known_at) == (("id",), "known_at")
        found = lake.sql('SELECT state, count(*) AS n FROM "quarantine.arrivals" GROUP BY state')
        assert found.to_pylist() == [{"state": "in", "n": 2}]
        kept.compact()
        assert lake.quarantine("arrivals").counts()["pending"] == 2
        assert kept.schema.field("arrived_at").type == TS


def _again(lake: Lake) -> pa.Table:
    """The last row of the quarantine once more, known a little later."""
    rows = lake.table("quarantine.arrivals").arrow().slice(0, 1)
    later = pc.add(rows.column("known_at"), pa.scalar(timedelta(microseconds=1)))
    return rows.set_column(rows.schema.get_field_index("known_at"), rows.schema.field("known_at"), later)


def _made(recorder: Recorder, name: str) -> tuple[str, list[str]]:
    """The type of the execution that made a table version, and the names of its inputs."""
    store = recorder.store
    [version] = store.find_nodes("artifact", type_="TableVersion", name=name).nodes
    [maker] = {e.execution for e in store.list_events(artifacts=[version.uid]) if e.kind == "OUTPUT"}
    [execution] = store.get_nodes("execution", uids=[maker])
    assert isinstance(execution, Execution)
    assert execution.state == "COMPLETE"
    read = [e.artifact for e in store.list_events(executions=[maker]) if e.kind == "INPUT"]
    found = store.get_nodes("artifact", uids=read) if read else []
    return execution.type, [
        str(a.name) for a in found if isinstance(a, Artifact) and a.type == "TableVersion"
    ]
