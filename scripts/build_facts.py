"""Facts about the 193 member states of the United Nations, with every correction and exclusion written out.

Capitals and continents start from flag-icons' country.json, languages and currencies from CLDR (through Babel). What is
stale, contested or has no single answer is corrected or left out below, each with its reason.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any

from babel import Locale
from babel.core import get_global
from babel.languages import get_territory_language_info

NOT_MEMBERS = (
    "ax as ai aq aw bm bq bv io ky cx cp cc ck cw fk fo gf pf tf gi gl gp gu gg hm va hk im je mo mq yt ms nc nu nf mp "
    "pn pr re bl sh mf pm sx gs ps sj tw tk tc um vg vi wf eh"
)
"""ISO 3166 codes of territories, of observers, and of states that are not members."""

NAMES = {
    "bn": "Brunei",
    "cd": "DR Congo",
    "cg": "Congo",
    "fm": "Micronesia",
    "us": "United States",
}
"""Shorter names than flag-icons'."""

CAPITALS = {
    "bi": ("Gitega", "stale: it replaced Bujumbura in 2019"),
    "nr": ("Yaren", "'Yaren District' is the district; no capital by law, the government sits in Yaren"),
    "sz": ("Mbabane", "two places were listed; Mbabane administers, Lobamba is the royal and legislative seat"),
    "ua": ("Kyiv", "stale: 'Kiev' is the transliteration from Russian"),
}
"""Code → the right capital, and what was wrong with flag-icons'."""

NO_CAPITAL = {
    "ad": "holds the country's name",
    "bo": "Sucre by the constitution, La Paz by the seat of government",
    "dj": "named like the country",
    "gq": "Malabo is stale: Ciudad de la Paz by decree of January 2026, to which the institutions move within the year",
    "gt": "holds the country's name",
    "gw": "part of the country's name",
    "il": "contested",
    "kw": "holds the country's name",
    "lk": "two places were listed: the legislative and the former capital",
    "lu": "named like the country ('Luxembourg City' was listed)",
    "mc": "named like the country",
    "mx": "holds the country's name",
    "pa": "holds the country's name",
    "sg": "named like the country",
    "sm": "named like the country",
    "st": "part of the country's name",
    "sv": "shares a word with the country's name",
    "za": "three capitals: Pretoria, Cape Town and Bloemfontein",
}
"""Code → why no capital is asked for."""

UNUSED_CAPITALS = {
    "eh": "contested territory",
    "io": "'Diego Garcia' is an island without a town",
    "mp": "'Saipan' is the island; the seat is Capitol Hill",
    "ms": "three places were listed; Brades has the government since Plymouth was destroyed",
    "ps": "contested",
    "tf": "'Saint-Pierre, Réunion' lies outside the territory",
    "tk": "none: three atolls take turns",
    "um": "'Washington, D.C.' lies outside the islands",
    "va": "the city is the state",
}
"""Code → what is wrong with flag-icons' entry of a place that is no member state and is therefore left out anyhow."""

BY_CONVENTION = {
    "ch": "Bern: the federal city; no law calls it the capital",
    "cn": "Chinese: the law says Mandarin in its standard form",
    "id": "Jakarta: Nusantara is being built, no decree has moved the capital yet",
    "nr": "Yaren: the government's seat; no law calls it the capital",
    "tt": "South America: as in flag-icons, since it lies on that shelf; also counted to North America",
}
"""Code → what was kept although it could be doubted."""

NO_CONTINENT = dict.fromkeys(("am", "az", "cy", "eg", "ge", "kz", "ru", "tr"), "in or between two continents")
"""Code → why no continent is asked for."""

LANGUAGES = {
    "bd": ("Bengali", "CLDR's English name is 'Bangla'"),
    "no": ("Norwegian", "CLDR lists its two written forms apart"),
    "ua": ("Ukrainian", "CLDR adds Russian, which has no official status"),
}
"""Code → the right language, and what was wrong with CLDR's."""

NO_LANGUAGE = {
    "bf": "stale: French ceased to be official in 2024",
    "et": "stale: five working languages since 2020",
    "fm": "no official language of the federation by law",
    "iq": "Kurdish is official too",
    "me": "CLDR has Serbian, the constitution Montenegrin",
    "mk": "Albanian is official too",
    "ml": "stale: French ceased to be official in 2023",
    "ne": "stale: French ceased to be official in 2025",
    "za": "twelve official languages",
}
"""Code → why no language is asked for, though CLDR lists exactly one."""

CURRENCIES = {"bg": ("euro", "stale: it replaced the lev in January 2026")}
"""Code → the right currency, and what was wrong with CLDR's."""


def build_facts(countries: list[dict[str, Any]], alike: dict[str, list[str]], folder: Path) -> None:
    """Write countries.json: code, name, each fact or null, and which other flags look alike."""
    found = [
        {**_facts(country), "alike": alike[country["code"]]}
        for country in sorted(countries, key=lambda c: c["code"])
        if country["code"] in members(countries)
    ]
    lines = ",\n".join(json.dumps(country, ensure_ascii=False) for country in found)
    (folder / "countries.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def members(countries: list[dict[str, Any]]) -> list[str]:
    """Codes of the 193 member states."""
    codes = sorted(c["code"] for c in countries if c["iso"] and c["code"] not in NOT_MEMBERS.split())
    assert len(codes) == 193, len(codes)
    return codes


def _facts(country: dict[str, Any]) -> dict[str, str | None]:
    code = country["code"]
    capital = CAPITALS[code][0] if code in CAPITALS else country["capital"]
    return {
        "code": code,
        "name": NAMES.get(code, country["name"]),
        "capital": None if code in NO_CAPITAL else capital,
        "continent": None if code in NO_CONTINENT else country["continent"],
        "language": None if code in NO_LANGUAGE else _language(code),
        "currency": _currency(code),
    }


def _language(code: str) -> str | None:
    """The only official language, if there is only one and no other is official in practice."""
    if code in LANGUAGES:
        return LANGUAGES[code][0]
    known = get_territory_language_info(code.upper())
    status = {name: facts["official_status"] for name, facts in known.items()}
    official = {name.split("_")[0] for name, said in status.items() if said == "official"}
    practice = {name.split("_")[0] for name, said in status.items() if said == "de_facto_official"}
    return Locale("en").languages[official.pop()] if len(official) == 1 and not practice - official else None


def _currency(code: str) -> str | None:
    """The unit (last word of the name) of the only legal tender."""
    if code in CURRENCIES:
        return CURRENCIES[code][0]
    today = date(2026, 11, 1)
    tender = [
        name
        for name, start, end, is_tender in get_global("territory_currencies").get(code.upper(), [])
        if is_tender and end is None and (start is None or date(*start) <= today)
    ]
    return Locale("en").currencies[tender[0]].split()[-1].lower() if len(tender) == 1 else None
