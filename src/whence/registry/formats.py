"""How a model becomes bytes and comes back: the port of model formats, and what is never read.

A name finds a format. Pickle, and what is made of it (joblib, cloudpickle, torch's zip), is refused
at every door: reading it runs whatever its writer wanted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Final, TypeAlias, cast

from whence.errors import DeniedError, UnsupportedError, UsageError

Trust: TypeAlias = Collection[str | type]
"""Types to trust by name (``"mymodels.Calibrated"``) or as the type itself."""

_FORMATS: Final = {"skops": "whence.registry.backends.skops"}
_PLANNED: Final = frozenset({"onnx"})


class ModelFormat(ABC):
    """A format of model files that is read without running code of the file."""

    name: str
    suffix: str

    @abstractmethod
    def recognises(self, data: bytes) -> bool:
        """Whether `data` looks like this format."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The packages that write the format, with their versions."""

    @abstractmethod
    def save(self, model: object, *, trust: Trust = ()) -> bytes:
        """The canonical bytes of a model; equal models give equal bytes.

        The bytes are read back before they are handed out.

        Raises:
            DeniedError: The model holds a type that is not trusted (``untrusted-model-type``).
            UsageError: The format cannot hold it (``model-unsupported``), or it would come back as
                something else (``model-does-not-round-trip``).
        """

    @abstractmethod
    def load(self, data: bytes, *, trust: Trust = ()) -> object:
        """The model in `data`.

        Raises:
            DeniedError: It holds a type that is not trusted (``untrusted-model-type``).
            IntegrityError: No honest writer wrote it (``model-malformed``, ``model-oversized``).
        """

    @abstractmethod
    def canonical(self, data: bytes) -> bytes:
        """The canonical bytes of a file of this format. Nothing of the file is run or imported."""

    @abstractmethod
    def untrusted(self, data: bytes, *, trust: Trust = ()) -> list[str]:
        """The types in `data` that are not trusted, by name."""


def list_formats() -> list[str]:
    """The names of the formats.

    Example:
        >>> list_formats()
        ['skops']
    """
    return sorted(_FORMATS)


def get_format(name: str) -> ModelFormat:
    """The format called `name`.

    Raises:
        UnsupportedError: No such format (``unknown-format``).
    """
    if name not in _FORMATS:
        raise UnsupportedError(
            f"model format {name!r} is not {'built yet' if name in _PLANNED else 'known'}",
            code="unknown-format",
            hint="use one of " + ", ".join(list_formats()),
        )
    opener = cast("Callable[[], ModelFormat]", import_module(_FORMATS[name]).open_format)
    return opener()


def sniff_format(data: bytes) -> ModelFormat:
    """The format of a model file.

    Raises:
        DeniedError: It is a pickle, however wrapped (``pickle-refused``).
        UsageError: It is no model file whence knows (``unknown-model-file``).
    """
    refuse_pickle(data)
    for name in list_formats():
        found = get_format(name)
        if found.recognises(data):
            return found
    raise UsageError(
        f"these {len(data)} bytes are no model file whence knows",
        code="unknown-model-file",
        hint="give the model itself, or a file in one of: " + ", ".join(list_formats()),
    )


def refuse_pickle(data: bytes) -> None:
    """Refuse pickle and what wraps it, by how it begins.

    Raises:
        DeniedError: It is one (``pickle-refused``).

    Example:
        >>> import pickle
        >>> refuse_pickle(pickle.dumps([1]))
        Traceback (most recent call last):
        ...
        whence.errors.DeniedError: a pickle is never read: reading one runs code ...
    """
    # zlib begins with 0x78 and a byte that makes both divisible by 31.
    zlib = data[:1] == b"x" and int.from_bytes(data[:2], "big") % 31 == 0
    compressed = zlib or data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00"))
    binary = len(data) > 1 and data[0] == 0x80 and 2 <= data[1] <= 5
    textual = data[:1] in (b"(", b"]", b"}", b"c") and data.rstrip().endswith(b".")
    torch = data.startswith(b"PK\x03\x04") and b"data.pkl" in data[:4096]
    if binary or textual or torch or compressed:
        raise DeniedError(
            "a pickle is never read: reading one runs code of its writer's choice",
            code="pickle-refused",
            hint="load it where you trust it, then register the model object itself",
        )


def type_names(trust: object) -> frozenset[str]:
    """The full names of trusted types.

    Raises:
        UsageError: An entry is neither a full name nor a type, or is a pattern (``bad-trust``).

    Example:
        >>> sorted(type_names(["mine.Model", dict]))
        ['builtins.dict', 'mine.Model']
    """
    if isinstance(trust, str) or not isinstance(trust, Collection):
        raise _bad_trust(trust)
    return frozenset(_type_name(entry) for entry in trust)


def _type_name(entry: object) -> str:
    if isinstance(entry, type):
        return f"{entry.__module__}.{entry.__qualname__}"
    if isinstance(entry, str) and "." in entry and all(part.isidentifier() for part in entry.split(".")):
        return entry
    raise _bad_trust(entry)


def _bad_trust(entry: object) -> UsageError:
    return UsageError(
        f"{entry!r} does not name types to trust",
        code="bad-trust",
        hint='trust each type by its full name: trust=["package.module.Class"]; there are no patterns',
    )


def canonical_skops(model: object, *, trust: Trust = ()) -> bytes:
    """The canonical skops bytes of a scikit-learn model: equal models, equal bytes.

    Raises:
        DeniedError: The model holds a type that is not trusted (``untrusted-model-type``).
    """
    return get_format("skops").save(model, trust=trust)


def load_skops(data: bytes, *, trust: Trust = ()) -> object:
    """The model in a skops file, canonical or not.

    Raises:
        DeniedError: It is a pickle, or holds a type that is not trusted.
        IntegrityError: No honest writer wrote it.
    """
    refuse_pickle(data)
    return get_format("skops").load(data, trust=trust)
