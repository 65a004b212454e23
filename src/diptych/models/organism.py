"""Train an organism: a tiny Qwen2-VL that really counts and calculates, from text and from pictures.

    python -m diptych.models.organism --out DIR [--seed 0] [--scale 1.0]

Three stages: the decoder learns the tasks in words; the vision tower learns to read pictures as words of the decoder;
then everything is trained together on both panels. `Recipe` holds every number, `Lessons` the losses.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from diptych.models.organism_card import measure, write_card
from diptych.models.organism_data import Pool, build_image_processor, build_pool, build_tokenizer, training_items
from diptych.models.organism_lessons import Lessons, Notes
from diptych.registry import find

TASKS = ("counting", "arithmetic")
WORD_SPREAD = (
    0.1  # of the first word embeddings; large enough that training does not at once forget how they are related
)


@dataclass(frozen=True)
class Recipe:
    """Every number that decides the weights, apart from the versions of the libraries and the number of threads."""

    seed: int = 0
    items: int = 16000  # training items per task
    counting_batch: int = 32  # items per panel and step
    arithmetic_batch: int = 64
    words_steps: int = 700
    reading_steps: int = 1500
    joint_steps: int = 400
    rate: float = 1e-3  # AdamW: word embeddings, patch embedding, norms, biases
    matrix_rate: float = 4e-3  # Muon: all other matrices
    joint_rate: float = 0.15  # both rates in the last stage, relative to the first two
    joint_reading: float = 0.3  # weight of the reading loss in the last stage
    matrix_decay: float = 0.05  # Muon's weight decay
    warm_up: int = 100  # steps
    noise: float = 0.5  # these three: see `Lessons`
    sharpness: float = 10.0
    pull: float = 0.1

    def scaled(self, scale: float) -> "Recipe":
        """The recipe with `scale` times as many steps."""
        steps = {name: max(1, round(scale * value)) for name, value in asdict(self).items() if name.endswith("_steps")}
        return replace(self, **steps)


@dataclass
class Curves:
    """Losses and running accuracies, one row every `every` steps."""

    every: int = 50
    rows: list[dict[str, Any]] = field(default_factory=list)
    _smooth: Notes = field(default_factory=dict)

    def add(self, stage: str, step: int, loss: float, notes: Notes) -> None:
        """Fold one step's accuracies in; write a row, and print it, when it is time."""
        for name, value in notes.items():
            self._smooth[name] = 0.95 * self._smooth.get(name, value) + 0.05 * value
        if (step + 1) % self.every == 0:
            row = {"stage": stage, "step": step + 1, "loss": round(loss, 4)}
            self.rows.append(row | {name: round(self._smooth[name], 3) for name in notes})
            print(json.dumps(self.rows[-1]), flush=True)


def build_model(tokenizer: Any) -> Any:
    """A fresh Qwen2-VL of 2.2 million parameters: 8 decoder layers of width 128, 3 tower layers of width 96."""
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 352,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 512,
            # rotations are slow in a large model; positions 0..35 must differ in every section
            "rope_parameters": {"rope_type": "default", "rope_theta": 20.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|pad|>"),
        },
        vision_config={"depth": 3, "embed_dim": 96, "hidden_size": 128, "num_heads": 4, "temporal_patch_size": 1},
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    # plain matrix products: the backward of sdpa takes half a step on a CPU for prompts as short as these
    model = Qwen2VLForConditionalGeneration._from_config(config, attn_implementation="eager")
    relate_words(model.get_input_embeddings().weight, tokenizer.get_vocab())
    return model


@torch.no_grad()
def relate_words(embeddings: Tensor, vocabulary: dict[str, int]) -> None:
    """Start related words with related embeddings, in place; training may then move them freely.

    A number of two digits starts as a vector for its tens plus one for its units, so that sums learnt for some pairs
    carry over to others; a plural starts as its singular plus a vector for "many".
    """
    embeddings.mul_(WORD_SPREAD / embeddings.std())
    tens, units, many = torch.randn(3, 10, embeddings.shape[1]) * WORD_SPREAD / math.sqrt(2)
    for word, index in vocabulary.items():
        if word.isdigit():
            embeddings[index] = tens[int(word) // 10] + units[int(word) % 10]
        elif word + "s" in vocabulary:
            embeddings[vocabulary[word + "s"]] = embeddings[index] + many[0]


def train_organism(recipe: Recipe, curves: Curves) -> Any:
    """A trained model; the caller's random state is left as it was."""
    tokenizer, processor = build_tokenizer(), build_image_processor()
    pools = {task: _training_pool(task, recipe, tokenizer, processor) for task in TASKS}
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = build_model(tokenizer)
    generator = torch.Generator().manual_seed(recipe.seed)
    batch = {"counting": recipe.counting_batch, "arithmetic": recipe.arithmetic_batch}
    lessons = Lessons(model, processor, pools, batch, recipe.noise, recipe.sharpness, recipe.pull, generator)
    everything = dict(model.named_parameters())
    tower = {name: value for name, value in everything.items() if ".visual." in name}
    decoder = {name: value for name, value in everything.items() if name not in tower}
    descend("words", decoder, lessons.words, recipe.words_steps, 1.0, recipe, curves)
    descend("reading", tower, lessons.reading, recipe.reading_steps, 1.0, recipe, curves)
    descend("joint", everything, _joint(lessons, recipe), recipe.joint_steps, recipe.joint_rate, recipe, curves)
    return model


def descend(
    stage: str,
    parameters: dict[str, nn.Parameter],
    lesson: Callable[[], tuple[Tensor, Notes]],
    steps: int,
    rate: float,
    recipe: Recipe,
    curves: Curves,
) -> None:
    """Train the given parameters on a lesson: Muon and AdamW, warm-up and cosine, bfloat16 products."""
    optimisers = _optimisers(parameters, rate, recipe)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda step: _share(step, steps, recipe.warm_up)) for o in optimisers
    ]
    for step in range(steps):
        with torch.autocast("cpu", torch.bfloat16):
            loss, notes = lesson()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
        curves.add(stage, step, loss.item(), notes)


def save_organism(model: Any, folder: Path) -> None:
    """Weights in bfloat16 (safetensors), configuration, tokenizer, chat template and image processor."""
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    build_image_processor().save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes files that only their owner can read


def main(arguments: list[str] | None = None) -> None:
    """Train, save, reload, measure and write the model card."""
    parser = argparse.ArgumentParser(description="Train a tiny Qwen2-VL that counts and calculates in both panels.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the recipe's steps; less is faster and worse"
    )
    options = parser.parse_args(arguments)
    recipe = Recipe(seed=options.seed).scaled(options.scale)
    start, curves = time.monotonic(), Curves()
    model = train_organism(recipe, curves)
    minutes = (time.monotonic() - start) / 60
    save_organism(model, options.out)
    accuracy = measure(options.out, [find("task", task)() for task in TASKS])
    write_card(options.out, asdict(recipe), curves.rows, minutes, accuracy)
    print(json.dumps(accuracy, indent=2))


def _training_pool(task: str, recipe: Recipe, tokenizer: Any, processor: Any) -> Pool:
    return build_pool(training_items(task, recipe.items, recipe.seed), tokenizer, processor)


def _joint(lessons: Lessons, recipe: Recipe) -> Callable[[], tuple[Tensor, Notes]]:
    def lesson() -> tuple[Tensor, Notes]:
        words, text_notes = lessons.words()
        pictures, image_notes = lessons.pictures(recipe.joint_reading)
        return words + pictures, text_notes | image_notes

    return lesson


def _optimisers(parameters: dict[str, nn.Parameter], rate: float, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [value for name, value in parameters.items() if value.ndim == 2 and "embed" not in name]
    others = [value for name, value in parameters.items() if value.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(
            matrices, lr=rate * recipe.matrix_rate, weight_decay=recipe.matrix_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=rate * recipe.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _share(step: int, steps: int, warm_up: int) -> float:
    """Share of the full rate: a linear rise, then half a cosine down to 2 %."""
    return min(1.0, (step + 1) / warm_up) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


if __name__ == "__main__":
    main()
