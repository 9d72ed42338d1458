"""Calls to a service in few words, and types that most tests need."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from whence.integrations.mlmd import wire
from whence.integrations.mlmd.messages import metadata_store_pb2, request_class
from whence.integrations.mlmd.service import MlmdService
from whence.integrations.protos import class_of

pb: Any = metadata_store_pb2


def our_class(name: str) -> Any:
    """The class of a message of our own, where one of ML Metadata's may be installed."""
    return class_of(wire.pool(), f"{wire.PACKAGE}.{name}")


class Client:
    """A client: ``client.GetArtifacts(...)`` makes the request and gives the response."""

    def __init__(self, service: MlmdService) -> None:
        self.service = service

    def __getattr__(self, method: str) -> Any:
        return lambda **fields: self.service.call(method, request_class(method)(**fields))

    def types(self) -> tuple[int, int, int]:
        """An artifact type with a property of each kind, an execution type, a context type."""
        properties = {
            "i": pb.INT,
            "d": pb.DOUBLE,
            "s": pb.STRING,
            "st": pb.STRUCT,
            "p": pb.PROTO,
            "b": pb.BOOLEAN,
        }
        done = self.PutTypes(
            artifact_types=[{"name": "Data", "properties": properties}],
            execution_types=[{"name": "Run", "properties": {"i": pb.INT}}],
            context_types=[{"name": "Group"}],
        )
        return done.artifact_type_ids[0], done.execution_type_ids[0], done.context_type_ids[0]

    def artifact(self, id_: int) -> Any:
        (found,) = self.GetArtifactsByID(artifact_ids=[id_]).artifacts
        return found


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the Python of ML Metadata's environment, which must see nothing of ours."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
    return subprocess.run(
        [str(python), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
        timeout=300,
    )
