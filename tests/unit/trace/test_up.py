"""Where things went, as the graph alone knows it."""

import pytest

from whence.testing.trace import Journey, Story
from whence.trace import Tracer


def test_a_table_reaches_training_sets_models_and_predictions(journey: Journey) -> None:
    impact = Tracer(journey.story.store).impact("table:labels@0")
    assert impact.refs("training sets") == ["table:train.late@0"]
    assert impact.refs("models") == ["model:late@1"]
    assert impact.refs("predictions") == ["table:late_scores@0"]
    assert dict(impact.groups["predictions"][0].facts) == {
        "n_predictions": 3,
        "n_scorings": 1,
        "n_versions": 1,
    }
    assert sorted(impact.refs("runs")) == sorted([f"run:{journey.join.uid}", f"run:{journey.train.uid}"])
    assert impact.notes == ()


def test_who_read_the_version_itself_and_who_a_later_one(journey: Journey) -> None:
    impact = Tracer(journey.story.store).impact("table:arrivals@1")
    assert [(i.ref, i.via) for i in impact.groups["training sets"]] == [("table:train.late@0", "read")]
    later = Tracer(journey.story.store).impact("table:arrivals@0")
    assert [(i.ref, i.via) for i in later.groups["training sets"]] == [("table:train.late@0", "carried")]
    assert later.notes == (
        "versions 1 to 3 of arrivals carry it on: what read one of them is marked carried",
    )


def test_a_version_that_came_after_the_training_set_is_not_in_it(journey: Journey) -> None:
    impact = Tracer(journey.story.store).impact("table:arrivals@2")
    assert set(impact.groups) == {"predictions"}


def test_an_overwrite_ends_what_is_carried(story: Story) -> None:
    old, new = story.table("t@0"), story.table("t@1")
    story.execution("append", outputs=[old])
    story.execution("overwrite", inputs=[old], outputs=[new])
    model = story.artifact("Model", "m@1")
    story.execution("step", inputs=[new], outputs=[model])
    assert Tracer(story.store).impact("table:t@0").n_items == 0
    assert Tracer(story.store).impact("table:t@1").refs("models") == ["model:m@1"]


def test_what_is_carried_goes_on_through_derived_tables(story: Story) -> None:
    raw = story.appends("raw", 1)[0]
    clean = [story.table("clean@0"), story.table("clean@1")]
    story.execution("step", inputs=[raw], outputs=[clean[0]])
    story.execution("append", inputs=[clean[0]], outputs=[clean[1]])
    model = story.artifact("Model", "m@1")
    story.execution("step", inputs=[clean[1]], outputs=[model])
    impact = Tracer(story.store).impact("table:raw@0")
    assert [(i.ref, i.via, dict(i.facts)) for i in impact.groups["tables"]] == [
        ("table:clean@0", "read", {"n_versions": 2, "last": "table:clean@1"})
    ]
    assert [(i.ref, i.via) for i in impact.groups["models"]] == [("model:m@1", "carried")]


def test_the_things_a_run_made_and_what_became_of_them(journey: Journey) -> None:
    impact = Tracer(journey.story.store).impact(f"run:{journey.train.uid}")
    assert list(impact.groups) == ["models", "predictions"]


def test_other_kinds_have_their_groups(story: Story) -> None:
    table = story.appends("t", 1)[0]
    made = [
        story.artifact("Statistics", "t@0"),
        story.artifact("Report", "april"),
        story.artifact("View", "daily@1"),
    ]
    story.execution("statistics", inputs=[table], outputs=made)
    impact = Tracer(story.store).impact("table:t@0")
    assert {g: [i.label for i in items] for g, items in impact.groups.items()} == {
        "views": ["view:daily@1"],
        "reports": ["report april"],
        "statistics": ["statistics:t@0"],
    }
    assert impact.to_dict()["groups"]["statistics"] == [  # type: ignore[index, call-overload]
        {"ref": "statistics:t@0", "kind": "statistics", "label": "statistics:t@0", "via": "read", "facts": {}}
    ]


def test_a_number_of_predictions_that_is_not_known_is_null(journey: Journey) -> None:
    story = journey.story
    more = story.table("late_scores@1")
    story.execution("score", inputs=[journey.model], outputs=[more])
    item = Tracer(story.store).impact("model:late@1").groups["predictions"][0]
    assert (item.facts["n_predictions"], item.facts["n_scorings"]) == (None, 2)


def test_a_trace_goes_up_again(journey: Journey) -> None:
    trace = Tracer(journey.story.store).trace("model:late@1")
    assert trace.up() == Tracer(journey.story.store).impact("model:late@1")


@pytest.mark.parametrize("form", ["text", "html", "_repr_html_"])
def test_the_forms_of_an_impact_name_what_is_affected(journey: Journey, form: str) -> None:
    shown = getattr(Tracer(journey.story.store).impact("table:arrivals@0"), form)()
    assert "table:train.late@0" in shown
    assert "carry it on" in shown
