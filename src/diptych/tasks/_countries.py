"""The 193 member states of the United Nations with their facts, frozen in `data/facts`."""

import json
from dataclasses import dataclass

from diptych.tasks._sprites import DATA


@dataclass(frozen=True)
class Country:
    """A country; a fact is None where it is contested, has no single answer, or gives itself away (data/facts/SOURCES).

    `alike` lists the codes of countries whose flags can hardly be told apart from this one's.
    """

    code: str
    name: str
    capital: str | None
    continent: str | None
    language: str | None
    currency: str | None
    alike: tuple[str, ...]


def _read() -> dict[str, Country]:
    rows = json.loads((DATA / "facts" / "countries.json").read_text(encoding="utf-8"))
    return {row["code"]: Country(**{**row, "alike": tuple(row["alike"])}) for row in rows}


COUNTRIES = _read()
"""By ISO 3166 code in lower case, in alphabetical order: the order of the flags on their sheet."""
