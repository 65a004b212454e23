"""Figures from their plain fields, as they stand in the JSON of a result."""

from typing import Any

from diptych.figures.charts import Bars, Curves, Dumbbells, Heatmap, Series
from diptych.figures.prompts import Diptych, Example, Nodes, Pair, Panel, PictureMap, PictureMaps, Side

Figure = Heatmap | Curves | Bars | Dumbbells | Example | PictureMaps | Diptych
KINDS: dict[str, type] = {
    "heatmap": Heatmap,
    "curves": Curves,
    "bars": Bars,
    "dumbbells": Dumbbells,
    "example": Example,
    "picture_maps": PictureMaps,
    "diptych": Diptych,
}
PARTS: dict[str, type] = {
    "series": Series,
    "panels": Panel,
    "maps": PictureMap,
    "pairs": Pair,
    "sides": Side,
    "nodes": Nodes,
}
"""Field of a figure, or of a part of it, that holds several of a kind → the kind."""


def figure_of(plain: dict[str, Any]) -> Figure:
    """A figure from its fields and its `kind`, as they stand in the JSON of a result."""
    figure: Figure = _built(KINDS[plain.pop("kind")], plain)
    return figure


def _built(kind: type, plain: dict[str, Any]) -> Any:
    several = {name: [_built(part, one) for one in plain[name]] for name, part in PARTS.items() if name in plain}
    single = {"panel": Panel(**plain["panel"])} if kind is Side else {}
    return kind(**plain | several | single)


def kind_of(figure: Figure) -> str:
    """The name of a figure's kind."""
    return next(name for name, kind in KINDS.items() if type(figure) is kind)
