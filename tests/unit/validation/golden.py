"""Golden files that the real TFDV wrote, read without any proto library, and statistics held beside them."""

from __future__ import annotations

import math
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.house.source import ROOT

GOLDEN: Final = ROOT / "tests" / "golden" / "validation"
Message = dict[str, list[Any]]
_TOKEN: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([{}:])|([^\s{}:"]+))')
_ESCAPES: Final = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "'": "'", "r": "\r"}


def read_pbtxt(path: Path) -> Message:
    """A text proto as TFDV prints it: field name to the values it has, in order."""
    tokens = _tokens(path.read_text(encoding="utf-8"))
    return _message(tokens)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        quoted, mark, word = match.groups()
        if quoted is not None:
            yield "text", re.sub(r"\\(.)", lambda m: _ESCAPES[m[1]], quoted)
        else:
            yield ("mark", mark) if mark else ("word", word)
    assert not text[at:].strip(), text[at : at + 40]


def _message(tokens: Iterator[tuple[str, str]]) -> Message:
    out: Message = {}
    for kind, name in tokens:
        if (kind, name) == ("mark", "}"):
            break
        _, mark = next(tokens)
        value: Any = _message(tokens) if mark == "{" else _scalar(*next(tokens))
        out.setdefault(name, []).append(value)
    return out


def _scalar(kind: str, text: str) -> Any:
    if kind == "text":
        return text
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text, text)


def first(message: Message, *path: str, default: Any = 0) -> Any:
    """The only value at a path of fields; a number that is not written is 0."""
    for name in path[:-1]:
        message = message.get(name, [{}])[0]
    return message.get(path[-1], [default])[0]


@cache
def golden_statistics(name: str) -> tuple[int, Mapping[tuple[str, ...], Message]]:
    """How many rows, and the features by path."""
    data = read_pbtxt(GOLDEN / f"{name}.stats.pbtxt")["datasets"][0]
    features = {tuple(f["path"][0]["step"]): f for f in data.get("features", [])}
    return first(data, "num_examples"), features


def anomalies_of(message: Message) -> dict[str, list[str]]:
    """The types of anomalies by feature, sorted."""
    return {
        ".".join(i["value"][0]["path"][0]["step"]): sorted(r["type"][0] for r in i["value"][0]["reason"])
        for i in message.get("anomaly_info", [])
    }


def types_of(found: Any) -> dict[str, list[str]]:
    """The types of an ``Anomalies`` message by feature, sorted."""
    name = (
        found.DESCRIPTOR.file.message_types_by_name["AnomalyInfo"].enum_types_by_name["Type"].values_by_number
    )
    return {
        ".".join(i.path.step): sorted(name[r.type].name for r in i.reason)
        for i in found.anomaly_info.values()
    }


def distances_of(found: Any) -> dict[tuple[str, int], float]:
    """The distances it says, by feature and measure."""
    return {
        (".".join(i.path.step), m.type): m.value
        for i in found.drift_skew_info
        for m in (*i.drift_measurements, *i.skew_measurements)
    }


def module_of(name: str) -> Any:
    """A file beside the golden ones, which TFDV's Python imports too."""
    if str(GOLDEN) not in sys.path:
        sys.path.insert(0, str(GOLDEN))
    return __import__(name)


# --- a feature beside its golden one -------------------------------------------------------------


def same_feature(ours: Any, golden: Message, *, narrow: bool = False) -> None:
    """Every statistic is what TFDV says, where its definition is ours too.

    Args:
        ours: A feature.
        golden: The same one in TFDV's proto.
        narrow: The rows came from CSV, whose floats TFDV keeps in 32 bits.
    """
    kind = (
        "string_stats"
        if "string_stats" in golden
        else "struct_stats"
        if "struct_stats" in golden
        else "num_stats"
    )
    stats = golden[kind][0]
    common = first(stats, "common_stats", default={})
    assert ours.num_non_missing == first(common, "num_non_missing")
    assert ours.num_missing == first(common, "num_missing")
    if ours.num_non_missing:
        assert (ours.min_num_values or 0) == first(common, "min_num_values")
        assert (ours.max_num_values or 0) == first(common, "max_num_values")
        assert ours.avg_num_values == pytest.approx(first(common, "avg_num_values"), rel=1e-6)
    assert ours.tot_num_values == first(common, "tot_num_values")
    _same_levels(ours, common.get("presence_and_valency_stats", []))
    if kind == "num_stats":
        assert ours.type in ("INT", "FLOAT", "BOOL")
        assert (ours.type == "FLOAT") == (golden.get("type") == ["FLOAT"])
        _same_numbers(ours, stats, narrow=narrow and ours.type == "FLOAT")
    elif kind == "string_stats":
        assert ours.is_text
        _same_texts(ours, stats)
    else:
        assert ours.type == "STRUCT"
    _same_weights(ours, stats, common)


def _same_levels(ours: Any, levels: list[Message]) -> None:
    if not levels:
        return
    assert len(ours.levels) == len(levels)
    for mine, theirs in zip(ours.levels, levels, strict=True):
        assert (mine.n_present, mine.n_missing) == (
            first(theirs, "num_non_missing"),
            first(theirs, "num_missing"),
        )
        assert (mine.min or 0, mine.max or 0) == (
            first(theirs, "min_num_values"),
            first(theirs, "max_num_values"),
        )
        assert mine.total == first(theirs, "tot_num_values")


def _same_numbers(ours: Any, stats: Message, *, narrow: bool) -> None:
    mean, std = first(stats, "mean"), first(stats, "std_dev")
    histograms = {h.get("type", ["STANDARD"])[0]: h for h in stats.get("histograms", [])}
    n_nan = first(histograms.get("STANDARD", {}), "num_nan")
    assert ours.num_nan == n_nan
    assert ours.num_zeros == first(stats, "num_zeros")
    if ours.n_values == ours.num_nan:
        assert (ours.min, ours.max, ours.mean) == (None, None, None)
        return
    lowest, highest = float(ours.min), float(ours.max)
    if narrow:
        lowest, highest = (struct.unpack("f", struct.pack("f", v))[0] for v in (lowest, highest))
    assert (lowest, highest) == (first(stats, "min"), first(stats, "max"))
    if ours.num_inf:
        assert math.isnan(mean)  # TFDV sums infinities; ours are of the finite values
    else:
        largest = max(abs(lowest), abs(highest))
        assert ours.mean == pytest.approx(mean, rel=1e-12, abs=largest * 2**-24 if narrow else 1e-12)
        assert ours.std_dev == pytest.approx(std, rel=1e-9, abs=largest * 2**-24 if narrow else 1e-12)


def _same_texts(ours: Any, stats: Message) -> None:
    if not ours.n_values:
        assert ours.num_unique == first(stats, "unique") == 0
        return
    assert ours.avg_length == pytest.approx(first(stats, "avg_length"), rel=1e-6)
    assert ours.num_invalid_utf8 == first(stats, "invalid_utf8_count")
    if ours.num_invalid_utf8:
        return  # TFDV counts all of them as one value
    assert ours.num_unique == first(stats, "unique")
    listed = [(first(t, "value", default=""), first(t, "frequency")) for t in stats.get("top_values", [])]
    same_counts(ours.top_values(len(listed)), listed)
    ranks = [
        (first(b, "label", default=""), first(b, "sample_count"))
        for b in first(stats, "rank_histogram", default={}).get("buckets", [])
    ]
    same_counts(list(ours.rank_histogram)[: len(ranks)], ranks)


def same_counts(ours: Any, theirs: list[tuple[str, float]]) -> None:
    """Equal counts in order and equal values; among the last ties the choice is free."""
    plain = [(v.decode() if isinstance(v, bytes) else v, n) for v, n in ours]
    assert [n for _, n in plain] == pytest.approx([n for _, n in theirs])
    last = min((n for _, n in theirs), default=0)
    assert {v: n for v, n in plain if n > last} == pytest.approx({v: n for v, n in theirs if n > last})


def _same_weights(ours: Any, stats: Message, common: Message) -> None:
    weighted = common.get("weighted_common_stats")
    if not weighted:
        return
    w = ours.weighted
    assert w.num_non_missing == pytest.approx(first(weighted[0], "num_non_missing"))
    assert w.num_missing == pytest.approx(first(weighted[0], "num_missing"))
    assert w.tot_num_values == pytest.approx(first(weighted[0], "tot_num_values"))
    assert w.avg_num_values == pytest.approx(first(weighted[0], "avg_num_values"), rel=1e-6)
    if "weighted_numeric_stats" in stats:
        numeric = stats["weighted_numeric_stats"][0]
        assert w.mean == pytest.approx(first(numeric, "mean"))
        assert w.std_dev == pytest.approx(first(numeric, "std_dev"))
        assert w.median == first(numeric, "median")
    if "weighted_string_stats" in stats:
        listed = [
            (first(t, "value", default=""), first(t, "frequency"))
            for t in stats["weighted_string_stats"][0]["top_values"]
        ]
        same_counts(w.top_values(len(listed)), listed)
