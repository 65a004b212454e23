"""What prompts begin with alike is computed once: scores and curves are those of whole runs, where a model can."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch

from diptych.attribution._integrate import Integral
from diptych.attribution.ap import ap
from diptych.attribution.ap_ig import ap_ig
from diptych.attribution.relp import relp
from diptych.experiments import _measured
from diptych.experiments._measured import Order, as_scored, measure
from diptych.items import MODALITIES, Modality
from diptych.metrics import logit_diff
from diptych.models import beginning
from diptych.models.beginning import begin
from diptych.models.hooks import replaced_forward, untouched
from diptych.models.vlm import VLM
from prompts import answers, batch, contrasts, counted
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET, fresh

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
WITHIN = 1e-5
METHODS = {
    "ap_ig": ap_ig,
    "path points that share a run": lambda vlm, some: ap_ig(vlm, some, steps=4, at_once=3),
    "low memory": lambda vlm, some: ap_ig(vlm, some, steps=2, memory="low"),
    "signed": lambda vlm, some: ap_ig(vlm, some, steps=2, rule="right", reduction="signed"),
    "clean pictures": lambda vlm, some: ap_ig(vlm, some, steps=2, interpolate_images=False),
    "ap": ap,
    "relp": relp,
}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short a prefix is, it is computed once."""
    monkeypatch.setattr(beginning, "LOST", -100)


def computed(vlm: VLM, modality: Modality) -> set[int]:
    """How many positions the attention of layer 0 is given in a run of AP-IG."""
    integral = Integral(vlm, batch(vlm, modality), logit_diff, steps=5)
    with counted([vlm.sites.mixers[0].module]) as mixed:  # type: ignore[list-item]
        integral.add({0.5: 1.0}, [0, 1, 2])  # type: ignore[dict-item]
    return {output[0].shape[1] for output in mixed}


@every_model
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_scores_behind_a_prefix_are_those_of_whole_runs(
    family: str, kernel: str, modality: Modality, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, modality)
    whole = METHODS[method](vlm, some)  # type: ignore[operator]
    monkeypatch.setattr(beginning, "LOST", -100)

    behind = METHODS[method](vlm, some)  # type: ignore[operator]

    assert begin(vlm, [vlm.capture(some.clean)], some.layout.prefix.stop, 5).start > 0
    for found, plain in ((behind.scores.heads, whole.scores.heads), (behind.scores.neurons, whole.scores.neurons)):
        assert plain.abs().max() > 1e-6
        torch.testing.assert_close(found, plain, rtol=0, atol=WITHIN * float(plain.abs().max()))
    torch.testing.assert_close(behind.effect, whole.effect, rtol=0, atol=1e-5 * float(whole.effect.abs().max()))
    torch.testing.assert_close(behind.completeness, whole.completeness, rtol=1e-3, atol=1e-5, equal_nan=True)
    assert behind.steps.tolist() == whole.steps.tolist()


@every_model
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_circuits_behind_a_prefix_give_what_whole_runs_give(
    family: str, kernel: str, modality: Modality, monkeypatch: pytest.MonkeyPatch, noted: "Noted"
) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, modality)
    scores = ap_ig(vlm, some, steps=1).scores
    order: dict[str, Order] = {"circuit": as_scored, "lowest first": lambda scores: scores.map(torch.neg)}
    sizes = (0.1, 0.5, 1.0)
    work = partial(measure, vlm, (0, contrasts(modality)), scores=scores, sizes=sizes, orders=order, means=None)
    how = {"metric": "logit_diff", "answers": answers(vlm), "batch_size": 8}
    whole = {ablation: work(ablation=ablation, **how) for ablation in ("counterfactual", "zero")}
    monkeypatch.setattr(beginning, "LOST", -100)
    monkeypatch.setattr(_measured, "begin", noted)

    behind = {ablation: work(ablation=ablation, **how) for ablation in ("counterfactual", "zero")}

    assert noted.lengths[0] == {some.layout.length - some.layout.prefix.stop} and noted.lengths[1] == {
        some.layout.length
    }
    assert [found.start for found in noted.found] == [some.layout.prefix.stop, 0]
    for ablation, values in whole.items():
        assert values["circuit"].std(0).min() > 1e-4
        for name, plain in values.items():
            near = WITHIN * float(whole[ablation]["model"].abs().max())
            torch.testing.assert_close(behind[ablation][name], plain, rtol=0, atol=near)
        assert torch.equal(behind[ablation]["circuit"][-1], behind[ablation]["model"])  # methods §6, to the bit


class Noted:
    """`begin`, what it found, and how many positions the attention of layer 0 is given from then on."""

    def __init__(self) -> None:
        self.found: list[beginning.Beginning] = []
        self.lengths: list[set[int]] = []

    def __call__(self, vlm: VLM, *args: Any) -> beginning.Beginning:
        self.close()
        self.found.append(begin(vlm, *args))
        self.lengths.append(seen := set[int]())
        self.handles = [vlm.sites.mixers[0].module.register_forward_hook(lambda m, a, out: seen.add(out[0].shape[1]))]
        return self.found[-1]

    handles: Sequence[Any] = ()

    def close(self) -> None:
        """Leave the model, which other tests share, without hooks."""
        for handle in self.handles:
            handle.remove()


@pytest.fixture
def noted() -> Iterator[Noted]:
    found = Noted()
    yield found
    found.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("always")
def test_runs_compute_what_follows_the_prefix_alone(family: str) -> None:
    vlm = tiny(family)
    layout = batch(vlm, "text").layout

    assert computed(vlm, "text") == {layout.length - layout.prefix.stop}


def test_a_prefix_is_computed_once_where_the_runs_to_come_save_more_than_trying_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image")
    call, end = vlm.capture(some.clean), some.layout.prefix.stop

    assert computed(vlm, "image") == {some.layout.length}
    assert begin(vlm, [call], end, 17).start == 0
    monkeypatch.setattr(beginning, "LOST", 0)
    enough = beginning.TRIED / (len(some) * end / some.layout.length)
    assert begin(vlm, [call], end, 0.99 * enough).start == 0
    assert begin(vlm, [call], end, 1.01 * enough).start == end


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", ["qwen3_5", "gemma4", "dots3_note"])
@QUIET
def test_a_model_that_cannot_run_later_positions_alone_runs_all(name: str) -> None:
    vlm = fresh(name)
    some = batch(vlm, "text")

    assert begin(vlm, [vlm.capture(some.clean)], some.layout.prefix.stop, 5).start == 0
    assert ap_ig(vlm, some, steps=2).scores.neurons.abs().max() > 0


@pytest.mark.usefixtures("always")
def test_prompts_that_begin_otherwise_are_run_whole() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "text")
    clean, other, end = vlm.capture(some.clean), vlm.capture(some.counterfactual), some.layout.prefix.stop
    ids = some.clean["input_ids"].clone()
    ids[1, end - 1] += 1
    changed = vlm.capture(dict(some.clean) | {"input_ids": ids})

    assert begin(vlm, [clean, other], end, 5).start == end
    assert begin(vlm, [clean, other], end + 1, 5).start == 0  # the first word of the data
    assert begin(vlm, [clean, changed], end, 5).start == begin(vlm, [changed, clean], end, 5).start == 0


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("modality", MODALITIES)
def test_while_anybody_hooks_the_model_runs_are_whole_and_of_the_batch_as_it_is(
    family: str, modality: Modality
) -> None:
    vlm = tiny(family)
    some = batch(vlm, modality)
    site = vlm.sites.heads[1]
    vectors = torch.randn(len(some), some.layout.length, *([site.count, site.width]), generator=torch.manual_seed(0))

    with vlm.edit_inputs({site: lambda live: live + vectors}):  # of each prompt its own
        start = begin(vlm, [vlm.capture(some.clean)], some.layout.prefix.stop, 12).start
        together = ap_ig(vlm, some, steps=3)
        alone = ap_ig(vlm, some, steps=3, at_once=1)

    assert start == 0 and begin(vlm, [vlm.capture(some.clean)], some.layout.prefix.stop, 12).start > 0
    assert torch.equal(together.scores.neurons, alone.scores.neurons) and together.scores.neurons.abs().max() > 1e-3


def test_what_transformers_and_accelerate_hook_is_the_model_s_own() -> None:
    vlm, layer = fresh("llava_next"), 1
    vlm.run(vlm.capture(batch(vlm, "image").clean))
    own = sum(len(module._forward_hooks) for module in vlm.model.modules())

    assert own > 0 and untouched(vlm.model)  # collects outputs
    with replaced_forward(vlm.layers[layer], vlm.layers[layer].forward):
        assert not untouched(vlm.model)
        vlm.layers[layer]._hf_hook = object()  # as accelerate leaves it
        assert untouched(vlm.model)
    with counted([vlm.layers[layer]]):
        assert not untouched(vlm.model)
    assert untouched(vlm.model)


@pytest.mark.usefixtures("always")
def test_a_prompt_whose_prefix_sees_what_follows_it_is_run_whole() -> None:
    vlm = tiny("gemma3")
    some = batch(vlm, "image")
    end, types = some.layout.prefix.stop, some.clean["token_type_ids"].clone()
    types[1, end - 1] = 1  # one block with the picture, in which all see all
    call = vlm.capture(dict(some.clean) | {"token_type_ids": types})

    assert begin(vlm, [vlm.capture(some.clean)], end, 12).start == end
    assert begin(vlm, [call], end, 12).start == begin(vlm, [vlm.capture(some.clean), call], end, 12).start == 0


@pytest.mark.usefixtures("always")
def test_the_beginning_of_one_prompt_is_kept() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "text")

    past = begin(vlm, [vlm.capture(some.clean)], some.layout.prefix.stop, 5).past

    assert past is not None and len(past.layers) == len(vlm.layers)
    for keys, values in past.layers.values():
        assert keys.shape[0] == values.shape[0] == 1 and keys.shape[2] == some.layout.prefix.stop
        assert keys.untyped_storage().nbytes() == keys.nbytes  # not a part of more
