"""A gate: an alias moves to a candidate when a stated rule says it is better, and the evidence is kept.

The decision is an execution ``promote``. It is written in this order: the intent; what the model was trained
on is held; the alias moves, if it still points where it did when the two were compared; the decision. Killed
in between and called again under its key, it goes on: an alias that it has moved itself is not taken for
another's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import pyarrow as pa

from whence._base.crash import crash_point, register
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.lake import Lake, TableVersion
from whence.metadata import Artifact, Execution, Recording, Type, Value, declare_types
from whence.metadata.ambient import current_allowance
from whence.metadata.marks import marks_on_artifacts
from whence.registry.models import Models
from whence.registry.paired import PairedRule
from whence.registry.training import hold_training
from whence.registry.types import AliasMove, ModelVersion

JUDGED: Final = register(
    "registry.promote.judged", "a promotion is decided, nothing is held and no alias moved"
)
HELD: Final = register(
    "registry.promote.held", "the rows of the candidate are held, the alias stands where it was"
)
MOVED: Final = register("registry.promote.moved", "the alias has moved, the decision is not closed")

PROMOTE_TYPE: Final = Type(
    "execution",
    "promote",
    {
        "model": "STRING",
        "alias": "STRING",
        "candidate": "INT",
        "champion": "INT",
        "promoted": "BOOLEAN",
        "rule": "STRUCT",
        "decision": "STRUCT",
        "reason": "STRING",
        "holds": "STRUCT",
        "move": "INT",
    },
    description="whether an alias goes to a candidate: the rule, what was measured on which rows, the decision",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """When a candidate is better than the champion.

    Attributes:
        metric: The metric that decides.
        higher_is_better: Its direction.
        min_gain: By how much the candidate must be better; equal is enough at 0.

    Example:
        >>> str(Rule("auc", min_gain=0.01)), Rule("log_loss", higher_is_better=False).gain(0.5, 0.25)
        ('auc higher by at least 0.01', 0.25)
    """

    metric: str
    higher_is_better: bool = True
    min_gain: float = 0.0

    def __post_init__(self) -> None:
        if not self.min_gain >= 0:
            raise UsageError(f"min_gain must be at least 0, got {self.min_gain}", code="bad-rule")

    def __str__(self) -> str:
        return f"{self.metric} {'higher' if self.higher_is_better else 'lower'} by at least {self.min_gain:g}"

    def gain(self, champion: float, candidate: float) -> float:
        """By how much the candidate is better; negative when it is worse."""
        return candidate - champion if self.higher_is_better else champion - candidate

    def to_dict(self) -> dict[str, Value]:
        """The rule as plain values."""
        return {"metric": self.metric, "higher_is_better": self.higher_is_better, "min_gain": self.min_gain}


AnyRule: TypeAlias = Rule | PairedRule


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a gate decided, and on what evidence.

    Attributes:
        promoted: Whether the alias moved.
        champion: What the alias pointed at before; None when nothing.
        values: The deciding metric of both, by version.
        gain: By how much the candidate is better; None without a champion.
        reason: The decision in words, as it stands in the history.
        interval: Where the gain lies, when the rule says how sure it must be.
        n_rows: How many rows were judged by, when they were given.
        execution: The execution ``promote``.
        tainted_by: The marks that reach the candidate or the rows it was judged on: it is not promoted while any is
            in force, unless that is allowed (`whence.metadata.allowing_tainted`).
    """

    promoted: bool
    rule: AnyRule
    candidate: ModelVersion
    champion: ModelVersion | None
    values: Mapping[int, float]
    gain: float | None
    reason: str
    move: AliasMove | None = None
    interval: tuple[float, float] | None = None
    n_rows: int | None = None
    execution: str | None = None
    tainted_by: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Value]:
        """The decision as plain values, for ``--json``."""
        return {
            "promoted": self.promoted,
            "rule": str(self.rule),
            "candidate": self.candidate.ref,
            "champion": None if self.champion is None else self.champion.ref,
            "values": {str(version): value for version, value in self.values.items()},
            "gain": self.gain,
            "interval": None if self.interval is None else list(self.interval),
            "n_rows": self.n_rows,
            "reason": self.reason,
            "execution": self.execution,
            "tainted_by": list(self.tainted_by),
        }


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a rule says of a champion and a candidate."""

    better: bool
    values: Mapping[int, float]
    gain: float | None = None
    interval: tuple[float, float] | None = None
    n_rows: int | None = None
    facts: Mapping[str, Value] | None = None


_Judge: TypeAlias = Callable[[ModelVersion | None, ModelVersion], _Judged]


def promote(
    models: Models,
    name: str,
    candidate: int,
    rule: Rule,
    *,
    alias: str = "champion",
    evidence: Mapping[int, float] | None = None,
    lake: Lake | None = None,
    key: str | None = None,
) -> Promotion:
    """Move an alias to a candidate if the rule says that it is better than what the alias points at.

    Without a champion the candidate becomes it. The alias moves only if it still points where it did when
    the two were compared.

    Args:
        models: The registered models.
        name: The registered model.
        candidate: The version that wants the alias.
        rule: When it is better.
        alias: The alias.
        evidence: The deciding metric by version, measured on the same data; by default what the
            versions were registered with.
        lake: The tables; given, those the candidate was trained on are held before the alias moves.
        key: The same decision under the same key is made once; inside an execution that has one, its own.

    Raises:
        NotFoundError: No such model or version, or a version has no such metric (``metric-not-found``).
        ConflictError: The alias was moved meanwhile (``alias-moved``).

    Records:
        One execution ``promote`` with both versions as inputs, rule, values and decision; inside it one
        ``set_alias`` when the alias moves, with the rule and both values as its reason.
    """

    def judge(champion: ModelVersion | None, challenger: ModelVersion) -> _Judged:
        both = [v for v in (champion, challenger) if v is not None]
        values = {v.version: _value(v, rule, evidence) for v in both}
        if champion is None:
            return _Judged(better=True, values=values)
        gain = rule.gain(values[champion.version], values[challenger.version])
        return _Judged(better=gain >= rule.min_gain, values=values, gain=gain)

    return _decide(models, lake, name, candidate, rule, judge, alias=alias, key=key)


def promote_paired(
    models: Models,
    lake: Lake,
    name: str,
    candidate: int,
    rule: PairedRule,
    scores: TableVersion,
    *,
    champion: str = "champion",
    challenger: str = "challenger",
    label: str = "label",
    group: str | None = None,
    alias: str = "champion",
    key: str | None = None,
) -> Promotion:
    """Move an alias to a challenger that is better on rows both have answered.

    Without a champion the challenger becomes it. The tables the challenger was trained on are held before
    the alias moves; it moves only if it still points where it did when the two were compared.

    Args:
        models: The registered models.
        lake: The tables.
        name: The registered model.
        candidate: The version that wants the alias.
        rule: When it is better.
        scores: The rows: for each the answers of both, and the truth.
        champion: The column with the champion's answers.
        challenger: The column with the candidate's answers.
        label: The column with the truth, 0 or 1 or a boolean; rows without it are left out.
        group: The column of rows that are no independent evidence, such as the day.
        alias: The alias.
        key: The same decision under the same key is made once; inside an execution that has one, its own.

    Raises:
        NotFoundError: No such model, version or column; or a table the candidate was trained on is gone.
        UsageError: The rows cannot be judged by (``too-few-rows``, ``bad-scores``, ``bad-labels``).
        ConflictError: The alias was moved meanwhile (``alias-moved``).

    Records:
        One execution ``promote``: the versions and `scores` as inputs; rule, number of rows, both values,
        gain and interval. Inside it one ``set_alias`` when the alias moves.
    """
    wanted = [champion, challenger, label, *([] if group is None else [group])]
    for column in wanted:
        if column not in scores.schema.names:
            raise NotFoundError("column", column, near=scores.schema.names, hint=f"{scores.ref} is judged by")

    def judge(held: ModelVersion | None, version: ModelVersion) -> _Judged:
        rows: pa.Table = scores.arrow(columns=list(dict.fromkeys(wanted)))
        found = rule.judge(
            rows[label], rows[champion], rows[challenger], groups=None if group is None else rows[group]
        )
        if held is None:
            return _Judged(
                True, {version.version: found.challenger}, n_rows=found.n_rows, facts=found.to_dict()
            )
        values = {held.version: found.champion, version.version: found.challenger}
        return _Judged(found.better, values, found.gain, found.interval, found.n_rows, found.to_dict())

    return _decide(
        models, lake, name, candidate, rule, judge, alias=alias, key=key, evidence=[(scores.artifact(), ("scores",))]
    )  # fmt: skip


def _decide(
    models: Models,
    lake: Lake | None,
    name: str,
    candidate: int,
    rule: AnyRule,
    judge: _Judge,
    *,
    alias: str,
    key: str | None,
    evidence: Sequence[tuple[Artifact, tuple[str | int, ...]]] = (),
) -> Promotion:
    challenger = models.get(f"{name}@{candidate}")
    declare_types(models.recorder.store, (PROMOTE_TYPE,))
    outer = models.recorder.current()
    if key is None and outer is not None and outer.execution.name is not None:
        key = f"{outer.uid}/{name}@{alias}/{candidate}"
    done = None if key is None else models.recorder.find_complete("promote", key)
    if done is not None:
        return _recorded(models, done, rule, challenger)
    told: dict[str, Value] = {
        "model": name, "alias": alias, "candidate": candidate, "rule": {"text": str(rule), **rule.to_dict()},
    }  # fmt: skip
    inputs = [(models.artifact(challenger), ("candidate",)), *evidence]
    with models.recorder.execution(
        "promote", key=key, properties=told, inputs=inputs, looks=True
    ) as recording:
        found = _judged(models, recording, name, alias, challenger, rule, judge)
        found = _untainted(models, found, [artifact for artifact, _ in inputs])
        if outer is not None and found.champion is not None:
            outer.input(models.artifact(found.champion), path=("champion",), looks=True)
        crash_point(JUDGED)
        if found.promoted:
            found = _moved(models, lake, recording, found, alias)
            crash_point(MOVED)
        recording.set(
            promoted=found.promoted,
            champion=None if found.champion is None else found.champion.version,
            decision=found.to_dict(),
            reason=found.reason,
            tainted_by=list(found.tainted_by) or None,
            move=None if found.move is None else found.move.number,
        )
    return replace(found, execution=recording.ref)


def _judged(
    models: Models,
    recording: Recording,
    name: str,
    alias: str,
    challenger: ModelVersion,
    rule: AnyRule,
    judge: _Judge,
) -> Promotion:
    """What the rule says now, or said before this decision moved the alias and was killed."""
    held = models.aliases(name).get(alias)
    own = _own_move(models, recording, name, alias)
    if own is not None:
        held = own.previous
    champion = None if held is None else models.get(f"{name}@{held}")
    if champion is not None:
        recording.input(models.artifact(champion), path=("champion",))
    found = judge(champion, challenger)
    already = champion is not None and champion.version == challenger.version
    return Promotion(
        promoted=found.better and not already,
        rule=rule,
        candidate=challenger,
        champion=champion,
        values=found.values,
        gain=found.gain,
        reason=_reason(rule, challenger, champion, found),
        move=own,
        interval=found.interval,
        n_rows=found.n_rows,
        execution=recording.ref,
    )


def _untainted(models: Models, found: Promotion, read: Sequence[Artifact]) -> Promotion:
    """The gate every rule has besides: what was marked bad, or made from it, gets no alias."""
    store = models.recorder.store
    marks = marks_on_artifacts(store, read) if store.has_marks() else []
    if not marks:
        return found
    told = "; ".join(f"{m.reason} (mark {m.id})" for m in marks)
    allowed = current_allowance()
    numbers = tuple(m.id or 0 for m in marks)
    if allowed is not None:
        return replace(
            found, tainted_by=numbers, reason=f"{found.reason}; tainted, allowed: {allowed}: {told}"
        )
    return replace(
        found, promoted=False, tainted_by=numbers, reason=f"{found.reason}; not promoted, tainted: {told}"
    )


def _moved(
    models: Models, lake: Lake | None, recording: Recording, found: Promotion, alias: str
) -> Promotion:
    if lake is not None:
        holds = hold_training(models, lake, found.candidate)
        recording.set(holds=[f"table:{h.table}@{h.version}" for h in holds])
    crash_point(HELD)
    if found.move is not None:
        return found
    expected = None if found.champion is None else found.champion.version
    move = models.set_alias(
        found.candidate.name, alias, found.candidate, expected=expected, reason=found.reason
    )
    return replace(found, move=move)


def _own_move(models: Models, recording: Recording, name: str, alias: str) -> AliasMove | None:
    """The last move of the alias, if an earlier attempt of this very decision made it."""
    history = models.alias_history(name, alias)
    if not history:
        return None
    nodes = models.recorder.store.get_nodes("execution", uids=[history[-1].execution])
    own = nodes and isinstance(nodes[0], Execution) and nodes[0].get("parent") == recording.uid
    return history[-1] if own else None


def _recorded(models: Models, done: Execution, rule: AnyRule, challenger: ModelVersion) -> Promotion:
    """The decision that was made under this key."""
    if done.get("candidate") != challenger.version:
        raise ConflictError(
            f"{done.get('model')}@{done.get('candidate')} was judged under this key, not {challenger.ref}",
            code="promotion-key",
            hint="give another key",
        )
    decision, number, held = done.get("decision"), done.get("move"), done.get("champion")
    assert isinstance(decision, Mapping)
    values, interval, gain, n_rows = (decision.get(k) for k in ("values", "interval", "gain", "n_rows"))
    moves = models.alias_history(challenger.name, str(done.get("alias")))
    return Promotion(
        promoted=bool(done.get("promoted")),
        rule=rule,
        candidate=challenger,
        champion=models.get(f"{challenger.name}@{held}") if isinstance(held, int) else None,
        values={int(k): _float(v) for k, v in values.items()} if isinstance(values, Mapping) else {},
        gain=None if gain is None else _float(gain),
        reason=str(done.get("reason")),
        move=next((m for m in moves if m.number == number), None),
        interval=_pair(interval),
        n_rows=n_rows if isinstance(n_rows, int) else None,
        execution=f"execution:{done.uid}",
        tainted_by=tuple(n for n in _listed(decision.get("tainted_by")) if isinstance(n, int)),
    )


def _listed(value: Value) -> Sequence[Value]:
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()


def _pair(value: Value) -> tuple[float, float] | None:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 2:
        return _float(value[0]), _float(value[1])
    return None


def _float(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _value(version: ModelVersion, rule: Rule, evidence: Mapping[int, float] | None) -> float:
    known = version.metrics.get(rule.metric) if evidence is None else evidence.get(version.version)
    if known is None or known != known:  # NaN decides nothing
        raise NotFoundError(
            "metric",
            f"{rule.metric} of {version.ref}",
            near=[f"{key} of {version.ref}" for key in version.metrics],
            hint="register the version with it, or hand it in as evidence",
        )
    return float(known)


def _reason(rule: AnyRule, candidate: ModelVersion, champion: ModelVersion | None, found: _Judged) -> str:
    mine = f"{candidate.ref} has {found.values[candidate.version]:.6g}"
    rows = "" if found.n_rows is None else f" on {found.n_rows} rows"
    if champion is None:
        return f"{rule}: {mine}{rows}, there was no champion"
    other = f"{champion.ref} has {found.values[champion.version]:.6g}"
    between = ""
    if found.interval is not None:
        between = f", gain {found.gain:.3g} in [{found.interval[0]:.3g}, {found.interval[1]:.3g}]"
    return f"{rule}: {mine}, {other}{rows}{between}: {'better' if found.better else 'not better'}"


__all__ = ["AnyRule", "Promotion", "Rule", "promote", "promote_paired"]
