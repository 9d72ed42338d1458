"""Features of a request that gives keys only, from the online store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from whence.features import AnyView, Features
from whence.serving.asking import Looked, Lookup


def online_lookup(features: Features) -> Lookup:
    """Looks features up in the workspace's online store."""

    def look_up(keys: pa.Table, views: Sequence[AnyView], moment: datetime) -> Looked:
        found = features.get_online(keys, views, at=moment)
        return Looked(
            found.table(),
            statuses={name: why for name, why in found.statuses.items() if any(w != "PRESENT" for w in why)},
            definitions={view.name: view.digest for view in views},
            sources=found.versions,
        )

    return look_up
