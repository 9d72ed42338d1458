"""whence's errors, which programs written for TFDV catch as ``ValueError`` and ``NotImplementedError`` too."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from whence import errors


class UsageError(errors.UsageError, ValueError):
    """The call is wrong; TFDV would raise a ``ValueError``."""


class NotFoundError(errors.NotFoundError, ValueError):
    """A named thing is absent; TFDV would raise a ``ValueError``."""


class FileAbsentError(errors.NotFoundError, FileNotFoundError, ValueError):
    """A file is absent; TFDV would raise a ``FileNotFoundError``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__("file", os.fspath(path))
        at = Path(path)
        if at.parent.is_dir():
            self.near = errors.near_names(at.name, [p.name for p in at.parent.iterdir()])


class PackageAbsentError(errors.UnsupportedError, ImportError):
    """Protobuf is not installed; the hint names the extra that brings it."""


class UnsupportedError(errors.UnsupportedError, NotImplementedError):
    """Something of TFDV that is not offered here; the message says what is, instead."""


try:  # the face imports this module before any that needs protobuf
    import_module("google.protobuf")
except ModuleNotFoundError as error:
    raise PackageAbsentError(
        "TFDV's formats (pbtxt) need the package protobuf",
        code="protobuf-missing",
        hint="pip install 'whence[tfdv]'",
    ) from error
