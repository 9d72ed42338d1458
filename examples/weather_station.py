"""Two days of a weather station: rows in, a question to the past, and where the rows went.

Run it with ``python examples/weather_station.py FOLDER``.
"""

from __future__ import annotations

import sys

import whence as w


def main(folder: str) -> None:
    """Make the workspace in `folder` and look at it."""
    with w.connect(folder) as ws:
        readings = ws.table("readings")
        first = readings.append([{"hour": 0, "celsius": 3.5}, {"hour": 1, "celsius": 3.0}])
        readings.append([{"hour": 2, "celsius": 2.5}])

        with ws.execution("warmest"):
            warmest = ws.sql("SELECT max(celsius) AS celsius FROM readings")
            ws.table("warmest").append(warmest)

        then = ws.sql(f"SELECT count(*) AS n FROM readings VERSION AS OF {first.version}").to_pylist()
        print(f"first there were {then[0]['n']} readings, now there are {readings.head().n_rows}")
        print(ws.trace("table:warmest@0").text())


if __name__ == "__main__":
    main(sys.argv[1])
