"""Windows of sums, moved forward: what entered and left since the last moment is all that is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from whence.features.folding.asked import Asked
from whence.features.folding.growing import Ints
from whence.features.folding.rows import Moved, Rows
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
        return Events(
            self.spans.take(which),
            self.codes.take(which),
            self.numbers.take(which),
            self.rows.take(which),
            self.signs.take(which),
        )


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
        codes = self.rows.codes[self.keys].values.take(rows)
        numbers, signs = (np.concatenate(p) for p in zip(*((m.numbers, m.signs) for m in mine), strict=True))
        found = Events(spans, codes, numbers, rows, signs)
        return found.some(np.flatnonzero(codes >= 0)) if len(codes) and codes.min() < 0 else found

    def at(self, asked: Asked, events: Events) -> list[Whole]:
        """By term and window the total of each row of the batch; 0 where nothing is asked."""
        n_keys, n_spans = asked.n_keys, len(self.spans)
        wanted = asked.wanted(events.codes)
        events = events if wanted.all() else events.some(np.flatnonzero(wanted))
        places = asked.line(events.spans * n_keys + events.codes, events.numbers)
        order = np.argsort(places)
        places, rows, signs = places.take(order), events.rows.take(order), events.signs.take(order)
        begins = np.arange(n_spans)[:, None] * n_keys
        ends = np.searchsorted(places, asked.line(begins + asked.codes, asked.numbers), side="right")
        distinct, counts = asked.runs
        begins = np.searchsorted(places, asked.line(begins + distinct, 0)).repeat(counts, axis=1)
        totals: list[Whole] = []
        ones: Whole | None = None
        for term in self.terms:
            if term.ones and ones is not None:
                totals.append(ones)
                continue
            if not term.largest:
                total = np.zeros((n_spans, asked.n_rows), dtype=term.dtype)
            else:
                running = np.zeros(len(rows) + 1, dtype=term.dtype)
                np.cumsum(signs if term.ones else signs * term.values.values.take(rows), out=running[1:])
                held = self._held(term).take(asked.codes, axis=1)
                total = asked.spread(held + (running.take(ends) - running.take(begins)), 0)
            ones = total if term.ones else ones
            totals.append(total)
        return totals

    def advance(self, events: Events) -> None:
        """Move the totals forward, or correct them: what came in for moments that have passed."""
        self._add(events.spans, events.codes, events.rows, events.signs)

    def rebuild(self, events: Events) -> None:
        """Make the totals anew from all that counts."""
        for term in self.terms:
            term.totals.pop(self.number, None)
        self.advance(events)

    def _add(self, spans: Ints, codes: Ints, rows: Ints, signs: Ints) -> None:
        if not len(rows):
            return
        width, places = 0, spans
        for term in self.terms:
            if not term.largest:
                continue
            held = self._held(term)
            if held.shape[1] != width:
                width = held.shape[1]
                places = spans * width + codes
            added = signs if term.ones else signs * term.values.values.take(rows)
            np.add.at(held.reshape(-1), places, added)

    def _held(self, term: Term) -> Whole:
        return term.total(self.number, len(self.spans), len(self.rows.key_codes[self.keys]))
