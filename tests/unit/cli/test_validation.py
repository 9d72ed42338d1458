"""``stats``, ``schema``, ``validate``: versions and files, every format, pages, exit codes, refusals."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet
import pytest

import whence as w
from whence.cli import main
from whence.validation import Feature, Schema, schema_to_yaml

Say: TypeAlias = Callable[..., str]
Ask: TypeAlias = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions of a table and its schema, and the same rows in files beside it."""
    folder = tmp_path_factory.mktemp("validation") / "shop.whence"
    first = [{"order": n, "country": "DE" if n % 3 else "AT", "eur": 5.0 + n, "w": 1.0} for n in range(40)]
    second = [{"order": 100 + n, "country": "FR", "eur": 900.0 + n, "w": 3.0} for n in range(60)]
    with w.connect(folder) as ws:
        orders = ws.table("orders")
        orders.append(first)
        schema = ws.validation.infer_schema(ws.validation.statistics(orders.head()))
        ws.validation.put_schema("orders", schema)
        orders.append(second)
    pyarrow.parquet.write_table(pa.Table.from_pylist(first), folder.parent / "first.parquet")
    lines = ["order,country,eur,w", *(",".join(map(str, row.values())) for row in second)]
    (folder.parent / "second.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command beside the files and give back what it prints for people."""
    monkeypatch.chdir(folder.parent)

    def run(*words: str, code: int = 0, ws: bool = True) -> str:
        more = ["-w", str(folder)] if ws else []
        assert main([*words, *more]) == code
        return capsys.readouterr().out

    return run


@pytest.fixture
def ask(say: Say) -> Ask:
    """Run a command with --json and give back its one JSON value."""

    def run(*words: str, code: int = 0, ws: bool = True) -> Any:
        return json.loads(say(*words, "--json", code=code, ws=ws))

    return run


def test_a_version_and_a_file_are_described_alike(say: Say, ask: Ask) -> None:
    version, file = ask("stats", "orders@0"), ask("stats", "first.parquet", ws=False)
    assert [f["name"] for f in version["features"]] == [f["name"] for f in file["features"]]
    assert version["n_rows"] == file["n_rows"] == 40
    assert version["features"][2]["mean"] == file["features"][2]["mean"]
    table = say("stats", "first.parquet", "--top", "2", ws=False)
    assert "first.parquet: 40 rows" in table
    assert "DE 65 %, AT 35 %" in table


def test_columns_slices_weights_and_samples_are_options(say: Say, ask: Ask) -> None:
    told = ask("stats", "orders", "--columns", "country,eur", "--slices", "country", "--weights", "w")
    assert [f["name"] for f in told["features"]] == ["country", "eur"]
    assert set(told["slices"]) == {"country=DE", "country=AT", "country=FR"}
    table = say("stats", "orders", "--weights", "w", "--slices", "dear:eur > 900", "--columns", "eur")
    assert "weighted" in table
    assert "dear: 59 rows" in table
    assert ask("stats", "second.csv", "--sample", "0.5", ws=False)["sample"]["rate"] == 0.5
    assert "correlation" in say("stats", "second.csv", "--correlations", ws=False)


def test_versions_are_compared_oddest_first(say: Say, ask: Ask) -> None:
    table = say("stats", "orders@0", "second.csv").splitlines()
    assert table[0].startswith("@1 orders@0: 40 rows")
    assert table[4].split()[0] in ("eur", "country", "order")
    told = ask("stats", "orders@0", "second.csv")
    assert [s["n_rows"] for s in told["statistics"]] == [40, 60]
    assert told["compared"][0]["of"] == "second.csv"


def test_what_stands_for_nothing_is_counted(say: Say, ask: Ask, folder: Path) -> None:
    (folder.parent / "empty.csv").write_text("n,t\n-1,x\n-1,\n3,y\n")
    told = ask("stats", "empty.csv", "--empty-values", ws=False)
    assert told["extras"]["empty values"]["n"] == {"int_-1": 2}
    text = say("stats", "empty.csv", "--empty-values", ws=False)
    assert text.splitlines()[-1].split() == ["n", "int_-1", "2"]


def test_training_and_serving_rows_are_compared(say: Say, ask: Ask, folder: Path) -> None:
    served = "order,country,eur\n1,DE,6.0\n2,DE,7.5\n3,,8.0\n999,DE,1.0\n"
    (folder.parent / "served.csv").write_text(served)
    text = say("skew", "orders@0", "served.csv", "--on", "order", code=1)
    assert "2 of 2 features differ" in text
    told = ask("skew", "first.parquet", "served.csv", "--on", "order", code=1, ws=False)
    assert (told["n_pairs"], told["n_serving_only"], told["ok"]) == (3, 1, False)
    assert [(f["mismatch"], f["training_only"]) for f in told["features"]] == [(0, 1), (1, 0)]
    near = ("--tolerance", "eur=0.5", "--columns", "eur")
    assert ask("skew", "first.parquet", "served.csv", "--on", "order", *near, ws=False)["ok"]
    assert "no feature differs" in say("skew", "orders@0", "orders@1", "--on", "order")
    assert ask("skew", "orders@0", "orders@1", "--on", "order")["artifact"].startswith("artifact:")
    assert ask("skew", "orders@0", "served.csv", "--on", "order", "--allow", "0.5")["ok"]
    none = say("skew", "first.parquet", "second.csv", "--on", "order", code=1, ws=False)
    assert "nothing was compared" in none
    wrong = ask("skew", "orders@0", "orders@1", "--on", "order", "--tolerance", "eur=much", code=2)
    assert wrong["error"]["code"] == "bad-tolerance"


def test_a_page_is_written(say: Say, folder: Path) -> None:
    told = say("stats", "orders@0", "orders@1", "--schema", "orders", "--html", "stats.html")
    assert "written: stats.html" in told
    page = (folder.parent / "stats.html").read_text()
    assert "orders@0 → orders@1" in page
    assert "Expected:" in page
    assert (
        "folder-not-found"
        in json.loads(say("stats", "orders", "--html", "no/x.html", "--json", code=2))["error"]["code"]
    )


def test_a_table_narrows_with_the_terminal(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    narrow = say("stats", "orders")
    assert max(map(len, narrow.splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "200")
    assert "commonest" in say("stats", "orders")


def test_validate_compares_with_a_version_and_marks_a_page(say: Say, ask: Ask, folder: Path) -> None:
    told = ask("validate", "orders@1", "--previous", "0", code=1)
    assert {a["feature"] for a in told["anomalies"]} == {"country"}
    assert told["anomalies"][0]["rows"]
    assert {d["side"] for d in told["distances"]} == {"drift"}
    text = say("validate", "orders@1", "--previous", "0", "--html", "v.html", code=1)
    assert "written: v.html" in text
    page = (folder.parent / "v.html").read_text()
    assert "orders@0 → orders@1" in page
    assert "for example" in page
    assert ask("validate", "orders@0")["ok"]
    text = say("validate", "orders@0", "--previous", "0", "--serving", "orders@0")
    assert [line.split()[1] for line in text.splitlines() if "not judged" in line] == ["drift", "skew"]
    assert {d["side"] for d in ask("validate", "orders@0", "--serving", "second.csv")["distances"]} == {
        "skew"
    }


def test_files_are_validated_without_a_workspace(say: Say, ask: Ask, tmp_path: Path) -> None:
    schema = str(tmp_path / "orders.yaml")
    say("schema", "infer", "first.parquet", "-o", schema, ws=False)
    assert ask("validate", "first.parquet", "--schema", schema, ws=False)["ok"]
    told = ask("validate", "second.csv", "--schema", schema, "--previous", "first.parquet", code=1, ws=False)
    assert told["schema"] == "orders.yaml"
    assert told["anomalies"][0]["n_rows"] == 60
    assert told["anomalies"][0]["rows"][0] == "second.csv:2"
    assert told["distances"]


@pytest.mark.parametrize("format_", ["json", "yaml", "pbtxt"])
def test_a_schema_goes_out_and_in_in_every_format(say: Say, ask: Ask, tmp_path: Path, format_: str) -> None:
    if format_ == "pbtxt":
        pytest.importorskip("google.protobuf")
    file = tmp_path / f"s.{format_}"
    file.write_text(say("schema", "show", "orders@1", "--format", format_))
    assert ask("schema", "diff", "orders@1", str(file)) == []
    assert ask("schema", "put", f"from_{format_}", str(file))["schema"] == f"from_{format_}@1"
    other = tmp_path / "other.yaml"
    assert ask("schema", "convert", str(file), str(other), ws=False) == {"schema": str(other)}
    assert ask("schema", "diff", str(file), str(other), ws=False) == []
    assert ask("schema", "check", str(other), ws=False)["ok"]


def test_a_schema_is_edited_in_the_users_editor(
    say: Say, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("schema", "infer", "orders@0", "--name", "edited")
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i "s/AT, DE/AT, DE, FR/" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    made = ask("schema", "edit", "edited")
    assert made["schema"] == "edited@2"
    assert "FR" in " ".join(made["changes"])
    history = ask("schema", "history", "edited")
    assert [h["schema"] for h in history] == ["edited@1", "edited@2"]
    assert "FR" in " ".join(history[1]["changes"])
    assert "(the first)" in say("schema", "history", "edited")
    editor.write_text('#!/bin/sh\necho "features: {x: FLOTA}" > "$1"\n')
    assert ask("schema", "edit", "edited", code=2)["error"]["code"]
    editor.write_text("#!/bin/sh\nexit 3\n")
    assert ask("schema", "edit", "edited", code=2)["error"]["code"] == "editor-failed"
    monkeypatch.setenv("EDITOR", str(tmp_path / "no-editor"))
    assert ask("schema", "edit", "edited", code=2)["error"]["code"] == "editor-failed"
    assert len(ask("schema", "history", "edited")) == 2


def test_defaults_are_filled_when_a_schema_says_so(say: Say, ask: Ask, folder: Path, tmp_path: Path) -> None:
    file, rows = tmp_path / "notes.yaml", tmp_path / "notes.csv"
    with w.connect(folder) as ws:
        ws.lake.create("notes", pa.schema({"n": pa.int64(), "text": pa.string()}))
        schema = Schema().add(Feature("n", "INT"), Feature("text", "STRING", default="none"))
    file.write_text(schema_to_yaml(schema))
    rows.write_text("n,text\n1,\n2,x\n")
    ask("schema", "put", "notes", str(file), "--enforce", "--fill")
    assert [h["fills"] for h in ask("schema", "history", "notes")] == [True]
    assert "enforced, fills" in say("schema", "history", "notes")
    (commit,) = ask("ingest", "notes", str(rows))
    assert commit["filled"] == {"text": 1}
    assert ask("stats", "notes")["extras"]["filled"]["counts"] == {"text": 1}
    assert "1 (50 %)" in say("stats", "notes")


def test_mistakes_are_named_with_the_way_out(ask: Ask, tmp_path: Path) -> None:
    def code(*words: str) -> str:
        return str(ask(*words, code=2)["error"]["code"])

    typo = tmp_path / "typo.yaml"
    typo.write_text("features:\n  x: {tpye: INT}\n")
    error = ask("schema", "check", str(typo), code=2, ws=False)["error"]
    assert "line 2" in error["message"]
    assert code("schema", "show", "orders", "--format", "xml") == "bad-format"
    assert code("validate", "second.csv") == "bad-command"
    assert code("validate", "second.csv", "--schema", "orders", "--previous", "0") == "bad-command"
    assert code("validate", "second.csv", "--schema", "no.yaml") == "file-not-found"
    assert code("stats", "none.csv") == "file-not-found"
    assert code("stats", "none") == "table-not-found"
    rows = tmp_path / "rows.ndjson"
    rows.write_text("{}\n")
    error = ask("stats", str(rows), code=2, ws=False)["error"]
    assert error["code"] == "bad-format"
    assert "whence ingest TABLE" in error["hint"]
    fine = tmp_path / "fine.yaml"
    fine.write_text("features:\n  x: INT\n")
    assert ask("schema", "convert", str(fine), "x.txt", code=2, ws=False)["error"]["code"] == "bad-format"


def test_contradictions_of_a_schema_are_an_answer_no(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("features:\n  x: {type: INT, min: 9, max: 1}\n")
    told = ask("schema", "check", str(file), code=1, ws=False)
    assert told["contradictions"]


def test_long_scans_tell_how_far_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(folder.parent / "second.csv")]) == 0
    assert "statistics of second.csv" in capsys.readouterr().err
