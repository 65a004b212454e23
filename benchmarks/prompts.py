"""`python -m benchmarks.prompts`: how many prompts `discover` needs if it may stop when its circuit is stable.

Prompts of an organism are scored one by one, by AP-IG; then rounds are gone through as `discover` does with `stable`. The
circuit of the prompts used is compared with that of all prompts, and with that of as many others, none of which it has
seen: what the Jaccard index of the halves promises. Nothing is downloaded.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

import diptych
from diptych.compare import stability
from diptych.experiments._measured import as_scored
from diptych.experiments._rounds import Rounds
from diptych.experiments._survey import FoldScores, Selection, Survey
from diptych.experiments.discover import by_fold, score
from diptych.items import Contrast, Modality
from diptych.run import Run, Store
from diptych.run.unit import Values

FOLDS = 8
ASKED = (0.7, 0.8, 0.9)
PANELS: tuple[tuple[str, Modality], ...] = (("counting", "image"), ("sentiment", "image"), ("arithmetic", "text"))


class Discovery:
    """The prompts of a panel, and the scores of each."""

    def __init__(self, model: str, task: str, modality: Modality, per_split: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(model, diptych.make_task(task, per_split=per_split), store=Store(Path(folder)))
            survey = Survey.of(run)
        self.chosen = survey.contrasts(modality, "discover", seed=0, positions="aligned")
        self.digest = str(survey.conditions["model_digest"])
        arguments = {"metric": "logit_diff", "reduction": "l1"}
        how = {"method": "ap_ig", "arguments": arguments, "answers": survey.answers, "layout": self.chosen.layout}
        units = self.chosen.units(1, folds=FOLDS)
        self.values = {unit.payload[1][0].clean.id: score(run.vlm, unit.payload, **how) for unit in units}

    def of(self, name: str, some: Selection[Contrast]) -> list[Values]:
        return [self.values[contrast.clean.id] for contrast in some.used]

    def joined(self, values: Sequence[Values]) -> FoldScores:
        return FoldScores.stored(by_fold(list(values), FOLDS), self.chosen.layout, self.digest)


def jaccard(discovery: Discovery, some: Sequence[Values], others: Sequence[Values], size: float) -> str:
    """Of heads and of neurons."""
    found = stability([discovery.joined(values).mean().top(size) for values in (some, others)])
    return ", ".join(f"{found[kind][0]:.2f}" for kind in ("heads", "neurons"))


def rows(discovery: Discovery, said: str, size: float) -> list[str]:
    """For each agreement asked for: prompts, halves, as many others, all."""
    found = []
    everything = discovery.of("", discovery.chosen)
    for asked in ASKED:
        scored = Rounds(asked, size, FOLDS, as_scored).score(discovery.chosen, discovery.of, discovery.joined)
        used = {contrast.clean.id for contrast in scored.chosen.used}
        others = [value for name, value in discovery.values.items() if name not in used]
        fresh = "–"
        if len(others) >= len(used):
            drawn = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))[: len(used)]
            fresh = jaccard(discovery, scored.values, [others[place] for place in drawn.tolist()], size)
        halves = scored.reached[len(used)]
        whole = jaccard(discovery, scored.values, everything, size)
        found.append(f"| {said} | {asked} | {len(used)} of {len(everything)} | {halves:.2f} | {fresh} | {whole} |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="organism/qwen2vl")
    parser.add_argument("--per-split", type=int, default=480)
    parser.add_argument("--size", type=float, default=0.05)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| task | asked for | prompts used | Jaccard of their halves | with as many others: heads, neurons | with all |\n"
        "|---|---|---|---|---|---|"
    )
    for task, modality in PANELS:
        discovery = Discovery(chosen.model, task, modality, chosen.per_split)
        print("\n".join(rows(discovery, f"{task}, {modality}", chosen.size)), flush=True)


if __name__ == "__main__":
    main()
