"""Example rows of anomalies: found by reading the version again, only the columns concerned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whence._base.refs import row_key
from whence.compute import Engine, Relation, Streamed, quoted
from whence.errors import UsageError
from whence.validation.anomalies import anomaly
from whence.validation.arrow_checks import Cells, broken_rows, open_cells
from whence.validation.base import Version, is_version, name_of
from whence.validation.checks.base import counted
from whence.validation.expressions import check_expression
from whence.validation.plan import Plan
from whence.validation.rounded import without_marks
from whence.validation.rows import RELATION, bad_rule, breaches, rule_applies, rule_columns, rules_in
from whence.validation.rowtests import RowTest
from whence.validation.schema import Schema
from whence.validation.sources import file_rows, frame_rows, is_path
from whence.validation.spool import spooled
from whence.validation.sql_checks import EXAMPLES
from whence.validation.types import Anomaly, Rule

_MOST_A_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of what is validated.

    Attributes:
        name: ``flights@12``; rows are called ``row:flights@12/<key>``.
        relation: The rows.
        columns: The names of all columns.
        key: Columns that name a row; without any a row is named by its position, ``#17``.
    """

    name: str
    relation: Relation
    columns: Sequence[str]
    key: tuple[str, ...] = ()


def rows_of(source: Version | Rows | Path | Any, name: str = "data") -> Rows:
    """The rows of a version, of a CSV or Parquet file, or of a frame; those of files are not held in memory.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: It is no such thing, or the file does not read; see `describe_file`.
    """
    if isinstance(source, Rows):
        return source
    if is_version(source):
        return Rows(name_of(source), source.files(), source.schema.names, tuple(source.declaration.key))
    if isinstance(source, (str, Path)) and is_path(source):
        streamed = file_rows(source)
        return Rows(Path(source).name, streamed, without_marks(streamed.schema.names))
    given = frame_rows(source)
    again = given if given.again else spooled(given.reader())
    return Rows(name, again, again.schema.names)


_OF_COLUMNS: Final = frozenset({"type", "depth"})
"""Tests that a column breaks as a whole: no row is an example of them."""


def find_rows(
    rows: Rows,
    schema: Schema,
    anomalies: Sequence[Anomaly],
    engine: Engine,
    *,
    environment: str | None = None,
) -> list[Anomaly]:
    """The anomalies with the number of rows that break each, and some of those rows.

    Of a version whose rows have a key, one scan of the engine finds them, and only rows that break
    something come back. Without a key a row is its position, so the columns in question are read in order.
    """
    wanted = {(a.feature, a.type) for a in anomalies}
    plan = Plan(schema, environment)
    tests = [t for t in plan.tests if (t.feature, t.type) in wanted and t.op not in _OF_COLUMNS]
    if not tests:
        return list(anomalies)
    hits: dict[tuple[str, str], _Hits] = {(t.feature, t.type): _Hits() for t in tests}
    if rows.key and not isinstance(rows.relation, pa.Table):
        for test, bad in plan.count(rows.relation, engine, key=rows.key, tests=tests).items():
            hits[test.feature, test.type].note(bad.keys, bad.n, in_order=False)
    else:
        _scan(rows, tests, engine, hits)
    return [
        replace(a, n_rows=hit.n, rows=hit.refs(rows)) if (hit := hits.get((a.feature, a.type))) else a
        for a in anomalies
    ]


@dataclass(slots=True)
class _Hits:
    """What was found for one test so far."""

    n: int = 0
    keys: list[str] = field(default_factory=list)

    def refs(self, rows: Rows) -> tuple[str, ...]:
        return tuple(f"row:{rows.name}/{k}" for k in self.keys)

    def note(self, keys: list[str], n: int, *, in_order: bool) -> None:
        self.n += n
        # Files are read in any order when rows have a key: the smallest keys are kept.
        self.keys = (self.keys + keys if in_order else sorted(self.keys + keys))[:EXAMPLES]


def _scan(
    rows: Rows, tests: Sequence[RowTest], engine: Engine, hits: Mapping[tuple[str, str], _Hits]
) -> None:
    tests = [t for t in tests if t.steps[0] in rows.columns]
    columns = list(dict.fromkeys([*(t.steps[0] for t in tests), *rows.key]))
    start = 0
    for batch in _in_order(rows, columns, engine):
        opened: dict[tuple[str, ...], Cells] = {}
        for test in tests:
            if test.steps not in opened:
                opened[test.steps] = open_cells(batch.column(test.steps[0]), test.steps[1:])
            at = np.flatnonzero(broken_rows(test, opened[test.steps]))
            if len(at):
                some = pa.Table.from_batches([batch.take(pa.array(at[:_MOST_A_BATCH]))])
                keys = _keys(rows, some, (start + at[:_MOST_A_BATCH]).tolist())
                hits[test.feature, test.type].note(keys, len(at), in_order=not rows.key)
        start += batch.num_rows


def _in_order(rows: Rows, columns: Sequence[str], engine: Engine) -> Iterator[pa.RecordBatch]:
    """Some columns in the order of the rows."""
    if isinstance(rows.relation, Streamed):
        return (batch.select(list(columns)) for batch in rows.relation.batches())
    return iter(engine.scan(rows.relation, columns=columns).to_batches())


def _keys(rows: Rows, table: pa.Table, positions: Sequence[int]) -> list[str]:
    if not rows.key:
        return [f"#{p}" for p in positions]
    return [row_key(v) for v in zip(*(table.column(c).to_pylist() for c in rows.key), strict=True)]


# --- rules in SQL -------------------------------------------------------------------------------


def check_rules(
    rows: Rows, schema: Schema, engine: Engine, *, environment: str | None = None
) -> tuple[list[Anomaly], list[str]]:
    """The anomalies of the schema's row rules, and notes on rules that do not apply.

    A rule the engine refuses is a fault of the schema: ``INVALID_SCHEMA_SPECIFICATION``.
    """
    found: list[Anomaly] = []
    notes: list[str] = []
    for rule in rules_in(schema, environment):
        if not rule_applies(rule, schema, rows.columns):
            absent = sorted(rule_columns(rule, schema) - set(rows.columns))
            notes.append(f"rule {rule.name!r} does not apply: column {', '.join(absent)} is absent")
            continue
        try:
            found += _check_rule(rows, rule, engine)
        except UsageError as error:
            text = bad_rule(rule, error).message
            found.append(
                anomaly("", "INVALID_SCHEMA_SPECIFICATION", rule.name, rule.sql, "an expression", text)
            )
    return found, notes


def _check_rule(rows: Rows, rule: Rule, engine: Engine) -> list[Anomaly]:
    check_expression(f"rule {rule.name!r}", rule.sql)
    breach = f"FROM {RELATION} WHERE NOT ({rule.sql}\n)"
    n = engine.query(f"SELECT count(*) {breach}", {RELATION: rows.relation}).column(0)[0].as_py()
    if not n:
        return []
    text = f"{counted(n, 'rows break')} the rule {rule.name!r}: {rule.sql}"
    made = anomaly("", "CUSTOM_VALIDATION", rule.name, n, rule.sql, text)
    keys = _keyed(rows, breach, engine) if rows.key else _numbered(rows, rule, engine)
    refs = tuple(f"row:{rows.name}/{k}" for k in keys)
    return [replace(made, severity=rule.severity, n_rows=n, rows=refs)]


def _keyed(rows: Rows, breach: str, engine: Engine) -> list[str]:
    listed = ", ".join(map(quoted, rows.key))
    table = engine.query(
        f"SELECT {listed} {breach} ORDER BY {listed} LIMIT {EXAMPLES}", {RELATION: rows.relation}
    )
    return _keys(rows, table, [])


def _numbered(rows: Rows, rule: Rule, engine: Engine) -> list[str]:
    found: list[int] = []
    start = 0
    for batch in _in_order(rows, rows.columns, engine):
        found += [start + p for p in breaches(engine, pa.Table.from_batches([batch]), rule)]
        start += batch.num_rows
        if len(found) >= EXAMPLES:
            break
    return [f"#{p}" for p in found[:EXAMPLES]]
