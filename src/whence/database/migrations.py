"""Numbered steps that bring a component's tables from one version to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, inspect, select

from whence._base.ids import new_uid
from whence._version import __version__
from whence.errors import ConflictError, UsageError

log = logging.getLogger(__name__)

VERSIONS = Table(
    "schema_version",
    MetaData(),
    Column("component", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("written_by", String(64), nullable=False),
    Column(
        "change", String(26), nullable=False, comment="a uid: when, and which of two migrations was first"
    ),
    Column("at_us", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: from version ``number - 1`` to ``number``.

    A step, once released, never changes: databases that took it exist.

    Attributes:
        number: 1, 2, 3, … without a gap.
        name: What it does, in a few words.
        up: Does it, inside the migration's transaction.
    """

    number: int
    name: str
    up: Callable[[Connection], None]


def check_sequence(component: str, migrations: Sequence[Migration]) -> None:
    """Refuse steps that are not numbered from 1 without a gap."""
    numbers = [m.number for m in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise UsageError(f"migrations of {component!r} are numbered {numbers}", code="bad-migrations")


def read_version(connection: Connection, component: str) -> int:
    """The version of a component's tables; 0 when it has none."""
    if not inspect(connection).has_table(VERSIONS.name):
        return 0
    found = connection.scalar(select(VERSIONS.c.version).where(VERSIONS.c.component == component))
    return int(found or 0)


def refuse_newer(component: str, have: int, newest: int) -> None:
    """Refuse tables that a later whence wrote.

    Raises:
        ConflictError: ``workspace-newer``.
    """
    if have > newest:
        raise ConflictError(
            f"the workspace's {component} tables have version {have}, this whence ({__version__}) knows {newest}",
            code="workspace-newer",
            hint="install the whence that wrote it, or a later one; nothing was changed",
            details={"component": component, "stored": have, "known": newest},
        )


def apply(connection: Connection, component: str, migrations: Sequence[Migration], at_us: int) -> int:
    """Take every step that is missing; the caller holds the write transaction."""
    VERSIONS.create(connection, checkfirst=True)
    have = read_version(connection, component)
    refuse_newer(component, have, len(migrations))
    for step in migrations[have:]:
        step.up(connection)
        log.info(
            "tables migrated", extra={"component": component, "version": step.number, "migration": step.name}
        )
    if have < len(migrations):
        row = {
            "version": len(migrations),
            "written_by": __version__,
            "change": new_uid(),
            "at_us": at_us,
        }
        if have:
            connection.execute(VERSIONS.update().where(VERSIONS.c.component == component).values(row))
        else:
            connection.execute(VERSIONS.insert().values(component=component, **row))
    return len(migrations)
