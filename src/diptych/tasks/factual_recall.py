"""Factual recall: capital, continent, language or currency of a country, given by its name or by its flag."""

import hashlib
import random
from dataclasses import replace
from typing import Literal

from diptych.errors import InputError
from diptych.items import Drawing, Item, Modality, Task
from diptych.tasks._countries import COUNTRIES, Country
from diptych.tasks._flags import draw_flag

VERSION = 1
Flags = Literal["distinct", "alike", "all"]
FLAGS = ("distinct", "alike", "all")
QUERIES = {
    "capital": "What is the capital of this country? Answer with a name.",
    "continent": "On which continent is this country? Answer with a name.",
    "language": "What is the official language of this country? Answer with a name.",
    "currency": "What is the currency of this country? Answer with a name.",
}


def factual_recall(*, relations: tuple[str, ...] = tuple(QUERIES), flags: Flags = "distinct") -> Task:
    """Items that ask for a fact about a country: as many as have one accepted answer (see `data/facts/SOURCES`).

    The group is the relation, so a counterfactual is another country with the same question; the cluster is the country.
    A capital is the answer once; who always says Africa, English or dollar is right in 29, 19 or 17 % of the items on
    continents, languages or currencies.

    `relations`: those to ask for. `flags`: 'distinct' leaves out 13 countries whose flags can hardly be told apart from
    another's, such as Monaco and Indonesia; 'alike' asks about those only, and a counterfactual is always such a
    look-alike; 'all' asks about all.
    """
    _check(relations, flags)
    items = [
        item_of(country, relation) for country in countries(flags) for relation in relations if fact(country, relation)
    ]
    if flags == "alike":
        items = [_among_alike(item) for item in items]
    return Task("factual_recall", VERSION, tuple(items), tuple(sorted({item.answer for item in items})))


def fact(country: Country, relation: str) -> str | None:
    """The answer to one question about a country, if there is exactly one."""
    return {
        "capital": country.capital,
        "continent": country.continent,
        "language": country.language,
        "currency": country.currency,
    }[relation]


def held_out(item: Item) -> bool:
    """Whether an organism never sees this question with the country's flag: one fact in four, by its hash.

    It sees each flag with other questions, and its text has all facts, since a fact can only be learnt by heart.
    """
    return hashlib.sha256(item.id.encode()).digest()[0] % 4 == 0


def training_item(chance: random.Random, modality: Modality = "image", *, flags: Flags = "distinct") -> Item:
    """A random item that an organism may see in this panel; relations are equally frequent."""
    relation = chance.choice(list(QUERIES))
    known = [country for country in countries(flags) if fact(country, relation)]
    while True:
        item = item_of(chance.choice(known), relation)
        if modality == "text" or not held_out(item):
            return item


def countries(flags: Flags = "distinct") -> list[Country]:
    """Those with flags of their own, those whose flags look alike, or all."""
    return [country for country in COUNTRIES.values() if flags == "all" or bool(country.alike) == (flags == "alike")]


def item_of(country: Country, relation: str) -> Item:
    """The item that asks one question about a country; the same country always has the same picture."""
    answer = fact(country, relation)
    if answer is None:
        raise InputError(f"No single {relation} of {country.name} is known. Choose one of its other facts.")
    seed = int.from_bytes(hashlib.sha256(country.code.encode()).digest()[:4])
    return Item(
        id=f"{country.code}-{relation}",
        text=country.name,
        image=Drawing(draw_flag, {"code": country.code, "seed": seed}),
        query=QUERIES[relation],
        answer=answer,
        group=relation,
        cluster=country.code,
    )


def _among_alike(item: Item) -> Item:
    """The item in a group and a cluster with the countries of similar flags."""
    family = " ".join(_family(item.cluster))
    return replace(item, group=f"{item.group}: {family}", cluster=family)


def _family(code: str) -> list[str]:
    """The country and all whose flags are like its own, or like one of these."""
    family = {code}
    while grown := {other for member in family for other in COUNTRIES[member].alike} - family:
        family |= grown
    return sorted(family)


def _check(relations: tuple[str, ...], flags: str) -> None:
    unknown = [relation for relation in relations if relation not in QUERIES]
    if unknown or not relations or len(set(relations)) < len(relations):
        raise InputError(f"factual_recall has no relations {relations}. Give some of {', '.join(QUERIES)}, each once.")
    if flags not in FLAGS:
        raise InputError(f"factual_recall has no flags '{flags}'. Known: {', '.join(FLAGS)}.")
