"""A transaction on the driver itself: what a small durable change costs is its fsync, not its bookkeeping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, TypeAlias

from whence.database.base import Backend, Cursor, Driver, invalid_text, transaction_lost
from whence.errors import UsageError

Tuple: TypeAlias = tuple[Any, ...]  # Any: a row of whatever columns a statement selects
Values: TypeAlias = Sequence[object] | Mapping[str, object]


class Session:
    """One open transaction; `Database.session` makes it, and its block's end ends it.

    Statements are in the driver's words, with the driver's placeholders: let `Prepared` write them where
    they must run on several systems. Values pass as they are: numbers, text, bytes, None.

    Attributes:
        driver: The driver's connection.
        lost: The system took the whole transaction back by itself (a full disk, a deadlock), inside a
            savepoint; the block can only fail.
    """

    __slots__ = ("_backend", "_depth", "_streams", "driver", "lost")

    def __init__(self, driver: Driver, backend: Backend) -> None:
        self.driver = driver
        self.lost = False
        self._backend = backend
        self._depth = 0
        self._streams: list[Cursor] = []

    def rows(self, sql: str, values: Values = ()) -> list[Tuple]:
        """Every row that a statement selects."""
        cursor = self.driver.cursor()
        try:
            cursor.execute(sql, values)
            return list(cursor.fetchall())
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            cursor.close()

    def stream(self, sql: str, values: Values = (), size: int = 1000) -> Iterator[Tuple]:
        """The rows that a statement selects, fetched `size` at a time.

        Read it to its end, or close it, before the next statement: MySQL's protocol has no second
        conversation on one connection, and what runs on a laptop must run there. It ends with the session.
        """
        cursor = self._backend.stream(self.driver)
        self._streams.append(cursor)
        try:
            cursor.execute(sql, values)
            while chunk := cursor.fetchmany(size):
                yield from chunk
                if not self._streams:
                    raise _ended()
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            if self._streams:
                self._streams.remove(cursor)
            cursor.close()

    def expect_many(self) -> None:
        """Say that this transaction writes very many rows."""
        self._backend.expect_many(self.driver)

    def end(self) -> None:
        """Close what is open; the block's end calls it."""
        while self._streams:
            with suppress(Exception):  # the end of the transaction tells what is wrong
                self._streams.pop().close()
        self.driver = ENDED

    def run(self, sql: str, values: Values = ()) -> int:
        """Run a statement that selects nothing; how many rows it changed, -1 where that is not known."""
        cursor = self.driver.cursor()
        try:
            cursor.execute(sql, values)
            return int(cursor.rowcount)
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            cursor.close()

    def many(self, sql: str, sequence: Iterable[Values]) -> None:
        """Run a statement once for each set of values."""
        cursor = self.driver.cursor()
        try:
            cursor.executemany(sql, sequence if isinstance(sequence, list) else list(sequence))
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            cursor.close()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the transaction that an exception takes back alone, the driver's in whence's words."""
        self._depth += 1
        name = f"whence_{self._depth}"
        try:
            self.run(f"SAVEPOINT {name}")
            try:
                yield
            except BaseException as error:
                try:
                    self.run(f"ROLLBACK TO SAVEPOINT {name}")
                    self.run(f"RELEASE SAVEPOINT {name}")
                except Exception as gone:
                    if self._backend.translate(gone) is None:
                        raise
                    self.lost = True
                meaning = self._backend.translate(error)
                if meaning is None:
                    raise
                raise meaning from error
            self.run(f"RELEASE SAVEPOINT {name}")
        finally:
            self._depth -= 1


class Opening:
    """The block of one session: a connection, a turn when it writes, begin, and commit or rollback.

    A class and not a generator: entering and leaving four nested generators costs more than the
    transaction of SQLite that they would surround.

    Args:
        backend: Begins, and translates errors.
        take: Gives an idle connection.
        give: Takes it back; the second argument is false when it may be broken.
        turn: Waits for the turn of this process's writers, or None when the session only reads.
        end_turn: Gives the turn on.
    """

    __slots__ = ("_backend", "_end_turn", "_give", "_session", "_take", "_taken", "_turn")

    def __init__(
        self,
        backend: Backend,
        take: Callable[[], tuple[Any, Driver]],
        give: Callable[[tuple[Any, Driver], bool], None],
        turn: Callable[[], None] | None,
        end_turn: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._take = take
        self._give = give
        self._turn = turn
        self._end_turn = end_turn

    def __enter__(self) -> Session:
        write = self._turn is not None
        if self._turn is not None:
            self._turn()
        try:
            self._taken = taken = self._take()
            try:
                self._backend.begin(taken[1], write=write)
            except BaseException:
                self._undo()
                raise
        except BaseException as error:
            if write:
                self._end_turn()
            self._tell(error)
            raise
        self._session = Session(taken[1], self._backend)
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.end()
        try:
            if error is None and self._session.lost:
                self._undo()
                raise transaction_lost()
            if error is None:
                try:
                    self._backend.check(self._taken[1])
                    self._taken[1].commit()
                except BaseException as failed:
                    self._undo()
                    self._tell(failed)
                    raise
                self._give(self._taken, True)
            else:
                self._undo()
        finally:
            if self._turn is not None:
                self._end_turn()
        if error is not None:
            self._tell(error)

    def _undo(self) -> None:
        """Take the transaction back; a connection that cannot do even that is not used again."""
        sound = False
        try:
            self._taken[1].rollback()
            sound = True
        except Exception as failed:
            if self._backend.translate(failed) is None:
                raise
        finally:
            self._give(self._taken, sound)

    def _tell(self, error: BaseException) -> None:
        meaning = self._backend.translate(error)
        if meaning is not None:
            raise meaning from error


def _ended() -> UsageError:
    return UsageError("this session's transaction has ended", code="session-ended")


class _Ended:
    """What stands for the driver once the session's block is left."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _ended()


ENDED: Final = _Ended()
