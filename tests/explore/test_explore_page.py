"""The page in a real browser, on a real server: what a person does with it."""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import PATIENCE, OpenTab, Tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.slow
expect.set_options(timeout=PATIENCE)


def similarities(page: Page) -> list[float]:
    return [float(text) for text in page.locator(".card .number").all_inner_texts()]


def test_moments_are_on_the_wall_and_play_under_the_pointer(tab: Tab) -> None:
    page = tab.page
    expect(page.locator("#name")).to_have_text("moves")
    expect(page.locator("#counts")).to_contain_text("in 7 files")
    tab.until("document.querySelector('.card img').naturalWidth > 0")
    card = page.locator(".card").nth(1)
    card.hover()
    tab.until("document.querySelector('.card video')?.currentTime > 0.2")
    expect(card.locator("video")).to_have_css("opacity", "1")
    page.locator("#name").hover()
    expect(page.locator(".card video")).to_have_count(0)


def test_nothing_moves_for_those_who_asked_for_that(open_tab: OpenTab) -> None:
    page = open_tab(reduced_motion="reduce").page
    page.locator(".card").nth(1).hover()
    page.wait_for_timeout(300)
    expect(page.locator(".card video")).to_have_count(0)
    page.locator(".card-main").nth(1).click()
    expect(page.locator(".stage video")).to_have_js_property("paused", True)
    page.keyboard.press("k")  # but one may ask for it
    expect(page.locator(".stage video")).to_have_js_property("paused", False)


def test_a_click_finds_moments_that_move_alike(tab: Tab) -> None:
    page = tab.page
    first = page.locator(".card-main").first
    kind = (first.get_attribute("title") or "").split("/")[0]
    first.click()
    expect(page.locator("#status")).to_contain_text("nearest moments, found in")
    expect(page.locator(".pill")).to_contain_text("Like")
    values = similarities(page)
    assert values == sorted(values, reverse=True)
    # Files of the other direction come after all of this one.
    names = [one.get_attribute("title") or "" for one in page.locator(".card-main").all()]
    assert [name.split("/")[0] for name in names[:3]] == [kind] * 3
    tab.until("document.querySelector('.stage video').currentTime > 0.1")

    page.locator(".card-main").nth(1).click(modifiers=["Shift"])
    expect(page.locator(".pill.not")).to_contain_text(Path(names[1]).name)
    page.locator(".pill.not button").click()
    expect(page.locator(".pill.not")).to_have_count(0)
    page.go_back()
    expect(page.locator(".pill.not")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator(".pill")).to_have_count(0)


def test_a_stretch_is_marked_searched_and_labeled(tab: Tab) -> None:
    page = tab.page
    page.locator(".card-main").first.focus()
    page.keyboard.press("p")
    lane = page.locator(".lanes .lane").first
    box = lane.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=4)
    page.mouse.up()
    expect(page.locator("#dock .aim")).to_contain_text("marked")
    tab.name_class("jump")
    [label] = tab.labels()
    assert label["start"] == pytest.approx(0.6, abs=0.06)
    assert label["end"] == pytest.approx(1.8, abs=0.06)
    page.keyboard.press("s")
    expect(page.locator(".pill")).to_contain_text("0:00.6 – 0:01.8")
    expect(page.locator("#status")).to_contain_text("nearest moments")

    page.evaluate("document.querySelector('.stage video').pause()")
    page.evaluate("document.querySelector('.stage video').currentTime = 0.5")
    page.keyboard.press("i")
    page.evaluate("document.querySelector('.stage video').currentTime = 1.5")
    page.keyboard.press("o")
    expect(page.locator(".mark .strong")).to_have_text("Search 0:00.5 – 0:01.5")


def test_a_clip_from_outside_is_a_query(tab: Tab, footage: Path, tmp_path: Path) -> None:
    page = tab.page
    clip = tmp_path / "mine <b>.mp4"
    clip.write_bytes((footage / "down" / "down1.mp4").read_bytes())
    page.locator("#upload").set_input_files(clip)
    expect(page.locator(".pill")).to_contain_text("mine <b>.mp4")
    first = page.locator(".card-main").first
    expect(first).to_have_attribute("title", re.compile("^down/"))
    page.keyboard.press("n")
    page.keyboard.type("jump")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("Click a moment first")
    assert tab.labels() == []

    # Dropped on the page, and no video at all.
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(new File(["buy milk"], "notes.mp4", {type: "video/mp4"}));
        for (const kind of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(
                new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect(page.locator("#toast.wrong")).to_contain_text("notes.mp4")
    expect(page.locator(".pill")).to_contain_text("mine <b>.mp4")  # the search stays


def test_labels_are_given_corrected_and_undone(tab: Tab) -> None:
    page = tab.page
    chip = page.locator(".card").first.locator(".chip")
    tab.label_by_hand(0, "<img src=x onerror=alert(1)>")
    expect(chip).to_have_text("<img src=x onerror=alert(1)>")
    page.keyboard.press("Delete")
    expect(chip).to_have_count(0)
    page.keyboard.press("1")
    expect(chip).to_have_count(1)
    tab.name_class("wave")  # another class for the same moment takes the place of the first
    expect(chip).to_have_text("wave")
    [label] = tab.labels()

    # A click on the chip is a click on the moment.
    page.locator("#name").click()
    box = chip.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 8, box["y"] + 8)
    expect(page.locator(".pill")).to_have_count(1)
    page.go_back()
    expect(chip).to_have_text("wave")

    page.locator(".card-main").first.focus()
    page.keyboard.press("p")
    stretch = page.locator(".stretch.label")
    stretch.click()
    page.get_by_label("Class of the label").select_option(label="<img src=x onerror=alert(1)>")
    expect(stretch).to_contain_text("<img")
    end = round(label["end"] - 0.3, 2)
    page.get_by_label("End, s").fill(str(end))
    page.get_by_label("End, s").press("Enter")
    expect(stretch).to_have_attribute("title", re.compile(f"0:0{end:.1f}$"))
    assert [one["end"] for one in tab.labels()] == [end]

    page.locator("#undo").click()
    expect(stretch).not_to_have_attribute("title", re.compile(f"0:0{end:.1f}$"))
    page.keyboard.press("Control+z")
    expect(stretch).to_contain_text("wave")
    page.keyboard.press("Control+Shift+z")
    expect(stretch).to_contain_text("<img")
    page.get_by_role("button", name="Delete").click()
    expect(stretch).to_have_count(0)
    assert tab.labels() == []


def test_the_end_of_a_label_is_dragged(tab: Tab) -> None:
    page = tab.page
    tab.label_by_hand(0, "jump")
    [label] = tab.labels()
    page.keyboard.press("p")
    page.locator(".stretch.label").click()
    grip = page.locator(".grip.right").bounding_box()
    assert grip is not None
    page.mouse.move(grip["x"] + 5, grip["y"] + 5)
    page.mouse.down()
    page.mouse.move(grip["x"] - 40, grip["y"] + 5, steps=3)
    page.mouse.up()
    expect(page.locator("#undo")).to_have_attribute("title", re.compile("Undo: "))
    expect(page.locator(".stretch.label")).not_to_have_attribute(
        "title", re.compile(f"{label['end']:.1f}$")
    )
    [dragged] = tab.labels()
    assert label["start"] == dragged["start"] < dragged["end"] < label["end"]


def test_two_tabs_see_each_others_labels(open_tab: OpenTab) -> None:
    one, other = open_tab(), open_tab()
    one.label_by_hand(0, "here")
    began = time.monotonic()
    expect(other.page.locator(".card").first.locator(".chip")).to_have_text("here")
    assert time.monotonic() - began < 6  # two seconds, and those of a busy machine
    other.page.locator("#file").select_option(index=1)
    other.label_by_hand(1, "there")
    expect(one.page.locator("#dock")).to_contain_text("there")
    assert sorted(label["label"] for label in one.labels()) == ["here", "there"]


def test_a_time_that_is_being_typed_outlives_the_labels_of_others(tab: Tab) -> None:
    page = tab.page
    tab.label_by_hand(0, "jump")
    page.keyboard.press("p")
    page.locator(".stretch.label").click()
    [label] = tab.labels()
    end = page.get_by_label("End, s")
    end.fill("0.")
    end.press("8")
    other = {"file": label["file"], "start": 1.5, "end": 2.5, "label": "another"}
    assert tab.ask("POST", "/api/labels", other)[0] == 200
    expect(page.locator("#dock")).to_contain_text("another")
    expect(end).to_be_focused()
    expect(end).to_have_js_property("valueAsNumber", 0.8)
    assert label in tab.labels()


def test_of_labels_that_share_as_much_the_shorter_comes_first(tab: Tab) -> None:
    moment = tab.ask("GET", "/api/moments?limit=1")[1]["moments"][0]
    stretch = {name: moment[name] for name in ("file", "start", "end")}
    labels = [stretch | {"start": 0, "end": 3, "label": "long"}, stretch | {"label": "short"}]
    assert tab.ask("POST", "/api/labels", {"labels": labels})[0] == 200
    expect(tab.page.locator(".card").first.locator(".chip").first).to_have_text("short")


def test_a_filter_is_sql_and_says_what_is_wrong(tab: Tab) -> None:
    page = tab.page
    box = page.locator("#where")
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.get_by_role("button", name="class = 'down'").click()  # an example that fits this index
    expect(box).to_have_value("class = 'down'")
    expect(page.locator(".card-main").first).to_have_attribute("title", re.compile("^down/"))
    box.fill("")
    page.keyboard.type("file like 'down/%'")
    page.keyboard.press("Enter")
    expect(page.locator(".card-main").first).to_have_attribute("title", re.compile("^down/"))
    titles = [one.get_attribute("title") or "" for one in page.locator(".card-main").all()]
    assert titles
    assert all(title.startswith("down/") for title in titles)
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#wall")).to_be_focused()
    expect(box).to_have_value("file like 'down/%'")
    box.fill("speed >")
    box.press("Enter")
    expect(page.locator("#where-error")).to_contain_text("speed")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.fill("motion > 900")
    box.press("Enter")
    expect(page.locator("#nothing")).to_contain_text("No moment passes the filter")
    page.get_by_role("button", name="Clear the filter").last.click()
    expect(page.locator(".card-main").first).to_be_visible()


def test_still_moments_are_hidden_until_asked_for(tab: Tab) -> None:
    page = tab.page
    page.locator("#file").select_option(label="still.mp4")
    expect(page.locator("#nothing")).to_be_visible()
    page.locator("#still").check()
    expect(page.locator(".card-main").first).to_have_attribute("title", "still.mp4")


def test_everything_by_keyboard(tab: Tab) -> None:
    page = tab.page
    for _ in range(40):  # Tab goes to the wall
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('card-main')"):
            break
    place = "document.activeElement.closest('.card').getAttribute('aria-posinset')"
    assert page.evaluate(place) == "1"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(place) == "2"
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.locator("#dock .aim")).to_contain_text("2 selected moments")
    tab.name_class("jump")
    expect(page.locator(".card").nth(2).locator(".chip")).to_have_text("jump")
    assert {label["label"] for label in tab.labels()} == {"jump"}
    page.keyboard.press("Enter")
    expect(page.locator(".pill")).to_have_count(1)
    expect(page.locator("#player")).to_be_visible()
    for press, text in (("?", "How this page works"), ("Escape", None)):
        page.keyboard.press(press)
        dialog = page.locator("dialog")
        expect(dialog).to_contain_text(text) if text else expect(dialog).not_to_be_visible()
    page.keyboard.press("k")
    tab.until("document.querySelector('.stage video').paused")
    page.keyboard.press("m")
    expect(page.locator("canvas.map")).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator("#tab-wall")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_400_px(open_tab: OpenTab, scheme: str) -> None:
    tab = open_tab(400, color_scheme=scheme, has_touch=True, is_mobile=True)
    page = tab.page
    small = """() => [...document.querySelectorAll('button, select, input:not([type=file])')]
        .filter((one) => one.checkVisibility())
        .filter((one) => one.getBoundingClientRect().height < (one.type === 'checkbox' ? 18 : 32))
        .map((one) => one.outerHTML.slice(0, 90))"""
    for view in ("wall", "next", "map"):
        page.locator(f"#tab-{view}").click()
        page.wait_for_timeout(150)
        assert not tab.is_wider_than_screen(), view
        assert page.evaluate(small) == []
    page.locator("#tab-wall").click()
    page.locator("#more").click()
    page.locator(".card-main").first.click()
    expect(page.locator("#player")).to_be_visible()
    page.keyboard.press("i")
    page.keyboard.press("?")
    assert not tab.is_wider_than_screen()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert dark == (scheme == "dark")


def test_only_files_of_the_index_are_served(tab: Tab, footage: Path) -> None:
    outside = footage.parent / "outside.txt"
    outside.write_text("a secret")
    for path in (
        "/media/999999",
        "/media/..%2f..%2foutside.txt",
        f"/media/%2e%2e/%2e%2e{outside}",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/media/upload/..%2f..%2foutside.txt",
        f"/media/{outside}",
    ):
        assert tab.ask("GET", path)[0] in (403, 404, 422), path


class OtherSite(BaseHTTPRequestHandler):
    """A page of another origin that tries to read and to write."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title>")

    def log_message(self, *_: object) -> None:
        pass


def test_a_page_of_another_origin_reads_and_writes_nothing(tab: Tab, chromium: Browser) -> None:
    site = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    page = chromium.new_page()
    try:
        page.goto(f"http://127.0.0.1:{site.server_port}/")
        script = """async ([address, label]) => {
            const tries = [
                ["api/index", {}],
                ["api/labels", {method: "POST", mode: "no-cors", body: label}],
                ["api/labels", {method: "POST", body: label,
                                headers: {"Content-Type": "application/json"}}],
                ["api/undo", {method: "POST", mode: "no-cors"}],
            ];
            const read = [];
            for (const [path, options] of tries) {
                try {
                    const answer = await fetch(address + path, options);
                    read.push(answer.type === "opaque" ? "" : await answer.text());
                } catch { read.push(""); }
            }
            return read;
        }"""
        moment = tab.ask("GET", "/api/moments?limit=1")[1]["moments"][0]
        label = {"file": moment["file"], "start": 0, "end": 1, "label": "stolen"}
        assert page.evaluate(script, [tab.address, json.dumps(label)]) == ["", "", "", ""]
        page.evaluate(
            """(address) => { const frame = document.createElement("iframe");
            frame.src = address; document.body.append(frame); }""",
            tab.address,
        )
        page.wait_for_timeout(200)
        assert all("explore" not in frame.title() for frame in page.frames[1:])
    finally:
        page.close()
        site.shutdown()
        site.server_close()
    assert tab.labels() == []


def show_many(tab: Tab, total: int) -> None:
    """Let the server have `total` moments from now on, all alike."""
    moment = tab.ask("GET", "/api/moments?limit=1")[1]["moments"][0]

    def many(route: Route) -> None:
        offset = int((re.search(r"offset=(\d+)", route.request.url) or ["", "0"])[1])
        moments = [moment | {"id": n} for n in range(offset, min(offset + 60, total))]
        route.fulfill(json={"total": total, "moments": moments})

    tab.page.route("**/api/moments*", many)


def test_ten_thousand_moments_are_a_few_elements(tab: Tab) -> None:
    page = tab.page
    show_many(tab, 10_000)
    page.locator("#order").select_option("time")
    expect(page.locator("#status")).to_contain_text("10,000 moments")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    last = page.locator('.card[aria-posinset="10000"]')
    expect(last).to_be_in_viewport()
    assert page.locator(".card").count() < 120
    page.locator(".card-main").last.focus()
    page.keyboard.press("Home")
    expect(page.locator('.card[aria-posinset="1"]')).to_be_in_viewport()


def test_pages_that_no_longer_join_are_read_again(tab: Tab) -> None:
    page = tab.page
    show_many(tab, 100)
    page.locator("#order").select_option("time")
    expect(page.locator("#status")).to_contain_text("100 moments")
    show_many(tab, 83)  # the others have got a label, and pass the filter no more
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#status")).to_contain_text("83 moments")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator('.card[aria-posinset="83"] .card-main')).to_be_visible()


def test_a_server_that_is_gone_comes_back(tab: Tab) -> None:
    page = tab.page
    show_many(tab, 1000)
    page.locator("#order").select_option("time")
    expect(page.locator("#status")).to_contain_text("1,000 moments")
    asked = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("**/api/**", refuse)
    expect(page.locator("#banner")).to_be_visible()
    expect(page.locator("#banner")).to_contain_text("unscene explore")
    page.locator(".card-main").first.focus()
    page.keyboard.press("n")
    page.keyboard.type("jump")
    page.keyboard.press("Enter")
    expect(page.locator("#toast.wrong")).to_contain_text("Not saved")
    asked.clear()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(700)
    assert 0 < len(asked) < 15
    page.unroute("**/api/**")
    page.locator("#banner-retry").click()
    expect(page.locator("#banner")).not_to_be_visible()
    expect(page.locator(".card-main").first).to_be_visible()


def test_an_empty_index_says_how_to_fill_it(tab: Tab) -> None:
    page = tab.page
    index = tab.ask("GET", "/api/index")[1] | {"windows": 0, "still": 0, "files": [], "labels": []}
    page.route("**/api/index", lambda route: route.fulfill(json=index))
    page.route("**/api/moments*", lambda route: route.fulfill(json={"total": 0, "moments": []}))
    page.goto(tab.address)
    expect(page.locator("#nothing")).to_contain_text("unscene index FOLDER --out INDEX")
    expect(page.locator("#dock")).not_to_be_visible()
