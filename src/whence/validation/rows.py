"""The same schema row by row: which rows break which rule, in a batch or in a whole version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from whence.compute import Engine
from whence.errors import UsageError, WhenceError
from whence.validation.defaults import apply_defaults, defaults_of
from whence.validation.expressions import check_expression
from whence.validation.plan import Plan
from whence.validation.schema import Schema
from whence.validation.sql_checks import RELATION
from whence.validation.types import Rule

__all__ = ["RELATION", "RowCheck", "bad_rule", "breaches", "rule_applies", "rule_columns", "rules_in"]

_ROW: Final = "__whence_row"
_TOKENS: Final = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")+)"|([A-Za-z_][A-Za-z0-9_]*)""")


class RowCheck:
    """A schema as a check of batches: batch → (mask, reasons).

    The mask is True for rows that pass. A row that does not pass has a reason: every broken rule, in
    the order of the schema, joined by "; ". The verdicts are those of `validate_statistics` where it
    speaks of rows: a batch has such an anomaly exactly when some row does not pass. Beyond that, text that is
    no time, URL or identifier where the schema says it is one, and a vector of another length, do not pass.
    A required column that is absent fails every row, a column of another type every row with a value;
    columns the schema does not know pass.

    Args:
        schema: The rules.
        environment: As in `validate_statistics`.
        engine: Runs the SQL of the schema's row rules; only needed when there are some.
        fill: Whether missing values get the schema's defaults before rows are judged (`filled`).

    Attributes:
        plan: The schema, compiled.
        fill: Whether defaults are applied.
        ref: The kept schema the rules are from, such as ``schema:flights@3``; None for one given by hand.

    Raises:
        UsageError: The schema has row rules and no engine is given (``rule-needs-engine``).
    """

    def __init__(
        self,
        schema: Schema,
        environment: str | None = None,
        *,
        engine: Engine | None = None,
        fill: bool = False,
    ) -> None:
        self.plan = Plan(schema, environment)
        self.fill = fill
        self.ref: str | None = None
        self._engine = engine
        if self.plan.rules and engine is None:
            raise UsageError(
                f"rule {self.plan.rules[0].name!r} is SQL and no engine is given", code="rule-needs-engine"
            )

    @property
    def fills(self) -> frozenset[str]:
        """The columns that get a default; none unless `fill`."""
        return frozenset(defaults_of(self.schema, self.environment)) if self.fill else frozenset()

    def filled(self, rows: pa.Table, want: pa.Schema | None = None) -> pa.Table:
        """The rows with the schema's defaults in place of nulls and of absent columns, when asked by `fill`.

        Args:
            rows: The rows.
            want: The columns of the table they enter; absent ones of them are made.

        Raises:
            UsageError: A default is no value of its column's type (``bad-default``).
        """
        if not self.fill:
            return rows
        return apply_defaults(rows, self.schema, self.environment, want=want).rows

    @property
    def schema(self) -> Schema:
        """The rules."""
        return self.plan.schema

    @property
    def environment(self) -> str | None:
        """The environment."""
        return self.plan.environment

    def __call__(self, batch: pa.RecordBatch | pa.Table, /) -> tuple[list[bool], list[str | None]]:
        """Judge every row of a batch.

        Returns:
            A mask (True: passes) and reasons (None where it passes), both as long as the batch.

        Raises:
            UsageError: A row rule is no valid expression on these columns (``bad-rule``).
        """
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        reasons = {row: [r.text for r in found] for row, found in self.plan.broken(table).items()}
        for rule in self.plan.rules:
            if rule_applies(rule, self.schema, table.column_names):
                assert self._engine is not None
                for row in breaches(self._engine, table, rule):
                    reasons.setdefault(row, []).append(f"rule {rule.name!r} does not hold")
        mask = [True] * table.num_rows
        texts: list[str | None] = [None] * table.num_rows
        for row, broken in reasons.items():
            mask[row], texts[row] = False, "; ".join(broken)
        return mask, texts


# --- rules in SQL -------------------------------------------------------------------------------


def rules_in(schema: Schema, environment: str | None) -> list[Rule]:
    """The row rules that hold in an environment."""
    return [
        r for r in schema.rules if environment is None or not r.environments or environment in r.environments
    ]


def rule_columns(rule: Rule, schema: Schema) -> set[str]:
    """The columns of the schema a rule names.

    Example:
        >>> from whence.validation import Feature
        >>> rule_columns(Rule("r", "arr_at > dep_at AND carrier <> 'tailnum'"),
        ...     Schema().add(Feature("arr_at"), Feature("dep_at"), Feature("carrier"), Feature("tailnum"))) == {
        ...     "arr_at", "dep_at", "carrier"}
        True
    """
    named = {q.replace('""', '"') or bare for q, bare in _TOKENS.findall(rule.sql)}
    folded = {n.lower() for n in named}
    return {f.name for f in schema if f.name.lower() in folded}


def rule_applies(rule: Rule, schema: Schema, columns: Sequence[str]) -> bool:
    """Whether the data have every column of the schema that the rule names."""
    return rule_columns(rule, schema) <= set(columns)


def breaches(engine: Engine, table: pa.Table, rule: Rule) -> list[int]:
    """Positions of the rows of a table for which a rule is false.

    Raises:
        UsageError: It is no valid expression on these columns (``bad-rule``), or calls a function that
            reads from elsewhere (``sql-function``).
    """
    check_expression(f"rule {rule.name!r}", rule.sql)
    if not table.num_rows:
        return []
    numbered = table.append_column(_ROW, pa.array(range(table.num_rows), pa.int64()))
    sql = f'SELECT "{_ROW}" FROM {RELATION} WHERE NOT ({rule.sql}\n) ORDER BY 1'
    try:
        return list(engine.query(sql, {RELATION: numbered}).column(0).to_pylist())
    except UsageError as error:
        raise bad_rule(rule, error) from error


def bad_rule(rule: Rule, error: WhenceError) -> UsageError:
    """The error of a rule the engine cannot run."""
    return UsageError(
        f"rule {rule.name!r} cannot be run: {error.message}", code="bad-rule", details={"sql": rule.sql}
    )
