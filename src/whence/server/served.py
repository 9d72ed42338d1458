"""Which models this server answers for: one answerer a deployment, opened when it starts or first asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from whence.errors import NotFoundError, WhenceError
from whence.serving import Answerer, Deployment
from whence.workspace import Workspace

log = logging.getLogger(__name__)

REQUESTS: Final = "requests"
"""The folder of the workspace where request logs are."""


class Served:
    """The answerers of a workspace, by the name requests call them.

    A name is that of a deployment, else of a registered model: its champion, or its newest version while it has
    none. Both are followed.

    Args:
        ws: The workspace.
        only: The deployments to answer for; None is all there are, and every registered model.
    """

    def __init__(self, ws: Workspace, only: Sequence[str] | None = None) -> None:
        self._ws = ws
        self._only = None if only is None else tuple(only)
        self._folder = ws.folder / REQUESTS
        self._opening = threading.Lock()
        self._closed = False
        self.answerers: dict[str, Answerer] = {}
        """Those that are open."""
        self.failed: dict[str, str] = {}
        """Deployments that cannot answer, and why."""
        self.is_open = False
        """Whether everything that was asked for at the start has been tried."""

    def open(self) -> None:
        """Commit what earlier servers left, and open the deployments; once.

        Raises:
            NotFoundError: One that was asked for does not exist (``deployment-not-found``).
        """
        if self.is_open:
            return
        deployments = self._deployments()
        left = self._ws.serving.settle_requests(self._folder)
        if left:
            log.info("committed what an earlier server left", extra={"n_segments": left})
        for deployment in deployments:
            try:
                self._open(deployment)
            except WhenceError as error:  # the others can answer, and pages say why this one cannot
                self.failed[deployment.name] = str(error)
                log.warning(
                    "deployment cannot answer", extra={"deployment": deployment.name, "why": str(error)}
                )
        self.is_open = True

    def _deployments(self) -> list[Deployment]:
        if self._only is None:
            return list(self._ws.serving.deployments())
        return [self._ws.serving.deployment(name) for name in self._only]

    def _open(self, deployment: Deployment) -> Answerer:
        with self._opening:
            if self._closed:
                raise NotFoundError("model", deployment.name, hint="the server is shutting down")
            if deployment.name not in self.answerers:
                self.answerers[deployment.name] = self._ws.serving.answerer(deployment, self._folder)
                self.failed.pop(deployment.name, None)
            return self.answerers[deployment.name]

    def find(self, name: str) -> Answerer:
        """The answerer of a name; opened when it is not.

        Raises:
            NotFoundError: No deployment and no registered model has the name (``model-not-found``).
        """
        found = self.answerers.get(name)
        return found if found is not None else self._open(self._deployment(name))

    def _deployment(self, name: str) -> Deployment:
        known = {d.name: d for d in self._deployments()}
        if name in known:
            return known[name]
        models = self._ws.models.list() if self._only is None else []
        if name not in models:
            raise NotFoundError("model", name, near=[*known, *models], hint="GET /v2 names those that answer")
        # as if it were deployed
        return Deployment(name=name, model=name, table="", views=(), at="features_at", key=(), into=name)

    def names(self) -> list[str]:
        """What requests may call."""
        models = self._ws.models.list() if self._only is None else []
        return sorted({d.name for d in self._deployments()} | set(models))

    def why_not_ready(self) -> dict[str, str]:
        """By deployment, why it cannot answer; empty when all is well."""
        broken = {name: why for name, a in self.answerers.items() if (why := a.broken) is not None}
        return {**self.failed, **broken}

    def close(self) -> None:
        """Answer what waits, and commit every log."""
        with self._opening:
            self._closed = True
        for name, answerer in self.answerers.items():
            try:
                answerer.close()
            except Exception:
                log.exception("not closed", extra={"deployment": name})
