"""The service as a gRPC server, and a channel to one: the only place that knows gRPC."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc

from whence.errors import BackendError
from whence.integrations.mlmd.errors import StatusError, invalid, make_error
from whence.integrations.mlmd.messages import METHODS, DecodeError, request_class, response_class
from whence.integrations.mlmd.peer import calling, name_of
from whence.integrations.mlmd.wire import PACKAGE, Message

log = logging.getLogger(__name__)

SERVICE: Final = f"{PACKAGE}.MetadataStoreService"
_THREADS: Final = 16
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_UNLIMITED: Final = -1

Call = Callable[[str, Message], Message]
"""A method's name and a request, to its response."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Both sides show certificates: the server's key and certificate, and who may have signed the clients'."""

    key: bytes
    certificate: bytes
    client_ca: bytes


class GrpcServer:
    """A running server; `port` is the one it listens on.

    Raises:
        BackendError: The address cannot be listened on (``port-taken``).
    """

    def __init__(self, call: Call, host: str, port: int, *, tls: Tls | None = None) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="mlmd"),
            options=[
                ("grpc.max_receive_message_length", _UNLIMITED),
                ("grpc.max_send_message_length", _UNLIMITED),
                ("grpc.so_reuseport", 0),  # a second server on the port is refused, not mixed in
            ],
        )
        methods = {name: _rpc(name, call) for name in METHODS}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port: int = self._bind(address, tls)
        except RuntimeError as error:
            raise BackendError(
                f"{address} cannot be listened on", code="port-taken", hint="name another port"
            ) from error
        if not self.port:
            raise BackendError(
                f"{address} cannot be listened on", code="port-taken", hint="name another port"
            )
        self._server.start()

    def _bind(self, address: str, tls: Tls | None) -> int:
        if tls is None:
            return int(self._server.add_insecure_port(address))
        credentials = grpc.ssl_server_credentials(
            [(tls.key, tls.certificate)], root_certificates=tls.client_ca, require_client_auth=True
        )
        return int(self._server.add_secure_port(address, credentials))

    def stop(self, timeout_s: float) -> None:
        """Take no more calls, and wait for those under way."""
        self._server.stop(timeout_s).wait()


def _rpc(name: str, call: Call) -> Any:  # a handler of gRPC, which ships no types
    def answer(data: bytes, context: Any) -> Message:
        try:
            try:
                request = request_class(name).FromString(data)
            except DecodeError as error:
                raise invalid(f"The request of {name} cannot be read: {error}") from error
            with calling(name_of(context.auth_context()), name):
                return call(name, request)
        except StatusError as error:
            context.abort(_CODES[error.error_code], error.message)
        except Exception:  # a bug: the client gets no trace, the log does
            log.exception("mlmd call failed", extra={"method": name})
            context.abort(grpc.StatusCode.INTERNAL, "The server failed; its log says why.")
        raise AssertionError  # abort has raised

    # Bytes come in: gRPC itself would say INTERNAL of a request that is none.
    return grpc.unary_unary_rpc_method_handler(
        answer, response_serializer=response_class(name).SerializeToString
    )


class GrpcChannel:
    """Calls to a server somewhere."""

    def __init__(
        self,
        address: str,
        *,
        options: tuple[tuple[str, int], ...] = (),
        tls: tuple[bytes | None, bytes | None, bytes | None] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """`tls` is (root certificates, private key, certificate chain)."""
        self._timeout_s = timeout_s
        if tls is None:
            self._channel = grpc.insecure_channel(address, options=list(options))
        else:
            credentials = grpc.ssl_channel_credentials(*tls)
            self._channel = grpc.secure_channel(address, credentials, options=list(options))

    def call(self, method: str, request: Message) -> Message:
        """The response of a method.

        Raises:
            StatusError: What the server answered, or that it did not.
        """
        stub: Any = self._channel.unary_unary(  # made by gRPC, which ships no types
            f"/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class(method).FromString,
        )
        try:
            return stub(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            answer: Any = error  # the error is also the call
            raise make_error(answer.details() or "", answer.code().value[0]) from error

    def close(self) -> None:
        """End the connection."""
        self._channel.close()
