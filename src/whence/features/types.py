"""What a feature is: frozen declarations that say what is computed, never how.

A declaration is JSON (`to_dict`) and back; its *definition digest* is the sha256 of the canonical JSON
of everything that decides values. Owner, sensitivity and description decide none and stay outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from whence._base.digest import spec_digest
from whence.errors import NotFoundError, UsageError
from whence.features.duration import duration_label, microseconds, parse_duration
from whence.features.where import parse_where

Op: TypeAlias = Literal["count", "sum", "mean", "std", "min", "max", "first", "last"]
OPS: Final[tuple[str, ...]] = get_args(Op)
ADDITIVE: Final = frozenset({"count", "sum", "mean", "std"})
NUMERIC: Final = frozenset({"sum", "mean", "std"})

Known: TypeAlias = Literal["then", "now"]
"""What a lookup may use: what was known *then*, at each row's moment, or what is known *now*."""

Part: TypeAlias = Literal["hour", "minute", "weekday", "day", "day_of_year", "month", "quarter", "year"]
PARTS: Final[tuple[str, ...]] = get_args(Part)

MAX_SCALE: Final = 9
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_name(name: str, what: str) -> str:
    """`name` if it can stand in a column name.

    Raises:
        UsageError: It is empty, holds other characters than letters, digits and ``_``, or ``__``,
            which parts view from feature (``bad-name``).
    """
    if not _NAME.fullmatch(str(name)) or "__" in name:
        raise UsageError(
            f"{what} {name!r} is not a name",
            code="bad-name",
            hint="letters, digits and single underscores, beginning with a letter",
        )
    return name


@dataclass(frozen=True, slots=True)
class Entity:
    """Who or what features are about.

    Args:
        name: Its name.
        join_keys: The columns that name one of them, in sources and spines alike. Empty for features
            that are the same for everyone at a moment.

    Example:
        >>> Entity("route", join_keys=["origin", "dest"]).join_keys
        ('origin', 'dest')
    """

    name: str
    join_keys: tuple[str, ...]

    def __init__(self, name: str, join_keys: Sequence[str]) -> None:
        if isinstance(join_keys, str):
            raise UsageError(
                f"join_keys of entity {name!r} is one text",
                code="bad-entity",
                hint=f"join_keys=[{join_keys!r}]",
            )
        keys = tuple(join_keys)
        if len(set(keys)) != len(keys):
            raise UsageError(f"entity {name!r} names a join key twice: {list(keys)}", code="bad-entity")
        object.__setattr__(self, "name", check_name(name, "entity"))
        object.__setattr__(self, "join_keys", keys)


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One feature of a view: an operation over a column, over a time window or as of the moment.

    Made by `count`, `sum`, `mean`, `std`, `min`, `max`, `first` and `last`.

    Attributes:
        op: The operation.
        column: The source's column; None only for counting rows.
        over: The window's length; None only for ``last``, which then looks the newest row up.
        where: A condition on the source's rows, in the closed language of `whence.features.where`.
        scale: Decimals that count: each value is rounded to so many before it is added, and sums are exact.
        name: The feature's name; made from the parts when not given.
    """

    op: Op
    column: str | None = None
    over: timedelta | None = None
    where: str | None = None
    scale: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        self._check_op()
        self._check_scale()
        if self.over is not None and self.over <= timedelta(0):
            raise UsageError(
                f"the window of {self.op} must be longer than 0, got {self.over}", code="bad-window"
            )
        if self.where is not None:
            object.__setattr__(self, "where", self.where.strip())
            parse_where(self.where)
        if self.name:
            check_name(self.name, "feature")
        else:
            # made from a column that need not be a name: the view refuses it unless it is `named`
            object.__setattr__(self, "name", self._default_name())

    def _check_op(self) -> None:
        if self.op not in OPS:
            raise UsageError(f"unknown operation {self.op!r}", code="bad-aggregation", hint=", ".join(OPS))
        if self.column is None and self.op != "count":
            raise UsageError(f"{self.op} needs a column", code="bad-aggregation")
        if self.over is None and self.op != "last":
            raise UsageError(f"{self.op} needs a window", code="bad-aggregation", hint='over="7d"')

    def _check_scale(self) -> None:
        if self.scale is None:
            return
        if self.op not in NUMERIC:
            raise UsageError(f"{self.op} takes no scale", code="bad-aggregation")
        if isinstance(self.scale, bool) or not 0 <= self.scale <= MAX_SCALE:
            raise UsageError(f"scale must be 0 to {MAX_SCALE}, got {self.scale!r}", code="bad-aggregation")

    def _default_name(self) -> str:
        if self.over is None:
            return str(self.column)
        parts = [self.op, *([self.column] if self.column else []), duration_label(self.over)]
        return "_".join(parts)

    def named(self, name: str) -> Aggregation:
        """The same feature under another name."""
        return replace(self, name=name)

    def to_dict(self) -> dict[str, Any]:
        """The declaration as JSON."""
        return {
            "op": self.op,
            "column": self.column,
            "over_us": None if self.over is None else microseconds(self.over),
            "where": self.where,
            "scale": self.scale,
            "name": self.name,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Aggregation:
        """The declaration that `to_dict` wrote."""
        over = data["over_us"]
        return cls(
            op=data["op"],
            column=data["column"],
            over=None if over is None else timedelta(microseconds=over),
            where=data["where"],
            scale=data["scale"],
            name=data["name"],
        )


@dataclass(frozen=True, slots=True, init=False)
class FeatureView:
    """Features of one entity from one source.

    Args:
        name: Its name; columns come out as ``name__feature``.
        entity: Whom the features are about; its join keys are columns of the source.
        source: A table, or its name.
        timestamp: The source's column of the event time. None makes the view a timeless lookup: the
            newest known row of a key, whatever its age.
        ttl: How old the looked-up row may be, both ends included; None and 0 are without limit.
            Windows are not concerned: they carry their own length.
        features: What is computed.
        hop: Round the far end of every window down to a multiple of this since 1970-01-01 UTC. A window
            then is up to one hop longer, and can be kept in tiles. None is exact.
        owner: Who answers for it.
        sensitivity: How it must be treated, in the words of the house.
        description: What it is, for people.
        version: A label of your own; it is part of the definition.

    Raises:
        UsageError: See the codes ``bad-view``, ``bad-name``, ``duplicate-feature``, ``bad-window``.

    Example:
        >>> from whence.features import Entity, FeatureView, count, mean
        >>> view = FeatureView("delays", entity=Entity("carrier", ["carrier"]), source="arrivals",
        ...     timestamp="arr_at", features=[mean("arr_delay", over="7d"), count(over="7d")])
        >>> view.outputs
        ('delays__mean_arr_delay_7d', 'delays__count_7d')
    """

    name: str
    entity: Entity
    source: str
    timestamp: str | None
    ttl: timedelta | None
    features: tuple[Aggregation, ...]
    hop: timedelta | None
    keys: tuple[tuple[str, str], ...]
    version: str | None
    owner: str = field(compare=False)
    sensitivity: str = field(compare=False)
    description: str = field(compare=False)

    def __init__(
        self,
        name: str,
        *,
        entity: Entity,
        source: object,
        features: Sequence[Aggregation],
        timestamp: str | None = None,
        ttl: str | timedelta | None = None,
        hop: str | timedelta | None = None,
        owner: str = "",
        sensitivity: str = "",
        description: str = "",
        version: str | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "name", check_name(name, "feature view"))
        put(self, "entity", entity)
        put(self, "source", _source_name(source, name))
        put(self, "timestamp", timestamp)
        put(self, "ttl", _optional_duration(ttl))
        put(self, "features", tuple(features))
        put(self, "hop", _optional_duration(hop))
        put(self, "keys", tuple((key, key) for key in entity.join_keys))
        put(self, "version", version)
        put(self, "owner", owner)
        put(self, "sensitivity", sensitivity)
        put(self, "description", description)
        self._check()

    def _check(self) -> None:
        if not self.features:
            raise UsageError(f"feature view {self.name!r} has no features", code="bad-view")
        for feature in self.features:
            if not isinstance(feature, Aggregation):
                raise UsageError(
                    f"feature view {self.name!r}: {feature!r} is not a feature",
                    code="bad-view",
                    hint="count, sum, mean, std, min, max, first, last",
                )
        names = [check_name(f.name, "feature") for f in self.features]
        for twice in sorted({n for n in names if names.count(n) > 1}):
            raise UsageError(
                f"feature view {self.name!r} has two features {twice!r}",
                code="duplicate-feature",
                hint=f"name one of them: .named({twice + '_2'!r})",
            )
        self._check_times()

    def _check_times(self) -> None:
        windowed = [f.name for f in self.features if f.over is not None]
        if self.timestamp is None and windowed:
            raise UsageError(
                f"feature view {self.name!r} has no timestamp, so {windowed[0]!r} has no window",
                code="bad-view",
                hint="timestamp=<the source's column of the event time>",
            )
        if self.timestamp is None and self.ttl is not None:
            raise UsageError(
                f"feature view {self.name!r} has no timestamp, so a ttl has no meaning", code="bad-view"
            )
        shortest = min((f.over for f in self.features if f.over is not None), default=None)
        if self.hop is not None and (shortest is None or self.hop > shortest):
            raise UsageError(
                f"feature view {self.name!r}: hop {self.hop} is longer than its shortest window {shortest}",
                code="bad-window",
            )

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns the view adds to a spine, in order."""
        return tuple(f"{self.name}__{f.name}" for f in self.features)

    @property
    def spine_columns(self) -> tuple[str, ...]:
        """The columns the spine must have for it."""
        return tuple(spine for _, spine in self.keys)

    def feature(self, name: str) -> Aggregation:
        """The feature of this name, with or without the view's name in front.

        Raises:
            NotFoundError: There is none.
        """
        wanted = name.removeprefix(f"{self.name}__")
        for feature in self.features:
            if feature.name == wanted:
                return feature
        raise NotFoundError("feature", name, near=[f.name for f in self.features])

    def with_keys(self, keys: Mapping[str, str], *, name: str) -> FeatureView:
        """The same features looked up by other columns of the spine.

        Args:
            keys: From join key to the spine's column.
            name: The name it then has.

        Example:
            >>> from whence.features import Entity, FeatureView, last
            >>> weather = FeatureView("weather", entity=Entity("airport", ["origin"]), source="weather",
            ...     timestamp="observed_at", ttl="6h", features=[last("temp")])
            >>> there = weather.with_keys({"origin": "dest"}, name="dest_weather")
            >>> there.spine_columns, there.outputs
            (('dest',), ('dest_weather__temp',))
        """
        for key in keys:
            if key not in self.entity.join_keys:
                raise UsageError(
                    f"feature view {self.name!r} has no join key {key!r}",
                    code="bad-view",
                    hint=f"its join keys: {', '.join(self.entity.join_keys) or 'none'}",
                )
        copy = replace_view(self, name=name)
        object.__setattr__(copy, "keys", tuple((key, keys.get(key, key)) for key in self.entity.join_keys))
        return copy

    def definition(self) -> dict[str, Any]:
        """What decides the values, as JSON."""
        return {
            "kind": "feature_view",
            "name": self.name,
            "entity": {"name": self.entity.name, "join_keys": list(self.entity.join_keys)},
            "source": self.source,
            "timestamp": self.timestamp,
            "ttl_us": None if self.ttl is None else microseconds(self.ttl),
            "hop_us": None if self.hop is None else microseconds(self.hop),
            "keys": dict(self.keys),
            "features": [f.to_dict() for f in self.features],
            "version": self.version,
        }

    @property
    def digest(self) -> str:
        """The definition digest."""
        return spec_digest(self.definition())

    def to_dict(self) -> dict[str, Any]:
        """The whole declaration as JSON."""
        about = {"owner": self.owner, "sensitivity": self.sensitivity, "description": self.description}
        return {**self.definition(), **about}


@dataclass(frozen=True, slots=True)
class Calendar:
    """Parts of a moment of the spine, read from a clock of some place. Made by `calendar`."""

    column: str
    tz: str
    parts: tuple[Part, ...]
    name: str = "calendar"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns it adds."""
        return tuple(f"{self.name}__{part}" for part in self.parts)

    @property
    def spine_columns(self) -> tuple[str, ...]:
        """The columns the spine must have for it."""
        return (self.column,)

    def definition(self) -> dict[str, Any]:
        """What decides the values, as JSON."""
        return {
            "kind": "calendar",
            "name": self.name,
            "column": self.column,
            "tz": self.tz,
            "parts": list(self.parts),
        }

    @property
    def digest(self) -> str:
        """The definition digest."""
        return spec_digest(self.definition())

    def to_dict(self) -> dict[str, Any]:
        """The whole declaration as JSON."""
        return self.definition()


@dataclass(frozen=True, slots=True)
class Given:
    """Columns of the spine that are features as they stand. Made by `given`."""

    columns: tuple[str, ...]
    name: str = "given"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns, under their own names."""
        return self.columns

    @property
    def spine_columns(self) -> tuple[str, ...]:
        """The columns the spine must have for it."""
        return self.columns

    def definition(self) -> dict[str, Any]:
        """What decides the values, as JSON."""
        return {"kind": "given", "name": self.name, "columns": list(self.columns)}

    @property
    def digest(self) -> str:
        """The definition digest."""
        return spec_digest(self.definition())

    def to_dict(self) -> dict[str, Any]:
        """The whole declaration as JSON."""
        return self.definition()


@dataclass(frozen=True, slots=True)
class Category:
    """A text column of the spine as the number of its place in a list. Made by `category`."""

    column: str
    values: tuple[str, ...]
    name: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """The column it adds."""
        return (f"{self.name}__code",)

    @property
    def spine_columns(self) -> tuple[str, ...]:
        """The columns the spine must have for it."""
        return (self.column,)

    def definition(self) -> dict[str, Any]:
        """What decides the values, as JSON."""
        return {"kind": "category", "name": self.name, "column": self.column, "values": list(self.values)}

    @property
    def digest(self) -> str:
        """The definition digest."""
        return spec_digest(self.definition())

    def to_dict(self) -> dict[str, Any]:
        """The whole declaration as JSON."""
        return self.definition()


RowFeatures: TypeAlias = Calendar | Category | Given
"""Features computed from the spine's row alone."""

AnyView: TypeAlias = FeatureView | Calendar | Category | Given


def definition_digest(view: AnyView) -> str:
    """The identity of a definition: sha256 of the canonical JSON of what decides its values.

    Example:
        >>> from whence.features import calendar
        >>> definition_digest(calendar("at", tz="UTC"))[:15]
        'sha256:07700d5a'
    """
    return view.digest


def view_from_dict(data: Mapping[str, Any]) -> AnyView:
    """The declaration that `to_dict` wrote."""
    if data["kind"] == "calendar":
        return Calendar(data["column"], data["tz"], tuple(data["parts"]), data["name"])
    if data["kind"] == "category":
        return Category(data["column"], tuple(data["values"]), data["name"])
    if data["kind"] == "given":
        return Given(tuple(data["columns"]), data["name"])
    view = FeatureView(
        data["name"],
        entity=Entity(data["entity"]["name"], data["entity"]["join_keys"]),
        source=data["source"],
        timestamp=data["timestamp"],
        ttl=None if data["ttl_us"] is None else timedelta(microseconds=data["ttl_us"]),
        hop=None if data["hop_us"] is None else timedelta(microseconds=data["hop_us"]),
        features=[Aggregation.from_dict(f) for f in data["features"]],
        version=data["version"],
        owner=data.get("owner", ""),
        sensitivity=data.get("sensitivity", ""),
        description=data.get("description", ""),
    )
    keys = tuple((key, data["keys"][key]) for key in view.entity.join_keys)
    object.__setattr__(view, "keys", keys)
    return view


def replace_view(view: FeatureView, *, name: str) -> FeatureView:
    """A copy of `view` under another name."""
    copy = view_from_dict({**view.to_dict(), "name": name})
    assert isinstance(copy, FeatureView)
    return copy


def feature_columns(views: Sequence[AnyView]) -> list[str]:
    """The columns a model is given, in the order of `views`.

    Raises:
        UsageError: Two views give the same column (``duplicate-view``).

    Example:
        >>> from whence.features import calendar, given
        >>> feature_columns([given("distance"), calendar("at", tz="UTC", parts=["hour"])])
        ['distance', 'calendar__hour']
    """
    names = [name for view in views for name in view.outputs]
    for twice in sorted({n for n in names if names.count(n) > 1}):
        raise UsageError(
            f"two of the views give a column {twice!r}",
            code="duplicate-view",
            hint='rename one of them: view.with_keys({}, name="…")',
        )
    return names


def _source_name(source: object, view: str) -> str:
    name = source if isinstance(source, str) else getattr(source, "name", None)
    if not isinstance(name, str) or not name:
        raise UsageError(
            f"feature view {view!r}: source {source!r} is neither a table nor its name", code="bad-view"
        )
    return name.removeprefix("table:")


def _optional_duration(value: str | timedelta | None) -> timedelta | None:
    if value is None:
        return None
    length = parse_duration(value)
    return length if length > timedelta(0) else None
