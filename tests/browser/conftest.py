"""A real Chromium, a real server on a free loopback port, a small workspace with something on every page."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

import whence as w
from tests.unit.server.ui.site import build, set_aside
from whence.server.app import make_app

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str | None:
    """The browser that ``WHENCE_TEST_CHROMIUM`` names, else one on the path. None is downloaded."""
    named = os.environ.get("WHENCE_TEST_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Served:
    """Where the pages are, and the workspace behind them."""

    origin: str
    ws: w.Workspace


@dataclass
class Visit:
    """One window on the site, and what went wrong in it."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """Go to a page."""
        answer = self.page.goto(self.origin + address)
        assert answer is not None
        assert answer.ok, (address, answer.status)
        return self.page

    def note(self, message: ConsoleMessage) -> None:
        """Errors and warnings of the console."""
        if message.type in ("error", "warning"):
            self.errors.append(f"{self.page.url}: {message.text}")

    def request(self, request: Request) -> None:
        """What was asked of others."""
        if not request.url.startswith((self.origin, "data:")):
            self.errors.append(f"{self.page.url} asks {request.url}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with build(tmp_path_factory.mktemp("browser") / "site.whence") as ws, socket.socket() as door:
        set_aside(ws)
        door.bind(("127.0.0.1", 0))
        door.listen()  # from here on connections wait in the queue: nobody has to poll
        port = door.getsockname()[1]
        config = uvicorn.Config(make_app(ws, port=port), log_level="warning", lifespan="on", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        yield Served(f"http://127.0.0.1:{port}", ws)
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: install one, or name it by WHENCE_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=args)
        yield browser
        browser.close()


@contextmanager
def window(
    browser: Browser, origin: str, width: int, *, dark: bool = False, scripts: bool = True
) -> Iterator[Visit]:
    """A window of a width, for one reader; nothing may have gone wrong when it closes."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    visit = Visit(context.new_page(), origin)
    visit.page.set_default_timeout(20_000)
    visit.page.on("console", visit.note)
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("request", visit.request)
    try:
        yield visit
        assert visit.errors == []
    finally:
        context.close()
