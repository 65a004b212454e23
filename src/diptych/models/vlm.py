"""The VLM handle: an unmodified Hugging Face model, read and edited through hooks that always undo themselves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from diptych.batch import Inputs
from diptych.models.calls import DecoderCall
from diptych.models.capturing import Capturing
from diptych.models.entry import (
    at_positions,
    device_of,
    find_host,
    last_position,
    reach_decoder,
    replay,
    wanted,
)
from diptych.models.hooks import hooks
from diptych.models.knockout import Edit as Edit
from diptych.models.knockout import cut
from diptych.models.nodes import edit_parts, gradients_of_parts
from diptych.models.pixels import Pixels
from diptych.models.places import changed_positions
from diptych.models.readable import require_embeddings, require_eval, require_readable
from diptych.models.recent import Recent
from diptych.models.recording import Recording
from diptych.models.resume import Forms, recorded, resumed, stream
from diptych.models.sites import Site, Sites, find_sites
from diptych.models.stacking import prompts

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(eq=False)
class VLM:
    """A vision-language model seen through its sites.

    Weights are never changed and no hook outlives its context manager: with nothing open, `model` is plain Hugging Face.
    `digest` identifies the configuration and the weights; grids carry it. `pixels` and `system` are how prompts are made:
    the fewest and the most pixels of a picture, and a system prompt in place of the template's own.
    """

    model: "PreTrainedModel" = field(repr=False)
    processor: Any = field(repr=False)
    name: str
    revision: str | None = None
    digest: str = ""
    pixels: Pixels | None = None
    system: str | None = None
    sites: Sites = field(init=False, repr=False)
    _capturing: Capturing = field(init=False, repr=False)
    forms: Forms = field(init=False, default_factory=dict, repr=False)  # of what layers return, as far as seen
    prompts: Recent = field(init=False, default_factory=Recent, repr=False)  # made lately
    _ids: Tensor = field(init=False, repr=False)  # input ids of the run that goes on

    def __post_init__(self) -> None:
        require_readable(self.model)
        self.model.eval()
        self.model.requires_grad_(False)
        self.sites = find_sites(self.model)
        require_embeddings(self.sites.decoder)
        self._capturing = Capturing(self._reach_decoder, self.model, self.layers)

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder's layers, in their order."""
        return self.sites.layers

    @property
    def device(self) -> torch.device:
        """Where input ids go."""
        return device_of(self.model)

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in; quantised weights are stored in fewer bits."""
        return next(parameter.dtype for parameter in self.model.parameters() if parameter.is_floating_point())

    @property
    def attention(self) -> str:
        """The attention kernel: sdpa or eager."""
        return str(self.model.config._attn_implementation)

    @torch.no_grad()
    def image_positions(self, inputs: Inputs) -> Bool[Tensor, "batch pos"]:
        """Which positions of the prompts hold their pictures.

        Those of the configuration's image token; if it names none, those whose input to the decoder changes with the
        pixels.
        """
        token = getattr(self.model.config, "image_token_id", None)
        if token is not None:
            return inputs["input_ids"] == int(token)
        darker = {name: value / 2 if value.is_floating_point() else value for name, value in inputs.items()}
        return changed_positions(self, self.capture(inputs), self.capture(darker)).cpu()

    @torch.no_grad()
    def capture(self, inputs: Inputs) -> DecoderCall:
        """Run the vision tower and stop where the decoder starts; the call can be run, tiled and interpolated.

        Prompts are given to the model together only if it makes of each what it makes of it alone, which is tried.
        """
        return self._capturing.of(inputs)

    @torch.no_grad()
    def capture_each(self, several: Sequence[Inputs]) -> list[DecoderCall]:
        """As `capture`, of prompts of several layouts: a picture that they share passes the vision tower once."""
        return self._capturing.each(several)

    @torch.no_grad()
    def stacks(self, inputs: Inputs) -> bool:
        """Whether the model itself, given prompts one behind the other, reads each as if it were alone.

        `capture` needs no such model; `generate` does.
        """
        return self._capturing.reads_apart(inputs)

    def run(self, call: DecoderCall) -> Float[Tensor, "batch vocab"]:
        """Logits at the last position, from the decoder on: the top-level model runs with the captured arguments.

        Everything after the unembedding (scaling, soft caps) is the model's own. float32.
        """
        return self._replayed(call, last_position)[:, -1]

    def read(self, call: DecoderCall, positions: Sequence[int]) -> Float[Tensor, "batch position vocab"]:
        """As `run`, with the logits at the given positions."""
        return self._replayed(call, at_positions(positions))

    def run_inputs(self, inputs: Inputs) -> Float[Tensor, "batch vocab"]:
        """Logits at the last position of a plain forward on processor outputs, vision tower and all, prompt by prompt."""
        return torch.cat([self._logits(*self._placed(one), last_position)[:, -1] for one in prompts(inputs)])

    def generate(self, inputs: Inputs, **options: Any) -> Int[Tensor, "batch pos"]:
        """The prompts and what the model's own `generate` writes behind them, with options of its; see `models.generate`."""
        require_eval(self.model, self.layers)
        host, placed = self._placed(inputs)
        self._ids = placed["input_ids"]
        written: Tensor = host.generate(**placed, **options)  # type: ignore[operator]
        return written

    @contextmanager
    def record(self) -> Iterator[Recording]:
        """While open, a run's node values are kept, detached."""
        recording = Recording(self.sites)
        parts = {part: recording.keep(part) for site in self.sites for part in site.parts}
        layers = [layer.register_forward_pre_hook(recording.called(index)) for index, layer in enumerate(self.layers)]
        with hooks(*layers), edit_parts(parts, self._prompts):
            yield recording

    @contextmanager
    def edit_inputs(self, edits: Mapping[Site, Edit]) -> Iterator[None]:
        """While open, each site's node values pass through its function ([batch, pos, head, d_head] or [batch, pos, neuron]).

        A site whose layer has no such nodes is left alone. One made of parts calls its function for each of them, with
        zeros for the nodes of the others.
        """
        with edit_parts({part: edit for site, edit in edits.items() for part in site.parts}, self._prompts):
            yield

    @contextmanager
    def watch_gradients(self, looks: Mapping[Site, Callable[[Tensor], None]]) -> Iterator[None]:
        """While open, a backward pass gives each site's function the gradient of its nodes' values, in their shape.

        Keep it open until the backward pass is done. A site made of parts calls its function for each of them, with zeros
        for the nodes of the others. Nothing is kept, and no value changes.
        """
        with gradients_of_parts({part: look for site, look in looks.items() for part in site.parts}, self._prompts):
            yield

    @contextmanager
    def record_outputs(self) -> Iterator[dict[int, Any]]:
        """While open, what each layer that is called returns is kept as it is: layer → tensor or tuple."""
        with recorded(self.layers, self.forms) as kept:
            yield kept

    @contextmanager
    def resume(self, start: int, residual: Float[Tensor, "batch pos d_model"]) -> Iterator[None]:
        """While open, a run starts at layer `start` with `residual` as the output of the layer below it.

        Layers below are skipped; the decoder's own loop runs on, so features added between layers are kept (adapter §3).
        """
        with resumed(self.layers, start, stream(residual), self.forms):
            yield

    @contextmanager
    def knockout(
        self, rows: slice, columns: slice, layers: Sequence[int], heads: Mapping[int, Sequence[int]] | None = None
    ) -> Iterator[None]:
        """While open, positions in `rows` cannot attend to positions in `columns` in the given layers.

        `heads`: layer → the query heads that are cut there (all heads of all `layers` by default). While the model
        generates, a slice of rows without an end holds the new tokens too. Raises `UnsupportedModel` for a layer that
        moves information by other ways than attention between positions.
        """
        blocks, blinds = cut(
            self.sites, rows, columns, layers, heads, lambda: self.image_positions({"input_ids": self._ids})
        )
        handles = [
            self.layers[layer].register_forward_pre_hook(hook, with_kwargs=True) for layer, hook in blocks.items()
        ]
        with hooks(*handles), self.edit_inputs(blinds):
            yield

    def place(self, value: Tensor) -> Tensor:
        """An input on the model's device; pixels in its dtype. The shape [...] stays."""
        return value.to(self.device, self.dtype) if value.is_floating_point() else value.to(self.device)

    def _prompts(self) -> int:
        """How many prompts the run that goes on has."""
        return self._ids.shape[0]

    def _placed(self, inputs: Inputs) -> tuple[nn.Module, dict[str, Tensor]]:
        """What to call with which tensors: the model with all of them; without a picture, the module that wants none."""
        placed = {name: self.place(value) for name, value in inputs.items()}
        if any(value.is_floating_point() for value in placed.values()) or self._host is self.model:
            return self.model, placed
        return self._host, wanted(self._host, placed)

    def _replayed(self, call: DecoderCall, kept: Callable[..., Any]) -> Tensor:
        with hooks(self.sites.decoder.register_forward_pre_hook(replay(call), with_kwargs=True)):
            return self._logits(self._host, {"input_ids": call.input_ids}, kept)

    def _logits(self, host: nn.Module, inputs: dict[str, Tensor], kept: Callable[..., Any]) -> Tensor:
        """Logits at the positions that the unembedding is given by `kept`, a pre-hook of it: [batch, position, vocab]."""
        require_eval(self.model, self.layers)
        self._ids = inputs["input_ids"]
        with hooks(self.sites.unembedding.register_forward_pre_hook(kept)):
            logits: Tensor = host(**inputs, use_cache=False, return_dict=True).logits
        return logits if logits.dtype == torch.float64 else logits.float()

    @cached_property
    def _host(self) -> nn.Module:
        return find_host(self.model, self.sites)

    def _reach_decoder(self, inputs: Inputs) -> DecoderCall:
        host, placed = self._placed(inputs)
        return reach_decoder(host, self.sites, placed)
