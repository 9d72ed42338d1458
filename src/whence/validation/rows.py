"""The same schema row by row: which rows break which rule, in a batch or in a whole version."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from whence.compute import Engine
from whence.errors import UsageError, WhenceError
from whence.validation.anomalies import parse_float, parse_int
from whence.validation.features import feature_type, jsonable
from whence.validation.schema import Schema
from whence.validation.states import is_utf8
from whence.validation.types import (
    AnomalyType,
    BoolDomain,
    Domain,
    Feature,
    FloatDomain,
    IntDomain,
    Rule,
    StringDomain,
    TimeDomain,
    as_micros,
    domain_fits,
)

RELATION: Final = "data"
_ROW: Final = "__whence_row"
_TOKENS: Final = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")+)"|([A-Za-z_][A-Za-z0-9_]*)""")

Mask = pa.BooleanArray
Column = pa.ChunkedArray


@dataclass(frozen=True, slots=True)
class RowTest:
    """One rule about the values of one column.

    Attributes:
        feature: The column.
        type: The anomaly a breach belongs to.
        bad: Column → which rows break it, no nulls.
        reason: Why, for one value.
        rejects: Whether one breach is a fault (not so where the schema tolerates a share of them).
    """

    feature: str
    type: AnomalyType
    bad: Callable[[Any], Any]
    reason: Callable[[Any], str]
    rejects: bool = True


def row_tests(schema: Schema, environment: str | None = None) -> list[RowTest]:
    """Every rule of the schema that speaks of single rows, column by column."""
    required = {f.name for f in schema.expected(environment)}
    return [t for f in schema if f.checked for t in _tests(schema, f, required=f.name in required)]


def _tests(schema: Schema, f: Feature, *, required: bool) -> Iterator[RowTest]:
    name = f.name
    if required and f.presence is not None and f.presence.min_fraction:
        yield RowTest(
            name,
            "FEATURE_TYPE_LOW_FRACTION_PRESENT",
            pc.is_null,
            lambda _v: f"{name} is missing",
            rejects=f.presence.min_fraction == 1.0,
        )
    v = f.value_count
    if v is not None and v.min is not None:
        least = v.min
        yield RowTest(
            name,
            "FEATURE_TYPE_LOW_NUMBER_VALUES",
            lambda c: _true(pc.less(_lengths(c), least)),
            lambda x: f"{name} has {_length(x)} values, at least {least} are asked for",
        )
    if v is not None and v.max is not None:
        most = v.max
        yield RowTest(
            name,
            "FEATURE_TYPE_HIGH_NUMBER_VALUES",
            lambda c: _true(pc.greater(_lengths(c), most)),
            lambda x: f"{name} has {_length(x)} values, at most {most} are allowed",
        )
    domain = schema.domain_of(f)
    if f.type == "STRING" or (f.type == "BYTES" and isinstance(domain, StringDomain)):
        yield RowTest(name, "ENUM_TYPE_INVALID_UTF8", _not_utf8, lambda _v: f"{name} is not UTF-8")
    if domain is not None and f.type is not None and domain_fits(domain, f.type):
        yield from _domain_tests(f, domain)


def _domain_tests(f: Feature, domain: Domain) -> Iterator[RowTest]:
    if isinstance(domain, StringDomain):
        yield _enum_test(f, domain.values)
    elif isinstance(domain, BoolDomain):
        yield from _bool_tests(f, domain)
    elif isinstance(domain, TimeDomain):
        yield from _range_tests(f, domain.min, domain.max, "TIME_TYPE_SMALL_TIME", "TIME_TYPE_BIG_TIME")
    elif isinstance(domain, IntDomain):
        if f.type != "INT":
            yield _parse_test(f, "INT_TYPE_NOT_INT_STRING", parse_int, "an integer")
        yield from _range_tests(f, domain.min, domain.max, "INT_TYPE_SMALL_INT", "INT_TYPE_BIG_INT")
    else:
        yield from _float_tests(f, domain)


def _float_tests(f: Feature, domain: FloatDomain) -> Iterator[RowTest]:
    if f.type != "FLOAT":
        yield _parse_test(f, "FLOAT_TYPE_STRING_NOT_FLOAT", parse_float, "a number")
    else:
        if domain.disallow_nan:
            yield RowTest(
                f.name,
                "FLOAT_TYPE_HAS_NAN",
                lambda c: _true(pc.is_nan(_floats(c))),
                lambda _v: f"{f.name} is NaN",
            )
        if domain.disallow_inf:
            yield RowTest(
                f.name,
                "FLOAT_TYPE_HAS_INF",
                lambda c: _true(pc.is_inf(_floats(c))),
                lambda _v: f"{f.name} is infinite",
            )
    yield from _range_tests(f, domain.min, domain.max, "FLOAT_TYPE_SMALL_FLOAT", "FLOAT_TYPE_BIG_FLOAT")


def _enum_test(f: Feature, values: Sequence[str]) -> RowTest:
    allowed = pa.array(values, pa.string()).cast(pa.binary())

    def bad(column: Any) -> Any:
        return _any_element(column, lambda c: _not_in(c.cast(pa.binary()), allowed))

    return RowTest(
        f.name,
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        bad,
        lambda v: f"{f.name} {jsonable_list(v)!r} is not in the domain",
        rejects=f.min_domain_mass == 1.0,
    )


def _bool_tests(f: Feature, domain: BoolDomain) -> Iterator[RowTest]:
    if f.type in ("STRING", "BYTES"):
        texts = [v for v in (domain.true_value, domain.false_value) if v is not None]
        if texts:
            test = _enum_test(f, texts)
            why = f"{f.name} %r is neither true nor false"
            yield RowTest(
                f.name, "BOOL_TYPE_UNEXPECTED_STRING", test.bad, lambda v: why % (jsonable_list(v),)
            )
    elif f.type == "INT":
        yield from _range_tests(f, 0, 1, "BOOL_TYPE_SMALL_INT", "BOOL_TYPE_BIG_INT")
    elif f.type == "FLOAT":
        yield RowTest(
            f.name,
            "BOOL_TYPE_UNEXPECTED_FLOAT",
            lambda c: _any_element(c, lambda x: _not_in(_floats(x), pa.array([0.0, 1.0]))),
            lambda v: f"{f.name} {jsonable_list(v)} is neither 0 nor 1",
        )


def _range_tests(f: Feature, low: Any, high: Any, small: AnomalyType, big: AnomalyType) -> Iterator[RowTest]:
    for bound, type_, compare, word in ((low, small, pc.less, "below"), (high, big, pc.greater, "above")):
        if bound is not None:
            yield _range_test(f, bound, type_, compare, word)


def _range_test(
    f: Feature, bound: Any, type_: AnomalyType, compare: Callable[..., Any], word: str
) -> RowTest:
    shown = jsonable(bound)
    text = f.type in ("STRING", "BYTES")
    parse = parse_int if type_.startswith("INT") else parse_float
    number = as_micros(bound) if f.type in ("TIMESTAMP", "DATE") else bound

    def bad(column: Any) -> Any:
        def over(values: Any) -> Any:
            numbers = _parsed(values, parse) if text else _comparable(values, f)
            return compare(numbers, pa.scalar(number))

        return _any_element(column, over)

    return RowTest(f.name, type_, bad, lambda v: f"{f.name} {jsonable_list(v)} is {word} {shown}")


def _parse_test(f: Feature, type_: AnomalyType, parse: Callable[[str], Any], what: str) -> RowTest:
    def bad(column: Any) -> Any:
        return _any_element(column, lambda c: pc.and_(pc.is_valid(c), pc.is_null(_parsed(c, parse))))

    return RowTest(f.name, type_, bad, lambda v: f"{f.name} {jsonable_list(v)!r} is not {what}")


# --- columns ------------------------------------------------------------------------------------


def _true(mask: Any) -> Any:
    """The mask with unknown as False."""
    return pc.fill_null(mask, False)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lengths(column: Any) -> Any:
    if _is_list(column.type):
        return pc.list_value_length(column)
    return pc.if_else(pc.is_null(column), pa.scalar(None, pa.int32()), pa.scalar(1, pa.int32()))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _any_element(column: Any, test: Callable[[Any], Any]) -> Any:
    """Rows with a bad value; for lists, rows with a bad element."""
    if not _is_list(column.type):
        return _true(test(column))
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    parents, values = pc.list_parent_indices(column), pc.list_flatten(column)
    hit = pc.unique(parents.filter(_any_element(values, test)))
    return pc.is_in(pa.array(range(len(column)), pa.int64()), value_set=hit.cast(pa.int64()))


def _not_in(values: Any, allowed: pa.Array) -> Any:
    """Values that are there and not among these; a null is no value."""
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=allowed)))


def _floats(values: Any) -> Any:
    return pc.add(pc.cast(values, pa.float64(), safe=False), 0.0)  # -0.0 becomes 0.0


def _comparable(values: Any, f: Feature) -> Any:
    if f.type == "TIMESTAMP":
        return values.cast(pa.timestamp("us", tz=values.type.tz), safe=False).cast(pa.int64())
    if f.type == "DATE":
        return pc.multiply(values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64()), 86_400_000_000)
    if pa.types.is_decimal(values.type) or pa.types.is_float16(values.type):
        return _floats(values)
    return values


def _parsed(values: Any, parse: Callable[[str], Any]) -> Any:
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    codes = array.dictionary_encode()
    numbers = [None if v is None else parse(jsonable(v)) for v in codes.dictionary.to_pylist()]
    kind = pa.int64() if parse is parse_int else pa.float64()
    if kind == pa.int64() and any(n is not None and abs(n) >= 2**63 for n in numbers):
        kind = pa.float64()  # beyond int64 the nearest double still lies on the right side of any bound
        numbers = [None if n is None else float(n) for n in numbers]
    return pa.array(numbers, kind).take(codes.indices)


def _not_utf8(column: Any) -> Any:
    def bad(values: Any) -> Any:
        raw = values.cast(pa.binary())
        try:
            raw.cast(pa.string())
        except pa.ArrowInvalid:
            return pa.array([v is not None and not is_utf8(v) for v in raw.to_pylist()])
        return pc.is_null(pc.if_else(pc.is_null(raw), pa.scalar(0), pa.scalar(0)))

    return _any_element(column, bad)


def jsonable_list(value: Any) -> Any:
    """A cell, or the cells of a list, as JSON says them."""
    return [jsonable(v) for v in value] if isinstance(value, list) else jsonable(value)


# --- a batch ------------------------------------------------------------------------------------


class RowCheck:
    """A schema as a check of batches: batch → (mask, reasons).

    The mask is True for rows that pass. A row that does not pass has a reason: every broken rule, in
    the order of the schema, joined by "; ". The verdicts are those of `validate_statistics` where it
    speaks of rows: a batch has such an anomaly exactly when some row does not pass. A required column
    that is absent or of another type fails every row; columns the schema does not know pass.

    Args:
        schema: The rules.
        environment: As in `validate_statistics`.
        engine: Runs the SQL of the schema's row rules; only needed when there are some.

    Attributes:
        ref: The kept schema the rules are from, such as ``schema:flights@3``; None for one given by hand.

    Raises:
        UsageError: The schema has row rules and no engine is given (``rule-needs-engine``).
    """

    def __init__(
        self, schema: Schema, environment: str | None = None, *, engine: Engine | None = None
    ) -> None:
        self.schema = schema
        self.environment = environment
        self.ref: str | None = None
        self._engine = engine
        self._tests = [t for t in row_tests(schema, environment) if t.rejects]
        self._rules = rules_in(schema, environment)
        self._required = [f for f in schema.expected(environment) if f.required]
        if self._rules and engine is None:
            raise UsageError(
                f"rule {self._rules[0].name!r} is SQL and no engine is given", code="rule-needs-engine"
            )

    def __call__(self, batch: pa.RecordBatch | pa.Table, /) -> tuple[list[bool], list[str | None]]:
        """Judge every row of a batch.

        Returns:
            A mask (True: passes) and reasons (None where it passes), both as long as the batch.

        Raises:
            UsageError: A row rule is no valid expression on these columns (``bad-rule``).
        """
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        reasons: dict[int, list[str]] = {}
        wrong = self._wrong_columns(table, reasons)
        for test in self._tests:
            if test.feature in table.column_names and test.feature not in wrong:
                _note(table.column(test.feature), test, reasons)
        for rule in self._rules:
            if rule_applies(rule, self.schema, table.column_names):
                assert self._engine is not None
                for row in breaches(self._engine, table, rule):
                    reasons.setdefault(row, []).append(f"rule {rule.name!r} does not hold")
        mask = [True] * table.num_rows
        texts: list[str | None] = [None] * table.num_rows
        for row, broken in reasons.items():
            mask[row], texts[row] = False, "; ".join(broken)
        return mask, texts

    def _wrong_columns(self, table: pa.Table, reasons: dict[int, list[str]]) -> set[str]:
        for f in self._required:
            if f.name not in table.column_names:
                _all(table, reasons, f"the column {f.name} is missing")
        wrong = set()
        for f in self.schema:
            if not f.checked or f.name not in table.column_names:
                continue
            kind = table.schema.field(f.name).type
            if not pa.types.is_null(kind) and feature_type(kind) != f.type:
                wrong.add(f.name)
                if table.column(f.name).null_count < table.num_rows:
                    _all(table, reasons, f"{f.name} is {feature_type(kind)}, the schema says {f.type}")
        return wrong


def _all(table: pa.Table, reasons: dict[int, list[str]], text: str) -> None:
    for row in range(table.num_rows):
        reasons.setdefault(row, []).append(text)


def _note(column: Any, test: RowTest, reasons: dict[int, list[str]]) -> None:
    for row in _indices(test.bad(column)):
        reasons.setdefault(row, []).append(test.reason(_value(column, row)))


def _indices(mask: Any) -> list[int]:
    if isinstance(mask, pa.ChunkedArray):
        mask = mask.combine_chunks()
    return list(pc.indices_nonzero(mask).to_pylist())


def _value(column: Any, row: int) -> Any:
    try:
        return column[row].as_py()
    except UnicodeDecodeError:
        return column[row].cast(pa.binary()).as_py()


# --- rules in SQL -------------------------------------------------------------------------------


def rules_in(schema: Schema, environment: str | None) -> list[Rule]:
    """The row rules that hold in an environment."""
    return [
        r for r in schema.rules if environment is None or not r.environments or environment in r.environments
    ]


def rule_columns(rule: Rule, schema: Schema) -> set[str]:
    """The columns of the schema a rule names.

    Example:
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
        UsageError: It is no valid expression on these columns (``bad-rule``).
    """
    if not table.num_rows:
        return []
    numbered = table.append_column(_ROW, pa.array(range(table.num_rows), pa.int64()))
    sql = f'SELECT "{_ROW}" FROM {RELATION} WHERE NOT ({rule.sql}) ORDER BY 1'
    try:
        return list(engine.query(sql, {RELATION: numbered}).column(0).to_pylist())
    except UsageError as error:
        raise bad_rule(rule, error) from error


def bad_rule(rule: Rule, error: WhenceError) -> UsageError:
    """The error of a rule the engine cannot run."""
    return UsageError(
        f"rule {rule.name!r} cannot be run: {error.message}", code="bad-rule", details={"sql": rule.sql}
    )
