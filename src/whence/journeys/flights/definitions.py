"""What the journey declares: tables, curated schemas' limits, and the features of a flight.

At scheduled departure, what is *known* decides what a feature may use: another flight's delay
when that flight has landed, a weather reading one hour after its hour, the schedule from midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whence.features import (
    Aggregation,
    AnyView,
    Entity,
    FeatureView,
    calendar,
    category,
    count,
    feature_columns,
    given,
    last,
    mean,
    std,
)
from whence.journeys.flights.models import CARRIERS, ORIGINS

LATE_MINUTES: Final = 30
SPINE_TIME: Final = "features_at"
LABEL: Final = "late"


def truth(known: str = "TRUE") -> str:
    """SQL of the labels: each landed flight once, by the row of it that was known last, and whether it came late.

    Args:
        known: Which rows of ``arrivals`` are known.
    """
    return f"""(
        SELECT flight_id, arr_delay >= $late AS late FROM arrivals WHERE {known}
        QUALIFY row_number() OVER (PARTITION BY flight_id ORDER BY known_at DESC) = 1
    )"""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """How one table of the journey is declared."""

    key: tuple[str, ...]
    known_at: str | None = "known_at"
    event_time: str | None = None
    description: str = ""


TABLES: Final = {
    "schedule": TableSpec(
        ("flight_id",), event_time="sched_dep_at", description="Planned departures, known from midnight."
    ),
    "arrivals": TableSpec(
        ("flight_id",), event_time="arr_at", description="Landed flights, known at landing."
    ),
    "weather": TableSpec(
        ("origin", "observed_at"), event_time="observed_at", description="Readings, known an hour later."
    ),
    "planes": TableSpec(("tailnum",), description="Aircraft by tail number."),
    "airports": TableSpec(("faa",), description="Airports and their clocks."),
}


def _over_arrivals(name: str, entity: Entity, features: list[Aggregation], description: str) -> FeatureView:
    return FeatureView(
        name,
        entity=entity,
        source="arrivals",
        timestamp="arr_at",
        features=features,
        owner="operations",
        description=description,
    )


weather_now = FeatureView(
    "weather_now",
    entity=Entity("airport", ["origin"]),
    source="weather",
    timestamp="observed_at",
    ttl="4h",
    features=[
        last(c) for c in ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    ],
    owner="weather office",
    description="The newest reading at the airport of departure.",
)
origin_delays = _over_arrivals(
    "origin_delays",
    Entity("airport", ["origin"]),
    [
        mean("arr_delay", over="2h"),
        mean("dep_delay", over="2h"),
        mean("dep_delay", over="6h"),
        count(over="2h"),
        mean("arr_delay", over="1d"),
    ],
    "How flights out of this airport have lately fared.",
)
carrier_delays = _over_arrivals(
    "carrier_delays",
    Entity("carrier", ["carrier"]),
    [mean("arr_delay", over="4h"), mean("arr_delay", over="1d"), mean("arr_delay", over="14d")],
    "How this carrier has lately fared.",
)
carrier_origin_delays = _over_arrivals(
    "carrier_origin_delays",
    Entity("carrier_at_airport", ["carrier", "origin"]),
    [mean("dep_delay", over="4h"), count(over="4h"), mean("arr_delay", over="12h")],
    "How this carrier has lately fared at this airport.",
)
dest_delays = _over_arrivals(
    "dest_delays",
    Entity("destination", ["dest"]),
    [mean("arr_delay", over="3h"), mean("arr_delay", over="12h"), count(over="3h")],
    "How flights to this destination have lately fared.",
)
route_delays = _over_arrivals(
    "route_delays",
    Entity("route", ["origin", "dest"]),
    [mean("arr_delay", over="30d"), std("arr_delay", over="30d"), count(over="30d")],
    "How flights on this route usually fare.",
)
number_delays = _over_arrivals(
    "number_delays",
    Entity("flight_number", ["carrier", "flight", "origin"]),
    [mean("arr_delay", over="30d"), std("arr_delay", over="30d"), mean("dep_delay", over="30d")],
    "How this very flight number usually fares.",
)
aircraft_delays = _over_arrivals(
    "aircraft_delays",
    Entity("aircraft", ["tailnum"]),
    [mean("arr_delay", over="1d"), count(over="1d"), mean("arr_delay", over="30d")],
    "The aircraft's previous flights out of New York; its flights back are not in the data.",
)
aircraft_last = FeatureView(
    "aircraft_last",
    entity=Entity("aircraft", ["tailnum"]),
    source="arrivals",
    timestamp="arr_at",
    ttl="1d",
    features=[last("arr_delay"), last("dep_delay")],
    owner="operations",
    description="The aircraft's last flight out of New York, if it landed within a day.",
)
plane = FeatureView(
    "plane",
    entity=Entity("aircraft", ["tailnum"]),
    source="planes",
    features=[last("year"), last("seats")],
    owner="registry",
    description="The year the aircraft was built and its seats.",
)

WHEN: Final = calendar("sched_dep_at", tz="America/New_York", parts=("hour", "minute", "weekday"))
CARRIER: Final = category("carrier", CARRIERS)
ORIGIN: Final = category("origin", ORIGINS)

VIEWS: Final = (
    weather_now,
    origin_delays,
    carrier_delays,
    carrier_origin_delays,
    dest_delays,
    route_delays,
    number_delays,
    aircraft_delays,
    aircraft_last,
    plane,
)
#: Kept ready for requests that bring only keys; `whence features materialize` brings any other.
ONLINE_VIEWS: Final = (weather_now, plane)
FEATURES: Final[tuple[AnyView, ...]] = (*VIEWS, WHEN, CARRIER, ORIGIN, given("distance"))
BASELINE_FEATURES: Final[tuple[AnyView, ...]] = (CARRIER, WHEN)

FEATURE_COLUMNS: Final = tuple(feature_columns(FEATURES))
BASELINE_COLUMNS: Final = ("carrier__code", "calendar__hour")
CATEGORICAL: Final = ("carrier__code", "origin__code", "calendar__weekday")
