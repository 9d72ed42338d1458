"""A mark with the policy `alert` opens an alert in the monitors of what it reached, and lifting it closes that."""

from __future__ import annotations

from tests.unit.monitoring.world import HISTORY_DAYS, World, founded
from whence.metadata import Artifact
from whence.metadata.graph import Graph

LIVE = HISTORY_DAYS


def taint_alerts(world: World) -> list[tuple[str, bool, bool]]:
    found = [a for a in world.monitoring.alerts("late") if a.metric == "taint"]
    return [(world.monitoring.blame(a).text, a.open, a.decides) for a in found]


def test_what_the_model_learned_from_is_marked_bad_and_an_alert_opens_until_it_is_lifted() -> None:
    world = founded()
    graph = Graph(world.rooms.recorder.store)
    world.live(range(LIVE, LIVE + 2))
    assert taint_alerts(world) == []
    mark = graph.mark("TableVersion/train.late@0", "labels of two airports were swapped", policy="alert")
    (result,) = world.live([LIVE + 2])
    (alert,) = result.opened
    assert (alert.metric, alert.table, alert.decides, alert.value) == ("taint", "late_scores", False, 1.0)
    said = f"model:late@1 descends from what {mark.principal} marked bad: labels of two airports were swapped (mark {mark.id})"
    assert taint_alerts(world) == [(said, True, False)]
    node = graph.find("artifact", "type = 'Alert'").first()
    assert isinstance(node, Artifact)
    assert node.uid == alert.uid
    (same,) = world.live([LIVE + 3])
    assert (same.opened, same.closed) == ((), ())
    # Another process looks on: what is open is known from the table and its blobs.
    other = World(clock=world.clock)
    other.__dict__["rooms"] = world.rooms
    (same,) = other.live([LIVE + 4])
    assert (same.opened, same.closed) == ((), ())
    graph.lift(mark)
    (result,) = other.live([LIVE + 5])
    assert [a.uid for a in result.closed] == [alert.uid]
    assert taint_alerts(world) == [(said, False, False)]


def test_other_policies_and_other_data_open_nothing_and_nothing_stops_the_monitor() -> None:
    world = founded()
    graph = Graph(world.rooms.recorder.store)
    graph.mark("TableVersion/train.late@0", "one", policy="retrain")
    graph.mark("TableVersion/train.late@0", "two", policy="block")
    graph.mark("TableVersion/weather@0", "three", policy="alert")  # nothing that is watched was made from it
    results = world.live(range(LIVE, LIVE + 2))
    assert [r.opened for r in results] == [(), ()]
    assert all(r.execution for r in results)
