"""Which models this server answers for: one answerer a deployment, opened when it starts or first asked."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whence.errors import NotFoundError, WhenceError
from whence.serving import Answerer, Deployment
from whence.workspace import Workspace

log = logging.getLogger(__name__)

REQUESTS: Final = "requests"
"""The folder of the workspace where request logs are."""
FOLLOW_S: Final = 0.5
RETRY_S: Final = 10.0
"""What could not be opened is tried again after so long, or when it is deployed otherwise."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a name cannot answer.

    Attributes:
        error: What was raised.
        deployment: What was to be opened; None when it is the request log that is damaged.
        until: Before this moment of the monotonic clock it is not tried again.
    """

    error: WhenceError
    deployment: Deployment | None
    until: float


class Served:
    """The answerers of a workspace, by the name requests call them.

    A name is that of a deployment, else of a registered model: its champion, or its newest version while it has
    none. Both are followed, and so is what is deployed under the name.

    Args:
        ws: The workspace.
        only: The deployments to answer for; None is all there are, and every registered model.
        follow_s: How often to look what is deployed; 0 is only when `follow` is called.
        retry_s: How long not to try again what could not be opened.
    """

    def __init__(
        self,
        ws: Workspace,
        only: Sequence[str] | None = None,
        *,
        follow_s: float = FOLLOW_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._ws = ws
        self._only = None if only is None else tuple(only)
        self._follow_s, self._retry_s = follow_s, retry_s
        self._folder = ws.folder / REQUESTS
        self._opening = threading.Lock()
        self._closed = threading.Event()
        self._follower: threading.Thread | None = None
        self._failures: dict[str, _Failure] = {}
        self._untaken: dict[str, _Failure] = {}
        """Deployments that could not take over from what answers in their name."""
        self.answerers: dict[str, Answerer] = {}
        """Those that are open."""
        self.moving: set[str] = set()
        """Names whose answerer is being replaced: who asks waits a moment."""
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
        self._settle()
        for deployment in deployments:
            self._try(deployment)
        self.is_open = True
        if self._follow_s > 0:
            self._follower = threading.Thread(target=self._keep_following, name="follow", daemon=True)
            self._follower.start()

    def _deployments(self) -> list[Deployment]:
        if self._only is None:
            return list(self._ws.serving.deployments())
        return [self._ws.serving.deployment(name) for name in self._only]

    def _settle(self) -> None:
        """Commit what earlier servers left; a name whose log cannot be, does not answer: it may hold the ids asked."""
        damaged: dict[str, WhenceError] = {}
        n_segments = self._ws.serving.settle_requests(self._folder, told=damaged.__setitem__)
        if n_segments:
            log.info("committed what an earlier server left", extra={"n_segments": n_segments})
        for name, error in damaged.items():
            self._fail(name, error, None)
        for name in [n for n, f in list(self._failures.items()) if f.deployment is None and n not in damaged]:
            self._failures.pop(name, None)

    def _fail(self, name: str, error: WhenceError, deployment: Deployment | None) -> None:
        """The others can answer, and ``/v2/health/ready`` says why this one cannot."""
        known = self._failures.get(name)
        if known is None or str(known.error) != str(error):
            # whoever started it reads the message only
            log.error("%s cannot answer: %s", name, error, extra={"deployment": name, "why": str(error)})
        self._failures[name] = _Failure(error, deployment, time.monotonic() + self._retry_s)

    def _try(self, deployment: Deployment) -> None:
        known = self._failures.get(deployment.name)
        if known is not None and not _is_due(known, deployment):
            return
        try:
            self._open(deployment)
        except WhenceError as error:
            self._fail(deployment.name, error, deployment)

    def _open(self, deployment: Deployment) -> Answerer:
        with self._opening:
            if self._closed.is_set():
                raise NotFoundError("model", deployment.name, hint="the server is shutting down")
            if deployment.name not in self.answerers:
                self.answerers[deployment.name] = self._ws.serving.answerer(deployment, self._folder)
                self._failures.pop(deployment.name, None)
            return self.answerers[deployment.name]

    def find(self, name: str) -> Answerer:
        """The answerer of a name; opened when it is not.

        Raises:
            NotFoundError: No deployment and no registered model has the name (``model-not-found``).
            WhenceError: It cannot answer, and that was seen a moment ago.
        """
        found = self.answerers.get(name)
        if found is not None:
            return found
        deployment = self._deployment(name)
        known = self._failures.get(name)
        if known is not None and not _is_due(known, deployment):
            raise known.error.with_traceback(None)
        return self._open(deployment)

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
        failed = {name: str(failure.error) for name, failure in list(self._failures.items())}
        broken = {name: why for name, a in list(self.answerers.items()) if (why := a.broken) is not None}
        return {**failed, **broken}

    # -- following

    def _keep_following(self) -> None:
        while not self._closed.wait(self._follow_s):
            try:
                self.follow()
            except Exception:
                log.exception("deployments not followed")

    def follow(self) -> None:
        """Look what is deployed, and let that answer; what could not be opened is tried again in its time."""
        logs = [f for f in list(self._failures.values()) if f.deployment is None]
        if any(time.monotonic() >= f.until for f in logs):
            self._settle()
        for deployment in self._deployments():
            answerer = self.answerers.get(deployment.name)
            if answerer is None:
                self._try(deployment)
            elif answerer.deployment.to_dict() != deployment.to_dict():
                self._take_over(answerer, deployment)

    def _take_over(self, old: Answerer, deployment: Deployment) -> None:
        """Let a deployment answer in place of another of its name, once it has shown that it can."""
        name = deployment.name
        known = self._untaken.get(name)
        if known is not None and not _is_due(known, deployment):
            return
        try:
            self._ws.serving.answerer(deployment, self._folder).close()
        except WhenceError as error:
            if known is None or str(known.error) != str(error):
                log.warning("deployment not followed", extra={"deployment": name, "why": str(error)})
            self._untaken[name] = _Failure(error, deployment, time.monotonic() + self._retry_s)
            return
        self._untaken.pop(name, None)
        with self._opening:
            if not self._closed.is_set():
                self._replace(old, deployment)

    def _replace(self, old: Answerer, deployment: Deployment) -> None:
        """Close one, then open the other: it learns the ids that the first has answered from the table."""
        name = deployment.name
        self.moving.add(name)
        try:
            del self.answerers[name]
            old.close()
            self.answerers[name] = self._ws.serving.answerer(deployment, self._folder)
            log.info("deployment followed", extra={"deployment": name, "model": deployment.model})
        except WhenceError as error:  # such as that the answers of the first cannot be committed now
            self._fail(name, error, deployment)
        finally:
            self.moving.discard(name)

    def is_replaced(self, name: str, answerer: Answerer) -> bool:
        """Whether another answers, or is about to, in place of one that has been closed."""
        return self.answerers.get(name) is not answerer

    def close(self) -> None:
        """Answer what waits, and commit every log."""
        with self._opening:
            self._closed.set()
        if self._follower is not None:
            self._follower.join()
        for name, answerer in self.answerers.items():
            try:
                answerer.close()
            except Exception:
                log.exception("not closed", extra={"deployment": name})


def _is_due(failure: _Failure, deployment: Deployment) -> bool:
    """Whether to try again."""
    if failure.deployment is not None and failure.deployment.to_dict() != deployment.to_dict():
        return True
    return failure.deployment is not None and time.monotonic() >= failure.until
