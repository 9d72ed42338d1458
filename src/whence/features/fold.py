"""Features moved forward by rows, instead of computed anew: the streaming twin of the point-in-time join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import numpy as np
import pyarrow as pa

from whence._base.arrow import compare_schemas, normalise, schema_mismatch
from whence.compute import Engine, quoted
from whence.errors import NotFoundError, UsageError
from whence.features.dialect import dialect_of
from whence.features.duration import microseconds
from whence.features.folding import ALWAYS, Batch, Events, FoldedGroup, Rows, Span, rows_for
from whence.features.plain import micros
from whence.features.pointintime import group_views, kept_columns
from whence.features.points import moments_of
from whence.features.rowwise import row_columns
from whence.features.source import Group, Source
from whence.features.types import AnyView, Calendar, Category, FeatureView, Given, feature_columns
from whence.lake import TableVersion

MIN_ROWS: Final = 8_192
"""A fold with fewer rows does not look for rows to forget by itself."""

FORGET_AT: Final = 3
"""It looks when it has so many times the rows it kept last: to look costs as much as some days of rows."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Look:
    """The features of a batch, and what moves in the fold once they are used.

    Attributes:
        features: As `Fold.features` gives them.
        moment: The latest moment asked.
        events: By group, what entered and left its windows; None where it has none.
        n_changes: After how many changes of the fold it was looked.
    """

    features: pa.Table
    moment: int
    events: Sequence[Events | None]
    n_changes: int


class Fold:
    """Feature views moved forward by rows instead of computed anew; it answers only moments from its own on.

    The answers are those of `Features.point_in_time` over all rows added so far, cell by cell. Rows are
    added in the order of their commits. They may be known later than the fold's moment, which is the rule, or
    earlier: a row that comes in behind the moment counts from then on, as it does in `point_in_time`. One
    thing is out of reach behind the moment, and the lake never does it: an older version of a row whose newer
    version was forgotten.

    Args:
        views: The views, those of the spine's row alone among them.
        sources: By name, what is declared of the sources; their rows are not read.

    Example:
        >>> from datetime import UTC, datetime
        >>> import pyarrow as pa
        >>> from whence.features import Entity, FeatureView, Fold, Source, count
        >>> day = lambda d: datetime(2013, 1, d, tzinfo=UTC)
        >>> rows = pa.table({"k": ["a", "a"], "at": pa.array([day(1), day(2)], pa.timestamp("us", tz="UTC"))})
        >>> view = FeatureView("seen", entity=Entity("k", ["k"]), source="s", timestamp="at",
        ...     features=[count(over="7d")])
        >>> fold = Fold([view], {"s": Source.of("s", rows.schema.empty_table())})
        >>> fold.add("s", rows)
        >>> spine = pa.table({"k": ["a", "b"], "q": pa.array([day(3), day(3)], pa.timestamp("us", tz="UTC"))})
        >>> fold.features(spine, at="q").column("seen__count_7d").to_pylist()
        [2, 0]
    """

    def __init__(self, views: Sequence[AnyView], sources: Mapping[str, Source]) -> None:
        self.views = tuple(views)
        self.outputs: tuple[str, ...] = tuple(feature_columns(views))
        self._sources = dict(sources)
        groups = group_views(views, sources, "then")
        self._rows = rows_for(groups)
        self._groups = [FoldedGroup(group, self._rows[_reading(group)]) for group in groups]
        self._at = ALWAYS
        self._enough = MIN_ROWS
        self._checked: pa.Schema | None = None
        self._made: pa.Schema | None = None
        self._n_changes = 0

    @classmethod
    def build(
        cls,
        views: Sequence[AnyView],
        sources: Mapping[str, TableVersion],
        *,
        at: datetime | None,
        engine: Engine,
    ) -> Self:
        """A fold of the rows of table versions, as if it had lived through them.

        Args:
            views: The views.
            sources: By name, the versions of the tables they read.
            at: The moment it then has; no older one can be asked. Only what windows and ttl can still see from
                there on is read. None: everything is read, and every moment can be asked.
            engine: Reads the tables.

        Raises:
            NotFoundError: A source is not given, or a version's files are gone.
        """
        wanted = dict.fromkeys(v.source for v in views if isinstance(v, FeatureView))
        for name in wanted:
            if name not in sources:
                raise NotFoundError("source", name, near=sources)
        fold = cls(views, {name: Source.of_version(sources[name]) for name in wanted})
        moment = micros(at)
        for (name, _), rows in fold._rows.items():
            condition = None if moment is None else fold._condition(rows, sources[name], moment, engine)
            rows.add(normalise(engine.scan(sources[name].files(), where=condition)), ALWAYS)
        if moment is not None:
            fold._at = moment
            fold.forget()
        return fold

    def _condition(self, rows: Rows, version: TableVersion, at: int, engine: Engine) -> str | None:
        """Which rows of a table some moment from `at` on can still see; None: any may be."""
        reach = [_reach(view) for g in self._groups_of(rows) for view in g.group.views]
        column = rows.timestamp
        if column is None or any(r is None for r in reach):
            return None
        if pa.types.is_date(rows.source.schema.field(column).type):
            return None
        instant = dialect_of(engine.dialect).instant
        near = f"{quoted(column)} >= {instant.format(at - max(r for r in reach if r is not None))}"
        known_at = rows.source.known_at
        if known_at is None:
            return near
        if pa.types.is_date(rows.source.schema.field(known_at).type):
            return None
        # what takes such a row back was known no earlier; what is known later can still take back
        known = engine.query(
            f"SELECT min({quoted(known_at)}) AS first FROM src WHERE {near}", {"src": version.files()}
        )
        first = micros(known["first"][0].as_py())
        since = at if first is None else min(at, first)
        return f"{near} OR {quoted(known_at)} >= {instant.format(since)}"

    # --- the fold ----------------------------------------------------------------------------------

    @property
    def moment(self) -> datetime | None:
        """The latest moment asked; earlier ones can no longer be. None: nothing was asked yet."""
        return None if self._at == ALWAYS else _EPOCH + timedelta(microseconds=self._at)

    @property
    def n_rows(self) -> int:
        """How many rows are held; a source read by two timestamps counts twice."""
        return sum(len(rows) for rows in self._rows.values())

    @property
    def size_bytes(self) -> int:
        """The memory of rows and totals, about."""
        return sum(rows.nbytes for rows in self._rows.values())

    def add(self, source: str, rows: pa.Table) -> None:
        """Add new rows of a source, with all its columns, in the order of its commits.

        Raises:
            NotFoundError: No view reads a source of that name.
            UsageError: A column is absent or of another type (``schema-mismatch``).
            DataRejectedError: A column with a declared scale holds NaN or an infinity (``not-finite``).
        """
        if source not in self._sources:
            raise NotFoundError("source", source, near=self._sources)
        self._n_changes += 1
        rows = normalise(rows)
        declared = self._sources[source]
        bad = [d for d in compare_schemas(rows.schema, declared.schema) if d.kind in ("missing", "type")]
        if bad:
            raise schema_mismatch(declared.ref, bad)
        for (name, _), held in self._rows.items():
            if name == source:
                change = held.add(rows, self._at)
                if not held.late(change, self._at):
                    continue
                corrected = {span: held.corrected(span, change, self._at) for span in self._spans(held)}
                for group in self._groups_of(held):
                    group.advance(group.events(corrected))

    def features(self, spine: pa.Table, *, at: str) -> pa.Table:
        """The features of a batch: what `point_in_time` says, without the spine's own columns.

        Args:
            spine: n rows with the join keys of all views and the column `at`.
            at: Name of the time column. Its moments may come in any order, none before the fold's.

        Returns:
            n rows in the spine's order: the columns `outputs`. The fold's moment is then the latest asked.

        Raises:
            UsageError: A moment is null or lies before the fold's (``moment-passed``), or a type does not fit.
            NotFoundError: A column is absent.
        """
        look = self.look(spine, at=at)
        self.take(look)
        return look.features

    def look(self, spine: pa.Table, *, at: str) -> Look:
        """The features of a batch as `features` gives them, while the fold stays where it is.

        `take` moves it; a look that is not taken leaves nothing behind.
        """
        spine = normalise(spine)
        self._check(spine)
        moments = moments_of(spine, at)
        if spine.num_rows and moments.bounds[0] < self._at:
            raise self._passed("a moment asked lies before it")
        distinct = np.sort(moments.distinct)
        batch = Batch(spine, distinct, np.searchsorted(distinct, moments.of_rows))
        moved = {id(rows): rows.moved(self._spans(rows), self._at, distinct) for rows in self._rows.values()}
        events = [group.events(moved[id(group.rows)]) for group in self._groups]
        made = self._of_rows(spine)
        for group, happened in zip(self._groups, events, strict=True):
            made.update(group.features(group.asked(batch), happened))
        table = pa.Table.from_arrays([made[name] for name in self.outputs], schema=self._schema(spine, made))
        return Look(table, int(distinct[-1]) if len(distinct) else self._at, events, self._n_changes)

    def take(self, look: Look) -> None:
        """Move to the latest moment of a look.

        Raises:
            UsageError: Rows were added or forgotten, or the fold has moved, since then (``moment-passed``).
        """
        if look.n_changes != self._n_changes or look.moment < self._at:
            raise self._passed("it has changed since the look that is taken")
        for group, happened in zip(self._groups, look.events, strict=True):
            group.advance(happened)
        self._pass_by(look.moment)
        self._n_changes += 1  # no look is taken twice

    def _passed(self, why: str) -> UsageError:
        return UsageError(
            f"the fold stands at {self.moment}, {why}",
            code="moment-passed",
            hint="compute it by point_in_time, or build a fold at an earlier moment",
        )

    def _check(self, spine: pa.Table) -> None:
        """Whether a batch has what the views need; the same columns are looked at once."""
        if self._checked is not None and spine.schema.equals(self._checked):
            return
        kept_columns(spine, self.views, ())
        for group in self._groups:
            group.check(spine)
        self._checked, self._made = spine.schema, None

    def _schema(self, spine: pa.Table, made: Mapping[str, pa.Array]) -> pa.Schema:
        """The columns given: those of the spine as they are there."""
        if self._made is None:
            given = set(spine.column_names)
            self._made = pa.schema(
                [spine.schema.field(n) if n in given else pa.field(n, made[n].type) for n in self.outputs]
            )
        return self._made

    def _groups_of(self, rows: Rows) -> list[FoldedGroup]:
        return [group for group in self._groups if group.rows is rows]

    def _spans(self, rows: Rows) -> list[Span]:
        """The windows of all groups that read some rows, each once."""
        return list(dict.fromkeys(span for group in self._groups_of(rows) for span in group.windows.spans))

    def _of_rows(self, spine: pa.Table) -> dict[str, pa.Array]:
        """The features that need no table."""
        made: dict[str, pa.Array] = {}
        for view in self.views:
            if isinstance(view, Calendar | Category):
                made.update(zip(view.outputs, row_columns(spine, view), strict=True))
            elif isinstance(view, Given):
                made.update({name: spine.column(name) for name in view.columns})
        return made

    def _pass_by(self, moment: int) -> None:
        self._at = moment
        for rows in self._rows.values():
            rows.pass_by(moment)
        if self.n_rows > self._enough:
            self.forget()

    def forget(self) -> int:
        """Drop the rows that no moment from the fold's on can see; gives how many. No answer changes."""
        before = self.n_rows
        self._n_changes += 1  # a look names rows by their place
        for rows in self._rows.values():
            mine = self._groups_of(rows)
            seen = rows.known.values > self._at
            for group in mine:
                seen |= group.seen(self._at)
            rows.keep(np.flatnonzero(seen), self._at)
            counted = {span: rows.counted(span, self._at) for span in self._spans(rows)}
            for group in mine:
                group.rebuild(group.events(counted))
        self._enough = max(MIN_ROWS, FORGET_AT * self.n_rows)
        return before - self.n_rows


def _reading(group: Group) -> tuple[str, str | None]:
    return group.source.name, group.timestamp


def _reach(view: FeatureView) -> int | None:
    """How far back a view looks; None: without limit."""
    if view.timestamp is None or (view.ttl is None and any(f.over is None for f in view.features)):
        return None
    longest = max((microseconds(f.over) for f in view.features if f.over is not None), default=0)
    hop = 0 if view.hop is None else microseconds(view.hop)
    return max(longest + hop, 0 if view.ttl is None else microseconds(view.ttl))
