"""The lake: versioned tables, SQL with time travel, views; every commit is in the graph."""

from whence.lake.base import Describer, LakeBackend, Snapshot, TableProvider
from whence.lake.changes import Change
from whence.lake.corrections import Expression
from whence.lake.lake import Lake
from whence.lake.locate import open_backend, open_lake
from whence.lake.operations import Digested
from whence.lake.pin import PinScope, pinned, pinning
from whence.lake.quarantine import Quarantine, Quarantined
from whence.lake.query import table_names
from whence.lake.reconcile import Reconciled
from whence.lake.table import Table
from whence.lake.types import (
    Commit,
    CommitInfo,
    Hold,
    Part,
    RowCheck,
    TableDeclaration,
    VacuumReport,
)
from whence.lake.version import TableVersion
from whence.lake.views import View, ViewVersion

__all__ = [
    "Change",
    "Commit",
    "CommitInfo",
    "Describer",
    "Digested",
    "Expression",
    "Hold",
    "Lake",
    "LakeBackend",
    "Part",
    "PinScope",
    "Quarantine",
    "Quarantined",
    "Reconciled",
    "RowCheck",
    "Snapshot",
    "Table",
    "TableDeclaration",
    "TableProvider",
    "TableVersion",
    "VacuumReport",
    "View",
    "ViewVersion",
    "open_backend",
    "open_lake",
    "pinned",
    "pinning",
    "table_names",
]
