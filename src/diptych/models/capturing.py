"""Capturing: prompts become the decoder's call, through the vision tower once per picture (decisions 0008, 0031, 0033)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from diptych.batch import Inputs
from diptych.models.calls import BatchDims, DecoderCall
from diptych.models.once import by_picture, captured
from diptych.models.stacking import Capture, changed, joined, learn_batch_dims, prompts, reads_apart, stack

Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Capturing:
    """How prompts of a model reach its decoder; what was learnt of the model by trying is kept.

    `reach` runs the model as far as its decoder, whose `layers` it holds.
    """

    reach: Capture
    model: nn.Module = field(repr=False)
    layers: nn.ModuleList = field(repr=False)
    _dims: dict[tuple[str, ...], BatchDims] = field(init=False, default_factory=dict, repr=False)
    _apart: dict[Form, bool] = field(init=False, default_factory=dict, repr=False)

    def of(self, inputs: Inputs) -> DecoderCall:
        """The call of prompts of one layout: together if the model reads them apart and no two show one picture."""
        ones = prompts(inputs)
        if len(ones) > 1 and len(by_picture(ones)) == len(ones) and self.reads_apart(inputs):
            call = self.reach(inputs)
            return replace(call, batch_dims=self._learnt(call, ones[0]))
        return self.each([inputs])[0]

    def each(self, several: Sequence[Inputs]) -> list[DecoderCall]:
        """The calls of prompts of several layouts, each prompt by itself: a picture passes the vision tower once."""
        alone = [prompts(inputs) for inputs in several]
        calls = iter(captured(self.reach, self.model, self.layers, [one for some in alone for one in some]))
        found = [[next(calls) for _ in some] for some in alone]
        return [stack(some, self._learnt(some[0], ones[0])) for some, ones in zip(found, alone, strict=True)]

    def reads_apart(self, inputs: Inputs) -> bool:
        """Whether the model, given prompts like these one behind the other, makes of each what it makes of it alone.

        Tried once for prompts of one form, with the first and the same one with another picture, or with other words.
        """
        one = prompts(inputs)[0]
        form = tuple((name, f"{list(value.shape)} {value.dtype}") for name, value in one.items())
        if form not in self._apart:
            both = joined([one, changed(one)])
            self._apart[form] = reads_apart(self.reach, both, self.each([both])[0])
        return self._apart[form]

    def _learnt(self, call: DecoderCall, one: Inputs) -> BatchDims:
        """Along which dimensions calls like this one, of prompts like this one, are stacked."""
        if call.signature not in self._dims:
            self._dims[call.signature] = learn_batch_dims(self.reach, one, self.reach(one))
        return self._dims[call.signature]
