"""What the tests of laws share: bounded settings, and layouts and grids of a few nodes."""

from pathlib import Path

import torch
from hypothesis import settings
from hypothesis import strategies as st

from diptych.grid import Circuit, Grid, Scores
from diptych.layout import Layout, Span

REFERENCE = Path(__file__).parent / "reference" / "common"
"""Numbers of the authors' own functions, without a model."""

LAWS = settings(max_examples=40, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10_000)

TEXT = Layout.of((2, 4), 8)  # prefix 0–1, data 2–3, query 4–6, generation 7
IMAGE = Layout.of((1, 5), 11)  # prefix 0, data 1–4, query 5–9, generation 10


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Up to 3 prefix, 1–4 data, 1–4 query positions; data may be two finer spans."""
    widths = [draw(st.integers(0, 3)), *(draw(st.integers(1, 4)) for _ in range(2)), 1]
    spans, start = [], 0
    for name, width in zip(("prefix", "data", "query", "generation"), widths, strict=True):
        finer = name == "data" and width > 1 and draw(st.booleans())
        for part, size in ((".first", 1), (".rest", width - 1)) if finer else (("", width),):
            spans += [Span(name + part, start, start + size)] if size else []
            start += size
    return Layout(tuple(spans))


def scores(
    layout: Layout, seed: int = 0, *, values: int = 4, nodes: tuple[int, int] = (3, 5), model: str = "m"
) -> Scores:
    """Random scores of two layers among `values` different ones, so few values mean many ties."""
    chance = torch.Generator().manual_seed(seed)
    heads, neurons = (torch.randint(values, (2, layout.length, count), generator=chance).float() for count in nodes)
    return Grid(heads, neurons, layout, model)


def circuit(layout: Layout, seed: int = 0, *, nodes: tuple[int, int] = (3, 5), model: str = "m") -> Circuit:
    """Each node is in with probability one half."""
    return scores(layout, seed, values=2, nodes=nodes, model=model).map(lambda drawn: drawn > 0)
