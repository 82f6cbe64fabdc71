"""HTML pages that open offline, and their text.

No script, no link, no external font: pictures are base64, charts are HTML and SVG, clips are
animated by CSS (`pictures.film`). Light and dark mode follow the reader's system.

Pages with their own templates get the environment of `make_environment`; the filters `prose`,
`percent` and `data_uri` are known there, and text is escaped.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unscene.html.pictures import data_uri


@cache
def make_environment(package: str) -> Environment:
    """A jinja2 environment that reads the folder `templates` of a package.

    Args:
        package: such as "unscene.audit.report".
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "prose": lambda text: Markup(prose(text)),
        "percent": percent,
        "data_uri": data_uri,
    }
    return environment


def document(title: str, body: str, *, style: str = "") -> str:
    """A whole HTML file.

    Args:
        title: as text.
        body: HTML that goes into <main>.
        style: CSS that is added to style.css of this package.
    """
    house = files("unscene.html").joinpath("style.css").read_text(encoding="utf-8")
    template = make_environment("unscene.html").get_template("document.html")
    return template.render(title=title, style=Markup(house + style), body=Markup(body))


def section(title: str, *blocks: str) -> str:
    """A section of HTML blocks; "" if all of them are empty."""
    inside = "\n".join(block for block in blocks if block)
    return f"<section>\n<h2>{escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def paragraph(text: str) -> str:
    """Text, see `prose`, as a paragraph."""
    return f"<p>{prose(text)}</p>"


def prose(text: str) -> str:
    """Escape text; a number stays on one line with its unit or interval, and `x` becomes code.

    >>> prose("`a` < 5 %")
    '<code>a</code> &lt; 5\\xa0%'
    """
    kept = re.sub(r"\[([-−+]?[\d.]+), ([-−+]?[\d.]+)\]", "[\\1,\u00a0\\2]", text)
    kept = escape(re.sub(r"(?<=\d) (?=[%[])", "\u00a0", kept))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", kept)


def percent(value: float) -> str:
    """A share as text.

    >>> percent(0.784), percent(0.9)
    ('78.4 %', '90 %')
    """
    return f"{value * 100:.1f}".removesuffix(".0") + " %"
