"""The rows of a file that break a schema, described by what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whence.integrations.tfdv.anomalies_out import serialized
from whence.integrations.tfdv.csv_rows import CsvRows
from whence.integrations.tfdv.example_rows import ExampleRows
from whence.integrations.tfdv.files import write_statistics
from whence.integrations.tfdv.generate import csv_kinds, described
from whence.integrations.tfdv.messages import Message, statistics_pb2
from whence.integrations.tfdv.refusals import UnsupportedError, UsageError
from whence.integrations.tfdv.schema_in import schema_from_proto
from whence.integrations.tfdv.statistics_in import statistics_from_proto
from whence.integrations.tfdv.statistics_out import statistics_to_proto
from whence.integrations.tfdv.stats_options import StatsOptions
from whence.validation import DatasetConstraints, Feature, Schema, describe
from whence.validation.anomalies import validate_statistics
from whence.validation.reasons import FORMS

GLOBAL_ONLY: Final = frozenset(
    {
        "COMPARATOR_CONTROL_DATA_MISSING",
        "COMPARATOR_HIGH_NUM_EXAMPLES",
        "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
        "COMPARATOR_LOW_NUM_EXAMPLES",
        "COMPARATOR_L_INFTY_HIGH",
        "DATASET_HIGH_NUM_EXAMPLES",
        "DATASET_LOW_NUM_EXAMPLES",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FEATURE_TYPE_LOW_NUMBER_PRESENT",
        "FEATURE_TYPE_NOT_PRESENT",
    }
)
"""Types that speak of all rows together, and so of no single row."""


def validate_examples_in_csv(
    data_location: str,
    stats_options: StatsOptions,
    column_names: list[str] | None = None,
    delimiter: str = ",",
    output_path: str | None = None,
    pipeline_options: Any = None,
    num_sampled_examples: int = 0,
) -> Any:
    """Statistics of the rows that break the schema, one data set for each reason.

    Each row is judged as if it were alone; types that speak of all rows together are left out. A data set
    is called ``feature_TYPE``, and a row with two reasons is in both.

    Args:
        data_location: A path or a pattern.
        stats_options: With the schema.
        column_names: The columns; None takes the first line.
        delimiter: The character between cells.
        output_path: A TFRecord file the statistics are also written to.
        pipeline_options: Refused: nothing is run elsewhere.
        num_sampled_examples: So many rows of each reason are given, too (the first ones).

    Returns:
        A ``DatasetFeatureStatisticsList``; with `num_sampled_examples` also a mapping from reason to a
        pandas data frame of rows.

    Raises:
        UsageError: The options have no schema (``bad-options``).
        UnsupportedError: The schema has sparse or weighted features, which no CSV file has.
        UsageError: A file is no CSV; the line is named (``bad-csv``).
    """
    _check(stats_options, pipeline_options)
    rows = CsvRows(data_location, column_names=column_names, delimiter=delimiter)
    arrow, batches = rows.batches(csv_kinds(rows, stats_options))
    table = pa.Table.from_batches(list(batches), schema=arrow)
    out, reasons = _judged(table, stats_options, output_path)
    if not num_sampled_examples:
        return out
    return out, {
        reason: _frame(table.take(pa.array(places[:num_sampled_examples])))
        for reason, places in reasons.items()
    }


def validate_examples_in_tfrecord(
    data_location: str,
    stats_options: StatsOptions,
    output_path: str | None = None,
    pipeline_options: Any = None,
    num_sampled_examples: int = 0,
) -> Any:
    """Statistics of the examples of TFRecord files that break the schema, one data set for each reason.

    As `validate_examples_in_csv`.

    Args:
        data_location: A path or a pattern.
        stats_options: With the schema.
        output_path: A TFRecord file the statistics are also written to.
        pipeline_options: Refused: nothing is run elsewhere.
        num_sampled_examples: So many examples of each reason are given, too (the first ones).

    Returns:
        A ``DatasetFeatureStatisticsList``; with `num_sampled_examples` also a mapping from reason to
        ``tensorflow.Example`` messages.

    Raises:
        UsageError: The options have no schema (``bad-options``), or a file is no TFRecord file of examples
            (``bad-tfrecord``).
        NotFoundError: There is no file (``file-not-found``).
        UnsupportedError: The schema has sparse or weighted features.
    """
    _check(stats_options, pipeline_options)
    rows = ExampleRows(data_location)
    arrow = rows.schema()
    allowed = stats_options.allowed()
    if allowed is not None:
        arrow = pa.schema([f for f in arrow if f.name in {*allowed, stats_options.weight_feature}])
    table = pa.Table.from_batches(list(rows.batches(arrow)), schema=arrow)
    out, reasons = _judged(table, stats_options, output_path, sparse=True)
    if not num_sampled_examples:
        return out
    sampled = {reason: places[:num_sampled_examples] for reason, places in reasons.items()}
    examples = rows.at({place for places in sampled.values() for place in places})
    return out, {reason: [examples[p] for p in places] for reason, places in sampled.items()}


def _check(options: StatsOptions, pipeline_options: Any) -> None:
    if options.schema is None:
        raise UsageError("stats_options has no schema", code="bad-options")
    if pipeline_options is not None:
        raise UnsupportedError("pipeline_options are Beam's, and no Beam pipeline is run")


def _judged(
    table: pa.Table, options: StatsOptions, output_path: str | None, *, sparse: bool = False
) -> tuple[Message, Mapping[str, list[int]]]:
    """The statistics of the rows of each reason, and the numbers of the rows."""
    schema = schema_from_proto(options.schema, exact=True)
    if schema.sparse_features or schema.weighted_features:
        raise UnsupportedError("sparse and weighted features of single rows are not judged")
    reasons = reasons_of(table, schema, sparse=sparse)
    out = statistics_pb2.DatasetFeatureStatisticsList()
    for reason, places in reasons.items():
        part = table.take(pa.array(places))
        made = statistics_to_proto(
            described(part.schema, part.to_batches(), options, slices=False), plain=True
        )
        dataset = out.datasets.add()
        dataset.CopyFrom(made.datasets[0])
        dataset.name = reason
    if not reasons:
        out.datasets.add()
    if output_path is not None:
        write_statistics(out, output_path)
    return out, reasons


def _frame(table: pa.Table) -> Any:
    """Rows as a data frame, bytes as text where they are."""
    columns = [_text(c) for c in table.columns]
    return pa.table(columns, names=table.column_names).to_pandas()


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string()) if pa.types.is_binary(column.type) else column
    except pa.ArrowInvalid:
        return column


def reasons_of(table: pa.Table, schema: Schema, *, sparse: bool = False) -> Mapping[str, list[int]]:
    """Which rows break which rule: row numbers by ``feature_TYPE``, in the order of the columns.

    A row's faults in one column follow from its value there, so each different value is judged once; and
    values are judged together first, since most break nothing.

    Args:
        table: The rows.
        schema: What they must satisfy.
        sparse: Rows are examples that have only the columns in which they are not null.
    """
    out: dict[str, list[int]] = {}
    alone = replace(schema, constraints=DatasetConstraints(), rules=(), checks=())
    for name in dict.fromkeys([*schema.features, *table.column_names]):
        if name not in table.column_names:
            if "." in name or not table.num_rows:
                continue  # a part of a structure, which no CSV file has
            column = None
        else:
            column = table.column(name).combine_chunks()
        judge = _Judge(name, alone, sparse=sparse)
        for reason, places in judge.places(column, table.num_rows):
            out.setdefault(reason, []).extend(places)
    return {reason: sorted(places) for reason, places in out.items()}


_NO_COLUMN: Final = pa.table({"": pa.nulls(1)})


class _Judge:
    """What is wrong with single values of one column."""

    def __init__(self, name: str, schema: Schema, *, sparse: bool) -> None:
        self._name = name
        self._sparse = sparse
        known = schema.features.get(name)
        features = {} if known is None else {name: known}
        self._schema = replace(schema, features=features)
        self._strict = replace(schema, features={n: _strict(f) for n, f in features.items()})
        # A limit on how many values differ says nothing of a whole column that holds for one row of it.
        self._each = known is not None and known.unique is not None

    def places(self, column: pa.Array | None, n_rows: int) -> Iterator[tuple[str, list[int]]]:
        """Reasons with the rows they hold for."""
        if column is None:
            for reason in self._reasons(_NO_COLUMN, self._schema):
                yield reason, list(range(n_rows))
            return
        values, codes = _coded(column)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(values) + 1))
        if column.null_count:
            null = _NO_COLUMN if self._sparse else pa.table({self._name: pa.nulls(1, column.type)})
            for reason in self._reasons(null, self._schema):
                yield reason, order[: starts[0]].tolist()
        for code, reasons in self._faults(values, 0):
            places = order[starts[code] : starts[code + 1]].tolist()
            for reason in reasons:
                yield reason, places

    def _faults(self, values: pa.Array, start: int) -> Iterator[tuple[int, list[str]]]:
        """Places in the dictionary with their reasons: halves of what is not clean, down to one value."""
        if not len(values):
            return
        if len(values) == 1:
            found = self._reasons(pa.table({self._name: values}), self._schema)
            if found:
                yield start, found
            return
        if not self._each and not self._reasons(pa.table({self._name: values}), self._strict):
            return
        half = len(values) // 2
        yield from self._faults(values[:half], start)
        yield from self._faults(values[half:], start + half)

    def _reasons(self, rows: pa.Table, schema: Schema) -> list[str]:
        # As a file says them: text and bytes are one type there, and lists of one value are values.
        seen = statistics_from_proto(statistics_to_proto(describe(rows), plain=True))
        if self._name not in rows.column_names:
            seen = replace(seen, features={})
        found, _ = validate_statistics(seen, schema)
        named = serialized((self._name,))
        return [
            f"{named}_{a.type}"
            for a in found
            if a.type not in (GLOBAL_ONLY | FORMS) and a.feature == self._name
        ]


def _coded(column: pa.Array) -> tuple[pa.Array, Any]:
    """The different values, and which of them each row has; -1 is null."""
    if not pa.types.is_nested(column.type):
        coded = column.dictionary_encode()
        return coded.dictionary, coded.indices.fill_null(-1).to_numpy()
    codes: list[int] = []
    firsts: list[int] = []
    known: dict[str, int] = {}
    for row, value in enumerate(column.to_pylist()):
        key = repr(value)
        if value is not None and key not in known:
            known[key] = len(known)
            firsts.append(row)
        codes.append(-1 if value is None else known[key])
    return column.take(pa.array(firsts, pa.int64())), np.array(codes, np.int64)


def _strict(f: Feature) -> Feature:
    """The feature with no share of its values allowed outside of its domain."""
    return replace(f, min_domain_mass=1.0, unique=None)
