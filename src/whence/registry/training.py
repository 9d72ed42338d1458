"""The rows a model was trained on: found through the graph, and kept from cleanup."""

from __future__ import annotations

from whence.errors import NotFoundError
from whence.lake import Hold, Lake
from whence.metadata import Artifact, Execution
from whence.registry.models import Models
from whence.registry.types import ModelVersion


def training_tables(models: Models, version: str | ModelVersion) -> list[Artifact]:
    """The table versions a model was made from: what the execution that made it read.

    An execution that read no table passes the question to the one around it (a run inside a step).
    Of several executions that give the model (one made it, others found it in the cache), the first
    that read tables counts.

    Returns:
        Artifacts of type ``TableVersion`` in the order they were read; none when the model came from a file.
    """
    store = models.recorder.store
    events = store.list_events(artifacts=[models.artifact(version).uid])
    makers = list(dict.fromkeys(e.execution for e in events if e.kind in ("OUTPUT", "DECLARED_OUTPUT")))
    for uid in makers:
        above: str | None = uid
        while above is not None:
            found = _tables_read(models, above)
            if found:
                return found
            nodes = store.get_nodes("execution", uids=[above])
            parent = nodes[0].get("parent") if nodes and isinstance(nodes[0], Execution) else None
            above = parent if isinstance(parent, str) else None
    return []


def _tables_read(models: Models, execution: str) -> list[Artifact]:
    store = models.recorder.store
    events = store.list_events(executions=[execution])
    uids = list(dict.fromkeys(e.artifact for e in events if e.kind in ("INPUT", "DECLARED_INPUT")))
    nodes = store.get_nodes("artifact", uids=uids) if uids else []
    return [n for n in nodes if isinstance(n, Artifact) and n.type == "TableVersion"]


def hold_training(models: Models, lake: Lake, version: str | ModelVersion) -> list[Hold]:
    """Keep the table versions a model was made from; the same again is the same holds.

    Their reason is ``training of model:late@7``; `Table.release` gives them back.

    Raises:
        NotFoundError: One of them was cleaned up before (``table-version-not-found``).
    """
    reason = hold_reason(models.get(version))
    return [
        lake.table(str(node.get("table"))).hold(_int(node.get("version")), reason=reason)
        for node in training_tables(models, version)
    ]


def missing_holds(models: Models, lake: Lake, version: str | ModelVersion) -> list[str]:
    """The references of training tables that are not held for the model, or are gone."""
    held = {(h.table, h.version) for h in lake.holds() if h.reason == hold_reason(models.get(version))}
    found: list[str] = []
    for node in training_tables(models, version):
        table, number = str(node.get("table")), _int(node.get("version"))
        try:
            lake.table(table).at(number).files()
        except NotFoundError:
            found.append(f"table:{table}@{number} is gone")
            continue
        if (table, number) not in held:
            found.append(f"table:{table}@{number} is not held")
    return found


def hold_reason(version: ModelVersion) -> str:
    """What the holds of a model's training tables say.

    Example:
        >>> hold_reason(ModelVersion("late", 7, "sha256:0", "skops", 1, "01J"))
        'training of model:late@7'
    """
    return f"training of {version.ref}"


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


__all__ = ["hold_reason", "hold_training", "missing_holds", "training_tables"]
