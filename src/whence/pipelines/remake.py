"""A step run again in a process of its own: its stored code, on what it is given, nothing recorded or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from whence._base.refs import Ref
from whence.errors import BackendError, IntegrityError, NotFoundError, WhenceError
from whence.metadata.types import Execution, Value
from whence.pipelines.base import Rooms
from whence.pipelines.child import RESULT, write_job
from whence.pipelines.sources import unpack

CodeChoice: TypeAlias = Literal["stored", "current"]

READ_ONLY: Final = frozenset({"reproduce-read-only", "read-only"})


class Impossible(Exception):  # noqa: N818  # not an error: it becomes a verdict
    """It cannot be made again; the message says why."""


class Remaker:
    """Runs single steps again.

    Args:
        rooms: The workspace.
        address: What the child passes to `connect`; None when no other process can open the workspace.
        child_command: The command that does a job: it gets the job's path as its last argument.
    """

    def __init__(self, rooms: Rooms, *, address: str | None, child_command: Sequence[str]) -> None:
        self._rooms = rooms
        self._address = address
        self._command = tuple(child_command)

    def check_possible(self) -> None:
        """Refuse what no other process can read.

        Raises:
            Impossible: The workspace is in memory.
        """
        if self._address is None:
            raise Impossible(
                "the workspace lives in the memory of this process, so no other process can read it"
            )

    def remake(
        self,
        execution: Execution,
        folder: Path,
        *,
        params: Mapping[str, Value],
        inputs: Mapping[str, Value],
        pins: Mapping[str, Value],
        tables: Mapping[str, Value],
        code: CodeChoice = "stored",
    ) -> dict[str, Any]:
        """Run the code of a step on what is given here; nothing is recorded and nothing written.

        Args:
            execution: The step whose code runs.
            folder: An empty folder for the job and what comes out.
            params: The params.
            inputs: Param → what it is given, as the child reads it: kind, reference, digest, inline, file.
            pins: Table → the version that is read.
            tables: Table → the file of rows that stands in for it.
            code: ``stored`` runs the code as it was; ``current`` as it is now.

        Returns:
            ``outputs``: for each its digest and its file in `folder` or its value; or ``failed`` and why.

        Raises:
            Impossible: The workspace is in memory, the code is gone, or the step could not be started or
                writes by itself.
        """
        self.check_possible()
        job: dict[str, Value] = {
            "mode": "run",
            "address": self._address,
            "entry": list(str(execution.get("entry")).split(":")),
            "code": self._code_file(execution, folder) if code == "stored" else None,
            "params": dict(params),
            "inputs": dict(inputs),
            "pins": dict(pins),
            "tables": dict(tables),
            "packages": _names(execution.get("packages")),
            "sys_path": _search_path(),
        }
        result = self._child(job, folder)
        step, failed = execution.get("step"), result.get("failed")
        if failed in ("open", "load", "inputs"):
            what = f"{result.get('error_type')}: {result.get('error')}"
            raise Impossible(f"step {step!r} could not be started ({failed}): {what}")
        if result.get("error_code") in READ_ONLY:
            raise Impossible(f"step {step!r} writes to the workspace itself: {result.get('error')}")
        return result

    def current_parts(self, execution: Execution, folder: Path) -> dict[str, str]:
        """The parts of a step's code as they are now.

        Raises:
            Impossible: The code of now cannot be loaded.
        """
        job: dict[str, Value] = {
            "mode": "describe",
            "address": self._address,
            "entry": list(str(execution.get("entry")).split(":")),
            "code": None,
            "packages": [],
            "sys_path": _search_path(),
        }
        answer = self._child(job, folder)
        if "failed" in answer:
            raise Impossible(
                f"the current code of step {execution.get('step')!r} cannot be loaded: "
                f"{answer.get('error_type')}: {answer.get('error')}"
            )
        return {str(k): str(v) for k, v in answer["parts"].items()}

    def check_table(self, ref: str) -> None:
        """Refuse a table version that cannot be read any more.

        Raises:
            Impossible: It is gone.
        """
        parsed = Ref.parse(ref)
        try:
            self._rooms.lake.table(parsed.name).at(parsed.number or 0).files()
        except WhenceError as error:
            raise Impossible(f"input {ref} is gone: {error.message}") from error

    def check_blob(self, digest: str, what: str) -> None:
        """Refuse bytes that are gone, or are not those of their digest.

        Raises:
            Impossible: They are; it says which of both.
        """
        try:
            self._rooms.blobs.get(digest)
        except WhenceError as error:
            gone = "gone" if isinstance(error, NotFoundError) else "corrupted"
            raise Impossible(f"the bytes of {what} are {gone}: {error.message}") from error

    def _code_file(self, execution: Execution, folder: Path) -> str:
        digest = execution.get("stored_code")
        if not isinstance(digest, str) or not digest:
            raise Impossible(
                f"the code of step {execution.get('step')!r} was not stored: it had no source file"
            )
        try:
            data = self._rooms.blobs.get(digest)
            unpack(data)
        except (NotFoundError, IntegrityError) as error:
            raise Impossible(
                f"the stored code of step {execution.get('step')!r} is gone: {error.message}"
            ) from error
        (folder / "code.json").write_bytes(data)
        return "code.json"

    def _child(self, job: Mapping[str, Value], folder: Path) -> dict[str, Any]:
        path = write_job(folder, job)
        environment = {k: v for k, v in os.environ.items() if k != "WHENCE_CRASH_AT"}
        environment["WHENCE_REPRODUCING"] = "1"
        done = subprocess.run(  # noqa: S603  # the command is the workspace's own
            [*self._command, str(path)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        answer = folder / RESULT
        if not answer.is_file():
            raise BackendError(
                f"the process that makes a step again ended with {done.returncode} and no answer: {done.stderr[-2_000:]}",
                code="reproduce-child",
            )
        result: dict[str, Any] = json.loads(answer.read_text())
        return result


def _search_path() -> list[Value]:
    """Where modules are looked for, in a form that another folder does not change."""
    return [str(Path(p).absolute()) for p in sys.path]


def _names(value: Value) -> list[Value]:
    return [str(k) for k in value] if isinstance(value, Mapping) else []


__all__ = ["CodeChoice", "Impossible", "Remaker"]
