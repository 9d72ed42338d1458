"""TFRecord files of TensorFlow's examples as rows: each feature a list of integers, floats or bytes."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from google.protobuf.message import DecodeError

from whence.integrations.protos import File, Message, class_of, described, pool_of
from whence.integrations.tfdv.refusals import NotFoundError, UsageError
from whence.integrations.tfdv.tfrecord import read_records

_EXAMPLE: Final = """
BytesList: repeated bytes value 1
FloatList: repeated float value 1
Int64List: repeated int64 value 1
Feature: BytesList bytes_list 1 in kind, FloatList float_list 2 in kind, Int64List int64_list 3 in kind
Features: map<string,Feature> feature 1
Example: Features features 1
"""
"""TensorFlow's ``example.proto`` and ``feature.proto``."""
_ARROW: Final[Mapping[str, pa.DataType]] = {
    "bytes_list": pa.list_(pa.binary()),
    "float_list": pa.list_(pa.float32()),
    "int64_list": pa.list_(pa.int64()),
}
_BATCH_ROWS: Final = 5_000


@cache
def example_class() -> Message:
    """The class of ``tensorflow.Example``, in a pool of its own."""
    files = described(
        "tensorflow", [File("tensorflow/core/example/example.proto", _EXAMPLE, syntax="proto3")]
    )
    return class_of(pool_of(files), "tensorflow.Example")


class ExampleRows:
    """The rows of TFRecord files; a feature an example does not have is missing there.

    One read finds the features and their types, another gives the values.

    Args:
        location: A path or a pattern.

    Raises:
        NotFoundError: No file fits (``file-not-found``).
        UsageError: It is a folder (``bad-tfrecord``).
    """

    def __init__(self, location: str) -> None:
        self.paths = sorted(glob.glob(location))  # noqa: PTH207 - a pattern may begin at the root
        if not self.paths:
            raise NotFoundError("file", location)
        folder = next((p for p in self.paths if Path(p).is_dir()), None)
        if folder is not None:
            raise UsageError(f"{folder} is a folder", code="bad-tfrecord", hint=f"a pattern: {folder}/*")

    def schema(self) -> pa.Schema:
        """The features, in the order in which they first occur; one that never has a value is null.

        Raises:
            UsageError: A record is no example, or a feature has two types; the file and the number of the
                record are named (``bad-tfrecord``).
        """
        kinds: dict[str, str | None] = {}
        for path, number, example in self._examples():
            for name, feature in sorted(example.features.feature.items()):
                kind = feature.WhichOneof("kind")
                known = kinds.setdefault(name, kind)
                if known is None:
                    kinds[name] = kind
                elif kind not in (None, known):
                    raise UsageError(
                        f"{path}, record {number}: feature {name!r} is a {kind}, before it was a {known}",
                        code="bad-tfrecord",
                    )
        return pa.schema([(n, pa.null() if k is None else _ARROW[k]) for n, k in kinds.items()])

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows, of these features."""
        held: list[Message] = []
        for _, _, example in self._examples():
            held.append(example)
            if len(held) == _BATCH_ROWS:
                yield _batch(held, schema)
                held = []
        if held:
            yield _batch(held, schema)

    def at(self, places: Collection[int]) -> dict[int, Message]:
        """The examples of these rows, counted from 0 over all files."""
        return {row: example for row, (_, _, example) in enumerate(self._examples()) if row in places}

    def _examples(self) -> Iterator[tuple[str, int, Any]]:
        read = example_class()
        for path in self.paths:
            for number, record in enumerate(read_records(path)):
                try:
                    yield path, number, read.FromString(record)
                except DecodeError as error:
                    raise UsageError(
                        f"{path}, record {number} is no tf.train.Example: {error}", code="bad-tfrecord"
                    ) from error


def _batch(examples: list[Message], schema: pa.Schema) -> pa.RecordBatch:
    if not len(schema):  # from arrays it would forget how many rows it has
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(examples), pa.struct([])))
    columns = []
    for field in schema:
        values = [_values(e.features.feature, field.name) for e in examples]
        columns.append(
            pa.nulls(len(values)) if pa.types.is_null(field.type) else pa.array(values, field.type)
        )
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _values(features: Any, name: str) -> list[Any] | None:
    if name not in features:
        return None
    which = features[name].WhichOneof("kind")
    return None if which is None else list(getattr(features[name], which).value)
