"""The page itself: files of the folder page/, and no others."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from unscene.explore.answers import Refusal

PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def read_page_file(name: str) -> Response:
    """A file of the page, by its exact name.

    Raises:
        Refusal: the folder has no such file.
    """
    there = {path.name: path for path in PAGE.glob("*") if path.suffix in _TYPES}
    if name not in there:
        raise Refusal(404, "the page has no such file; open it again from its start")
    path = there[name]
    headers = {"Cache-Control": "no-cache"}
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=headers)


def page_routes() -> APIRouter:
    """The page at /, its files under /static/."""
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"])
    def page() -> Response:
        return read_page_file("index.html")

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    def static(name: str) -> Response:
        return read_page_file(name)

    return router
