"""Domains of the schema language: which values a column may have, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

from whence._base.clock import utc
from whence.errors import UsageError
from whence.validation.cells import FeatureType
from whence.validation.plain import kind_of, to_plain

Instant: TypeAlias = datetime | date

IntegerTimeFormat: TypeAlias = Literal[
    "UNIX_DAYS", "UNIX_SECONDS", "UNIX_MILLISECONDS", "UNIX_MICROSECONDS", "UNIX_NANOSECONDS"
]
"""What an integer that is a time counts since 1970."""


@dataclass(frozen=True, slots=True)
class IntDomain:
    """Integers (or text that reads as such) from `min` to `max`, both allowed.

    Attributes:
        min: The smallest.
        max: The largest.
        is_categorical: Whether the numbers are codes and no quantities.
        name: A name the domain carries beside the column's.
    """

    KIND: ClassVar[str] = "int"
    min: int | None = None
    max: int | None = None
    is_categorical: bool | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class FloatDomain:
    """Numbers (or text that reads as such) from `min` to `max`, both allowed.

    Attributes:
        min: The smallest.
        max: The largest.
        disallow_nan: Whether NaN is a fault.
        disallow_inf: Whether an infinity is a fault.
        is_embedding: Whether the values are a vector of meaning.
        is_categorical: Whether the numbers are codes and no quantities.
        embedding_dim: How long the vector is.
        embedding_type: What made it, such as ``node2vec``.
        name: A name the domain carries beside the column's.
    """

    KIND: ClassVar[str] = "float"
    min: float | None = None
    max: float | None = None
    disallow_nan: bool = False
    disallow_inf: bool = False
    is_embedding: bool | None = None
    is_categorical: bool | None = None
    embedding_dim: int | None = None
    embedding_type: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class StringDomain:
    """The values a text may have."""

    KIND: ClassVar[str] = "string"
    values: tuple[str, ...] = ()
    is_categorical: bool | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class BoolDomain:
    """Booleans, the numbers 0 and 1, or two texts that stand for them."""

    KIND: ClassVar[str] = "bool"
    true_value: str | None = None
    false_value: str | None = None
    name: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The texts it names; none of them of numbers."""
        return tuple(v for v in (self.true_value, self.false_value) if v is not None)


@dataclass(frozen=True, slots=True)
class TimeDomain:
    """Instants or dates from `min` to `max`, both allowed; or text and integers that are times.

    Attributes:
        min: The first instant (columns of times).
        max: The last.
        string_format: How text reads as a time, in the letters of ``strptime``.
        integer_format: What an integer counts.
    """

    KIND: ClassVar[str] = "time"
    min: Instant | None = None
    max: Instant | None = None
    string_format: str | None = None
    integer_format: IntegerTimeFormat | None = None


@dataclass(frozen=True, slots=True)
class TimeOfDayDomain:
    """Text or integers that are a time of the day."""

    KIND: ClassVar[str] = "time_of_day"
    string_format: str | None = None
    integer_format: Literal["PACKED_64_NANOS"] | None = None


@dataclass(frozen=True, slots=True)
class StructDomain:
    """A column of structures; what its parts must be is said by features of their own (``trip.miles``)."""

    KIND: ClassVar[str] = "struct"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the text the vocabulary must know.

    Attributes:
        min_coverage: The least share of tokens that are in the vocabulary.
        min_avg_token_length: The least mean length of a token in letters.
        excluded_string_tokens: Tokens that count on neither side.
        excluded_int_tokens: The same, by number.
        oov_string_tokens: Tokens that stand for an unknown word.
    """

    min_coverage: float | None = None
    min_avg_token_length: float | None = None
    excluded_string_tokens: tuple[str, ...] = ()
    excluded_int_tokens: tuple[int, ...] = ()
    oov_string_tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenConstraint:
    """How often a token must occur.

    Attributes:
        value: The token: a number or a text.
        min_per_sequence: Least number of times in one sequence.
        max_per_sequence: Largest number of times in one sequence.
        min_fraction_of_sequences: Least share of sequences that have it.
        max_fraction_of_sequences: Largest share.
    """

    value: int | str
    min_per_sequence: int | None = None
    max_per_sequence: int | None = None
    min_fraction_of_sequences: float | None = None
    max_fraction_of_sequences: float | None = None


@dataclass(frozen=True, slots=True)
class SequenceLength:
    """How many tokens a sequence has, some tokens not counted."""

    min_sequence_length: int | None = None
    max_sequence_length: int | None = None
    excluded_int_values: tuple[int, ...] = ()
    excluded_string_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NaturalLanguageDomain:
    """Text of a language, or its tokens."""

    KIND: ClassVar[str] = "natural_language"
    vocabulary: str | None = None
    coverage: Coverage | None = None
    token_constraints: tuple[TokenConstraint, ...] = ()
    sequence_length: SequenceLength | None = None


@dataclass(frozen=True, slots=True)
class ImageDomain:
    """Bytes that are images."""

    KIND: ClassVar[str] = "image"
    minimum_supported_image_fraction: float | None = None
    max_image_byte_size: int | None = None


@dataclass(frozen=True, slots=True)
class AudioDomain:
    """Bytes that are sound."""

    KIND: ClassVar[str] = "audio"


@dataclass(frozen=True, slots=True)
class VideoDomain:
    """Bytes that are moving images."""

    KIND: ClassVar[str] = "video"


@dataclass(frozen=True, slots=True)
class ContentChunkDomain:
    """Bytes that are a part of a document of mixed content."""

    KIND: ClassVar[str] = "content_chunk"


@dataclass(frozen=True, slots=True)
class UrlDomain:
    """Text that is an address."""

    KIND: ClassVar[str] = "url"


@dataclass(frozen=True, slots=True)
class MidDomain:
    """Text that is an identifier of the knowledge graph, ``/m/05vl_``."""

    KIND: ClassVar[str] = "mid"


Domain: TypeAlias = (
    IntDomain
    | FloatDomain
    | StringDomain
    | BoolDomain
    | TimeDomain
    | TimeOfDayDomain
    | StructDomain
    | NaturalLanguageDomain
    | ImageDomain
    | AudioDomain
    | VideoDomain
    | ContentChunkDomain
    | UrlDomain
    | MidDomain
)
DOMAINS: Final[tuple[type[Domain], ...]] = get_args(Domain)
"""All kinds of domains."""

SEMANTIC: Final = (
    TimeDomain,
    TimeOfDayDomain,
    NaturalLanguageDomain,
    ImageDomain,
    AudioDomain,
    VideoDomain,
    ContentChunkDomain,
    UrlDomain,
    MidDomain,
)
"""Domains that say what values mean, beside which values there may be."""

_TEXT: Final = frozenset({"STRING", "BYTES"})
_ALL_BUT_STRUCT: Final = frozenset({"INT", "FLOAT", "STRING", "BYTES"})
_TYPES_OF_DOMAIN: Final[Mapping[type[Domain], frozenset[str]]] = {
    AudioDomain: _TEXT,
    BoolDomain: _ALL_BUT_STRUCT | {"BOOL"},
    ContentChunkDomain: _TEXT,
    FloatDomain: _TEXT | {"FLOAT"},
    ImageDomain: _TEXT,
    IntDomain: _TEXT | {"INT", "BOOL"},
    MidDomain: _TEXT,
    NaturalLanguageDomain: _TEXT | {"INT"},
    StringDomain: _TEXT,
    StructDomain: frozenset({"STRUCT"}),
    TimeDomain: _TEXT | {"INT", "TIMESTAMP", "DATE"},
    TimeOfDayDomain: _TEXT | {"INT"},
    UrlDomain: _TEXT,
    VideoDomain: _TEXT,
}


def domain_fits(domain: Domain, type_: FeatureType) -> bool:
    """Whether a domain speaks of values of this type.

    Example:
        >>> domain_fits(IntDomain(0, 9), "STRING"), domain_fits(IntDomain(0, 9), "FLOAT")
        (True, False)
    """
    return type_ in _TYPES_OF_DOMAIN[type(domain)]


def domain_to_dict(domain: Domain) -> dict[str, Any]:
    """A domain as JSON, its kind first.

    Example:
        >>> domain_to_dict(FloatDomain(max=100.0))
        {'kind': 'float', 'max': 100.0}
    """
    made: dict[str, Any] = to_plain(domain)
    return made


def domain_from_dict(data: Mapping[str, Any], at: tuple[str | int, ...] = ()) -> Domain:
    """The domain that `domain_to_dict` wrote.

    Raises:
        UsageError: The kind or a key is unknown (``bad-schema``).
    """
    made: Domain = kind_of(list(DOMAINS), data, "a domain", at)
    return made


def as_micros(moment: Instant) -> int:
    """An instant (a date: its midnight in UTC) as microseconds since 1970."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    delta = utc(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


# A meaning as TFDV's statistics say it: the text of a domain of its schema proto.
_PROTO: Final = re.compile(r"\s*(\w+)_domain:?\s*\{(.*)\}\s*", re.DOTALL)
_FIELD: Final = re.compile(r"""(\w+)\s*:\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[\w.+-]+)""")


def read_domain_info(said: Any) -> Domain | None:
    """The domain that statistics recognised: JSON as `domain_to_dict` writes it, or TFDV's text proto.

    Example:
        >>> read_domain_info('time_domain { string_format: "%Y" }').string_format
        '%Y'
    """
    if isinstance(said, str):
        found = _PROTO.fullmatch(said)
        if found is None:
            return None
        said = {"kind": found[1], **{k: v.strip("\"'") for k, v in _FIELD.findall(found[2])}}
    if not isinstance(said, Mapping):
        return None
    try:
        return domain_from_dict(said)
    except UsageError:
        return None
