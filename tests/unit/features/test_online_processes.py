"""The SQLite online store among processes: killed anywhere, two that do the same, readers beside a writer."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT
from tests.unit.features.online_elsewhere import SINCE, VIEWS, materialize
from tests.unit.features.online_world import SCHEMA, T0, minute, row, table_of
from whence._base.crash import VARIABLE
from whence.errors import BackendError, ConflictError, IntegrityError
from whence.features import OnlineAnswer, open_online
from whence.features.base import OnlineRow
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

N_COMMITS = 5
POINTS = [
    "metadata.intent.after",
    "features.materialize.before_put:1",
    "features.materialize.before_put:6",
    "features.online.rows_written:1",
    "features.online.rows_written:2",
    "features.online.rows_written:7",
    "features.materialize.after_put:1",
    "features.materialize.after_put:5",
    "features.materialize.before_record",
]


def some_rows(n: int, seed: int) -> list[dict[str, Any]]:
    """Late, corrected, repeated and moved rows."""
    chance = random.Random(seed)
    found = []
    for i in range(n):
        event = chance.uniform(0, 30)
        at = event + chance.choice([0, 0, 0, 5])
        key = chance.choice("KLM")
        found.append(row(f"r{chance.randrange(3 * n)}", key, i, event, at=at, b=chance.random() < 0.5))
    return found


def fill(folder: Path) -> None:
    rooms = HandBuiltRooms(folder)
    table = rooms.lake.create("s", SCHEMA, key=["id"], known_at="at")
    for seed in range(N_COMMITS):
        last = seed == N_COMMITS - 1
        table.append(table_of(some_rows(12, seed)), watermark=minute(40) if last else None)
    rooms.close()


def everything(folder: Path) -> dict[str, Any]:
    """What a store holds and says, but for the order in which rows came."""
    found: dict[str, Any] = {}
    with sqlite3.connect(folder / "online.db") as connection:
        for g, name, progress in connection.execute("SELECT g, name, progress FROM groups").fetchall():
            rows = connection.execute(f"SELECT k, e, kn, s, name, content FROM rows_{g}").fetchall()
            found[name] = (progress, sorted(rows, key=str))
    connection.close()
    return found


def answers(rooms: HandBuiltRooms, since: datetime = T0) -> OnlineAnswer:
    moments = [max(since, minute(i)) for i in range(32)]
    keys = {"k": list("KLMZ") * 8, "b": [True, False] * 16, "at": moments}
    return rooms.features.get_online(keys, VIEWS, at="at")


@pytest.fixture
def undisturbed(tmp_path: Path) -> Iterator[tuple[HandBuiltRooms, dict[str, Any]]]:
    """A workspace whose rows were brought into the store in one go."""
    fill(tmp_path / "calm")
    materialize(str(tmp_path / "calm"))
    rooms = HandBuiltRooms(tmp_path / "calm")
    yield rooms, everything(tmp_path / "calm")
    rooms.close()


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_goes_on_and_ends_with_the_same(
    point: str, tmp_path: Path, undisturbed: tuple[HandBuiltRooms, dict[str, Any]]
) -> None:
    folder = tmp_path / "killed"
    fill(folder)
    entry = "tests.unit.features.online_elsewhere:materialize"
    assert run_elsewhere(entry, str(folder), paths=[str(ROOT)], environment={VARIABLE: point}) == -9
    materialize(str(folder))
    rooms = HandBuiltRooms(folder)
    calm, want = undisturbed
    assert everything(folder) == want
    assert answers(rooms).rows() == answers(calm).rows()
    assert rooms.features.materialize(*VIEWS).n_rows == 0
    rooms.close()


@pytest.mark.parametrize("point", ["features.materialize.begun:1", "features.materialize.begun:2", *POINTS])
def test_killed_while_loading_what_is_still_seen_it_answers_as_if_all_were_there(
    point: str, tmp_path: Path, undisturbed: tuple[HandBuiltRooms, dict[str, Any]]
) -> None:
    folder = tmp_path / "killed"
    fill(folder)
    entry = "tests.unit.features.online_elsewhere:materialize_since"
    assert run_elsewhere(entry, str(folder), paths=[str(ROOT)], environment={VARIABLE: point}) == -9
    materialize(str(folder), SINCE)
    rooms = HandBuiltRooms(folder)
    calm, want = undisturbed
    assert answers(rooms, SINCE).rows() == answers(calm, SINCE).rows()
    found = everything(folder)
    for name, (_, rows) in found.items():
        assert set(map(str, rows)) <= set(map(str, want[name][1]))
    # who dies before it is said what need not be answered loads all rows
    assert "begun" in point or sum(len(rows) for _, rows in found.values()) < sum(
        len(rows) for _, rows in want.values()
    )
    rooms.close()


def test_two_processes_that_do_the_same_write_each_row_once(
    tmp_path: Path, undisturbed: tuple[HandBuiltRooms, dict[str, Any]]
) -> None:
    folder = tmp_path / "both"
    fill(folder)
    entry, codes = "tests.unit.features.online_elsewhere:materialize", []

    def run() -> None:
        codes.append(run_elsewhere(entry, str(folder), paths=[str(ROOT)]))

    both = [threading.Thread(target=run) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(120)
    assert codes == [0, 0]
    assert everything(folder) == undisturbed[1]


def test_a_reader_beside_a_writer_sees_whole_batches(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'online.db'}"
    writer, reader = open_online(url), open_online(url)
    n_batches, seen, failures = 60, [], []
    done = threading.Event()

    def read() -> None:
        try:
            while True:
                last = done.is_set()
                with reader.reading() as view:
                    state = view.states(["g"])[0]
                    counts = [
                        len(rows) for rows in view.since("g", [(b"a", 999), (b"b", 999)], None, strict=False)
                    ]
                if state is not None:
                    seen.append((state.progress["version"], counts))
                if last:
                    return
        except Exception as error:  # noqa: BLE001 - shown by the main thread
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for i in range(n_batches):
        batch = [OnlineRow(key, None, i, i, b"") for key in (b"a", b"b")]
        after = {"version": i - 1} if i else {}
        assert writer.put("g", batch, progress={"version": i}, after=after, facts="", rank=bytes)
    done.set()
    thread.join(60)
    assert failures == []
    assert seen[-1] == (n_batches - 1, [n_batches, n_batches])
    assert all(counts == [version + 1, version + 1] for version, counts in seen)
    writer.close()
    reader.close()


# --- the file -------------------------------------------------------------------------------------


def test_the_store_is_there_again_when_it_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'online.db'}"
    store = open_online(url)
    store.put(
        "g", [OnlineRow(b"a", None, 1, 1, b"x")], progress={"version": 0}, after={}, facts="f", rank=bytes
    )
    store.close()
    with open_online(url).reading() as reading:
        assert reading.newest("g", [(b"a", 1)]) == [[(1, 1, b"x")]]


def test_a_newer_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ConflictError, match="has layout 99") as caught:
        open_online(f"sqlite:///{path}")
    assert caught.value.code == "workspace-newer"


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(IntegrityError, match="damaged or not a database") as caught:
        open_online(f"sqlite:///{path}")
    assert caught.value.code == "store-corrupt"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be opened") as caught:
        open_online(f"sqlite:///{tmp_path / 'nowhere' / 'online.db'}")
    assert caught.value.code == "store-unavailable"
