"""The format ``skops``: scikit-learn models as data, read without running code of the file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from typing import Final

import sklearn
import skops
from skops.io import dumps, get_untrusted_types, loads
from skops.io.exceptions import UnsupportedTypeException, UntrustedTypesFoundException

from whence.errors import DeniedError, UsageError
from whence.registry.backends.archive import SCHEMA, malformed, read_archive
from whence.registry.backends.canonical import canonical_archive
from whence.registry.backends.reviewed import REVIEWED, check_contents
from whence.registry.formats import ModelFormat, Trust, type_names

_MAGIC: Final = b"PK\x03\x04"


class SkopsFormat(ModelFormat):
    """Canonical skops: equal models are equal bytes, and loading them predicts the same."""

    name = "skops"
    suffix = ".skops"

    def recognises(self, data: bytes) -> bool:
        if not data.startswith(_MAGIC):
            return False
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return SCHEMA in archive.namelist()
        except zipfile.BadZipFile:
            return False

    def versions(self) -> dict[str, str]:
        return {"scikit-learn": sklearn.__version__, "skops": skops.__version__}

    def save(self, model: object, *, trust: Trust = ()) -> bytes:
        data = _dump(model)
        again = _dump(_construct(data, type_names(trust), "saved"))
        if again != data:
            raise UsageError(
                f"a {type(model).__name__} like this does not come back from a skops file as it was",
                code="model-does-not-round-trip",
                hint="look for dictionaries whose keys are not text, and for attributes that change when set",
            )
        return data

    def load(self, data: bytes, *, trust: Trust = ()) -> object:
        read_archive(data)
        return _construct(data, type_names(trust), "loaded")

    def canonical(self, data: bytes) -> bytes:
        return canonical_archive(read_archive(data))

    def untrusted(self, data: bytes, *, trust: Trust = ()) -> list[str]:
        read_archive(data)
        return _list_untrusted(data, type_names(trust))


def _construct(data: bytes, trust: frozenset[str], done: str) -> object:
    """The model in an archive that was checked."""
    unknown = _list_untrusted(data, trust)
    if unknown:
        raise untrusted_types(unknown, done)
    try:
        model = loads(data, trusted=sorted(REVIEWED | trust))
    except UntrustedTypesFoundException as error:
        raise malformed("its types are other than those it declares") from error
    except Exception as error:  # any failure of construction is the file's
        raise malformed(f"it cannot be put together ({type(error).__name__}: {error})") from error
    check_contents(model)
    return model


def _list_untrusted(data: bytes, trust: frozenset[str]) -> list[str]:
    try:
        found = get_untrusted_types(data=data)
    except Exception as error:  # any failure of reading is the file's
        raise malformed(f"its types cannot be listed ({type(error).__name__}: {error})") from error
    return sorted(set(found) - REVIEWED - trust)


def _dump(model: object) -> bytes:
    try:
        raw = dumps(model)
    except (UnsupportedTypeException, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"a {type(model).__name__} cannot be saved as skops: {error}", code="model-unsupported"
        ) from error
    return canonical_archive(read_archive(raw))


def untrusted_types(names: Collection[str], done: str) -> DeniedError:
    """The refusal of types whence has not been told to trust."""
    listed = ", ".join(names)
    return DeniedError(
        f"the model is not {done}: it holds types that are not trusted: {listed}",
        code="untrusted-model-type",
        hint=f"read their code; if it is yours, name them: trust={sorted(names)!r}",
        details={"types": sorted(names)},
    )


def open_format() -> ModelFormat:
    """The format."""
    return SkopsFormat()
