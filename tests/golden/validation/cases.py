"""Small tables that hold what is hard, as Arrow: read by whence's tests and by the Python that has TFDV.

Only pyarrow and the standard library: `make.py` runs this file where whence is not installed. A column is given as
whence gets it; `listed` wraps it as TFDV wants it (every column a list, a missing value a missing list).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class Case:
    """A table, and the options TFDV describes it with."""

    table: pa.Table
    options: Mapping[str, Any] = field(default_factory=dict)


def listed(table: pa.Table) -> pa.Table:
    """The same rows with every value in a list of its own."""
    return pa.table([_listed(c.combine_chunks()) for c in table.columns], names=table.column_names)


def _listed(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):  # pyarrow differs between versions in what combining gives
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_list(column.type) or pa.types.is_null(column.type):
        return column
    here = column.is_valid().to_pylist()
    offsets, n = [0], 0
    for present in here:
        n += present
        offsets.append(n)
    starts: list[int | None] = [o if present else None for o, present in zip(offsets, [*here, True])]  # noqa: B905
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), column.drop_null())


def numbers() -> Case:
    """Nulls, NaN, infinities, zeros, constants, every width."""
    return Case(
        pa.table(
            {
                "int": pa.array([3, None, 0, -7, 3, 12, None, 5], pa.int64()),
                "small": pa.array([1, 2, 3, None, 5, 6, 7, 8], pa.int8()),
                "unsigned": pa.array([1, 2, 3, 4, 5, 4_000_000_000, 7, None], pa.uint32()),
                "big": pa.array([2**53 - 1, 2**53, 2**53 + 1, -(2**53), 0, 1, None, 2**40], pa.int64()),
                "flag": pa.array([0, 1, 1, 0, None, 1, 0, 0], pa.int64()),
                "ones": pa.array([1] * 8, pa.int64()),
                "constant": pa.array([2.5] * 8, pa.float64()),
                "float": pa.array([1.5, None, 0.0, -2.25, 1e10, 1e-10, 3.0, 0.0], pa.float64()),
                "narrow": pa.array([0.5, 1.25, None, -3.0, 8.0, 0.0, 2.0, 4.0], pa.float32()),
                "nan": pa.array([1.0, NAN, None, 4.0, NAN, 2.0, 0.0, 8.0], pa.float64()),
                "infinite": pa.array([1.0, INF, None, -INF, 4.0, INF, 0.0, 2.0], pa.float64()),
                "wild": pa.array([1.0, INF, None, -INF, NAN, NAN, 0.0, 2.0], pa.float64()),
                "only_nan": pa.array([NAN, NAN, None, NAN, NAN, NAN, NAN, NAN], pa.float64()),
                "no_int": pa.array([None] * 8, pa.int64()),
                "no_float": pa.array([None] * 8, pa.float64()),
            }
        )
    )


def texts() -> Case:
    """Nulls, empty texts, ties, text that is not UTF-8, texts that read as numbers and booleans."""
    return Case(
        pa.table(
            {
                "text": pa.array(["b", "a", None, "b", "", "c", "a", "\u00e9t\u00e9"], pa.string()),
                "ties": pa.array(["z", "y", "x", "w", "z", "y", "x", "w"], pa.string()),
                "digits": pa.array(["1", "22", "-3", "22", None, "0", "7", "8"], pa.string()),
                "yes": pa.array(
                    ["true", "false", "true", None, "true", "false", "true", "true"], pa.string()
                ),
                "yes_only": pa.array(["yes", None, "yes", "yes", "yes", "yes", "yes", "yes"], pa.string()),
                "decimals": pa.array(["1.5", "2", None, "1.5", "3e2", "-4.", "1.5", "0"], pa.string()),
                "bytes": pa.array([b"a", b"bb", b"", None, b"a", b"ccc", b"a", b"bb"], pa.binary()),
                "broken": pa.array(
                    [b"\xff\xfe", b"ok", b"\xff\xfe", b"ok", None, b"ok", b"\x80", b"ok"], pa.binary()
                ),
                "empty": pa.array([""] * 8, pa.string()),
                "no_text": pa.array([None] * 8, pa.string()),
                "nothing": pa.nulls(8),
            }
        )
    )


def lists() -> Case:
    """Empty and missing lists, lists of lists, a constant number of values."""
    ints = pa.list_(pa.int64())
    return Case(
        pa.table(
            {
                "ints": pa.array([[1, 2], [], None, [3], [4, 5, 6], [1]], ints),
                "pairs": pa.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 0], [1, 1]], ints),
                "full": pa.array([[1], [1, 2], [1, 2, 3], [1], [1], [1, 2]], ints),
                "floats": pa.array([[0.5, NAN], None, [], [1.5], [INF, 2.0], [0.0]], pa.list_(pa.float64())),
                "texts": pa.array([["a", "b"], ["a"], None, [], ["c", "a"], ["b"]], pa.list_(pa.string())),
                "nested": pa.array(
                    [[[1, 2], [3]], [[4]], None, [], [[], [5, 6, 7]], [[8], [9]]], pa.list_(ints)
                ),
                "nested_pairs": pa.array([[[1, 2], [3, 4]]] * 6, pa.list_(ints)),
                "none": pa.array([None] * 6, ints),
                "all_empty": pa.array([[]] * 6, ints),
            }
        )
    )


def structs() -> Case:
    """A column of a struct is a feature of its own; lists of structs of lists."""
    inner = pa.struct([("x", pa.list_(pa.int64())), ("name", pa.list_(pa.string()))])
    outer = pa.struct([("deep", pa.list_(inner)), ("n", pa.list_(pa.float64()))])
    point = {"x": [1, 2], "name": ["a"]}
    return Case(
        pa.table(
            {
                "one": pa.array(
                    [[point], None, [{"x": [3], "name": None}], [{"x": None, "name": ["b"]}]], pa.list_(inner)
                ),
                "many": pa.array(
                    [[point, point], [], None, [{"x": [], "name": ["a", "c"]}]], pa.list_(inner)
                ),
                "nested": pa.array(
                    [
                        [{"deep": [point, {"x": [5], "name": None}], "n": [0.5]}],
                        [{"deep": None, "n": [1.5, 2.5]}],
                        None,
                        [{"deep": [point], "n": None}, {"deep": [], "n": [4.0]}],
                    ],
                    pa.list_(outer),
                ),
                "a.b": pa.array([1, 2, 3, 4], pa.int64()),
            }
        )
    )


def weights() -> Case:
    """A row counts as much as its weight."""
    return Case(
        pa.table(
            {
                "w": pa.array([1.0, 2.0, 0.5, 4.0, 0.0, 1.5], pa.float64()),
                "int": pa.array([3, 5, None, 3, 100, 0], pa.int64()),
                "float": pa.array([1.5, NAN, 2.5, 0.0, 9.0, -1.0], pa.float64()),
                "text": pa.array(["a", "b", "b", None, "c", "a"], pa.string()),
                "list": pa.array([[1, 2], [3], [], None, [5], [6, 7, 8]], pa.list_(pa.int64())),
            }
        ),
        {"weight_feature": "w"},
    )


def many() -> Case:
    """Enough rows for quantiles, for more values than are listed, and for a long rank histogram."""
    source = random.Random("many")
    n = 3_000
    return Case(
        pa.table(
            {
                "uniform": pa.array([source.random() * 100 for _ in range(n)]),
                "skewed": pa.array([source.random() ** 4 * 1e6 for _ in range(n)]),
                "steps": pa.array([int(source.random() * 40) for _ in range(n)]),
                "gaps": pa.array(
                    [None if source.random() < 0.3 else source.random() - 0.5 for _ in range(n)]
                ),
                "words": pa.array([f"w{int(source.random() ** 2 * 60)}" for _ in range(n)]),
                # Beyond the buckets of the rank histogram TFDV's counts in memory are those of a sketch.
                "ids": pa.array([f"id-{i:05}" if i < 400 else None for i in range(n)]),
            }
        )
    )


def nothing() -> Case:
    """No rows."""
    return Case(pa.table({"int": pa.array([], pa.int64()), "text": pa.array([], pa.string())}))


CASES: Mapping[str, Callable[[], Case]] = {
    "lists": lists,
    "many": many,
    "nothing": nothing,
    "numbers": numbers,
    "structs": structs,
    "texts": texts,
    "weights": weights,
}
