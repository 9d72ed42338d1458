"""Pure statistics: aggregate states that merge, sketches that state their error, metrics, distances."""

from whence.stats.base import State, Values
from whence.stats.binned import (
    Divergences,
    cells_of,
    count_cells,
    divergences,
    js_of,
    ks_bracket,
    ks_low,
)
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
from whence.stats.sequential import (
    BETS,
    Running,
    e_from_p,
    student_quantile,
    student_sf,
    symmetric_bets,
)
from whence.stats.weighted import WeightedMoments, WeightedQuantiles, WeightedTop

__all__ = [
    "BETS",
    "Bucket",
    "CalibrationBin",
    "Confusion",
    "Count",
    "Counts",
    "Distinct",
    "Divergences",
    "Histogram",
    "IntegerMoments",
    "MinMax",
    "Moments",
    "Quantiles",
    "Running",
    "State",
    "TopValues",
    "Values",
    "WeightedMoments",
    "WeightedQuantiles",
    "WeightedTop",
    "align",
    "auc",
    "average_precision",
    "brier",
    "calibration",
    "calibration_error",
    "cells_of",
    "confusion",
    "count_cells",
    "divergences",
    "e_from_p",
    "equal_mass",
    "equal_width",
    "hash64",
    "js",
    "js_counts",
    "js_histograms",
    "js_of",
    "kl",
    "ks",
    "ks_bracket",
    "ks_histograms",
    "ks_low",
    "l_infinity",
    "log_loss",
    "precision_recall",
    "psi",
    "psi_counts",
    "psi_histograms",
    "student_quantile",
    "student_sf",
    "symmetric_bets",
]
