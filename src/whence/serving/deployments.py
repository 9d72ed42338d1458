"""Deployments: which model answers for which rows. Recorded, so that following one needs no more than its name."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from whence._base.arrow import TS
from whence._base.clock import utc
from whence._base.digest import spec_digest
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.features import AnyView, Features
from whence.features.types import Given, feature_columns, view_from_dict
from whence.lake import Lake
from whence.lake.types import check_name
from whence.metadata import Artifact, Recorder, Type, declare_types
from whence.registry import Models
from whence.serving.types import Deployment, RequestRule

DEPLOYMENT: Final = Type(
    "artifact",
    "Deployment",
    {
        "deployment": "STRING",
        "model": "STRING",
        "table": "STRING",
        "into": "STRING",
        "definition": "STRUCT",
        "digest": "STRING",
        "deployed_at": "STRING",
    },
    description="which model answers for which rows; its name ends with the digest of the definition",
)
DEPLOY: Final = Type("execution", "deploy", description="a deployment put in force")
_STREAM: Final = ("table", "at", "key", "into", "start")
"""What tells one stream from another; model and features may change on the way."""


class Deployments:
    """The deployments of a workspace; of several of one name the one deployed last is in force."""

    def __init__(self, recorder: Recorder, lake: Lake, features: Features, models: Models) -> None:
        self._recorder = recorder
        self._lake = lake
        self._features = features
        self._models = models
        declare_types(recorder.store, [DEPLOYMENT, DEPLOY])

    def deploy(
        self,
        name: str,
        *,
        model: str,
        table: str,
        views: Sequence[AnyView | str],
        at: str,
        key: Sequence[str] | str,
        into: str,
        epoch: int = 0,
        trust: Sequence[str] = (),
        start: datetime | None = None,
        check: RequestRule | None = None,
    ) -> Deployment:
        """Put a deployment in force; see `Scoring.deploy`."""
        deployment = Deployment(
            name=check_name(name, what="deployment"),
            model=model.removeprefix("model:"),
            table=check_name(table.removeprefix("table:")),
            views=tuple(self._features.get(v) if isinstance(v, str) else v for v in views),
            at=at,
            key=(key,) if isinstance(key, str) else tuple(key),
            into=check_name(into),
            epoch=epoch,
            trust=tuple(trust),
            start=None if start is None else utc(start),
            check=check,
        )
        self._check(deployment)
        artifact = deployment_artifact(deployment)
        current = self._find(name)
        if current is None or current.name != artifact.name:
            params = {"deployment": name, "model": model, "table": table, "into": into}
            with self._recorder.joined("deploy", params=params) as recording:
                recording.output(artifact, path=("deployment", name))
                recording.flush()
        return deployment

    def get(self, name: str) -> Deployment:
        """The deployment in force under a name.

        Raises:
            NotFoundError: There is none (``deployment-not-found``); near names are given.
        """
        found = self.find(name)
        if found is None:
            raise NotFoundError(
                "deployment", name, near=self._names(), hint="whence deployments list shows all"
            )
        return found

    def find(self, name: str) -> Deployment | None:
        """The deployment in force under a name; None when there is none."""
        node = self._find(name.removeprefix("deployment:"))
        return None if node is None else _definition(node)

    def list(self) -> builtins.list[Deployment]:
        """The deployments in force, by name."""
        return [self.get(name) for name in sorted(self._names())]

    def artifact(self, deployment: Deployment) -> Artifact | None:
        """The node of a deployment; None when it was never put in force."""
        name = deployment_artifact(deployment).name
        return next((n for n in self._nodes(deployment=deployment.name) if n.name == name), None)

    def _check(self, deployment: Deployment) -> None:
        self._models.get(deployment.model)
        feature_columns(deployment.views)
        if not deployment.key:
            raise UsageError(
                "predictions need a key", code="spine-key", hint="name the columns that tell rows apart"
            )
        if deployment.into == deployment.table:
            raise UsageError(
                f"predictions of {deployment.name!r} cannot go into {deployment.table!r}, which they are made for",
                code="deployment-into",
                hint="name a table of their own",
            )
        for other in self.list():
            if other.into == deployment.into and other.name != deployment.name:
                raise ConflictError(
                    f"deployment {other.name!r} writes into {deployment.into!r}, where each key stands once",
                    code="deployment-into",
                    hint="name a table of its own",
                )
        self._check_epoch(deployment)
        self._check_spine(deployment)

    def _check_epoch(self, deployment: Deployment) -> None:
        """An epoch is one stream: once it has answered, its rows, their keys and the table stay what they are."""
        for node in self._nodes(deployment=deployment.name):
            earlier = _definition(node)
            if not self._has_answered(earlier):
                continue
            differs = [n for n in _STREAM if getattr(earlier, n) != getattr(deployment, n)]
            if earlier.epoch == deployment.epoch and differs:
                raise ConflictError(
                    f"deployment {deployment.name!r} has answered in epoch {deployment.epoch} with "
                    + " and ".join(f"{n}={getattr(earlier, n)!r}" for n in differs),
                    code="deployment-epoch",
                    hint="give a higher epoch= and a table of its own with into=: it answers from the beginning",
                )
            if earlier.epoch != deployment.epoch and earlier.into == deployment.into:
                raise ConflictError(
                    f"epoch {earlier.epoch} of deployment {deployment.name!r} wrote into {deployment.into!r}, "
                    "where each key stands once",
                    code="deployment-epoch",
                    hint="name a table of its own with into=",
                )

    def _has_answered(self, deployment: Deployment) -> bool:
        table = self._lake.table(deployment.into)
        return table.exists and table.head().transaction(deployment.application) is not None

    def _check_spine(self, deployment: Deployment) -> None:
        """What the spine table must have, as far as it exists yet."""
        table = self._lake.table(deployment.table)
        if not table.exists:
            return
        schema = table.schema
        given = [c for view in deployment.views if isinstance(view, Given) for c in view.columns]
        for name in (*deployment.key, deployment.at, *given):
            if name not in schema.names:
                raise NotFoundError(
                    "column", name, near=schema.names, hint=f"table {deployment.table!r} has no such column"
                )
        if schema.field(deployment.at).type != TS:
            raise UsageError(
                f"column {deployment.at!r} of {deployment.table!r} is {schema.field(deployment.at).type}, not an instant",
                code="bad-timestamp",
                hint="timestamp[us, UTC]",
            )

    def _names(self) -> set[str]:
        return {str(node.get("deployment")) for node in self._nodes()}

    def _find(self, name: str) -> Artifact | None:
        return max(self._nodes(deployment=name), key=lambda n: str(n.get("deployed_at")), default=None)

    def _nodes(self, **where: str) -> builtins.list[Artifact]:
        found = self._recorder.store.find_nodes(
            "artifact", type_=DEPLOYMENT.name, state="LIVE", where=where or None
        ).nodes
        return [n for n in found if isinstance(n, Artifact)]


def deployment_artifact(deployment: Deployment) -> Artifact:
    """A deployment in the graph: ``late@<first 12 digits of its digest>``."""
    definition = deployment.to_dict()
    digest = spec_digest(definition)
    properties: dict[str, Any] = {
        "deployment": deployment.name,
        "model": deployment.model,
        "table": deployment.table,
        "into": deployment.into,
        "definition": definition,
        "digest": digest,
        "deployed_at": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    name = f"{deployment.name}@{digest.removeprefix('sha256:')[:12]}"
    return Artifact(type=DEPLOYMENT.name, name=name, properties=properties)


def deployment_from_dict(data: Mapping[str, Any]) -> Deployment:
    """The deployment that `Deployment.to_dict` wrote."""
    return Deployment(
        name=data["name"],
        model=data["model"],
        table=data["table"],
        views=tuple(view_from_dict(view) for view in data["views"]),
        at=data["at"],
        key=tuple(data["key"]),
        into=data["into"],
        epoch=data["epoch"],
        trust=tuple(data["trust"]),
        start=None if data["start"] is None else datetime.fromisoformat(data["start"]).astimezone(UTC),
        check=RequestRule(**data["check"]) if data.get("check") else None,
    )


def _definition(node: Artifact) -> Deployment:
    definition = node.get("definition")
    assert isinstance(definition, Mapping)
    return deployment_from_dict(definition)
