"""Registered models: versions, aliases, and who was champion when."""

from __future__ import annotations

from typing import Final

from whence.errors import NotFoundError
from whence.metadata import Artifact
from whence.registry import AliasMove, ModelVersion
from whence.server.api.base import (
    MAX_PAGE,
    Asked,
    Data,
    artifact_facts,
    executions_by_uid,
    inputs_of,
    json_of,
    makers_of,
    page_of,
    readers_of,
)
from whence.trace.plain import Json, plain
from whence.workspace import Workspace

CHAMPION: Final = "champion"


def list_models(asked: Asked) -> Data:
    """The registered models by name."""
    names, where = page_of(asked.ws.models.list(), asked.number("page", 1, low=1, high=MAX_PAGE))
    found: list[Json] = []
    for name in names:
        versions = asked.ws.models.versions(name)
        newest = versions[-1] if versions else None
        found.append(
            {
                "model": name,
                "ref": f"model:{name}",
                "n_versions": len(versions),
                "aliases": json_of(asked.ws.models.aliases(name)),
                "newest": None if newest is None else newest.version,
                "newest_at": None if newest is None else plain(newest.created_at),
                "metrics": {} if newest is None else json_of(newest.metrics),
            }
        )
    return {"models": found, "paging": where}


def show_model(asked: Asked) -> Data:
    """One registered model: its versions newest first, where its aliases point, every move of an alias."""
    ws, name = asked.ws, asked.name("name")
    versions = ws.models.versions(name)[::-1]
    page, where = page_of(versions, asked.number("page", 1, low=1, high=MAX_PAGE))
    aliases = ws.models.aliases(name)
    by_version: dict[int, list[Json]] = {}
    for alias, number in aliases.items():
        by_version.setdefault(number, []).append(alias)
    return {
        "model": name,
        "ref": f"model:{name}",
        "aliases": json_of(aliases),
        "champion": aliases.get(CHAMPION),
        "versions": [{**_line(v), "aliases": by_version.get(v.version, [])} for v in page],
        "metrics": [*sorted({k for v in page for k in v.metrics})],
        "moves": [_move(m) for m in ws.models.alias_history(name)[::-1]],
        "paging": where,
    }


def _line(version: ModelVersion) -> Data:
    return {
        "ref": version.ref,
        "version": version.version,
        "created_at": plain(version.created_at),
        "format": version.format,
        "size_bytes": version.size_bytes,
        "digest": version.digest,
        "execution": version.execution,
        "metrics": json_of(version.metrics),
        "params": json_of(version.params),
    }


def _move(move: AliasMove) -> Json:
    return {
        "alias": move.alias,
        "from": move.previous,
        "to": move.version,
        "at": plain(move.at),
        "moment": plain(move.moment),
        "reason": move.reason,
        "execution": f"execution:{move.execution}",
    }


def show_model_version(asked: Asked) -> Data:
    """One version of a model: what it was trained on, what it answers, its signature."""
    ws, name, number = asked.ws, asked.name("name"), asked.name("version")
    version = ws.models.get(f"{name}@{number}")
    aliases = [alias for alias, n in ws.models.aliases(name).items() if n == version.version]
    moves = [m for m in ws.models.alias_history(name) if version.version in (m.version, m.previous)]
    return {
        "model": name,
        **_line(version),
        "aliases": list(aliases),
        "tags": json_of(version.tags),
        "packages": json_of(version.packages),
        "signature": None if version.signature is None else json_of(version.signature.to_dict()),
        "moves": [_move(m) for m in moves[::-1]],
        **_around(ws, version),
    }


def _around(ws: Workspace, version: ModelVersion) -> Data:
    """The execution that made a version with what it read, and the newest that used it."""
    found = ws.graph.get_nodes("artifact", uids=[version.uid])
    if not found or not isinstance(found[0], Artifact):
        raise NotFoundError("model version", f"{version.name}@{version.version}")
    artifact = found[0]
    maker = makers_of(ws, [artifact]).get(artifact.uid)
    readers = readers_of(ws, artifact)
    shown = executions_by_uid(ws, [*([maker] if maker else []), *readers[-20:]])
    read = [] if maker is None else inputs_of(ws, [maker])[maker]
    return {
        "made_by": artifact_facts(shown[maker]) if maker in shown and maker is not None else None,
        "trained_on": [artifact_facts(a) for a in read if a.type in ("TableVersion", "View")],
        "used_by": [
            {**artifact_facts(shown[uid]), "at": plain(shown[uid].get("started_at"))}
            for uid in readers[:-21:-1]
            if uid in shown
        ],
        "n_used_by": len(readers),
    }
