"""Models that answer: features as they were known, a score, and a row that says whence it came."""

from whence.serving.asking import Answer, Ask, Line
from whence.serving.batch import Scoring
from whence.serving.checking import RequestCheck
from whence.serving.predictions import find_prediction, prediction_schema
from whence.serving.request import Answerer
from whence.serving.scorer import Scorer, open_scorer
from whence.serving.stream import Follower
from whence.serving.types import (
    Deployment,
    Lag,
    Prediction,
    ReplayResult,
    RequestRule,
    ScoreResult,
    StepResult,
)

__all__ = [
    "Answer",
    "Answerer",
    "Ask",
    "Deployment",
    "Follower",
    "Lag",
    "Line",
    "Prediction",
    "ReplayResult",
    "RequestCheck",
    "RequestRule",
    "ScoreResult",
    "Scorer",
    "Scoring",
    "StepResult",
    "find_prediction",
    "open_scorer",
    "prediction_schema",
]
