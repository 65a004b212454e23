"""Contrasts for the tiny models: lists of numbers as words or as pictures of noise, without any task."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor, nn

from diptych.batch import Batch
from diptych.items import Contrast, Item, Modality
from diptych.models.encode import AnswerTokens, encode
from diptych.models.hooks import hooks
from diptych.models.vlm import VLM


@dataclass(frozen=True)
class Noise:
    """32 × 32 random pixels."""

    seed: str

    def open(self) -> Image.Image:
        number = int.from_bytes(hashlib.sha256(self.seed.encode()).digest()[:4])
        return Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8))

    def digest(self) -> str:
        return self.seed


def item(number: int, query: str = "How many stars are there ?") -> Item:
    """Four number words, or a picture of noise, that stand for `number`."""
    words = " ".join(str((7 * number + 13 * place) % 100) for place in range(4))
    return Item(f"item-{number}", words, Noise(f"picture-{number}"), query, str(number))


def contrasts(modality: Modality, count: int = 3) -> list[Contrast]:
    return [Contrast(modality, item(n), item(n + count)) for n in range(count)]


def answers(vlm: VLM) -> AnswerTokens:
    words = vlm.processor.tokenizer
    return AnswerTokens({str(n): words.convert_tokens_to_ids(str(n)) for n in range(100)}, leading_space=False)


def batch(vlm: VLM, modality: Modality, count: int = 3) -> Batch:
    """One batch of `count` contrasts."""
    (found,) = encode(vlm, contrasts(modality, count), answers(vlm), batch_size=count).batches
    return found


@contextmanager
def counted(modules: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """While open, the outputs of these modules are listed."""
    seen: list[Tensor] = []
    with hooks(*(module.register_forward_hook(lambda m, args, output: seen.append(output)) for module in modules)):
        yield seen
