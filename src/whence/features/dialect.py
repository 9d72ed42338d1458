"""How each engine spells the few things in which engines differ.

The compiler writes one text; what is not the same everywhere stands here, one entry a primitive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whence.compute import quoted
from whence.errors import UnsupportedError


@dataclass(frozen=True, slots=True)
class Dialect:
    """The primitives of one engine, as templates.

    Attributes:
        name: The engine's dialect, as sqlglot calls it.
        epoch_us: Microseconds since 1970-01-01 UTC of the instant ``{0}``.
        date_us: The same for the first instant, in UTC, of the date ``{0}``.
        instant: The instant ``{0}`` microseconds since 1970-01-01 UTC.
        big: A type for exact integers of at least 38 digits.
        running: The running ``{0}`` over the rows of an ordered subquery, this row included.
        next_row: The value of ``{0}`` in the next row of an ordered subquery, null at the end.
        row_number: The row's number in an ordered subquery.
        materialized: What makes a common table expression run once.
        wide_to_double: The double nearest to the integer ``{0}``, whatever its size. A cast rounds twice
            above 2^53, the reading of a decimal text once.
    """

    name: str
    epoch_us: str
    date_us: str
    instant: str
    big: str
    running: str
    next_row: str
    row_number: str
    materialized: str
    wide_to_double: str


_DUCKDB: Final = Dialect(
    name="duckdb",
    epoch_us="epoch_us({0})",
    date_us="epoch_us(CAST({0} AS TIMESTAMP))",
    instant="make_timestamptz({0})",
    big="HUGEINT",
    # DuckDB keeps the order of an ordered subquery under a window without ORDER BY and computes it while
    # streaming: five times faster than a window with ORDER BY, which sorts and builds a tree.
    running="{0} OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    next_row="lead({0}) OVER ()",
    row_number="row_number() OVER ()",
    materialized="MATERIALIZED",
    wide_to_double=(
        "CASE WHEN {0} BETWEEN -9007199254740992 AND 9007199254740992 THEN CAST({0} AS DOUBLE)"
        " ELSE CAST(CAST({0} AS VARCHAR) AS DOUBLE) END"
    ),
)

DIALECTS: Final[Mapping[str, Dialect]] = {"duckdb": _DUCKDB}


def dialect_of(name: str) -> Dialect:
    """The dialect of an engine.

    Raises:
        UnsupportedError: Features are not compiled for it yet (``unsupported-dialect``).
    """
    try:
        return DIALECTS[name]
    except KeyError as error:
        raise UnsupportedError(
            f"features are not compiled for {name!r} yet",
            code="unsupported-dialect",
            hint=f"engines that have it: {', '.join(DIALECTS)}",
        ) from error


def from_source(name: str) -> str:
    """A column of the source; with its table, so that none of the statement's own names can hide it."""
    return "src." + quoted(name)
