"""Answers: the first token of each, as the model would emit it (methods §3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from diptych.errors import InputError
from diptych.items import Item, Task
from diptych.models.chat import render
from diptych.models.prompts import encode_item, tokenizer_of
from diptych.models.vlm import VLM


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
        """First tokens of the items' answers."""
        return torch.tensor([self.tokens[item.answer] for item in items])


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
