"""Peak memory of a discovery: a random model of Qwen2-VL-2B's sizes, bfloat16, prompts of 250 positions, 4 contrasts.

    python benchmarks/memory.py [--steps 1] [--batch-size 1] [--memory low]

Language model and vision tower have the real widths and depths; weights are random, so scores mean nothing, and memory
does not depend on them. Prints the weights, the peak of the process (resident set), and what lies between; ends with
status 1 if that is 4 GB or more. `discover` deals contrasts into 8 folds, whose batches are apart: of 4 contrasts, each
is a batch of its own. Takes some ten minutes on one core.
"""

import argparse
import resource
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from diptych.attribution.ap_ig import ap_ig
from diptych.items import Contrast, Item
from diptych.models.encode import AnswerTokens, encode
from diptych.models.processor import PlainProcessor
from diptych.models.vlm import VLM
from diptych.models.vocabulary import TOKENS, tokenizer

GB = 1e9
LIMIT = 4.0  # GB beyond the weights
POSITIONS = 250
SIDE = 392  # pixels: 14 × 14 image tokens


@dataclass(frozen=True)
class Noise:
    """Random pixels."""

    seed: int

    def open(self) -> Image.Image:
        return Image.fromarray(np.random.default_rng(self.seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))

    def digest(self) -> str:
        return str(self.seed)


def build() -> VLM:
    """Qwen2-VL-2B without its training: 28 layers of width 1536, 12 heads, 8960 neurons; a tower of 32 × 1280."""
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": 151936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "patch_size": 14},
        image_token_id=TOKENS["<image>"],
        vision_start_token_id=TOKENS["<image_start>"],
        vision_end_token_id=TOKENS["<image_end>"],
        tie_word_embeddings=True,
    )
    model = Qwen2VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    pictures = Qwen2VLImageProcessorPil(min_pixels=SIDE**2, max_pixels=SIDE**2)

    def expand(features: dict[str, Any], index: int) -> str:
        return "<image>" * int(features["image_grid_thw"][index].prod() // 4)

    processor = PlainProcessor(pictures, tokenizer(), "<image>", expand, token_types="mm_token_type_ids")
    return VLM(model, processor, name="random Qwen2-VL-2B", digest="random")


def contrasts(count: int) -> list[Contrast]:
    """Pictures of noise with a question that fills the prompt up to its length."""
    query = " ".join(["How many stars are in the picture?"] * 10)
    query = " ".join(query.split()[: POSITIONS - (SIDE // 28) ** 2 - 5])
    items = [Item(f"noise-{n}", None, Noise(n), query, str(n)) for n in range(2 * count)]
    return [Contrast("image", items[n], items[n + count]) for n in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=1, help="gradient points per contrast; memory does not depend on it"
    )
    parser.add_argument("--batch-size", type=int, default=1, help="contrasts at once")
    parser.add_argument("--memory", choices=("high", "low"), default="high", help="what attribution holds")
    options = parser.parse_args()
    vlm = build()
    weights = sum(p.numel() * p.element_size() for p in vlm.model.parameters()) / GB
    loaded = peak()
    answers = AnswerTokens({str(n): TOKENS[str(n)] for n in range(100)}, leading_space=False)
    batches = encode(vlm, contrasts(4), answers, batch_size=options.batch_size).batches
    for batch in batches:
        scores = ap_ig(vlm, batch, steps=options.steps, memory=options.memory).scores
        print(
            f"{len(batch)} contrasts of {batch.layout.length} positions; largest neuron score {scores.neurons.max():.3g}"
        )
    beyond = peak() - weights
    print(
        f"weights {weights:.2f} GB; peak {loaded:.2f} GB when loaded, {peak():.2f} GB in all: {beyond:.2f} GB beyond the weights"
    )
    raise SystemExit(beyond >= LIMIT)


def peak() -> float:
    """The largest resident set of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB


if __name__ == "__main__":
    main()
