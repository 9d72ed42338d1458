"""Predictions: tables of them, search by key, one of them."""

from __future__ import annotations

from whence.server.api.predictions import list_prediction_tables, list_predictions, show_prediction
from whence.server.ui.page import Page

PAGES = (
    Page("/predictions", "prediction_tables.html", "predictions", list_prediction_tables),
    Page("/predictions/{table}", "predictions.html", "predictions", list_predictions),
    Page("/predictions/{table}/row", "prediction.html", "predictions", show_prediction),
)
