"""``whence import mlmd``, ``whence export mlmd`` and ``whence serve --mlmd``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import whence
from tests.unit.integrations.mlmd.calls import pb
from tests.unit.integrations.mlmd.golden import restored
from whence.cli import main
from whence.integrations.mlmd.metadata_store import MetadataStore
from whence.metadata import Artifact


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    got = main(list(words))
    said = capsys.readouterr()
    assert got == code, said
    return said.out or said.err


def test_a_database_comes_in_and_again_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = restored(tmp_path), str(tmp_path / "a.whence")
    run(capsys, "init", folder)
    words = ["import", "mlmd", str(path), "-w", folder]
    dry = json.loads(run(capsys, *words, "--dry-run", "--json"))
    assert (dry["found"]["Artifact"], sum(dry["written"].values())) == (2, 0)
    assert run(capsys, *words, "--dry-run").endswith("nothing was written; all of it would come in\n")
    assert "Artifact" in run(capsys, *words)
    again = json.loads(run(capsys, *words, "--json"))
    assert (again["version"], sum(again["written"].values()), again["told"]) == (10, 0, [])
    with whence.connect(folder) as ws:
        (found,) = ws.graph.find_nodes("artifact", name="first").nodes
        assert isinstance(found, Artifact)
        assert found.uri == "/x/é/日本"


def test_what_came_in_goes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder, out = restored(tmp_path), str(tmp_path / "a.whence"), str(tmp_path / "out.db")
    run(capsys, "init", folder)
    run(capsys, "import", "mlmd", str(path), "-w", folder, "--namespace", "team")
    done = json.loads(run(capsys, "export", "mlmd", out, "-w", folder, "--namespace", "team", "--json"))
    assert (done["written"]["Artifact"], done["written"]["Event"], done["told"]) == (2, 7, [])
    assert "file-exists" in run(capsys, "export", "mlmd", out, "-w", folder, "--namespace", "team", code=3)
    assert "Artifact" in run(
        capsys, "export", "mlmd", out, "-w", folder, "--namespace", "team", "--force", "--strict"
    )
    assert "no-such" in run(capsys, "export", "mlmd", out, "-w", folder, "--namespace", "no-such", code=2)


def test_a_dry_run_says_all_that_would_be_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = restored(
        tmp_path,
        10,
        "UPDATE Artifact SET state = 77 WHERE id = 2",
        "DELETE FROM TypeProperty WHERE name = 'share'",
    )
    folder = str(tmp_path / "a.whence")
    run(capsys, "init", folder)
    words = ["import", "mlmd", str(path), "-w", folder, "--dry-run", "--namespace", "not-made"]
    said = run(capsys, *words, code=1)
    assert "refused: 77 is no state of an artifact" in said
    assert "refused: artifact 1: property 'share' is not declared" in said
    assert len(json.loads(run(capsys, *words, "--json", code=1))["refused"]) == 2
    with whence.connect(folder) as ws:
        assert [n.name for n in ws.store.list_namespaces()] == ["default"]


def test_ids_that_move_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "a.whence")
    run(capsys, "init", folder)
    run(capsys, "import", "mlmd", str(restored(tmp_path)), "-w", folder)
    said = run(
        capsys,
        "import",
        "mlmd",
        str(restored(tmp_path, 9)),
        "--name",
        "other",
        "--namespace",
        "other",
        "-w",
        folder,
    )
    assert "every id is" in said


def test_a_file_that_is_no_such_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "a.whence")
    run(capsys, "init", folder)
    assert "none.db" in run(capsys, "import", "mlmd", str(tmp_path / "none.db"), "-w", folder, code=2)


def test_half_a_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["serve", "-w", str(tmp_path / "a.whence"), "--mlmd", "127.0.0.1:0", "--mlmd-key", "k.pem"]
    assert "--mlmd-client-ca" in run(capsys, *words, code=2)
    words = ["serve", "-w", str(tmp_path / "a.whence"), "--mlmd-namespace", "team"]
    assert "--mlmd-namespace needs --mlmd" in run(capsys, *words, code=2)


def test_ml_metadata_is_answered_beside_the_pages(tmp_path: Path) -> None:
    folder = tmp_path / "a.whence"
    with whence.connect(folder):
        pass
    program = "import sys; from whence.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        program,
        "serve",
        "-w",
        str(folder),
        "--port",
        "0",
        "--mlmd",
        "127.0.0.1:0",
        "--mlmd-namespace",
        "team",
    ]
    with subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    ) as process:
        try:
            assert process.stdout is not None
            said: dict[str, Any] = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
            host, port = said["mlmd"].rsplit(":", 1)
            config = pb.MetadataStoreClientConfig(host=host, port=int(port))
            store = MetadataStore(config)
            type_id = store.put_artifact_type(pb.ArtifactType(name="Shipment"))
            (made,) = store.put_artifacts([pb.Artifact(type_id=type_id, uri="/x", name="one")])
            assert [a.id for a in store.get_artifacts()] == [made]
            store.close()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    with whence.connect(folder) as ws:
        team = ws.graph.in_namespace("team")
        assert [n.name for n in team.find_nodes("artifact", type_="Shipment").nodes] == ["one"]
        assert ws.graph.find_nodes("artifact", type_="Shipment").nodes == []
