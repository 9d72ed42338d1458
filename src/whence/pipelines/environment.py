"""What a step runs on, as far as it can change a result: interpreter, platform, threads, package versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from functools import cache
from typing import Final

from whence._version import __version__
from whence.metadata.types import Value
from whence.pipelines.types import Difference

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "WHENCE_COMPUTE_THREADS",
)


def threads() -> dict[str, Value]:
    """How many processors this process may use, and the variables that say otherwise.

    Example:
        >>> threads()["cpus"] >= 1
        True
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: dict[str, Value] = {"cpus": cpus}
    found.update({name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ})
    return found


@cache
def interpreter() -> str:
    """The interpreter with its full version."""
    return f"{platform.python_implementation()} {platform.python_version()}"


@cache
def system() -> str:
    """The operating system, the machine and the C library."""
    return " ".join(p for p in (platform.system(), platform.machine(), *platform.libc_ver()) if p)


def facts() -> dict[str, Value]:
    """The three together, as they are stored with a step."""
    return {"python": interpreter(), "platform": system(), "threads": threads()}


def installed(name: str) -> str | None:
    """The version of a package that is installed here; None when it is not."""
    if name == "whence":
        return __version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def differences(recorded: Mapping[str, Value], now: Mapping[str, Value]) -> list[Difference]:
    """How two `facts` differ.

    Example:
        >>> differences({"python": "CPython 3.11.7"}, {"python": "CPython 3.12.1"})[0].what
        'python'
    """
    found: list[Difference] = []
    if recorded.get("python") != now.get("python"):
        found.append(
            Difference("python", "interpreter", _text(recorded.get("python")), _text(now.get("python")))
        )
    if recorded.get("platform") != now.get("platform"):
        found.append(
            Difference("platform", "system", _text(recorded.get("platform")), _text(now.get("platform")))
        )
    before, after = recorded.get("threads"), now.get("threads")
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found.extend(
            Difference("threads", name, _text(before.get(name)), _text(after.get(name)))
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        )
    return found


def package_differences(recorded: Mapping[str, str], now: Mapping[str, str | None]) -> list[Difference]:
    """The packages whose versions differ; one that is absent now has version None."""
    return [
        Difference("package", name, version, now.get(name))
        for name, version in sorted(recorded.items())
        if name != "python" and now.get(name) != version
    ]


def _text(value: Value) -> str | None:
    return None if value is None else str(value)
