"""What made a model, taken apart: the steps of its run, and for each its code, params, data and packages.

Two such recipes are mixed by `Kitchen.make`: the code of one, the data of one, the params of one. Steps that come
out of the mixture as one of the two runs had them are not run again; what that run recorded is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whence._base.digest import spec_digest
from whence._base.refs import Ref
from whence.errors import NotFoundError, WhenceError
from whence.metadata.types import Context, Execution, Value
from whence.pipelines.base import Rooms
from whence.pipelines.cache import outputs_of
from whence.pipelines.environment import installed, interpreter
from whence.pipelines.outputs import Kept
from whence.pipelines.remake import Impossible, Remaker
from whence.pipelines.reproduce import Reproducer
from whence.pipelines.types import Difference
from whence.registry import ModelVersion


@dataclass(frozen=True, slots=True)
class Recipe:
    """The steps of one run up to the one that made a model, upstream first.

    Attributes:
        version: The model.
        steps: Call → its execution; the last made the model.
        index: Which output of the last step the model is.
        pins: The versions the run read, of tables it did not write.
    """

    version: ModelVersion
    steps: dict[str, Execution]
    index: int
    pins: Mapping[str, int]

    @property
    def target(self) -> str:
        """The call that made the model."""
        return next(reversed(self.steps))

    @property
    def made(self) -> dict[str, tuple[str, int]]:
        """Reference → the call that wrote it, and as which output."""
        return {
            kept.ref: (call, i)
            for call, execution in self.steps.items()
            for i, kept in enumerate(outputs_of(execution))
        }

    def tables_written(self) -> set[str]:
        """The tables the run writes itself."""
        return {
            kept.slot.name
            for execution in self.steps.values()
            for kept in outputs_of(execution)
            if kept.slot.kind == "table" and kept.slot.name is not None
        }

    def match(self, other: Recipe, call: str) -> Execution | None:
        """The step that stands for `call` of `other` here: of the same name, and the makers for each other."""
        return self.steps[self.target] if call == other.target else self.steps.get(call)

    def tables_read(self) -> dict[str, tuple[int | None, str]]:
        """The tables from outside the run that its steps read: version and digest."""
        mine, found = self.tables_written(), dict[str, tuple[int | None, str]]()
        for execution in self.steps.values():
            for given in _mapping(execution.get("inputs")).values():
                ref = str(_mapping(given).get("ref"))
                if _mapping(given).get("kind") == "table" and ref not in self.made:
                    parsed = Ref.parse(ref)
                    found[parsed.name] = (parsed.number, str(_mapping(given).get("digest")))
            for read in _mapping(execution.get("reads")).values():
                facts = _mapping(read)
                if facts.get("kind") == "table" and facts.get("table") not in mine:
                    version = facts.get("version")
                    found[str(facts["table"])] = (
                        version if isinstance(version, int) else None,
                        str(facts.get("digest")),
                    )
        return found

    def packages(self) -> dict[str, str]:
        """What the steps ran on: versions of packages, the interpreter, the system."""
        found: dict[str, str] = {}
        for execution in self.steps.values():
            found |= {k: str(v) for k, v in _mapping(execution.get("packages")).items() if k != "python"}
            runs_on = _mapping(execution.get("runs_on"))
            found |= {k: str(runs_on[k]) for k in ("python", "platform") if runs_on.get(k) is not None}
        return found


def read_recipe(rooms: Rooms, reproducer: Reproducer, version: ModelVersion) -> Recipe:
    """The recipe of a model version.

    Raises:
        Impossible: It was not made by a step.
        NotFoundError: Nothing is known to have made it.
    """
    maker = reproducer.maker(version.ref)
    if maker.type != "step":
        raise Impossible(f"{version.ref} was made by execution:{maker.uid}, which is no step")
    store = rooms.recorder.store
    name = f"{maker.get('pipeline')}/{maker.get('run')}"
    page = store.find_nodes("context", type_="PipelineRun", name=name, limit=1)
    context = next((n for n in page.nodes if isinstance(n, Context)), None)
    if context is None:
        raise Impossible(f"the run {name!r} that made {version.ref} is not in the graph")
    nodes = store.find_nodes(
        "execution", type_="step", context=context.uid, state=("COMPLETE", "CACHED")
    ).nodes
    steps = {str(n.get("call")): n for n in nodes if isinstance(n, Execution)}
    needed = _above(maker, steps)
    refs = [kept.ref for kept in outputs_of(maker)]
    if version.ref not in refs:
        raise Impossible(
            f"execution:{maker.uid} registered {version.ref} itself, it is no output of the step"
        )
    pins = {k: v for k, v in _mapping(context.get("pins")).items() if isinstance(v, int)}
    chain = {c: e for c, e in steps.items() if c in needed and c != maker.get("call")}
    return Recipe(version, chain | {str(maker.get("call")): maker}, refs.index(version.ref), pins)


def _above(maker: Execution, steps: Mapping[str, Execution]) -> set[str]:
    """The calls whose outputs a step was made of, directly or through others."""
    wrote = {kept.ref: call for call, e in steps.items() for kept in outputs_of(e)}
    needed, waiting = set[str](), [maker]
    while waiting:
        execution = waiting.pop()
        refs = {str(_mapping(g).get("ref")) for g in _mapping(execution.get("inputs")).values()}
        for read in _mapping(execution.get("reads")).values():
            facts = _mapping(read)
            refs.add(f"table:{facts.get('table')}@{facts.get('version')}")
        for ref in refs & set(wrote):
            if wrote[ref] not in needed and steps[wrote[ref]].uid != execution.uid:
                needed.add(wrote[ref])
                waiting.append(steps[wrote[ref]])
    return needed


def environment_difference(before: Mapping[str, str], now: Mapping[str, str | None]) -> list[Difference]:
    """How what a run ran on differs from something else; packages both name, and the interpreter."""
    return [
        Difference("python" if name == "python" else "package", name, version, now.get(name))
        for name, version in sorted(before.items())
        if name != "platform" and now.get(name) != version
    ]


def installed_now(recipe: Recipe) -> dict[str, str | None]:
    """What is installed here of what a run ran on."""
    names = [n for n in recipe.packages() if n not in ("python", "platform")]
    return {**{name: installed(name) for name in names}, "python": interpreter()}


@dataclass(frozen=True, slots=True)
class Dish:
    """One output of a step of a mixture: as recorded, or made anew in a folder."""

    kept: Kept
    digest: str
    inline: Value = None
    file: Path | None = None


@dataclass
class Kitchen:
    """Makes models from mixtures of recipes.

    Args:
        rooms: The workspace.
        remaker: Runs single steps again.
        folder: Where what is made is put.
        recipes: The runs whose recorded results may be taken.
    """

    rooms: Rooms
    remaker: Remaker
    folder: Path
    recipes: tuple[Recipe, ...]
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _made: dict[str, list[Dish]] = field(default_factory=dict)

    def make(self, *, code: Recipe, data: Recipe, params: Recipe, anew: bool = False) -> Dish:
        """The model that the code of one run gives on the data of one with the params of one.

        Args:
            code: Whose steps run, in whose order.
            data: Whose versions of the tables from outside are read.
            params: Whose params are used, where the step knows them.
            anew: Run every step, whatever was recorded.

        Raises:
            Impossible: A step cannot be run on that; the message says which and why.
        """
        dishes: dict[str, list[Dish]] = {}
        for call, execution in code.steps.items():
            dishes[call] = self._step(call, execution, dishes, code, data, params, anew=anew)
        return dishes[code.target][code.index]

    def _step(
        self,
        call: str,
        execution: Execution,
        dishes: Mapping[str, list[Dish]],
        code: Recipe,
        data: Recipe,
        params: Recipe,
        *,
        anew: bool,
    ) -> list[Dish]:
        given = _params(execution, params.match(code, call))
        inputs = {
            name: self._input(name, _mapping(value), call, dishes, code, data)
            for name, value in _mapping(execution.get("inputs")).items()
        }
        pins: dict[str, Value] = dict(data.pins)
        tables: dict[str, Value] = {}
        for dish in (d for above in dishes.values() for d in above):
            if dish.kept.slot.kind != "table":
                continue
            ref = Ref.parse(dish.kept.ref)
            if dish.file is None:
                pins[ref.name] = ref.number
            else:
                tables[ref.name] = str(dish.file)
        digests = {name: str(value["digest"]) for name, value in inputs.items()}
        known = None if anew else self._recorded(execution, given, digests, pins, dishes)
        if known is not None:
            return known
        stood = {
            name: d.digest for above in dishes.values() for d in above for name in [d.kept.slot.name or ""]
        }
        key = spec_digest([execution.get("stored_code"), given, digests, dict(sorted(pins.items())), stood])
        if key not in self._made:
            self._made[key] = self._run(execution, given, inputs, pins, tables)
        return self._made[key]

    def _run(
        self,
        execution: Execution,
        params: Mapping[str, Value],
        inputs: Mapping[str, Mapping[str, Value]],
        pins: Mapping[str, Value],
        tables: Mapping[str, Value],
    ) -> list[Dish]:
        place = self.folder / f"made-{next(self._numbers)}"
        place.mkdir()
        result = self.remaker.remake(
            execution, place, params=params, inputs=dict(inputs), pins=pins, tables=tables
        )
        if "failed" in result:
            raise Impossible(
                f"step {execution.get('step')!r} fails on it: {result.get('error_type')}: {result.get('error')}"
            )
        kept, made = outputs_of(execution), result["outputs"]
        return [
            Dish(k, m["digest"], m.get("inline", k.inline), place / m["file"] if "file" in m else None)
            for k, m in zip(kept, made, strict=True)
        ]

    def _input(
        self,
        name: str,
        given: Mapping[str, Any],
        call: str,
        dishes: Mapping[str, list[Dish]],
        code: Recipe,
        data: Recipe,
    ) -> dict[str, Value]:
        source = code.made.get(str(given["ref"]))
        if source is not None and source[0] in dishes:
            return self._made_input(given, dishes[source[0]][source[1]], call)
        out: dict[str, Value] = {k: given.get(k) for k in ("kind", "ref", "digest", "inline")}
        if given["kind"] == "table":
            table = Ref.parse(str(given["ref"])).name
            version = self._table(data, table, name, call, code)
            return out | {"ref": version.ref, "digest": version.digest()}
        other = data.match(code, call)
        theirs = _mapping(_mapping(None if other is None else other.get("inputs")).get(name))
        if theirs and theirs.get("kind") == given["kind"] and str(theirs["ref"]) not in data.made:
            out = {k: theirs.get(k) for k in ("kind", "ref", "digest", "inline")}
        return out

    def _made_input(self, given: Mapping[str, Any], dish: Dish, call: str) -> dict[str, Value]:
        if dish.kept.slot.mode == "append" and dish.file is not None:
            raise Impossible(
                f"step {call!r} reads {dish.kept.ref}, which is appended to and cannot be made alone"
            )
        out: dict[str, Value] = {
            "kind": given["kind"], "ref": dish.kept.ref, "digest": dish.digest, "inline": dish.inline,
        }  # fmt: skip
        if dish.file is None:
            return out
        if given["kind"] == "model":
            self.rooms.blobs.put(dish.file)  # by its digest the child finds it like any other
            return out
        return out | {"file": str(dish.file)}

    def _table(self, data: Recipe, table: str, name: str, call: str, code: Recipe) -> Any:
        """The version of an outside table that belongs to the data of a run."""
        other = data.match(code, call)
        theirs = _mapping(_mapping(None if other is None else other.get("inputs")).get(name))
        ref = Ref.parse(str(theirs["ref"])) if theirs.get("kind") == "table" else None
        number = ref.number if ref is not None and ref.name == table else data.pins.get(table)
        if number is None:
            raise Impossible(f"the run of {data.version.ref} knew no table {table!r}")
        try:
            version = self.rooms.lake.table(table).at(number)
            version.files()
        except WhenceError as error:
            raise Impossible(f"table:{table}@{number} is gone: {error.message}") from error
        return version

    def _recorded(
        self,
        execution: Execution,
        params: Mapping[str, Value],
        digests: Mapping[str, str],
        pins: Mapping[str, Value],
        dishes: Mapping[str, list[Dish]],
    ) -> list[Dish] | None:
        """What one of the runs recorded for just this: same code, params, inputs, reads, packages."""
        for recipe in self.recipes:
            for found in recipe.steps.values():
                same = (
                    found.get("code_digest") == execution.get("code_digest")
                    and dict(_mapping(found.get("params"))) == dict(params)
                    and _digests(found) == digests
                    and self._same_reads(found, pins, dishes)
                    and not environment_difference(recipe.packages(), installed_now(recipe))
                )
                if same:
                    return [Dish(kept, kept.digest, kept.inline) for kept in outputs_of(found)]
        return None

    def _same_reads(
        self, found: Execution, pins: Mapping[str, Value], dishes: Mapping[str, list[Dish]]
    ) -> bool:
        stood = {d.kept.slot.name: d.digest for above in dishes.values() for d in above if d.file is not None}
        for read in _mapping(found.get("reads")).values():
            facts = _mapping(read)
            if facts.get("kind") != "table":
                continue
            table = str(facts["table"])
            now = stood.get(table) or self._pinned_digest(table, pins.get(table))
            if now != facts.get("digest"):
                return False
        return True

    def _pinned_digest(self, table: str, version: Value) -> str | None:
        if not isinstance(version, int):
            return None
        try:
            return self.rooms.lake.table(table).at(version).digest()
        except NotFoundError:
            return None


def _params(execution: Execution, other: Execution | None) -> dict[str, Value]:
    """The params of a step, with the values of another one where both have them."""
    mine = dict(_mapping(execution.get("params")))
    theirs = {} if other is None else _mapping(other.get("params"))
    return {name: theirs.get(name, value) for name, value in mine.items()}


def _digests(execution: Execution) -> dict[str, str]:
    return {
        name: str(_mapping(given).get("digest")) for name, given in _mapping(execution.get("inputs")).items()
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


__all__ = [
    "Dish",
    "Kitchen",
    "Recipe",
    "environment_difference",
    "installed_now",
    "read_recipe",
]
