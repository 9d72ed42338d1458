"""Templates: everything in them is escaped but what was drawn by ourselves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from whence.drawing import Html
from whence.server.ui.links import address, href_of, twin
from whence.trace.plain import shown

NOTHING: Final = Markup("\u2013")
DIGEST_FIGURES: Final = 12
_UTC: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
_REFERENCE: Final = re.compile(r"\b((?:table|model|run|execution|feature_view):[\w.@-]*\w)")
_DIGEST: Final = re.compile(r"^(sha256|rows-v1):[0-9a-f]{13,}")
MENU: Final = (
    ("journey", "Journey", "/"),
    ("tables", "Tables", "/tables"),
    ("features", "Features", "/features"),
    ("runs", "Runs", "/runs"),
    ("models", "Models", "/models"),
    ("deployments", "Deployments", "/deployments"),
    ("predictions", "Predictions", "/predictions"),
    ("monitors", "Monitors", "/monitors"),
    ("trace", "Trace", "/trace"),
    ("executions", "Executions", "/executions"),
)
STATIC: Final = {"whence.css": "text/css; charset=utf-8", "whence.js": "text/javascript; charset=utf-8"}


def number(value: object) -> str:
    """A number for people: thousands apart, at most six figures of a fraction.

    Example:
        >>> number(336776), number(0.7809486141745245), number(1e-9)
        ('336,776', '0.780949', '1e-09')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.6g}"


def brief(value: object) -> str:
    """A number of which the first three figures matter.

    Example:
        >>> brief(0.78094), brief(0.0000012), brief(12)
        ('0.781', '1.2e-06', '12')
    """
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else number(value)


def size(value: object) -> str:
    """Bytes in the largest unit that leaves a whole part.

    Example:
        >>> size(512), size(24_576)
        ('512 B', '24.0 KiB')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    left, unit = float(value), "B"
    for following in ("KiB", "MiB", "GiB", "TiB"):
        if left < 1024:
            break
        left, unit = left / 1024, following
    return f"{int(left)} B" if unit == "B" else f"{left:.1f} {unit}"


def seconds(value: object) -> str:
    """A duration for people.

    Example:
        >>> seconds(0.0262), seconds(5.478), seconds(754.2)
        ('26 ms', '5.48 s', '12 min 34 s')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.2f} s"
    whole = round(value)
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def moment(value: object) -> Markup:
    """A moment as a ``time`` element, in UTC; the exact one stands in it for machines.

    Example:
        >>> moment("2013-04-01T05:00:00+00:00")
        Markup('<time datetime="2013-04-01T05:00:00+00:00">2013-04-01 05:00</time>')
    """
    if not value:
        return NOTHING
    text = str(value)
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return Markup("{}").format(text)
    whole = at.second == at.microsecond == 0
    form = "%Y-%m-%d %H:%M" if whole else "%Y-%m-%d %H:%M:%S"
    return Markup('<time datetime="{}">{}</time>').format(text, at.strftime(form))


def short(value: object) -> str:
    """A digest by its first figures, anything else as it is.

    Example:
        >>> short("sha256:" + "ab" * 32), short("flights@12")
        ('sha256:abababababab…', 'flights@12')
    """
    text = str(value)
    if not _DIGEST.match(text):
        return text
    return text[: text.index(":") + 1 + DIGEST_FIGURES] + "…"


def cell(value: object) -> str:
    """A value of the data as text: numbers short, times without their zone when that is UTC, the rest as JSON has it.

    Example:
        >>> cell(0.1 + 0.2), cell(12345), cell("2013-04-01T05:00:00+00:00"), cell(None)
        ('0.3', '12345', '2013-04-01 05:00:00', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, str):
        return f"{value[:10]} {value[11:-6]}" if _UTC.fullmatch(value) else value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else shown(value)


def said(value: object) -> str:
    """A fact of a trace in a few characters.

    Example:
        >>> said("2013-04-01T05:00:00.125+00:00"), said({"depth": 6, "auc": 0.78094861})
        ('2013-04-01 05:00:00', 'depth 6, auc 0.780949')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{plainly(k)} {said(v)}" for k, v in value.items())
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return shown(value, width=120)
    if isinstance(value, str) and _UTC.fullmatch(value):
        return f"{value[:10]} {value[11:19]}"
    return number(_cut(value))


def _cut(value: object) -> object:
    return shown(value, width=120) if isinstance(value, str) else value


def plainly(name: object) -> str:
    """A field's name as words.

    Example:
        >>> plainly("n_rows"), plainly("duration_s"), plainly("holdout_auc")
        ('rows', 'seconds', 'holdout auc')
    """
    words = str(name)
    if words == "duration_s":
        return "seconds"
    return words.removeprefix("n_").replace("_", " ")


def page_of(ref: object) -> str | None:
    """The page of a reference, if it has one of its own.

    Example:
        >>> page_of("table:flights@12"), page_of("schema:flights@1")
        ('/tables/flights/versions/12', None)
    """
    href = href_of(str(ref))
    return None if href is None or href.startswith("/trace?") else href


def linked(ref: object, words: object = None) -> Markup:
    """A reference as a link to its page.

    Example:
        >>> linked("table:flights@12", "flights@12")
        Markup('<a href="/tables/flights/versions/12">flights@12</a>')
    """
    if not ref:
        return NOTHING
    shown, href = str(ref) if words is None else str(words), href_of(str(ref))
    return Markup("{}").format(shown) if href is None else Markup('<a href="{}">{}</a>').format(href, shown)


def with_links(text: object) -> Markup:
    """A sentence whose references are links.

    Example:
        >>> with_links("first in table:weather@332, <b>")
        Markup('first in <a href="/tables/weather/versions/332">table:weather@332</a>, &lt;b&gt;')
    """
    parts = _REFERENCE.split(str(text))  # every second one is a reference
    return Markup("").join(linked(part) if i % 2 else part for i, part in enumerate(parts))


def state_word(state: object) -> str:
    """The kind of a state, for its colour and sign: good, bad, open or quiet."""
    word = str(state).upper()
    if word in ("COMPLETE", "CACHED", "LIVE", "REPLAYED"):
        return "good"
    if word in ("FAILED", "ABANDONED", "DROPPED"):
        return "bad"
    return "open" if word in ("RUNNING", "NEW", "PENDING", "CORRECTED") else "quiet"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of this package."""
    env = Environment(
        loader=PackageLoader("whence.server.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        brief=brief,
        cell=cell,
        linked=linked,
        moment=moment,
        number=number,
        page_of=page_of,
        plainly=plainly,
        said=said,
        seconds=seconds,
        short=short,
        size=size,
        state_word=state_word,
        with_links=with_links,
    )
    env.globals.update(
        address=address, href_of=href_of, menu=MENU, css=_versioned("whence.css"), js=_versioned("whence.js")
    )
    return env


def static(name: str) -> bytes:
    """A file of our own that pages ask for."""
    return resources.files("whence.server.ui").joinpath("static", name).read_bytes()


def _versioned(name: str) -> str:
    """The address of a file, with its digest: a new version is a new address."""
    return f"/static/{name}?v={hashlib.sha256(static(name)).hexdigest()[:12]}"


def render(template: str, *, section: str, path: str, pictures: Mapping[str, Html], **given: object) -> str:
    """A whole page."""
    drawn = {name: Markup(picture) for name, picture in pictures.items()}  # noqa: S704 - drawn by ourselves, escaped there
    return (
        environment()
        .get_template(template)
        .render(**given, section=section, path=path, twin=twin(path), pictures=drawn)
    )
