"""Features of a request that gives keys only, from the online store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from whence.features import AnyView, Features, FeatureView, OnlineAnswer
from whence.serving.asking import Looked, Lookup
from whence.serving.predictions import view_source


def online_lookup(features: Features) -> Lookup:
    """Looks features up in the workspace's online store."""

    def look_up(keys: pa.Table, views: Sequence[AnyView], moment: datetime) -> Looked:
        found = features.get_online(keys, views, at=moment)
        return Looked(
            found.table(),
            statuses={name: why for name, why in found.statuses.items() if any(w != "PRESENT" for w in why)},
            definitions={view.name: view.digest for view in views},
            sources=_sources(views, found),
        )

    return look_up


def _sources(views: Sequence[AnyView], found: OnlineAnswer) -> dict[str, int]:
    """The version of each source; beside it, that of a view whose rows stood at a later one."""
    versions = found.versions
    later = {
        view_source(view.source, view.name): found.view_versions[view.name]
        for view in views
        if isinstance(view, FeatureView) and found.view_versions[view.name] != versions[view.source]
    }
    return versions | later
