"""Requests held against a schema: bad rows are refused or marked, missing values filled, all else as before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.serving.test_request import DEPLOYMENT, INTO, fill, open_answerer, stored
from whence.errors import DataRejectedError, NotFoundError
from whence.serving.checking import RequestCheck
from whence.serving.deployments import deployment_from_dict
from whence.serving.types import RequestRule
from whence.testing.pipelines import HandBuiltRooms
from whence.validation import Feature, FloatDomain, IntDomain, Presence, Schema

SCHEMA = (
    Schema()
    .add(
        Feature("n", "INT", Presence(1.0, 1), domain=IntDomain(0, 9), default=5),
        Feature("x", "FLOAT", Presence(1.0, 1), domain=FloatDomain(-1.0, 1.0)),
        Feature("label", "BOOL", Presence(1.0, 1)),
    )
    .environments("TRAINING", "SERVING")
    .not_in_environment("SERVING", "label")
)
GOOD = {"n": 3, "x": 0.25}


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    made = HandBuiltRooms(tmp_path / "ws")
    fill(made)
    yield made
    made.close()


def check(**more: Any) -> RequestCheck:
    return RequestCheck(RequestRule("flights", "SERVING", **more), SCHEMA)


def test_a_bad_row_is_refused_and_nothing_of_its_request_is_answered(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms, check=check()) as answerer:
        assert answerer.answer([GOOD]).scores == [1.0]
        with pytest.raises(
            DataRejectedError, match="row 1 of the request breaks schema 'flights': n 12 is above 9"
        ) as e:
            answerer.answer([GOOD, {"n": 12, "x": 2.0}], id="a")
        assert e.value.code == "request-refused"
        assert e.value.details["rows"] == {1: "n 12 is above 9; x 2.0 is above 1.0"}
        assert answerer.answer([GOOD], id="a").scores == [1.0]  # the id was not used up
        assert answerer.check is not None
        assert (answerer.check.seen.n_rows, answerer.check.seen.n_bad) == (4, 1)
        assert answerer.n_waiting == 0
    assert len(stored(rooms)) == 2


def test_a_bad_row_is_answered_and_marked(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms, check=check(on_bad="mark")) as answerer:
        answer = answerer.answer([GOOD, {"n": 10, "x": 0.5}])
        assert answer.scores == [1.0, 1.0]
        assert answer.marks == (None, "n 10 is above 9")
        assert answerer.answer([GOOD]).marks == ()
    assert len(stored(rooms)) == 3


def test_missing_values_are_filled_and_asked_again_is_the_same_request(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms, check=check(fill=True)) as answerer:
        rows = [{"n": None, "x": 0.5}]
        assert answerer.answer(rows, id="a").marks == ()
        assert answerer.answer(rows, id="a").repeated
        assert answerer.check is not None
        assert answerer.check.seen.filled == {"n": 2}
        answerer.seal()
        assert answerer.answer(rows, id="a").repeated
    assert stored(rooms)[0]["n"] == 5
    (commit, *_) = rooms.lake.table(INTO).history()
    assert dict(commit.filled) == {"n": 1}


@pytest.mark.parametrize("n", [2, 300])
def test_few_and_many_rows_are_judged_alike(rooms: HandBuiltRooms, n: int) -> None:
    with open_answerer(rooms, check=check(on_bad="mark")) as answerer:
        line = answerer.line
        values = np.tile(np.array([[3.0, 0.5], [10.0, np.nan]]), (n // 2, 1))
        assert answerer.check is not None
        marks = answerer.check(line.ask_matrix(values)).marks
        assert marks == (None, "n 10 is above 9; x is missing") * (n // 2)


def test_without_a_check_everything_is_answered(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms) as answerer:
        assert answerer.check is None
        assert answerer.answer([{"n": 99, "x": 99.0}]).marks == ()


def test_the_rule_is_part_of_the_deployment() -> None:
    assert "check" not in DEPLOYMENT.to_dict()
    checked = replace(DEPLOYMENT, check=RequestRule("flights@2", "SERVING", "mark", fill=True))
    assert deployment_from_dict(checked.to_dict()) == checked
    assert deployment_from_dict(DEPLOYMENT.to_dict()) == DEPLOYMENT


def test_an_unknown_environment_is_refused_at_once() -> None:
    with pytest.raises(NotFoundError, match="environment 'SERVED' not found"):
        RequestCheck(RequestRule("flights", "SERVED"), SCHEMA)
