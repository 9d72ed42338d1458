"""The routes of all pages and their twins; errors as friendly pages, or in the one JSON shape."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from whence.errors import (
    BackendError,
    ConflictError,
    DataRejectedError,
    DeniedError,
    NotFoundError,
    UsageError,
    WhenceError,
)
from whence.server.api.base import Asked
from whence.server.api.kept import Kept
from whence.server.ui.links import address, href_of
from whence.server.ui.page import NO_PICTURES, Page
from whence.server.ui.pages import (
    deployments,
    executions,
    features,
    journey,
    models,
    monitors,
    predictions,
    quarantine,
    runs,
    tables,
    traces,
)
from whence.server.ui.render import STATIC, render, static
from whence.workspace import Workspace

log = logging.getLogger(__name__)

PAGES: Final = (
    *journey.PAGES,
    *tables.PAGES,
    *features.PAGES,
    *runs.PAGES,
    *models.PAGES,
    *deployments.PAGES,
    *predictions.PAGES,
    *monitors.PAGES,
    *traces.PAGES,
    *executions.PAGES,
    *quarantine.PAGES,
)
METHODS: Final = ["GET", "HEAD"]
#: Mistakes in a name that came with the address: for a reader that is a page that does not exist.
NOWHERE: Final = frozenset(
    {"bad-reference", "bad-name", "bad-model-name", "bad-alias", "not-predictions", "untraceable"}
)
#: A page of ours asks nobody else for anything. Styles stand inside the pictures, so they are allowed inline.
POLICY: Final = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
#: What the near names of an error are.
KIND_OF_CODE: Final = {
    "alias-not-found": "model",
    "deployment-not-found": "deployments",
    "feature-view-not-found": "feature_view",
    "model-version-not-found": "model",
    "monitor-not-found": "monitors",
    "not-predictions": "table",
    "prediction-not-found": "prediction",
    "quarantine-not-found": "quarantine",
    "registered-model-not-found": "model",
    "run-not-found": "run",
    "table-not-found": "table",
    "table-version-not-found": "table",
}
Answer = Callable[[Request], Awaitable[Response]]


def router(ws: Workspace) -> APIRouter:
    """The pages of a workspace, each also at the same address + ``.json``.

    Only GET and HEAD, nothing is recorded by looking. Mount it last, at the root.

    Example:
        >>> from whence.workspace import connect
        >>> with connect(tmp) as ws:
        ...     paths = [route.path for route in router(ws).routes]
        >>> "/tables/{name}" in paths and "/tables/{name}.json" in paths
        True
    """
    found, kept, rooms = APIRouter(include_in_schema=False), Kept(), Rooms(ws)
    for name in STATIC:
        found.add_api_route(f"/static/{name}", _static(name), methods=METHODS)
    for page in PAGES:  # the twins first: a name in braces would take their ending for its own
        path = "/index.json" if page.path == "/" else f"{page.path}.json"
        found.add_api_route(path, _answer(rooms, kept, page, as_json=True), methods=METHODS)
    for page in PAGES:
        found.add_api_route(page.path, _answer(rooms, kept, page, as_json=False), methods=METHODS)
        if page.path.endswith("}"):
            found.add_api_route(f"{page.path}/", _answer(rooms, kept, page, as_json=False), methods=METHODS)
    return found


def _static(name: str) -> Answer:
    data, kind = static(name), STATIC[name]

    async def answer(request: Request) -> Response:
        age = "public, max-age=31536000, immutable" if "v" in request.query_params else "no-cache"
        return Response(data, media_type=kind, headers={**HEADERS, "Cache-Control": age})

    return answer


class Rooms:
    """The rooms of a workspace, built before the first page: pages are asked for by several threads at once."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._lock = Lock()
        self._built = False

    def workspace(self) -> Workspace:
        """The workspace with every room that pages use."""
        if not self._built:
            with self._lock:
                ws = self._ws
                _ = (
                    ws.lake,
                    ws.validation,
                    ws.features,
                    ws.runs,
                    ws.models,
                    ws.serving,
                    ws.monitoring,
                    ws.tracer,
                )
                self._built = True
        return self._ws


def _answer(rooms: Rooms, kept: Kept, page: Page, *, as_json: bool) -> Answer:
    def respond(request: Request) -> Response:
        asked = Asked(rooms.workspace(), dict(request.path_params), dict(request.query_params), kept)
        return _respond(asked, page, request, as_json=as_json)

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(respond, request)

    return answer


def _respond(asked: Asked, page: Page, request: Request, *, as_json: bool) -> Response:
    try:
        data = page.data(asked)
        if as_json:
            return _json(data)
        words = render(
            page.template,
            section=page.section,
            path=_here(request),
            pictures={**page.pictures(data), **page.parts(asked)},
            data=data,
            asked=asked.query,
        )
    except WhenceError as error:
        return _error(error, request, section=page.section, as_json=as_json)
    return Response(words, media_type="text/html", headers=HEADERS)


def _here(request: Request) -> str:
    """The path of this page as it was written: still encoded."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    return str(raw.decode("ascii", "replace")).partition("?")[0]


def _json(data: object, status: int = 200) -> Response:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return Response(text, status, media_type="application/json", headers=HEADERS)


def status_of(error: WhenceError) -> int:
    """The HTTP status of an error, by what the caller can do next."""
    if isinstance(error, NotFoundError) or error.code in NOWHERE:
        return 404
    kinds: tuple[tuple[type[WhenceError], int], ...] = (
        (UsageError, 400),
        (DeniedError, 403),
        (ConflictError, 409),
        (DataRejectedError, 422),
        (BackendError, 503),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)


def _error(error: WhenceError, request: Request, *, section: str, as_json: bool) -> Response:
    status = status_of(error)
    if status >= 500:
        log.error("a page failed", extra={"path": request.url.path, "code": error.code})
    if as_json:
        return _json(error.to_dict(), status)
    near = [
        (name, near_address(error.code, name, tracing="ref" in request.query_params)) for name in error.near
    ]
    words = render(
        "error.html", section=section, path="", pictures=NO_PICTURES, error=error, status=status, near=near
    )
    return Response(words, status, media_type="text/html", headers=HEADERS)


def near_address(code: str, name: str, *, tracing: bool) -> str | None:
    """The page of a name that was probably meant; None when it has none.

    Example:
        >>> near_address("table-not-found", "flights", tracing=False)
        '/tables/flights'
        >>> near_address("model-version-not-found", "late@2", tracing=True)
        '/trace?ref=model%3Alate%402'
    """
    if name.startswith("/"):
        return name
    kind = KIND_OF_CODE.get(code)
    if kind in ("deployments", "monitors", "quarantine"):
        return address(kind, name)
    ref = name if kind is None else f"{kind}:{name.removeprefix(kind + ':')}"
    href = href_of(ref)
    return address("trace", ref=ref) if tracing and href is not None else href


def not_found(request: Request) -> Response:
    """The page for an address that leads nowhere; for an app's own 404."""
    error = NotFoundError("page", request.url.path, near=[p.path for p in PAGES if "{" not in p.path])
    return _error(error, request, section="", as_json=request.url.path.endswith(".json"))
