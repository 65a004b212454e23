"""Figures for papers: drawn by matplotlib, on white, at the width of a column, with letters that stay letters."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.errors import InputError
from diptych.figures import Bars, Curves, Diptych, Dumbbells, Example, Figure, Heatmap, PictureMaps
from diptych.files import write_whole
from diptych.report.paper_charts import draw_bars, draw_curves, draw_dumbbells, draw_heatmap
from diptych.report.paper_pictures import draw_diptych, draw_example, draw_picture_maps
from diptych.report.sections import file_stem
from diptych.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Sheet

FORMATS: Mapping[str, Mapping[str, Any]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {"Software": None},
}
"""Suffix → what keeps the file the same for the same figure."""

STYLE: Any = {
    "font.size": 8,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "diptych",
    "axes.linewidth": 0.6,
}
"""Type 42: letters can be searched and edited in a PDF."""

DRAW: Mapping[type, Callable[["Sheet", Any], None]] = {
    Heatmap: draw_heatmap,
    Curves: draw_curves,
    Bars: draw_bars,
    Dumbbells: draw_dumbbells,
    Example: draw_example,
    PictureMaps: draw_picture_maps,
    Diptych: draw_diptych,
}


def save_figure(figure: Figure, path: str | Path, *, width: float = 5.5, dots: int = 200) -> Path:
    """Draw a figure of a result into a PDF, SVG or PNG file (by its suffix); the same figure gives the same bytes.

    `width`: inches. `dots`: per inch, of pixels. Raises `InputError` for another suffix, and without matplotlib.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise InputError(f"'{path}' ends with '{path.suffix}'. Expected one of {', '.join(FORMATS)}.")
    drawn = draw(figure, path.suffix, width=width, dots=dots)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: file.write_bytes(drawn))
    except OSError as error:
        raise InputError(
            f"The figure cannot be written to '{path}': {error.strerror}. Choose a folder that you may write to."
        ) from error
    return path


def draw(figure: Figure, suffix: str, *, width: float = 5.5, dots: int = 200) -> bytes:
    """The file of a figure, as `save_figure` writes it."""
    try:
        import matplotlib
        from matplotlib.figure import Figure as Sheet
    except ImportError as error:
        raise InputError(
            "Figures for papers need the package `matplotlib`, which is not installed. Run: pip install 'diptych[papers]'."
        ) from error
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        sheet = Sheet(figsize=(width, 0.55 * width), layout="constrained")
        DRAW[type(figure)](sheet, figure)
        sheet.savefig(file, format=suffix[1:], dpi=dots, metadata=FORMATS[suffix], bbox_inches="tight")
    return file.getvalue()


def save_figures(result: Result, folder: str | Path, suffix: str = ".pdf") -> list[Path]:
    """Each figure of a result in a file of its own, `<task>-<experiment>-<digest>-1.pdf` and so on."""
    name = file_stem(result)
    return [save_figure(one, Path(folder) / f"{name}-{place}{suffix}") for place, one in enumerate(result.figures, 1)]
