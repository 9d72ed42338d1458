"""whence: for any prediction, whence did this come, down to the rows."""

from whence._version import __version__

__all__ = ["__version__"]
