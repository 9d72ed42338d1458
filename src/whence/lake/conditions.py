"""Conditions a caller writes: they speak of one row, and read nothing else."""

from __future__ import annotations

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from whence.errors import UsageError

_READS = (exp.Query, exp.Table, exp.Command, exp.DDL, exp.DML)


def check_condition(where: str) -> None:
    """Refuse a condition that is not one expression over the columns of a row.

    Raises:
        UsageError: It cannot be parsed (``bad-sql``), or holds a query, which could read other tables
            and files (``condition-reads``).

    Example:
        >>> check_condition("delay > 30 AND carrier IN ('B6', 'UA')")
        >>> check_condition("n = (SELECT count(*) FROM read_text('secret'))")
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: a condition speaks of one row; this one holds a query... (condition-reads)...
    """
    if not where.strip():
        raise UsageError("the condition is empty", code="bad-sql", hint="leave it out to mean all rows")
    try:
        trees = parse(f"SELECT ({where}\n)", dialect="duckdb")
    except SqlglotError as error:
        raise UsageError(
            f"the condition {where!r} cannot be read: {str(error).splitlines()[0]}", code="bad-sql"
        ) from error
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or set(_parts(tree)) != {"expressions"}:
        raise UsageError(f"the condition {where!r} is not one expression", code="bad-sql")
    if any(isinstance(node, _READS) for node in tree.expressions[0].walk()):
        raise UsageError(
            f"a condition speaks of one row; this one holds a query: {where!r}",
            code="condition-reads",
            hint="ask with ws.sql, which knows the tables it reads",
        )


def _parts(tree: exp.Select) -> list[str]:
    return [name for name, value in tree.args.items() if value]
