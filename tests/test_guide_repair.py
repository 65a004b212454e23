"""The guide's page on repair: its example runs as it stands and leaves the model plain."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "repair.md"


def test_the_example_of_the_page_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}

    exec(example, names)

    assert "forward" not in vars(names["vlm"].sites.decoder)  # type: ignore[attr-defined]
