"""The words of a workspace that reach no room yet say so; the others reach the right one."""

from __future__ import annotations

import pytest

import whence


def test_the_quarantine_says_that_it_is_not_there_yet(workspace: whence.Workspace) -> None:
    with pytest.raises(whence.UnsupportedError, match="'flights' has no quarantine yet") as caught:
        workspace.quarantine("flights")
    assert (caught.value.code, caught.value.exit_code) == ("no-quarantine", 2)


def test_a_table_answers_for_its_newest_version(workspace: whence.Workspace) -> None:
    flights = workspace.table("flights")
    flights.append([{"flight": 1}])
    first = flights.digest()
    flights.append([{"flight": 2}])
    assert flights.digest() == flights.head().digest() == flights.at(1).digest()
    assert first == flights.at(0).digest() != flights.digest()


def test_the_digest_of_a_table_that_is_not_there(workspace: whence.Workspace) -> None:
    with pytest.raises(whence.NotFoundError, match="table 'flights' not found"):
        workspace.table("flights").digest()
