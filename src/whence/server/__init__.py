"""The door for browsers and programs: pages, their JSON twins, and answers to requests."""

from whence.server.app import make_app
from whence.server.run import serve

__all__ = ["make_app", "serve"]
