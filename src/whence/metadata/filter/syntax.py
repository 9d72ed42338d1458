"""From text to tree, by precedence.

::

    filter   = or
    or       = and {"OR" and}
    and      = not {"AND" not}
    not      = "NOT" not | test
    test     = sum [ op sum | ["NOT"] "IN" "(" literal {"," literal} ")"
                   | ["NOT"] ("LIKE" | "ILIKE") text ["ESCAPE" text]
                   | ["NOT"] "BETWEEN" sum "AND" sum | "IS" ["NOT"] "NULL" ]
    op       = "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    sum      = product {("+" | "-") product}
    product  = sign {("*" | "/") sign}
    sign     = ["-"] value
    value    = literal | walk | search | count | fold | call | field | "(" or ")"
    walk     = ("ancestor" | "descendant" | "input" | "output" | "producer" | "consumer")
               "(" or ["," "hops" "=" whole number] ")"
    search   = "SEARCH" "(" text ")"
    count    = "COUNT" "(" several ["WHERE" or] ")"
    fold     = ("MIN" | "MAX" | "AVG" | "SUM") "(" several "." own ["WHERE" or] ")"
    call     = ("LOWER" | "UPPER" | "LENGTH" | "ABS") "(" or ")"
    several  = "contexts" | "artifacts" | "executions" | "events" | "inputs" | "outputs"
               | "parent_contexts" | "child_contexts"
    field    = [several "_" word "."] own
    own      = column | "stats" "." name
               | ("properties" | "custom_properties") "." name
                 ["." ("int_value" | "double_value" | "string_value" | "bool_value")]
    name     = word | "`" characters, "`" doubled "`"
    literal  = ["-"] number | text | "TRUE" | "FALSE" | "NULL" | STATE | "TIMESTAMP" text

Keywords and functions may be written in any case; a state or kind of event is an upper-case word.

Source:
    ML Metadata's ``filter_query`` (ZetaSQL expressions). Differs: the short form of properties, walks,
    aggregates, ILIKE and SEARCH are ours; CASE, CAST and ``||`` are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeVar, get_args

from whence.metadata.filter.tokens import Token, bad_filter, read_tokens
from whence.metadata.filter.types import (
    AliasField,
    And,
    Arith,
    ArithOp,
    Between,
    Call,
    Column,
    Compare,
    CompareOp,
    Constant,
    Count,
    Expr,
    Filter,
    Fold,
    FoldName,
    FunctionName,
    In,
    IsNull,
    Like,
    Minus,
    Moment,
    Not,
    Or,
    Property,
    Relation,
    Search,
    Span,
    StatsField,
    Suffix,
    Walk,
    WalkName,
    Word,
)

# SQLite's parser keeps at most 100 symbols (YYSTACKDEPTH), and a level of ours may need two of its own.
MAX_LEVELS: Final = 32

# A pattern of these many characters stays below SQLite's limit (SQLITE_MAX_LIKE_PATTERN_LENGTH, 50,000 bytes),
# each of them escaped.
MAX_PATTERN: Final = 10_000

RELATIONS: Final[tuple[Relation, ...]] = get_args(Relation)
SUFFIXES: Final[tuple[Suffix, ...]] = get_args(Suffix)
_WALKS: Final[dict[str, WalkName]] = {name: name for name in get_args(WalkName)}
_FOLDS: Final[dict[str, FoldName]] = {name: name for name in get_args(FoldName)}
_FUNCTIONS: Final[dict[str, FunctionName]] = {name: name for name in get_args(FunctionName)}
_OPS: Final[dict[str, CompareOp]] = {
    "=": "=",
    "==": "=",
    "!=": "!=",
    "<>": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
_SIGNS: Final[dict[str, tuple[int, ArithOp]]] = {"+": (5, "+"), "-": (5, "-"), "*": (6, "*"), "/": (6, "/")}
_KEYWORDS: Final = frozenset(
    ["AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "ESCAPE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE", "WHERE"]
)
# What ML Metadata reads and cannot run, and what people try.
_FOREIGN: Final = {
    "REGEXP_CONTAINS": "LIKE",
    "STARTS_WITH": "LIKE 'text%'",
    "ENDS_WITH": "LIKE '%text'",
    "CONCAT": "LIKE",
    "CAST": "the suffix of a property: .int_value",
}
_TESTS: Final = frozenset(["NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "IS"])
_OR, _AND, _NOT, _TEST = 1, 2, 3, 4

T = TypeVar("T")


def parse_filter(text: str) -> Filter:
    """Read a filter; what its names mean is not looked at yet.

    Raises:
        UsageError: It is not of the language (``bad-filter``); the message shows the place.

    Example:
        >>> parse_filter("type = 'Model' AND COUNT(contexts) > 1").tree
        And(parts=(Compare(op='=', left=Column(name='type'), right=Constant(value='Model')),
            Compare(op='>', left=Count(relation='contexts', where=None), right=Constant(value=1))))
        >>> parse_filter("name =")
        Traceback (most recent call last):
            ...
        whence.errors.UsageError: line 1, column 7: expected a value, found the end
          name =
                ^ (bad-filter)
    """
    parser = _Parser(text)
    if parser.at("end"):
        raise bad_filter(text, Span(0, 0), "a filter without a condition")
    tree = parser.expression(_OR)
    if not parser.at("end"):
        parser.refuse("AND, OR or the end")
    return Filter(text, tree)


class _Parser:
    """Top-down operator precedence (V. Pratt, 1973): few calls a level, so that depth is ours to limit."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = read_tokens(text)
        self._next = 0
        self._level = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def at(self, kind: str) -> bool:
        """Whether the next word is of this kind."""
        return self._token.kind == kind

    def refuse(self, expected: str, *, hint: str | None = None) -> NoReturn:
        """The next word is not what may stand here."""
        token = self._token
        found = "the end" if token.kind == "end" else self._text[token.span.offset :][: token.span.length]
        raise bad_filter(self._text, token.span, f"expected {expected}, found {found:.60}", hint=hint)

    def expression(self, least: int) -> Expr:
        """The longest expression from here whose operators hold at least this tightly."""
        self._level += 1
        if self._level > MAX_LEVELS:
            raise bad_filter(self._text, self._token.span, f"more than {MAX_LEVELS} levels are nested")
        begin = self._token.span.offset
        left, height = self._prefix(least), 0
        while (longer := self._longer(left, least, begin)) is not None:
            left, height = longer, height + 1
            # Each operator of a chain lies one deeper in the tree than the one behind it.
            if self._level + height > MAX_LEVELS:
                raise bad_filter(
                    self._text, self._token.span, f"more than {MAX_LEVELS} operators in one chain"
                )
        self._level -= 1
        return left

    def _longer(self, left: Expr, least: int, begin: int) -> Expr | None:
        """`left` and the operator behind it; None when there is none that holds tightly enough."""
        token = self._token
        if token.kind == "mark" and token.value in _SIGNS:
            tightness, sign = _SIGNS[token.value]
            if tightness < least or self._is_open(left, begin):
                return None
            self._step()
            return self._placed(Arith(sign, left, self.expression(tightness + 1)), begin)
        if least <= _TEST and self._begins_test():
            return None if self._is_open(left, begin) else self._test(left, begin)
        if least <= _AND and self._is("AND"):
            return self._placed(And(self._chain(left, "AND", _NOT)), begin)
        if least <= _OR and self._is("OR"):
            return self._placed(Or(self._chain(left, "OR", _AND)), begin)
        return None

    def _is_open(self, left: Expr, begin: int) -> bool:
        """Whether `left` is a condition without parentheses: nothing is added to it or compared with it."""
        return left.span.offset == begin and isinstance(
            left, And | Or | Not | Compare | In | Like | Between | IsNull
        )

    def _chain(self, first: Expr, word: str, least: int) -> tuple[Expr, ...]:
        parts = [first]
        while self._take(word):
            parts.append(self.expression(least))
        return tuple(parts)

    def _prefix(self, least: int) -> Expr:
        begin = self._token.span.offset
        if least <= _NOT and self._take("NOT"):
            return self._placed(Not(self.expression(_NOT)), begin)
        if self._take_mark("-"):
            number = self._token.kind == "number"
            value = self._value() if number else self.expression(7)
            if number:
                assert isinstance(value, Constant)
                assert isinstance(value.value, int | float)
                value = self._placed(Constant(-value.value), begin)
                return self._checked_number(value)
            return self._placed(Minus(value), begin)
        value = self._value()
        return self._checked_number(value) if isinstance(value, Constant) else value

    def _checked_number(self, value: Constant) -> Constant:
        number = value.value
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise bad_filter(self._text, value.span, "a whole number has at most 64 bits")
        return value

    def _begins_test(self) -> bool:
        token = self._token
        if token.kind == "mark":
            return token.value in _OPS
        return token.kind == "word" and token.value.upper() in _TESTS

    def _test(self, left: Expr, begin: int) -> Expr:
        token = self._token
        if token.kind == "mark" and token.value in _OPS:
            self._step()
            return self._placed(Compare(_OPS[token.value], left, self.expression(_TEST + 1)), begin)
        if self._take("IS"):
            negated = self._take("NOT")
            if not self._take("NULL"):
                self.refuse("NULL")
            return self._placed(IsNull(left, negated), begin)
        negated = self._take("NOT")
        if self._take("IN"):
            self._mark("(")
            options = self._separated(self._literal)
            self._mark(")")
            return self._placed(In(left, options, negated), begin)
        if self._take("BETWEEN"):
            low = self.expression(_TEST + 1)
            if not self._take("AND"):
                self.refuse("AND and the upper end")
            return self._placed(Between(left, low, self.expression(_TEST + 1), negated), begin)
        if not (self._is("LIKE") or self._is("ILIKE")):
            self.refuse("IN, LIKE, ILIKE or BETWEEN")
        folded = self._word().value.upper() == "ILIKE"
        pattern, escape = self._pattern()
        return self._placed(Like(left, pattern, escape, negated, folded), begin)

    def _pattern(self) -> tuple[str, str | None]:
        token = self._text_token("a pattern in quotes")
        pattern, escape = token.value, None
        if len(pattern) > MAX_PATTERN:
            raise bad_filter(self._text, token.span, f"a pattern has at most {MAX_PATTERN:,} characters")
        if self._take("ESCAPE"):
            sign = self._text_token("one character in quotes")
            escape = sign.value
            if len(escape) != 1:
                raise bad_filter(self._text, sign.span, "ESCAPE takes one character")
            if (len(pattern) - len(pattern.rstrip(escape))) % 2:
                raise bad_filter(self._text, token.span, "the pattern ends with its escape character")
        return pattern, escape

    def _literal(self) -> Constant | Word | Moment:
        if not (self._token.kind in ("number", "text", "word") or self._token.value == "-"):
            self.refuse("a literal")
        place = self._token.span
        value = self._prefix(7)
        if not isinstance(value, Constant | Word | Moment):
            raise bad_filter(self._text, place, "expected a literal", hint="compare with = and OR")
        return value

    def _value(self) -> Expr:
        token = self._token
        if token.kind == "number":
            self._step()
            return Constant(self._number(token), span=token.span)
        if token.kind == "text":
            self._step()
            return Constant(token.value, span=token.span)
        if self._take_mark("("):
            inside = self.expression(_OR)
            self._mark(")")
            return inside
        if token.kind != "word" or (
            token.value.upper() in _KEYWORDS and token.value.upper() not in ("NULL", "TRUE", "FALSE")
        ):
            hint = "write a condition with AND and OR" if token.value.upper() == "CASE" else None
            self.refuse("a value", hint=hint)
        self._step()
        return self._worded(token)

    def _number(self, token: Token) -> int | float:
        if token.value.isdigit():
            if len(token.value) > 40:
                raise bad_filter(self._text, token.span, "a whole number has at most 64 bits")
            return int(token.value)
        value = float(token.value)
        if not math.isfinite(value):
            raise bad_filter(self._text, token.span, "the number is too large for a double")
        return value

    def _worded(self, token: Token) -> Expr:
        upper, begin = token.value.upper(), token.span.offset
        if upper in ("TRUE", "FALSE", "NULL"):
            value = None if upper == "NULL" else upper == "TRUE"
            return Constant(value, span=token.span)
        if upper == "TIMESTAMP" and self._token.kind == "text":
            return self._moment(begin)
        if self._take_mark("("):
            return self._called(token)
        if self._token.kind == "mark" and self._token.value == ".":
            return self._dotted(token)
        # `ID` may be a column as well: what it is shows when it is bound.
        return Word(token.value, span=token.span) if token.value.isupper() else self._column(token)

    def _column(self, token: Token) -> Column:
        return Column(token.value, span=token.span)

    def _moment(self, begin: int) -> Moment:
        token = self._text_token("a time in quotes")
        try:
            at = datetime.fromisoformat(token.value)
            aware = at.tzinfo is not None
            return self._placed(Moment(at.astimezone(UTC)), begin) if aware else self._no_zone(token)
        except (ValueError, OverflowError):
            raise bad_filter(
                self._text, token.span, "this is no time", hint="write 2026-05-03T12:00:00Z"
            ) from None

    def _no_zone(self, token: Token) -> NoReturn:
        raise bad_filter(self._text, token.span, "a time names its zone", hint="write Z behind it, or +02:00")

    def _called(self, token: Token) -> Expr:
        lower, upper, begin = token.value.lower(), token.value.upper(), token.span.offset
        made: Expr
        if lower in _WALKS:
            made = self._walk(_WALKS[lower])
        elif upper == "COUNT":
            made = Count(self._relation(self._word_of_name()), self._where())
        elif upper in _FOLDS:
            made = self._fold(_FOLDS[upper])
        elif upper in _FUNCTIONS:
            made = Call(_FUNCTIONS[upper], self.expression(_OR))
        elif upper == "SEARCH":
            made = Search(self._text_token("words in quotes").value)
        else:
            known = sorted([*_WALKS, *_FOLDS, *_FUNCTIONS, "COUNT", "SEARCH"], key=str.lower)
            hint = f"use {_FOREIGN[upper]}" if upper in _FOREIGN else "there are " + ", ".join(known)
            raise bad_filter(self._text, token.span, f"{token.value} is no function", hint=hint)
        self._mark(")")
        return self._placed(made, begin)

    def _walk(self, name: WalkName) -> Walk:
        inside, hops = self.expression(_OR), None
        if self._take_mark(","):
            if not self._take("hops"):
                self.refuse("hops = a number")
            self._mark("=")
            token = self._token
            if token.kind != "number" or not token.value.isdigit() or not 0 < int(token.value[:20]) < 2**31:
                self.refuse("a whole number of at least 1")
            self._step()
            hops = int(token.value)
            if name not in ("ancestor", "descendant"):
                raise bad_filter(
                    self._text,
                    token.span,
                    f"{name}(…) is one event away",
                    hint="ancestor and descendant take hops",
                )
        return Walk(name, inside, hops)

    def _fold(self, name: FoldName) -> Fold:
        relation = self._relation(self._word_of_name())
        self._mark(".")
        return Fold(name, relation, self._own(self._word_of_name()), self._where())

    def _where(self) -> Expr | None:
        return self.expression(_OR) if self._take("WHERE") else None

    def _relation(self, token: Token) -> Relation:
        for relation in RELATIONS:
            if relation == token.value:
                return relation
        raise bad_filter(
            self._text, token.span, f"{token.value} are no neighbours", hint="one of " + ", ".join(RELATIONS)
        )

    def _dotted(self, token: Token) -> AliasField | Property | StatsField:
        begin = token.span.offset
        if token.value in ("properties", "custom_properties", "stats"):
            own = self._own(token)
            assert not isinstance(own, Column)
            return own
        for relation in RELATIONS:
            if token.value.startswith(relation + "_") and len(token.value) > len(relation) + 1:
                self._mark(".")
                field = self._own(self._word_of_name())
                return self._placed(AliasField(relation, token.value[len(relation) + 1 :], field), begin)
        hint = "properties., custom_properties., stats. or a neighbour as in contexts_a."
        if token.value in RELATIONS:
            hint = f"give the neighbour a name: {token.value}_a."
        raise bad_filter(self._text, token.span, f"{token.value} has no parts", hint=hint)

    def _own(self, token: Token) -> Column | Property | StatsField:
        begin = token.span.offset
        if token.value == "stats":
            self._mark(".")
            return self._placed(StatsField(self._word_of_name(quoted=True).value), begin)
        for part in ("properties", "custom_properties"):
            if token.value == part:
                self._mark(".")
                name = self._word_of_name(quoted=True).value
                return self._placed(Property(part, name, self._suffix()), begin)
        return self._column(token)

    def _suffix(self) -> Suffix | None:
        if not self._take_mark("."):
            return None
        token = self._word_of_name()
        for suffix in SUFFIXES:
            if token.value == suffix:
                return suffix
        raise bad_filter(
            self._text,
            token.span,
            f"{token.value} is no kind of value",
            hint="one of " + ", ".join(SUFFIXES) + "; a name with a dot stands in backquotes",
        )

    def _word_of_name(self, *, quoted: bool = False) -> Token:
        if not (self._token.kind == "word" or (quoted and self._token.kind == "name")):
            self.refuse("a name")
        return self._word()

    def _text_token(self, what: str) -> Token:
        if self._token.kind != "text":
            self.refuse(what)
        return self._word()

    def _word(self) -> Token:
        token = self._token
        self._step()
        return token

    def _separated(self, one: Callable[[], T]) -> tuple[T, ...]:
        parts = [one()]
        while self._take_mark(","):
            parts.append(one())
        return tuple(parts)

    def _is(self, word: str) -> bool:
        return self._token.kind == "word" and self._token.value.upper() == word.upper()

    def _take(self, word: str) -> bool:
        found = self._is(word)
        self._next += found
        return found

    def _take_mark(self, mark: str) -> bool:
        found = self._token.kind == "mark" and self._token.value == mark
        self._next += found
        return found

    def _mark(self, mark: str) -> None:
        if not self._take_mark(mark):
            self.refuse(mark)

    def _step(self) -> None:
        self._next += 1

    def _placed(self, made: T, begin: int) -> T:
        last = self._tokens[self._next - 1].span
        # The tree is being made: nobody has seen this part yet.
        object.__setattr__(made, "span", Span(begin, last.offset + last.length - begin))
        return made
