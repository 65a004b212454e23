"""The command `repair`: choose a back-patch for a model and write it for `BackPatch.from_pretrained`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diptych.cli_options import BatchSize, Loading, ModelName, with_loading
from diptych.cli_progress import resumable, tell
from diptych.cli_values import Setting, named_values
from diptych.tasks import make_task

if TYPE_CHECKING:
    from diptych.deployed import BackPatch


@with_loading
def repair(
    model: ModelName,
    task: Annotated[str, typer.Option(help="A name (see `diptych tasks`), or the path of a .py file.")],
    out: Annotated[Path, typer.Option(help="Folder to write backpatch.json to.")] = Path("backpatch"),
    setting: Setting = [],  # noqa: B006
    parameter: Annotated[
        list[str], typer.Option("--parameter", "-p", help="key=value for back_patching; may be given several times.")
    ] = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs"),
    *,
    loading: Loading,
    batch_size: BatchSize = 16,
) -> None:
    """Choose a back-patch on a task's select split, measure it on test, and write it for `generate`."""
    with resumable(runs):
        from diptych.experiments._chosen import chosen_patch
        from diptych.run import Run, Store
        from diptych.run.progress import for_terminal

        handle = Run(
            model,
            make_task(task, **named_values(setting)),
            store=Store(runs),
            progress=for_terminal(),
            batch_size=batch_size,
            **loading,
        )
        result = handle.get("back_patching", **named_values(parameter))
        tell(result)
        patch = chosen_patch(handle.vlm, result)
        print(patch.save_pretrained(out) / "backpatch.json")
        print(verdict(patch))


def verdict(patch: "BackPatch") -> str:
    """What the back-patch gains on test, and plainly whether that is more than chance."""
    from diptych.experiments._text import fixed, interval, known

    told = patch.conditions
    gain, null = (fixed(told[name], 1, factor=100, sign="+") for name in ("gain", "null 95%"))
    measured = (
        f"Layer {patch.src} into {patch.dst}, window {patch.window}: {gain} points "
        f"{interval(dict(told), 1, factor=100, sign='+')} on test (n = {told['n']}); p ≤ .05 among all cells takes more than {null}."
    )
    if told["beats the null"]:
        return f"{measured} It beats the null."
    if known(told["low"]) and told["low"] > 0:
        return (
            f"{measured} It does NOT beat the null, but its interval is above 0, of a cell chosen on other items: a hint, to "
            f"be tried on more."
        )
    return f"{measured} It does NOT beat the null: expect no help from it."
