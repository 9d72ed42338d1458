"""Statistics of rows in one read: blocks of rows in, states out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import without_views
from whence.compute import Engine, open_engine
from whence.errors import NotFoundError, UsageError
from whence.stats.base import Array
from whence.stats.hashing import mix
from whence.validation.cells import FeatureType
from whence.validation.extras import Extra
from whence.validation.features import FeatureStatistics
from whence.validation.nested import Column, inner_type, open_column, walk
from whence.validation.options import DEFAULTS, MAX_SLICES, Slice, SliceLike, StatisticsOptions
from whence.validation.queries import RELATION, closed
from whence.validation.rounded import mark_of, marked, without_marks
from whence.validation.slicing import slice_block
from whence.validation.slicings import check_same
from whence.validation.statistics import Sample, Statistics, with_custom
from whence.validation.weighted import weights_of

BLOCK_ROWS: Final = 1 << 16
"""Rows taken together: enough for vectorised work on a column, few enough to stay in the cache."""
BLOCK_BYTES: Final = 96 << 20
"""A block ends earlier when its rows are this large: 5,000 columns, or documents."""
_PARALLEL_CELLS: Final = 200_000
_HELD_ROWS: Final = 1 << 14
"""A slice is described when so many of its rows are there, or when many rows wait."""

Progress = Callable[[int], None]
"""Called with the number of rows read since the last call."""


def describe(
    rows: Any,
    *,
    name: str = "data",
    schema: pa.Schema | None = None,
    slices: Sequence[SliceLike] = (),
    options: StatisticsOptions = DEFAULTS,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Statistics:
    """Statistics of rows, in one read and flat memory.

    Counts, means, standard deviations, zeros, minima and maxima are exact; uniques and top values of
    text and numbers up to 100,000 different values; quantiles while a column has at most 2,048 different numbers,
    else within the `rank_error` it states (below 0.01). A struct is a feature, and so is each of its
    fields (``trip.stops``); their rows are the values of the struct. Times are taken to the microsecond and
    decimals as doubles; how many were rounded so is said (``num_rounded``).

    Args:
        rows: An Arrow table, a reader, or batches; anything with ``__arrow_c_stream__`` (Polars,
            DuckDB).
        name: What is described.
        schema: The columns, when batches may be none.
        slices: Columns (or several crossed, or a `Slice`); statistics are also made of the rows of each
            of their values.
        options: What is computed and how much of it is shown.
        engine: Evaluates slices given as SQL; None opens one when it is needed.
        progress: Called after each block with its number of rows.

    Raises:
        UsageError: The slices are more than 1,000 (``too-many-slices``), a column has two types
            (``mixed-types``) or occurs twice (``duplicate-column``), a weight is no weight
            (``bad-weight``), or a value does not read as the type asked for (``bad-cast``).
        NotFoundError: A column of the options is absent.

    Source:
        TFDV ``generate_statistics``. Differs: mergeable over rows, exact sums of integers, infinities
        are left out of mean and standard deviation instead of making them infinite.

    Example:
        >>> s = describe(pa.table({"trip": [{"stops": [1, 2]}, {"stops": []}]}))
        >>> list(s.features), s["trip.stops"].min_num_values, s["trip.stops"].mean
        (['trip', 'trip.stops'], 0, 1.5)
    """
    options = options.with_slices(slices)
    table = rows if isinstance(rows, pa.Table) else None
    if hasattr(rows, "__arrow_c_stream__") and not isinstance(rows, (pa.RecordBatchReader, pa.Table)):
        rows = _stream(rows)
    if isinstance(rows, (pa.RecordBatchReader, pa.Table)):
        schema = rows.schema
    batches: Iterable[pa.RecordBatch] = rows.to_batches() if isinstance(rows, pa.Table) else rows
    with ExitStack() as stack:
        if engine is None and any(s.where or s.query for s in options.slices):
            engine = open_engine(threads=1)
            stack.callback(engine.close)
        made = describe_batches(batches, schema, name, options, engine, progress)
        return _with_queries(made, table, options, engine).sealed()


def _stream(rows: Any) -> pa.RecordBatchReader:
    try:
        return pa.RecordBatchReader.from_stream(rows)
    except pa.ArrowException as error:
        raise UsageError(f"the data cannot be read as Arrow: {error}", code="bad-data") from error


def describe_batches(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema | None,
    name: str,
    options: StatisticsOptions,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Statistics:
    """As `describe`, of batches; slices by query are left out, and sketches are not cut to stored size."""
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        total: Describing | None = None
        if schema is not None:
            total = Describing(typed_schema(schema, options.types), name, options, engine, pool)
        n_read = 0
        for block in _blocks(batches):
            if total is None:
                total = Describing(typed_schema(block.schema, options.types), name, options, engine, pool)
            total.add(_typed(sampled(_plain(block), options, n_read), options.types))
            n_read += block.num_rows
            if progress is not None:
                progress(block.num_rows)
    if total is None:
        return Statistics(name, display=options.display)
    rate, seed = options.sample_rate, options.sample_seed
    return replace(total.finish(), sample=None if rate is None else Sample(rate, seed, n_read))


@dataclass(frozen=True)
class DescribePart:
    """Makes statistics of a part of some rows: what an engine calls where the rows are.

    Attributes:
        name: What is described.
        options: What is computed.
        progress: Called after each block with its number of rows; only within one process.
    """

    name: str
    options: StatisticsOptions = DEFAULTS
    progress: Progress | None = None

    def __call__(self, rows: pa.RecordBatchReader) -> Statistics:
        """The statistics of the part; slices by query are left out."""
        with ExitStack() as stack:
            engine = None
            if any(s.where for s in self.options.slices):
                engine = open_engine(threads=1)
                stack.callback(engine.close)
            return describe_batches(rows, rows.schema, self.name, self.options, engine, self.progress)


def merge_parts(a: Statistics, b: Statistics) -> Statistics:
    """The statistics of two parts of the same rows."""
    return a.merge(b)


def _with_queries(
    made: Statistics, table: pa.Table | None, options: StatisticsOptions, engine: Engine | None
) -> Statistics:
    queries = [s for s in options.slices if s.query]
    if not queries:
        return made
    if table is None or engine is None:
        raise UsageError(
            f"slice {queries[0].name!r} is a query, which needs rows that can be read again",
            code="bad-slice",
            hint="give a table or a version of one, or an expression: Slice(name, where)",
        )
    return with_query_slices(made, options, lambda sql: engine.stream(sql, {RELATION: table}))


def with_query_slices(
    made: Statistics, options: StatisticsOptions, read: Callable[[str], pa.RecordBatchReader]
) -> Statistics:
    """The statistics with the slices given as queries, each of which reads the rows once more."""
    plain = replace(options, slices=(), columns=None, extras=())
    slices = dict(made.slices)
    for slice_ in options.slices:
        if slice_.query:
            reader = read(closed(f"slice {slice_.name!r}", slice_.query))
            part = describe_batches(reader, reader.schema, slice_.name, plain)
            slices[slice_.name] = replace(part, slicing=slice_)
    slicings = (*(made.slicings or ()), *(s for s in options.slices if s.query))
    return replace(made, slices={k: slices[k] for k in sorted(slices)}, slicings=slicings)


class Describing:
    """Statistics in the making: columns as lists of features, slices that wait for rows.

    Args:
        schema: The columns of all blocks.
        name: What is described.
        options: What is computed.
        engine: For slices given as SQL.
        pool: Columns are described side by side in it.
    """

    def __init__(
        self,
        schema: pa.Schema,
        name: str,
        options: StatisticsOptions,
        engine: Engine | None,
        pool: ThreadPoolExecutor,
    ) -> None:
        _check_names(schema, options)
        self._schema = schema
        self._name = name
        self._options = options
        self._engine = engine
        self._pool = pool
        self._n_rows = 0
        data = without_marks(schema.names)
        self._marked = (
            {c: m for c in data if (m := mark_of(c)) in schema.names} if len(data) < len(schema) else {}
        )
        described = data if options.columns is None else options.columns
        known = frozenset(schema.names)  # asking a schema for its names makes a list of them
        self._columns = {c: _empty(c, schema.field(c).type, known, options) for c in described}
        self._extras: dict[str, Extra] = {e.key(): e for e in options.extras}
        self._slices: dict[str, Describing] = {}
        self._made_by: dict[str, Slice] = {}
        self._held: dict[str, list[pa.Table]] = {}
        self._n_held = 0

    def add(self, block: pa.Table) -> None:
        """Take in a block of rows."""
        if block.schema.names != self._schema.names:
            raise UsageError(
                f"a batch has the columns {', '.join(block.schema.names)}; the first had "
                f"{', '.join(self._schema.names)}",
                code="mixed-types",
            )
        weights = _Weights(block, self._options)

        def one(column: str) -> list[FeatureStatistics]:
            made = add_column(self._columns[column], block.column(column), weights.of(column))
            mark = self._marked.get(column)
            return made if mark is None else marked(made, block.column(mark))

        # Arrow's and numpy's kernels give up the interpreter lock; each column is still added in order.
        spread = block.num_rows * len(self._columns) >= _PARALLEL_CELLS
        made = list((self._pool.map if spread else map)(one, self._columns))
        self._columns = dict(zip(self._columns, made, strict=True))
        data = block.drop_columns(list(self._marked.values())) if self._marked else block
        self._extras = {k: e.add(data) for k, e in self._extras.items()}
        self._n_rows += block.num_rows
        for slice_ in self._options.slices:
            if not slice_.query:
                for key, part in slice_block(block, slice_, self._engine):
                    self._hold(key, part, slice_)
        if self._n_held >= BLOCK_ROWS * 4:
            self._release()

    def _hold(self, key: str, part: pa.Table, slice_: Slice) -> None:
        if key not in self._slices:
            if len(self._slices) >= MAX_SLICES:
                raise UsageError(
                    f"column {slice_.name!r} makes more than {MAX_SLICES} slices",
                    code="too-many-slices",
                    hint="slice by a column of fewer values",
                )
            plain = replace(self._options, slices=())
            self._slices[key] = Describing(self._schema, key, plain, None, self._pool)
            self._made_by[key] = slice_
        check_same(key, self._made_by[key], slice_)
        held = self._held.setdefault(key, [])
        held.append(part)
        self._n_held += part.num_rows
        if sum(p.num_rows for p in held) >= _HELD_ROWS:
            self._slices[key].add(pa.concat_tables(held))
            self._n_held -= sum(p.num_rows for p in held)
            del self._held[key]

    def _release(self) -> None:
        for key, held in self._held.items():
            self._slices[key].add(pa.concat_tables(held))
        self._held, self._n_held = {}, 0

    def finish(self) -> Statistics:
        """The statistics of all rows that were taken in."""
        self._release()
        features = {f.name: f for column in self._columns.values() for f in column}
        return Statistics(
            self._name,
            self._n_rows,
            with_custom(features, self._extras),
            {k: replace(self._slices[k].finish(), slicing=self._made_by[k]) for k in sorted(self._slices)},
            self._extras,
            display=self._options.display,
            slicings=tuple(s for s in self._options.slices if not s.query),
        )


def add_column(
    features: Sequence[FeatureStatistics], column: Column, weights: Array | None
) -> list[FeatureStatistics]:
    """The features of a column (itself, then the fields of its structs) after a batch of it."""
    here, below = features[0], features[1:]
    kind = column.type
    opened = open_column(column, weights)
    made = [here.add_opened(opened, kind)]
    if not below:
        return made
    depth = len(here.path)
    fields = opened.values.flatten() if pa.types.is_struct(opened.values.type) else []
    leaf = inner_type(kind)
    by_name = {leaf.field(i).name: fields[i] for i in range(len(fields))}
    start = 0
    while start < len(below):
        end = start + 1
        while end < len(below) and len(below[end].path) > depth + 1:
            end += 1
        part = by_name.get(below[start].path[depth])
        group = below[start:end]
        made += group if part is None else add_column(group, part, opened.weights)
        start = end
    return made


class _Weights:
    """The weights of a block's rows by column, each read once."""

    def __init__(self, block: pa.Table, options: StatisticsOptions) -> None:
        self._options = options
        wanted = {w for w in (options.weight, *options.feature_weights.values()) if w is not None}
        self._known = {w: weights_of(block, w) for w in wanted}

    def of(self, column: str) -> Array | None:
        weight = self._options.feature_weights.get(column, self._options.weight)
        return None if weight is None else self._known[weight]


def _empty(
    column: str, kind: pa.DataType, names: frozenset[str], options: StatisticsOptions
) -> list[FeatureStatistics]:
    return [
        FeatureStatistics.empty(name, type_, path=path, options=options)
        for name, path, type_ in walk((column,), kind, names)
    ]


def _check_names(schema: pa.Schema, options: StatisticsOptions) -> None:
    counts = Counter(schema.names)
    twice = [n for n in counts if counts[n] > 1]
    if twice:
        raise UsageError(f"column {twice[0]!r} occurs twice", code="duplicate-column")
    for column in named_columns(options):
        if column not in counts:
            raise NotFoundError("column", column, near=list(counts))


def named_columns(options: StatisticsOptions) -> list[str]:
    """The columns the options name; those of SQL are not known here."""
    named = [*(options.columns or ()), *options.types, *options.categorical]
    named += [*options.feature_weights, *options.feature_weights.values()]
    named += [options.weight] if options.weight is not None else []
    for slice_ in options.slices:
        named += slice_.by
    for extra in options.extras:
        named += extra.columns() or ()
    return list(dict.fromkeys(named))


# --- blocks -------------------------------------------------------------------------------------


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches cut and put together to blocks of about `BLOCK_ROWS` rows or `BLOCK_BYTES`."""
    held: list[pa.RecordBatch] = []
    n = size = 0
    for batch in batches:
        for piece in _pieces(batch):
            held.append(piece)
            n += piece.num_rows
            size += piece.nbytes
            if n >= BLOCK_ROWS or size >= BLOCK_BYTES:
                yield _together(held)
                held, n, size = [], 0, 0
    if held:
        yield _together(held)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    n = batch.num_rows
    step = max(min(BLOCK_ROWS, n * BLOCK_BYTES // max(batch.nbytes, 1)), 1)
    for start in range(0, max(n, 1), step):
        yield batch.slice(start, step)


def _together(held: Sequence[pa.RecordBatch]) -> pa.Table:
    try:
        return pa.Table.from_batches(held)
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"batches differ in their columns: {error}",
            code="mixed-types",
            hint="cast them to one schema; INT and FLOAT merge: describe each and merge",
        ) from error


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with plain text and bytes in place of views of them."""
    return pa.schema([f.with_type(without_views(f.type)) for f in schema])


def _plain(block: pa.Table) -> pa.Table:
    schema = plain_schema(block.schema)
    return block if schema.equals(block.schema) else block.cast(schema)


def sampled(block: pa.Table, options: StatisticsOptions, start: int) -> pa.Table:
    """The rows of a block that are in the sample: by position, so that it does not depend on the batches."""
    if options.sample_rate is None:
        return block
    positions = np.arange(start, start + block.num_rows, dtype=np.uint64)
    seed = mix(np.array([options.sample_seed & (2**64 - 1)], dtype=np.uint64))
    chosen = mix(positions ^ seed) <= np.uint64(min(int(options.sample_rate * 2**64), 2**64 - 1))
    return block.filter(pa.array(chosen))


# --- types --------------------------------------------------------------------------------------

_ARROW: Final[Mapping[FeatureType, pa.DataType]] = {
    "INT": pa.int64(),
    "FLOAT": pa.float64(),
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "BOOL": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATE": pa.date32(),
}


def typed_schema(schema: pa.Schema, types: Mapping[str, FeatureType]) -> pa.Schema:
    """The schema with the types asked for.

    Raises:
        UsageError: A type cannot be asked for (``bad-cast``).
    """
    for column, wanted in types.items():
        if wanted not in _ARROW:
            raise UsageError(f"column {column!r} cannot be read as {wanted}", code="bad-cast")
        place = schema.get_field_index(column)
        if place >= 0:
            schema = schema.set(place, pa.field(column, _ARROW[wanted]))
    return schema


def _typed(block: pa.Table, types: Mapping[str, FeatureType]) -> pa.Table:
    for column, wanted in types.items():
        place = block.schema.get_field_index(column)
        if place >= 0 and block.column(place).type != _ARROW[wanted]:
            cast = _cast(block.column(place), column, wanted)
            block = block.set_column(place, column, cast)
    return block


def _cast(values: pa.ChunkedArray, column: str, wanted: FeatureType) -> pa.ChunkedArray:
    try:
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        return pc.cast(values, _ARROW[wanted])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            f"column {column!r} does not read as {wanted}: {error}",
            code="bad-cast",
            hint="leave it out of the types, or repair the value",
        ) from error
