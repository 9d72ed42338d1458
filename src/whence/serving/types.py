"""The values of serving: a prediction, and what a scoring became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from whence.lake import Commit
from whence.metadata.types import Value


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of a predictions table, with what is needed to trace it.

    Attributes:
        ref: ``prediction:late_scores/B6-35-JFK-2013-07-01``.
        table: The predictions table.
        version: The version it was read from.
        key: The key columns and their values.
        row: All columns.
        features: The columns the model was given, in its order.
        score: What the model answered.
        features_at: The moment the features were taken.
        model: ``late@3``.
        model_digest: Of the model's bytes.
        definitions: View → definition digest.
        sources: Table → version the features were read from.
        execution: The uid of the execution that scored it.
        scored_at: When.
    """

    ref: str
    table: str
    version: int
    key: Mapping[str, object]
    row: Mapping[str, object]
    features: Mapping[str, object]
    score: float
    features_at: datetime
    model: str
    model_digest: str
    definitions: Mapping[str, str]
    sources: Mapping[str, int]
    execution: str
    scored_at: datetime

    @property
    def table_ref(self) -> str:
        """``table:late_scores@7``."""
        return f"table:{self.table}@{self.version}"

    def to_dict(self) -> dict[str, object]:
        """The prediction as plain values."""
        return {
            "ref": self.ref,
            "table": self.table_ref,
            "key": dict(self.key),
            "features_at": self.features_at,
            "features": dict(self.features),
            "score": self.score,
            "model": f"model:{self.model}",
            "model_digest": self.model_digest,
            "definitions": dict(self.definitions),
            "sources": dict(self.sources),
            "execution": f"execution:{self.execution}",
            "scored_at": self.scored_at,
        }


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What a scoring became.

    Attributes:
        commit: The commit that holds the predictions.
        n_rows: How many there are; one for each row of the spine.
        execution: The reference of the execution, ``execution:…``.
        model: The model version that answered, ``model:late@3``.
        duplicate: The batch had been scored before; nothing was written.
    """

    commit: Commit
    n_rows: int
    execution: str
    model: str
    duplicate: bool = False

    @property
    def ref(self) -> str:
        """``table:late_scores@7``."""
        return self.commit.ref

    def to_dict(self) -> dict[str, Value]:
        """The result as plain values."""
        return {
            "table": self.commit.table,
            "version": self.commit.version,
            "n_rows": self.n_rows,
            "execution": self.execution,
            "model": self.model,
            "duplicate": self.duplicate,
        }
