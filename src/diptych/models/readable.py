"""What makes a model unreadable whatever its architecture: refused when the handle is made."""

import inspect
from typing import Any

from torch import nn

from diptych.errors import InputError, UnsupportedModel

KERNELS = ("sdpa", "eager")


def require_decoder_only(config: Any) -> None:
    """Raise `UnsupportedModel` for the configuration of an encoder-decoder: it needs no weights to be refused."""
    if any(getattr(part, "is_encoder_decoder", False) for part in (config, _text_part(config))):
        raise UnsupportedModel(
            f"'{config.model_type}' is an encoder-decoder: pictures and prompts are read by an encoder, whose nodes "
            f"diptych does not have. Expected a decoder-only language model."
        )


def supported_kernel(config: Any, attention: str) -> str:
    """The attention kernel asked for, or eager where the architecture has no other."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    model = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.get(type(config), None)
    return "eager" if attention == "sdpa" and not getattr(model, "_supports_sdpa", True) else attention


def require_readable(model: nn.Module) -> None:
    """Raise `UnsupportedModel` for an encoder-decoder, compiled modules, kernels without a mask, and sharded weights."""
    if hasattr(model, "config"):
        require_decoder_only(model.config)
    require_not_compiled(model)
    _require_masks(model)
    _require_whole(model)


def require_embeddings(decoder: nn.Module) -> None:
    """Raise `UnsupportedModel` for a decoder that cannot be given embeddings: pictures are merged into those."""
    takes = inspect.signature(decoder.forward).parameters
    if "inputs_embeds" not in takes:
        raise UnsupportedModel(
            f"{type(decoder).__name__} takes {', '.join(list(takes)[:2])} and so on, but no `inputs_embeds`: what it is told "
            f"of a picture comes out of another part of the model. Expected a decoder that reads the prompt itself."
        )


def require_eval(model: nn.Module, layers: nn.ModuleList) -> None:
    """Raise `InputError` for a model put into training mode: dropout is at random, and checkpointed layers lose hooks."""
    if model.training or any(layer.training for layer in layers):
        raise InputError(
            f"{type(model).__name__} is in training mode, in which no run is like another. Call `model.eval()` first."
        )


def require_not_compiled(model: nn.Module) -> None:
    """Raise `UnsupportedModel` for a model that is compiled, in whole or in part."""
    for name, module in model.named_modules():
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise UnsupportedModel(
                f"'{name or type(model).__name__}' is compiled, and a compiled module ignores hooks set later. "
                f"Give diptych the model as it was before torch.compile."
            )


def _require_masks(model: nn.Module) -> None:
    config: Any = getattr(model, "config", None)
    for part in (config, _text_part(config)):
        kernel = getattr(part, "_attn_implementation", None)
        if kernel not in (*KERNELS, None):
            raise UnsupportedModel(
                f"{type(model).__name__} uses the attention kernel '{kernel}', whose masks cannot be edited. "
                f"Load it with attention {' or '.join(KERNELS)}."
            )


def _require_whole(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "device_mesh"):
            raise UnsupportedModel(
                f"'{name}' is sharded over devices (tensor parallel), so no device sees all nodes. "
                f'Load the model whole, or layer by layer with device_map="auto".'
            )


def _text_part(config: Any) -> Any:
    """The part of a configuration that is about the language model."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config
