"""The types the recorder itself writes: what every execution says of itself, and the contexts made by themselves."""

from __future__ import annotations

from typing import Final

from whence.metadata.types import PropertyType, Type

EXECUTION_PROPERTIES: Final[dict[str, PropertyType]] = {
    "principal": "STRING",
    "started_at": "STRING",
    "finished_at": "STRING",
    "duration_s": "DOUBLE",
    "attempt": "INT",
    "params": "STRUCT",
    "error": "STRING",
    "error_type": "STRING",
    "error_code": "STRING",
    "recovered": "STRING",
    "environment": "STRING",
    "git": "STRUCT",
    "code": "STRING",
    "parent": "STRING",
    "pid": "INT",
    "host": "STRING",
    "life": "STRING",
}
"""What the recorder writes on every execution; times are ISO 8601 in UTC, `parent` is the uid of the outer one."""

ENVIRONMENT: Final = Type(
    "artifact",
    "Environment",
    {
        "python": "STRING",
        "implementation": "STRING",
        "system": "STRING",
        "machine": "STRING",
        "platform": "STRING",
        "cpu_count": "INT",
        "threads": "STRUCT",
        "timezone": "STRING",
        "locale": "STRING",
        "packages": "STRUCT",
    },
    description="interpreter, platform and package versions; the name is the digest of all of it",
)
CODE: Final = Type(
    "artifact",
    "Code",
    {"qualified_name": "STRING", "digest": "STRING", "blob": "STRING", "source": "STRING"},
    description="a function and the first-party code it needs; the name is its digest",
)
CONTEXTS: Final = tuple(
    Type("context", name) for name in ("Project", "Pipeline", "PipelineRun", "Experiment")
)

STANDARD_TYPES: Final = (ENVIRONMENT, CODE, *CONTEXTS)
