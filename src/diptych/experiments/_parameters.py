"""Types of experiments' parameters: what they accept is checked before anything is computed or written."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen, MultipleOf
from pydantic import AfterValidator, FiniteFloat

from diptych.alignment import Positions as Positions
from diptych.cuts import LayerSets
from diptych.items import Modality


def odd(window: int) -> int:
    """The window itself; raises `ValueError` if it has no middle layer."""
    if window % 2 == 0:
        raise ValueError("a back-patching window should be an odd number of layers")
    return window


MetricName = Literal["logit_diff", "logit", "probability", "indirect_effect"]
Reduction = Literal["l1", "abs", "signed"]
MatcherName = Literal["alias", "exact", "popvqa", "vqa"]
EntityMatcher = Literal["alias", "exact", "popvqa"]  # vqa wants the answers of ten annotators
Seed = Annotated[int, Ge(0)]
Count = Annotated[int, Ge(1)]
Several = Annotated[int, Ge(2)]
Halvings = Annotated[int, Ge(0), Le(20)]
Share = Annotated[FiniteFloat, Gt(0), Le(1)]
Folds = Annotated[int, Ge(2), MultipleOf(2)]  # an even number, so that every second fold is one half
Sizes = Annotated[tuple[Share, ...], MinLen(1)]
Windows = Annotated[tuple[Annotated[int, Ge(1), AfterValidator(odd)], ...], MinLen(1)]
Names = Annotated[tuple[str, ...], MinLen(1)]
Options = dict[str, Any]
Panels = Annotated[tuple[Modality, ...], MinLen(1)]
CutNames = Annotated[tuple[str, ...], MinLen(1)]
Kinds = Annotated[tuple[LayerSets, ...], MinLen(1)]
