"""A batch: contrasts of one layout as tensors, ready for a model."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from diptych.errors import MismatchError
from diptych.items import Contrast
from diptych.layout import Layout

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Batch:
    """`clean` and `counterfactual` are processor outputs, unread; `answers` and `counter_answers` are first tokens.

    All prompts have one layout, so nothing is padded.
    """

    contrasts: tuple[Contrast, ...]
    clean: Inputs
    counterfactual: Inputs
    answers: Int[Tensor, " batch"]
    counter_answers: Int[Tensor, " batch"]
    layout: Layout

    def __post_init__(self) -> None:
        for inputs in (self.clean, self.counterfactual):
            shape = list(inputs["input_ids"].shape)
            if shape != [len(self.contrasts), self.layout.length]:
                raise MismatchError(
                    f"A batch's input ids are {shape}; expected {[len(self.contrasts), self.layout.length]}."
                )
        counts = [len(self.answers), len(self.counter_answers)]
        if counts != [len(self.contrasts)] * 2:
            raise MismatchError(
                f"A batch of {len(self.contrasts)} contrasts has {counts[0]} answers and {counts[1]} counter-answers; "
                f"expected one of each per contrast."
            )
        if bool((self.answers == self.counter_answers).any()):
            raise MismatchError(
                "A batch holds a contrast whose answers share their first token. Drop it before batching."
            )

    def __len__(self) -> int:
        return len(self.contrasts)

    @property
    def ids(self) -> list[str]:
        """Ids of the clean items."""
        return [contrast.clean.id for contrast in self.contrasts]

    @property
    def clusters(self) -> list[str]:
        """The unit of resampling of each prompt."""
        return [contrast.clean.cluster for contrast in self.contrasts]
