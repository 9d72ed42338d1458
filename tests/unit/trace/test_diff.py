"""What differs between two runs, and where it begins."""

import pytest

from whence.errors import UsageError
from whence.metadata.types import Artifact, Value
from whence.testing.trace import Journey, Story
from whence.trace import Difference, Tracer


def train(
    story: Story, rows: Artifact, version: int, *, digest: str, code: str = "c1", **params: Value
) -> Artifact:
    model = story.artifact("Model", f"late@{version}", digest=digest)
    closure = story.artifact("Code", f"sha256:{code}", digest=f"sha256:{code}", qualified_name="train")
    environment = story.artifact("Environment", "e1", python="3.11", packages={"numpy": "2.4"})
    story.execution(
        "step", step="train", inputs=[rows], outputs=[model], internal=[closure, environment], params=params
    )
    return model


def training_set(story: Story, version: int, source: Artifact, *, digest: str, where: str = "") -> Artifact:
    rows = story.table(f"train.late@{version}", digest=digest)
    story.execution("step", step="training_set", inputs=[source], outputs=[rows], params={"where": where})
    return rows


def test_equal_digests_are_the_same_whatever_made_them(story: Story) -> None:
    rows = training_set(story, 0, story.appends("t", 1)[0], digest="d0")
    train(story, rows, 1, digest="m", depth=6)
    train(story, rows, 2, digest="m", depth=7)
    diff = Tracer(story.store).diff("model:late@1", "model:late@2")
    assert (diff.same, diff.pairs) == (True, ())


def test_a_parameter(story: Story) -> None:
    rows = training_set(story, 0, story.appends("t", 1)[0], digest="d0")
    train(story, rows, 1, digest="m1", depth=6, loss="log")
    train(story, rows, 2, digest="m2", depth=7, loss="log")
    diff = Tracer(story.store).diff("model:late@1", "model:late@2")
    assert diff.first is not None
    assert (diff.first.label, diff.first.differences) == (
        "step train",
        (Difference("params", "depth", 6, 7),),
    )


def test_code_and_the_names_of_packages(story: Story) -> None:
    rows = training_set(story, 0, story.appends("t", 1)[0], digest="d0")
    made = []
    for version, code, numpy in ((1, "c1", "2.4"), (2, "c2", "2.5")):
        model = story.artifact("Model", f"late@{version}", digest=f"m{version}")
        closure = story.artifact("Code", f"sha256:{code}", digest=f"sha256:{code}")
        environment = story.artifact("Environment", f"e{version}", packages={"numpy": numpy, "pyarrow": "26"})
        made.append(story.execution("step", inputs=[rows], outputs=[model], internal=[closure, environment]))
    diff = Tracer(story.store).diff(f"run:{made[0].uid}", f"run:{made[1].uid}")
    assert diff.first is not None
    assert diff.first.differences == (
        Difference("code", "digest", "sha256:c1", "sha256:c2"),
        Difference("environment", "packages.numpy", "2.4", "2.5"),
    )


def test_the_first_is_the_most_upstream(story: Story) -> None:
    t = story.appends("t", 2)
    early = training_set(story, 0, t[0], digest="d0", where="a")
    late = training_set(story, 1, t[1], digest="d1", where="b")
    train(story, early, 1, digest="m1", depth=6)
    train(story, late, 2, digest="m2", depth=7)
    diff = Tracer(story.store).diff("model:late@1", "model:late@2")
    assert (diff.pairs[0].a, diff.pairs[0].b) == ("table:t@0", "table:t@1")
    assert [p.label for p in diff.pairs] == ["table:t@0 | table:t@1", "step training_set", "step train"]
    assert [d.what for p in diff.pairs for d in p.differences] == ["content", "params", "params"]


def test_two_versions_of_a_table_differ_by_the_commits_between(story: Story) -> None:
    story.appends("t", 400)
    diff = Tracer(story.store).diff("table:t@399", "table:t@0")
    assert [(p.a, p.b) for p in diff.pairs] == [("table:t@399", "table:t@0")]
    assert diff.pairs[0].differences == (Difference("content", "rows", {"n_rows": 4000}, {"n_rows": 10}),)


def test_an_input_on_one_side_only(story: Story) -> None:
    a, b = story.appends("a", 1)[0], story.appends("b", 1)[0]
    left = story.execution("step", inputs=[a])
    right = story.execution("step", inputs=[a, b])
    diff = Tracer(story.store).diff(f"run:{left.uid}", f"run:{right.uid}")
    assert diff.pairs[0].differences == (Difference("inputs", "table:b", None, "table:b@0"),)


def test_inputs_are_paired_by_the_part_they_play(story: Story) -> None:
    a, b = story.appends("a", 1)[0], story.appends("b", 1)[0]
    left = story.execution("step", inputs=[a], paths={a.uid: "rows"})
    right = story.execution("step", inputs=[b], paths={b.uid: "rows"})
    diff = Tracer(story.store).diff(f"run:{left.uid}", f"run:{right.uid}")
    assert [(p.a, p.b) for p in diff.pairs] == [("table:a@0", "table:b@0")]


def test_equal_runs_with_another_output_are_told_apart_by_it(story: Story) -> None:
    rows = training_set(story, 0, story.appends("t", 1)[0], digest="d0")
    train(story, rows, 1, digest="m1", depth=6)
    train(story, rows, 2, digest="m2", depth=6)
    diff = Tracer(story.store).diff("model:late@1", "model:late@2")
    assert diff.first is not None
    assert diff.first.kind == "model"
    assert diff.first.differences == (Difference("content", "bytes", {"digest": "m1"}, {"digest": "m2"}),)


def test_a_model_and_a_run_do_not_compare(journey: Journey) -> None:
    with pytest.raises(UsageError) as caught:
        Tracer(journey.story.store).diff("model:late@1", f"run:{journey.train.uid}")
    assert caught.value.code == "not-comparable"


def test_the_forms_of_a_diff(story: Story) -> None:
    rows = training_set(story, 0, story.appends("t", 1)[0], digest="d0")
    train(story, rows, 1, digest="m1", depth=6)
    train(story, rows, 2, digest="m2", depth=None)
    diff = Tracer(story.store).diff("model:late@1", "model:late@2")
    assert diff.first is not None
    assert diff.text() == (
        "model:late@1 and model:late@2: differ\n"
        f"└── first: step train  a={diff.first.a}, b={diff.first.b}\n"
        "    └── params depth  a=6, b=null\n"
    )
    assert diff.to_dict()["first"] == diff.first.to_dict()
    assert "params depth" in diff.html()
    assert "params depth" in diff._repr_html_()
