"""A section of the page: a question, what the papers saw, what the organisms show, and the numbers behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from findings_page.record import Record


@dataclass(frozen=True)
class Section:
    """`short`: the answer as a cell of the overview; `here`: as a paragraph; `tables`: the numbers, all pairs in each."""

    question: str
    experiments: Sequence[str]
    paper: str
    papers_short: str
    short: Callable[[Record], str]
    here: Callable[[Record], str]
    tables: Callable[[Record], Sequence[str]]

    def render(self, record: Record) -> str:
        names = ", ".join(f"`{one}`" for one in self.experiments)
        refused = [f"No result: {line}" for line in record.refused(self.experiments)]
        parts = [
            f"## {self.question}",
            f"*Measured by {names}.* **The papers:** {self.paper}",
            f"**The organisms:** {self.here(record)}",
            *self.tables(record),
            *refused,
        ]
        return "\n\n".join(parts) + "\n"

    def line(self, record: Record) -> list[str]:
        """A row of the overview."""
        return [self.question, self.papers_short, self.short(record)]
