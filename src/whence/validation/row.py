"""Row tests over one row in Python: a function made of the tests, for the path of a request.

The function is a straight line of comparisons, one piece a column; whatever is not the plain value that
the schema expects (a list, another type, a number of numpy's) goes to the slow side, which walks the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from whence.errors import UsageError
from whence.validation.arrow_checks import INFINITIES, outside, read_number
from whence.validation.cells import FeatureType
from whence.validation.checks.parse import parse_float, parse_int
from whence.validation.rowtests import STRUCTURAL, Reason, RowTest, cells_of, paired
from whence.validation.types import as_micros, type_accepts

RowFunction: TypeAlias = Callable[[Mapping[str, Any]], list[Reason]]
"""A row as a mapping → why it does not pass; an empty list when it does."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: Final[Mapping[type[Any], FeatureType]] = {
    bool: "BOOL",
    int: "INT",
    float: "FLOAT",
    str: "STRING",
    bytes: "BYTES",
    datetime: "TIMESTAMP",
    date: "DATE",
    dict: "STRUCT",
    time: "INT",
    timedelta: "INT",
    Decimal: "FLOAT",
}
_PANDAS_MISSING: Final = ("NAType", "NaTType")
_PLAIN: Final[Mapping[str, str]] = {
    "BOOL": "bool", "INT": "int", "FLOAT": "float", "STRING": "str", "TIMESTAMP": "datetime", "DATE": "date",
}  # fmt: skip


def row_function(
    tests: Sequence[RowTest], required: Sequence[str] = (), *, whole_is_float: bool = False
) -> RowFunction:
    """The tests as one function of a row.

    Args:
        tests: All tests of a schema, those of a feature together.
        required: Columns that must be there, even as null.
        whole_is_float: Whether an integer is a FLOAT, too: JSON does not tell 1 from 1.0.
    """
    by_feature: dict[str, list[RowTest]] = {}
    for test in tests:
        by_feature.setdefault(test.feature, []).append(test)
    names: dict[str, Any] = {
        "Reason": Reason, "parse_int": parse_int, "parse_float": parse_float, "INF": INFINITIES,
        "UTC": UTC, "int": int, "float": float, "str": str, "bool": bool, "type": type,
        "datetime": datetime, "date": date, "not_utf8": not_utf8, "judge": _judge, "no_row": _no_row,
    }  # fmt: skip
    lines = ["def check(row):", " out = []"]
    lines += [" try: get = row.get", " except AttributeError: raise no_row(row) from None"]
    for i, name in enumerate(required):
        names[f"q{i}"], names[f"m{i}"] = name, absent(name)
        lines += [f" if q{i} not in row: out.append(m{i})"]
    for i, group in enumerate(by_feature.values()):
        names[f"t{i}"], names[f"k{i}"] = tuple(group), group[0].steps[0]
        for j, test in enumerate(group):
            names[f"t{i}_{j}"] = test
        lines += _feature(i, group, names, whole_is_float=whole_is_float)
    lines.append(" return out")
    exec("\n".join(lines), names)  # noqa: S102  # our own text: names and constants are handed in, none is spelled
    made: RowFunction = names["check"]
    return made


def absent(name: str) -> Reason:
    """The reason of a row without a column that is required."""
    return Reason(name, "SCHEMA_MISSING_COLUMN", f"the column {name} is missing")


def _no_row(row: object) -> UsageError:
    return UsageError(f"the row is a {type(row).__name__}, not a mapping", code="bad-data")


def _feature(i: int, group: Sequence[RowTest], names: dict[str, Any], *, whole_is_float: bool) -> list[str]:
    first = group[0]
    slow = f"judge(t{i}, {{k{i}: v}}, out, {whole_is_float})"
    lines = [f" v = get(k{i})"]
    plain = _PLAIN.get(first.of)
    if len(first.steps) > 1 or plain is None or any(map(_alone_breaks, group)):
        return [*lines, f" if v is not None or k{i} in row or {len(first.steps) > 1}: {slow}"]
    lines.append(" if v is None:")
    told = [
        f"  out.append(t{i}_{j}.reason(None))" for j, t in enumerate(group) if t.op in ("missing", "size")
    ]
    if told:  # a column that is absent is told once, or is no row's fault
        lines += [f"  if k{i} in row:", *(" " + line for line in told)]
    else:
        lines.append("  pass")
    lines.append(f" elif type(v) is {plain}:")
    body = [
        f"  if {_condition(test, f'a{i}_{j}', names)}: out.append(t{i}_{j}.reason(v))"
        for j, test in enumerate(group)
        if test.op not in STRUCTURAL and not (test.op == "utf8" and first.of != "STRING")
    ]
    if whole_is_float and first.of == "FLOAT":
        lines[-1] = " elif type(v) is float or type(v) is int:"
    return [*lines, *(body or ["  pass"]), " else:", f"  {slow}"]


def _alone_breaks(test: RowTest) -> bool:
    """Whether a value that stands alone breaks a test of numbers of values."""
    if test.op == "depth":
        return bool(test.arg > 1)
    if test.op == "few":
        return test.level == 0 and bool(test.arg > 1)
    if test.op == "many":
        return test.level == 0 and bool(test.arg < 1)
    return test.op in ("size", "dim") and test.arg != 1


def _condition(test: RowTest, name: str, names: dict[str, Any]) -> str:
    """The Python of a test of the value `v`; constants go into `names`."""
    names[name] = test.arg
    op, sign = test.op, "<" if test.op == "below" else ">"
    if op in ("below", "above"):
        if test.reads_text:
            return f"(n := parse_{'int' if test.whole else 'float'}(v)) is not None and n {sign} {name}"
        if test.of == "TIMESTAMP":
            names[name] = _EPOCH + timedelta(microseconds=test.arg)
            return f"(v if v.tzinfo is not None else v.replace(tzinfo=UTC)) {sign} {name}"
        if test.of == "DATE":
            names[name + "f"] = as_micros
            return f"{name}f(v) {sign} {name}"
        return f"v {sign} {name}"
    if op == "outside":
        names[name] = frozenset(test.arg)
        return f"v not in {name}"
    if op == "pattern":
        names[name] = re.compile(test.arg).fullmatch
        return f"{name}(v) is None"
    conditions = {
        "utf8": "not v.isascii() and not_utf8(v)",
        "not_int": "parse_int(v) is None",
        "not_float": "parse_float(v) is None",
        "nan": "(n := parse_float(v)) is not None and n != n" if test.reads_text else "v != v",
        "inf": "parse_float(v) in INF" if test.reads_text else "v in INF",
        "not_bool": "v != 0.0 and v != 1.0",
        "long": "False",
    }
    return conditions[op]


def not_utf8(text: str) -> bool:
    """Whether a text holds what is no character: a half of a pair, as bytes that are not UTF-8 are read."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


# --- the slow side -------------------------------------------------------------------------------


def _judge(tests: Sequence[RowTest], row: Mapping[str, Any], out: list[Reason], whole_is_float: bool) -> None:
    """Walk the tests of one feature in one row."""
    first = tests[0]
    given = cells_of(row, first.steps)
    cells = [_plain(paired(c) if first.of == "STRUCT" else c) for c in given]
    values = [v for c in cells for v in _values(c)]
    wrong = next((k for v in values if not _accepts(first.of, k := _type(v), whole_is_float)), None)
    for test in tests:
        if test.op == "type":
            broken = wrong is not None
        elif test.op in STRUCTURAL:
            broken = _STRUCTURAL[test.op](test, cells)
        else:
            broken = wrong is None and any(_breaks(test, v) for v in values)
        if broken:
            seen = wrong if test.op == "type" else cells[0] if len(cells) == 1 else cells
            out.append(test.reason(seen))


def _accepts(wanted: FeatureType, seen: FeatureType, whole_is_float: bool) -> bool:
    return type_accepts(wanted, seen) or (whole_is_float and (wanted, seen) == ("FLOAT", "INT"))


def _plain(cell: Any) -> Any:
    """A cell of Python's own types: numpy's scalars and arrays as such, tuples as lists."""
    kind = type(cell)
    if kind in _TYPES or cell is None:
        return cell
    if kind is list or kind is tuple:
        return [_plain(v) for v in cell]
    if isinstance(cell, (bytearray, memoryview)):
        return bytes(cell)
    if isinstance(cell, UUID):
        return cell.bytes
    if kind.__name__ in _PANDAS_MISSING and kind.__module__.startswith("pandas."):
        return None
    if callable(getattr(cell, "tolist", None)):  # numpy
        return _plain(cell.tolist())
    if isinstance(cell, Mapping):
        return dict(cell)
    if isinstance(cell, str):
        return str(cell)
    return bytes(cell) if isinstance(cell, bytes) else cell


def _values(cell: Any) -> Iterator[Any]:
    if isinstance(cell, list):
        for inner in cell:
            yield from _values(inner)
    elif cell is not None:
        yield cell


def _type(value: Any) -> FeatureType:
    known = _TYPES.get(type(value))
    if known is not None:
        return known
    return next((name for kind, name in _TYPES.items() if isinstance(value, kind)), "STRUCT")


def _missing(_: RowTest, cells: Sequence[Any]) -> bool:
    return not cells or any(c is None for c in cells)


def _depth(test: RowTest, cells: Sequence[Any]) -> bool:
    return any(_deep(c, test.arg, 0) for c in cells)


def _deep(cell: Any, wanted: int, depth: int) -> bool:
    """Whether a list stands where a value should be, or a value where a list should be."""
    if cell is None:
        return False
    if not isinstance(cell, list):
        return max(depth, 1) != wanted
    return depth == wanted or any(_deep(v, wanted, depth + 1) for v in cell)


def _lengths(cell: Any, level: int) -> Iterator[int]:
    if isinstance(cell, list):
        if level == 0:
            yield len(cell)
        else:
            for inner in cell:
                if isinstance(inner, list):
                    yield from _lengths(inner, level - 1)
    elif cell is not None and level == 0:
        yield 1


def _size_of(cell: Any) -> int:
    return sum(_size_of(v) if isinstance(v, list) else 1 for v in cell) if isinstance(cell, list) else 1


def _size(test: RowTest, cells: Sequence[Any]) -> bool:
    return _missing(test, cells) or _dim(test, cells)


def _dim(test: RowTest, cells: Sequence[Any]) -> bool:
    return any(c is not None and _size_of(c) != test.arg for c in cells)


_STRUCTURAL: Final[Mapping[str, Callable[[RowTest, Sequence[Any]], bool]]] = {
    "missing": _missing,
    "depth": _depth,
    "few": lambda t, cells: any(n < t.arg for c in cells for n in _lengths(c, t.level)),
    "many": lambda t, cells: any(n > t.arg for c in cells for n in _lengths(c, t.level)),
    "size": _size,
    "dim": _dim,
}


def _number(test: RowTest, value: Any) -> Any:
    """A value as a number to compare; None where there is none."""
    if test.of in ("STRING", "BYTES"):
        return read_number(test, _text(value))
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return as_micros(value)
    if isinstance(value, time):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    return float(value) if test.of == "FLOAT" else value


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _breaks(test: RowTest, value: Any) -> bool:
    """Whether a value of an accepted type breaks a test of values."""
    op = test.op
    if op in ("below", "above"):
        return outside(test, _number(test, value))
    if op in ("nan", "inf", "not_bool"):
        n = _number(test, value)
        if n is None:
            return False
        return bool(n != n if op == "nan" else n in INFINITIES if op == "inf" else n not in (0.0, 1.0))
    if op == "long":
        return isinstance(value, bytes) and len(value) > test.arg
    text = _text(value)
    if op == "outside":
        return text not in test.arg
    if op == "pattern":
        return re.fullmatch(test.arg, text) is None
    if op == "utf8":
        return not_utf8(text)
    return (parse_int(text) if op == "not_int" else parse_float(text)) is None
