"""Which version a name means: the newest, unless a block around the caller has fixed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from whence.lake.types import check_name


class PinScope:
    """The versions that names mean within a block.

    Attributes:
        versions: The version of each table that is fixed.
        fixing: Whether a name that is not fixed becomes so when it is first resolved.
    """

    def __init__(self, versions: Mapping[str, int] | None = None, *, fixing: bool = False) -> None:
        self.versions: dict[str, int] = {check_name(k): v for k, v in (versions or {}).items()}
        self.fixing = fixing


_scopes: ContextVar[tuple[PinScope, ...]] = ContextVar("whence_pins", default=())


@contextmanager
def pinned(versions: Mapping[str, int] | PinScope) -> Iterator[PinScope]:
    """Within the block, these tables are read at these versions; writing is not affected.

    Args:
        versions: Version by table name, or a scope of an earlier block to enter again.

    Example:
        >>> with pinned({"flights": 12}):
        ...     pinned_version("flights")
        12
    """
    scope = versions if isinstance(versions, PinScope) else PinScope(versions)
    token = _scopes.set((*_scopes.get(), scope))
    try:
        yield scope
    finally:
        _scopes.reset(token)


@contextmanager
def pinning() -> Iterator[PinScope]:
    """Within the block, the first time a table is resolved fixes its version.

    Example:
        >>> with pinning() as scope:
        ...     fix_version("flights", 12)
        >>> scope.versions
        {'flights': 12}
    """
    with pinned(PinScope(fixing=True)) as scope:
        yield scope


def pinned_version(table: str) -> int | None:
    """The version the blocks around the caller have fixed, the innermost first."""
    for scope in reversed(_scopes.get()):
        if table in scope.versions:
            return scope.versions[table]
    return None


def fix_version(table: str, version: int) -> None:
    """`table` has been resolved: the blocks that fix remember it."""
    for scope in _scopes.get():
        if scope.fixing:
            scope.versions.setdefault(table, version)
