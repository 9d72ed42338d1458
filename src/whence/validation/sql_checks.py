"""Row tests as SQL: one scan gives for every test the rows that break it, and no other row leaves the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.refs import row_key
from whence.compute import Engine, Relation, quoted, text_literal
from whence.validation.arrow_checks import broken_rows, open_cells
from whence.validation.cells import element_type, feature_type, is_list
from whence.validation.patterns import INTEGER, NUMBER
from whence.validation.rowtests import STRUCTURAL, RowTest
from whence.validation.types import type_accepts

RELATION: Final = "data"
EXAMPLES: Final = 5
_MOST_A_BATCH: Final = 1_000
_NONE: Final = "FALSE"
_KEY: Final = "__whence_key_"
_TEST: Final = "__whence_test_"


@dataclass(slots=True)
class BadRows:
    """The rows that break a test.

    Attributes:
        n: How many.
        keys: Some of their keys as text, the smallest ones.
    """

    n: int = 0
    keys: list[str] = field(default_factory=list)

    def note(self, n: int, keys: Sequence[str]) -> None:
        """Take in more; files are read in any order, so the smallest keys are kept."""
        self.n += n
        self.keys = sorted([*self.keys, *keys])[:EXAMPLES]


def relation_schema(relation: Relation) -> pa.Schema:
    """The columns of a relation."""
    return relation.schema


def bad_rows(
    tests: Sequence[RowTest], relation: Relation, engine: Engine, *, key: Sequence[str] = ()
) -> dict[RowTest, BadRows]:
    """How many rows break each test, with example keys; see `Plan.count`."""
    schema = relation_schema(relation)
    told = {t: BadRows() for t in tests if t.steps[0] in schema.names}
    spelled = {t: s for t in told if (s := condition(t, schema, engine.dialect)) is not None}
    asked = {t: s for t, s in spelled.items() if s != _NONE}
    if asked:
        _ask(asked, relation, engine, key, told)
    rest = [t for t in told if t not in spelled]
    if rest:
        _read(rest, relation, engine, key, told)
    return told


def untold(tests: Sequence[RowTest], schema: pa.Schema, dialect: str) -> list[RowTest]:
    """The tests of columns that are there for which there is no SQL."""
    return [t for t in tests if t.steps[0] in schema.names and condition(t, schema, dialect) is None]


def _ask(
    asked: Mapping[RowTest, str],
    relation: Relation,
    engine: Engine,
    key: Sequence[str],
    told: Mapping[RowTest, BadRows],
) -> None:
    each = [f"coalesce({sql}, FALSE) AS {_TEST}{i}" for i, sql in enumerate(asked.values())]
    keys = [f"{quoted(c)} AS {_KEY}{i}" for i, c in enumerate(key)]
    some = " OR ".join(f"{_TEST}{i}" for i in range(len(asked)))
    inner = f"SELECT {', '.join([*each, *keys])} FROM {RELATION}"
    if not key:
        counts = ", ".join(f"count(CASE WHEN {_TEST}{i} THEN 1 END)" for i in range(len(asked)))
        row = engine.query(f"SELECT {counts} FROM ({inner}) AS tested", {RELATION: relation})
        for i, test in enumerate(asked):
            told[test].n += row.column(i)[0].as_py()
        return
    for batch in engine.stream(f"SELECT * FROM ({inner}) AS tested WHERE {some}", {RELATION: relation}):
        for i, test in enumerate(asked):
            mask = batch.column(i)
            n = pc.sum(mask).as_py() or 0
            if n:
                at = pc.indices_nonzero(mask)[:_MOST_A_BATCH]
                columns = [batch.column(len(asked) + j).take(at).to_pylist() for j in range(len(key))]
                told[test].note(n, [row_key(k) for k in zip(*columns, strict=True)])


def _read(
    rest: Sequence[RowTest],
    relation: Relation,
    engine: Engine,
    key: Sequence[str],
    told: Mapping[RowTest, BadRows],
) -> None:
    """Judge by Arrow what has no SQL: only its columns are read."""
    columns = list(dict.fromkeys([*(t.steps[0] for t in rest), *key]))
    listed = ", ".join(map(quoted, columns))
    batches: Any
    if isinstance(relation, pa.Table):
        batches = relation.select(columns).to_batches()
    else:
        batches = engine.stream(f"SELECT {listed} FROM {RELATION}", {RELATION: relation})
    for batch in batches:
        for test in rest:
            mask = pa.array(broken_rows(test, open_cells(batch.column(test.steps[0]), test.steps[1:])))
            n = pc.sum(mask).as_py() or 0
            if n:
                at = pc.indices_nonzero(mask)[:_MOST_A_BATCH]
                cells = [batch.column(c).take(at).to_pylist() for c in key]
                told[test].note(n, [row_key(k) for k in zip(*cells, strict=True)] if key else [])


# --- a test as a condition -----------------------------------------------------------------------


def condition(test: RowTest, schema: pa.Schema, dialect: str) -> str | None:
    """The condition of a row that breaks a test; None when the engine cannot be asked.

    An engine is asked of columns, of fields of structures, and of lists of values in them; what reads
    numbers out of text beyond integers, lists in lists, and bytes as text is left to Arrow.
    """
    if dialect != "duckdb":
        return None
    kind = schema.field(test.steps[0]).type
    cell = quoted(test.steps[0])
    for step in test.steps[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(step) < 0:
            return None
        kind = kind.field(kind.get_field_index(step)).type
        cell = f"{cell}.{quoted(step)}" if cell.startswith("(") else f"({cell}).{quoted(step)}"
    return _in_rows(test, cell, kind)


def _in_rows(test: RowTest, cell: str, kind: pa.DataType) -> str | None:
    listed = is_list(kind)
    inner = element_type(kind) if listed else kind
    if pa.types.is_map(kind) or is_list(inner) or pa.types.is_dictionary(inner):
        return None
    if not pa.types.is_null(inner) and not type_accepts(test.of, feature_type(inner)):
        if test.op == "type":
            return None if listed else f"{cell} IS NOT NULL"
        if test.op not in STRUCTURAL:
            return _NONE
    if test.op in STRUCTURAL:
        return _structural(test, cell, listed=listed)
    if pa.types.is_null(inner):
        return _NONE
    value = _value(test, "x" if listed else cell, inner)
    if value is None or value == _NONE or not listed:
        return value
    return f"len(list_filter({cell}, lambda x: {value})) > 0"


def _structural(test: RowTest, cell: str, *, listed: bool) -> str | None:
    op = test.op
    if op == "type":
        return _NONE
    if op == "missing":
        return f"{cell} IS NULL"
    if op == "depth":
        return _NONE if test.arg == 1 else None
    if test.level:
        return _NONE
    count = f"len({cell})" if listed else f"(CASE WHEN {cell} IS NOT NULL THEN 1 END)"
    if op == "few":
        return f"{count} < {test.arg}"
    if op == "many":
        return f"{count} > {test.arg}"
    if op == "dim":
        return f"{count} <> {test.arg}"
    return f"{cell} IS NULL OR {count} <> {test.arg}"


def _value(test: RowTest, x: str, kind: pa.DataType) -> str | None:
    t = pa.types
    spell = _SPELLED.get(test.op)
    is_text = t.is_string(kind) or t.is_large_string(kind)
    if spell is None or not (is_text or _is_plain(kind)):
        return None
    if is_text and (test.of != "STRING" or test.op not in _OF_TEXT):
        return None
    return spell(test, x, kind)


def _is_plain(kind: pa.DataType) -> bool:
    t = pa.types
    if t.is_timestamp(kind):
        return bool(kind.unit == "us")
    return bool(
        t.is_integer(kind)
        or t.is_boolean(kind)
        or t.is_float32(kind)
        or t.is_float64(kind)
        or t.is_date32(kind)
    )


_OF_TEXT: Final = frozenset({"outside", "not_int", "not_float", "pattern", "below", "above"})


def _double(number: float) -> str:
    return f"CAST('{float(number)!r}' AS DOUBLE)"


def _beyond(test: RowTest, x: str, kind: pa.DataType) -> str | None:
    sign = "<" if test.op == "below" else ">"
    t = pa.types
    if t.is_string(kind) or t.is_large_string(kind):
        return f"{_matches(x, INTEGER)} AND {_integer(x)} {sign} {test.arg}" if test.whole else None
    if t.is_floating(kind):
        return f"CAST({x} AS DOUBLE) {sign} {_double(test.arg)} AND NOT isnan({x})"
    if t.is_timestamp(kind) or t.is_date(kind):
        return f"epoch_us({x}) {sign} {test.arg}"
    return f"CAST({x} AS HUGEINT) {sign} {test.arg}" if abs(test.arg) < 2**126 else None


def _integer(x: str) -> str:
    return f"TRY_CAST(regexp_extract({x}, '[+-]?[0-9]+') AS BIGINT)"


def _matches(x: str, pattern: str) -> str:
    return f"regexp_full_match({x}, {text_literal(pattern)})"


def _outside(test: RowTest, x: str, kind: pa.DataType) -> str | None:
    del kind
    if any("\0" in v or not v.isprintable() for v in test.arg):
        return None
    return f"{x} NOT IN ({', '.join(map(text_literal, test.arg))})" if test.arg else f"{x} IS NOT NULL"


_SPELLED: Final[Mapping[str, Callable[[RowTest, str, pa.DataType], str | None]]] = {
    "above": _beyond,
    "below": _beyond,
    "inf": lambda _, x, __: f"isinf({x})",
    "nan": lambda _, x, __: f"isnan({x})",
    "not_bool": lambda _, x, __: f"CAST({x} AS DOUBLE) NOT IN (CAST(0 AS DOUBLE), CAST(1 AS DOUBLE))",
    "not_float": lambda _, x, __: f"NOT {_matches(x, NUMBER)}",
    "not_int": lambda _, x, __: f"{x} IS NOT NULL AND (NOT {_matches(x, INTEGER)} OR {_integer(x)} IS NULL)",
    "outside": _outside,
    "pattern": lambda t, x, _: f"NOT {_matches(x, t.arg)}",
}
