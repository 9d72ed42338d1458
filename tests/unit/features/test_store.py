"""Features in a workspace: applied views, recorded joins, explanations and leaks over real table versions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

import whence.features as w
from whence.compute import Engine
from whence.errors import ConflictError, NotFoundError, UnsupportedError, UsageError
from whence.features.types import FeatureView
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store

TS = pa.timestamp("us", tz="UTC")
Hour = Callable[[float], datetime]
SCHEMA = pa.schema({"id": pa.string(), "k": pa.string(), "v": pa.int64(), "e": TS, "at": TS})
CARRIER = w.Entity("carrier", ["k"])


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(open_store("memory://"))


@pytest.fixture
def lake(recorder: Recorder, engine: Engine, tmp_path: Path, hour: Hour) -> Lake:
    opened = open_lake(tmp_path / "lake", recorder=recorder, engine=engine)
    table = opened.create("s", SCHEMA, key=["id"], event_time="e", known_at="at")
    table.append(rows(hour, [("x", "a", 1, 1), ("y", "a", 2, 2), ("z", "b", 5, 3)]), watermark=hour(4))
    table.append(rows(hour, [("y", "a", 7, 2)]), watermark=hour(9))
    return opened


def rows(hour: Hour, values: list[tuple[str, str, int, float]]) -> pa.Table:
    found = [{"id": i, "k": k, "v": v, "e": hour(e), "at": hour(e)} for i, k, v, e in values]
    return pa.Table.from_pylist(found, schema=SCHEMA)


@pytest.fixture
def features(recorder: Recorder, lake: Lake, engine: Engine) -> w.Features:
    return w.Features(recorder, lake, engine)


@pytest.fixture
def view(lake: Lake) -> FeatureView:
    made = [w.sum("v", over="1d"), w.count(over="1d"), w.last("v")]
    return FeatureView("f", entity=CARRIER, source=lake.table("s"), timestamp="e", features=made, owner="ops")


@pytest.fixture
def spine(hour: Hour) -> pa.Table:
    return pa.table({"k": ["a", "b", "a"], "q": pa.array([hour(4), hour(4), hour(8)], TS)})


def executions(recorder: Recorder, type_: str) -> list[str]:
    return [str(node.state) for node in recorder.store.find_nodes("execution", type_=type_).nodes]  # type: ignore[union-attr]


def test_views_are_applied_once_and_found_again(
    features: w.Features, view: FeatureView, recorder: Recorder
) -> None:
    (artifact,) = features.apply(view)
    assert artifact.name == f"f@{view.digest[7:19]}"
    assert features.apply(view)[0].name == artifact.name
    assert executions(recorder, "apply") == ["COMPLETE"]
    assert features.list() == [view]
    for name in ("f", str(artifact.name), view.digest, "feature_view:f"):
        assert features.get(name) == view
    assert features.get("f").to_dict()["owner"] == "ops"


def test_the_definition_applied_last_is_in_force(features: w.Features, view: FeatureView) -> None:
    other = FeatureView("f", entity=CARRIER, source="s", features=[w.last("v")])
    features.apply(view, w.calendar("q", tz="UTC"))
    features.apply(other)
    assert features.get("f") == other
    assert features.get(view.digest) == view
    features.apply(view)
    assert features.get("f") == view
    assert features.list() == [view]


def test_a_changed_owner_is_applied_too(features: w.Features, view: FeatureView) -> None:
    features.apply(view)
    changed = w.view_from_dict({**view.to_dict(), "owner": "somebody"})
    features.apply(changed)
    assert features.get("f").to_dict()["owner"] == "somebody"


def test_an_unknown_view_names_its_neighbours(features: w.Features, view: FeatureView) -> None:
    features.apply(view, w.calendar("q", tz="UTC"))
    with pytest.raises(NotFoundError, match=r"feature view 'calender' not found.*'calendar'"):
        features.get("calender")


def test_a_view_that_its_source_cannot_serve_is_not_applied(features: w.Features) -> None:
    wrong = FeatureView("g", entity=CARRIER, source="s", features=[w.last("w")])
    with pytest.raises(NotFoundError, match="column 'w' not found"):
        features.apply(wrong)
    assert features.list() == []
    assert features.apply(FeatureView("g", entity=CARRIER, source="not_yet", features=[w.last("w")]))


def test_a_join_says_what_it_was_made_of(
    features: w.Features, view: FeatureView, spine: pa.Table, recorder: Recorder
) -> None:
    features.apply(view)
    got = features.point_in_time(spine, ["f", w.calendar("q", tz="UTC", parts=["hour"])], at="q")
    # the correction of y was known after the watermark of the first commit, 4:00
    assert got.column_names == ["k", "q", "f__sum_v_1d", "f__count_1d", "f__v", "calendar__hour"]
    assert got["f__sum_v_1d"].to_pylist() == [3, 5, 8]
    assert got["f__v"].to_pylist() == [2, 5, 7]
    about = w.provenance_of(got)
    assert about is not None
    assert about["definitions"]["f"] == view.digest
    assert about["sources"] == {"s": 2}
    assert about["at"] == "q"
    assert about["reconciliation"]["f"]["matched"] == 1.0
    (node,) = recorder.store.find_nodes("execution", type_="point_in_time").nodes
    read = recorder.store.list_events(executions=[node.uid])
    uids = [event.artifact for event in read]
    names = {a.name for a in recorder.store.get_nodes("artifact", uids=uids)}
    assert {"s@2", f"f@{view.digest[7:19]}"} <= names
    assert node.get("point_in_time")[0]["sources"] == {"s": 2}  # type: ignore[index,call-overload]


def test_an_older_version_can_be_asked_for(features: w.Features, view: FeatureView, spine: pa.Table) -> None:
    got = features.point_in_time(spine, [view], at="q", sources={"s": 1})
    assert got["f__sum_v_1d"].to_pylist() == [3, 5, 3]
    assert w.provenance_of(got)["sources"] == {"s": 1}  # type: ignore[index]


def test_late_data_do_not_change_what_a_version_gives(
    features: w.Features, view: FeatureView, spine: pa.Table, lake: Lake, hour: Hour
) -> None:
    before = features.point_in_time(spine, [view], at="q")
    lake.table("s").append(rows(hour, [("late", "a", 100, 3)]), watermark=hour(10))
    after = features.point_in_time(spine, [view], at="q")
    # what comes after the watermark 9:00 is known after it, so no moment up to it changes
    assert before.equals(after)
    lake.table("s").compact()
    assert features.point_in_time(spine, [view], at="q").equals(before)


def test_a_spine_may_be_a_table(features: w.Features, view: FeatureView, spine: pa.Table, lake: Lake) -> None:
    lake.create("spine", spine.schema).append(spine)
    for one in (lake.table("spine"), lake.table("spine").head(), spine.to_pylist()):
        assert sorted(features.point_in_time(one, [view], at="q")["f__sum_v_1d"].to_pylist()) == [3, 5, 8]


def test_inside_a_step_the_step_is_what_read(
    features: w.Features, view: FeatureView, spine: pa.Table, recorder: Recorder, lake: Lake
) -> None:
    with recorder.execution("step") as step:
        made = features.point_in_time(spine, [view], at="q")
        lake.create("train", made.schema.remove_metadata()).append(made)
    assert executions(recorder, "point_in_time") == []
    assert {a.name for a in step.inputs} >= {"s@2", f"f@{view.digest[7:19]}"}
    report = features.leaks(lake.table("train"))
    assert report.ok
    assert report.n_checked >= 9
    assert executions(recorder, "leaks") == ["COMPLETE"]


def test_a_planted_leak_is_found_from_the_recorded_provenance(
    features: w.Features, view: FeatureView, spine: pa.Table, recorder: Recorder, lake: Lake
) -> None:
    with recorder.execution("step"):
        made = features.point_in_time(spine, [view], at="q")
        now = features.point_in_time(spine, [view], at="q", known="now")
        planted = made.set_column(2, "f__sum_v_1d", now["f__sum_v_1d"])
        lake.create("train", planted.schema.remove_metadata()).append(planted)
    report = features.leaks(lake.table("train").head())
    assert [(c.name, c.n_differing) for c in report.columns] == [("f__sum_v_1d", 1)]


def test_without_provenance_the_views_must_be_given(
    features: w.Features, view: FeatureView, spine: pa.Table
) -> None:
    made = features.point_in_time(spine, [view], at="q").replace_schema_metadata(None)
    with pytest.raises(UsageError, match="not known how") as caught:
        features.leaks(made)
    assert caught.value.code == "no-provenance"
    assert features.leaks(made, views=[view], at="q").ok


def test_moments_beyond_the_watermark_are_counted_or_refused(
    features: w.Features, view: FeatureView, hour: Hour
) -> None:
    spine = pa.table({"k": ["a", "a"], "q": pa.array([hour(9), hour(9.1)], TS)})
    got = features.point_in_time(spine, [view], at="q")
    assert w.provenance_of(got)["reconciliation"]["f"]["n_beyond_watermark"] == 1  # type: ignore[index]
    with pytest.raises(ConflictError, match="1 moments lie beyond") as caught:
        features.point_in_time(spine, [view], at="q", complete=True)
    assert caught.value.code == "watermark-behind"


def test_a_value_is_explained_at_the_versions_of_its_making(
    features: w.Features, view: FeatureView, hour: Hour
) -> None:
    features.apply(view)
    found = features.explain(view.digest, "sum_v_1d", {"k": "a"}, hour(8), {"s": 1})
    assert (found.value, found.source) == (3, "table:s@1")
    now = features.explain("f", "sum_v_1d", {"k": "a"}, hour(8))
    assert now.rows["_row"].to_pylist() == ["row:s@2/x", "row:s@2/y"]
    assert features.recompute(now) == now.value == 8
    features.apply(w.given("k"))
    with pytest.raises(UsageError, match="spine's row alone"):
        features.explain("given", "k", {}, hour(1))


def test_what_is_not_there_is_refused_by_name(features: w.Features, spine: pa.Table, lake: Lake) -> None:
    with pytest.raises(NotFoundError, match="table 't' not found"):
        features.point_in_time(
            spine, [FeatureView("g", entity=CARRIER, source="t", features=[w.last("v")])], at="q"
        )
    lake.create_view("daily", "SELECT k, v FROM s")
    with pytest.raises(UnsupportedError, match="has no knowledge time") as caught:
        features.point_in_time(
            spine, [FeatureView("g", entity=CARRIER, source="daily", features=[w.last("v")])], at="q"
        )
    assert caught.value.code == "view-source"
