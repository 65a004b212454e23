"""Pictures of the report for the documentation: `python scripts/screenshots.py RUNS` writes docs/img/*.png.

RUNS: a folder of runs, such as `diptych demo` leaves. Needs playwright and a Chromium on PATH.
Also prints how long the page takes until it can be read.
"""

import io
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from diptych.report.build import build
from diptych.run.store import Store

OUT = Path(__file__).parent.parent / "docs" / "img"
MOST_BYTES = 300_000
SLOWEST = 300_000  # milliseconds: a busy machine is slow, not wrong
DRAW_ALL = "window.dispatchEvent(new Event('beforeprint')); window.dispatchEvent(new Event('afterprint'))"


@dataclass(frozen=True)
class Shot:
    """A picture: its name, what stands at its top, and the size and colours of the window."""

    name: str
    top: str
    width: int = 1200
    height: int = 900
    scheme: str = "light"


SHOTS = (
    Shot("answers", ".eyebrow", height=1100),
    Shot("example", ".opening"),
    Shot("circuit", "#main figure:has(.heatmaplayer image)"),
    Shot("faithfulness", "#main figure:has(.key .line)"),
    Shot("diptych-view", ".view"),
    Shot("diptych-view-dark", ".view", scheme="dark"),
    Shot("phone", ".contents", width=390, height=844),
)


def main(runs: Path) -> None:
    """Build the page of all results and take every picture of which it has the part."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        address = build(Store(runs).results(), Path(folder) / "report.html").as_uri()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        print("page read after {:.0f} ms, all plots drawn after {:.0f} ms".format(*ready(browser, address)))
        OUT.mkdir(parents=True, exist_ok=True)
        for shot in SHOTS:
            take(browser, address, shot)


def ready(browser: Any, address: str) -> tuple[float, float]:
    """Milliseconds from opening the page until it can be read, and until all its plots are drawn."""
    page = browser.new_page()
    page.goto(address, timeout=SLOWEST)
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    return float(loaded), float(page.evaluate(f"{DRAW_ALL}; performance.now()"))


def take(browser: Any, address: str, shot: Shot) -> None:
    """Scroll to the part, let it be drawn, and write the window as a small PNG."""
    page = browser.new_page(viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme)
    page.goto(address, timeout=SLOWEST)
    page.evaluate(DRAW_ALL)
    if not page.locator(shot.top).count():
        print(f"{shot.name}: the page has no {shot.top}")
        return
    page.locator(shot.top).first.evaluate("one => one.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(300)
    path = OUT / f"{shot.name}.png"
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(128).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {size} bytes" + (" (too large)" if size > MOST_BYTES else ""))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
