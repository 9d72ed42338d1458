"""Statistics of the tokens of a language: coverage by a vocabulary, lengths, single tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Self, TypeAlias

import numpy as np
import pyarrow as pa

from whence.errors import NotFoundError
from whence.stats import Histogram, Quantiles, TopValues, equal_mass
from whence.stats.base import Array
from whence.stats.hashing import hash64, mix
from whence.validation.extra.leaves import chosen_features, labels_of, leaves_of
from whence.validation.extras import Extra, register_extra
from whence.validation.nested import one_array
from whence.validation.schema import Schema
from whence.validation.types import (
    Coverage,
    NaturalLanguageDomain,
    SequenceLength,
    domain_from_dict,
    domain_to_dict,
)

POSITIONS: Final = 10
"""Parts of a sequence in which positions are counted."""
RANKS: Final = 1_000
REPORTED: Final = 5
"""How many sequences are reported for their coverage, and how many for the length of their tokens."""
_TYPES: Final = frozenset({"STRING", "BYTES", "INT"})

Word: TypeAlias = "int | str"
Reported: TypeAlias = tuple[float, int, str]
"""What a sequence is judged by, its hash, and the sequence as text."""


@register_extra
class TokenStatistics(Extra):
    """Statistics of the sequences of tokens of columns with a natural-language domain.

    A row that is not null is a sequence; its values are tokens, as text or as their numbers in a
    vocabulary. Over the tokens that are not excluded by the domain's coverage:

        feature_coverage = known tokens / tokens
        avg_token_length = letters of known tokens / known tokens

    A token is known when it is no out-of-vocabulary token and, where there is a vocabulary, in it.
    Beside: histograms of the lengths of known tokens and of sequences (excluded tokens not counted,
    empty sequences left out), the ranks of known tokens, and for each token the domain constrains how
    often it occurs: in all, least, most and in the mean of the sequences that have it, the share of
    sequences that have it, and at which tenths of the sequences it stands. Reported are up to 5 different
    sequences of the smallest coverage and up to 5 of the shortest known tokens, excluded ones included.

    Counts add up, so any split merges exactly; histograms of lengths are within the rank error of
    `Quantiles`, ranks exact up to 100,000 different tokens.

    Source:
        TFDV ``NLStatsGenerator``; `custom` has ``nl_statistics`` with the field names of its proto.
        Differs: text is looked up in the vocabulary too, not only numbers; of sequences that are as bad
        as each other those of the smallest hash are reported, whatever the order of rows.

    Example:
        >>> from whence.validation import StatisticsOptions, describe
        >>> t = pa.table({"words": [["a", "bird"], ["OOV", "bird", "bird"]]})
        >>> domain = NaturalLanguageDomain(coverage=Coverage(oov_string_tokens=("OOV",)))
        >>> tokens = TokenStatistics({"words": domain})
        >>> said = describe(t, options=StatisticsOptions(extras=(tokens,))).extras["tokens"].finish()
        >>> said["words"]["feature_coverage"], said["words"]["avg_token_length"]
        (0.8, 3.25)
    """

    kind: ClassVar[str] = "tokens"

    def __init__(
        self,
        domains: Mapping[str, NaturalLanguageDomain],
        *,
        vocabularies: Mapping[str, Sequence[str]] | None = None,
        _seen: Mapping[str, Tokens] | None = None,
    ) -> None:
        """Of these columns.

        Args:
            domains: The domain of each feature.
            vocabularies: Tokens in the order of their numbers from 0, by the name the domains say.

        Raises:
            NotFoundError: A domain names a vocabulary that is not given.
        """
        self._domains = dict(domains)
        given = vocabularies or {}
        names = {d.vocabulary for d in domains.values() if d.vocabulary}
        for name in sorted(names - set(given)):
            raise NotFoundError("vocabulary", name, near=list(given))
        self._vocabularies = {n: tuple(given[n]) for n in sorted(names)}
        self._rules = {
            c: _Rules(d, self._vocabularies.get(d.vocabulary or "")) for c, d in self._domains.items()
        }
        self._seen = dict(_seen or {})

    @classmethod
    def of(cls, schema: Schema, vocabularies: Mapping[str, Sequence[str]] | None = None) -> TokenStatistics:
        """Of the columns that a schema says are of a language.

        Raises:
            NotFoundError: A domain names a vocabulary that is not given.
        """
        found = {f.name: f.domain for f in schema.features.values()}
        return cls(
            {n: d for n, d in found.items() if isinstance(d, NaturalLanguageDomain)},
            vocabularies=vocabularies,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenStatistics) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(tuple(self._domains))

    def __repr__(self) -> str:
        return f"<Tokens of {', '.join(self._domains)}>"

    def key(self) -> str:
        """``tokens``."""
        return "tokens"

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block; a column that is not there, or not of tokens, is left out."""
        seen = dict(self._seen)
        known = chosen_features(block.schema, None, _TYPES)
        for name, rules in self._rules.items():
            if name in known:
                path, _ = known[name]
                seen[name] = seen.get(name, Tokens()).merge(_tokens(block, path, rules))
        return self._with(seen)

    def merge(self, other: Self, /) -> Self:
        """The state of both."""
        names = [n for n in self._domains if n in self._seen or n in other._seen]
        return self._with({n: self._seen.get(n, Tokens()).merge(other._seen.get(n, Tokens())) for n in names})

    def sealed(self) -> Self:
        """The state with its sketches cut to stored size."""
        return self._with({n: s.sealed() for n, s in self._seen.items()})

    def _with(self, seen: Mapping[str, Tokens]) -> Self:
        return type(self)(self._domains, vocabularies=self._vocabularies, _seen=seen)

    def finish(self) -> Any:
        """The statistics by column, with the field names of TFDV's ``NaturalLanguageStatistics``."""
        return {n: s.told(self._rules[n].wanted) for n, s in self._seen.items()}

    def by_feature(self) -> Mapping[str, Any]:
        """The same as ``nl_statistics`` of each column."""
        return {n: {"nl_statistics": said} for n, said in self.finish().items()}

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        from_domain = {n: domain_to_dict(d) for n, d in self._domains.items()}
        return {
            "domains": from_domain,
            "vocabularies": {n: list(v) for n, v in self._vocabularies.items()},
            "seen": {n: s.to_dict() for n, s in self._seen.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        domains = {n: _language(d) for n, d in data["domains"].items()}
        seen = {n: Tokens.from_dict(s) for n, s in data["seen"].items()}
        return cls(domains, vocabularies=data["vocabularies"], _seen=seen)


def _language(data: Mapping[str, Any]) -> NaturalLanguageDomain:
    made = domain_from_dict(data)
    assert isinstance(made, NaturalLanguageDomain)
    return made


class _Rules:
    """What a domain says of tokens, ready for use."""

    def __init__(self, domain: NaturalLanguageDomain, vocabulary: Sequence[str] | None) -> None:
        coverage, length = domain.coverage or Coverage(), domain.sequence_length or SequenceLength()
        self.vocabulary = vocabulary
        self.numbers = {t: i for i, t in enumerate(vocabulary or ())}
        self.excluded = frozenset([*coverage.excluded_string_tokens, *coverage.excluded_int_tokens])
        self.unknown = frozenset(coverage.oov_string_tokens)
        self.uncounted = frozenset([*length.excluded_string_values, *length.excluded_int_values])
        self.wanted: tuple[Word, ...] = tuple(
            dict.fromkeys(t.value for t in domain.token_constraints if t.value != "")
        )

    def text(self, token: Word) -> str | None:
        """A token as text; None when it is a number the vocabulary does not have."""
        if isinstance(token, str):
            return token
        words = self.vocabulary or ()
        return words[token] if 0 <= token < len(words) else None

    def names(self, token: Word) -> frozenset[Word]:
        """A token by its text and its number."""
        other = self.numbers.get(token) if isinstance(token, str) else self.text(token)
        return frozenset([token]) if other is None else frozenset([token, other])

    def knows(self, token: Word) -> bool:
        """Whether it is a word of the vocabulary."""
        text = self.text(token)
        if text is None or text in self.unknown:
            return False
        return self.vocabulary is None or text in self.numbers


@dataclass(frozen=True)
class OneToken:
    """Where one token was seen.

    Attributes:
        n: How often.
        n_sequences: In how many sequences.
        least: Least often in a sequence that is not empty; None before the first.
        most: Most often.
        positions: How often at each tenth of the sequences.
    """

    n: int = 0
    n_sequences: int = 0
    least: int | None = None
    most: int | None = None
    positions: tuple[int, ...] = (0,) * POSITIONS

    def merge(self, other: OneToken) -> OneToken:
        """Both together."""
        least = [v for v in (self.least, other.least) if v is not None]
        most = [v for v in (self.most, other.most) if v is not None]
        return OneToken(
            self.n + other.n,
            self.n_sequences + other.n_sequences,
            min(least, default=None),
            max(most, default=None),
            tuple(a + b for a, b in zip(self.positions, other.positions, strict=True)),
        )

    def told(self, token: Word, n_sequences: int) -> dict[str, Any]:
        """As TFDV's ``TokenStatistics`` says it; one never seen has only its name."""
        out: dict[str, Any] = {"int_token" if isinstance(token, int) else "string_token": token}
        if not self.n:
            return out
        buckets = [
            {"low_value": i / POSITIONS, "high_value": (i + 1) / POSITIONS, "sample_count": n}
            for i, n in enumerate(self.positions)
            if n
        ]
        return out | {
            "frequency": self.n,
            "fraction_of_sequences": self.n_sequences / n_sequences,
            "per_sequence_min_frequency": self.least,
            "per_sequence_max_frequency": self.most,
            "per_sequence_avg_frequency": self.n / self.n_sequences,
            "positions": {"buckets": buckets},
        }


@dataclass(frozen=True)
class Tokens:
    """What is known of the sequences of one column.

    Attributes:
        n_sequences: Rows that are not null.
        n_tokens: Tokens that are not excluded.
        n_known: Known ones among them.
        letters: Letters of the known ones.
        token_lengths: Lengths of the known ones in letters.
        sequence_lengths: Lengths of the sequences that are not empty, in tokens.
        top: Known tokens with their counts.
        tokens: The tokens that are asked for.
        covered: The sequences of the smallest coverage.
        short: Those of the shortest known tokens.
    """

    n_sequences: int = 0
    n_tokens: int = 0
    n_known: int = 0
    letters: int = 0
    token_lengths: Quantiles = field(default_factory=Quantiles)
    sequence_lengths: Quantiles = field(default_factory=Quantiles)
    top: TopValues = field(default_factory=TopValues)
    tokens: Mapping[Word, OneToken] = field(default_factory=dict)
    covered: tuple[Reported, ...] = ()
    short: tuple[Reported, ...] = ()

    def merge(self, other: Tokens) -> Tokens:
        """Both together."""
        known = {**self.tokens, **other.tokens}
        none = OneToken()
        return Tokens(
            self.n_sequences + other.n_sequences,
            self.n_tokens + other.n_tokens,
            self.n_known + other.n_known,
            self.letters + other.letters,
            self.token_lengths.merge(other.token_lengths),
            self.sequence_lengths.merge(other.sequence_lengths),
            self.top.merge(other.top),
            {t: self.tokens.get(t, none).merge(other.tokens.get(t, none)) for t in known},
            tuple(sorted({*self.covered, *other.covered})[:REPORTED]),
            tuple(sorted({*self.short, *other.short})[:REPORTED]),
        )

    def sealed(self) -> Tokens:
        """With sketches of stored size."""
        return replace(
            self,
            token_lengths=self.token_lengths.sealed(),
            sequence_lengths=self.sequence_lengths.sealed(),
        )

    def told(self, wanted: Sequence[Word]) -> dict[str, Any]:
        """As TFDV's ``NaturalLanguageStatistics`` says it; what is 0 or absent there is left out."""
        out: dict[str, Any] = {}
        if self.n_tokens:
            out["feature_coverage"] = self.n_known / self.n_tokens
        if self.n_known:
            out["avg_token_length"] = self.letters / self.n_known
            out["token_length_histogram"] = _histogram(equal_mass(self.token_lengths))
        if self.sequence_lengths.n:
            out["min_sequence_length"] = self.sequence_lengths.quantile(0.0)
            out["max_sequence_length"] = self.sequence_lengths.quantile(1.0)
            out["sequence_length_histogram"] = _histogram(equal_mass(self.sequence_lengths))
        ranks = self.top.top(RANKS)
        if ranks:
            buckets = [
                {"low_rank": i, "high_rank": i, "label": t, "sample_count": n}
                for i, (t, n) in enumerate(ranks)
            ]
            out["rank_histogram"] = {"buckets": buckets}
        if wanted and self.n_sequences:
            none = OneToken()
            out["token_statistics"] = [self.tokens.get(t, none).told(t, self.n_sequences) for t in wanted]
        if self.covered:
            out["reported_sequences"] = [text for *_, text in (*self.covered, *self.short)]
        return out

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {
            "counts": [self.n_sequences, self.n_tokens, self.n_known, self.letters],
            "token_lengths": self.token_lengths.to_dict(),
            "sequence_lengths": self.sequence_lengths.to_dict(),
            "top": self.top.to_dict(),
            "tokens": [
                [t, s.n, s.n_sequences, s.least, s.most, list(s.positions)] for t, s in self.tokens.items()
            ],
            "reported": [[list(r) for r in found] for found in (self.covered, self.short)],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tokens:
        """The state that `to_dict` wrote."""
        n_sequences, n_tokens, n_known, letters = data["counts"]
        reported = [tuple((float(m), h, t) for m, h, t in found) for found in data.get("reported", ((), ()))]
        return cls(
            n_sequences,
            n_tokens,
            n_known,
            letters,
            Quantiles.from_dict(data["token_lengths"]),
            Quantiles.from_dict(data["sequence_lengths"]),
            TopValues.from_dict(data["top"]),
            {t: OneToken(a, b, c, d, tuple(positions)) for t, a, b, c, d, positions in data["tokens"]},
            *reported,
        )


def _tokens(block: pa.Table, path: tuple[str, ...], rules: _Rules) -> Tokens:
    """What a block says of one column."""
    found = leaves_of(block, path)
    rows = found.rows
    encoded = found.values.dictionary_encode()
    codes = encoded.indices.to_numpy()
    labels: list[Word] = labels_of(encoded.dictionary)
    counts = np.bincount(codes, minlength=len(labels))
    names = [rules.names(t) for t in labels]
    kept = [not (n & rules.excluded) for n in names]
    known = [k and rules.knows(t) for k, t in zip(kept, labels, strict=True)]
    texts = [rules.text(t) or "" for t, k in zip(labels, known, strict=True) if k]
    of_known = counts[np.array(known, dtype=bool)]
    lengths = np.array([len(t) for t in texts], dtype=np.int64)
    made = Tokens(
        _sequences(block, path),
        int(counts[np.array(kept, dtype=bool)].sum()),
        int(of_known.sum()),
        int((lengths * of_known).sum()),
        tokens=_single(rows, codes, names, rules.wanted),
    )
    if texts:
        each = np.bincount(lengths, of_known)
        made = replace(
            made,
            token_lengths=Quantiles().add_counts(np.flatnonzero(each), each[each > 0].astype(np.int64)),
            top=TopValues().add_counts(pa.array(texts, pa.string()), of_known),
        )
    if len(rows):
        counted = np.array([not (n & rules.uncounted) for n in names], dtype=bool)[codes]
        size = np.bincount(rows, counted)[np.unique(rows)].astype(np.int64)
        covered, short = _reported(rows, codes, labels, rules)
        made = replace(made, sequence_lengths=Quantiles().add(size), covered=covered, short=short)
    return made


def _reported(
    rows: Array, codes: Array, labels: Sequence[Word], rules: _Rules
) -> tuple[tuple[Reported, ...], tuple[Reported, ...]]:
    """The sequences of the smallest coverage, and those of the shortest known tokens."""
    first = np.flatnonzero(np.concatenate([[True], np.diff(rows) > 0]))
    sizes = np.diff(np.append(first, len(rows)))
    texts = [rules.text(t) for t in labels]
    known = np.array([rules.knows(t) for t in labels], dtype=bool)
    letters = np.where(known, [len(t or "") for t in texts], 0)
    n_known = np.add.reduceat(known[codes].astype(np.int64), first)
    lengths = np.add.reduceat(letters[codes], first) / np.maximum(n_known, 1)
    resolved = [t if text is None else text for t, text in zip(labels, texts, strict=True)]
    place = (np.arange(len(rows)) - np.repeat(first, sizes)).astype(np.uint64)
    hashes = np.add.reduceat(mix(hash64([repr(t) for t in resolved])[codes] + mix(place)), first)

    def least(measure: Array) -> tuple[Reported, ...]:
        order = np.lexsort((hashes, measure))
        differs = np.concatenate([[True], np.diff(hashes[order]) != 0])
        return tuple(
            (
                float(measure[i]),
                int(hashes[i]),
                str([resolved[c] for c in codes[first[i] : first[i] + sizes[i]]]),
            )
            for i in order[differs][:REPORTED].tolist()
        )

    return least(n_known / sizes), least(lengths)


def _sequences(block: pa.Table, path: tuple[str, ...]) -> int:
    """How many rows (for a field of a struct: values of the struct) are not null."""
    if len(path) == 1:
        array = one_array(block.column(path[0]))
    else:
        structs = leaves_of(block, path[:-1]).values
        array = one_array(structs.flatten()[structs.type.get_field_index(path[-1])])
    return int(len(array) - array.null_count)


def _single(
    rows: Array, codes: Array, names: Sequence[frozenset[Word]], wanted: Sequence[Word]
) -> dict[Word, OneToken]:
    if not len(rows):
        return {t: OneToken() for t in wanted}
    first = np.flatnonzero(np.concatenate([[True], np.diff(rows) > 0]))
    sizes = np.diff(np.append(first, len(rows)))
    sequence = np.repeat(np.arange(len(first)), sizes)
    place = np.arange(len(rows)) - first[sequence]
    tenth = np.floor(place / sizes[sequence] * POSITIONS).astype(np.int64)
    out: dict[Word, OneToken] = {}
    for token in wanted:
        here = np.isin(codes, [i for i, n in enumerate(names) if token in n])
        per = np.bincount(sequence[here], minlength=len(first))
        positions = np.bincount(tenth[here], minlength=POSITIONS)
        out[token] = OneToken(
            int(here.sum()), int((per > 0).sum()), int(per.min()), int(per.max()), tuple(positions.tolist())
        )
    return out


def _histogram(h: Histogram) -> dict[str, Any]:
    buckets = [{"low_value": b.low, "high_value": b.high, "sample_count": b.count} for b in h.buckets]
    return {"type": h.kind, "buckets": buckets}
