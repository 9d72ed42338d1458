"""Quarantine: rows that may not enter a table are set aside, with the reason, and let in once they are put right.

Rows set aside from table ``arrivals`` are in table ``quarantine.arrivals``. What happens to a row is a row there
(its state: ``in``, ``corrected``, ``replaying``, ``replayed``, ``dropped``); of the rows of one id the one known last
counts. Nothing is ever changed or taken away.

Setting aside is one commit, before the commit of the good rows::

    quarantine.arrivals   the bad rows: the ids say which rows of which batch, so that the same batch, told by its
                          transaction or key, adds none again; without either each call is a batch of its own
    arrivals              the good rows

Letting in is three, with one number *n* for each replay::

    quarantine.arrivals   the rows are ``replaying`` as number n
    arrivals              the rows; the commit carries the app transaction (``whence.replay``, n)
    quarantine.arrivals   the rows are ``replayed``

A process that dies in between leaves rows ``replaying``. Whether they are in is what the app transaction of the
table says; if not, the next replay first finishes that one, with the same number, so rows enter once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.crash import crash_point, register
from whence.compute import text_literal
from whence.errors import NotFoundError, UsageError
from whence.lake.arguments import check_arguments
from whence.lake.base import Snapshot
from whence.lake.cells import read_rows, row_texts
from whence.lake.commit import find_duplicate, run
from whence.lake.core import Core
from whence.lake.corrections import Fix, check_fix, chosen_rows, fixed_rows, reasons_of, told_fix
from whence.lake.operations import Append, declaration_of
from whence.lake.quarantine_events import REPLAY, Events, Standing, State, quarantine_of, recorded
from whence.lake.sift import sift
from whence.lake.types import Commit, RowCheck
from whence.metadata import Value

CLAIMED: Final = register(
    "lake.replay.before-table",
    "the quarantine says which rows are being replayed, the table has none of them",
)
REPLAYED: Final = register(
    "lake.replay.after-table",
    "the table has the replayed rows, the quarantine still calls them being replayed",
)

_PENDING: Final = ("in", "corrected")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that was set aside.

    Attributes:
        id: Its name, made from what it holds, its batch and its place in it; of a batch that nothing tells
            from others, the call counts as the batch.
        row: Its values by column.
        reasons: Why it may not enter; empty once a correction helped.
        arrived_at: When it came.
        state: What has become of it.
        execution: The uid of the execution that did the last thing to it.
        schema: The schema whose rules it broke; None where it did not even fit the table.
        batch: The app transaction it came with; None: it came with neither transaction nor key.
        source: The file it came from.
        position: Its place in the batch, or its line in the file.
        note: What was said when it was dropped.
    """

    id: str
    row: Mapping[str, object]
    reasons: tuple[str, ...]
    arrived_at: datetime
    state: State
    execution: str
    schema: str | None = None
    batch: str | None = None
    source: str | None = None
    position: int = 0
    note: str | None = None


class Quarantine:
    """The rows set aside from one table: ``ws.quarantine("arrivals")``.

    Attributes:
        name: The table they may not enter.
        kept_in: The table they are in.
    """

    def __init__(self, core: Core, table: str) -> None:
        self._core = core
        self.name = table
        self.kept_in = quarantine_of(table)

    def __repr__(self) -> str:
        return f"<Quarantine of {self.name}>"

    # --- looking

    def table(self) -> pa.Table:
        """Every row that was ever set aside, as it stands now, in the order of arrival.

        Raises:
            NotFoundError: There is no such table, and nothing of one was set aside (``table-not-found``).
        """
        self._find()
        return Standing(self._core, self.kept_in).newest()

    def list(
        self,
        pending: bool = True,
        reason: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Quarantined]:
        """The rows that were set aside, in the order of arrival.

        Args:
            pending: Only those that wait: neither let in nor dropped.
            reason: Only those with a reason that holds this text.
            limit: At most this many.

        Raises:
            UsageError: `limit` is negative (``bad-argument``).
            NotFoundError: As `table`.
        """
        check_arguments(reason=reason, limit=limit)
        if limit is not None and limit < 0:
            raise UsageError(f"limit is {limit}, want 0 or more", code="bad-argument")
        rows = self._pending() if pending else self.table()
        if reason is not None:
            found = [any(reason in r for r in said or ()) for said in rows.column("reasons").to_pylist()]
            rows = rows.filter(pa.array(found, pa.bool_()))
        return [_quarantined(row) for row in _told(rows if limit is None else rows.slice(0, limit))]

    def get(self, id: str) -> Quarantined:  # noqa: A002  # the name of the column
        """One row, whatever has become of it.

        Raises:
            NotFoundError: There is none of that id (``quarantined-row-not-found``).
        """
        check_arguments(id=id)
        return _quarantined(_told(self._chosen(self.table(), [id]))[0])

    def history(self, id: str) -> Sequence[Mapping[str, object]]:  # noqa: A002
        """What was done to a row, oldest first: state, moment, reasons, execution, the row as it was then.

        Raises:
            NotFoundError: There is none of that id (``quarantined-row-not-found``).
        """
        check_arguments(id=id)
        self._chosen(self.table(), [id])
        rows = self._core.rows(self._core.get(self.kept_in), where=f"id = {text_literal(id)}")
        return [
            {"state": e["state"], "at": e["known_at"], "reasons": e["reasons"], "row": e["row"],
             "note": e["note"], "execution": e["execution"]}
            for e in _told(rows.sort_by("known_at"))
        ]  # fmt: skip

    def counts(self) -> dict[str, int]:
        """How many rows were set aside (``in``), and of them: how many wait (``pending``), were corrected at
        least once, were let in (``replayed``), were dropped.

        Raises:
            NotFoundError: As `table`.
        """
        snapshot = self._find()
        if snapshot is None:
            return {"in": 0, "pending": 0, "corrected": 0, "replayed": 0, "dropped": 0}
        states = self.table().column("state").to_pylist()
        corrected = self._core.rows(snapshot, columns=["id"], where="state = 'corrected'").column("id")
        return {
            "in": len(states),
            "pending": sum(s in _PENDING for s in states),
            "corrected": len(pc.unique(corrected)),
            "replayed": states.count("replayed"),
            "dropped": states.count("dropped"),
        }

    def _find(self) -> Snapshot | None:
        """What was set aside; None when nothing ever was."""
        found = self._core.find(self.kept_in)
        if found is None:
            self._core.get(self.name)
        return found

    def _pending(self, ids: Sequence[str] | None = None) -> pa.Table:
        rows = self.table()
        rows = rows.filter(pc.is_in(rows.column("state"), value_set=pa.array(_PENDING)))
        return rows if ids is None else self._chosen(rows, ids)

    def _chosen(self, rows: pa.Table, ids: Sequence[str]) -> pa.Table:
        have = set(rows.column("id").to_pylist())
        for uid in ids:
            if uid not in have:
                raise NotFoundError(
                    "quarantined row",
                    uid,
                    near=have,
                    hint=f"whence quarantine list {self.name} shows those that wait",
                )
        return rows.filter(pc.is_in(rows.column("id"), value_set=pa.array(list(ids), pa.string())))

    # --- putting right

    def correct(
        self,
        fix: Fix,
        ids: Sequence[str] | None = None,
        where: str | None = None,
    ) -> int:
        """Change rows that wait. They still wait: `replay` lets them in.

        Args:
            fix: A function from rows to rows, as many and in the same order (rows of different columns or
                types come in separate calls); or for each column its new value: a value that fits the
                table's column, or an `Expression` over the row's columns. Null takes a column away that
                the table does not have.
            ids: Which rows; None is all that wait.
            where: Which of them: a condition in SQL over the row's columns. Where a value has another type than
                the table's column, it is compared as what it is; rows that cannot be asked are not meant.

        Returns:
            How many rows were changed; rows that the fix leaves as they are do not count.

        Raises:
            UsageError: The condition or expression does not fit (``bad-sql``), the function gave other than
                as many rows, or a value is of another type than the column (``quarantine-fix``).
            NotFoundError: No row of that id waits (``quarantined-row-not-found``); neither the table nor a
                row that is meant has a column of that name (``column-not-found``).

        Records:
            One execution ``correct``; version of the quarantine in, next version out.
        """
        given: object = fix
        if given is None:  # by a caller without types; for other arguments it means that they are left out
            raise UsageError(
                "fix is None, want a function from rows to rows, or new values by column", code="bad-argument"
            )
        check_arguments(fix=fix, ids=ids, where=where)
        core = self._core
        with core.locks.holding("quarantine", self.name):
            rows = self._pending(ids)
            changed = self._corrected(rows, fix, where)
            if not changed:
                return 0
            snapshot = core.get(self.kept_in)
            facts: dict[str, Value] = {"table": self.name, "n_rows": len(changed), "fix": told_fix(fix)}
            with recorded(core, "correct", self.kept_in, facts) as recording:
                core.record_read(snapshot)
                self._tell(rows, changed, "corrected", recording.uid)
        return len(changed)

    def _corrected(self, rows: pa.Table, fix: Fix, where: str | None) -> dict[str, Mapping[str, object]]:
        """The rows that change, by id: their new text and reasons."""
        base = self._core.find(self.name)
        check = self._core.row_check(self.name)
        ids = rows.column("id").to_pylist()
        texts = rows.column("row").to_pylist()
        changed: dict[str, Mapping[str, object]] = {}
        groups = read_rows(texts)
        meant = self._meant(base, groups, where)
        check_fix(base, [rows for (_, rows), chosen in zip(groups, meant, strict=True) if chosen], fix)
        for (at, group), chosen in zip(groups, meant, strict=True):
            if not chosen:
                continue
            fixed = fixed_rows(self._core, base, group.take(pa.array(chosen)), fix)
            reasons = reasons_of(fixed, base, check)
            new = row_texts(dict(zip(fixed.column_names, fixed.columns, strict=True)), fixed.num_rows)
            for i, text, why in zip(chosen, new, reasons, strict=True):
                if text != texts[at[i]]:
                    changed[ids[at[i]]] = {"row": text, "reasons": list(why)}
        return changed

    def _meant(
        self, base: Snapshot | None, groups: Sequence[tuple[Sequence[int], pa.Table]], where: str | None
    ) -> Sequence[Sequence[int]]:
        """Which rows of each group a condition means; of types it cannot be asked about, none."""
        found: list[Sequence[int]] = []
        refused: list[UsageError] = []
        for _, group in groups:
            try:
                found.append(chosen_rows(self._core, base, group, where))
            except UsageError as error:
                if error.code != "bad-sql":
                    raise
                refused.append(error)
                found.append(())
        if refused and len(refused) == len(groups):
            raise refused[0]
        return found

    def _tell(
        self, rows: pa.Table, changes: Mapping[str, Mapping[str, object]], state: State, execution: str,
        transaction: tuple[str, int] | None = None,
    ) -> Commit:  # fmt: skip
        """Commit what has become of some of these rows."""
        told = [row for row in rows.to_pylist() if row["id"] in changes]
        after = {row["id"]: row["known_at"] for row in told}
        # later than what was known, even on a clock that stands: the last one counts
        now = max([self._core.clock.now(), *(at + timedelta(microseconds=1) for at in after.values())])
        events = [
            {**row, **changes[row["id"]], "state": state, "known_at": now, "execution": execution}
            for row in told
        ]
        return run(self._core, Events(self._core, self.kept_in, events, after), transaction=transaction)

    def drop(self, ids: Sequence[str], *, reason: str) -> int:
        """Give rows up: they wait no longer and do not enter. They stay to be looked at.

        Returns:
            How many rows.

        Raises:
            NotFoundError: No row of that id waits (``quarantined-row-not-found``).
            UsageError: No reason is given (``bad-reason``).

        Records:
            One execution ``drop``.
        """
        check_arguments(ids=ids, reason=reason)
        if not reason.strip():
            raise UsageError("a row is dropped for a reason", code="bad-reason", hint="say why")
        core = self._core
        with core.locks.holding("quarantine", self.name):
            rows = self._pending(ids)
            if rows.num_rows == 0:
                return 0
            params = {"table": self.name, "n_rows": rows.num_rows, "reason": reason}
            with recorded(core, "drop", self.kept_in, params) as recording:
                core.record_read(core.get(self.kept_in))
                notes = {uid: {"note": reason} for uid in rows.column("id").to_pylist()}
                self._tell(rows, notes, "dropped", recording.uid)
        return len(notes)

    # --- letting in

    def replay(
        self,
        ids: Sequence[str] | None = None,
        watermark: datetime | None = None,
        transaction: tuple[str, int] | None = None,
    ) -> Commit:
        """Let rows that wait into the table, if they may enter now; the others go on waiting.

        Rows are checked again, as `Table.append` checks them. In a table that declares ``known_at`` they are known
        now: the lake raises what they claim to lie above the watermark.

        Args:
            ids: Which rows; None is all that wait.
            watermark: As in `Table.append`.
            transaction: As in `Table.append`: with one that the table has, nothing happens.

        Returns:
            The commit of the table; `n_quarantined` is how many rows may still not enter. Without rows to
            let in, and without watermark and transaction, nothing is written.

        Raises:
            NotFoundError: No row of that id waits (``quarantined-row-not-found``).

        Records:
            One execution ``replay``; the quarantine's version in, the table's next version out.
        """
        check_arguments(ids=ids, watermark=watermark, transaction=transaction)
        core = self._core
        core.recorder.check_writable()
        with core.locks.holding("quarantine", self.name):
            self._finish()
            base = core.find(self.name)
            if base is not None and transaction is not None:
                done = find_duplicate(core, base, transaction)
                if done is not None:
                    return done
            rows = self._pending(ids)
            ready, n_bad = self._ready(rows)
            if not ready and watermark is None and transaction is None:
                return self._nothing(n_bad)
            return self._replay(rows, ready, n_bad, watermark, transaction)

    def _nothing(self, n_bad: int) -> Commit:
        base = self._core.get(self.name)
        state = self._core.state(base)
        digest = self._core.digest(base).text
        return Commit(
            self.name, base.version, "", 0, digest=digest, watermark=state.watermark, n_quarantined=n_bad
        )

    def _ready(self, rows: pa.Table) -> tuple[dict[str, Mapping[str, object]], int]:
        """The ids of the rows that may enter now, and how many may not."""
        base = self._core.find(self.name)
        check = self._core.row_check(self.name)
        ids = rows.column("id").to_pylist()
        ready: dict[str, Mapping[str, object]] = {}
        for at, group in read_rows(rows.column("row").to_pylist()):
            for i, why in enumerate(reasons_of(group, base, check)):
                if not why:
                    ready[ids[at[i]]] = {"reasons": []}
        return ready, len(ids) - len(ready)

    def _replay(
        self,
        rows: pa.Table,
        ready: Mapping[str, Mapping[str, object]],
        n_bad: int,
        watermark: datetime | None,
        transaction: tuple[str, int] | None,
    ) -> Commit:
        core = self._core
        number = self._next_number()
        told = {"watermark": None if watermark is None else watermark.isoformat(), "transaction": transaction}
        params: dict[str, Value] = {"table": self.name, "n_rows": len(ready)}
        with recorded(core, "replay", self.name, params) as recording:
            snapshot = core.find(self.kept_in)
            if snapshot is not None:
                core.record_read(snapshot)
            if ready:
                claim = {uid: {**f, "replay": number, "note": json.dumps(told)} for uid, f in ready.items()}
                self._tell(rows, claim, "replaying", recording.uid, (REPLAY, number))
                crash_point(CLAIMED)
            return self._let_in(number, n_bad, watermark, transaction, recording.uid)

    def _next_number(self) -> int:
        numbers = [0]
        for name in (self.kept_in, self.name):
            snapshot = self._core.find(name)
            if snapshot is not None:
                numbers.append(self._core.backend.transaction_version(snapshot, REPLAY) or 0)
        return max(numbers) + 1

    def _let_in(
        self,
        number: int,
        n_bad: int,
        watermark: datetime | None,
        transaction: tuple[str, int] | None,
        execution: str,
    ) -> Commit:
        """The table's commit of the rows claimed under a number, and what the quarantine says then."""
        core = self._core
        claimed = Standing(core, self.kept_in).claimed(number)
        data, filled, stay = self._entering(claimed, check := core.row_check(self.name))
        ours = (REPLAY, number)
        operation = Append(
            core, self.name, data, watermark=watermark, sifted_by=check, n_quarantined=n_bad + len(stay),
            filled=filled,
        )  # fmt: skip
        commit = run(
            core, operation, transaction=transaction or ours, progress=dict([ours]) if transaction else None
        )
        if claimed.num_rows:
            crash_point(REPLAYED)
            done: Mapping[str, Mapping[str, object]] = {
                uid: {"note": commit.ref} for uid in claimed.column("id").to_pylist() if uid not in stay
            }
            self._tell(claimed, done, "replayed", execution)
        if stay:
            self._tell(claimed, stay, "corrected", execution)
        return commit

    def _entering(
        self, claimed: pa.Table, check: RowCheck | None
    ) -> tuple[pa.Table, Mapping[str, int], dict[str, Mapping[str, object]]]:
        """Claimed rows as the table takes them; how many of their values were filled; those it no longer takes.

        The last are there because the table or its rules changed meanwhile.
        """
        base = self._core.find(self.name)
        want = None if base is None else base.schema
        ids = claimed.column("id").to_pylist()
        tables = []
        filled: Counter[str] = Counter()
        stay: dict[str, Mapping[str, object]] = {}
        for at, group in read_rows(claimed.column("row").to_pylist()):
            sifted = sift(group, want, declaration=declaration_of(base), check=check)
            tables.append(sifted.good)
            filled.update(sifted.filled)
            stay |= {ids[at[r.position]]: {"reasons": list(r.reasons)} for r in sifted.bad}
        data = pa.concat_tables(tables) if tables else self._core.get(self.name).schema.empty_table()
        return data, filled, stay

    def _finish(self) -> None:
        """End replays that were broken off: their rows are in, or enter now, under the same number."""
        core = self._core
        for number in Standing(core, self.kept_in).open_numbers():
            rows = Standing(core, self.kept_in).claimed(number)
            base = core.find(self.name)
            there = None if base is None else core.backend.transaction_version(base, REPLAY)
            inside = there is not None and there >= number
            params: dict[str, Value] = {"table": self.name, "n_rows": rows.num_rows, "again": number}
            with recorded(core, "replay", None if inside else self.name, params) as recording:
                core.record_read(core.get(self.kept_in))
                if inside:
                    told_by = {"note": self._let_in_by(number)}
                    done: Mapping[str, Mapping[str, object]] = dict.fromkeys(
                        rows.column("id").to_pylist(), told_by
                    )
                    self._tell(rows, done, "replayed", recording.uid)
                else:
                    told = json.loads(rows.column("note")[0].as_py())
                    w, t = told["watermark"], told["transaction"]
                    moment = None if w is None else datetime.fromisoformat(w)
                    self._let_in(number, 0, moment, None if t is None else (t[0], t[1]), recording.uid)

    def _let_in_by(self, number: int) -> str:
        """The commit of the table that let the rows of a replay in."""
        base = self._core.get(self.name)
        ours = (REPLAY, number)
        infos = self._core.chain(base).infos(base.version)
        return next(i.ref for i in reversed(infos) if i.transaction == ours or ours in i.progress)


def _told(rows: pa.Table) -> list[dict[str, Any]]:
    # Any: the values of a row of the quarantine
    told: list[dict[str, Any]] = rows.to_pylist()
    for at, group in read_rows(rows.column("row").to_pylist()):
        for i, values in zip(at, _values(group), strict=True):
            told[i]["row"] = values
    return told


def _values(group: pa.Table) -> list[dict[str, Any]]:
    try:
        return list(group.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError):  # bytes that are no text, times beyond Python's
        texts = row_texts(dict(zip(group.column_names, group.columns, strict=True)), group.num_rows)
        return [{n: next(iter(c.values())) for n, c in json.loads(t).items()} for t in texts]


def _quarantined(row: Mapping[str, Any]) -> Quarantined:
    return Quarantined(
        id=row["id"],
        row=row["row"],
        reasons=tuple(row["reasons"] or ()),
        arrived_at=row["arrived_at"],
        state=row["state"],
        execution=row["execution"],
        schema=row["schema"],
        batch=row["batch"],
        source=row["source"],
        position=row["position"],
        note=row["note"] if row["state"] == "dropped" else None,
    )
