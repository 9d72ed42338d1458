"""The face of the room: trace, impact and diff over one workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from whence._base.ids import is_uid
from whence._base.refs import Ref
from whence.errors import NotFoundError, UsageError, WhenceError
from whence.metadata.base import MetadataStore
from whence.metadata.refs import find_node
from whence.metadata.rows import kind_of
from whence.metadata.types import OUTPUT_KINDS, AnyNode, Artifact, Execution
from whence.trace.ancestry import MAX_DEPTH, Ancestry
from whence.trace.base import Blobs, Features, Graph, Models, Runs, Scoring, Table, Tables
from whence.trace.diff import Diff, diff_nodes
from whence.trace.down import locate, prediction_tree, row_tree
from whence.trace.explain import Explainer, Explainers
from whence.trace.names import (
    EXECUTION_KINDS,
    PREDICTS,
    RUN_TYPES,
    TYPE_OF_KIND,
    artifacts_of_digest,
    get_artifact,
    get_execution,
    latest_artifact,
    ref_of,
)
from whence.trace.node import TraceNode
from whence.trace.reach import count_reached
from whence.trace.rows import Found, held_until, writer_of
from whence.trace.types import Impact, Trace
from whence.trace.up import Descent, ends_in_graph, impact_of


class Tracer:
    """Whence things came and where they went.

    Args:
        store: The graph.
        lake: The tables; None when there are none, as in a graph alone.
        features: Explains feature values down to their rows.
        scoring: Finds predictions.
        models: Resolves aliases.
        runs: The runs, for their metrics.
        blobs: Says whether bytes are still there.
    """

    def __init__(
        self,
        store: Graph,
        lake: Tables | None = None,
        features: Features | None = None,
        scoring: Scoring | None = None,
        models: Models | None = None,
        runs: Runs | None = None,
        blobs: Blobs | None = None,
    ) -> None:
        self._graph = store
        self._lake = lake
        self._features = features
        self._scoring = scoring
        self._models = models
        self._runs = runs
        self._blobs = blobs
        self._explain = Explainers(lake, blobs)

    def register(self, artifact_type: str, explainer: Explainer) -> None:
        """Let `explainer` say what is known of artifacts of this type."""
        self._explain.register(artifact_type, explainer)

    def trace(self, ref: str, *, max_depth: int = MAX_DEPTH, max_rows: int | None = None) -> Trace:
        """Whence a thing came.

        Args:
            ref: ``prediction:late_scores/KEY`` (down to the raw rows), ``row:flights@12/KEY``,
                ``table:flights@12``, ``model:late@champion``, ``run:…``, ``execution:…``, ``blob:sha256:…``,
                ``feature_view:…``, ``schema:…``, ``statistics:…``, ``view:…`` or ``artifact:…``. Without a
                version the newest is meant. What is no reference may be the uid, ``TYPE/NAME`` or name of one node.
            max_depth: At most this many edges of the graph away; what lies deeper is one node that says so.
            max_rows: Keep at most this many raw rows of each feature; their number is always whole, and a
                value is recomputed from all of them. None keeps all.

        Raises:
            NotFoundError: Nothing has this name; near names are given.
            UsageError: The reference cannot be read or traced (``bad-reference``, ``untraceable``), or several nodes
                have the name (``ambiguous-reference``).
        """
        _check_bounds(max_depth, max_rows)
        parsed = self._meant(ref)
        if parsed.kind == "prediction":
            return self._prediction(parsed, max_depth, max_rows)
        if parsed.kind == "row":
            return self._row(parsed, max_depth)
        if parsed.kind == "blob":
            return self._blob(parsed, max_depth)
        node = self._resolve(parsed)
        ancestry = self._ancestry([node.uid], max_depth)
        tree = ancestry.execution(node.uid) if isinstance(node, Execution) else ancestry.artifact(node.uid)
        return self._answer(ref_of(node), tree)

    def diff(self, a: str, b: str) -> Diff:
        """What differs between two executions, models or table versions, and the first ancestor that does.

        Raises:
            NotFoundError: Nothing has this name.
            UsageError: They are not of one kind (``not-comparable``).
        """
        return diff_nodes(self._graph, self._resolve(Ref.parse(a)), self._resolve(Ref.parse(b)))

    def impact(self, ref: str) -> Impact:
        """Where a thing went: everything made from it, by kind.

        A table version is carried on by the later versions of its table until the table is
        overwritten; what read one of those is affected, too, and marked ``carried``. For a row, the
        versions that hold it are meant, and ``n_reached`` counts the predictions whose windows contain it
        (a bound from above: a correction may have taken its place); where that is out of reach, a note
        says so.

        Raises:
            NotFoundError: Nothing has this name.
            UsageError: The reference cannot be read or traced.
        """
        parsed = self._meant(ref)
        if parsed.kind == "row":
            return self._row_impact(parsed)
        if parsed.kind == "prediction":
            return self._prediction_impact(parsed)
        starts = self._starts(parsed)
        descent = Descent(self._graph, self._ends)
        descent.run(starts)
        return impact_of(descent, ref_of(starts[0]) if len(starts) == 1 else str(parsed), starts)

    def _starts(self, ref: Ref) -> list[Artifact | Execution]:
        if ref.kind == "blob":
            return list(self._of_digest(ref))
        node = self._resolve(ref)
        assert isinstance(node, Artifact | Execution)
        return [node]

    def _ends(self, table: str) -> set[int]:
        """The versions that replaced all rows of a table: by the lake's log, else by the graph."""
        if self._lake is None or not self._lake.table(table).exists:
            return ends_in_graph(self._graph, table)
        found: set[int] = set()
        before: int | None = None
        for commit in sorted(self._lake.table(table).history(), key=lambda c: c.version):
            removed = None if commit.removed is None else commit.removed.n
            if commit.type == "overwrite" and (removed is None or before is None or removed >= before):
                found.add(commit.version)
            before = None if commit.state is None else commit.state.n_rows
        return found

    def _prediction(self, ref: Ref, max_depth: int, max_rows: int | None) -> Trace:
        if self._scoring is None:
            raise UsageError(f"{ref} cannot be looked up: there is no serving", code="untraceable")
        found = self._scoring.find(str(ref))
        ancestry = self._ancestry([], max_depth)
        tree, notes = prediction_tree(
            self._graph, self._lake, self._features, found, ancestry, max_rows=max_rows
        )
        return self._answer(found.ref, tree, notes)

    def _row(self, ref: Ref, max_depth: int) -> Trace:
        full, tree, notes = row_tree(self._graph, self._lake, ref, self._ancestry([], max_depth))
        return self._answer(full, tree, notes)

    def _prediction_impact(self, ref: Ref) -> Impact:
        """What was made from the version of the predictions table that first held a prediction."""
        if self._scoring is None:
            raise UsageError(f"{ref} cannot be looked up: there is no serving", code="untraceable")
        found = self._scoring.find(str(ref))
        made = self._graph.list_events(executions=[found.execution])
        nodes = self._graph.get_nodes("artifact", uids=[e.artifact for e in made if e.kind in OUTPUT_KINDS])
        starts = [n for n in nodes if isinstance(n, Artifact)]
        descent = Descent(self._graph, self._ends)
        descent.run(starts)
        return impact_of(descent, found.ref, starts)

    def _row_impact(self, ref: Ref) -> Impact:
        table, version, found, full = locate(self._lake, ref)
        writer = writer_of(table, version, found)
        until = held_until(table, version, found)
        since = version if writer is None else writer.version
        start = get_artifact(self._graph, Ref("table", ref.name, str(since)))
        descent = Descent(self._graph, self._ends)
        descent.run([start], stop_at={} if until is None else {ref.name: until})
        n_reached, note = self._reached(descent, table, ref.name, found)
        return impact_of(descent, full, [start], [note], n_reached)

    def _reached(self, descent: Descent, table: Table, name: str, found: Found) -> tuple[dict[str, int], str]:
        """For each predictions table how many predictions can have used the rows, and what that rests on."""
        coarse = "predictions are those whose scoring read a version that holds the row; not each used it"
        if self._features is None or self._lake is None:
            return {}, coarse
        counts: dict[str, int] = {}
        try:
            for scoring in (
                e for e in descent.executions.values() if e.type in PREDICTS and e.uid in descent.via
            ):
                into = str(scoring.get("into"))
                n = count_reached(self._graph, self._lake, self._features, scoring, table, name, found)
                counts[into] = counts.get(into, 0) + n
        except WhenceError as error:
            return {}, f"{coarse}: {error}"
        return counts, (
            "n_reached counts the predictions of the same keys whose windows contain the row; "
            "a later correction or a nearer row may have taken its place"
        )

    def _of_digest(self, ref: Ref) -> list[Artifact]:
        found = artifacts_of_digest(self._graph, ref.name)
        if not found:
            raise NotFoundError("blob", ref.name)
        return found

    def _blob(self, ref: Ref, max_depth: int) -> Trace:
        found = self._of_digest(ref)
        ancestry = self._ancestry([a.uid for a in found], max_depth)
        if len(found) == 1:
            return self._answer(str(ref), ancestry.artifact(found[0].uid))
        gone = None if self._blobs is None or self._blobs.exists(ref.name) else f"blob {ref.name} is gone"
        children = tuple(ancestry.artifact(a.uid) for a in found)
        facts = {} if gone is None else {"missing": gone}
        return self._answer(str(ref), TraceNode(str(ref), "blob", str(ref), facts, children))

    def _meant(self, text: str) -> Ref:
        """A reference; of what is none, that of the one node that is called so."""
        try:
            return Ref.parse(text)
        except UsageError:
            # It asks only what the protocol has.
            store = cast("MetadataStore", self._graph)
            with suppress(NotFoundError):
                node = find_node(store, text)
                return Ref(kind_of(node), node.uid)
            raise

    def _resolve(self, ref: Ref) -> AnyNode:
        """The node of the graph a reference names; heads and aliases are looked up."""
        if ref.kind in EXECUTION_KINDS:
            return self._execution(ref)
        if ref.kind == "model" and (ref.version is None or not ref.version.isdecimal()):
            ref = self._model(ref)
        if ref.kind == "artifact":
            return get_artifact(self._graph, ref)
        if ref.kind not in TYPE_OF_KIND:
            raise UsageError(
                f"{ref} is a {ref.kind}, which has no ancestry of its own",
                code="untraceable",
                hint="trace an execution or a thing in it",
            )
        if ref.version is None:
            newest = latest_artifact(self._graph, ref.kind, ref.name)
            if newest is not None:
                return newest
        return get_artifact(self._graph, ref)

    def _execution(self, ref: Ref) -> Execution:
        try:
            return get_execution(self._graph, ref)
        except NotFoundError:
            if self._runs is None or ref.kind != "run" or is_uid(ref.name):
                raise
        return get_execution(self._graph, Ref("run", self._runs.get(ref.name).uid))

    def _model(self, ref: Ref) -> Ref:
        if self._models is None or ref.version is None:
            return ref
        return Ref.parse(self._models.get(str(ref).removeprefix("model:")).ref, kind="model")

    def _ancestry(self, starts: Sequence[str], max_depth: int) -> Ancestry:
        ancestry = Ancestry(self._graph, self._explain, self._metrics, max_depth=max_depth)
        ancestry.load(starts)
        return ancestry

    def _metrics(self, execution: Execution) -> Mapping[str, object]:
        if self._runs is None or execution.type not in RUN_TYPES:
            return {}
        try:
            return dict(self._runs.get(f"run:{execution.uid}").metrics)
        except WhenceError:
            return {}

    def _answer(self, ref: str, tree: TraceNode, notes: Sequence[str] = ()) -> Trace:
        return Trace(ref, tree, tuple(notes), onward=lambda: self.impact(ref))


def _check_bounds(max_depth: int, max_rows: int | None) -> None:
    if max_depth < 1 or (max_rows is not None and max_rows < 0):
        raise UsageError(
            f"a trace needs max_depth >= 1 and max_rows >= 0, got {max_depth} and {max_rows}",
            code="bad-bounds",
        )
