"""Queries people give to choose the rows of a slice: one SELECT over the rows at hand, and nothing else."""

from __future__ import annotations

from typing import Final

from whence.errors import NotFoundError, UsageError

RELATION: Final = "rows"


def closed(what: str, sql: str) -> str:
    """The query as it is run: it reads the relation ``rows`` and nothing else.

    Args:
        what: What it is the query of, in words: ``slice 'late'``.
        sql: The query.

    Raises:
        UsageError: It is not one SELECT, or names another table or a file (``bad-slice``); it calls a function
            that reads from elsewhere (``sql-function``).

    Example:
        >>> closed("slice 's'", "SELECT * FROM rows WHERE x>1 LIMIT 3")
        'SELECT * FROM rows WHERE x > 1 LIMIT 3'
        >>> closed("slice 's'", "SELECT * FROM 'secret.csv'")
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: slice 's' is a query over the relation rows: table 'secret.csv' not found (bad-slice)...
    """
    # Reading SQL is slow to import, and few slices are queries.
    from whence.lake.query import closed_query

    try:
        return closed_query(sql, (RELATION,), dialect="duckdb")
    except (NotFoundError, UsageError) as error:
        code = "sql-function" if error.code == "sql-function" else "bad-slice"
        raise UsageError(
            f"{what} is a query over the relation {RELATION}: {error.message}",
            code=code,
            hint=f"SELECT ... FROM {RELATION}; put what else it needs into the table first",
            details={"query": sql},
        ) from error
