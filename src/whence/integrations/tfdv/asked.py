"""The optional statistics that TFDV's options and schema ask for, as whence has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from whence.integrations.tfdv.messages import Message, schema_pb2
from whence.integrations.tfdv.refusals import FileAbsentError, NotFoundError, UsageError
from whence.integrations.tfdv.schema_in import schema_from_proto
from whence.integrations.tfdv.schema_util import leaf_features
from whence.integrations.tfdv.tfrecord import read_records
from whence.validation.extra import Lift, Meanings, SparseFeatures, TokenStatistics, WeightedFeatures
from whence.validation.extra.meanings import Meaning
from whence.validation.extras import Extra
from whence.validation.types import NaturalLanguageDomain

_FOUND: Final[tuple[Meaning, ...]] = ("image", "time", "natural_language")
"""What TFDV looks for in values."""
_CATEGORIES: Final = ("bool_domain", "natural_language_domain")


def composed(schema: Message, vocab_paths: Mapping[str, str] | None) -> Iterator[Extra]:
    """Statistics TFDV makes unasked, of what the schema has: sparse and weighted features, text of a language.

    Raises:
        NotFoundError: A domain names a vocabulary without a path, or its file is absent.
    """
    mine = schema_from_proto(schema, stored=True)
    if mine.sparse_features:
        yield SparseFeatures.of(mine)
    domains = [f.domain for f in mine.features.values() if isinstance(f.domain, NaturalLanguageDomain)]
    if domains:
        named = {d.vocabulary for d in domains if d.vocabulary}
        yield TokenStatistics.of(mine, _vocabularies(named, vocab_paths or {}))
    if mine.weighted_features:
        yield WeightedFeatures.of(mine)


def _vocabularies(names: set[str], paths: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    for name in sorted(names - set(paths)):
        raise NotFoundError(
            "vocabulary", name, near=list(paths), hint="StatsOptions(vocab_paths={name: file})"
        )
    return {name: load_vocabulary(paths[name]) for name in sorted(names)}


def load_vocabulary(path: str) -> tuple[str, ...]:
    """The tokens of a vocabulary in the order of their numbers: the lines of a text file without outer blanks,
    or the records of a file whose name ends in ``tfrecord.gz``.

    Raises:
        NotFoundError: There is no file (``file-not-found``).
        UsageError: It is not UTF-8 (``bad-vocabulary``).
    """
    if not Path(path).is_file():
        raise FileAbsentError(path)
    zipped = path.endswith("tfrecord.gz")
    lines: Iterable[bytes] = read_records(path) if zipped else Path(path).read_bytes().splitlines()
    try:
        return tuple(line.decode().strip() for line in lines)
    except UnicodeDecodeError as error:
        raise UsageError(f"the vocabulary {path} is not UTF-8: {error}", code="bad-vocabulary") from error


def meanings() -> Meanings:
    """What TFDV's semantic domains are."""
    return Meanings(of=_FOUND)


def lift_of(
    label: str, schema: Message | None, weight: str | None, present: Collection[str] | None
) -> tuple[Lift, ...]:
    """The lift of each category for each value of the label; with a weight, of rows and of their weight.

    Categories are, by the schema: text, and integers that are said to be categories or booleans.

    Args:
        label: The column.
        schema: The schema.
        weight: A column of weights.
        present: The columns there are; None is those of the schema.

    Raises:
        UsageError: There is no schema, or the label is a number by it (``bad-options``).
        NotFoundError: The label is no column (``column-not-found``).
    """
    if schema is None:
        raise UsageError(
            "label_feature needs a schema, which says what is a category",
            code="bad-options",
            hint="StatsOptions(schema=infer_schema(statistics), …)",
        )
    names = [path.steps()[0] for path, f in leaf_features(schema) if len(path) == 1 and _is_category(f)]
    if label not in names:
        raise UsageError(
            f"label_feature {label!r} is no category by the schema: neither text nor an integer with"
            " int_domain.is_categorical or a bool_domain",
            code="bad-options",
            hint="whence.validation.Lift cuts numbers at y_edges",
        )
    if present is not None and label not in present:
        raise NotFoundError("column", label, near=sorted(present))
    x = [n for n in names if n != label and (present is None or n in present)]
    return (Lift(label, x),) if weight is None else (Lift(label, x), Lift(label, x, weight=weight))


def _is_category(f: Message) -> bool:
    if f.type == schema_pb2.BYTES:
        return True
    said = f.int_domain.is_categorical or f.WhichOneof("domain_info") in _CATEGORIES
    return bool(f.type == schema_pb2.INT and said)
