"""Monitors from the command line: declared, run, and what they found, as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import whence as w
from tests.unit.monitoring.world import HISTORY_DAYS, VIEWS, World, begin
from whence._base.clock import ReplayClock
from whence.cli import main

LIVE = HISTORY_DAYS
DECLARED = [
    *("late", "--deployment", "late", "--labels", "arrivals", "--key", "flight_id"),
    *("--truth", "arr_delay >= 30", "--feed", "arrivals", "--feed", "weather"),
]
UPTO = begin(LIVE + 4).isoformat()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days have been scored; on the third the landings were sent twice. Nothing is watched yet."""
    folder = tmp_path_factory.mktemp("cli") / "late.whence"
    clock = ReplayClock(begin(0))
    with w.connect(folder, clock=clock) as ws:
        world = World(clock=clock)
        world.__dict__["rooms"] = ws
        world.found()
        ws.serving.deploy(
            "late", model="late@champion", table="schedule", views=VIEWS, at="features_at", key="flight_id",
            into="late_scores",
        )  # fmt: skip
        for day in range(LIVE, LIVE + 4):
            world.land(day)
            if day == LIVE + 2:
                ws.table("arrivals").append(world.flights(day)[1])
            world.score(day)
    return folder


Run = Callable[..., str]


@pytest.fixture
def run(folder: Path, told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> Run:
    assert told  # the first run comes before any other

    def run(*words: str, code: int = 0) -> str:
        assert main(["monitor", *words, "-w", str(folder)]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    """What the first run told; it is watched from then on."""
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("whence.cli.output.sys.stdout.write", said.append)
        assert main(["monitor", "list", "-w", str(folder)]) == 0
        assert main(["monitor", "watch", *DECLARED, "--json", "-w", str(folder)]) == 0
        assert main(["monitor", "run", "late", "--upto", UPTO, "--json", "-w", str(folder)]) == 0
    empty, watched, ran = said
    return {"empty": empty, "watch": json.loads(watched), "run": json.loads(ran)}


def alert(told: dict[str, Any]) -> dict[str, Any]:
    found = next(a for a in told["run"]["opened"] if a["metric"] == "repeated_keys")
    assert isinstance(found, dict)
    return found


def test_what_was_declared_and_found_as_json(told: dict[str, Any]) -> None:
    assert told["empty"] == "no monitors yet: whence monitor watch NAME --deployment DEPLOYMENT\n"
    watched = told["watch"]
    assert watched["labels"] == {"table": "arrivals", "key": ["flight_id"], "truth": "arr_delay >= 30"}
    assert (watched["feeds"], watched["table"], watched["budget_per_year"]) == (
        ["arrivals", "weather"],
        "late_scores",
        6.0,
    )
    assert watched["origins"]["weather_now__temp"] == ["weather", "temp", 0]
    ran = told["run"]
    assert (ran["monitor"], ran["upto"]) == ("late", UPTO)
    assert ran["n_windows"] > 0
    assert ran["execution"]
    assert alert(told)["table"] == "arrivals"


def test_the_same_declaration_again_changes_nothing(told: dict[str, Any], run: Run) -> None:
    out = run("watch", *DECLARED)
    facts = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    assert (facts["name"], facts["deployment"], facts["table"]) == ("late", "late", "late_scores")
    assert "origins" not in facts
    assert json.loads(run("watch", *DECLARED, "--json")) == told["watch"]


def test_the_list(told: dict[str, Any], run: Run) -> None:
    row = next(row for row in json.loads(run("list", "--json")) if row["monitor"] == "late")
    n_open = len(told["run"]["opened"]) - len(told["run"]["closed"])
    assert row == {
        "monitor": "late",
        "deployment": "late",
        "predictions": "late_scores",
        "labels": "arrivals",
        "feeds": ["arrivals", "weather"],
        "budget_per_year": 6.0,
        "open_alerts": n_open,
    }
    header, *lines = run("list").splitlines()
    assert header.split() == list(row)
    assert ["late", "late", "late_scores"] in [line.split()[:3] for line in lines]


@pytest.mark.usefixtures("told")
def test_a_run_with_nothing_new_says_so(run: Run) -> None:
    again = json.loads(run("run", "late", "--upto", UPTO, "--json"))
    assert (again["n_windows"], again["opened"], again["closed"]) == (0, [], [])
    said = run("run", "late", "--upto", UPTO)
    assert said == "0 windows judged, 0 stated anew, 0 alerts opened, 0 closed\n"


def test_a_run_shows_what_it_opened_as_a_table(run: Run) -> None:
    """The same world under another name: its first run is told to a person."""
    run("watch", "again", *DECLARED[1:])
    head, header, *lines = run("run", "again", "--upto", UPTO).splitlines()
    assert "alerts opened" in head
    assert header.split()[:4] == ["alert", "metric", "of", "window"]
    assert any("repeated_keys" in line and "table:arrivals@" in line for line in lines)


def test_alerts(told: dict[str, Any], run: Run) -> None:
    found = json.loads(run("alerts", "late", "--json"))
    assert {a["uid"] for a in found} == {a["uid"] for a in told["run"]["opened"]}
    assert [a["start"] for a in found] == sorted(a["start"] for a in found)
    assert json.loads(run("alerts", "late", "--open", "--json")) == [a for a in found if a["closed"] is None]
    assert run("alerts", "late", "--since", begin(LIVE + 300).isoformat()) == "late has no alerts\n"
    assert alert(told)["uid"] in run("alerts", "late")


def test_blame(told: dict[str, Any], run: Run) -> None:
    uid = alert(told)["uid"]
    found = json.loads(run("blame", uid, "--json"))
    assert found == alert(told)["blame"]
    assert (found["table"], found["gradual"]) == ("arrivals", False)
    facts = dict(line.split(maxsplit=1) for line in run("blame", uid).splitlines())
    assert facts["version"] == str(found["version"])
    assert facts["text"] == found["text"]
    assert facts["execution"] in facts["text"]


@pytest.mark.usefixtures("told")
def test_measures(run: Run) -> None:
    rows = json.loads(
        run("measures", "late", "--metric", "ks", "--feature", "distance", "--window", "day", "--json")
    )
    assert [row["start"][:10] for row in rows] == [begin(LIVE + i).date().isoformat() for i in range(4)]
    assert {(row["metric"], row["feature"], row["model"]) for row in rows} == {("ks", "distance", "late@1")}
    assert json.loads(run("measures", "late", "--limit", "1", "--metric", "ks", "--json"))
    header, *_ = run("measures", "late", "--metric", "ks", "--feature", "distance").splitlines()
    assert header.split() == ["metric", "feature", "table", "window", "start", "value", "threshold", "n"]
    assert run("measures", "late", "--metric", "none") == "late has measured nothing of that\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["watch", "x", "--deployment", "lat"], 2, "deployment 'lat' not found (deployment-not-found)"),
        (["watch", "x", "--deployment", "late", "--labels", "arrivals"], 2, "(bad-labels-option)"),
        (["watch", "x", "--deployment", "late", "--tz", "Mars/Olympus"], 2, "(bad-monitor)"),
        (["watch", "x", "--deployment", "late", "--budget", "0"], 2, "(bad-monitor)"),
        (["watch", "a b#/..", "--deployment", "late"], 2, "'a b#/..' cannot name a monitor (bad-name)"),
        (
            ["watch", "x", "--deployment", "late", "--feed", "wether"],
            2,
            "table 'wether' not found (table-not-found). Near: 'weather'",
        ),
        (["watch", "x", *DECLARED[1:5], "--key", "flight_id", "--truth", "1=1; drop"], 2, "(bad-sql)"),
        (["watch", "x", "--deployment", "late", "--truth", "arr_delay >= 30"], 2, "(bad-labels-option)"),
        (["watch", "x"], 2, "deployment"),
        (["run", "lat"], 2, "monitor 'lat' not found (monitor-not-found). Near: 'late'"),
        (["run", "late", "--upto", "monday"], 2, "monday"),
        (["alerts", "lat"], 2, "monitor 'lat' not found"),
        (["blame", "01J"], 2, "alert '01J' not found (alert-not-found)"),
        (["measures", "late", "--window", "month"], 2, "a window is day or week, got 'month' (bad-monitor)"),
        (["measures", "lat"], 2, "monitor 'lat' not found"),
    ],
)
@pytest.mark.usefixtures("told")
def test_what_is_refused(run: Run, words: list[str], code: int, said: str) -> None:
    assert said in run(*words, code=code)


@pytest.mark.usefixtures("told")
def test_a_refusal_as_json_has_the_one_shape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "run", "lat", "--json", "-w", str(folder)]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["near"]) == ("monitor-not-found", ["late"])
