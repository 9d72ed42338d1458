"""A prediction, its feature values, and the raw rows that made each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from whence.errors import IntegrityError
from whence.trace.plain import shown

# The columns a scoring writes behind the features, in their order; `features_at` stands before them.
TAKEN_AT: Final = "features_at"
BEHIND: Final = ("score", "model", "model_digest", "definitions", "sources", "execution", "scored_at")


@dataclass(frozen=True, slots=True)
class Scored:
    """One row of a predictions table, read by its columns.

    Attributes:
        values: Feature column → stored value, in the order the model was given them.
        definitions: View → definition digest.
        sources: Table → version that was read.
        about: The columns that name the prediction.
    """

    ref: str
    row: Mapping[str, object]
    about: Mapping[str, object]
    values: Mapping[str, object]
    features_at: datetime
    score: object
    model: str
    execution: str
    definitions: Mapping[str, str]
    sources: Mapping[str, int]

    @classmethod
    def read(cls, ref: str, row: Mapping[str, object]) -> Scored:
        """Take the row of a prediction apart.

        Raises:
            IntegrityError: A column that every scoring writes is absent or unreadable (``not-a-prediction``).
        """
        names = list(row)
        try:
            begin, end = names.index(TAKEN_AT), names.index("score")
            at = row[TAKEN_AT]
            if not isinstance(at, datetime):
                raise TypeError(f"{TAKEN_AT} is {at!r}")
            definitions = {str(k): str(v) for k, v in _mapping(row["definitions"]).items()}
            sources = {str(k): int(str(v)) for k, v in _mapping(row["sources"]).items()}
            execution = str(row["execution"]).rpartition(":")[2]
            model = str(row["model"]).removeprefix("model:")
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"{ref} is not a row that a scoring wrote: {error}", code="not-a-prediction"
            ) from error
        return cls(
            ref=ref,
            row=row,
            about={n: row[n] for n in names[:begin]},
            values={n: row[n] for n in names[begin + 1 : end]},
            features_at=at,
            score=row["score"],
            model=model,
            execution=execution,
            definitions=definitions,
            sources=sources,
        )


def _mapping(value: object) -> Mapping[str, object]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise TypeError(f"{shown(value)} is not a mapping")
    return found
