"""Asked: what a model writes when it is asked about entities by name, about their pictures, and for their names."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._halving import Along, Halving
from diptych.experiments._text import from_lines, model_facts, to_lines, to_tensor
from diptych.items import Item, Modality, Split, Task
from diptych.matching import accepted_answers, echoed, matcher, never_matched
from diptych.models.encode import encode_item
from diptych.models.generate import generate
from diptych.models.vlm import VLM
from diptych.run import Run, Unit


@dataclass(frozen=True)
class Asked:
    """A question about an entity with what the model wrote: from `text`, from the `image`, and when asked who it is.

    `item` asks, `naming` asks for the entity's name; `named` is what was written as the name.
    """

    item: Item
    naming: Item
    text: str
    image: str
    named: str

    def right(self, modality: Modality, match: str) -> float:
        """How right the answer from this panel is."""
        return matcher(match)(self.written(modality), accepted_answers(self.item))

    def identified(self, match: str) -> bool:
        """Whether the model names the entity in the picture."""
        return matcher(match)(self.named, accepted_answers(self.naming)) > 0

    def echoes(self, modality: Modality, match: str) -> bool:
        """Whether the answer from this panel is right owing to words that stand in its prompt."""
        return echoed(self.written(modality), accepted_answers(self.item), self._prompt(modality), match)

    def told(self, match: str) -> bool:
        """Whether repeating what the text panel says could be right, whatever the model wrote."""
        accepted = accepted_answers(self.item)
        return any(echoed(answer, accepted, self._prompt("text"), match) for answer in accepted)

    @property
    def short(self) -> bool:
        """Whether all accepted answers are of short words, which the matcher `popvqa` never matches."""
        accepted = accepted_answers(self.item)
        return len(never_matched(accepted)) == len(accepted)

    def written(self, modality: Modality) -> str:
        """What was written from this panel."""
        return self.text if modality == "text" else self.image

    def _prompt(self, modality: Modality) -> str:
        return self.item.wording[0] if modality == "text" else self.item.query


def ask(run: Run, split: Split, max_new_tokens: int) -> tuple[list[Asked], dict[str, int]]:
    """Every question of the split about an entity whose name can be asked for, and what was dropped for which reason."""
    naming = {item.cluster: item for item in run.task.naming}
    items, dropped = choose(run.task, split)
    names = [naming[cluster] for cluster in dict.fromkeys(item.cluster for item in items)]
    write = partial(_written, run, max_new_tokens=max_new_tokens)
    named, text, image = write(names, "image", "names"), write(items, "text", "text"), write(items, "image", "image")
    return [
        Asked(item, naming[item.cluster], text[item.id], image[item.id], named[naming[item.cluster].id])
        for item in items
    ], dropped


def choose(task: Task, split: Split) -> tuple[list[Item], dict[str, int]]:
    """The paired questions of a split about entities whose names can be asked for; raises `InputError` if there are none."""
    known = {item.cluster for item in task.naming}
    reasons = {
        "without both panels": lambda item: not item.paired,
        "of an entity without a question for its name": lambda item: item.cluster not in known,
    }
    why = {item.id: [reason for reason, applies in reasons.items() if applies(item)] for item in task.split(split)}
    chosen = [item for item in task.split(split) if not why[item.id]]
    if not chosen:
        raise InputError(
            f"Task '{task.name}' has no question in split '{split}' that can be asked by name and by picture of an entity "
            f"that can be named. Expected paired items, and `naming` items of the same clusters. Use the task countries or "
            f"entities, or give your own task such items."
        )
    return chosen, dict(Counter(reasons[0] for reasons in why.values() if reasons))


def facts(run: Run) -> dict[str, Tensor]:
    """What is to be known of the model, as `accuracy` stores it."""
    ((_, found),) = run.map(_facts, [Unit("all", None)], name="facts")
    return found


def write_answers(
    vlm: VLM, payload: tuple[int, Sequence[Item]], *, modality: Modality, max_new_tokens: int
) -> dict[str, Tensor]:
    """What the model writes behind each prompt, as lines of JSON."""
    _, items = payload
    prompts = [encode_item(vlm, item, modality) for item in items]
    return {"written": to_lines(generate(vlm, prompts, max_new_tokens=max_new_tokens, batch_size=len(items)))}


def _written(run: Run, items: Sequence[Item], modality: Modality, name: str, *, max_new_tokens: int) -> dict[str, str]:
    """What the model writes to each item, by its id; prompts of like length go together."""
    ordered = sorted(items, key=lambda item: len(item.wording[0] if modality == "text" else item.query))
    size = run.batch_size
    chunks = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    units = [Unit(f"from{size * place}-of{size}", (0, chunk)) for place, chunk in enumerate(chunks)]
    work = Halving(partial(write_answers, modality=modality, max_new_tokens=max_new_tokens), Along(0))
    found = torch.cat([values["written"] for _, values in run.map(work, units, name=name)])
    return dict(zip((item.id for item in ordered), from_lines(found), strict=True))


def _facts(vlm: VLM, payload: None) -> dict[str, Tensor]:
    return {"facts": to_tensor(model_facts(vlm))}
