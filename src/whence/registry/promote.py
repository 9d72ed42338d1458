"""A gate: an alias moves to a candidate when a stated rule says it is better, and the evidence is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whence.errors import NotFoundError, UsageError
from whence.registry.models import Models
from whence.registry.types import AliasMove, ModelVersion


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


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a gate decided, and on what evidence.

    Attributes:
        promoted: Whether the alias moved.
        champion: What the alias pointed at before; None when nothing.
        values: The deciding metric of both, by version.
        gain: By how much the candidate is better; None without a champion.
        reason: The decision in words, as it stands in the history.
    """

    promoted: bool
    rule: Rule
    candidate: ModelVersion
    champion: ModelVersion | None
    values: Mapping[int, float]
    gain: float | None
    reason: str
    move: AliasMove | None = None


def promote(
    models: Models,
    name: str,
    candidate: int,
    rule: Rule,
    *,
    alias: str = "champion",
    evidence: Mapping[int, float] | None = None,
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

    Raises:
        NotFoundError: No such model or version, or a version has no such metric (``metric-not-found``).
        ConflictError: The alias was moved meanwhile (``alias-moved``).

    Records:
        One execution ``set_alias`` when it moves, with the rule and both values as its reason.
    """
    challenger = models.get(f"{name}@{candidate}")
    held = models.aliases(name).get(alias)
    champion = None if held is None else models.get(f"{name}@{held}")
    values = {v.version: _value(v, rule, evidence) for v in (champion, challenger) if v is not None}
    gain = None if champion is None else rule.gain(values[champion.version], values[challenger.version])
    better = gain is None or gain >= rule.min_gain
    reason = _reason(rule, challenger, champion, values, better=better)
    already = champion is not None and champion.version == challenger.version
    move = None
    if better and not already:
        move = models.set_alias(name, alias, challenger, expected=held, reason=reason)
    return Promotion(move is not None, rule, challenger, champion, values, gain, reason, move)


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


def _reason(
    rule: Rule,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    values: Mapping[int, float],
    *,
    better: bool,
) -> str:
    mine = f"{candidate.ref} has {values[candidate.version]:.6g}"
    if champion is None:
        return f"{rule}: {mine}, there was no champion"
    other = f"{champion.ref} has {values[champion.version]:.6g}"
    return f"{rule}: {mine}, {other}: {'better' if better else 'not better'}"
