"""Runs and executions: found, and looked into."""

from __future__ import annotations

from typing import Final

from whence._base.ids import is_uid
from whence.errors import NotFoundError, WhenceError
from whence.metadata import Execution
from whence.server.api.base import (
    MAX_PAGE,
    PAGE_ROWS,
    Asked,
    Data,
    artifact_facts,
    execution_facts,
    inputs_of,
    json_of,
    outputs_of,
)
from whence.trace.names import RUN_TYPES, ref_of
from whence.trace.plain import Json, plain
from whence.tracking.run import Run
from whence.workspace import Workspace

MAX_METRICS: Final = 6
MAX_SHOWN: Final = 200
_TOLD: Final = frozenset(
    {"params", "principal", "started_at", "finished_at", "duration_s", "error", "error_type", "error_code"}
    | {"git", "environment", "code", "parent", "attempt", "recovered", "host", "pid", "life"}
)
"""Properties that have a place of their own on the page."""


def list_runs(asked: Asked) -> Data:
    """Runs that meet a condition of the filter language, newest first."""
    page = asked.number("page", 1, low=1, high=MAX_PAGE)
    where, order = asked.text("q"), asked.text("order")
    found = asked.ws.runs.search(
        where or None, order_by=order or (), limit=PAGE_ROWS + 1, offset=(page - 1) * PAGE_ROWS
    )
    shown = found[:PAGE_ROWS]
    keys: list[Json] = [*sorted({k for run in shown for k in run.metrics})]
    return {
        "q": where,
        "order": order,
        "runs": [_line(run) for run in shown],
        "metrics": keys[:MAX_METRICS],
        "paging": {"page": page, "more": len(found) > PAGE_ROWS},
    }


def _line(run: Run) -> Json:
    return {
        "ref": run.ref,
        "uid": run.uid,
        "name": run.name,
        "type": run.type,
        "experiment": run.experiment,
        "state": run.state,
        "started_at": plain(run.started_at),
        "duration_s": plain(run.duration_s),
        "metrics": json_of(run.metrics),
        "params": json_of(run.params),
    }


def list_executions(asked: Asked) -> Data:
    """Executions, newest first; a page ends in the cursor of the next."""
    type_, state = asked.text("type"), asked.text("state")
    page = asked.ws.graph.find_nodes(
        "execution",
        type_=type_ or None,
        state=state or None,
        descending=True,
        limit=PAGE_ROWS,
        cursor=asked.text("cursor") or None,
    )
    return {
        "type": type_,
        "state": state,
        "types": [*sorted(t.name for t in asked.ws.graph.list_types("execution"))],
        "executions": [execution_facts(n) for n in page.nodes if isinstance(n, Execution)],
        "paging": {"next": page.cursor, "first": not asked.text("cursor")},
    }


def show_run(asked: Asked) -> Data:
    """One run by uid or by a name that it alone has."""
    return _show(asked.ws, _find(asked.ws, asked.name("uid")))


def show_execution(asked: Asked) -> Data:
    """One execution by uid."""
    return _show(asked.ws, _find(asked.ws, asked.name("uid")))


def _find(ws: Workspace, name: str) -> Execution:
    if is_uid(name):
        found = ws.graph.get_nodes("execution", uids=[name])
        if found and isinstance(found[0], Execution):
            return found[0]
        raise NotFoundError("execution", name, hint="the list of executions shows all")
    return ws.runs.get(name).execution


def _show(ws: Workspace, node: Execution) -> Data:
    run = _run(ws, node)
    own = {**node.properties, **node.custom}
    return {
        **execution_facts(node),
        "finished_at": plain(node.get("finished_at")),
        "error_type": plain(node.get("error_type")),
        "recovered": plain(node.get("recovered")),
        "params": json_of(node.get("params") or {}) if run is None else json_of(run.params),
        "tags": {} if run is None else json_of(run.tags),
        "metrics": _metrics(run),
        "files": [] if run is None else [json_of(a) for a in run.artifacts],
        "inputs": [artifact_facts(a) for a in inputs_of(ws, [node.uid])[node.uid][:MAX_SHOWN]],
        "outputs": [artifact_facts(a) for a in outputs_of(ws, [node.uid])[node.uid][:MAX_SHOWN]],
        **_around(ws, node),
        "git": json_of(node.get("git")),
        "environment": plain(node.get("environment")),
        "code": plain(node.get("code")),
        "facts": {k: json_of(v) for k, v in own.items() if k not in _TOLD},
    }


def _run(ws: Workspace, node: Execution) -> Run | None:
    """The execution as a run; None when it logged nothing."""
    try:
        return ws.runs.get(node.uid)
    except WhenceError:
        return None


def _metrics(run: Run | None) -> Json:
    """Each metric with its latest value, and its course when it has more than one step."""
    if run is None:
        return []
    found: list[Json] = []
    for key, value in sorted(run.metrics.items()):
        course = run.history(key)[-MAX_SHOWN:]
        steps: list[Json] = [[m.step, plain(m.value)] for m in course] if len(course) > 1 else []
        found.append({"key": key, "value": plain(value), "steps": steps})
    return found


def _around(ws: Workspace, node: Execution) -> Data:
    """The contexts of an execution, what it is part of, its own parts, its companions of the pipeline run."""
    contexts = ws.graph.list_contexts(execution=node.uid)
    within = next((c for c in contexts if c.type == "PipelineRun"), None)
    companions = (
        [] if within is None else ws.graph.find_nodes("execution", context=within.uid, limit=MAX_SHOWN).nodes
    )
    parts = ws.graph.find_nodes("execution", where={"parent": node.uid}, limit=MAX_SHOWN).nodes
    parent = node.get("parent")
    outer = ws.graph.get_nodes("execution", uids=[str(parent)]) if parent else []
    return {
        "contexts": [{"type": c.type, "name": c.name} for c in contexts],
        "parent": artifact_facts(outer[0]) if outer else None,
        "parts": [execution_facts(n) for n in parts if isinstance(n, Execution)],
        "steps": [execution_facts(n) for n in companions if isinstance(n, Execution) and n.type in RUN_TYPES],
        "run_ref": ref_of(node),
    }
