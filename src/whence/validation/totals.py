"""Expressions over all rows together that must be true: ``avg(delay) < 20``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from whence.compute import Engine
from whence.errors import UsageError
from whence.validation.cells import jsonable
from whence.validation.checks import anomaly
from whence.validation.expressions import check_expression
from whence.validation.find import Rows
from whence.validation.rows import RELATION, rule_applies, rule_columns
from whence.validation.schema import Schema
from whence.validation.types import Anomaly, Check, Rule


def check_totals(
    rows: Rows, schema: Schema, engine: Engine, *, environment: str | None = None
) -> tuple[list[Anomaly], list[str]]:
    """The anomalies of the schema's checks, and notes on checks that do not apply.

    A check that is false is a ``CUSTOM_VALIDATION`` that shows what its aggregates are; one that is
    unknown (null), as over no rows, is a note. A check the engine refuses, or that has no one answer for
    all rows, is a fault of the schema: ``INVALID_SCHEMA_SPECIFICATION``.
    """
    found: list[Anomaly] = []
    notes: list[str] = []
    for check in checks_in(schema, environment):
        named = Rule(check.name, check.sql)
        if not rule_applies(named, schema, rows.columns):
            absent = sorted(rule_columns(named, schema) - set(rows.columns))
            notes.append(f"check {check.name!r} does not apply: column {', '.join(absent)} is absent")
            continue
        try:
            judged = _judge(check, rows, engine)
            found += judged or ()
            if judged is None:
                notes.append(f"check {check.name!r} does not apply: {check.sql} is null over these rows")
        except UsageError as error:
            text = f"check {check.name!r} cannot be run: {error.message}"
            rule = f"check {check.name}"
            found.append(anomaly("", "INVALID_SCHEMA_SPECIFICATION", rule, check.sql, "an expression", text))
    return found, notes


def checks_in(schema: Schema, environment: str | None) -> list[Check]:
    """The checks that hold in an environment."""
    return [
        c for c in schema.checks if environment is None or not c.environments or environment in c.environments
    ]


def _judge(check: Check, rows: Rows, engine: Engine) -> list[Anomaly] | None:
    """The anomaly of a check that does not hold; None where it has no answer."""
    check_expression(f"check {check.name!r}", check.sql)
    table = engine.query(f"SELECT ({check.sql}\n) FROM {RELATION} LIMIT 2", {RELATION: rows.relation})
    if table.num_rows > 1:
        raise UsageError(
            "it has an answer for every row and not one for all of them",
            code="bad-rule",
            hint="use an aggregate, or a rule for single rows",
        )
    holds: Any = table.column(0)[0].as_py() if table.num_rows else None
    if holds is None:
        return None
    if holds:
        return []
    parts = _aggregates(check.sql)
    observed = _values(parts, rows, engine)
    shown = ", ".join(f"{sql} is {value}" for sql, value in observed.items())
    text = f"the check {check.name!r} does not hold: {check.sql}" + (f" ({shown})" if shown else "")
    return [
        anomaly(
            "",
            "CUSTOM_VALIDATION",
            f"check {check.name}",
            observed,
            check.sql,
            text,
            severity=check.severity,
        )
    ]


def _aggregates(sql: str) -> list[str]:
    """The outermost aggregates of an expression, as written; none where it cannot be read."""
    import sqlglot  # only a check that fails needs it, and it is slow to import
    from sqlglot import exp

    with contextlib.suppress(sqlglot.errors.SqlglotError):
        tree = sqlglot.parse_one(sql, read="duckdb")
        found = [a for a in tree.find_all(exp.AggFunc) if a.find_ancestor(exp.AggFunc) is None]
        return list(dict.fromkeys(a.sql(dialect="duckdb") for a in found))
    return []


def _values(parts: Sequence[str], rows: Rows, engine: Engine) -> dict[str, Any]:
    if not parts:
        return {}
    try:
        table = engine.query(
            f"SELECT {', '.join(f'({p})' for p in parts)} FROM {RELATION}", {RELATION: rows.relation}
        )
    except UsageError:
        return {}
    return {p: jsonable(table.column(i)[0].as_py()) for i, p in enumerate(parts)}
