"""Thresholds learned from the versions of a table that are believed to be clean, as the graph tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from whence._base.crash import crash_point, register
from whence._base.digest import canonical_json
from whence.errors import UsageError
from whence.metadata import Artifact, Type
from whence.metadata.marks import marks_on_artifacts
from whence.validation.cells import jsonable
from whence.validation.incidents import Incidents
from whence.validation.kept import Commit, Kept, LakeVersion, TableLike, commits_of, is_addition, is_quiet
from whence.validation.learn import FACTOR, MIN_VERSIONS, Thresholds, learn_thresholds
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import Severity

Of: TypeAlias = Literal["version", "added"]
"""Whether whole versions are compared, or the rows that each one added."""

TYPES: Final = (
    Type(
        "artifact",
        "Thresholds",
        {"source": "STRING", "digest": "STRING", "n_versions": "INT", "left_out": "STRUCT"},
        description="bounds learned from clean versions; the bytes are a blob",
    ),
    Type("execution", "learn_thresholds"),
)
LEARNED: Final = register(
    "validation.learned.stored", "the thresholds are a blob, the graph does not know them"
)
MOST: Final = 100
"""So many of the newest versions are learned from when none are named."""


@dataclass(frozen=True)
class Learned:
    """What was learned, from which versions, and why the others were left out.

    Attributes:
        thresholds: The bounds.
        versions: The versions that were learned from, oldest first.
        left_out: The versions that were not, each with the reason.
        ref: The artifact.
    """

    thresholds: Thresholds
    versions: tuple[int, ...]
    left_out: Mapping[int, str] = field(default_factory=dict)
    ref: str | None = None

    def apply(self, schema: Schema) -> Schema:
        """The schema with these thresholds; what was set by hand stays."""
        return self.thresholds.apply(schema)

    def text(self) -> str:
        """The thresholds as plain text, then what was left out."""
        left = [f"left out: version {v}, {why}" for v, why in self.left_out.items()]
        return "\n".join([self.thresholds.text(), *left])

    def __str__(self) -> str:
        return self.text()


class Learning:
    """Chooses clean versions and learns from them.

    Args:
        kept: The graph, the blobs, the tables.
        incidents: What is known to be wrong.
        describe: The kept statistics of a version, or of the rows it added.
    """

    def __init__(
        self, kept: Kept, incidents: Incidents, describe: Callable[[LakeVersion, Of], Statistics]
    ) -> None:
        self._kept = kept
        self._incidents = incidents
        self._describe = describe

    def learn(
        self,
        table: TableLike,
        *,
        versions: Iterable[int] | None = None,
        of: Of = "version",
        factor: float = FACTOR,
        severity: Severity = "WARNING",
    ) -> Learned:
        """Learn from the clean versions of a table; see `Validation.learn`."""
        if of not in get_args(Of):
            raise UsageError(f"of is {of!r}, want 'version' or 'added'", code="bad-argument")
        name, handle = self._kept.table(table)
        commits = commits_of(handle)
        wanted = None if versions is None else set(versions)
        chosen = [c for c in commits if (not is_quiet(c) if wanted is None else c.version in wanted)]
        if wanted is None:
            chosen = chosen[-MOST:]
        left_out = self._left_out(name, [handle.at(c.version) for c in chosen], chosen, of)
        clean = [c.version for c in chosen if c.version not in left_out]
        if len(clean) < MIN_VERSIONS:
            told = "; ".join(f"{v}: {why}" for v, why in list(left_out.items())[:5])
            raise UsageError(
                f"{len(clean)} clean versions of {name!r} are too few to learn from" + (f" ({told})" if told else ""),
                code="too-few-versions",
                hint=f"at least {MIN_VERSIONS} are needed; name them with versions=",
            )  # fmt: skip
        history = [self._describe(handle.at(v), of) for v in clean]
        found = learn_thresholds(history, factor=factor, severity=severity)
        return self._store(name, Learned(found, tuple(clean), left_out), history)

    def _left_out(
        self, table: str, versions: Sequence[LakeVersion], commits: Sequence[Commit], of: Of
    ) -> dict[int, str]:
        """The versions that are not clean, each with the reason."""
        wrong = self._incidents.errors_by_version(table)
        has_marks = self._kept.recorder.store.has_marks()
        out: dict[int, str] = {}
        for version, commit in zip(versions, commits, strict=True):
            number = commit.version
            if number in wrong:
                out[number] = "it has errors: " + ", ".join(wrong[number][:3])
            elif of == "added" and not is_addition(commit):
                out[number] = f"its commit is of type {commit.type}: what it added cannot be told apart"
            elif commit.state is not None and commit.state.n_rows == 0:
                out[number] = "it has no rows"
            elif has_marks:
                marks = marks_on_artifacts(self._kept.recorder.store, [version.artifact()])
                if marks:
                    out[number] = f"marked bad: {marks[0].reason} (mark {marks[0].id})"
        return out

    def _store(self, table: str, learned: Learned, history: Sequence[Statistics]) -> Learned:
        inputs = [
            (a, ("clean",)) for s in history if (a := self._kept.find("Statistics", s.name)) is not None
        ]
        params = {"table": table, "versions": [s.name for s in history]}
        name = f"{table}@{learned.versions[0]}..{learned.versions[-1]}"
        with self._kept.recorder.execution(
            "learn_thresholds", params=params, inputs=inputs, looks=True
        ) as recording:
            digest = self._kept.blobs.put(canonical_json(_plain(learned.thresholds)).encode())
            crash_point(LEARNED)
            facts: dict[str, Any] = {
                "source": f"table:{table}",
                "digest": digest,
                "n_versions": len(learned.versions),
                "left_out": {str(v): why for v, why in learned.left_out.items()},
            }
            recording.output(
                Artifact(type="Thresholds", name=f"{name}~{digest[-12:]}", uri=f"blob:{digest}", properties=facts),
                path=("thresholds",),
            )  # fmt: skip
        return Learned(
            learned.thresholds, learned.versions, learned.left_out, f"artifact:{recording.outputs[0].uid}"
        )


def _plain(thresholds: Thresholds) -> dict[str, Any]:
    """Thresholds as JSON."""
    found: dict[str, Any] = jsonable_deep(asdict(thresholds))
    return found


def jsonable_deep(value: Any) -> Any:
    """A nest of mappings and sequences as JSON."""
    if isinstance(value, Mapping):
        return {str(k): jsonable_deep(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable_deep(v) for v in value]
    return jsonable(value)


__all__ = ["TYPES", "Learned", "Learning"]
