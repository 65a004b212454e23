"""Questions about one picture: the tower sees it once, and what prompts begin with alike is computed once, where a model can."""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diptych.experiments._survey import Survey
from diptych.items import SPLITS, Modality, Task
from diptych.models.calls import rebuild
from diptych.models.once import equal, remembered
from diptych.models.prompts import Prompt, encode_item
from diptych.models.questions import run_prompts
from diptych.models.stacking import stack
from diptych.models.vlm import VLM
from diptych.run import Run, Store
from diptych.run.unit import Unit, Values, Work
from prompts import counted, item
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET, fresh

QUESTIONS = ("How many stars are there ?", "How many stars ?", "What is the result ?", "How many moons ?")
"""Of six, four, five and four words, with the mark."""
OTHERS = ("smolvlm", "qwen3_vl", "llama4", "paligemma", "mllama", "gemma4", "chameleon")  # four later, three never


def asked(vlm: VLM, modality: Modality, pictures: int = 2) -> list[Prompt]:
    """Every question about each picture, picture by picture within a question."""
    items = [replace(item(n, words), id=f"{words} {n}") for words in QUESTIONS for n in range(pictures)]
    return [encode_item(vlm, one, modality) for one in items]


def given(vlm: VLM, prompts: Sequence[Prompt]) -> Tensor:
    """Logits [prompt, vocab] of all prompts at once; each is given once."""
    parts = list(run_prompts(vlm, prompts))
    assert sorted(place for places, _ in parts for place in places) == list(range(len(prompts)))
    found = {place: row for places, logits in parts for place, row in zip(places, logits, strict=True)}
    return torch.stack([found[place] for place in range(len(prompts))])


@torch.no_grad()
def alone_each(vlm: VLM, prompts: Sequence[Prompt]) -> Tensor:
    return torch.cat([vlm.run(vlm.capture(prompt.inputs)) for prompt in prompts])


def require_equal(found: Tensor, plain: Tensor, tolerance: float) -> None:
    """But for tokens that a model rules out."""
    told = plain.abs() < 1e30
    assert float((plain[0] - plain[1])[told[0]].abs().max()) > 1e-3  # pictures matter
    torch.testing.assert_close(found[told], plain[told], atol=tolerance * float(plain[told].abs().max()), rtol=0)


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_questions_behind_what_they_share_are_answered_as_whole_prompts(
    family: str, kernel: str, modality: Modality
) -> None:
    vlm = tiny(family, kernel)
    prompts = asked(vlm, modality)

    require_equal(given(vlm, prompts), alone_each(vlm, prompts), 1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_double_precision_they_differ_by_nothing_to_speak_of(family: str) -> None:
    vlm = tiny(family, "sdpa", torch.float64)
    prompts = asked(vlm, "image")

    require_equal(given(vlm, prompts), alone_each(vlm, prompts), 1e-11)


@QUIET
@pytest.mark.parametrize("family", OTHERS)
def test_models_that_cannot_do_so_answer_as_they_did(family: str) -> None:
    vlm = fresh(family)
    prompts = asked(vlm, "image")

    require_equal(given(vlm, prompts), alone_each(vlm, prompts), 1e-5)


@pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])  # eager: masks are given
def test_only_the_first_question_of_a_picture_runs_the_positions_of_the_picture(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    prompts = asked(vlm, "image")
    behind = [prompt.layout.length - prompt.layout.data.stop for prompt in prompts]

    with counted([vlm.sites.mixers[0].module]) as mixed:
        given(vlm, prompts)

    shapes = [list(output[0].shape[:2]) for output in mixed]
    first, second, third, _ = behind[::2]
    assert shapes[:2] == [
        [2, prompts[0].layout.length],
        [2, first],
    ]  # of both pictures; and the trial of later positions
    assert shapes[2:] == [[4, second], [2, third]] and (second, third) == (first - 2, first - 1)


def test_two_questions_are_enough_to_share() -> None:
    vlm = tiny("llava")
    one, other = asked(vlm, "image", pictures=1)[:2]

    with counted([vlm.sites.mixers[0].module]) as mixed:
        given(vlm, [one, other])

    later = [prompt.layout.length - prompt.layout.data.stop for prompt in (one, other)]
    assert [output[0].shape[1] for output in mixed] == [one.layout.length, *later]


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_that_share_nothing_run_whole_and_to_the_bit(family: str) -> None:
    vlm = tiny(family)
    prompts = asked(vlm, "image")[:2]

    with counted([vlm.sites.mixers[0].module]) as mixed:
        found = given(vlm, prompts)

    assert [list(output[0].shape[:2]) for output in mixed] == [[2, prompts[0].layout.length]]
    both = stack(vlm.capture_each([prompt.inputs for prompt in prompts]), vlm.capture(prompts[0].inputs).batch_dims)
    assert torch.equal(found, vlm.run(both))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_that_differs_in_one_pixel_is_another_picture(family: str) -> None:
    vlm = tiny(family)
    first, second = asked(vlm, "image", pictures=1)[:2]
    pixels = {name: value.clone() for name, value in second.inputs.items() if value.is_floating_point()}
    for value in pixels.values():
        value.view(-1)[7] += 0.5
    prompts = [first, replace(second, inputs=dict(second.inputs) | pixels)]

    found, plain = given(vlm, prompts), alone_each(vlm, prompts)

    assert not torch.equal(plain[1], alone_each(vlm, [second])[0])
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    assert torch.equal(
        vlm.capture_each([p.inputs for p in prompts])[1].embeddings, vlm.capture(prompts[1].inputs).embeddings
    )


@QUIET
@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
def test_a_capture_of_several_prompts_is_that_of_each_to_the_bit(family: str) -> None:
    vlm = tiny(family) if family in FAMILIES else fresh(family)
    inputs = [prompt.inputs for prompt in asked(vlm, "image")]

    together, apart = vlm.capture_each(inputs), [vlm.capture(one) for one in inputs]

    for found, plain in zip(together, apart, strict=True):
        leaves = plain.leaves()
        assert found.leaves().keys() == leaves.keys() and torch.equal(found.input_ids, plain.input_ids)
        tensors = [name for name, leaf in leaves.items() if isinstance(leaf, Tensor)]
        assert tensors and all(torch.equal(found.leaves()[name], leaves[name]) for name in tensors)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_passes_the_vision_tower_once(family: str) -> None:
    vlm = tiny(family)
    prompts = asked(vlm, "image", pictures=3)
    tower = next(m for name, m in vlm.model.named_modules() if name.endswith(("visual", "vision_tower")))
    inside = next(
        module for module in tower.modules() if isinstance(module, nn.LayerNorm) or "Norm" in type(module).__name__
    )
    vlm.capture(prompts[0].inputs)  # learns how prompts stack

    with counted([inside]) as seen:
        vlm.capture_each([prompt.inputs for prompt in prompts])
    with counted([inside]) as each:
        for prompt in prompts:
            vlm.capture(prompt.inputs)

    assert len(each) == 12 * len(seen) // 3 > len(seen) > 0


def test_only_tensors_and_plain_values_are_compared_by_value() -> None:
    rows = [np.zeros(3), np.zeros(3)]  # == is no truth value

    assert equal({"a": 1, "b": rows[0]}, {"a": 1, "b": rows[0]}) and not equal({"a": rows[0]}, {"a": rows[1]})
    assert not equal({"a": 1}, {"a": 2}) and not equal({"a": 1}, {"b": 1}) and equal({"a": None}, {"a": None})


def test_a_named_tuple_is_made_anew_as_one() -> None:
    pair = namedtuple("pair", "left right")

    found = rebuild({"out": pair(1, [2])}, "", lambda path, leaf: leaf + 1)

    assert found == {"out": pair(2, [3])} and type(found["out"]) is pair


class Writes(nn.Module):
    """Counts its calls, and gives twice what it is given."""

    calls = 0

    def forward(self, value: Tensor) -> Tensor:
        self.calls += 1
        return value * 2


def test_what_is_remembered_is_not_what_callers_wrote_into() -> None:
    module, value = Writes(), torch.ones(3)

    with remembered(iter([module])):
        first = module(value)
        first += 5
        module(torch.ones(3)).add_(5)
        again = module(torch.ones(3))
        value += 1
        other = module(torch.full((3,), 2.0))

    assert again.tolist() == [2, 2, 2] and other.tolist() == [4, 4, 4] and module.calls == 2
    assert module(torch.ones(3)).tolist() == [2, 2, 2] and module.calls == 3  # closed: forgotten


def apart(pictures: int = 2) -> Task:
    """Questions about pictures, one question after the other, so that those about one picture lie apart."""
    items = tuple(
        replace(
            item(n, words), id=f"{split} {words} {n}", cluster=f"{split} {n}", split=split, answer=str(n), group=words
        )
        for split in SPLITS
        for words in QUESTIONS[:3]
        for n in range(pictures)
    )
    return Task("apart", 1, tuple(replace(one, text=None) for one in items), ("0", "1"))


@torch.no_grad()
def test_accuracy_asks_what_is_about_one_picture_together_and_tells_it_in_the_task_s_order(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    vlm, task, told = tiny("qwen2_vl"), apart(), list[list[str]]()

    def listing(work: Work, units: Iterable[Unit], load: Callable[[], VLM]) -> Iterator[tuple[Unit, Values]]:
        for unit in units:
            if isinstance(unit.payload, tuple) and isinstance(unit.payload[1], list):
                told.append([one.cluster for one in unit.payload[1]])
            yield unit, work(load(), unit.payload)

    store = Store(tmp_path / "runs")
    run = Run(str(tmp_path), task, store=store, load=lambda source: vlm, batch_size=3, executor=listing)
    survey, items = Survey.of(run), task.split("test")
    prompts = [encode_item(vlm, one, "image") for one in items]

    assert [some for some in told if len(some) > 1] == [[f"{split} {n}"] * 3 for split in SPLITS for n in range(2)]
    wanted = alone_each(vlm, prompts).softmax(-1).gather(1, survey.answers.of(items)[:, None])[:, 0]
    torch.testing.assert_close(survey.grids["image.test.probability"], wanted, atol=1e-6, rtol=1e-5)
    assert len(set(wanted.tolist())) == len(items)
    assert [survey._shapes["image"][one.id] for one in items] == [prompt.shape for prompt in prompts]
