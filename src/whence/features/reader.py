"""Features of a few keys at a moment, from the rows of an online store.

The rows that count are those of `point_in_time`, and the values are made of them by the plain meaning of each
operation: the cells are equal. What to read and how to decode it is worked out once for a list of views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from whence._base.arrow import TS
from whence.errors import ConflictError, NotFoundError
from whence.features.answer import OnlineAnswer, Status
from whence.features.base import GroupState, OnlineReading, OnlineStore
from whence.features.given import answer_row, in_micros, moment_of, read_columns, read_moments, typed
from whence.features.packing import Facts, group_of
from whence.features.reading_part import Part, Questions
from whence.features.types import AnyView, Calendar, FeatureView, feature_columns

_UNKNOWN: Final[list[Any]] = []
_UNSAID: Final[list[Status]] = []


@dataclass(slots=True)
class _Plan:
    """What the store said, and what is therefore read."""

    found: list[GroupState | None]
    states: Mapping[str, GroupState]
    parts: Sequence[Part]
    progress: Sequence[tuple[str, Mapping[str, int]]] = ()
    versions: Mapping[str, int] = field(default_factory=dict)
    schema: pa.Schema | None = None


class OnlineReader:
    """Answers for one list of views; made once, asked often.

    Args:
        store: The online store.
        views: The views, in the order of the answer's columns.
    """

    def __init__(self, store: OnlineStore, views: Sequence[AnyView]) -> None:
        self.views = tuple(views)
        self.columns = tuple(feature_columns(self.views))
        self._store = store
        parts: dict[tuple[str, tuple[str, ...]], list[FeatureView]] = {}
        for view in self.views:
            if isinstance(view, FeatureView):
                spine = tuple(name for _, name in sorted(view.keys))
                parts.setdefault((group_of(view), spine), []).append(view)
        self._wanted = [(group, spine, tuple(views)) for (group, spine), views in parts.items()]
        self._groups = [*dict.fromkeys(group for group, _, _ in self._wanted)]
        self._of_rows = [view for view in self.views if not isinstance(view, FeatureView)]
        self._plan = _Plan([], {}, [])

    @cached_property
    def spine_columns(self) -> tuple[str, ...]:
        """What a caller must give for each key."""
        return tuple(dict.fromkeys(name for view in self.views for name in view.spine_columns))

    def read(
        self, keys: object, moments: Sequence[datetime] | datetime | str, *, complete: bool = False
    ) -> OnlineAnswer:
        """The features of keys.

        Args:
            keys: One mapping, a sequence of mappings, a mapping of columns or an Arrow table.
            moments: One moment for all, one for each, or the column that has them.
            complete: Refuse moments beyond the watermark of a source.

        Raises:
            NotFoundError: A view's rows have not been materialized (``online-features-not-found``).
            UsageError: A column is missing (``missing-key``) or of the wrong kind (``bad-key-type``), or a
                moment lies before what the store has forgotten (``online-forgotten``).
            ConflictError: With `complete`, a source is not complete up to some moment (``watermark-behind``).
        """
        wanted = self.spine_columns if not isinstance(moments, str) else (*self.spine_columns, moments)
        columns, n = read_columns(keys, wanted)
        at = read_moments(moments, columns, n)
        micro = in_micros(at)
        # in the order of the views; each part puts its own in place
        values: dict[str, list[Any]] = dict.fromkeys(self.columns, _UNKNOWN)
        statuses: dict[str, list[Status]] = dict.fromkeys(self.columns, _UNSAID)
        coded: dict[str, Questions] = {}
        with self._store.reading() as reading:
            plan = self._compiled(reading)
            for part in plan.parts:
                state = plan.states[part.group]
                if state.forgotten_us is not None:
                    part.check_kept(state, micro)
                if complete:
                    _check_complete(part.facts.source, state, micro)
                part.answer(reading, part.asked(columns, micro, coded), n, values, statuses)
        types: dict[str, pa.DataType] = {}
        known: dict[str, pa.DataType] = {}
        if self._of_rows and isinstance(keys, pa.Table | pa.RecordBatch):
            known = {field.name: field.type for field in keys.schema}
        for view in self._of_rows:
            types.update(answer_row(view, columns, values, statuses, known))
        return OnlineAnswer(values, statuses, at, plan.progress, self._schema(plan, types), plan.versions)

    def from_text(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Keys as the command line gives them, each as the type its column has; others stay text.

        Raises:
            UsageError: A text means nothing in its column (``bad-key-type``).
        """
        with self._store.reading() as reading:
            plan = self._compiled(reading)
        types: dict[str, pa.DataType] = {view.column: TS for view in self.views if isinstance(view, Calendar)}
        for part in plan.parts:
            for key, name in zip(part.facts.keys, part.spine, strict=True):
                types[name] = part.facts.schema.field(key).type
        return {name: typed(text, types.get(name, pa.string()), name) for name, text in given.items()}

    def _schema(self, plan: _Plan, types: Mapping[str, pa.DataType]) -> pa.Schema:
        """The answer's columns and types; those of `types` depend on what the caller gave."""
        if plan.schema is None or types:
            known = {name: type_ for part in plan.parts for name, type_ in part.types.items()}
            known.update(types)
            plan.schema = pa.schema([(name, known[name]) for name in self.columns])
        return plan.schema

    def _compiled(self, reading: OnlineReading) -> _Plan:
        """What the store says of each group now; what is read is worked out anew when that has changed."""
        found, plan = reading.states(self._groups), self._plan
        if found == plan.found:
            return plan
        states: dict[str, GroupState] = {}
        for group, state in zip(self._groups, found, strict=True):
            if state is None or state.progress.get("version", -1) < 0:  # absent, or just being loaded
                name = next(v.name for g, _, views in self._wanted for v in views if g == group)
                raise NotFoundError(
                    "online features", name, hint=f"whence features materialize {name} brings its rows"
                )
            states[group] = state
        texts = tuple(state.facts for state in states.values())
        parts = plan.parts
        if texts != tuple(state.facts for state in plan.states.values()) or not parts:
            facts = {group: Facts.from_text(state.facts) for group, state in states.items()}
            parts = [Part.of(facts[group], spine, views) for group, spine, views in self._wanted]
        # one assignment, because several threads may read
        progress = [(part.facts.source, states[part.group].progress) for part in parts]
        versions = {v.name: states[g].progress["version"] for g, _, views in self._wanted for v in views}
        self._plan = plan = _Plan(found, states, parts, progress, versions)
        return plan


def _check_complete(source: str, state: GroupState, moments: Sequence[int]) -> None:
    watermark = state.progress.get("watermark_us")
    beyond = [q for q in moments if watermark is not None and q > watermark]
    if beyond:
        assert watermark is not None
        raise ConflictError(
            f"{len(beyond)} moments lie beyond {moment_of(watermark).isoformat()}, up to which the online rows of"
            f" table {source!r} are complete",
            code="watermark-behind",
            hint="append what is missing with its watermark and materialize, then ask again",
        )
