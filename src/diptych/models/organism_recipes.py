"""The shipped organisms' recipes: every number that decides the weights."""

from dataclasses import asdict, dataclass, field, replace


BATCH = {"counting": 24, "arithmetic": 48, "ordering": 16, "sentiment": 12, "factual_recall": 48, "naming": 12}


@dataclass(frozen=True)
class Recipe:
    """Every number that decides the weights, apart from the versions of the libraries and the number of threads.

    Stages: (words) the decoder alone, in text; (reading) the tower alone, with a label at each image token; (bridge) the
    tower through the frozen decoder; (joint) everything. An *adapter* organism has no joint stage, a *joint* one no bridge.
    """

    family: str
    pieces: bool = False  # words of the data are two pieces of a small alphabet
    layers: int = 8
    seed: int = 0
    items: int = 8000  # training items per task
    batch: dict[str, int] = field(default_factory=lambda: dict(BATCH))  # items per panel and step
    words_steps: int = 700
    reading_steps: int = 1500
    bridge_steps: int = 0
    joint_steps: int = 400
    rate: float = 1e-3  # AdamW: word embeddings, patch embedding, norms, biases
    matrix_rate: float = 4e-3  # Muon: all other matrices
    joint_rate: float = 0.15  # both rates in the last stages, relative to the first two
    joint_reading: float = 0.3  # weight of the reading loss in the last stages
    matrix_decay: float = 0.05  # Muon's weight decay
    warm_up: int = 100  # steps
    spelled: float = 1.0  # these four: see `Lessons`
    noise: float = 0.5
    sharpness: float = 10.0
    pull: float = 0.1

    def scaled(self, scale: float) -> "Recipe":
        """The recipe with `scale` times as many steps and items; a stage that is left out stays so."""
        steps = {name: value for name, value in asdict(self).items() if name.endswith("_steps") and value}
        fewer = {name: max(1, round(scale * value)) for name, value in steps.items()}
        return replace(self, items=max(64, round(min(scale, 1.0) * self.items)), **fewer)


RECIPES = {
    "qwen2vl": Recipe("qwen2_vl"),
    "llava": Recipe("llava", spelled=0.0, joint_steps=0, bridge_steps=500),
    "gemma3": Recipe("gemma3", pieces=True, layers=10),
}
