"""Looking things up in a piece of lineage."""

from __future__ import annotations

import pytest

from whence.errors import NotFoundError
from whence.metadata import Artifact, Context, Event, Execution, Lineage, Subgraph


def table(name: str) -> Artifact:
    return Artifact(type="Table", name=name)


RAW, SIDE, CODE, CLEAN, PLAN = table("raw"), table("side"), table("code"), table("clean"), table("plan")
LOAD, TRAIN = Execution(type="load", name="load"), Execution(type="train", name="train")
GROUP = Context(type="Group", name="g")
LINEAGE = Lineage(
    Subgraph(
        [RAW, SIDE, CODE, CLEAN, PLAN],
        [LOAD, TRAIN],
        [
            Event(LOAD.uid, SIDE.uid, "INPUT", ("b",)),
            Event(LOAD.uid, RAW.uid, "INPUT", ("a",)),
            Event(LOAD.uid, RAW.uid, "INPUT", ("again",)),
            Event(LOAD.uid, CODE.uid, "INTERNAL_INPUT"),
            Event(LOAD.uid, PLAN.uid, "PENDING_OUTPUT"),
            Event(LOAD.uid, CLEAN.uid, "PENDING_OUTPUT"),
            Event(LOAD.uid, CLEAN.uid, "OUTPUT"),
            Event(TRAIN.uid, CLEAN.uid, "INPUT"),
        ],
        [GROUP],
        [(GROUP.uid, CLEAN.uid)],
        [(GROUP.uid, LOAD.uid)],
    )
)


def test_both_ends_of_an_execution() -> None:
    assert LINEAGE.inputs(LOAD.uid) == [SIDE, RAW]
    assert LINEAGE.inputs(LOAD.uid, internal=True) == [SIDE, RAW, CODE]
    assert LINEAGE.outputs(LOAD.uid) == [CLEAN]
    assert LINEAGE.outputs(LOAD.uid, pending=True) == [PLAN, CLEAN]


def test_both_ends_of_an_artifact() -> None:
    assert (LINEAGE.producers(CLEAN.uid), LINEAGE.consumers(CLEAN.uid)) == ([LOAD], [TRAIN])
    assert (LINEAGE.producers(PLAN.uid), LINEAGE.producers(RAW.uid)) == ([], [])
    assert [e.kind for e in LINEAGE.events(CLEAN.uid)] == ["PENDING_OUTPUT", "OUTPUT", "INPUT"]
    assert LINEAGE.contexts(CLEAN.uid) == LINEAGE.contexts(LOAD.uid) == [GROUP]
    assert LINEAGE.contexts(RAW.uid) == []


def test_walks_say_how_far() -> None:
    assert [(d, n.name) for d, n in LINEAGE.up(TRAIN.uid)] == [
        (0, "train"), (1, "clean"), (2, "load"), (3, "side"), (3, "raw"),
    ]  # fmt: skip
    assert [(d, n.name) for d, n in LINEAGE.down(RAW.uid)] == [
        (0, "raw"),
        (1, "load"),
        (2, "clean"),
        (3, "train"),
    ]


def test_what_is_outside_is_not_found() -> None:
    assert LINEAGE.node(RAW.uid) is RAW
    with pytest.raises(NotFoundError) as caught:
        LINEAGE.node("absent")
    assert caught.value.code == "node-not-found"
