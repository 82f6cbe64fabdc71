"""What the server answers when something does not work: one sentence with a remedy, as JSON."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from unscene.errors import UnsceneError, VideoError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXTS = ("no space left", "disk quota exceeded", "file too large", "storagefull")


class Refusal(Exception):  # noqa: N818 - an answer to a request rather than a failure of the server
    """A request that cannot be answered: the HTTP status, and a sentence that names the remedy."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Answer(JSONResponse):
    """JSON that is never kept by the browser, because labels change; NaN becomes null."""

    def __init__(self, content: Any, status_code: int = 200, **rest: Any) -> None:
        super().__init__(content, status_code, **rest)
        self.headers["Cache-Control"] = "no-store"

    def render(self, content: Any) -> bytes:
        try:
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        except ValueError:  # looked for only where there is one
            text = json.dumps(_replace_nan(content), allow_nan=False, separators=(",", ":"))
        return text.encode()  # ASCII: names that are not UTF-8 are \udcXX


def _replace_nan(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {name: _replace_nan(value) for name, value in content.items()}
    return [_replace_nan(one) for one in content] if isinstance(content, list | tuple) else content


def refuse(status: int, sentence: str) -> Answer:
    """The answer to a request that cannot be answered."""
    return Answer({"error": sentence}, status)


def explain_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that the disk is full."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        if any(text in str(error).lower() for text in _FULL_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def add_error_answers(app: FastAPI) -> None:
    """Make every error that a handler raises an answer in JSON; no traceback leaves the server."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return refuse(error.status, error.sentence)

    @app.exception_handler(VideoError)
    async def unreadable(request: Request, error: VideoError) -> Response:
        return refuse(422, f"{Path(error.path).name}: {error.reason}")  # not where it lies

    @app.exception_handler(UnsceneError)
    async def wrong(request: Request, error: UnsceneError) -> Response:
        if explain_full_disk(error):
            return refuse(507, f"{error}. Free some space and try again; nothing else was lost")
        return refuse(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return refuse(422, f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}")

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        sentence = {
            404: "there is nothing at this address; open the page from its start",
            405: "this address does not take this kind of request",
        }.get(error.status_code, str(error.detail))
        answer = refuse(error.status_code, sentence)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(OSError)
    async def broken(request: Request, error: OSError) -> Response:
        if explain_full_disk(error):
            return refuse(507, "the disk is full: free some space and try again; nothing was lost")
        return refuse(500, f"{error.filename or 'the disk'}: {error.strerror or error}; try again")

    @app.exception_handler(Exception)  # it is printed by the server, too
    async def unexpected(request: Request, error: Exception) -> Response:
        if explain_full_disk(error):
            return refuse(507, "the disk is full: free some space and try again; nothing was lost")
        return refuse(
            500,
            f"the server failed ({type(error).__name__}); `unscene explore` printed where. What "
            "was written before is safe",
        )
