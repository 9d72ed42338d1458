"""What goes wrong on known days: faults planted in two feeds, and how each is put right again.

Each fault says which it is. Those a row rule sees are quarantined, corrected, and replayed; those that break no
rule are let through, and a monitor has to find them. After their correction the feeds hold the same keys
and the same labels as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from whence.journeys.flights.feeds import NEW_YORK, Feed, FeedDay, midnight

Kind: TypeAlias = Literal["renamed category", "unit change", "duplicated batch", "late batch"]
Fate: TypeAlias = Literal["quarantined", "let through"]

#: The hour in New York from which the landings of a late batch are held back.
HELD_BACK_FROM: Final = 15


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault.

    Attributes:
        name: What it is called in reports.
        kind: What goes wrong.
        feed: Where.
        first: The first day on which it does.
        last: The last day.
        fixed: The day on which it is put right; None where there is nothing to put right.
        fate: Whether a row rule catches it, or it is let through for a monitor to find.
        feature: The feature, column or count in which it shows.
    """

    name: str
    kind: Kind
    feed: str
    first: date
    last: date
    fixed: date | None
    fate: Fate
    feature: str

    def on(self, feed: str, day: date) -> bool:
        """Whether it strikes `feed` on `day`."""
        return self.feed == feed and self.first <= day <= self.last

    def to_dict(self) -> dict[str, object]:
        """The fault as plain values, for the report."""
        return {
            "name": self.name,
            "kind": self.kind,
            "feed": self.feed,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "fixed": None if self.fixed is None else self.fixed.isoformat(),
            "fate": self.fate,
            "feature": self.feature,
        }


#: The carrier whose code changes, and what it changes to.
RENAMED: Final = ("US", "US Airways")

YEAR: Final = (
    Fault(
        "US becomes US Airways", "renamed category", "arrivals",
        date(2013, 5, 14), date(2013, 5, 15), date(2013, 5, 17), "quarantined", "carrier",
    ),
    Fault(
        "temperature in °C", "unit change", "weather",
        date(2013, 7, 9), date(2013, 7, 11), date(2013, 7, 13), "let through", "temp",
    ),
    Fault(
        "a day of landings sent twice", "duplicated batch", "arrivals",
        date(2013, 8, 20), date(2013, 8, 20), None, "let through", "repeated_keys",
    ),
    Fault(
        "half a day of landings two days late", "late batch", "arrivals",
        date(2013, 10, 8), date(2013, 10, 8), date(2013, 10, 10), "let through", "late_rows",
    ),
)  # fmt: skip
"""The faults of the year."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What arrives in one commit.

    Attributes:
        rows: The rows.
        application: Names the sender, for exactly-once.
        watermark: Up to when the feed is then complete; None leaves it.
    """

    rows: pa.Table
    application: str
    watermark: datetime | None


def deliveries(feed: Feed, day: date, faults: Sequence[Fault]) -> Iterator[Delivery]:
    """The commits of `feed` on `day`, as the faults have it; without any, one."""
    for fault in faults:
        if fault.feed == feed.name and fault.fixed == day:
            yield from _corrections(feed, fault)
    for arrived in feed.days(day, day):
        rows, again = arrived.rows, False
        for fault in faults:
            if fault.on(feed.name, day):
                rows = _STRIKES[fault.kind](rows, arrived)
                again |= fault.kind == "duplicated batch"
        yield Delivery(rows, f"flights.{feed.name}", arrived.watermark)
        if again:
            yield Delivery(rows, f"flights.{feed.name}.again", None)


def _corrections(feed: Feed, fault: Fault) -> Iterator[Delivery]:
    """What is sent again, right or at last; quarantined rows are replayed instead."""
    if fault.fate == "quarantined":
        return
    days = list(feed.days(fault.first, fault.last))
    rows = [_held_back(d.rows, d, held=True) if fault.kind == "late batch" else d.rows for d in days]
    yield Delivery(pa.concat_tables(rows), f"flights.{feed.name}.fixed", None)


def _renamed(rows: pa.Table, _: FeedDay) -> pa.Table:
    old, new = RENAMED
    carrier = rows["carrier"].combine_chunks()
    renamed = pc.if_else(pc.equal(carrier, old), pa.scalar(new), carrier)
    return rows.set_column(rows.column_names.index("carrier"), "carrier", renamed)


def _celsius(rows: pa.Table, _: FeedDay) -> pa.Table:
    celsius = pc.multiply(pc.subtract(rows["temp"], 32.0), 5.0 / 9.0)
    return rows.set_column(rows.column_names.index("temp"), "temp", pc.round(celsius, 2))


def _held_back(rows: pa.Table, arrived: FeedDay, *, held: bool = False) -> pa.Table:
    begin = midnight(arrived.day) + timedelta(hours=HELD_BACK_FROM)
    late = pc.greater_equal(rows["known_at"], pa.scalar(begin, rows.schema.field("known_at").type))
    return rows.filter(late if held else pc.invert(late))


_STRIKES: Final[dict[Kind, Callable[[pa.Table, FeedDay], pa.Table]]] = {
    "renamed category": _renamed,
    "unit change": _celsius,
    "duplicated batch": lambda rows, _: rows,
    "late batch": _held_back,
}


def find_planted(
    faults: Sequence[Fault], *, feed: str | None, feature: str | None, start: datetime, end: datetime
) -> Fault | None:
    """The fault an alert is about: of its feed or feature, and no more than two days before or after its window.

    Of several the nearest; a row that comes late is counted on the day on which it comes.
    """
    near = timedelta(days=2)
    found = []
    for fault in faults:
        begin, stop = _instant(fault.first), _instant(fault.last + timedelta(days=1))
        if start - near < stop and begin < end + near and (fault.feed == feed or fault.feature == feature):
            found.append((fault.feature != feature, abs(start - begin), fault))
    return min(found, key=lambda f: f[:2])[2] if found else None


def _instant(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=NEW_YORK).astimezone(UTC)
