"""Deployments: which model answers which table, and how far it has come."""

from __future__ import annotations

from typing import Final

from whence.errors import WhenceError
from whence.metadata import Execution
from whence.server.api.base import Asked, Data, execution_facts, json_of
from whence.serving import Deployment
from whence.serving.position import read_position
from whence.trace.plain import Json, plain
from whence.workspace import Workspace

MAX_STEPS: Final = 60


def known(ws: Workspace) -> list[Deployment]:
    """The deployments in force, by name."""
    return sorted(ws.serving.deployments(), key=lambda d: d.name)


def list_deployments(asked: Asked) -> Data:
    """The deployments in force, each with how far it has come."""
    return {"deployments": [_line(asked.ws, one) for one in known(asked.ws)]}


def _line(ws: Workspace, one: Deployment) -> Data:
    return {
        "deployment": one.name,
        "model": one.model,
        "table": one.table,
        "into": one.into,
        "key": list(one.key),
        "at": one.at,
        "epoch": one.epoch,
        "n_views": len(one.views),
        "answers": _answers(ws, one.model),
        **_progress(ws, one),
    }


def _answers(ws: Workspace, model: str) -> Json:
    """The version that answers now; None when the alias points nowhere."""
    try:
        return ws.models.get(model).ref
    except WhenceError:
        return None


def _progress(ws: Workspace, one: Deployment) -> Data:
    """How many versions of the table are not read yet, and up to when it is scored: said by the sink's own commits."""
    source, sink = ws.table(one.table), ws.table(one.into)
    newest = source.head().version if source.exists else None
    come = read_position(ws.lake, one)
    return {
        "n_rows": sink.head().n_rows if sink.exists else 0,
        "newest": newest,
        "read": None if come.spine < 0 else come.spine,
        "behind": None if newest is None else newest - come.spine,
        "n_steps": come.step,
        "scored_to": plain(come.scored_to),
    }


def show_deployment(asked: Asked) -> Data:
    """One deployment: what it follows and writes, and its newest steps."""
    ws, name = asked.ws, asked.name("name")
    one = ws.serving.deployment(name)
    page = ws.graph.find_nodes(
        "execution", type_="score", where={"deployment": name}, descending=True, limit=MAX_STEPS
    )
    steps: list[Json] = [_step(n) for n in page.nodes if isinstance(n, Execution)]
    return {
        **_line(ws, one),
        "views": [view.name for view in one.views],
        "trust": list(one.trust),
        "steps": steps,
    }


def _step(node: Execution) -> Json:
    return {
        **execution_facts(node),
        "n_rows": plain(node.get("n_rows")),
        "model": plain(node.get("model")),
        "version": plain(node.get("version")),
        "scored_to": json_of(node.get("scored_to")),
    }
