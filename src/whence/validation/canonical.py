"""The one form of all schemas that mean the same: what its digest is taken of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from whence._base.digest import canonical_json

#: Lists of which the order says nothing.
_SETS: Final = frozenset(
    {
        "checks",
        "default_environments",
        "environments",
        "excluded_int_tokens",
        "excluded_int_values",
        "excluded_string_tokens",
        "excluded_string_values",
        "expect",
        "features",
        "freshness",
        "in_environment",
        "not_in_environment",
        "oov_string_tokens",
        "rules",
        "sparse_features",
        "values",
        "weighted_features",
    }
)


def canonical(full: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as JSON, equal for schemas that mean the same.

    What has no order is sorted by its canonical JSON, and what is there twice stands once; the domain of a
    structure, which says no more than its type, is left out. What people wrote (`annotation`) and what has
    no meaning here (`extra`) stay as they are.

    Example:
        >>> canonical({"default_environments": ["TRAINING", "SERVING"]})
        {'default_environments': ['SERVING', 'TRAINING']}
    """
    kept = {k: v for k, v in full.items() if k in ("annotation", "extra")}
    made: dict[str, Any] = {k: _sorted(k, v) for k, v in full.items() if k not in kept}
    return {**made, **kept}


def _sorted(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        inner = {
            k: v if k in ("annotation", "config", "default") else _sorted(k, v) for k, v in value.items()
        }
        if inner.get("type") == "STRUCT" and inner.get("domain") == {"kind": "struct"}:
            del inner["domain"]
        return inner
    if isinstance(value, list):
        items = [_sorted("", v) for v in value]
        return sorted(_once(items), key=_key) if key in _SETS else items
    return value


def _once(items: list[Any]) -> list[Any]:
    """Texts and numbers once each; things with a name have it once."""
    return items if any(isinstance(v, Mapping) for v in items) else list(dict.fromkeys(items))


def _key(value: Any) -> str:
    """What orders the entries of a set: their name, or all they say."""
    name = value.get("name") if isinstance(value, Mapping) else value
    return name if isinstance(name, str) else canonical_json(value)
