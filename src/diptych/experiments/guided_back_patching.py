"""Guided back-patching: does the repair go through the image circuit, and does it make that more like the text circuit?"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import Tensor

from diptych.experiments._folds import FoldScores
from diptych.experiments._guided import PARTS, guided
from diptych.experiments._guided_overlap import bars, compare, decided
from diptych.experiments._halving import Along, Halving
from diptych.experiments._judged import LEVEL, NONE_HELD, Judged, paragraph, summary
from diptych.experiments._measured import helpful_first
from diptych.experiments._panels import Panel
from diptych.experiments._parameters import Count, Options, Positions, Seed, Share, Windows
from diptych.experiments._survey import Survey, clusters
from diptych.experiments._sweep import Array, gain_row, stored_sweep
from diptych.experiments._text import fixed
from diptych.figures import Bars, Number, Series
from diptych.items import Modality
from diptych.result import Row
from diptych.run import Finding, Run

VERSION = 5
USES = ("accuracy", "discover", "faithfulness_curve", "back_patching")
WAYS = {"positions": "data positions", "nodes": "nodes"}
POSITIONS = {
    "held": "data positions that hold the circuit",
    "let": "data positions let through",
    "drawn": "of them drawn from more that hold as much",
}
NO_TEXT = "The task has no text panel, so there is no text circuit to compare with."


def guided_back_patching(
    run: Run,
    *,
    size: Share | None = None,
    threshold: Share = 0.8,
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    windows: Windows = (1, 3, 5),
    share: Share = 0.5,
    draws: Count = 99,
    resamples: Count = 200,
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """The image cell that `back_patching` chose, with only that part let through that the image circuit holds.

    By positions: the `share` of the data positions that hold most of the circuit, or all that hold any if these are fewer.
    By nodes: what the circuit's heads and neurons write between destination and source. Each against `draws` random sets
    of equal size, by a test. Then the overlap of the image circuit with the text circuit, discovered again with the patch
    in place. `size`: share of the nodes in a circuit, else that of the minimal one at faithfulness `threshold`.
    `discovery`: parameters of `discover` that differ from their defaults.
    """
    survey = Survey.of(run)
    sweep = stored_sweep(run, run.get("back_patching", windows=windows, seed=seed), "image")
    shared = {"seed": seed, "positions": positions}
    panels = [_panel(run, modality, size, threshold, discovery, shared) for modality in survey.panels()]
    image = panels[-1]
    prompts = survey.items("image", "test", positions)
    work = partial(guided, circuit=image.circuit(), cell=sweep.chosen, share=share, draws=draws, seed=seed)
    work = partial(work, answers=survey.answers, batch_size=run.batch_size)
    units = prompts.units(run.batch_size)
    found = Along(-1)([values for _, values in run.map(Halving(work, Along(-1)), units, name="guided")])
    rows, judged = _rows(found, clusters(units))
    compared = compare(run, survey, panels, sweep.chosen, shared | discovery, resamples)
    place = {name: getattr(sweep.chosen, name) for name in ("source", "destination", "window")}
    return Finding(
        summary=summary(run.task.name, judged),
        rows=rows + compared,
        conditions=survey.conditions
        | prompts.conditions()
        | place
        | {"cell chosen on": "select", "share of data positions": share, "draws": draws, "seed": seed}
        | {f"size of the {panel.modality} circuit": panel.size for panel in panels}
        | {told: float(found[name].double().mean()) for name, told in POSITIONS.items()}
        | {"positions": positions, "judged at": f"p of at most {LEVEL} for each way"}
        | {
            "interval": "95% score tests over clusters; of overlaps 95% Student, "
            + f"{resamples} random weights of folds"
        },
        figures=[*_bars(judged), *bars(compared)],
        notes=[
            paragraph(judged, compared),
            "Random positions: as many of the data positions. Random nodes: as many heads and neurons in each layer, at "
            "data positions.",
            "What a set of nodes writes: the change of each layer's output if they are set to zero and all others are held.",
            *_fewer(found),
            *_alike(found),
            *(decided(compared) if compared else [NO_TEXT]),
        ],
    )


def _panel(
    run: Run, modality: Modality, size: float | None, threshold: float, discovery: Options, shared: Options
) -> Panel:
    if size is None:
        return Panel.of(run, modality, threshold, discovery, shared)
    found = run.get("discover", modality=modality, **(shared | discovery))
    order = helpful_first(str(found.conditions["metric"]), str(found.conditions["reduction"]))
    return Panel(modality, FoldScores.of(run, found), size, {}, order)


def _rows(found: dict[str, Tensor], clusters: Sequence[str]) -> tuple[list[Row], list[Judged]]:
    """A row for each part let through, random ones together, and how they compare."""
    base = found["base"].double().numpy()
    rows: list[Row] = []
    judged = []
    for way, name in WAYS.items():
        right: Array = found[way].double().numpy()
        gains = (right - base).mean(1).tolist()
        row = partial(gain_row, "image", base=base, clusters=clusters)
        parts = [row(f"{name}: {part}", patched=values) for part, values in zip(PARTS, right, strict=False)]
        random = gains[len(PARTS) :]
        judged.append(Judged(name, gains[0], gains[1], gains[2], random, parts[0]["low"], parts[1]["low"]))
        if not random:
            rows += [parts[0], {"panel": "image", "cell": f"{name}: circuit", "undefined": NONE_HELD}]
            continue
        low, high = np.quantile(random, (0.025, 0.975))
        parts[1] |= {"percentile in random": judged[-1].percentile, "p": judged[-1].p}
        drawn = row(f"{name}: random", patched=right[len(PARTS) :].mean(0))
        rows += [*parts, drawn | {"draws, 2.5%": float(low), "draws, 97.5%": float(high)}]
    return rows, judged


def _fewer(found: dict[str, Tensor]) -> list[str]:
    """A note where the circuit holds fewer data positions than asked for."""
    held, asked, let = (found[name].double() for name in ("held", "asked", "let"))
    if not (held < asked).any():
        return []
    return [
        f"The circuit holds a node at {fixed(float(held.mean()), 1)} data positions of a prompt on average, the share asks for "
        f"{fixed(float(asked.mean()), 1)}: only positions that it holds are let through ({fixed(float(let.mean()), 1)}), and as many "
        f"random ones."
    ]


def _alike(found: dict[str, Tensor]) -> list[str]:
    """A note where the circuit does not tell which data positions are its own."""
    drawn, let = (float(found[name].double().mean()) for name in ("drawn", "let"))
    if not drawn:
        return []
    return [
        f"Of {fixed(let, 1)} data positions let through, {fixed(drawn, 1)} on average are drawn from more that hold as much of the "
        f"circuit: so far the part is a random one. A circuit of spans holds all positions of a span alike."
    ]


def _bars(judged: Sequence[Judged]) -> list[Bars]:
    """One figure, or none without random parts."""
    if not judged[0].random:
        return []

    def points(values: Sequence[float]) -> list[Number]:
        return [100 * value for value in values]

    bounds = [np.quantile(one.random, (0.025, 0.975)) for one in judged]
    random = Series(
        "random parts of equal size",
        points([float(np.mean(one.random)) for one in judged]),
        points([float(low) for low, _ in bounds]),
        points([float(high) for _, high in bounds]),
    )
    return [
        Bars(
            title="Does the repair go through the image circuit?",
            caption="Change of image accuracy on test in points, if only a part of the back-patch is let through. Whiskers of "
            "random parts: 95% of the draws.",
            x_title="parts are sets of",
            y_title="points",
            categories=[one.name for one in judged],
            series=[
                Series("whole patch", points([one.whole for one in judged])),
                Series("the circuit's part", points([one.circuit for one in judged])),
                random,
                Series("all but the circuit's part", points([one.others for one in judged])),
            ],
        )
    ]
