"""Rows by name: the row of a declared key in one version, and the commit that wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from whence.compute import quoted, text_literal
from whence.errors import NotFoundError, UsageError
from whence.trace.base import CommitInfo, Table, TableVersion

KEEPS = frozenset({"append", "compact", "create", "attach", "vacuum"})
"""Commits that take no row away."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one name in one version: more than one where a later row corrects an earlier.

    Attributes:
        condition: What chooses them in any version of the table, in SQL; None when a position does.
    """

    rows: pa.Table
    condition: str | None


def find_rows(version: TableVersion, key: str, ref: str) -> Found:
    """The rows a reference names: by declared key, or ``#position`` where none is declared.

    Args:
        version: Where to look.
        key: The value of a single key column; for several, their values as a JSON list in declared order.
        ref: The whole reference, for messages.

    Raises:
        NotFoundError: The version has no such row (``row-not-found``).
        UsageError: The key does not fit the declared one (``bad-row-key``).
    """
    columns = list(version.declaration.key)
    if key.startswith("#") and key[1:].isdecimal():
        rows = version.arrow().slice(int(key[1:]), 1)
        found = Found(rows, None)
    else:
        condition = key_condition(columns, key, ref)
        found = Found(version.arrow(where=condition), condition)
    if found.rows.num_rows == 0:
        raise NotFoundError(
            "row", ref.removeprefix("row:"), hint=f"the key is {', '.join(columns) or '#position'}"
        )
    return found


def key_condition(columns: Sequence[str], key: str, ref: str) -> str:
    """The SQL condition for the row of a key.

    Example:
        >>> print(key_condition(["origin", "day"], '["JFK", 7]', "row:t@1/…"))
        "origin" = 'JFK' AND "day" = '7'
    """
    if not columns:
        raise UsageError(
            f"{ref} names a row by key, but the table declares none",
            code="bad-row-key",
            hint="name it by its position in the version: row:TABLE@VERSION/#0",
        )
    return values_condition(dict(zip(columns, _values(columns, key, ref), strict=True)))


def _values(columns: Sequence[str], key: str, ref: str) -> list[object]:
    if len(columns) == 1:
        return [key]
    try:
        values = json.loads(key)
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != len(columns):
        raise UsageError(
            f"the key of {ref} does not fit ({', '.join(columns)})",
            code="bad-row-key",
            hint='write the values as a JSON list: row:weather@3/["JFK","2013-07-01T05:00:00+00:00"]',
        )
    return values


def values_condition(values: Mapping[str, object]) -> str:
    """The SQL condition that columns have these values; the engine reads each text as its column's type."""
    return " AND ".join(f"{quoted(name)} = {_literal(value)}" for name, value in values.items()) or "TRUE"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return text_literal(str(value))


def writer_of(table: Table, version: int, found: Found) -> CommitInfo | None:
    """The commit that wrote rows of a version: the newest after which they are there and before which not.

    Between commits that take no row away a row stays, so those stretches are halved; across others
    each version is read. None when a version on the way is gone or the row has no key.

    Raises:
        WhenceError: A version cannot be read.
    """
    if found.condition is None:
        return None
    commits = {commit.version: commit for commit in table.history()}
    wanted = _content(found.rows)

    def holds(number: int) -> bool:
        return wanted <= _content(table.at(number).arrow(where=found.condition))

    upper = version
    while True:
        lower = _stretch(commits, upper)
        first = _first(holds, lower, upper)
        if first > lower or lower == 0 or lower not in commits or not holds(lower - 1):
            return commits.get(first)
        upper = lower - 1


def _stretch(commits: Mapping[int, CommitInfo], upper: int) -> int:
    """The lowest version from which to `upper` no commit took rows away."""
    lower = upper
    while lower > 0 and lower in commits and commits[lower].type in KEEPS:
        lower -= 1
    return lower


def _first(holds: Callable[[int], bool], lower: int, upper: int) -> int:
    """The first version from `lower` to `upper` that has the row; `upper` has it."""
    while lower < upper:
        middle = (lower + upper) // 2
        if holds(middle):
            upper = middle
        else:
            lower = middle + 1
    return upper


def held_until(table: Table, version: int, found: Found) -> int | None:
    """The first later version that no longer has the rows; None when all have them."""
    if found.condition is None:
        return None
    wanted = _content(found.rows)
    for commit in sorted(table.history(), key=lambda c: c.version):
        if commit.version <= version or commit.type in KEEPS:
            continue
        if not wanted <= _content(table.at(commit.version).arrow(where=found.condition)):
            return commit.version
    return None


def _content(rows: pa.Table) -> set[str]:
    """The rows as comparable text; a column that came later and is null is left out."""
    return {
        json.dumps({k: v for k, v in row.items() if v is not None}, sort_keys=True, default=str)
        for row in rows.to_pylist()
    }
