"""Addresses of videos, clips and pictures: files of the index by number, and uploads by key."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from unscene.explore.answers import Refusal
from unscene.explore.cache import FolderCache
from unscene.explore.footage import Listed, OpenFile, OpenFileResponse, open_cached
from unscene.explore.opened import Opening
from unscene.explore.pictures import HEIGHT, make_picture
from unscene.explore.playable import Playing, decide_playing
from unscene.explore.streams import Reader, Streams
from unscene.explore.uploads import Uploads

Seconds = Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False)]

_VIDEOS, _CLIPS, _PICTURES = 4 << 30, 256 << 20, 64 << 20  # bytes that are kept at most
_SHORT = 20.0  # seconds; a shorter file is converted before it is sent, so that one can jump in it
_LONGEST_CLIP = 15.0  # seconds
_WAITING = 200  # clips or pictures that may be asked for and are not made yet
_FPS = 25.0  # where the index does not know
_KEPT = {"Cache-Control": "private, max-age=3600"}
_CHECKED = {"Cache-Control": "private, no-cache"}  # asks whether the file is still the same


class GrowingResponse(StreamingResponse):
    """Sends a video while it is written; whoever sends it leaves it in the end."""

    def __init__(self, reader: Reader) -> None:
        headers = {"Cache-Control": "no-store", "Accept-Ranges": "none"}
        super().__init__(reader.read(), media_type="video/mp4", headers=headers)
        self.reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.reader.close()


class Media:
    """Makes what a browser shows of the files of an index.

    Args:
        opening: of the index.
        uploads: of the page.
        folder: for what is made.
        at_once: how many clips, and how many pictures, are made side by side.
    """

    def __init__(
        self, opening: Opening, uploads: Uploads, folder: Path, *, at_once: int = 2
    ) -> None:
        self.opening, self.uploads = opening, uploads
        most = min(_VIDEOS, shutil.disk_usage(folder).free // 2)
        self.videos = FolderCache(folder / "videos", most)
        self.clips = FolderCache(folder / "clips", _CLIPS)
        self.pictures = FolderCache(folder / "pictures", _PICTURES)
        self.streams = Streams(self.videos, at_once)
        self._clip_makers = ThreadPoolExecutor(at_once, "clip")
        self._picture_makers = ThreadPoolExecutor(at_once, "picture")

    def close(self) -> None:
        """Stop what is being made."""
        self.streams.stop()
        for makers in (self._clip_makers, self._picture_makers):
            makers.shutdown(wait=False, cancel_futures=True)

    async def video(self, number: int, start: float, head: bool) -> Response:
        """A file of the index: as it is, or in a form that browsers play."""
        file, opened = await asyncio.to_thread(self._open, number)
        try:
            playing = await asyncio.to_thread(decide_playing, opened.path)
            if playing.way == "as it is":
                return OpenFileResponse(opened, playing.media_type, _CHECKED)
        except BaseException:
            opened.close()
            raise
        opened.close()
        name = f"{_name(file, opened)}-{start:.2f}.mp4"
        if (kept := self.videos.find(name)) is not None:
            return OpenFileResponse(open_cached(kept), "video/mp4", _CHECKED)
        if head:
            return Response(media_type="video/mp4", headers={"Accept-Ranges": "none"})
        return await self._convert(file, name, opened.path, playing, start)

    async def _convert(
        self, file: Listed, name: str, path: str, playing: Playing, start: float
    ) -> Response:
        reader = self.streams.join(name, path, playing, file.fps or _FPS, start)
        try:
            short = start == 0 and file.duration <= _SHORT
            await reader.wait(to_end=short)
            if short and (kept := self.videos.find(name)) is not None:
                reader.close()
                return OpenFileResponse(open_cached(kept), "video/mp4", _CHECKED)
            return GrowingResponse(reader)
        except BaseException:
            reader.close()
            raise

    async def describe(self, number: int) -> dict[str, object]:
        """How a file gets to the browser, and whether one can jump in it."""
        file, opened = await asyncio.to_thread(self._open, number)
        opened.close()
        playing = await asyncio.to_thread(decide_playing, opened.path)
        kept = self.videos.find(f"{_name(file, opened)}-{0:.2f}.mp4") is not None
        jumps = playing.way == "as it is" or kept or file.duration <= _SHORT
        height, width = playing.size
        return {
            "way": playing.way,
            "jumps": jumps,
            "duration": file.duration,
            "fps": file.fps,
            "width": width,
            "height": height,
        }

    async def clip(self, number: int, start: float, end: float) -> Response:
        """A small clip of a stretch of a file."""
        file, opened = await asyncio.to_thread(self._open, number)
        opened.close()
        end = min(end, start + _LONGEST_CLIP)
        if not start < end:
            raise Refusal(422, f"clip from {start:g} to {end:g} s: must end after it starts")
        make = partial(make_clip, opened.path, start, end)
        name = f"{_name(file, opened)}-{start:.3f}-{end:.3f}.mp4"
        path = await self._make(self.clips, name, make, self._clip_makers)
        return OpenFileResponse(open_cached(path), "video/mp4", _KEPT)

    async def picture(self, number: int, at: float) -> Response:
        """A small picture of a moment of a file."""
        file, opened = await asyncio.to_thread(self._open, number)
        opened.close()
        make = partial(write_picture, opened.path, at, file.fps or _FPS)
        name = f"{_name(file, opened)}-{at:.3f}.jpg"
        path = await self._make(self.pictures, name, make, self._picture_makers)
        return OpenFileResponse(open_cached(path), "image/jpeg", _KEPT)

    async def upload(self, key: str) -> Response:
        """An upload, as it was decoded."""
        upload = await asyncio.to_thread(self.uploads.find, key)
        return OpenFileResponse(open_cached(upload.path), "video/mp4", _CHECKED)

    def _open(self, number: int) -> tuple[Listed, OpenFile]:
        footage = self.opening.wait().footage
        return footage.find(number), footage.open(number)

    async def _make(
        self, cache: FolderCache, name: str, make: partial[None], makers: ThreadPoolExecutor
    ) -> Path:
        if cache.waiting >= _WAITING:
            raise Refusal(503, "too many clips are asked for at once; wait a moment")
        return await asyncio.shield(asyncio.wrap_future(cache.request(name, make, makers)))


def make_clip(path: str, start: float, end: float, target: Path) -> None:
    """Write a small clip of a stretch of a file."""
    from unscene.search.cut import cut_moment  # it needs torch, and the first pictures do not

    cut_moment(path, start, end, target, short_side=HEIGHT)


def write_picture(path: str, at: float, fps: float, target: Path) -> None:
    """Write a small picture of a moment of a file."""
    target.write_bytes(make_picture(path, at, fps))


def _name(file: Listed, opened: OpenFile) -> str:
    """A name that changes when the file does."""
    return f"{file.id}-{opened.facts.st_size:x}-{opened.facts.st_mtime_ns:x}"


def media_routes(media: Media) -> APIRouter:
    """The addresses under /media/. HEAD is answered everywhere."""
    router = APIRouter(prefix="/media")
    both = ["GET", "HEAD"]

    @router.api_route("/upload/{key}", methods=both)
    async def upload(key: str) -> Response:
        return await media.upload(key)

    @router.api_route("/{file}", methods=both)
    async def video(file: int, request: Request, start: Seconds = 0.0) -> Response:
        return await media.video(file, start, request.method == "HEAD")

    @router.api_route("/{file}/clip", methods=both)
    async def clip(file: int, start: Seconds, end: Seconds) -> Response:
        return await media.clip(file, start, end)

    @router.api_route("/{file}/frame", methods=both)
    async def frame(file: int, at: Seconds = 0.0) -> Response:
        return await media.picture(file, at)

    @router.get("/{file}/info")
    async def info(file: int) -> dict[str, object]:
        return await media.describe(file)

    return router
