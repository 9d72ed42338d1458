"""Whence an anomaly came: the first version that has it without interruption since, and who wrote that version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from whence._base.progress import progress as shown
from whence._base.refs import Ref
from whence.errors import IntegrityError, NotFoundError, UsageError
from whence.metadata import Execution
from whence.validation.anomalies import validate_statistics
from whence.validation.cells import jsonable
from whence.validation.compare import OF_VALUES
from whence.validation.find import Rows, check_rules, find_rows
from whence.validation.kept import (
    AddedRows,
    Commit,
    Kept,
    LakeVersion,
    TableHandle,
    commits_of,
    is_addition,
    is_fresh_start,
    is_quiet,
)
from whence.validation.report import Report
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.totals import check_totals
from whence.validation.types import Anomaly, Comparator

How: TypeAlias = Literal["report", "statistics", "rows"]
"""From what a version was judged: a kept report, its statistics, its rows."""

MONOTONE: Final = frozenset(
    {
        "BOOL_TYPE_BIG_INT",
        "BOOL_TYPE_SMALL_INT",
        "ENUM_TYPE_INVALID_UTF8",
        "FLOAT_TYPE_BIG_FLOAT",
        "FLOAT_TYPE_HAS_INF",
        "FLOAT_TYPE_HAS_NAN",
        "FLOAT_TYPE_SMALL_FLOAT",
        "INT_TYPE_BIG_INT",
        "INT_TYPE_SMALL_INT",
        "TIME_TYPE_BIG_TIME",
        "TIME_TYPE_SMALL_TIME",
    }
)
"""Types that one single row is enough for: once there, only a commit that removes rows takes them away."""

_OF_SCHEMA: Final = frozenset(
    {
        "BOOL_TYPE_INVALID_CONFIG",
        "DOMAIN_INVALID_FOR_TYPE",
        "FEATURE_MISSING_NAME",
        "FEATURE_MISSING_TYPE",
        "INVALID_DOMAIN_SPECIFICATION",
        "INVALID_SCHEMA_SPECIFICATION",
    }
)
LIMIT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Looked:
    """A version that was judged.

    Attributes:
        version: Which.
        present: Whether it has the anomaly.
        how: From what that is known.
    """

    version: int
    present: bool
    how: How


@dataclass(frozen=True, slots=True)
class AnomalyBlame:
    """Since when a version has an anomaly, and from whom.

    Attributes:
        feature, type, rule: Which anomaly.
        environment: Judged for which environment.
        schema: Judged by which schema, the same for all versions.
        table: The table.
        version: The version that was asked about.
        since: The first version that has it, without interruption up to `version`.
        before: The last version before it, which does not have it; None when there is none, or it was not
            looked at.
        complete: Whether nothing older can change the answer.
        reason: Why it goes back no further.
        commit: The type of the commit of `since`: ``append``, ``merge``, ….
        at: When that was.
        execution: Who wrote it; None when it was not made by whence.
        execution_type: What that execution did: ``append``, ``score``, a step.
        principal: Who had it written.
        inputs: References of what it had read.
        n_added: How many rows the commit added; None when that is not known.
        n_bad: How many of these break the rule; None when the rule is not about single rows, or the commit did
            more than add.
        rows: References of some of them, where the table declares a key.
        looked: The versions that were judged, in that order.
    """

    feature: str
    type: str
    rule: str
    environment: str | None
    schema: str
    table: str
    version: int
    since: int
    before: int | None
    complete: bool
    reason: str
    commit: str | None = None
    at: datetime | None = None
    execution: str | None = None
    execution_type: str | None = None
    principal: str | None = None
    inputs: tuple[str, ...] = ()
    n_added: int | None = None
    n_bad: int | None = None
    rows: tuple[str, ...] = ()
    looked: tuple[Looked, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The blame as JSON."""
        return {k: jsonable(v) for k, v in asdict(self).items()}

    def text(self) -> str:
        """The blame in a few lines."""
        what = f"{self.type} of {self.feature}" if self.feature else f"{self.type} {self.rule!r}"
        least = "" if self.complete else "at least "
        lines = [f"{what} in table:{self.table}@{self.version}: since {least}table:{self.table}@{self.since}"]
        if self.execution is not None:
            who = f" of {self.principal}" if self.principal else ""
            when = f", {self.at.isoformat()}" if self.at is not None else ""
            kind = f" ({self.execution_type})" if self.execution_type else ""
            lines.append(f"written by execution:{self.execution}{kind}{who}{when}")
        elif self.commit is not None:
            lines.append(f"written by a commit that is {self.commit}: no execution is known")
        if self.inputs:
            lines.append("which had read " + ", ".join(self.inputs))
        if self.n_bad is not None:
            lines.append(f"{self.n_bad:,} of the {self.n_added or 0:,} rows it added break the rule")
        lines += [f"- {row}" for row in self.rows]
        lines.append(self.reason)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True)
class Question:
    """What is asked of each version: does it have this anomaly?

    Attributes:
        feature, type: Which anomaly.
        rule: Of which rule; None: of any.
        schema: By which schema.
        label: What that is called.
        environment: For which environment.
        previous: What drift is measured against.
        serving: What skew is measured against.
    """

    feature: str
    type: str
    rule: str | None
    schema: Schema
    label: str
    environment: str | None = None
    previous: Statistics | None = None
    serving: Statistics | None = None

    def is_it(self, anomaly: Anomaly) -> bool:
        """Whether an anomaly is the one meant."""
        same = (anomaly.feature, anomaly.type) == (self.feature, self.type)
        return same and self.rule in (None, anomaly.rule)

    @property
    def of_rows(self) -> bool:
        """Whether only reading rows answers it: a row rule, or an aggregate over the rows."""
        return self.type == "CUSTOM_VALIDATION" and self.feature == ""

    @property
    def compares(self) -> bool:
        """Whether it is about a distance to other data."""
        return self.type.startswith("COMPARATOR_")

    @property
    def monotone(self) -> bool:
        """Whether adding rows can never take the anomaly away."""
        if self.type in MONOTONE:
            return True
        if self.of_rows:
            return any(r.name == self.rule for r in self.schema.rules)
        feature = self.schema.features.get(self.feature)
        if self.type == "ENUM_TYPE_UNEXPECTED_STRING_VALUES" and feature is not None:
            return feature.min_domain_mass == 1.0
        return False


Find: TypeAlias = Callable[[str], Report | None]
"""The kept report of a name, ``flights@12~flights@2``."""
Describe: TypeAlias = Callable[[LakeVersion], Statistics]


class Blaming:
    """Follows an anomaly back through the versions of a table.

    Args:
        kept: The graph, the tables, the engine.
        describe: The kept statistics of a version; computed when there are none.
        find_report: The kept report of a name.
    """

    def __init__(self, kept: Kept, describe: Describe, find_report: Find) -> None:
        self._kept = kept
        self._describe = describe
        self._find_report = find_report

    def blame(self, question: Question, table: str, version: int, *, limit: int = LIMIT) -> AnomalyBlame:
        """Follow it back; see `Validation.blame`."""
        check_blamable(question)
        _, handle = self._kept.table(table)
        commits = commits_of(handle, version)
        history = [c for c in commits if not is_quiet(c)]
        walk = _Walk(self, question, handle, limit)
        with shown(f"blame of {question.type}", len(history)) as walk.step:
            first = len(history) - 1
            if first < 0 or not walk.present(history[first].version):
                raise self._absent(question, table, version)
            first, stopped = walk.back(history, first)
        return self._told(question, table, version, handle, history, first, stopped, walk)

    def _absent(self, question: Question, table: str, version: int) -> NotFoundError:
        what = f"{question.type} of {question.feature or question.rule!r} in {table}@{version}"
        columns = self._kept.table(table)[1].at(version).schema.names
        known = [*columns, *question.schema.features]
        if question.feature and not any(f"{question.feature}.".startswith(f"{name}.") for name in known):
            return NotFoundError(
                "column", question.feature, near=known, hint=f"{table}@{version} has no such column"
            )
        return NotFoundError(
            "anomaly", what, hint=f"by {question.label} the version does not have it: whence validate shows what it has"
        )  # fmt: skip

    def _told(
        self,
        question: Question,
        table: str,
        version: int,
        handle: TableHandle,
        history: Sequence[Commit],
        first: int,
        stopped: str | None,
        walk: _Walk,
    ) -> AnomalyBlame:
        commit = history[first]
        before = history[first - 1].version if first and stopped is None else None
        if stopped is not None:
            reason = stopped
        elif before is not None:
            reason = f"table:{table}@{before} does not have it"
        else:
            reason = "the table began with it"
        n_bad, rows = self._bad_rows(question, handle, commit)
        return AnomalyBlame(
            feature=question.feature,
            type=question.type,
            rule=question.rule or walk.rule or "",
            environment=question.environment,
            schema=question.label,
            table=table,
            version=version,
            since=commit.version,
            before=before,
            complete=stopped is None,
            reason=reason,
            commit=commit.type,
            at=commit.at,
            execution=commit.execution,
            execution_type=self._type_of(commit.execution),
            principal=commit.principal or None,
            inputs=tuple(commit.inputs),
            n_added=None if commit.added is None else commit.added.n,
            n_bad=n_bad,
            rows=rows,
            looked=tuple(walk.looked),
        )

    def _type_of(self, uid: str | None) -> str | None:
        if uid is None:
            return None
        found = self._kept.recorder.store.get_nodes("execution", uids=[uid])
        return found[0].type if found and isinstance(found[0], Execution) else None

    def _bad_rows(
        self, question: Question, handle: TableHandle, commit: Commit
    ) -> tuple[int | None, tuple[str, ...]]:
        """How many of the rows that a commit added break the rule, and some of them."""
        if not (is_addition(commit) or is_fresh_start(commit)):
            return None, ()
        try:
            rows = self.rows(AddedRows(handle.at(commit.version)))
            if question.of_rows:
                found, _ = check_rules(rows, _only(question), self._kept.engine)
            else:
                blank = Anomaly(question.feature, question.type, "ERROR", "", None, None, "")  # type: ignore[arg-type]
                found = find_rows(
                    rows, question.schema, [blank], self._kept.engine, environment=question.environment
                )
        except (IntegrityError, NotFoundError):
            return None, ()  # its files are gone; that the version has the anomaly was known from elsewhere
        hit = found[0] if found else None
        if hit is None or hit.n_rows is None:
            return None, ()
        return hit.n_rows, hit.rows if rows.key else ()

    def rows(self, version: Any) -> Rows:
        """The rows of a version, for whoever reads them."""
        name = version.ref.removeprefix("table:")
        return Rows(name, version.files(), version.schema.names, tuple(version.declaration.key))

    def judge(self, question: Question, version: LakeVersion, now: datetime) -> tuple[list[Anomaly], How]:
        """The anomalies of a version that are the one meant, and from what that is known."""
        name = version.ref.removeprefix("table:")
        if not question.compares and "@" in question.label:
            environment = f"~{question.environment}" if question.environment else ""
            report = self._find_report(f"{name}~{question.label.partition(':')[2]}{environment}")
            if report is not None:
                return [a for a in report.anomalies if question.is_it(a)], "report"
        if question.of_rows:
            rows, only = self.rows(version), _only(question)
            found = check_rules(rows, only, self._kept.engine)[0]
            found += check_totals(rows, only, self._kept.engine)[0]
            return [a for a in found if question.is_it(a)], "rows"
        found, _ = validate_statistics(
            self._describe(version),
            question.schema,
            environment=question.environment,
            previous=question.previous,
            serving=question.serving,
            now=now,
        )
        return [a for a in found if question.is_it(a)], "statistics"


class _Walk:
    """One way back through the history, with what was seen on it."""

    def __init__(self, blaming: Blaming, question: Question, handle: TableHandle, limit: int) -> None:
        self._blaming = blaming
        self._question = question
        self._handle = handle
        self._left = limit
        self._limit = limit
        self._known: dict[int, bool] = {}
        self._gone = False
        self.looked: list[Looked] = []
        self.rule: str | None = None
        self.step: Callable[..., None] = lambda *_: None

    def present(self, number: int) -> bool:
        """Whether a version has the anomaly; judged once."""
        if number not in self._known:
            version = self._handle.at(number)
            now = self._blaming._kept.clock.now()  # noqa: SLF001 - the walk is a part of the blaming
            found, how = self._blaming.judge(self._question, version, now)
            self._known[number] = bool(found)
            if found and self.rule is None:
                self.rule = found[0].rule
            self.looked.append(Looked(number, bool(found), how))
            self._left -= 1
            self.step()
        return self._known[number]

    def back(self, history: Sequence[Commit], at: int) -> tuple[int, str | None]:
        """The position of the first version of the run that ends `at`, and why it was given up before its end."""
        while at > 0:
            if self._left <= 0:
                return at, f"given up after {self._limit:,} versions: limit= raises that"
            low = self._begin_of_additions(history, at)
            bisected = self._question.monotone and low < at and not self._gone
            try:
                if bisected:
                    at = self._bisect(history, low, at)
                    if at > low:
                        return at, None
                elif self.present(history[at - 1].version):
                    at -= 1
                else:
                    return at, None
            except (NotFoundError, IntegrityError) as error:
                if not bisected:
                    return at, f"older versions cannot be read: {error}"
                # One version in between is gone: those nearer may still be there, so they are taken in turn.
                self._gone = True
                at = min(i for i in range(low, at + 1) if self._known.get(history[i].version))
        return at, None

    def _begin_of_additions(self, history: Sequence[Commit], at: int) -> int:
        """The position from which on up to `at` rows were only added."""
        low = at
        while low > 0 and is_addition(history[low]):
            low -= 1
        return low

    def _bisect(self, history: Sequence[Commit], low: int, high: int) -> int:
        """The first position from low to high that has it, where it is never lost in between; `high` has it."""
        while low < high:
            middle = (low + high) // 2
            if self.present(history[middle].version):
                high = middle
            else:
                low = middle + 1
        return high


def _only(question: Question) -> Schema:
    """The schema with the one rule or check that is meant."""
    schema, name = question.schema, question.rule
    return replace(
        schema,
        rules=tuple(r for r in schema.rules if name in (None, r.name)),
        checks=tuple(c for c in schema.checks if name in (None, c.name)),
    )


def check_blamable(question: Question) -> None:
    """Refuse a question that no commit of the table answers.

    Raises:
        UsageError: The anomaly is one of the schema, comes with time, or has no control (``not-blamable``).
    """
    why: str | None = None
    hint = "whence validate shows the anomalies of a version"
    if question.type in _OF_SCHEMA:
        why = f"{question.type} is a fault of the schema, not of a version of the table"
        hint = "whence schema history shows which version of the schema brought it"
    elif question.type == "EXPECTATION_STALE":
        why = "EXPECTATION_STALE comes with time, no commit brings it"
    elif question.compares and question.previous is None and question.serving is None:
        why = f"{question.type} is a distance, and nothing is named that it is measured against"
        hint = "previous=… for drift, serving=… for skew"
    if why is not None:
        raise UsageError(why, code="not-blamable", hint=hint)


def with_threshold(
    schema: Schema, statistics: Statistics, feature: str, threshold: float
) -> tuple[Schema, str]:
    """The schema with a drift threshold for one feature, and the type of the anomaly above it.

    The infinity norm for text and booleans, the Jensen-Shannon divergence for numbers.
    """
    seen = statistics[feature]
    if feature not in schema:
        raise NotFoundError("column", feature, near=list(schema.features))
    if seen.type in OF_VALUES:
        return schema.edit(feature, drift=Comparator(infinity_norm=threshold)), "COMPARATOR_L_INFTY_HIGH"
    comparator = Comparator(jensen_shannon_divergence=threshold)
    return schema.edit(feature, drift=comparator), "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"


def meant(anomaly: Anomaly | Sequence[str] | Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Feature, type and rule of an anomaly, of ``(feature, type)`` or ``(feature, type, rule)``.

    Raises:
        UsageError: It is none of these (``bad-anomaly``).

    Example:
        >>> meant(("wind_speed", "FLOAT_TYPE_BIG_FLOAT"))
        ('wind_speed', 'FLOAT_TYPE_BIG_FLOAT', None)
    """
    if isinstance(anomaly, Anomaly):
        return anomaly.feature, anomaly.type, anomaly.rule
    if isinstance(anomaly, Sequence) and not isinstance(anomaly, str) and len(anomaly) in (2, 3):
        return anomaly[0], anomaly[1], anomaly[2] if len(anomaly) == 3 else None
    raise UsageError(
        f"{anomaly!r} names no anomaly", code="bad-anomaly", hint='("feature", "TYPE"), or an anomaly of a report'
    )  # fmt: skip


def version_number(ref: str) -> tuple[str, int]:
    """``("flights", 12)`` of ``table:flights@12``.

    Raises:
        UsageError: It names no version of a table (``bad-reference``).
    """
    parsed = Ref.parse(ref, kind="table")
    if parsed.number is None:
        raise UsageError(f"{ref!r} names no version", code="bad-reference", hint="flights@12")
    return parsed.name, parsed.number


__all__ = [
    "LIMIT",
    "MONOTONE",
    "AnomalyBlame",
    "Blaming",
    "Looked",
    "Question",
    "check_blamable",
    "meant",
    "version_number",
    "with_threshold",
]
