"""Declaring a monitor: what could not be watched is refused before anything of it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.monitoring.world import DEPLOYMENT, LABELS, World
from whence.errors import NotFoundError, UsageError, WhenceError
from whence.monitoring import Labels
from whence.monitoring.nodes import monitor_node


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    world.found()
    return world


def refused(world: World, name: str = "x", **wrong: Any) -> WhenceError:
    """The error of a declaration, which leaves nothing."""
    before = world.monitoring.monitors()
    with pytest.raises((UsageError, NotFoundError)) as caught:
        world.monitoring.watch(name, deployment=DEPLOYMENT, **wrong)
    assert world.monitoring.monitors() == before
    error = caught.value
    assert isinstance(error, WhenceError)
    return error


@pytest.mark.parametrize("name", ["a b#/..", "", "Late", "late#1", "../late", "late..x"])
def test_a_name_that_cannot_name_a_table(world: World, name: str) -> None:
    assert refused(world, name).code == "bad-name"


def test_a_name_inside_that_of_another_monitor(world: World) -> None:
    world.monitoring.watch("jfk.late", deployment=DEPLOYMENT)
    for name in ("jfk", "jfk.late.weekly"):
        assert refused(world, name).code == "nested-name"
    world.monitoring.watch("jfk.later", deployment=DEPLOYMENT)


def test_feeds_that_are_not_there(world: World) -> None:
    error = refused(world, feeds=["arrivals", "wether"])
    assert (error.code, error.near) == ("table-not-found", ["weather"])
    assert "ws.lake.create" in str(error)
    assert refused(world, feeds="weather").code == "bad-monitor"
    world.rooms.lake.create_view("cold", "SELECT * FROM weather WHERE temp < 32")
    assert "is a view" in str(refused(world, feeds=["cold"]))


def test_a_table_that_is_yet_to_come_is_made_first(world: World) -> None:
    labels = Labels("claims", ("flight_id",), "amount > 0")
    assert refused(world, labels=labels).code == "table-not-found"
    world.rooms.lake.create("claims", pa.schema({"flight_id": pa.string(), "amount": pa.float64()}))
    assert world.monitoring.watch("claimed", deployment=DEPLOYMENT, labels=labels).labels == labels


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"table": "arival"}, "table-not-found"),
        ({"key": ("flight",)}, "column-not-found"),
        ({"key": ()}, "bad-monitor"),
        ({"key": ("carrier",)}, "bad-monitor"),
        ({"truth": "1=1; drop"}, "bad-sql"),
        ({"truth": "arr_delay >="}, "bad-sql"),
        ({"truth": "delay >= 30"}, "bad-sql"),
        ({"truth": " "}, "bad-sql"),
        ({"truth": "arr_delay >= 30 -- minutes"}, "bad-sql"),
        ({"truth": "arr_delay > (SELECT avg(arr_delay) FROM labels)"}, "condition-reads"),
        ({"truth": "carrier"}, "bad-monitor"),
    ],
)
def test_labels_that_cannot_be_read(world: World, change: dict[str, Any], code: str) -> None:
    assert refused(world, labels=replace(LABELS, **change)).code == code


@pytest.mark.parametrize("truth", ["arr_delay >= 30", "CAST(arr_delay >= 30 AS INT)", "NULL::BOOLEAN"])
def test_labels_that_can(world: World, truth: str) -> None:
    labels = replace(LABELS, truth=truth)
    assert world.monitoring.watch("read", deployment=DEPLOYMENT, labels=labels).labels == labels


def test_a_name_taken_before_names_were_looked_at_hides_no_other() -> None:
    world = World()
    world.found()
    watched = world.monitoring.watch("late", deployment=DEPLOYMENT)
    with world.rooms.recorder.execution("watch") as recording:
        recording.output(monitor_node(replace(watched, name="a b#/.."), 1))
    monitoring = world.monitoring
    assert [(m.name, monitoring.alerts(m.name)) for m in monitoring.monitors()] == [
        ("a b#/..", []),
        ("late", []),
    ]
    assert monitoring.measures("a b#/..").num_rows == 0
    with pytest.raises(NotFoundError, match="alert 'x' not found"):
        monitoring.alert("x")
    with pytest.raises(UsageError, match="cannot name a table"):
        monitoring.run("a b#/..")
