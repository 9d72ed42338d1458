"""Optional statistics: states of blocks of rows that merge, registered by kind and kept with the others.

A correlation, a lift, the share of values that read as times: each is an `Extra`. It says which columns it
needs, takes in blocks of rows, merges, and finishes as JSON. `StatisticsOptions.extras` names those wanted;
`Statistics.extras` holds them, and they are merged and stored with the statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

import pyarrow as pa

from whence.errors import ConflictError, UsageError


class Extra(Protocol):
    """An optional statistic as a mergeable state; implementations subclass it and are frozen.

    Attributes:
        kind: The registered name of the class.
    """

    kind: ClassVar[str]

    def key(self) -> str:
        """Which statistic this is, its name in `Statistics.extras`: ``lift(tips | company)``."""
        ...

    def columns(self) -> tuple[str, ...] | None:
        """The top-level columns that blocks must have; None: all of them."""
        return None

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block of rows: the columns described, weights included."""
        ...

    def merge(self, other: Self, /) -> Self:
        """The state of both sets of rows."""
        ...

    def beside_none(self) -> Self | None:
        """The state of both sets of rows when the other set was not asked for it; None: nobody can tell."""
        return None

    def finish(self) -> Any:
        """The statistic as JSON."""
        ...

    def by_feature(self) -> Mapping[str, Any]:
        """What it says of single features, as JSON by feature name; it becomes part of their `custom`.

        A mapping adds its names; anything else stands under the extra's own key.
        """
        return {}

    def sealed(self) -> Self:
        """The state as it is stored."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON, without the kind."""
        ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        ...


_KINDS: dict[str, type[Extra]] = {}
_OWN: Final = "whence.validation.extra"
"""Where the extras of this package register themselves; loaded when stored ones are read."""
_Class = TypeVar("_Class", bound=type[Extra])


def register_extra(cls: _Class) -> _Class:
    """Make a class of extras known by its `kind`, so that stored ones can be read.

    Raises:
        ConflictError: Another class has this kind (``extra-exists``).
    """
    ours = cls.__module__.startswith(_OWN + ".")
    known = (_KINDS.get(cls.kind) if ours else _find(cls.kind)) or cls
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ConflictError(f"extra {cls.kind!r} is already {known.__qualname__}", code="extra-exists")
    _KINDS[cls.kind] = cls
    return cls


def _find(kind: str) -> type[Extra] | None:
    """The class of a kind; whence's own register themselves when their package is imported."""
    if kind not in _KINDS:
        import_module(_OWN)
    return _KINDS.get(kind)


def extra_to_dict(extra: Extra) -> dict[str, Any]:
    """An extra as it is stored: its kind and its state."""
    kind = extra.of if isinstance(extra, UnknownExtra) else extra.kind
    return {"kind": kind, "state": extra.to_dict()}


def extra_from_dict(key: str, data: Mapping[str, Any]) -> Extra:
    """The extra that `extra_to_dict` wrote; one of a kind not known here is kept as it is."""
    cls = _find(str(data["kind"]))
    return UnknownExtra(key, data["kind"], data["state"]) if cls is None else cls.from_dict(data["state"])


def merged_extras(first: Mapping[str, Extra], second: Mapping[str, Extra]) -> dict[str, Extra]:
    """The extras of two sets of rows: those both have, and those one has that say something beside none."""
    merged: dict[str, Extra] = {}
    for key in dict.fromkeys([*first, *second]):
        sides = [extras[key] for extras in (first, second) if key in extras]
        both = sides[0].merge(sides[1]) if len(sides) == 2 else sides[0].beside_none()
        if both is not None:
            merged[key] = both
    return merged


@dataclass(frozen=True)
class UnknownExtra(Extra):
    """An extra whose class is not imported here: it is kept, and cannot be read or merged.

    Attributes:
        name: Which statistic it is.
        of: Its kind.
        state: Its state, as stored.
    """

    kind: ClassVar[str] = "unknown"

    name: str
    of: str
    state: Mapping[str, Any]

    def key(self) -> str:
        """Its name."""
        return self.name

    def add(self, block: pa.Table, /) -> Self:  # noqa: ARG002 - refused
        """Refused."""
        raise self._unknown()

    def merge(self, other: Self, /) -> Self:  # noqa: ARG002 - refused
        """Refused."""
        raise self._unknown()

    def finish(self) -> Any:
        """None: what it means is not known here."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Its state, as stored."""
        return dict(self.state)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:  # noqa: ARG003 - refused
        """Refused: no class writes this kind."""
        raise UsageError("an unknown extra has no state of its own", code="unknown-extra")

    def _unknown(self) -> UsageError:
        return UsageError(
            f"statistic {self.name!r} is of kind {self.of!r}, which is not known here",
            code="unknown-extra",
            hint="import the module that registers it",
        )
