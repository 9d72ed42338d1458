"""Metric stores that earlier versions left behind answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.metadata.make import restore
from tests.golden.tracking.make import HERE, UIDS, answers
from whence.database import Database, sqlite_url
from whence.tracking.open import TABLES, open_metrics
from whence.tracking.types import Batch, Metric

FIXTURES = {"postgresql": "postgres_url", "mariadb": "mariadb_url"}
LEFT = [
    pytest.param(
        folder,
        marks=[pytest.mark.service] if folder.parent.name in FIXTURES else [],
        id="/".join(folder.parts[-2:]),
    )
    for folder in sorted(HERE.glob("*/v*"))
]


def test_every_version_and_system_has_a_golden_database() -> None:
    want = {(s, f"v{n}") for s in ("sqlite", "postgresql", "mariadb") for n in range(1, TABLES.newest + 1)}
    assert {(folder.parent.name, folder.name) for folder in HERE.glob("*/v*")} >= want


@pytest.mark.parametrize("folder", LEFT)
def test_an_old_store_answers_as_it_did(folder: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    system = folder.parent.name
    url = (
        sqlite_url(tmp_path / "x.db")
        if system == "sqlite"
        else str(request.getfixturevalue(FIXTURES[system]))
    )
    database = Database.from_url(url)
    with database.transaction(tables=True) as connection:
        if system == "mariadb":  # the rows come in the order of the tables' names
            connection.exec_driver_sql("SET foreign_key_checks = 0")
        restore(connection, folder)
        if system == "mariadb":
            connection.exec_driver_sql("SET foreign_key_checks = 1")
    metrics = open_metrics(database, upgrade=True)
    told = json.loads((folder / "answers.json").read_text())
    assert json.loads(json.dumps(answers(metrics))) == told
    metrics.write(
        UIDS[0], Batch([Metric("auc", 9.0, 9, metrics.history(UIDS[0], "auc")[-1].at)], {}, {"team": "x"})
    )
    assert metrics.latest(UIDS)[UIDS[0]]["auc"].value == 9.0
    assert metrics.tags(UIDS)[UIDS[0]] == {"team": "x"}
    database.close()
