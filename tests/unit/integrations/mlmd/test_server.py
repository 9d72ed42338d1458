"""The service over gRPC: our own client on our own server, errors included."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.unit.integrations.mlmd.calls import pb
from whence.errors import (
    BackendError,
    ConflictError,
    DataRejectedError,
    DeniedError,
    IntegrityError,
    NotFoundError,
    UnsupportedError,
    UsageError,
    WhenceError,
)
from whence.integrations.mlmd import errors
from whence.integrations.mlmd.messages import request_class
from whence.integrations.mlmd.metadata_store import MetadataStore
from whence.integrations.mlmd.server import Certificates, serve_mlmd, split_address
from whence.metadata import MetadataStore as Graph
from whence.metadata import Type


@pytest.fixture
def remote(store: Graph) -> Iterator[MetadataStore]:
    with serve_mlmd(store, "127.0.0.1:0") as address:
        host, port = split_address(address)
        opened = MetadataStore(pb.MetadataStoreClientConfig(host=host, port=port, client_timeout_sec=30))
        yield opened
        opened.close()


def test_calls_and_errors_travel(remote: MetadataStore) -> None:
    type_id = remote.put_artifact_type(pb.ArtifactType(name="Data"))
    ids = remote.put_artifacts([pb.Artifact(type_id=type_id, uri="u" * 50_000) for _ in range(200)])
    assert [a.id for a in remote.get_artifacts()] == ids  # ten megabytes, through a channel of four
    with pytest.raises(errors.NotFoundError, match="No type found"):
        remote.get_artifact_type("No")
    with pytest.raises(errors.InvalidArgumentError, match="Type id is missing"):
        remote.put_artifacts([pb.Artifact()])
    with pytest.raises(errors.ResourceExhaustedError):
        remote.get_artifacts_by_id(ids)


def test_what_is_no_request_is_an_invalid_argument(store: Graph) -> None:
    store.put_type(Type("artifact", "Data"))
    good = request_class("PutArtifacts")(artifacts=[{"type_id": 10, "name": "AAAA", "uri": "u"}])
    long = request_class("PutArtifacts")(artifacts=[{"type_id": 10, "custom_properties": {"x": {"string_value": "x" * 5_000_000}}}])  # fmt: skip
    wire = good.SerializeToString()
    with serve_mlmd(store, "127.0.0.1:0") as address, grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/ml_metadata.MetadataStoreService/PutArtifacts")
        for data, said in (
            (b"\xff\xff no message", "cannot be read"),
            (wire.replace(b"AAAA", b"A\xff\xfeA"), "text of name is not UTF-8"),
            (wire.replace(b"AAAA", b"A\0\0A"), "invalid-text"),
            (long.SerializeToString(), "too-large"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(data)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert said in caught.value.details()
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/ml_metadata.MetadataStoreService/PutNothing")(b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert store.find_nodes("artifact").nodes == []


def test_a_stopped_server_is_unavailable(store: Graph) -> None:
    with serve_mlmd(store, "127.0.0.1:0") as address:
        host, port = split_address(address)
    gone = MetadataStore(pb.MetadataStoreClientConfig(host=host, port=port, client_timeout_sec=5))
    with pytest.raises(errors.StatusError):
        gone.get_artifact_types()
    gone.close()


def test_a_taken_port_is_named(store: Graph) -> None:
    taken = pytest.raises(BackendError, match=r"cannot be listened on \(port-taken\)")
    with serve_mlmd(store, "127.0.0.1:0") as address, taken, serve_mlmd(store, address):
        pass


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:x", "host:70000"])
def test_an_address_has_a_host_and_a_port(address: str) -> None:
    with pytest.raises(UsageError, match="bad-address"):
        split_address(address)


def test_others_reach_it_only_with_certificates(store: Graph, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not-loopback"), serve_mlmd(store, "0.0.0.0:0"):
        pass
    lost = Certificates(tmp_path / "c", tmp_path / "k", tmp_path / "a")
    with (
        pytest.raises(UsageError, match="bad-certificate"),
        serve_mlmd(store, "127.0.0.1:0", certificates=lost),
    ):
        pass


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """An authority, and a certificate of it for this machine, which both sides show."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificates, and is not here")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=tmp_path, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    run("req", *key, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=localhost")
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    run("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-extfile", "names", "-out", "own.pem")  # fmt: skip
    return Certificates(tmp_path / "own.pem", tmp_path / "own.key", tmp_path / "ca.pem")


@pytest.mark.service
def test_with_certificates_only_those_who_show_one_are_answered(
    store: Graph, certificates: Certificates
) -> None:
    ca = certificates.client_ca.read_text()
    shown = {"client_key": certificates.key.read_text(), "server_cert": certificates.certificate.read_text()}
    with serve_mlmd(store, "127.0.0.1:0", certificates=certificates) as address:
        _, port = split_address(address)
        place = {"host": "localhost", "port": port, "client_timeout_sec": 20}
        known = MetadataStore(pb.MetadataStoreClientConfig(**place, ssl_config={"custom_ca": ca, **shown}))
        assert known.put_artifact_type(pb.ArtifactType(name="Data")) == 10
        known.close()
        for config in ({"ssl_config": {"custom_ca": ca}}, {}):
            stranger = MetadataStore(pb.MetadataStoreClientConfig(**place, **config))
            with pytest.raises(errors.UnavailableError):
                stranger.get_artifact_types()
            stranger.close()


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (UsageError("x"), errors.InvalidArgumentError),
        (UnsupportedError("x"), errors.UnimplementedError),
        (NotFoundError("node", "x"), errors.NotFoundError),
        (ConflictError("x", code="name-taken"), errors.AlreadyExistsError),
        (ConflictError("x", code="context-cycle"), errors.InvalidArgumentError),
        (ConflictError("x"), errors.AbortedError),
        (DeniedError("x"), errors.PermissionDeniedError),
        (IntegrityError("x"), errors.DataLossError),
        (DataRejectedError("x"), errors.FailedPreconditionError),
        (BackendError("x", retryable=True), errors.UnavailableError),
        (BackendError("x", code="store-locked", retryable=True), errors.AbortedError),
        (BackendError("x"), errors.InternalError),
        (WhenceError("x"), errors.UnknownError),
    ],
    ids=repr,
)
def test_an_error_of_whence_has_a_code_of_grpc(error: WhenceError, want: type[errors.StatusError]) -> None:
    assert type(errors.from_whence(error)) is want


def test_every_code_of_grpc_has_a_class() -> None:
    assert set(errors.CODES) == set(range(1, 17))
