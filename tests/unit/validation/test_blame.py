"""Blame: the first version since which an anomaly is there without a break, and who wrote it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.validation.days import Days, opened
from whence.errors import NotFoundError, UsageError
from whence.validation import Anomaly, Schema
from whence.validation.blame import meant

BIG = ("x", "FLOAT_TYPE_BIG_FLOAT")
ENUM = ("c", "ENUM_TYPE_UNEXPECTED_STRING_VALUES")
MISSING = ("x", "FEATURE_TYPE_LOW_FRACTION_PRESENT")


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    with opened(tmp_path) as made:
        yield made


def kept(days: Days) -> Schema:
    """A schema whose rules the first day holds."""
    days.append(1.0, 2.0)
    schema = days.validation.infer_schema(days.validation.statistics("days@1"))
    schema = schema.edit("x", max=10.0, min_fraction=0.75).rule("short", "length(c) < 4")
    days.validation.put_schema("days", schema)
    return schema


def test_the_version_the_execution_and_its_rows(days: Days) -> None:
    kept(days)
    for n in range(8):
        days.append(*([99.0, 98.0, 1.0] if n == 4 else [1.0, 2.0]))
    report = days.validation.validate("days@9", "days")
    (found,) = [a for a in report.anomalies if a.feature == "x"]
    blame = days.validation.blame(found, "days@9")
    assert (blame.since, blame.before, blame.complete, blame.commit) == (6, 5, True, "append")
    commit = next(c for c in days.table.history() if c.version == 6)
    assert (blame.execution, blame.execution_type) == (commit.execution, "append")
    assert (blame.principal, blame.at) == (commit.principal, commit.at)
    assert (blame.n_added, blame.n_bad, blame.rows) == (3, 2, ("row:days@6/10", "row:days@6/11"))
    assert blame.text().splitlines()[0] == "FLOAT_TYPE_BIG_FLOAT of x in table:days@9: since table:days@6"
    assert "2 of the 3 rows it added break the rule" in blame.text()
    assert blame.to_dict()["since"] == 6
    # by halving: nine versions, few looks; the newest from its report
    assert len(blame.looked) <= 5
    assert (blame.looked[0].version, blame.looked[0].how) == (9, "report")


def test_what_is_not_monotone_is_followed_step_by_step(days: Days) -> None:
    kept(days)
    days.append(None, None)  # 2: half missing
    days.append(*[1.0] * 12)  # 3: well again
    days.append(*[None] * 6)  # 4: too many are missing again
    days.append(None)  # 5
    blame = days.validation.blame(MISSING, "days@5")
    assert (blame.since, blame.before, blame.n_bad) == (4, 3, 6)
    assert [(one.version, one.present) for one in blame.looked] == [(5, True), (4, True), (3, False)]
    assert days.validation.blame(MISSING, "days@2").since == 2


def test_a_repaired_table_breaks_the_run(days: Days) -> None:
    kept(days)
    days.append(99.0)  # 2
    days.table.delete("x > 10")  # 3
    days.append(3.0)  # 4
    days.append(50.0)  # 5
    days.append(3.0)  # 6
    blame = days.validation.blame(BIG, "days@6")
    assert (blame.since, blame.before) == (5, 4)
    with pytest.raises(NotFoundError, match=r"FLOAT_TYPE_BIG_FLOAT of 'x' in days@4.*\(anomaly-not-found\)"):
        days.validation.blame(BIG, "days@4")


def test_a_commit_that_changes_rows_does_not_hide_what_was_there_before(days: Days) -> None:
    kept(days)
    days.append(99.0)  # 2
    days.table.delete("x = 1.0")  # 3: something else
    days.append(3.0)  # 4
    days.table.compact()  # 5
    assert days.validation.blame(BIG, "days@5").since == 2


def test_a_merge_is_blamed_as_a_whole(days: Days) -> None:
    kept(days)
    days.table.merge(pa.table({"id": [0], "x": [77.0], "c": ["a"]}, schema=days.table.schema))
    days.append(1.0)
    blame = days.validation.blame(BIG, "days@3")
    assert (blame.since, blame.commit, blame.n_bad) == (2, "merge", None)


def test_a_rule_about_rows(days: Days) -> None:
    kept(days)
    for n in range(5):
        days.append(1.0, cs=["far too long" if n == 2 else "a"])
    blame = days.validation.blame(("", "CUSTOM_VALIDATION", "short"), "days@6")
    assert (blame.since, blame.n_bad, blame.rows) == (4, 1, ("row:days@4/4",))
    assert "CUSTOM_VALIDATION 'short' in table:days@6: since table:days@4" in str(blame)


def test_values_outside_of_the_domain(days: Days) -> None:
    schema = kept(days)
    days.validation.put_schema("days", schema.edit("c", values=["a"]))
    days.append(1.0, cs=["b"])
    days.append(1.0)
    assert days.validation.blame(ENUM, "days@3").since == 2
    tolerant = schema.edit("c", values=["a"], min_domain_mass=0.7)
    days.append(1.0, cs=["b"])  # 4: two of five
    assert days.validation.blame(ENUM, "days@4", schema=tolerant).since == 4


def test_drift_since_a_version(days: Days) -> None:
    schema = kept(days).edit("c", drift_threshold=0.3)
    days.append(1.0, 1.0, cs=["a", "b"])  # 2: b is a quarter
    days.append(1.0, 1.0, cs=["b", "b"])  # 3: half
    days.append(1.0, 1.0, cs=["b", "b"])  # 4
    wanted = ("c", "COMPARATOR_L_INFTY_HIGH")
    blame = days.validation.blame(
        wanted, "days@4", schema=schema, previous=days.validation.statistics("days@1")
    )
    assert (blame.since, blame.before) == (3, 2)
    days.validation.put_schema("days", schema)
    over = days.validation.blame(
        ("c",), "days@4", previous=days.validation.statistics("days@1"), threshold=0.2
    )
    assert (over.since, over.type) == (2, "COMPARATOR_L_INFTY_HIGH")
    with pytest.raises(UsageError, match=r"nothing is named that it is measured against \(not-blamable\)"):
        days.validation.blame(wanted, "days@4")


def test_the_table_began_with_it(days: Days) -> None:
    days.append(99.0)
    schema = days.validation.infer_schema(days.validation.statistics("days@1")).edit("x", max=10.0)
    blame = days.validation.blame(BIG, "days@1", schema=schema)
    assert (blame.since, blame.before, blame.complete) == (1, 0, True)
    table = days.lake.table("other")
    table.append(days.rows([99.0]))
    blame = days.validation.blame(BIG, "other@0", schema=schema)
    assert (blame.since, blame.before, blame.complete, blame.reason) == (
        0,
        None,
        True,
        "the table began with it",
    )


def test_a_bound_is_told(days: Days) -> None:
    kept(days)
    for _ in range(6):
        days.append(None, None, None)
    blame = days.validation.blame(MISSING, "days@7", limit=3)
    assert (blame.since, blame.complete) == (5, False)
    assert blame.reason == "given up after 3 versions: limit= raises that"
    assert "since at least table:days@5" in blame.text()


def test_versions_that_are_gone_end_it_and_that_is_told(days: Days) -> None:
    kept(days)
    for _ in range(3):
        days.append(None, None, None)
    days.table.compact()
    days.append(None)
    days.table.vacuum(retention_hours=0, dry_run=False)
    blame = days.validation.blame(MISSING, "days@6")
    assert (blame.since, blame.complete) == (6, False)
    assert blame.reason.startswith("older versions cannot be read: ")


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("INVALID_SCHEMA_SPECIFICATION", "a fault of the schema"),
        ("EXPECTATION_STALE", "comes with time"),
        ("COMPARATOR_HIGH_NUM_EXAMPLES", "is a distance"),
    ],
)
def test_what_no_commit_brings(days: Days, type_: str, said: str) -> None:
    kept(days)
    with pytest.raises(UsageError, match=rf"{said}.*\(not-blamable\)"):
        days.validation.blame(("x", type_), "days@1")


def test_arguments(days: Days) -> None:
    kept(days)
    with pytest.raises(UsageError, match=r"'x' names no anomaly \(bad-anomaly\)"):
        days.validation.blame("x", "days@1")
    with pytest.raises(UsageError, match="bad-reference"):
        days.validation.blame(BIG, "days")
    with pytest.raises(NotFoundError, match="schema-not-found"):
        days.validation.blame(BIG, "days@1", schema="dais")
    assert meant(Anomaly("x", "FLOAT_TYPE_BIG_FLOAT", "ERROR", "domain.max", 1, 2, "")) == (
        *BIG,
        "domain.max",
    )


def naive(days: Days, wanted: tuple[str, str], last: int, schema: Schema) -> int | None:
    """Every version judged from its own rows."""
    since = None
    for version in range(last, 0, -1):
        report = days.validation.validate(days.table.at(version).arrow(), schema)
        if wanted not in [(a.feature, a.type) for a in report.anomalies]:
            break
        since = version
    return since


STEP = st.one_of(
    st.lists(st.sampled_from([1.0, 2.0, 99.0, None]), min_size=1, max_size=4),
    st.sampled_from(["delete", "compact", "overwrite"]),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=8), wanted=st.sampled_from([BIG, MISSING]))
def test_as_a_naive_walk(steps: list[list[float | None] | str], wanted: tuple[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), "memory://") as days:
        schema = kept(days)
        for step in steps:
            if step == "delete":
                days.table.delete("x > 10")
            elif step == "compact":
                days.table.compact()
            elif step == "overwrite":
                days.table.overwrite(days.rows([1.0, 2.0, 3.0]))
            else:
                days.append(*step)
        last = days.table.head().version
        expected = naive(days, wanted, last, schema)
        if expected is None:
            with pytest.raises(NotFoundError, match="anomaly-not-found"):
                days.validation.blame(wanted, f"days@{last}", schema=schema)
            return
        found = days.validation.blame(wanted, f"days@{last}", schema=schema)
        assert found.complete
        # A commit that changed no rows brought nothing: the one before it with these rows is named.
        quiet = {c.version for c in days.table.history() if not c.changes_rows}
        while expected in quiet:
            expected -= 1
        assert found.since == expected
