"""Covertype-shaped tables, seeded, with the faults that the environments story needs.

The columns are those of the Covertype data (Blackard, Dean 1999): ten numbers, two categories and the label
``Cover_Type``. The rows are invented: the same seed gives the same rows on every machine and Python. Only the
standard library is used, so that another program can load this file alone.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Split: TypeAlias = Literal["train", "eval", "serving", "broken"]
Row: TypeAlias = Mapping[str, int | str]

SEED: Final = 2019
LABEL: Final = "Cover_Type"
NUMBERS: Final = (
    "Elevation",
    "Aspect",
    "Slope",
    "Horizontal_Distance_To_Hydrology",
    "Vertical_Distance_To_Hydrology",
    "Horizontal_Distance_To_Roadways",
    "Hillshade_9am",
    "Hillshade_Noon",
    "Hillshade_3pm",
    "Horizontal_Distance_To_Fire_Points",
)
CATEGORIES: Final = ("Wilderness_Area", "Soil_Type")
COLUMNS: Final = (*NUMBERS, *CATEGORIES, LABEL)

WILDERNESS: Final = ("Rawah", "Neota", "Commanche", "Cache")
SOILS: Final = ("C2702", "C2703", "C4201", "C4703", "C4744", "C7201", "C7702", "C7745", "C7746", "C8771")
NEW_SOIL: Final = "C5151"
"""A category that no training row has: eval rows 50, 150, … have it."""
STEEP: Final = 110
"""A slope no ground has (training stays below 67 degrees): eval rows 75, 175, … have it."""
MISSING: Final = "Hillshade_3pm"
"""The column that the broken serving rows do not have."""
FAULT_EVERY: Final = 100
_SIZES: Final[Mapping[Split, int]] = {"train": 2_000, "eval": 600, "serving": 600, "broken": 600}


@dataclass(frozen=True, slots=True)
class Files:
    """The four tables as CSV files with a header.

    Attributes:
        train: Rows without a fault.
        eval: New categories in ``Soil_Type`` and slopes out of range, every hundredth row each.
        serving: Rows without the label.
        broken: Rows without the label and without ``Hillshade_3pm``.
    """

    train: Path
    eval: Path
    serving: Path
    broken: Path


def covertype_rows(split: Split, n: int | None = None, *, seed: int = SEED) -> Iterator[Row]:
    """The rows of a split in order: each seed and split has rows of its own.

    Args:
        split: Which table; see `Files` for what each one lacks or has planted.
        n: How many rows; by default 2,000 for training and 600 for each other split.
        seed: Another seed gives other rows of the same shape.

    Example:
        >>> row = next(covertype_rows("train"))
        >>> row["Elevation"], row["Wilderness_Area"], row["Cover_Type"]
        (2980, 'Rawah', 1)
        >>> "Cover_Type" in next(covertype_rows("serving"))
        False
    """
    # A text as a seed goes through sha512: the same everywhere, whatever PYTHONHASHSEED is.
    source = random.Random(f"covertype/{split}/{seed}")  # noqa: S311 - rows to look at, no secret
    absent = {"serving": {LABEL}, "broken": {LABEL, MISSING}}.get(split, set())
    for i in range(_SIZES[split] if n is None else n):
        row = _row(source)
        if split == "eval" and i % FAULT_EVERY == 50:
            row["Soil_Type"] = NEW_SOIL
        if split == "eval" and i % FAULT_EVERY == 75:
            row["Slope"] = STEEP
        yield {c: v for c, v in row.items() if c not in absent}


def _row(source: random.Random) -> dict[str, int | str]:
    area = _pick(source, (45, 5, 43, 7))
    elevation = _between(_bell(source, (2_900, 3_200, 2_950, 2_300)[area], 180), 1_859, 3_858)
    aspect = int(source.random() * 361)
    slope = _between(_bell(source, 14, 7), 0, 66)
    part = source.random()
    shade = _between(_bell(source, 212, 26) - slope / 2, 0, 254)
    numbers: tuple[int, ...] = (
        elevation,
        aspect,
        slope,
        0 if part < 0.2 else int(part * part * 1_397),
        _between(_bell(source, 46, 58), -173, 601),
        int(source.random() * 7_117),
        shade,
        _between(_bell(source, 223, 20), 0, 254),
        _between(330 - shade + _bell(source, 20, 15), 0, 254),
        int(source.random() * 7_173),
    )
    soil = SOILS[_pick(source, (2, 3, 2, 15, 8, 25, 12, 14, 13, 6))]
    label = _between((elevation - 1_900) / 320 + _bell(source, -1.5, 1), 0, 6)
    return dict(zip(COLUMNS, (*numbers, WILDERNESS[area], soil, label), strict=True))


def _bell(source: random.Random, middle: float, spread: float) -> float:
    """About normal; twelve uniform numbers and no library function, so no machine rounds it differently."""
    return middle + spread * (sum(source.random() for _ in range(12)) - 6)


def _between(value: float, low: int, high: int) -> int:
    return min(max(int(value), low), high)


def _pick(source: random.Random, shares: tuple[int, ...]) -> int:
    """An index, drawn by shares that sum to 100."""
    left = source.random() * 100
    for i, share in enumerate(shares):
        left -= share
        if left < 0:
            return i
    return len(shares) - 1


def write_covertype(folder: str | Path, *, rows: int | None = None, seed: int = SEED) -> Files:
    """Write the four tables as ``train.csv``, ``eval.csv``, ``serving.csv`` and ``broken.csv``.

    Args:
        folder: An existing folder.
        rows: Rows of each; by default those of `covertype_rows`.
        seed: See `covertype_rows`.
    """
    place = Path(folder)
    written = {
        split: _write(place / f"{split}.csv", covertype_rows(split, rows, seed=seed)) for split in _SIZES
    }
    return Files(**written)


def _write(path: Path, rows: Iterator[Row]) -> Path:
    first = next(rows, None)
    if first is None:
        msg = "a table has at least one row"
        raise ValueError(msg)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, first.keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)
    return path
