"""One schema for one environment, compiled: the same tests for a batch, for one row, and for a whole version."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pyarrow as pa

from whence.compute import Engine, Relation
from whence.validation.arrow_checks import batch_reasons
from whence.validation.row import RowFunction, absent, row_function
from whence.validation.rowtests import Reason, RowTest, row_tests
from whence.validation.schema import Schema
from whence.validation.sql_checks import BadRows, bad_rows, relation_schema, untold
from whence.validation.types import Rule


class Plan:
    """A schema and an environment, compiled once to three checkers that give the same verdicts.

    ``batch`` judges Arrow rows, ``row`` one mapping in microseconds and without Arrow, ``count`` all rows of a
    relation in one scan of the engine. A row has the same reasons in each of them.

    What speaks of all rows together (shares of missing values or of values outside a domain, different
    values, drift) is no row's fault; row rules in SQL are judged by `RowCheck` and by ``validate``, not here.
    A column the schema does not know passes. A column that is absent is a fault where it is required, and
    else none.

    Args:
        schema: The rules.
        environment: For which environment; None requires every feature.

    Attributes:
        schema: The rules.
        environment: The environment.
        tests: Every test of the schema.
        rejecting: The tests of which one breach is a fault.
        required: Columns that must be there.
        rules: The row rules in SQL that hold in the environment; not judged by a plan.

    Raises:
        NotFoundError: The schema speaks of environments, but not of this one.

    Example:
        >>> from whence.validation import Feature, IntDomain, Presence
        >>> plan = Plan(Schema().add(Feature("hour", "INT", Presence(1.0), domain=IntDomain(0, 23))))
        >>> [r.text for r in plan.row({"hour": 24})], plan.row({"hour": 7})
        (['hour 24 is above 23'], [])
        >>> [r.type for r in plan.row({"hour": None})]
        ['FEATURE_TYPE_LOW_FRACTION_PRESENT']
        >>> [[r.text for r in row] for row in plan.batch(pa.table({"hour": [24, 7]}))]
        [['hour 24 is above 23'], []]
    """

    def __init__(self, schema: Schema, environment: str | None = None) -> None:
        self.schema = schema
        self.environment = environment
        self.tests: tuple[RowTest, ...] = tuple(row_tests(schema, environment))
        self.rejecting: tuple[RowTest, ...] = tuple(t for t in self.tests if t.rejects)
        self.required: tuple[str, ...] = tuple(
            f.name for f in schema.expected(environment) if f.required and len(f.steps) == 1
        )
        self.rules: tuple[Rule, ...] = tuple(
            r
            for r in schema.rules
            if environment is None or not r.environments or environment in r.environments
        )

    @cached_property
    def row(self) -> RowFunction:
        """The function row → reasons, for one row as a mapping; an empty list when it passes.

        Values are Python's or numpy's: ``bool``, ``int``, ``float``, ``str``, ``bytes``, ``datetime``
        (without a zone: UTC), ``date``, ``UUID`` (its bytes), lists and mappings of these; a map is a list of
        pairs, too. What pandas calls missing is missing. A text with lone surrogates is text that is not UTF-8.
        The function raises `UsageError` of a row that is no mapping (``bad-data``).
        """
        return row_function(self.rejecting, self.required)

    @cached_property
    def json_row(self) -> RowFunction:
        """The same for a row out of JSON, where 1 is also a FLOAT."""
        return row_function(self.rejecting, self.required, whole_is_float=True)

    def batch(self, rows: pa.Table | pa.RecordBatch) -> list[list[Reason]]:
        """The reasons of every row of a batch, in its order."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        broken = self.broken(table)
        return [broken.get(i, []) for i in range(table.num_rows)]

    def broken(self, table: pa.Table) -> dict[int, list[Reason]]:
        """The rows of a batch that do not pass, with their reasons."""
        gone = [absent(name) for name in self.required if name not in table.column_names]
        reasons = {i: list(gone) for i in range(table.num_rows)} if gone else {}
        for row, found in batch_reasons(self.rejecting, table).items():
            reasons.setdefault(row, []).extend(found)
        return reasons

    def count(
        self,
        relation: Relation,
        engine: Engine,
        *,
        key: Sequence[str] = (),
        tests: Sequence[RowTest] | None = None,
    ) -> dict[RowTest, BadRows]:
        """How many rows of a relation break each test, and the keys of some.

        One scan of the engine, of which only the rows that break something come back; tests that the engine
        has no SQL for read the columns they are about.

        Args:
            relation: The rows.
            engine: Runs the SQL.
            key: The columns that name a row; without any no keys are told.
            tests: Which tests; all rejecting ones by default.
        """
        wanted = self.rejecting if tests is None else tests
        return bad_rows(wanted, relation, engine, key=key)

    def in_sql(self, relation: Relation, engine: Engine) -> list[RowTest]:
        """The tests that the engine judges in SQL on such a relation; the others are judged by Arrow."""
        rest = untold(self.rejecting, relation_schema(relation), engine.dialect)
        return [t for t in self.rejecting if t not in rest]

    def __repr__(self) -> str:
        return f"Plan({len(self.tests)} tests, environment={self.environment!r})"
