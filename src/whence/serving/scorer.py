"""A model that answers: loaded by digest, asked only with the columns of its signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence._base.progress import progress
from whence.errors import IntegrityError, UnsupportedError, UsageError, WhenceError
from whence.registry import Models, ModelVersion, require_signature

BATCH_ROWS: Final = 65_536

Scores: type = npt.NDArray[np.float64]


class Scorer:
    """One model version, ready to answer.

    Args:
        version: Which.
        model: The loaded estimator.
    """

    def __init__(self, version: ModelVersion, model: Any) -> None:
        self.version = version
        self._model = model
        self._ask = _question(version.ref, model)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns it takes, in its order; None when it was registered without a signature."""
        return None if self.version.signature is None else self.version.signature.names

    def inputs(self, table: pa.Table, candidates: Sequence[str]) -> pa.Table:
        """The columns the model is asked with, in its order.

        Args:
            table: Spine and features.
            candidates: What it gets when it has no signature.

        Raises:
            UsageError: A column is missing or of another type (``signature-mismatch``).
        """
        if self.version.signature is None:
            return table.select(list(candidates))
        require_signature(self.version.signature, table.schema, what=self.version.ref, extra=False)
        return table.select(list(self.version.signature.names))

    def score(self, inputs: pa.Table, *, keys: pa.Table | None = None) -> npt.NDArray[np.float64]:
        """One number a row: the probability of the positive class, else the prediction.

        Args:
            inputs: n rows, the columns in the model's order.
            keys: n rows that name them, for an error's message.

        Raises:
            UsageError: The model raised an error on the values (``model-refused-rows``); the first such row is named.
            IntegrityError: An answer is missing or not finite (``score-not-finite``).
        """
        n = inputs.num_rows
        scores = np.empty(n, dtype=np.float64)
        with progress("scoring", total=n) as advance:
            for start in range(0, n, BATCH_ROWS):
                batch = inputs.slice(start, BATCH_ROWS)
                x = matrix(batch)
                try:
                    scores[start : start + batch.num_rows] = self.answer(x)
                except WhenceError:
                    raise
                except Exception as error:
                    at = start + self._first_refused(x)
                    row = f"row {at}" if keys is None else f"the row with {_told(keys, at)}"
                    raise refused(self.version.ref, error, f"; {row} is the first") from error
                advance(batch.num_rows)
        return scores

    def _first_refused(self, x: npt.NDArray[Any]) -> int:
        """The place of the first row of a matrix that the model raises an error on; 0 if it takes each alone."""
        begin, end = 0, len(x)
        while end - begin > 1:
            middle = (begin + end) // 2
            try:
                self._ask(x[begin:middle])
                begin = middle
            except Exception:  # noqa: BLE001  # whatever the model raises
                end = middle
        return begin

    def answer(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """One number a row of a ready matrix, whose columns are in the model's order.

        Raises:
            IntegrityError: As `score`.
        """
        answer = np.asarray(self._ask(x), dtype=np.float64)
        if answer.shape != (len(x),) or not np.isfinite(answer).all():
            raise IntegrityError(
                f"{self.version.ref} gave {answer.shape} answers for {len(x)} rows, or one that is no number",
                code="score-not-finite",
            )
        return answer


def refused(ref: str, error: Exception, where: str = "") -> UsageError:
    """A model's own exception on rows it was given, in our words."""
    first = str(error).partition("\n")[0]
    return UsageError(
        f"{ref} does not take these rows: {type(error).__name__}: {first}{where}",
        code="model-refused-rows",
        hint="look at the values; a model that takes missing ones can take its place",
    )


def _told(keys: pa.Table, at: int) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in keys.slice(at, 1).to_pylist()[0].items())


def open_scorer(models: Models, version: ModelVersion, *, trust: Sequence[str] = ()) -> Scorer:
    """Load a model version; its bytes are those of its digest, its types are trusted, or it is refused."""
    return Scorer(version, models.load(version.ref, trust=trust))


def matrix(table: pa.Table) -> npt.NDArray[Any]:
    """The rows as a model takes them: floats with NaN for null, or objects when a column is no number.

    Example:
        >>> matrix(pa.table({"a": [1, None], "b": [True, False]})).tolist()
        [[1.0, 1.0], [nan, 0.0]]
    """
    if table.num_columns == 0:
        raise UsageError("a model was given no columns", code="no-features")
    return np.column_stack([_numbers(column) for column in table.columns])


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.asarray(column.to_pylist(), dtype=object)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _question(ref: str, model: Any) -> Any:
    """The method to ask, giving one number a row."""
    if hasattr(model, "predict_proba"):
        n_classes = len(getattr(model, "classes_", ()))
        if n_classes > 2:
            raise UnsupportedError(
                f"{ref} tells {n_classes} classes apart; a score is the probability of one of two",
                code="multiclass-score",
                hint="register a model of two classes, or one whose predict gives the number",
            )
        return lambda x: np.asarray(model.predict_proba(x))[:, -1]
    if hasattr(model, "predict"):
        return model.predict
    raise UsageError(f"{ref} has neither predict_proba nor predict", code="not-a-scorer")
