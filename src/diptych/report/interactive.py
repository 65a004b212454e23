"""Figures of plotly, to look into in a notebook."""

from typing import TYPE_CHECKING

from diptych.errors import InputError
from diptych.figures import Figure
from diptych.report.figures import Plot, to_plotly
from diptych.report.palette import DIVERGING, SEQUENTIAL

if TYPE_CHECKING:
    import plotly.graph_objects

SCALES = {"sequential": SEQUENTIAL, "diverging": DIVERGING}


def interactive(figure: Figure) -> "plotly.graph_objects.Figure":
    """A heatmap, curves or bars; raises `InputError` for other kinds, and without plotly."""
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise InputError(
            "Interactive figures need the package `plotly`, which is not installed. Run: pip install 'diptych[papers]'."
        ) from error
    plot = to_plotly(figure)
    layout = plot["layout"] | {"template": "plotly_white", "title": {"text": figure.title}}
    return plotly.graph_objects.Figure([_trace(trace) for trace in plot["data"]], layout)


def _trace(trace: Plot) -> Plot:
    """A map gets the colours and the words that the page's script gives it; lines and bars have theirs."""
    if trace["type"] != "heatmap":
        return trace
    meta = trace["meta"]
    words = [[f"{y}<br>{x}<br>{meta['z']}" for x in meta["x"]] for y in meta["y"]]
    return {**trace, "colorscale": list(SCALES[meta["scale"]]), "text": words, "hoverinfo": "text+z"}
