"""After a promotion: is what answers now what was decided, byte for byte, and can it be made again.

The decision and the deed are two things, and between them lie a registry, a blob store and a loader. Each is
looked at once more, from the outside, and what was seen is kept as a report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from whence._base.digest import canonical_json
from whence.errors import IntegrityError, NotFoundError, WhenceError
from whence.lake import TableVersion
from whence.metadata import Artifact, Type, Value, declare_types
from whence.pipelines.base import Rooms
from whence.pipelines.types import Report
from whence.registry import ModelVersion, Promotion, missing_holds, training_tables
from whence.serving import open_scorer

VERIFY_TYPE: Final = Type(
    "execution",
    "verify_promotion",
    {"model": "STRING", "alias": "STRING", "ok": "BOOLEAN", "checks": "STRUCT"},
    description="whether what answers after a promotion is what was decided",
)
_REPORT: Final = Type("artifact", "Report", {"digest": "STRING", "media_type": "STRING"})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    text: str

    def to_dict(self) -> dict[str, Value]:
        """The check as plain values."""
        return {"name": self.name, "ok": self.ok, "text": self.text}


@dataclass(frozen=True, slots=True)
class Verification:
    """What was seen after a promotion.

    Attributes:
        model: The version that is to answer.
        alias: Under which alias.
        checks: ``alias``, ``bytes``, ``scores``, ``training``, in this order; what does not apply is left out.
        execution: The execution that looked.
        ref: The report that was kept, ``blob:sha256:…``.
    """

    model: str
    alias: str
    checks: tuple[Check, ...]
    execution: str | None = None
    ref: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def text(self) -> str:
        """The verification for a person."""
        head = f"{self.model} as {self.alias}: {'as decided' if self.ok else 'NOT as decided'}"
        return "\n".join([head, *(f"  {'ok' if c.ok else 'FAILS'} {c.name}: {c.text}" for c in self.checks)])

    def to_dict(self) -> dict[str, Value]:
        """The verification as plain values, as its report holds it."""
        return {
            "model": self.model,
            "alias": self.alias,
            "ok": self.ok,
            "checks": [check.to_dict() for check in self.checks],
        }

    def report(self) -> Report:
        """The verification as the output of a step."""
        return Report(canonical_json(self.to_dict()), media_type="application/json", name="verification")

    def require(self) -> Verification:
        """It, if every check holds.

        Raises:
            IntegrityError: One does not (``promotion-not-verified``).
        """
        if not self.ok:
            failed = "; ".join(f"{c.name}: {c.text}" for c in self.checks if not c.ok)
            raise IntegrityError(
                f"{self.model} does not answer as {self.alias} as was decided: {failed}",
                code="promotion-not-verified",
                hint=f"roll it back: whence models rollback {self.model.removeprefix('model:').partition('@')[0]} {self.alias}",
                details=dict(self.to_dict()),
            )
        return self


def verify_promotion(
    rooms: Rooms,
    promotion: Promotion,
    rows: pa.Table | TableVersion | None = None,
    *,
    score: str = "challenger",
    alias: str = "champion",
    k: int = 100,
    trust: Sequence[str] = (),
) -> Verification:
    """Look at what answers after a promotion, from the outside.

    *alias*: it points at the version that was decided for (the candidate, or still the champion).
    *bytes*: the blob of that version has its digest. And when the candidate was promoted, *scores*: loaded
    anew, it gives k of the rows, evenly spread, the very float they were given in shadow; and *training*:
    what it was made from is there and held.

    Args:
        rooms: The workspace.
        promotion: What `promote` or `promote_paired` gave.
        rows: Rows the candidate has answered, with every column of its signature and the answer.
        score: The column with the answer.
        alias: The alias.
        k: How many rows to ask again.
        trust: Types to trust when the model is loaded.

    Raises:
        NotFoundError: `rows` lack a column of the signature or `score` (``column-not-found``).

    Records:
        One execution ``verify_promotion`` that reads the model (and `rows`, when they are a version) and
        writes a ``Report``.
    """
    target = promotion.candidate if promotion.promoted else promotion.champion
    if target is None:
        raise NotFoundError("champion", f"{promotion.candidate.name}@{alias}", hint="nothing was promoted")
    declare_types(rooms.recorder.store, (VERIFY_TYPE, _REPORT))
    inputs = [(rooms.models.artifact(target), ("model",))]
    if isinstance(rows, TableVersion):
        inputs.append((rows.artifact(), ("rows",)))
    properties: dict[str, Value] = {"model": target.ref, "alias": alias}
    with rooms.recorder.execution(
        "verify_promotion", properties=properties, inputs=inputs, looks=True
    ) as recording:
        checks = [
            _check("alias", lambda: _alias(rooms, target, alias)),
            _check("bytes", lambda: _bytes(rooms, target)),
        ]
        if promotion.promoted:
            if rows is not None:
                table = _columns(target, rows, score)
                checks.append(_check("scores", lambda: _scores(rooms, target, table, score, k, trust)))
            checks.append(_check("training", lambda: _training(rooms, target)))
        found = Verification(target.ref, alias, tuple(checks), recording.ref)
        digest = rooms.blobs.put(found.report().data)
        facts: dict[str, Value] = {"digest": digest, "media_type": "application/json"}
        recording.output(
            Artifact(type="Report", name=f"{recording.uid}/0", uri=f"blob:{digest}", properties=facts),
            path=("report", 0),
        )
        recording.set(ok=found.ok, checks=[c.to_dict() for c in checks])
    return Verification(target.ref, alias, found.checks, recording.ref, f"blob:{digest}")


def _check(name: str, look: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *look())
    except WhenceError as error:
        return Check(name, False, error.message)


def _alias(rooms: Rooms, target: ModelVersion, alias: str) -> tuple[bool, str]:
    held = rooms.models.aliases(target.name).get(alias)
    return held == target.version, f"{target.name}@{alias} is version {held}, decided was {target.version}"


def _bytes(rooms: Rooms, target: ModelVersion) -> tuple[bool, str]:
    return True, f"{len(rooms.models.read(target))} bytes of {target.digest}"


def _training(rooms: Rooms, target: ModelVersion) -> tuple[bool, str]:
    missing = missing_holds(rooms.models, rooms.lake, target)
    names = ", ".join(f"table:{node.name}" for node in training_tables(rooms.models, target))
    return not missing, "; ".join(missing) or (f"{names} held" if names else "made from no table")


def _columns(target: ModelVersion, rows: pa.Table | TableVersion, score: str) -> pa.Table:
    table = rows.arrow() if isinstance(rows, TableVersion) else rows
    wanted = [*(() if target.signature is None else target.signature.names), score]
    for name in wanted:
        if name not in table.column_names:
            raise NotFoundError("column", name, near=table.column_names)
    return table


def _scores(
    rooms: Rooms, target: ModelVersion, table: pa.Table, score: str, k: int, trust: Sequence[str]
) -> tuple[bool, str]:
    picked = np.unique(np.linspace(0, max(table.num_rows - 1, 0), min(k, table.num_rows)).astype(np.int64))
    chosen = table.take(pa.array(picked))
    scorer = open_scorer(rooms.models, target, trust=trust)
    candidates = [c for c in table.column_names if c != score]
    again = scorer.score(scorer.inputs(chosen, candidates))
    given = chosen[score].cast(pa.float64()).to_numpy(zero_copy_only=False)
    n_same = int((again.view(np.int64) == np.ascontiguousarray(given).view(np.int64)).sum())
    return n_same == len(picked) > 0, f"{n_same} of {len(picked)} stored answers are given again, bit for bit"


__all__ = ["Check", "Verification", "verify_promotion"]
