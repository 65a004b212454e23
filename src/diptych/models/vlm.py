"""The VLM handle: an unmodified Hugging Face model, read and edited through hooks that always undo themselves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diptych.activations import Activations
from diptych.batch import Inputs
from diptych.errors import ModelCheckFailed, UnsupportedModel
from diptych.models.calls import BatchDims, DecoderCall, find_batch_dims
from diptych.models.sites import Site, Sites, find_sites

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Edit = Callable[[Tensor], Tensor]


class _DecoderReached(Exception):
    """Ends a forward once the decoder's arguments are captured."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Node values seen while a `record` was open, by site."""

    sites: Sites
    values: dict[Site, Tensor] = field(default_factory=dict)

    def activations(self) -> Activations:
        """All sites' values; raises `ModelCheckFailed` for a site that the run did not reach."""
        silent = [f"{site.kind} of layer {site.layer}" for site in self.sites if site not in self.values]
        if silent:
            raise ModelCheckFailed(
                f"The run never reached {silent[0]} (and {len(silent) - 1} more sites). Run `diptych check` on the model."
            )
        return Activations(
            tuple(self.values[s] for s in self.sites.heads), tuple(self.values[s] for s in self.sites.neurons)
        )


@dataclass(eq=False)
class VLM:
    """A vision-language model seen through its sites.

    Weights are never changed and no hook outlives its context manager: with nothing open, `model` is plain Hugging Face.
    `digest` identifies the configuration; grids carry it.
    """

    model: "PreTrainedModel" = field(repr=False)
    processor: Any = field(repr=False)
    name: str
    revision: str | None = None
    digest: str = ""
    sites: Sites = field(init=False, repr=False)
    _batch_dims: dict[tuple[str, ...], BatchDims] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.model.eval()
        self.model.requires_grad_(False)
        self.sites = find_sites(self.model)

    @property
    def layers(self) -> nn.ModuleList:
        return self.sites.layers

    @property
    def device(self) -> torch.device:
        """Where input ids go."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    @property
    def attention(self) -> str:
        """The attention kernel: sdpa or eager."""
        return str(self.model.config._attn_implementation)

    @property
    def image_token_id(self) -> int:
        """The token that holds a picture's place; raises `UnsupportedModel` if the configuration names none."""
        token = getattr(self.model.config, "image_token_id", None)
        if token is None:
            raise UnsupportedModel(
                f"The configuration of {self.name} names no image token, so picture positions cannot be found."
            )
        return int(token)

    @torch.no_grad()
    def capture(self, inputs: Inputs) -> DecoderCall:
        """Run the vision tower and stop where the decoder starts; the call can be run, tiled and interpolated."""
        call = self._reach_decoder(inputs)
        signature = tuple(f"{n}:{leaf.ndim if isinstance(leaf, Tensor) else ''}" for n, leaf in call.leaves().items())
        if signature not in self._batch_dims:
            twice = self._reach_decoder({name: torch.cat([value, value]) for name, value in inputs.items()})
            self._batch_dims[signature] = find_batch_dims(call, twice)
        return DecoderCall(call.input_ids, call.args, call.kwargs, self._batch_dims[signature])

    def run(self, call: DecoderCall) -> Float[Tensor, "batch vocab"]:
        """Logits at the last position, from the decoder on: the top-level model runs with the captured arguments.

        Everything after the unembedding (scaling, soft caps) is the model's own. float32.
        """
        with _hooks(self.sites.decoder.register_forward_pre_hook(_replay(call), with_kwargs=True)):
            return self._last_logits(input_ids=call.input_ids)

    def run_inputs(self, inputs: Inputs) -> Float[Tensor, "batch vocab"]:
        """Logits at the last position of a plain forward on processor outputs, vision tower and all."""
        placed = {name: self.place(value) for name, value in inputs.items()}
        return self._last_logits(**placed)

    @contextmanager
    def record(self) -> Iterator[Recording]:
        """While open, a run's node values are kept, detached."""
        recording = Recording(self.sites)

        def keep(site: Site) -> Edit:
            def look(live: Tensor) -> Tensor:
                recording.values[site] = live.detach()
                return live

            return look

        with self.edit_inputs({site: keep(site) for site in self.sites}):
            yield recording

    @contextmanager
    def edit_inputs(self, edits: Mapping[Site, Edit]) -> Iterator[None]:
        """While open, each site's node values pass through its function ([batch, pos, head, d_head] or [batch, pos, neuron])."""

        def hook(site: Site, edit: Edit) -> Callable[..., Any]:
            return lambda module, args: (site.flat(edit(site.nodes(args[0]))), *args[1:])

        with _hooks(*(site.module.register_forward_pre_hook(hook(site, edit)) for site, edit in edits.items())):
            yield

    @contextmanager
    def edit_outputs(self, edits: Mapping[int, Edit]) -> Iterator[None]:
        """While open, the output of each layer given (`resid_post`, [batch, pos, d_model]) passes through its function."""

        def hook(edit: Edit) -> Callable[..., Any]:
            def on_output(module: nn.Module, args: Any, output: Any) -> Any:
                return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

            return on_output

        with _hooks(*(self.layers[index].register_forward_hook(hook(edit)) for index, edit in edits.items())):
            yield

    @contextmanager
    def record_residuals(self) -> Iterator[list[Tensor]]:
        """While open, a run's `resid_post` of every layer is kept, detached: a list over layers of [batch, pos, d_model]."""
        kept: list[Tensor] = []

        def look(live: Tensor) -> Tensor:
            kept.append(live.detach())
            return live

        with self.edit_outputs(dict.fromkeys(range(len(self.layers)), look)):
            yield kept

    @contextmanager
    def resume(self, start: int, residual: Float[Tensor, "batch pos d_model"]) -> Iterator[None]:
        """While open, a run starts at layer `start` with `residual` as the output of the layer below it.

        Layers below are skipped; the decoder's own loop runs on, so features added between layers are kept (adapter §3).
        """
        with ExitStack() as stack:
            for layer in self.layers[:start]:
                stack.enter_context(_replaced_forward(layer, lambda hidden_states, *args, **kwargs: residual))
            yield

    @contextmanager
    def knockout(self, rows: slice, columns: slice, layers: Sequence[int]) -> Iterator[None]:
        """While open, positions in `rows` cannot attend to positions in `columns` in the given layers."""

        def block(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            hidden = args[0] if args else kwargs["hidden_states"]
            return args, {**kwargs, "attention_mask": _blocked(kwargs.get("attention_mask"), hidden, rows, columns)}

        with _hooks(*(self.layers[i].register_forward_pre_hook(block, with_kwargs=True) for i in layers)):
            yield

    def place(self, value: Tensor) -> Tensor:
        """An input on the model's device; pixels in its dtype."""
        return value.to(self.device, self.dtype) if value.is_floating_point() else value.to(self.device)

    def _last_logits(self, **inputs: Tensor) -> Tensor:
        with _hooks(self.sites.unembedding.register_forward_pre_hook(_last_position)):
            logits: Tensor = self.model(**inputs, use_cache=False, return_dict=True).logits[:, -1]
        return logits if logits.dtype == torch.float64 else logits.float()

    def _reach_decoder(self, inputs: Inputs) -> DecoderCall:
        caught: list[DecoderCall] = []

        def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            kwargs = {**kwargs, "past_key_values": None, "use_cache": False}
            caught.append(DecoderCall(inputs["input_ids"].to(self.device), args, kwargs))
            raise _DecoderReached

        with _hooks(self.sites.decoder.register_forward_pre_hook(stop, with_kwargs=True)):
            try:
                self.model(**{name: self.place(value) for name, value in inputs.items()}, use_cache=False)
            except _DecoderReached:
                return caught[0].with_leaves(lambda name, leaf: leaf)  # containers of our own: nothing is shared
        raise ModelCheckFailed(
            f"{self.name} never called its decoder ({type(self.sites.decoder).__name__}). It cannot be read."
        )


def _replay(call: DecoderCall) -> Callable[..., Any]:
    fresh = call.with_leaves(lambda name, leaf: leaf)  # a model may fill a container it is given
    return lambda module, args, kwargs: (fresh.args, fresh.kwargs)


def _last_position(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0][:, -1:], *args[1:])


def _blocked(mask: Tensor | None, hidden: Tensor, rows: slice, columns: slice) -> Tensor:
    length = hidden.shape[1]
    if mask is None:  # sdpa's shorthand for causal
        mask = torch.ones(length, length, dtype=torch.bool, device=hidden.device).tril()[None, None]
    blocked = torch.zeros(length, length, dtype=torch.bool, device=mask.device)
    blocked[rows, columns] = True
    return mask & ~blocked if mask.dtype == torch.bool else mask.masked_fill(blocked, torch.finfo(mask.dtype).min)


@contextmanager
def _hooks(*handles: Any) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _replaced_forward(layer: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    own = layer.__dict__.get("forward")  # accelerate sets one on the instance
    layer.forward = forward
    try:
        yield
    finally:
        if own is None:
            del layer.forward
        else:
            layer.forward = own
