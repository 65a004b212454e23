"""What the lens tells: its rows, sentences and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from diptych.experiments._text import fixed
from diptych.figures import Curves, Series
from diptych.items import MODALITIES
from diptych.result import Row, numbers
from diptych.statistics import cluster_bootstrap

READINGS = {"answer at the last position": (1, 0), "answer at the data": (0, 0), "words at the data": (0, 2)}
"""What is read where → place and token set; the set behind it is the counterfactual's."""
LAST, ANSWER, WORDS = READINGS
OTHER = "counterfactual's"


@dataclass(frozen=True, eq=False)
class Read:
    """Probabilities [item, panel, layer, place (data, last), token set (answer, other answer, words, other words)]."""

    values: NDArray[np.float64]
    clusters: list[str]
    seed: int

    @property
    def layers(self) -> int:
        return self.values.shape[2]

    def rows(self) -> list[Row]:
        """One per panel, reading and layer; a reading that no item has is left out."""
        whole = product(enumerate(MODALITIES), READINGS, range(self.layers))
        return [self._row(panel, name, reading, layer) for (panel, name), reading, layer in whole if self.has(reading)]

    def has(self, reading: str) -> bool:
        return bool(self.kept(reading).any())

    def kept(self, reading: str) -> NDArray[np.bool_]:
        """Which items have tokens of their own and of the counterfactual to read: the same in all layers and panels."""
        place, own = READINGS[reading]
        return np.asarray(np.isfinite(self.values[:, 0, 0, place, own : own + 2]).all(-1))

    def _row(self, panel: int, modality: str, reading: str, layer: int) -> Row:
        place, own = READINGS[reading]
        kept = self.kept(reading)
        mine, other = self.values[kept, panel, layer, place, own : own + 2].T
        clusters = [cluster for cluster, keeps in zip(self.clusters, kept, strict=True) if keeps]
        found, less = (cluster_bootstrap(values, clusters, seed=self.seed) for values in (mine, mine - other))
        return {
            "panel": modality,
            "reading": reading,
            "layer": layer,
            "probability": found.value,
            "low": found.low,
            "high": found.high,
            OTHER: float(other.mean()),
            "difference": less.value,
            "difference low": less.low,
            "difference high": less.high,
            "n": found.n,
        }


def of(rows: Sequence[Row], panel: str, reading: str) -> list[Row]:
    """The rows of a panel and reading, by layer."""
    return [row for row in rows if (row["panel"], row["reading"]) == (panel, reading)]


def since(rows: Sequence[Row]) -> int | None:
    """The first layer from which on the difference is surely above 0."""
    unsure = [index for index, low in enumerate(numbers(rows, "difference low")) if not (low or 0) > 0]
    first = max(unsure, default=-1) + 1
    return first if first < len(rows) else None


def summary(task: str, rows: Sequence[Row], read: Read) -> str:
    found = {modality: since(of(rows, modality, LAST)) for modality in MODALITIES}
    said = [f"{'at no layer' if f is None else f'from layer {f} on'} from {modality}" for modality, f in found.items()]
    name, what = (WORDS, "the data's words") if read.has(WORDS) else (ANSWER, "the answer")
    best = max(of(rows, "image", name), key=lambda row: float(row["probability"] or 0))
    return (
        f"Under the lens, the answer of {task} is surely likelier at the last position than the counterfactual's "
        f"{' and '.join(said)} (layers 0 to {read.layers - 1}); at image positions {what} have a mean probability of "
        f"{fixed(best['probability'], 3)} at most (after layer {best['layer']}; the counterfactual's: "
        f"{fixed(best[OTHER], 3)})."
    )


def notes(read: Read) -> list[str]:
    words = int(read.kept(WORDS).sum())
    return [
        "After a layer, all later ones are skipped: a state that later layers would still turn into the answer reads as "
        "something else, so a low probability is no proof that the answer is not there.",
        "Words: tokens of the data in the text panel that the counterfactual's data lacks, their probabilities summed; "
        f"defined for {words} of {len(read.clusters)} items, where both items have such words.",
        "The last layer at the last position is the model's own probability.",
    ]


def curves(read: Read, rows: Sequence[Row]) -> list[Curves]:
    titles = {
        LAST: "The answer at the last position, by layer",
        ANSWER: "The answer at the data's positions, by layer",
        WORDS: "The data's words at the data's positions, by layer",
    }
    return [_curves(title, rows, reading) for reading, title in titles.items() if read.has(reading)]


def _curves(title: str, rows: Sequence[Row], reading: str) -> Curves:
    panels = {modality: of(rows, modality, reading) for modality in MODALITIES}
    own = [Series(m, *(numbers(some, name) for name in ("probability", "low", "high"))) for m, some in panels.items()]
    others = [Series(f"{m}, counterfactual's", numbers(some, OTHER)) for m, some in panels.items()]
    return Curves(
        title=title,
        caption="Probability under the logit lens, mean over items and positions; the counterfactual's at the same "
        "positions is the baseline. Bands: 95% intervals over clusters.",
        x_title="layer",
        y_title="probability",
        x=[float(layer) for layer in range(len(panels["text"]))],
        series=own + others,
    )
