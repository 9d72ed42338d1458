"""Which predictions a row can have entered: the predicate of a view, read the other way round.

A view says which rows a moment q may use: ``q - w <= event time < q`` and ``known_at < q`` for a window,
``known_at <= q`` and ``0 <= q - event time <= ttl`` for a lookup. For a given row the same lines say which
moments may use it. What they cannot say alone is whether a later row corrected it, or stood nearer in
a lookup: so the answer is a bound from above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from whence.compute import quoted
from whence.errors import NotFoundError
from whence.metadata.types import Execution
from whence.trace.base import Declaration, Features, Graph, Table, Tables
from whence.trace.rows import Found, values_condition
from whence.trace.spine import SpineOf, asked_of


def reach_condition(
    definition: Mapping[str, object], declaration: Declaration, row: Mapping[str, object], at: str
) -> str | None:
    """The SQL condition for the rows of a spine whose features may use a row of a view's source.

    Args:
        definition: The view's definition, as JSON.
        declaration: Of the source: which column is ``known_at``.
        row: The row.
        at: The spine's column of the moment.

    Returns:
        The condition; None when no moment may use the row, as with a null key.

    Example:
        >>> view = {"keys": {"carrier": "carrier"}, "timestamp": "landed", "ttl_us": None, "hop_us": None,
        ...     "features": [{"over_us": 3_600_000_000}]}
        >>> class Plain: key, event_time, known_at = ("id",), None, None
        >>> print(reach_condition(view, Plain(), {"carrier": "B6", "landed": datetime(2013, 7, 1, tzinfo=UTC)}, "at"))
        "carrier" = 'B6' AND (("at" > '2013-07-01T00:00:00+00:00' AND "at" <= '2013-07-01T01:00:00+00:00'))
    """
    keys = definition.get("keys")
    by_spine = {str(spine): row.get(key) for key, spine in keys.items()} if isinstance(keys, Mapping) else {}
    if any(value is None for value in by_spine.values()):
        return None
    declared = definition.get("features")
    windows = [f for f in declared if isinstance(f, Mapping)] if isinstance(declared, Sequence) else []
    spans = {span for f in windows if (span := _span(definition, declaration, row, f, at)) is not None}
    if not spans:
        return None
    return f"{values_condition(by_spine)} AND ({' OR '.join(sorted(spans))})"


def _span(
    definition: Mapping[str, object],
    declaration: Declaration,
    row: Mapping[str, object],
    feature: Mapping[str, object],
    at: str,
) -> str | None:
    """The moments at which one feature may use the row."""
    timestamp = definition.get("timestamp")
    event = _instant(row.get(str(timestamp))) if timestamp is not None else None
    known = _instant(row.get(declaration.known_at)) if declaration.known_at is not None else event
    moments = [m for m in (event, known) if m is not None]
    if (timestamp is not None and event is None) or (declaration.known_at is not None and known is None):
        return None
    over, hop = feature.get("over_us"), definition.get("hop_us")
    ttl = definition.get("ttl_us")
    column = quoted(at)
    length = over if isinstance(over, int) else ttl
    parts = (
        [f"{column} {'>' if isinstance(over, int) else '>='} '{max(moments).isoformat()}'"] if moments else []
    )
    if isinstance(length, int) and event is not None:
        extra = hop if isinstance(over, int) and isinstance(hop, int) else 0
        parts.append(f"{column} <= '{(event + timedelta(microseconds=length + extra)).isoformat()}'")
    return f"({' AND '.join(parts) or 'TRUE'})"


def _instant(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time(), tzinfo=UTC)
    return None


def count_reached(
    graph: Graph,
    lake: Tables,
    features: Features,
    scoring: Execution,
    table: Table,
    name: str,
    found: Found,
) -> int:
    """How many predictions of one scoring can have used rows of a table.

    Raises:
        WhenceError: The spine or a definition is out of reach.
    """
    spine = asked_of(graph, scoring)
    if spine is None:
        raise NotFoundError("spine", f"execution:{scoring.uid}", hint="its rows were given by hand")
    digests = scoring.get("definitions")
    conditions: set[str] = set()
    if spine.table == name and found.condition is not None:  # the row may be one of those that were scored
        conditions.add(found.condition)
    for digest in digests.values() if isinstance(digests, Mapping) else ():
        definition = features.get(str(digest)).to_dict()
        if definition.get("source") != name:
            continue
        for row in found.rows.to_pylist():
            condition = reach_condition(definition, table.declaration, row, spine.at)
            if condition is not None:
                conditions.add(condition)
    if not conditions:
        return 0
    return _n_rows(lake, spine, " OR ".join(f"({c})" for c in sorted(conditions)))


def _n_rows(lake: Tables, spine: SpineOf, condition: str) -> int:
    version = lake.table(spine.table).at(spine.version)
    return int(version.arrow(columns=[spine.at], where=spine.condition(condition)).num_rows)
