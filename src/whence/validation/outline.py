"""A schema in a table: one line a feature, its domain in a few words."""

from __future__ import annotations

from whence.validation.types import (
    BoolDomain,
    Comparator,
    Domain,
    Expectation,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Shape,
    StringDomain,
    TimeDomain,
    ValueCount,
)


def feature_line(f: Feature, domain: Domain | None) -> dict[str, str]:
    """One line of a schema's table, its domain (a shared one looked up) given."""
    return {
        "feature": f.name,
        "type": f.type or "?",
        "presence": _presence(f.presence),
        "values": _values(f),
        "domain": f.domain if isinstance(f.domain, str) else describe_domain(domain),
        "environments": " ".join([*f.in_environment, *(f"not {e}" for e in f.not_in_environment)]),
    }


def _presence(p: Presence | None) -> str:
    if p is None:
        return "optional"
    if p.min_fraction == 1.0:
        return "required"
    parts = [f"{p.min_fraction:.0%} of rows"] if p.min_fraction else []
    if (p.min_count or 0) > 1:
        parts.append(f"at least {p.min_count:,} rows")
    return " and ".join(parts) or "optional"


def _values(f: Feature) -> str:
    if f.shape is not None:
        return describe_shape(f.shape)
    if f.value_counts:
        return "".join(map(describe_count, f.value_counts))
    return "" if f.value_count is None else describe_count(f.value_count)


def describe_shape(shape: Shape) -> str:
    """A shape in a few words.

    Example:
        >>> describe_shape(Shape((2, None)))
        'shape (2, ?)'
    """
    return f"shape ({', '.join('?' if d is None else str(d) for d in shape.dims)})"


def describe_count(v: ValueCount) -> str:
    """Bounds on the number of values: ``[1, 3]``."""
    return f"[{'' if v.min is None else v.min}, {'' if v.max is None else v.max}]"


def describe_expectation(e: Expectation) -> str:
    """An expectation in a few words.

    Example:
        >>> describe_expectation(Expectation("mean", 0.0, 10.0)), describe_expectation(Expectation("std", max=3.0))
        ('mean 0 to 10', 'std <= 3')
    """
    if e.min is not None and e.max is not None:
        return f"{e.of} {e.min:g} to {e.max:g}"
    return f"{e.of} >= {e.min:g}" if e.min is not None else f"{e.of} <= {e.max:g}"


def describe_comparator(c: Comparator) -> str:
    """Thresholds in a few words: ``infinity_norm <= 0.01``."""
    named = (
        ("infinity_norm", c.infinity_norm),
        ("jensen_shannon_divergence", c.jensen_shannon_divergence),
        ("normalized_abs_difference", c.normalized_abs_difference),
    )
    return ", ".join(f"{name} <= {limit:g}" for name, limit in named if limit is not None)


def describe_domain(domain: Domain | None) -> str:
    """A domain in a few words.

    Example:
        >>> describe_domain(FloatDomain(max=100.0)), describe_domain(StringDomain(("a", "b")))
        ('<= 100.0', "'a', 'b'")
    """
    if domain is None:
        return ""
    if isinstance(domain, StringDomain):
        shown = ", ".join(repr(v) for v in domain.values[:8])
        return shown + (f", … {len(domain.values)} values" if len(domain.values) > 8 else "")
    if isinstance(domain, BoolDomain):
        if domain.true_value is None and domain.false_value is None:
            return "bool"
        return f"bool {domain.true_value!r}/{domain.false_value!r}"
    if isinstance(domain, (IntDomain, FloatDomain, TimeDomain)):
        return _describe_range(domain)
    return domain.KIND.replace("_", " ")


def _describe_range(domain: IntDomain | FloatDomain | TimeDomain) -> str:
    low = "" if domain.min is None else f">= {domain.min}"
    high = "" if domain.max is None else f"<= {domain.max}"
    parts = [p for p in (low, high) if p]
    if isinstance(domain, FloatDomain):
        parts += ["no NaN"] if domain.disallow_nan else []
        parts += ["no infinity"] if domain.disallow_inf else []
        parts += ["embedding"] if domain.is_embedding else []
    if isinstance(domain, TimeDomain):
        parts += [f for f in (domain.string_format, domain.integer_format) if f]
    if not parts:
        return "int" if isinstance(domain, IntDomain) else "any"
    return ", ".join(parts)
