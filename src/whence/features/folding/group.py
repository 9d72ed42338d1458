"""Views that are folded together: they read the same rows by the same keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from whence.features.compile import result_type
from whence.features.duration import microseconds
from whence.features.folding.asked import Asked, Batch
from whence.features.folding.finals import Totals, count_of, mean_of, std_of, sum_of
from whence.features.folding.growing import Bools, Ints
from whence.features.folding.picks import Best, Pick, Picked, pick, values_of
from whence.features.folding.rows import Moved, Rows
from whence.features.folding.spans import NEVER, Span
from whence.features.folding.terms import ODD, Addend, Term, TermKey, Whole
from whence.features.folding.totals import Events, Windows
from whence.features.points import key_column
from whence.features.source import Group, columns_of
from whence.features.types import ADDITIVE, Aggregation, FeatureView

_BEST: dict[str, Best] = {"first": "oldest", "last": "newest", "min": "least", "max": "greatest"}


@dataclass(frozen=True, slots=True)
class _Additive:
    """A feature made of totals of one window."""

    feature: Aggregation
    name: str
    span: int
    terms: tuple[int, ...]
    addend: Addend | None
    """What is added up; None for a count."""
    odd: tuple[Term, ...]
    """How many values are not finite: the last of the terms."""


@dataclass
class FoldedGroup:
    """The features of one group, at the fold's moment.

    Args:
        group: The views.
        rows: The rows they read; shared with other groups.
    """

    group: Group
    rows: Rows
    additive: list[_Additive] = field(default_factory=list)
    picked: dict[Pick, dict[str, str]] = field(default_factory=dict)
    """Of each row that is picked the features, and whose column's value they are."""

    def __post_init__(self) -> None:
        self.keys = tuple(key for key, _ in self.group.keys)
        self.windows = Windows(self.rows.new_place(), self.rows, self.keys)
        for view in self.group.views:
            for feature in view.features:
                if feature.op in ADDITIVE:
                    self._want_totals(view, feature)
                else:
                    self._want_pick(view, feature)

    # --- what is wanted ----------------------------------------------------------------------------

    def _want_totals(self, view: FeatureView, feature: Aggregation) -> None:
        span = _span(view, feature)
        assert span is not None
        terms = {key: self.rows.want_term(key) for key in self._term_keys(feature)}
        wanted = [self.windows.want(span, term) for term in terms.values()]
        addends = [self.rows.addends[str(k.column), k.scale] for k in terms if k.kind == "sum"]
        self.additive.append(
            _Additive(
                feature,
                f"{view.name}__{feature.name}",
                wanted[0][0],
                tuple(number for _, number in wanted),
                addends[0] if addends else None,
                tuple(term for key, term in terms.items() if key.kind in ODD),
            )
        )

    def _term_keys(self, feature: Aggregation) -> Iterator[TermKey]:
        """The number of values, their sum, their squares, and how many are not finite."""
        column, where = feature.column, feature.where
        if column is None:
            yield TermKey("rows", where=where)
            return
        yield TermKey("count", column, where=where)
        if feature.op == "count":
            return
        doubles = pa.types.is_floating(self.group.source.schema.field(column).type)
        scale = feature.scale if doubles else None
        yield TermKey("sum", column, scale, where)
        if feature.op == "std":
            yield TermKey("squares", column, scale, where)
        if doubles and scale is None:
            yield from (TermKey(kind, column, where=where) for kind in ODD)

    def _want_pick(self, view: FeatureView, feature: Aggregation) -> None:
        windowed = feature.over is not None
        what = Pick(
            _BEST[feature.op],
            _span(view, feature),
            windowed,
            feature.column if windowed else None,
            feature.where,
        )
        self.rows.want_presence(what.where, what.column)
        self.picked.setdefault(what, {})[f"{view.name}__{feature.name}"] = str(feature.column)

    # --- answers -----------------------------------------------------------------------------------

    def check(self, spine: pa.Table) -> None:
        """Whether a batch has the key columns, of fitting types.

        Raises:
            NotFoundError: A key column is absent.
            UsageError: Its type is not the source's kind (``bad-key-type``).
        """
        for key, name in self.group.keys:
            key_column(spine, key, name, self.group)

    def asked(self, batch: Batch) -> Asked:
        """What a batch asks this group."""
        codes = self.rows.key_codes[self.keys]
        parts = {key: batch.find(self.rows.numbers[key], name) for key, name in self.group.keys}
        found = codes.find(parts, batch.spine.num_rows)
        return Asked.of(batch.moments, batch.numbers, found, len(codes))

    def events(self, moved: Mapping[Span, Moved]) -> Events | None:
        """What moved in the windows of sums; None where there are no such windows."""
        return self.windows.events(moved) if self.windows.spans else None

    def features(self, asked: Asked, events: Events | None) -> Iterator[tuple[str, pa.Array]]:
        """The features of each row of the batch."""
        if events is not None:
            totals = self.windows.at(asked, events)
            for wanted in self.additive:
                yield wanted.name, self._final(wanted, [totals[term][wanted.span] for term in wanted.terms])
        for what, columns in self.picked.items():
            taken = Picked.of(pick(self.rows, self.keys, what, asked))
            found = values_of(self.rows, list(columns.values()), taken, plain=what.windowed)
            yield from zip(columns, found, strict=True)

    def _final(self, wanted: _Additive, totals: Sequence[Whole]) -> pa.Array:
        feature, addend = wanted.feature, wanted.addend
        if addend is None:
            return count_of(totals[0])
        squares = totals[2] if feature.op == "std" else None
        seen = any(term.largest for term in wanted.odd)
        odd = (totals[-3], totals[-2], totals[-1]) if seen else None
        made = Totals(totals[0], totals[1], squares, odd)
        if feature.op == "sum":
            return sum_of(made, addend, result_type(feature, self.group.source.schema), wanted.name)
        return mean_of(made, addend) if feature.op == "mean" else std_of(made, addend)

    # --- moving ------------------------------------------------------------------------------------

    def advance(self, events: Events | None) -> None:
        """Move the totals forward, or correct them: what came in for moments that have passed."""
        if events is not None:
            self.windows.advance(events)

    def rebuild(self, events: Events | None) -> None:
        """Make the totals anew from all that counts."""
        if events is not None:
            self.windows.rebuild(events)

    # --- what is still seen ------------------------------------------------------------------------

    def seen(self, at: int) -> Bools:
        """Which rows some moment at or after `at` can still see."""
        rows = self.rows
        everything = np.arange(len(rows))
        possible = (rows.codes[self.keys].values >= 0) & (rows.event.values != NEVER)
        seen = np.zeros(len(rows), dtype=bool)
        for span in {*self.windows.spans, *(what.span for what in self.picked if what.windowed)}:
            seen |= at <= rows.last_moment(span, everything)
        for what in (what for what in self.picked if not what.windowed):
            seen |= self._seen_by(what, at)
        return np.asarray(seen & possible)

    def _seen_by(self, what: Pick, at: int) -> Bools:
        """Which rows a lookup can still find."""
        rows = self.rows
        seen: Bools = at < rows.until.values
        if what.span is not None:
            seen &= at <= what.span.expiry(rows.event.values)
        elif self._steady(what):
            seen &= rows.presence[what.where, what.column].values
            seen[self._outranked(seen, at)] = False
        return seen

    def _steady(self, what: Pick) -> bool:
        """Whether a row that is outranked stays so, because what outranks it is never taken back for less."""
        key = set(self.group.source.key)
        if not key:
            return True
        timestamp = self.group.timestamp
        return what.where is None and key.issuperset(self.keys) and (timestamp is None or timestamp in key)

    def _outranked(self, seen: Bools, at: int) -> Ints:
        """Of the usable rows of each key all but the newest."""
        rows = self.rows
        usable = np.flatnonzero(seen & (rows.usable.values <= at))
        codes = rows.codes[self.keys].values[usable]
        event, known = rows.event.values[usable], rows.known.values[usable]
        order = np.lexsort((known, event, codes))
        codes, event, known = codes[order], event[order], known[order]
        newer = codes[1:] == codes[:-1]
        # of rows that tie, content decides later: all of them stay
        newest = np.append(~newer, True)[: len(order)]
        tied = newer & (event[1:] == event[:-1]) & (known[1:] == known[:-1])
        for i in np.flatnonzero(tied)[::-1]:
            newest[i] |= newest[i + 1]
        return np.asarray(usable[order[~newest]])


def _span(view: FeatureView, feature: Aggregation) -> Span | None:
    if feature.over is None:
        return None if view.ttl is None or view.timestamp is None else Span(microseconds(view.ttl))
    return Span(microseconds(feature.over), 0 if view.hop is None else microseconds(view.hop))


def rows_for(groups: Iterable[Group]) -> dict[tuple[str, str | None], Rows]:
    """The rows that groups share: one of each source and timestamp."""
    found: dict[tuple[str, str | None], list[Group]] = {}
    for group in groups:
        found.setdefault((group.source.name, group.timestamp), []).append(group)
    return {name: _rows(mine) for name, mine in found.items()}


def _rows(groups: Sequence[Group]) -> Rows:
    source = groups[0].source
    views = [view for group in groups for view in group.views]
    ranked = any(f.op in ("first", "last") for view in views for f in view.features)
    needed: set[Any] = {column for view in views for column in columns_of(view, source)}
    columns = None if ranked or source.key else [c for c in source.schema.names if c in needed]
    keys = [tuple(key for key, _ in group.keys) for group in groups]
    return Rows(source, groups[0].timestamp, columns, keys)
