"""A contact sheet: items of a task beside their counterfactuals, in both panels, as one page and as one picture."""

import base64
import io
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import BaseLoader, Environment, StrictUndefined
from PIL import Image, ImageDraw, ImageFont

from diptych.errors import InputError
from diptych.files import write_text, write_whole
from diptych.items import MODALITIES, SPLITS, Item, Task
from diptych.raster import side_by_side

SIDE = 224  # pixels that a picture is shown in
MARGIN = 16
COLUMN = 2 * SIDE  # width of one item's texts
TYPEFACE = "data/contact_sheet/DejaVuSans.ttf"
INK, MUTED, RULE, PAPER = "#1d2126", "#5b646e", "#d9dce0", "#fdfdfc"


@dataclass(frozen=True)
class Card:
    """One item and its counterfactual, if it has one."""

    item: Item
    counterfactual: Item | None


def write_sheet(task: Task, folder: Path, *, n: int = 12) -> tuple[Path, Path]:
    """Write `<task>.html` and `<task>.png` of `n` evenly spaced items to `folder`; returns their paths.

    The page asks nothing of the network. Raises `InputError` for a folder that cannot be written to.
    """
    cards = pick(task, n)
    page, picture = (folder / f"{file_stem(task.name)}{suffix}" for suffix in (".html", ".png"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(page, render(task, cards))
        write_whole(picture, lambda path: draw(task, cards).save(path, format="PNG"))
    except OSError as error:
        raise InputError(
            f"The contact sheet cannot be written to '{folder}': {error.strerror}. Choose a folder that you may write to."
        ) from error
    return page, picture


def pick(task: Task, n: int) -> list[Card]:
    """`n` items, evenly spaced over the discover split if it has that many, else over the task, with counterfactuals."""
    pool = task.split("discover") if len(task.split("discover")) >= n else task.items
    partners = {
        contrast.clean.id: contrast.counterfactual
        for split in SPLITS
        for modality in MODALITIES
        for contrast in task.contrasts(modality, split)
    }
    chosen = [pool[index * len(pool) // min(n, len(pool))] for index in range(min(n, len(pool)))]
    return [Card(item, partners.get(item.id)) for item in chosen]


def render(task: Task, cards: Sequence[Card]) -> str:
    """The page; texts of items are escaped, pictures are in it."""
    environment = Environment(loader=BaseLoader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["picture"] = _data_uri
    template = files("diptych").joinpath("contact_sheet.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(task=task, cards=cards)


def draw(task: Task, cards: Sequence[Card]) -> Image.Image:
    """The same as an RGB picture; characters that DejaVu Sans lacks, such as Chinese ones, are drawn as boxes."""
    rows = [_draw_card(card) for card in cards]
    heading = _written([(f"{task.name}: {len(task.items)} items, {len(task.answers)} answers", INK)], rows[0].width, 22)
    sheet = Image.new("RGB", (rows[0].width, heading.height + sum(row.height for row in rows)), PAPER)
    top = 0
    for part in (heading, *rows):
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def file_stem(name: str) -> str:
    """A task's name as the name of a file."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip(".")[:80] or "task"


def _draw_card(card: Card) -> Image.Image:
    halves = [_draw_item(card.item, "item")]
    if card.counterfactual is not None:
        halves.append(_draw_item(card.counterfactual, "counterfactual"))
    width = 2 * (SIDE + COLUMN + 3 * MARGIN)
    row = Image.new("RGB", (width, max(half.height for half in halves) + MARGIN), PAPER)
    for place, half in enumerate(halves):
        row.paste(half, (place * width // 2, 0))
    ImageDraw.Draw(row).line((MARGIN, row.height - 1, width - MARGIN, row.height - 1), fill=RULE)
    return row


def _draw_item(item: Item, role: str) -> Image.Image:
    lines = [(f"{role} {item.id}", MUTED), (f"text: {item.sentence or item.text or '(none)'}", INK)]
    lines += [(f"query: {item.query}", INK), (f"answer: {item.answer}", INK), (f"group: {item.group}", MUTED)]
    words = _written(lines, COLUMN + MARGIN, 15)
    half = Image.new("RGB", (SIDE + COLUMN + 3 * MARGIN, max(SIDE + 2 * MARGIN, words.height)), PAPER)
    if item.pictures:
        picture = _panel(item)
        left = MARGIN + (SIDE - picture.width) // 2
        half.paste(picture, (left, MARGIN))
        edges = (left - 1, MARGIN - 1, left + picture.width, MARGIN + picture.height)
        ImageDraw.Draw(half).rectangle(edges, outline=RULE)
    half.paste(words, (SIDE + 2 * MARGIN, 0))
    return half


def _written(lines: Sequence[tuple[str, str]], width: int, size: int) -> Image.Image:
    """Lines of text, each in its colour, wrapped at `width` pixels."""
    font = ImageFont.truetype(io.BytesIO(files("diptych").joinpath(TYPEFACE).read_bytes()), size)
    wrapped = [(part, colour) for text, colour in lines for part in _wrap(text, font.getlength, width - 2 * MARGIN)]
    found = Image.new("RGB", (width, round(1.4 * size * len(wrapped)) + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(found)
    for place, (text, colour) in enumerate(wrapped):
        pen.text((MARGIN, MARGIN + 1.4 * size * place), text, fill=colour, font=font)
    return found


def _wrap(text: str, length: Callable[[str], float], width: int) -> list[str]:
    """Lines of at most `width`, broken at spaces, and in a word that is longer than a line."""
    lines = []
    for paragraph in text.replace("\t", " ").split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if length(joined) <= width:
                line = joined
                continue
            lines += [line] if line else []
            *whole, line = _broken(word, length, width)
            lines += whole
        lines.append(line)
    return lines


def _broken(word: str, length: Callable[[str], float], width: int) -> list[str]:
    """The word in parts of at most `width`."""
    parts = []
    while length(word) > width:
        fits = max(1, bisect_right(range(1, len(word)), width, key=lambda count: math.ceil(length(word[:count]))))
        parts.append(word[:fits])
        word = word[fits:]
    return [*parts, word]


def _panel(item: Item) -> Image.Image:
    """The item's pictures side by side within SIDE × SIDE pixels; small ones are left as they are."""
    panel = side_by_side([picture.open() for picture in item.pictures]).copy()
    panel.thumbnail((SIDE, SIDE))
    return panel


def _data_uri(item: Item) -> str:
    buffer = io.BytesIO()
    _panel(item).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
