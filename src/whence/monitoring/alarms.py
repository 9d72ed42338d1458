"""When a stream of measures opens an alert, and when it falls back: evidence, effect, and a budget of false alarms.

A budget of b false alarms a year is shared out over groups of streams, then evenly over the streams of a
group, then in halves to two rules:

    jump   the p-value of one window among all before it is at most  (share of the stream) / (windows a year)
    creep  S = (1 + S) e, with e made of the same p-value, reaches    (windows a year) / (share of the stream)

Both also want an effect. Under independent windows the first rule's expected number of false alarms is its
share exactly, and the second's mean time to one is at least what it should be.

Source:
    Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2022;
    the p-values are those of recursive residuals (`whence.stats.Running`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from whence.stats import BETS, Running, e_from_p, symmetric_bets

Verdict: TypeAlias = Literal["learning", "quiet", "opens", "open", "closes"]

ORDINARY: Final = 0.2
"""An open alert closes at a window whose p-value is above this: one in five ordinary windows is not."""

MIN_SEEN: Final = 8
"""A stream learns until it has seen so many windows."""

MAX_OPEN: Final = 28
"""Windows after which a feed's new level is taken as the ordinary one."""

MAX_DF: Final = 10
"""Days are not normal: their tails are taken to be those of Student's t with 10 degrees of freedom at most."""

DAYS_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class Budget:
    """What one stream may spend.

    Attributes:
        alpha: The p-value at which a single window is a jump.
        evidence: The sum of evidence at which many windows are a creep.

    Example:
        >>> share = Budget.share(1.5, n_streams=38, days=1)
        >>> round(share.alpha, 7), round(share.evidence)
        (5.4e-05, 18506)
    """

    alpha: float
    evidence: float

    @classmethod
    def share(cls, per_year: float, *, n_streams: int, days: int, rules: int = 2) -> Budget:
        """The share of one of `n_streams` streams with a window each `days` days."""
        looks = n_streams * DAYS_A_YEAR / days
        alpha = per_year / rules / looks
        return cls(alpha, 1 / alpha)


@dataclass
class Stream:
    """The memory of one stream; plain numbers, kept as JSON from run to run.

    Attributes:
        seen: Mean and spread of the windows that were ordinary.
        evidence: The e-detector's sum.
        rising: The window since which the evidence has not been below 1.
        open: The uid of the alert that is open.
        windows_open: For how many windows it is.
        calm: How many of the newest were ordinary.
        level: Where the next window is expected, for streams that are compared with their own past.
        most: The largest share seen, for streams of facts.
        bets: The sums of `symmetric_bets`, for streams that are compared with 0.
        recent: The newest values, oldest first.
    """

    seen: Running = field(default_factory=Running)
    evidence: float = 0.0
    rising: int | None = None
    open: str | None = None
    windows_open: int = 0
    calm: int = 0
    level: float | None = None
    most: float = 0.0
    bets: tuple[float, ...] = ()
    recent: tuple[float, ...] = ()

    def to_list(self) -> list[Any]:
        """The memory as JSON."""
        return [
            self.seen.n, self.seen.mean, self.seen.m2, self.evidence, self.rising, self.open,
            self.windows_open, self.calm, self.level, self.most, list(self.bets), list(self.recent),
        ]  # fmt: skip

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> Stream:
        """The memory that `to_list` wrote."""
        n, mean, m2, evidence, rising, opened, windows, calm, level, most, bets, recent = data
        seen = Running(n, mean, m2)
        return cls(seen, evidence, rising, opened, windows, calm, level, most, tuple(bets), tuple(recent))

    @classmethod
    def learned(cls, values: Sequence[float]) -> Stream:
        """A stream that has seen these windows already."""
        seen = Running()
        for value in values:
            seen = seen.add(value)
        return cls(seen)

    # --- against a reference, or its own past

    def judge(
        self, x: float, p: float, budget: Budget, *, at: int, effect: bool, calm: int = 1, told: bool = False,
        max_open: int | None = None,
    ) -> Verdict:  # fmt: skip
        """Take one more window in.

        Args:
            x: Its value, on a scale where ordinary windows scatter evenly.
            p: How unusual it is among those seen.
            budget: What the stream may spend.
            at: Which window it is.
            effect: Whether it is large enough to matter.
            calm: So many ordinary windows in a row close an open alert.
            told: An alert on the same thing is open already; this one waits.
            max_open: After so many windows an open alert closes, and what is now is ordinary.
        """
        if self.open is not None:
            return self._stay(x, p, calm, max_open)
        if self.seen.n < MIN_SEEN:
            self.seen = self.seen.add(x)
            return "learning"
        if self.evidence < 1:
            self.rising = at
        self.evidence = min((1 + self.evidence) * e_from_p(p), 1e300)
        if effect and (p <= budget.alpha or self.evidence >= budget.evidence):
            if told:
                self.evidence = 0.0
                return "quiet"
            self.windows_open, self.calm = 1, 0
            return "opens"
        self.seen = self.seen.add(x)
        return "quiet"

    def _stay(self, x: float, p: float, calm: int, max_open: int | None) -> Verdict:
        self.windows_open += 1
        self.calm = self.calm + 1 if p > ORDINARY else 0
        if self.calm >= calm:
            self.rest()
            self.seen = self.seen.add(x)
            return "closes"
        if max_open is not None and self.windows_open > max_open:
            self.rest()
            self.level = None
            self.seen = Running().add(0.0)
            return "closes"
        return "open"

    def follow(self, x: float, share: float) -> None:
        """Let the expected level go a share of the way to a new value; without one, it is that value."""
        self.level = x if self.level is None else self.level + share * (x - self.level)

    def rest(self) -> None:
        """Begin anew: no alert is open, no evidence counts."""
        self.open, self.evidence, self.rising, self.windows_open, self.calm = None, 0.0, None, 0, 0
        self.bets, self.recent = (), ()

    # --- facts: what should not happen at all

    def judge_fact(self, share: float, *, tolerance: float, some: bool = True) -> Verdict:
        """Take in a share of rows that should be none: an alert above twice the most seen and `tolerance`.

        `some` says whether they are enough rows to speak of.
        """
        limit = self.limit(tolerance)
        if self.open is not None:
            self.windows_open += 1
            if share <= limit:
                self.rest()
                return "closes"
            return "open"
        if self.seen.n < MIN_SEEN:
            self.most = max(self.most, share)
            self.seen = self.seen.add(share)
            return "learning"
        if share > limit and some:
            self.windows_open = 1
            return "opens"
        self.most = max(self.most, share)
        self.seen = self.seen.add(share)
        return "quiet"

    def limit(self, tolerance: float) -> float:
        """The share above which a fact is one too many."""
        return 2 * self.most + tolerance

    # --- against zero

    def judge_zero(self, x: float, budget: Budget, *, at: int, memory: int = 28) -> Verdict:
        """Take in a number that is 0 on average or below, if nothing is wrong.

        Opens when bets on its being above 0 have won enough; closes when the last seven are 0 or below on
        average.
        """
        self.recent = (*self.recent, x)[-memory:]
        if self.open is not None:
            self.windows_open += 1
            last = self.recent[-7:]
            if self.windows_open > 7 and sum(last) / len(last) <= 0:
                self.rest()
                return "closes"
            return "open"
        if self.evidence < 1:
            self.rising = at
        before = self.bets or (0.0,) * len(BETS)
        self.bets = tuple(min((1 + s) * e, 1e300) for s, e in zip(before, symmetric_bets(x), strict=True))
        self.evidence = sum(self.bets) / len(self.bets)
        if self.evidence >= budget.evidence:
            self.windows_open = 1
            return "opens"
        return "quiet"


def streams_to_json(streams: Mapping[str, Stream]) -> dict[str, Any]:
    """All memories as JSON."""
    return {name: stream.to_list() for name, stream in streams.items()}


def streams_from_json(data: Mapping[str, Any]) -> dict[str, Stream]:
    """The memories that `streams_to_json` wrote."""
    return {name: Stream.from_list(values) for name, values in data.items()}
