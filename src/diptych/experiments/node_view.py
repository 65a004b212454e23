"""Node view: the heads of the minimal circuit, what they attend to, and what they write."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diptych.batch import Batch
from diptych.contributions import direct_contributions
from diptych.errors import InputError, UnsupportedModel
from diptych.experiments._halving import Along, Halving
from diptych.experiments._heads import Chosen, choose, depth_map, minimal
from diptych.experiments._parameters import Count, MetricName, Options, Positions, Seed, Share
from diptych.experiments._picture import map_over, picture_map, picture_positions
from diptych.experiments._survey import Survey, clusters
from diptych.experiments._text import from_tensor, to_tensor
from diptych.experiments._view import View
from diptych.figures import PictureMaps
from diptych.grid import Circuit
from diptych.items import Contrast, Modality
from diptych.layout import SEGMENTS, Layout
from diptych.models.attention import attention_weights, require_weights
from diptych.models.calls import DecoderCall
from diptych.models.encode import AnswerTokens, encode, encode_item
from diptych.models.vlm import VLM
from diptych.run import Finding, Run, Unit
from diptych.statistics import INTERVAL

VERSION = 4
USES = ("accuracy", "discover", "faithfulness_curve")


def node_view(
    run: Run,
    *,
    modality: Modality = "image",
    heads: Count = 3,
    examples: Count = 2,
    threshold: Share = 0.8,
    metric: MetricName = "logit_diff",
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """The `heads` strongest heads of the minimal circuit per segment, on correctly answered test prompts.

    What they attend to: attention from their positions in the circuit, summed over each segment. What they write: the
    direct contribution of all heads to answer minus counter-answer. `examples`: prompts whose picture is drawn under the
    attention. The head that reads the data most is chosen on *select*. `threshold`, `metric`, `discovery`, `positions`,
    `seed`: those of the circuit.
    """
    survey = Survey.of(run)
    shared: Options = {"metric": metric, "seed": seed, "positions": positions}
    scores, circuit, told = minimal(run, modality, threshold, discovery, shared)
    chosen = choose(scores, circuit, heads)
    place = (shared | discovery)["positions"]
    used, select = (survey.contrasts(modality, split, seed=seed, positions=place) for split in ("test", "select"))
    units = used.units(run.batch_size)
    told_to: dict[str, Any] = {"chosen": chosen, "circuit": circuit, "answers": survey.answers}
    whole = Halving(partial(look, **told_to), Along(0, same=("reasons",)))
    found = [values for _, values in run.map(whole, units, name="test")]
    first = Halving(partial(attend, **told_to), Along(0))
    tried = [values for _, values in run.map(first, select.units(run.batch_size), name="select")]
    view = View.of(found, tried, chosen, circuit, clusters(units), seed)
    drawn = _examples(run, used.used[:examples], view) if modality == "image" else []
    return Finding(
        summary=view.summary(run.task.name, modality),
        rows=view.rows(),
        conditions=survey.conditions
        | used.conditions()
        | used.alignment_conditions()
        | select.conditions()
        | told
        | {"metric": metric, "threshold": threshold, "heads per segment": heads, "seed": seed, "split": "test"}
        | {"interval": INTERVAL}
        | view.conditions(),
        figures=[depth_map(circuit, modality), *view.figures(modality), *_maps(drawn)],
        notes=[*view.notes(), *sorted({one["reason"] for one in drawn if "reason" in one})],
    )


def look(
    vlm: VLM,
    payload: tuple[int, Sequence[Contrast]],
    *,
    chosen: Sequence[Chosen],
    circuit: Circuit,
    answers: AnswerTokens,
) -> dict[str, Tensor]:
    """Of each prompt, what the chosen heads attend to and what all heads write.

    `attention`: [prompt, head, segment]; `even`: the same if each position attended alike to all that it may attend to;
    both nan for heads without weights. `direct`: [prompt, layer, head]; `others`: [prompt, (neurons, embedding, rest)];
    nan where contributions do not add up. `reasons`: why, as JSON.
    """
    _, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts)).batches
    with torch.no_grad():
        call = vlm.capture(batch.clean)
    weights, reasons = readable_weights(vlm, call, chosen)
    heads, others, reason = _written(vlm, call, batch)
    return _masses(chosen, weights, circuit, batch) | {
        "direct": heads,
        "others": others,
        "reasons": to_tensor(sorted({*reasons, *reason})),
    }


def attend(
    vlm: VLM,
    payload: tuple[int, Sequence[Contrast]],
    *,
    chosen: Sequence[Chosen],
    circuit: Circuit,
    answers: AnswerTokens,
) -> dict[str, Tensor]:
    """`attention` and `even` of `look` alone."""
    _, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts)).batches
    with torch.no_grad():
        weights, _ = readable_weights(vlm, vlm.capture(batch.clean), chosen)
    return _masses(chosen, weights, circuit, batch)


def _masses(chosen: Sequence[Chosen], weights: dict[int, Tensor], circuit: Circuit, batch: Batch) -> dict[str, Tensor]:
    attended = [_attended(one, weights, circuit, batch.layout, len(batch)) for one in chosen]
    return {
        "attention": torch.stack([mass for mass, _ in attended], 1),
        "even": torch.stack([even for _, even in attended], 1),
    }


def readable_weights(vlm: VLM, call: DecoderCall, chosen: Sequence[Chosen]) -> tuple[dict[int, Tensor], list[str]]:
    """Attention weights of the layers that have any, all their heads; and why others have none."""
    reasons, layers = [], []
    for layer in sorted({one.layer for one in chosen}):
        try:
            require_weights(vlm.sites.mixers[layer])
            layers.append(layer)
        except UnsupportedModel as error:
            reasons.append(str(error))
    wanted = {layer: range(vlm.sites.heads[layer].there) for layer in layers}
    return {
        layer: found.cpu() for layer, found in attention_weights(vlm, call, wanted).items()
    } if wanted else {}, reasons


def _attended(
    one: Chosen, weights: dict[int, Tensor], circuit: Circuit, layout: Layout, prompts: int
) -> tuple[Tensor, Tensor]:
    """Mass on each segment [prompt, segment] from the head's positions in the circuit; and if it were spread evenly."""
    if one.layer not in weights:
        nothing = torch.full((prompts, len(SEGMENTS)), torch.nan)
        return nothing, nothing
    rows = weights[one.layer][:, one.head, one.rows(circuit, layout)].float()  # [prompt, row, pos]
    seen = (weights[one.layer] > 0).any(1)[:, one.rows(circuit, layout)].float()
    seen = seen / seen.sum(-1, keepdim=True)
    return _by_segment(rows.mean(1), layout), _by_segment(seen.mean(1), layout)


def _by_segment(mass: Tensor, layout: Layout) -> Tensor:
    return torch.stack([mass[:, layout.segment(segment)].sum(-1) for segment in SEGMENTS], -1)


def _written(vlm: VLM, call: DecoderCall, batch: Batch) -> tuple[Tensor, Tensor, list[str]]:
    """Direct contributions, or nan with the reason."""
    try:
        found = direct_contributions(vlm, call, batch.answers, batch.counter_answers)
    except UnsupportedModel as error:
        shape = (len(batch), len(vlm.layers), vlm.sites.heads[0].count)
        return torch.full(shape, torch.nan), torch.full((len(batch), 3), torch.nan), [str(error)]
    others = torch.stack([found.neurons.sum(1), found.embedding, found.rest], -1)
    return found.heads.float(), others.float(), []


def _examples(run: Run, contrasts: Sequence[Contrast], view: View) -> list[dict[str, Any]]:
    readers = view.readers(2)
    work = partial(show, readers=readers, circuit=view.circuit)
    units = [Unit(contrast.clean.id, contrast) for contrast in contrasts]
    return [from_tensor(values["map"]) for _, values in run.map(work, units, name="examples")] if readers else []


@torch.no_grad()
def show(vlm: VLM, contrast: Contrast, *, readers: Sequence[Chosen], circuit: Circuit) -> dict[str, Tensor]:
    """Attention of some heads to each image position of a prompt, as JSON; where these have no place: the reason."""
    prompt = encode_item(vlm, contrast.clean, "image")
    try:
        drawn = map_over(vlm, prompt)
    except InputError as error:
        return {"map": to_tensor({"reason": f"No picture is drawn. {error}"})}
    places = picture_positions(vlm, prompt)
    weights, _ = readable_weights(vlm, vlm.capture(prompt.inputs), readers)
    maps = []
    for one in readers:
        rows = weights[one.layer][0, one.head, one.rows(circuit, prompt.layout)].float()  # [row, pos]
        maps.append({"head": one.name, "values": rows.mean(0)[places].tolist()})
    return {"map": to_tensor(drawn | {"maps": maps, "answer": contrast.clean.answer})}


def _maps(drawn: Sequence[dict[str, Any]]) -> list[PictureMaps]:
    maps = [
        picture_map(f"{part['head']}; answer '{one['answer']}'", one, part["values"])
        for one in drawn
        if "maps" in one
        for part in one["maps"]
    ]
    if not maps:
        return []
    caption = (
        "Attention from the head's positions in the circuit to each image token, drawn where the token lies in the picture; "
        "the heads that on select attend most to the picture from the query or the last position, on the first test prompts."
    )
    return [PictureMaps("What the heads look at", caption, "attention", maps)]
