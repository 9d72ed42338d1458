"""A tree as text again: reading the text gives the same tree."""

from __future__ import annotations

import re
from typing import Final

from whence.metadata.filter.types import (
    AliasField,
    And,
    Arith,
    Between,
    Call,
    Column,
    Compare,
    Constant,
    Count,
    Expr,
    Filter,
    Fold,
    In,
    IsNull,
    Like,
    Minus,
    Moment,
    Not,
    Or,
    Property,
    Search,
    StatsField,
    Walk,
    Word,
)

# How tightly a form holds its parts together; a part that holds less tightly stands in parentheses.
OR: Final = 1
AND: Final = 2
NOT: Final = 3
TEST: Final = 4
SUM: Final = 5
PRODUCT: Final = 6
SIGN: Final = 7
VALUE: Final = 8

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ESCAPED: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def format_filter(filter_: Filter | Expr) -> str:
    r"""The text of a filter, on one line.

    Example:
        >>> from whence.metadata.filter.syntax import parse_filter
        >>> format_filter(parse_filter("not (name=\"a\" or  id in(1,2))"))
        "NOT (name = 'a' OR id IN (1, 2))"
    """
    return _text(filter_.tree if isinstance(filter_, Filter) else filter_, OR)


def quoted(text: str) -> str:
    r"""A text as a literal of the language.

    Example:
        >>> print(quoted("it's"))
        'it\'s'
    """
    return "'" + "".join(_character(c) for c in text) + "'"


def _character(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    # Line separators and control characters would break the line in which an error shows its place.
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _text(tree: Expr, holds: int) -> str:
    text, tightness = _form(tree)
    return text if tightness >= holds else f"({text})"


def _form(tree: Expr) -> tuple[str, int]:
    match tree:
        case Or(parts):
            return " OR ".join(_text(part, AND) for part in parts), OR
        case And(parts):
            return " AND ".join(_text(part, NOT) for part in parts), AND
        case Not(part):
            return f"NOT {_text(part, NOT)}", NOT
        case Compare() | In() | Like() | Between() | IsNull():
            return _test(tree), TEST
        case Arith(op, left, right):
            own = SUM if op in "+-" else PRODUCT
            return f"{_text(left, own)} {op} {_text(right, own + 1)}", own
        case Minus(value):
            # `-3` is a number and `--` begins a comment.
            inside = _text(value, VALUE)
            return f"-({inside})" if isinstance(value, Constant) else f"-{inside}", SIGN
        case _:
            return _value(tree)


def _test(tree: Compare | In | Like | Between | IsNull) -> str:
    if isinstance(tree, Compare):
        return f"{_text(tree.left, SUM)} {tree.op} {_text(tree.right, SUM)}"
    value, no = _text(tree.value, SUM), "NOT " if tree.negated else ""
    match tree:
        case In():
            return f"{value} {no}IN ({', '.join(_text(option, SIGN) for option in tree.options)})"
        case Like():
            escape = "" if tree.escape is None else f" ESCAPE {quoted(tree.escape)}"
            return f"{value} {no}{'ILIKE' if tree.folded else 'LIKE'} {quoted(tree.pattern)}{escape}"
        case Between():
            return f"{value} {no}BETWEEN {_text(tree.low, SUM)} AND {_text(tree.high, SUM)}"
        case IsNull():
            return f"{value} IS {no}NULL"


def _value(tree: Expr) -> tuple[str, int]:
    match tree:
        case Constant(value):
            negative = isinstance(value, int | float) and repr(value)[0] == "-"
            return _constant(value), SIGN if negative else VALUE
        case Moment(at):
            return f"TIMESTAMP {quoted(at.isoformat())}", VALUE
        case Walk(name, inside, hops):
            far = "" if hops is None else f", hops = {hops}"
            return f"{name}({_text(inside, OR)}{far})", VALUE
        case Count(relation, where):
            return f"COUNT({relation}{_where(where)})", VALUE
        case Fold(name, relation, field, where):
            return f"{name}({relation}.{_field(field)}{_where(where)})", VALUE
        case Call(name, value):
            return f"{name}({_text(value, SUM)})", VALUE
        case Search(text):
            return f"SEARCH({quoted(text)})", VALUE
        case AliasField(relation, word, field):
            return f"{relation}_{word}.{_field(field)}", VALUE
        case Word(name):
            return name, VALUE
        case Column() | Property() | StatsField():
            return _field(tree), VALUE
        case _:  # pragma: no cover - every other form is met in `_form`
            raise AssertionError(tree)


def _constant(value: float | str | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return quoted(value) if isinstance(value, str) else repr(value)


def _where(where: Expr | None) -> str:
    return "" if where is None else f" WHERE {_text(where, OR)}"


def _field(field: Column | Property | StatsField) -> str:
    if isinstance(field, Column):
        return field.name
    if isinstance(field, StatsField):
        return f"stats.{_name(field.name)}"
    suffix = "" if field.suffix is None else f".{field.suffix}"
    return f"{field.part}.{_name(field.name)}{suffix}"


def _name(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`"
