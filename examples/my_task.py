"""A task of your own: how many crosses are there? They are printed as text and drawn as an image.

    diptych tasks show examples/my_task.py --set per_split=30
    diptych run accuracy --model organism/qwen2vl --task examples/my_task.py

A task is a function named after its file that returns a `Task`. Its keyword parameters are given by `--set key=value`.
"""

import random

from PIL import Image, ImageDraw

from diptych import Drawing, Item, Task

SIDE = 224  # pixels


def draw_crosses(places: list[int]) -> Image.Image:
    """Crosses in a grid of four by four; a picture depends on its arguments alone."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for place in places:
        left, top = 12 + 54 * (place % 4), 12 + 54 * (place // 4)
        pen.line((left, top, left + 36, top + 36), "black", 5)
        pen.line((left, top + 36, left + 36, top), "black", 5)
    return picture


def my_task(*, per_split: int = 60, seed: int = 0) -> Task:
    """One to six crosses in places of their own; each number is the answer equally often."""
    chance = random.Random(seed)
    items = []
    for number in range(3 * per_split):
        count = 1 + number % 6
        places = sorted(chance.sample(range(16), count))
        items.append(
            Item(
                id=f"{number}",
                text=" ".join(["x"] * count),
                image=Drawing(draw_crosses, {"places": places}),
                query="How many crosses are there? Answer with a number.",
                answer=str(count),
                group="crosses",  # a counterfactual comes from the same group, with another answer
                cluster=f"{count}: {places}",  # kept in one split, and resampled together
            )
        )
    return Task("crosses", 1, tuple(items), ("1", "2", "3", "4", "5", "6"))
