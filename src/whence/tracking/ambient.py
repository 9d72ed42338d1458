"""Logging without a run in hand: onto whatever is being recorded around the caller.

Inside a step of a pipeline this is the step; inside ``with ws.runs.start()`` the run. A step stays a
plain function: called outside of any recording it just runs, and what it logs goes nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from whence.metadata import current_recording
from whence.tracking.run import Run, RunArtifact
from whence.tracking.runs import list_everywhere
from whence.tracking.types import ParamValue


def current_run() -> Run | None:
    """The run around the caller, of whichever workspace records it; None outside of any."""
    recording = current_recording()
    if recording is None:
        return None
    for runs in list_everywhere():
        if runs.recorder.current() is recording:
            return runs.current()
    return None


def log_metric(key: str, value: float, step: int | None = None, *, at: datetime | None = None) -> None:
    """Log a value of a metric onto the run around the caller; see `Run.log_metric`."""
    run = current_run()
    if run is not None:
        run.log_metric(key, value, step, at=at)


def log_metrics(values: Mapping[str, float], step: int | None = None, *, at: datetime | None = None) -> None:
    """Log one value each of several metrics onto the run around the caller."""
    run = current_run()
    if run is not None:
        run.log_metrics(values, step, at=at)


def log_param(key: str, value: ParamValue) -> None:
    """Log a param onto the run around the caller; see `Run.log_param`."""
    log_params({key: value})


def log_params(params: Mapping[str, ParamValue]) -> None:
    """Log several params onto the run around the caller."""
    run = current_run()
    if run is not None:
        run.log_params(params)


def set_tag(key: str, text: str | None) -> None:
    """Set a tag of the run around the caller; None removes it."""
    run = current_run()
    if run is not None:
        run.set_tag(key, text)


def log_artifact(data: bytes | Path | str | Iterator[bytes], name: str | None = None) -> RunArtifact | None:
    """Keep a file of the run around the caller; None outside of any."""
    run = current_run()
    return None if run is None else run.log_artifact(data, name)
