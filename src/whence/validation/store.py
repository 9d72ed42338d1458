"""Validation as an attribute of a workspace: statistics, schemas and reports, kept and recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from whence._base.clock import Clock, WallClock
from whence._base.crash import crash_point, register
from whence._base.refs import Ref
from whence.compute import Engine, quoted
from whence.errors import NotFoundError, UsageError
from whence.metadata import Artifact, Recorder, Type, declare_types
from whence.validation.anomalies import validate_statistics, validation_notes
from whence.validation.base import Blobs, Version, ViewRows, is_version, is_view, name_of
from whence.validation.csv import CsvFormat
from whence.validation.describe import Progress
from whence.validation.extra.lengths import columns_of, declared_groups
from whence.validation.find import Rows, check_rules, find_rows, rows_of
from whence.validation.incidents import TYPES as INCIDENT_TYPES
from whence.validation.incidents import found_in
from whence.validation.kept import Kept
from whence.validation.kept_schemas import TYPES as SCHEMA_TYPES
from whence.validation.kept_schemas import Schemas
from whence.validation.learned import TYPES as LEARNED_TYPES
from whence.validation.options import DEFAULTS, SliceLike, StatisticsOptions
from whence.validation.past import Past
from whence.validation.reading import describe_files, describe_frame, describe_version, is_files, is_query
from whence.validation.report import Report
from whence.validation.rows import RowCheck
from whence.validation.schema import Schema
from whence.validation.skew import TYPES as SKEW_TYPES
from whence.validation.skew import SkewReport, recorded_skew
from whence.validation.sources import is_path
from whence.validation.spool import spooled
from whence.validation.sql_checks import RELATION
from whence.validation.statistics import Statistics
from whence.validation.totals import check_totals
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
    Type("execution", "validate"),
    *SCHEMA_TYPES,
    *WINDOW_TYPES,
    *INCIDENT_TYPES,
    *LEARNED_TYPES,
    *SKEW_TYPES,
)

STATISTICS_STORED: Final = register(
    "validation.statistics.stored", "the statistics are a blob, the graph does not know them"
)
REPORT_STORED: Final = register(
    "validation.report.stored", "the report is a blob, the graph does not know it"
)


class Validation(Schemas, Past):
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
            rows = self._lake.stream(source)
            rows = spooled(rows) if options.rereads else rows
            return describe_frame(rows, "query", options, self._engine, progress)
        source = self._resolve(source)
        if not is_version(source):
            return describe_frame(source, "data", options, self._engine, progress)
        return self._of_version(source, options, progress)

    def find_statistics(self, source: Version | str) -> Statistics | None:
        """The kept statistics of a version (or of its name, ``flights@12``); None when not computed yet."""
        name = Ref.parse(source, kind="table") if isinstance(source, str) else Ref.parse(source.ref)
        artifact = self._kept.find("Statistics", f"{name.name}@{name.version}")
        return None if artifact is None else self._load(artifact)

    def _resolve(self, source: Any) -> Any:
        """The version a reference or a handle stands for, the newest one; anything else as it is."""
        if isinstance(source, str) and self._lake is not None and not is_path(source):
            return self._named(source)
        if callable(getattr(source, "head", None)) and callable(getattr(source, "history", None)):
            return source.head()
        if callable(getattr(source, "pin", None)):
            source = source.pin()
        return ViewRows(source) if is_view(source) else source

    def _named(self, source: str) -> Any:
        """The version a reference names: ``flights@12``, or of a view, ``daily@3`` or ``view:daily@3``."""
        ref = Ref.parse(source) if source.startswith("view:") else Ref.parse(source, kind="table")
        try:
            if ref.kind != "view":
                table = self._lake.table(ref.name)
                return table.head() if ref.version is None else table.at(ref.number)
        except NotFoundError as error:
            known = error.code == "table-not-found" and not source.startswith("table:")
            if not known or ref.name not in self._lake.views():
                raise
        view = self._lake.view(ref.name)
        return ViewRows(view.pin() if ref.version is None else view.at(ref.number))

    def _of_version(
        self, version: Version, options: StatisticsOptions, progress: Progress | None = None
    ) -> Statistics:
        base = name_of(version)
        if options.columns is not None and not options.extras:
            whole = self._kept.find("Statistics", base + replace(options, columns=None).suffix())
            if whole is not None:
                return self._load(whole).select(options.columns)
        name = base + options.suffix()
        artifact = self._kept.find("Statistics", name)
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
            source: A version of a table, its reference, a CSV or Parquet path, rows of any kind, or statistics.
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
            rows = rows_of(source)
            options = StatisticsOptions(extras=declared_groups(rules))
            made = describe_frame(rows.relation, rows.name, options, self._engine)
            report = _judge(made, rules, label, environment, controls, self._clock)
            return self._with_rows(report, rows, rules)
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
        described = self._kept.find("Statistics", statistics.name)
        inputs = [(version.artifact(), ("data",))]
        inputs += [(a, (p,)) for a, p in ((described, "statistics"), (artifact, "schema")) if a is not None]
        inputs += [
            (a, (role,))
            for role, control in controls.items()
            if control is not None and (a := self._kept.find("Statistics", control.name)) is not None
        ]
        params = {"schema": label, "environment": environment}
        with self._recorder.execution("validate", params=params, inputs=inputs, looks=True) as recording:
            rows = rows_of(version)
            judged = self._with_groups(statistics, rows, schema)
            report = _judge(judged, schema, label, environment, controls, self._clock)
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

    def _with_groups(self, statistics: Statistics, rows: Rows, schema: Schema) -> Statistics:
        """The kept statistics, and what the schema's sparse and weighted features need beside them."""
        extras = declared_groups(schema)
        if not extras:
            return statistics
        listed = ", ".join(map(quoted, columns_of(extras, rows.columns)))
        read = self._engine.stream(f'SELECT {listed} FROM "{RELATION}"', {RELATION: rows.relation})
        options = StatisticsOptions(columns=(), extras=extras)
        made = describe_frame(read, rows.name, options, self._engine)
        return replace(statistics, extras={**statistics.extras, **made.extras})

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
        found = [a for a in self._kept.artifacts("Anomalies") if wanted is None or _is_of(a, wanted)]
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
            training: A version of a table or view, its reference (``train@3``), a CSV or Parquet path, or rows.
            serving: The same of serving.
            keys: The columns that name a row on both sides.
            columns: What is compared; by default all columns that both sides have.
            tolerance: The largest difference of numbers that does not count, for all columns or by column.

        Raises:
            NotFoundError: A key or column is absent on a side, or a column with a tolerance is not compared.
            UsageError: There is no key (``no-keys``), or a tolerance is negative (``bad-tolerance``).

        Records:
            For two versions, one execution ``skew``: both in, a `FeatureSkew` artifact out. For rows nothing.
        """
        return recorded_skew(
            self._resolve(training), self._resolve(serving), keys, engine=self._engine, recorder=self._recorder, blobs=self._blobs,
            columns=columns, tolerance=tolerance,
        )  # fmt: skip


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
