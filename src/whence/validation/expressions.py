"""Expressions people write into a schema or a slice: one expression over the rows at hand, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import Literal

from whence.errors import UsageError
from whence.validation.types import Rule

RELATION = "rows"


def check_expression(what: str, sql: str, code: Literal["bad-rule", "bad-slice"] = "bad-rule") -> None:
    """Refuse a text that is not one SQL expression over the columns of the rows at hand.

    Args:
        what: What it is the expression of, in words: ``rule 'sane'``.
        sql: The expression.
        code: The code of the error.

    Raises:
        UsageError: It cannot be parsed, is more than one expression, or holds a query (`code`); it calls a
            function that makes rows or reads from elsewhere (``sql-function``).

    Example:
        >>> check_expression("rule 'r'", "arr > dep")
        >>> check_expression("rule 'r'", "1=1) OR (1=1")
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: rule 'r' is not one expression: '1=1) OR (1=1' (bad-rule)...
    """
    kind, why = _verdict(sql)
    if kind == "query":
        text = f"{what} holds a query, it speaks of the columns of the rows at hand: {sql!r}"
        raise UsageError(text, code=code, hint="join what it reads into the table first")
    if kind == "function":
        raise UsageError(
            f"{what} calls {why!r}, which gives rows or reads from elsewhere: {sql!r}",
            code="sql-function",
            hint="an expression is made of columns, operators and functions of single values",
        )
    if kind == "unreadable":
        raise UsageError(f"{what} is not one expression: {sql!r}", code=code, details={"reason": why})


def check_rule_columns(rules: Iterable[Rule], known: Iterable[str]) -> None:
    """Refuse rules that name a column nobody has: no row could ever be judged by them.

    Raises:
        UsageError: A rule names another column (``bad-rule``), with near names.

    Example:
        >>> check_rule_columns([Rule("r", "arr > Dep")], ["arr", "dep"])
        >>> check_rule_columns([Rule("r", "arr > depp")], ["arr", "dep"])
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: rule 'r' names the column 'depp', which neither the schema nor the table has (bad-rule)...
    """
    columns = {name.lower(): name for name in known}
    for rule in rules:
        for name in _columns(rule.sql):
            if name.lower() not in columns:
                near = [columns[n] for n in get_close_matches(name.lower(), columns, n=3)]
                raise UsageError(
                    f"rule {rule.name!r} names the column {name!r}, which neither the schema nor the table has",
                    code="bad-rule",
                    hint=f"near: {', '.join(map(repr, near))}"
                    if near
                    else "add the column, or edit the rule",
                    details={"sql": rule.sql, "column": name},
                )


@lru_cache(maxsize=1024)
def _verdict(sql: str) -> tuple[Literal["fine", "query", "function", "unreadable"], str]:
    """Whether a text is one expression over a row; if not the function it calls, or the reason in words."""
    # Reading SQL is slow to import, and most schemas hold none.
    from sqlglot import exp

    from whence.lake.conditions import parse_condition

    try:
        tree = parse_condition(sql)
    except UsageError as error:
        if error.code == "sql-function":
            return "function", str(error.details["function"])
        return ("query" if error.code == "condition-reads" else "unreadable"), error.message
    if next(tree.find_all(exp.Explode, exp.Unnest), None) is not None:
        return "function", "unnest"
    return "fine", ""


@lru_cache(maxsize=1024)
def _columns(sql: str) -> tuple[str, ...]:
    """The columns an expression names, each once; of ``s.x`` the first step."""
    from sqlglot import exp

    from whence.lake.conditions import parse_condition

    found: dict[str, None] = {}
    for node in parse_condition(sql).find_all(exp.Column):
        steps = [part.name for part in node.parts]
        if len(steps) > 1 and steps[0].lower() == RELATION:
            steps = steps[1:]
        if steps[0] and not _is_bound(node, steps[0]):
            found[steps[0]] = None
    return tuple(found)


def _is_bound(node: object, name: str) -> bool:
    """Whether a name is the variable of a list comprehension around it."""
    from sqlglot import exp

    around = node.find_ancestor(exp.Comprehension) if isinstance(node, exp.Expr) else None
    while around is not None:
        if around.this is node or name.lower() in {
            n.name.lower()
            for n in (around.args.get("expression"), around.args.get("position"))
            if n is not None
        }:
            return True
        around = around.find_ancestor(exp.Comprehension)
    return False
