"""The service over gRPC: our own client on our own server, errors included."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.unit.integrations.mlmd.calls import pb, run
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
from whence.metadata.simple import SIMPLE_TYPES

SIMPLE = {t.name for t in SIMPLE_TYPES}


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


class Authority:
    """An authority in a folder that signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl makes the certificates, and is not here")
        self._openssl = openssl
        self.folder = folder / name
        self.folder.mkdir()
        self.certificate = self.folder / "ca.pem"
        self._run("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}")

    def sign(self, name: str, *, days: int = 2) -> tuple[Path, Path]:
        """A certificate for `name` on this machine, and its key."""
        self._run("req", *KEY, "-keyout", f"{name}.key", "-out", "own.csr", "-subj", f"/O=whence/CN={name}")
        (self.folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        self._run("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._openssl, *arguments], cwd=self.folder, check=True, capture_output=True)


KEY = ("-newkey", "rsa:2048", "-nodes")


@dataclass(frozen=True)
class Guarded:
    """A service behind mutual TLS: where it is, who signs, and an authority it does not know."""

    port: int
    known: Authority
    other: Authority

    def config(self, ca: Authority | None, shown: tuple[Path, Path] | None) -> dict[str, object]:
        """What a client says that trusts an authority and shows a certificate."""
        config: dict[str, object] = {"host": "localhost", "port": self.port, "client_timeout_sec": 20}
        ssl: dict[str, str] = {}
        if ca is not None:
            ssl["custom_ca"] = ca.certificate.read_text()
        if shown is not None:
            ssl |= {"server_cert": shown[0].read_text(), "client_key": shown[1].read_text()}
        return {**config, "ssl_config": ssl} if ssl else config


@pytest.fixture
def guarded(store: Graph, tmp_path: Path) -> Iterator[Guarded]:
    known, other = Authority(tmp_path, "known"), Authority(tmp_path, "other")
    certificate, key = known.sign("server")
    certificates = Certificates(certificate, key, known.certificate)
    with serve_mlmd(store, "127.0.0.1:0", certificates=certificates) as address:
        yield Guarded(split_address(address)[1], known, other)


@pytest.mark.service
def test_with_certificates_only_those_who_show_one_are_answered(store: Graph, guarded: Guarded) -> None:
    known = guarded.known
    client = MetadataStore(pb.MetadataStoreClientConfig(**guarded.config(known, known.sign("ada"))))
    assert client.put_artifact_type(pb.ArtifactType(name="Data")) == 10
    client.close()
    strangers = {
        "no certificate": guarded.config(known, None),
        "one of another authority": guarded.config(known, guarded.other.sign("ada")),
        "one signed by itself": guarded.config(known, (guarded.other.certificate, guarded.other.folder / "ca.key")),
        "a service of another authority": guarded.config(guarded.other, known.sign("eve")),
        "a key of another": guarded.config(known, (known.sign("ada")[0], known.sign("eve")[1])),
        "no TLS": guarded.config(None, None),
    }  # fmt: skip
    for who, config in strangers.items():
        stranger = MetadataStore(pb.MetadataStoreClientConfig(**config))
        with pytest.raises(errors.UnavailableError):
            stranger.put_artifact_type(pb.ArtifactType(name=who))
        stranger.close()
    assert [t.name for t in store.list_types("artifact") if t.name not in SIMPLE] == ["Data"]


@pytest.mark.service
def test_the_name_of_the_certificate_is_recorded(
    store: Graph, guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    known = guarded.known
    ada, eve = (
        MetadataStore(pb.MetadataStoreClientConfig(**guarded.config(known, known.sign(name))))
        for name in ("ada", "eve")
    )
    type_id = ada.put_execution_type(pb.ExecutionType(name="Run"))
    (id_,) = ada.put_executions([pb.Execution(type_id=type_id, name="r")])
    forged = pb.Execution(type_id=type_id, name="f")
    forged.custom_properties["principal"].string_value = "ada"
    other, _, _ = eve.put_execution(forged, [], [])
    # Whoever updates it, the maker stays, and cannot be said to be another.
    update = pb.Execution(id=id_, type_id=type_id, last_known_state=pb.Execution.COMPLETE)
    eve.put_executions([update])
    update.custom_properties["principal"].string_value = "eve"
    eve.put_executions([update], ["custom_properties.principal"])
    for client in (ada, eve):
        said = {e.name: e.custom_properties["principal"].string_value for e in client.get_executions()}
        assert said == {"r": "ada", "f": "eve"}
    assert [e.id for e in ada.get_executions_by_id([id_, other])] == [id_, other]
    writers = {r.__dict__["principal"] for r in caplog.records if r.getMessage() == "mlmd client writes"}
    assert writers == {"ada", "eve"}
    ada.close()
    eve.close()
    assert [n.get("principal") for n in store.list_nodes("execution")] == ["ada", "eve"]


THEIRS = """
import json, sys
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

for who, config in json.load(open(sys.argv[1])).items():
    ssl = config.pop("ssl_config", None)
    made = pb.MetadataStoreClientConfig(**config)
    if ssl:
        made.ssl_config.CopyFrom(pb.MetadataStoreClientConfig.SSLConfig(**ssl))
    try:
        store = metadata_store.MetadataStore(made)
        type_id = store.put_execution_type(pb.ExecutionType(name="Run"))
        store.put_executions([pb.Execution(type_id=type_id, name=who)])
        print(who, "answered")
    except Exception as error:
        print(who, type(error).__name__)
"""


@pytest.mark.service
def test_the_unmodified_client_shows_its_certificate(
    store: Graph, guarded: Guarded, mlmd_python: Path, tmp_path: Path
) -> None:
    known = guarded.known
    configs = {
        "right": guarded.config(known, known.sign("ada")),
        "none": {**guarded.config(known, None), "client_timeout_sec": 3},
        "wrong": {**guarded.config(known, guarded.other.sign("eve")), "client_timeout_sec": 3},
    }
    (tmp_path / "configs.json").write_text(json.dumps(configs))
    done = run(mlmd_python, "-c", THEIRS, str(tmp_path / "configs.json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "right",
        "answered",
        "none",
        "UnavailableError",
        "wrong",
        "UnavailableError",
    ]
    assert [(n.name, n.get("principal")) for n in store.list_nodes("execution")] == [("right", "ada")]


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
