"""Thresholds learned from the versions that the graph knows to be clean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.validation.days import Days, opened
from whence.errors import UsageError
from whence.metadata import Artifact
from whence.metadata.marks import lift_mark, put_marks


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    with opened(tmp_path, "memory://") as made:
        for n in range(6):
            made.append(*[float(k % 5) + n / 10 for k in range(40)])
        yield made


def version(days: Days, number: int) -> Artifact:
    (found,) = days.recorder.store.find_nodes("artifact", type_="TableVersion", name=f"days@{number}").nodes
    assert isinstance(found, Artifact)
    return found


def test_from_all_clean_versions_and_that_is_recorded(days: Days) -> None:
    learned = days.validation.learn("days")
    assert learned.versions == (1, 2, 3, 4, 5, 6)
    assert learned.left_out == {0: "it has no rows"}
    mean = next(e for e in learned.thresholds.expectations["x"] if e.of == "mean")
    assert mean.learned_from == tuple(f"days@{v}" for v in range(1, 7))
    (execution,) = days.executions("learn_thresholds")
    events = days.recorder.store.list_events(executions=[execution.uid])
    read = days.recorder.store.get_nodes("artifact", uids=[e.artifact for e in events if e.kind == "INPUT"])
    assert {a.name for a in read if a.type == "Statistics"} == set(mean.learned_from)
    (made,) = days.recorder.store.find_nodes("artifact", type_="Thresholds").nodes
    assert learned.ref == f"artifact:{made.uid}"
    assert (made.get("n_versions"), made.get("left_out")) == (6, {"0": "it has no rows"})
    kept = json.loads(days.validation._blobs.get(str(made.get("digest"))))
    assert kept["versions"] == list(mean.learned_from)
    assert "left out: version 0, it has no rows" in str(learned)


def test_what_was_learned_judges_the_next_version(days: Days) -> None:
    schema = days.validation.infer_schema(days.validation.statistics("days@6"))
    schema = days.validation.learn("days", of="added").apply(schema)
    assert schema["x"].expect
    days.append(*[1_000.0] * 40)
    found = days.validation.validate(days.validation.added("days@7"), schema).anomalies
    assert ("x", "EXPECTATION_HIGH") in {(a.feature, a.type) for a in found}


def test_errors_and_marks_are_left_out(days: Days) -> None:
    schema = days.validation.infer_schema(days.validation.statistics("days@6"))
    days.validation.put_schema("days", schema.edit("x", max=4.15))
    for number in range(1, 7):
        days.validation.validate(f"days@{number}", "days")
    with pytest.raises(
        UsageError, match=r"2 clean versions of 'days' are too few .*it has errors: FLOAT_TYPE_BIG_FLOAT of x"
    ):
        days.validation.learn("days", versions=range(1, 7))
    (one,) = [i for i in days.validation.incidents.list("days") if i.identity.feature == "x"]
    days.validation.incidents.accept(one.id)
    assert days.validation.learn("days").versions == (1, 2, 3, 4, 5, 6)
    (mark,) = put_marks(days.recorder.store, [version(days, 4)], reason="a broken clock", policy="alert")
    learned = days.validation.learn("days")
    assert 4 not in learned.versions
    assert learned.left_out[4] == f"marked bad: a broken clock (mark {mark.id})"
    lift_mark(days.recorder.store, mark)
    assert 4 in days.validation.learn("days").versions


def test_rows_of_a_commit_that_changed_others_cannot_be_told_apart(days: Days) -> None:
    days.table.delete("id < 3")
    learned = days.validation.learn("days", of="added")
    assert learned.left_out[7] == "its commit is of type delete: what it added cannot be told apart"
    assert learned.versions == (1, 2, 3, 4, 5, 6)
    assert days.validation.learn("days").versions[-1] == 7


def test_an_unknown_word_for_what_is_learned_from_is_refused(days: Days) -> None:
    with pytest.raises(UsageError, match=r"of is 'nope', want 'version' or 'added' \(bad-argument\)"):
        days.validation.learn("days", of="nope")  # type: ignore[arg-type]


def test_too_few(days: Days) -> None:
    with pytest.raises(UsageError, match=r"2 clean versions .* \(too-few-versions\)"):
        days.validation.learn("days", versions=[1, 2])
