"""Train an organism: a tiny vision-language model that really does diptych's tasks, from text and from pictures.

    python -m diptych.models.organism NAME --out DIR [--seed 0] [--scale 1.0] [--pictures FILE]

The decoder learns the tasks in words; the vision tower learns to read pictures as words of the decoder; then the tower
alone, or everything, learns to answer. `Recipe` holds every number, `Lessons` the losses, `Family` what differs between
architectures, `Source` the data.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diptych.items import MODALITIES, Item, Modality
from diptych.models.organism_card import measure, shipped_tasks, write_card
from diptych.models.organism_data import build_pool, pixels_of
from diptych.models.organism_families import FAMILIES, Family
from diptych.models.organism_lessons import Lessons, Notes
from diptych.models.organism_recipes import RECIPES, Recipe, Stage
from diptych.models.organism_sources import ANSWERS, DATA_WORDS, TASKS, readings, training_items
from diptych.models.organism_words import build_tokenizer, cut
from diptych.tasks import small_task

ROLES = ("user", "assistant", "model")
WORD_SPREAD = 0.1
"""Of the first word embeddings; large enough that training does not at once forget how they are related."""


@dataclass
class Curves:
    """Losses and running accuracies, one row every `every` steps."""

    every: int = 50
    rows: list[dict[str, Any]] = field(default_factory=list)
    _smooth: Notes = field(default_factory=dict)
    _start: float = field(default_factory=time.process_time)

    def add(self, stage: str, step: int, loss: float, notes: Notes) -> None:
        """Fold one step's accuracies in; write a row, and print it, when it is time."""
        for name, value in notes.items():
            self._smooth[name] = 0.95 * self._smooth.get(name, value) + 0.05 * value
        if (step + 1) % self.every == 0:
            row = {"stage": stage, "step": step + 1, "minutes": round((time.process_time() - self._start) / 60, 2)}
            self.rows.append(row | {"loss": round(loss, 4)} | {name: round(self._smooth[name], 3) for name in notes})
            print(json.dumps(self.rows[-1]), flush=True)


def build_model(family: Family, layers: int, tokenizer: Any) -> Any:
    """A fresh model of the family with two to three million parameters."""
    config = family.configure(tokenizer.convert_tokens_to_ids, len(tokenizer), layers)
    # plain matrix products: the backward of sdpa takes half a step on a CPU for prompts as short as these
    model = family.build._from_config(config, attn_implementation="eager")
    relate_words(model.get_input_embeddings().weight, tokenizer.get_vocab())
    for value in model.parameters():
        if (
            not value.any() and value.ndim == 2
        ):  # Gemma 3's projector, through which the tower would learn nothing at first
            nn.init.normal_(value, std=value.shape[0] ** -0.5)
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
        if word.isdigit() and int(word) < 100:
            embeddings[index] = tens[int(word) // 10] + units[int(word) % 10]
        elif word + "s" in vocabulary:
            embeddings[vocabulary[word + "s"]] = embeddings[index] + many[0]


def train_organism(recipe: Recipe, curves: Curves, pictures: Path | None = None) -> tuple[Any, Any]:
    """A trained model and its tokenizer; `pictures` is a file that keeps the drawn training pictures."""
    lessons, tokenizer = prepare(recipe, pictures)
    everything = dict(lessons.model.named_parameters())
    tower = {name: value for name, value in everything.items() if name.startswith(lessons.family.tower)}
    decoder = {name: value for name, value in everything.items() if name not in tower}
    lesson = {
        "words": (decoder, lessons.words),
        "spelling": (decoder, lessons.spelling),
        "reading": (tower, lessons.reading),
        "bridge": (tower, lambda: lessons.pictures(recipe.keep_reading)),
        "joint": (everything, lambda: lessons.both(recipe.keep_reading)),
    }
    for stage in recipe.stages:
        lessons.batch, lessons.blur = stage.batch, stage.blur
        descend(stage, *lesson[stage.lesson], recipe, curves)
    return lessons.model, tokenizer


def prepare(recipe: Recipe, pictures: Path | None = None) -> tuple[Lessons, Any]:
    """The untrained model with its training items, and its tokenizer; the caller's random state is left as it was."""
    family = FAMILIES[recipe.family]
    items = {task: _both_panels(task, recipe) for task in recipe.tasks}
    drawn = [item for task in items for item in items[task]["image"]]
    phrases = sorted({phrase for item in drawn for phrase in readings(item, family.rows)})
    tokenizer = build_tokenizer(family, _texts(items, phrases), cut(ANSWERS, DATA_WORDS) if recipe.pieces else {})
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = build_model(family, recipe.layers, tokenizer).to("cuda" if torch.cuda.is_available() else "cpu")
    pixels = _drawn(items, pictures)
    lessons = Lessons(
        model=model,
        family=family,
        processor=family.image_processor(),
        pools={task: build_pool(items[task], pixels[task], tokenizer, family, phrases) for task in items},
        phrases=_tokens(tokenizer, phrases).to(model.device),
        batch=recipe.stages[0].batch,
        noise=recipe.noise,
        sharpness=recipe.sharpness,
        pull=recipe.pull,
        generator=torch.Generator().manual_seed(recipe.seed),
    )
    return lessons, tokenizer


def descend(
    stage: Stage,
    parameters: dict[str, nn.Parameter],
    lesson: Callable[[], tuple[Tensor, Notes]],
    recipe: Recipe,
    curves: Curves,
) -> None:
    """Train the given parameters on a lesson: Muon and AdamW, warm-up and cosine, bfloat16 products."""
    optimisers = _optimisers(parameters, stage.rate, recipe)
    share = partial(_share, steps=stage.steps, warm_up=recipe.warm_up)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimiser, share) for optimiser in optimisers]
    device = next(iter(parameters.values())).device.type
    for step in range(stage.steps):
        with torch.autocast(device, torch.bfloat16):
            loss, notes = lesson()
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        for parameter, gradient in zip(parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            schedule.step()
        curves.add(stage.lesson, step, loss.item(), notes)


def save_organism(model: Any, tokenizer: Any, family: Family, folder: Path) -> None:
    """Weights in bfloat16 (safetensors), configuration, tokenizer, chat template and image processor."""
    copy.deepcopy(model).to("cpu", torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    family.image_processor().save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(family.processor, indent=2) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes files that only their owner can read


def main(arguments: list[str] | None = None) -> None:
    """Train, save, reload, measure and write the model card."""
    parser = argparse.ArgumentParser(
        description="Train a tiny vision-language model on diptych's tasks in both panels."
    )
    parser.add_argument("name", choices=RECIPES, help="which organism")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the recipe's steps and items")
    parser.add_argument("--pictures", type=Path, help="file that keeps the drawn pictures for other organisms")
    options = parser.parse_args(arguments)
    recipe = replace(RECIPES[options.name], seed=options.seed).scaled(options.scale)
    family, curves = FAMILIES[recipe.family], Curves()
    start = time.process_time()
    model, tokenizer = train_organism(recipe, curves, options.pictures)
    minutes = (time.process_time() - start) / 60
    save_organism(model, tokenizer, family, options.out)
    accuracy = measure(options.out, family, shipped_tasks())
    write_card(options.out, options.name, recipe, curves.rows, minutes, accuracy)
    print(json.dumps(accuracy, indent=2))


def _both_panels(task: str, recipe: Recipe) -> dict[Modality, list[Item]]:
    numbers: dict[Modality, int] = {"text": recipe.texts, "image": recipe.pictures}
    return {modality: training_items(task, modality, numbers[modality], recipe.seed) for modality in MODALITIES}


def _drawn(items: dict[str, dict[Modality, list[Item]]], pictures: Path | None) -> dict[str, Tensor]:
    if pictures is not None and pictures.is_file():
        return dict(torch.load(pictures, mmap=True))
    pixels = {task: torch.stack([pixels_of(item) for item in panels["image"]]) for task, panels in items.items()}
    if pictures is not None:
        torch.save(pixels, pictures)
    return pixels


def _texts(items: dict[str, dict[Modality, list[Item]]], phrases: list[str]) -> list[str]:
    """All that the tokenizer has to know."""
    tasks = [small_task(task) for task in TASKS if task in items]
    known = [item for panels in items.values() for panel in panels.values() for item in panel]
    known += [item for task in tasks for item in task.items]
    answers = [answer for task in tasks for answer in task.answers]
    return [*dict.fromkeys(f"{i.text} {i.query} {i.answer}" for i in known), *phrases, *answers, *ROLES]


def _tokens(tokenizer: Any, phrases: list[str]) -> Tensor:
    rows = [torch.tensor(tokenizer(phrase, add_special_tokens=False)["input_ids"]) for phrase in phrases]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


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
