"""Validation as an attribute of a workspace: statistics, schemas and reports, kept and recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from whence._base.arrow import to_arrow
from whence._base.crash import crash_point, register
from whence._base.refs import Ref
from whence.compute import Engine
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Artifact, Recorder, Type, Value, declare_types
from whence.validation.anomalies import validate_statistics
from whence.validation.base import Blobs, Version, ViewRows, is_version, is_view, name_of
from whence.validation.find import Rows, check_rules, find_rows
from whence.validation.infer import infer_schema
from whence.validation.report import Report
from whence.validation.rows import RELATION, RowCheck
from whence.validation.schema import Schema, SchemaChange
from whence.validation.statistics import Statistics, describe

TYPES: Final = (
    Type(
        "artifact",
        "Statistics",
        {"source": "STRING", "digest": "STRING", "n_rows": "INT", "n_features": "INT"},
        description="statistics of a table version; the bytes are a blob",
    ),
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
        },
        description="a version of a schema; the bytes are a blob",
    ),
    Type(
        "artifact",
        "Anomalies",
        {
            "source": "STRING",
            "schema": "STRING",
            "environment": "STRING",
            "digest": "STRING",
            "ok": "BOOLEAN",
            "n_errors": "INT",
            "n_warnings": "INT",
        },
        description="what a validation found; the bytes are a blob",
    ),
    Type("execution", "statistics"),
    Type("execution", "put_schema"),
    Type("execution", "validate"),
)

STATISTICS_STORED: Final = register(
    "validation.statistics.stored", "the statistics are a blob, the graph does not know them"
)
SCHEMA_STORED: Final = register(
    "validation.schema.stored", "the schema is a blob, the graph does not know the version"
)
REPORT_STORED: Final = register(
    "validation.report.stored", "the report is a blob, the graph does not know it"
)
_TRIES: Final = 30
_PAUSE_S: Final = 0.01


class Validation:
    """Statistics, schemas and validations of a workspace.

    Args:
        recorder: Where executions are recorded.
        blobs: Where bytes are kept.
        lake: The tables; None when only versions and rows are handed in.
        engine: Reads rows and runs rules.
    """

    def __init__(self, recorder: Recorder, blobs: Blobs, lake: Any, engine: Engine) -> None:
        # Any: of the lake only `table(name).head()` and `.at(version)` are used, for references as text
        self._recorder = recorder
        self._blobs = blobs
        self._lake = lake
        self._engine = engine
        self._guards: dict[str, tuple[str, RowCheck]] = {}
        declare_types(recorder.store, TYPES)

    # --- statistics

    def statistics(
        self, source: Version | Any, *, columns: Sequence[str] | None = None, slices: Sequence[str] = ()
    ) -> Statistics:
        """The statistics of a table version, computed once and kept; or of rows, computed now.

        Args:
            source: A version of a table, its reference (``flights@12``; without a version the newest),
                or rows of any kind `to_arrow` takes.
            columns: Only these columns.
            slices: Columns; also make statistics of the rows of each of their values.

        Raises:
            NotFoundError: A column is absent.
            UsageError: A slice column has more than 1,000 values (``too-many-slices``).

        Records:
            For a version not described before, one execution ``statistics``: the table version in, a
            `Statistics` artifact named like the version (``flights@12``) out. For rows nothing.
        """
        source = self._resolve(source)
        if not is_version(source):
            table = to_arrow(source)
            return describe(table if columns is None else _select(table, columns), slices=slices)
        return self._of_version(source, columns, tuple(slices))

    def find_statistics(self, source: Version | str) -> Statistics | None:
        """The kept statistics of a version (or of its name, ``flights@12``); None when not computed yet."""
        name = Ref.parse(source, kind="table") if isinstance(source, str) else Ref.parse(source.ref)
        artifact = self._find("Statistics", f"{name.name}@{name.version}")
        return None if artifact is None else self._load(artifact)

    def _resolve(self, source: Any) -> Any:
        """The version a reference or a table handle stands for, the newest one; anything else as it is."""
        if isinstance(source, str) and self._lake is not None and not source.endswith((".csv", ".parquet")):
            ref = Ref.parse(source, kind="table")
            table = self._lake.table(ref.name)
            return table.head() if ref.version is None else table.at(ref.number)
        if callable(getattr(source, "head", None)) and callable(getattr(source, "history", None)):
            return source.head()
        if callable(getattr(source, "pin", None)):
            source = source.pin()
        return ViewRows(source) if is_view(source) else source

    def _of_version(
        self, version: Version, columns: Sequence[str] | None, slices: tuple[str, ...]
    ) -> Statistics:
        name = name_of(version)
        if columns is not None:
            whole = self._find("Statistics", name + _suffix(None, slices))
            if whole is not None:
                return self._load(whole).select(columns)
        name += _suffix(columns, slices)
        artifact = self._find("Statistics", name)
        return self._load(artifact) if artifact else self._compute(version, name, columns, slices)

    def _load(self, artifact: Artifact) -> Statistics:
        return Statistics.from_bytes(self._blobs.get(str(artifact.get("digest"))))

    def _compute(
        self, version: Version, name: str, columns: Sequence[str] | None, slices: tuple[str, ...]
    ) -> Statistics:
        params = {"columns": None if columns is None else list(columns), "slices": list(slices)}
        inputs = [(version.artifact(), ("data",))]
        with self._recorder.execution("statistics", params=params, inputs=inputs, looks=True) as recording:
            made = describe(self._read(version, columns), name=name, slices=slices)
            digest = self._blobs.put(made.to_bytes())
            crash_point(STATISTICS_STORED)
            facts = {
                "source": version.ref,
                "digest": digest,
                "n_rows": made.n_rows,
                "n_features": len(made),
            }
            recording.output(_artifact("Statistics", name, digest, facts), path=("statistics",))
        return made

    def _read(self, version: Version, columns: Sequence[str] | None) -> pa.RecordBatchReader:
        names = version.schema.names if columns is None else list(columns)
        absent = [c for c in names if c not in version.schema.names]
        if absent:
            raise NotFoundError("column", absent[0], near=version.schema.names)
        listed = ", ".join('"' + n.replace('"', '""') + '"' for n in names)
        return self._engine.stream(f"SELECT {listed} FROM {RELATION}", {RELATION: version.files()})

    # --- schemas

    def infer_schema(
        self, statistics: Statistics, *, max_string_domain_size: int = 100, robust_ranges: bool = False
    ) -> Schema:
        """A first schema from statistics; see `whence.validation.infer_schema`. Nothing is kept yet."""
        return infer_schema(
            statistics, max_string_domain_size=max_string_domain_size, robust_ranges=robust_ranges
        )

    def put_schema(self, name: str, schema: Schema, *, enforce: bool | None = None) -> Artifact:
        """Keep a schema as the next version of `name`; the same schema as the newest is kept once.

        Args:
            name: The table's name, or any other.
            schema: The schema.
            enforce: Whether rows that break it are refused entry to the table of that name from now
                on, by whatever process; None leaves it as it was.

        Raises:
            UsageError: The name is empty or holds ``@`` or ``/`` (``bad-name``).

        Records:
            One execution ``put_schema``, its key the new version; the statistics the schema was
            inferred from and the version before in, a `Schema` artifact ``name@n`` out, with the
            difference to the version before.
        """
        if not name or any(c in name for c in "@/ "):
            raise UsageError(f"{name!r} cannot name a schema", code="bad-name", hint="use the table's name")
        for attempt in range(_TRIES):
            newest = self._newest(name)
            before = newest is not None and newest.get("enforced") is True
            enforced = before if enforce is None else enforce
            if newest is not None and newest.get("digest") == schema.digest and enforced == before:
                return newest
            try:
                return self._put_schema(name, schema, newest, enforced=enforced)
            except ConflictError as error:
                if error.code not in ("execution-running", "execution-complete"):
                    raise
                time.sleep(_PAUSE_S * attempt)
        raise ConflictError(
            f"schema {name!r} is being changed by others", code="schema-contested", hint="retry"
        )

    def _put_schema(self, name: str, schema: Schema, newest: Artifact | None, *, enforced: bool) -> Artifact:
        source = self._find("Statistics", schema.source) if schema.source else None
        version = 1 if newest is None else _version(newest) + 1
        inputs = [(a, (p,)) for a, p in ((source, "statistics"), (newest, "before")) if a is not None]
        # The key lets one writer make a version; whoever comes second reads again.
        with self._recorder.execution("put_schema", key=f"{name}@{version}", inputs=inputs) as recording:
            blob = self._blobs.put(schema.to_json().encode())
            crash_point(SCHEMA_STORED)
            facts: dict[str, Value] = {
                "schema": name,
                "version": version,
                "digest": schema.digest,
                "blob": blob,
                "n_features": len(schema),
                "enforced": enforced,
            }
            if newest is not None:
                facts["changes"] = [str(c) for c in self._schema(newest).diff(schema)]
            recording.output(_artifact("Schema", f"{name}@{version}", blob, facts), path=("schema",))
        return recording.outputs[0]

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
        return sorted({str(a.get("schema")) for a in self._artifacts("Schema")})

    def schema_versions(self, name: str) -> list[Artifact]:
        """The versions of a schema, oldest first."""
        found = self._artifacts("Schema", name_prefix=f"{name}@")
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
        found = self._newest(ref.name) if wanted is None else self._find("Schema", f"{ref.name}@{wanted}")
        if found is None:
            label = ref.name if wanted is None else f"{ref.name}@{wanted}"
            known = [*self.list_schemas(), *(str(a.name) for a in self.schema_versions(ref.name))]
            raise NotFoundError("schema", label, near=known, hint="whence schema list shows all")
        return found

    def _schema(self, artifact: Artifact) -> Schema:
        return Schema.from_json(self._blobs.get(str(artifact.get("blob"))))

    # --- validating

    def validate(
        self,
        source: Version | Statistics | Any,
        schema: Schema | str,
        *,
        environment: str | None = None,
        previous: Version | Statistics | None = None,
        serving: Version | Statistics | None = None,
    ) -> Report:
        """Judge data by a schema.

        A version or rows are judged by their statistics and, row by row, by the schema's rules; the
        anomalies carry example rows. Of statistics alone no rows are known.

        Args:
            source: A version of a table, its reference, rows of any kind, or statistics.
            schema: A schema, or the name of a kept one (``flights``, ``flights@2``).
            environment: For which environment, such as ``SERVING``.
            previous: What it is compared with for drift.
            serving: What it is compared with for skew.

        Raises:
            NotFoundError: The schema, its version, or the environment is unknown.

        Records:
            For a version: one execution ``validate``; the table version, its statistics and the kept
            schema in, an `Anomalies` artifact out. For rows and statistics nothing.
        """
        artifact = self._get_schema(schema, None) if isinstance(schema, str) else None
        rules = self._schema(artifact) if artifact is not None else self._as_schema(schema)
        label = f"schema:{artifact.name}" if artifact is not None else rules.digest
        controls = {"previous": self._control(previous), "serving": self._control(serving)}
        rules.expected(environment)  # an unknown environment is refused before anything is read
        if isinstance(source, Statistics):
            return _judge(source, rules, label, environment, controls)
        source = self._resolve(source)
        if not is_version(source):
            table = to_arrow(source)
            report = _judge(describe(table), rules, label, environment, controls)
            return self._with_rows(report, Rows("data", table, table.column_names), rules)
        return self._validate_version(source, rules, label, environment, controls, artifact)

    def _as_schema(self, schema: Schema | str) -> Schema:
        if not isinstance(schema, Schema):
            raise UsageError(
                f"a schema or its name is wanted, got {type(schema).__name__}", code="bad-schema"
            )
        return schema

    def _control(self, source: Version | Statistics | None) -> Statistics | None:
        if source is None or isinstance(source, Statistics):
            return source
        return self.statistics(source)

    def _validate_version(
        self,
        version: Version,
        schema: Schema,
        label: str,
        environment: str | None,
        controls: dict[str, Statistics | None],
        artifact: Artifact | None,
    ) -> Report:
        statistics = self.statistics(version)
        described = self._find("Statistics", statistics.name)
        inputs = [(version.artifact(), ("data",))]
        inputs += [(a, (p,)) for a, p in ((described, "statistics"), (artifact, "schema")) if a is not None]
        params = {"schema": label, "environment": environment}
        with self._recorder.execution("validate", params=params, inputs=inputs, looks=True) as recording:
            report = _judge(statistics, schema, label, environment, controls)
            rows = Rows(
                statistics.name, version.files(), version.schema.names, tuple(version.declaration.key)
            )
            report = self._with_rows(report, rows, schema)
            digest = self._blobs.put(report.to_bytes())
            crash_point(REPORT_STORED)
            name = f"{report.name}~{label.partition(':')[2]}" + (f"~{environment}" if environment else "")
            facts = {
                "source": version.ref,
                "schema": label,
                "environment": environment,
                "digest": digest,
                "ok": report.ok,
                "n_errors": len(report.errors),
                "n_warnings": len(report.warnings),
            }
            recording.output(_artifact("Anomalies", name, digest, facts), path=("anomalies",))
        return replace(report, ref=f"artifact:{recording.outputs[0].uid}")

    def _with_rows(self, report: Report, rows: Rows, schema: Schema) -> Report:
        found = find_rows(rows, schema, report.anomalies, self._engine, environment=report.environment)
        more, notes = check_rules(rows, schema, self._engine, environment=report.environment)
        severities = schema.severities
        more = [replace(a, severity=severities.get(a.type, a.severity)) for a in more]
        return replace(report, anomalies=(*found, *more), notes=tuple(notes))

    def reports(self, source: Version | str | None = None) -> list[Report]:
        """The kept reports, newest first; of a table (``flights``) or one version of it when given."""
        wanted = None
        if source is not None:
            text = source if isinstance(source, str) else source.ref
            wanted = Ref.parse(text) if text.startswith("view:") else Ref.parse(text, kind="table")
        found = [a for a in self._artifacts("Anomalies") if wanted is None or _is_of(a, wanted)]
        ordered = sorted(found, key=lambda a: a.id or 0, reverse=True)
        return [self._report(a) for a in ordered]

    def _report(self, artifact: Artifact) -> Report:
        return Report.from_bytes(self._blobs.get(str(artifact.get("digest"))), ref=f"artifact:{artifact.uid}")

    def row_check(self, schema: Schema | str, environment: str | None = None) -> RowCheck:
        """A schema as a check of batches: batch → (mask, reasons); the port of the lake's ingest."""
        rules = self.get_schema(schema) if isinstance(schema, str) else schema
        return RowCheck(rules, environment, engine=self._engine)

    def find_guard(self, table: str) -> RowCheck | None:
        """The row check of the newest schema of `table`, when that schema is enforced."""
        newest = self._newest(table)
        if newest is None or newest.get("enforced") is not True:
            return None
        known = self._guards.get(table)
        if known is None or known[0] != newest.uid:
            known = newest.uid, self.row_check(self._schema(newest))
            known[1].ref = f"schema:{newest.name}"
            self._guards[table] = known
        return known[1]

    # --- the graph

    def _find(self, type_: str, name: str) -> Artifact | None:
        page = self._recorder.store.find_nodes("artifact", type_=type_, name=name, state="LIVE", limit=1)
        return next((n for n in page.nodes if isinstance(n, Artifact)), None)

    def _artifacts(self, type_: str, *, name_prefix: str | None = None) -> Iterator[Artifact]:
        nodes = self._recorder.store.list_nodes(
            "artifact", type_=type_, name_prefix=name_prefix, state="LIVE"
        )
        yield from (n for n in nodes if isinstance(n, Artifact))


class SchemaHandle:
    """A kept schema by name: ``ws.schema("flights")``.

    Attributes:
        name: The schema's name.
        version: The version meant; None is the newest at the time of each call.
    """

    def __init__(self, validation: Validation, name: str, version: int | None = None) -> None:
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

    def put(self, schema: Schema, *, enforce: bool | None = None) -> Artifact:
        """Keep a schema as the next version."""
        return self._validation.put_schema(self.name, schema, enforce=enforce)

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
    ) -> Report:
        """Judge data by this schema; see `Validation.validate`."""
        return self._validation.validate(
            source, self._text, environment=environment, previous=previous, serving=serving
        )

    def row_check(self, environment: str | None = None) -> RowCheck:
        """The schema as a check of batches."""
        return self._validation.row_check(self._text, environment)

    @property
    def _text(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"

    def __repr__(self) -> str:
        return f"SchemaHandle({self._text!r})"


def _judge(
    statistics: Statistics,
    schema: Schema,
    label: str,
    environment: str | None,
    controls: dict[str, Statistics | None],
) -> Report:
    found, distances = validate_statistics(
        statistics,
        schema,
        environment=environment,
        previous=controls["previous"],
        serving=controls["serving"],
    )
    return Report(
        statistics.name, label, environment, statistics.n_rows, tuple(found), tuple(distances), _notes(schema)
    )


def _notes(schema: Schema) -> tuple[str, ...]:
    return tuple(f"rule {r.name!r} needs rows, only statistics are known" for r in schema.rules)


def _is_of(report: Artifact, wanted: Ref) -> bool:
    found = Ref.parse(str(report.get("source")))
    return (found.kind, found.name) == (wanted.kind, wanted.name) and wanted.version in (None, found.version)


def _artifact(type_: str, name: str, digest: str, facts: dict[str, Any]) -> Artifact:
    return Artifact(type=type_, name=name, uri=f"blob:{digest}", properties=facts)


def _version(artifact: Artifact) -> int:
    number = artifact.get("version")
    assert isinstance(number, int)
    return number


def _select(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    absent = [c for c in columns if c not in table.column_names]
    if absent:
        raise NotFoundError("column", absent[0], near=table.column_names)
    return table.select(list(columns))


def _suffix(columns: Sequence[str] | None, slices: Sequence[str]) -> str:
    """What a name carries when not all columns, or slices, were described."""
    chosen = "" if columns is None else f"[{','.join(columns)}]"
    return chosen + (f"/by:{','.join(slices)}" if slices else "")
