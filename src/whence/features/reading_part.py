"""What views need of one group of rows, and how the rows become values and statuses."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import isfinite
from operator import itemgetter
from typing import Any, TypeAlias

import pyarrow as pa

from whence.errors import DataRejectedError, UsageError
from whence.features.answer import Status
from whence.features.base import NEVER, Asked, Found, GroupState, OnlineReading
from whence.features.compile import result_type
from whence.features.duration import microseconds
from whence.features.given import Columns, moment_of
from whence.features.packing import Facts, Plain, decode, encode_key, key_reader, restorer
from whence.features.plain import fold
from whence.features.source import Source, check_view
from whence.features.types import FeatureView
from whence.features.where import where_columns, where_holds

Questions: TypeAlias = tuple[Sequence[int], list[Asked]]
"""The places of the keys that ask, and what they ask."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    """One feature of the newest row."""

    name: str
    position: int
    restore: Plain | None
    ttl_us: int | None
    where: str | None


@dataclass(frozen=True, slots=True)
class _Windowed:
    """One feature of a window."""

    name: str
    view: FeatureView
    position: int | None
    number: int
    over_us: int
    hop_us: int
    is_float: bool

    @property
    def feature(self) -> Any:
        return self.view.features[self.number]

    def start(self, q: int) -> int:
        start = q - self.over_us
        return start // self.hop_us * self.hop_us if self.hop_us else start


@dataclass
class Part:
    """What views that read one group by the same columns of the caller need of it."""

    facts: Facts
    spine: tuple[str, ...]
    lookups: list[_Lookup] = field(default_factory=list)
    conditional: list[_Lookup] = field(default_factory=list)
    windows: list[_Windowed] = field(default_factory=list)
    types: dict[str, pa.DataType] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Facts, spine: tuple[str, ...], views: Sequence[FeatureView]) -> Part:
        part = cls(facts, spine)
        source = Source(
            facts.source, facts.schema.empty_table(), facts.schema, facts.declared, facts.known_at
        )
        for view in views:
            check_view(view, source)
            for number, feature in enumerate(view.features):
                name = f"{view.name}__{feature.name}"
                part.types[name] = result_type(feature, facts.schema)
                at = None if feature.column is None else facts.position(feature.column)
                if feature.over is not None:
                    is_float = at is not None and pa.types.is_floating(facts.schema.field(at).type)
                    hop = 0 if view.hop is None else microseconds(view.hop)
                    part.windows.append(
                        _Windowed(name, view, at, number, microseconds(feature.over), hop, is_float)
                    )
                    continue
                assert at is not None
                ttl = None if view.ttl is None else microseconds(view.ttl)
                lookup = _Lookup(name, at, restorer(facts.schema.field(at).type), ttl, feature.where)
                (part.lookups if feature.where is None else part.conditional).append(lookup)
        return part

    def __post_init__(self) -> None:
        self.group = self.facts.group
        types = tuple(self.facts.schema.field(key).type for key in self.facts.keys)
        self.coding = str((self.spine, types))
        self.readers = [
            key_reader(self.facts.schema.field(key).type, name, self.facts.source)
            for key, name in zip(self.facts.keys, self.spine, strict=True)
        ]

    @property
    def reach_us(self) -> int:
        """How far back the windows look."""
        return max(slot.over_us + slot.hop_us for slot in self.windows)

    @property
    def needs_us(self) -> int | None:
        """How far back rows must be kept for these features, besides the newest of each key; None: all."""
        found = [slot.over_us + slot.hop_us for slot in self.windows]
        for lookup in (*self.lookups, *self.conditional):
            if lookup.ttl_us is not None:
                found.append(lookup.ttl_us)
            # a correction may take the newest row back, and then the one before it counts
            elif lookup.where is not None or (self.facts.declared and self.facts.timestamp is not None):
                return None
        return max(found, default=0)

    def check_kept(self, state: GroupState, moments: Sequence[int]) -> None:
        """Refuse moments that the store can no longer answer."""
        if state.forgotten_us is None or not moments:
            return
        first, needs = min(moments), self.needs_us
        short = state.since_us is not None and (needs is None or first - needs < state.since_us)
        if first < state.forgotten_us or short:
            raise UsageError(
                f"the online store has forgotten what table {self.facts.source!r} was at {moment_of(first).isoformat()}",
                code="online-forgotten",
                hint=f"it answers from {moment_of(state.forgotten_us).isoformat()} on for what was then materialized;"
                " use point_in_time, or materialize with rebuild=True",
            )

    def answer(
        self,
        reading: OnlineReading,
        questions: Questions,
        n: int,
        values: dict[str, list[Any]],
        statuses: dict[str, list[Status]],
    ) -> None:
        """Put the values and statuses of the group's features for n keys under their names."""
        places, asked = questions
        newest = reading.newest(self.group, asked) if self.lookups else []
        if n == len(newest) == 1 and self._only_lookups and self._answer_one(newest[0], asked[0][1], values):
            for name in self.types:
                statuses[name] = ["PRESENT"]
            return
        for name in self.types:
            values[name], statuses[name] = [None] * n, ["NOT_FOUND"] * n
        if self.lookups:
            self._look_up(reading, newest, places, asked, values, statuses)
        if self.conditional:
            self._look_up_conditional(reading, places, asked, values, statuses)
        if self.windows:
            self._aggregate(reading, places, asked, values, statuses)
            for slot in self.windows:
                if slot.feature.op == "count":
                    values[slot.name] = [0 if v is None else v for v in values[slot.name]]

    @cached_property
    def _only_lookups(self) -> bool:
        return not self.conditional and not self.windows

    def _answer_one(self, found: list[Found], q: int, values: dict[str, list[Any]]) -> bool:
        """The commonest question: one key, whose newest row has all that is looked up. Whether it is that."""
        pick, width, ttl_us, names = self.picked
        if len(found) != 1 or q - found[0][0] > ttl_us:
            return False
        content = decode(found[0][2])
        if len(content) < width or None in (cells := pick(content)):
            return False
        for name, cell in zip(names, cells, strict=True):
            values[name] = [cell]
        return True

    def asked(self, columns: Columns, moments: Sequence[int], coded: dict[str, Questions]) -> Questions:
        """The questions, and the place of each; a key with a null in it asks nothing.

        Groups that are asked by the same columns and have keys of the same types share them in `coded`.
        """
        known = coded.get(self.coding)
        if known is not None:
            return known
        parts = []
        for name, (fast, read) in zip(self.spine, self.readers, strict=True):
            parts.append([v if type(v) is fast else read(v) for v in columns[name]])
        keys = zip(*parts, strict=True) if parts else [()] * len(moments)
        asked = [(encode_key(key), q) for key, q in zip(keys, moments, strict=True) if None not in key]
        places: Sequence[int] = range(len(moments))
        if len(asked) < len(moments):
            places = [i for i, key in enumerate(zip(*parts, strict=True)) if None not in key]
        coded[self.coding] = places, asked
        return places, asked

    # --- the newest row

    def _look_up(
        self,
        reading: OnlineReading,
        newest: Sequence[list[Found]],
        places: Sequence[int],
        asked: Sequence[Asked],
        values: dict[str, list[Any]],
        statuses: dict[str, list[Status]],
    ) -> None:
        pick, width, ttl_us, names = self.picked
        mine, why = [values[name] for name in names], [statuses[name] for name in names]
        missing = []
        for number, found in enumerate(newest):
            if not found:
                missing.append(number)
                continue
            row = found[0] if len(found) == 1 else max(found, key=self._rank)
            place, content = places[number], decode(row[2])
            age = asked[number][1] - row[0]
            if age <= ttl_us and len(content) >= width and None not in (cells := pick(content)):
                for column, cell in zip(mine, cells, strict=True):
                    column[place] = cell
                for reasons in why:
                    reasons[place] = "PRESENT"
                continue
            for slot, column, reasons in zip(self.lookups, mine, why, strict=True):
                if slot.ttl_us is not None and age > slot.ttl_us:
                    reasons[place] = "OUTSIDE_MAX_AGE"
                else:
                    column[place] = self._cell(content, slot)
                    reasons[place] = "NULL_VALUE" if column[place] is None else "PRESENT"
        for number in self._waiting(reading, missing, asked) if missing else ():
            for reasons in why:
                reasons[places[number]] = "FUTURE"

    @cached_property
    def picked(self) -> tuple[Callable[[Sequence[Any]], Sequence[Any]], int, int, tuple[str, ...]]:
        """The quick way: what takes all looked-up cells out of a content, the columns it must have, the least
        ttl, and what the cells are called.
        """
        names = tuple(slot.name for slot in self.lookups)
        positions = [slot.position for slot in self.lookups]
        restores = [slot.restore for slot in self.lookups]
        ttl_us = min((slot.ttl_us for slot in self.lookups if slot.ttl_us is not None), default=NEVER)
        if any(restores):  # values that are not kept as they are take the slow way
            return list, NEVER, ttl_us, names
        if len(positions) == 1:
            return (lambda content, at=positions[0]: (content[at],)), positions[0] + 1, ttl_us, names
        return itemgetter(*positions), max(positions) + 1, ttl_us, names

    def _waiting(
        self, reading: OnlineReading, missing: Sequence[int], asked: Sequence[Asked]
    ) -> Iterator[int]:
        awaited = reading.awaited(self.group, [asked[number] for number in missing])
        return (number for number, later in zip(missing, awaited, strict=True) if later)

    def _rank(self, row: Found) -> Any:
        return row[0], row[1], self.facts.rank(row[2])

    def _look_up_conditional(
        self,
        reading: OnlineReading,
        places: Sequence[int],
        asked: Sequence[Asked],
        values: dict[str, list[Any]],
        statuses: dict[str, list[Status]],
    ) -> None:
        """The newest row that fulfils a condition; the key may be known though none does."""
        ttls = [slot.ttl_us for slot in self.conditional]
        reach = None if None in ttls else max(t for t in ttls if t is not None)
        known = self._known(reading, range(len(asked)), asked)
        for number, rows in enumerate(reading.since(self.group, asked, reach, strict=False)):
            q, place = asked[number][1], places[number]
            usable = sorted(rows, key=self._rank)
            for slot in self.conditional:
                assert slot.where is not None
                holds = [r for r in usable if self._holds(slot.where, decode(r[2]))]
                young = slot.ttl_us is None or (holds and q - holds[-1][0] <= slot.ttl_us)
                value = self._cell(decode(holds[-1][2]), slot) if holds and young else None
                values[slot.name][place] = value
                why: Status = known[number]
                if why == "NULL_VALUE" and holds:
                    why = "OUTSIDE_MAX_AGE" if not young else "NULL_VALUE" if value is None else "PRESENT"
                statuses[slot.name][place] = why

    def _cell(self, content: Sequence[Any], slot: _Lookup) -> Any:
        value = content[slot.position] if slot.position < len(content) else None
        return value if value is None or slot.restore is None else slot.restore(value)

    def _known(
        self, reading: OnlineReading, numbers: Sequence[int], asked: Sequence[Asked]
    ) -> dict[int, Status]:
        """For each question what a null means: the key is known, comes later, or is not known."""
        found = reading.newest(self.group, [asked[number] for number in numbers])
        known: dict[int, Status] = {
            number: "NULL_VALUE" if rows else "NOT_FOUND" for number, rows in zip(numbers, found, strict=True)
        }
        missing = [number for number, why in known.items() if why == "NOT_FOUND"]
        if missing:
            known.update(dict.fromkeys(self._waiting(reading, missing, asked), "FUTURE"))
        return known

    # --- windows

    def _aggregate(
        self,
        reading: OnlineReading,
        places: Sequence[int],
        asked: Sequence[Asked],
        values: dict[str, list[Any]],
        statuses: dict[str, list[Status]],
    ) -> None:
        empty = []
        for number, rows in enumerate(reading.since(self.group, asked, self.reach_us, strict=True)):
            q, place = asked[number][1], places[number]
            if not rows:
                empty.append(number)
                continue
            window = _Window(self, self._ordered(rows))
            for slot in self.windows:
                value = window.value(slot, q)
                values[slot.name][place] = value
                statuses[slot.name][place] = "NULL_VALUE" if value is None else "PRESENT"
        for number, why in self._known(reading, empty, asked).items() if empty else ():
            for slot in self.windows:
                counted = slot.feature.op == "count" and why == "NULL_VALUE"
                statuses[slot.name][places[number]] = "PRESENT" if counted else why

    def _ordered(self, rows: list[Found]) -> list[Found]:
        """Oldest first; rows of one event and knowledge time by content, where their order matters."""
        if any(slot.feature.op in ("first", "last") for slot in self.windows) and any(
            a[:2] == b[:2] for a, b in pairwise(rows)
        ):
            rows.sort(key=self._rank)
        return rows

    def _holds(self, where: str, content: Sequence[Any]) -> bool:
        row = {}
        for name in where_columns(where):
            position = self.facts.position(name)
            value = content[position] if position < len(content) else None
            restore = restorer(self.facts.schema.field(position).type)
            row[name] = value if value is None or restore is None else restore(value)
        return where_holds(where, row)


class _Window:
    """The rows that may count for one key, as columns; each column and condition is worked out once."""

    def __init__(self, part: Part, rows: Sequence[Found]) -> None:
        self._part = part
        self._events = [row[0] for row in rows]
        self._contents = [decode(row[2]) for row in rows]
        self._columns: dict[int, list[Any]] = {}
        self._masks: dict[str, list[bool]] = {}

    def value(self, slot: _Windowed, q: int) -> Any:
        """What a feature makes of its window."""
        feature, first = slot.feature, bisect_left(self._events, slot.start(q))
        found = self._column(slot.position)[first:] if slot.position is not None else []
        if feature.where is not None:
            mask = self._mask(feature.where)[first:]
            if slot.position is None:
                return sum(mask)
            found = [v for v, holds in zip(found, mask, strict=True) if holds]
        elif slot.position is None:
            return len(self._events) - first
        if feature.op in ("sum", "mean") and not slot.is_float:
            present = [v for v in found if v is not None]
            if present and type(present[0]) is int:
                return sum(present) if feature.op == "sum" else float(sum(present)) / float(len(present))
        if slot.is_float and feature.scale is not None and not all(v is None or isfinite(v) for v in found):
            raise DataRejectedError(
                f"column {feature.column!r} of {self._part.facts.source!r} holds values that are not finite,"
                " which have no scale",
                code="not-finite",
                hint="leave them out with where=, or declare the feature without scale",
            )
        value = fold(feature, found)
        # a column is compared with -0 as 0
        return value + 0.0 if isinstance(value, float) else value

    def _column(self, position: int) -> list[Any]:
        if position not in self._columns:
            restore = restorer(self._part.facts.schema.field(position).type)
            found = [c[position] if position < len(c) else None for c in self._contents]
            if restore is not None:
                found = [None if v is None else restore(v) for v in found]
            self._columns[position] = found
        return self._columns[position]

    def _mask(self, where: str) -> list[bool]:
        if where not in self._masks:
            self._masks[where] = [self._part._holds(where, content) for content in self._contents]  # noqa: SLF001 - its own part
        return self._masks[where]
