"""The metric store's tables as each version left them, and what it answered when they were written.

``python -m tests.golden.tracking.make URL`` writes the folder of the current version for that system, once: a
layout that is released never changes again.
"""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tests.golden.metadata.make import dump, layout
from whence.database import Database
from whence.tracking.base import MetricStore
from whence.tracking.filter import parse_filter, parse_order
from whence.tracking.open import TABLES, open_metrics
from whence.tracking.types import Batch, Metric, ParamValue, RunInfo

HERE = Path(__file__).parent
START = datetime(2013, 1, 1, 5, 15, 0, 123456, tzinfo=UTC)
UIDS = ("a", "01J00000000000000000000001", "ü")


def write_world(metrics: MetricStore) -> None:
    """A few runs with every kind of value."""
    for n, uid in enumerate(UIDS):
        state = ("RUNNING", "COMPLETE", "FAILED")[n]
        metrics.put_runs([RunInfo(uid, "run", f"é-{n}", "default", state, START + timedelta(minutes=n))])
        logged = [Metric("auc", 0.1 * n + step, step, START + timedelta(seconds=step)) for step in range(3)]
        logged.append(Metric("loss / é", math.nan if n else 5e-324, -1, START))
        params: dict[str, ParamValue] = {
            "depth": 6 + n,
            "text": "6",
            "flag": True,
            "none": None,
            "list": [1, "a"],
            "größe": 10**30,
        }
        metrics.write(uid, Batch(logged, params, {"team": "ops" if n else "Ops"}))


def answers(metrics: MetricStore) -> dict[str, Any]:
    """What the store says of its whole content."""
    return {
        "runs": [repr(run) for run in metrics.get_runs(UIDS)],
        "open": metrics.list_open(),
        "params": metrics.params(UIDS),
        "tags": metrics.tags(UIDS),
        "latest": {uid: {k: repr(m) for k, m in of.items()} for uid, of in metrics.latest(UIDS).items()},
        "history": {uid: [repr(m) for m in metrics.history(uid, "auc")] for uid in UIDS},
        "found": metrics.find(
            parse_filter("metrics.auc > 2.05 AND params.depth >= 7 AND tags.team LIKE 'o%'"),
            order_by=[parse_order("metrics.auc DESC")],
        ),
    }


def numbering(connection: Connection) -> list[str]:
    """What gives rows their ids in PostgreSQL, which its tables do not tell by themselves."""
    if connection.dialect.name != "postgresql":
        return []
    return [
        text_ for statement in (_SEQUENCES, _DEFAULTS) for (text_,) in connection.exec_driver_sql(statement)
    ]


_SEQUENCES = """
SELECT format('CREATE SEQUENCE %%I START WITH %%s', sequencename, coalesce(last_value, 0) + 1)
FROM pg_sequences WHERE schemaname = current_schema() ORDER BY 1
"""
_DEFAULTS = """
SELECT format('ALTER TABLE %%I ALTER COLUMN %%I SET DEFAULT %%s', c.relname, a.attname, pg_get_expr(d.adbin, c.oid))
FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum
WHERE c.relnamespace = current_schema()::regnamespace ORDER BY 1
"""


def _by_need(statement: str) -> int:
    """Sequences before tables before the rest; what a table refers to before it."""
    if statement.startswith("CREATE SEQUENCE"):
        return 0
    return (1 if "REFERENCES" not in statement else 2) if statement.startswith("CREATE TABLE") else 3


def main(url: str) -> None:
    """Write the folder of the current version."""
    database = Database.from_url(url)
    metrics = open_metrics(database)
    write_world(metrics)
    folder = HERE / database.abilities.dialect / f"v{TABLES.newest}"
    folder.mkdir(parents=True)
    with database.read() as connection:
        # The row that writers of MySQL lock is the connection's, not a layout's: it is made when it is needed.
        made = [
            s
            for s in (*numbering(connection), *layout(connection))
            if not s.startswith("CREATE TABLE `turn`")
        ]
        rows = [line for line in dump(connection) if not line.startswith('["turn"')]
        (folder / "layout.sql").write_text(";\n\n".join(sorted(made, key=_by_need)) + ";\n")
        (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    told = json.dumps(answers(metrics), indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "answers.json").write_text(told + "\n")
    database.close()


if __name__ == "__main__":
    main(sys.argv[1])
