"""Statistics of CSV files, TFRecord files and data frames, by TFDV's functions."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import without_views
from whence.compute import open_engine
from whence.integrations.tfdv.csv_rows import CsvRows, Kind
from whence.integrations.tfdv.example_rows import ExampleRows
from whence.integrations.tfdv.feature_path import FeaturePath
from whence.integrations.tfdv.files import write_statistics
from whence.integrations.tfdv.generators import Own
from whence.integrations.tfdv.messages import Message, schema_pb2
from whence.integrations.tfdv.refusals import UnsupportedError, UsageError
from whence.integrations.tfdv.slicing_util import SliceFunction, config_slices, listed
from whence.integrations.tfdv.sql_slices import sql_slicer
from whence.integrations.tfdv.statistics_in import DEFAULT_SLICE
from whence.integrations.tfdv.statistics_out import INVALID_TEXT, statistics_to_proto
from whence.integrations.tfdv.stats_options import StatsOptions
from whence.validation import Statistics
from whence.validation.cells import is_list
from whence.validation.describe import Describing, describe_batches, sampled
from whence.validation.options import StatisticsOptions

log = logging.getLogger(__name__)

_KINDS: Mapping[int, Kind] = {
    schema_pb2.BYTES: "STRING",
    schema_pb2.INT: "INT",
    schema_pb2.FLOAT: "FLOAT",
}


def generate_statistics_from_csv(
    data_location: str,
    column_names: list[str] | None = None,
    delimiter: str = ",",
    output_path: str | bytes | None = None,
    stats_options: StatsOptions | None = None,
    pipeline_options: Any = None,
    compression_type: str = "auto",
) -> Message:
    """Statistics of CSV files.

    As TFDV reads them: an empty cell is missing, a column is INT, FLOAT or text by all its cells, floats
    are single precision. A quoted cell may span lines, which TFDV cannot read.

    Args:
        data_location: A path or a pattern.
        column_names: The columns; None takes the first line.
        delimiter: The character between cells.
        output_path: A TFRecord file the statistics are also written to; with ``experimental_result_partitions``
            of n files ``output_path-00000-of-0000n`` that `load_sharded_statistics` reads.
        stats_options: How they are made.
        pipeline_options: Refused: nothing is run elsewhere.
        compression_type: ``auto``, ``gzip``, ``bzip2`` or ``uncompressed``.

    Returns:
        A ``DatasetFeatureStatisticsList``.

    Raises:
        UsageError: A file is no CSV or a line is ragged; the line is named (``bad-csv``).
        NotFoundError: There is no file (``file-not-found``).
        UnsupportedError: An option is not offered.
    """
    options = _checked(stats_options)
    _refuse_pipeline(pipeline_options)
    rows = CsvRows(
        data_location, column_names=column_names, delimiter=delimiter, compression=compression_type
    )
    schema, batches = rows.batches(csv_kinds(rows, options))
    return _generated(schema, batches, options, output_path)


def csv_kinds(rows: CsvRows, options: StatsOptions) -> dict[str, Kind]:
    """The columns that are read and as what: by the schema when the options say so, else by the cells.

    Raises:
        UsageError: There is no schema, or a feature of it is a structure (``bad-schema``).
    """
    if not options.infer_type_from_schema:
        kinds = rows.kinds()
    elif options.schema is None:
        raise UsageError("infer_type_from_schema needs a schema", code="bad-options")
    else:
        by_name = {f.name: f.type for f in options.schema.feature}
        odd = next((n for n, t in by_name.items() if t not in _KINDS), None)
        if odd is not None:
            raise UsageError(f"feature {odd!r} has a type no column of a CSV file has", code="bad-schema")
        kinds = {c: _KINDS[by_name[c]] for c in rows.columns if c in by_name}
    allowed = options.allowed()
    needed = None if allowed is None else {*allowed, options.weight_feature}
    return {c: k for c, k in kinds.items() if needed is None or c in needed}


def generate_statistics_from_tfrecord(
    data_location: str,
    output_path: str | bytes | None = None,
    stats_options: StatsOptions | None = None,
    pipeline_options: Any = None,
) -> Message:
    """Statistics of TFRecord files of ``tf.train.Example``, gzipped or not.

    Args:
        data_location: A path or a pattern.
        output_path: A TFRecord file the statistics are also written to; with ``experimental_result_partitions``
            of n files ``output_path-00000-of-0000n`` that `load_sharded_statistics` reads.
        stats_options: How they are made.
        pipeline_options: Refused: nothing is run elsewhere.

    Returns:
        A ``DatasetFeatureStatisticsList``.

    Raises:
        UsageError: A file is no TFRecord file, a record no example, or a feature has two types
            (``bad-tfrecord``).
        NotFoundError: There is no file (``file-not-found``).
        UnsupportedError: As of `generate_statistics_from_csv`.
    """
    options = _checked(stats_options)
    _refuse_pipeline(pipeline_options)
    rows = ExampleRows(data_location)
    allowed = options.allowed()
    schema = rows.schema()
    if allowed is not None:
        needed = {*allowed, options.weight_feature}
        schema = pa.schema([f for f in schema if f.name in needed])
    return _generated(schema, rows.batches(schema), options, output_path)


def generate_statistics_in_memory(record_batch: Any, options: StatsOptions | None = None) -> Message:
    """Statistics of Arrow data, with the slices the options ask for.

    Args:
        record_batch: A record batch, a table, anything else with ``__arrow_c_stream__`` (Polars, DuckDB, a
            reader), or an iterable of record batches of one schema.
        options: How they are made.

    Returns:
        A ``DatasetFeatureStatisticsList``.

    Raises:
        TypeError: There is nothing of Arrow.
        UnsupportedError: As of `generate_statistics_from_csv`.

    Source:
        TFDV ``statistics.stats_impl.generate_statistics_in_memory``, and in place of ``GenerateStatistics``.
        Differs: takes more than one batch.

    Example:
        >>> made = generate_statistics_in_memory(pa.table({"x": [[1], [2], None]}))
        >>> made.datasets[0].num_examples, made.datasets[0].features[0].num_stats.mean
        (3, 1.5)
    """
    checked = _checked(options)
    if isinstance(record_batch, pa.RecordBatch):
        record_batch = [record_batch]
    if hasattr(record_batch, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(record_batch)
        return _generated(reader.schema, reader, checked, in_memory=True)
    batches: Iterator[pa.RecordBatch] = iter(record_batch)
    first = next(batches, None)
    if not isinstance(first, pa.RecordBatch):
        raise TypeError(f"record_batch is of type {type(record_batch).__name__}, should be Arrow data")
    return _generated(first.schema, chain([first], batches), checked, in_memory=True)


def generate_statistics_from_dataframe(
    dataframe: Any, stats_options: StatsOptions | None = None, n_jobs: int = 1
) -> Message:
    """Statistics of a pandas data frame.

    As TFDV reads it: NaN is missing, booleans are integers, an index that is not 0, 1, 2 … is a column
    (``__index_level_0__``), and columns of times are left out (which is logged).

    Args:
        dataframe: The frame.
        stats_options: How they are made; slices are not made of a frame, as in TFDV.
        n_jobs: -1 or more than 0; columns are described side by side in any case.

    Returns:
        A ``DatasetFeatureStatisticsList``.

    Raises:
        TypeError: It is no data frame.
        UsageError: `n_jobs` is 0 or below -1.
    """
    options = _checked(stats_options)
    kinds = getattr(dataframe, "dtypes", None)
    if kinds is None or not hasattr(dataframe, "iloc"):
        kind = f"{type(dataframe).__module__}.{type(dataframe).__qualname__}"
        raise TypeError(
            f"dataframe is a {kind}, should be a pandas DataFrame; generate_statistics_in_memory takes Arrow and Polars"
        )
    if n_jobs < -1 or n_jobs == 0:
        raise UsageError(f"n_jobs is -1 or more than 0, got {n_jobs}")
    left_out = [c for c, kind in zip(dataframe.columns, kinds, strict=True) if kind.kind in "mMc"]
    if left_out:
        log.warning("columns of times are left out", extra={"columns": left_out})
    allowed = options.allowed()
    dropped = left_out if allowed is None else [c for c in dataframe.columns if c not in allowed]
    table = pa.Table.from_pandas(dataframe.drop(columns=dropped))
    options = _but(options, feature_allowlist=None)
    table = pa.table({n: _as_tfdv(table.column(n)) for n in table.column_names})
    return _generated(table.schema, table.to_batches(), options, slices=False, in_memory=True)


def _as_tfdv(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Booleans as integers; other columns as they are."""
    return column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column


def _but(options: StatsOptions, **changes: Any) -> StatsOptions:
    made = StatsOptions()
    for name, value in {**vars(options), **changes}.items():
        setattr(made, name, value)
    return made


def _checked(options: StatsOptions | None) -> StatsOptions:
    if options is None:
        return StatsOptions()
    if not isinstance(options, StatsOptions):
        raise TypeError(
            f"stats_options is of type {type(options).__name__}, should be a whence.integrations.tfdv.StatsOptions"
        )
    return options


def _refuse_pipeline(pipeline_options: Any) -> None:
    if pipeline_options is not None:
        raise UnsupportedError(
            "pipeline_options are Beam's, and no Beam pipeline is run",
            hint="leave them out: files are read here, in flat memory",
        )


# --- describing ---------------------------------------------------------------------------------


def _generated(
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    options: StatsOptions,
    output_path: str | bytes | None = None,
    *,
    slices: bool = True,
    in_memory: bool = False,
) -> Message:
    own = Own(options.generators or ())
    proto = _finished(described(schema, batches, options, slices=slices, own=own), options)
    if in_memory:
        _place_no_texts(proto)
    own.into(proto)
    if output_path is not None:
        write_statistics(proto, output_path, options.experimental_result_partitions)
    return proto


def described(
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    options: StatsOptions,
    *,
    slices: bool = True,
    own: Own | None = None,
) -> Statistics:
    """The statistics of batches, and of the slices the options ask for; rows are also added to those of one's own.

    Raises:
        UsageError: A slice function fails or gives no pairs, or a query does not run (``bad-slice``); a
            weight is not one number a row (``bad-weight``).
    """
    asked = options.to_options(schema.names)
    if not (options.add_default_generators or asked.extras):
        asked = replace(asked, columns=(), weight=None, feature_weights={})
    weights = {asked.weight, *asked.feature_weights.values()} & set(schema.names)
    plain = pa.schema([f.with_type(without_views(f.type)) for f in schema])
    schema = pa.schema([_one_value(f) if f.name in weights else f for f in plain])
    whole_batches = (b if b.schema.equals(plain) else b.cast(plain) for b in batches)
    batches = (_with_weights(batch, weights) for batch in whole_batches)
    functions, queries = config_slices(options.slicing_config)
    functions += options.experimental_slice_functions or ()
    queries += options.experimental_slice_sqls or ()
    if not slices:
        functions, queries = [], []
    adds = own is not None and own.generators
    if not (functions or queries or adds):
        return describe_batches(batches, schema, "data", asked).sealed()
    whole = replace(asked, sample_rate=None)
    parts: dict[str, Describing] = {}
    with ExitStack() as stack:
        if queries:
            engine = open_engine()
            stack.callback(engine.close)
            functions.append(sql_slicer(queries, engine))
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)))

        def watched() -> Iterator[pa.RecordBatch]:
            for batch in _sample(batches, asked):
                given = listed(batch)
                if own is not None:
                    own.add(DEFAULT_SLICE, given)
                for key, part in _slices_of(given, functions):
                    weighed = _with_weights(part, weights)
                    if key not in parts:
                        parts[key] = Describing(weighed.schema, key, whole, None, pool)
                    parts[key].add(pa.Table.from_batches([weighed]))
                    if own is not None:
                        own.add(key, part)
                yield batch

        made = describe_batches(watched(), schema, "data", whole).sealed()
        return replace(made, slices={k: parts[k].finish().sealed() for k in sorted(parts)})


def _one_value(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if is_list(field.type) else field


def _with_weights(batch: pa.RecordBatch, names: Collection[str | None]) -> pa.RecordBatch:
    """Rows in which a weight is a number, where it comes as a list of one, as TFDV has it."""
    for i, field in enumerate(batch.schema):
        if field.name not in names or not is_list(field.type):
            continue
        column = batch.column(i)
        lengths = pc.list_value_length(column)
        if column.null_count or not pc.all(pc.equal(lengths, 1)).as_py():
            raise UsageError(
                f"a weight is one number a row, column {field.name!r} has other rows", code="bad-weight"
            )
        batch = batch.set_column(i, _one_value(field), column.flatten())
    return batch


def _sample(batches: Iterable[pa.RecordBatch], options: StatisticsOptions) -> Iterator[pa.RecordBatch]:
    """The rows that are described, for slices and statistics of one's own, too."""
    n_read = 0
    for batch in batches:
        yield from sampled(pa.Table.from_batches([batch]), options, n_read).to_batches()
        n_read += batch.num_rows


def _slices_of(batch: pa.RecordBatch, functions: list[SliceFunction]) -> Iterator[tuple[str, pa.RecordBatch]]:
    for function in functions:
        try:
            found = [(str(key), part) for key, part in function(batch)]
        except UsageError:
            raise
        except Exception as error:
            name = getattr(function, "__name__", repr(function))
            raise UsageError(f"the slice function {name} failed: {error!r}", code="bad-slice") from error
        yield from found


def _finished(statistics: Statistics, options: StatsOptions) -> Message:
    proto = statistics_to_proto(statistics, plain=True)
    images = options.images()
    for dataset in proto.datasets:
        for feature in dataset.features:
            path = FeaturePath(feature.path.step)
            if not options.per_feature_stats_config.should_compute_histograms(path):
                _without_histograms(feature)
            if feature.WhichOneof("stats") == "string_stats":
                _without_rare(feature.string_stats, options)
            if path.steps() in images and feature.WhichOneof("stats") == "string_stats":
                _as_bytes(feature, statistics)
        if not options.add_default_generators:
            _without_defaults(dataset)
    return proto


def _place_no_texts(proto: Message) -> None:
    """Where values are as frequent, in memory TFDV places those that are no text by the word it lists them
    under; of files, by their bytes.
    """
    for feature in (f for d in proto.datasets for f in d.features if f.WhichOneof("stats") == "string_stats"):
        stats = feature.string_stats
        for top, ranks in (
            (stats.top_values, stats.rank_histogram.buckets),
            (stats.weighted_string_stats.top_values, stats.weighted_string_stats.rank_histogram.buckets),
        ):
            if any(b.label == INVALID_TEXT for b in ranks):
                top.sort(key=lambda v: (v.frequency, v.value.encode()), reverse=True)
                ranks.sort(key=lambda b: (b.sample_count, b.label.encode()), reverse=True)
                for rank, bucket in enumerate(ranks):
                    bucket.low_rank = bucket.high_rank = rank


def _without_defaults(dataset: Message) -> None:
    """Only what the schema and the other options asked for; TFDV does not count the rows then, either."""
    dataset.ClearField("num_examples")
    dataset.ClearField("weighted_num_examples")
    kept = [f for f in dataset.features if f.custom_stats]
    for feature in kept:
        feature.ClearField("type")
        if which := feature.WhichOneof("stats"):
            feature.ClearField(which)
    asked = [type(f).FromString(f.SerializeToString()) for f in kept]
    dataset.ClearField("features")
    dataset.features.extend(asked)


def _without_histograms(feature: Message) -> None:
    if feature.WhichOneof("stats") == "num_stats":
        feature.num_stats.ClearField("histograms")
        feature.num_stats.ClearField("median")


def _without_rare(stats: Message, options: StatsOptions) -> None:
    """TFDV leaves rare values out of the ranks, too."""
    for ranks, least in (
        (stats.rank_histogram, options.frequency_threshold),
        (stats.weighted_string_stats.rank_histogram, options.weighted_frequency_threshold),
    ):
        n_often = sum(b.sample_count >= least for b in ranks.buckets)
        if n_often < len(ranks.buckets):
            del ranks.buckets[n_often:]


def _as_bytes(feature: Message, statistics: Statistics) -> None:
    """Images: their number and sizes, no values."""
    said = statistics[feature.path.step[0]]
    common = type(feature.string_stats.common_stats)()
    common.CopyFrom(feature.string_stats.common_stats)
    feature.type = type(feature).BYTES
    feature.bytes_stats.common_stats.CopyFrom(common)
    feature.bytes_stats.unique = said.num_unique or 0
    feature.bytes_stats.avg_num_bytes = said.avg_length or 0.0
    feature.bytes_stats.min_num_bytes = said.min_length or 0
    feature.bytes_stats.max_num_bytes = said.max_length or 0
    feature.bytes_stats.max_num_bytes_int = said.max_length or 0
