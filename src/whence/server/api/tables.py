"""Tables and their versions, as pages show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from whence.errors import WhenceError
from whence.lake import CommitInfo, TableVersion
from whence.metadata import Artifact
from whence.server.api.base import (
    MAX_PAGE,
    Asked,
    Data,
    artifact_named,
    executions_by_uid,
    json_of,
    makers_of,
    page_of,
    readers_of,
)
from whence.server.api.statistics import (
    compared_facts,
    report_facts,
    reports_of,
    sides_asked,
    statistics_facts,
)
from whence.trace.names import LAKE_WRITES
from whence.trace.plain import Json, plain
from whence.workspace import Workspace

Role: TypeAlias = Literal["source", "derived", "predictions", "replay", "monitor", "quarantine"]

SAMPLE_ROWS: Final = 8
_PREDICTIONS: Final = frozenset({"score", "model", "model_digest", "definitions", "sources", "scored_at"})
_FED: Final = LAKE_WRITES | {"create", "attach", "vacuum", "ingest"}


@dataclass(frozen=True, slots=True)
class Line:
    """One table in a list."""

    name: str
    role: Role
    head: TableVersion

    def facts(self) -> Data:
        """The line as JSON."""
        return {
            "table": self.name,
            "ref": self.head.ref,
            "role": self.role,
            "version": self.head.version,
            "n_rows": self.head.n_rows,
            "n_columns": len(self.head.schema.names),
            "watermark": plain(self.head.watermark),
            "at": plain(self.head.at),
            "description": self.head.declaration.description,
        }


def lines(ws: Workspace, names: Sequence[str]) -> list[Line]:
    """The tables of these names, each with what it is for."""
    heads = [ws.table(name).head() for name in names]
    makers = _maker_types(ws, heads)
    return [Line(h.table, role_of(h, makers.get(h.name)), h) for h in heads]


def role_of(head: TableVersion, maker: str | None) -> Role:
    """What a table is for, by its namespace, its columns and what wrote its newest version."""
    namespace = head.table.partition(".")[0] if "." in head.table else ""
    if namespace == "monitor":
        return "monitor"
    if namespace == "quarantine":
        return "quarantine"
    if set(head.schema.names) >= _PREDICTIONS:
        return "replay" if namespace == "replay" else "predictions"
    return "source" if maker is None or maker in _FED else "derived"


def _maker_types(ws: Workspace, heads: Sequence[TableVersion]) -> dict[str, str]:
    """Version name → type of the execution that wrote it."""
    if not heads:
        return {}
    page = ws.graph.find_nodes("artifact", type_="TableVersion", name=[h.name for h in heads])
    found = [n for n in page.nodes if isinstance(n, Artifact)]
    makers = makers_of(ws, found)
    types = {uid: e.type for uid, e in executions_by_uid(ws, makers.values()).items()}
    return {str(a.name): types[makers[a.uid]] for a in found if makers.get(a.uid) in types}


def list_tables(asked: Asked) -> Data:
    """The tables by name, a page of them."""
    names, where = page_of(asked.ws.lake.list(), asked.number("page", 1, low=1, high=MAX_PAGE))
    rows: list[Json] = [line.facts() for line in lines(asked.ws, names)]
    return {"tables": rows, "paging": where}


def show_table(asked: Asked) -> Data:
    """One table: its newest version, columns, declaration, holds, and a page of its history."""
    table = asked.ws.table(asked.name("name"))
    head = table.head()
    page, where = page_of(table.history(), asked.number("page", 1, low=1, high=MAX_PAGE))
    kept = _kept_statistics(asked.ws, [f"{c.table}@{c.version}" for c in page])
    line = Line(head.table, role_of(head, _maker_types(asked.ws, [head]).get(head.name)), head)
    history: list[Json] = [_commit(c, f"{c.table}@{c.version}" in kept) for c in page]
    return {
        **line.facts(),
        "declaration": json_of(head.declaration),
        "columns": columns_of(head),
        "schemas": _schemas(asked.ws, head.table),
        "holds": [{"version": h.version, "reason": h.reason} for h in table.holds()],
        "history": history,
        "paging": where,
    }


def columns_of(version: TableVersion) -> Json:
    """The columns with their types and what is declared about each."""
    d = version.declaration
    said: Mapping[str, tuple[str, ...]] = {
        "key": d.key,
        "event time": (d.event_time,) if d.event_time else (),
        "known at": (d.known_at,) if d.known_at else (),
        "subject": (d.subject_key,) if d.subject_key else (),
        "personal": d.pii,
        "partition": d.partition_by,
    }
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "nullable": field.nullable,
            "roles": [role for role, names in said.items() if field.name in names],
        }
        for field in version.schema
    ]


def _commit(commit: CommitInfo, has_statistics: bool) -> Json:
    return {
        "version": commit.version,
        "ref": commit.ref,
        "type": commit.type,
        "at": plain(commit.at),
        "added": None if commit.added is None else commit.added.n,
        "removed": None if commit.removed is None else commit.removed.n,
        "n_rows": None if commit.state is None else commit.state.n_rows,
        "n_late": commit.n_late,
        "watermark": plain(commit.watermark),
        "principal": commit.principal,
        "execution": None if commit.execution is None else f"execution:{commit.execution}",
        "statistics": has_statistics,
    }


def _kept_statistics(ws: Workspace, names: Sequence[str]) -> set[str]:
    if not names:
        return set()
    page = ws.graph.find_nodes("artifact", type_="Statistics", name=list(names), state="LIVE")
    return {str(n.name) for n in page.nodes}


def _schemas(ws: Workspace, table: str) -> Json:
    return [
        {"ref": f"schema:{a.name}", "version": json_of(a.get("version")), "enforced": bool(a.get("enforced"))}
        for a in ws.validation.schema_versions(table)
    ]


def show_version(asked: Asked) -> Data:
    """One version of a table: facts, whence and whither, statistics of its columns, first rows."""
    ws, name = asked.ws, asked.name("name")
    side, other = sides_asked(asked)
    version, newest = side.version, ws.table(name).head().version
    return {
        "table": name,
        "ref": version.ref,
        "version": version.version,
        "newest": newest,
        "n_rows": version.n_rows,
        "n_columns": len(version.schema.names),
        "digest": version.digest(),
        "at": plain(version.at),
        "watermark": plain(version.watermark),
        "epoch": version.epoch,
        "columns": columns_of(version),
        "holds": [h.reason for h in ws.table(name).holds() if h.version == version.version],
        **_around(ws, version),
        "can_look": side.can_look,
        "statistics": statistics_facts(side),
        "compared": compared_facts(side, other),
        "validations": [report_facts(r) for r in reports_of(ws, version)],
        "sample": _sample(ws, version),
    }


def _around(ws: Workspace, version: TableVersion) -> Data:
    """The execution that wrote a version, and those that read it."""
    artifact = artifact_named(ws, "TableVersion", version.name)
    if artifact is None:
        return {"made_by": None, "read_by": [], "n_read_by": 0}
    maker = makers_of(ws, [artifact]).get(artifact.uid)
    readers = readers_of(ws, artifact)
    shown = executions_by_uid(ws, [*([maker] if maker else []), *readers[-20:]])

    def said(uid: str) -> Json:
        node = shown[uid]
        return {"ref": f"execution:{uid}", "type": node.type, "at": plain(node.get("started_at"))}

    return {
        "made_by": said(maker) if maker in shown and maker is not None else None,
        "read_by": [said(uid) for uid in readers[-20:] if uid in shown],
        "n_read_by": len(readers),
    }


def _sample(ws: Workspace, version: TableVersion) -> Json:
    try:
        rows = ws.engine.query(f"SELECT * FROM shown LIMIT {SAMPLE_ROWS}", {"shown": version.files()})
    except WhenceError as error:  # vacuumed: the facts are still known
        return {"columns": [], "rows": [], "error": str(error)}
    found = [[plain(v) for v in row.values()] for row in rows.to_pylist()]
    return {"columns": list(rows.column_names), "rows": [list(r) for r in found], "error": None}
