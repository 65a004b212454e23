"""`diptych check`: what was found in a model, each line of its proof, and prompts with their segments."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from diptych.cli_options import Loading, ModelName, with_loading

if TYPE_CHECKING:
    from diptych.models import VLM
    from diptych.models.check import Proof
    from diptych.models.encode import Prompt


@with_loading
def check(
    model: ModelName,
    image: Annotated[list[Path], typer.Option(help="Show the prompt of this picture; several make one prompt.")] = [],  # noqa: B006
    text: Annotated[str | None, typer.Option(help="Show the prompt of this text as data.")] = None,
    query: Annotated[str, typer.Option(help="What is asked behind the picture or the text.")] = "What is it?",
    *,
    loading: Loading,
) -> None:
    """Prove that a model is read rightly, line by line; exits with status 1 if a line fails."""
    from diptych.models import load, organisms, prove

    vlm = load(model, verify=False, **loading)
    prompts = dict(_prompts(vlm, image, text, query))
    proof = prove(vlm)
    _print_proof(proof, _facts(vlm))
    for panel, prompt in prompts.items():
        _print_prompt(vlm, panel, prompt)
    if model in organisms():
        print_card(model, organisms()[model])
    if not proof.passed:
        print(f"diptych: {model} is not read rightly; numbers from it would be wrong.", file=sys.stderr)
        raise typer.Exit(1)


def print_card(name: str, folder: Path) -> None:
    """The accuracies in an organism's card: a column per task, a row per figure."""
    accuracies = json.loads((folder / "card.json").read_text(encoding="utf-8"))["accuracy"]
    kinds = list(dict.fromkeys(kind for row in accuracies.values() for kind in row))
    table = Table("", *accuracies, title=f"{name}: accuracy", title_justify="left", box=None, pad_edge=False)
    for kind in kinds:
        table.add_row(kind, *(f"{row[kind]:.4g}" if kind in row else "" for row in accuracies.values()))
    Console(markup=False).print(table)


def _prompts(vlm: "VLM", image: list[Path], text: str | None, query: str) -> "Iterator[tuple[str, Prompt]]":
    """The prompts that were asked for, by panel."""
    from diptych.items import ImageFile, Item
    from diptych.models.encode import encode_item

    pictures = tuple(map(ImageFile, image)) or None
    if text is not None or pictures:
        item = Item("checked", text, pictures, query, "anything")
        if text is not None:
            yield "text", encode_item(vlm, item, "text")
        if pictures:
            yield "image", encode_item(vlm, item, "image")


def _print_proof(proof: "Proof", facts: dict[str, str]) -> None:
    found = Table("part", "found in the model")
    for part, what in (proof.found | facts).items():
        found.add_row(part, what)
    lines = Table("claim", "holds", "number", "which is")
    for line in proof.lines:
        lines.add_row(line.name, "yes" if line.passed else "NO", f"{line.value:.3g}", line.detail)
    for table in (found, lines):
        Console(markup=False).print(table)


def _facts(vlm: "VLM") -> dict[str, str]:
    """How the model was loaded, and what its layers and its processor are."""
    from diptych.models.check import swept
    from diptych.models.pixels import described

    kinds = Counter("no mixing" if mixer.mixing == "none" else mixer.mixing for mixer in vlm.sites.mixers)
    placed = getattr(vlm.model, "hf_device_map", None) or {"": vlm.device}
    devices = Counter(str(device) for device in placed.values())
    return {
        "layers": ", ".join(f"{count} of {kind}" for kind, count in kinds.items()),
        "devices": ", ".join(f"{device} ({count} parts)" for device, count in devices.items())
        if len(devices) > 1
        else str(*devices),
        "processor": type(vlm.processor).__name__,
        "pixel budget": described(vlm.processor, vlm.pixels),
        "computed in sweeps": swept(vlm),
        "system prompt": vlm.system if vlm.system is not None else "the template's own",
    }


def _print_prompt(vlm: "VLM", panel: str, prompt: "Prompt") -> None:
    """Positions, segment and token, one row per run of equal tokens; a segment has its colour of the reports."""
    from diptych.report.palette import segment_colour

    table = Table(
        "positions", "segment", "token", title=f"{panel} prompt: {prompt.layout.length} positions", title_justify="left"
    )
    for start, stop, segment, token in _runs(vlm, prompt):
        positions = str(start) if stop == start + 1 else f"{start}–{stop - 1}"
        times = f" × {stop - start}" if stop > start + 1 else ""
        table.add_row(positions, segment, f"{token!r}{times}", style=segment_colour(segment))
    Console(markup=False).print(table)


def _runs(vlm: "VLM", prompt: "Prompt") -> Iterator[tuple[int, int, str, str]]:
    """First position, end, span and token of each run of equal tokens in one span."""
    from diptych.models.encode import tokenizer_of

    spans = [span.name for span in prompt.layout.spans for _ in range(span.start, span.stop)]
    place = 0
    for (token, span), run in groupby(zip(prompt.tokens.tolist(), spans, strict=True)):
        end = place + len(list(run))
        yield place, end, span, tokenizer_of(vlm).decode([token])
        place = end
