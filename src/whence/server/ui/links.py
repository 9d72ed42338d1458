"""From references to addresses: every name is encoded, nothing of a caller is opened."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from whence._base.refs import Ref
from whence.errors import WhenceError


def address(*parts: object, **query: object) -> str:
    """The address of a page from its path and parameters; None and empty parameters are left out.

    A path that ends in ``.json`` would be taken for the twin of a page, so it gets a slash.

    Example:
        >>> address("tables", "train.late", page=2), address("tables", "a.json"), address("x", "a/b?")
        ('/tables/train.late?page=2', '/tables/a.json/', '/x/a%2Fb%3F')
    """
    path = "/" + "/".join(quote(str(p), safe="@") for p in parts)
    if path.endswith(".json"):
        path += "/"
    given = {k: v for k, v in query.items() if v is not None and v != ""}
    return f"{path}?{urlencode(given)}" if given else path


def twin(path: str) -> str:
    """The address of a page's JSON.

    Example:
        >>> twin("/"), twin("/tables/flights"), twin("/tables/a.json/")
        ('/index.json', '/tables/flights.json', '/tables/a.json.json')
    """
    return "/index.json" if path == "/" else path.rstrip("/") + ".json"


def href_of(ref: str) -> str | None:
    """The page of a reference; None for text that is none.

    Example:
        >>> href_of("table:flights@12"), href_of("model:late@champion"), href_of("flights")
        ('/tables/flights/versions/12', '/models/late/versions/champion', None)
    """
    try:
        parsed = Ref.parse(ref)
    except WhenceError:
        return None
    return _page(parsed) or address("trace", ref=ref)


def _page(ref: Ref) -> str | None:
    if ref.kind == "table":
        return _versioned("tables", ref)
    if ref.kind == "model":
        return _versioned("models", ref)
    if ref.kind in ("run", "step"):
        return address("runs", ref.name)
    if ref.kind == "execution":
        return address("executions", ref.name)
    if ref.kind == "feature_view":
        return address("features", ref.name if ref.version is None else f"{ref.name}@{ref.version}")
    if ref.kind == "prediction" and ref.key is not None:
        return address("predictions", ref.name, "row", key=ref.key)
    return None


def _versioned(where: str, ref: Ref) -> str:
    return (
        address(where, ref.name) if ref.version is None else address(where, ref.name, "versions", ref.version)
    )
