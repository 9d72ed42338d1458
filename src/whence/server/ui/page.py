"""A page: where it is, what data it asks for, what it draws from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from whence.drawing import Html
from whence.server.api.base import Asked, Data

Pictures: TypeAlias = Mapping[str, Html]
NO_PICTURES: Pictures = MappingProxyType({})


def no_pictures(data: Data) -> Pictures:  # noqa: ARG001 - the shape of every page
    """A page of words and numbers alone."""
    return NO_PICTURES


def no_parts(asked: Asked) -> Pictures:  # noqa: ARG001 - the shape of every page
    """A page whose data say all."""
    return NO_PICTURES


@dataclass(frozen=True, slots=True)
class Page:
    """One address and its twin.

    Attributes:
        path: The address, with names in braces.
        template: The template's file.
        section: The entry of the menu it stands under.
        data: What it shows, as JSON; also the whole answer of the twin.
        pictures: What is drawn from the data.
        parts: What is drawn from more than the data say; only for the page, not for its twin.
    """

    path: str
    template: str
    section: str
    data: Callable[[Asked], Data]
    pictures: Callable[[Data], Pictures] = field(default=no_pictures)
    parts: Callable[[Asked], Pictures] = field(default=no_parts)
