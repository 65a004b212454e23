"""The guide's page on positions: its examples run as they stand."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "positions.md"


def test_the_examples_of_the_page_run() -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}

    for example in examples:
        exec(example, names)

    assert len(examples) == 2
    assert len(names["found"].layout.labels) == names["circuit"].layout.length  # type: ignore[attr-defined]
