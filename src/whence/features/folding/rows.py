"""The rows of one source read by one timestamp, that some moment can still see.

Of each row the fold keeps what the compiler computes in SQL: ``e`` its event, ``kn`` when it was known, ``m``
the later of both, from which it is usable, and ``s`` when a newer row of its declared key takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.features.folding.conditions import Conditions
from whence.features.folding.growing import Bools, Growing, Ints
from whence.features.folding.keys import KeyCodes, Numbers
from whence.features.folding.spans import ALWAYS, NEVER, Span
from whence.features.folding.terms import Addend, Term, TermKey, Whole, doubles_of, term_values
from whence.features.plain import content
from whence.features.source import Source

MAX_CHUNKS: Final = 16
"""Batches are laid together when there are more: taking rows from many pieces is slow."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an addition did: rows that are new or taken back at another moment, and that moment before."""

    rows: Ints
    until: Ints
    """Before the addition; `ALWAYS` for a new row."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows that enter a window (sign 1) or leave it (-1), and the number of the first moment that sees it."""

    rows: Ints
    numbers: Ints
    signs: Ints


class Rows:
    """The rows of a source, as views with one timestamp read them.

    Args:
        source: The source; its rows are not read here.
        timestamp: The column of the event time.
        columns: Which columns are kept; None is all, where content may have to decide between two rows.
        keys: The lists of join keys that are asked for.
    """

    def __init__(
        self,
        source: Source,
        timestamp: str | None,
        columns: Sequence[str] | None,
        keys: Sequence[tuple[str, ...]],
    ) -> None:
        self.source = source
        self.timestamp = timestamp
        self.columns = tuple(source.schema.names if columns is None else columns)
        self._keeps_all = columns is None
        self.terms: dict[TermKey, Term] = {}
        self.addends: dict[tuple[str, int | None], Addend] = {}
        self.presence: dict[tuple[str | None, str | None], Growing] = {}
        self._keys = tuple(dict.fromkeys(keys))
        self._conditions = Conditions()
        self._n_places = 0
        self._clear()

    def _clear(self) -> None:
        self._tables: list[pa.Table] = []
        self._whole: pa.Table | None = None
        self._columns: dict[str, pa.Array] = {}
        self.event, self.known, self.usable, self.until = (Growing(np.int64) for _ in range(4))
        self._names = Growing(np.int64)
        self._name_codes = KeyCodes(self.source.key)
        self.codes = {keys: Growing(np.int64) for keys in self._keys}
        self.key_codes = {keys: KeyCodes(keys) for keys in self._keys}
        columns = {*self.source.key, *(c for keys in self._keys for c in keys)}
        self.numbers = {column: Numbers() for column in sorted(columns)}
        self._contents: dict[int, tuple[Any, ...]] = {}
        self.by_event: Ints = np.empty(0, dtype=np.int64)
        self.events: Ints = np.empty(0, dtype=np.int64)
        self.pending: Ints = np.empty(0, dtype=np.int64)
        self.retracted: Ints = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.event)

    # --- what is wanted of each row ----------------------------------------------------------------

    def new_place(self) -> int:
        """A number under which terms keep totals."""
        self._n_places += 1
        return self._n_places

    def want_term(self, key: TermKey) -> Term:
        """A term to be added up; before any row is there."""
        if key.column is not None and key.kind in ("sum", "squares"):
            name = (key.column, key.scale)
            self.addends.setdefault(name, Addend(*name, self.source))
        return self.terms.setdefault(key, Term(key))

    def want_presence(self, where: str | None, column: str | None) -> tuple[str | None, str | None]:
        """Which rows take part: the condition holds and the column is not null; before any row is there."""
        self.presence.setdefault((where, column), Growing(np.bool_))
        return where, column

    # --- adding ------------------------------------------------------------------------------------

    def add(self, table: pa.Table, at: int) -> Change:
        """Add rows with all columns of the source; those never known are left out. `at` is the fold's moment."""
        self._widen(table)
        table = self._known_at_all(table)
        first, n = len(self), table.num_rows
        new = np.arange(first, first + n)
        values = self._values(table)  # the only step that may refuse the rows
        self._tables.append(table.combine_chunks())
        self._whole = None
        self._columns.clear()
        self._append_moments(table, at)
        parts = {column: numbers.learn(table.column(column)) for column, numbers in self.numbers.items()}
        for keys, codes in self.codes.items():
            codes.add(self.key_codes[keys].learn(parts, n))
        for term, added in zip(self.terms.values(), values, strict=True):
            term.add(added)
        changed, before = self._take_back(parts, n)
        changed, before = changed[changed < first], before[changed < first]
        return Change(
            np.concatenate([new, changed]), np.concatenate([np.full(n, ALWAYS, dtype=np.int64), before])
        )

    def _widen(self, table: pa.Table) -> None:
        """Take over columns the source did not have before: content may decide by them from now on."""
        new = [name for name in table.column_names if name not in self.columns]
        if self._keeps_all and new:
            self.columns += tuple(new)
            self._contents.clear()

    def _known_at_all(self, table: pa.Table) -> pa.Table:
        table = table.select(self.columns)
        column = self.source.known_at or self.timestamp
        if column is None or not table.column(column).null_count:
            return table
        return table.filter(table.column(column).is_valid())

    def _append_moments(self, table: pa.Table, at: int) -> None:
        first, n = len(self), table.num_rows
        known_at = self.source.known_at or self.timestamp
        known = np.full(n, ALWAYS) if known_at is None else _micros(table.column(known_at))
        event = known if self.timestamp is None else _micros(table.column(self.timestamp))
        self.event.add(event)
        self.known.add(known)
        self.usable.add(np.maximum(event, known))
        self.until.add(np.full(n, NEVER))
        new = np.flatnonzero(event != NEVER) + first
        self.pending = np.concatenate([self.pending, new[self.usable.values[new] >= at]])
        new = new[np.argsort(event[new - first], kind="stable")]
        self._order(new, self.event.values[new])

    def _order(self, new: Ints, events: Ints) -> None:
        """Rows go to their places in the order of events; behind those of the same time."""
        if not len(self.events) or (len(events) and events[0] >= self.events[-1]):
            self.by_event = np.concatenate([self.by_event, new])
            self.events = np.concatenate([self.events, events])
            return
        places = np.searchsorted(self.events, events, side="right")
        self.by_event = np.insert(self.by_event, places, new)
        self.events = np.insert(self.events, places, events)

    def _values(self, table: pa.Table) -> list[Whole]:
        """What the rows add to each term; which take part in what is kept at once."""
        holds: dict[str | None, Bools] = {None: np.ones(table.num_rows, dtype=bool)}
        for where in {key.where for key in self.terms} | {where for where, _ in self.presence}:
            if where is not None:
                holds[where] = self._conditions.hold(where, table)
        integers = {name: self._integers(addend, table) for name, addend in self.addends.items()}
        values = []
        for key in self.terms:
            counts = holds[key.where] & _valid(table, key.column)
            odd = key.kind in ("nan", "up", "down")
            doubles = doubles_of(table.column(key.column)) if odd else None
            integer = integers.get((str(key.column), key.scale))
            values.append(term_values(key, counts, integer, doubles))
        for (where, column), present in self.presence.items():
            present.add(holds[where] & _valid(table, column))
        return values

    def _integers(self, addend: Addend, table: pa.Table) -> Whole:
        before = addend.shift
        integers = addend.integers(table.column(addend.column))
        if addend.shift > before:
            for key, term in self.terms.items():
                if (key.column, key.scale) == (addend.column, addend.scale) and term.power:
                    term.scale_up(addend.shift - before)
        return integers

    # --- corrections -------------------------------------------------------------------------------

    def _take_back(self, parts: dict[str, Ints], n: int) -> tuple[Ints, Ints]:
        """Set when rows are taken back; gives the rows for which that changed, and the moment before."""
        none = np.empty(0, dtype=np.int64)
        if not self.source.key:
            return none, none
        known_names = len(self._name_codes)
        names = self._name_codes.learn(parts, n)
        self._names.add(names)
        distinct, counts = np.unique(names[names >= 0], return_counts=True)
        repeated = distinct[(distinct < known_names) | (counts > 1)]
        if not len(repeated):
            return none, none
        versions = np.flatnonzero(np.isin(self._names.values, repeated))
        name, known = self._names.values[versions], self.known.values[versions]
        order = np.lexsort((known, name))
        versions, name, known = versions[order], name[order], known[order]
        again = np.flatnonzero((name[1:] == name[:-1]) & (known[1:] == known[:-1])) + 1
        versions = self.by_content(versions, again)
        older = np.flatnonzero(name[1:] == name[:-1])
        return self._shorten(versions[older], known[older + 1])

    def _shorten(self, rows: Ints, until: Ints) -> tuple[Ints, Ints]:
        before = self.until.values[rows]
        sooner = until < before
        rows, before = rows[sooner], before[sooner]
        self.until.values[rows] = until[sooner]
        self.retracted = np.concatenate([self.retracted, rows[before == NEVER]])
        return rows, before

    def by_content(self, rows: Ints, again: Ints) -> Ints:
        """Rows of which those at `again` tie with the one before: ties in the order of content."""
        if not len(again):
            return rows
        rows = rows.copy()
        begins = np.flatnonzero(np.diff(again, prepend=-2) != 1)
        for begin, end in zip(begins, [*begins[1:], len(again)], strict=True):
            run = slice(int(again[begin]) - 1, int(again[end - 1]) + 1)
            self._read_contents(rows[run])
            rows[run] = sorted(rows[run].tolist(), key=lambda row: self._contents[row])
        return rows

    def _read_contents(self, rows: Ints) -> None:
        missing = [row for row in rows.tolist() if row not in self._contents]
        if missing:
            facts = self.table.take(pa.array(missing)).to_pylist()
            self._contents.update(zip(missing, map(content, facts), strict=True))

    # --- reading -----------------------------------------------------------------------------------

    @property
    def table(self) -> pa.Table:
        """The rows themselves."""
        if self._whole is None:
            tables = self._tables or [self.source.schema.empty_table()]
            table = pa.concat_tables(tables, promote_options="default")
            if len(self._tables) > MAX_CHUNKS:
                table = table.combine_chunks()
                self._tables = [table]
            self._whole = table
        return self._whole

    def column(self, name: str) -> pa.Array:
        """A column in one piece."""
        if name not in self._columns:
            self._columns[name] = _one_piece(self.table.column(name))
        return self._columns[name]

    def since(self, columns: Sequence[str], first: int) -> pa.RecordBatch:
        """Columns from a row on, in one piece: what is asked for is mostly at the end of many pieces."""
        names = list(dict.fromkeys(columns))
        pieces = self._since(first).select(names).combine_chunks()
        whole = dict(zip(names, map(_one_piece, pieces.columns), strict=True))
        return pa.RecordBatch.from_arrays([whole[name] for name in columns], list(columns))

    def _since(self, first: int) -> pa.Table:
        """The rows from one on; the pieces before it are not touched."""
        if self._whole is None and 0 < len(self._tables) <= MAX_CHUNKS:
            at, begin = len(self._tables), len(self)
            while begin > first:
                at -= 1
                begin -= self._tables[at].num_rows
            last = self._tables[at:]
            if last and all(table.schema.equals(last[0].schema) for table in last):
                return pa.concat_tables(last).slice(first - begin)
        return self.table.slice(first)

    def between(self, low: int, high: int) -> Ints:
        """Rows with ``low <= e < high``, in the order of time."""
        lo, hi = np.searchsorted(self.events, [low, high])
        return self.by_event[lo:hi]

    def last_moment(self, span: Span | None, rows: Ints) -> Ints:
        """The last moment at which each row still counts in a window."""
        until = self.until.values[rows]
        return until if span is None else np.minimum(span.expiry(self.event.values[rows]), until)

    def moved(self, spans: Iterable[Span], after: int, moments: Ints) -> dict[Span, Moved]:
        """By window the rows that enter or leave it after a moment, up to the last of some moments."""
        upto = int(moments[-1]) if len(moments) else after
        usable = self.usable.values[self.pending]
        before = usable < upto
        coming, usable = self.pending[before], usable[before]
        event, until = self.event.values[coming], self.until.values[coming]
        # what happens at a moment takes effect right after it
        numbers = np.searchsorted(moments, usable, side="right")
        ended = self.until.values[self.retracted]
        back = self.retracted[(ended >= after) & (ended < upto)]
        delay = int((usable - event).max(initial=0)) if (usable < until).all() else NEVER
        found: dict[Span, Moved] = {}
        for span in spans:
            come, seen = coming, numbers
            if delay >= span.over_us:  # some may have come too late for the window
                some = np.flatnonzero(usable < np.minimum(span.expiry(event), until))
                come, seen = coming[some], numbers[some]
            leave, last = self._leaving(span, back, after, upto)
            signs = np.ones(len(come) + len(leave), dtype=np.int64)
            signs[len(come) :] = -1
            gone = np.searchsorted(moments, last, side="right")
            found[span] = Moved(np.concatenate([come, leave]), np.concatenate([seen, gone]), signs)
        return found

    def _leaving(self, span: Span, back: Ints, after: int, upto: int) -> tuple[Ints, Ints]:
        """Rows that leave a window, those that are taken back among them, and when they last counted."""
        leave = self.between(span.start(after), span.start(upto))
        last, until = span.expiry(self.event.values[leave]), self.until.values[leave]
        inside = last <= until
        if len(back):
            ended = self.until.values[back]
            early = ended < span.expiry(self.event.values[back])
            leave = np.concatenate([leave[inside], back[early]])
            last = np.concatenate([last[inside], ended[early]])
        elif not inside.all():
            leave, last = leave[inside], last[inside]
        counted = self.usable.values[leave] < last
        return (leave, last) if counted.all() else (leave[counted], last[counted])

    def late(self, change: Change, at: int) -> bool:
        """Whether an addition can change a window at a moment that has passed."""
        return bool((self.usable.values[change.rows] < at).any())

    def corrected(self, span: Span, change: Change, at: int) -> Moved:
        """What an addition changes in a window at a moment that has passed."""
        usable = self.usable.values[change.rows] < at
        rows, until = change.rows[usable], change.until[usable]
        expiry = span.expiry(self.event.values[rows])
        was = at <= np.minimum(expiry, until)
        now = at <= np.minimum(expiry, self.until.values[rows])
        changed = np.flatnonzero(was != now)
        return Moved(rows[changed], np.zeros(len(changed), dtype=np.int64), np.where(now[changed], 1, -1))

    def counted(self, span: Span, at: int) -> Moved:
        """The rows that count in a window at a moment, as if they had just entered it."""
        rows = self.between(span.start(at), at)
        rows = rows[(self.usable.values[rows] < at) & (at <= self.last_moment(span, rows))]
        return Moved(rows, np.zeros(len(rows), dtype=np.int64), np.ones(len(rows), dtype=np.int64))

    def pass_by(self, moment: int) -> None:
        """All that enters at or before a moment has entered."""
        self.pending = self.pending[self.usable.values[self.pending] >= moment]

    # --- forgetting --------------------------------------------------------------------------------

    def keep(self, rows: Ints, moment: int) -> None:
        """Keep only these rows."""
        table = self.table.take(pa.array(rows)).combine_chunks()
        until = self.until.values[rows]
        self._clear()
        self._tables, self._whole = [table], table
        self._append_moments(table, moment)
        self.until.values[:] = until
        self.retracted = np.flatnonzero(until < NEVER)
        parts = {column: numbers.learn(table.column(column)) for column, numbers in self.numbers.items()}
        for keys, codes in self.codes.items():
            codes.add(self.key_codes[keys].learn(parts, len(rows)))
        if self.source.key:
            self._names.add(self._name_codes.learn(parts, len(rows)))
        for term in self.terms.values():
            term.values.keep(rows)
            term.totals.clear()
        for present in self.presence.values():
            present.keep(rows)

    @property
    def nbytes(self) -> int:
        """The memory the rows and totals hold, the numbers of keys aside."""
        columns = [self.event, self.known, self.usable, self.until, self._names, *self.codes.values()]
        columns += [*self.presence.values()]
        held = [*columns, *self.terms.values(), *self._tables, self.by_event, self.events]
        return sum(int(part.nbytes) for part in held)


def _valid(table: pa.Table, column: str | None) -> Any:
    if column is None or not table.column(column).null_count:
        return True
    return np.asarray(table.column(column).is_valid())


def _one_piece(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _micros(column: pa.ChunkedArray) -> Ints:
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    moments = column.cast(pa.int64())
    return np.asarray((pc.fill_null(moments, NEVER) if moments.null_count else moments).to_numpy())
