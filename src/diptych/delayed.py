"""A planted delay: a model whose early layers are shown no picture, so that back-patching must help (methods §10)."""

import hashlib
import inspect
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diptych.batch import Inputs
from diptych.errors import InputError, UnsupportedModel
from diptych.models.calls import Path
from diptych.models.entry import find_host, stopped_at
from diptych.models.resume import stream
from diptych.models.vlm import VLM

Arguments = tuple[Any, ...]


def delay(vlm: VLM, layer: int, prompts: Sequence[Inputs]) -> VLM:
    """A model whose layers below `layer` see one mean vector at the positions of each picture, and the others the truth.

    What enters layer 0 at an image token is the mean over all image tokens of `prompts`, two or more of one layout with
    different pictures. What enters `layer`, from the first to the last image token, is what enters it in `vlm`: made in
    a run of `vlm` to there, since no layer above may be read. So below `layer` no residual depends on the picture, and
    `resid_post` of picture positions from `layer` on is that of `vlm`, whatever is done to layers below: a source of
    back-patching at or above `layer`, into a destination below `layer` − 1, shows the layers between what was hidden.

    The weights are shared with `vlm`, whose own module is left as it is. With `layer` 0 nothing is hidden. Raises
    `UnsupportedModel` for a model whose pictures reach its layers by other ways than the embeddings of image tokens.
    """
    if not 0 <= layer < len(vlm.layers):
        raise InputError(
            f"Pictures are to be hidden until layer {layer}; {vlm.name} has layers 0 to {len(vlm.layers) - 1}. Give one "
            f"of them."
        )
    hidden = _Hidden(vlm, layer, _mean_picture(vlm, prompts))
    copy = replace(
        vlm, model=_sharing_weights(vlm.model), name=f"{vlm.name} (pictures from layer {layer})", digest=hidden.digest
    )
    hidden.place(copy)
    return copy


@dataclass(eq=False)
class _Hidden:
    """A delayed model's decoder, in place of `decode`, and what its hooks share.

    `pictures`: where the image tokens of the run that goes on are. `truth`: what enters `layer` without delay.
    """

    vlm: VLM
    layer: int
    mean: Float[Tensor, " d_model"]
    decode: Any = None
    pictures: Bool[Tensor, "batch pos"] = field(init=False)
    truth: Float[Tensor, "batch pos d_model"] | None = field(init=False, default=None)

    @property
    def digest(self) -> str:
        told = f"{self.vlm.digest} delayed to {self.layer} from ".encode() + self.mean.double().numpy().tobytes()
        return hashlib.sha256(told).hexdigest()[:12]

    def place(self, copy: VLM) -> None:
        """Make a copy of the model a delayed one. Methods are copied with what they belong to, closures would not be."""
        for host in {copy.model, find_host(copy.model, copy.sites)}:
            host.register_forward_pre_hook(self.look, with_kwargs=True)
        self.decode, copy.sites.decoder.forward = copy.sites.decoder.forward, self
        self.__signature__ = inspect.signature(self.decode)  # what a decoder takes is asked
        copy.layers[0].register_forward_pre_hook(self.hide, with_kwargs=True)
        copy.layers[self.layer].register_forward_pre_hook(self.show, with_kwargs=True)

    def look(self, module: nn.Module, args: Arguments, kwargs: dict[str, Any]) -> None:
        """Note which of the prompts' positions hold pictures."""
        self.pictures = self.vlm.image_positions({"input_ids": args[0] if args else kwargs["input_ids"]})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the decoder, with what enters `layer` without delay at hand if there is a picture."""
        if not bool(self.pictures.any()):  # so with tokens that are generated: the cache holds the pictures
            return self.decode(*args, **kwargs)
        with stopped_at(self.vlm.layers[self.layer]) as received:
            self.vlm.sites.decoder(*args, **(kwargs | {"past_key_values": None, "use_cache": False}))
        self.truth = stream(received[0])
        try:
            return self.decode(*args, **kwargs)
        finally:
            self.truth = None

    def hide(
        self, module: nn.Module, args: Arguments, kwargs: dict[str, Any]
    ) -> tuple[Arguments, dict[str, Any]] | None:
        """Layer 0 receives the mean at image tokens."""
        if self.truth is None:
            return None
        return _with_input(args, kwargs, self.pictures, self.mean)

    def show(
        self, module: nn.Module, args: Arguments, kwargs: dict[str, Any]
    ) -> tuple[Arguments, dict[str, Any]] | None:
        """`layer` receives the truth from the first to the last image token: marks between rows have read the picture."""
        if self.truth is None:
            return None
        begun, left = self.pictures.cumsum(1) > 0, self.pictures.flip(1).cumsum(1).flip(1) > 0
        return _with_input(args, kwargs, begun & left, self.truth)


def _with_input(
    args: Arguments, kwargs: dict[str, Any], places: Bool[Tensor, "batch pos"], value: Tensor
) -> tuple[Arguments, dict[str, Any]]:
    """A layer's arguments with another residual stream at some places."""
    live = stream(args[0] if args else kwargs["hidden_states"])
    changed = torch.where(places[..., None].to(live.device), value.to(live.device, live.dtype), live)
    return ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})


@torch.no_grad()
def _mean_picture(vlm: VLM, prompts: Sequence[Inputs]) -> Float[Tensor, " d_model"]:
    """The mean of what enters layer 0 at image tokens; raises unless pictures differ there and nowhere else."""
    if getattr(vlm.model.config, "image_token_id", None) is None:
        raise UnsupportedModel(
            f"The configuration of {vlm.name} names no image token, so what a prompt's pictures are cannot be told from "
            f"its tokens. A delay cannot be planted in it."
        )
    if len(prompts) < 2:
        raise InputError(f"The mean of {len(prompts)} prompts holds their pictures. Give two or more.")
    calls = [vlm.capture(inputs) for inputs in prompts]
    entries = {name for other in calls[1:] for name in Path.between(calls[0], other).entries[1:]}
    if entries:
        raise UnsupportedModel(
            f"Pictures reach the layers of {vlm.name} beside the embeddings: by decoder argument '{min(entries)}'. A delay "
            f"hides the embeddings alone, so it cannot be planted in it."
        )
    found = []
    for call in calls:
        with stopped_at(vlm.layers[0]) as received:
            vlm.run(call)
        found.append(stream(received[0])[vlm.image_positions({"input_ids": call.input_ids})])
    return torch.cat(found).double().mean(0).cpu()


def _sharing_weights(model: Any) -> Any:
    """A copy of a model's modules around the same parameters and buffers."""
    return deepcopy(model, {id(value): value for value in chain(model.parameters(), model.buffers())})
