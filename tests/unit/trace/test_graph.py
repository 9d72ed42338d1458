"""Tracing what the graph alone knows."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import NotFoundError, UsageError
from whence.metadata.types import Artifact, Change, Event, Put
from whence.testing.trace import Journey, Story
from whence.trace import Explained, Trace, TraceNode, Tracer


def refs(trace: Trace, kind: str) -> list[str | None]:
    return [node.ref for node in trace.tree.walk() if node.kind == kind]


def test_a_model_comes_from_its_run_its_training_set_and_their_tables(journey: Journey) -> None:
    trace = Tracer(journey.story.store).trace("model:late@1")
    assert trace.text() == (
        f"model:late@1  digest=sha256:bbbbbbbbbbbb…, format=skops\n"
        f"└── step train [run:{journey.train.uid}]  principal=user:ada, params={{depth=6}}\n"
        f"    └── table:train.late@0 (training set)  n_rows=7\n"
        f"        └── step training_set [run:{journey.join.uid}]  principal=user:ada\n"
        f"            ├── feature_view:delays@aaaaaaaaaaaa  digest=sha256:aaaaaaaaaaaa…\n"
        f"            ├── table:arrivals@1  n_rows=20\n"
        f"            │   └── append [{refs(trace, 'execution')[0]}]  principal=user:ada\n"
        f"            │       └── table:arrivals@0 (the version before)\n"
        f"            └── table:labels@0  n_rows=7\n"
        f"                └── append [{refs(trace, 'execution')[1]}]  principal=user:ada\n"
    )


def test_a_thing_met_twice_is_drawn_once(journey: Journey) -> None:
    trace = Tracer(journey.story.store).trace(f"execution:{journey.score.uid}")
    assert refs(trace, "seen") == ["feature_view:delays@aaaaaaaaaaaa"]
    assert refs(trace, "feature_view") == ["feature_view:delays@aaaaaaaaaaaa"]
    assert refs(trace, "table") == [
        "table:train.late@0",
        "table:arrivals@1",
        "table:labels@0",
        "table:arrivals@3",
    ]


@pytest.mark.parametrize("ref", ["table:arrivals", "table:arrivals@3"])
def test_without_a_version_the_newest_is_meant(journey: Journey, ref: str) -> None:
    assert Tracer(journey.story.store).trace(ref).ref == "table:arrivals@3"


def test_the_tenth_version_is_newer_than_the_ninth(story: Story) -> None:
    story.appends("t", 11)
    story.table("t.other@99")
    assert Tracer(story.store).trace("table:t").ref == "table:t@10"


def test_a_run_is_named_by_its_uid_or_its_key(journey: Journey) -> None:
    tracer = Tracer(journey.story.store)
    assert tracer.trace(f"run:{journey.train.uid}").ref == f"run:{journey.train.uid}"
    assert tracer.trace(f"execution:{journey.train.uid}").ref == f"run:{journey.train.uid}"


def test_bytes_are_traced_by_their_digest(journey: Journey) -> None:
    class Empty:
        def exists(self, digest: str) -> bool:
            return False

    trace = Tracer(journey.story.store, blobs=Empty()).trace("blob:sha256:" + "b" * 64)
    assert trace.tree.ref == "model:late@1"
    assert trace.tree.facts["missing"] == f"blob sha256:{'b' * 64} is gone"


def test_an_absent_version_is_named_with_near_ones(journey: Journey) -> None:
    with pytest.raises(NotFoundError) as caught:
        Tracer(journey.story.store).trace("table:arrivls@3")
    assert caught.value.code == "table-version-not-found"
    assert "arrivals@3" in caught.value.near


@pytest.mark.parametrize(
    "ref", ["model:late@9", "run:01AAAAAAAAAAAAAAAAAAAAAAAA", "blob:sha256:00", "artifact:x"]
)
def test_what_is_not_there_is_not_found(journey: Journey, ref: str) -> None:
    with pytest.raises(NotFoundError):
        Tracer(journey.story.store).trace(ref)


@pytest.mark.parametrize(
    ("ref", "code"),
    [("flights", "bad-reference"), ("context:01J", "untraceable"), ("table:x@", "bad-reference")],
)
def test_what_cannot_be_traced_is_refused(journey: Journey, ref: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        Tracer(journey.story.store).trace(ref)
    assert caught.value.code == code


@pytest.mark.parametrize(("max_depth", "max_rows"), [(0, None), (1, -1)])
def test_bounds_are_checked(journey: Journey, max_depth: int, max_rows: int | None) -> None:
    with pytest.raises(UsageError) as caught:
        Tracer(journey.story.store).trace("model:late@1", max_depth=max_depth, max_rows=max_rows)
    assert caught.value.code == "bad-bounds"


def test_what_lies_deeper_is_one_node_that_says_so(journey: Journey) -> None:
    trace = Tracer(journey.story.store).trace("model:late@1", max_depth=2)
    assert refs(trace, "table") == ["table:train.late@0"]
    assert [n.label for n in trace.tree.walk() if n.kind == "more"] == ["… what lies deeper is not shown"]


def test_many_inputs_are_counted_not_drawn(story: Story) -> None:
    inputs = [story.table(f"t{i}@0") for i in range(100)]
    made = story.table("all@0")
    story.execution("step", inputs=inputs, outputs=[made])
    trace = Tracer(story.store).trace("table:all@0")
    assert len(refs(trace, "table")) == 41
    assert [n.label for n in trace.tree.walk() if n.kind == "more"] == ["… and 60 more inputs"]


def test_a_failed_execution_says_its_error(story: Story) -> None:
    run = story.execution("run", state="FAILED", error="disk full", attempt=2)
    facts = Tracer(story.store).trace(f"run:{run.uid}").tree.facts
    assert dict(facts) == {"state": "FAILED", "principal": "user:ada", "attempt": 2, "error": "disk full"}


def test_an_abandoned_artifact_says_so(story: Story) -> None:
    ghost = Artifact(type="Model", name="late@9", state="ABANDONED")
    story.store.write(Change([Put(ghost)]))
    assert Tracer(story.store).trace("model:late@9").tree.facts["missing"] == "state ABANDONED"


def test_a_registered_explainer_speaks_for_its_type(journey: Journey) -> None:
    tracer = Tracer(journey.story.store)
    tracer.register(
        "FeatureView",
        lambda a: Explained({"owner": "ops"}, children=(TraceNode("mean over 7d", "definition"),)),
    )
    view = tracer.trace("feature_view:delays").tree
    assert (dict(view.facts), [c.label for c in view.children]) == ({"owner": "ops"}, ["mean over 7d"])


def test_an_explainer_that_finds_nothing_leaves_a_node_that_says_so(journey: Journey) -> None:
    def gone(artifact: Artifact) -> Explained:
        raise NotFoundError("definition", artifact.name)

    tracer = Tracer(journey.story.store)
    tracer.register("FeatureView", gone)
    missing = tracer.trace("feature_view:delays").tree.facts["missing"]
    assert missing == "definition 'delays@aaaaaaaaaaaa' not found (definition-not-found)"


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), max_size=40), st.integers(1, 9)
)
def test_any_graph_ends_and_draws_each_node_once(edges: list[tuple[int, int, bool]], max_depth: int) -> None:
    story = Story()
    things = [story.table(f"t{i}@0") for i in range(6)]
    doings = [story.execution("step") for _ in range(6)]
    events = [
        Event(doings[e].uid, things[a].uid, "OUTPUT" if out else "INPUT") for e, a, out in edges
    ]  # circles among them
    story.store.write(Change(events=events))
    tree = Tracer(story.store).trace("table:t0@0", max_depth=max_depth).tree
    drawn = [n.ref for n in tree.walk() if n.kind in ("table", "run")]
    assert len(drawn) == len(set(drawn))
    assert len(list(tree.walk())) <= 12 + 2 * len(edges) + 6


def test_a_cached_step_made_nothing(journey: Journey) -> None:
    journey.story.execution("step", step="train", outputs=[journey.model], state="CACHED")
    trace = Tracer(journey.story.store).trace("model:late@1")
    assert refs(trace, "run")[0] == f"run:{journey.train.uid}"
    assert len(refs(trace, "run")) == 2


def test_a_run_is_found_by_its_name_and_shows_its_metrics(journey: Journey) -> None:
    class Tracked:
        uid = journey.train.uid
        metrics: Mapping[str, float] = MappingProxyType({"auc": 0.75})

    class Tracking:
        def get(self, ref: str) -> Tracked:
            if ref not in ("boosting", f"run:{journey.train.uid}"):
                raise NotFoundError("run", ref)
            return Tracked()

    tracer = Tracer(journey.story.store, runs=Tracking())
    trace = tracer.trace("run:boosting")
    assert (trace.ref, trace.tree.facts["metrics"]) == (f"run:{journey.train.uid}", {"auc": 0.75})
    assert "metrics" not in tracer.trace(f"run:{journey.join.uid}").tree.facts
    with pytest.raises(NotFoundError) as caught:
        tracer.trace("run:nobody")
    assert caught.value.code == "run-not-found"
