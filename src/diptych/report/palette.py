"""Colours of figures: told apart by readers of any colour vision, and the same thing has the same colour everywhere."""

import itertools
import re

from diptych.figures import Bars, Curves

SEGMENT_COLOURS = {"prefix": "#999999", "data": "#E69F00", "query": "#CC79A7", "generation": "#009E73"}
FAMILY_COLOURS = {"text": "#0072B2", "image": "#D55E00", "random": "#8A8A8A"}
OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""From Okabe and Ito (2008), Color universal design; dashes and hatches repeat the distinction."""
DASHES = ("solid", "dash", "dot", "dashdot")
HATCHES = ("", "/", ".", "x")
SEQUENTIAL = (
    "#f0f4f5",
    "#bfdde5",
    "#9cc9e2",
    "#81b4e3",
    "#739ae4",
    "#757fdd",
    "#7864ca",
    "#774aaf",
    "#71328d",
    "#641f68",
    "#501442",
    "#360e24",
)
DIVERGING = ("#7a3f06", "#b86d12", "#e5a64b", "#f6d9ae", "#f3f4f5", "#bcd6ec", "#6ba9d9", "#2474b4", "#0b3c70")
"""The scales of style.css in light."""


def segment_colour(name: str) -> str:
    """Colour of a segment, or of a finer span of it (`data.operand`)."""
    return SEGMENT_COLOURS.get(name.split(".")[0], "#56B4E9")


def colours(figure: Curves | Bars) -> list[tuple[str, int]]:
    """A colour per series and how often it was used before; a panel keeps its colour through the whole report.

    A series that is named after a panel has the panel's colour; so has the first series of a figure that is (`"…, image"`).
    """
    panel = FAMILY_COLOURS.get(_words(figure.title)[-1])
    others = itertools.chain([panel] if panel else [], itertools.cycle(OTHER_COLOURS))
    chosen = [FAMILY_COLOURS.get(_words(series.name)[0]) or next(others) for series in figure.series]
    return [(colour, chosen[:place].count(colour)) for place, colour in enumerate(chosen)]


def faint(colour: str) -> str:
    """The colour of an interval around a line of this colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def _words(name: str) -> list[str]:
    return re.split(r"\W+", name.lower())
