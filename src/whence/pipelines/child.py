"""The other process of `reproduce`: runs one step on what was recorded, and writes what came out to a folder.

A door starts it (``python -m …  JOB.json``) and hands `main` a function that opens the workspace
for reading. The job and the result are JSON files in one folder; rows are Arrow files beside them.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
from pyarrow import ipc

from whence._base.digest import canonical_json, sha256_bytes, spec_digest
from whence._base.refs import Ref
from whence._base.rows import rows_digest
from whence.blobs import BlobStore
from whence.errors import DeniedError, WhenceError
from whence.lake import Lake, pinned
from whence.metadata.ambient import surrounding
from whence.metadata.base import MetadataStore
from whence.metadata.open import open_store
from whence.metadata.recorder import Recorder
from whence.metadata.types import Change, Value, Written
from whence.metadata.unrecorded import Unrecorded
from whence.pipelines.ambient import working_in
from whence.pipelines.closure import code_of
from whence.pipelines.constants import decode_param
from whence.pipelines.environment import facts, installed
from whence.pipelines.modules import load_entry, serving
from whence.pipelines.outputs import Computed, check_outputs, model_bytes
from whence.pipelines.overlay import OverlayBackend
from whence.pipelines.sources import unpack
from whence.pipelines.step import Step
from whence.pipelines.types import ModelOutput, Report
from whence.registry import Models
from whence.tracking import Runs, open_metrics

log = logging.getLogger(__name__)

JOB: Final = "job.json"
RESULT: Final = "result.json"


class Workspace(Protocol):
    """What the child needs of a workspace."""

    @property
    def recorder(self) -> Recorder: ...
    @property
    def lake(self) -> Lake: ...
    @property
    def models(self) -> Models: ...
    @property
    def blobs(self) -> BlobStore: ...
    @property
    def runs(self) -> Runs: ...


def main(job_file: Path, connect: Callable[[str], Workspace]) -> int:
    """Do the job in `job_file`; the answer stands in ``result.json`` beside it.

    Args:
        job_file: Written by `reproduce`.
        connect: Opens the workspace at an address, for reading.

    Returns:
        0 whenever an answer was written, also one that says why it could not be done.
    """
    job = json.loads(job_file.read_text())
    folder = job_file.parent
    sys.path[:] = [*job["sys_path"], *(p for p in sys.path if p not in job["sys_path"])]
    try:
        workspace = connect(job["address"]) if job["mode"] == "run" else None
        result = run(job, workspace, folder)
    except Exception as error:  # noqa: BLE001  # the answer must say what went wrong, whatever it was
        result = _failure("open", error)
    (folder / RESULT).write_text(json.dumps(result))
    return 0


def run(job: Mapping[str, Any], workspace: Workspace | None, folder: Path) -> dict[str, Any]:
    """Run one step; gives outputs with digests, the code's parts and what it ran on, or where it failed."""
    stage = "load"
    try:
        with ExitStack() as stack:
            step = stack.enter_context(_loaded(job, folder))
            code = code_of(step.function)
            answer: dict[str, Any] = {
                "parts": dict(code.parts),
                "packages": {
                    name: installed(name) for name in {*code.packages, *job["packages"]} - {"python"}
                },
                "runs_on": facts(),
            }
            if workspace is None:
                return answer
            stage = "inputs"
            stack.enter_context(_reading(job, workspace, folder))
            arguments = _arguments(job, workspace, folder)
            stage = "run"
            result = step.function(**arguments)
            computed = check_outputs(step.name, step.signature, result)
            answer["outputs"] = [_keep(item, folder) for item in computed]
            return answer
    except Exception as error:  # noqa: BLE001  # the parent decides what a failure means
        return _failure(stage, error)


@contextmanager
def _loaded(job: Mapping[str, Any], folder: Path) -> Iterator[Step[..., Any]]:
    """The step, from the stored sources or from the files of now."""
    module, name = job["entry"]
    with ExitStack() as stack:
        if job["code"] is not None:
            _, modules = unpack((folder / job["code"]).read_bytes())
            stack.enter_context(serving(modules, name))
        found = load_entry(module, name)
        yield found if isinstance(found, Step) else Step(found)  # type: ignore[arg-type]  # a function when the decorator is gone


@contextmanager
def _reading(job: Mapping[str, Any], workspace: Workspace, folder: Path) -> Iterator[None]:
    """Versions pinned, rows substituted, nothing recorded and nothing written."""
    rows = {name: read_rows(folder / file) for name, file in job["tables"].items()}
    nowhere = Recorder(open_store("memory://"), environment=dict)
    with (
        workspace.lake.reading_through(lambda below: OverlayBackend(below, rows)),
        workspace.runs.logging_to(nowhere, open_metrics()),
        _refusing_writes(workspace.recorder.store),
        surrounding(workspace.recorder, Unrecorded("reproduce")),
        pinned(job["pins"]),
        working_in(workspace),
    ):
        yield


@contextmanager
def _refusing_writes(store: MetadataStore) -> Iterator[None]:
    """The graph is read only; types may be declared, they are there already."""

    def refuse(change: Change) -> Written:  # noqa: ARG001  # whatever was to be written
        raise DeniedError(
            "a step that is made again may not write into the graph",
            code="reproduce-read-only",
            hint="return what the step makes as an output, so that it can be compared",
        )

    write = store.write
    store.write = refuse  # type: ignore[method-assign]  # for the one step this process runs
    try:
        yield
    finally:
        store.write = write  # type: ignore[method-assign]


def _arguments(job: Mapping[str, Any], workspace: Workspace, folder: Path) -> dict[str, object]:
    found: dict[str, object] = {name: decode_param(value) for name, value in job["params"].items()}
    for param, given in job["inputs"].items():
        found[param] = _input(given, workspace, folder)
    return found


def _input(given: Mapping[str, Any], workspace: Workspace, folder: Path) -> object:
    kind = given["kind"]
    if kind == "table":
        ref = Ref.parse(given["ref"])
        return workspace.lake.table(ref.name).at(ref.number or 0)
    if kind == "model":
        version = workspace.models.get(given["ref"])
        return version if given["digest"] == version.digest else replace(version, digest=given["digest"])
    if kind == "metrics":
        return {k: float(v) for k, v in given["inline"].items()}
    inline = given["inline"] or {}
    data = (folder / given["file"]).read_bytes() if "file" in given else workspace.blobs.get(given["digest"])
    return Report(data, inline.get("media_type", "text/plain"), inline.get("name"))


def _keep(item: Computed, folder: Path) -> dict[str, Any]:
    """Write one output to the folder; gives its digest and file."""
    name = f"output-{item.index}"
    value = item.value
    if isinstance(value, pa.Table):
        write_rows(folder / f"{name}.arrow", value)
        return {"digest": rows_digest(value).text, "file": f"{name}.arrow", "n_rows": value.num_rows}
    if isinstance(value, ModelOutput):
        data = model_bytes(value)
        (folder / f"{name}.skops").write_bytes(data)
        return {"digest": sha256_bytes(data), "file": f"{name}.skops"}
    if isinstance(value, Report):
        (folder / f"{name}.bin").write_bytes(value.data)
        inline = {"media_type": value.media_type, "name": value.name}
        return {"digest": sha256_bytes(value.data), "file": f"{name}.bin", "inline": inline}
    return {"digest": spec_digest(dict(value)), "inline": dict(value)}


def _failure(stage: str, error: Exception) -> dict[str, Any]:
    return {
        "failed": stage,
        "error": error.message if isinstance(error, WhenceError) else str(error),
        "error_type": type(error).__name__,
        "error_code": error.code if isinstance(error, WhenceError) else None,
        "traceback": "".join(traceback.format_exception(error))[-8_000:],
    }


def write_rows(path: Path, table: pa.Table) -> None:
    """Rows as an Arrow file."""
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_rows(path: Path) -> pa.Table:
    """The rows of an Arrow file."""
    with pa.OSFile(str(path), "rb") as source, ipc.open_file(source) as reader:
        return reader.read_all()


def write_job(folder: Path, job: Mapping[str, Value]) -> Path:
    """The job as a file the child can read."""
    path = folder / JOB
    path.write_text(canonical_json(job))
    return path
