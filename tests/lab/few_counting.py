"""The counting task with a dozen items per split, for tests."""

from diptych.items import Task
from diptych.tasks.counting import counting


def few_counting() -> Task:
    """Thirty-six items."""
    return counting(per_split=12, style="shapes")
