"""What the values of columns mean: times, addresses, text of a language, images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

import numpy as np
import pyarrow as pa

from whence.errors import UsageError
from whence.stats.base import Array, numbers
from whence.validation.domains import Domain, ImageDomain, NaturalLanguageDomain, TimeDomain, UrlDomain
from whence.validation.extra.images import image_formats
from whence.validation.extra.leaves import as_bytes, chosen_features, leaves_of
from whence.validation.extra.text import sentences, urls, valid_texts
from whence.validation.extra.times import UNIX, best_format, integer_times, text_times
from whence.validation.extras import Extra, register_extra
from whence.validation.types import domain_to_dict

Meaning: TypeAlias = Literal["image", "time", "url", "natural_language"]

MEANINGS: Final[tuple[Meaning, ...]] = ("image", "time", "url", "natural_language")
"""In this order: the first that holds is the domain, so that a date in words is a time and no prose."""
MIN_SHARE: Final = 0.8
MIN_VALUES: Final = 100
_TYPES: Final = frozenset({"STRING", "BYTES", "INT"})


@register_extra
@dataclass(frozen=True)
class Meanings(Extra):
    """Which columns are times, addresses, prose or images; inference and validation read it.

    A column means what at least 0.8 of at least 100 values (not null) are:

    - time: text in one of 121 formats of dates and clocks, or integers between 1990 and 2030 as days,
      seconds, milli-, micro- or nanoseconds since 1970; its domain names the format most values have;
    - url: text of the form ``scheme://host…`` without blanks;
    - natural_language: text whose first 100 characters are 3 or more words of 2.5 to 8 characters in
      the mean;
    - image: bytes that begin as BMP, GIF, JPEG, PNG or WebP do; sizes are read from the same bytes.

    Counts add up, so any split of the rows merges exactly. Text that is not UTF-8 counts as a value
    that means nothing.

    Args:
        columns: Features; None is all of text, bytes and integers.
        of: The meanings looked for.

    Raises:
        UsageError: A meaning is unknown (``bad-meaning``).

    Source:
        TFDV ``TimeStatsGenerator``, ``NLDomainInferringStatsGenerator`` and ``ImageStatsGenerator``.
        Differs: addresses and WebP; all values of a list; one empty or broken text does not
        disqualify a column; of several meanings one is chosen, in the order image, time, url,
        natural_language; ``BM`` alone is no bitmap.

    Example:
        >>> from whence.validation import StatisticsOptions, describe
        >>> t = pa.table({"day": [f"2018-11-{d % 30 + 1:02}" for d in range(100)]})
        >>> describe(t, options=StatisticsOptions(extras=(Meanings(),)))["day"].custom["domain_info"]
        {'kind': 'time', 'string_format': '%Y-%m-%d'}
    """

    kind: ClassVar[str] = "meanings"

    names: tuple[str, ...] | None = None
    of: tuple[Meaning, ...] = MEANINGS
    seen: Mapping[str, Seen] = field(default_factory=dict, repr=False)

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        of: Sequence[Meaning] = MEANINGS,
        *,
        _seen: Mapping[str, Seen] | None = None,
    ) -> None:
        unknown = [m for m in of if m not in MEANINGS]
        if unknown:
            raise UsageError(
                f"{unknown[0]!r} is no meaning that is looked for: {', '.join(MEANINGS)}", code="bad-meaning"
            )
        object.__setattr__(self, "names", None if columns is None else tuple(columns))
        object.__setattr__(self, "of", tuple(m for m in MEANINGS if m in of))
        object.__setattr__(self, "seen", _seen or {})

    def key(self) -> str:
        """``meanings``, with the columns where they were said."""
        return "meanings" if self.names is None else f"meanings({', '.join(self.names)})"

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block."""
        found = {}
        for name, (path, type_) in chosen_features(block.schema, self.names, _TYPES).items():
            if type_ in _TYPES:
                values = leaves_of(block, path).values
                found[name] = _integers(values, self.of) if type_ == "INT" else _texts(values, self.of)
        return self._merged(found)

    def merge(self, other: Self, /) -> Self:
        """The state of both."""
        return self._merged(other.seen)

    def _merged(self, other: Mapping[str, Seen]) -> Self:
        names = sorted({*self.seen, *other})
        both = {n: self.seen.get(n, _NOTHING).merge(other.get(n, _NOTHING)) for n in names}
        return type(self)(self.names, self.of, _seen=both)

    def finish(self) -> Any:
        """Values and the shares of them that are something, by column: those with any such value."""
        return {name: seen.shares() for name, seen in self.seen.items() if seen.any}

    def by_feature(self) -> Mapping[str, Any]:
        """``domain_info`` and its shares of the columns that mean something, named as in TFDV."""
        said = {name: seen.custom() for name, seen in self.seen.items()}
        return {name: custom for name, custom in said.items() if custom}

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        seen = {name: s.to_dict() for name, s in self.seen.items()}
        return {"columns": self.names, "of": list(self.of), "seen": seen}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        seen = {name: Seen.from_dict(s) for name, s in data["seen"].items()}
        return cls(data["columns"], data["of"], _seen=seen)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the values of one column were.

    Attributes:
        n: Values.
        times: How many are times, by format.
        urls: How many are addresses.
        sentences: How many are prose.
        images: How many are images, by format.
        width: The largest width of an image in pixels.
        height: The largest height.
    """

    n: int = 0
    times: Mapping[str, int] = field(default_factory=dict)
    urls: int = 0
    sentences: int = 0
    images: Mapping[str, int] = field(default_factory=dict)
    width: int = 0
    height: int = 0

    def merge(self, other: Seen) -> Seen:
        """Both together."""
        return Seen(
            self.n + other.n,
            _sum(self.times, other.times),
            self.urls + other.urls,
            self.sentences + other.sentences,
            _sum(self.images, other.images),
            max(self.width, other.width),
            max(self.height, other.height),
        )

    @property
    def any(self) -> bool:
        """Whether any value means something."""
        return bool(self.times or self.urls or self.sentences or self.images)

    @property
    def share(self) -> dict[Meaning, float]:
        """The share of values that are each of the meanings; of times, those of the best format."""
        best = best_format(self.times)
        counts: dict[Meaning, int] = {
            "image": sum(self.images.values()),
            "time": 0 if best is None else best[1],
            "url": self.urls,
            "natural_language": self.sentences,
        }
        return {m: n / self.n if self.n else 0.0 for m, n in counts.items()}

    def holds(self) -> list[Meaning]:
        """The meanings that enough values have, in the order of `MEANINGS`."""
        return [m for m, share in self.share.items() if self.n >= MIN_VALUES and share >= MIN_SHARE]

    def domain(self) -> Domain | None:
        """The domain of the first meaning that holds."""
        held = self.holds()
        if not held:
            return None
        best = best_format(self.times)
        if held[0] == "time" and best is not None:
            if best[0] in UNIX:
                named = next(n for n in UNIX if n == best[0])
                return TimeDomain(integer_format=named)
            return TimeDomain(string_format=best[0])
        others: dict[Meaning, Domain] = {
            "image": ImageDomain(),
            "url": UrlDomain(),
            "natural_language": NaturalLanguageDomain(),
        }
        return others[held[0]]

    def shares(self) -> dict[str, Any]:
        """What is known, as JSON for people and tools."""
        best = best_format(self.times)
        out: dict[str, Any] = {"values": self.n}
        out |= {m: share for m, share in self.share.items() if share}
        if best is not None:
            out["time_format"] = best[0]
        if self.images:
            out |= self._images()
        domain = self.domain()
        return out if domain is None else {**out, "domain_info": domain_to_dict(domain)}

    def custom(self) -> dict[str, Any]:
        """What becomes of it part of the column's custom statistics."""
        out: dict[str, Any] = {}
        domain = self.domain()
        if domain is not None:
            out["domain_info"] = domain_to_dict(domain)
        names = {
            "time": "time_match_ratio",
            "url": "url_match_ratio",
            "natural_language": "natural_language_match_rate",
        }
        out |= {names[m]: self.share[m] for m in self.holds() if m in names}
        return out | (self._images() if self.images else {})

    def _images(self) -> dict[str, Any]:
        unknown = self.n - sum(self.images.values())
        formats: list[list[Any]] = [["UNKNOWN", unknown]] if unknown else []
        formats += [[name, n] for name, n in sorted(self.images.items())]
        return {
            "image_format_histogram": formats,
            "image_max_width": self.width,
            "image_max_height": self.height,
        }

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON."""
        counts = {"n": self.n, "urls": self.urls, "sentences": self.sentences}
        counts |= {"width": self.width, "height": self.height}
        out: dict[str, Any] = {k: v for k, v in counts.items() if v}
        for name, found in (("times", self.times), ("images", self.images)):
            if found:
                out[name] = dict(sorted(found.items()))
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Seen:
        """The counts that `to_dict` wrote."""
        return cls(**data)


_NOTHING: Final = Seen()


def _integers(values: pa.Array, of: Sequence[Meaning]) -> Seen:
    plain = numbers(values)
    return Seen(len(plain), integer_times(plain) if "time" in of else {})


def _texts(values: pa.Array, of: Sequence[Meaning]) -> Seen:
    """Each different value is looked at once."""
    encoded = as_bytes(values).dictionary_encode()
    counts: Array = np.bincount(encoded.indices.to_numpy(), minlength=len(encoded.dictionary))
    different = encoded.dictionary
    made = Seen(len(values))
    if not len(different):
        return made
    if "image" in of:
        found, (width, height) = image_formats(different, counts)
        made = replace(made, images=found, width=width, height=height)
    texts, here = valid_texts(different)
    counts = counts if here is None else counts[here]
    if not len(texts):
        return made
    if "time" in of:
        made = replace(made, times=text_times(texts, counts))
    if "url" in of:
        made = replace(made, urls=int(counts[urls(texts)].sum()))
    if "natural_language" in of:
        made = replace(made, sentences=int(counts[sentences(texts)].sum()))
    return made


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {k: a.get(k, 0) + b.get(k, 0) for k in sorted({*a, *b})}
