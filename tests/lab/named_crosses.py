"""A task for tests with a name that can be chosen."""

from diptych.items import Item, Task


def named_crosses(*, name: str = "crosses") -> Task:
    items = tuple(Item(id=f"i{n}", text="x " * n, image=None, query="How many x?", answer=str(n)) for n in (1, 2, 3))
    return Task(name, 1, items, ("1", "2", "3"))
