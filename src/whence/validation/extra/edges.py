"""Edges of buckets out of statistics that are there already."""

from __future__ import annotations

import math

from whence.errors import UsageError
from whence.validation.view import FeatureView


def quantile_edges(feature: FeatureView, buckets: int = 10) -> tuple[float, ...]:
    """Edges that cut a numeric column into buckets of about equal mass.

    The edges are the inner quantiles i/n of `buckets` n, equal ones once, so that heavy values make
    fewer buckets. They come from statistics made before: of this version, or of the one before it,
    so that buckets stay the same from version to version.

    Raises:
        UsageError: The column has no quantiles (``not-numeric``) or the buckets are fewer than 2
            (``bad-edges``).

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> quantile_edges(describe(pa.table({"x": range(101)}))["x"], 4)
        (25.0, 50.0, 75.0)
    """
    if buckets < 2:
        raise UsageError(f"buckets are 2 or more, got {buckets}", code="bad-edges")
    found = [feature.quantile(i / buckets) for i in range(1, buckets)]
    numbers = [float(q) for q in found if isinstance(q, (int, float)) and math.isfinite(q)]
    low = feature.min
    edges = tuple(e for e in dict.fromkeys(numbers) if not isinstance(low, (int, float)) or e > low)
    if not edges:
        raise UsageError(
            f"column {feature.name!r} has no two buckets: it is of {feature.type} and has "
            f"{feature.num_unique if feature.num_unique is not None else 'no'} different numbers",
            code="not-numeric",
        )
    return edges
