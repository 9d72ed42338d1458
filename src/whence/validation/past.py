"""What the versions of a table say together: windows of them, blame, learned thresholds, incidents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from whence.metadata import Artifact
from whence.validation.base import Version
from whence.validation.blame import (
    LIMIT,
    AnomalyBlame,
    Blaming,
    Question,
    check_blamable,
    meant,
    version_number,
)
from whence.validation.blame import with_threshold as _with_threshold
from whence.validation.describe import Progress
from whence.validation.incidents import Incidents
from whence.validation.kept import Kept, LakeVersion, TableLike
from whence.validation.learn import FACTOR
from whence.validation.learned import Learned, Learning, Of
from whence.validation.options import DEFAULTS, StatisticsOptions
from whence.validation.report import Report
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import Anomaly, Severity
from whence.validation.windows import Windows


class Past(ABC):
    """The part of `Validation` that looks at several versions; the rest of it is what this builds on."""

    _kept: Kept

    # What the rest of the room does; see `Validation`.

    @abstractmethod
    def _resolve(self, source: Any) -> Any: ...

    @abstractmethod
    def _of_version(
        self, version: Version, options: StatisticsOptions, progress: Progress | None = None
    ) -> Statistics: ...

    @abstractmethod
    def _compute(
        self, version: Version, name: str, options: StatisticsOptions, progress: Progress | None
    ) -> Statistics: ...

    @abstractmethod
    def _control(self, source: Version | Statistics | str | None) -> Statistics | None: ...

    @abstractmethod
    def _get_schema(self, name: str, version: int | None) -> Artifact: ...

    @abstractmethod
    def _schema(self, artifact: Artifact) -> Schema: ...

    @abstractmethod
    def _report(self, artifact: Artifact) -> Report: ...

    @abstractmethod
    def update_schema(self, name: str, anomalies: Sequence[Anomaly]) -> Artifact:
        """Keep the next version of a schema, with the changes that anomalies propose."""

    # --- windows

    @cached_property
    def _windows(self) -> Windows:
        return Windows(self._kept, self._compute, self._of_version)

    def added(
        self,
        source: LakeVersion | str,
        *,
        options: StatisticsOptions = DEFAULTS,
        progress: Progress | None = None,
    ) -> Statistics:
        """The statistics of the rows that came with one version of a table, computed once and kept.

        Args:
            source: The version, or its reference (``flights@12``).
            options: What is computed.
            progress: Called with the number of rows after each block.

        Raises:
            UsageError: Its commit changed or removed rows, or was not made by whence (``not-additive``).
            IntegrityError: What it added cannot be read any more (``changes-gone``).

        Records:
            When they were not computed before, one execution ``statistics``: the table version in, a
            `Statistics` artifact ``flights@12+added`` out.
        """
        return self._windows.added(self._resolve(source), options=options, progress=progress)

    def window(
        self,
        table: TableLike,
        *,
        versions: Iterable[int] | None = None,
        days: float | None = None,
        between: tuple[datetime, datetime] | None = None,
        options: StatisticsOptions = DEFAULTS,
        progress: Progress | None = None,
    ) -> Statistics:
        """The statistics of the rows that came in a window of versions: a merge, not a second reading.

        The rows that each version added are described once and kept; a window merges them. Commits that
        change no rows (compaction) add nothing. A commit that replaced all rows begins the window anew: what
        came before is no more. Merges, deletes and commits of others changed or removed rows that had been there: a
        window that begins with the table is then the statistics of its last version; another is refused.

        What is exact in the statistics of one reading is exact in the merge; sketches add their errors.

        Args:
            table: Its name, or a handle.
            versions: Versions without a gap: ``range(3, 10)``.
            days: Those made within so many days up to now, by the clock of the workspace.
            between: Those made from the first moment on, and before the second.
            options: What is computed, as for `statistics`.
            progress: Called with the number of rows after each block.

        Raises:
            UsageError: The window is none (``bad-window``), without versions (``empty-window``), or a commit in it
                changed rows that had been there (``not-additive``, naming it).
            NotFoundError: There is no such table or version.

        Records:
            One execution ``statistics`` for each version not described before, and one ``merge_statistics``: these
            statistics in, a `Statistics` artifact ``flights@3..9`` out. The same window again, nothing.
        """
        return self._windows.window(
            table, versions=versions, days=days, between=between, options=options, progress=progress
        )

    # --- blame

    @cached_property
    def _blaming(self) -> Blaming:
        return Blaming(self._kept, lambda v: self._of_version(v, DEFAULTS), self._report_named)

    def _report_named(self, name: str) -> Report | None:
        artifact = self._kept.find("Anomalies", name)
        return None if artifact is None else self._report(artifact)

    def blame(
        self,
        anomaly: Anomaly | Sequence[str] | Mapping[str, Any],
        version: LakeVersion | str,
        *,
        schema: str | Schema | None = None,
        environment: str | None = None,
        previous: Version | Statistics | str | None = None,
        serving: Version | Statistics | str | None = None,
        threshold: float | None = None,
        limit: int = LIMIT,
    ) -> AnomalyBlame:
        """The first version since which a version has an anomaly, and the execution that wrote it.

        All versions are judged alike, by one schema. They are taken from the newest to the oldest until one is
        without the anomaly: by the kept report, else by the kept statistics, else by statistics that are computed
        now and kept. Where one bad row is enough and rows were only added, the first version is found by halving:
        an anomaly that is there stays. Of the rows that the version added, those that break the rule are counted.

        Args:
            anomaly: One of a report; or feature and type, or feature, type and rule. A rule about rows has the
                feature ``""``, the type ``CUSTOM_VALIDATION`` and its name as the rule. With `threshold`, the name of
                the feature in a tuple of one.
            version: The version that has it, or its reference (``flights@12``).
            schema: By which schema; the newest of the table's name by default.
            environment: For which environment.
            previous: What drift is measured against, the same for all versions.
            serving: What skew is measured against.
            threshold: Blame the drift of a feature over this distance (infinity norm for text, Jensen-Shannon for
                numbers), whatever the schema allows.
            limit: How many versions may be judged.

        Raises:
            NotFoundError: The version does not have the anomaly (``anomaly-not-found``); there is no such schema.
            UsageError: No commit can have brought it, or it is a distance to nothing (``not-blamable``).

        Records:
            Statistics that were computed, as `statistics` does.
        """
        table, number = version_number(version if isinstance(version, str) else version.ref)
        kept, label = self._schema_meant(schema, table)
        self_previous, self_serving = self._control(previous), self._control(serving)
        if threshold is not None:
            feature = anomaly[0] if isinstance(anomaly, Sequence) else meant(anomaly)[0]
            of = self._of_version(self._kept.table(table)[1].at(number), DEFAULTS)
            kept, type_ = _with_threshold(kept, of, feature, threshold)
            rule: str | None = None
            label = kept.digest
        else:
            feature, type_, rule = meant(anomaly)
        question = Question(feature, type_, rule, kept, label, environment, self_previous, self_serving)
        check_blamable(question)
        return self._blaming.blame(question, table, number, limit=limit)

    def _schema_meant(self, schema: str | Schema | None, table: str) -> tuple[Schema, str]:
        if isinstance(schema, Schema):
            return schema, schema.digest
        artifact = self._get_schema(schema or table, None)
        return self._schema(artifact), f"schema:{artifact.name}"

    # --- thresholds

    def learn(
        self,
        table: TableLike,
        *,
        versions: Iterable[int] | None = None,
        of: Of = "version",
        factor: float = FACTOR,
        severity: Severity = "WARNING",
    ) -> Learned:
        """Bounds and drift thresholds from the clean versions of a table, as the graph knows them.

        A version is clean when no kept report has an error in it that is not accepted, and neither it nor
        anything it came from is marked bad. See `learn_thresholds` for what is learned.

        Args:
            table: Its name, or a handle.
            versions: Only from these; by default the newest hundred that changed rows.
            of: ``version`` learns from whole versions, ``added`` from the rows that each one added.
            factor: How far outside of what was seen a bound lies.
            severity: Of the expectations that are made.

        Raises:
            UsageError: Fewer than three versions are clean (``too-few-versions``, with the reasons), or `of`
                is another word (``bad-argument``).

        Records:
            One execution ``learn_thresholds``: the statistics it learned from in, a `Thresholds` artifact out, which
            says which versions were left out and why.
        """
        learning = Learning(self._kept, self.incidents, self._described_as)
        return learning.learn(table, versions=versions, of=of, factor=factor, severity=severity)

    def _described_as(self, version: LakeVersion, of: Of) -> Statistics:
        return self._windows.added(version) if of == "added" else self._of_version(version, DEFAULTS)

    # --- incidents

    @cached_property
    def incidents(self) -> Incidents:
        """The anomalies that validations found, and what became of them."""
        return Incidents(self._kept, self._report, self.update_schema)


__all__ = ["Past"]
