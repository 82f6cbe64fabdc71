"""The server behind the page: an index, its videos, searches and labels, over HTTP.

security     who may ask                       wall          in which order windows are shown
media        videos, clips, pictures           labelling     labels, undo, version
uploads      clips that somebody dropped in    answers       what is said when it fails
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.responses import Response

from unscene.errors import UnsceneError
from unscene.explore.answers import Answer, Refusal, add_error_answers
from unscene.explore.colors import Colors
from unscene.explore.insights import Insights, insight_routes
from unscene.explore.media import Media, media_routes
from unscene.explore.opened import OpenIndex, Opening
from unscene.explore.pages import page_routes
from unscene.explore.searching import Searcher, Subject
from unscene.explore.security import Access, Guard
from unscene.explore.uploads import Uploads
from unscene.explore.wall import Order
from unscene.search.labels import Label

if TYPE_CHECKING:
    from unscene.search.index import Index

_PAGE = 500  # moments that are sent at once


@dataclass
class Explorer:
    """All that the server holds: pass it to `create_app`, close it in the end.

    Attributes:
        opening: of the index.
        access: who may ask.
        folder: for temporary files.
    """

    opening: Opening
    access: Access
    folder: Path
    name: str = "index"
    colors: Colors = field(default_factory=Colors)

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.folder / "uploads", self.access.upload_limit)
        self.media = Media(self.opening, self.uploads, self.folder)
        self.searcher = Searcher(self.opening, self.uploads)
        self.insights = Insights(self.opening, self.folder)

    @classmethod
    def of(
        cls, open_index: Callable[[], Index], access: Access, folder: Path, name: str = "index"
    ) -> Explorer:
        """Begin to open an index and hold it."""
        return cls(Opening(open_index), access, folder, name)

    @property
    def open(self) -> OpenIndex:
        """The index, once it is open."""
        return self.opening.wait()

    def close(self) -> None:
        """Stop what runs in the background."""
        self.media.close()
        self.uploads.close()


def create_app(explorer: Explorer) -> Guard:
    """The whole server, guarded."""

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        yield
        explorer.close()

    app = FastAPI(
        title="unscene explore",
        openapi_url=None,  # its page of documentation loads scripts from outside
        lifespan=live,
        default_response_class=Answer,
        redirect_slashes=False,
    )
    add_error_answers(app)
    app.include_router(page_routes())
    app.include_router(media_routes(explorer.media))
    app.include_router(insight_routes(explorer.insights))
    for routes in (index_routes, search_routes, label_routes, history_routes):
        app.include_router(routes(explorer))
    return Guard(app, explorer.access)


def describe_index(explorer: Explorer) -> dict[str, Any]:
    """What the page needs to know first."""
    from unscene.search.formats import FORMATS

    opened = explorer.open
    about = opened.index.about
    version = opened.labelling.version  # before the labels: who comes between is not overlooked
    counts = Counter(label.label for label in opened.labelling.read())
    colors = explorer.colors.choose(sorted(counts))
    files = [
        {
            "id": file.id,
            "name": file.name,
            "duration": file.duration,
            "fps": file.fps,
            "class": file.label,
        }
        for file in opened.index.files
    ]
    return {
        "name": explorer.name,
        "encoder": about.encoder,
        "length": about.length,
        "hop": about.hop,
        "windows": len(opened.windows),
        "still": int(opened.index.still.sum()),
        "files": files,
        "labels": [
            {"name": name, "count": counts[name], "color": color} for name, color in colors.items()
        ],
        "version": version,
        "formats": list(FORMATS),
        "upload_limit": explorer.access.upload_limit,
    }


def index_routes(explorer: Explorer) -> APIRouter:
    """What is in the index, and its windows in an order."""
    router = APIRouter(prefix="/api")

    @router.get("/index")
    def index() -> Answer:
        return Answer(describe_index(explorer))

    @router.get("/moments")
    def moments(
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = 60,
        order: Order = "spread",
        file: int | None = None,
        label: str | None = None,
        where: str | None = None,
        still: bool = False,
    ) -> Answer:
        opened = explorer.open
        try:
            chosen = opened.select(where=where, file=file, label=label or None, still=still)
        except UnsceneError as error:
            raise Refusal(400, str(error)) from error
        rows = opened.wall.arrange(order, chosen)
        part = rows[min(offset, len(rows)) : offset + limit].tolist()
        return Answer({"total": len(rows), "moments": opened.describe_rows(part)})

    return router


class SearchBody(BaseModel):
    """A search: what is looked for, what is not, and how much."""

    query: Subject
    unlike: Annotated[list[Subject], Field(max_length=20)] = []
    k: Annotated[int, Field(ge=1, le=_PAGE)] = 60
    where: str | None = None
    still: bool = False


def search_routes(explorer: Explorer) -> APIRouter:
    """Searches, and the clips that they are made with."""
    router = APIRouter(prefix="/api")

    @router.post("/search")
    def search(body: SearchBody) -> Answer:
        found, milliseconds = explorer.searcher.search(
            body.query, body.unlike, k=body.k, where=body.where, still=body.still
        )
        opened = explorer.open
        moments = [opened.describe_moment(moment) for moment in found]
        return Answer({"moments": moments, "milliseconds": round(milliseconds, 1)})

    @router.post("/upload")
    async def upload(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=4) as form:
            video = form.get("video")
            if not isinstance(video, UploadFile):
                raise Refusal(422, "the form has no file named video; choose a video file")
            receive, name = explorer.uploads.receive, video.filename or ""
            found = await anyio.to_thread.run_sync(receive, video.file, name)
        return Answer({"upload": found.key, "name": found.name, "duration": found.duration})

    return router


class LabelBody(BaseModel):
    """One label."""

    file: int
    start: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
    end: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
    label: Annotated[str, Field(max_length=1000)]

    def to_label(self, opened: OpenIndex) -> Label:
        """The label of the index. Raises Refusal if it is none that the file can have."""
        file = opened.footage.find(self.file)
        end = self.end if file.duration <= 0 else min(self.end, file.duration)
        if self.start >= end:
            raise Refusal(
                422,
                f"{self.start:g} to {self.end:g} s lies outside the file, which lasts "
                f"{file.duration:.2f} s; mark a stretch inside it",
            )
        return Label(file.path, self.start, end, self.label)


class LabelsBody(BaseModel):
    """Many labels."""

    labels: Annotated[list[LabelBody], Field(min_length=1, max_length=10_000)]


class IdsBody(BaseModel):
    """Ids of labels."""

    ids: Annotated[list[str], Field(min_length=1, max_length=10_000)]


def label_routes(explorer: Explorer) -> APIRouter:
    """Labels are read, added, changed and removed."""
    router = APIRouter(prefix="/api/labels")

    def one(label: Label) -> Answer:
        opened = explorer.open
        return Answer({"label": opened.describe_label(label), "version": opened.labelling.version})

    def many(labels: list[Label], version: int | None = None) -> Answer:
        opened = explorer.open
        version = opened.labelling.version if version is None else version
        described = [opened.describe_label(label) for label in labels]
        return Answer({"labels": described, "version": version})

    @router.get("")
    def read(file: int | None = None) -> Answer:
        opened = explorer.open
        # Read first: a tab that holds an older version than its labels reads once too often, and
        # one that holds a newer version would miss a label.
        version = opened.labelling.version
        labels = opened.labelling.read()
        if file is not None:
            path = opened.footage.find(file).path
            labels = [label for label in labels if label.path == path]
        return many(labels, version)

    @router.post("")
    def add(body: LabelBody | LabelsBody) -> Answer:
        opened = explorer.open
        if isinstance(body, LabelBody):
            return one(opened.labelling.add([body.to_label(opened)])[0])
        return many(opened.labelling.add([label.to_label(opened) for label in body.labels]))

    @router.put("/{id}")
    def change(id: str, body: LabelBody) -> Answer:
        opened = explorer.open
        return one(opened.labelling.replace(id, body.to_label(opened)))

    @router.delete("/{id}")
    def remove(id: str) -> Answer:
        return one(explorer.open.labelling.remove([id])[0])

    @router.delete("")
    def remove_many(body: IdsBody) -> Answer:
        return many(explorer.open.labelling.remove(body.ids))

    return router


def history_routes(explorer: Explorer) -> APIRouter:
    """Undo, redo, and whether something changed."""
    router = APIRouter(prefix="/api")

    def tell(done: str | None) -> Answer:
        labelling = explorer.open.labelling
        return Answer({"done": done, "version": labelling.version, **labelling.history()})

    @router.post("/undo")
    def undo() -> Answer:
        return tell(explorer.open.labelling.undo())

    @router.post("/redo")
    def redo() -> Answer:
        return tell(explorer.open.labelling.redo())

    @router.get("/changes")
    def changes(since: int = 0) -> Answer:
        labelling = explorer.open.labelling
        return Answer({"version": labelling.look_again(), **labelling.history()})

    return router
