"""Statistics of a window of versions or days: a merge of what each version's own rows are kept as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Final, TypeAlias

from whence._base.crash import crash_point, register
from whence._base.progress import progress as shown
from whence.errors import NotFoundError, UsageError
from whence.metadata import Artifact, Type, Value
from whence.validation.base import Version
from whence.validation.describe import Progress, describe
from whence.validation.kept import (
    AddedRows,
    Commit,
    Kept,
    LakeVersion,
    TableHandle,
    TableLike,
    commits_of,
    is_addition,
    is_fresh_start,
    is_quiet,
)
from whence.validation.options import DEFAULTS, StatisticsOptions
from whence.validation.statistics import Statistics

TYPES: Final = (Type("execution", "merge_statistics"),)
WINDOW_STORED: Final = register(
    "validation.window.stored", "the statistics of a window are a blob, the graph does not know them"
)

Compute: TypeAlias = Callable[[Version, str, StatisticsOptions, Progress | None], Statistics]
"""Describes a version and keeps what it found under a name."""
Describe: TypeAlias = Callable[[Version, StatisticsOptions, Progress | None], Statistics]
"""The kept statistics of a version; computed when there are none."""


class Windows:
    """Windows over the versions of tables.

    Args:
        kept: The graph, the blobs, the tables.
        compute: Describes what a version holds, under a name.
        describe: The statistics of a whole version.
    """

    def __init__(self, kept: Kept, compute: Compute, describe: Describe) -> None:
        self._kept = kept
        self._compute = compute
        self._describe = describe

    def added(
        self,
        version: LakeVersion,
        *,
        options: StatisticsOptions = DEFAULTS,
        progress: Progress | None = None,
    ) -> Statistics:
        """The statistics of the rows that one version added, described once and kept.

        Raises:
            UsageError: Its commit changed or removed rows, or was not made by whence (``not-additive``).
            IntegrityError: What it added cannot be read any more (``changes-gone``).
        """
        name = added_name(version.ref.removeprefix("table:"), options)
        found = self._kept.find("Statistics", name)
        if found is not None:
            return self._load(found)
        _, handle = self._kept.table(version.ref)
        number = int(version.ref.rpartition("@")[2])
        commit = next((c for c in handle.history() if c.version == number), None)
        if commit is None or not (is_addition(commit) or is_fresh_start(commit)):
            raise _not_additive(version.ref, commit)
        return self._compute(AddedRows(version), name, options, progress)

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
        """The statistics of the rows that came in a window; see `Validation.window`."""
        name, handle = self._kept.table(table)
        commits = commits_of(handle)
        chosen = self._chosen(name, commits, versions, days, between)
        label = f"{name}@{chosen[0].version}..{chosen[-1].version}{options.suffix()}"
        found = self._kept.find("Statistics", label)
        if found is not None:
            return self._load(found)
        names = self._parts(handle, commits, chosen, options, progress)
        return self._merged(label, names, chosen[-1])

    def _chosen(
        self,
        table: str,
        commits: Sequence[Commit],
        versions: Iterable[int] | None,
        days: float | None,
        between: tuple[datetime, datetime] | None,
    ) -> list[Commit]:
        """The commits of the window, oldest first, without a gap."""
        if sum(w is not None for w in (versions, days, between)) != 1:
            raise _bad("a window is given by one of versions=, days= and between=")
        if versions is not None:
            return _of_versions(table, commits, sorted(set(versions)))
        begin, end = between if between is not None else _last_days(days or 0.0, self._kept.clock.now())
        if begin.tzinfo is None or end.tzinfo is None:
            raise UsageError(
                "the ends of a window need a time zone", code="naive-time", hint="give them one: UTC"
            )
        if end <= begin:
            raise _bad(f"the window ends at {end.isoformat()}, before it begins")
        hits = [c.version for c in commits if begin <= c.at < end]
        if not hits:
            raise UsageError(
                f"no version of {table!r} was made from {begin.isoformat()} to {end.isoformat()}",
                code="empty-window",
                hint="whence table history shows when versions were made",
            )
        return [c for c in commits if hits[0] <= c.version <= hits[-1]]

    def _parts(
        self,
        handle: TableHandle,
        commits: Sequence[Commit],
        chosen: Sequence[Commit],
        options: StatisticsOptions,
        progress: Progress | None,
    ) -> list[Statistics]:
        """The statistics the window is merged from, oldest first."""
        wanted: list[Commit] = []
        for commit in chosen:
            if is_quiet(commit):
                continue
            if is_fresh_start(commit):
                wanted = [commit]
            elif is_addition(commit):
                wanted.append(commit)
            elif chosen[0].version <= commits[0].version:
                # From the beginning of the table on, what came and stayed is what is there.
                return [self._describe(handle.at(chosen[-1].version), options, progress)]
            else:
                raise _not_additive(f"table:{_name(handle, commit)}", commit)
        if not wanted:
            schema = handle.at(chosen[-1].version).schema
            return [describe(schema.empty_table(), options=options, engine=self._kept.engine)]
        with shown("statistics of a window", len(wanted)) as step:
            parts = []
            for commit in wanted:
                parts.append(self.added(handle.at(commit.version), options=options, progress=progress))
                step()
        return parts

    def _merged(self, label: str, parts: Sequence[Statistics], last: Commit) -> Statistics:
        made = replace(reduce(lambda a, b: a.merge(b), parts), name=label).sealed()
        inputs = [(a, ("part",)) for p in parts if (a := self._kept.find("Statistics", p.name)) is not None]
        params = {"window": label, "versions": [p.name for p in parts]}
        with self._kept.recorder.execution(
            "merge_statistics", params=params, inputs=inputs, looks=True
        ) as recording:
            digest = self._kept.blobs.put(made.to_bytes())
            crash_point(WINDOW_STORED)
            facts: dict[str, Value] = {
                "source": f"table:{label.partition('@')[0]}@{last.version}",
                "digest": digest,
                "n_rows": made.n_rows,
                "n_features": len(made),
            }
            recording.output(
                Artifact(type="Statistics", name=label, uri=f"blob:{digest}", properties=facts),
                path=("statistics",),
            )
        return made

    def _load(self, artifact: Artifact) -> Statistics:
        return Statistics.from_bytes(self._kept.blobs.get(str(artifact.get("digest"))))


def added_name(version: str, options: StatisticsOptions = DEFAULTS) -> str:
    """Under which name the statistics of the rows that a version added are kept.

    Example:
        >>> added_name("flights@12")
        'flights@12+added'
    """
    return f"{version}+added{options.suffix()}"


def _of_versions(table: str, commits: Sequence[Commit], wanted: Sequence[int]) -> list[Commit]:
    if not wanted:
        raise _bad("the window has no versions")
    if wanted != list(range(wanted[0], wanted[-1] + 1)):
        raise _bad(f"the versions {wanted[:5]} of a window have gaps between them")
    known = {c.version: c for c in commits}
    for number in wanted:
        if number not in known:
            raise NotFoundError(
                "table version", f"{table}@{number}", near=[f"{table}@{v}" for v in known],
                hint="whence table history shows all",
            )  # fmt: skip
    return [known[n] for n in wanted]


def _last_days(days: float, now: datetime) -> tuple[datetime, datetime]:
    if days <= 0:
        raise _bad(f"a window of {days:g} days has no rows")
    # What is committed at this very moment belongs to it.
    return now - timedelta(days=days), now + timedelta(microseconds=1)


def _name(handle: TableHandle, commit: Commit) -> str:
    return handle.at(commit.version).ref.removeprefix("table:")


def _bad(text: str) -> UsageError:
    return UsageError(text, code="bad-window", hint="versions=range(3, 10), days=7 or between=(a, b)")


def _not_additive(ref: str, commit: Commit | None) -> UsageError:
    if commit is None:
        why = "its log is gone"
    elif commit.type == "foreign":
        why = "it was not made by whence, so nobody counted what it added"
    else:
        why = f"it is a commit of type {commit.type}, which changed or removed rows that had been there"
    return UsageError(
        f"what {ref} added cannot be told apart from the rest: {why}",
        code="not-additive",
        hint="begin the window after it, or describe a whole version: statistics(…)",
    )


__all__ = ["TYPES", "Windows", "added_name"]
