"""Applied: back-patching on an unmodified Hugging Face model, whoever calls it, until it is removed (methods §10)."""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diptych.errors import InputError, UnsupportedModel
from diptych.models.calls import rebuild
from diptych.models.handed import edit_handed
from diptych.models.hooks import replaced_forward
from diptych.models.readable import require_decoder_only, require_eval, require_not_compiled
from diptych.models.reading import Reading
from diptych.models.sites import find_decoder, find_layers
from diptych.models.vlm import Edit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Forward = Callable[..., Any]
Values = Mapping[int, Float[Tensor, "batch pos d_model"]]
"""Layer → what its `resid_post` is overwritten by."""


class _Recorded(Exception):
    """Ends a first pass whose last source has been seen."""


@dataclass(eq=False)
class Applied:
    """A model whose decoder reads prompts with pictures twice; `remove`, or the end of a `with`, makes it plain again.

    The first pass keeps `resid_post` of the source layers and ends behind the last of them; it has a cache of its own. The
    second one is the model's call, with the cache it was given: at each prompt's positions from its first to its last
    image token, `resid_post` of a destination layer is overwritten by that of its source, both as they are handed to the
    next layer, with what the model adds in between. Steps that generate see the patch through that cache alone. With
    `rounds` n, each first pass but the first is patched from the one before it. Threads take turns in the decoder.

    `reader`: a model of the same weights whose decoder does the first passes; the model itself by default.

    Raises `UnsupportedModel` for an encoder-decoder, a compiled model, or a configuration that names no image token, and
    `InputError` for a model in training mode or one that is patched already.
    """

    model: "PreTrainedModel" = field(repr=False)
    pairs: Sequence[tuple[int, int]]  # (source, destination) layers
    rounds: int = 1
    reader: "PreTrainedModel | None" = field(default=None, repr=False)
    _layers: nn.ModuleList = field(init=False, repr=False)
    _reading: Reading = field(init=False, repr=False)
    _turn: threading.RLock = field(init=False, default_factory=threading.RLock, repr=False)
    _open: contextlib.ExitStack = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_decoder_only(self.model.config)
        require_not_compiled(self.model)
        decoder = find_decoder(self.model)
        self._layers = find_layers(decoder)
        require_eval(self.model, self._layers)
        self._reading = Reading.of(self.model)
        _require_plain(self.model, decoder)
        with contextlib.ExitStack() as opened:
            opened.enter_context(replaced_forward(decoder, self._twice(decoder.forward)))
            opened.enter_context(self._reading.watched(self.model, decoder))
            self._open = opened.pop_all()

    def remove(self) -> None:
        """Make the model plain again; nothing is left of the patch. To remove it twice does no harm."""
        self._open.close()

    def __enter__(self) -> "Applied":
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _twice(self, own: Forward) -> Forward:
        @wraps(own)  # what a decoder takes is asked
        def forward(*args: Any, **kwargs: Any) -> Any:
            with self._turn:
                where = self._reading.places(kwargs)
                if where is None:
                    return own(*args, **kwargs)
                values: Values = {}
                for _ in range(self.rounds):
                    values = self._sources(own, args, kwargs, where, values)
                with edit_handed(self._layers, _overwriting(where, values)):
                    return own(*args, **kwargs)

        forward.applied = self  # type: ignore[attr-defined]
        return forward

    @torch.no_grad()
    def _sources(
        self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], where: Tensor, values: Values
    ) -> Values:
        """`resid_post` of the source layers in a run patched by `values`, by the layer they are for."""
        run, layers = own, self._layers
        if self.reader is not None:
            decoder = find_decoder(self.reader)
            run, layers = decoder.forward, find_layers(decoder)
        found: dict[int, Tensor] = {}
        last = max(source for source, _ in self.pairs)

        def keep(layer: int) -> Edit:
            def look(live: Tensor) -> Tensor:
                found[layer] = live
                _require_positions(live, where)
                if layer == last < len(layers) - 1:  # else the pass is at its end
                    raise _Recorded
                return live

            return look

        twin_args, twin_kwargs = rebuild((args, kwargs), "", lambda path, leaf: _twin(leaf))
        if "logits_to_keep" in twin_kwargs:  # Gemma 4 runs its last layers at those positions alone
            twin_kwargs["logits_to_keep"] = 0
        with (
            edit_handed(layers, {source: keep(source) for source, _ in self.pairs}),
            edit_handed(layers, _overwriting(where, values)),
            contextlib.suppress(_Recorded),
        ):
            run(*twin_args, **twin_kwargs)
        return {destination: found[source] for source, destination in self.pairs}


def _overwriting(where: Tensor, values: Values) -> dict[int, Edit]:
    """Edits of what layers hand on: `values` at the positions `where`."""

    def write(value: Tensor) -> Edit:
        def edit(live: Tensor) -> Tensor:
            kept = slice(where.shape[1] - live.shape[1], None)  # the last positions, if not all
            there, other = where[:, kept, None].to(live.device), value[:, kept].to(live.device, live.dtype)
            return torch.where(there, other, live)

        return edit

    return {layer: write(value) for layer, value in values.items()}


def _twin(leaf: Any) -> Any:
    """An argument that a run may write to without a trace in the one it was made of: caches, embeddings."""
    from transformers import Cache

    if isinstance(leaf, Cache):
        stream_of_copies = getattr(leaf, "prefetch_stream", None)  # of a cache on the CPU; cannot be copied
        return deepcopy(leaf, {id(stream_of_copies): stream_of_copies})
    return leaf.clone() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


def _require_plain(model: nn.Module, decoder: nn.Module) -> None:
    if hasattr(decoder.forward, "applied"):
        raise InputError(
            f"{type(model).__name__} is back-patched already, and two patches would not be told apart. Remove the first "
            f"one, or leave its `with`."
        )


def _require_positions(residual: Tensor, where: Tensor) -> None:
    if residual.shape[:2] != where.shape:
        raise UnsupportedModel(
            f"The decoder reads {list(residual.shape[:2])} prompts and positions for {list(where.shape)} tokens, so "
            f"pictures cannot be found by their tokens. Expected a processor that writes one token per position."
        )
