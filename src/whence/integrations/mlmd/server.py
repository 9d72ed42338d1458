"""`serve_mlmd`: the graph for ML Metadata's clients, on this machine or behind certificates on both sides."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whence.errors import UsageError
from whence.integrations.mlmd.backends.grpc import GrpcServer, Tls
from whence.integrations.mlmd.service import MlmdService
from whence.metadata import MetadataStore

log = logging.getLogger(__name__)

STOP_TIMEOUT_S: Final = 10.0
"""How long calls under way may take once the service is told to stop."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of mutual TLS: the server's certificate and key, and the authority that signed the clients'."""

    certificate: Path
    key: Path
    client_ca: Path

    def read(self) -> Tls:
        """Their bytes.

        Raises:
            UsageError: One cannot be read (``bad-certificate``).
        """
        try:
            return Tls(self.key.read_bytes(), self.certificate.read_bytes(), self.client_ca.read_bytes())
        except OSError as error:
            raise UsageError(
                f"the certificate {error.filename} cannot be read: {error.strerror}", code="bad-certificate"
            ) from error


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[V6]:PORT``.

    Raises:
        UsageError: It is neither (``bad-address``).

    Example:
        >>> split_address("127.0.0.1:8080"), split_address("[::1]:0")
        (('127.0.0.1', 8080), ('::1', 0))
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(f"{address!r} is no address", code="bad-address", hint="write HOST:PORT")
    return host, int(port)


@contextmanager
def serve_mlmd(
    store: MetadataStore, address: str, *, certificates: Certificates | None = None
) -> Iterator[str]:
    """Answer ML Metadata's clients while the block runs; its value is the address that answers.

    Its clients cannot send a token, so without certificates only this machine may reach the service. On leaving,
    calls under way are answered first.

    Args:
        store: The graph; it is not closed.
        address: ``HOST:PORT``; port 0 takes a free one.
        certificates: Mutual TLS: a client without a certificate of the authority is refused.

    Raises:
        UsageError: ``not-loopback``, ``bad-address``, ``bad-certificate``.
        BackendError: The port is taken (``port-taken``).
    """
    host, port = split_address(address)
    if certificates is None and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached by others, and ML Metadata's clients cannot say who they are",
            code="not-loopback",
            hint="use 127.0.0.1, or give certificates for mutual TLS",
        )
    tls = None if certificates is None else certificates.read()
    server = GrpcServer(MlmdService(store).call, host, port, tls=tls)
    shown = f"[{host}]" if ":" in host else host
    log.info("mlmd service answers", extra={"host": host, "port": server.port})
    try:
        yield f"{shown}:{server.port}"
    finally:
        server.stop(STOP_TIMEOUT_S)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
