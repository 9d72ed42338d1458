"""Coroutines in tests: a browser driven by the same process keeps a loop running in the main thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_a_thread(asked: Awaitable[T]) -> T:
    """Run it by a loop of its own, in a thread of its own."""

    async def awaited() -> T:
        return await asked

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, awaited()).result()
