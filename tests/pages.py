"""Pages of the report in a real browser, for the tests that look at them."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import report_example
from diptych.report.build import build
from test_report import hostile

CHROMIUM = "/usr/bin/chromium" if Path("/usr/bin/chromium").exists() else shutil.which("chromium")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
DRAW_ALL = "window.dispatchEvent(new Event('beforeprint')); window.dispatchEvent(new Event('afterprint'))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium; tests that need it are skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: neither /usr/bin/chromium nor `chromium` on PATH")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install 'diptych[dev]'"
    )
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pages by name: the invented results of one task, all of them, those of which every text is hostile, a diptych view,
    and one with long names and a wide table.
    """
    folder = tmp_path_factory.mktemp("report")
    counting = [result for result in report_example.results() if result.identity["task"] == "counting"]
    view = report_example.result("diptych_view", "counting", "What single prompts show.", [], report_example.diptych())
    made = {"example": counting, "full": [*report_example.results(), view], "hostile": [hostile()], "view": [view]}
    made["controls"] = [report_example.controls()]
    return {name: build(results, folder / f"{name}.html").as_uri() for name, results in made.items()}


@pytest.fixture(scope="module")
def visit(browser: Any, addresses: dict[str, str]) -> Any:
    """Open a page; what the browser complains of or asks for is kept in `page.heard`."""

    def _visit(name: str = "example", width: int = 1280, scheme: str = "light", **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        page = context.new_page()
        page.set_default_timeout(120_000)  # a busy machine is slow, not wrong
        page.heard = []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("dialog", lambda dialog: page.heard.append(dialog.message))
        page.on("request", lambda request: page.heard.append(request.url))
        page.goto(addresses[name])
        assert page.heard.pop(0) == addresses[name]
        return page

    return _visit


@pytest.fixture(scope="module")
def drawn(visit: Any) -> Any:
    """A page with all its plots drawn, to look at only: tests share it."""

    @cache
    def _drawn(name: str = "example", width: int = 1280) -> Any:
        page = visit(name, width)
        page.evaluate(DRAW_ALL)
        return page

    return _drawn
