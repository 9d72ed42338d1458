"""Holds: versions that cleanup leaves alone, and the cleanup that respects them.

A hold is a context in the graph. It is committed under the table's hold lock; vacuum lists holds and files
under the same lock. So a version is either held before its files are looked at, or the holder finds that
it is gone.
"""

# ruff: noqa: ARG002  # check and effect have one shape for every kind of write

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.principal import current_principal
from whence.errors import NotFoundError, UsageError
from whence.lake.base import Snapshot
from whence.lake.chain import FENCE, write_facts
from whence.lake.commit import input_refs
from whence.lake.core import Core
from whence.lake.operations import Effect, Operation
from whence.lake.types import CommitFacts, CommitInfo, Hold, Part, State, VacuumReport
from whence.metadata import Change, Context, Put

BEFORE_VACUUM: Final = register("lake.vacuum.before", "holds are listed, no file is removed")
AFTER_VACUUM: Final = register("lake.vacuum.after", "files are removed, the graph does not know it")

DEFAULT_RETENTION_HOURS: Final = 168.0


def hold(core: Core, table: str, version: int, reason: str) -> Hold:
    """Keep a version from cleanup; the same reason again is the same hold.

    Raises:
        NotFoundError: There is no such version, or it was vacuumed.
        UsageError: The reason is empty (``bad-reason``).
    """
    if not reason.strip():
        raise UsageError("a hold needs a reason", code="bad-reason", hint="say what needs the version")
    with core.locks.holding("hold", table):
        snapshot = core.get(table, version)
        core.backend.relation(snapshot)
        _put(core, Hold(table, version, reason), released=False)
    return Hold(table, version, reason)


def release(core: Core, table: str, version: int, reason: str | None = None) -> list[Hold]:
    """Give holds back: that of one reason, or all of a version. Returns those that were given back.

    Raises:
        NotFoundError: There is no such hold (``hold-not-found``).
    """
    with core.locks.holding("hold", table):
        found = [h for h in list_holds(core, table) if h.version == version and reason in (None, h.reason)]
        if not found:
            held = [f"{h.table}@{h.version}/{h.reason}" for h in list_holds(core, table)]
            raise NotFoundError(
                "hold", f"{table}@{version}" + ("" if reason is None else f"/{reason}"), near=held
            )
        for one in found:
            _put(core, one, released=True)
    return found


def list_holds(core: Core, table: str | None = None) -> list[Hold]:
    """The holds in force, by table and version."""
    where: dict[str, str | bool] = {"released": False}
    if table is not None:
        where["table"] = table
    found = core.recorder.store.find_nodes("context", type_="Hold", where=where).nodes
    holds = [Hold(str(n.get("table")), _int(n.get("version")), str(n.get("reason"))) for n in found]
    return sorted(holds, key=lambda h: (h.table, h.version, h.reason))


def _put(core: Core, one: Hold, *, released: bool) -> None:
    core.recorder.check_writable()
    node = Context(
        type="Hold",
        name=f"{one.table}@{one.version}/{one.reason}",
        properties={"table": one.table, "version": one.version, "reason": one.reason, "released": released},
        custom={"principal": current_principal()},
    )
    core.recorder.store.write(Change([Put(node, if_exists="update")]))


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


class Compact(Operation):
    """Many small files become few; no row changes."""

    type = "compact"

    def check(self, base: Snapshot | None, state: State) -> None:
        if base is None:
            self.core.get(self.table)

    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        base = base or self.core.get(self.table)
        return Effect(
            lambda facts: self.core.backend.compact(base, facts=facts),
            Part(), Part(), 0, state.watermark, 0, state.epoch,
        )  # fmt: skip


class Attach(Operation):
    """A foreign table is made safe for whence."""

    type = "attach"

    def check(self, base: Snapshot | None, state: State) -> None:
        if base is None:
            self.core.get(self.table)

    def effect(self, base: Snapshot | None, state: State) -> Effect | None:
        base = base or self.core.get(self.table)
        return Effect(
            lambda facts: self.core.backend.attach(base, facts=facts),
            Part(), Part(), 0, state.watermark, 0, state.epoch,
        )  # fmt: skip


def vacuum(
    core: Core, table: str, *, retention_hours: float | None, full: bool, dry_run: bool
) -> VacuumReport:
    """Remove files that neither the newest version nor a held one needs.

    Raises:
        UsageError: The retention is negative (``bad-retention``).
    """
    hours = DEFAULT_RETENTION_HOURS if retention_hours is None else retention_hours
    if hours < 0:
        raise UsageError(f"retention_hours must be >= 0, got {hours}", code="bad-retention")
    base = core.get(table)
    if dry_run:
        return _vacuum(core, base, hours, full=full, dry_run=True, facts=CommitFacts())
    core.backend.check_writable(base)
    with core.recorder.execution(
        "vacuum", params={"table": table, "retention_hours": hours, "full": full}
    ) as rec:
        # writers first: while they are kept out, no file on its way into a commit can be taken for a leftover
        with core.locks.holding("write", table), core.locks.holding("hold", table):
            base = core.get(table)
            state = core.state(base)
            info = CommitInfo(
                table, base.version + 1, "vacuum", state.at or core.clock.now(), "vacuum", rec.uid,
                current_principal(), input_refs(rec), Part(), Part(), state=state, base=base.version,
            )  # fmt: skip
            crash_point(BEFORE_VACUUM)
            facts = CommitFacts(write_facts(info), ((FENCE, info.version),))
            report = _vacuum(core, base, hours, full=full, dry_run=False, facts=facts)
            crash_point(AFTER_VACUUM)
            rec.input(core.artifact(base), path=(table,))
            for version in range(base.version + 1, core.get(table).version + 1):
                rec.output(core.artifact(core.get(table, version)), path=(table,))
        rec.set(table=table, ended=list(report.ended), held=list(report.held), n_files=len(report.files))
    return report


def _vacuum(
    core: Core, base: Snapshot, hours: float, *, full: bool, dry_run: bool, facts: CommitFacts
) -> VacuumReport:
    held = sorted({h.version for h in list_holds(core, base.table)})
    files, ended = core.backend.vacuum(
        base, retention_hours=hours, keep_versions=held, full=full, dry_run=dry_run, facts=facts
    )
    return VacuumReport(base.table, dry_run, tuple(files), _without(ended, held), tuple(held))


def _without(ended: Sequence[int], held: Sequence[int]) -> tuple[int, ...]:
    return tuple(v for v in ended if v not in held)
