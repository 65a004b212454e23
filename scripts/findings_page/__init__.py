"""docs/findings.md as text: sections on what the papers saw and the organisms show, from the record alone."""

from collections.abc import Mapping
from typing import Any

from findings_page import (
    accuracy,
    entities,
    flow,
    guided,
    overlap,
    prediction,
    repair,
    similarity,
    size,
    swap,
    views,
)
from findings_page.origin import comparisons, limits, origin
from findings_page.record import Record
from findings_page.table import table

TOPICS = (accuracy, size, overlap, swap, similarity, views, repair, prediction, guided, flow, entities)
HEAD = """# Findings on the organisms

What diptych finds in the three small models that it ships, beside what two papers saw in large ones: *Same Task, Different
Circuits* (Nikankin et al. 2025, arXiv 2506.09047) and *Performance Gap in Entity Knowledge Extraction Across Modalities in
Vision Language Models* (Cohen et al., arXiv 2412.14133). Whether or not they agree, all is told; every number is in
[findings.json](findings.json). Values are of the *test* split unless said otherwise, with 95 % intervals in brackets; a dash
is undefined."""


def render(told: Mapping[str, Any]) -> str:
    """The page."""
    record = Record(told["made"], told["results"])
    sections = [topic.SECTION for topic in TOPICS]
    overview = table(["question", "the papers", "the organisms"], [section.line(record) for section in sections])
    parts = [
        HEAD,
        "## In short",
        overview,
        "## How to read the counts",
        comparisons(record),
        "## What the organisms cannot say",
        limits(record),
        *(section.render(record).rstrip() for section in sections),
        origin(record),
    ]
    return "\n\n".join(parts) + "\n"
