"""From a prediction or a row down to what it came from."""

from __future__ import annotations

from collections.abc import Mapping

from whence._base.refs import Ref
from whence.errors import UsageError, WhenceError
from whence.trace.ancestry import Ancestry
from whence.trace.base import CommitInfo, Features, Graph, Prediction, Table, Tables
from whence.trace.names import find_artifact
from whence.trace.node import TraceNode, leaf
from whence.trace.rows import Found, find_rows, writer_of
from whence.trace.spine import SpineRow, spine_row
from whence.trace.values import Values


def prediction_tree(
    graph: Graph,
    lake: Tables | None,
    features: Features | None,
    prediction: Prediction,
    ancestry: Ancestry,
    *,
    max_rows: int | None,
) -> tuple[TraceNode, list[str]]:
    """The tree of a prediction, and notes: the scoring with all it read, then every feature value with its rows."""
    row = spine_row(graph, lake, prediction)
    children = [_scoring(graph, ancestry, prediction)]
    children.append(_scored_row(row))
    values = Values(features, prediction, row, max_rows).nodes()
    children.append(
        TraceNode("features", "group", facts={"n": len(prediction.features)}, children=tuple(values))
    )
    facts = {
        "score": prediction.score,
        "model": f"model:{prediction.model}",
        "features_at": prediction.features_at,
        "scored_at": prediction.scored_at,
        "table": prediction.table_ref,
    }
    tree = TraceNode(prediction.ref, "prediction", prediction.ref, facts, tuple(children))
    return tree, [*epoch_notes(lake, prediction.sources), *_row_notes(tree, max_rows)]


def _scoring(graph: Graph, ancestry: Ancestry, prediction: Prediction) -> TraceNode:
    """The scoring's ancestry; where the graph lags behind the lake, the model's own."""
    if graph.get_nodes("execution", uids=[prediction.execution]):
        ancestry.load([prediction.execution])
        return ancestry.execution(prediction.execution)
    missing = "the graph has no such execution"
    model = find_artifact(graph, "Model", prediction.model)
    children: tuple[TraceNode, ...] = ()
    if model is not None:
        ancestry.load([model.uid])
        children = (ancestry.artifact(model.uid),)
    ref = f"execution:{prediction.execution}"
    return TraceNode("score", "execution", ref, {"missing": missing}, children)


def _scored_row(row: SpineRow) -> TraceNode:
    if row.rows.num_rows == 0:
        return leaf("the scored row", "row", None, missing=row.error)
    values = row.rows.to_pylist()[0]
    ref = str(values.pop("_row"))
    return TraceNode(ref, "row", ref, values)


def _row_notes(tree: TraceNode, max_rows: int | None) -> list[str]:
    hidden = [n.n_rows - n.rows.num_rows for n in tree.walk() if n.rows is not None]
    if max_rows is None or not any(hidden):
        return []
    return [
        f"{sum(hidden)} raw rows of {sum(map(bool, hidden))} features are not kept here (max_rows={max_rows})"
    ]


def epoch_notes(lake: Tables | None, sources: Mapping[str, int]) -> list[str]:
    """Which sources had rows changed or removed after the versions that were read."""
    return [
        f"{name} was changed after version {version}: {commit.type} at version {commit.version}; "
        "the rows shown are those of the version that was read"
        for name, version in sorted(sources.items())
        for commit in _changes_after(lake, name, version)
    ]


def _changes_after(lake: Tables | None, name: str, version: int) -> list[CommitInfo]:
    if lake is None:
        return []
    try:
        history = lake.table(name).history()
    except WhenceError:
        return []
    changed = [
        c for c in history if c.version > version and c.type in ("overwrite", "merge", "delete", "foreign")
    ]
    return sorted(changed, key=lambda c: c.version)[:1]


def row_tree(
    graph: Graph, lake: Tables | None, ref: Ref, ancestry: Ancestry
) -> tuple[str, TraceNode, list[str]]:
    """The reference with its version, and the tree: the row, the commit that wrote it, what that read."""
    table, number, found, full = locate(lake, ref)
    writer, error = _writer(table, number, found)
    rows = found.rows.to_pylist()
    facts = rows[0] if len(rows) == 1 else {"rows": len(rows)}
    children = (
        [leaf(f"row {i + 1}", "row", None, **row) for i, row in enumerate(rows)] if len(rows) > 1 else []
    )
    if writer is None:
        said = error or "no commit in the log is known to have written it"
        children.append(leaf("written", "commit", f"table:{ref.name}@{number}", missing=said))
    else:
        children.append(_commit(graph, ancestry, ref.name, writer))
    notes = [] if len(rows) == 1 else [f"{len(rows)} rows have this key: later ones correct earlier ones"]
    return full, TraceNode(full, "row", full, facts, tuple(children)), notes


def locate(lake: Tables | None, ref: Ref) -> tuple[Table, int, Found, str]:
    """The table, version and rows of a row reference, and the reference with its version."""
    if lake is None:
        raise UsageError(f"{ref} cannot be looked up: there is no lake", code="untraceable")
    if ref.key is None:
        raise UsageError(f"{ref} names no row", code="bad-reference", hint="row:TABLE@VERSION/KEY")
    table = lake.table(ref.name)
    version = table.head() if ref.number is None else table.at(ref.number)
    full = str(Ref("row", ref.name, str(version.version), ref.key))
    return table, version.version, find_rows(version, ref.key, full), full


def _writer(table: Table, version: int, found: Found) -> tuple[CommitInfo | None, str | None]:
    if found.condition is None:
        return None, "a row without a declared key cannot be followed over versions"
    try:
        return writer_of(table, version, found), None
    except WhenceError as error:
        return None, str(error)


def _commit(graph: Graph, ancestry: Ancestry, table: str, commit: CommitInfo) -> TraceNode:
    name = f"{table}@{commit.version}"
    artifact = find_artifact(graph, "TableVersion", name)
    facts: dict[str, object] = {"type": commit.type, "at": commit.at}
    if artifact is None:
        return leaf(
            f"written by table:{name}", "commit", f"table:{name}", **facts, missing="not in the graph"
        )
    ancestry.load([artifact.uid])
    return TraceNode(
        f"written by table:{name}", "commit", f"table:{name}", facts, (ancestry.artifact(artifact.uid),)
    )
