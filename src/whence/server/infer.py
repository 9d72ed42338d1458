"""The Open Inference Protocol, version 2: a request's tensors become the columns of a model, its scores a tensor.

A tensor carries one column (shape ``[n]`` or ``[n, 1]``), or one tensor carries them all (``[n, k]``, in the order of
the model's signature). ``null`` is a missing value. Nothing is cast that could change a value: integers fit a float
column up to 2^53, a float never fits an integer column, but in the one tensor of all, where it must be whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import prod
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.errors import (
    BackendError,
    ConflictError,
    DataRejectedError,
    DeniedError,
    NotFoundError,
    UsageError,
    WhenceError,
)
from whence.server.guards import LARGE_BYTES, Refused
from whence.serving import Answer, Ask, Line
from whence.serving.answers import EXACT, arrow_type, signature_schema

MAX_ROWS: Final = 16_384
KEYS_ONLY: Final = "keys_only"
SCORE: Final = "score"

_FLOATS: Final = frozenset({"FP32", "FP64"})
_INTS: Final = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"})
_DATATYPES: Final = {
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float": "FP32", "double": "FP64", "string": "BYTES",
}  # fmt: skip
_FITS: Final = {
    "bool": frozenset({"BOOL"}),
    "string": frozenset({"BYTES"}),
    "float": frozenset({"FP32"}),
    "double": _FLOATS | _INTS,
}
"""Which datatypes a column takes; a column of integers takes all of those."""
_WIDTHS: Final = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_FP32_MOST: Final = float(np.nextafter(2.0**128 - 2.0**103, 0.0))
"""The greatest number whose nearest float32 is finite; 3.4028235e38, as most write the greatest, is below it."""
_LIMITS: Final = {
    **{f"INT{n}": (-(1 << (n - 1)), (1 << (n - 1)) - 1) for n in (8, 16, 32, 64)},
    **{f"UINT{n}": (0, (1 << n) - 1) for n in (8, 16, 32)},
    "FP32": (-_FP32_MOST, _FP32_MOST),
}
"""The least and the greatest value of a datatype."""
_MOST: Final = 1 << 32
"""More values than any body has."""
_SAID: Final = 20
"""How many columns a message names."""
_STATUSES: Final = {"too-many-rows": 413, "score-not-finite": 422, "request-log-damaged": 503}
"""By code, where the kind of an error says another status than what the caller can do."""


class Tensor(msgspec.Struct):
    """One tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class Wanted(msgspec.Struct):
    """One tensor that is asked for."""

    name: str


class Parameters(msgspec.Struct):
    """What whence knows of a request's parameters; others are not even decoded."""

    keys_only: bool = False


class Request(msgspec.Struct):
    """The body of an inference request; what whence does not know of it is passed over."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[Wanted] | None = None


class Floats(msgspec.Struct):
    """One tensor of numbers, as most are."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | None]


class QuickRequest(msgspec.Struct):
    """A request of numbers, as most are."""

    inputs: list[Floats]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[Wanted] | None = None


class Output(msgspec.Struct):
    """One tensor of an answer."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: Sequence[float]


class Response(msgspec.Struct):
    """The body of an answer."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, object]
    outputs: tuple[Output, ...]


_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises on bytes that are no JSON, not UTF-8, or nested too deeply."""

_request: Final = msgspec.json.Decoder(Request)
_quick: Final = msgspec.json.Decoder(QuickRequest)
_encoder: Final = msgspec.json.Encoder()
# Any: each decoder gives the values of its datatype
_FLAT: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    "BOOL": msgspec.json.Decoder(list[bool | None]),
    "BYTES": msgspec.json.Decoder(list[str | None]),
    **dict.fromkeys(_INTS, msgspec.json.Decoder(list[int | None])),
    **dict.fromkeys(_FLOATS, msgspec.json.Decoder(list[float | None])),
}
_NESTED: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    "BOOL": msgspec.json.Decoder(list[list[bool | None]]),
    "BYTES": msgspec.json.Decoder(list[list[str | None]]),
    **dict.fromkeys(_INTS, msgspec.json.Decoder(list[list[int | None]])),
    **dict.fromkeys(_FLOATS, msgspec.json.Decoder(list[list[float | None]])),
}


def read_request(body: bytes) -> Request:
    """A request from its body.

    Raises:
        Refused: It is no JSON, or not of the protocol's form (400).
    """
    try:
        return _request.decode(body)
    except msgspec.ValidationError as error:
        raise Refused(400, "bad-inference-request", f"no inference request: {error}") from None
    except _UNREADABLE as error:
        raise Refused(400, "malformed-body", f"the body is no JSON: {error}") from None


def ask_of(line: Line, body: bytes, *, max_rows: int = MAX_ROWS) -> Ask:
    """What a body asks a model version.

    Raises:
        Refused: As `read_request` and `make_ask`.
        UsageError: As `make_ask`.
    """
    # the quick way decodes before it looks at shapes
    ask = quick_ask(line, body) if len(body) <= LARGE_BYTES else None
    if ask is None or ask.n_rows > max_rows:
        ask = make_ask(line, read_request(body), max_rows=max_rows)
    return ask


def quick_ask(line: Line, body: bytes) -> Ask | None:
    """The same for the usual request, in a fifth of the time: every column once, in order, as FP64 or INT64.

    None is for any other, and for whatever is wrong with one: `make_ask` takes it, or says why not.
    """
    if not line.quick:
        return None
    try:
        request = _quick.decode(body)
    except _UNREADABLE:
        return None
    inputs = request.inputs
    by_keys = request.parameters is not None and request.parameters.keys_only
    if len(inputs) != len(line.quick) or by_keys or request.outputs:
        return None
    shape = inputs[0].shape
    if len(shape) != 1:
        return None
    columns = []
    for tensor, (name, datatype) in zip(inputs, line.quick, strict=True):
        if (
            tensor.name != name
            or tensor.datatype != datatype
            or tensor.shape != shape
            or len(tensor.data) != shape[0]
        ):
            return None
        columns.append(tensor.data)
    matrix = np.array(columns, dtype=np.float64)  # finite: JSON has no other, and the decoder refuses 1e999
    if line.whole and not _are_whole(matrix[line.whole]):
        return None
    return line.ask_matrix(np.ascontiguousarray(matrix.T), id=request.id)


def _are_whole(values: npt.NDArray[np.float64]) -> bool:
    # 2^53 + 1 reads as 2^53: from there on the long way looks at the integers themselves
    whole = (values == np.floor(values)) & (np.abs(values) < EXACT)
    return bool((whole | np.isnan(values)).all())


def make_ask(line: Line, request: Request, *, max_rows: int = MAX_ROWS) -> Ask:
    """The rows a request asks about, for a model version.

    Raises:
        Refused: Tensors are not what they say, or are not the model's (400).
        UsageError: It has more than `max_rows` rows (``too-many-rows``), which is seen before any is decoded;
            ``bad-request-id``, ``no-lookup``, ``signature-mismatch``.
    """
    for wanted in request.outputs or ():
        if wanted.name != SCORE:
            raise Refused(400, "unknown-output", f"there is no output {wanted.name[:80]!r}, only {SCORE!r}")
    if not request.inputs:
        raise Refused(400, "bad-inference-request", "a request has inputs")
    n_rows = _check_shapes(request.inputs)
    if n_rows > max_rows:
        raise UsageError(
            f"a request has at most {max_rows:,} rows",
            code="too-many-rows",
            hint="ask in several requests, or score a table of the workspace",
        )
    if request.parameters is not None and request.parameters.keys_only:
        return line.ask_keys(_table(request.inputs, line.keys, n_rows), id=request.id)
    names = [tensor.name for tensor in request.inputs]
    if len(names) == 1 and names[0] not in dict(line.columns) and len(request.inputs[0].shape) == 2:
        return _ask_matrix(line, request.inputs[0], n_rows, request.id)
    tensors = {tensor.name: tensor for tensor in request.inputs}
    _check_names(line, names, tensors)
    if line.is_numeric:
        matrix = _matrix(line, tensors, n_rows)
        if matrix is not None:
            return line.ask_matrix(matrix, id=request.id)
    in_order = [tensors[name] for name, _ in line.columns]
    return line.ask_table(_table(in_order, signature_schema(line.columns), n_rows), id=request.id)


def _check_names(line: Line, names: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    wanted = dict(line.columns)
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted]
    if missing or extra or len(names) != len(tensors):
        said = [f"{name}: missing" for name in missing] + [f"{name[:80]}: extra" for name in extra]
        twice = sorted(name for name, n in Counter(names).items() if n > 1)
        said += [f"{name[:80]}: given twice" for name in twice]
        more = [f"and {len(said) - _SAID} more"] if len(said) > _SAID else []
        raise UsageError(
            f"the inputs do not fit {line.version.ref}: " + "; ".join([*said[:_SAID], *more]),
            code="signature-mismatch",
        )


def _check_shapes(tensors: Sequence[Tensor]) -> int:
    """The number of rows, the same for all tensors."""
    found = None
    for tensor in tensors:
        shape = tensor.shape
        if not 1 <= len(shape) <= 2 or min(shape) < 0:
            raise _bad(tensor, f"has shape {_shown(shape)}, want [n] or [n, k]")
        if max(shape) > _MOST:
            raise _bad(tensor, "has a shape that no body can hold")
        if found is not None and shape[0] != found:
            raise _bad(tensor, f"has {shape[0]} rows, others have {found}")
        found = shape[0]
    return found or 0


def _shown(shape: Sequence[int]) -> str:
    """A shape as it is told; what a client makes long is cut."""
    told = [str(n) if abs(n) <= _MOST else "?" for n in shape[:4]]
    return "[" + ", ".join([*told, "…"] if len(shape) > 4 else told) + "]"


def _bad(tensor: Tensor, why: str) -> Refused:
    return Refused(400, "bad-tensor", f"input {tensor.name[:80]!r} {why}")


def _values(tensor: Tensor) -> list[Any]:  # Any: the values are of the tensor's datatype
    """The values of a tensor, row by row."""
    flat = _FLAT.get(tensor.datatype)
    if flat is None:
        raise _bad(tensor, f"has datatype {tensor.datatype[:40]!r}; known are {', '.join(sorted(_FLAT))}")
    data, n_values = memoryview(tensor.data), prod(tensor.shape)
    _check_length(tensor, data, n_values)
    try:
        if len(tensor.shape) == 2 and _is_nested(data):
            rows = _NESTED[tensor.datatype].decode(data)
            if any(len(row) != tensor.shape[1] for row in rows):
                raise _bad(tensor, f"has rows of other lengths than its shape {tensor.shape} says")
            values = [value for row in rows for value in row]
        else:
            values = flat.decode(data)
    except _UNREADABLE as error:
        raise _bad(tensor, f"is not {tensor.datatype}: {error}") from None
    if len(values) != n_values:
        raise _bad(tensor, f"has {len(values)} values, its shape {tensor.shape} says {n_values}")
    least, greatest = _ends(values) if tensor.datatype in _LIMITS else (0, 0)
    low, high = _LIMITS.get(tensor.datatype, (0, 0))
    if least < low or greatest > high:
        raise _bad(tensor, f"has a value that no {tensor.datatype} holds")
    return values


def _check_length(tensor: Tensor, data: memoryview, n_values: int) -> None:
    """Refuse more values than the shape says before they are decoded: each takes many times its bytes.

    A comma stands between each two, also those of two rows; text may hold more of them.
    """
    if len(data) > LARGE_BYTES and tensor.datatype != "BYTES":
        n_commas = int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord(",")))
        if n_commas >= max(n_values, 1):
            raise _bad(tensor, f"has more values than its shape {tensor.shape} says")


def _ends(values: Sequence[Any]) -> tuple[float, float]:  # Any: numbers and None
    """The least and the greatest; zeros when there are none."""
    there = [v for v in values if v is not None] if None in values else values
    return (min(there), max(there)) if there else (0, 0)


def _is_nested(data: memoryview) -> bool:
    return bytes(data[1:64]).lstrip()[:1] == b"["


def _check_column(tensor: Tensor) -> None:
    if len(tensor.shape) == 2 and tensor.shape[1] != 1:
        raise _bad(tensor, f"has shape {tensor.shape}, want [{tensor.shape[0]}]")


def _column(tensor: Tensor, kind: str) -> list[Any]:  # Any: as `_values`
    """The values of a tensor for one column, whose type can hold each of them as it is."""
    _check_column(tensor)
    given = tensor.datatype
    if given not in _FITS.get(kind, _INTS) and given in _FLAT:
        raise _bad(tensor, f"is {given}, the column is {_DATATYPES.get(kind, kind)}")
    values = _values(tensor)
    if given in _INTS:
        low, high = _LIMITS[_DATATYPES[kind]] if kind in _WIDTHS else (-EXACT, EXACT)
        least, greatest = _ends(values)
        if least < low or greatest > high:
            held = _DATATYPES[kind] if kind in _WIDTHS else "FP64"
            raise _bad(tensor, f"has an integer that no {held} holds")
    return values


def _matrix(line: Line, tensors: Mapping[str, Tensor], n_rows: int) -> npt.NDArray[np.float64] | None:
    """The columns as one matrix; None when a float64 cannot hold an integer of them."""
    matrix = np.empty((n_rows, len(line.columns)))
    for index, (name, kind) in enumerate(line.columns):
        values = _column(tensors[name], kind)
        if kind == "int64":
            least, greatest = _ends(values)
            if least < -EXACT or greatest > EXACT:
                return None
        matrix[:, index] = np.array(values, dtype=np.float64)
    _round(line, tensors, matrix)
    return matrix


def _round(line: Line, tensors: Mapping[str, Tensor], matrix: npt.NDArray[np.float64]) -> None:
    """FP32 written as decimals means the nearest float32."""
    for index, (name, _) in enumerate(line.columns):
        if tensors[name].datatype == "FP32":
            matrix[:, index] = matrix[:, index].astype(np.float32)


def _ask_matrix(line: Line, tensor: Tensor, n_rows: int, id_: str | None) -> Ask:
    """All columns in one tensor, in the order of the signature."""
    if not line.is_numeric or tensor.shape[1] != len(line.columns):
        names = ", ".join(name for name, _ in line.columns)
        raise _bad(tensor, f"is no column of {line.version.ref}, nor all of them: {names}")
    if tensor.datatype not in _FLOATS and tensor.datatype not in _INTS:
        raise _bad(tensor, f"is {tensor.datatype[:40]}, want numbers")
    matrix = np.array(_values(tensor), dtype=np.float64).reshape(n_rows, len(line.columns))
    if tensor.datatype == "FP32":
        matrix = matrix.astype(np.float32).astype(np.float64)
    if tensor.datatype in _INTS and (np.abs(matrix) >= EXACT).any():
        raise _bad(tensor, "has an integer that no FP64 holds")
    for index, (name, kind) in enumerate(line.columns):
        if kind in _WIDTHS or kind == "bool":
            _check_whole(tensor, matrix[:, index], name, kind)
    return line.ask_matrix(matrix, id=id_)


def _check_whole(tensor: Tensor, values: npt.NDArray[np.float64], name: str, kind: str) -> None:
    low, high = (0, 1) if kind == "bool" else (-EXACT, EXACT)
    if kind in _WIDTHS and _WIDTHS[kind] < 64:
        low, high = -(1 << (_WIDTHS[kind] - 1)), (1 << (_WIDTHS[kind] - 1)) - 1
    there = values[~np.isnan(values)]
    if (there != np.floor(there)).any() or (there < low).any() or (there > high).any():
        raise _bad(tensor, f"has a value for {name!r} that no {_DATATYPES[kind]} holds")


def _table(tensors: Sequence[Tensor], schema: pa.Schema, n_rows: int) -> pa.Table:
    """Tensors as columns in the types of a schema; a name that is not in it keeps its own type."""
    columns: dict[str, pa.Array] = {}
    for tensor in tensors:
        if tensor.name in columns:
            raise _bad(tensor, "is given twice")
        kind = schema.field(tensor.name).type if tensor.name in schema.names else None
        columns[tensor.name] = _array(tensor, kind)
    assert all(len(column) == n_rows for column in columns.values())
    return pa.table(columns)


def _array(tensor: Tensor, kind: pa.DataType | None) -> pa.Array:
    if kind is None:
        _check_column(tensor)
        return pa.array(_values(tensor))
    if pa.types.is_timestamp(kind):
        return pa.array([_moment(tensor, text) for text in _column(tensor, "string")], kind)
    if pa.types.is_date(kind):
        texts = pa.array(_column(tensor, "string"), pa.string())
        try:
            return texts.cast(kind)
        except pa.ArrowInvalid as error:
            raise _bad(tensor, f"is no date: {error}") from None
    known = str(kind)
    if known not in _DATATYPES:
        raise _bad(tensor, f"is for a column of {kind}, which no request can carry")
    return pa.array(_column(tensor, known), arrow_type(known))


def _moment(tensor: Tensor, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _bad(tensor, f"has {text[:40]!r}, want a moment in ISO 8601") from None
    if found.tzinfo is None:
        raise _bad(tensor, f"has {text[:40]!r}, which names no zone")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise _bad(tensor, f"has {text[:40]!r}, which is no moment in UTC") from None


def write_answer(name: str, answer: Answer) -> bytes:
    """The body of an answer."""
    parameters: dict[str, object] = {"into": answer.into, "moment": answer.moment}
    if answer.repeated:
        parameters["repeated"] = True
    if answer.statuses:
        parameters["features"] = answer.statuses
    if answer.marks:
        parameters["marks"] = answer.marks
    scores = Output(SCORE, (len(answer.scores),), "FP64", answer.scores)
    return _encoder.encode(Response(name, str(answer.version), answer.id, parameters, (scores,)))


def metadata(name: str, versions: Sequence[int], line: Line) -> dict[str, object]:
    """What a model takes and gives, in the protocol's shape."""
    parameters: dict[str, object] = {
        "model": line.facts.model,
        "digest": line.facts.model_digest,
        "into": line.facts.into,
    }
    if line.keys.names:
        parameters[KEYS_ONLY] = {f.name: _DATATYPES.get(str(f.type), "BYTES") for f in line.keys}
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": f"whence_{line.version.format}",
        "inputs": [
            {"name": column, "datatype": _DATATYPES[kind], "shape": [-1]} for column, kind in line.columns
        ],
        "outputs": [{"name": SCORE, "datatype": "FP64", "shape": [-1]}],
        "parameters": parameters,
    }


def refusal_of(error: BaseException) -> Refused:
    """An error as the answer to a request: the status says what the caller can do next."""
    if isinstance(error, Refused):
        return error
    if not isinstance(error, WhenceError):
        return Refused(500, "internal", "the server failed; its log says more")
    later = isinstance(error, BackendError) and error.retryable
    headers = ((b"retry-after", b"1"),) if later or error.code == "answerer-closed" else ()
    if headers or isinstance(error, BackendError):
        status = 503
    else:
        kinds: tuple[tuple[type[WhenceError], int], ...] = (
            (NotFoundError, 404),
            (UsageError, 400),
            (DeniedError, 403),
            (ConflictError, 409),
            (DataRejectedError, 422),
        )
        status = next((found for kind, found in kinds if isinstance(error, kind)), 500)
        status = _STATUSES.get(error.code, status)
    message = error.message if not error.hint else f"{error.message}; {error.hint}"
    if error.near:
        message += "; near: " + ", ".join(error.near)
    return Refused(status, error.code, message, headers=headers)
