"""What is learned from labels, in a real browser: predictions, suggestions, the map, exports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import PATIENCE, Tab

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.slow
expect.set_options(timeout=PATIENCE)


def label_files(tab: Tab, names: dict[str, str]) -> None:
    """Label whole files, by the server."""
    files = tab.ask("GET", "/api/index")[1]["files"]
    labels = [
        {"file": file["id"], "start": 0.0, "end": 3.0, "label": names[file["name"]]}
        for file in files
        if file["name"] in names
    ]
    assert tab.ask("POST", "/api/labels", {"labels": labels})[0] == 200


def train(tab: Tab) -> None:
    """Label two files of each direction, and train."""
    names = {f"{name}/{name}{n}.mp4": name for name in ("right", "down") for n in (0, 1)}
    label_files(tab, names)
    expect(tab.page.locator("#dock")).to_contain_text("right")
    tab.page.keyboard.press("t")
    expect(tab.page.locator("#notice")).to_be_visible()


def open_file(page: Page, name: str) -> None:
    """Show a file in the player."""
    page.locator("#file").select_option(label=name)
    expect(page.locator(".card-main").first).to_have_attribute("title", name)
    page.locator(".card-main").first.focus()
    page.keyboard.press("p")


def test_training_says_how_good_it_is_and_what_chance_is(tab: Tab) -> None:
    page = tab.page
    page.locator("#train").click()
    expect(page.locator("#toast.wrong")).to_contain_text("label")  # there is none yet
    train(tab)
    expect(page.locator("#notice")).to_contain_text("chance")
    expect(page.locator("#notice .score")).to_have_attribute("aria-label", re.compile("^F1 [01]"))
    expect(page.locator(".card .chip").first).to_be_visible()


def test_predictions_are_accepted_changed_and_rejected(tab: Tab) -> None:
    page = tab.page
    train(tab)
    open_file(page, "right/right2.mp4")
    prediction = page.locator(".stretch.prediction").first
    expect(prediction).to_contain_text("right")
    drawn = "document.querySelector('.curves').getContext('2d').getImageData(0, 0, 500, 40).data"
    tab.until(f"{drawn}.some((one) => one > 0)")
    page.locator(".card-main").nth(1).focus()  # another moment of the same file
    page.keyboard.press("p")
    expect(prediction).to_contain_text("right")
    prediction.click()
    page.get_by_role("button", name="Accept").click()
    label = page.locator(".stretch.label")
    expect(label).to_contain_text("right")
    expect(prediction).to_have_class(re.compile("answered"))
    page.keyboard.press("Control+z")
    expect(label).to_have_count(0)

    page.get_by_label("Change to").select_option("down")
    expect(label).to_contain_text("down")
    page.keyboard.press("Control+z")
    expect(label).to_have_count(0)
    prediction.focus()
    page.keyboard.press("A")  # Caps Lock is no Shift
    expect(label).to_contain_text("right")
    page.keyboard.press("Control+z")
    expect(label).to_have_count(0)
    prediction.focus()
    page.keyboard.press("Shift+A")
    expect(label).to_contain_text("none of these")
    assert [one["label"] for one in tab.labels()].count("none") == 1


def test_suggestions_say_why_and_go_on_by_themselves(tab: Tab) -> None:
    page = tab.page
    train(tab)
    page.keyboard.press("l")
    expect(page.locator(".card .reason").first).not_to_be_empty()
    page.locator(".card-main").first.focus()
    page.evaluate("""() => {  // two keys, quicker than the server answers
        for (const key of "12") {
            const press = new KeyboardEvent("keydown", {key, bubbles: true});
            document.activeElement.dispatchEvent(press);
        }
    }""")
    tab.until("document.activeElement.closest('.card')?.getAttribute('aria-posinset') === '2'")
    for number in range(2):
        chip = page.locator(".card").nth(number).locator(".chip b")
        expect(chip).to_have_css("font-weight", "600")
    assert len(tab.labels()) == 4 + 2


def test_many_are_selected_on_the_map_and_labeled_at_once(tab: Tab) -> None:
    page = tab.page
    page.keyboard.press("m")
    expect(page.locator("#status")).to_contain_text("lie close together")
    page.get_by_label("Color by").select_option("cluster")
    expect(page.locator(".legend button").first).to_contain_text("cluster")
    box = page.locator("canvas.map").bounding_box()
    assert box is not None
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()
    expect(page.locator("#dock .aim")).to_contain_text("selected moments")
    tab.name_class("all")
    files = {label["file"] for label in tab.labels()}
    assert len(files) >= 6
    page.keyboard.press("Control+z")  # one step takes all of it back
    tab.until("document.querySelector('#dock .class .faint').textContent === '0'")
    assert tab.labels() == []

    page.locator("canvas.map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".map-preview")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".pill")).to_have_count(1)


def test_the_overlay_shows_where_the_encoder_looks(tab: Tab) -> None:
    page = tab.page
    open_file(page, "right/right0.mp4")
    with page.expect_response("**/api/overlay*") as answer:
        page.keyboard.press("h")
    assert answer.value.ok, answer.value.text()
    painted = """(() => { const canvas = document.querySelector('.glow');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return data.some((one) => one > 0); })()"""
    tab.until(painted)
    page.keyboard.press("h")
    tab.until(f"!{painted}")


def test_labels_are_exported(tab: Tab) -> None:
    page = tab.page
    tab.label_by_hand(0, "jump")
    formats = tab.ask("GET", "/api/index")[1]["formats"]
    assert {"csv", "elan", "boris", "webvtt"} <= set(formats)
    for number in range(len(formats)):
        page.keyboard.press("e")
        with page.expect_download() as started:
            page.get_by_role("group", name="Labels").get_by_role("button").nth(number).click()
        assert b"jump" in Path(started.value.path()).read_bytes() or number
    expect(page.locator("#toast")).to_contain_text("Saved")
