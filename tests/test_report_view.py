"""The page is used in a real browser: every link, button and slider works, by mouse and keyboard, for every reader."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from pages import DRAW_ALL
from test_report import HOSTILE, RIGHT_TO_LEFT

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed: pip install 'diptych[dev]'"
)


def slide(page: Any, name: str, value: int) -> None:
    page.locator(f".view .{name}").evaluate(f"one => {{ one.value = {value}; one.dispatchEvent(new Event('input')) }}")


def shares(page: Any, panel: str) -> list[float]:
    """How strongly each token or patch of a panel is painted, in the order of the page."""
    read = "nodes => nodes.map(node => Number(node.style.getPropertyValue('--share')))"
    return page.eval_on_selector_all(f".view .panel.{panel} .node", read)


def test_both_panels_are_painted_on_one_scale(visit: Any) -> None:
    page = visit("view")

    text, image = shares(page, "text"), shares(page, "image")

    assert (len(text), len(image)) == (18, 46)
    assert max(image) == 1 and max(text) == pytest.approx(17 / 45, abs=1e-3)
    assert page.locator(".view .high").inner_text() == "5.63"
    assert page.heard == []


def test_cells_of_the_view_lie_over_their_picture_and_tokens_stand_below(visit: Any) -> None:
    page = visit("view")

    cells, image = page.locator(".view .cells").bounding_box(), page.locator(".view .painted img").bounding_box()

    assert cells == pytest.approx(image, abs=1)
    assert page.locator(".view .cells .node").count() == 36 and page.locator(".view .panel.image .token").count() == 10


def test_the_slider_of_layers_shows_other_scores(visit: Any) -> None:
    page = visit("view")
    assert page.locator(".view .negative").count() == 0

    slide(page, "layer", 1)

    assert page.locator(".view .layer-said").inner_text() == "1"
    assert page.locator(".view .panel.text .negative").count() == 9


def test_the_slider_of_sizes_shows_which_positions_are_left(visit: Any) -> None:
    page = visit("view")
    out, kept, of = page.locator(".view .node.out"), [], "of all heads, and of all neurons"

    for size in range(3):
        slide(page, "size", size)
        kept.append((out.count(), page.locator(".view .size-said").inner_text()))

    assert kept == [(64, f"1% {of}"), (16, f"10% {of}"), (10, f"100% {of}")]
    assert "heads at 54 of 64 positions" in page.locator(".view .said").inner_text()
    assert "faithfulness on test: text 1.0; image 0.5" in page.locator(".view .said").inner_text()


def test_heads_and_neurons_are_seen_in_turn(visit: Any) -> None:
    page = visit("view")
    token = page.locator(".view .panel.text .token").first
    token.hover()
    told = page.locator(".view .panel.text .detail")
    assert told.inner_text().endswith("No head here has a twentieth of the layer's highest score.")

    page.locator(".view .kinds").get_by_label("neurons").check()

    assert page.locator(".view .high").inner_text() == "2.88"
    assert shares(page, "text")[0] == pytest.approx(1 / 2.875, abs=1e-3)
    assert told.inner_text() == "<s>, position 0, prefix: 1 at layer 0. neuron 3: 1 (in the circuit)."
    assert "the circuit holds neurons at 64 of 64 positions" in page.locator(".view .said").inner_text()


def test_pointing_at_a_token_tells_its_heads(visit: Any) -> None:
    page = visit("view")

    page.locator(".view .panel.text .token").nth(6).hover()

    told = page.locator(".view .panel.text .detail")
    assert told.inner_text() == " ball, position 6, data: 0.75 at layer 0. head 3: 0.75 (not in the circuit).".strip()
    page.locator(".view .panel.text .token").nth(9).hover()
    assert "head 3: 1.13 (in the circuit)" in told.inner_text()


def test_the_keyboard_reaches_every_token(visit: Any) -> None:
    page = visit("view")
    page.locator(".view .size").focus()

    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")
    for _ in range(2):
        page.keyboard.press("ArrowRight")

    assert (first, page.evaluate("document.activeElement.textContent")) == ("<s>", "↵")
    assert page.locator(".view .panel.text .detail").inner_text().startswith("↵, position 2, prefix: 0.25")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Picture, row 1, column 1"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == "↵"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "size"


def test_the_buttons_turn_the_pages(visit: Any) -> None:
    page = visit("view")
    previous, following = page.locator(".view .previous"), page.locator(".view .next")
    assert previous.is_disabled() and following.is_enabled()

    following.click()

    assert page.locator(".view .which").inner_text() == "Item 2, 2 of 2"
    assert page.locator(".view .query").inner_text() == "How many cups?"
    assert page.locator(".view .verdict.wrong").count() == 2
    assert following.is_disabled()
    previous.click()
    assert page.locator(".view .query").inner_text() == "How many fish?"
    assert page.heard == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["example", "view"])
def test_axe_finds_no_serious_violation(visit: Any, name: str, scheme: str) -> None:
    page = visit(name, scheme=scheme, bypass_csp=True)
    page.evaluate(DRAW_ALL)
    rules = {} if scheme == "light" else {"runOnly": ["color-contrast"]}  # all that is another in the dark

    found = axe.Axe().run(page, options=rules).response["violations"]

    grave = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    assert grave == []


def test_every_link_of_the_page_leads_somewhere(visit: Any) -> None:
    page = visit()

    missing = page.eval_on_selector_all(
        "a[href^='#']", "links => links.map(a => a.hash.slice(1)).filter(id => !document.getElementById(id))"
    )

    assert missing == []
    assert page.locator(".contents a").count() == 3 + 8
    page.locator(".contents a", has_text="Overlap").click()
    heading = page.locator("h2", has_text="Overlap").bounding_box()
    assert page.locator(".contents").bounding_box()["y"] == 0 and 0 < heading["y"] < 900


def test_the_bar_of_sections_can_be_walked_on_a_phone(visit: Any) -> None:
    page = visit(width=360)
    last = page.locator(".contents a").last

    last.focus()

    box = last.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash").startswith("#section-")


def test_the_numbers_of_a_figure_can_be_saved(visit: Any, tmp_path: Path) -> None:
    page = visit()
    details = page.locator("figure:has(.plot) details").first
    details.locator("summary").click()

    with page.expect_download() as download:
        details.locator("a[download]").click()

    download.value.save_as(tmp_path / "figure.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "figure.csv").read_text(encoding="utf-8"))))
    assert download.value.suggested_filename == "figure-2.csv"
    assert [(row["items"], row["text"]) for row in rows] == [
        ("all items", "0.979"),
        ("data never seen as an image", "0.959"),
    ]


def test_text_from_right_to_left_and_markup_is_shown_as_it_is(visit: Any) -> None:
    page = visit("hostile")

    tokens = page.locator(".view .token bdi")

    assert {HOSTILE[0], RIGHT_TO_LEFT} <= set(tokens.all_text_contents())
    assert page.locator(".view .token bdi *").count() == 0
    assert page.locator(".view .token bdi").first.evaluate("one => getComputedStyle(one).unicodeBidi") == "isolate"
    assert page.evaluate("window.hacked") is None and page.heard == []
