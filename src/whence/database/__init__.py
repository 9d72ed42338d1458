"""SQL connections and migrations: one `Database` a workspace, shared by the rooms that keep tables."""

from whence.database.base import Abilities, Backend
from whence.database.connection import Database, is_sqlite, refuse_lost, sqlite_path, sqlite_url
from whence.database.migrations import Component, Migration
from whence.database.session import Session
from whence.database.statements import Prepared

__all__ = [
    "Abilities",
    "Backend",
    "Component",
    "Database",
    "Migration",
    "Prepared",
    "Session",
    "is_sqlite",
    "refuse_lost",
    "sqlite_path",
    "sqlite_url",
]
