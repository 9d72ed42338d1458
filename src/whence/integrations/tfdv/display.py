"""To look at, by TFDV's names: data frames and pages in a notebook, text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from whence.integrations.tfdv.feature_path import FeaturePath
from whence.integrations.tfdv.frames import (
    anomaly_rows,
    get_anomalies_dataframe,
    get_schema_dataframe,
    schema_rows,
)
from whence.integrations.tfdv.messages import Message, as_ours, statistics_pb2
from whence.integrations.tfdv.refusals import UsageError
from whence.integrations.tfdv.statistics_in import default_dataset, statistics_from_proto
from whence.integrations.tfdv.views import get_slice_stats
from whence.validation import Statistics
from whence.validation.page import statistics_fragment
from whence.validation.statistics import html_table, plain_table

_NONE_FOUND = "No anomalies found."


def display_schema(schema: Message) -> None:
    """Show the features and the domains of a schema.

    Raises:
        TypeError: It is no ``Schema``.
    """
    features, domains = schema_rows(schema)
    heads = ("Feature name", "Type", "Presence", "Valency", "Domain")
    frames = get_schema_dataframe(schema) if _has_pandas() else (None, None)
    _show(frames[0], [dict(zip(heads, row, strict=True)) for row in features])
    if domains:
        _show(frames[1], [dict(zip(("Domain", "Values"), row, strict=True)) for row in domains])


def display_anomalies(anomalies: Message) -> None:
    """Show anomalies, or that there are none.

    Raises:
        TypeError: They are no ``Anomalies``.
    """
    rows = anomaly_rows(anomalies)
    if not rows:
        _show_html(f'<h4 style="color:green;">{_NONE_FOUND}</h4>', _NONE_FOUND)
        return
    names = ("Feature name", "Anomaly short description", "Anomaly long description")
    frame = get_anomalies_dataframe(anomalies) if _has_pandas() else None
    _show(frame, [dict(zip(names, row, strict=True)) for row in rows])


def get_statistics_html(
    lhs_statistics: Message,
    rhs_statistics: Message | None = None,
    lhs_name: str = "lhs_statistics",
    rhs_name: str = "rhs_statistics",
    allowlist_features: Sequence[FeaturePath] | None = None,
    denylist_features: Sequence[FeaturePath] | None = None,
) -> str:
    """Statistics as HTML that needs nothing from elsewhere, two sets beside each other when given.

    Args:
        lhs_statistics: What is shown.
        rhs_statistics: What it is compared with.
        lhs_name: Its name.
        rhs_name: The other's name.
        allowlist_features: Only these features.
        denylist_features: All features but these.

    Raises:
        TypeError: An argument is another message.
        UsageError: Both lists of features are given.
    """
    if allowlist_features and denylist_features:
        raise UsageError("give one of allowlist_features and denylist_features")
    sides = [_side(lhs_statistics, lhs_name, allowlist_features, denylist_features)]
    if rhs_statistics is not None:
        sides.append(_side(rhs_statistics, rhs_name, allowlist_features, denylist_features))
    return str(statistics_fragment(*sides))


def visualize_statistics(
    lhs_statistics: Message,
    rhs_statistics: Message | None = None,
    lhs_name: str = "lhs_statistics",
    rhs_name: str = "rhs_statistics",
    allowlist_features: Sequence[FeaturePath] | None = None,
    denylist_features: Sequence[FeaturePath] | None = None,
) -> None:
    """Show statistics; the arguments are those of `get_statistics_html`."""
    html = get_statistics_html(
        lhs_statistics, rhs_statistics, lhs_name, rhs_name, allowlist_features, denylist_features
    )
    sides = [(lhs_statistics, lhs_name), (rhs_statistics, rhs_name)]
    text = "\n\n".join(
        _side(s, name, allowlist_features, denylist_features).text() for s, name in sides if s is not None
    )
    _show_html(html, text)


def compare_slices(statistics: Message, lhs_slice_key: str, rhs_slice_key: str) -> None:
    """Show two slices beside each other.

    Raises:
        NotFoundError: A slice is absent (``slice-not-found``).
    """
    visualize_statistics(
        get_slice_stats(statistics, lhs_slice_key),
        get_slice_stats(statistics, rhs_slice_key),
        lhs_name=lhs_slice_key,
        rhs_name=rhs_slice_key,
    )


def _side(
    statistics: Message,
    name: str,
    allowed: Sequence[FeaturePath] | None,
    denied: Sequence[FeaturePath] | None,
) -> Statistics:
    given = as_ours(statistics, "DatasetFeatureStatisticsList")
    alone = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = alone.datasets.add()
    dataset.CopyFrom(default_dataset(given))
    listed = {p.steps() for p in (allowed or denied or ())}
    kept = [
        f
        for f in dataset.features
        if (allowed is None and denied is None) or (tuple(f.path.step) in listed) == (allowed is not None)
    ]
    del dataset.features[:]
    dataset.features.extend(kept)
    return statistics_from_proto(alone, name=name)


# --- where it is shown --------------------------------------------------------------------------


def _has_pandas() -> bool:
    return find_spec("pandas") is not None


def _show(frame: Any, rows: list[dict[str, str]]) -> None:
    if _notebook() is None:
        sys.stdout.write(plain_table(rows) + "\n")
    elif frame is None:
        _show_html(html_table(rows), plain_table(rows))
    else:
        _notebook().display(frame)


def _show_html(html: str, text: str) -> None:
    notebook = _notebook()
    if notebook is None:
        sys.stdout.write(text + "\n")
    else:
        notebook.display(notebook.HTML(html))


def _notebook() -> Any:
    """IPython's display when the program runs in it. Any: it is not installed here."""
    shell = sys.modules.get("IPython")
    if shell is None or shell.get_ipython() is None:
        return None
    return sys.modules.get("IPython.display")
