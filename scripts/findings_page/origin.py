"""Origin: how the numbers were made, how many were looked at, and what they cannot say."""

from collections.abc import Mapping
from typing import Any

from findings_page.record import Record
from findings_page.table import number, table

COMMANDS = """    diptych study scripts/findings.yaml --runs runs/findings --shard 1/2
    diptych study scripts/findings.yaml --runs runs/findings --shard 2/2
    diptych study scripts/findings-entities.yaml --runs runs/findings
    python scripts/findings.py runs/findings"""


def comparisons(record: Record) -> str:
    """How much of what is counted is to be expected by chance."""
    pairs = record.count("accuracy")
    return (
        f"Every question is asked of {pairs} pairs of model and task, and the counts below are over all of them: no pair is left "
        f"out because of what it shows, and what is undefined is told with its reason. Of {pairs} intervals of 95 %, "
        f"{pairs * 0.025:.1f} lie wholly above the true value and as many wholly below it by chance alone, so a count of one is "
        f"no finding. A p value is adjusted, by Holm's rule over the pairs, where its column or sentence says so, and nowhere else. "
        f"The five pairs of a model share its weights, and three models are few: a count is no p value either. *Surely* means, "
        f"where no other rule is told: the 95 % interval, over clusters of prompts, leaves nothing else."
    )


def limits(record: Record) -> str:
    return (
        f"The organisms ({', '.join(record.models())}; [cards](../src/diptych/data/organisms)) are networks of 8 to 10 layers, "
        f"trained from scratch on these five tasks and nothing else; on most of them they are nearly always right. So they show "
        f"that the measurements work on a model whose training is known, and what such a model does. They cannot say how a large "
        f"pretrained model does a task: how large its circuits are, how deep in it a picture is understood, or whether "
        f"back-patching repairs it. A claim of the papers that the organisms do not show is not refuted, and one that they show "
        f"is not confirmed. Three things in their training bear on the questions. Image tokens were pulled towards the sum of "
        f"the word embeddings of what is drawn at them, so picture and words may be alike from the first layer on. `qwen2vl` "
        f"and `llava` were trained on both panels together, so their circuits may be shared more than those of a model whose "
        f"vision was added later; of `gemma3` only the tower and the projector learnt from pictures. And their gap is largest "
        f"in arithmetic, where pictures of sums not shown in training are answered worst: it may be one of what was learnt, "
        f"not of where information flows. To know more, change `models` in the two files and run them on your model."
    )


def versions(record: Record) -> str:
    """Version, parameters and minutes of each experiment."""
    minutes = record.made["minutes"]
    found: dict[str, int] = {}
    given: dict[str, set[str]] = {}
    for one in record.results:
        if "version" in one:
            found |= {**one["uses"], one["experiment"]: one["version"]}
            given.setdefault(one["experiment"], set()).add(told(one["given"]))
    rows = [
        [
            f"`{experiment}`",
            str(version),
            "; ".join(sorted(given.get(experiment, {"–"}))),
            number(minutes.get(experiment), 1),
        ]
        for experiment, version in sorted(found.items())
    ]
    return table(["experiment", "VERSION", "parameters that are not the default", "minutes"], rows)


def told(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in parameters.items()) or "–"


def sizes(record: Record) -> str:
    """Items per split, by task, and the digests that the numbers hold for."""
    kept = {one["task"]: (one["kept"]["n"], one["task_digest"]) for one in record.of("accuracy")}
    rows = [
        [task, *(str(n.get(split, 0)) for split in ("discover", "select", "test")), f"`{digest}`"]
        for task, (n, digest) in kept.items()
    ]
    return table(["task", "discover", "select", "test", "digest"], rows)


def origin(record: Record) -> str:
    made = record.made
    revisions = {one["model"]: one["revision"] for one in record.results if "revision" in one}
    weights = ", ".join(f"`{model}` `{revision}`" for model, revision in revisions.items())
    return "\n\n".join(
        [
            "## How it was made",
            f"diptych {made['diptych']}, torch {made['torch']}, transformers {made['transformers']}, {made['dtype']}, "
            f"{made['attention']}, seed 0, on a CPU, {' and '.join(made['dates'])}; {made['hours']:.1f} hours of processes of one "
            f"thread each, by the clock, on a machine of {made['cores']} cores that did other work too. Weights: {weights}. Commands:",
            COMMANDS,
            "The page is made from `docs/findings.json` alone; `tests/test_findings.py` fails if the page says anything else, or if "
            "an experiment, a task or the weights are no longer those of the record.",
            sizes(record),
            versions(record),
        ]
    )
