"""Reading: where in a model's call its decoder reads pictures, as modules around the decoder are told."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jaxtyping import Bool, Int
from torch import Tensor, nn

from diptych.errors import InputError, UnsupportedModel
from diptych.models.hooks import hooks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = ("inputs_embeds", "attention_mask", "past_key_values")
"""What every call of a model may be given, whether it shows a picture or not."""


@dataclass(eq=False)
class Reading:
    """What the call that goes on in a thread was given; pictures are found by their `token`."""

    token: int
    _call: threading.local = field(init=False, default_factory=threading.local, repr=False)

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "Reading":
        """Raises `UnsupportedModel` if the configuration names no image token."""
        token = getattr(model.config, "image_token_id", None)
        if token is None:
            raise UnsupportedModel(
                f"The configuration of {type(model).__name__} names no image token, so where a prompt's pictures are "
                f"cannot be told from its tokens. Set `model.config.image_token_id` if it has one."
            )
        return cls(int(token))

    @contextmanager
    def watched(self, model: nn.Module, decoder: nn.Module) -> Iterator[None]:
        """While open, calls of the modules that hold the decoder are noted."""
        around = [module for module in model.modules() if module is not decoder and decoder in set(module.modules())]
        with ExitStack() as opened:
            for module in around:
                opened.enter_context(hooks(module.register_forward_pre_hook(self._look, with_kwargs=True)))
                opened.enter_context(hooks(module.register_forward_hook(self._forget, always_call=True)))
            yield

    def places(self, kwargs: Mapping[str, Any]) -> Bool[Tensor, "batch pos"] | None:
        """The positions from each prompt's first to its last image token, given the arguments of the decoder.

        None for a call that reads no picture: a step that generates, or tokens that are only written. Raises `InputError`
        for a prompt without token ids, and for pictures behind a cached beginning.
        """
        ids, cache = self._ids, kwargs.get("past_key_values")
        if ids is not None and ids.shape[1] == 1:  # nothing more is asked of the device
            return None
        before = 0 if cache is None else int(cache.get_seq_length())
        if ids is None:
            _require_begun(before)
            return None
        held = ids == self.token
        if not bool(held.any()) or (before and not self._shown):  # candidates may repeat a prompt's image tokens
            return None
        if before:
            raise InputError(
                f"A prompt of {ids.shape[1]} tokens with pictures is read behind {before} others that are cached, as by "
                f"chunked prefill. A back-patch needs a prompt in one piece as far as its pictures go: leave out "
                f"`prefill_chunk_size` and earlier `past_key_values`."
            )
        return (held.cumsum(1) > 0) & (held.flip(1).cumsum(1).flip(1) > 0)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Reading":
        raise InputError(
            "A back-patched model cannot be copied: the copy would still run the decoder of the original. Remove the patch "
            "before you copy the model, and patch the copy."
        )

    @property
    def _ids(self) -> Int[Tensor, "batch pos"] | None:
        return getattr(self._call, "ids", None)

    @property
    def _shown(self) -> bool:
        """Whether features of pictures were given, raw or read."""
        return getattr(self._call, "shown", False)

    def _look(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if isinstance(ids, Tensor) and not ids.is_floating_point():
            self._call.ids = ids
        self._call.shown = self._shown or _holds_floats([v for name, v in kwargs.items() if name not in TOKENS])

    def _forget(self, module: nn.Module, args: Any, output: Any) -> None:
        self._call.ids, self._call.shown = None, False


def _holds_floats(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _holds_floats(list(value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_floats, value))
    return isinstance(value, Tensor) and value.is_floating_point()


def _require_begun(before: int) -> None:
    """Refuse a prompt without token ids; a step that goes on with a cached one needs none."""
    if not before:
        raise InputError(
            "A back-patch finds pictures by their tokens, and the decoder was called without any around it knowing "
            "`input_ids`. Give the processor's output as it is, not `inputs_embeds`; a model whose own `generate` makes "
            "embeddings of it, as BLIP-2's, cannot be patched."
        )
