"""A result as a card: what a notebook shows in place of a page."""

import base64
from importlib.util import find_spec

from diptych.figures import PNG, Figure
from diptych.report.build import environment
from diptych.report.paper import draw
from diptych.report.sentences import describe
from diptych.report.tables import table_of_rows
from diptych.result import Result

DOTS = 110
"""Per inch, of the pictures."""


def card(result: Result) -> str:
    """HTML without scripts: summary, figures, data table, conditions and notes; pictures only where matplotlib is there."""
    figures = [(describe(figure), _picture(figure)) for figure in result.figures]
    table = table_of_rows(result.rows) if result.rows else None
    return environment().get_template("card.html.jinja").render(result=result, figures=figures, table=table)


def _picture(figure: Figure) -> str | None:
    if find_spec("matplotlib") is None:
        return None
    return PNG + base64.b64encode(draw(figure, ".png", dots=DOTS)).decode()
