"""The guide's page on positions: its examples run as they stand, in words that the organism knows."""

import re
from pathlib import Path
from typing import Any

import pytest

from diptych.models.encode import encode_item, tokenizer_of

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "positions.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the examples define, run in their order."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    defined: dict[str, Any] = {"examples": len(examples)}
    for example in examples:
        exec(example, defined)
    return defined


def test_the_examples_of_the_page_run(names: dict[str, Any]) -> None:
    assert names["examples"] == 2
    assert len(names["found"].layout.labels) == names["circuit"].layout.length


def test_the_examples_ask_in_words_that_the_organism_knows(names: dict[str, Any]) -> None:
    vlm = names["vlm"]
    asked = [item for contrast in names["contrasts"] for item in (contrast.clean, contrast.counterfactual)]
    unknown = tokenizer_of(vlm).unk_token_id

    tokens = [encode_item(vlm, item, "text").tokens.tolist() for item in (names["item"], *asked)]

    assert len(tokens) == 5 and unknown is not None
    assert not [some for some in tokens if unknown in some]
