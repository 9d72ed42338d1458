"""What pipelines need of a workspace: the rooms below, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from whence._base.clock import Clock
from whence.blobs import BlobStore
from whence.features import Features
from whence.lake import Lake
from whence.metadata import Recorder
from whence.registry import Models
from whence.tracking import Runs


class Rooms(Protocol):
    """A workspace as pipelines see it. Each room is asked for when it is needed."""

    @property
    def recorder(self) -> Recorder:
        """Where everything is recorded."""
        ...

    @property
    def lake(self) -> Lake:
        """The tables."""
        ...

    @property
    def models(self) -> Models:
        """The registry."""
        ...

    @property
    def blobs(self) -> BlobStore:
        """Where stored code and reports go."""
        ...

    @property
    def runs(self) -> Runs:
        """Where the metrics of a step are logged, so that it is found as a run."""
        ...

    @property
    def features(self) -> Features:
        """The feature views in force."""
        ...

    @property
    def clock(self) -> Clock:
        """What time it is."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where the locks between processes lie; None keeps to this process."""
        ...
