"""HTML pages as lists of tags, for tests."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Parses a page; raises AssertionError if tags do not close in order.

    Attributes:
        open: tags that were never closed.
        tags: every tag with its attributes, in order.
    """

    VOID = frozenset({"meta", "img", "br", "input", "line", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
