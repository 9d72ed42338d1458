"""Meanings: text of a language, images, and a meaning that was recognised where the schema has none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from whence.validation.checks.base import (
    Found,
    anomaly,
    change,
    counted,
    listed,
    number_of,
    pairs_of,
    texts_of,
)
from whence.validation.compare import known_values
from whence.validation.patterns import form_of
from whence.validation.types import (
    AnomalyType,
    AudioDomain,
    ContentChunkDomain,
    Domain,
    Feature,
    FloatDomain,
    ImageDomain,
    NaturalLanguageDomain,
    TokenConstraint,
    VideoDomain,
    domain_to_dict,
    read_domain_info,
)
from whence.validation.view import FeatureView


def check_meaning(f: Feature, domain: Domain | None, seen: FeatureView) -> Found:
    """The anomalies of a column's meaning; they read optional statistics."""
    custom = seen.custom
    if f.type == "STRING" and seen.num_invalid_utf8 and not _is_list_of_texts(domain):
        text = f"{f.name}: {counted(seen.num_invalid_utf8, 'values are not UTF-8')}"
        n = seen.num_invalid_utf8
        yield anomaly(
            f.name, "ENUM_TYPE_INVALID_UTF8", "UTF-8", n, 0, text, proposed=change(f.name, type="BYTES")
        )
    if f.domain is None and custom:
        yield from _recognised(f, custom.get("domain_info"))
    yield from _form(f, domain, seen)
    if isinstance(domain, NaturalLanguageDomain):
        yield from _language(f, domain, custom.get("nl_statistics") if custom else None)
    if isinstance(domain, ImageDomain):
        yield from _images(f, domain, seen)


def _is_list_of_texts(domain: Domain | None) -> bool:
    return getattr(domain, "KIND", None) == "string"


def _recognised(f: Feature, said: Any) -> Found:
    domain = read_domain_info(said)
    if domain is None:
        return
    text = f"{f.name}: the values read as {type(domain).__name__}, the schema gives them no domain"
    made = domain_to_dict(domain)
    yield anomaly(
        f.name, "SEMANTIC_DOMAIN_UPDATE", "domain", made, None, text, proposed=change(f.name, domain=made)
    )


# --- form ---------------------------------------------------------------------------------------


def _form(f: Feature, domain: Domain | None, seen: FeatureView) -> Found:
    """Text that is not of its domain's form, of all values that are known; vectors of another length."""
    form = form_of(domain)
    if form is not None and f.type in ("STRING", "BYTES") and seen.is_text:
        fits = re.compile(form.pattern).fullmatch
        known = known_values(seen) if seen.type == "STRING" else None
        if known is not None and all(map(fits, known[0])):
            return
        bad = [v for v, _ in texts_of(seen) if not fits(v)]
        if bad:
            text = f"{f.name}: {len(bad):,} of the known texts are not {form.words}: {listed(bad)}"
            proposed = change(f.name, domain=None)
            yield anomaly(f.name, form.type, "domain", bad[:20], form.words, text, proposed=proposed)
    if (
        isinstance(domain, FloatDomain)
        and domain.embedding_dim is not None
        and f.type == seen.type == "FLOAT"
    ):
        wanted, low, high = domain.embedding_dim, seen.min_num_values, seen.max_num_values
        if not low == high == wanted:
            text = f"{f.name}: rows have {low} to {high} values, the embedding has {wanted}"
            proposed = change(f.name, domain={"embedding_dim": high if low == high else None})
            rule = "domain.embedding_dim"
            yield anomaly(f.name, "EMBEDDING_DIMENSION", rule, [low, high], wanted, text, proposed=proposed)


def meaning_notes(f: Feature, domain: Domain | None, seen: FeatureView) -> Iterator[str]:
    """What a domain asks that these statistics cannot judge, and why."""
    is_text = f.type in ("STRING", "BYTES") and seen.is_text and bool(seen.n_values)
    form, text_format = form_of(domain), getattr(domain, "string_format", None)
    if is_text and form is not None and seen.arrow_type and seen.value_counts() is None:
        yield f"{f.name}: not all values are known, so only those that are were held against {form.words}"
    if is_text and form is None and text_format is not None:
        yield f"{f.name}: no text is held against the format {text_format!r}, which has a letter without a meaning"
    if isinstance(domain, (AudioDomain, VideoDomain, ContentChunkDomain)):
        yield f"{f.name}: whether values are {domain.KIND.replace('_', ' ')} is not judged, nothing here reads them"
    needs_formats = isinstance(domain, ImageDomain) and domain.minimum_supported_image_fraction is not None
    if needs_formats and not (seen.custom and seen.custom.get("image_format_histogram")):
        why = "the formats of images are optional statistics, which were not asked for (Meanings)"
        yield f"{f.name}: minimum_supported_image_fraction does not apply: {why}"
    if isinstance(domain, NaturalLanguageDomain) and domain.sequence_length is not None:
        yield f"{f.name}: sequence_length is not judged, as in TFDV; value_count bounds the values of a row"


# --- language -----------------------------------------------------------------------------------


def _language(f: Feature, domain: NaturalLanguageDomain, said: Any) -> Found:
    if not domain.coverage and not domain.token_constraints:
        return
    constrained = domain.coverage is not None and (
        domain.coverage.min_coverage is not None or domain.coverage.min_avg_token_length is not None
    )
    if not isinstance(said, Mapping):
        if constrained or domain.token_constraints:
            yield _no_language(f, "no natural language statistics")
        return
    yield from _coverage(f, domain, said)
    known = {_token(t): t for t in said.get("token_statistics", ())}
    for constraint in domain.token_constraints:
        if constraint.value == "":
            continue  # a constraint of no token
        if constraint.value not in known:  # as in TFDV the constraints after it are not judged
            yield _no_language(f, f"no statistics of the token {constraint.value!r}")
            return
        yield from _tokens(f, constraint, known[constraint.value])


def _no_language(f: Feature, what: str) -> Any:
    text = f"{f.name}: the statistics have {what}, so the constraints of the language cannot be judged"
    proposed = change(f.name, domain=None)
    return anomaly(f.name, "STATS_NOT_AVAILABLE", "domain", None, "nl_statistics", text, proposed=proposed)


def _token(entry: Mapping[str, Any]) -> int | str:
    return int(entry["int_token"]) if "int_token" in entry else str(entry.get("string_token", ""))


def _coverage(f: Feature, domain: NaturalLanguageDomain, said: Mapping[str, Any]) -> Found:
    c = domain.coverage
    if c is None:
        return
    limits: tuple[tuple[float | None, str, str, AnomalyType, str], ...] = (
        (
            c.min_coverage,
            "feature_coverage",
            "min_coverage",
            "FEATURE_COVERAGE_TOO_LOW",
            "of the tokens are known",
        ),
        (
            c.min_avg_token_length,
            "avg_token_length",
            "min_avg_token_length",
            "FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH",
            "letters has a token in the mean",
        ),
    )
    for limit, name, key, type_, words in limits:
        have = number_of(said.get(name)) or 0.0
        if limit is not None and have < limit:
            text = f"{f.name}: {have:g} {words}, the schema asks for {limit:g}"
            proposed = change(f.name, domain={"coverage": {key: have}})
            yield anomaly(f.name, type_, f"domain.coverage.{key}", have, limit, text, proposed=proposed)


def _tokens(f: Feature, c: TokenConstraint, said: Mapping[str, Any]) -> Found:
    fewest = number_of(said.get("per_sequence_min_frequency")) or 0.0
    most = number_of(said.get("per_sequence_max_frequency")) or 0.0
    share = number_of(said.get("fraction_of_sequences")) or 0.0
    rules: tuple[tuple[str, float | None, float, bool, AnomalyType], ...] = (
        ("min_per_sequence", c.min_per_sequence, fewest, True, "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES"),
        ("max_per_sequence", c.max_per_sequence, most, False, "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES"),
        (
            "min_fraction_of_sequences",
            c.min_fraction_of_sequences,
            share,
            True,
            "SEQUENCE_VALUE_TOO_SMALL_FRACTION",
        ),
        (
            "max_fraction_of_sequences",
            c.max_fraction_of_sequences,
            share,
            False,
            "SEQUENCE_VALUE_TOO_LARGE_FRACTION",
        ),
    )
    for key, limit, have, is_low, type_ in rules:
        if limit is None or not (have < limit if is_low else have > limit):
            continue
        word = "at least" if is_low else "at most"
        text = f"{f.name}: {key} of the token {c.value!r} is {have:g}, the schema allows {word} {limit:g}"
        better = have if "fraction" in key else int(have)
        proposed = change(f.name, domain={"token": {"value": c.value, key: better}})
        rule = f"domain.token_constraints.{key}"
        yield anomaly(f.name, type_, rule, have, limit, text, proposed=proposed)


# --- images -------------------------------------------------------------------------------------


def _images(f: Feature, domain: ImageDomain, seen: FeatureView) -> Found:
    limit = domain.minimum_supported_image_fraction
    formats = pairs_of(seen.custom.get("image_format_histogram")) if seen.custom else []
    total = sum(n for _, n in formats)
    if limit is not None and total:
        share = sum(n for name, n in formats if name.upper() != "UNKNOWN") / total
        if share < limit:
            text = f"{f.name}: {share:.6g} of the values are images of a known format, the schema asks for {limit:g}"
            proposed = change(f.name, domain={"minimum_supported_image_fraction": share})
            rule = "domain.minimum_supported_image_fraction"
            yield anomaly(f.name, "LOW_SUPPORTED_IMAGE_FRACTION", rule, share, limit, text, proposed=proposed)
    most = domain.max_image_byte_size
    size = seen.max_length
    if most is not None and size is not None and size > most and not _counted_as_text(seen):
        text = f"{f.name}: the largest value has {size:,} bytes, the schema allows {most:,}"
        proposed = change(f.name, domain={"max_image_byte_size": size})
        yield anomaly(
            f.name,
            "MAX_IMAGE_BYTE_SIZE_EXCEEDED",
            "domain.max_image_byte_size",
            size,
            most,
            text,
            proposed=proposed,
        )


def _counted_as_text(seen: FeatureView) -> bool:
    return seen.type == "STRING"
