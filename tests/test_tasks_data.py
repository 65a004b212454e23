"""What is shipped beside the code: flags, emoji, print and facts, with their licences and corrections."""

import hashlib
import itertools
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych.tasks import _emoji, _flags, _print
from diptych.tasks._countries import COUNTRIES
from diptych.tasks._sprites import DATA, tiles
from diptych.tasks.factual_recall import countries

FOLDERS = pytest.mark.parametrize("folder", ["emoji", "facts", "flags", "font"])


@FOLDERS
def test_every_shipped_file_is_the_one_its_sources_list(folder: str) -> None:
    listed = re.findall(
        r"^file      (\S+)  sha256 ([0-9a-f]{64})$", (DATA / folder / "SOURCES").read_text(encoding="utf-8"), re.M
    )
    shipped = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (DATA / folder).iterdir()}
    del shipped["SOURCES"]

    assert shipped == dict(listed)
    assert any(name.startswith("LICENCE") for name in shipped)


@FOLDERS
def test_every_source_is_a_package_of_a_pinned_version_and_checksum(folder: str) -> None:
    text = (DATA / folder / "SOURCES").read_text(encoding="utf-8")

    assert re.search(r"^from      \S+[@=]=?\d+\.\d+\.\d+  sha256 [0-9a-f]{64}$", text, re.M)
    assert re.search(r"^what      .*(MIT|CC-BY 4.0|Vera)", text, re.M)
    assert re.search(r"^changes   \S", text, re.M)


def test_pictures_and_facts_are_small() -> None:
    files = [path for name in ("emoji", "facts", "flags", "font") for path in (DATA / name).iterdir()]

    assert sum(path.stat().st_size for path in files) < 500_000


@pytest.mark.parametrize("sheet", [_emoji.SHEET, _flags.SHEET, _print.SHEET], ids=lambda sheet: sheet.file)
def test_a_sheet_has_a_tile_for_each_name_and_none_is_empty(sheet: _flags.Sheet) -> None:
    found = tiles(sheet)

    assert len(found) == len(set(sheet.names)) == len({tile.tobytes() for tile in found.values()})
    assert all(len(set(tile.tobytes())) > 1 for tile in found.values())


def colour_at(tile: Image.Image, x: float, y: float) -> str:
    """What a person would call the colour there, x and y in the unit square."""
    known = {
        "black": (20, 20, 20),
        "blue": (20, 50, 150),
        "brown": (100, 45, 30),
        "green": (40, 130, 60),
        "light blue": (185, 220, 245),
        "red": (215, 30, 50),
        "white": (250, 250, 250),
        "yellow": (255, 205, 60),
    }
    seen = np.array(tile.convert("RGB").getpixel((int(x * tile.width), int(y * tile.height))), dtype=float)
    return min(known, key=lambda name: float(np.abs(seen - known[name]).sum()))


@pytest.mark.parametrize(
    ("sheet", "name", "x", "y", "colour"),
    [
        (_emoji.SHEET, "apple", 0.5, 0.7, "red"),
        (_emoji.SHEET, "bell", 0.5, 0.5, "yellow"),
        (_emoji.SHEET, "car", 0.5, 0.65, "red"),
        (_emoji.SHEET, "crying", 0.2, 0.85, "light blue"),
        (_emoji.SHEET, "duck", 0.35, 0.15, "green"),
        (_emoji.SHEET, "grinning", 0.5, 0.1, "yellow"),
        (_emoji.SHEET, "screaming", 0.5, 0.1, "light blue"),
        (_emoji.SHEET, "shouting", 0.5, 0.1, "red"),
        (_emoji.SHEET, "smiling", 0.5, 0.1, "yellow"),
        (_emoji.SHEET, "trembling", 0.5, 0.1, "light blue"),
        (_emoji.SHEET, "tree", 0.5, 0.3, "green"),
        (_flags.SHEET, "ae", 0.6, 0.9, "black"),
        (_flags.SHEET, "fr", 0.1, 0.5, "blue"),
        (_flags.SHEET, "jp", 0.5, 0.5, "red"),
        (_flags.SHEET, "mv", 0.5, 0.25, "green"),
        (_flags.SHEET, "ua", 0.5, 0.9, "yellow"),
        (_flags.SHEET, "zw", 0.1, 0.2, "white"),
        (_print.SHEET, "0", 0.15, 0.5, "white"),
        (_print.SHEET, "-", 0.5, 0.2, "black"),
        (_print.SHEET, "÷", 0.5, 0.25, "white"),
    ],
)
def test_a_tile_shows_what_its_name_says(sheet: _flags.Sheet, name: str, x: float, y: float, colour: str) -> None:
    assert colour_at(tiles(sheet)[name], x, y) == colour


def test_no_two_flags_of_the_default_task_look_alike() -> None:
    """Distances are root mean squares over the small flag, as when they were marked; twins have fewer than 28."""
    small = {
        code: np.asarray(flag.resize((52, 39), Image.Resampling.BOX), dtype=float)
        for code, flag in tiles(_flags.SHEET).items()
    }
    close = {
        frozenset((a, b))
        for a, b in itertools.combinations(small, 2)
        if np.sqrt(((small[a] - small[b]) ** 2).mean()) < 28
    }

    assert close == {frozenset((code, other)) for code, country in COUNTRIES.items() for other in country.alike}
    assert {frozenset(("id", "mc")), frozenset(("td", "ro"))} <= close
    assert not {country.code for country in countries()} & set().union(*close)
    assert len(countries()) == 180 and len(countries("alike")) == 13 and len(countries("all")) == 193


CAPITALS = {
    "bi": "Gitega",  # not Bujumbura
    "bj": "Porto-Novo",
    "br": "Brasília",
    "ci": "Yamoussoukro",
    "kz": "Astana",
    "me": "Podgorica",
    "mm": "Naypyidaw",
    "my": "Kuala Lumpur",
    "ng": "Abuja",
    "nr": "Yaren",  # not 'Yaren District'
    "pw": "Ngerulmud",
    "rs": "Belgrade",
    "ss": "Juba",
    "sz": "Mbabane",  # not 'Lobamba, Mbabane'
    "tz": "Dodoma",
    "ua": "Kyiv",  # not Kiev
    "us": "Washington, D.C.",
}
WITHOUT_CAPITAL = {
    *("ad", "bo", "dj", "gq", "gt", "gw", "il", "kw", "lk"),
    *("lu", "mc", "mx", "pa", "sg", "sm", "st", "sv", "za"),
}


def test_capitals_are_those_of_2026() -> None:
    assert {code: COUNTRIES[code].capital for code in CAPITALS} == CAPITALS


def test_capitals_without_one_answer_or_that_give_themselves_away_are_left_out() -> None:
    assert {code for code, country in COUNTRIES.items() if country.capital is None} == WITHOUT_CAPITAL
    assert not [c.code for c in COUNTRIES.values() if c.capital and words(c.capital) & words(c.name)]


def words(name: str) -> set[str]:
    """Words of a name, but for short ones, without accents."""
    plain = unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode()
    return set(re.findall(r"\w{4,}", plain))


@pytest.mark.parametrize(
    ("code", "language", "currency"),
    [
        ("bg", "Bulgarian", "euro"),  # since January 2026
        ("hr", "Croatian", "euro"),
        ("ml", None, "franc"),  # French is no longer official
        ("bf", None, "franc"),
        ("ne", None, "franc"),
        ("ch", None, "franc"),
        ("be", None, "euro"),
        ("ca", None, "dollar"),
        ("in", None, "rupee"),
        ("za", None, "rand"),
        ("bt", "Dzongkha", None),  # the Indian rupee is legal tender too
        ("pa", "Spanish", None),
        ("zw", None, None),
        ("no", "Norwegian", "krone"),
        ("ua", "Ukrainian", "hryvnia"),
        ("bd", "Bengali", "taka"),
        ("jp", "Japanese", "yen"),
        ("pl", "Polish", "zloty"),
        ("sv", "Spanish", "dollar"),
        ("ir", "Persian", "rial"),
    ],
)
def test_languages_and_currencies_are_right_or_left_out(code: str, language: str | None, currency: str | None) -> None:
    assert (COUNTRIES[code].language, COUNTRIES[code].currency) == (language, currency)


def test_countries_between_continents_have_none() -> None:
    assert {code for code, c in COUNTRIES.items() if c.continent is None} == {
        "am",
        "az",
        "cy",
        "eg",
        "ge",
        "kz",
        "ru",
        "tr",
    }
    assert {c.continent for c in COUNTRIES.values()} - {None} == {
        *("Africa", "Asia", "Europe", "Oceania"),
        *("North America", "South America"),
    }


def test_every_left_out_or_corrected_fact_is_listed_with_its_reason() -> None:
    text = (DATA / "facts" / "SOURCES").read_text(encoding="utf-8")

    for code in WITHOUT_CAPITAL:
        assert re.search(rf"^Capitals left out\n(  .*\n)*  {code}  \S", text, re.M)
    for code in ("bi", "nr", "sz", "ua"):
        assert re.search(rf"^Capitals corrected\n(  .*\n)*  {code}  {CAPITALS[code]}: \S", text, re.M)


def test_the_package_takes_its_data_along() -> None:
    settings = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")

    assert 'packages = ["src/diptych"]' in settings  # all that lies there, unless git ignores it
    assert not [line for line in (Path(__file__).parent.parent / ".gitignore").read_text().split() if "png" in line]
