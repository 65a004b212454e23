"""Writes SOURCES of each folder of `src/diptych/data`: where its files come from, and what was changed."""

import hashlib
from pathlib import Path

from build_facts import (
    BY_CONVENTION,
    CAPITALS,
    CURRENCIES,
    LANGUAGES,
    NAMES,
    NO_CAPITAL,
    NO_CONTINENT,
    NO_LANGUAGE,
    UNUSED_CAPITALS,
)

FOLDERS = {
    "emoji": (
        ("@discordapp/twemoji@16.0.1",),
        "Twemoji graphics, (c) Jason Sofonia, Justine De Caires, Twitter and contributors, CC-BY 4.0",
        "30 of its SVGs rendered by resvg (resvg-py 0.5.0) at 72 x 72 pixels and joined on one sheet, in the "
        "alphabetical order of the names in scripts/build_data.py; scaled when drawn",
    ),
    "facts": (
        ("flag-icons@7.5.0", "babel==2.18.0"),
        "flag-icons' country.json (names, capitals, continents), MIT; Unicode CLDR as shipped in Babel (official "
        "languages, currencies), Unicode License v3",
        "kept: the 193 member states of the United Nations; corrected and left out: see below",
    ),
    "flags": (
        ("flag-icons@7.5.0",),
        "flag-icons, flags of 4 : 3, MIT",
        "193 of its SVGs (the member states of the United Nations) rendered by resvg (resvg-py 0.5.0) at 208 x 156 "
        "pixels, joined on one sheet in the alphabetical order of their codes, and reduced to 256 colours; no two are "
        "identical; those that look alike are marked in facts/countries.json",
    ),
    "font": (
        ("dejavu-fonts-ttf@2.37.3",),
        "DejaVu Sans Bold, Bitstream Vera licence",
        "14 characters (0-9 + - \N{MULTIPLICATION SIGN} \N{DIVISION SIGN}; the hyphen shows the minus sign) rendered by "
        "FreeType (Pillow) at 140 pixels and joined on one sheet; the font itself is not shipped",
    ),
}


def write_sources(data: Path, checksums: dict[str, str]) -> None:
    """Write SOURCES of each folder; `checksums`: SHA-256 of each package."""
    for name, (packages, what, changes) in FOLDERS.items():
        folder = data / name
        lines = [f"what      {what}", f"changes   {changes}"]
        lines += [f"from      {package}  sha256 {checksums[package]}" for package in packages]
        files = sorted(path for path in folder.iterdir() if path.name != "SOURCES")
        lines += [f"file      {path.name}  sha256 {_digest(path)}" for path in files]
        lines += _corrections() if name == "facts" else []
        (folder / "SOURCES").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _corrections() -> list[str]:
    """Every departure from the packages, by code of the country."""
    return [
        *_section("Shorter names", NAMES),
        *_section("Capitals corrected", {code: f"{right}: {why}" for code, (right, why) in CAPITALS.items()}),
        *_section("Capitals left out", NO_CAPITAL),
        *_section("Capitals that are wrong too, of places that are left out anyhow", UNUSED_CAPITALS),
        *_section("Continents left out", NO_CONTINENT),
        *_section("Languages corrected", {code: f"{right}: {why}" for code, (right, why) in LANGUAGES.items()}),
        *_section("Languages left out, although CLDR lists exactly one", NO_LANGUAGE),
        *_section("Kept by convention", BY_CONVENTION),
        *_section("Currencies corrected", {code: f"{right}: {why}" for code, (right, why) in CURRENCIES.items()}),
        "",
        "Languages are also left out where CLDR lists several that are official, or another that is so in practice;",
        "currencies where it lists several. A currency is named by its unit alone (dollar, franc).",
    ]


def _section(title: str, entries: dict[str, str]) -> list[str]:
    return ["", title, *(f"  {code}  {said}" for code, said in sorted(entries.items()))]
