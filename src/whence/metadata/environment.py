"""What a process runs on: interpreter, platform, packages, git. Read once, then remembered."""

from __future__ import annotations

import functools
import importlib.metadata
import locale
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping

from whence.metadata.types import Properties

# What numerical libraries read to decide on their threads; sums of floats depend on it.
THREAD_VARIABLES = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


@functools.cache
def read_environment() -> Properties:
    """Interpreter, platform, thread settings, time zone, locale, and every installed package with its version.

    Example:
        >>> sorted(read_environment())[:3]
        ['cpu_count', 'implementation', 'locale']
    """
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count() or 0,
        "threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "timezone": time.tzname[0],
        "locale": ".".join(part or "" for part in locale.getlocale()),
        "packages": read_packages(),
    }


@functools.cache
def read_packages() -> Mapping[str, str]:
    """Installed distributions and their versions, by normalised name."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            # The first on the path is the one that is imported.
            found.setdefault(name.lower().replace("_", "-").replace(".", "-"), distribution.version)
    return dict(sorted(found.items()))


@functools.cache
def read_git() -> Properties | None:
    """The commit, the branch, and whether tracked files differ from it; None outside a repository.

    The working directory at the first call decides; git itself is optional.
    """
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command, nothing of it comes from a caller
            command, capture_output=True, text=True, timeout=5, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _parse_status(answer.stdout) if answer.returncode == 0 else None


def _parse_status(text: str) -> Properties:
    r"""The facts of ``git status --porcelain=v2 --branch``.

    Example:
        >>> _parse_status("# branch.oid 1f3\n# branch.head main\n1 .M N... a.py\n")
        {'commit': '1f3', 'branch': 'main', 'dirty': True}
    """
    facts: dict[str, str] = {}
    dirty = False
    for line in text.splitlines():
        if line.startswith("# "):
            key, _, value = line[2:].partition(" ")
            facts[key] = value
        elif line:
            dirty = True
    return {"commit": facts.get("branch.oid", ""), "branch": facts.get("branch.head", ""), "dirty": dirty}
