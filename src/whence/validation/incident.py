"""What reports and decisions together make of an anomaly: an incident, computed and never stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias

from whence._base.digest import canonical_json
from whence._base.refs import Ref
from whence.metadata import Artifact
from whence.validation.cells import jsonable
from whence.validation.report import Report

State: TypeAlias = Literal["open", "accepted", "fixed"]
Action: TypeAlias = Literal["accept", "fix", "assign", "reopen"]

_SPEAKS_OF: Final = {
    "drift_comparator": "drift",
    "skew_comparator": "skew",
    "num_examples_drift": "drift",
    "num_examples_version": "version",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two anomalies the same one.

    Attributes:
        table: The table, or ``view:daily``.
        schema: The name of the schema, without its version; of one that is not kept, its digest.
        environment: For which environment.
        feature, type, rule: Which rule is broken.
    """

    table: str
    schema: str
    environment: str | None
    feature: str
    type: str
    rule: str

    @property
    def id(self) -> str:
        """A short name, the same everywhere: ``flights-1f2e3d4c5b6a``."""
        digest = sha256(canonical_json(asdict(self)).encode()).hexdigest()[:12]
        return f"{self.table.removeprefix('view:')}-{digest}"


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was done about an incident.

    Attributes:
        action: ``accept``, ``fix``, ``assign`` or ``reopen``.
        number: Its place, from 1.
        state: What the incident was after it.
        owner: Who looks after it, after it.
        note: Why.
        link: What repaired or accepted it: a commit, an execution, a schema version, a URL.
        holds_from: The first version of the table it speaks of: found in an older one, the anomaly is the old one.
        schema_version: The version of the schema that accepts it; 0 when it is accepted without one.
        principal: Who did it.
        at: When.
        ref: The artifact.
    """

    action: Action
    number: int
    state: State
    owner: str | None
    note: str
    link: str | None
    holds_from: int
    schema_version: int
    principal: str
    at: str
    ref: str

    def broken_by(self, seen: Seen) -> bool:
        """Whether a report that has the anomaly says that it is not so."""
        if self.state == "fixed":
            return seen.version >= self.holds_from
        return self.state == "accepted" and 0 < self.schema_version <= seen.schema_version


@dataclass(frozen=True, slots=True)
class Incident:
    """An anomaly of a table and what became of it.

    Attributes:
        id: Its name in commands.
        identity: Which anomaly.
        state: ``open``, ``accepted`` or ``fixed``.
        owner: Who looks after it.
        note: What was said last.
        link: What repaired or accepted it.
        first: The oldest version in which it was found.
        last: The newest one.
        n_versions: In how many versions it was found.
        reopened: How often it came back after it had been fixed, or accepted into the schema.
        clean: When it is open and the versions judged since do not have it: the first of them; else None.
        repaired_by: What seems to have repaired it then: that version, or a version of the schema.
        severity: As it was found last; ``ERROR`` or ``WARNING``.
        decisions: What was done, oldest first.
    """

    id: str
    identity: Identity
    state: State
    owner: str | None
    note: str
    link: str | None
    first: int
    last: int
    n_versions: int
    reopened: int
    clean: int | None
    repaired_by: str | None
    severity: str
    decisions: tuple[Decision, ...] = ()

    @property
    def proposed(self) -> str | None:
        """``fixed`` when a later version is clean and nobody has said so yet."""
        return "fixed" if self.clean is not None else None

    def to_dict(self) -> dict[str, Any]:
        """The incident as JSON."""
        said = {k: jsonable(v) for k, v in asdict(self).items() if k not in ("identity", "decisions")}
        decisions = [{k: jsonable(v) for k, v in asdict(d).items()} for d in self.decisions]
        return {**said, **asdict(self.identity), "proposed": self.proposed, "decisions": decisions}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one kept report says about one version."""

    table: str
    version: int
    schema: str
    schema_version: int
    environment: str | None
    sides: frozenset[str]
    found: Mapping[tuple[str, str, str], str]
    artifact: Artifact

    @property
    def place(self) -> tuple[str, str, str | None]:
        return self.table, self.schema, self.environment

    def order(self) -> tuple[int, int, int]:
        """By version, then by how new the judgement is."""
        return self.version, self.schema_version, self.artifact.id or 0

    def looked_for(self, type_: str, rule: str) -> bool:
        """Whether the report would have it if it were there."""
        side = _side_of(type_, rule)
        return side is None or side in self.sides


# --- computing ----------------------------------------------------------------------------------


def found_in(report: Report) -> dict[str, Any]:
    """What a report found, in short, for the graph: each anomaly, and which comparisons were made."""
    sides = {side for a in report.anomalies if (side := _side_of(a.type, a.rule)) is not None}
    return {
        "anomalies": [[a.feature, a.type, a.rule, a.severity] for a in report.anomalies],
        "sides": sorted({d.side for d in report.distances} | sides),
    }


def timeline_of(reports: Iterable[Seen]) -> list[Seen]:
    """One report a version, by version: that of the newest schema, and of these the newest."""
    best: dict[int, Seen] = {}
    for seen in sorted(reports, key=lambda s: (s.schema_version, s.artifact.id or 0)):
        older = best.get(seen.version)
        if older is not None and older.sides - seen.sides:
            seen = _with_sides(seen, older)
        best[seen.version] = seen
    return [best[v] for v in sorted(best)]


def _with_sides(seen: Seen, older: Seen) -> Seen:
    """A report, with what one of an older schema says of comparisons that were not made again."""
    kept = {
        k: s for k, s in older.found.items() if _side_of(k[1], k[2]) in (older.sides - seen.sides)
    }  # fmt: skip
    if not kept:
        return seen
    return replace(seen, found={**seen.found, **kept}, sides=seen.sides | older.sides)


def fold(
    identity: Identity, reports: Sequence[Seen], timeline: Sequence[Seen], decided: Sequence[Artifact]
) -> Incident:
    """The incident as reports and decisions make it.

    Repaired, it is open again when a version from the one on that the decision speaks of has it. Accepted into a
    schema, it is open again when that schema or a later one still finds it. Of one version the report of the
    newest schema counts.

    Args:
        identity: Which anomaly.
        reports: All reports of the same table, schema and environment; some have it.
        timeline: Of these, one a version, by version.
        decided: The decisions, oldest first.
    """
    key = identity.feature, identity.type, identity.rule
    sightings = sorted((s for s in reports if key in s.found), key=Seen.order)
    looked = [s for s in timeline if key in s.found or s.looked_for(identity.type, identity.rule)]
    having = [s for s in looked if key in s.found]
    decisions = tuple(_decision(a) for a in decided)
    # An assignment says nothing about the anomaly itself.
    deeds = [d for d in decisions if d.action != "assign"]
    newest = deeds[-1] if deeds else None
    is_back = newest is not None and any(newest.broken_by(s) for s in having)
    state: State = "open" if newest is None or is_back else newest.state
    last = having[-1] if having else sightings[-1]
    without = [s for s in looked if key not in s.found and (not having or s.version > last.version)]
    clean = without[0] if state == "open" and without else None
    return Incident(
        id=identity.id,
        identity=identity,
        state=state,
        owner=(decisions[-1].owner if decisions else None) or None,
        note=next((d.note for d in reversed(decisions) if d.note), ""),
        link=newest.link if newest is not None else None,
        first=sightings[0].version,
        last=last.version,
        n_versions=len({s.version for s in sightings}),
        reopened=sum(
            any(d.broken_by(s) and s.version < _end(deeds, n) for s in having) for n, d in enumerate(deeds)
        ),
        clean=None if clean is None else clean.version,
        repaired_by=None if clean is None else _repaired_by(clean, sightings[-1]),
        severity=last.found[key],
        decisions=decisions,
    )


def _repaired_by(clean: Seen, last: Seen) -> str:
    """What seems to have repaired it: a later version of the table, or of the schema."""
    if clean.version > last.version or clean.schema_version <= last.schema_version:
        return ref_of(clean.table, clean.version)
    return f"schema:{clean.schema}@{clean.schema_version}"


def ref_of(table: str, version: int) -> str:
    """The reference of a version of a table or view.

    Example:
        >>> ref_of("flights", 12), ref_of("view:daily", 3)
        ('table:flights@12', 'view:daily@3')
    """
    return f"{table}@{version}" if table.startswith("view:") else f"table:{table}@{version}"


def _end(deeds: Sequence[Decision], n: int) -> float:
    """The version from which on the next repair speaks."""
    later = [d.holds_from for d in deeds[n + 1 :] if d.state == "fixed"]
    return later[0] if later else float("inf")


def _decision(artifact: Artifact) -> Decision:
    said: Any = artifact.get
    return Decision(
        action=said("action"),
        number=said("number"),
        state=said("state"),
        owner=said("owner") or None,
        note=said("note") or "",
        link=said("link"),
        holds_from=said("holds_from"),
        schema_version=said("schema_version") or 0,
        principal=said("principal") or "",
        at=said("at"),
        ref=f"artifact:{artifact.uid}",
    )


def _side_of(type_: str, rule: str) -> str | None:
    """The comparison an anomaly comes from; None when it comes from none."""
    if not type_.startswith("COMPARATOR_"):
        return None
    return next((side for word, side in _SPEAKS_OF.items() if word in rule), None)


def schema_of(label: str) -> tuple[str, int]:
    """``("flights", 2)`` of ``schema:flights@2``; a digest is its own name."""
    if not label.startswith("schema:"):
        return label, 0
    ref = Ref.parse(label)
    return ref.name, ref.number or 0


def number_of(artifact: Artifact) -> int:
    """The place of a decision among those about its incident."""
    number = artifact.get("number")
    assert isinstance(number, int)
    return number


__all__ = [
    "Action",
    "Decision",
    "Identity",
    "Incident",
    "Seen",
    "State",
    "fold",
    "found_in",
    "number_of",
    "ref_of",
    "schema_of",
    "timeline_of",
]
