"""Feature views: what is computed from which table."""

from __future__ import annotations

from whence.features import Aggregation, AnyView, FeatureView
from whence.features.duration import duration_label
from whence.features.types import definition_digest
from whence.server.api.base import Asked, Data, json_of
from whence.trace.plain import Json


def list_features(asked: Asked) -> Data:
    """The feature views in force, by name."""
    return {"views": [view_facts(view) for view in asked.ws.features.list()]}


def view_facts(view: AnyView) -> Data:
    """A view in a few words."""
    digest = definition_digest(view)
    facts: Data = {
        "view": view.name,
        "ref": f"feature_view:{view.name}@{digest.removeprefix('sha256:')[:12]}",
        "digest": digest,
        "n_features": len(view.outputs),
    }
    if isinstance(view, FeatureView):
        facts |= {
            "source": view.source,
            "entity": view.entity.name,
            "owner": view.owner,
            "description": view.description,
        }
    return facts


def show_features(asked: Asked) -> Data:
    """One feature view in force, or an older definition by ``name@digest``."""
    view = asked.ws.features.get(asked.name("name"))
    columns: list[Json]
    if isinstance(view, FeatureView):
        columns = [_feature(view, f) for f in view.features]
        more: Data = {
            "join_keys": list(view.entity.join_keys),
            "timestamp": view.timestamp,
            "ttl": None if view.ttl is None else duration_label(view.ttl),
            "hop": None if view.hop is None else duration_label(view.hop),
            "sensitivity": view.sensitivity,
        }
    else:
        columns, more = [{"column": c} for c in view.outputs], {}
    return {**view_facts(view), **more, "features": columns, "definition": json_of(view.to_dict())}


def _feature(view: FeatureView, feature: Aggregation) -> Json:
    return {
        "column": f"{view.name}__{feature.name}",
        "op": feature.op,
        "of": feature.column,
        "over": None if feature.over is None else duration_label(feature.over),
        "where": feature.where,
    }
