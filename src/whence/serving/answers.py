"""What a record of the request log says, and the rows of the predictions table it becomes.

A record is one micro-batch: the facts its rows share, the ids, the inputs as the model was given them, the scores.
It is complete in itself, so a segment can be committed by a process that knows nothing of the deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence._base.arrow import TS
from whence.errors import UnsupportedError
from whence.registry import ModelVersion
from whence.serving.predictions import FEATURES_AT, prediction_rows, prediction_schema

REQUEST_KEY: Final = ("request_id", "row")
"""The key of a predictions table of requests."""

EXACT: Final = 1 << 53
"""Integers up to here are themselves as a float64."""

_TYPES: Final = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
}


class Facts(msgspec.Struct, frozen=True):
    """What the rows of a record share.

    Attributes:
        deployment: Who answered.
        into: The predictions table.
        model: ``late@3``.
        model_digest: Of the model's bytes.
        model_uid: Its artifact in the graph.
        definitions: View → definition digest.
        sources: Table → version, and ``table#view`` → that of a view read at a later one; empty when the
            features came with the request.
        columns: The model's inputs: name and type.
    """

    deployment: str
    into: str
    model: str
    model_digest: str
    model_uid: str
    definitions: dict[str, str]
    sources: dict[str, int]
    columns: tuple[tuple[str, str], ...]


class Record(msgspec.Struct, array_like=True):
    """One micro-batch.

    Attributes:
        facts: `Facts` as msgpack.
        at_us: The moment of the answers, microseconds since 1970 UTC.
        ids: The requests, in order.
        counts: How many rows each has.
        scores: float64, one a row.
        matrix: The inputs as float64, row by row, NaN for null; None when a float64 cannot hold them.
        table: The inputs as an Arrow stream, when there is no matrix.
        keys: The columns the request was asked by, as an Arrow stream.
        filled: Columns of the inputs, and how many of their missing values were given a default.
    """

    facts: bytes
    at_us: int
    ids: list[str]
    counts: list[int]
    scores: bytes
    matrix: bytes | None = None
    table: bytes | None = None
    keys: bytes | None = None
    filled: dict[str, int] | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_record_decoder: Final = msgspec.msgpack.Decoder(Record)
_facts_decoder: Final = msgspec.msgpack.Decoder(Facts)


def encode(value: Facts | Record) -> bytes:
    """The bytes of facts or a record."""
    return _encoder.encode(value)


def decode_record(data: bytes) -> Record:
    """A record from its bytes."""
    return _record_decoder.decode(data)


def decode_facts(data: bytes) -> Facts:
    """Facts from their bytes."""
    return _facts_decoder.decode(data)


def to_stream(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_stream(data: bytes) -> pa.Table:
    """A table from an Arrow stream."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def input_columns(version: ModelVersion) -> tuple[tuple[str, str], ...]:
    """Name and type of what a model takes.

    Raises:
        UnsupportedError: It was registered without a signature, or takes what no request can carry
            (``model-not-servable``).
    """
    hint = "register it with sample= or signature=, of numbers, booleans and text"
    if version.signature is None or not version.signature.inputs:
        raise UnsupportedError(
            f"{version.ref} has no signature, so a request cannot name its columns",
            code="model-not-servable",
            hint=hint,
        )
    other = [c for c in version.signature.inputs if c.type not in _TYPES]
    if other:
        raise UnsupportedError(
            f"{version.ref} takes {', '.join(f'{c.name} ({c.type})' for c in other)}, which no request can carry",
            code="model-not-servable",
            hint=hint,
        )
    return tuple((c.name, c.type) for c in version.signature.inputs)


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a signature's type."""
    return _TYPES[name]


def signature_schema(columns: Sequence[tuple[str, str]]) -> pa.Schema:
    """The inputs as an Arrow schema."""
    return pa.schema([(name, _TYPES[kind]) for name, kind in columns])


def table_of(matrix: npt.NDArray[np.float64], columns: Sequence[tuple[str, str]]) -> pa.Table:
    """The rows of a matrix in the types of the signature; NaN is null.

    Example:
        >>> table_of(np.array([[1.0, 0.5], [np.nan, 2.0]]), [("n", "int64"), ("x", "double")]).to_pylist()
        [{'n': 1, 'x': 0.5}, {'n': None, 'x': 2.0}]
    """
    arrays = []
    for index, (_, kind) in enumerate(columns):
        values = pa.array(np.ascontiguousarray(matrix[:, index]), from_pandas=True)
        wanted = _TYPES[kind]
        if pa.types.is_boolean(wanted):
            values = values.cast(pa.int8())
        arrays.append(values if values.type == wanted else values.cast(wanted))
    return pa.table(arrays, schema=signature_schema(columns))


def inputs_of(record: Record, columns: Sequence[tuple[str, str]]) -> pa.Table:
    """The inputs of a record's rows."""
    if record.matrix is None:
        assert record.table is not None
        return from_stream(record.table)
    matrix = np.frombuffer(record.matrix, dtype=np.float64).reshape(-1, len(columns))
    return table_of(matrix, columns)


def rows_of(records: Sequence[Record], execution: str) -> pa.Table:
    """The rows of the predictions table, one for each row asked, in the order of the log within equal facts."""
    groups: dict[tuple[bytes, bool, bool], list[Record]] = {}
    for record in records:
        groups.setdefault((record.facts, record.matrix is None, record.keys is None), []).append(record)
    return pa.concat_tables(
        [_group_rows(decode_facts(facts), group, execution) for (facts, _, _), group in groups.items()],
        promote_options="default",
    )


def _group_rows(facts: Facts, group: Sequence[Record], execution: str) -> pa.Table:
    if group[0].matrix is None:
        inputs = pa.concat_tables([inputs_of(record, facts.columns) for record in group])
    else:
        joined = np.frombuffer(b"".join(r.matrix or b"" for r in group), dtype=np.float64)
        inputs = table_of(joined.reshape(-1, len(facts.columns)), facts.columns)
    ids = [i for r in group for i, n in zip(r.ids, r.counts, strict=True) for _ in range(n)]
    rows = [k for r in group for n in r.counts for k in range(n)]
    spine = pa.table({REQUEST_KEY[0]: pa.array(ids, pa.string()), REQUEST_KEY[1]: pa.array(rows, pa.int64())})
    names = list(REQUEST_KEY)
    if group[0].keys is not None:
        keys = pa.concat_tables([from_stream(r.keys or b"") for r in group], promote_options="default")
        for name in keys.column_names:
            if name not in inputs.column_names:
                spine = spine.append_column(name, keys.column(name))
                names.append(name)
    moments = np.repeat([r.at_us for r in group], [sum(r.counts) for r in group])
    at = pa.chunked_array([pa.array(moments, pa.int64()).cast(TS)])
    scored = prediction_rows(
        prediction_schema(spine.schema, names, inputs.schema),
        spine,
        at,
        inputs,
        pa.array(np.frombuffer(b"".join(r.scores for r in group), dtype=np.float64)),
        model=facts.model,
        model_digest=facts.model_digest,
        definitions=facts.definitions,
        sources=facts.sources,
        execution=execution,
        scored_at=moment_of(group[0].at_us),
    )
    return scored.set_column(scored.column_names.index("scored_at"), "scored_at", at)


def moment_of(at_us: int) -> datetime:
    """Microseconds since 1970 as a moment."""
    # divided as integers: a float has not all microseconds of today
    seconds, micros = divmod(at_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def request_schema(columns: Sequence[tuple[str, str]], keys: pa.Schema) -> pa.Schema:
    """The predictions table of requests for a model's columns, asked by these keys.

    Raises:
        UsageError: A feature has the name of another column (``prediction-column``).
    """
    inputs = signature_schema(columns)
    spine = pa.schema([(REQUEST_KEY[0], pa.string()), (REQUEST_KEY[1], pa.int64()), *keys])
    extra = [name for name in keys.names if name not in inputs.names and name != FEATURES_AT]
    return prediction_schema(spine, [*REQUEST_KEY, *extra], inputs)


def type_differences(have: pa.Schema, want: pa.Schema) -> list[str]:
    """The columns two schemas have both, in different types.

    Example:
        >>> type_differences(pa.schema([("a", pa.int64())]), pa.schema([("a", pa.string()), ("b", pa.int64())]))
        ['a: have int64, want string']
    """
    return [
        f"{field.name}: have {have.field(field.name).type}, want {field.type}"
        for field in want
        if field.name in have.names and have.field(field.name).type != field.type
    ]
