"""The documents as tests read them: blocks of Python, commands, and links."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "guide").glob("*.md")),
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands behind the fence, and its text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    return [Block(language.strip(), text) for language, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(page: Path) -> Iterator[list[str]]:
    """The commands that a page (or an example, in its description) shows, as words, without comments."""
    text = page.read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(text)) or "" if page.suffix == ".py" else text
    shown = "\n".join(block for language, block in FENCE.findall(text) if not language.strip())
    indented = "\n".join(line.strip() for line in FENCE.sub("", text).splitlines() if line.startswith("    "))
    for line in re.sub(r"\\\n", " ", f"{shown}\n{indented}").splitlines():
        if line.strip().split(" ")[0] in ("diptych", "make", "pip", "python"):
            yield shlex.split(line, comments=True)


def links(page: Path) -> list[str]:
    """The files that a page links to, as written; no addresses and no anchors."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link.partition("#")[0] for link in found if not link.startswith(("http", "#", "mailto"))]
