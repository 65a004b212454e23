"""Runs `squares` in a process of its own; says which unit it begins, and goes on when it reads a line."""

import sys
from pathlib import Path

from diptych.items import Item, Task
from diptych.run import Run, Store


def step(number: int) -> None:
    print(number, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    store, model = sys.argv[1:]
    items = tuple(Item(id=f"i{n}", text="x " * n, image=None, query="How many x?", answer=str(n)) for n in (1, 2, 3))
    run = Run(model, Task("crosses", 1, items, ("1", "2", "3")), store=Store(Path(store)), load=lambda source: step)
    run.get(str(Path(__file__).with_name("squares.py")), count=6)
