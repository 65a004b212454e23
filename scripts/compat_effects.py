"""What each of Paper A's departures changes on a shipped organism: `python scripts/compat_effects.py` prints rows for
docs/paper-compat.md (two minutes of one core).

Organism qwen2vl (M-RoPE, as Qwen2-VL), counting, 48 discover contrasts of each panel, float32; AP-IG with 5 right steps.
"""

from collections.abc import Iterator

import numpy as np
import torch

import diptych
from diptych.attribution.ap_ig import ap_ig
from diptych.compare import overlaps
from diptych.grid import Circuit, Scores
from diptych.interventions import run_circuits
from diptych.items import Modality
from diptych.metrics import correct, logit_diff
from diptych.models.encode import AnswerTokens
from diptych.models.vlm import VLM
from diptych.paper_compat import PAPER_A, PaperCompat

MODEL, TASK, ITEMS, SIZE = "organism/qwen2vl", "counting", 48, 0.05
OWN = PaperCompat()


def main() -> None:
    torch.set_num_threads(1)
    vlm = diptych.load(MODEL)
    task = diptych.make_task(TASK, per_split=ITEMS)
    answers = diptych.answer_tokens(vlm, task)
    batches = {m: encoded(vlm, task, answers, m) for m in ("text", "image")}
    for row in rows(vlm, answers, batches):
        print("| " + " | ".join(row) + " |")


def encoded(vlm: VLM, task: diptych.Task, answers: AnswerTokens, modality: Modality) -> diptych.Batch:
    (batch,) = diptych.encode(vlm, task.contrasts(modality, "discover", 0), answers, batch_size=ITEMS).batches
    return batch


def rows(vlm: VLM, answers: AnswerTokens, batches: dict[str, diptych.Batch]) -> Iterator[tuple[str, str]]:
    """Name of the departure, and what it changes."""
    own = {m: scores(vlm, batch, OWN) for m, batch in batches.items()}
    plain = scores(vlm, batches["image"], PaperCompat(interpolate_images=False))
    yield (
        "`interpolate_images`",
        f"image scores correlate by {correlation(own['image'], plain):.2f} with the reference's (heads); of the top "
        f"{SIZE:.0%}, {shared(own['image'], plain):.0%} are the same nodes",
    )
    yield "`legacy_1d_rope`", rope(vlm, answers, batches["image"])
    absolute = scores(vlm, batches["image"], PaperCompat(reduction="abs"))
    yield (
        "`reduction`",
        f"of the top {SIZE:.0%} by `abs`, {shared(own['image'], absolute, 'heads'):.0%} of the heads are those by `l1`",
    )
    yield "`faithfulness`", aggregates(vlm, batches["image"], own["image"].top(SIZE))
    yield from overlap(own["text"].top(SIZE), own["image"].top(SIZE))


def scores(vlm: VLM, batch: diptych.Batch, compat: PaperCompat) -> Scores:
    return ap_ig(vlm, batch, rule="right", steps=5, **compat.attribution).scores


def correlation(a: Scores, b: Scores) -> float:
    return float(np.corrcoef(a.heads.flatten().numpy(), b.heads.flatten().numpy())[0, 1])


def shared(a: Scores, b: Scores, kind: str | None = None) -> float:
    """The share of one circuit's nodes that the other holds too, both of one size."""
    kinds = [kind] if kind else ["heads", "neurons"]
    pairs = [(getattr(a.top(SIZE), k), getattr(b.top(SIZE), k)) for k in kinds]
    return float(np.mean([float((x & y).sum() / x.sum()) for x, y in pairs]))


@torch.no_grad()
def rope(vlm: VLM, answers: AnswerTokens, batch: diptych.Batch) -> str:
    own = vlm.run(vlm.capture(batch.clean))
    with PAPER_A.opened(vlm):  # before the capture, which keeps the positions
        counted = vlm.run(vlm.capture(batch.clean))
    right = [float(correct(logits, batch.answers, answers.choices).mean()) for logits in (own, counted)]
    return f"accuracy from the image {right[1]:.2f} instead of {right[0]:.2f}; logits change by up to {(own - counted).abs().max():.1f}"


@torch.no_grad()
def aggregates(vlm: VLM, batch: diptych.Batch, circuit: Circuit) -> str:
    call = vlm.capture(batch.clean)
    with vlm.record() as recording:
        empty = vlm.run(vlm.capture(batch.counterfactual))
    (live,) = run_circuits(vlm, call, [circuit], recording.activations())
    values = [
        logit_diff(x, batch.answers, batch.counter_answers).double().numpy() for x in (live, empty, vlm.run(call))
    ]
    return f"F of the image circuit of {SIZE:.0%}: {OWN.faithful(*values):.3f}, as mean of ratios {PAPER_A.faithful(*values):.3f}"


def overlap(text: Circuit, image: Circuit) -> Iterator[tuple[str, str]]:
    """Means over heads and neurons, by segment."""
    found = overlaps(text, image)
    chance = {name: compat.expected(found, text, image) for name, compat in (("own", OWN), ("paper", PAPER_A))}

    def by_segment(values: list[float]) -> str:
        segments = dict.fromkeys(part.segment for part in found)
        mean = {s: np.mean([v for v, p in zip(values, found, strict=True) if p.segment == s]) for s in segments}
        return ", ".join(f"{segment} {value:.2f}" for segment, value in mean.items())

    def above(compat: PaperCompat, expected: list[float]) -> list[float]:
        return [compat.normalise(part.iou, b) for part, b in zip(found, expected, strict=True)]

    theirs = PaperCompat(niou="i_minus_2b")
    yield "`niou`", f"{by_segment(above(theirs, chance['own']))} instead of {by_segment(above(OWN, chance['own']))}"
    yield "`baseline`", f"expected IoU {by_segment(chance['paper'])} instead of {by_segment(chance['own'])}"
    yield "`niou` and `baseline`", f"{by_segment(above(theirs, chance['paper']))}: what would be plotted"


if __name__ == "__main__":
    main()
