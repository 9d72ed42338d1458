"""SQL connections and migrations: one `Database` a workspace, shared by the rooms that keep tables."""

from whence.database.base import Abilities, Backend
from whence.database.connection import Database, sqlite_url
from whence.database.migrations import Migration
from whence.database.statements import Prepared

__all__ = ["Abilities", "Backend", "Database", "Migration", "Prepared", "sqlite_url"]
