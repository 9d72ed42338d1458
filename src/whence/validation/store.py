"""Validation as an attribute of a workspace: statistics, schemas and reports, kept and recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from whence._base.arrow import to_arrow
from whence._base.clock import Clock, WallClock
from whence._base.crash import crash_point, register
from whence._base.refs import Ref
from whence.compute import Engine
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Artifact, Recorder, Type, Value, declare_types
from whence.validation.anomalies import validate_statistics, validation_notes
from whence.validation.base import Blobs, Version, ViewRows, is_version, is_view, name_of
from whence.validation.csv import CsvFormat
from whence.validation.defaults import defaults_of
from whence.validation.describe import Progress, describe
from whence.validation.expressions import check_rule_columns
from whence.validation.find import Rows, check_rules, find_rows
from whence.validation.incidents import TYPES as INCIDENT_TYPES
from whence.validation.incidents import found_in
from whence.validation.infer import infer_schema
from whence.validation.kept import Kept
from whence.validation.learned import TYPES as LEARNED_TYPES
from whence.validation.options import DEFAULTS, SliceLike, StatisticsOptions
from whence.validation.past import Past
from whence.validation.reading import describe_files, describe_frame, describe_version, is_files, is_query
from whence.validation.report import Report
from whence.validation.rows import RowCheck
from whence.validation.schema import Schema, SchemaChange
from whence.validation.skew import TYPES as SKEW_TYPES
from whence.validation.skew import SkewReport, recorded_skew
from whence.validation.sources import is_path
from whence.validation.statistics import Statistics
from whence.validation.totals import check_totals
from whence.validation.types import Anomaly
from whence.validation.update import update_schema
from whence.validation.windows import TYPES as WINDOW_TYPES

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
            "fills": "BOOLEAN",
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
            "found": "STRUCT",
        },
        description="what a validation found; the bytes are a blob",
    ),
    Type("execution", "statistics"),
    Type("execution", "put_schema"),
    Type("execution", "validate"),
    *WINDOW_TYPES,
    *INCIDENT_TYPES,
    *LEARNED_TYPES,
    *SKEW_TYPES,
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


class Validation(Past):
    """Statistics, schemas and validations of a workspace.

    Args:
        recorder: Where executions are recorded.
        blobs: Where bytes are kept.
        lake: The tables; None when only versions and rows are handed in.
        engine: Reads rows and runs rules.
        clock: What time it is, for freshness; wall time by default.
    """

    def __init__(
        self, recorder: Recorder, blobs: Blobs, lake: Any, engine: Engine, *, clock: Clock | None = None
    ) -> None:
        # Any: of the lake only `table(name).head()` and `.at(version)` are used, for references as text
        self._recorder = recorder
        self._blobs = blobs
        self._lake = lake
        self._engine = engine
        self._clock = clock or WallClock()
        self._kept = Kept(recorder, blobs, lake, engine, self._clock)
        self._guards: dict[str, tuple[str, RowCheck]] = {}
        declare_types(recorder.store, TYPES)

    # --- statistics

    def statistics(
        self,
        source: Version | Any,
        *,
        columns: Sequence[str] | None = None,
        slices: Sequence[SliceLike] = (),
        options: StatisticsOptions = DEFAULTS,
        csv: CsvFormat | None = None,
        progress: Progress | None = None,
    ) -> Statistics:
        """The statistics of a table version, computed once and kept; or of rows, computed now.

        Args:
            source: A version of a table or a view, its reference (``flights@12``; without a version the
                newest), a SELECT over tables, a CSV or Parquet path or pattern of paths, or rows:
                Arrow, pandas, Polars, DuckDB, mappings.
            columns: Only these columns.
            slices: Columns, several crossed columns, or `Slice`: also make statistics of these rows.
            options: What is computed and how much of it is shown; `columns` and `slices` go before.
            csv: How CSV files are written.
            progress: Called with the number of rows after each block.

        Raises:
            NotFoundError: A column, table or file is absent.
            UsageError: The slices are more than 1,000 (``too-many-slices``), a file is no CSV file
                (``bad-csv``); else as `describe`.

        Records:
            For a version not described so before, one execution ``statistics``: the table version in, a
            `Statistics` artifact named like the version (``flights@12``) out. For rows, files and queries
            nothing.
        """
        options = options.with_slices(slices)
        if columns is not None:
            options = replace(options, columns=tuple(columns))
        if is_files(source):
            return describe_files(source, options, self._engine, csv, progress)
        if is_query(source):
            run = self._lake.sql if options.rereads else self._lake.stream
            return describe_frame(run(source), "query", options, self._engine, progress)
        source = self._resolve(source)
        if not is_version(source):
            return describe_frame(source, "data", options, self._engine, progress)
        return self._of_version(source, options, progress)

    def find_statistics(self, source: Version | str) -> Statistics | None:
        """The kept statistics of a version (or of its name, ``flights@12``); None when not computed yet."""
        name = Ref.parse(source, kind="table") if isinstance(source, str) else Ref.parse(source.ref)
        artifact = self._find("Statistics", f"{name.name}@{name.version}")
        return None if artifact is None else self._load(artifact)

    def _resolve(self, source: Any) -> Any:
        """The version a reference or a table handle stands for, the newest one; anything else as it is."""
        if isinstance(source, str) and self._lake is not None and not is_path(source):
            ref = Ref.parse(source, kind="table")
            table = self._lake.table(ref.name)
            return table.head() if ref.version is None else table.at(ref.number)
        if callable(getattr(source, "head", None)) and callable(getattr(source, "history", None)):
            return source.head()
        if callable(getattr(source, "pin", None)):
            source = source.pin()
        return ViewRows(source) if is_view(source) else source

    def _of_version(
        self, version: Version, options: StatisticsOptions, progress: Progress | None = None
    ) -> Statistics:
        base = name_of(version)
        if options.columns is not None and not options.extras:
            whole = self._find("Statistics", base + replace(options, columns=None).suffix())
            if whole is not None:
                return self._load(whole).select(options.columns)
        name = base + options.suffix()
        artifact = self._find("Statistics", name)
        return self._load(artifact) if artifact else self._compute(version, name, options, progress)

    def _load(self, artifact: Artifact) -> Statistics:
        return Statistics.from_bytes(self._blobs.get(str(artifact.get("digest"))))

    def _compute(
        self, version: Version, name: str, options: StatisticsOptions, progress: Progress | None
    ) -> Statistics:
        columns = None if options.columns is None else list(options.columns)
        params: dict[str, Any] = {"columns": columns, "slices": [s.name for s in options.slices]}
        rest = replace(options, columns=None, slices=()).to_dict()
        if rest:
            params["options"] = rest
        inputs = [(version.artifact(), ("data",))]
        with self._recorder.execution("statistics", params=params, inputs=inputs, looks=True) as recording:
            made = describe_version(version, name, options, self._engine, progress)
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

    # --- schemas

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
        for attempt in range(_TRIES):
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
            try:
                return self._put_schema(name, schema, newest, enforced=enforced, fills=fills)
            except ConflictError as error:
                if error.code not in ("execution-running", "execution-complete"):
                    raise
                time.sleep(_PAUSE_S * attempt)
        raise ConflictError(
            f"schema {name!r} is being changed by others", code="schema-contested", hint="retry"
        )

    def _columns_of(self, name: str) -> list[str]:
        """The columns of the table a schema is named after; none when there is no such table."""
        try:
            return [] if self._lake is None else list(self._lake.table(name).head().schema.names)
        except (NotFoundError, UsageError):
            return []

    def _put_schema(
        self, name: str, schema: Schema, newest: Artifact | None, *, enforced: bool, fills: bool | None = None
    ) -> Artifact:
        if fills is None:
            fills = newest is not None and newest.get("fills") is True
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
            if fills:
                facts["fills"] = True
            if newest is not None:
                facts["changes"] = [str(c) for c in self._schema(newest).diff(schema)]
            recording.output(_artifact("Schema", f"{name}@{version}", blob, facts), path=("schema",))
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
        for attempt in range(_TRIES):
            newest = self._get_schema(name, None)
            updated = update_schema(self._schema(newest), anomalies)
            if updated.digest == newest.get("digest"):
                return newest
            try:
                return self._put_schema(name, updated, newest, enforced=newest.get("enforced") is True)
            except ConflictError as error:
                if error.code not in ("execution-running", "execution-complete"):
                    raise
                time.sleep(_PAUSE_S * attempt)
        raise ConflictError(
            f"schema {name!r} is being changed by others", code="schema-contested", hint="retry"
        )

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
        return Schema.from_json(self._blobs.get(str(artifact.get("blob"))), stored=True)

    # --- validating

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
        """Judge data by a schema.

        A version or rows are judged by their statistics and, row by row, by the schema's rules; the
        anomalies carry example rows. Of statistics alone no rows are known.

        Args:
            source: A version of a table, its reference, rows of any kind, or statistics.
            schema: A schema, or the name of a kept one (``flights``, ``flights@2``).
            environment: For which environment, such as ``SERVING``.
            previous: What it is compared with for drift.
            serving: What it is compared with for skew.
            previous_version: The version before of the same days, for ``num_examples_version``.

        Raises:
            NotFoundError: The schema, its version, or the environment is unknown.

        Records:
            For a version: one execution ``validate``; the table version, its statistics and the kept
            schema in, an `Anomalies` artifact out. For rows and statistics nothing.
        """
        artifact = self._get_schema(schema, None) if isinstance(schema, str) else None
        rules = self._schema(artifact) if artifact is not None else self._as_schema(schema)
        label = f"schema:{artifact.name}" if artifact is not None else rules.digest
        controls = {
            "previous": self._control(previous),
            "serving": self._control(serving),
            "previous_version": self._control(previous_version),
        }
        rules.expected(environment)  # an unknown environment is refused before anything is read
        if isinstance(source, Statistics):
            report = _judge(source, rules, label, environment, controls, self._clock)
            return replace(report, notes=(*report.notes, *_unread(rules)))
        source = self._resolve(source)
        if not is_version(source):
            table = to_arrow(source)
            report = _judge(describe(table), rules, label, environment, controls, self._clock)
            return self._with_rows(report, Rows("data", table, table.column_names), rules)
        return self._validate_version(source, rules, label, environment, controls, artifact)

    def _as_schema(self, schema: Schema | str) -> Schema:
        if not isinstance(schema, Schema):
            raise UsageError(
                f"a schema or its name is wanted, got {type(schema).__name__}", code="bad-schema"
            )
        return schema

    def _control(self, source: Version | Statistics | str | None) -> Statistics | None:
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
        inputs += [
            (a, (role,))
            for role, control in controls.items()
            if control is not None and (a := self._find("Statistics", control.name)) is not None
        ]
        params = {"schema": label, "environment": environment}
        with self._recorder.execution("validate", params=params, inputs=inputs, looks=True) as recording:
            report = _judge(statistics, schema, label, environment, controls, self._clock)
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
                "found": found_in(report),
            }
            recording.output(_artifact("Anomalies", name, digest, facts), path=("anomalies",))
        return replace(report, ref=f"artifact:{recording.outputs[0].uid}")

    def _with_rows(self, report: Report, rows: Rows, schema: Schema) -> Report:
        found = find_rows(rows, schema, report.anomalies, self._engine, environment=report.environment)
        more, notes = check_rules(rows, schema, self._engine, environment=report.environment)
        totals, untotalled = check_totals(rows, schema, self._engine, environment=report.environment)
        severities = schema.severities
        more = [replace(a, severity=severities.get(a.type, a.severity)) for a in (*more, *totals)]
        return replace(report, anomalies=(*found, *more), notes=(*report.notes, *notes, *untotalled))

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

    def skew(
        self,
        training: Version | Any,
        serving: Version | Any,
        keys: Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        tolerance: float | Mapping[str, float] = 0.0,
    ) -> SkewReport:
        """Compare training and serving rows that have the same keys, feature by feature.

        Args:
            training: A version of a table or view, its reference (``train@3``), or rows.
            serving: The same of serving.
            keys: The columns that name a row on both sides.
            columns: What is compared; by default all columns that both sides have.
            tolerance: The largest difference of numbers that does not count, for all columns or by column.

        Raises:
            NotFoundError: A key or column is absent on a side.
            UsageError: There is no key (``no-keys``), or a tolerance is negative (``bad-tolerance``).

        Records:
            For two versions, one execution ``skew``: both in, a `FeatureSkew` artifact out. For rows nothing.
        """
        sides = (self._resolve(training), self._resolve(serving))
        names = ("training", "serving")
        a, b = (s if is_version(s) else _as_rows(n, s) for n, s in zip(names, sides, strict=True))
        return recorded_skew(
            a, b, keys, engine=self._engine, recorder=self._recorder, blobs=self._blobs,
            columns=columns, tolerance=tolerance,
        )  # fmt: skip

    def row_check(
        self, schema: Schema | str, environment: str | None = None, *, fill: bool = False
    ) -> RowCheck:
        """A schema as a check of batches: batch → (mask, reasons); the port of the lake's ingest.

        With `fill`, `RowCheck.filled` puts the schema's defaults in place of missing values.
        """
        rules = self.get_schema(schema) if isinstance(schema, str) else schema
        return RowCheck(rules, environment, engine=self._engine, fill=fill)

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


def _as_rows(name: str, source: Any) -> Rows:
    table = to_arrow(source)
    return Rows(name, table, table.column_names)


def _judge(
    statistics: Statistics,
    schema: Schema,
    label: str,
    environment: str | None,
    controls: dict[str, Statistics | None],
    clock: Clock,
) -> Report:
    found, distances = validate_statistics(
        statistics,
        schema,
        environment=environment,
        previous=controls["previous"],
        serving=controls["serving"],
        previous_version=controls["previous_version"],
        now=clock.now(),
    )
    notes = tuple(validation_notes(statistics, schema, environment=environment))
    return Report(
        statistics.name, label, environment, statistics.n_rows, tuple(found), tuple(distances), notes
    )


def _unread(schema: Schema) -> tuple[str, ...]:
    told = [("rule", r.name) for r in schema.rules] + [("check", c.name) for c in schema.checks]
    return tuple(f"{word} {name!r} needs rows, only statistics are known" for word, name in told)


def _is_of(report: Artifact, wanted: Ref) -> bool:
    found = Ref.parse(str(report.get("source")))
    return (found.kind, found.name) == (wanted.kind, wanted.name) and wanted.version in (None, found.version)


def _artifact(type_: str, name: str, digest: str, facts: dict[str, Any]) -> Artifact:
    return Artifact(type=type_, name=name, uri=f"blob:{digest}", properties=facts)


def _version(artifact: Artifact) -> int:
    number = artifact.get("version")
    assert isinstance(number, int)
    return number
