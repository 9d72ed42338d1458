"""Setting aside: the rows of a batch that may not enter go to quarantine, the others into the table.

A batch is told by its transaction or key: the same batch sets nothing aside again. Without either each call is
a batch of its own, for the rows that enter and for those that do not: two bad rows that look alike are two rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal, TypeAlias

import pyarrow as pa

from whence._base.crash import crash_point, register
from whence._base.ids import derived_uid, new_uid
from whence.compute import text_literal
from whence.errors import UsageError
from whence.lake.cells import row_texts
from whence.lake.commit import find_duplicate, run
from whence.lake.core import Core
from whence.lake.operations import Append, declaration_of
from whence.lake.quarantine_events import (
    Events,
    make_quarantine,
    next_moment,
    quarantine_of,
    recorded,
)
from whence.lake.sift import Rejected, Sifted, sift
from whence.lake.types import Commit, RowCheck, State
from whence.metadata import Properties, Value

OnError: TypeAlias = Literal["reject", "quarantine"]

SET_ASIDE: Final = register(
    "lake.quarantine.before-good",
    "the bad rows of a batch are in quarantine, its good rows are not in the table",
)


def append_sifted(
    core: Core,
    table: str,
    data: object,
    *,
    evolve: bool = False,
    watermark: datetime | None = None,
    transaction: tuple[str, int] | None = None,
    key: str | None = None,
    properties: Properties | None = None,
    progress: Mapping[str, int] | None = None,
) -> Commit:
    """Add the rows that may enter, set the others aside; `Table.append` with ``on_error="quarantine"``."""
    name = quarantine_of(table)
    carried = (f"key:append:{key}", 1) if transaction is None and key is not None else transaction
    base = core.find(table)
    if base is not None and carried is not None and find_duplicate(core, base, carried) is not None:
        # it was parted then; nothing is looked at again, whatever the rules say now
        known = Append(core, table, base.schema.empty_table())
        return run(core, known, transaction=transaction, key=key, properties=properties, progress=progress)
    check = core.row_check(table)
    want = None if base is None else base.schema
    sifted = sift(data, want, declaration=declaration_of(base), check=check, evolve=evolve)

    def entering(part: Sifted, n_bad: int) -> Append:
        return Append(
            core, table, part.good, evolve=evolve, watermark=watermark, sifted_by=check, n_quarantined=n_bad,
            filled=part.filled,
        )  # fmt: skip

    operation = entering(sifted, 0)
    if sifted.bad or (carried is not None and core.find(name) is not None):
        # what is refused as a whole is refused before any of it is set aside
        operation.check(base, State(0, 0) if base is None else core.state(base))
        sifted, n_bad = _set_aside(core, table, sifted, carried, check)
        operation = entering(sifted, n_bad)
        if n_bad:
            crash_point(SET_ASIDE)
    return run(core, operation, transaction=transaction, key=key, properties=properties, progress=progress)


def sets_aside(on_error: str) -> bool:
    """Whether rows that may not enter are set aside rather than the batch refused.

    Raises:
        UsageError: It is neither (``bad-on-error``).
    """
    if on_error not in ("reject", "quarantine"):
        raise UsageError(
            f"on_error is {on_error!r}", code="bad-on-error", hint="it is 'reject' or 'quarantine'"
        )
    return on_error == "quarantine"


def _set_aside(
    core: Core, table: str, sifted: Sifted, transaction: tuple[str, int] | None, check: RowCheck | None
) -> tuple[Sifted, int]:
    """Commit the bad rows that are not in quarantine yet.

    A batch that comes a second time, after its process died, is parted as it was parted first: what is in
    quarantine already does not enter too, even if the rules have been changed in between.

    Returns:
        The batch without the good rows that were set aside before; how many of its rows are in quarantine now.
    """
    batch = None if transaction is None else f"{transaction[0]}:{transaction[1]}"
    told_by = batch if batch is not None else new_uid()
    name = quarantine_of(table)
    with core.locks.holding("quarantine", table):
        before = _ids_of(core, name, batch)
        sifted, again = _parted_before(table, sifted, told_by, before)
        rows = {_row_id(table, told_by, r): r for r in sifted.bad}
        new = {uid: r for uid, r in rows.items() if uid not in before}
        if new:
            _quarantine(core, table, new, batch, check, sifted.source)
    return sifted, len(rows) + again


def _row_id(table: str, told_by: str, row: Rejected) -> str:
    return derived_uid("quarantine", table, told_by, str(row.position), row.row)


def _ids_of(core: Core, name: str, batch: str | None) -> set[str]:
    """The ids of the rows of a batch that were set aside before."""
    snapshot = core.find(name)
    if snapshot is None or batch is None:
        return set()
    rows = core.rows(snapshot, columns=["id"], where=f"batch = {text_literal(batch)} AND state = 'in'")
    return set(rows.column("id").to_pylist())


def _parted_before(table: str, sifted: Sifted, told_by: str, before: set[str]) -> tuple[Sifted, int]:
    """Leave out of the good rows those that were set aside when the batch came first; how many there are."""
    if not before or sifted.good.num_rows == 0:
        return sifted, 0
    good = sifted.good
    texts = row_texts(dict(zip(good.column_names, good.columns, strict=True)), good.num_rows)
    keep = [
        _row_id(table, told_by, Rejected(at, text, ())) not in before
        for at, text in zip(sifted.positions, texts, strict=True)
    ]
    if all(keep):
        return sifted, 0
    positions = [p for p, stays in zip(sifted.positions, keep, strict=True) if stays]
    return replace(sifted, good=good.filter(pa.array(keep)), positions=positions), keep.count(False)


def _quarantine(
    core: Core,
    table: str,
    rows: Mapping[str, Rejected],
    batch: str | None,
    check: RowCheck | None,
    source: str | None,
) -> None:
    """Commit rows as an execution ``quarantine``."""
    name = make_quarantine(core, table)
    ref = getattr(check, "ref", None)
    told = {"batch": batch, "schema": ref, "source": source}
    facts: dict[str, Value] = {"table": table, "n_quarantined": len(rows)}
    facts |= {what: text for what, text in told.items() if text is not None}
    with recorded(core, "quarantine", name, facts) as recording:
        now = next_moment(core, core.find(name))
        events = [
            {
                "id": uid, "state": "in", "row": r.row, "reasons": list(r.reasons), "schema": ref, "arrived_at": now,
                "known_at": now, "batch": batch, "source": source, "position": r.position,
                "execution": recording.uid,
            }
            for uid, r in rows.items()
        ]  # fmt: skip
        run(core, Events(core, name, events))
