"""`bisect`: two models differ; which ingredient made the difference, data, code, parameters or environment.

Each ingredient is swapped alone, both ways: the run that made b with that one of a, and the run that made a
with that one of b. The models that come out answer the same rows, and the metric says what the swap did.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence._base.arrow import to_arrow
from whence._base.progress import progress
from whence._base.refs import Ref
from whence.errors import UsageError
from whence.lake import TableVersion
from whence.metadata import Artifact, Type, Value, declare_types
from whence.pipelines.base import Rooms
from whence.pipelines.bisection import Bisection, Ingredient, IngredientKind
from whence.pipelines.recipe import Dish, Kitchen, Recipe, environment_difference, installed_now, read_recipe
from whence.pipelines.remake import Impossible, Remaker
from whence.pipelines.reproduce import Reproducer
from whence.pipelines.types import Difference
from whence.registry import ModelVersion, load_skops
from whence.serving.scorer import Scorer
from whence.stats import auc, brier, log_loss

SWAPPED: Final[tuple[IngredientKind, ...]] = ("data", "code", "parameters")

NAMED: Final = 5
"""So many parts of a step's code are named; the others are counted."""

METRICS: Final[Mapping[str, Callable[..., float | None]]] = {"log_loss": log_loss, "brier": brier, "auc": auc}
BISECT_TYPE: Final = Type(
    "execution",
    "bisect",
    {"a": "STRING", "b": "STRING", "metric": "STRING", "answer": "STRUCT"},
    description="which ingredient made two models differ",
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the models answer: rows, labels, what they are called."""

    name: str
    table: pa.Table
    labels: npt.NDArray[np.float64]
    artifact: Artifact | None


class Bisector:
    """Finds what made two models differ.

    Args:
        rooms: The workspace.
        reproducer: Finds the step that made a model.
        remaker: Runs single steps again.
    """

    def __init__(self, rooms: Rooms, reproducer: Reproducer, remaker: Remaker) -> None:
        self._rooms = rooms
        self._reproducer = reproducer
        self._remaker = remaker

    def bisect(
        self,
        a: str,
        b: str,
        *,
        metric: str = "log_loss",
        on: TableVersion | pa.Table | str | None = None,
        label: str | None = None,
        trust: Sequence[str] = (),
    ) -> Bisection:
        """Swap data, code, parameters and environment of two models one at a time, and say what each did.

        A model's *data* are the versions of the tables its run read and did not write; *code* and *parameters*
        are those of the steps of the run, up to the one that made the model; the *environment* is interpreter
        and packages. Swapped alone in b's run, an ingredient contributes ``m(b) - m(b with a's)``; in a's run
        ``m(a with b's) - m(a)``; its contribution is the mean of the two. Steps run in what is installed
        here: when a run was made in another environment, it is made again here first and compared with
        that, and the environment is swapped only where what is installed is what the other run had.

        Args:
            a: A model version, ``late@3``.
            b: The other one.
            metric: ``log_loss``, ``brier`` or ``auc``.
            on: The rows to answer, with the columns both models take and a label: a table version, its
                reference, or rows. By default what b's maker read; b has learned from these.
            label: The label, as an SQL expression over the rows; by default the one boolean column no model
                takes.
            trust: Types to trust when the models are loaded.

        Raises:
            NotFoundError: No such model or table; nothing is known to have made one of them.
            UsageError: The metric is none (``bisect-metric``), the rows have no label (``bisect-label``) or
                not the columns (``signature-mismatch``), or a model was not made by a step (``bisect-maker``).

        Records:
            One execution ``bisect`` that reads both models and the rows. What is made on the way is recorded
            nowhere.
        """
        if metric not in METRICS:
            raise UsageError(
                f"{metric!r} cannot be measured here", code="bisect-metric", hint=", ".join(sorted(METRICS))
            )
        models = self._rooms.models
        first, second = models.get(a), models.get(b)
        declare_types(self._rooms.recorder.store, (BISECT_TYPE,))
        try:
            recipes = [read_recipe(self._rooms, self._reproducer, v) for v in (first, second)]
        except Impossible as why:
            raise UsageError(
                str(why), code="bisect-maker", hint="a pipeline's step can be made again"
            ) from why
        rows = self._rows(on, label, recipes[1], (first, second))
        inputs = [(models.artifact(first), ("a",)), (models.artifact(second), ("b",))]
        if rows.artifact is not None:
            inputs.append((rows.artifact, ("on",)))
        params: dict[str, Value] = {"a": first.ref, "b": second.ref, "metric": metric, "on": rows.name}
        with self._rooms.recorder.execution("bisect", params=params, inputs=inputs, looks=True) as recording:
            with tempfile.TemporaryDirectory(prefix="whence-bisect-") as top:
                kitchen = Kitchen(self._rooms, self._remaker, Path(top), (recipes[0], recipes[1]))
                found = _Swaps(self._rooms, kitchen, recipes[0], recipes[1], rows, metric, trust).answer()
            recording.set(a=first.ref, b=second.ref, metric=metric, answer=found.to_dict())
        return replace(found, execution=recording.ref)

    def _rows(
        self,
        on: TableVersion | pa.Table | str | None,
        label: str | None,
        recipe: Recipe,
        versions: tuple[ModelVersion, ModelVersion],
    ) -> _Rows:
        taken = {n for v in versions if v.signature is not None for n in v.signature.names}
        version: TableVersion | None = None
        if isinstance(on, str):
            ref = Ref.parse(on, kind="table")
            handle = self._rooms.lake.table(ref.name)
            version = handle.head() if ref.version is None else handle.at(ref.number or 0)
        elif isinstance(on, TableVersion):
            version = on
        elif on is None:
            version = self._training_rows(recipe, taken)
        table = version.arrow() if version is not None else to_arrow(on)
        table, labels = self._labels(table, label, taken)
        return _Rows(
            version.ref if version is not None else "rows", table, labels,
            version.artifact() if version is not None else None,
        )  # fmt: skip

    def _training_rows(self, recipe: Recipe, taken: set[str]) -> TableVersion:
        """What the maker of b read that has every column the models take."""
        given = recipe.steps[recipe.target].get("inputs")
        for one in (given if isinstance(given, Mapping) else {}).values():
            if isinstance(one, Mapping) and one.get("kind") == "table":
                ref = Ref.parse(str(one["ref"]))
                version = self._rooms.lake.table(ref.name).at(ref.number or 0)
                if taken <= set(version.schema.names):
                    return version
        raise UsageError(
            f"the step that made {recipe.version.ref} read no table with all columns the models take",
            code="bisect-rows",
            hint="name one: on=, --on TABLE",
        )

    def _labels(
        self, table: pa.Table, label: str | None, taken: set[str]
    ) -> tuple[pa.Table, npt.NDArray[np.float64]]:
        if label is None:
            flags = [f.name for f in table.schema if pa.types.is_boolean(f.type) and f.name not in taken]
            if len(flags) != 1:
                raise UsageError(
                    "the rows have no boolean column of their own"
                    if not flags
                    else f"the rows have several boolean columns: {', '.join(flags)}",
                    code="bisect-label",
                    hint="say which is the label, as SQL: label=, --label 'arr_delay >= 30'",
                )
            truth = table[flags[0]]
        else:
            query = f"SELECT CAST(({label}) AS DOUBLE) AS label FROM whence_rows"  # the caller's own SQL
            truth = self._rooms.lake.sql(query, relations={"whence_rows": table})["label"]
        known = truth.is_valid()
        if not known.to_numpy().any():
            raise UsageError(
                "no row has a label", code="bisect-label", hint="choose rows whose truth is known"
            )
        return table.filter(known), np.asarray(
            truth.filter(known).cast(pa.float64()).to_numpy(), dtype=np.float64
        )


class _Swaps:
    """One bisection while it goes on."""

    def __init__(
        self,
        rooms: Rooms,
        kitchen: Kitchen,
        a: Recipe,
        b: Recipe,
        rows: _Rows,
        metric: str,
        trust: Sequence[str],
    ) -> None:
        self._rooms = rooms
        self._kitchen = kitchen
        self._a, self._b = a, b
        self._rows = rows
        self._metric = metric
        self._trust = list(trust)
        self._known: dict[str, float] = {}

    def answer(self) -> Bisection:
        a, b = self._a, self._b
        value_a, value_b = (self._recorded(r) for r in (a, b))
        with progress("swapping ingredients", total=4) as step:
            environment, here_a, here_b = self._environment(value_a, value_b)
            step()
            swaps: list[Ingredient] = []
            for kind in SWAPPED:
                swaps.append(self._swap(kind, here_a, here_b))
                step(note=kind)
        return Bisection(
            a.version.ref,
            b.version.ref,
            self._metric,
            self._rows.name,
            self._rows.table.num_rows,
            value_a,
            value_b,
            (*swaps, environment),
        )

    # ingredients

    def _swap(self, kind: IngredientKind, here_a: float | None, here_b: float | None) -> Ingredient:
        details = tuple(getattr(self, f"_{kind}_details")())
        if not details:
            return Ingredient(kind, "same", contribution=0.0)
        a, b = self._a, self._b
        b_with_a, why_b = self._try(here_b, kind, b, a)
        a_with_b, why_a = self._try(here_a, kind, a, b)
        reason = "; ".join(dict.fromkeys(why for why in (why_b, why_a) if why))
        return _ingredient(kind, details, here_a, here_b, b_with_a, a_with_b, reason)

    def _try(
        self, beside: float | None, kind: IngredientKind, of: Recipe, other: Recipe
    ) -> tuple[float | None, str]:
        """The metric of one run's model with one ingredient of the other's; or why that cannot be made."""
        if beside is None:
            return None, "the run cannot be made again here to compare with"
        code = other if kind == "code" else of
        try:
            dish = self._kitchen.make(
                code=code,
                data=other if kind == "data" else of,
                params=other if kind == "parameters" else of,
            )
        except Impossible as why:
            return None, str(why)
        return self._value(dish, code), ""

    def _environment(self, value_a: float, value_b: float) -> tuple[Ingredient, float | None, float | None]:
        """The environment's share, and both metrics as their runs give them in the environment of here."""
        a, b = self._a, self._b
        away_a, away_b = (environment_difference(r.packages(), installed_now(r)) for r in (a, b))
        here_a, why_a = self._here(a, value_a, away_a)
        here_b, why_b = self._here(b, value_b, away_b)
        details = tuple(str(d) for d in _environments(a.packages(), b.packages()))
        if not details:
            return Ingredient("environment", "same", contribution=0.0), here_a, here_b
        # b's environment is the one that is installed: a made here is a with b's; and the reverse.
        a_with_b = here_a if not away_b else None
        b_with_a = here_b if not away_a else None
        reasons = [
            f"{owner}'s environment is not installed: {', '.join(map(str, away))}"
            for owner, away in (("a", away_a), ("b", away_b))
            if away
        ]
        reasons += [w for w in (why_a, why_b) if w]
        found = _ingredient(
            "environment", details, value_a, value_b, b_with_a, a_with_b, "; ".join(dict.fromkeys(reasons))
        )
        return found, here_a, here_b

    def _here(self, recipe: Recipe, value: float, away: list[Difference]) -> tuple[float | None, str]:
        """The metric of a model when it is made again in what is installed."""
        if not away:
            return value, ""
        try:
            made = self._kitchen.make(code=recipe, data=recipe, params=recipe, anew=True)
            return self._value(made, recipe), ""
        except Impossible as why:
            return None, str(why)

    # what differs

    def _data_details(self) -> Iterator[str]:
        before, now = self._a.tables_read(), self._b.tables_read()
        for table in sorted({*before, *now}):
            one, other = before.get(table), now.get(table)
            if one is None or other is None or one[1] != other[1]:
                yield f"table:{table}: {_version(one)} → {_version(other)}"
        for call, mine, theirs in self._matched():
            for name, (one_ref, other_ref) in _models(self._a, self._b, mine, theirs).items():
                yield f"{call}.{name}: {one_ref} → {other_ref}"

    def _code_details(self) -> Iterator[str]:
        if _names(self._a) != _names(self._b):
            yield f"steps: {', '.join(self._a.steps)} → {', '.join(self._b.steps)}"
        for call, mine, theirs in self._matched():
            before, now = (e.get("code_parts") for e in (mine, theirs))
            parts = [p if isinstance(p, Mapping) else {} for p in (before, now)]
            named = [n for n in sorted({*parts[0], *parts[1]}) if parts[0].get(n) != parts[1].get(n)]
            if named:
                more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
                yield f"{call}: {', '.join(named[:NAMED])}{more}"
            elif mine.get("code_digest") != theirs.get("code_digest"):
                yield f"{call}: other code"

    def _parameters_details(self) -> Iterator[str]:
        for call, mine, theirs in self._matched():
            before, now = (e.get("params") for e in (mine, theirs))
            if not isinstance(before, Mapping) or not isinstance(now, Mapping):
                continue
            for name in sorted(set(before) & set(now)):
                if before[name] != now[name]:
                    yield f"{call}.{name}: {_plain(before[name])} → {_plain(now[name])}"

    def _matched(self) -> Iterator[tuple[str, Any, Any]]:
        for call, mine in self._a.steps.items():
            theirs = self._b.match(self._a, call)
            if theirs is not None:
                yield call, mine, theirs

    # measuring

    def _recorded(self, recipe: Recipe) -> float:
        digest = recipe.version.digest
        if digest not in self._known:
            model = self._rooms.models.load(recipe.version, trust=self._trust)
            self._known[digest] = self._measured(recipe.version, model)
        return self._known[digest]

    def _value(self, dish: Dish, recipe: Recipe) -> float:
        """The metric of a model that was made, or was recorded under this digest."""
        if dish.digest not in self._known:
            data = self._rooms.blobs.get(dish.digest) if dish.file is None else dish.file.read_bytes()
            model = load_skops(data, trust=self._trust)
            self._known[dish.digest] = self._measured(recipe.version, model)
        return self._known[dish.digest]

    def _measured(self, version: ModelVersion, model: Any) -> float:
        scorer = Scorer(version, model)
        candidates = scorer.columns or tuple(self._rows.table.column_names)
        scores = scorer.score(scorer.inputs(self._rows.table, candidates))
        value = METRICS[self._metric](self._rows.labels, scores)
        if value is None:
            raise UsageError(
                "the rows are all of one class", code="bisect-label", hint="AUC needs rows of both classes"
            )
        return value


def _ingredient(
    kind: IngredientKind,
    details: tuple[str, ...],
    here_a: float | None,
    here_b: float | None,
    b_with_a: float | None,
    a_with_b: float | None,
    reason: str,
) -> Ingredient:
    ways = []
    if b_with_a is not None and here_b is not None:
        ways.append(here_b - b_with_a)
    if a_with_b is not None and here_a is not None:
        ways.append(a_with_b - here_a)
    if not ways:
        return Ingredient(kind, "impossible", details=details, reason=reason)
    return Ingredient(kind, "swapped", b_with_a, a_with_b, sum(ways) / len(ways), details, reason)


def _environments(before: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    both = {name: now.get(name) for name in before if name in now}
    return environment_difference({n: v for n, v in before.items() if n in both}, both)


def _names(recipe: Recipe) -> list[str]:
    """The calls of a run but the last; the maker of a model stands for that of the other, whatever its name."""
    return [call for call in recipe.steps if call != recipe.target]


def _models(a: Recipe, b: Recipe, mine: Any, theirs: Any) -> dict[str, tuple[str, str]]:
    """The models from outside the run that a step was given, where they differ."""
    found: dict[str, tuple[str, str]] = {}
    before, now = (
        {} if not isinstance(g, Mapping) else g for g in (mine.get("inputs"), theirs.get("inputs"))
    )
    for name in set(before) & set(now):
        one, other = before[name], now[name]
        outside = one["ref"] not in a.made and other["ref"] not in b.made
        if one["kind"] == "model" and outside and one["digest"] != other["digest"]:
            found[name] = (str(one["ref"]), str(other["ref"]))
    return found


def _version(found: tuple[int | None, str] | None) -> str:
    return "absent" if found is None else f"@{found[0]}"


def _plain(value: Value) -> str:
    if isinstance(value, Mapping) and len(value) == 1:  # an encoded time, as it is stored
        return str(next(iter(value.values())))
    return str(value)


__all__ = ["Bisector"]
