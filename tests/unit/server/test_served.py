"""Which version answers for a model that nobody deployed, and for an id that was answered before."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import whence
from whence.errors import ConflictError, NotFoundError
from whence.server.served import Served

SAMPLE = pa.table({"n": pa.array([1, 2], pa.int64()), "x": [0.5, 1.5]})
ROWS = [{"n": 1, "x": 0.5}]


def constant(value: float) -> Any:
    """A model whose answer tells which it is."""
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.zeros(2), value, 2
    return model


def test_a_model_without_champion_answers_with_its_newest_until_it_has_one(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        ws.models.register("m2013", constant(1.0), sample=SAMPLE)
        served = Served(ws)
        served.open()
        answerer = served.find("m2013")
        assert answerer._follower is not None
        assert answerer.answer(ROWS).model == "m2013@1"
        for value in (2.0, 3.0):
            ws.models.register("m2013", constant(value), sample=SAMPLE)
        answerer.refresh()  # what the follower does each half second
        assert answerer.answer(ROWS).model == "m2013@3"
        ws.models.set_alias("m2013", "champion", 2)
        answerer.refresh()
        assert served.find("m2013").answer(ROWS).model == "m2013@2"
        served.close()


def test_an_unknown_model_is_not_found(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        served = Served(ws)
        served.open()
        with pytest.raises(NotFoundError, match="model-not-found"):
            served.find("late")
        served.close()


def test_an_id_answered_by_one_version_is_not_repeated_for_another(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        for value in (1.0, 2.0):
            ws.models.register("late", constant(value), sample=SAMPLE)
        ws.models.set_alias("late", "champion", 1)
        served = Served(ws)
        served.open()
        answerer = served.find("late")
        assert answerer.answer(ROWS, id="one").model == "late@1"
        assert answerer.answer(ROWS, id="two", version=2).model == "late@2"
        for _ in ("remembered", "in the table"):
            assert answerer.answer(ROWS, id="one", version=1).repeated
            assert answerer.answer(ROWS, id="two", version=2).repeated
            assert (
                answerer.answer(ROWS, id="two").model == "late@2"
            )  # who names no version takes what is stored
            for id_, version, by in (("one", 2, "late@1"), ("two", 1, "late@2")):
                with pytest.raises(ConflictError, match=f"'{id_}' was answered by {by}") as raised:
                    answerer.answer(ROWS, id=id_, version=version)
                assert raised.value.code == "request-id-reused"
            answerer.seal()
        served.close()


def test_who_waits_is_woken_once_for_what_was_told_together(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        ws.models.register("late", constant(1.0), sample=SAMPLE)
        served = Served(ws)
        served.open()
        answerer = served.find("late")
        told: list[object] = []
        seen: queue.SimpleQueue[int] = queue.SimpleQueue()

        def fail() -> None:
            raise RuntimeError("its loop has ended")

        answerer.after_batch(fail)
        answerer.after_batch(lambda: seen.put(len(told)))
        for n_told in (1, 2):
            answerer.submit(answerer.line.ask_matrix(np.array([[1.0, 0.5]])), told.append)
            assert seen.get(timeout=30) == n_told
        served.close()
        assert seen.empty()
