"""Builds the pictures and facts of `src/diptych/data` from published packages at pinned versions.

Needs npm, a network and `pip install --require-hashes -r scripts/build_data.txt`; users need none of these, since the
results are shipped. Each download is checked against the SHA-256 below. Run `python scripts/build_data.py`, then the
tests: a changed pixel fails there.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import babel
import numpy as np
import resvg_py
from build_facts import build_facts, members
from build_sources import write_sources
from PIL import Image, ImageDraw, ImageFont

DATA = Path(__file__).parent.parent / "src" / "diptych" / "data"
PACKAGES = {
    "flag-icons@7.5.0": "c0b80bf0e08006a60f56621d6bc49f8c7131f4d1fef6737a165a673431f4b518",
    "@discordapp/twemoji@16.0.1": "2278fd609501e20dc646a546c1d7bbcab86a4c38010ded12b45e61f9687b9d0a",
    "dejavu-fonts-ttf@2.37.3": "b7013ac58f9225250619db82cfb72e99c37ca8195f2b5a06a9e6a95bc5e1c84a",
}
WHEELS = dict(line.split(" --hash=sha256:") for line in Path(__file__).with_suffix(".txt").read_text().splitlines())
FLAG = (208, 156)  # pixels of a flag, 4 : 3
COLUMNS = 14
ALIKE = 28  # of 255; Egypt and Iraq lie at 27, Andorra and Romania at 30, Italy and Mexico at 30
EMOJI = 72  # pixels of an emoji, both sides
GLYPH = (100, 112)  # pixels of a character
GLYPHS = "0123456789+-×÷"
EMOJIS = {
    "apple": "1f34e",
    "ball": "26bd",
    "balloon": "1f388",
    "banana": "1f34c",
    "bell": "1f514",
    "bicycle": "1f6b2",
    "boat": "26f5",
    "cake": "1f382",
    "car": "1f697",
    "cat": "1f431",
    "crying": "1f622",
    "dog": "1f436",
    "duck": "1f986",
    "flower": "1f33a",
    "frowning": "1f641",
    "fuming": "1f624",
    "gift": "1f381",
    "grinning": "1f600",
    "guitar": "1f3b8",
    "house": "1f3e0",
    "key": "1f511",
    "laughing": "1f602",
    "scowling": "1f620",
    "screaming": "1f631",
    "shouting": "1f92c",
    "smiling": "1f60a",
    "sobbing": "1f62d",
    "sweating": "1f630",
    "tree": "1f333",
    "trembling": "1f628",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        flags, emoji, font = (_unpack(name, Path(folder) / str(i)) for i, name in enumerate(PACKAGES))
        countries = json.loads((flags / "country.json").read_text())
        _save_sheet(
            "flags/flags.png", members(countries), lambda code: _flag(flags / "flags/4x3" / f"{code}.svg"), colours=256
        )
        _save_sheet("emoji/emoji.png", sorted(EMOJIS), lambda name: _emoji(emoji / "dist/svg" / f"{EMOJIS[name]}.svg"))
        _save_sheet("font/glyphs.png", list(GLYPHS), lambda glyph: _glyph(font / "ttf/DejaVuSans-Bold.ttf", glyph))
        _save_licences(flags, font)
        codes = members(countries)
        build_facts(countries, alike({code: _flag(flags / f"flags/4x3/{code}.svg") for code in codes}), DATA / "facts")
    write_sources(DATA, PACKAGES | WHEELS)


def _save_licences(flags: Path, font: Path) -> None:
    """The packages' own texts; that of the emoji (CC-BY 4.0) is in no package and stays as it is."""
    unicode = Path(babel.__file__).parent / "locale-data" / "LICENSE.unicode"
    shutil.copyfile(flags / "LICENSE", DATA / "flags/LICENCE")
    shutil.copyfile(font / "LICENSE", DATA / "font/LICENCE")
    shutil.copyfile(flags / "LICENSE", DATA / "facts/LICENCE.flag-icons")
    shutil.copyfile(unicode, DATA / "facts/LICENCE.unicode")


def _unpack(package: str, folder: Path) -> Path:
    """The folder of an npm package, downloaded and checked."""
    folder.mkdir()
    command = ["npm", "pack", package, "--pack-destination", str(folder), "--silent"]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    archive = (folder / name).read_bytes()
    found = hashlib.sha256(archive).hexdigest()
    if found != PACKAGES[package]:
        raise SystemExit(f"{package} has SHA-256 {found}, expected {PACKAGES[package]}.")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "package"


def _render(path: Path, width: int) -> Image.Image:
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_path=str(path), width=width)))).convert("RGBA")


def _flag(path: Path) -> Image.Image:
    image = _render(path, FLAG[0])
    assert image.size == FLAG, f"{path} is {image.size}"
    return Image.alpha_composite(Image.new("RGBA", FLAG, (255, 255, 255, 255)), image).convert("RGB")


def _emoji(path: Path) -> Image.Image:
    image = _render(path, EMOJI)
    assert image.size == (EMOJI, EMOJI), f"{path} is {image.size}"
    return image


def alike(flags: dict[str, Image.Image]) -> dict[str, list[str]]:
    """Which flags can hardly be told apart when small: the root mean square of their differences is small."""
    small = {code: np.asarray(flag.resize((52, 39), Image.Resampling.BOX), dtype=float) for code, flag in flags.items()}
    return {a: [b for b in small if b != a and np.sqrt(((small[a] - small[b]) ** 2).mean()) < ALIKE] for a in small}


def _glyph(font: Path, glyph: str) -> Image.Image:
    """How much ink a character leaves, 0–255; digits fill the height, and stand on the lower edge."""
    image = Image.new("L", GLYPH)
    sign = {"-": "\N{MINUS SIGN}"}.get(glyph, glyph)
    ImageDraw.Draw(image).text(
        (GLYPH[0] / 2, GLYPH[1] - 5), sign, fill=255, font=ImageFont.truetype(str(font), 140), anchor="ms"
    )
    return image


def _save_sheet(name: str, tiles: list[str], draw: Callable[[str], Image.Image], colours: int | None = None) -> None:
    """Tiles in rows of COLUMNS, left to right; with `colours`, no more than so many of them."""
    images = [draw(tile) for tile in tiles]
    width, height = images[0].size
    sheet = Image.new(images[0].mode, (COLUMNS * width, -(-len(images) // COLUMNS) * height))
    for place, image in enumerate(images):
        sheet.paste(image, (place % COLUMNS * width, place // COLUMNS * height))
    if colours is not None:
        sheet = sheet.quantize(colours, dither=Image.Dither.NONE)
    sheet.save(DATA / name, optimize=True)


if __name__ == "__main__":
    main()
