"""diptych: how a vision-language model does the same task from text and from an image.

In the descriptions, *methods §4* is a section of `docs/methods.md`, where the quantities are defined with their sources.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diptych.activations import Activations
    from diptych.attribution._integrate import Attribution
    from diptych.attribution.ap import ap
    from diptych.attribution.ap_ig import ap_ig
    from diptych.attribution.exact import effects, exact, set_effects
    from diptych.attribution.relp import relp
    from diptych.backpatch import Cell, back_patch, cells
    from diptych.batch import Batch
    from diptych.compare import overlaps, stability
    from diptych.contributions import Contributions, direct_contributions
    from diptych.delayed import delay
    from diptych.deployed import BackPatch
    from diptych.depth import depths
    from diptych.errors import DiptychError
    from diptych.exchange import mib_graph, reference_scores, table
    from diptych.experiments._discovered import discovered
    from diptych.footprint import Footprint
    from diptych.gap_share import gap_closed
    from diptych.gaps import gap
    from diptych.grid import Circuit, Grid, Scores
    from diptych.interventions import ablate_outside, run_circuits
    from diptych.items import Contrast, Drawing, ImageFile, Item, Task
    from diptych.layout import Layout, Span, position_map
    from diptych.lens import logit_lens
    from diptych.matching import accepted_answers, echoed, matcher, never_matched
    from diptych.means import Means
    from diptych.models.attention import attention_weights
    from diptych.models.check import prove
    from diptych.models.encode import AnswerTokens, answer_tokens, encode, encode_item
    from diptych.models.load import load, organisms
    from diptych.models.vlm import VLM
    from diptych.paper_compat import PaperCompat
    from diptych.planted import plant
    from diptych.registry import find
    from diptych.report.build import build
    from diptych.report.paper import save_figure
    from diptych.result import Result
    from diptych.run import Driver, Finding, Run, Store, Study, Unit, load_runs, read_study
    from diptych.similarity import cka, closest, closest_across
    from diptych.swap import carry, carry_as_many, splice
    from diptych.tasks import make_task

__version__ = version("diptych")

_HOMES = {
    "activations": ("Activations",),
    "attribution._integrate": ("Attribution",),
    "attribution.ap": ("ap",),
    "attribution.ap_ig": ("ap_ig",),
    "attribution.exact": ("effects", "exact", "set_effects"),
    "attribution.relp": ("relp",),
    "backpatch": ("Cell", "back_patch", "cells"),
    "batch": ("Batch",),
    "compare": ("overlaps", "stability"),
    "contributions": ("Contributions", "direct_contributions"),
    "delayed": ("delay",),
    "deployed": ("BackPatch",),
    "depth": ("depths",),
    "errors": ("DiptychError",),
    "exchange": ("mib_graph", "reference_scores", "table"),
    "experiments._discovered": ("discovered",),
    "footprint": ("Footprint",),
    "gap_share": ("gap_closed",),
    "gaps": ("gap",),
    "grid": ("Circuit", "Grid", "Scores"),
    "interventions": ("ablate_outside", "run_circuits"),
    "items": ("Contrast", "Drawing", "ImageFile", "Item", "Task"),
    "layout": ("Layout", "Span", "position_map"),
    "matching": ("accepted_answers", "echoed", "matcher", "never_matched"),
    "lens": ("logit_lens",),
    "means": ("Means",),
    "models.attention": ("attention_weights",),
    "models.check": ("prove",),
    "models.encode": ("AnswerTokens", "answer_tokens", "encode", "encode_item"),
    "models.load": ("load", "organisms"),
    "models.vlm": ("VLM",),
    "paper_compat": ("PaperCompat",),
    "planted": ("plant",),
    "registry": ("find",),
    "report.build": ("build",),
    "report.paper": ("save_figure",),
    "result": ("Result",),
    "run": ("Driver", "Finding", "Run", "Store", "Study", "Unit", "load_runs", "read_study"),
    "similarity": ("cka", "closest", "closest_across"),
    "swap": ("carry", "carry_as_many", "splice"),
    "tasks": ("make_task",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "VLM",
    "Activations",
    "AnswerTokens",
    "Attribution",
    "BackPatch",
    "Batch",
    "Cell",
    "Circuit",
    "Contrast",
    "Contributions",
    "DiptychError",
    "Drawing",
    "Driver",
    "Finding",
    "Footprint",
    "Grid",
    "ImageFile",
    "Item",
    "Layout",
    "Means",
    "PaperCompat",
    "Result",
    "Run",
    "Scores",
    "Span",
    "Store",
    "Study",
    "Task",
    "Unit",
    "ablate_outside",
    "accepted_answers",
    "answer_tokens",
    "ap",
    "ap_ig",
    "attention_weights",
    "back_patch",
    "build",
    "carry",
    "carry_as_many",
    "cells",
    "cka",
    "closest",
    "closest_across",
    "delay",
    "direct_contributions",
    "depths",
    "discovered",
    "echoed",
    "effects",
    "encode",
    "encode_item",
    "exact",
    "find",
    "gap_closed",
    "gap",
    "load",
    "logit_lens",
    "load_runs",
    "make_task",
    "matcher",
    "mib_graph",
    "never_matched",
    "organisms",
    "overlaps",
    "plant",
    "position_map",
    "prove",
    "read_study",
    "reference_scores",
    "relp",
    "run_circuits",
    "save_figure",
    "set_effects",
    "splice",
    "stability",
    "table",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: `diptych --help` and reports need no torch."""
    if name not in _HOME:
        raise AttributeError(f"diptych has no public name '{name}'. Known: {', '.join(__all__)}.")
    return getattr(import_module(f"diptych.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
