"""Pure statistics: aggregate states that merge, sketches that state their error, metrics, distances."""

from whence.stats.base import State, Values
from whence.stats.classification import (
    CalibrationBin,
    Confusion,
    auc,
    average_precision,
    brier,
    calibration,
    calibration_error,
    confusion,
    log_loss,
    precision_recall,
)
from whence.stats.counts import Count, MinMax
from whence.stats.distance import (
    Counts,
    js,
    js_counts,
    js_histograms,
    kl,
    ks,
    ks_histograms,
    l_infinity,
    psi,
    psi_counts,
    psi_histograms,
)
from whence.stats.frequency import Distinct, TopValues
from whence.stats.hashing import hash64
from whence.stats.histogram import Bucket, Histogram, align, equal_mass, equal_width
from whence.stats.moments import IntegerMoments, Moments
from whence.stats.quantiles import Quantiles

__all__ = [
    "Bucket",
    "CalibrationBin",
    "Confusion",
    "Count",
    "Counts",
    "Distinct",
    "Histogram",
    "IntegerMoments",
    "MinMax",
    "Moments",
    "Quantiles",
    "State",
    "TopValues",
    "Values",
    "align",
    "auc",
    "average_precision",
    "brier",
    "calibration",
    "calibration_error",
    "confusion",
    "equal_mass",
    "equal_width",
    "hash64",
    "js",
    "js_counts",
    "js_histograms",
    "kl",
    "ks",
    "ks_histograms",
    "l_infinity",
    "log_loss",
    "precision_recall",
    "psi",
    "psi_counts",
    "psi_histograms",
]
