"""Preview: a model whose decoder first runs the original on what it is called with, so that its hooks know what comes."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.calls import DecoderCall
from diptych.models.entry import find_host
from diptych.models.shared import sharing_weights
from diptych.models.vlm import VLM

Look = Callable[[VLM], AbstractContextManager[Sequence[Tensor]]]


@dataclass(eq=False)
class Preview:
    """A decoder in place of `decode`, with what it has seen in the original `vlm` by `look`, while it runs.

    `pictures`: where the image tokens of the prompts are. `seen` is None where there is no picture, so with tokens that
    are generated: their cache holds the pictures.
    """

    vlm: VLM
    look: Look
    decode: Any = None
    ids: Int[Tensor, "batch pos"] = field(init=False)
    pictures: Bool[Tensor, "batch pos"] = field(init=False)
    seen: Sequence[Tensor] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if getattr(self.vlm.model.config, "image_token_id", None) is None:
            raise UnsupportedModel(
                f"The configuration of {self.vlm.name} names no image token, so where pictures are cannot be told from a "
                f"prompt's tokens. Expected `image_token_id`."
            )

    @property
    def places(self) -> Bool[Tensor, "batch pos"]:
        """The data positions: from the first to the last image token, marks between rows included."""
        return (self.pictures.cumsum(1) > 0) & (self.pictures.flip(1).cumsum(1).flip(1) > 0)

    def copy(self, name: str, digest: str) -> VLM:
        """The model around this decoder, sharing its weights with the original, whose own module is left as it is.

        Methods are copied with what they belong to if the model is copied again, closures would not be.
        """
        copy = sharing_weights(self.vlm, name, digest)
        for host in {copy.model, find_host(copy.model, copy.sites)}:
            host.register_forward_pre_hook(self._find_pictures, with_kwargs=True)
        self.decode, copy.sites.decoder.forward = copy.sites.decoder.forward, self
        self.__signature__ = inspect.signature(self.decode)  # what a decoder takes is asked
        return copy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the decoder."""
        with self._previewed(args, kwargs):
            return self.decode(*args, **kwargs)

    @contextmanager
    def _previewed(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[None]:
        if bool(self.pictures.any()):
            with self.look(self.vlm) as seen:
                self.vlm.run(DecoderCall(self.ids, args, {**kwargs, "past_key_values": None, "use_cache": False}))
            self.seen = seen
        try:
            yield
        finally:
            self.seen = None

    def _find_pictures(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.ids = args[0] if args else kwargs["input_ids"]
        self.pictures = self.vlm.image_positions({"input_ids": self.ids})


def at(places: Bool[Tensor, "batch pos"], value: Tensor, live: Tensor) -> Tensor:
    """`live` [batch, pos, d_model] with `value` at some places."""
    return torch.where(places[..., None].to(live.device), value.to(live.device, live.dtype), live)
