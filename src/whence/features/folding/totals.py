"""Windows of sums, moved forward: what entered and left since the last moment is all that is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from whence.features.folding.asked import Asked
from whence.features.folding.growing import Ints
from whence.features.folding.rows import Change, Moved, Rows
from whence.features.folding.spans import Span
from whence.features.folding.terms import Term, Whole


@dataclass(frozen=True, slots=True)
class Events:
    """What entered (sign 1) and left (-1) the windows of one list of join keys.

    Attributes:
        spans: The number of the window.
        codes: The key's code.
        numbers: The number of the first moment that sees it.
        rows: The row.
        signs: Whether it came or went.
    """

    spans: Ints
    codes: Ints
    numbers: Ints
    rows: Ints
    signs: Ints

    def some(self, which: Ints) -> Events:
        """Only these, in this order."""
        return Events(*(getattr(self, name)[which] for name in self.__slots__))


@dataclass
class Windows:
    """The totals of the windows of one list of join keys, at the fold's moment.

    Invariant: the total of a window and key is the sum over the rows that count at the fold's moment.

    Args:
        number: Under which the terms keep the totals.
        rows: The rows.
        keys: The join keys, as columns of the source.
    """

    number: int
    rows: Rows
    keys: tuple[str, ...]
    spans: list[Span] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)

    def want(self, span: Span, term: Term) -> tuple[int, int]:
        """Ask for the total of a term over a window; gives their numbers."""
        if span not in self.spans:
            self.spans.append(span)
        if not any(term is other for other in self.terms):
            self.terms.append(term)
        return self.spans.index(span), next(i for i, t in enumerate(self.terms) if t is term)

    def events(self, moved: Mapping[Span, Moved]) -> Events:
        """What moved, of all windows together."""
        mine = [moved[span] for span in self.spans]
        spans = np.repeat(np.arange(len(mine)), [len(m.rows) for m in mine])
        rows = np.concatenate([m.rows for m in mine])
        codes = self.rows.codes[self.keys].values[rows]
        numbers, signs = (np.concatenate(p) for p in zip(*((m.numbers, m.signs) for m in mine), strict=True))
        found = Events(spans, codes, numbers, rows, signs)
        return found.some(np.flatnonzero(codes >= 0)) if len(codes) and codes.min() < 0 else found

    def at(self, asked: Asked, events: Events) -> list[list[Whole]]:
        """The total of each row of the batch, by window and term; 0 where nothing is asked."""
        n_keys = asked.n_keys
        events = events.some(np.flatnonzero(asked.wanted(events.codes)))
        places = asked.line(events.spans * n_keys + events.codes, events.numbers)
        order = np.argsort(places)
        places, rows, signs = places[order], events.rows[order], events.signs[order]
        begins, ends = [], []
        for span in range(len(self.spans)):
            ends.append(
                np.searchsorted(places, asked.line(asked.codes + span * n_keys, asked.numbers), side="right")
            )
            begins.append(np.searchsorted(places, asked.line(asked.codes + span * n_keys, 0)))
        totals: list[list[Whole]] = [[] for _ in self.spans]
        nothing = np.zeros(asked.n_rows, dtype=np.int64)
        for term in self.terms:
            if not term.largest:
                for found in totals:
                    found.append(nothing)
                continue
            running = np.zeros(len(rows) + 1, dtype=term.dtype)
            np.cumsum(signs * term.values.values[rows], out=running[1:])
            held = self._held(term)
            for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
                total = held[number, asked.codes] + (running[end] - running[begin])
                totals[number].append(asked.spread(total, 0))
        return totals

    def advance(self, events: Events) -> None:
        """Move the totals forward."""
        self._add(events.spans, events.codes, events.rows, events.signs)

    def correct(self, change: Change, at: int) -> None:
        """Take over what came in for moments that have passed."""
        usable = self.rows.usable.values[change.rows] < at
        rows, until = change.rows[usable], change.until[usable]
        if not len(rows):
            return
        codes = self.rows.codes[self.keys].values[rows]
        for number, span in enumerate(self.spans):
            expiry = span.expiry(self.rows.event.values[rows])
            was = at <= np.minimum(expiry, until)
            now = at <= np.minimum(expiry, self.rows.until.values[rows])
            signs = now.astype(np.int64) - was.astype(np.int64)
            some = np.flatnonzero((codes >= 0) & (signs != 0))
            self._add(np.full(len(some), number), codes[some], rows[some], signs[some])

    def rebuild(self, at: int) -> None:
        """Make the totals anew from the rows."""
        for term in self.terms:
            term.totals.pop(self.number, None)
        for number, span in enumerate(self.spans):
            rows = self.rows.counted(span, at)
            codes = self.rows.codes[self.keys].values[rows]
            some = np.flatnonzero(codes >= 0)
            self._add(np.full(len(some), number), codes[some], rows[some], np.ones(len(some), dtype=np.int64))

    def _add(self, spans: Ints, codes: Ints, rows: Ints, signs: Ints) -> None:
        if len(rows):
            for term in self.terms:
                if not term.largest:
                    continue
                held = self._held(term)
                np.add.at(held.reshape(-1), spans * held.shape[1] + codes, signs * term.values.values[rows])

    def _held(self, term: Term) -> Whole:
        return term.total(self.number, len(self.spans), len(self.rows.key_codes[self.keys]))
