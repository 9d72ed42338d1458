"""Numbered steps that bring a component's tables from one version to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, inspect, select

from whence._base.crash import crash_point, register
from whence._base.ids import new_uid
from whence._version import __version__
from whence.errors import ConflictError, UsageError

log = logging.getLogger(__name__)

TAKEN: Final = register(
    "database.migrate.taken", "a step of a migration is taken, its version is not written"
)

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

    A step, once released, never changes: databases that took it exist. Where tables are no part of a
    transaction (MySQL) a killed step is taken again, so it makes only what is not there.

    Attributes:
        number: 1, 2, 3, … without a gap.
        name: What it does, in a few words.
        up: Does it, inside the migration's transaction.
        fresh: Makes version ``number`` where there is nothing, without the steps before; None when it cannot.
    """

    number: int
    name: str
    up: Callable[[Connection], None]
    fresh: Callable[[Connection], None] | None = None


@dataclass(frozen=True, slots=True)
class Component:
    """The tables of one room: its name and every step that made them.

    Attributes:
        name: As the table of versions calls it.
        migrations: Every step, in order.
    """

    name: str
    migrations: tuple[Migration, ...]

    @property
    def newest(self) -> int:
        """The version this whence knows."""
        return len(self.migrations)

    def steps_from(self, version: int) -> tuple[Migration, ...]:
        """The steps that bring tables of `version` to the newest."""
        return self.migrations[version:]


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


def refuse(component: str, have: int, newest: int, *, upgrade: bool) -> None:
    """Refuse tables that a later whence wrote, and older ones unless they are to be upgraded.

    Raises:
        ConflictError: ``workspace-newer`` or ``workspace-older``.
    """
    facts = {"component": component, "stored": have, "known": newest}
    said = (
        f"the workspace's {component} tables have version {have}, this whence ({__version__}) knows {newest}"
    )
    if have > newest:
        raise ConflictError(
            said,
            code="workspace-newer",
            hint="install the whence that wrote it, or a later one; nothing was changed",
            details=facts,
        )
    if 0 < have < newest and not upgrade:
        raise ConflictError(
            said,
            code="workspace-older",
            hint="whence migrate brings them up; nothing was changed",
            details=facts,
        )


def apply(
    connection: Connection, component: str, migrations: Sequence[Migration], at_us: int, *, upgrade: bool
) -> int:
    """Take every step that is missing; the caller holds the write transaction."""
    VERSIONS.create(connection, checkfirst=True)
    have = read_version(connection, component)
    refuse(component, have, len(migrations), upgrade=upgrade)
    if have == 0:
        have = _begin_fresh(connection, component, migrations, at_us)
    for step in migrations[have:]:
        step.up(connection)
        _write_version(connection, component, step, at_us)
    return len(migrations)


def _begin_fresh(connection: Connection, component: str, migrations: Sequence[Migration], at_us: int) -> int:
    """Make the newest layout that can be made at once; its version, 0 when none can."""
    for step in reversed(migrations):
        if step.fresh is not None:
            step.fresh(connection)
            _write_version(connection, component, step, at_us)
            return step.number
    return 0


def _write_version(connection: Connection, component: str, step: Migration, at_us: int) -> None:
    crash_point(TAKEN)
    row = {"version": step.number, "written_by": __version__, "change": new_uid(), "at_us": at_us}
    mine = VERSIONS.c.component == component
    if not connection.execute(VERSIONS.update().where(mine).values(row)).rowcount:
        connection.execute(VERSIONS.insert().values(component=component, **row))
    log.info(
        "tables migrated", extra={"component": component, "version": step.number, "migration": step.name}
    )
