"""Examples and maps over pictures on a sheet of matplotlib."""

import base64
import io
import textwrap
from typing import TYPE_CHECKING, Any

from diptych.figures import PNG, Diptych, Example, Nodes, Pair, Panel, PictureMap, PictureMaps
from diptych.report.paper_charts import colour_scale, filled, plain, tick
from diptych.report.picture_maps import veil
from diptych.report.sentences import is_right
from diptych.report.tables import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

ACROSS = 5
"""Maps beside one another."""
WIDE = 46
"""Letters in a line of a panel."""


def draw_example(sheet: "Sheet", figure: Example) -> None:
    """The panels side by side: tokens, picture, and what the model answers."""
    sheet.suptitle(plain(f"{figure.title}: {figure.query}"), fontsize=9)
    grid = sheet.subplots(1, len(figure.panels), squeeze=False)
    for axes, panel in zip(grid[0], figure.panels, strict=True):
        _panel(axes, panel, "right" if is_right(panel, figure) else "wrong")


def draw_picture_maps(sheet: "Sheet", figure: PictureMaps) -> None:
    """Each map over its picture in grey, on one scale."""
    _, low, high = veil(figure)
    across = min(ACROSS, len(figure.maps))
    down = -(-len(figure.maps) // across)
    sheet.set_figheight(sheet.get_figwidth() / across * 1.25 * down)
    sheet.suptitle(plain(figure.title), fontsize=9)
    grid = sheet.subplots(down, across, squeeze=False)
    style: dict[str, Any] = colour_scale([[low, high]]) | {"alpha": 0.6, "interpolation": "nearest"}
    for axes in grid.flat:
        axes.set_axis_off()
    drawn = [_map(axes, one, style) for axes, one in zip(grid.flat, figure.maps, strict=False)]
    sheet.colorbar(drawn[0], ax=grid, label=plain(figure.value_title), fraction=0.03)


def draw_diptych(sheet: "Sheet", figure: Diptych) -> None:
    """The scores of each prompt's two panels by layer and token, one row and one scale for each kind of nodes."""
    rows = [row for pair in figure.pairs for row in _rows(pair)]
    sheet.set_figheight(1.7 * len(rows) + 0.6)
    sheet.suptitle(plain(figure.title), fontsize=9)
    grid = sheet.subplots(len(rows), max(map(len, rows)), squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        scale = colour_scale([values for _, nodes in row for values in filled(nodes.scores)])
        for axes, (panel, nodes) in zip(line, row, strict=True):
            image = axes.imshow(filled(nodes.scores), origin="lower", aspect="auto", interpolation="nearest", **scale)
            axes.set_title(plain(f"{nodes.kind}s, {panel.modality}"), fontsize=6)
            tick(axes.set_xticks, panel.tokens, rotation=90)
            tick(axes.set_yticks, figure.layers)
        sheet.colorbar(image, ax=line, label=plain(figure.value_title), fraction=0.03)


def _rows(pair: Pair) -> list[list[tuple[Panel, Nodes]]]:
    """The panels of a prompt side by side, once for each kind of nodes."""
    by_side = [[(side.panel, nodes) for nodes in side.nodes] for side in pair.sides]
    return [list(row) for row in zip(*by_side, strict=True)]


def _panel(axes: "Axes", panel: Panel, verdict: str) -> None:
    said = f"answers {panel.predicted} (p = {text(panel.probability)}), {verdict}"
    axes.set_title(plain(f"{panel.modality}: {said}"), fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
    if panel.picture is not None:
        axes.imshow(_opened(panel.picture))
        return
    lines = textwrap.wrap(" ".join(plain(token).strip() for token in panel.tokens), WIDE)
    axes.text(0.03, 0.96, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=6, family="monospace")


def _map(axes: "Axes", one: PictureMap, style: dict[str, Any]) -> Any:
    rows, columns = len(one.values), len(one.values[0])
    ends = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    axes.imshow(_opened(one.picture).convert("L"), cmap="gray", extent=ends, aspect="auto")
    axes.set_title(plain(one.label), fontsize=6)
    for y, words in enumerate(one.words):
        for x, word in enumerate(words):
            axes.text(x, y, plain(word), ha="center", va="center", fontsize=4)
    return axes.imshow(filled(one.values), extent=ends, aspect="auto", **style)


def _opened(picture: str) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(picture.removeprefix(PNG)))).convert("RGB")
