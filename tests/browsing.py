"""A real server, footage for it, and a real browser, for tests of the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import media

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

ENCODER = "hof"  # cheap; windows of 1.07 s at 15 frames a second
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30_000  # ms that a busy machine may take for what an idle one does at once


def make_footage(root: Path) -> Path:
    """Three videos that move to the right, three that move down, and one that stands still."""
    for number in range(3):
        for name, step in (("right", (2, 0)), ("down", (0, 2))):
            # The last two begin at other places of the same scene: predictions of one are sure.
            frames = media.pan(50, (48, 64), step)[5 if number == 2 else 0 :][:45]
            place = root / name / f"{name}{number}.mp4"
            place.parent.mkdir(parents=True, exist_ok=True)
            shown = media.over_scene(frames, seed=min(number, 1))
            media.write(place, shown, rate=15, options={"g": "15"})
    scene = media.over_scene(media.pan(1, (48, 64)), seed=9)
    media.write(root / "still.mp4", scene * 30, rate=15)
    return root


@contextmanager
def serve(index: Path) -> Iterator[str]:
    """Run `unscene explore` on an index; the address that it prints."""
    command = [sys.executable, "-m", "unscene", "explore", str(index), "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--no-browser"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield line.split(": ", 1)[1].split(" ")[0]
        finally:
            process.terminate()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """System Chromium; skips the test where it, or playwright, is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A tab with the page, what it asked for, and what went wrong in it.

    Attributes:
        page: of Playwright.
        address: of the server.
        wrong: errors of scripts and violations of the content security policy.
        hosts: that were asked for anything.
    """

    page: Page
    address: str
    wrong: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or message.type == "assert":
            self.wrong.append(message.text)

    def open(self) -> Tab:
        """Open the page and wait for its first moments."""
        self.page.goto(self.address)
        self.page.locator(".card-main").first.wait_for()
        return self

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the server answers to the page: (status, JSON or None)."""
        script = """async ([method, path, body]) => {
            const headers = body === null ? {} : {"Content-Type": "application/json"};
            const text = body === null ? undefined : JSON.stringify(body);
            const answer = await fetch(path, {method, headers, body: text});
            return [answer.status, await answer.json().catch(() => null)];
        }"""
        return self.page.evaluate(script, [method, path, body])

    def until(self, condition: str) -> None:
        """Wait until an expression holds. (Playwright's own waiting needs `unsafe-eval`.)"""
        end = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(30)

    def label_by_hand(self, number: int, name: str) -> None:
        """Make a class, and give it to a moment of the wall."""
        self.page.locator(".card-main").nth(number).focus()
        self.name_class(name)

    def labels(self) -> list[dict[str, Any]]:
        """All labels of the index."""
        found: list[dict[str, Any]] = self.ask("GET", "/api/labels")[1]["labels"]
        return found

    def name_class(self, name: str) -> None:
        """Make a class, and give it to what is aimed at."""
        self.page.keyboard.press("n")
        self.page.keyboard.type(name)
        self.page.keyboard.press("Enter")
        self.page.get_by_text(f"{name}: ").wait_for()

    def is_wider_than_screen(self) -> bool:
        """Whether the page scrolls sideways."""
        wider: bool = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return wider


def clear_labels(address: str) -> None:
    """Remove all labels of the index of a server."""
    import httpx

    headers = {"Origin": address.rstrip("/")}
    with httpx.Client(base_url=address, headers=headers, timeout=PATIENCE / 1000) as client:
        ids = [label["id"] for label in client.get("api/labels").json()["labels"]]
        if ids:
            answer = client.request("DELETE", "api/labels", json={"ids": ids})
            assert answer.status_code == 200, answer.text


OpenTab = Callable[..., Tab]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos that move to the right, that move down, and one that stands still."""
    return make_footage(tmp_path_factory.mktemp("page") / "footage")


@pytest.fixture(scope="module")
def page_address(
    chromium: Browser, footage: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Of a server that shows an index of the footage."""
    pytest.importorskip("lancedb", reason="needs the extra find")
    from unscene.search.build import build_index

    place = tmp_path_factory.mktemp("page") / "moves"
    build_index(footage, place, encoder=ENCODER)
    with serve(place) as address:
        yield address


@pytest.fixture
def open_tab(chromium: Browser, page_address: str) -> Iterator[OpenTab]:
    """open_tab(width=..., **options) -> the page in a tab of its own; it begins without labels."""
    contexts, tabs = [], []

    def one(width: int = 1280, **options: Any) -> Tab:
        context = chromium.new_context(viewport={"width": width, "height": 860}, **options)
        contexts.append(context)
        tab = Tab(context.new_page(), page_address)
        tabs.append(tab)
        if len(tabs) == 1:
            clear_labels(page_address)
        return tab.open()

    yield one
    for tab in tabs:
        assert tab.wrong == []
        assert tab.hosts == {tab.address.split("/")[2]}  # nothing from outside
    for context in contexts:
        context.close()


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    """The page at 1280 px."""
    return open_tab()
