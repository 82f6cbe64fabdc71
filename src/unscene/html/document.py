"""The file itself, its sections and its text.

No script, no link, no font from elsewhere: pictures are base64, charts are HTML and SVG, clips move
by CSS (`pictures.film`). Light and dark follow the reader's system.
"""

from __future__ import annotations

import re
from html import escape
from importlib.resources import files


def document(title: str, body: str, *, style: str = "") -> str:
    """A whole HTML file.

    Args:
        title: as text.
        body: HTML that goes into <main>.
        style: CSS after the house's own.
    """
    house = files("unscene.html").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>\n{house}{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def section(title: str, *blocks: str) -> str:
    """A section of HTML blocks, or nothing if it has nothing to say."""
    inside = "\n".join(block for block in blocks if block)
    return f"<section>\n<h2>{escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def paragraph(text: str) -> str:
    """Text, see `prose`, as a paragraph."""
    return f"<p>{prose(text)}</p>"


def prose(text: str) -> str:
    """Text as HTML in which a number keeps its unit, and an interval its ends, on one line."""
    kept = re.sub(r"\[([-−+]?[\d.]+), ([-−+]?[\d.]+)\]", "[\\1,\u00a0\\2]", text)
    kept = escape(re.sub(r"(?<=\d) (?=[%[])", "\u00a0", kept))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", kept)


def percent(value: float) -> str:
    """0.784 -> "78.4 %", 0.9 -> "90 %"."""
    return f"{value * 100:.1f}".removesuffix(".0") + " %"
