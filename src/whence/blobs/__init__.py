"""Files by digest: bytes go in, a ``sha256:…`` comes out, and the same bytes come back or an error does."""

from whence.blobs.base import BlobStore
from whence.blobs.locate import list_schemes, open_blobs

__all__ = ["BlobStore", "list_schemes", "open_blobs"]
