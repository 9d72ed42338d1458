"""The unmodified client of ML Metadata on our service, in an environment of its own: it pins protobuf below 5."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from google.protobuf import descriptor_pb2

from tests.house.source import ROOT
from whence.integrations.mlmd import wire
from whence.integrations.mlmd.server import serve_mlmd
from whence.metadata import MetadataStore

pytestmark = pytest.mark.service

#: Gaps of ours (`notimpl`): types keep no external id yet.
OURS: Final = {
    f"test_put_{k}_types_and_get_{k}_types_by_external_ids" for k in ("artifact", "execution", "context")
}
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


@pytest.fixture(scope="session")
def mlmd_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with ML Metadata's client: named by WHENCE_TEST_MLMD, or made from the pins."""
    named = os.environ.get("WHENCE_TEST_MLMD")
    if named:
        return Path(named)
    if sys.version_info[:2] not in ((3, 10), (3, 11)) or sys.platform != "linux":
        pytest.skip("ML Metadata 1.17.1 has wheels for Python 3.10 and 3.11 on Linux only")
    place = tmp_path_factory.mktemp("mlmd")
    python = place / "bin" / "python"
    pins = ROOT / "requirements" / "mlmd.txt"
    for arguments in (
        ["venv", "-q", "--python", sys.executable, str(place)],
        ["pip", "install", "-q", "--python", str(python), "--require-hashes", "--only-binary", ":all:", "-r", str(pins)],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"its environment cannot be made: {done.stderr[-500:]}")
    return python


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
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


def test_its_own_tests_pass_on_our_service(store: MetadataStore, mlmd_python: Path, tmp_path: Path) -> None:
    where = run(
        mlmd_python, "-c", "import ml_metadata; print(ml_metadata.__path__[0])", cwd=tmp_path
    ).stdout.strip()
    with serve_mlmd(store, "127.0.0.1:0") as address:
        host, port = address.split(":")
        done = run(
            mlmd_python, "-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider",
            f"{where}/metadata_store/metadata_store_test.py",
            "--use_grpc_backend", "--grpc_host", host, "--grpc_port", port,
            cwd=tmp_path,
        )  # fmt: skip
    failed = set(re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE))
    assert re.search(r"\b99 passed", done.stdout), done.stdout[-2000:] + done.stderr[-2000:]
    assert failed == OURS | THEIRS


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
