"""ML Metadata's messages made at run time from the table in `published`."""

from __future__ import annotations

from functools import cache
from typing import Final

from whence.integrations.mlmd import published
from whence.integrations.protos import File, Message, Pool, described, pool_of

__all__ = ["PACKAGE", "SERVICE_FILE", "STORE_FILE", "Message", "pool"]

PACKAGE: Final = "ml_metadata"
STORE_FILE: Final = "ml_metadata/proto/metadata_store.proto"
SERVICE_FILE: Final = "ml_metadata/proto/metadata_store_service.proto"
_FILES: Final = (
    File(STORE_FILE, published.STORE, ("google/protobuf/any.proto", "google/protobuf/struct.proto")),
    File(SERVICE_FILE, published.SERVICE, ("google/protobuf/field_mask.proto", STORE_FILE)),
)


@cache
def pool() -> Pool:
    """The pool that holds both files of the wire format, and the service."""
    store, service = described(PACKAGE, _FILES)
    made = service.service.add(name="MetadataStoreService")
    for method in published.METHODS:
        made.method.add(
            name=method,
            input_type=f".{PACKAGE}.{method}Request",
            output_type=f".{PACKAGE}.{method}Response",
        )
    return pool_of((store, service))
