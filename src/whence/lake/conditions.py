"""Conditions a caller writes: they speak of one row, and read nothing else."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from whence.errors import UsageError

_READS = (exp.Query, exp.Table, exp.Command, exp.DDL, exp.DML)
_OUTSIDE: Final = re.compile(
    r"read_\w+|\w+_scan|glob|sniff_csv|parquet_\w+|query|query_table|(duckdb|pragma)_\w+", re.IGNORECASE
)


def check_condition(where: str) -> None:
    """Refuse a condition that is not one expression over the columns of a row.

    Raises:
        UsageError: It cannot be parsed, or is more than one expression (``bad-sql``); it holds a query,
            which could read other tables and files (``condition-reads``), or calls a function that
            reads them (``sql-function``).

    Example:
        >>> check_condition("delay > 30 AND carrier IN ('B6', 'UA')")
        >>> check_condition("n = (SELECT count(*) FROM read_text('secret'))")
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: a condition speaks of one row; this one holds a query... (condition-reads)...
    """
    parse_condition(where)


def parse_condition(where: str) -> exp.Expr:
    """The tree of a condition, in parentheses, after the checks of `check_condition`.

    Raises:
        UsageError: As `check_condition`.

    Example:
        >>> sorted(c.name for c in parse_condition("arr > dep").find_all(exp.Column))
        ['arr', 'dep']
        >>> parse_condition("1=1) OR (1=1")
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: the condition '1=1) OR (1=1' is not one expression (bad-sql)...
    """
    if not where.strip():
        raise UsageError("the condition is empty", code="bad-sql", hint="leave it out to mean all rows")
    try:
        trees = parse(f"SELECT ({where}\n)", dialect="duckdb")
    except (SqlglotError, IndexError, RecursionError) as error:
        raise UsageError(
            f"the condition {where!r} cannot be read: {first_line(error)}", code="bad-sql"
        ) from error
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or set(_parts(tree)) != {"expressions"}:
        raise UsageError(f"the condition {where!r} is not one expression", code="bad-sql")
    whole: exp.Expr = tree.expressions[0]
    if any(isinstance(node, _READS) for node in whole.walk()):
        raise UsageError(
            f"a condition speaks of one row; this one holds a query: {where!r}",
            code="condition-reads",
            hint="ask with ws.sql, which knows the tables it reads",
        )
    # Anything else begins in our parenthesis and ends outside of it: "1=1) OR (1=1".
    if not isinstance(whole, exp.Paren | exp.Tuple) or any(whole.find_all(exp.Alias)):
        raise UsageError(f"the condition {where!r} is not one expression", code="bad-sql")
    for call in whole.find_all(exp.Func):
        name = call.name if isinstance(call, exp.Anonymous) else call.sql_name()
        if _OUTSIDE.fullmatch(name):
            raise UsageError(
                f"function {name.lower()!r} reads from outside of the lake",
                code="sql-function",
                hint="a condition speaks of the columns of one row",
                details={"function": name.lower()},
            )
    return whole


def _parts(tree: exp.Select) -> list[str]:
    return [name for name, value in tree.args.items() if value]


def first_line(error: Exception) -> str:
    """What a parser says, without its colours and the text it points into."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return text.partition("\n")[0].strip()
