"""Figures of results: numbers and labels of a few kinds. No style: they are drawn by the report."""

from diptych.figures.charts import Bars, Curves, Dumbbells, Heatmap, Series
from diptych.figures.checks import PNG, Number
from diptych.figures.plain import KINDS, Figure, figure_of, kind_of
from diptych.figures.prompts import Diptych, Example, Nodes, Pair, Panel, PictureMap, PictureMaps, Side

__all__ = [
    "KINDS",
    "PNG",
    "Bars",
    "Curves",
    "Diptych",
    "Dumbbells",
    "Example",
    "Figure",
    "Heatmap",
    "Nodes",
    "Number",
    "Pair",
    "Panel",
    "PictureMap",
    "PictureMaps",
    "Series",
    "Side",
    "figure_of",
    "kind_of",
]
