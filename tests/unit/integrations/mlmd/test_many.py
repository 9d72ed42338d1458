"""Memory while a large graph goes out and comes in: as much at the end as near the beginning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from whence.database import sqlite_url
from whence.metadata import Artifact, Context, Event, Execution, Rows, Type, open_store

N_EXECUTIONS = 6_000
MOST_MB = 50
"""What a run on six times as much may take more. Batches of 5,000 rows and SQLite's caches fill up meanwhile."""

CHILD = """
import resource, sys
from pathlib import Path
from whence.integrations.mlmd.exporter import export_mlmd
from whence.integrations.mlmd.importer import import_mlmd
from whence.metadata import open_store
from whence.metadata.exchange import Piece, write_graphml, write_prov

what, url, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])
store = open_store(url)
if what == "export mlmd":
    export_mlmd(store, file, replace=True)
elif what == "import mlmd":
    import_mlmd(store, file)
elif what == "dry run":
    assert import_mlmd(store, file, dry_run=True).refused == []
elif what == "arrow":
    for table in ("artifacts", "events"):
        for batch in store.scan(table):
            del batch
else:
    {"prov": write_prov, "graphml": write_graphml}[what](Piece.of(store), file, replace=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def fill(path: Path, n: int) -> None:
    """Executions, each with two artifacts, in contexts of 200."""
    store = open_store(sqlite_url(path))
    store.put_type(Type("artifact", "Data", {"n": "INT", "s": "STRING"}))
    store.put_type(Type("execution", "Run", {"n": "INT"}))
    store.put_type(Type("context", "Group"))
    for start in range(0, n, 1_000):
        group = Context(type="Group", name=f"g{start}")
        runs = [Execution(type="Run", name=f"r{i}", properties={"n": i}) for i in range(start, start + 1_000)]
        data = [Artifact(type="Data", uri=f"/{i}", properties={"n": i, "s": "x" * 40}) for i in range(2_000)]
        events = [Event(runs[i // 2].uid, d.uid, "OUTPUT", ("o", i % 2)) for i, d in enumerate(data)]
        members = [(group.uid, d.uid) for d in data], [(group.uid, r.uid) for r in runs]
        store.load([Rows([group, *runs, *data], events, *members)])
    store.close()


def peak_mb(what: str, graph: Path, file: Path) -> int:
    """The most memory that a process of its own had."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, what, sqlite_url(graph), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_graph(tmp_path: Path) -> None:
    small, large = tmp_path / "small.db", tmp_path / "large.db"
    fill(small, N_EXECUTIONS // 6)
    fill(large, N_EXECUTIONS)
    grown: dict[str, int] = {}
    for what in ("export mlmd", "dry run", "import mlmd", "prov", "graphml", "arrow"):
        peaks = []
        for graph in (small, large):
            file = graph.with_suffix(".mlmd" if "mlmd" in what or what == "dry run" else f".{what}")
            target = graph.with_suffix(".new") if what in {"import mlmd", "dry run"} else graph
            peaks.append(peak_mb(what, target, file))
        grown[what] = peaks[1] - peaks[0]
    assert all(mb < MOST_MB for mb in grown.values()), grown
