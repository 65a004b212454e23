"""The page in a real browser: drawn, readable, inert and silent."""

from itertools import pairwise

import pytest

from pages import DRAW_ALL

A4_BETWEEN_MARGINS = 718
"""Pixels, with margins of a centimetre."""


def test_every_figure_is_drawn_without_errors_or_requests(drawn):
    page = drawn()

    count = "plots => plots.map(plot => plot.querySelectorAll('.heatmaplayer image, .scatterlayer .point, .bars .point').length)"
    marks = page.eval_on_selector_all(".plot", count)

    assert len(marks) == 10
    assert min(marks) >= 1
    assert page.heard == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_cells_lie_over_their_picture_and_stronger_values_have_more_colour(visit, scheme):
    page = visit("example", scheme=scheme)
    over = page.locator(".over").first

    cells, image = over.locator(".cells").bounding_box(), over.locator(".picture").bounding_box()
    assert cells == pytest.approx(image, abs=1)
    spans = over.locator(".cells span")
    assert spans.count() == 6 and spans.first.inner_text() == "fish"
    tints = spans.evaluate_all("cells => cells.map(cell => getComputedStyle(cell).backgroundColor)")
    shares = spans.evaluate_all("cells => cells.map(cell => Number(cell.style.getPropertyValue('--share')))")
    assert len(set(tints)) == len(set(shares)) == 6
    assert page.heard == []


def test_a_page_of_a_demo_s_size_is_ready_within_three_seconds(visit):
    page = visit("full")

    # seconds of the page's own thread: those of the clock tell as much of what else the machine does
    measured = page.context.new_cdp_session(page)
    measured.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload()
    metrics = {one["name"]: one["value"] for one in measured.send("Performance.getMetrics")["metrics"]}

    assert page.evaluate("document.readyState") == "complete"
    assert 0.01 < metrics["TaskDuration"] < 3


def test_nothing_lies_over_a_plot_and_its_key_stands_above(drawn):
    page = drawn()

    box = "part => one.querySelector(part).getBoundingClientRect().toJSON()"
    pairs = page.eval_on_selector_all("figure:has(.key)", f"ones => ones.map(one => ['.key', '.plot'].map({box}))")

    assert len(pairs) >= 8
    assert all(key["bottom"] <= plot["top"] for key, plot in pairs)
    assert page.locator(".plot .legend, .plot .shape-label").count() == 0


def test_a_reader_who_points_at_a_bar_is_told_its_name_place_and_value(visit):
    page = visit("example")
    page.evaluate(DRAW_ALL)

    page.evaluate("Plotly.Fx.hover(document.querySelector('.plot'), [{curveNumber: 0, pointNumber: 1}])")

    told = page.locator(".plot .hoverlayer text").first.text_content()
    assert "text" in told and "items: data never seen as an image" in told and "accuracy: 0.959" in told


def test_the_first_key_is_drawn_in_the_colours_of_its_plot(drawn):
    page = drawn()
    figure = page.locator("figure:has(.key .line)").first

    keys = figure.locator(".key .line").evaluate_all(
        "ones => ones.map(one => getComputedStyle(one, '::before').backgroundImage)"
    )
    points = set(figure.locator(".scatterlayer .point").evaluate_all("ones => ones.map(one => one.style.fill)"))

    assert len(points) == len(keys) >= 2
    assert all(sum(point in key for key in keys) == 1 for point in points)


def test_figures_are_drawn_when_the_reader_comes_near(visit):
    page = visit()
    last = page.locator(".plot").last
    assert last.get_attribute("data-drawn") is None

    last.scroll_into_view_if_needed()

    last.locator("svg.main-svg").first.wait_for()


@pytest.mark.parametrize("name", ["example", "hostile", "view"])
def test_a_phone_needs_no_sideways_scrolling(drawn, name):
    page = drawn(name, width=360)

    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.eval_on_selector_all(".plot", "plots => Math.max(0, ...plots.map(plot => plot.scrollWidth))") <= 360


def test_long_names_of_bars_do_not_lie_over_one_another_on_a_phone(drawn):
    page = drawn("controls", width=360)

    boxes = page.locator(".plot .xtick text").evaluate_all(
        "ones => ones.map(one => one.getBoundingClientRect().toJSON())"
    )

    assert len(boxes) == 8
    assert all(left["right"] <= right["left"] + 1 for left, right in pairwise(boxes))


def test_a_wide_table_does_not_shrink_the_print(visit):
    page = visit("controls", width=A4_BETWEEN_MARGINS)

    page.emulate_media(media="print")

    assert page.locator("th").count() >= 22
    assert page.evaluate("document.documentElement.scrollWidth") == A4_BETWEEN_MARGINS


def test_hostile_text_is_shown_and_does_nothing(drawn):
    page = drawn("hostile")

    assert page.heard == []
    assert page.evaluate("window.hacked") is None
    assert page.locator(".picture, img").count() == 4
    words = page.locator(".map .cells span").all_text_contents()
    assert any("window.hacked = 1" in word for word in words) and page.locator(".cells span *").count() == 0
    assert page.locator(".plot a, .plot b, .plot img, .plot script").count() == 0
    labels = page.locator(".plot .xtitle, .plot .annotation-text, .key li").all_text_contents()
    assert "<b>{{ 7*7 }}</b>" in labels and page.locator(".key *").count() == page.locator(".key li").count()
    assert any("<img src=x onerror='window.hacked = 1'>" in label for label in labels)


def test_the_policy_blocks_even_scripts_that_get_in(visit):
    page = visit()

    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 1'}))")
    answer = page.evaluate("fetch('data:text/plain,x').then(() => 'fetched', () => 'blocked')")

    assert page.evaluate("window.hacked") is None
    assert answer == "blocked"
    assert any("Content Security Policy" in one for one in page.heard)


def test_a_dark_page_has_light_text_on_a_dark_ground(visit):
    page = visit(scheme="dark")

    colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    ground, ink = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
    assert ground < 100
    assert ink > 600


def test_whiskers_are_light_on_a_dark_ground(visit):
    page = visit(scheme="dark")
    page.evaluate(DRAW_ALL)

    strokes = page.locator(".bars .errorbar path").evaluate_all("ones => ones.map(one => getComputedStyle(one).stroke)")

    assert len(strokes) >= 3
    assert all(sum(map(int, stroke[4:-1].split(","))) > 600 for stroke in strokes)


def test_plots_follow_when_the_scheme_changes(visit):
    from playwright.sync_api import expect  # there, or `visit` would have skipped the test

    page = visit()
    page.evaluate(DRAW_ALL)
    fill = "getComputedStyle(document.querySelector('.plot .xtitle')).fill"
    light = page.evaluate(fill)

    page.emulate_media(color_scheme="dark")

    expect(page.locator(".plot .xtitle").first).not_to_have_css("fill", light)


def test_a_printed_page_has_all_plots_at_the_width_of_paper_and_in_light_colours(visit):
    page = visit(scheme="dark")

    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")

    widths = page.eval_on_selector_all(".plot", "plots => plots.map(plot => plot.dataset.drawn)")
    assert set(widths) == {"660"}
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 33, 38)"


def test_the_page_can_be_read_with_the_keyboard(visit):
    page = visit()

    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_each_plot_has_a_sentence_and_a_table(drawn):
    page = drawn()

    labels = page.eval_on_selector_all(".plot", "plots => plots.map(plot => plot.getAttribute('aria-label'))")
    tables = page.eval_on_selector_all(
        "figure:has(.plot)", "figures => figures.map(figure => figure.querySelectorAll('details td').length)"
    )
    assert all(len(label) > 40 for label in labels)
    assert len(tables) == len(labels)
    assert min(tables) >= 3


def test_a_long_table_scrolls_in_its_own_box(visit):
    page = visit(width=360)
    details = page.locator(".finding > details").first
    details.locator("summary").click()

    box = details.locator(".scroll")

    assert box.evaluate("box => box.scrollHeight > box.clientHeight")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_panels_of_the_example_stand_side_by_side(drawn):
    wide, phone = drawn(), drawn(width=360)

    boxes = [[panel.bounding_box() for panel in page.locator(".opening .panel").all()] for page in (wide, phone)]

    (text, image), (above, below) = boxes
    assert text["y"] == image["y"]
    assert text["x"] < image["x"]
    assert above["y"] < below["y"]
    assert above["x"] == below["x"]
