"""Processors: from chat messages and pictures to the model's input tensors."""

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diptych.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class PlainProcessor:
    """An image processor and a tokenizer, for families whose own processor class needs torchvision.

    `expand(features, index)` is the text that stands for picture `index`: as many placeholders as the model puts
    features. `token_types`: the argument that tells the model which positions are pictures, if it wants one.
    """

    image_processor: Any
    tokenizer: Any
    image_token: str
    expand: Callable[[dict[str, Any], int], str]
    token_types: str = ""

    def __call__(
        self, *, text: Sequence[str], images: "Sequence[Image] | None" = None, **options: Any
    ) -> dict[str, Tensor]:
        features = dict(self.image_processor(images=list(images), return_tensors="pt")) if images else {}
        pieces = [prompt.split(self.image_token) for prompt in text]
        _require_one_each(sum(len(piece) - 1 for piece in pieces), len(images or ()), self.image_token)
        places = iter(range(len(images or ())))
        expanded = ["".join(_interleave(piece, lambda: self.expand(features, next(places)))) for piece in pieces]
        tokens = dict(self.tokenizer(expanded, return_tensors="pt", add_special_tokens=options["add_special_tokens"]))
        tokens.pop("token_type_ids", None)
        if self.token_types:
            image_id = self.tokenizer.convert_tokens_to_ids(self.image_token)
            tokens[self.token_types] = (tokens["input_ids"] == image_id).to(torch.int64)
        return tokens | features


def pixtral(image_processor: Any, tokenizer: Any, config: Any) -> PlainProcessor:
    """Rows: one placeholder per (merged) patch, a break after each row, an end after the last."""
    patch = int(config.vision_config.patch_size) * int(getattr(config, "spatial_merge_size", 1))

    def expand(features: dict[str, Any], index: int) -> str:
        height, width = (int(side) // patch for side in features["image_sizes"][index])
        return "[IMG_BREAK]".join(["[IMG]" * width] * height) + "[IMG_END]"

    return PlainProcessor(image_processor, tokenizer, "[IMG]", expand)


PLAIN: dict[str, Callable[[Any, Any, Any], PlainProcessor]] = {"PixtralProcessor": pixtral}
"""Processor class that does not even exist without torchvision → its plain processor."""


def load_processor(path: str, config: Any, *, revision: str | None = None) -> Any:
    """The model's own processor; where its class wants torchvision for films alone, the same without films.

    Raises `InputError` naming the package that is missing, and the way round it.
    """
    import transformers

    try:
        found = transformers.AutoProcessor.from_pretrained(path, revision=revision)
    except NOT_CONSTRUCTED as error:
        try:
            return _without_torchvision(path, config, revision)
        except NOT_CONSTRUCTED as again:
            raise InputError(_advice(path, error)) from again
    if not hasattr(found, "tokenizer"):  # what AutoProcessor falls back to for a model without a processor
        raise InputError(_advice(path, ValueError(f"{type(found).__name__} is no processor of text and pictures.")))
    return found


NOT_CONSTRUCTED = (ImportError, AttributeError, ValueError, OSError, TypeError)
"""What transformers raises for a processor that cannot be made here."""


def without_films(cls: type) -> type:
    """The processor class for text and pictures alone: it never asks for the processor of films, nor for torchvision."""
    parts = [part for part in cls.get_attributes() if part != "video_processor"]  # type: ignore[attr-defined]
    return type(cls.__name__, (cls,), {"get_attributes": classmethod(lambda own: parts)})


def _without_torchvision(path: str, config: Any, revision: str | None) -> Any:
    import transformers
    from transformers.models.auto.processing_auto import processor_class_from_name

    name = _class_name(path, config, revision)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, revision=revision)
    pictures = transformers.AutoImageProcessor.from_pretrained(path, revision=revision, backend="pil")
    if name in PLAIN:
        return PLAIN[name](pictures, tokenizer, config)
    cls: Any = processor_class_from_name(name)
    wanted = inspect.signature(cls.__init__).parameters
    settings, _ = cls.get_processor_dict(path, revision=revision)
    given = {key: value for key, value in settings.items() if key in wanted}
    given |= {"video_processor": None} if "video_processor" in wanted else {}
    return without_films(cls)(**given | {"image_processor": pictures, "tokenizer": tokenizer})


def _class_name(path: str, config: Any, revision: str | None) -> str:
    """The name of the processor class: as the checkpoint says it, else that of the architecture."""
    from transformers.models.auto.auto_mappings import PROCESSOR_MAPPING_NAMES
    from transformers.utils.hub import cached_file

    for file in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        found = cached_file(path, file, revision=revision, _raise_exceptions_for_missing_entries=False)
        if found is not None:
            with open(found, encoding="utf-8") as text:
                name = json.load(text).get("processor_class")
            if name is not None:
                return str(name)
    return str(PROCESSOR_MAPPING_NAMES.get(config.model_type, ""))


def _advice(path: str, error: Exception) -> str:
    missing = "torchvision" in str(error).lower()
    what = (
        "needs the package torchvision, which is not installed" if missing else f"cannot be made: {first_line(error)}"
    )
    install = "Install it (`pip install torchvision`)" if missing else "Install what is missing"
    return (
        f"The processor of '{path}' {what}. {install}, or give a processor of your own, `load(..., processor=...)`: "
        f"anything with a `tokenizer` that makes tensors of text= and images=."
    )


def _require_one_each(places: int, pictures: int, mark: str) -> None:
    if places != pictures:
        raise InputError(
            f"The prompt has {places} places for pictures ('{mark}') and comes with {pictures} pictures. Expected one "
            f"picture per place: check the chat template, and that no text holds the mark."
        )


def _interleave(pieces: list[str], between: Callable[[], str]) -> list[str]:
    joined = [pieces[0]]
    for piece in pieces[1:]:
        joined += [between(), piece]
    return joined


def first_line(error: Exception) -> str:
    """What an error says, without the lines behind."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
