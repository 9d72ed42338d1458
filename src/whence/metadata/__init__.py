"""The provenance graph: everything that happens is an execution that reads and writes artifacts inside contexts."""

from whence.metadata.ambient import current_recording
from whence.metadata.base import MetadataStore
from whence.metadata.code import CodeInfo
from whence.metadata.environment import read_environment, read_git
from whence.metadata.lifecycle import Liveness, Probe, ProcessLife, Recovered
from whence.metadata.lineage import Lineage
from whence.metadata.open import declare_types, open_store
from whence.metadata.recorder import Recorder
from whence.metadata.recording import Recording
from whence.metadata.types import (
    NONE,
    AnyNode,
    Artifact,
    ArtifactState,
    Change,
    Context,
    Direction,
    Event,
    EventKind,
    Execution,
    ExecutionState,
    IfExists,
    Node,
    NodeKind,
    Page,
    Properties,
    PropertyType,
    Put,
    Struct,
    Subgraph,
    Type,
    Value,
    Written,
)

__all__ = [
    "NONE",
    "AnyNode",
    "Artifact",
    "ArtifactState",
    "Change",
    "CodeInfo",
    "Context",
    "Direction",
    "Event",
    "EventKind",
    "Execution",
    "ExecutionState",
    "IfExists",
    "Lineage",
    "Liveness",
    "MetadataStore",
    "Node",
    "NodeKind",
    "Page",
    "Probe",
    "ProcessLife",
    "Properties",
    "PropertyType",
    "Put",
    "Recorder",
    "Recording",
    "Recovered",
    "Struct",
    "Subgraph",
    "Type",
    "Value",
    "Written",
    "current_recording",
    "declare_types",
    "open_store",
    "read_environment",
    "read_git",
]
