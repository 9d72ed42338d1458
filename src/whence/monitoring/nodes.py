"""What monitoring puts into the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whence._base.digest import sha256_bytes
from whence._base.ids import derived_uid
from whence.metadata import Artifact, Type, Value
from whence.monitoring.types import Alert, Monitor

TYPES: Final = (
    Type(
        "artifact",
        "Monitor",
        {"monitor": "STRING", "number": "INT", "spec": "STRUCT", "deployment": "STRING"},
        description="what is watched; its name is monitor#number",
    ),
    Type(
        "artifact",
        "Edges",
        {"monitor": "STRING", "number": "INT", "digest": "STRING", "blob": "STRING"},
        description="where a monitor cuts the columns; its name is monitor#number",
    ),
    Type(
        "artifact",
        "Reference",
        {"monitor": "STRING", "model": "STRING", "source": "STRING", "blob": "STRING", "n_rows": "INT"},
        description="what a model's windows are compared with; its name is monitor/model#edges",
    ),
    Type(
        "artifact",
        "Profile",
        {"monitor": "STRING", "n": "INT", "versions": "STRUCT", "blob": "STRING"},
        description="what a run of a monitor read: the profile of each version; its name is monitor#run",
    ),
    Type(
        "artifact",
        "Alert",
        {
            "monitor": "STRING",
            "metric": "STRING",
            "feature": "STRING",
            "decides": "BOOLEAN",
            "alert": "STRUCT",
        },
        description="an excursion of one stream of a monitor; its name is its uid",
    ),
    Type("execution", "watch", {"monitor": "STRING"}),
    Type("execution", "reference", {"monitor": "STRING", "model": "STRING"}),
    Type("execution", "rebin", {"monitor": "STRING"}),
    Type(
        "execution",
        "monitor",
        {
            "monitor": "STRING",
            "n": "INT",
            "n_windows": "INT",
            "opened": "INT",
            "closed": "INT",
            "version": "INT",
        },
        description="windows of a monitor judged",
    ),
)


def monitor_node(monitor: Monitor, number: int) -> Artifact:
    """A monitor as declared."""
    return Artifact(
        type="Monitor",
        name=f"{monitor.name}#{number}",
        uid=derived_uid("monitor", monitor.name, str(number)),
        properties={
            "monitor": monitor.name,
            "number": number,
            "spec": monitor.to_dict(),
            "deployment": monitor.deployment,
        },
    )


def edges_node(monitor: str, number: int, text: bytes, blob: str) -> Artifact:
    """Where a monitor cuts the columns."""
    return Artifact(
        type="Edges",
        name=f"{monitor}#{number}",
        uri=f"blob:{blob}",
        properties={"monitor": monitor, "number": number, "digest": sha256_bytes(text), "blob": blob},
    )


def profile_node(monitor: str, n: int, read: Sequence[tuple[str, int]], blob: str) -> Artifact:
    """What a run read."""
    versions: dict[str, Value] = {
        table: sorted({version for name, version in read if name == table})
        for table in dict.fromkeys(name for name, _ in read)
    }
    name = f"{monitor}#{n}"
    return Artifact(
        type="Profile",
        name=name,
        uid=derived_uid("profile", name),
        uri=f"blob:{blob}",
        properties={"monitor": monitor, "n": n, "versions": versions, "blob": blob},
    )


def alert_node(alert: Alert) -> Artifact:
    """An alert that opened."""
    return Artifact(
        type="Alert",
        name=alert.uid,
        uid=alert.uid,
        properties={
            "monitor": alert.monitor,
            "metric": alert.metric,
            "feature": alert.feature or "",
            "decides": alert.decides,
            "alert": alert.to_dict(),
        },
    )
