"""What a model takes and gives: inferred from a sample, checked before it is asked.

A column fits when its Arrow type is the declared one. Nothing is cast here; a caller that wants a
cast does it and says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from whence._base.arrow import SchemaDifference, normalise, to_arrow
from whence.errors import UsageError, near_names
from whence.registry.types import Column, Signature

_ROWS: Final = 16  # a few rows tell the types of the outputs


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """The columns of an Arrow schema.

    Example:
        >>> columns_of(pa.schema([("depth", pa.int64())]))
        (Column(name='depth', type='int64', nullable=True),)
    """
    return tuple(Column(field.name, str(field.type), field.nullable) for field in schema)


def infer_signature(model: object, sample: object) -> Signature:
    """The signature of a model, from rows as it takes them.

    The inputs are the columns of `sample`; the outputs are what the model gives for its first rows:
    ``score`` (the probability of the second class) for a classifier of two classes, ``score_0`` … for
    one of more, ``prediction`` for what cannot give probabilities.

    Raises:
        UsageError: The model does not take these columns (``sample-refused``).
    """
    table = normalise(to_arrow(sample))
    inputs = columns_of(table.schema)
    if table.num_rows == 0:
        return Signature(inputs)
    return Signature(inputs, _outputs(model, table.slice(0, _ROWS)))


def _outputs(model: object, table: pa.Table) -> tuple[Column, ...]:
    ask = getattr(model, "predict_proba", None) or getattr(model, "predict", None)
    if ask is None:
        return ()
    values = _ask(ask, table)
    kind = str(pa.from_numpy_dtype(values.dtype)) if values.dtype != object else "string"
    if not hasattr(model, "predict_proba"):
        return (Column("prediction", kind, nullable=False),)
    if values.ndim != 2 or values.shape[1] <= 2:
        return (Column("score", kind, nullable=False),)
    return tuple(Column(f"score_{n}", kind, nullable=False) for n in range(values.shape[1]))


def _ask(
    ask: Callable[[object], object], table: pa.Table
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    rows = np.column_stack([_numbers(table.column(name)) for name in table.column_names])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's about names: the order is the signature's
            return np.asarray(ask(rows))
    except Exception as error:
        raise UsageError(
            f"the model does not take the sample: {error}",
            code="sample-refused",
            hint="give rows with the model's columns in its order, or signature=",
        ) from error


def _numbers(column: pa.ChunkedArray) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if (
        pa.types.is_boolean(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
    ):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    return np.asarray(column.to_pylist(), dtype=object)


def list_differences(
    signature: Signature, schema: pa.Schema, *, extra: bool = True
) -> list[SchemaDifference]:
    """In what the columns of `schema` differ from the inputs of `signature`, in the signature's order.

    Args:
        signature: What the model takes.
        schema: What there is; the order of its columns does not matter.
        extra: Whether a column the model does not take counts.

    Example:
        >>> want = Signature((Column("a", "double"), Column("b", "int64")))
        >>> [str(d) for d in list_differences(want, pa.schema([("a", pa.string()), ("c", pa.int64())]))]
        ['a: have string, want double', 'b: missing, want int64', 'c: extra, have int64']
    """
    have = {column.name: column for column in columns_of(schema)}
    found: list[SchemaDifference] = []
    for want in signature.inputs:
        column = have.pop(want.name, None)
        if column is None:
            found.append(SchemaDifference(want.name, "missing", None, want.type))
        elif column.type != want.type:
            found.append(SchemaDifference(want.name, "type", column.type, want.type))
    if extra:
        found += [SchemaDifference(c.name, "extra", c.type, None) for c in have.values()]
    return found


def require_signature(signature: Signature, schema: pa.Schema, *, what: str, extra: bool = True) -> None:
    """Refuse columns that are not those of the signature; all differences are named at once.

    Raises:
        UsageError: Columns are missing, too many, or of another type (``signature-mismatch``).
    """
    found = list_differences(signature, schema, extra=extra)
    if not found:
        return
    raise UsageError(
        f"the columns do not fit {what}: " + "; ".join(map(str, found)),
        code="signature-mismatch",
        near=_near(found, schema.names),
        details={
            "differences": [{"column": d.name, "kind": d.kind, "want": d.want, "have": d.have} for d in found]
        },
    )


def _near(found: Sequence[SchemaDifference], names: Sequence[str]) -> list[str]:
    missing = [d.name for d in found if d.kind == "missing"]
    return [near for name in missing for near in near_names(name, names, n=1)]
