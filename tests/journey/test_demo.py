"""`whence demo flights`: the object it prints, and that it may be run twice."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

import whence
from whence.cli.app import app
from whence.journeys.flights.feeds import load_feeds


def demo(folder: Path, days: int, *more: str) -> dict[str, object]:
    words = ["demo", "flights", "--dir", str(folder), "--days", str(days), "--json", *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(
        done.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON")
    )
    return found


def landed_by(day: date) -> dict[str, int]:
    """Rows of each feed up to a day; arrivals one day on, for who was in the air at midnight."""
    extra = {"schedule": 0, "arrivals": 1, "weather": 0}
    feeds = load_feeds()
    return {name: int((feeds[name].day <= day.toordinal() + days).sum()) for name, days in extra.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "flights.whence"


def test_two_days_then_one_more(folder: Path) -> None:
    found = demo(folder, 2)
    assert found["rows"] == {**landed_by(date(2013, 4, 2)), "planes": 3_322, "airports": 1_458}
    assert (
        found["predictions"]
        == landed_by(date(2013, 4, 2))["schedule"] - landed_by(date(2013, 3, 31))["schedule"]
    )
    assert found["leaks"] == 0
    metrics = found["metrics"]
    assert isinstance(metrics, dict)
    assert list(metrics) == ["2013-04"]
    month = metrics["2013-04"]
    assert {"n", "rate", "mean_score", "baseline_auc", "champion_auc", "champion_log_loss"} <= set(month)
    assert month["n"] == found["labels"]
    assert month["champion_auc"] > month["baseline_auc"] > 0.5
    check_live(found, folder)
    check_trace(found)
    check_reproduction(found)
    check_anomalies(found)
    assert "<svg" in (folder / "report.html").read_text()
    again = demo(folder, 3)
    assert again["reproduce"] == found["reproduce"]
    assert isinstance(again["predictions"], int)
    assert again["predictions"] > found["predictions"]


def check_live(found: dict[str, object], folder: Path) -> None:
    """What the live part adds; and a finished journey is only reported."""
    assert (found["duplicates"], found["parity_cells_differing"]) == (0, 0)
    assert found["quarantine"] == {"in": 0, "replayed": 0}
    assert found["promotions"] == []
    months = found["auc"]
    assert isinstance(months, dict)
    assert list(months) == ["2013-04"]
    april = months["2013-04"]
    assert set(april) == {"n", "baseline", "frozen", "champion", "log_loss", "mean_score", "rate"}
    assert april["frozen"] == april["champion"] > april["baseline"]
    assert isinstance(found["alerts"], list)
    for alert in found["alerts"]:
        assert {
            "metric",
            "feature",
            "value",
            "threshold",
            "window",
            "table",
            "version",
            "execution",
            "planted",
        } <= set(alert)
    with whence.connect(folder, read_only=True) as ws:
        before = {name: ws.table(name).head().version for name in ws.lake.list()}
        executions = len(ws.graph.find_nodes("execution", limit=100_000).nodes)
    reported = demo(folder, 2, "--resume")
    assert reported == found
    with whence.connect(folder, read_only=True) as ws:
        assert {name: ws.table(name).head().version for name in ws.lake.list()} == before
        assert len(ws.graph.find_nodes("execution", limit=100_000).nodes) == executions


def check_trace(found: dict[str, object]) -> None:
    trace = found["trace"]
    assert isinstance(trace, dict)
    assert trace["prediction"].startswith("prediction:late_scores/")
    assert len(trace["features"]) > 30
    for value in trace["features"].values():
        assert set(value) == {"value", "recomputed", "rows"}
        assert value["value"] == value["recomputed"]
        assert isinstance(value["rows"], int)
        assert value["value"] is None or math.isfinite(value["value"])


def check_reproduction(found: dict[str, object]) -> None:
    reproduced = found["reproduce"]
    assert isinstance(reproduced, dict)
    assert reproduced["verdict"] == "identical"
    assert reproduced["run"] in [r["run"] for r in found["runs"]]  # type: ignore[attr-defined]


def check_anomalies(found: dict[str, object]) -> None:
    """The wind of 1048 mph at Newark is found, with its row, without having been looked for."""
    anomalies = found["anomalies"]
    assert isinstance(anomalies, list)
    (wind,) = [a for a in anomalies if a["feature"] == "wind_speed"]
    assert wind["type"] == "FLOAT_TYPE_BIG_FLOAT"
    assert wind["observed"] == pytest.approx(1048.36058)
    assert "2013-02-12 08" in wind["rows"][0]
