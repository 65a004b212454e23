"""What an organism is trained on: its words, its picture format, and pools of items that the tasks never show."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int, UInt8
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessorPil

from diptych.items import Drawing, Item, Modality
from diptych.tasks import arithmetic, counting
from diptych.tasks._draw import CELLS, SIZE, Box, Mark, place_expression, place_shapes

SPECIAL = (
    "<|pad|>",
    "<|unknown|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
SHAPES = counting.KINDS["shapes"]
BLANK = "blank"  # what an image token reads where the picture is empty
QUESTION_WORDS = (
    "user",
    "assistant",
    "How",
    "many",
    "are",
    "there",
    "What",
    "is",
    "the",
    "result",
    "Answer",
    "with",
    "a",
    "number",
)
SIGNS = ("?", ".", "+", "-")
PIXELS = 112  # the side of a picture inside the model: 4 × 4 image tokens of 28 pixels, one per cell of the drawing
IMAGE_TOKENS = CELLS * CELLS
GRID = (1, 2 * CELLS, 2 * CELLS)  # patches of a picture: one frame, rows, columns
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COVERED = 0.15  # an image token reads a number that covers at least this share of its cell


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word; a number is a word."""
    plurals = [f"{kind}s" for kind in SHAPES]
    words = [
        *SPECIAL,
        BLANK,
        *QUESTION_WORDS,
        *SIGNS,
        *SHAPES,
        *plurals,
        *(str(number) for number in range(100)),
    ]
    backend = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="<|unknown|>"))
    backend.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<|unknown|>",
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=CHAT_TEMPLATE,
    )


def build_image_processor() -> Qwen2VLImageProcessorPil:
    """Any picture as 8 × 8 patches of 14 pixels; four patches make an image token."""
    area = PIXELS * PIXELS
    return Qwen2VLImageProcessorPil(size={"shortest_edge": area, "longest_edge": area}, temporal_patch_size=1)


def prompt(tokenizer: Any, item: Item, modality: Modality) -> list[int]:
    """Token ids of the item's prompt: one user turn, the image first, up to where the answer is predicted."""
    words = f"{item.text}\n{item.query}"
    parts = [{"type": "image"}, {"type": "text", "text": item.query}]
    content = words if modality == "text" else parts
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    expanded = str(chat).replace("<|image_pad|>", "<|image_pad|>" * IMAGE_TOKENS)
    return list(tokenizer(expanded)["input_ids"])


@dataclass(frozen=True, eq=False)
class Pool:
    """Training items of one task as tensors; a row is one item in both panels, its prompts followed by the answer."""

    text: Int[Tensor, "item text_pos"]
    image: Int[Tensor, "item image_pos"]
    words: Int[Tensor, "item token"]  # the word each image token should read, row by row
    patches: UInt8[Tensor, "item patch value"]  # pixels before normalisation

    def __len__(self) -> int:
        return len(self.text)


def build_pool(items: list[Item], tokenizer: Any, processor: Qwen2VLImageProcessorPil) -> Pool:
    """Tokenise and draw items of one task once, in exactly the form in which the model will meet the shipped ones."""
    text, image, words, patches = [], [], [], []
    for item in items:
        answer = tokenizer.convert_tokens_to_ids(item.answer)
        text.append([*prompt(tokenizer, item, "text"), answer])
        image.append([*prompt(tokenizer, item, "image"), answer])
        words.append(tokenizer.convert_tokens_to_ids(read_words(item)))
        patches.append(_pixels(item, processor))
    return Pool(torch.tensor(text), torch.tensor(image), torch.tensor(words), torch.stack(patches))


def training_items(task: str, number: int, seed: int) -> list[Item]:
    """Items of a task that are not held out; the picture of the same data differs from item to item."""
    chance = random.Random(f"organism:{task}:{seed}")
    return [_redraw(SAMPLERS[task](chance), chance) for _ in range(number)]


def read_words(item: Item) -> list[str]:
    """The word that each of the 16 image tokens should read: a shape, a number, an operator, or nothing."""
    assert isinstance(item.image, Drawing)
    if "kinds" in item.image.arguments:
        marks = place_shapes(**item.image.arguments)
        return _words_in_cells([(mark.name, mark.box) for mark in marks])
    return _words_in_cells(_tokens_of(place_expression(**item.image.arguments)))


def _sample_counting(chance: random.Random) -> Item:
    while True:
        kind = chance.choice(SHAPES)
        item = counting.item_of(kind, counting.sample(kind, chance.choice(counting.COUNTS), chance, "shapes"), "shapes")
        if not counting.held_out(item):
            return item


def _sample_arithmetic(chance: random.Random) -> Item:
    while True:
        operator = chance.choice("+-")
        item = arithmetic.item_of(operator, *chance.choice(arithmetic.pairs(operator)), style="strokes")
        if not arithmetic.held_out(item):
            return item


SAMPLERS: dict[str, Callable[[random.Random], Item]] = {"counting": _sample_counting, "arithmetic": _sample_arithmetic}


def _redraw(item: Item, chance: random.Random) -> Item:
    assert isinstance(item.image, Drawing)
    arguments = {**item.image.arguments, "seed": chance.getrandbits(32)}
    return replace(item, image=Drawing(item.image.draw, arguments))


def _tokens_of(marks: list[Mark]) -> list[tuple[str, Box]]:
    """Neighbouring digits as one number, with the box around them."""
    tokens: list[tuple[str, Box]] = []
    for mark in marks:
        if tokens and tokens[-1][0].isdigit() and mark.name.isdigit():
            number, box = tokens.pop()
            tokens.append((number + mark.name, Box(box.left, box.top, mark.box.right, box.bottom)))
        else:
            tokens.append((mark.name, mark.box))
    return tokens


def _words_in_cells(tokens: list[tuple[str, Box]]) -> list[str]:
    """Per cell of the 4 × 4 grid: the token centred there, else the number that covers most of it, else blank."""
    side = SIZE / CELLS
    words = []
    for cell in range(IMAGE_TOKENS):
        left, top = side * (cell % CELLS), side * (cell // CELLS)
        area = Box(left, top, left + side, top + side)
        centred = [word for word, box in tokens if _holds(area, (box.left + box.right) / 2, (box.top + box.bottom) / 2)]
        shares = [(_overlap(area, box) / side**2, word) for word, box in tokens if word.isdigit()]
        share, word = max(shares, default=(0.0, BLANK))
        words.append(centred[0] if centred else word if share >= COVERED else BLANK)
    return words


def _holds(area: Box, x: float, y: float) -> bool:
    return area.left <= x < area.right and area.top <= y < area.bottom


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a.right, b.right) - max(a.left, b.left), min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(width, 0.0) * max(height, 0.0)


def _pixels(item: Item, processor: Qwen2VLImageProcessorPil) -> UInt8[Tensor, "patch value"]:
    """The processor's patches before its normalisation, which is done per batch (`normalise`)."""
    patches = processor(images=[item.pictures[0].open()], do_normalize=False, do_rescale=False, return_tensors="pt")[
        "pixel_values"
    ]
    return patches.round().to(torch.uint8)


def normalise(patches: UInt8[Tensor, "batch patch value"], processor: Qwen2VLImageProcessorPil) -> Tensor:
    """Pixels as the model expects them: rescaled to [0, 1] and standardised per colour channel."""
    mean, deviation = torch.tensor(processor.image_mean)[:, None], torch.tensor(processor.image_std)[:, None]
    channels = patches.unflatten(-1, (3, -1)) * processor.rescale_factor  # [batch, patch, 3, 14 · 14]
    return ((channels - mean) / deviation).flatten(-2)
