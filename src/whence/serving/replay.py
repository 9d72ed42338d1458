"""A model played over history: the scorer of a deployment, at knowledge time, into a table of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.clock import utc
from whence._base.digest import spec_digest
from whence.errors import NotFoundError, UsageError
from whence.features import FeatureView
from whence.lake import Lake, TableVersion, pinned, pinning
from whence.metadata import Recorder, Type, declare_types
from whence.registry import ModelVersion
from whence.serving.position import Position, read_position
from whence.serving.stream import Follower
from whence.serving.types import Deployment, ReplayResult
from whence.stats import auc, log_loss

REPLAY: Final = Type(
    "execution",
    "replay",
    {"deployment": "STRING", "model": "STRING", "into": "STRING", "n_rows": "INT"},
    description="a model played over history, in steps of their own",
)


def replayed(deployment: Deployment, model: ModelVersion, start: datetime) -> Deployment:
    """The deployment that answers as `deployment` would have with this model from a moment on.

    Its name holds the digest of all that decides an answer, so that a replay that was cut short is gone on with,
    and another one is another.
    """
    told = {**deployment.to_dict(), "model": model.digest, "start": start.isoformat()}
    mark = spec_digest({k: v for k, v in told.items() if k not in ("name", "into", "epoch", "trust")})
    name = re.sub(r"[^a-z0-9_]", "_", f"{deployment.name}_{model.name}_{model.version}".lower())
    return replace(
        deployment,
        name=f"replay.{name}#{mark.removeprefix('sha256:')[:12]}",
        model=f"{model.name}@{model.version}",
        into=f"replay.{name}",
        epoch=0,
        start=start,
    )


def place(lake: Lake, deployment: Deployment, into: str | None) -> Deployment:
    """The replay with its table: the one it had, or a free one.

    Raises:
        UsageError: `into` holds other rows (``replay-into``).
    """
    if into is not None:
        chosen = replace(deployment, into=into, name=f"{deployment.name}/{into}")
        if not _free(lake, chosen):
            raise UsageError(
                f"table {into!r} holds other rows than those of this replay",
                code="replay-into",
                hint="name another table, or none",
            )
        return chosen
    number = 1
    while True:
        name = deployment.into if number == 1 else f"{deployment.into}_{number}"
        chosen = replace(deployment, into=name)
        if _free(lake, chosen):
            return chosen
        number += 1


def _free(lake: Lake, deployment: Deployment) -> bool:
    table = lake.table(deployment.into)
    if not table.exists:
        return True
    head = table.head()
    return head.transaction(deployment.application) is not None or head.n_rows == 0


def replay(
    recorder: Recorder,
    lake: Lake,
    follower: Follower,
    model: ModelVersion,
    *,
    end: datetime | None,
    labels: pa.Table | TableVersion | None = None,
    truth: str = "label",
) -> ReplayResult:
    """Take all steps of a replay; see `Scoring.replay`."""
    declare_types(recorder.store, [REPLAY])
    deployment = follower.deployment
    facts = {"deployment": deployment.name, "model": model.ref, "into": deployment.into}
    until = None if end is None else utc(end) - timedelta(microseconds=1)
    n_steps = 0
    with recorder.execution("replay", properties=facts) as recording, pinned(_heads(lake, deployment)):
        for _ in follower.steps(until=until):
            n_steps += 1
        recording.set(n_rows=follower.n_rows)
    table = lake.table(deployment.into)
    if not table.exists:
        raise NotFoundError(
            "rows to replay",
            deployment.table,
            hint=f"none lies between {deployment.start} and {end or 'what is complete'}",
        )
    head, position = table.head(), read_position(lake, deployment)
    rows = head.arrow([*deployment.key, "score"])
    return ReplayResult(
        into=deployment.into,
        version=head.version,
        model=model.ref,
        start=_start(deployment),
        scored_to=_reached(position),
        n_rows=rows.num_rows,
        n_steps=n_steps,
        metrics={} if labels is None else measures(rows, labels, deployment.key, truth),
    )


def _heads(lake: Lake, deployment: Deployment) -> dict[str, int]:
    """The versions all steps read: history does not move while it is replayed."""
    names = {deployment.table, *(v.source for v in deployment.views if isinstance(v, FeatureView))}
    with pinning():
        return {name: lake.table(name).head().version for name in sorted(names)}


def _start(deployment: Deployment) -> datetime:
    assert deployment.start is not None
    return deployment.start


def _reached(position: Position) -> datetime | None:
    return position.scored_to if position.step else None


def measures(
    scored: pa.Table, labels: pa.Table | TableVersion, key: Sequence[str], truth: str
) -> dict[str, float]:
    """How good scores are, over the rows whose truth is known: ``n``, ``rate``, ``auc``, ``log_loss``.

    Example:
        >>> scored = pa.table({"id": [1, 2, 3], "score": [0.9, 0.2, 0.5]})
        >>> labels = pa.table({"id": [1, 2], "label": [True, False]})
        >>> measures(scored, labels, ["id"], "label")["auc"]
        1.0
    """
    table = labels.arrow([*key, truth]) if isinstance(labels, TableVersion) else labels.select([*key, truth])
    known = table.filter(table.column(truth).is_valid())
    both = scored.join(known, keys=list(key), join_type="inner")
    if not both.num_rows:
        return {"n": 0.0}
    y = np.asarray(pc.cast(both.column(truth), pa.int8()).to_numpy())
    p = np.asarray(both.column("score").to_numpy())
    area = auc(y, p)
    found = {"n": float(len(y)), "rate": float(y.mean()), "log_loss": log_loss(y, p)}
    return found if area is None else {**found, "auc": area}
