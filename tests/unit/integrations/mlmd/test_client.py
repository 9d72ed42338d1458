"""The unmodified client of ML Metadata on our service, in an environment of its own: it pins protobuf below 5."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from google.protobuf import descriptor_pb2

from tests.unit.integrations.mlmd.calls import run
from whence.database import sqlite_url
from whence.integrations.mlmd import wire
from whence.integrations.mlmd.server import serve_mlmd
from whence.metadata import MetadataStore, open_store

pytestmark = pytest.mark.service

HERE: Final = Path(__file__).parent
#: Its own (`never`): four of its tests call a function of theirs without its argument, and fail on any server.
THEIRS: Final = {
    "test_connection_config_with_grpc_client_timeout_sec_errors",
    "test_connection_config_with_grpc_http2_max_ping_strikes",
    "test_connection_config_with_grpc_max_receive_message_length",
    "test_connection_config_with_grpc_max_receive_message_length_errors",
}
DESCRIBE: Final = """
import json
from ml_metadata.proto import metadata_store_pb2 as a, metadata_store_service_pb2 as b
from google.protobuf import descriptor_pb2 as d
out = []
for file in (a.DESCRIPTOR, b.DESCRIPTOR):
    proto = d.FileDescriptorProto()
    file.CopyToProto(proto)
    del proto.extension[:]
    out.append(proto.SerializeToString().hex())
print(json.dumps(out))
"""


@pytest.fixture(params=["memory", "sqlite", "postgres", "mariadb"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "whence.db")
    else:
        url = "memory://" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")
    opened = open_store(url)
    yield opened
    opened.close()


def test_its_own_tests_pass_on_our_service(
    any_store: MetadataStore, mlmd_python: Path, tmp_path: Path
) -> None:
    where = run(
        mlmd_python, "-c", "import ml_metadata; print(ml_metadata.__path__[0])", cwd=tmp_path
    ).stdout.strip()
    with serve_mlmd(any_store, "127.0.0.1:0") as address:
        host, port = address.split(":")
        done = run(
            mlmd_python, "-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider",
            f"{where}/metadata_store/metadata_store_test.py",
            "--use_grpc_backend", "--grpc_host", host, "--grpc_port", port,
            cwd=tmp_path,
        )  # fmt: skip
    failed = set(re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE))
    assert re.search(r"\b102 passed", done.stdout), done.stdout[-2000:] + done.stderr[-2000:]
    assert failed == THEIRS


#: A package `ml_metadata` that is ours: another import line, and nothing else.
SHIM: Final = {
    "__init__.py": "from whence.integrations.mlmd.metadata_store import ListOptions, MetadataStore, OrderByField, "
    "downgrade_schema",
    "errors.py": "from whence.integrations.mlmd.errors import *",
    "proto/__init__.py": "from whence.integrations.mlmd.messages import metadata_store_pb2",
}


def test_its_own_tests_pass_on_our_store_in_process(mlmd_python: Path, tmp_path: Path) -> None:
    found = run(
        mlmd_python,
        "-c",
        "import absl, ml_metadata; print(absl.__path__[0], ml_metadata.__path__[0])",
        cwd=tmp_path,
    )
    absl, package = map(Path, found.stdout.split())
    shutil.copytree(absl, tmp_path / "absl")
    for name in ("metadata_store_test.py", "conftest.py"):
        shutil.copy(package / "metadata_store" / name, tmp_path / name)
    for name, text in SHIM.items():
        file = tmp_path / "ml_metadata" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-c", os.devnull,
         "--rootdir", str(tmp_path), "metadata_store_test.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert "106 passed, 2 xfailed" in done.stdout, done.stdout[-3000:] + done.stderr[-2000:]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_histories_are_answered_as_ml_metadata_answers_them(
    any_store: MetadataStore, mlmd_python: Path, tmp_path: Path, seed: int
) -> None:
    script = str(HERE / "history.py")
    theirs = run(mlmd_python, script, str(seed), cwd=tmp_path)
    with serve_mlmd(any_store, "127.0.0.1:0") as address:
        ours = run(mlmd_python, script, str(seed), address.split(":")[1], cwd=tmp_path)
    assert ours.returncode == theirs.returncode == 0, ours.stderr[-2000:] + theirs.stderr[-2000:]
    assert len(theirs.stdout.splitlines()) == 120
    for i, (one, other) in enumerate(zip(ours.stdout.splitlines(), theirs.stdout.splitlines(), strict=True)):
        assert one == other, f"call {i}"


def test_our_messages_are_theirs_field_by_field(mlmd_python: Path, tmp_path: Path) -> None:
    done = run(mlmd_python, "-c", DESCRIBE, cwd=tmp_path)
    theirs = [
        descriptor_pb2.FileDescriptorProto.FromString(bytes.fromhex(text)) for text in json.loads(done.stdout)
    ]
    for found in theirs:
        ours = type(found)()
        wire.pool().FindFileByName(found.name).CopyToProto(ours)
        assert described(ours) == described(found), found.name


def described(file: wire.Message) -> dict[str, object]:
    """What two descriptions of a file must share: fields with numbers, kinds, defaults, oneofs; enums; methods."""
    out: dict[str, object] = {}

    def message(proto: wire.Message, outer: str) -> None:
        name = f"{outer}.{proto.name}"
        groups = [g.name for g in proto.oneof_decl]
        out[name] = {
            f.name: (
                f.number, f.label, f.type, f.type_name, f.default_value, f.options.deprecated,
                groups[f.oneof_index] if f.HasField("oneof_index") else None,
            )
            for f in proto.field
        }  # fmt: skip
        for enum in proto.enum_type:
            out[f"{name}.{enum.name}"] = [(v.name, v.number) for v in enum.value]
        for inner in proto.nested_type:
            message(inner, name)

    for proto in file.message_type:
        message(proto, file.package)
    for enum in file.enum_type:
        out[f"{file.package}.{enum.name}"] = [(v.name, v.number) for v in enum.value]
    for service in file.service:
        out[service.name] = [(m.name, m.input_type, m.output_type) for m in service.method]
    return out
