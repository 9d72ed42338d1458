"""Predictions: the newest of a table, search by key, and one of them beside what it was made of."""

from __future__ import annotations

from typing import Final

from whence.compute import quoted
from whence.errors import NotFoundError, UsageError
from whence.lake import TableVersion
from whence.server.api.base import Asked, Data, json_of
from whence.server.api.tables import lines
from whence.serving.predictions import FEATURES_AT
from whence.trace.plain import Json, plain
from whence.workspace import Workspace

FOUND: Final = 25
_SHOWN: Final = ("score", "model", FEATURES_AT, "scored_at")


def list_prediction_tables(asked: Asked) -> Data:
    """The tables that hold predictions."""
    found = [line for line in lines(asked.ws, asked.ws.lake.list()) if line.role in ("predictions", "replay")]
    return {"tables": [{**line.facts(), "key": list(line.head.declaration.key)} for line in found]}


def list_predictions(asked: Asked) -> Data:
    """Predictions of a table: those whose key holds the text that was asked for, else the newest."""
    version = _predictions(asked.ws, asked.name("table"))
    text = asked.text("key")
    rows = _search(asked.ws, version, text)
    return {
        "table": version.table,
        "ref": version.ref,
        "n_rows": version.n_rows,
        "key_columns": list(version.declaration.key),
        "key": text,
        "predictions": [_line(version, row) for row in rows],
        "at_most": FOUND,
    }


def _predictions(ws: Workspace, table: str) -> TableVersion:
    version = ws.table(table).head()
    if not {*_SHOWN} <= set(version.schema.names) or not version.declaration.key:
        known = [li.name for li in lines(ws, ws.lake.list()) if li.role in ("predictions", "replay")]
        raise UsageError(f"table {table!r} holds no predictions", code="not-predictions", near=known)
    return version


def _search(ws: Workspace, version: TableVersion, text: str) -> list[dict[str, object]]:
    """Exact keys first, then keys that hold the text; without a text the newest moments."""
    key = version.declaration.key
    columns = ", ".join(quoted(c) for c in dict.fromkeys([*key, *_SHOWN]))
    name = _key_text(key)
    shown = {"shown": version.files()}
    if not text:
        query = f"SELECT {columns} FROM shown ORDER BY {quoted(FEATURES_AT)} DESC, {name} LIMIT {FOUND}"
        return list(ws.engine.query(query, shown).to_pylist())
    query = (
        f"SELECT {columns} FROM shown WHERE contains(lower({name}), lower($key)) "
        f"ORDER BY {name} <> $key, {quoted(FEATURES_AT)} DESC, {name} LIMIT {FOUND}"
    )
    return list(ws.engine.query(query, shown, parameters={"key": text}).to_pylist())


def _key_text(key: tuple[str, ...]) -> str:
    """The SQL of the text by which a reference names a prediction."""
    parts = ", ".join(f"CAST({quoted(c)} AS VARCHAR)" for c in key)
    return f"concat_ws('-', {parts})" if len(key) > 1 else parts


def _line(version: TableVersion, row: dict[str, object]) -> Json:
    text = "-".join(str(plain(row[c])) for c in version.declaration.key)
    return {
        "ref": f"prediction:{version.table}/{text}",
        "key": text,
        "score": plain(row["score"]),
        "model": f"model:{row['model']}",
        "features_at": plain(row[FEATURES_AT]),
        "scored_at": plain(row["scored_at"]),
    }


def show_prediction(asked: Asked) -> Data:
    """One prediction by its key: score, features as given, model, sources; no row is searched for."""
    ws, table, key = asked.ws, asked.name("table"), asked.text("key")
    if not key:
        raise UsageError("which prediction? the parameter 'key' is empty", code="bad-parameter")
    version = _predictions(ws, table)
    try:
        found = ws.serving.find(f"prediction:{table}/{key}")
    except NotFoundError as error:
        near = [f"{table}/{plain(r[version.declaration.key[0]])}" for r in _near(ws, version, key)]
        raise NotFoundError("prediction", f"{table}/{key}", near=near, hint=error.hint) from error
    facts = json_of(found)
    assert isinstance(facts, dict)
    sources: list[Json] = [f"table:{name}@{number}" for name, number in found.sources.items()]
    views: list[Json] = [
        f"feature_view:{name}@{digest.removeprefix('sha256:')[:12]}"
        for name, digest in found.definitions.items()
    ]
    return {**facts, "table_name": table, "key_text": key, "sources": sources, "views": views}


def _near(ws: Workspace, version: TableVersion, key: str) -> list[dict[str, object]]:
    return _search(ws, version, key[: max(4, len(key) // 2)]) if len(version.declaration.key) == 1 else []
