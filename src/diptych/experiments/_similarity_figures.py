"""Figures of the comparison of panels: curves by layer, and text layers against image layers."""

from collections.abc import Sequence

import numpy as np

from diptych.experiments._similarity import BEYOND, CKA, KINDS, Compared, of
from diptych.figures import Curves, Heatmap, Series
from diptych.result import Row, numbers


def curves(rows: Sequence[Row]) -> list[Curves]:
    return [
        *(_cosines(of(rows, f"{kind} cosine"), kind) for kind in KINDS),
        _beyond(of(rows, BEYOND)),
        _cka(of(rows, CKA)),
    ]


def _cosines(rows: Sequence[Row], kind: str) -> Curves:
    return Curves(
        title=f"Similarity of the panels by layer, {kind}",
        caption="Mean over image data tokens of the highest cosine to a text data token, mean over items. The band of own "
        "pairs is a 95% interval over clusters; that of other pairs holds 95% of random partners.",
        x_title="layer",
        y_title=f"{kind} cosine",
        x=_layers(rows),
        series=[_own("image and its own text", rows), _others("random other text", rows)],
    )


def _beyond(rows: Sequence[Row]) -> Curves:
    return Curves(
        title="What is special to the pair, by layer",
        caption="Centred similarity of an item's own panels less that with texts of other items, paired by item; band: "
        "95% interval over clusters.",
        x_title="layer",
        y_title="difference of centred cosines",
        x=_layers(rows),
        series=[_own("image, own less other", rows)],
        levels=[(0.0, "nothing special")],
    )


def _cka(rows: Sequence[Row]) -> Curves:
    return Curves(
        title="Alignment of items by layer (CKA)",
        caption="Linear CKA of the mean text and the mean image data token over items, unbiased, beside items put together "
        "at random (band: 95% of orders).",
        x_title="layer",
        y_title="CKA",
        x=_layers(rows),
        series=[Series("image and its own text", numbers(rows, "value")), _others("random order", rows)],
    )


def _layers(rows: Sequence[Row]) -> list[float]:
    return [float(value or 0) for value in numbers(rows, "layer")]


def _own(name: str, rows: Sequence[Row]) -> Series:
    return Series(name, *(numbers(rows, column) for column in ("value", "low", "high")))


def _others(name: str, rows: Sequence[Row]) -> Series:
    return Series(name, *(numbers(rows, column) for column in ("other pairs", "other pairs low", "other pairs high")))


def across(compared: Compared) -> Heatmap:
    """Own less other pairs, for each text layer and image layer."""
    values = compared.across.mean(0)
    text, image = np.unravel_index(int(values.argmax()), values.shape)
    names = [str(layer) for layer in range(compared.layers)]
    return Heatmap(
        title="Text layer against image layer",
        caption="Centred similarity of image states after one layer to text states after another, own less other pairs, "
        "mean over items. Right of the diagonal the picture is later than the words. The mark is the highest cell.",
        x_title="image layer",
        y_title="text layer",
        value_title="difference of centred cosines",
        x=names,
        y=names,
        values=values.tolist(),
        marks=[(int(image), int(text), "closest")],
    )
