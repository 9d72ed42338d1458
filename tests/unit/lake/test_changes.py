"""Changes of a table add up, whatever was done to it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from whence.compute import Engine
from whence.errors import IntegrityError
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store
from whence.testing.lake_world import SCHEMA, error_of, ids_of, rows

STEPS = st.lists(st.one_of(st.lists(st.integers(0, 9), max_size=4), st.just("compact")), max_size=8)


@given(STEPS, st.data())
def test_a_version_is_an_earlier_one_and_the_changes_since(
    engine: Engine, steps: list[list[int] | str], data: st.DataObject
) -> None:
    lake = open_lake("memory://", recorder=Recorder(open_store("memory://")), engine=engine)
    table = lake.create("t", SCHEMA)
    for step in steps:
        if isinstance(step, str):
            table.compact()
        else:
            table.append(rows(*step))
    newest = table.head().version
    after = data.draw(st.integers(0, newest))
    upto = data.draw(st.integers(after, newest))
    came = [i for c in table.changes(after, upto) for i in c.rows["id"].to_pylist()]
    assert sorted(ids_of(table.at(after).arrow()) + came) == ids_of(table.at(upto).arrow())


def test_a_log_that_is_gone_is_said(lake: Lake, root: Path) -> None:
    table = lake.create("t", SCHEMA)
    for i in range(3):
        table.append(rows(i))
    (root / "t" / "_delta_log" / f"{2:020}.json").unlink()
    assert error_of(lambda: list(table.changes(0)), IntegrityError).code == "changes-gone"
    assert [ids_of(c.rows) for c in table.changes(2)] == [[2]]
