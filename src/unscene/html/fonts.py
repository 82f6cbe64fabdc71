"""Text that the font of our matplotlib pictures can draw."""

from __future__ import annotations


def make_printable(text: str, limit: int = 60) -> str:
    """Replace characters that DejaVu Sans lacks by boxes, and shorten long text in the middle.

    >>> make_printable("jump.mp4"), make_printable("a\\tb"), make_printable("0123456789", limit=6)
    ('jump.mp4', 'a□b', '012…89')
    """
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    known = [c.isprintable() and font.get_char_index(ord(c)) > 0 for c in text]
    clean = "".join(c if drawn else "\u25a1" for c, drawn in zip(text, known, strict=True))
    if len(clean) <= limit:
        return clean
    return f"{clean[: limit // 2]}\u2026{clean[-(limit // 2 - 1) :]}"
