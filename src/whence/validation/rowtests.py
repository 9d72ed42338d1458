"""What a schema asks of single rows: one list of tests, which Arrow, Python and SQL each carry out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from whence.validation.cells import FeatureType, jsonable
from whence.validation.checks.specification import repaired
from whence.validation.patterns import form_of
from whence.validation.schema import Schema
from whence.validation.types import (
    AnomalyType,
    BoolDomain,
    Domain,
    Feature,
    FloatDomain,
    ImageDomain,
    IntDomain,
    StringDomain,
    TimeDomain,
    ValueCount,
    as_micros,
)

Op: TypeAlias = Literal[
    "type", "missing", "depth", "few", "many", "size", "dim", "utf8", "outside", "not_int", "not_float",
    "below", "above", "nan", "inf", "not_bool", "pattern", "long",
]  # fmt: skip
STRUCTURAL: Final = frozenset({"type", "missing", "depth", "few", "many", "size", "dim"})
"""Tests of presence, type and number of values; the others are of the values, when these have the right type."""


class Reason(NamedTuple):
    """Why a row does not pass.

    Attributes:
        feature: The column, or the part of a structure.
        type: The anomaly it belongs to.
        text: In words, with the value.
    """

    feature: str
    type: AnomalyType
    text: str


@dataclass(frozen=True, slots=True)
class RowTest:
    """One rule about the values of one feature in one row.

    A row has one *cell* of a column; of a part of structures it has a cell for each structure that is
    there. A cell is a value, a list of values (of lists), or null. A row breaks a test when one of its
    cells does; except that it also breaks ``missing`` when it has no cell.

    Attributes:
        feature: Its name.
        steps: Its path.
        type: The anomaly a breach belongs to.
        op: What is tested: ``type``, ``missing``; ``depth`` (lists within lists), ``few`` and ``many``
            (values of the lists at `level`), ``size`` (all values of a cell, nulls counted; null breaks
            it), ``dim`` (the same, null passes); of each value that is not null ``utf8``, ``outside`` a
            set, ``not_int``, ``not_float``, ``below``, ``above``, ``nan``, ``inf``, ``not_bool``,
            ``pattern`` (text does not match), ``long`` (more bytes).
        of: The type the schema gives.
        arg: What is asked: the bound (times: microseconds), the texts, the pattern, the depth.
        shown: The same for people.
        level: Of ``few`` and ``many``.
        rejects: Whether one breach is a fault (not so where the schema tolerates a share of them).
        whole: Whether text is read as an integer, not a number (``below``, ``above``).
    """

    feature: str
    steps: tuple[str, ...]
    type: AnomalyType
    op: Op
    of: FeatureType
    arg: Any = None
    shown: Any = None
    level: int = 0
    rejects: bool = True
    whole: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether text is read as a number first."""
        return self.of in ("STRING", "BYTES") and self.op in ("below", "above", "nan", "inf")

    def reason(self, value: Any) -> Reason:
        """The reason of a row with this value."""
        return Reason(self.feature, self.type, _TEXTS[self.op](self, value))


_TEXTS: Final[Mapping[str, Callable[[RowTest, Any], str]]] = {
    "type": lambda t, v: f"{t.feature} is {t.shown if v is None else v}, the schema says {t.of}",
    "missing": lambda t, _: f"{t.feature} is missing",
    "depth": lambda t, _: f"{t.feature} is not {t.arg} lists deep",
    "few": lambda t, v: f"{t.feature} has {_count(v)} values, at least {t.arg} are asked for",
    "many": lambda t, v: f"{t.feature} has {_count(v)} values, at most {t.arg} are allowed",
    "size": lambda t, v: f"{t.feature} has {_leaves(v)} values, the shape {t.shown} wants {t.arg}",
    "dim": lambda t, v: f"{t.feature} has {_leaves(v)} values, the embedding has {t.arg}",
    "utf8": lambda t, _: f"{t.feature} is not UTF-8",
    "outside": lambda t, v: f"{t.feature} {shown(v)!r} is {t.shown}",
    "not_int": lambda t, v: f"{t.feature} {shown(v)!r} is not an integer",
    "not_float": lambda t, v: f"{t.feature} {shown(v)!r} is not a number",
    "below": lambda t, v: f"{t.feature} {shown(v)} is below {t.shown}",
    "above": lambda t, v: f"{t.feature} {shown(v)} is above {t.shown}",
    "nan": lambda t, _: f"{t.feature} is NaN",
    "inf": lambda t, _: f"{t.feature} is infinite",
    "not_bool": lambda t, v: f"{t.feature} {shown(v)} is neither 0 nor 1",
    "pattern": lambda t, v: f"{t.feature} {shown(v)!r} is not {t.shown}",
    "long": lambda t, v: f"{t.feature} has {_bytes(v)} bytes, at most {t.arg} are allowed",
}


def shown(value: Any) -> Any:
    """A cell, or the cells of a list, as JSON says them."""
    return [shown(v) for v in value] if isinstance(value, list) else jsonable(value)


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _leaves(value: Any) -> int:
    if isinstance(value, list):
        return sum(_leaves(v) if isinstance(v, list) else 1 for v in value)
    return 0 if value is None else 1


def _bytes(value: Any) -> int:
    if isinstance(value, list):
        return max(map(_bytes, value), default=0)
    return len(value) if isinstance(value, (bytes, str)) else 0


def cells_of(row: Mapping[str, Any], steps: tuple[str, ...]) -> list[Any]:
    """The cells a row has at a path: one of a column, one a structure of a part of structures.

    Example:
        >>> cells_of({"a": [{"b": 1}, None, {"b": [2]}, {}]}, ("a", "b"))
        [1, [2], None]
    """
    cells = [row.get(steps[0])]
    for step in steps[1:]:
        cells = [s.get(step) for s in _structures(cells)]
    return cells


def paired(cell: Any) -> Any:
    """A cell in which the pairs of maps, as Arrow's ``to_pylist`` gives them, are structures of key and value.

    Example:
        >>> paired([("a", 1)]), paired(("a", 1)), paired([({"b": 1}, {"b": 2})])
        ([{'key': 'a', 'value': 1}], ('a', 1), [({'b': 1}, {'b': 2})])
    """
    if not isinstance(cell, list):
        return cell
    return [dict(zip(("key", "value"), v, strict=True)) if _is_pair(v) else paired(v) for v in cell]


def _is_pair(cell: object) -> bool:
    return isinstance(cell, tuple) and len(cell) == 2 and not isinstance(cell[0], (Mapping, list, tuple))


def _structures(cells: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    for cell in cells:
        if isinstance(cell, Mapping):
            yield cell
        elif isinstance(cell, (list, tuple)):
            yield from _structures(paired(cell))


# --- from the schema -----------------------------------------------------------------------------


def row_tests(schema: Schema, environment: str | None = None) -> list[RowTest]:
    """Every rule of the schema that speaks of single rows, feature by feature.

    Faults of the schema are put right first, as `validate_statistics` does; a feature without a type
    has no tests, and what a domain asks that does not fit the type is left out.
    """
    required = {f.name for f in schema.expected(environment)}
    tests: list[RowTest] = []
    for f in schema:
        if f.checked and f.name and f.type is not None:
            mended, domain, _ = repaired(schema, f)
            tests += _tests(mended, domain, required=f.name in required)
    return tests


def _tests(f: Feature, domain: Domain | None, *, required: bool) -> Iterator[RowTest]:
    make = _maker(f)
    yield make("UNEXPECTED_DATA_TYPE", "type", f.type)
    if required and f.presence is not None and f.presence.min_fraction:
        yield make("FEATURE_TYPE_LOW_FRACTION_PRESENT", "missing", rejects=f.presence.min_fraction == 1.0)
    yield from _counts(f, make)
    if f.shape is not None and f.type != "STRUCT":
        size = math.prod(d or 0 for d in f.shape.dims)
        yield make("INVALID_FEATURE_SHAPE", "size", size, str(list(f.shape.dims)))
    if f.type == "STRING" or (f.type == "BYTES" and isinstance(domain, StringDomain)):
        yield make("ENUM_TYPE_INVALID_UTF8", "utf8")
    if domain is not None:
        yield from _domain_tests(f, domain, make)


_Make: TypeAlias = Callable[..., RowTest]


def _maker(f: Feature) -> _Make:
    assert f.type is not None
    plain = RowTest(f.name, f.steps, "UNEXPECTED_DATA_TYPE", "type", f.type)

    def make(type_: Any, op: Op, arg: Any = None, shown_: Any = None, **more: Any) -> RowTest:
        return replace(plain, type=type_, op=op, arg=arg, shown=arg if shown_ is None else shown_, **more)

    return make


def _counts(f: Feature, make: _Make) -> Iterator[RowTest]:
    levels = f.value_counts or (() if f.value_count is None else (f.value_count,))
    if not levels or f.type == "STRUCT":
        levels = levels[:1]
    if levels and any(v != ValueCount() for v in levels):
        yield make("VALUE_NESTEDNESS_MISMATCH", "depth", len(levels))
    for level, v in enumerate(levels):
        if v.min is not None:
            yield make("FEATURE_TYPE_LOW_NUMBER_VALUES", "few", v.min, level=level)
        if v.max is not None:
            yield make("FEATURE_TYPE_HIGH_NUMBER_VALUES", "many", v.max, level=level)


def _domain_tests(f: Feature, domain: Domain, make: _Make) -> Iterator[RowTest]:
    if isinstance(domain, StringDomain):
        said = "not in the domain"
        rejects = f.min_domain_mass == 1.0
        yield make("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "outside", domain.values, said, rejects=rejects)
    elif isinstance(domain, BoolDomain):
        yield from _bool_tests(f, domain, make)
    elif isinstance(domain, IntDomain):
        if f.type in ("STRING", "BYTES"):
            yield make("INT_TYPE_NOT_INT_STRING", "not_int")
        yield from _range(make, domain, "INT_TYPE_SMALL_INT", "INT_TYPE_BIG_INT", whole=True)
    elif isinstance(domain, FloatDomain):
        yield from _float_tests(f, domain, make)
    elif isinstance(domain, TimeDomain) and f.type in ("TIMESTAMP", "DATE"):
        yield from _range(make, domain, "TIME_TYPE_SMALL_TIME", "TIME_TYPE_BIG_TIME")
    elif isinstance(domain, ImageDomain):
        if domain.max_image_byte_size is not None and f.type == "BYTES":
            yield make("MAX_IMAGE_BYTE_SIZE_EXCEEDED", "long", domain.max_image_byte_size)
    elif f.type in ("STRING", "BYTES") and (form := form_of(domain)) is not None:
        yield make(form.type, "pattern", form.pattern, form.words)


def _float_tests(f: Feature, domain: FloatDomain, make: _Make) -> Iterator[RowTest]:
    if f.type != "FLOAT":
        yield make("FLOAT_TYPE_STRING_NOT_FLOAT", "not_float")
    if domain.disallow_nan:
        yield make("FLOAT_TYPE_HAS_NAN", "nan")
    if domain.disallow_inf:
        yield make("FLOAT_TYPE_HAS_INF", "inf")
    if domain.embedding_dim is not None and f.type == "FLOAT":
        yield make("EMBEDDING_DIMENSION", "dim", domain.embedding_dim)
    yield from _range(make, domain, "FLOAT_TYPE_SMALL_FLOAT", "FLOAT_TYPE_BIG_FLOAT")


def _bool_tests(f: Feature, domain: BoolDomain, make: _Make) -> Iterator[RowTest]:
    if f.type in ("STRING", "BYTES"):
        texts = tuple(v for v in (domain.true_value, domain.false_value) if v is not None)
        if texts:
            yield make("BOOL_TYPE_UNEXPECTED_STRING", "outside", texts, "neither true nor false")
    elif f.type == "INT":
        yield from _range(make, IntDomain(0, 1), "BOOL_TYPE_SMALL_INT", "BOOL_TYPE_BIG_INT", whole=True)
    elif f.type == "FLOAT":
        yield make("BOOL_TYPE_UNEXPECTED_FLOAT", "not_bool")


def _range(
    make: _Make,
    domain: IntDomain | FloatDomain | TimeDomain,
    small: AnomalyType,
    big: AnomalyType,
    *,
    whole: bool = False,
) -> Iterator[RowTest]:
    ends: tuple[tuple[Any, AnomalyType, Op], ...] = ((domain.min, small, "below"), (domain.max, big, "above"))
    for bound, type_, op in ends:
        if bound is not None:
            number = as_micros(bound) if isinstance(domain, TimeDomain) else bound
            yield make(type_, op, number, jsonable(bound), whole=whole)
