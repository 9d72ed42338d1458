"""The lines of a ``schema.pbtxt``: where what a schema says is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from whence.integrations.tfdv.messages import Message

_Path: TypeAlias = tuple[str | int, ...]
"""Fields from the outside inwards, each with its number among those of its name: ``("feature", 3, "name", 0)``."""

_TOKEN: Final = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\n]|\\.)*"|'(?:[^'\\n]|\\.)*')|(?P<mark>[{}<>\[\]:;,])|(?P<word>[^\s{}<>\[\]:;,"'\#]+)"""
)
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "constraints": ("dataset_constraints",),
    "default_environments": ("default_environment",),
    "dims": ("dim",),
    "drift": ("drift_comparator",),
    "min_domain_mass": ("distribution_constraints", "min_domain_mass"),
    "num_examples_drift": ("num_examples_drift_comparator",),
    "num_examples_version": ("num_examples_version_comparator",),
    "sequence_length": ("sequence_length_constraints",),
    "skew": ("skew_comparator",),
    "unique": ("unique_constraints",),
    "value_counts": ("value_counts", "value_count"),
    "values": ("value",),
}
"""Words of the schema language that the format says otherwise."""
_DOMAINS: Final = ("string_domain", "float_domain", "int_domain")


class Lines:
    """Where the parts of a schema stand in its text.

    Args:
        text: The text, which reads.
        proto: What it reads as.
        features: The paths of the schema's features, in their order.
    """

    def __init__(self, text: str | bytes, proto: Message, features: Sequence[tuple[str, ...]] = ()) -> None:
        self._lines = _scan(text.decode() if isinstance(text, bytes) else text)
        self._features = features
        self._places: dict[tuple[str, ...], _Path] = {}
        self._again: dict[str, _Path] = {}
        """Of each kind of thing the first that has the name of another."""
        self._walk(proto, (), ())
        shared = [(str(d.name), (f, i)) for f in _DOMAINS for i, d in enumerate(getattr(proto, f))]
        self._name("domain", shared)
        self._domains: dict[str, _Path] = dict(shared)

    def line(self, at: tuple[str | int, ...]) -> int | None:
        """The line of a place in the schema's JSON, or of the nearest thing around it; None when unknown."""
        found: _Path | None = None
        rest: Sequence[str | int] = at
        if at[:1] == ("again",):
            found, rest = self._again.get(str(at[1])), ()
        elif (
            at[:1] == ("features",) and len(at) > 1 and isinstance(at[1], int) and at[1] < len(self._features)
        ):
            found, rest = self._places.get(self._features[at[1]]), at[2:]
        elif at[:1] == ("domains",) and len(at) > 1:
            found, rest = self._domains.get(str(at[1])), at[2:]
        elif at[:1] in (("constraints",), ("default_environments",)):
            found = ()
        return None if found is None else self._lines.get(self._inwards(found, rest))

    def _inwards(self, path: _Path, steps: Sequence[str | int]) -> _Path:
        for step in steps:
            if isinstance(step, int):
                path = self._if_there((*path[:-1], step), path)
            elif step == "domain":
                path = next((p for p in self._lines if _is_domain(p, path)), path)
            else:
                for field in _FIELDS.get(step, (step,)):
                    path = self._if_there((*path, field, 0), path)
        return path

    def _if_there(self, path: _Path, otherwise: _Path) -> _Path:
        return path if path in self._lines else otherwise

    def _walk(self, group: Message, parent: tuple[str, ...], inside: _Path) -> None:
        self._name(
            "sparse feature",
            [(s.name, (*inside, "sparse_feature", i)) for i, s in enumerate(group.sparse_feature)],
        )
        for i, feature in enumerate(group.feature):
            steps, path = (*parent, str(feature.name)), (*inside, "feature", i)
            if steps in self._places:
                self._again.setdefault("feature", path)
            self._places.setdefault(steps, path)
            if feature.WhichOneof("domain_info") == "struct_domain":
                self._walk(feature.struct_domain, steps, (*path, "struct_domain", 0))

    def _name(self, kind: str, named: Sequence[tuple[str, _Path]]) -> None:
        seen: set[str] = set()
        for name, path in named:
            if name in seen:
                self._again.setdefault(kind, path)
            seen.add(name)


def _is_domain(path: _Path, feature: _Path) -> bool:
    last = path[len(feature) : -1]
    return path[: len(feature)] == feature and len(last) == 1 and str(last[0]).endswith("domain")


def _scan(text: str) -> dict[_Path, int]:
    r"""The line of every field.

    Example:
        >>> _scan('feature {\n  name: "x"\n}\nfeature { value_counts { value_count: [{ min: 1 },\n {}] } }')[
        ...     "feature", 1, "value_counts", 0, "value_count", 1
        ... ]
        5
    """
    lines: dict[_Path, int] = {}
    _message(_Tokens(text), (), lines)
    return lines


class _Tokens:
    """The tokens of a text, one ahead, with their lines."""

    def __init__(self, text: str) -> None:
        self._found = self._read(text)
        self.kind, self.word, self.line = next(self._found)

    @staticmethod
    def _read(text: str) -> Iterator[tuple[str, str, int]]:
        line = 1
        for found in _TOKEN.finditer(text):
            if found.lastgroup:
                yield found.lastgroup, found[0], line
            line += found[0].count("\n")
        while True:
            yield "end", "", line

    def take(self) -> str:
        """The token, and on to the next."""
        word = self.word
        self.kind, self.word, self.line = next(self._found)
        return word


def _message(tokens: _Tokens, path: _Path, lines: dict[_Path, int]) -> None:
    """The fields of a message, up to the bracket that closes it."""
    counts: dict[str, int] = {}
    while tokens.kind != "end":
        if tokens.kind == "mark":
            if tokens.take() in ("}", ">"):
                return
            continue
        name = tokens.take()
        if tokens.word == ":":
            tokens.take()
        several = tokens.word == "["
        if several:
            tokens.take()
        while True:
            n = counts[name] = counts.get(name, -1) + 1
            here = (*path, name, n)
            lines[here] = tokens.line
            _value(tokens, here, lines)
            if not several or tokens.word != ",":
                break
            tokens.take()


def _value(tokens: _Tokens, path: _Path, lines: dict[_Path, int]) -> None:
    if tokens.word in ("{", "<"):
        tokens.take()
        _message(tokens, path, lines)
        return
    was_text = tokens.kind == "text"
    if tokens.kind in ("text", "word"):
        tokens.take()
    while was_text and tokens.kind == "text":  # texts side by side are one
        tokens.take()
