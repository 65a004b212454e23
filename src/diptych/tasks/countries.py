"""Countries: entities that are known by name and by flag, several questions about each, and its name (methods §11)."""

from dataclasses import replace

from diptych.items import Item, Task
from diptych.tasks import factual_recall
from diptych.tasks._countries import COUNTRIES, Country

VERSION = 1
NAMING = "Name this country."
"""The question that asks what a picture is of; a model that answers it right recognises the flag."""


def countries(*, relations: tuple[str, ...] = tuple(factual_recall.QUERIES)) -> Task:
    """The questions of `factual_recall`, and for each country the question for its name: what `entity_gap` compares.

    `relations`: those to ask for. Countries whose flags can hardly be told apart from another's are left out.
    """
    facts = factual_recall.factual_recall(relations=relations)
    asked = dict.fromkeys(item.cluster for item in facts.items)
    return Task("countries", VERSION, facts.items, facts.answers, tuple(named(COUNTRIES[code]) for code in asked))


def named(country: Country) -> Item:
    """The item that asks for the name of a country."""
    relation = next(name for name in factual_recall.QUERIES if factual_recall.fact(country, name))
    item = factual_recall.item_of(country, relation)
    return replace(item, id=f"{country.code}-name", query=NAMING, answer=country.name, group="country")
