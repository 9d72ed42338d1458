"""Kept schemas: versions, each made of the one before by one writer, and the checks made of them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from whence._base.crash import crash_point, register
from whence._base.refs import Ref
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Artifact, Type, Value
from whence.validation.base import Version
from whence.validation.defaults import defaults_of
from whence.validation.expressions import check_rule_columns
from whence.validation.infer import infer_schema
from whence.validation.kept import Kept
from whence.validation.report import Report
from whence.validation.rows import RowCheck
from whence.validation.schema import Schema, SchemaChange
from whence.validation.statistics import Statistics
from whence.validation.types import Anomaly
from whence.validation.update import update_schema

TYPES: Final = (
    Type(
        "artifact",
        "Schema",
        {
            "schema": "STRING",
            "version": "INT",
            "digest": "STRING",
            "blob": "STRING",
            "n_features": "INT",
            "changes": "STRUCT",
            "enforced": "BOOLEAN",
            "fills": "BOOLEAN",
        },
        description="a version of a schema; the bytes are a blob",
    ),
    Type("execution", "put_schema"),
)

SCHEMA_STORED: Final = register(
    "validation.schema.stored", "the schema is a blob, the graph does not know the version"
)
_TRIES: Final = 30
_PAUSE_S: Final = 0.01


class Schemas(ABC):
    """The part of `Validation` that keeps schemas."""

    _kept: Kept
    _guards: dict[str, tuple[str, RowCheck]]

    @abstractmethod
    def validate(
        self,
        source: Version | Statistics | Any,
        schema: Schema | str,
        *,
        environment: str | None = None,
        previous: Version | Statistics | None = None,
        serving: Version | Statistics | None = None,
        previous_version: Version | Statistics | None = None,
    ) -> Report:
        """Judge data by a schema."""

    def infer_schema(
        self, statistics: Statistics, *, max_string_domain_size: int = 100, robust_ranges: bool = False
    ) -> Schema:
        """A first schema from statistics; see `whence.validation.infer_schema`. Nothing is kept yet."""
        return infer_schema(
            statistics, max_string_domain_size=max_string_domain_size, robust_ranges=robust_ranges
        )

    def put_schema(
        self, name: str, schema: Schema, *, enforce: bool | None = None, fill: bool | None = None
    ) -> Artifact:
        """Keep a schema as the next version of `name`; the same schema as the newest is kept once.

        Args:
            name: The table's name, or any other.
            schema: The schema.
            enforce: Whether rows that break it are refused entry to the table of that name from now
                on, by whatever process; None leaves it as it was.
            fill: Whether rows that enter get the schema's defaults in place of missing values, before they
                are judged; only where it is enforced. None leaves it as it was. The execution of the
                commit says in ``filled`` how many values of each column were.

        Raises:
            UsageError: The name is empty or holds ``@`` or ``/`` (``bad-name``); the schema makes no sense
                (``bad-schema``); a default is no value of its feature's type and domain (``bad-default``); a rule or check is not one expression, or an enforced
                rule names a column that neither the schema nor the table has (``bad-rule``); one calls a
                function that reads from elsewhere (``sql-function``).

        Records:
            One execution ``put_schema``, its key the new version; the statistics the schema was
            inferred from and the version before in, a `Schema` artifact ``name@n`` out, with the
            difference to the version before.
        """
        if not name or any(c in name for c in "@/ "):
            raise UsageError(f"{name!r} cannot name a schema", code="bad-name", hint="use the table's name")
        schema.sound()

        def next_version() -> Artifact:
            newest = self._newest(name)
            before = newest is not None and newest.get("enforced") is True
            enforced = before if enforce is None else enforce
            had = newest is not None and newest.get("fills") is True
            fills = had if fill is None else fill
            if fills:
                defaults_of(schema)
            if enforced:
                known = [*(f.steps[0] for f in schema), *self._columns_of(name)]
                check_rule_columns(schema.rules, known)
            same = newest is not None and self._schema(newest).digest == schema.digest
            if newest is not None and same and (enforced, fills) == (before, had):
                return newest
            return self._put_schema(name, schema, newest, enforced=enforced, fills=fills)

        return _in_turn(name, next_version)

    def _columns_of(self, name: str) -> list[str]:
        """The columns of the table a schema is named after; none when there is no such table."""
        try:
            return [] if self._kept.lake is None else list(self._kept.lake.table(name).head().schema.names)
        except (NotFoundError, UsageError):
            return []

    def _put_schema(
        self, name: str, schema: Schema, newest: Artifact | None, *, enforced: bool, fills: bool | None = None
    ) -> Artifact:
        if fills is None:
            fills = newest is not None and newest.get("fills") is True
        source = self._kept.find("Statistics", schema.source) if schema.source else None
        version = 1 if newest is None else _version(newest) + 1
        inputs = [(a, (p,)) for a, p in ((source, "statistics"), (newest, "before")) if a is not None]
        # The key lets one writer make a version; whoever comes second reads again.
        with self._kept.recorder.execution("put_schema", key=f"{name}@{version}", inputs=inputs) as recording:
            blob = self._kept.blobs.put(schema.to_json().encode())
            crash_point(SCHEMA_STORED)
            facts: dict[str, Value] = {
                "schema": name,
                "version": version,
                "digest": schema.digest,
                "blob": blob,
                "n_features": len(schema),
                "enforced": enforced,
            }
            if fills:
                facts["fills"] = True
            if newest is not None:
                facts["changes"] = [str(c) for c in self._schema(newest).diff(schema)]
            recording.output(_artifact(f"{name}@{version}", blob, facts), path=("schema",))
        return recording.outputs[0]

    def update_schema(self, name: str, anomalies: Sequence[Anomaly]) -> Artifact:
        """Keep the next version of a schema, with the changes that anomalies propose; see `update_schema`.

        Of several writers each takes what the one before it made: no change is lost.

        Raises:
            NotFoundError: No such schema (``schema-not-found``).
            ConflictError: Others change it without end (``schema-contested``).

        Records:
            As `put_schema`; nothing when the schema allows all of them already.
        """

        def next_version() -> Artifact:
            newest = self._get_schema(name, None)
            updated = update_schema(self._schema(newest), anomalies)
            if updated.digest == newest.get("digest"):
                return newest
            return self._put_schema(name, updated, newest, enforced=newest.get("enforced") is True)

        return _in_turn(name, next_version)

    def get_schema(self, name: str, version: int | None = None) -> Schema:
        """A kept schema: the newest version of ``flights``, or ``flights@2``.

        Raises:
            NotFoundError: No such schema or version (``schema-not-found``).
        """
        return self._schema(self._get_schema(name, version))

    def find_schema(self, name: str, version: int | None = None) -> Schema | None:
        """The same; None when absent."""
        try:
            return self.get_schema(name, version)
        except NotFoundError:
            return None

    def list_schemas(self) -> list[str]:
        """The names of all kept schemas."""
        return sorted({str(a.get("schema")) for a in self._kept.artifacts("Schema")})

    def schema_versions(self, name: str) -> list[Artifact]:
        """The versions of a schema, oldest first."""
        found = self._kept.artifacts("Schema", name_prefix=f"{name}@")
        return sorted((a for a in found if a.get("schema") == name), key=_version)

    def schema(self, name: str, version: int | None = None) -> SchemaHandle:
        """A kept (or future) schema by name, with what can be done with it; of one version when given."""
        return SchemaHandle(self, name, version)

    def _newest(self, name: str) -> Artifact | None:
        versions = self.schema_versions(name)
        return versions[-1] if versions else None

    def _get_schema(self, name: str, version: int | None) -> Artifact:
        ref = Ref.parse(name, kind="schema")
        wanted = ref.number if version is None else version
        found = (
            self._newest(ref.name) if wanted is None else self._kept.find("Schema", f"{ref.name}@{wanted}")
        )
        if found is None:
            label = ref.name if wanted is None else f"{ref.name}@{wanted}"
            known = [*self.list_schemas(), *(str(a.name) for a in self.schema_versions(ref.name))]
            raise NotFoundError("schema", label, near=known, hint="whence schema list shows all")
        return found

    def _schema(self, artifact: Artifact) -> Schema:
        return Schema.from_json(self._kept.blobs.get(str(artifact.get("blob"))), stored=True)

    def row_check(
        self, schema: Schema | str, environment: str | None = None, *, fill: bool = False
    ) -> RowCheck:
        """A schema as a check of batches: batch → (mask, reasons); the port of the lake's ingest.

        With `fill`, `RowCheck.filled` puts the schema's defaults in place of missing values.
        """
        rules = self.get_schema(schema) if isinstance(schema, str) else schema
        return RowCheck(rules, environment, engine=self._kept.engine, fill=fill)

    def find_guard(self, table: str) -> RowCheck | None:
        """The row check of the newest schema of `table`, when that schema is enforced."""
        newest = self._newest(table)
        if newest is None or newest.get("enforced") is not True:
            return None
        known = self._guards.get(table)
        if known is None or known[0] != newest.uid:
            known = newest.uid, self.row_check(self._schema(newest), fill=newest.get("fills") is True)
            known[1].ref = f"schema:{newest.name}"
            self._guards[table] = known
        return known[1]


class SchemaHandle:
    """A kept schema by name: ``ws.schema("flights")``.

    Attributes:
        name: The schema's name.
        version: The version meant; None is the newest at the time of each call.
    """

    def __init__(self, validation: Schemas, name: str, version: int | None = None) -> None:
        self._validation = validation
        self.name = name
        self.version = version

    @property
    def exists(self) -> bool:
        """Whether it is kept."""
        return self._validation.find_schema(self.name, self.version) is not None

    def get(self, version: int | None = None) -> Schema:
        """The schema; another version of it when given."""
        return self._validation.get_schema(self.name, self.version if version is None else version)

    def put(self, schema: Schema, *, enforce: bool | None = None, fill: bool | None = None) -> Artifact:
        """Keep a schema as the next version; see `Validation.put_schema`."""
        return self._validation.put_schema(self.name, schema, enforce=enforce, fill=fill)

    def versions(self) -> list[Artifact]:
        """All versions, oldest first."""
        return self._validation.schema_versions(self.name)

    def diff(self, before: int, after: int) -> list[SchemaChange]:
        """What changed from one version to another."""
        return self.get(before).diff(self.get(after))

    def validate(
        self,
        source: Version | Statistics | Any,
        *,
        environment: str | None = None,
        previous: Version | Statistics | None = None,
        serving: Version | Statistics | None = None,
        previous_version: Version | Statistics | None = None,
    ) -> Report:
        """Judge data by this schema; see `Validation.validate`."""
        return self._validation.validate(
            source,
            self._text,
            environment=environment,
            previous=previous,
            serving=serving,
            previous_version=previous_version,
        )

    def row_check(self, environment: str | None = None) -> RowCheck:
        """The schema as a check of batches."""
        return self._validation.row_check(self._text, environment)

    @property
    def _text(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"

    def __repr__(self) -> str:
        return f"SchemaHandle({self._text!r})"


def _in_turn(name: str, next_version: Callable[[], Artifact]) -> Artifact:
    """What `next_version` gives: it reads the newest version and makes one of it, again when another was faster."""
    for attempt in range(_TRIES):
        try:
            return next_version()
        except ConflictError as error:
            if error.code not in ("execution-running", "execution-complete"):
                raise
            time.sleep(_PAUSE_S * attempt)
    raise ConflictError(f"schema {name!r} is being changed by others", code="schema-contested", hint="retry")


def _artifact(name: str, digest: str, facts: dict[str, Value]) -> Artifact:
    return Artifact(type="Schema", name=name, uri=f"blob:{digest}", properties=facts)


def _version(artifact: Artifact) -> int:
    number = artifact.get("version")
    assert isinstance(number, int)
    return number
