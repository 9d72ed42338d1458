"""Monitoring: drift, performance as labels come in, feeds; alarms with a budget, and whence a change came."""

from whence.monitoring.alarms import Budget
from whence.monitoring.drift import Distances, compare
from whence.monitoring.profile import Layout, Profile
from whence.monitoring.reference import Reference
from whence.monitoring.room import Monitoring
from whence.monitoring.types import Alert, Blame, Labels, Monitor, MonitorResult, Window

__all__ = [
    "Alert",
    "Blame",
    "Budget",
    "Distances",
    "Labels",
    "Layout",
    "Monitor",
    "MonitorResult",
    "Monitoring",
    "Profile",
    "Reference",
    "Window",
    "compare",
]
