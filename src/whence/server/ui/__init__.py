"""Pages for people: server-rendered, without need of a script, each also as ``.json``."""

from whence.server.ui.router import not_found, router

__all__ = ["not_found", "router"]
