"""Deployed: a cell of back-patching as a value to keep, share and apply to a Hugging Face model (methods §10)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from diptych.backpatch import Cell
from diptych.errors import InputError, MismatchError, StoreError
from diptych.files import write_text, writing
from diptych.models.applied import Applied
from diptych.models.sites import find_decoder, find_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FORMAT, VERSION = "diptych back-patch", 1
MANIFEST = "backpatch.json"


@dataclass(frozen=True)
class BackPatch:
    """Layers src ± window // 2 of a first pass are what layers dst ± window // 2 return, where a prompt shows pictures.

    `apply` it to a Hugging Face model as it is, and `model.generate(...)` is patched:

        with BackPatch(src=14, dst=3, window=3).apply(model):
            model.generate(**inputs)

    A pair of layers with an end out of range is dropped whole. `rounds`: how often to repeat the first pass, patched from
    the one before. Each costs (src + window // 2 + 1) / layers of the decoder's forward on the prompt; later steps cost
    nothing more. `architecture` and `layers` say which models it is for, if it was chosen for one, and `conditions` how.
    """

    src: int
    dst: int
    window: int = 1
    rounds: int = 1
    architecture: str | None = None
    layers: int | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.dst <= self.src:
            raise InputError(
                f"A back-patch from layer {self.src} into layer {self.dst} is not one. Expected a source (src) at or above "
                f"the destination (dst), both counted from 0."
            )
        if self.rounds < 1:
            raise InputError(f"A back-patch of {self.rounds} rounds does nothing. Give 1 or more.")
        if self.layers is not None and self.src >= self.layers:
            raise InputError(
                f"The back-patch reads layer {self.src}, and is for models of {self.layers} layers. Expected a source below "
                f"their number, since layers count from 0."
            )
        Cell(self.dst, self.window, self.src)  # refuses an even window

    def apply(self, model: "PreTrainedModel") -> Applied:
        """Patch a model from now on, until the handle's `remove` or the end of its `with`.

        Raises `MismatchError` for a model of another architecture or number of layers than the patch was chosen for,
        `InputError` for one that lacks the layer src; and see `Applied`.
        """
        layers = len(find_layers(find_decoder(model)))
        found = str(model.config.model_type), layers
        wanted = self.architecture or found[0], self.layers or found[1]
        if found != wanted:
            raise MismatchError(
                f"The back-patch was chosen for {wanted[0]} of {wanted[1]} layers; this model is {found[0]} of {found[1]}. "
                f"Choose one for it: `diptych repair`."
            )
        if self.src >= layers:
            raise InputError(
                f"The back-patch reads layer {self.src}; {type(model).__name__} has layers 0 to {layers - 1}."
            )
        return Applied(model, Cell(self.dst, self.window, self.src).pairs(layers), self.rounds)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write `backpatch.json` to a folder; `from_pretrained` takes it back. Raises `InputError` if it is for no model."""
        if self.architecture is None or self.layers is None:
            raise InputError(
                "A back-patch that is shared says for which models it is. Give `architecture` (`model.config.model_type`) "
                "and `layers`, their number."
            )
        path = Path(folder)
        told = {name.name: getattr(self, name.name) for name in fields(self)} | {"conditions": dict(self.conditions)}
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / MANIFEST, json.dumps({"format": FORMAT, "version": VERSION, **told}, indent=1) + "\n")
        return path

    @classmethod
    def from_pretrained(cls, place: str | Path, *, revision: str | None = None) -> "BackPatch":
        """Read what `save_pretrained` wrote, from a folder or a repository of the Hugging Face hub.

        Raises `StoreError` for anything else, or another format or version.
        """
        from diptych.sharing import folder_of, read_manifest

        path = folder_of(place, revision, [MANIFEST]) / MANIFEST
        told = read_manifest(path, FORMAT, VERSION)
        wrong = [name for name, kind in KINDS.items() if type(told.get(name)) is not kind]
        if wrong:
            raise StoreError(
                f"{path} says {told.get(wrong[0])!r} for '{wrong[0]}'; expected a value of type {KINDS[wrong[0]].__name__}. "
                f"Get the file anew."
            )
        try:
            return cls(**{name: told[name] for name in KINDS})
        except InputError as error:
            raise StoreError(f"{path} holds no back-patch: {error}") from error

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload what `save_pretrained` writes to a repository of the Hugging Face hub; the commit's address."""
        from huggingface_hub import HfApi

        from diptych.sharing import upload

        with TemporaryDirectory() as folder:
            path = self.save_pretrained(folder)
            return upload(path, repo_id, FORMAT, private=private, token=token, api=HfApi())


KINDS = {
    "src": int,
    "dst": int,
    "window": int,
    "rounds": int,
    "architecture": str,
    "layers": int,
    "conditions": dict,
}
"""What `backpatch.json` holds beside its format and version."""
