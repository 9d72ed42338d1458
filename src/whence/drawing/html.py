"""Pages and their parts: self-contained, escaped, readable in light and dark, on narrow screens and by ear."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from whence.drawing.escape import escape
from whence.drawing.types import Html, Section

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--quiet:#5a6675;--line:#d5dbe3;--ground:#fff;--raised:#f5f7fa;--link:#0b5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e4e9f0;--quiet:#9aa7b8;--line:#3a4452;--ground:#12161c;--raised:#1b222b;--link:#7db7f5}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:62rem;color:var(--ink);background:var(--ground);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;line-height:1.2}h2{font-size:1.25rem;margin-top:2.2rem;border-bottom:1px solid var(--line)}
a{color:var(--link)}nav ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--quiet);padding:.2rem 0}
th,td{padding:.2rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{background:var(--raised)}td.n,th.n{text-align:right}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem}dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:34rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
code,pre{font:.85em/1.4 ui-monospace,monospace}pre{overflow-x:auto;background:var(--raised);padding:.6rem}
svg{max-width:100%;height:auto}
@media print{nav{display:none}body{max-width:none}}
""".strip()

#: A page of ours asks nobody for anything: no script, no font, no image, no form.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def as_html(value: object) -> Html:
    """`value` as a part of a page: `Html` as it is, anything else escaped, None as nothing.

    Example:
        >>> as_html("a < b"), as_html(Html("<b>x</b>")), as_html(None)
        ('a &lt; b', '<b>x</b>', '')
    """
    if isinstance(value, Html):
        return value
    return Html("" if value is None else escape(str(value)))


def join_html(parts: Sequence[str]) -> Html:
    """Parts one after another; text among them is escaped."""
    return Html("\n".join(as_html(p) for p in parts))


def paragraph(text: str) -> Html:
    """A paragraph."""
    return Html(f"<p>{as_html(text)}</p>")


def html_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str = "") -> Html:
    """A table with a caption; numbers stand to the right, wide tables scroll by themselves.

    Example:
        >>> html_table(["a"], [[1]], caption="One")
        '<div class="wide"><table><caption>One</caption><thead><tr><th scope="col" class="n">a</th></tr></thead><tbody><tr><td class="n">1</td></tr></tbody></table></div>'
    """
    right = [bool(rows) and all(_is_number(r[i]) for r in rows) for i in range(len(columns))]

    def cells(tag: str, values: Sequence[object]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        kinds = [' class="n"' if n else "" for n in right]
        return "".join(f"<{tag}{scope}{k}>{as_html(v)}</{tag}>" for v, k in zip(values, kinds, strict=True))

    head = f"<caption>{as_html(caption)}</caption>" if caption else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return Html(
        f'<div class="wide"><table>{head}<thead><tr>{cells("th", columns)}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def fact_list(facts: Mapping[str, object]) -> Html:
    """Names and what they are, as a definition list.

    Example:
        >>> fact_list({"rows": 3})
        '<dl><dt>rows</dt><dd>3</dd></dl>'
    """
    return Html(
        "<dl>" + "".join(f"<dt>{as_html(k)}</dt><dd>{as_html(v)}</dd>" for k, v in facts.items()) + "</dl>"
    )


def page(title: str, sections: Sequence[Section], *, lead: str = "") -> Html:
    """One self-contained page with a table of contents.

    Args:
        title: The title and the first heading.
        sections: Its parts, in order.
        lead: What the page says, in a sentence or two.
    """
    names = _anchors(sections)
    contents = "".join(
        f'<li><a href="#{a}">{as_html(s.title)}</a></li>' for a, s in zip(names, sections, strict=True)
    )
    body = "\n".join(
        f'<section aria-labelledby="{a}"><h2 id="{a}">{as_html(s.title)}</h2>\n'
        + "\n".join(p if isinstance(p, Html) else paragraph(p) for p in s.parts)
        + "</section>"
        for a, s in zip(names, sections, strict=True)
    )
    said = paragraph(lead) if lead else ""
    menu = f'<nav aria-label="Contents"><ul>{contents}</ul></nav>' if len(sections) > 1 else ""
    return Html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{as_html(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1>{as_html(title)}</h1>{said}{menu}</header>\n<main>{body}</main></body></html>\n"
    )


def _anchors(sections: Sequence[Section]) -> list[str]:
    out: list[str] = []
    for s in sections:
        slug = re.sub(r"[^a-z0-9]+", "-", s.title.lower()).strip("-") or "part"
        name, n = slug, 2
        while name in out:
            name, n = f"{slug}-{n}", n + 1
        out.append(name)
    return out
