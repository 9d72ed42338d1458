"""The language in which runs are searched.

::

    condition  = or
    or         = and ("OR" and)*
    and        = not ("AND" not)*
    not        = "NOT" not | "(" or ")" | comparison
    comparison = field op literal | field ["NOT"] "IN" "(" literal, … ")" | field "IS" ["NOT"] "NULL"
    op         = "=" "==" "!=" "<>" "<" "<=" ">" ">=" "LIKE"
    field      = ("metrics" | "params" | "tags" | "attributes") "." key | attribute
    key        = name of letters, digits, _ - . / :   or "quoted" or `quoted`
    attribute  = uid type name experiment state started_at
    literal    = 'text' | number | NaN-free

A metric is compared by its latest value, with numbers; a param with a number by its number, with text
by its text; times with ISO 8601 text. What a run has not is compared with nothing: such a comparison
does not hold, ``!=`` included; ``IS NULL`` asks for it. NaN holds in no comparison.

Source:
    MLflow's search grammar. Differs: OR, NOT, IN for everything, numbers for params.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NoReturn, Protocol, TypeAlias, cast

from whence._base.clock import utc
from whence.errors import UsageError, near_names
from whence.tracking.types import to_us

FieldKind: TypeAlias = Literal["metric", "param", "tag", "attribute"]
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE", "IN", "IS NULL"]

ATTRIBUTES: Final = ("experiment", "name", "started_at", "state", "type", "uid")
_KINDS: Final[dict[str, FieldKind]] = {
    "metrics": "metric",
    "metric": "metric",
    "params": "param",
    "param": "param",
    "tags": "tag",
    "tag": "tag",
    "attributes": "attribute",
    "attribute": "attribute",
}
_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*"|`[^`]*`)
    | (?P<op><=|>=|<>|!=|==|=|<|>)
    | (?P<mark>[(),.])
    | (?P<word>[\w/:-]+(?:\.[\w/:-]+)*)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared: a metric, param or tag by key, or an attribute of the run."""

    kind: FieldKind
    key: str


@dataclass(frozen=True, slots=True)
class Predicate:
    """One comparison. `values` holds numbers, or text; times are numbers of microseconds."""

    field: Field
    op: Operator
    values: tuple[float | str, ...] = ()


@dataclass(frozen=True, slots=True)
class All:
    """Each part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


Condition: TypeAlias = Predicate | All | Some | Not


@dataclass(frozen=True, slots=True)
class Order:
    """By what runs are ordered."""

    field: Field
    descending: bool = False


def parse_filter(text: str | None) -> Condition | None:
    """The condition that `text` states; None when it is empty.

    Raises:
        UsageError: It is not of the language (``bad-filter``); the message says where.

    Example:
        >>> parse_filter("metrics.auc > 0.7")
        Predicate(field=Field(kind='metric', key='auc'), op='>', values=(0.7,))
    """
    if text is None or not text.strip():
        return None
    parser = _Parser(text)
    condition = parser.either()
    parser.end()
    return condition


def parse_order(text: str) -> Order:
    """``metrics.auc DESC`` as an order.

    Raises:
        UsageError: It is not of the language (``bad-filter``).

    Example:
        >>> parse_order("metrics.auc DESC").descending
        True
    """
    parser = _Parser(text)
    field = parser.field()
    descending = parser.word("DESC")
    if not descending:
        parser.word("ASC")
    parser.end()
    return Order(field, descending)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0

    # -- grammar -------------------------------------------------------------------------------

    def either(self) -> Condition:
        return self._joined(self.both, "OR", Some)

    def both(self) -> Condition:
        return self._joined(self.single, "AND", All)

    def _joined(
        self, part: Callable[[], Condition], word: str, build: Callable[[tuple[Condition, ...]], Condition]
    ) -> Condition:
        parts = [part()]
        while self.word(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else build(tuple(parts))

    def single(self) -> Condition:
        if self.word("NOT"):
            return Not(self.single())
        if self.mark("("):
            inner = self.either()
            self.need(")")
            return inner
        return self.comparison()

    def comparison(self) -> Condition:
        field = self.field()
        if self.word("IS"):
            negated = self.word("NOT")
            if not self.word("NULL"):
                self.fail("NULL")
            return _negated(Predicate(field, "IS NULL"), negated)
        if self.word("NOT"):
            if not self.word("IN"):
                self.fail("IN")
            return Not(self._among(field))
        if self.word("IN"):
            return self._among(field)
        if self.word("LIKE"):
            value = self.literal(field)
            if not isinstance(value, str):
                self.fail("text after LIKE", back=1)
            return Predicate(field, "LIKE", (value,))
        kind, token, _ = self.peek()
        if kind != "op":
            self.fail("=, !=, <, <=, >, >=, LIKE, IN or IS")
        self.at += 1
        op = {"==": "=", "<>": "!="}.get(token, token)
        return Predicate(field, cast("Operator", op), (self.literal(field),))

    def _among(self, field: Field) -> Predicate:
        self.need("(")
        values = [self.literal(field)]
        while self.mark(","):
            values.append(self.literal(field))
        self.need(")")
        return Predicate(field, "IN", tuple(values))

    def field(self) -> Field:
        kind, token, _ = self.peek()
        if kind != "word":
            self.fail("metrics.…, params.…, tags.… or an attribute")
        self.at += 1
        head, dot, key = token.partition(".")
        if not dot and self.mark("."):
            kind, quoted, _ = self.peek()
            if kind != "quoted":
                self.fail("a key")
            self.at += 1
            dot, key = ".", quoted[1:-1].replace('""', '"')
        if not dot:
            return Field("attribute", self._attribute(head))
        if head not in _KINDS or not key:
            self.fail("metrics., params., tags. or attributes.", back=1)
        if _KINDS[head] == "attribute":
            return Field("attribute", self._attribute(key))
        return Field(_KINDS[head], key)

    def _attribute(self, name: str) -> str:
        if name not in ATTRIBUTES:
            raise UsageError(
                f"runs have no attribute {name!r}",
                code="bad-filter",
                near=near_names(name, ATTRIBUTES),
                hint="write metrics.…, params.…, tags.… or one of " + ", ".join(ATTRIBUTES),
            )
        return name

    def literal(self, field: Field) -> float | str:
        kind, token, _ = self.peek()
        if kind not in ("number", "text"):
            self.fail("a number or 'text'")
        self.at += 1
        if field.kind == "metric" and kind != "number":
            self.fail("a number to compare a metric with", back=1)
        if field.kind in ("tag", "attribute") and kind != "text":
            self.fail("'text'", back=1)
        if kind == "number":
            return float(token)
        text = token[1:-1].replace("''", "'")
        return float(_moment(text)) if field == Field("attribute", "started_at") else text

    # -- tokens --------------------------------------------------------------------------------

    def peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def word(self, word: str) -> bool:
        kind, token, _ = self.peek()
        if kind == "word" and token.upper() == word:
            self.at += 1
            return True
        return False

    def mark(self, mark: str) -> bool:
        kind, token, _ = self.peek()
        if kind == "mark" and token == mark:
            self.at += 1
            return True
        return False

    def need(self, mark: str) -> None:
        if not self.mark(mark):
            self.fail(mark)

    def end(self) -> None:
        if self.at < len(self.tokens):
            self.fail("AND, OR or the end")

    def fail(self, wanted: str, *, back: int = 0) -> NoReturn:
        self.at -= back
        _, token, position = self.peek()
        seen = repr(token) if token else "the end"
        raise UsageError(
            f"in {self.text!r} at {position}: {wanted} is wanted, found {seen}",
            code="bad-filter",
            hint="for example: metrics.auc > 0.7 and params.depth = '6'",
        )


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise UsageError(f"in {text!r} at {at}: cannot read {text[at : at + 10]!r}", code="bad-filter")
        found.append((match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
        at = match.end()
    return found


def _negated(condition: Condition, negated: bool) -> Condition:  # it is a fact, not a flag
    return Not(condition) if negated else condition


def _moment(text: str) -> int:
    try:
        return to_us(utc(datetime.fromisoformat(text)))
    except ValueError as error:
        raise UsageError(f"{text!r} is not an ISO 8601 time", code="bad-filter") from error


def like_pattern(pattern: str) -> re.Pattern[str]:
    """LIKE as a regular expression: ``%`` any text, ``_`` one character, case matters."""
    parts = [{"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern]
    return re.compile("".join(parts), re.DOTALL)


class RunFacts(Protocol):
    """What a condition asks of a run."""

    def value(self, field: Field) -> float | str | None:
        """The value to compare: a metric's number, a text, or None when the run has it not."""
        ...

    def number(self, field: Field) -> float | None:
        """A param's number, None when it is none."""
        ...


def holds(condition: Condition, run: RunFacts) -> bool:
    """Whether a run meets a condition: the meaning of the language, which every backend must give."""
    if isinstance(condition, All):
        return all(holds(part, run) for part in condition.parts)
    if isinstance(condition, Some):
        return any(holds(part, run) for part in condition.parts)
    if isinstance(condition, Not):
        return not holds(condition.part, run)
    if condition.op == "IS NULL":
        return run.value(condition.field) is None
    return any(_compare(condition, value, run) for value in condition.values)


def _compare(condition: Predicate, want: float | str, run: RunFacts) -> bool:
    by_number = condition.field.kind == "param" and not isinstance(want, str)
    have = run.number(condition.field) if by_number else run.value(condition.field)
    if have is None or have != have:  # NaN
        return False
    if condition.op == "LIKE":
        return like_pattern(str(want)).fullmatch(str(have)) is not None
    return _OPERATORS[condition.op](have, want)


_OPERATORS: Final[dict[str, Callable[[object, object], bool]]] = {
    "=": operator.eq,
    "IN": operator.eq,
    "!=": operator.ne,
    "<": cast("Callable[[object, object], bool]", operator.lt),
    "<=": cast("Callable[[object, object], bool]", operator.le),
    ">": cast("Callable[[object, object], bool]", operator.gt),
    ">=": cast("Callable[[object, object], bool]", operator.ge),
}
