"""Equal models, equal bytes: the canonical form of a skops file.

A skops file as written carries memory addresses (``__id__`` and member names), random names, the
time, the order of sets, the padding between fields, and how many threads the machine had. None of
them is the model. The canonical form:

1. ``__id__`` stays only where an object that can be changed is met more than once (there it is what
   keeps it one object after loading), numbered 1, 2, … in traversal order;
2. members are named ``0.npy``, ``1.npy``, … in traversal order, one for each distinct content; arrays
   are written again with their padding zeroed, sparse matrices stored;
3. attributes of objects stand in name order, elements of sets in the order of their canonical text;
4. thread counts that are the machine's are 1; loading sets them for the machine at hand;
5. the schema is compact JSON without the version of skops (that of scikit-learn stays: it is an
   attribute of each estimator, and loading compares it);
6. the zip is stored, schema first, with a fixed date.

The result is a skops file: ``skops.io.load`` reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from whence.registry.backends.archive import Archive, malformed, read_npz, write_archive, zip_stored

State = dict[str, Any]  # a node of the schema: JSON of the format's own making

# Nothing can be told apart by which of two equal ones it is.
_VALUES: Final = frozenset(
    {"JsonNode", "TypeNode", "FunctionNode", "TupleNode", "SliceNode", "BytesNode", "DTypeNode"}
)
# (class, attribute) where scikit-learn keeps the number of threads of the machine that fitted.
MACHINE_THREADS: Final = frozenset(
    {
        ("sklearn.ensemble._hist_gradient_boosting.binning._BinMapper", "n_threads"),
        ("sklearn.cluster._kmeans.KMeans", "_n_threads"),
        ("sklearn.cluster._kmeans.MiniBatchKMeans", "_n_threads"),
        ("sklearn.cluster._bisect_k_means.BisectingKMeans", "_n_threads"),
    }
)
_NOTHING: Final[State] = {
    "__class__": "str",
    "__module__": "builtins",
    "__loader__": "JsonNode",
    "content": "null",
    "is_json": True,
}
_ORDER: Final = {"__class__": 0, "__module__": 1, "__loader__": 2, "__id__": 3}


def canonical_archive(raw: Archive) -> bytes:
    """The canonical bytes of an unpacked skops file.

    Raises:
        IntegrityError: The file refers to a member it does not have (``model-malformed``).
    """
    schema = {key: value for key, value in raw.schema.items() if key != "_skops_version"}
    try:
        members = {name: _canonical_member(name, data) for name, data in raw.members.items()}
        root = _Normalised(members).node(schema)
        shared = _count_ids(root)
        numbered = _Numbered(members, shared)
        root = numbered.node(root)
        text = json.dumps(root, separators=(",", ":"))
    except RecursionError as error:
        raise malformed("it is nested too deeply") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise malformed(f"its schema is not one skops writes ({type(error).__name__}: {error})") from error
    return write_archive(text.encode(), numbered.members)


def full_name(state: State) -> str:
    """``module.Class`` of a node."""
    return f"{state.get('__module__')}.{state.get('__class__')}"


def _map_children(state: State, visit: Callable[[State], State]) -> State:
    """The node with `visit` applied to each node directly below it, in order."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            if "__loader__" in value:
                return visit(value)
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        return value

    out: State = {}
    for key in sorted(state, key=lambda k: (_ORDER.get(k, 4), k)):
        value = state[key]
        if key == "content" and state["__loader__"] == "DictNode":
            # A dictionary may have a key "__loader__" of its own.
            out[key] = {name: visit(item) for name, item in value.items()}
        else:
            out[key] = walk(value)
    return out


def _children(state: State) -> Iterator[State]:
    found: list[State] = []

    def keep(child: State) -> State:
        found.append(child)
        return child

    _map_children(state, keep)
    return iter(found)


class _Normalised:
    """First pass: attributes and sets in order, threads forgotten, identities of values dropped."""

    def __init__(self, members: dict[str, bytes]) -> None:
        self._digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}

    def node(self, state: State) -> State:
        out = _map_children(state, self.node)
        loader = out["__loader__"]
        if loader in _VALUES or (loader == "NdArrayNode" and _is_scalar(out)):
            out.pop("__id__", None)
        if loader == "ObjectNode" and _is_attributes(out.get("content")):
            out["content"] = _sorted_attributes(out["content"])
            _forget_threads(out)
        if loader == "PartialNode" and not out["content"]["namespace"]["content"]:
            # An empty namespace appears as soon as somebody looks for it.
            out["content"] = {**out["content"], "namespace": dict(_NOTHING)}
        if loader == "SetNode":
            out["content"] = sorted(out["content"], key=self._text)
        return out

    def _text(self, state: State) -> str:
        return json.dumps(self._anonymous(state), sort_keys=True)

    def _anonymous(self, state: State) -> State:
        out = _map_children(state, self._anonymous)
        out.pop("__id__", None)
        if "file" in out:
            out["file"] = self._digests[out["file"]]
        return out


class _Numbered:
    """Second pass: identities and members numbered in traversal order."""

    def __init__(self, members: dict[str, bytes], shared: set[object]) -> None:
        self._given = members
        self._shared = shared
        self._ids: dict[object, int] = {}
        self._names: dict[tuple[bytes, str], str] = {}
        self.members: dict[str, bytes] = {}

    def node(self, state: State) -> State:
        state = dict(state)
        old = state.pop("__id__", None)
        if old in self._shared:
            state["__id__"] = self._ids.setdefault(old, len(self._ids) + 1)
        if isinstance(state.get("file"), str):
            state["file"] = self._member(state["file"])
        return _map_children(state, self.node)

    def _member(self, name: str) -> str:
        content, kind = self._given[name], name.rpartition(".")[2]
        if (content, kind) not in self._names:
            self._names[content, kind] = f"{len(self._names)}.{kind}"
            self.members[self._names[content, kind]] = content
        return self._names[content, kind]


def _count_ids(root: State) -> set[object]:
    counts: Counter[object] = Counter()
    stack = [root]
    while stack:
        state = stack.pop()
        if state.get("__id__") is not None:
            counts[state["__id__"]] += 1
        stack.extend(_children(state))
    return {id_ for id_, n in counts.items() if n > 1}


def _is_scalar(state: State) -> bool:
    kind = getattr(np, str(state["__class__"]), None) if state["__module__"] == "numpy" else None
    return isinstance(kind, type) and issubclass(kind, np.generic)


def _is_attributes(content: object) -> bool:
    """Whether these are attributes by name: then their order means nothing."""
    if not isinstance(content, dict) or content.get("__loader__") != "DictNode":
        return False
    return all(full_name(kind) == "builtins.str" for kind in content["key_types"]["content"])


def _sorted_attributes(state: State) -> State:
    """The attributes of an object by name; their types (all text) keep their number."""
    return {**state, "content": dict(sorted(state["content"].items()))}


def _forget_threads(state: State) -> None:
    attributes = state["content"]["content"]
    for owner, attribute in MACHINE_THREADS:
        if owner == full_name(state) and attribute in attributes:
            attributes[attribute] = {**attributes[attribute], "content": "1"}


def _canonical_member(name: str, data: bytes) -> bytes:
    if name.endswith(".npy"):
        return _canonical_npy(data)
    if name.endswith(".npz"):
        inner = read_npz(data)
        return zip_stored({key: _canonical_npy(inner[key]) for key in sorted(inner)})
    return data


def _canonical_npy(data: bytes) -> bytes:
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is not None:
        array = _without_padding(array)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _without_padding(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same records with zeros between their fields."""
    out = np.zeros(array.shape, dtype=array.dtype, order="F" if array.flags.fnc else "C")
    for name in array.dtype.names or ():
        field = array[name]
        out[name] = _without_padding(field) if field.dtype.names else field
    return out
