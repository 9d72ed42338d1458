"""The closed language of conditions on a source's rows.

Columns of the source, numbers, texts, TRUE, FALSE, NULL; ``= <> < <= > >=``, ``IS [NOT] NULL``,
``[NOT] IN (…)``, ``[NOT] BETWEEN``, ``+ - *``, ``AND OR NOT`` and parentheses. Nothing else: what stands
here means the same on every engine and in plain Python, nulls included (three-valued logic; a row
counts when the condition is true).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from whence.errors import UsageError

_COMPARE: Final[dict[type[exp.Expression], Callable[[Any, Any], Any]]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_ARITHMETIC: Final[dict[type[exp.Expression], Callable[[Any, Any], Any]]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
}
_ALLOWED: Final = (
    *_COMPARE,
    *_ARITHMETIC,
    exp.And,
    exp.Or,
    exp.Not,
    exp.Neg,
    exp.Paren,
    exp.Is,
    exp.In,
    exp.Between,
    exp.Column,
    exp.Identifier,
    exp.Literal,
    exp.Boolean,
    exp.Null,
)


@lru_cache(maxsize=512)
def parse_where(text: str) -> exp.Expression:
    """The condition as a tree.

    Raises:
        UsageError: It cannot be read or uses what the language does not have (``bad-where``).
    """
    try:
        tree = sqlglot.parse_one(text, read="duckdb", into=exp.Condition)
    except SqlglotError as error:
        raise UsageError(f"condition {text!r} cannot be read", code="bad-where") from error
    assert isinstance(tree, exp.Expression)
    for node in tree.walk():
        if type(node) not in _ALLOWED or (isinstance(node, exp.Column) and node.table):
            raise UsageError(
                f"condition {text!r} uses {node.sql(dialect='duckdb')!r}, which is not in its language",
                code="bad-where",
                hint="comparisons, IS NULL, IN, BETWEEN, + - *, AND, OR, NOT on columns of the source",
            )
    return tree


def where_columns(text: str) -> tuple[str, ...]:
    """The columns a condition reads, by name.

    Example:
        >>> where_columns("arr_delay >= 30 AND carrier IN ('B6', 'UA')")
        ('arr_delay', 'carrier')
    """
    return tuple(sorted({column.name for column in parse_where(text).find_all(exp.Column)}))


def where_sql(text: str, dialect: str, *, prefix: str = "") -> str:
    """The condition in an engine's SQL, columns quoted and behind `prefix`."""

    def quoted(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column):
            return exp.column(exp.to_identifier(node.name, quoted=True), table=prefix or None)
        return node

    return parse_where(text).transform(quoted).sql(dialect=dialect)


def where_holds(text: str, row: Mapping[str, Any]) -> bool:
    """Whether the condition is true of a row, in plain Python.

    Example:
        >>> where_holds("a > 1 OR b IS NULL", {"a": 0, "b": None}), where_holds("a > 1", {"a": None})
        (True, False)
    """
    return _value(parse_where(text), row) is True


def _value(node: exp.Expression, row: Mapping[str, Any]) -> Any:
    """The value of a node; None is unknown."""
    if isinstance(node, exp.Paren):
        return _value(node.this, row)
    if isinstance(node, exp.Column):
        return row[node.name]
    if isinstance(node, exp.Literal | exp.Boolean | exp.Null):
        return _literal(node)
    if isinstance(node, exp.And | exp.Or | exp.Not):
        return _logic(node, row)
    if isinstance(node, exp.Is):
        return _is(_value(node.this, row), _value(node.expression, row))
    if isinstance(node, exp.In):
        return _any([_compare(operator.eq, _value(node.this, row), _value(e, row)) for e in node.expressions])
    if isinstance(node, exp.Between):
        value = _value(node.this, row)
        low, high = _value(node.args["low"], row), _value(node.args["high"], row)
        return _all([_compare(operator.ge, value, low), _compare(operator.le, value, high)])
    if isinstance(node, exp.Neg):
        value = _value(node.this, row)
        return None if value is None else -value
    left, right = _value(node.this, row), _value(node.expression, row)
    if type(node) in _COMPARE:
        return _compare(_COMPARE[type(node)], left, right)
    return None if left is None or right is None else _ARITHMETIC[type(node)](*_alike(left, right))


def _literal(node: exp.Expression) -> Any:
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    if node.is_string:
        return node.this
    text = str(node.this)
    if text.lstrip("+-").isdecimal():
        return int(text)
    return float(text) if "e" in text.lower() else Decimal(text)


def _logic(node: exp.Expression, row: Mapping[str, Any]) -> bool | None:
    if isinstance(node, exp.Not):
        value = _value(node.this, row)
        return None if value is None else not value
    both = [_value(node.this, row), _value(node.expression, row)]
    return _all(both) if isinstance(node, exp.And) else _any(both)


def _all(values: list[bool | None]) -> bool | None:
    if any(v is False for v in values):
        return False
    return None if any(v is None for v in values) else True


def _any(values: list[bool | None]) -> bool | None:
    if any(v is True for v in values):
        return True
    return None if any(v is None for v in values) else False


def _is(left: Any, right: Any) -> bool:
    return left is None if right is None else left is right


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Numbers of two kinds as one: a float makes both floats, as SQL does."""
    if isinstance(left, float) or isinstance(right, float):
        return float(left), float(right)
    return left, right


def _compare(op: Callable[[Any, Any], Any], left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    if not isinstance(left, str) and not isinstance(right, str):
        left, right = _alike(left, right)
    if isinstance(left, float):
        left, right = _rank(left), _rank(right)
    return bool(op(left, right))


def _rank(value: float) -> tuple[bool, float]:
    """A float's place in SQL's order: NaN is equal to itself and greater than every number."""
    return (True, 0.0) if math.isnan(value) else (False, value)
