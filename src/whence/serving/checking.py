"""Requests held against a schema before a model answers them: refused, or answered and marked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from whence.errors import DataRejectedError
from whence.serving.answers import table_of
from whence.serving.asking import Ask
from whence.serving.types import RequestRule
from whence.validation import Schema
from whence.validation.defaults import apply_defaults, defaults_of
from whence.validation.plan import Plan

log = logging.getLogger(__name__)

_ROW_BY_ROW: Final = 256
"""Up to so many rows the Python checker is faster than to open columns."""
_TOLD: Final = 20
_OF_TYPE: Final[Mapping[str, str]] = {"double": "FLOAT", "int64": "INT", "bool": "BOOL", "string": "STRING"}


@dataclass(slots=True)
class Checked:
    """What a check of requests has seen since it was made.

    Attributes:
        n_rows: Rows that were judged.
        n_bad: Rows that did not pass.
        filled: Column → missing values that were given the default.
    """

    n_rows: int = 0
    n_bad: int = 0
    filled: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Judge:
    """The rules about the columns one model takes."""

    plan: Plan
    defaults: Mapping[str, Any]
    whole: frozenset[str]
    is_typed: bool


class RequestCheck:
    """A schema on the path of requests.

    Of the schema only the features count that are columns of the model; requests by keys pass, as their
    features come from tables. A whole number is also a FLOAT there, and 3.0 is an INT.

    Args:
        rule: What is done with bad rows, for which environment, and whether defaults are applied.
        schema: The rules.

    Attributes:
        seen: What it has counted.

    Raises:
        NotFoundError: The schema does not know the environment.
        UsageError: A default is no value of its feature's type (``bad-default``).
    """

    def __init__(self, rule: RequestRule, schema: Schema) -> None:
        self.rule = rule
        self._schema = schema
        self._judges: dict[tuple[tuple[str, str], ...], _Judge] = {}
        self.seen = Checked()
        schema.expected(rule.environment)
        if rule.fill:
            defaults_of(schema, rule.environment)

    def fill(self, ask: Ask) -> Ask:
        """The request with the schema's defaults in place of missing values, when the rule asks for it."""
        if not self.rule.fill or ask.keys is not None:
            return ask
        judge = self._judge(ask)
        if ask.table is not None:
            made = apply_defaults(ask.table, judge.plan.schema, self.rule.environment, want=ask.table.schema)
            self._count(made.counts)
            return replace(ask, table=made.rows, filled=made.counts) if made.counts else ask
        assert ask.matrix is not None
        values, counts = ask.matrix, {}
        for i, (name, _) in enumerate(ask.line.columns):
            default = judge.defaults.get(name)
            if isinstance(default, (bool, int, float)) and (missing := np.isnan(values[:, i])).any():
                values = values.copy() if values is ask.matrix else values
                values[missing, i] = float(default)
                counts[name] = int(missing.sum())
        self._count(counts)
        return replace(ask, matrix=values, filled=counts) if counts else ask

    def __call__(self, ask: Ask) -> Ask:
        """The request, with marks where rows do not pass.

        Raises:
            DataRejectedError: A row does not pass and the rule is to refuse (``request-refused``);
                ``details["rows"]`` has the reasons of each.
        """
        if ask.keys is not None:
            return ask
        judge = self._judge(ask)
        broken = self._broken(ask, judge)
        self.seen.n_rows += ask.n_rows
        if not broken:
            return ask
        self.seen.n_bad += len(broken)
        told = {row: "; ".join(reasons) for row, reasons in sorted(broken.items())}
        facts = {"deployment": ask.line.facts.deployment, "schema": self.rule.schema, "n_rows": len(told)}
        first, text = next(iter(told.items()))
        if self.rule.on_bad == "refuse":
            more = f" ({len(told)} rows do not pass)" if len(told) > 1 else ""
            raise DataRejectedError(
                f"row {first} of the request breaks schema {self.rule.schema!r}: {text}{more}",
                code="request-refused",
                hint="repair the row, or let the deployment mark such rows",
                details={"rows": dict(list(told.items())[:_TOLD])},
            )
        log.warning("rows of a request marked", extra={**facts, "why": text})
        return replace(ask, marks=tuple(told.get(row) for row in range(ask.n_rows)))

    def _judge(self, ask: Ask) -> _Judge:
        columns = ask.line.columns
        known = self._judges.get(columns)
        if known is None:
            kinds = dict(columns)
            features = {n: f for n, f in self._schema.features.items() if f.steps[0] in kinds}
            plan = Plan(replace(self._schema, features=features), self.rule.environment)
            types = {n: f.type for n, f in features.items()}
            known = _Judge(
                plan,
                defaults_of(plan.schema, self.rule.environment),
                frozenset(n for n, t in types.items() if t == "INT" and kinds.get(n) == "double"),
                all(t == _OF_TYPE.get(kinds.get(n, "")) for n, t in types.items()),
            )
            self._judges[columns] = known
        return known

    def _broken(self, ask: Ask, judge: _Judge) -> dict[int, list[str]]:
        if ask.n_rows > _ROW_BY_ROW and judge.is_typed:
            table = ask.table if ask.matrix is None else table_of(ask.matrix, ask.line.columns)
            assert table is not None
            return {row: [r.text for r in found] for row, found in judge.plan.broken(table).items()}
        check = judge.plan.json_row
        return {
            i: [r.text for r in found]
            for i, row in enumerate(_rows(ask, judge.whole))
            if (found := check(row))
        }

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, n in counts.items():
            self.seen.filled[name] = self.seen.filled.get(name, 0) + n


def _rows(ask: Ask, whole: frozenset[str]) -> Sequence[Mapping[str, Any]]:
    """The rows as mappings, None for null, in the types of the schema."""
    rows: list[dict[str, Any]]
    if ask.table is not None:
        rows = ask.table.to_pylist()
        for name in whole:
            for row in rows:
                row[name] = _whole(row[name])
        return rows
    assert ask.matrix is not None
    made: list[tuple[str, Callable[[float], Any]]] = [
        (name, _whole if kind == "int64" or name in whole else _truth if kind == "bool" else _same)
        for name, kind in ask.line.columns
    ]
    return [
        {n: None if v != v else read(v) for (n, read), v in zip(made, values, strict=True)}
        for values in ask.matrix.tolist()
    ]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _truth(value: float) -> Any:
    return bool(value) if value in (0.0, 1.0) else value


def _same(value: float) -> Any:
    return value
