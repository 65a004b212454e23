"""An experiment of your own: how sure is the model of its answers, from text and from an image?

    diptych run examples/my_experiment.py --model organism/qwen2vl --task counting -p split=select

An experiment is a function named after its file that returns a `Finding`. Raise `VERSION` when its numbers change. What
`run.map` does is stored unit by unit: a run that is killed goes on where it was, and other processes may take part.
"""

import torch

from diptych import VLM, Finding, Item, Run, Unit, encode_item
from diptych.figures import Bars, Series
from diptych.items import Modality, Split
from diptych.statistics import bounded_mean

VERSION = 1
USES = ()  # the experiments that it gets, such as ("discover",)


@torch.no_grad()
def surest(vlm: VLM, asked: tuple[Item, Modality]) -> dict[str, torch.Tensor]:
    """The highest probability of a token at the last position: the work of one unit."""
    item, modality = asked
    return {"surest": vlm.run_inputs(encode_item(vlm, item, modality).inputs).softmax(-1).max()}


def my_experiment(run: Run, *, split: Split = "test", seed: int = 0) -> Finding:
    """Probability of the likeliest token, mean over items, in both panels."""
    items = [item for item in run.task.split(split) if item.paired]
    rows = []
    for modality in ("text", "image"):
        units = [Unit(item.id, (item, modality)) for item in items]
        values = [float(found["surest"]) for _, found in run.map(surest, units, name=modality)]
        mean = bounded_mean(values, [item.cluster for item in items], seed=seed)
        rows.append({"panel": modality, "surest": mean.value, "low": mean.low, "high": mean.high, "n": mean.n})
    text, image = rows
    bars = Series("mean", *([row[column] for row in rows] for column in ("surest", "low", "high")))
    return Finding(
        summary=f"The likeliest token has {text['surest']:.2f} from text and {image['surest']:.2f} from image, n = {text['n']}.",
        rows=rows,
        conditions={"split": split, "seed": seed, "interval": "95% cluster bootstrap"},
        figures=[Bars("Surest answers", "Whiskers: 95% intervals.", "panel", "probability", ["text", "image"], [bars])],
    )
