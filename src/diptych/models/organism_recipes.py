"""The shipped organisms' recipes: every number that decides the weights."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

Batch = dict[str, tuple[int, int]]  # texts and pictures per step, by task
FACTS_FIRST: Batch = {
    "counting": (24, 24),
    "arithmetic": (96, 44),
    "ordering": (16, 16),
    "sentiment": (12, 12),
    "factual_recall": (64, 40),
    "naming": (8, 12),
}
PLACES_LATER: Batch = {
    "counting": (40, 28),
    "arithmetic": (48, 40),
    "ordering": (32, 20),
    "sentiment": (8, 8),
    "factual_recall": (24, 28),
    "naming": (4, 8),
}


@dataclass(frozen=True)
class Recipe:
    """Every number that decides the weights, apart from the versions of the libraries and the number of threads.

    Stages: (words) the decoder alone, in text; (practice) the same with another mixture of tasks; (spelling) also from
    image tokens that are word embeddings; (reading) the
    tower alone, with a label at each image token; (bridge) the tower through the frozen decoder; (joint) everything. An
    *adapter* organism has no spelling and no joint stage, a *joint* one no bridge.
    """

    family: str
    pieces: bool = False  # words of the data are two pieces of a small alphabet
    layers: int = 8
    seed: int = 0
    texts: int = 16000  # training items per task
    pictures: int = 6000  # training items per task
    first_batch: Batch = field(default_factory=lambda: dict(FACTS_FIRST))  # of the first stage
    batch: Batch = field(default_factory=lambda: dict(PLACES_LATER))  # of all other stages
    words_steps: int = 500
    practice_steps: int = 0
    spelling_steps: int = 400
    reading_steps: int = 900
    bridge_steps: int = 0
    joint_steps: int = 250
    rate: float = 1e-3  # AdamW: word embeddings, patch embedding, norms, biases
    matrix_rate: float = 4e-3  # Muon: all other matrices
    joint_rate: float = 0.15  # both rates in the last stages, relative to the first two
    joint_reading: float = 0.3  # weight of the reading loss in the last stages
    matrix_decay: float = 0.05  # Muon's weight decay
    warm_up: int = 100  # steps
    noise: float = 0.5  # these three: see `Lessons`
    sharpness: float = 10.0
    pull: float = 0.1
    choices: str = ""  # what was chosen while looking at what; for the card

    def numbers(self) -> dict[str, Any]:
        """What decides the weights, as plain data."""
        return {name: value for name, value in asdict(self).items() if name != "choices"}

    def scaled(self, scale: float) -> "Recipe":
        """The recipe with `scale` times as many steps and items; a stage that is left out stays so."""
        steps = {name: value for name, value in asdict(self).items() if name.endswith("_steps") and value}
        fewer = {name: max(1, round(scale * value)) for name, value in steps.items()}
        pools = {name: max(64, round(min(scale, 1.0) * getattr(self, name))) for name in ("texts", "pictures")}
        return replace(self, **pools, **fewer)


RECIPES = {
    "qwen2vl": Recipe("qwen2_vl"),
    "llava": Recipe("llava", pieces=True, layers=10),
    "gemma3": Recipe("gemma3", practice_steps=400, spelling_steps=0, joint_steps=0, bridge_steps=300),
}
