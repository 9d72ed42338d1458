"""The door for a terminal: every verb of the house as a command, every listing also as JSON."""

from whence.cli.app import main

__all__ = ["main"]
