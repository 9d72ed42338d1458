"""The predictions table: one row an answer, beside everything the answer was made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa

from whence._base.arrow import TS, widens
from whence._base.digest import canonical_json, spec_digest
from whence._base.refs import Ref
from whence.compute import quoted, text_literal
from whence.errors import IntegrityError, NotFoundError, UsageError
from whence.lake import Lake, TableVersion
from whence.metadata import MetadataStore, Value
from whence.serving.types import Prediction

FEATURES_AT: Final = "features_at"
ABOUT: Final = pa.schema(
    [
        ("score", pa.float64()),
        ("model", pa.string()),
        ("model_digest", pa.string()),
        ("definitions", pa.string()),
        ("sources", pa.string()),
        ("execution", pa.string()),
        ("scored_at", TS),
    ]
)
"""The columns after key, moment and features.

``definitions`` is the digest of {view: digest}; the map itself is a property of the execution, which names all its
rows' maps. Rows written before that was so hold the map, as JSON.
"""

BY_DIGEST: Final = "definitions_by_digest"
"""The property of an execution whose rows were made by several maps: digest → map."""

NO_DEFINITIONS: Final = spec_digest({})


def prediction_schema(spine: pa.Schema, key: Sequence[str], features: pa.Schema) -> pa.Schema:
    """The columns of a predictions table: key, ``features_at``, the features as given, then `ABOUT`.

    Raises:
        UsageError: A key or feature has the name of another column (``prediction-column``).

    Example:
        >>> spine = pa.schema([("flight", pa.string()), ("at", TS)])
        >>> prediction_schema(spine, ["flight"], pa.schema([("x", pa.float64())])).names[:4]
        ['flight', 'features_at', 'x', 'score']
    """
    fields = [spine.field(name).with_nullable(True) for name in key]
    fields.append(pa.field(FEATURES_AT, TS))
    fields += [f.with_nullable(True) for f in features if f.name not in (*key, FEATURES_AT)]
    fields += list(ABOUT)
    names = [f.name for f in fields]
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise UsageError(
            f"a key or feature is called {', '.join(map(repr, twice))}, as another column of predictions is",
            code="prediction-column",
            hint="rename it in the spine or the feature view",
        )
    return pa.schema([f.remove_metadata() for f in fields])


def prediction_rows(
    schema: pa.Schema,
    spine: pa.Table,
    moments: pa.ChunkedArray,
    features: pa.Table,
    scores: pa.Array,
    *,
    model: str,
    model_digest: str,
    definitions: Mapping[str, str],
    sources: Mapping[str, int],
    execution: str,
    scored_at: datetime,
) -> pa.Table:
    """The rows to commit: one for each row of the spine, in its order.

    Of `definitions` a row holds the digest; the map is told by the properties of the execution, see `told_of`.
    """
    n = spine.num_rows
    about: dict[str, pa.Array] = {
        "score": scores,
        "model": _repeat(model, n),
        "model_digest": _repeat(model_digest, n),
        "definitions": _repeat(spec_digest(dict(definitions)), n),
        "sources": _repeat(canonical_json(dict(sources)), n),
        "execution": _repeat(execution, n),
        "scored_at": pa.repeat(pa.scalar(scored_at, TS), n),
    }
    columns, asked = [], set(spine.column_names)
    for field in schema:
        if field.name == FEATURES_AT:
            columns.append(moments)
        elif field.name in about:
            columns.append(about[field.name])
        else:
            columns.append(spine.column(field.name) if field.name in asked else features.column(field.name))
    return pa.table(columns, schema=schema)


def _repeat(value: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), n)


def fitting(rows: pa.Table, have: pa.Schema, *, what: str) -> pa.Table:
    """The rows for a predictions table that another version of the model may have begun.

    A column that the model does not take is null; one that the table has not yet comes last, and is added to it.

    Args:
        rows: Predictions.
        have: The columns of the table.
        what: Its name, for messages.

    Raises:
        UsageError: A column has another type in the table (``schema-mismatch``).

    Example:
        >>> have = pa.schema([("id", pa.int64()), ("old", pa.float64())])
        >>> fitting(pa.table({"id": [1], "new": [0.5]}), have, what="scores").to_pylist()
        [{'id': 1, 'old': None, 'new': 0.5}]
    """
    if rows.schema.equals(have):
        return rows
    wrong = [
        f"{f.name}: have {f.type}, want {have.field(f.name).type}"
        for f in rows.schema
        if f.name in have.names and not _takes(have.field(f.name).type, f.type)
    ]
    if wrong:
        raise UsageError(
            f"the predictions do not fit table {what!r}: {'; '.join(wrong)}",
            code="schema-mismatch",
            hint="let the model take the types it took before, or deploy into another table",
        )
    columns = {
        f.name: rows.column(f.name) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type)
        for f in have
    }
    columns |= {name: rows.column(name) for name in rows.column_names if name not in columns}
    return pa.table(columns)


def _takes(want: pa.DataType, have: pa.DataType) -> bool:
    return bool(want.equals(have)) or widens(have, want)


def view_source(table: str, view: str) -> str:
    """What names, beside the sources, the version that one view was read at.

    The online store brings views of one table but of other join keys forward one by one, so that they may
    stand at different versions of it.

    Example:
        >>> view_source("arrivals", "carrier_delays")
        'arrivals#carrier_delays'
    """
    return f"{table}#{view}"


def told_of(maps: Iterable[Mapping[str, str]]) -> dict[str, Value]:
    """The properties of an execution that tell the definitions of its rows.

    Args:
        maps: View → digest, of some rows each.

    Example:
        >>> told_of([{"delays": "sha256:aa"}, {}])
        {'definitions': {'delays': 'sha256:aa'}}
    """
    kept = {spec_digest(dict(m)): dict(m) for m in maps if m}
    union = {view: digest for m in kept.values() for view, digest in sorted(m.items())}
    return {"definitions": union, **({BY_DIGEST: kept} if len(kept) > 1 else {})}


def definitions_of(graph: MetadataStore, text: str, execution: str) -> tuple[dict[str, str], str | None]:
    """What a row's ``definitions`` stand for, and why that is out of reach, where it is.

    Args:
        graph: Where the execution is.
        text: The digest of the map; or, in rows of earlier versions, the map as JSON.
        execution: The uid of the execution that made the row.

    Returns:
        View → definition digest, checked against the row's digest; empty when it is out of reach.
    """
    if text.startswith("{"):
        return json.loads(text), None
    if text == NO_DEFINITIONS:
        return {}, None
    found = graph.get_nodes("execution", uids=[execution])
    if not found:
        return {}, f"its definitions are out of reach: the graph has no execution:{execution}"
    several = found[0].get(BY_DIGEST)
    maps = [found[0].get("definitions"), *(several.values() if isinstance(several, Mapping) else ())]
    for one in maps:
        told = {view: str(digest) for view, digest in one.items()} if isinstance(one, Mapping) else {}
        if spec_digest(told) == text:
            return told, None
    return {}, f"its definitions are out of reach: execution:{execution} tells none of digest {text}"


def find_prediction(lake: Lake, ref: str, *, graph: MetadataStore) -> Prediction:
    """The prediction of a reference, ``prediction:table/key`` or ``prediction:table@version/key``.

    The key is the values of the key columns in their declared order, joined by ``-``.

    Args:
        lake: Where the table is.
        ref: The reference.
        graph: Where the execution tells the definitions.

    Raises:
        NotFoundError: There is no such table (``table-not-found``) or row (``prediction-not-found``).
        UsageError: The reference has no key, or the table holds no predictions (``not-predictions``).
        IntegrityError: The key was scored more than once (``prediction-twice``).
    """
    parsed = Ref.parse(ref, kind="prediction")
    if parsed.key is None:
        raise UsageError(f"{ref!r} names no row", code="bad-reference", hint="prediction:TABLE/KEY")
    handle = lake.table(parsed.name)
    if not handle.exists:
        raise NotFoundError("table", parsed.name, near=lake.list())
    version = handle.head() if parsed.version is None else handle.at(parsed.number or 0)
    key = handle.declaration.key
    absent = [c for c in (*ABOUT.names, FEATURES_AT) if c not in version.schema.names]
    if absent or not key:
        raise UsageError(
            f"table {parsed.name!r} holds no predictions: it has no {', '.join(absent) or 'key'}",
            code="not-predictions",
        )
    rows = version.arrow(where=key_condition(key, parsed.key)).to_pylist()
    if not rows:
        raise NotFoundError("prediction", f"{parsed.name}/{parsed.key}", hint=f"the key is {'-'.join(key)}")
    if len(rows) > 1:
        raise IntegrityError(
            f"{ref} was scored {len(rows)} times", code="prediction-twice", details={"rows": len(rows)}
        )
    return _prediction(parsed, version, key, rows[0], graph)


def key_condition(key: Sequence[str], text: str) -> str:
    """The SQL condition for the row whose key reads `text`.

    Example:
        >>> print(key_condition(["carrier", "day"], "B6-2013-07-01"))
        concat_ws('-', CAST("carrier" AS VARCHAR), CAST("day" AS VARCHAR)) = 'B6-2013-07-01'
    """
    columns = ", ".join(f"CAST({quoted(c)} AS VARCHAR)" for c in key)
    return (
        f"concat_ws('-', {columns}) = {text_literal(text)}"
        if len(key) > 1
        else f"{columns} = {text_literal(text)}"
    )


def _prediction(
    ref: Ref, version: TableVersion, key: Sequence[str], row: Mapping[str, object], graph: MetadataStore
) -> Prediction:
    about = {*ABOUT.names, FEATURES_AT, *key}
    sources: dict[str, int] = json.loads(str(row["sources"]))
    moment, scored_at, score = row[FEATURES_AT], row["scored_at"], row["score"]
    assert isinstance(moment, datetime)
    assert isinstance(scored_at, datetime)
    assert isinstance(score, float)
    definitions, error = definitions_of(graph, str(row["definitions"]), str(row["execution"]))
    return Prediction(
        ref=f"prediction:{ref.name}/{ref.key}",
        table=ref.name,
        version=version.version,
        key={name: row[name] for name in key},
        row=dict(row),
        features={name: value for name, value in row.items() if name not in about},
        score=score,
        features_at=moment,
        model=str(row["model"]),
        model_digest=str(row["model_digest"]),
        definitions=definitions,
        sources={name: version for name, version in sources.items() if "#" not in name},
        execution=str(row["execution"]),
        scored_at=scored_at,
        view_sources={name: version for name, version in sources.items() if "#" in name},
        definitions_error=error,
    )
