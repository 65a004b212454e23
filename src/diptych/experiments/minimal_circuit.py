"""Minimal circuit: the smallest that does the task, found on select by a race of sizes and reported on test."""

from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from diptych.alignment import Shape
from diptych.errors import InputError
from diptych.experiments._curve import notes
from diptych.experiments._measured import Effects, Measured, runs
from diptych.experiments._parameters import Count, MetricName, Options, Positions, Seed, Several, Share, Sizes
from diptych.experiments._ranked import Ranked, measured, rankings
from diptych.experiments._text import fixed, interval
from diptych.faithfulness import Array
from diptych.figures import Curves, Series
from diptych.grid import Scores
from diptych.items import Contrast, Modality
from diptych.models.encode import AnswerTokens
from diptych.models.memory import fitting
from diptych.models.vlm import VLM
from diptych.racing import Margins, Raced, Standing, race
from diptych.result import Row, numbers
from diptych.run import Finding, Run, Unit
from diptych.run.unit import AT_ONCE, Values
from diptych.statistics import INTERVAL, Estimate, ratio_of_means

VERSION = 1
USES = ("accuracy", "discover")
SIZES = tuple(round(10 ** (-3 + 3 * index / 26), 6) for index in range(27))
"""From .001 to 1 in equal ratios."""
FORWARDS = 3
"""How many sizes a look measures at least, about: by this it is judged whether the prefix is computed once."""
ON_TEST = (
    *("faithfulness", "low", "high", "n", "random circuits", "random lowest", "random highest"),
    "lowest scores first",
)


def minimal_circuit(
    run: Run,
    *,
    modality: Modality = "image",
    sizes: Sizes = SIZES,
    threshold: Share = 0.8,
    risk: Share = 0.05,
    look: Several = 12,
    metric: MetricName = "logit_diff",
    random_circuits: Count = 3,
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """The smallest of `sizes` whose F on *select* is at least `threshold` while that of the next smaller one is not.

    What `faithfulness_curve` finds by running every size on all of select, for some 4 forwards per prompt: sizes are bisected,
    and each is run, `look` prompts at a time in random order, until its verdict on all of select is beyond doubt but for
    `risk` (`diptych.racing`, decision 0027). F is then measured on all of test, beside random circuits of the size. All
    else is ablated to the counterfactual run. `discovery`: parameters of `discover` that differ from their defaults.
    Every prompt of a look has its node values held at once: take fewer if they do not fit.
    """
    if list(sizes) != sorted(set(sizes)):
        raise InputError(f"sizes are {sizes}; expected increasing fractions.")
    if risk == 1:
        raise InputError("risk is 1, so that no verdict would be in doubt; expected less, such as 0.05.")
    asked: Options = {"metric": metric, "seed": seed, "positions": positions} | discovery
    ranked = Ranked.of(run, modality, asked, seed)
    looks = _Looks(run, ranked, threshold, metric, seed)
    found = race(looks, len(looks.order), sizes, risk=risk, look=look)
    select = {size: looks.estimate(size) for size in sorted(found.prompts)}
    most = max(select, key=found.prompts.__getitem__)
    surest, reason = select[most], select[most].reason or looks.against(most)
    size = None if reason else found.size
    rows = [_row(modality, size, found, estimate) for size, estimate in select.items()]
    reported, noted = None, [f"No size is chosen on select: {reason}."] if reason else []
    if size is not None:
        orders = rankings(ranked.main, ranked.reduction, random_circuits, seed)
        work = partial(ranked.work(run, "counterfactual", metric), sizes=[size], orders=orders)
        test = measured(run, work, ranked.chosen["test"], "test")
        place = list(select).index(size)
        reported = rows[place] = {**rows[place], **_reported(test)}
        noted = notes(test, {size: surest}, "counterfactual")
    each = found.forwards / len(looks.order)
    cost = f"That took {each:.1f} forwards per prompt of select; all {len(sizes)} sizes take {2 + len(sizes)}."
    told = {"metric": metric, "ablation": "counterfactual", "threshold": threshold, "seed": seed}
    raced = {"minimal size": size, "selected on": "select", "risk": risk, "prompts per look": look}
    return Finding(
        summary=_summary(run.task.name, modality, threshold, cost, reported, smallest=size == sizes[0]),
        rows=rows,
        conditions=ranked.conditions(told)
        | raced
        | {"forwards per prompt of select": round(each, 2), "interval": INTERVAL},
        figures=[_figure(modality, metric, rows, size, threshold)],
        notes=noted,
    )


class _Looks:
    """Looks at prompts of select, in random order, for a race; what was measured is kept, prompt by prompt."""

    def __init__(self, run: Run, ranked: Ranked, threshold: float, metric: str, seed: int) -> None:
        self.run, self.chosen, self.seed = run, ranked.chosen["select"], seed
        self.order = np.random.default_rng(seed).permutation(len(self.chosen.used)).tolist()
        self.work = partial(
            looked,
            scores=ranked.main(ranked.folds.mean()),
            threshold=threshold,
            metric=metric,
            answers=ranked.survey.answers,
            batch_size=run.batch_size,
        )
        self.count = 0
        self.effects: dict[float, list[tuple[Array, Array, list[str]]]] = {}

    def __call__(self, some: slice, standing: Standing, known: Collection[float]) -> Margins:
        groups = self._groups([self.chosen.used[place] for place in self.order[some]])
        work = partial(self.work, standing=standing, known=tuple(known))
        self.count += 1
        unit = Unit(f"{some.start}-{some.stop}", groups)
        ((_, values),) = self.run.map(work, [unit], name=f"look {self.count}")
        total, kept = (values[name].double().numpy() for name in ("total", "kept"))
        names = [contrast.clean.cluster for group in groups for contrast in group]
        sizes = values["sizes"].tolist()
        for size, effect in zip(sizes, kept, strict=True):
            self.effects.setdefault(size, []).append((effect, total, names))
        return dict(zip(sizes, kept - self.work.keywords["threshold"] * total, strict=True))

    def estimate(self, size: float) -> Estimate:
        """F of the prompts that a size was run on."""
        kept, total = (np.concatenate([look[part] for look in self.effects[size]]) for part in (0, 1))
        names = [name for look in self.effects[size] for name in look[2]]
        return ratio_of_means(kept, total, names, seed=self.seed)

    def against(self, size: float) -> str:
        """Why margins of the prompts that a size was run on say nothing of F, if so: its denominator is below 0."""
        effect = float(np.concatenate([total for _, total, _ in self.effects[size]]).mean())
        return f"the model's own effect is {effect:.2f} on average, towards the counterfactual" if effect < 0 else ""

    def _groups(self, contrasts: Sequence[Contrast]) -> list[list[Contrast]]:
        """Those of each shape."""
        groups: dict[Shape, list[Contrast]] = {}
        for contrast in contrasts:
            groups.setdefault(self.chosen.shapes[contrast.clean.id], []).append(contrast)
        return list(groups.values())


@torch.no_grad()
def looked(
    vlm: VLM,
    groups: Sequence[Sequence[Contrast]],
    *,
    standing: Standing,
    known: Sequence[float],
    scores: Scores,
    threshold: float,
    metric: str,
    answers: AnswerTokens,
    batch_size: int,
) -> Values:
    """Effects of the circuits of the sizes that a look measures [size, prompt], and the model's [prompt]; see `Effects`."""

    def attempt(size: int) -> Values:
        chunks = [list(group[start : start + size]) for group in groups for start in range(0, len(group), size)]
        parts = [Effects(vlm, runs(vlm, (0, chunk), answers, FORWARDS), metric, batch_size) for chunk in chunks]
        total = torch.cat([part.total for part in parts]).double()
        kept: dict[float, Tensor] = {}

        def margins(size: float) -> Array:
            circuit = scores.top(size)
            kept[size] = torch.cat([part.of(circuit) for part in parts]).double()
            return np.asarray((kept[size] - threshold * total).cpu())

        standing.look(margins, known)
        sizes = torch.tensor(list(kept), dtype=torch.float64)
        return {"total": total, "sizes": sizes, "kept": torch.stack(list(kept.values()))}

    found, size = fitting(attempt, batch_size)
    return found | ({AT_ONCE: torch.tensor(size)} if size < batch_size else {})


def _row(modality: Modality, size: float, found: Raced, select: Estimate) -> Row:
    """What is known of a size from select."""
    return {
        "panel": modality,
        "size": size,
        "on select": select.value,
        "select low": select.low,
        "select high": select.high,
        "prompts of select": found.prompts[size],
        "passes": found.standing.verdict(size),
        **dict.fromkeys(ON_TEST),
    }


def _reported(test: Measured) -> Row:
    """What is known of the minimal circuit from test."""
    estimate, drawn = test.estimate(0), test.ratios(0, "random")
    values = (
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.n,
        float(np.mean(drawn)),
        min(drawn),
        max(drawn),
        test.ratios(0, "lowest first")[0],
    )
    return dict(zip(ON_TEST, values, strict=True))


def _summary(task: str, modality: Modality, threshold: float, cost: str, found: Row | None, *, smallest: bool) -> str:
    if found is None:
        return f"From {modality}, no circuit of {task} reaches a faithfulness of {threshold:.2f} on select; see the notes. {cost}"
    less = "the smallest size asked for" if smallest else "where the next smaller size has less"
    return (
        f"From {modality}, {found['size']:.1%} of the nodes do {task} with faithfulness {fixed(found['faithfulness'])} "
        f"{interval(found)} on test (at least {threshold:.2f} on select, {less}); random circuits of this size reach "
        f"{fixed(found['random circuits'])}. {cost}"
    )


def _figure(modality: Modality, metric: str, rows: Sequence[Row], size: float | None, threshold: float) -> Curves:
    return Curves(
        title=f"Sizes tried for the minimal circuit, {modality}",
        caption=f"Share of the model's effect ({metric}, clean against counterfactual) that the circuit keeps: on the prompts "
        f"of select that each size was run on, and on test for the size found. Bands are 95% intervals over clusters.",
        x_title="circuit size (share of all nodes)",
        y_title="faithfulness",
        x=[float(row["size"]) for row in rows],  # type: ignore[arg-type]
        series=[
            Series(
                "select, as far as run", *(numbers(rows, name) for name in ("on select", "select low", "select high"))
            ),
            Series("test", *(numbers(rows, name) for name in ("faithfulness", "low", "high"))),
        ],
        log_x=True,
        lines_at=[(size, f"minimal circuit {size:.1%}")] if size is not None else [],
        levels=[(threshold, "threshold")],
    )
