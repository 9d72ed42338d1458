"""For which rows of a batch a condition is true: a column at a time where that means the same, else row by row."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from whence.features.folding.growing import Bools
from whence.features.where import parse_where, where_columns, where_holds

Values: TypeAlias = "pa.Array | pa.Scalar"

_COMPARE: Final[dict[type[exp.Expression], Callable[[Any, Any], Any]]] = {
    exp.EQ: pc.equal,
    exp.NEQ: pc.not_equal,
    exp.LT: pc.less,
    exp.LTE: pc.less_equal,
    exp.GT: pc.greater,
    exp.GTE: pc.greater_equal,
}


class _ByRowError(Exception):
    """A part of a condition that Arrow does not mean as we do."""


class Conditions:
    """Conditions on rows, and what was found of combinations of values.

    Example:
        >>> conditions = Conditions()
        >>> rows = pa.table({"a": [1, 5, None], "b": ["x", "y", "y"]})
        >>> conditions.hold("a > 1 AND b IN ('y', 'z')", rows).tolist()
        [False, True, False]
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[Any, ...]], bool] = {}

    def hold(self, where: str, rows: pa.Table) -> Bools:
        """For which rows a condition is true."""
        try:
            found = _value(parse_where(where), rows)
        except _ByRowError:
            return self._by_row(where, rows)
        if isinstance(found, pa.Scalar):
            return np.full(rows.num_rows, found.as_py() is True)
        return np.asarray(pc.fill_null(found, False))

    def _by_row(self, where: str, rows: pa.Table) -> Bools:
        """Each combination of values is looked at once."""
        names = where_columns(where)
        if not names:
            return np.full(rows.num_rows, where_holds(where, {}))
        values = zip(*(rows.column(name).to_pylist() for name in names), strict=True)
        return np.fromiter((self._one(where, names, row) for row in values), dtype=bool, count=rows.num_rows)

    def _one(self, where: str, names: tuple[str, ...], row: tuple[Any, ...]) -> bool:
        known = self._known.get((where, row))
        if known is None:
            if len(self._known) >= 100_000:
                self._known.clear()
            known = where_holds(where, dict(zip(names, row, strict=True)))
            self._known[where, row] = known
        return known


def _value(node: exp.Expression, rows: pa.Table) -> Values:
    """The value of a node for all rows; null is unknown."""
    if isinstance(node, exp.Paren):
        return _value(node.this, rows)
    if isinstance(node, exp.Column):
        return _column(rows.column(node.name))
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        literal = _literal(node.this)
        return pa.scalar(-literal.as_py(), literal.type)
    if isinstance(node, exp.Literal | exp.Boolean | exp.Null):
        return _literal(node)
    if isinstance(node, exp.And | exp.Or):
        join = pc.and_kleene if isinstance(node, exp.And) else pc.or_kleene
        return join(_truth(node.this, rows), _truth(node.expression, rows))
    if isinstance(node, exp.Not):
        return pc.invert(_truth(node.this, rows))
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        return pc.is_null(_value(node.this, rows))
    if isinstance(node, exp.Between):
        low = exp.GTE(this=node.this, expression=node.args["low"])
        return _value(
            exp.And(this=low, expression=exp.LTE(this=node.this, expression=node.args["high"])), rows
        )
    if isinstance(node, exp.In):
        found = [_compared(pc.equal, _value(node.this, rows), _value(e, rows)) for e in node.expressions]
        for other in found[1:]:
            found[0] = pc.or_kleene(found[0], other)
        return found[0]
    if type(node) in _COMPARE:
        return _compared(_COMPARE[type(node)], _value(node.this, rows), _value(node.expression, rows))
    raise _ByRowError


def _truth(node: exp.Expression, rows: pa.Table) -> Values:
    value = _value(node, rows)
    if not pa.types.is_boolean(value.type):
        raise _ByRowError
    return value


def _column(column: pa.ChunkedArray) -> pa.Array:
    """A column of one of four kinds: integers, doubles, texts, truths."""
    values = column.combine_chunks()
    if pa.types.is_integer(values.type):
        return values.cast(pa.int64())
    if pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
        if pc.any(pc.is_nan(values)).as_py():  # greater than every number in SQL, less than none in Arrow
            raise _ByRowError
        return values
    if pa.types.is_string(values.type) or pa.types.is_boolean(values.type):
        return values
    raise _ByRowError


def _literal(node: exp.Expression) -> pa.Scalar:
    if isinstance(node, exp.Null):
        raise _ByRowError
    if isinstance(node, exp.Boolean):
        return pa.scalar(bool(node.this))
    if node.is_string:
        return pa.scalar(str(node.this), pa.string())
    text = str(node.this)
    if text.isdecimal() and len(text) < 18:
        return pa.scalar(int(text), pa.int64())
    if "e" not in text.lower() and not text.isdecimal():
        # an exact decimal: only a double beside it makes it a double
        return pa.scalar(Decimal(text))
    raise _ByRowError


def _compared(compare: Callable[[Any, Any], Any], left: Values, right: Values) -> Values:
    kinds = {left.type, right.type}
    if len(kinds) > 1 and pa.float64() in kinds:
        left, right = _double(left), _double(right)
    if left.type != right.type or pa.types.is_decimal(left.type):
        raise _ByRowError
    return compare(left, right)


def _double(value: Values) -> Values:
    """A number written in the condition, beside a double."""
    number = pa.types.is_decimal(value.type) or value.type == pa.int64()
    if isinstance(value, pa.Scalar) and number:
        return pa.scalar(float(value.as_py()), pa.float64())
    return value
