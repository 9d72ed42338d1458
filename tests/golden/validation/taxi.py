"""Chicago taxi trips, split by a stated rule, with the faults of serving data put in.

Only the standard library, see `cases`. The rule, for each line of ``chicago_taxi_simple.csv`` after the header:

1. ``b = int(sha256(line).hexdigest()[:8], 16) % 10``, of the line's bytes without its line end.
2. A line with a held-back ``company`` or ``payment_type`` goes to eval when b is even, else to serving.
3. Any other line goes to train when b <= 5, to eval when b is 6 or 7, else to serving.
4. Serving loses the column ``tips``, and its ``trip_seconds`` are milliseconds.
5. A ``company`` like ``5129 - Mary Miller`` is written as ``5129``: golden files hold no names of persons.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Final

FILE: Final = "chicago_taxi_simple.csv"
HELD_BACK: Final = {
    "company": ("Dispatch Taxi Affiliation", "Top Cab Affiliation"),
    "payment_type": ("Prcard", "Dispute"),
}
DROPPED: Final = "tips"
RESCALED: Final = "trip_seconds"
SPLITS: Final = ("train", "eval", "serving")


def bucket(line: str) -> int:
    """The line's place, 0 to 9."""
    return int(hashlib.sha256(line.encode()).hexdigest()[:8], 16) % 10


def split_of(line: str, row: dict[str, str]) -> str:
    """Where a line belongs."""
    b = bucket(line)
    if any(row[column] in values for column, values in HELD_BACK.items()):
        return "eval" if b % 2 == 0 else "serving"
    return "train" if b <= 5 else "eval" if b <= 7 else "serving"


def write_taxi(data: str | Path, folder: str | Path) -> dict[str, Path]:
    """Write ``train.csv``, ``eval.csv`` and ``serving.csv`` into `folder`."""
    with (Path(data) / FILE).open(encoding="utf-8", newline="") as file:
        head, *lines = file.read().splitlines()
    columns = head.split(",")
    rows: dict[str, list[dict[str, str]]] = {s: [] for s in SPLITS}
    for line in lines:
        row = dict(zip(columns, next(csv.reader([line])), strict=True))
        number, dash, _ = row["company"].partition(" - ")
        if dash:
            row["company"] = number
        rows[split_of(line, row)].append(row)
    for row in rows["serving"]:
        del row[DROPPED]
        row[RESCALED] = row[RESCALED] and str(1000 * int(row[RESCALED]))
    return {split: _write(Path(folder) / f"{split}.csv", found) for split, found in rows.items()}


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
