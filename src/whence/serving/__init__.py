"""Models that answer: features as they were known, a score, and a row that says whence it came."""

from whence.serving.batch import Scoring
from whence.serving.predictions import find_prediction, prediction_schema
from whence.serving.scorer import Scorer, open_scorer
from whence.serving.types import Prediction, ScoreResult

__all__ = [
    "Prediction",
    "ScoreResult",
    "Scorer",
    "Scoring",
    "find_prediction",
    "open_scorer",
    "prediction_schema",
]
