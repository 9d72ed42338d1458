"""The life of an anomaly: open, accepted or fixed, and open again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.validation.days import Days, opened
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.validation import Schema, incidents
from whence.validation.incident import Incident, found_in
from whence.validation.incidents import Incidents


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    with opened(tmp_path, "memory://") as made:
        made.append(1.0, 2.0)
        schema = Schema()
        for f in made.validation.infer_schema(made.validation.statistics("days@1")):
            schema = schema.add(replace(f, domain=None))
        schema = schema.edit("x", max=10.0).edit("c", values=["a"])
        made.validation.put_schema("days", schema)
        yield made


def room(days: Days) -> Incidents:
    return days.validation.incidents


def check(days: Days, version: int | None = None, schema: str = "days") -> None:
    number = days.table.head().version if version is None else version
    days.validation.validate(f"days@{number}", schema)


def only(days: Days) -> Incident:
    (one,) = room(days).list("days")
    return one


def bad(days: Days) -> Incident:
    """Version 2 has a value out of range."""
    days.append(99.0)
    check(days)
    return only(days)


def repair(days: Days) -> int:
    days.table.delete("x > 10")
    return days.table.head().version


class TestLife:
    def test_a_validation_opens_it(self, days: Days) -> None:
        check(days)
        assert room(days).list() == []
        one = bad(days)
        assert (one.identity.feature, one.identity.type) == ("x", "FLOAT_TYPE_BIG_FLOAT")
        assert (one.identity.table, one.identity.schema, one.identity.environment) == ("days", "days", None)
        assert (one.state, one.owner, one.first, one.last, one.severity) == ("open", None, 2, 2, "ERROR")
        assert one.id.startswith("days-")
        assert room(days).get(one.identity) == room(days).get(one.id[:10]) == one
        assert room(days).anomaly(one.id).observed == 99.0
        assert room(days).find("days", "x", "FLOAT_TYPE_BIG_FLOAT") == [one]

    def test_the_same_again_is_the_same_one(self, days: Days) -> None:
        one = bad(days)
        check(days)
        days.append(1.0)
        check(days)
        assert only(days) == replace(one, last=3, n_versions=2)
        assert days.executions("decide_anomaly") == []

    def test_a_clean_version_proposes_that_it_is_fixed(self, days: Days) -> None:
        one = bad(days)
        version = repair(days)
        check(days)
        days.append(2.0)
        check(days)
        proposed = only(days)
        assert (proposed.state, proposed.proposed, proposed.clean) == ("open", "fixed", version)
        fixed = room(days).fix(one.id, note="the sensor was changed")
        assert (fixed.state, fixed.proposed, fixed.link) == ("fixed", None, f"table:days@{version}")
        assert (fixed.note, fixed.decisions[0].holds_from) == ("the sensor was changed", version)
        (execution,) = days.executions("decide_anomaly")
        events = days.recorder.store.list_events(executions=[execution.uid])
        read = days.recorder.store.get_nodes(
            "artifact", uids=[e.artifact for e in events if e.kind == "INPUT"]
        )
        assert {(a.type, a.name) for a in read} >= {
            ("Anomalies", "days@2~days@1"), ("TableVersion", f"days@{version}"),
        }  # fmt: skip

    def test_it_comes_back(self, days: Days) -> None:
        one = bad(days)
        repair(days)
        room(days).fix(one.id, link="https://tickets/7")
        check(days, 2)
        assert only(days).state == "fixed", "the old version still has it, as before"
        days.append(50.0)
        check(days)
        back = only(days)
        assert (back.state, back.reopened, back.link) == ("open", 1, "https://tickets/7")
        again = room(days).fix(one.id)
        assert (again.state, again.reopened, len(again.decisions)) == ("fixed", 1, 2)
        assert [d.holds_from for d in again.decisions] == [3, 5]

    def test_the_order_of_validations_does_not_matter(self, days: Days) -> None:
        days.append(99.0)
        repair(days)
        days.append(3.0)
        days.append(70.0)
        order = [2, 3, 4, 5]
        random.Random(7).shuffle(order)
        for version in (*order, *order):
            check(days, version)
        one = only(days)
        assert (one.first, one.last, one.n_versions, one.clean) == (2, 5, 2, None)

    def test_accepted_is_not_asked_for_again(self, days: Days) -> None:
        one = bad(days)
        accepted = room(days).accept(one.id, note="hot days are real")
        assert (accepted.state, accepted.note) == ("accepted", "hot days are real")
        days.append(98.0)
        check(days)
        assert only(days).state == "accepted"
        assert [a.name for a in days.validation.schema_versions("days")] == ["days@1"]
        assert room(days).reopen(one.id).state == "open"

    def test_accepted_into_the_schema(self, days: Days) -> None:
        one = bad(days)
        accepted = room(days).accept(one.id, update=True)
        assert (accepted.state, accepted.link) == ("accepted", "schema:days@2")
        domain = days.validation.get_schema("days")["x"].domain
        assert getattr(domain, "max", None) == 99.0
        check(days)
        assert only(days).state == "accepted"
        assert days.validation.validate("days@2", "days").ok
        days.append(500.0)
        check(days)
        back = only(days)
        assert (back.state, back.last, back.reopened) == ("open", 3, 1), "the schema accepted 99, not 500"
        check(days, 3, "days@1")
        assert room(days).accept(one.id, update=True).link == "schema:days@3"

    def test_a_schema_changed_by_hand_proposes_itself(self, days: Days) -> None:
        one = bad(days)
        days.validation.put_schema("days", days.validation.get_schema("days").edit("x", max=200.0))
        check(days)
        proposed = only(days)
        assert (proposed.clean, proposed.repaired_by) == (2, "schema:days@2")
        assert room(days).fix(one.id).link == "schema:days@2"

    def test_owners(self, days: Days) -> None:
        one = bad(days)
        assert room(days).assign(one.id, "ada").owner == "ada"
        assert room(days).list(owner="ada") == [only(days)]
        assert room(days).list(owner="bob") == []
        fixed = room(days).fix(one.id)
        assert (fixed.owner, fixed.state) == ("ada", "fixed")
        assert (room(days).assign(one.id, None).owner, only(days).state) == (None, "fixed")
        assert room(days).list(state="fixed") == [only(days)]
        assert room(days).list(state="open") == []

    def test_environments_are_apart(self, days: Days) -> None:
        schema = days.validation.get_schema("days").environments("A", "B")
        days.validation.put_schema("days", schema)
        days.append(99.0)
        for environment in ("A", "B"):
            days.validation.validate("days@2", "days", environment=environment)
        assert {i.identity.environment for i in room(days).list("table:days@2")} == {"A", "B"}

    def test_drift_that_was_not_looked_for_is_not_gone(self, days: Days) -> None:
        schema = days.validation.get_schema("days").edit("c", values=["a", "b"], drift_threshold=0.1)
        days.validation.put_schema("days", schema)
        days.append(1.0, 1.0, cs=["b", "b"])
        before = days.validation.statistics("days@1")
        days.validation.validate("days@2", "days", previous=before)
        assert (only(days).identity.type, only(days).clean) == ("COMPARATOR_L_INFTY_HIGH", None)
        days.append(1.0)
        check(days)
        assert only(days).clean is None
        days.append(*[1.0] * 90)
        days.validation.validate("days@4", "days", previous=before)
        assert only(days).clean == 4


class TestWriting:
    def test_the_same_decision_is_written_once(self, days: Days) -> None:
        one = bad(days)
        for _ in range(2):
            room(days).assign(one.id, "ada")
            room(days).accept(one.id, note="so be it", update=True)
            room(days).accept(one.id)
        assert [d.action for d in only(days).decisions] == ["assign", "accept"]
        room(days).fix(one.id, link="table:days@7")
        assert room(days).fix(one.id) == room(days).fix(one.id, link="table:days@7") == only(days)
        assert len(only(days).decisions) == 3

    def test_history_names_who_and_when(self, days: Days) -> None:
        one = bad(days)
        room(days).assign(one.id, "ada", note="please look")
        room(days).accept(one.id, link="https://tickets/9")
        first, second = only(days).decisions
        assert (first.number, first.action, first.state, first.owner) == (1, "assign", "open", "ada")
        assert (second.number, second.action, second.state, second.link) == (
            2, "accept", "accepted", "https://tickets/9",
        )  # fmt: skip
        assert second.at == days.clock.now().isoformat()
        assert second.principal
        assert only(days).to_dict()["decisions"][1]["action"] == "accept"

    def test_many_at_once_each_have_their_place(self, days: Days) -> None:
        one = bad(days)

        def decide(n: int) -> None:
            if n % 2:
                room(days).assign(one.id, f"owner {n}")
            else:
                room(days).reopen(one.id, note=f"note {n}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(decide, range(8)))
        made = only(days).decisions
        assert [d.number for d in made] == list(range(1, len(made) + 1))
        assert {d.owner for d in made if d.action == "assign"} == {f"owner {n}" for n in (1, 3, 5, 7)}

    def test_two_that_accept_different_things_lose_none(self, days: Days) -> None:
        days.append(99.0, cs=["new"])
        check(days)
        ids = [i.id for i in room(days).list("days")]
        assert len(ids) == 2
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda i: room(days).accept(i, update=True), ids))
        assert days.validation.validate("days@2", "days").ok

    def test_endless_contention(self, days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
        one = bad(days)

        def refuse(*_: object, **__: object) -> None:
            raise ConflictError("somebody runs it", code="execution-running")

        monkeypatch.setattr(Incidents, "_write", refuse)
        monkeypatch.setattr(incidents, "_PAUSE_S", 0.0)
        with pytest.raises(ConflictError, match="incident-contested"):
            room(days).fix(one.id)

    def test_what_cannot_be_accepted_into_a_schema(self, days: Days) -> None:
        schema = days.validation.get_schema("days").rule("short", "length(c) < 2")
        days.validation.put_schema("days", schema.edit("c", values=["a", "bb"]))
        days.append(1.0, cs=["bb"])
        check(days)
        with pytest.raises(UsageError, match=r"proposes no change of the schema \(no-proposal\)"):
            room(days).accept(only(days).id, update=True)
        days.append(99.0)
        days.validation.validate("days@3", schema)
        loose = next(
            i for i in room(days).list() if i.identity.schema.startswith("sha256:") and i.identity.feature
        )
        with pytest.raises(UsageError, match=r"the schema is not kept.*\(no-proposal\)"):
            room(days).accept(loose.id, update=True)

    def test_absent(self, days: Days) -> None:
        one = bad(days)
        with pytest.raises(NotFoundError, match=r"incident 'days-0' not found \(incident-not-found\)"):
            room(days).get("days-0")
        with pytest.raises(NotFoundError, match="incident-not-found"):
            room(days).get("")
        with pytest.raises(UsageError, match=r"'opened' is no state \(bad-state\)"):
            room(days).list(state="opened")  # type: ignore[arg-type]
        days.append(1.0, cs=["b"])
        check(days)
        with pytest.raises(UsageError, match="ambiguous-incident"):
            room(days).get("days-")
        assert room(days).get(one.id).id == one.id


def test_reports_of_before_are_read_too(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whence.validation.store.found_in", lambda _: None)
    one = bad(days)
    (artifact,) = days.recorder.store.find_nodes("artifact", type_="Anomalies").nodes
    assert artifact.get("found") is None
    assert one.first == 2


def test_what_the_graph_says_of_a_report(days: Days) -> None:
    days.append(99.0)
    report = days.validation.validate("days@2", "days", previous=days.validation.statistics("days@1"))
    assert found_in(report) == {
        "anomalies": [["x", "FLOAT_TYPE_BIG_FLOAT", "domain.max", "ERROR"]],
        "sides": ["drift"],
    }
