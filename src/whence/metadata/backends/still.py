"""A database held at one moment: every session on it is one and the same read transaction."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from whence.database import Database, Session
from whence.errors import DeniedError


class Still:
    """A `Database` whose reads all see what its first one saw.

    Args:
        database: Where the transaction is open.
        session: The transaction; who opened it ends it.
    """

    def __init__(self, database: Database, session: Session) -> None:
        self._database = database
        self._session = session

    def session(self, *, write: bool = False) -> AbstractContextManager[Session]:
        """The one session.

        Raises:
            DeniedError: It is to write (``read-only``).
        """
        if write:
            raise DeniedError(
                "nothing may be written into this graph: it is held at one moment", code="read-only"
            )
        return nullcontext(self._session)

    def __getattr__(self, name: str) -> Any:  # Any: whatever a database has
        return getattr(self._database, name)
