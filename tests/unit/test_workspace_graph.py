"""The graph of a workspace: what its rooms call things, what they hold, and who may write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

import whence as w
from tests.golden.metadata.make import HERE, restore
from tests.unit.registry.sample_models import labels, rows
from whence.database import Database, sqlite_url
from whence.metadata import Recorder
from whence.metadata.beats import DatabaseLife
from whence.metadata.graph import Graph


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[w.Workspace]:
    with w.connect(tmp_path / "a.whence") as ws:
        yield ws


def test_the_rooms_names_are_understood(ws: w.Workspace) -> None:
    for n in range(2):
        ws.table("flights").append([{"n": n}])
    x = rows()
    with ws.runs.start("first") as run:
        for _ in range(2):
            ws.models.register("late", LogisticRegression().fit(x, labels(x)))
    ws.models.set_alias("late", "champion", 1)
    graph = ws.graph
    names = {
        "table:flights@0": "flights@0", "table:flights": "flights@1", "model:late@champion": "late@1",
        "model:late@2": "late@2", "Model/late@2": "late@2", "flights@1": "flights@1",
    }  # fmt: skip
    assert {ref: graph.artifact(ref).name for ref in names} == names
    assert graph.execution("run:first").uid == graph.execution(run.ref).uid
    project = graph.context("Project/default")
    assert (
        graph.context(project.uid)
        == graph.node(project)
        == graph.context(f"context:{project.uid}")
        == project
    )
    assert project.id is not None
    assert graph.node(project.id) == project
    for ref, code in (
        ("model:lat@champion", "registered-model-not-found"), ("table:flights@7", "table-version-not-found"),
        ("flighst@1", "artifact-not-found"), ("execution:flights@1", "bad-reference"),
    ):  # fmt: skip
        with pytest.raises(w.WhenceError) as error:
            graph.artifact(ref)
        assert error.value.code == code, ref
    with pytest.raises(w.UsageError, match="bad-reference"):
        graph.context(graph.resolve("flights@1"))


def test_what_two_nodes_are_called_is_not_guessed(ws: w.Workspace) -> None:
    graph = ws.graph
    graph.add("Report", "april", kind="artifact")
    graph.add("Chart", "april", kind="artifact")
    with pytest.raises(w.UsageError, match="ambiguous-reference"):
        graph.node("april")
    assert graph.node("Chart/april").type == "Chart"


def test_what_the_rooms_need_is_not_removed(ws: w.Workspace) -> None:
    ws.table("flights").append([{"n": 1}])
    x = rows()
    with ws.graph.record("train"):
        for _ in range(2):
            ws.models.register("late", LogisticRegression().fit(x, labels(x)))
    ws.models.set_alias("late", "champion", 2)
    ws.table("flights").hold(0, reason="audit")
    for ref, why in (
        ("table:flights@0", "table 'flights' is in the lake"), ("model:late@champion", "alias 'champion' points at it"),
        ("RegisteredModel/late", "a RegisteredModel is how the rooms work"), ("Project/default", "a project is where"),
    ):  # fmt: skip
        with pytest.raises(w.ConflictError, match=why) as error:
            ws.graph.remove(ref)
        assert error.value.code == "still-referenced"
    ws.graph.remove("model:late@1")
    assert [v.version for v in ws.models.versions("late")] == [2]


def test_an_opened_workspace_does_not_miss_what_was_removed(tmp_path: Path) -> None:
    with w.connect(tmp_path / "a.whence") as ws:
        ws.table("flights").append([{"n": 1}])
        (append,) = ws.graph.find("execution", "type = 'append'")
        ws.graph.remove(append)
        with ws.graph.record("train", inputs=["table:flights@0"]) as run:
            run.output(ws.graph.new("Report", "april"))
        ws.graph.remove(run.uid, "april")
    with w.connect(tmp_path / "a.whence") as ws:
        assert ws.graph.count("execution") == 0
        assert ws.graph.artifact("table:flights@0").state == "LIVE"
        assert ws.table("flights").append([{"n": 2}]).version == 1


def test_who_only_looks_changes_nothing(tmp_path: Path) -> None:
    with w.connect(tmp_path / "a.whence") as ws:
        ws.graph.add("Report", "april", kind="artifact")
    with w.connect(tmp_path / "a.whence", read_only=True) as ws:
        graph = ws.graph
        assert graph.count("artifact") == 1
        for attempt in (
            lambda: graph.add("Report", "may"), lambda: graph.remove("april"), lambda: graph.mark("april", "x"),
            lambda: graph.type("Other"), lambda: graph.retain("r", keep_newest=1),
            lambda: graph.put_namespace("team"), lambda: graph.record("train").__enter__(),
        ):  # fmt: skip
            with pytest.raises(w.DeniedError, match="read-only"):
                attempt()
        assert graph.collect().removed == []
        with pytest.raises(w.NotFoundError, match="namespace-not-found"):
            graph.in_namespace("team", create=True)
        with pytest.raises(w.DeniedError, match="read-only"):
            graph.in_namespace("default").add("Report", "may")


def test_lives_are_files_where_there_is_a_folder_and_beats_where_there_is_none(ws: w.Workspace) -> None:
    with ws.graph.record("train") as run:
        assert list((ws.folder / "locks").glob("*.life"))
    assert run.execution.get("life")
    assert ws.store.list_beats() == []
    life = DatabaseLife(ws.store)
    shared = Recorder(ws.store, life=life)
    with Graph(ws.store, recorder=lambda: shared).record("train") as run:
        assert [b.uid for b in ws.store.list_beats()] == [run.execution.get("life")]
    life.close()


def test_a_graph_on_a_server_is_shared_by_hosts(tmp_path: Path, postgres_url: str) -> None:
    """Each host has a folder of its own; lives are beats; the folder is opened again."""
    for n in range(2):
        with w.connect(tmp_path / "a.whence", metadata_url=postgres_url) as ws:
            assert ws.table("flights").append([{"n": n}]).version == n
            with ws.graph.record("train", inputs=["table:flights"]) as run:
                assert [b.uid for b in ws.store.list_beats()] == [run.execution.get("life")]
            mark = ws.graph.mark("table:flights", "broken", policy="alert")
            assert [m.id for m in ws.graph.tainted(run.uid).marks] == [mark.id]
        assert not list((tmp_path / "a.whence" / "locks").glob("*.life"))
    with w.connect(tmp_path / "a.whence", metadata_url=postgres_url) as ws:
        assert ws.store.list_beats() == []
        assert ws.graph.count("execution", by="type") == {"append": 2, "train": 2}
        (rows,) = ws.sql(
            "SELECT count(*) AS n FROM graph.executions e JOIN graph.types t ON t.name = e.type"
        ).to_pylist()
        assert rows["n"] == 4
        ws.graph.retain("runs", "execution", "type = 'train'", keep_newest=1)
        assert len(ws.graph.collect(dry_run=False).removed) == 1


def test_a_pipeline_waits_for_marks_on_whatever_the_alias_points_at(ws: w.Workspace) -> None:
    x = rows()
    for version in range(2):
        ws.table("rows").append([{"n": version}])
        with ws.graph.record("train", inputs=[f"table:rows@{version}"]):
            ws.models.register("late", LogisticRegression().fit(x, labels(x)))

    @w.pipeline(triggers=[w.on_taint("model:late@champion")])
    def again() -> None: ...

    ws.models.set_alias("late", "champion", 1)
    mark = ws.graph.mark("table:rows@0", "swapped", policy="retrain")
    assert [m.id for m in ws.graph.taints("model:late@champion")] == [mark.id]
    (due,) = ws.pipelines.due([again])
    assert due.trigger == "taint-model:late@champion"
    ws.models.set_alias("late", "champion", 2)
    assert ws.pipelines.due([again]) == []


def test_an_older_workspace_is_refused_until_it_is_upgraded(tmp_path: Path) -> None:
    folder = tmp_path / "a.whence"
    folder.mkdir()
    database = Database.from_url(sqlite_url(folder / "whence.db"))
    with database.transaction() as connection:
        restore(connection, HERE / "sqlite" / "v1")
    database.close()
    before = (folder / "whence.db").read_bytes()
    for more in ({}, {"read_only": True}, {"read_only": True, "upgrade": True}):
        with pytest.raises(w.ConflictError, match="whence migrate") as error, w.connect(folder, **more) as ws:  # type: ignore[arg-type]
            ws.graph.count("artifact")
        assert error.value.code == "workspace-older"
        assert (folder / "whence.db").read_bytes() == before
    with w.connect(folder, upgrade=True) as ws:
        n = ws.graph.count("artifact")
        assert n > 0
    with w.connect(folder) as ws:
        assert ws.graph.count("artifact") == n


def test_a_graph_says_what_it_is(ws: w.Workspace) -> None:
    with ws.graph.record("train") as run:
        run.output(ws.graph.new("Report", "april"))
    assert repr(ws.graph) == "<graph: 2 artifacts, 1 executions, 1 contexts>"
    assert "<td>train</td>" in ws.graph._repr_html_()
    found = ws.graph.find("artifact", "type = 'Report'")
    assert repr(found).splitlines()[0] == "<artifacts with type = 'Report'>"
    assert "Report april LIVE" in repr(found)
    assert "<td>april</td>" in found._repr_html_()
    assert found.first() == found.all()[0]
    assert ws.graph.find("context", "name = 'none'").first() is None
    with pytest.raises(w.UsageError, match="bad-filter"):
        ws.graph.find("artifact", "type =")
