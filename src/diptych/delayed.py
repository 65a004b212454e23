"""A planted delay: a model whose early layers are shown no picture, so that back-patching must help (methods §10)."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diptych.batch import Inputs
from diptych.errors import InputError, UnsupportedModel
from diptych.models.calls import Path
from diptych.models.entry import stopped_at
from diptych.models.preview import Preview, at
from diptych.models.resume import stream
from diptych.models.vlm import VLM

Arguments = tuple[Any, ...]
Changed = tuple[Arguments, dict[str, Any]] | None


def delay(vlm: VLM, layer: int, prompts: Sequence[Inputs]) -> VLM:
    """A model whose layers below `layer` see one mean vector at the positions of each picture, and the others the truth.

    What enters layer 0 at an image token is the mean over all image tokens of `prompts`, two or more of one layout with
    different pictures. What enters `layer`, from the first to the last image token, is what enters it in `vlm`, whatever
    is done to layers below. So below `layer` no residual depends on the picture, and from it on `resid_post` of picture
    positions is that of `vlm`: a source of back-patching at or above `layer`, into a destination below `layer` − 1, shows
    the layers between what was hidden from them.

    The weights are shared with `vlm`, whose own module is left as it is. With `layer` 0 nothing is hidden. Raises
    `UnsupportedModel` for a model whose pictures reach its layers by other ways than the embeddings of image tokens.
    Raises `InputError` for a layer that the model does not have.
    """
    if not 0 <= layer < len(vlm.layers):
        raise InputError(
            f"Pictures are to be hidden until layer {layer}; {vlm.name} has layers 0 to {len(vlm.layers) - 1}. Give one "
            f"of them."
        )
    preview = Preview(vlm, partial(_entering, layer))
    hidden = _Hidden(preview, _mean_picture(vlm, prompts))
    told = f"{vlm.digest} delayed to {layer} from ".encode() + hidden.mean.numpy().tobytes()
    copy = preview.copy(f"{vlm.name} (pictures from layer {layer})", hashlib.sha256(told).hexdigest()[:12])
    copy.layers[0].register_forward_pre_hook(hidden.hide, with_kwargs=True)
    copy.layers[layer].register_forward_pre_hook(hidden.show, with_kwargs=True)
    return copy


@contextmanager
def _entering(layer: int, vlm: VLM) -> Iterator[list[Tensor]]:
    """While open, a run ends where it enters the layer, with what enters it in the list given."""
    with stopped_at(vlm.layers[layer]) as received:
        yield received


@dataclass(eq=False)
class _Hidden:
    """What is shown at picture positions: the mean first, and then the truth, which is all that the preview sees."""

    preview: Preview
    mean: Float[Tensor, " d_model"]

    def hide(self, module: nn.Module, args: Arguments, kwargs: dict[str, Any]) -> Changed:
        """Layer 0 receives the mean at image tokens."""
        if self.preview.seen is None:
            return None
        return _entered(args, kwargs, self.preview.pictures, self.mean)

    def show(self, module: nn.Module, args: Arguments, kwargs: dict[str, Any]) -> Changed:
        """The layer receives the truth, marks between rows of a picture included: they have read it."""
        if self.preview.seen is None:
            return None
        return _entered(args, kwargs, self.preview.places, stream(self.preview.seen[0]))


def _entered(args: Arguments, kwargs: dict[str, Any], places: Bool[Tensor, "batch pos"], value: Tensor) -> Changed:
    """A layer's arguments with another residual stream at some places."""
    changed = at(places, value, stream(args[0] if args else kwargs["hidden_states"]))
    return ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})


@torch.no_grad()
def _mean_picture(vlm: VLM, prompts: Sequence[Inputs]) -> Float[Tensor, " d_model"]:
    """The mean of what enters layer 0 at image tokens; raises unless pictures differ there and nowhere else."""
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
        with _entering(0, vlm) as received:
            vlm.run(call)
        found.append(stream(received[0])[vlm.image_positions({"input_ids": call.input_ids})])
    return torch.cat(found).double().mean(0).cpu()
