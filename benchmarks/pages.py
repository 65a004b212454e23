"""The page of numbers: what is measured goes between two marks of one name."""

import re
from pathlib import Path

NUMBERS = Path(__file__).parent / "numbers.md"


def standing(name: str) -> str:
    """The text between the two marks."""
    page = NUMBERS.read_text(encoding="utf-8")
    return page.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- end of {name} -->")[0]


def between(name: str, text: str) -> None:
    """Put the text in place of what stands between `<!-- name -->` and `<!-- end of name -->`."""
    opened, closed = f"<!-- {name} -->", f"<!-- end of {name} -->"
    page = NUMBERS.read_text(encoding="utf-8")
    if opened not in page or closed not in page:
        raise SystemExit(f"{NUMBERS} has no marks {opened} and {closed}.")
    new = re.sub(f"{opened}.*{closed}", lambda _: f"{opened}\n{text}\n{closed}", page, flags=re.S)
    NUMBERS.write_text(new, encoding="utf-8")
