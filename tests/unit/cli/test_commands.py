"""Every command against a small workspace: what it prints as JSON, what it prints for people, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import whence as w
from whence.cli import main

MOMENT = pa.timestamp("us", tz="UTC")
START = datetime(2025, 1, 1, tzinfo=UTC)
Ask: TypeAlias = Callable[..., Any]

DEFINITIONS = """
import whence as w

spending = w.FeatureView(
    "spending", entity=w.Entity("account", ["account"]), source="payments", timestamp="paid_at",
    features=[w.sum("cents", over="1d"), w.count(over="1d")],
)

@w.step
def double(rows: w.Table["payments"] = w.latest, times: int = 2) -> w.Table["doubled"]:
    return w.current().sql(f"SELECT payment, cents * {times} AS cents FROM payments ORDER BY payment")

@w.pipeline
def doubling(times: int = 2):
    double(times=times)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a table, a schema, a view, a training set, a model and a prediction."""
    folder = tmp_path_factory.mktemp("cli") / "bank.whence"
    (folder.parent / "bank_definitions.py").write_text(DEFINITIONS)
    payments = [
        {"payment": n, "account": "ab"[n % 2], "cents": 100 * n, "paid_at": START + timedelta(hours=n),
         "known_at": START + timedelta(hours=n + 1)}
        for n in range(30)
    ]  # fmt: skip
    with w.connect(folder) as ws:
        columns = [("payment", pa.int64()), ("account", pa.string()), ("cents", pa.int64())]
        schema = pa.schema([*columns, ("paid_at", MOMENT), ("known_at", MOMENT)])
        ws.lake.create("payments", schema, key=["payment"], event_time="paid_at", known_at="known_at")
        ws.table("payments").append(payments, watermark=START + timedelta(days=3))
        spending = w.FeatureView(
            "spending", entity=w.Entity("account", ["account"]), source="payments", timestamp="paid_at",
            features=[w.sum("cents", over="1d"), w.count(over="1d")],
        )  # fmt: skip
        ws.apply(spending)
        spine = pa.table(
            {
                "id": [1, 2, 3, 4],
                "account": ["a", "b", "a", "b"],
                "at": pa.array([START + timedelta(hours=h) for h in (5, 10, 20, 30)], MOMENT),
            }
        )
        with ws.execution("build"):
            ws.table("train.fraud").append(ws.features.point_in_time(spine, [spending], at="at"))
        rows = ws.table("train.fraud").arrow()
        features = [c for c in rows.column_names if "__" in c]
        x = [[float(r[c] or 0) for c in features] for r in rows.to_pylist()]
        sample = rows.select(features).slice(0, 1)
        with ws.runs.start("fit", params={"c": 1.0}) as run:
            run.log_metric("auc", 0.75)
            ws.models.register("fraud", LogisticRegression().fit(x, [0, 1, 0, 1]), sample=sample)
        ws.models.set_alias("fraud", "champion", 1, reason="first")
        ws.table("spine").append(spine)
    return folder


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command with --json in the workspace and give back its one JSON value."""

    def run(*words: str, code: int = 0) -> Any:
        assert main([*words, "--workspace", str(folder), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command in the workspace and give back what it prints for people."""

    def run(*words: str, code: int = 0) -> str:
        assert main([*words, "--workspace", str(folder)]) == code
        return capsys.readouterr().out

    return run


def test_init_makes_a_workspace_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new"
    assert main(["init", str(folder), "--project", "mine", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made == {"workspace": str(folder), "file": str(folder / "whence.toml")}
    assert main(["config", "show", "-w", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"][0]["value"] == "mine"
    assert main(["init", str(folder), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "workspace-exists"
    assert main(["table", "list", "-w", str(folder)]) == 0
    assert capsys.readouterr().out == "no tables yet: whence ingest TABLE FILE\n"


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty"])
def test_a_misspelt_workspace_is_not_made(
    there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "flihgts.whence"
    if there:
        folder.mkdir()
    assert main(["table", "list", "-w", str(folder)]) == 2
    said = capsys.readouterr().err
    assert (
        said
        == f"error: workspace '{folder}' not found (workspace-not-found). Hint: whence init FOLDER makes one\n"
    )
    assert list(tmp_path.iterdir()) == ([folder] if there else [])
    assert not there or not any(folder.iterdir())


def test_tables(ask: Ask, say: Ask) -> None:
    tables = {t["table"]: t for t in ask("table", "list")}
    assert tables["payments"] == {
        "table": "payments",
        "version": 1,
        "rows": 30,
        "watermark": "2025-01-04T00:00:00+00:00",
    }
    shown = ask("table", "show", "payments@0")
    assert (shown["ref"], shown["rows"], shown["declaration"]["key"]) == ("table:payments@0", 0, ["payment"])
    assert [c["version"] for c in ask("table", "history", "payments")] == [1, 0]
    assert len(ask("table", "history", "payments", "--limit", "1")) == 1
    assert say("table", "history", "payments").splitlines()[0].split()[:4] == [
        "version",
        "type",
        "at",
        "added",
    ]
    error = ask("table", "show", "payment", code=2)["error"]
    assert (error["code"], error["near"]) == ("table-not-found", ["payments"])


def test_sql(ask: Ask, say: Ask) -> None:
    assert ask("sql", "SELECT count(*) AS n FROM payments VERSION AS OF 0") == [{"n": 0}]
    assert say("sql", "SELECT payment FROM payments ORDER BY 1", "--limit", "2").splitlines()[-1] == (
        "… and 28 more rows: --limit shows more"
    )
    assert ask("sql", "SELECT nothing FROM payments", code=2)["error"]["type"] in (
        "UsageError",
        "NotFoundError",
    )


def test_ingest_append_hold_and_cleanup(ask: Ask, say: Ask, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("n,word\n1,a\n2,b\n")
    bad.write_text("n,word\nx,a\n")
    more = tmp_path / "more.csv"
    more.write_text("n,word\n3,c\n")
    commits = ask("ingest", "words", str(good), str(more), str(good))
    assert [(c["version"], c["duplicate"]) for c in commits] == [(0, False), (1, False), (0, True)]
    assert say("ingest", "words", str(good)).splitlines()[0].split()[-1] == "duplicate"
    assert ask("table", "append", "words", str(bad), code=2)["error"]["code"] == "bad-data"
    assert ask("table", "append", "words", str(good))["version"] == 2
    assert ask("table", "hold", "words@0", "--reason", "why")["held"] == "table:words@0"
    assert ask("table", "compact", "words")["table"] == "words"
    report = ask("table", "vacuum", "words", "--retention-hours", "0")
    assert (report["dry_run"], report["held"]) == (True, [0])


def test_validation(ask: Ask, say: Ask, tmp_path: Path) -> None:
    assert ask("stats", "payments")["n_rows"] == 30
    assert "account" in say("stats", "payments")
    ask("schema", "infer", "payments@1", "--name", "payments")
    assert [s["schema"] for s in ask("schema", "list")] == ["payments"]
    assert ask("validate", "payments")["anomalies"] == []
    schema = ask("schema", "show", "payments@1")
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema).replace('"b"', '"z"'))
    assert ask("schema", "put", "payments", str(file)) == {"schema": "payments@2"}
    assert len(ask("schema", "diff", "payments@1", "payments@2")) >= 1
    report = ask("validate", "payments", "--schema", "payments@2", code=1)
    assert report["anomalies"][0]["feature"] == "account"
    found = ask("anomalies", "payments")
    assert {(a["feature"], a["type"]) for a in found} == {("account", "ENUM_TYPE_UNEXPECTED_STRING_VALUES")}


def test_features_and_leaks(ask: Ask, say: Ask, folder: Path) -> None:
    assert [v["view"] for v in ask("features", "list")] == ["spending"]
    shown = ask("features", "show", "spending")
    assert shown["digest"].startswith("sha256:")
    assert ask("features", "apply", f"{folder.parent}/bank_definitions.py:spending") == [
        {"view": "spending", "digest": shown["digest"]}
    ]
    assert ask("leaks", "train.fraud")["columns"] == []
    assert "train.fraud" in say("table", "list")


def test_models_and_scoring(ask: Ask, say: Ask) -> None:
    assert ask("models", "list") == [{"model": "fraud", "versions": 1, "aliases": {"champion": 1}}]
    assert ask("models", "show", "fraud@champion")["ref"] == "model:fraud@1"
    assert ask("models", "alias", "fraud", "shadow", "1")["version"] == 1
    assert ask("models", "alias", "fraud", "shadow", "--delete")["version"] is None
    assert [m["alias"] for m in ask("models", "history", "fraud", "--alias", "champion")] == ["champion"]
    words = [
        "score",
        "fraud@champion",
        "spine",
        "--view",
        "spending",
        "--at",
        "at",
        "--into",
        "answers",
        "--key",
        "id",
    ]
    assert ask(*words)["n_rows"] == 4
    assert ask(*words)["duplicate"] is True
    trace = ask("trace", "prediction:answers/2")
    assert trace["ref"] == "prediction:answers/2"
    assert "payments" in say("trace", "prediction:answers/2", "--rows", "1")


def test_trace_impact_and_pages(ask: Ask, say: Ask, tmp_path: Path) -> None:
    page = tmp_path / "trace.html"
    assert f"page: {page}" in say("trace", "model:fraud@champion", "--html", str(page))
    assert page.read_text().startswith("<!doctype html>")
    assert ask("impact", "table:payments@1")["ref"] == "table:payments@1"
    assert ask("diff", "table:payments@0", "table:payments@1")["same"] is False
    assert ask("trace", "model:fraud@9", code=2)["error"]["code"].endswith("-not-found")


def test_runs(ask: Ask, say: Ask) -> None:
    runs = ask("runs", "list")
    fit = next(r for r in runs if r["name"] == "fit")
    assert (fit["params"], fit["metrics"]) == ({"c": 1.0}, {"auc": 0.75})
    assert [r["run"] for r in ask("runs", "list", "--where", "metrics.auc > 0.7")] == [fit["run"]]
    assert ask("runs", "show", fit["run"])["metrics"] == {"auc": 0.75}
    assert ask("runs", "compare", fit["run"], fit["run"])
    assert "auc" in say("runs", "compare", fit["run"], fit["run"])


def test_pipelines(ask: Ask, say: Ask, folder: Path) -> None:
    target = f"{folder.parent}/bank_definitions.py:doubling"
    run = ask("run", target, "--param", "times=3", "--key", "first")
    assert [s["state"] for s in run["steps"]] == ["COMPLETE"]
    assert "CACHED" in say("run", target, "-p", "times=3", "--key", "second")
    assert ask("why", "double")["step"] == "double"
    assert say("why", "double").startswith("double: ")
    verdict = ask("reproduce", "table:doubled@0")
    assert verdict["verdict"] == "identical"
    assert ask("run", target, "-p", "nothing", code=2)["error"]["code"] == "bad-command"
    assert ask("run", "json:dumps", code=2)["error"]["code"] == "not-a-pipeline"


def test_doctor(ask: Ask, say: Ask, tmp_path: Path) -> None:
    answer = ask("doctor")
    assert answer["ok"] is True
    found = {c["name"]: c["status"] for c in answer["checks"]}
    assert {found[n] for n in ("python", "duckdb", "metadata", "lake", "blobs", "compute", "disk")} == {"ok"}
    assert "duckdb says 1 + 1 = 2" in say("doctor")


def test_doctor_changes_nothing_and_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = tmp_path / "absent"
    assert main(["doctor", "-w", str(absent), "--json"]) == 0
    checks = {c["name"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["workspace"]["remedy"] == "whence init makes it"
    assert not absent.exists()
    monkeypatch.setenv("WHENCE_LOG_URL", "kafka://b/t")
    monkeypatch.setenv("WHENCE_COMPUTE_URL", "spark://nowhere")
    (tmp_path / "there").mkdir()
    assert main(["doctor", "-w", str(tmp_path / "there"), "--json"]) == 3
    checks = {c["name"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert (checks["settings"]["status"], "log.url" in checks["settings"]["found"]) == ("warn", True)
    assert checks["compute"]["status"] == "fail"
    assert list((tmp_path / "there").iterdir()) == []
