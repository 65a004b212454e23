"""Tasks: one file each, found by name; `make_task` makes one from a name and parameters."""

import traceback
from typing import TYPE_CHECKING, Any

from diptych.errors import DiptychError, InputError
from diptych.parameters import Parameters
from diptych.registry import find

if TYPE_CHECKING:
    from diptych.items import Task


def task_parameters(name: str) -> Parameters:
    """What may be given to the task of this name, or to the one in a user's `.py` file."""
    function = find("task", name)
    return Parameters(f"task '{name}'", function, f"def {function.__name__}(*, ...) -> Task")


def small_task(name: str) -> "Task":
    """The task with 100 items per split, if it makes as many as it is asked for: what demo and cards use, to be quick."""
    return make_task(name, **({"per_split": 100} if "per_split" in task_parameters(name).all() else {}))


def make_task(name: str, /, **parameters: Any) -> "Task":
    """The shipped task of this name, or the one in a user's `.py` file, made with these parameters.

    Raises `InputError` for an unknown name or parameter, and for a user's function that fails or returns no `Task`.
    """
    from diptych.items import Task

    wanted = task_parameters(name)
    values, _ = wanted.bind(parameters)
    try:
        task = wanted.function(**values)
    except DiptychError:
        raise
    except Exception as error:
        if not name.endswith(".py"):
            raise  # a fault of ours: its traceback is needed
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"Task '{name}' fails: {type(error).__name__}: {error} (line {line.lineno} of {line.filename}). "
            f"Expected a function that returns a `diptych.Task`."
        ) from error
    if not isinstance(task, Task):
        raise InputError(f"Task '{name}' is a {type(task).__name__}; its function must return a `diptych.items.Task`.")
    return task
