"""whence's errors, which programs written for TFDV catch as ``ValueError`` and ``NotImplementedError`` too."""

from __future__ import annotations

from whence import errors


class UsageError(errors.UsageError, ValueError):
    """The call is wrong; TFDV would raise a ``ValueError``."""


class NotFoundError(errors.NotFoundError, ValueError):
    """A named thing is absent; TFDV would raise a ``ValueError``."""


class UnsupportedError(errors.UnsupportedError, NotImplementedError):
    """Something of TFDV that is not offered here; the message says what is, instead."""
