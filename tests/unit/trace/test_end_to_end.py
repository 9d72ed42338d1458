"""Tables → features → training set → model → predictions → back to the rows, through the real rooms."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.trace.world import ARRIVALS, World, arrival
from whence.errors import IntegrityError, NotFoundError, UsageError
from whence.trace import Trace, Tracer

FEATURES = [
    "delays__mean_delay_1d",
    "delays__count_1d",
    "delays__max_taxi_12h",
    "delays__std_taxi_1d",
    "weather__temp",
    "calendar__hour",
    "calendar__weekday",
    "distance",
]


def kinds(trace: Trace, kind: str) -> list[str | None]:
    return [node.ref for node in trace.tree.walk() if node.kind == kind]


@pytest.mark.parametrize("flight", ["Z1", "Z2"])
@pytest.mark.parametrize("where", ["played", "in_folder"])
def test_the_rows_of_a_prediction_recompute_every_value_exactly(
    request: pytest.FixtureRequest, where: str, flight: str
) -> None:
    world: World = request.getfixturevalue(where)
    trace = world.tracer.trace(f"prediction:late_scores/{flight}")
    stored = world.lake.table("late_scores").arrow(where=f"flight = '{flight}'").to_pylist()[0]
    assert list(trace.values()) == FEATURES
    assert [f.agreement for f in trace.features()] == ["exact"] * len(FEATURES)
    assert trace.mismatches() == []
    for name, value in trace.values().items():
        assert value["value"] == value["recomputed"] == stored[name]
        assert (
            trace.rows().filter(pa.compute.equal(trace.rows()["feature"], name.split("__")[-1])).num_rows
            >= value["rows"]
        )


def test_the_values_are_those_a_person_would_compute(played: World) -> None:
    trace = played.tracer.trace("prediction:late_scores/Z1")
    # B6 landings known before 02:00 of the second day: A3 as corrected, A5 to A19, and A21.
    delays = [500, *(10 * i - 7 for i in range(5, 20, 2)), 100]
    assert trace.values()["delays__mean_delay_1d"] == {
        "value": sum(delays) / 10,
        "recomputed": sum(delays) / 10,
        "rows": 10,
    }
    assert trace.values()["weather__temp"] == {"value": 70.25, "recomputed": 70.25, "rows": 1}
    assert trace.values()["calendar__hour"]["value"] == 22


def test_a_prediction_leads_to_everything_it_came_from(played: World) -> None:
    trace = played.tracer.trace("prediction:late_scores/Z1")
    assert trace.tree.children[0].kind == "execution"
    assert kinds(trace, "model") == ["model:late@1"]
    assert len(kinds(trace, "run")) == 2
    tables = {ref for ref in kinds(trace, "table") if ref}
    assert tables == {
        "table:train.late@0",
        *(f"table:{name}@{version}" for name in ("arrivals", "schedule", "weather") for version in (1, 2)),
    }
    assert trace.notes == ()


def test_raw_rows_come_with_their_reference_view_and_columns(played: World) -> None:
    trace = played.tracer.trace("prediction:late_scores/Z1")
    rows = trace.rows()
    assert rows.column_names == ["view", "feature", "table", "row", "columns"]
    first = rows.slice(0, 1).to_pylist()[0]
    assert (first["view"], first["feature"], first["table"]) == (
        "delays",
        "mean_delay_1d",
        "table:arrivals@2",
    )
    assert first["row"] == "row:arrivals@2/A3"
    assert json.loads(first["columns"])["delay"] == 500
    tables = trace.rows_by_table()
    assert sorted(tables) == ["table:arrivals@2", "table:schedule@2", "table:weather@2"]
    assert tables["table:arrivals@2"].num_rows == 10
    assert tables["table:arrivals@2"].schema.field("delay").type == pa.int64()


def test_every_row_named_by_a_trace_can_be_asked_about(played: World) -> None:
    rows = played.tracer.trace("prediction:late_scores/Z1").rows()
    for ref in sorted({r for r in rows.column("row").to_pylist() if r}):
        assert played.tracer.trace(ref).ref == ref


def test_the_json_of_a_trace_has_no_nan_and_says_the_features(played: World) -> None:
    told = played.tracer.trace("prediction:late_scores/Z2").to_dict(max_rows=1)
    text = json.dumps(told, allow_nan=False)
    assert json.loads(text) == told
    assert list(told["features"]) == FEATURES  # type: ignore[arg-type]
    assert (told["ref"], told["mismatches"]) == ("prediction:late_scores/Z2", [])


def test_rows_beyond_the_bound_are_counted_and_still_recompute(played: World) -> None:
    trace = played.tracer.trace("prediction:late_scores/Z1", max_rows=2)
    assert trace.values()["delays__count_1d"] == {"value": 10, "recomputed": 10, "rows": 10}
    kept = [n.rows.num_rows for n in trace.tree.walk() if n.rows is not None]
    assert kept == [2, 2, 2, 2, 1, 1, 1, 1]
    assert trace.notes == ("26 raw rows of 4 features are not kept here (max_rows=2)",)
    assert "… and 8 more rows" in trace.text()
    assert "… and 8 more rows" in trace.html()


def test_a_stored_value_that_its_rows_do_not_give_is_shown(played: World) -> None:
    real = played.features

    class Lying:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def recompute(self, explanation: Any) -> object:
            return -1 if explanation.feature.op == "count" else real.recompute(explanation)

    tracer = Tracer(played.store, played.lake, Lying(), played.scoring)
    trace = tracer.trace("prediction:late_scores/Z1")
    assert [f.name for f in trace.mismatches()] == ["delays__count_1d"]
    assert trace.values()["delays__count_1d"] == {"value": 10, "recomputed": -1, "rows": 10}
    assert "count_1d = 10  recomputed=-1, agreement=different" in trace.text()
    assert "class='bad'>count_1d = 10" in trace.html()


def test_a_source_that_was_overwritten_and_vacuumed_is_said_to_be_gone(scored: World) -> None:
    arrivals = scored.lake.table("arrivals")
    arrivals.overwrite(pa.Table.from_pylist([arrival("N1", "B6", 31, 1)], schema=ARRIVALS))
    before = scored.tracer.trace("prediction:late_scores/Z1")
    assert before.mismatches() == []
    assert before.notes == (
        (
            "arrivals was changed after version 2: overwrite at version 3; "
            "the rows shown are those of the version that was read"
        ),
    )
    arrivals.vacuum(retention_hours=0, dry_run=False)
    trace = scored.tracer.trace("prediction:late_scores/Z1")
    unknown = [f for f in trace.features() if f.agreement == "unknown"]
    assert [f.view for f in unknown] == ["delays"] * 4
    assert all(f.error and "arrivals" in f.error for f in unknown)
    assert trace.values()["delays__count_1d"] == {"value": 10, "recomputed": None, "rows": 0}
    assert trace.values()["weather__temp"]["recomputed"] == 70.25
    missing = [n.ref for n in trace.tree.walk() if n.kind == "table" and "missing" in n.facts]
    assert missing == ["table:arrivals@1", "table:arrivals@2"]


def test_a_model_whose_bytes_are_gone_is_said_to_be(scored: World) -> None:
    digest = scored.models.get("late@1").digest
    scored.blobs.delete(digest)
    model = scored.tracer.trace("model:late@champion").tree
    assert (model.ref, model.facts["missing"]) == ("model:late@1", f"blob {digest} is gone")


def test_a_prediction_of_rows_given_by_hand_says_what_it_cannot_know(scored: World) -> None:
    spine = scored.lake.table("schedule").arrow(where="flight = 'Z1'")
    scored.scoring.score("late@1", spine, views=scored.views, at="features_at", into="by_hand", key="flight")
    trace = scored.tracer.trace("prediction:by_hand/Z1")
    unknown = {f.name: f.error for f in trace.features() if f.agreement == "unknown"}
    assert sorted(unknown) == sorted(name for name in FEATURES if not name.startswith("calendar"))
    assert all("given by hand" in str(error) for error in unknown.values())
    assert trace.values()["calendar__hour"] == {"value": 22, "recomputed": 22, "rows": 0}


def test_a_prediction_that_the_graph_does_not_know_yet_still_shows_its_rows(
    played: World, journey: Any
) -> None:
    tracer = Tracer(journey.story.store, played.lake, played.features, played.scoring)
    trace = tracer.trace("prediction:late_scores/Z1")
    assert trace.tree.children[0].facts["missing"] == "the graph has no such execution"
    assert trace.values()["calendar__hour"]["recomputed"] == 22


def test_a_row_leads_to_the_commit_that_wrote_it(played: World) -> None:
    trace = played.tracer.trace("row:arrivals/A5")
    assert trace.ref == "row:arrivals@2/A5"
    assert trace.tree.facts["delay"] == 43
    assert [n.ref for n in trace.tree.walk() if n.kind == "commit"] == ["table:arrivals@1"]
    corrected = played.tracer.trace("row:arrivals@2/A3")
    assert corrected.notes == ("2 rows have this key: later ones correct earlier ones",)
    assert kinds(corrected, "commit") == ["table:arrivals@2"]


def test_a_row_is_followed_through_deletes_and_compaction(scored: World) -> None:
    arrivals = scored.lake.table("arrivals")
    arrivals.delete("flight = 'A5'")
    arrivals.compact()
    arrivals.append(pa.Table.from_pylist([arrival("A5", "B6", 5.5, 43, known=40)], schema=ARRIVALS))
    head = arrivals.head().version
    assert kinds(scored.tracer.trace("row:arrivals/A5"), "commit") == [f"table:arrivals@{head}"]
    assert kinds(scored.tracer.trace("row:arrivals/A7"), "commit") == ["table:arrivals@1"]
    assert kinds(scored.tracer.trace("row:arrivals@2/A5"), "commit") == ["table:arrivals@1"]


def test_a_row_without_a_declared_key_goes_by_position(scored: World) -> None:
    scored.lake.table("plain").append([{"a": 1}, {"a": 2}])
    trace = scored.tracer.trace("row:plain@0/#1")
    assert trace.tree.facts["a"] == 2
    assert (
        trace.tree.children[0].facts["missing"]
        == "a row without a declared key cannot be followed over versions"
    )
    with pytest.raises(UsageError) as caught:
        scored.tracer.trace("row:plain@0/2")
    assert caught.value.code == "bad-row-key"


@pytest.mark.parametrize(
    ("ref", "error", "code"),
    [
        ("row:arrivals@2/none", NotFoundError, "row-not-found"),
        ("row:arrivals@99/A5", NotFoundError, "table-version-not-found"),
        ("row:arrivals@2", UsageError, "bad-reference"),
        ("row:weather@2/JFK", UsageError, "bad-row-key"),
        ("prediction:late_scores/none", NotFoundError, "prediction-not-found"),
        ("prediction:arrivals/A5", UsageError, "not-predictions"),
        ("row:plain@0/#7", NotFoundError, "row-not-found"),
    ],
)
def test_rows_that_are_not_there_are_refused(
    scored: World, ref: str, error: type[Exception], code: str
) -> None:
    scored.lake.table("plain").append([{"a": 1}])
    with pytest.raises(error) as caught:
        scored.tracer.trace(ref)
    assert getattr(caught.value, "code", None) == code


def test_where_a_row_went(played: World) -> None:
    impact = played.tracer.impact("row:arrivals@2/A5")
    assert impact.refs("training sets") == ["table:train.late@0"]
    assert impact.refs("models") == ["model:late@1"]
    assert impact.refs("aliases") == ["model:late@champion"]
    assert impact.refs("predictions") == ["table:late_scores@1"]
    later = played.tracer.impact("row:arrivals@2/A21")
    assert sorted(later.groups) == ["predictions"]


def test_where_a_prediction_went(scored: World) -> None:
    with scored.recorder.execution("step", properties={"step": "evaluate"}) as recording:
        scored.lake.table("late_scores").arrow()
        recording.set(done=True)
    impact = scored.tracer.trace("prediction:late_scores/Z1").up()
    assert impact.refs("runs") == [f"run:{recording.uid}"]


def test_two_models_differ_by_their_training_sets_source(scored: World) -> None:
    with scored.recorder.execution("step", properties={"step": "training_set"}):
        rows = scored.features.point_in_time(
            scored.lake.table("schedule").at(1), scored.views, at="features_at", sources={"weather": 1}
        )
        scored.lake.table("train.late").append(rows)
    diff = scored.tracer.diff("table:train.late@0", "table:train.late@1")
    assert diff.first is not None
    assert (diff.first.a, diff.first.b) == ("table:arrivals@1", "table:arrivals@2")


def test_no_value_is_nan_in_the_json_though_it_is_in_the_table(played: World) -> None:
    trace = played.tracer.trace("prediction:late_scores/Z2")
    assert not any(
        isinstance(v, float) and math.isnan(v) for f in trace.values().values() for v in f.values()
    )


def test_a_corrupt_predictions_row_is_an_error_not_a_tree(scored: World) -> None:
    scored.lake.table("late_scores").append(scored.lake.table("late_scores").arrow())
    with pytest.raises(IntegrityError) as caught:
        scored.tracer.trace("prediction:late_scores/Z1")
    assert caught.value.code == "prediction-twice"


@pytest.mark.parametrize(
    ("ref", "n_reached"),
    [
        ("row:arrivals@2/A5", 1),  # B6, in the window of Z1
        ("row:arrivals@2/A6", 1),  # UA, in the window of Z2
        ("row:arrivals@2/A1", 0),  # B6, a day and a half hour before Z1
        ("row:arrivals@2/A30", 1),
        ('row:weather@2/["JFK","2013-07-01T22:00:00+00:00"]', 0),  # older than the ttl for both
        (
            'row:weather@2/["JFK","2013-07-01T23:00:00+00:00"]',
            1,
        ),  # young enough for Z1, though a newer one stood nearer
        ("row:schedule@2/Z1", 1),  # the scored row itself
        ("row:schedule@2/A5", 0),  # not among the scored ones
    ],
)
def test_how_many_predictions_a_row_can_have_entered(played: World, ref: str, n_reached: int) -> None:
    impact = played.tracer.impact(ref)
    facts = impact.groups["predictions"][0].facts
    assert (facts["n_reached"], facts["n_predictions"]) == (n_reached, 2)
    assert impact.notes[0].startswith(
        "n_reached counts the predictions of the same keys whose windows contain"
    )


def test_no_row_that_was_used_is_beyond_the_reach(played: World) -> None:
    used: dict[str, set[str]] = {}
    for flight in ("Z1", "Z2"):
        for ref in played.tracer.trace(f"prediction:late_scores/{flight}").rows().column("row").to_pylist():
            used.setdefault(ref, set()).add(flight)
    for ref, flights in used.items():
        facts = played.tracer.impact(ref).groups["predictions"][0].facts
        n_reached = facts["n_reached"]
        assert isinstance(n_reached, int)
        assert n_reached >= len(flights)


def test_where_the_reach_cannot_be_told_the_note_says_so(scored: World) -> None:
    spine = scored.lake.table("schedule").arrow(where="flight = 'Z1'")
    scored.scoring.score("late@1", spine, views=scored.views, at="features_at", into="by_hand", key="flight")
    impact = scored.tracer.impact("row:arrivals@2/A5")
    assert "given by hand" in impact.notes[0]
    assert all("n_reached" not in item.facts for item in impact.groups["predictions"])
