"""Generation: what a model writes behind a prompt, greedily, with edits that are open while it reads the prompt."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from diptych.errors import InputError, UnsupportedModel
from diptych.models.hooks import hooks
from diptych.models.prompts import Prompt, by_shape, collate, tokenizer_of
from diptych.models.vlm import VLM

Edits = Callable[[Sequence[int]], AbstractContextManager[Any]]
"""The places of a batch's prompts → a context manager that edits runs of that batch."""


def generate(
    vlm: VLM, prompts: Sequence[Prompt], *, max_new_tokens: int = 16, batch_size: int = 16, edits: Edits | None = None
) -> list[str]:
    """The text that the model writes behind each prompt, without marks of the chat. See `generate_tokens`."""
    words = tokenizer_of(vlm)
    written = generate_tokens(vlm, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size, edits=edits)
    return [str(words.decode(tokens, skip_special_tokens=True)).strip() for tokens in written]


@torch.no_grad()
def generate_tokens(
    vlm: VLM, prompts: Sequence[Prompt], *, max_new_tokens: int = 16, batch_size: int = 16, edits: Edits | None = None
) -> list[list[int]]:
    """The tokens that the model writes behind each prompt: at each step the likeliest, up to an end token or the limit.

    Prompts of one shape share a batch, so nothing is padded. `edits`: called with the places of a batch's prompts among
    `prompts`, gives any context manager that edits runs (`vlm.edit_inputs`, `vlm.knockout`, `patch_residuals`,
    `ablate_outside`, ...). It is open while the prompts are read and closed before the second token: later steps see an
    edit through the keys and values that it left. Of the checkpoint's own settings for generation (sampling, penalties)
    only the end tokens are kept. Raises `InputError` for `vlm.resume`, `UnsupportedModel` for a model that cannot
    generate.
    """
    found: dict[int, list[int]] = {}
    for places in by_shape(prompts):
        size = batch_size if vlm.stacks(prompts[places[0]].inputs) else 1
        for start in range(0, len(places), size):
            some = places[start : start + size]
            found |= zip(
                some, _batch(vlm, [prompts[place] for place in some], max_new_tokens, edits, some), strict=True
            )
    return [found[place] for place in range(len(prompts))]


def _batch(
    vlm: VLM, prompts: Sequence[Prompt], max_new_tokens: int, edits: Edits | None, places: Sequence[int]
) -> list[list[int]]:
    inputs = collate(prompts)
    length = inputs["input_ids"].shape[1]
    with _reading(vlm, edits(places) if edits else nullcontext()), _greedy(vlm) as ends:
        written = vlm.generate(inputs, max_new_tokens=max_new_tokens)
    return [_until(row, ends) for row in written[:, length:].tolist()]


@contextmanager
def _reading(vlm: VLM, edits: AbstractContextManager[Any]) -> Iterator[None]:
    """While open, the edits are: until the decoder has read the prompts."""
    before = _forwards(vlm)
    with ExitStack() as opened:
        opened.enter_context(hooks(vlm.sites.decoder.register_forward_pre_hook(_everywhere, with_kwargs=True)))
        opened.enter_context(edits)
        _require_every_layer(vlm, before)
        done = vlm.sites.decoder.register_forward_hook(lambda module, args, output: opened.close())
        with hooks(done):
            yield


def _everywhere(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A pre-hook of the decoder: every layer runs at all positions. Gemma 4 would run its last ones at the last alone."""
    return args, {**kwargs, "logits_to_keep": 0} if "logits_to_keep" in kwargs else kwargs


@contextmanager
def _greedy(vlm: VLM) -> Iterator[list[int]]:
    """While open, the model's settings for generation are none but its end tokens, which are given."""
    from transformers import GenerationConfig

    model: Any = vlm.model
    if not hasattr(model, "generate"):
        raise UnsupportedModel(f"{type(model).__name__} has no `generate`. Expected a model that writes text.")
    own = model.generation_config
    ends = _listed(own.eos_token_id) or _listed(tokenizer_of(vlm).eos_token_id)
    padding = [*_listed(own.pad_token_id), *_listed(tokenizer_of(vlm).pad_token_id), *ends, 0][0]
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=ends or None, pad_token_id=padding)
    try:
        yield ends
    finally:
        model.generation_config = own


def _forwards(vlm: VLM) -> list[Any]:
    return [layer.__dict__.get("forward") for layer in vlm.layers]


def _require_every_layer(vlm: VLM, before: list[Any]) -> None:
    changed = [index for index, (own, now) in enumerate(zip(before, _forwards(vlm), strict=True)) if own is not now]
    if changed:
        raise InputError(
            f"The edits replace what layer {changed[0]} computes, as `vlm.resume` does. A layer that is skipped leaves no "
            f"keys and values, which later tokens need. Overwrite its output instead: `patch_residuals`."
        )


def _listed(token: int | list[int] | None) -> list[int]:
    return [] if token is None else [token] if isinstance(token, int) else list(token)


def _until(tokens: list[int], ends: list[int]) -> list[int]:
    """The tokens before the first end token."""
    return tokens[: next((place for place, token in enumerate(tokens) if token in ends), len(tokens))]
