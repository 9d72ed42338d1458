"""What `bisect` answers: ingredients, what swapping each did, and which of them made the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from whence.metadata.types import Value

IngredientKind: TypeAlias = Literal["data", "code", "parameters", "environment"]
IngredientState: TypeAlias = Literal["same", "swapped", "impossible"]

DECISIVE: Final = 0.5
"""The share of the whole difference from which on an ingredient is said to have made it."""


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One ingredient, and what swapping it did.

    Attributes:
        kind: Which.
        state: ``same`` in both runs; ``swapped`` at least one way; or ``impossible``.
        b_with_a: The metric of b made with this one of a; None when that cannot be done.
        a_with_b: The metric of a made with this one of b.
        contribution: What it does to the metric on the way from a to b: the mean of the ways that could
            be gone.
        details: What differs.
        reason: Why a way could not be gone.
    """

    kind: IngredientKind
    state: IngredientState
    b_with_a: float | None = None
    a_with_b: float | None = None
    contribution: float | None = None
    details: tuple[str, ...] = ()
    reason: str = ""

    def to_dict(self) -> dict[str, Value]:
        """The ingredient as plain values."""
        return {
            "kind": self.kind,
            "state": self.state,
            "b_with_a": self.b_with_a,
            "a_with_b": self.a_with_b,
            "contribution": self.contribution,
            "details": list(self.details),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Bisection:
    """The answer of `bisect`.

    Attributes:
        a, b: The models.
        metric: What was measured.
        on: The rows they answered.
        n_rows: How many had a label.
        value_a, value_b: The metric of each, as they were recorded.
        ingredients: Data, code, parameters, environment.
    """

    a: str
    b: str
    metric: str
    on: str
    n_rows: int
    value_a: float
    value_b: float
    ingredients: tuple[Ingredient, ...]
    execution: str | None = None

    @property
    def difference(self) -> float:
        """B minus a."""
        return self.value_b - self.value_a

    @property
    def made(self) -> tuple[IngredientKind, ...]:
        """The ingredients that made at least half of the difference, the largest first."""
        known = [i for i in self.ingredients if i.contribution is not None and i.state == "swapped"]
        enough = [
            i for i in known if self.difference and (i.contribution or 0.0) / self.difference >= DECISIVE
        ]
        return tuple(i.kind for i in sorted(enough, key=lambda i: -abs(i.contribution or 0.0)))

    @property
    def together(self) -> float:
        """What is left of the difference: ingredients that act only together, or could not be swapped."""
        return self.difference - sum(i.contribution or 0.0 for i in self.ingredients)

    def verdict(self) -> str:
        """Which of them made the difference, in words."""
        swapped = [i for i in self.ingredients if i.state != "same"]
        if not swapped:
            same = "nothing that is recorded differs"
            return (
                same if not self.difference else f"{same}, and yet the models do: a step is not deterministic"
            )
        if not self.difference:
            return "the models do not differ on these rows"
        if self.made:
            return f"{' and '.join(self.made)} made the difference"
        impossible = [i.kind for i in swapped if i.state == "impossible"]
        rest = f"; {', '.join(impossible)} could not be swapped" if impossible else ""
        return f"no single ingredient made the difference{rest}"

    def text(self) -> str:
        """The bisection for a person."""
        head = f"{self.a} → {self.b}, {self.metric} on {self.n_rows} rows of {self.on}"
        lines = [f"{head}: {self.value_a:.6g} → {self.value_b:.6g} ({self.difference:+.3g})"]
        for i in self.ingredients:
            lines.append(f"  {i.kind:<12}{_ingredient_text(i, self.difference)}")
            lines += [f"    {detail}" for detail in i.details]
        lines.append(f"  {'together':<12}{self.together:+.3g}")
        return "\n".join([*lines, self.verdict()])

    def to_dict(self) -> dict[str, Value]:
        """The bisection as plain values, for ``--json``."""
        return {
            "a": self.a,
            "b": self.b,
            "metric": self.metric,
            "on": self.on,
            "n_rows": self.n_rows,
            "value_a": self.value_a,
            "value_b": self.value_b,
            "difference": self.difference,
            "ingredients": [i.to_dict() for i in self.ingredients],
            "together": self.together,
            "made": list(self.made),
            "verdict": self.verdict(),
            "execution": self.execution,
        }


def _ingredient_text(i: Ingredient, difference: float) -> str:
    if i.state == "same":
        return "same"
    if i.contribution is None:
        return f"impossible: {i.reason}"
    ways = [("b with a's", i.b_with_a), ("a with b's", i.a_with_b)]
    told = ", ".join(f"{way} {value:.6g}" for way, value in ways if value is not None)
    share = f" ({i.contribution / difference:.0%})" if difference else ""
    return f"{i.contribution:+.3g}{share}: {told}" + (f"; {i.reason}" if i.reason else "")


__all__ = ["Bisection", "Ingredient", "IngredientKind", "IngredientState"]
