"""A circuit from its parts, without a run: scores of one batch, the highest 2% of the nodes, and how well they do alone.

`python examples/first_circuit.py [MODEL]`; without a model, on a small one that comes with diptych.
"""

import sys

import torch

import diptych


def main(name: str = "organism/qwen2vl") -> None:
    """Print where the circuit lies, and the logit difference of the model, of the circuit alone, and of no circuit."""
    vlm = diptych.load(name)
    task = diptych.make_task("counting", per_split=24)
    contrasts = task.contrasts("image", "discover")[:8]
    (batch,) = diptych.encode(vlm, contrasts, diptych.answer_tokens(vlm, task)).batches

    scores = diptych.ap_ig(vlm, batch).scores
    circuits = [scores.top(size) for size in (1.0, 0.02, 0.0)]
    for segment in ("prefix", "data", "query", "generation"):
        heads, neurons = circuits[1].at(segment).count()
        print(f"{segment:10} {heads:3} heads and {neurons:4} neurons")

    with torch.no_grad(), vlm.record() as recording:
        vlm.run(vlm.capture(batch.counterfactual))
    logits = diptych.run_circuits(vlm, vlm.capture(batch.clean), circuits, recording.activations())
    answers, others = batch.answers[:, None], batch.counter_answers[:, None]
    for what, found in zip(("whole model", "circuit", "no circuit"), logits, strict=True):
        difference = (found.gather(1, answers) - found.gather(1, others)).mean()
        print(f"{what:12} logit(answer) - logit(counter-answer) = {difference:6.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
