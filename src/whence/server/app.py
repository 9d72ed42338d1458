"""The server: inference as a raw ASGI route, everything else as FastAPI, guards before both.

::

    Guards ─► POST /v2/models/…/infer   ─► Inference   read, decode, queue, wait, answer
           └► everything else           ─► FastAPI     /v2/…, pages and their JSON
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from whence._version import __version__
from whence.errors import ConflictError, IntegrityError, NotFoundError, WhenceError
from whence.server import ui
from whence.server.guards import (
    BODY_TIMEOUT_S,
    LARGE_BYTES,
    MAX_BODY_BYTES,
    App,
    Guards,
    Receive,
    Refused,
    Scope,
    Send,
    check_loopback,
    own_hosts,
    read_body,
    refuse,
    respond,
)
from whence.server.infer import MAX_ROWS, ask_of, metadata, refusal_of, write_answer
from whence.server.served import Served
from whence.serving import Answer, Answerer, Ask, Line
from whence.workspace import Workspace

log = logging.getLogger(__name__)

PREFIX: Final = "/v2/models/"
INFER: Final = "/infer"
MOVING_S: Final = 0.01
"""How often to look whether a deployment has taken over."""


def make_app(
    ws: Workspace,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    deployments: Sequence[str] | None = None,
    served: Served | None = None,
    allowed_hosts: Iterable[str] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
    max_rows: int = MAX_ROWS,
    body_timeout_s: float = BODY_TIMEOUT_S,
    pages: bool = True,
    on_ready: Callable[[], None] | None = None,
) -> App:
    """The server of a workspace as an ASGI application.

    Args:
        ws: The workspace.
        host: Where it will be bound: this machine only.
        port: Its port.
        deployments: The deployments to answer for; None is all, and every registered model.
        served: What answers, when it has been put together already; it is closed with the app.
        allowed_hosts: Further names by which clients may call it, ``name`` or ``name:port``.
        max_body_bytes: A larger body is refused.
        max_rows: A request of more rows is refused.
        body_timeout_s: A body that takes longer is given up.
        pages: Whether it also shows the workspace in a browser.
        on_ready: Called when everything is open.

    Raises:
        UsageError: Other machines could reach it (``not-loopback``).

    Records:
        For each deployment that was asked, what `whence.serving.Answerer` records. Looking at pages records
        nothing.
    """
    check_loopback(host)
    served = served or Served(ws, deployments)
    return Guards(
        Door(Inference(served, max_rows), _make_fastapi(ws, served, on_ready, pages=pages)),
        hosts=own_hosts(host, port, allowed_hosts),
        max_body_bytes=max_body_bytes,
        body_timeout_s=body_timeout_s,
    )


class Door:
    """Requests for inference go the short way."""

    def __init__(self, inference: Inference, rest: App) -> None:
        self._inference, self._rest = inference, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith(PREFIX) and path.endswith(INFER):
                model, version = parse_model(path[len(PREFIX) : -len(INFER)])
                if model is not None:
                    await self._inference(scope, receive, send, model, version)
                    return
        await self._rest(scope, receive, send)


def parse_model(text: str) -> tuple[str | None, str | None]:
    """Model and version of the middle of a path; no model when it is not of that form.

    Example:
        >>> parse_model("late/versions/3"), parse_model("late"), parse_model("late/3")
        (('late', '3'), ('late', None), (None, None))
    """
    parts = text.split("/")
    if len(parts) == 1 and parts[0]:
        return parts[0], None
    if len(parts) == 3 and parts[0] and parts[1] == "versions":
        return parts[0], parts[2]
    return None, None


class Mailbox:
    """Brings requests to the answerers and answers back to the event loop, many with one call.

    What one turn of the loop has read is submitted together, and what was answered together is told together: each
    submission by itself would wake the answerer for it alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._out: list[tuple[Answerer, Ask, asyncio.Future[Answer | BaseException]]] = []
        self._box: deque[tuple[asyncio.Future[Answer | BaseException], Answer | BaseException]] = deque()
        self._called = False
        self._known: weakref.WeakSet[Answerer] = weakref.WeakSet()

    def ask(self, answerer: Answerer, ask: Ask) -> asyncio.Future[Answer | BaseException]:
        """Submit a request at the end of this turn of the loop; gives where its answer, or an error, will be."""
        if answerer not in self._known:
            self._known.add(answerer)
            answerer.after_batch(self._wake)
        future: asyncio.Future[Answer | BaseException] = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self._submit)
        self._out.append((answerer, ask, future))
        return future

    def _submit(self) -> None:
        out, self._out = self._out, []
        for answerer, ask, future in out:
            try:
                answerer.submit(ask, partial(self._put, future))
            except Exception as error:  # noqa: BLE001  # it is this client's answer, and no other's
                if not future.done():
                    future.set_result(error)

    def _put(self, future: asyncio.Future[Answer | BaseException], answer: Answer | BaseException) -> None:
        """From an answerer's thread, which calls `_wake` once it has put all it has."""
        self._box.append((future, answer))

    def _wake(self) -> None:
        if self._box and not self._called:  # what is put in until the call empties the box, it takes with it
            self._called = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False
        while self._box:
            future, answer = self._box.popleft()
            if not future.done():
                future.set_result(answer)


class Inference:
    """``POST /v2/models/{model}[/versions/{version}]/infer``."""

    def __init__(self, served: Served, max_rows: int = MAX_ROWS) -> None:
        self._served, self._max_rows = served, max_rows
        self._decoding = asyncio.Semaphore(1)
        """Large bodies are decoded one after the other: each takes many times its size meanwhile."""
        self._mailbox: Mailbox | None = None

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, model: str, version: str | None
    ) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            error = Refused(
                405, "method-not-allowed", "inference is asked by POST", headers=((b"allow", b"POST"),)
            )
            raise error
        _check_content(scope)
        body = await read_body(receive)
        try:
            answer = await self._answer(model, version, body)
        except Exception as error:  # whatever it is, the client is told in the protocol's shape
            refused = refusal_of(error)
            if refused.status != 503 and (isinstance(error, IntegrityError) or refused.status >= 500):
                log.exception("inference failed", extra={"model": model})
            await refuse(send, refused)
            return
        await respond(send, 200, write_answer(model, answer))

    async def _answer(self, model: str, version: str | None, body: bytes) -> Answer:
        while True:
            answerer = self._served.answerers.get(model)
            if answerer is None:
                answerer = await self._find(model)
            told = await self._ask(answerer, version, body)
            if not isinstance(told, BaseException):
                return told
            closed = isinstance(told, ConflictError) and told.code == "answerer-closed"
            if not (closed and self._served.is_replaced(model, answerer)):
                raise told  # else another is deployed by now, and the request was not taken

    async def _find(self, model: str) -> Answerer:
        while model in self._served.moving:  # noqa: ASYNC110  # another thread ends it; none is kept waiting
            await asyncio.sleep(MOVING_S)
        return await run_in_threadpool(self._served.find, model)

    async def _ask(self, answerer: Answerer, version: str | None, body: bytes) -> Answer | BaseException:
        line = answerer.line if version is None else await run_in_threadpool(pinned, answerer, version)
        if len(body) <= LARGE_BYTES:
            ask = ask_of(line, body, max_rows=self._max_rows)
        else:  # beside the event loop, so that others are not kept waiting
            async with self._decoding:
                ask = await run_in_threadpool(ask_of, line, body, max_rows=self._max_rows)
        if version is not None:
            ask = replace(ask, is_pinned=True)
        if self._mailbox is None:
            self._mailbox = Mailbox(asyncio.get_running_loop())
        return await self._mailbox.ask(answerer, ask)


def _check_content(scope: Scope) -> None:
    kind, coded = b"", b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
        elif name in {b"content-encoding", b"inference-header-content-length"}:
            coded = value.strip().lower()
    if kind != b"application/json":
        raise Refused(415, "wrong-content-type", "an inference request is application/json")
    if coded not in {b"", b"identity"}:
        raise Refused(
            415, "wrong-content-type", "bodies are read as they are: no encoding, no binary tensors"
        )


def pinned(answerer: Answerer, version: str) -> Line:
    """A version of an answerer's model, as a path names it.

    Raises:
        NotFoundError: There is none.
    """
    if not (version.isascii() and version.isdecimal() and len(version) < 10):
        name = answerer.line.version.name
        raise NotFoundError("model version", f"{name}@{version}", hint="a version is a number")
    return answerer.pinned(int(version))


def _make_fastapi(ws: Workspace, served: Served, on_ready: Callable[[], None] | None, *, pages: bool) -> App:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(served.open)
        if on_ready is not None:
            on_ready()
        try:
            yield
        finally:
            await run_in_threadpool(served.close)

    # no generated pages: they would load scripts from elsewhere
    app = FastAPI(
        title="whence",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    _add_protocol(app, served)
    app.add_exception_handler(HTTPException, _page_error if pages else _http_error)
    app.add_exception_handler(WhenceError, _whence_error)
    if pages:
        app.include_router(ui.router(ws))
    return app


def _add_protocol(app: FastAPI, served: Served) -> None:
    """The protocol's questions besides inference."""

    @app.get("/v2")
    def server() -> dict[str, object]:
        return {"name": "whence", "version": __version__, "extensions": [], "models": served.names()}

    @app.get("/v2/health/live")
    def live() -> dict[str, object]:
        return {"live": True}

    @app.get("/v2/health/ready")
    def ready() -> Response:
        why = served.why_not_ready()
        is_ready = served.is_open and not why
        return JSONResponse({"ready": is_ready, "failed": why}, 200 if is_ready else 503)

    def line_of(model: str, version: str | None) -> tuple[Answerer, Line]:
        answerer = served.find(model)
        return answerer, answerer.line if version is None else pinned(answerer, version)

    @app.get("/v2/models/{model}")
    @app.get("/v2/models/{model}/versions/{version}")
    def model(model: str, version: str | None = None) -> dict[str, object]:
        _, line = line_of(model, version)
        return metadata(model, [line.version.version], line)

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    def model_ready(model: str, version: str | None = None) -> Response:
        answerer, line = line_of(model, version)
        found = {"name": model, "version": str(line.version.version), "ready": answerer.broken is None}
        return JSONResponse(found, 200 if answerer.broken is None else 503)


def _page_error(request: Request, error: Exception) -> Response:
    if getattr(error, "status_code", 0) == 404 and not request.url.path.startswith("/v2"):
        return ui.not_found(request)
    return _http_error(request, error)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = str(error.detail)
    if error.status_code == 404:
        refused = Refused(404, "page-not-found", said)
    elif error.status_code == 405:
        refused = Refused(405, "method-not-allowed", said)
    else:
        refused = Refused(error.status_code, "bad-request", said)
    return JSONResponse(
        {"error": refused.message, "code": refused.code}, refused.status, headers=error.headers
    )


def _whence_error(_: Request, error: Exception) -> Response:
    refused = refusal_of(error)
    headers = {name.decode(): value.decode() for name, value in refused.headers}
    return JSONResponse({"error": refused.message, "code": refused.code}, refused.status, headers=headers)
