"""The suite of the online port: subclass `OnlineSuite` in a test module and give it a fixture ``online``."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence.features.base import NEVER, NOBODY, Asked, Found, OnlineRow, OnlineStore

GROUP: Final = '["s","e",["k"]]'
FIRST: Final = {"version": 0}
WAIT_S: Final = 60


def row(
    key: bytes, event_us: int, *, known: int | None = None, name: bytes | None = None, content: bytes = b""
) -> OnlineRow:
    """A row that is known when it happens, unless said otherwise."""
    return OnlineRow(key, name, event_us, event_us if known is None else known, content)


def rank(content: bytes) -> bytes:
    """Contents of the suite are ordered as bytes."""
    return content


def put(
    online: OnlineStore,
    rows: Sequence[OnlineRow],
    *,
    group: str = GROUP,
    to: int = 0,
    after: int | None = None,
) -> bool:
    """Write rows that bring a group to a version."""
    before: Mapping[str, int] = {} if after is None else {"version": after}
    return online.put(group, rows, progress={"version": to}, after=before, facts="facts", rank=rank)


def newest(online: OnlineStore, *asked: Asked, group: str = GROUP) -> list[list[bytes]]:
    """The contents of the newest rows, sorted."""
    with online.reading() as reading:
        return [sorted(content for _, _, content in rows) for rows in reading.newest(group, asked)]


def since(
    online: OnlineStore, key: bytes, at_us: int, reach_us: int | None = None, *, strict: bool = True
) -> list[Found]:
    """The rows of one question."""
    with online.reading() as reading:
        return reading.since(GROUP, [(key, at_us)], reach_us, strict=strict)[0]


# --- the naive store ------------------------------------------------------------------------------


def naive_until(rows: Sequence[OnlineRow], i: int) -> int:
    """When a row is taken back: when the next one of its name became known."""
    mine = (rows[i].known_us, rows[i].content, i)
    if rows[i].name is None:
        return NEVER
    later = [(r.known_us, r.content, j) for j, r in enumerate(rows) if r.name == rows[i].name]
    return min((other for other in later if other > mine), default=(NEVER,))[0]


def naive(rows: Sequence[OnlineRow], key: bytes, at_us: int, *, strict: bool) -> list[Found]:
    """The rows of a key that count at a moment, oldest first."""
    found = []
    for i, r in enumerate(rows):
        start, until = max(r.event_us, r.known_us), naive_until(rows, i)
        counts = start < at_us <= until if strict else start <= at_us < until
        if counts and r.key == key:
            found.append((r.event_us, r.known_us, r.content))
    return sorted(found)


def some(key: bytes, name: bytes | None, event_us: int, known_us: int, value: int) -> OnlineRow:
    """A row whose content tells it from every other, as contents of tables do."""
    return OnlineRow(key, name, event_us, known_us, b"%b %d %d" % (key, event_us, value))


some_row = st.builds(
    some,
    st.sampled_from([b"a", b"b", NOBODY]),
    st.sampled_from([None, b"x", b"y", b"z"]),
    st.integers(-3, 8),
    st.integers(-3, 12),
    st.integers(0, 2),
)


class OnlineSuite:
    """What every online store does. The fixture ``online`` gives an empty one."""

    def test_a_row_is_found_from_its_moment_on(self, online: OnlineStore) -> None:
        assert put(online, [row(b"a", 10, content=b"1"), row(b"b", 12, content=b"2")])
        assert newest(online, (b"a", 9), (b"a", 10), (b"b", 11), (b"b", 99), (b"c", 99)) == [
            [], [b"1"], [], [b"2"], [],
        ]  # fmt: skip

    def test_one_question_and_many_are_answered_alike(self, online: OnlineStore) -> None:
        put(online, [row(b"%d" % (i % 40), i, content=b"%d" % i) for i in range(200)])
        asked = [(b"%d" % (i % 50), 3 * i) for i in range(300)]
        with online.reading() as reading:
            assert reading.newest(GROUP, asked) == [reading.newest(GROUP, [one])[0] for one in asked]
        assert newest(online) == []

    def test_o01_an_older_event_does_not_come_back_over_a_newer_one(self, online: OnlineStore) -> None:
        put(online, [row(b"a", 20, content=b"new")])
        put(online, [row(b"a", 10, content=b"old")], to=1, after=0)
        assert newest(online, (b"a", 30), (b"a", 15)) == [[b"new"], [b"old"]]

    def test_o02_the_order_of_a_batch_does_not_matter(self, online: OnlineStore) -> None:
        rows = [row(b"a", t, content=b"%d" % t) for t in (1, 2, 3)]
        for number, order in enumerate(permutations(rows)):
            put(online, order, group=str(number))
            assert newest(online, (b"a", 5), group=str(number)) == [[b"3"]]

    def test_o06_the_later_known_row_of_a_name_wins_from_then_on(self, online: OnlineStore) -> None:
        put(online, [row(b"a", 10, known=30, name=b"x", content=b"corrected")])
        put(online, [row(b"a", 10, name=b"x", content=b"first")], to=1, after=0)
        assert newest(online, (b"a", 29), (b"a", 30)) == [[b"first"], [b"corrected"]]
        # a window sees the correction only after the moment at which it is known
        assert [found[2] for found in since(online, b"a", 30)] == [b"first"]
        assert [found[2] for found in since(online, b"a", 31)] == [b"corrected"]

    def test_of_two_rows_known_at_once_the_greater_content_wins(self, online: OnlineStore) -> None:
        for number, order in enumerate(permutations([b"1", b"3", b"2"])):
            for to, content in enumerate(order):
                batch = [row(b"a", 10, name=b"x", content=content)]
                put(online, batch, group=str(number), to=to, after=to - 1 if to else None)
            assert newest(online, (b"a", 10), group=str(number)) == [[b"3"]]

    def test_a_correction_may_move_a_row_to_another_key(self, online: OnlineStore) -> None:
        put(
            online, [row(b"a", 10, name=b"x", content=b"1"), row(b"b", 10, known=20, name=b"x", content=b"2")]
        )
        assert newest(online, (b"a", 19), (b"a", 20), (b"b", 19), (b"b", 20)) == [[b"1"], [], [], [b"2"]]

    def test_a_row_of_nobody_only_takes_back(self, online: OnlineStore) -> None:
        put(online, [row(b"a", 10, name=b"x"), row(NOBODY, 10, known=20, name=b"x")])
        assert newest(online, (b"a", 19), (b"a", 20), (NOBODY, 99)) == [[b""], [], []]
        assert since(online, NOBODY, 99) == []

    def test_rows_without_name_do_not_correct_each_other(self, online: OnlineStore) -> None:
        put(online, [row(b"a", 10, content=b"1"), row(b"a", 10, content=b"1"), row(b"a", 10, content=b"2")])
        assert newest(online, (b"a", 10)) == [[b"1", b"1", b"2"]]
        assert len(since(online, b"a", 11)) == 3

    def test_windows_are_open_at_the_moment_and_closed_at_their_reach(self, online: OnlineStore) -> None:
        put(online, [row(b"a", t) for t in (10, 20, 30)] + [row(b"a", 15, known=30)])

        def events(at_us: int, reach_us: int | None = None, *, strict: bool = True) -> list[int]:
            return [found[0] for found in since(online, b"a", at_us, reach_us, strict=strict)]

        assert events(30, 20) == [10, 20]
        assert events(31, 20) == [15, 20, 30]
        assert events(30, 20, strict=False) == [10, 15, 20, 30]
        assert events(30) == [10, 20]
        assert events(31) == [10, 15, 20, 30]

    def test_what_comes_later_is_awaited(self, online: OnlineStore) -> None:
        put(online, [row(b"a", 10), row(b"b", 5, known=10), row(b"c", 5)])
        with online.reading() as reading:
            asked = [(b"a", 9), (b"a", 10), (b"b", 9), (b"c", 9), (b"d", 9)]
            assert reading.awaited(GROUP, asked) == [True, False, True, False, False]

    def test_progress_moves_only_from_where_it_stands(self, online: OnlineStore) -> None:
        assert put(online, [row(b"a", 1)])
        assert not put(online, [row(b"a", 2)])
        assert not put(online, [row(b"a", 2)], to=2, after=1)
        assert put(online, [row(b"a", 3)], to=1, after=0)
        assert put(online, [], to=4, after=1)
        assert online.count(GROUP) == 2
        state = online.state(GROUP)
        assert state is not None
        assert (state.progress, state.facts, state.forgotten_us) == ({"version": 4}, "facts", None)

    def test_groups_are_strangers(self, online: OnlineStore) -> None:
        put(online, [row(b"a", 1, name=b"x", content=b"1")], group="one")
        put(online, [row(b"a", 1, known=2, name=b"x", content=b"2")], group="two")
        assert newest(online, (b"a", 5), group="one") == [[b"1"]]
        assert online.list_groups() == ["one", "two"]
        online.drop("one")
        online.drop("never was")
        assert online.list_groups() == ["two"]
        assert newest(online, (b"a", 5), group="one") == [[]]
        with online.reading() as reading:
            one, two = reading.states(["one", "two"])
        assert one is None
        assert two is not None
        assert put(online, [row(b"a", 1, content=b"3")], group="one")
        assert newest(online, (b"a", 5), group="one") == [[b"3"]]

    def test_what_is_not_there_is_empty(self, online: OnlineStore) -> None:
        assert newest(online, (b"a", 1)) == [[]]
        assert since(online, b"a", 1) == []
        assert online.count(GROUP) == 0
        assert online.state(GROUP) is None
        assert online.forget(GROUP, 5, None) == 0

    def test_forgetting_keeps_what_later_moments_see(self, online: OnlineStore) -> None:
        rows = [row(b"a", t, content=b"%d" % t) for t in (1, 5, 9, 20)]
        rows += [row(b"b", 2, name=b"x", content=b"old"), row(b"b", 2, known=6, name=b"x", content=b"new")]
        put(online, [*rows, row(b"c", 1, content=b"only")])
        assert online.forget(GROUP, 10, 8) == 3  # two old events of a, what was taken back of b
        assert online.count(GROUP) == 4
        assert newest(online, (b"a", 10), (b"a", 30), (b"b", 10), (b"c", 10)) == [
            [b"9"], [b"20"], [b"new"], [b"only"],
        ]  # fmt: skip
        state = online.state(GROUP)
        assert state is not None
        assert (state.forgotten_us, state.since_us) == (10, 8)
        online.forget(GROUP, 5, 3)
        assert online.state(GROUP) == state

    def test_a_row_taken_back_stays_so_when_what_took_it_back_is_forgotten(self, online: OnlineStore) -> None:
        first, moved = row(b"a", 9, name=b"x", content=b"1"), row(b"a", 1, known=10, name=b"x", content=b"2")
        put(online, [first, moved, row(b"a", 2, content=b"3")])
        online.forget(GROUP, 10, 5)
        put(online, [row(NOBODY, 0, known=12, name=b"x")], to=1, after=0)
        assert [found[2] for found in since(online, b"a", 11)] == [b"3"]

    def test_a_reader_sees_one_state(self, online: OnlineStore) -> None:
        put(online, [row(b"a", 1, content=b"1")])
        begun, written = threading.Event(), threading.Event()

        def write() -> None:
            assert begun.wait(WAIT_S)
            put(online, [row(b"a", 2, content=b"2")], to=1, after=0)
            written.set()

        writer = threading.Thread(target=write)
        writer.start()
        with online.reading() as reading:
            before = reading.newest(GROUP, [(b"a", 9)])
            begun.set()
            # a store whose readers shut writers out is as good: the writer then comes after the block
            written.wait(0.2)
            assert reading.newest(GROUP, [(b"a", 9)]) == before
            assert [s.progress for s in reading.states([GROUP]) if s] == [FIRST]
        writer.join(WAIT_S)
        assert written.is_set()
        assert newest(online, (b"a", 9)) == [[b"2"]]

    def test_o12_of_competing_writers_each_batch_is_written_once(self, online: OnlineStore) -> None:
        n_batches, wins = 30, []

        def write(who: int) -> None:
            while True:
                state = online.state(GROUP)
                at = -1 if state is None else state.progress["version"]
                if at >= n_batches - 1:
                    return
                batch = [row(b"a", at + 1, content=b"%d" % (at + 1)), row(b"b", 100 - at, content=b"b")]
                if put(online, batch, to=at + 1, after=None if at < 0 else at):
                    wins.append((who, at + 1))

        writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
        for one in writers:
            one.start()
        for one in writers:
            one.join(WAIT_S)
        assert sorted(version for _, version in wins) == list(range(n_batches))
        assert online.count(GROUP) == 2 * n_batches
        assert newest(online, (b"a", 999)) == [[b"%d" % (n_batches - 1)]]

    @settings(
        max_examples=60, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors],
    )  # fmt: skip
    @given(batches=st.lists(st.lists(some_row, max_size=6), min_size=1, max_size=4))
    def test_whatever_is_written_in_whatever_batches_equals_the_naive_store(
        self, online: OnlineStore, batches: list[list[OnlineRow]]
    ) -> None:
        online.drop(GROUP)
        for to, batch in enumerate(batches):
            assert put(online, batch, to=to, after=to - 1 if to else None)
        rows = [one for batch in batches for one in batch]
        asked = [(key, at) for key in (b"a", b"b") for at in range(-4, 14)]
        with online.reading() as reading:
            for strict in (True, False):
                for question, found in zip(
                    asked, reading.since(GROUP, asked, None, strict=strict), strict=True
                ):
                    assert sorted(found) == naive(rows, *question, strict=strict), question
                    assert [f[:2] for f in found] == sorted(f[:2] for f in found)
            for question, found in zip(asked, reading.newest(GROUP, asked), strict=True):
                usable = naive(rows, *question, strict=False)
                assert sorted(found)[-1:] == usable[-1:], question
                assert {f[0] for f in found} <= {usable[-1][0]} if usable else not found
