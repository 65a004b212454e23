"""Footprint: what attribution holds in memory beside the weights, as a formula in the sizes of a decoder and its prompts."""

from dataclasses import dataclass
from typing import Any

from diptych.attribution._directions import MEMORY, Memory
from diptych.attribution._integrate import points_at_once
from diptych.errors import InputError
from diptych.models.vlm import VLM


@dataclass(frozen=True)
class Footprint:
    """The sizes of a decoder that say how much AP-IG holds of a prompt.

    `layers` L, `width` d of the residual stream, `heads` H, `joined` A: all heads together, `keys` K: all key heads
    together, `neurons` D, `normed` N: all numbers that a layer's norms take, `item` b: bytes of a number of the model,
    `sums` s: of one that is added up (4; 8 in float64). All but L and the bytes are per layer and position.
    """

    layers: int
    width: int
    heads: int
    joined: int
    keys: int
    neurons: int
    normed: int
    item: int
    sums: int = 4

    @classmethod
    def of(cls, vlm: VLM) -> "Footprint":
        """The sizes of a model, of its largest layer where layers differ."""
        heads, neurons = vlm.sites.heads[0], vlm.sites.neurons[0]
        text = vlm.model.config.get_text_config()
        width, joined = int(text.hidden_size), heads.count * heads.width
        keys = (getattr(text, "num_key_value_heads", None) or heads.count) * heads.width
        normed = max(_normed(layer, width, joined, keys) for layer in vlm.layers)
        item = vlm.dtype.itemsize
        return cls(len(vlm.layers), width, heads.count, joined, keys, neurons.count, normed, item, max(4, item))

    @property
    def values(self) -> int:
        """Bytes of a sum for each value of a layer's nodes at one position: s(A + D)."""
        return self.sums * (self.joined + self.neurons)

    @property
    def kept(self) -> int:
        """Bytes that a layer keeps for its backward pass at one position: b(2A + 2K + 3D) + 4N.

        Queries, keys, values and what attention makes of them; gate, its activation and up; norms work in float32.
        """
        return self.item * (2 * self.joined + 2 * self.keys + 3 * self.neurons) + max(4, self.item) * self.normed

    @property
    def scores(self) -> int:
        """Bytes of the scores of a layer at one position, of all prompts together: s(H + D)."""
        return self.sums * (self.heads + self.neurons)

    @property
    def passing(self) -> int:
        """Bytes of one layer's gradients and of the path's embeddings at one position: (b + 2s)D + 8bd."""
        return (self.item + 2 * self.sums) * self.neurons + 8 * self.item * self.width

    def peak(self, positions: int, prompts: int = 1, *, memory: Memory = "high") -> int:
        """Bytes beside the weights at most while so many prompts of so many positions are attributed at once by `ap_ig`.

        Of a decoder with gated MLPs and a fused attention kernel (sdpa, no mask of positions × positions), without what
        reading the pictures takes before. More gradient points take no more, but prompts of few positions share runs of
        some, up to 300 positions. On a GPU the scores are in the host's memory.
        Raises `InputError` for fewer than one position or prompt, and for an unknown `memory`.
        """
        if positions < 1 or prompts < 1 or memory not in MEMORY:
            raise InputError(
                f"{prompts} prompts of {positions} positions, memory '{memory}'; expected at least one of each, and "
                f"{' or '.join(MEMORY)}."
            )
        rows = prompts * points_at_once(prompts * positions)
        found = {"high": self._held(prompts, rows), "low": self._recomputed(prompts, rows)}
        return positions * max(found[memory])

    def _held(self, prompts: int, rows: int) -> tuple[int, int]:
        """With all that is held: when the last backward pass begins, and when scores are put together."""
        sums = self.layers * 2 * self.values  # and directions
        during = prompts * sums + rows * (self.layers * self.kept + self.passing)
        return during, prompts * sums + self.layers * self.scores

    def _recomputed(self, prompts: int, rows: int) -> tuple[int, int]:
        """With one layer at a time: in the last backward pass, and in the run that makes directions and scores."""
        sums, scores, stream = self.layers * self.values, self.layers * self.scores, self.item * self.width
        during = prompts * sums + rows * (self.layers * stream + self.kept + self.passing)
        directions = (2 * self.item + 6 * self.sums) * self.neurons
        pair = 8 * stream + 16 * self.width  # embeddings of both prompts, and norms in float32
        after = prompts * (sums + pair + directions) + scores
        return during, after


def _normed(layer: Any, width: int, joined: int, keys: int) -> int:
    """The numbers that a layer's norms take at one position: the stream, or all queries or keys, head by head."""
    norms = [(name, part) for name, part in layer.named_modules() if type(part).__name__.endswith("Norm")]
    sizes = {"q_norm": joined, "k_norm": keys}
    return sum(sizes.get(name.rpartition(".")[2], width) for name, _ in norms)
