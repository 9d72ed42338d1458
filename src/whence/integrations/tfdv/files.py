"""Protos in files, by TFDV's names: text, bytes, and one record of a TFRecord file."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from whence.integrations.tfdv.messages import Message, anomalies_pb2, as_ours, schema_pb2, statistics_pb2
from whence.integrations.tfdv.refusals import FileAbsentError, UnsupportedError, UsageError
from whence.integrations.tfdv.text import read_binary, read_text, to_text
from whence.integrations.tfdv.tfrecord import is_tfrecord, read_records, write_records
from whence.integrations.tfdv.views import DatasetListView

_SHARD: Final = re.compile(r"-(?P<i>\d+)-of-(?P<n>\d+)$")


def write_schema_text(schema: Message, output_path: str) -> None:
    """Write a schema as text.

    Raises:
        TypeError: It is no ``Schema``.
    """
    _write(as_ours(schema, "Schema"), output_path)


def load_schema_text(input_path: str) -> Message:
    """The schema of a text file.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: It does not read; the line and near names are given (``bad-pbtxt``).
    """
    return _read(schema_pb2.Schema, input_path)


def write_stats_text(stats: Message, output_path: str) -> None:
    """Write statistics as text.

    Raises:
        TypeError: They are no ``DatasetFeatureStatisticsList``.
    """
    _write(as_ours(stats, "DatasetFeatureStatisticsList"), output_path)


def load_stats_text(input_path: str) -> Message:
    """The statistics of a text file.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: It does not read (``bad-pbtxt``).
    """
    return _read(statistics_pb2.DatasetFeatureStatisticsList, input_path)


def load_stats_binary(input_path: str) -> Message:
    """The statistics of a file that holds the bytes of the message.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: It holds something else (``bad-proto``).
    """
    data = _bytes(input_path)
    return read_binary(statistics_pb2.DatasetFeatureStatisticsList, data, name=str(input_path))


def load_statistics(input_path: str) -> Message:
    """The statistics of a TFRecord file of one record, or of a text file.

    Raises:
        NotFoundError: There is no such file (``file-not-found``); as of TFDV it is a `FileNotFoundError` too.
        UsageError: It is neither (``bad-pbtxt``, ``bad-proto``).
    """
    if not Path(input_path).exists():
        raise FileAbsentError(input_path)
    if not is_tfrecord(input_path):
        return load_stats_text(input_path)
    records = list(read_records(input_path))
    if len(records) != 1:
        raise UsageError(
            f"{input_path} has {len(records)} records where statistics are one",
            code="bad-statistics",
            hint="load_sharded_statistics reads several",
        )
    return read_binary(statistics_pb2.DatasetFeatureStatisticsList, records[0], name=str(input_path))


def load_sharded_statistics(
    input_path_prefix: str | None = None,
    input_paths: Iterable[str] | None = None,
    io_provider: Any = None,
) -> DatasetListView:
    """The statistics of several TFRecord files, each of which has some of the features.

    Args:
        input_path_prefix: The files' names up to ``-00000-of-00007``.
        input_paths: The files themselves.
        io_provider: Refused: files are TFRecord files.

    Raises:
        UsageError: Not one of both is given, or no file fits (``usage``); the shards of a prefix are not
            all there, or of two writings (``bad-statistics``).
    """
    if io_provider is not None:
        raise UnsupportedError("io_provider is not offered", hint="shards are TFRecord files")
    if (input_path_prefix is None) == (input_paths is None):
        raise UsageError("give one of input_path_prefix and input_paths")
    if input_path_prefix is None:
        paths = list(input_paths or ())
    else:
        pattern = f"{glob.escape(input_path_prefix)}-*-of-*"
        paths = sorted(glob.glob(pattern))  # noqa: PTH207 - a prefix may begin at the root
    if not paths:
        raise UsageError(f"no file fits {input_path_prefix or input_paths}")
    if input_path_prefix is not None:
        _check_whole(paths)
    return DatasetListView(_joined(paths))


def _check_whole(paths: list[str]) -> None:
    """Shards of one writing, all of them; files of other names are taken as they are."""
    ends = [found for path in paths if (found := _SHARD.search(path))]
    sizes = sorted({int(end["n"]) for end in ends})
    if len(sizes) > 1:
        raise UsageError(
            f"{paths[0]} and its neighbours are shards of {' and of '.join(map(str, sizes))} files",
            code="bad-statistics",
            hint="remove those of the older run, or name the files in input_paths",
        )
    absent = sorted(set(range(sizes[0] if sizes else 0)) - {int(end["i"]) for end in ends})
    if absent:
        raise UsageError(
            f"of {sizes[0]} shards, number {absent[0]} is absent beside {paths[0]}",
            code="bad-statistics",
            hint="write them again, or name the files in input_paths",
        )


def _joined(paths: Iterable[str]) -> Message:
    out = statistics_pb2.DatasetFeatureStatisticsList()
    by_name: dict[str, Message] = {}
    features: dict[tuple[str, tuple[str, ...]], Message] = {}
    for path in paths:
        for record in read_records(path):
            shard = read_binary(statistics_pb2.DatasetFeatureStatisticsList, record, name=path)
            for dataset in shard.datasets:
                whole = by_name.get(dataset.name) or out.datasets.add(name=dataset.name)
                by_name[dataset.name] = whole
                whole.num_examples = max(whole.num_examples, dataset.num_examples)
                whole.weighted_num_examples = max(whole.weighted_num_examples, dataset.weighted_num_examples)
                whole.cross_features.extend(dataset.cross_features)
                for feature in dataset.features:
                    key = (dataset.name, tuple(feature.path.step) or (feature.name,))
                    if key not in features:
                        features[key] = whole.features.add()
                    features[key].MergeFrom(feature)
    return out


def write_statistics(stats: Message, output_path: str | Path | bytes, shards: int = 1) -> None:
    """Write statistics as a TFRecord file of one record, which `load_statistics` reads.

    Args:
        stats: The statistics.
        output_path: The file; of several shards, what their names begin with.
        shards: So many files; each has some of the features, and `load_sharded_statistics` joins them.
    """
    path = output_path.decode() if isinstance(output_path, bytes) else str(output_path)
    if shards == 1:
        write_records(path, [stats.SerializeToString(deterministic=True)])
        return
    for i in range(shards):
        record = _shard(stats, i, shards).SerializeToString(deterministic=True)
        write_records(f"{path}-{i:05d}-of-{shards:05d}", [record])


def _shard(stats: Message, i: int, n: int) -> Message:
    out = statistics_pb2.DatasetFeatureStatisticsList()
    for dataset in stats.datasets:
        made = out.datasets.add(name=dataset.name, num_examples=dataset.num_examples)
        if dataset.weighted_num_examples:
            made.weighted_num_examples = dataset.weighted_num_examples
        for field in ("features", "cross_features"):
            parts = getattr(dataset, field)
            getattr(made, field).extend(parts[len(parts) * i // n : len(parts) * (i + 1) // n])
    return out


def write_anomalies_text(anomalies: Message, output_path: str) -> None:
    """Write anomalies as text.

    Raises:
        TypeError: They are no ``Anomalies``.
    """
    _write(as_ours(anomalies, "Anomalies"), output_path)


def load_anomalies_text(input_path: str) -> Message:
    """The anomalies of a text file.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: It does not read (``bad-pbtxt``).
    """
    return _read(anomalies_pb2.Anomalies, input_path)


def _write(message: Message, path: str) -> None:
    Path(path).write_text(to_text(message), encoding="utf-8")


def _read(cls: Any, path: str) -> Message:
    return read_text(cls, _bytes(path), name=str(path))


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise FileAbsentError(path) from error
