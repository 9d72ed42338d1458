"""Who calls the service, by the certificate that was shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from whence._base.principal import acting_as

log = logging.getLogger(__name__)

PRINCIPAL: Final = "principal"
"""The custom property of an execution that says who made it; only a certificate can."""
_NAMES: Final = ("x509_common_name", "x509_subject_alternative_name")
_shown: ContextVar[str | None] = ContextVar("whence_mlmd_peer", default=None)


def name_of(auth: Mapping[str, Sequence[bytes]]) -> str | None:
    """The common name of a certificate, else its first other name; None when none was shown.

    Example:
        >>> name_of({"x509_common_name": [b"ada"], "security_level": [b"x"]}), name_of({})
        ('ada', None)
    """
    found = [value for key in _NAMES for value in auth.get(key, ()) if value]
    return found[0].decode("utf-8", "replace").replace("\0", "\ufffd") if found else None


@contextmanager
def calling(name: str | None, method: str) -> Iterator[None]:
    """Within the block it is `name` who calls; without one, whoever runs the service."""
    if name is None:
        yield
        return
    token = _shown.set(name)
    try:
        with acting_as(name):
            if method.startswith("Put"):
                log.info("mlmd client writes", extra={"method": method, "principal": name})
            yield
    finally:
        _shown.reset(token)


def certified() -> str | None:
    """Who calls, when a certificate says so."""
    return _shown.get()
