"""Models as people load them: dtypes, revisions, weights on disk, quantised weights, processors of their own."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from diptych.attribution.ap import ap
from diptych.attribution.ap_ig import ap_ig
from diptych.backpatch import back_patch, cells
from diptych.errors import InputError
from diptych.interventions import run_circuits
from diptych.metrics import logit_diff
from diptych.models import load
from diptych.models.calls import Path as Line
from diptych.models.encode import encode_item
from diptych.models.quantised import quantisation_options
from diptych.models.vlm import VLM
from diptych.run.source import ModelSource, load_model
from prompts import batch, item
from test_load import save
from tiny import FAMILIES, tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each family, saved."""
    return {family: save(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


def in_two(family: str) -> dict[str, str]:
    """A device map: the upper half of the layers on disk, all else on the CPU."""
    model = tiny(family).model
    parts = {name: "cpu" for name, _ in model.named_children() if name != "model"}
    parts |= {f"model.{name}": "cpu" for name, _ in model.model.named_children() if name != "language_model"}
    inside = [name for name, _ in model.model.language_model.named_children() if name != "layers"]
    parts |= {f"model.language_model.{name}": "cpu" for name in inside}
    return parts | {f"model.language_model.layers.{n}": "cpu" if n < 2 else "disk" for n in range(4)}


# Gemma 3 itself fails with all on disk: it reads a parameter of its projector from outside that module
@pytest.mark.parametrize(
    ("family", "parts"),
    [*((family, "two parts") for family in FAMILIES), ("qwen2_vl", "all on disk"), ("llava", "all on disk")],
)
def test_weights_on_disk_give_the_same_scores_circuits_and_patches_to_the_bit(
    family: str, parts: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    device_map: Any = in_two(family) if parts == "two parts" else {"": "disk"}
    whole = load(str(folders[family]), verify=False)

    spread = load(str(folders[family]), device_map=device_map, offload_folder=tmp_path)

    assert any(parameter.is_meta for parameter in spread.layers[3].parameters())
    assert spread.device == torch.device("cpu") and spread.digest == whole.digest
    a, b = (measured(vlm) for vlm in (whole, spread))
    assert all(values.abs().max() > 0 for values in a.values())
    assert {name: torch.equal(a[name], b[name]) for name in a} == dict.fromkeys(a, True)


@torch.no_grad()
def measured(vlm: VLM) -> dict[str, torch.Tensor]:
    """Scores, logits of a circuit, and logits of back-patching cells."""
    some = batch(vlm, "image", 2)
    scores = ap_ig(vlm, some, steps=2).scores
    call = vlm.capture(some.clean)
    with vlm.record() as recording:
        vlm.run(vlm.capture(some.counterfactual))
    circuit = run_circuits(vlm, call, [scores.top(0.2)], recording.activations())
    patched = [logits for _, logits in back_patch(vlm, call, some.layout.data, cells(4, (1,))[:3])]
    return {"heads": scores.heads, "neurons": scores.neurons, "circuit": circuit, "patched": torch.stack(patched)}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_summed_in_float32_whatever_the_dtype(family: str, dtype: torch.dtype) -> None:
    vlm = tiny(family, dtype=dtype)
    some = batch(vlm, "image", 2)

    found = ap(vlm, some).scores

    expected = by_hand(vlm, some)
    assert found.heads.dtype == torch.float32 and expected.abs().max() > 0
    assert torch.equal(found.heads, expected)
    narrow = expected.to(dtype).float()  # sums that were kept in the model's dtype could be no better than this
    assert not torch.equal(found.heads, narrow)


def by_hand(vlm: VLM, some: Any) -> torch.Tensor:
    """Attribution patching of heads, in float32: Σ_j |(a'_j − a_j) · g_j|, mean over prompts."""
    clean, counterfactual = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    with torch.no_grad(), vlm.record() as other:
        vlm.run(counterfactual)
    values: dict[int, torch.Tensor] = {}
    call, _ = Line.between(clean, counterfactual).at(1.0)  # whose embeddings require gradients

    def keep(layer: int) -> Any:
        return lambda live: values.setdefault(layer, live)

    with torch.enable_grad(), vlm.edit_inputs({site: keep(site.layer) for site in vlm.sites.heads}):
        effect = logit_diff(vlm.run(call), some.answers, some.counter_answers)
        gradients = torch.autograd.grad(effect.sum(), [values[layer] for layer in range(4)])
    directions = [other.values[site].float() - values[site.layer].detach().float() for site in vlm.sites.heads]
    products = [d * gradient.float() for d, gradient in zip(directions, gradients, strict=True)]
    return torch.stack([product.abs().sum(-1).mean(0) for product in products])


def test_the_dtype_auto_is_that_of_the_checkpoint(folders: dict[str, Path]) -> None:
    assert load("organism/qwen2vl", dtype="auto", verify=False).dtype == torch.bfloat16
    assert load(str(folders["qwen2_vl"]), dtype="auto", verify=False).dtype == torch.float32
    assert load("random:qwen2_vl", dtype="auto", verify=False).dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "what"),
    [("organism/qwen2vl", "a folder"), ("random:qwen2_vl", "a random model"), ("FOLDER", "a folder")],
)
def test_a_revision_of_what_has_none_is_refused(name: str, what: str, folders: dict[str, Path]) -> None:
    path = str(folders["qwen2_vl"]) if name == "FOLDER" else name

    for attempt in (lambda: load(path, revision="main"), lambda: ModelSource(path, "main")):
        with pytest.raises(InputError, match=f"Revision 'main' cannot be chosen for .* which is {what}: only models"):
            attempt()


@pytest.mark.parametrize("option", ["device_map", "offload_folder"])
def test_a_random_model_takes_no_option_about_stored_weights(option: str) -> None:
    with pytest.raises(
        InputError, match=f"'random:qwen2_vl' takes no {option}: a random model is made small and on the CPU"
    ):
        load("random:qwen2_vl", **{option: "cpu"})


def test_a_run_loads_the_model_with_all_that_its_identity_says() -> None:
    source = ModelSource("organism/qwen2vl", attention="eager", pixels=(3136, 6272), system=None)

    vlm = load_model(source)

    assert (vlm.attention, vlm.pixels) == ("eager", (3136, 6272))
    assert source.options == {"quantisation": None, "attention": "eager", "pixels": (3136, 6272), "system": None}
    assert load_model(ModelSource("random:llava")).revision == ModelSource("random:llava").fingerprint


def test_a_hub_model_is_recorded_with_its_commit(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--something"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / commit).symlink_to(folders["gemma3"])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    assert load("someone/something", verify=False).revision == commit


def test_quantisation_without_its_package_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych.models.quantised.find_spec", lambda name: None)

    with pytest.raises(InputError, match=r"'int8' needs the package bitsandbytes, .*`pip install bitsandbytes`"):
        load("organism/qwen2vl", quantisation="int8")
    with pytest.raises(InputError, match="No quantisation named 'int3'. Known: int8, nf4"):
        load("organism/qwen2vl", quantisation="int3")
    assert quantisation_options(None, torch.float32) == {}


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
@pytest.mark.filterwarnings("ignore")
def test_weights_in_eight_bits_are_proven_and_scored(folders: dict[str, Path]) -> None:
    whole = load(str(folders["qwen2_vl"]), dtype="bfloat16", verify=False)

    vlm = load(str(folders["qwen2_vl"]), dtype="bfloat16", quantisation="int8")

    assert vlm.layers[0].self_attn.o_proj.weight.dtype == torch.int8 and vlm.dtype == torch.bfloat16
    assert vlm.digest != whole.digest
    scores, expected = (ap(one, batch(one, "image", 2)).scores.heads for one in (vlm, whole))
    assert torch.corrcoef(torch.stack([scores.flatten(), expected.flatten()]))[0, 1] > 0.95


def test_a_processor_of_ones_own_is_taken(folders: dict[str, Path]) -> None:
    own = tiny("llava").processor

    vlm = load(str(folders["llava"]), processor=own)

    assert vlm.processor is own
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode_item(vlm, item(3), "image").layout.data.start > 0
