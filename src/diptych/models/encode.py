"""Encoding: items to prompts through the model's own chat template, with the layout found from tokens (methods §2–3)."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from diptych.alignment import Positions, Shape, align
from diptych.batch import Batch, Inputs
from diptych.errors import InputError, MismatchError
from diptych.items import Contrast, Item, Modality, Task
from diptych.layout import Layout, segment_of
from diptych.locate import image_layout, name_parts, text_layout
from diptych.models.chat import Content, locate, render, require_plain
from diptych.models.parts import picture_parts, query_parts, text_parts
from diptych.models.pixels import fitted, keeps_budget
from diptych.models.processor import first_line
from diptych.models.vlm import VLM

PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


@dataclass(frozen=True, eq=False)
class Prompt:
    """One item in one panel as the model receives it: tensors of batch 1, and which positions are what."""

    item: Item
    inputs: Inputs
    layout: Layout

    @property
    def tokens(self) -> Tensor:
        return self.inputs["input_ids"][0]

    @property
    def form(self) -> int:
        """A number that differs if pictures differ in shape or grid: such prompts share no batch and no contrast."""
        other = sorted((name, value) for name, value in self.inputs.items() if name not in PER_TOKEN)
        said = [(name, value.shape, value.tolist() if not value.is_floating_point() else "") for name, value in other]
        return zlib.crc32(repr(said).encode())

    @property
    def shape(self) -> Shape:
        """Prompts of one shape can share a batch, and a contrast."""
        return self.layout, self.form


@dataclass(frozen=True, eq=False)
class AnswerTokens:
    """First token of each answer as the model would emit it, with or without a leading space."""

    tokens: dict[str, int]
    leading_space: bool

    @property
    def choices(self) -> Int[Tensor, " choice"]:
        """The answer set's first tokens, without repeats."""
        return torch.tensor(list(dict.fromkeys(self.tokens.values())))

    def of(self, items: Sequence[Item]) -> Int[Tensor, " batch"]:
        return torch.tensor([self.tokens[item.answer] for item in items])


@dataclass(frozen=True, eq=False)
class Encoded:
    """Batches, each of one layout; the layout their grids are pooled onto; how many contrasts were dropped and why."""

    batches: list[Batch]
    dropped: dict[str, int]
    layout: Layout

    def __len__(self) -> int:
        return sum(map(len, self.batches))


def encode_item(vlm: VLM, item: Item, modality: Modality) -> Prompt:
    """The prompt of one panel: image first, then text, one user turn, generation prompt added."""
    return _encode_text(vlm, item) if modality == "text" else _encode_image(vlm, item)


def encode(
    vlm: VLM,
    contrasts: Sequence[Contrast],
    answers: AnswerTokens,
    *,
    batch_size: int = 16,
    positions: Positions = "aligned",
) -> Encoded:
    """Batches of contrasts, each of prompts of one layout and picture form, so that nothing is padded.

    `positions`: which contrasts are used together (`diptych.alignment.align`); scores of a batch are brought to one
    layout by `scores.pool(encoded.layout)`, a circuit to a batch by `circuit.expand(batch.layout)`. A contrast's two
    prompts need one layout: others are dropped and counted. Raises `InputError` if nothing is left.
    """
    dropped: Counter[str] = Counter()
    prompts: dict[tuple[str, Modality], Prompt] = {}
    pairs = []
    for contrast in contrasts:
        clean, counterfactual = (
            _cached(prompts, vlm, item, contrast.modality) for item in (contrast.clean, contrast.counterfactual)
        )
        if answers.tokens[clean.item.answer] == answers.tokens[counterfactual.item.answer]:
            dropped["answers share their first token"] += 1
        elif clean.shape != counterfactual.shape:
            dropped["prompts of different layouts or picture shapes"] += 1
        else:
            pairs.append((contrast, clean, counterfactual))
    if not pairs:
        raise InputError(
            f"None of {len(contrasts)} contrasts can be used: {dict(dropped)}. Expected two prompts of one layout whose "
            f"answers differ in their first token. Change the answers or the template of the task."
        )
    alignment = align([clean.shape for _, clean, _ in pairs], positions)
    groups: dict[Shape, list[tuple[Contrast, Prompt, Prompt]]] = {}
    for pair in pairs:
        groups.setdefault(pair[1].shape, []).append(pair)
    kept = [group for shape, group in groups.items() if shape in alignment.shapes]
    if len(kept) < len(groups):
        dropped["prompts of a rarer layout or picture shape"] += len(pairs) - sum(map(len, kept))
    chunks = [group[start : start + batch_size] for group in kept for start in range(0, len(group), batch_size)]
    return Encoded([_batch(chunk, answers) for chunk in chunks], dict(dropped), alignment.layout)


@torch.no_grad()
def answer_tokens(vlm: VLM, task: Task, *, prompts: int = 16) -> AnswerTokens:
    """First tokens of the task's answers; a leading space is decided by probability mass on the discover split (methods §3)."""
    bare, spaced = ({answer: _first_token(vlm, answer, space) for answer in task.answers} for space in ("", " "))
    if bare == spaced:
        return AnswerTokens(bare, leading_space=False)
    mass = {False: 0.0, True: 0.0}
    for item in task.split("discover")[:prompts]:
        prompt = encode_item(vlm, item, "text" if item.text is not None else "image")
        probabilities = vlm.run(vlm.capture(prompt.inputs)).softmax(-1)[0]
        for space, tokens in ((False, bare), (True, spaced)):
            mass[space] += float(probabilities[list(set(tokens.values()))].sum())
    leading_space = mass[True] > mass[False]
    return AnswerTokens(spaced if leading_space else bare, leading_space)


def collate(prompts: Sequence[Prompt]) -> Inputs:
    """The tensors of prompts of one form, one prompt behind the other along dimension 0, as `VLM.capture` takes them.

    A model may want them otherwise: it is given one prompt at a time.
    """
    return {name: torch.cat([prompt.inputs[name] for prompt in prompts]) for name in prompts[0].inputs}


def _cached(seen: dict[tuple[str, Modality], Prompt], vlm: VLM, item: Item, modality: Modality) -> Prompt:
    key = (item.id, modality)
    if key not in seen:
        seen[key] = encode_item(vlm, item, modality)
    return seen[key]


def _encode_text(vlm: VLM, item: Item) -> Prompt:
    assert item.text is not None  # a contrast has its panel
    content, offset = item.wording
    rendered = _render(vlm, item, [{"type": "text", "text": content}])
    places = locate(rendered, content)
    if places is None:
        raise InputError(
            f"The chat template of {vlm.name} changes the text of item '{item.id}': its words are not in the prompt. "
            f"Expected a template that changes white space alone."
        )
    inputs = _process(vlm, item, rendered, [])
    found = _offsets(vlm, rendered)
    if found["input_ids"] != inputs["input_ids"][0].tolist():
        raise InputError(
            f"The processor of {vlm.name} tokenises text differently from its tokenizer, so the data cannot be located."
        )
    start, stop = offset, offset + len(item.text)
    where = {"data": places[start : stop + 1]} | ({} if item.sentence else {"query": places[stop + 1 :]})
    layout = text_layout(found["offset_mapping"], (places[start], places[stop]))
    return Prompt(item, inputs, name_parts(layout, text_parts(item, found["offset_mapping"], where)))


def _encode_image(vlm: VLM, item: Item) -> Prompt:
    """Pictures first, in their order; the data reaches from the first image token to the last."""
    pictures = [picture.open() for picture in item.pictures]
    if vlm.pixels is not None and not keeps_budget(vlm.processor):
        pictures = [fitted(picture, vlm.pixels) for picture in pictures]
    rendered = _render(vlm, item, [{"type": "image"}] * len(pictures) + [{"type": "text", "text": item.query}])
    inputs = _process(vlm, item, rendered, pictures)
    places = vlm.image_positions(inputs)[0].nonzero().flatten().tolist()
    if not places:
        raise InputError(
            f"The prompt of item '{item.id}' has no position that holds its picture. The processor or the chat template "
            f"dropped it: an image token must be in the prompt."
        )
    parts = picture_parts(item, places, inputs)
    if any(segment_of(name) == "query" for name, _, _ in item.spans):
        parts |= query_parts(item, rendered, _offsets(vlm, rendered), inputs["input_ids"][0].tolist())
    return Prompt(item, inputs, name_parts(image_layout(places, inputs["input_ids"].shape[1]), parts))


def _offsets(vlm: VLM, rendered: str) -> Any:
    """Token ids of a rendered prompt, pictures not expanded, and the characters of each."""
    return tokenizer_of(vlm)(rendered, add_special_tokens=_special(vlm, rendered), return_offsets_mapping=True)


def tokenizer_of(vlm: VLM) -> Any:
    """The tokenizer inside the processor."""
    return vlm.processor.tokenizer


def _render(vlm: VLM, item: Item, content: Content) -> str:
    for part in content:
        require_plain(vlm.processor, vlm.name, f"text of item '{item.id}'", part.get("text", ""))
    return render(vlm.processor, vlm.name, content, vlm.system)


def _process(vlm: VLM, item: Item, rendered: str, pictures: list[Any]) -> Inputs:
    given = {"images": pictures} if pictures else {}
    try:
        found = vlm.processor(text=[rendered], return_tensors="pt", add_special_tokens=_special(vlm, rendered), **given)
    except (ValueError, TypeError, IndexError, StopIteration) as error:
        raise InputError(
            f"The processor of {vlm.name} refuses the prompt of item '{item.id}' with {len(pictures)} pictures: "
            f"{first_line(error)} Expected one place per picture in what the chat template writes."
        ) from error
    # PaliGemma's processor adds labels for training, with which the model wants logits of all positions
    return {name: value for name, value in found.items() if isinstance(value, Tensor) and name != "labels"}


def _special(vlm: VLM, rendered: str) -> bool:
    """Whether the tokenizer still has to add its special tokens: not if the template wrote the first one."""
    opening = tokenizer_of(vlm).bos_token
    return opening is not None and not rendered.startswith(opening)


def _first_token(vlm: VLM, answer: str, space: str) -> int:
    """The token that follows a prompt's last token if the model answers: found by offsets behind the rendered prompt."""
    tokenizer = tokenizer_of(vlm)
    rendered = render(vlm.processor, vlm.name, [{"type": "text", "text": "?"}], vlm.system)
    encoded = tokenizer(rendered + space + answer, add_special_tokens=False, return_offsets_mapping=True)
    behind = [
        i
        for i, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        if end > len(rendered)
    ]
    if behind[0] == tokenizer.unk_token_id:
        raise InputError(
            f"The tokenizer of {vlm.name} does not know the answer '{answer}'. Use answers of its vocabulary."
        )
    return int(behind[0])


def _batch(pairs: Sequence[tuple[Contrast, Prompt, Prompt]], answers: AnswerTokens) -> Batch:
    layout = pairs[0][1].layout
    if any(not torch.equal(a.tokens[layout.prefix], b.tokens[layout.prefix]) for _, a, b in pairs):
        raise MismatchError(
            "The prompts of a contrast differ before their data. The prefix must be the same in both: check the chat "
            "template, or give items whose sentences begin differently different groups."
        )
    return Batch(
        contrasts=tuple(contrast for contrast, _, _ in pairs),
        clean=collate([clean for _, clean, _ in pairs]),
        counterfactual=collate([counterfactual for _, _, counterfactual in pairs]),
        answers=answers.of([clean.item for _, clean, _ in pairs]),
        counter_answers=answers.of([counterfactual.item for _, _, counterfactual in pairs]),
        layout=layout,
    )
