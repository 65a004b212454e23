"""Coverage: every architecture of transformers, tiny and random, is read rightly or refused with a reason."""

import inspect
from contextlib import suppress
from copy import deepcopy

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from diptych.errors import DiptychError, InputError, UnsupportedModel
from diptych.models import load
from diptych.models.check import prove
from diptych.models.coverage import HEADS_ONLY, IN_PART, PASSES, REFUSED, Coverage, cover, judge
from diptych.models.encode import encode_item
from diptych.models.random import tiny_config
from diptych.models.sketches import every_sketch
from diptych.run.source import ModelSource
from prompts import item
from zoo import QUIET, READ, TABLE, table, tiny

SAMPLE = ("qwen3_vl", "gemma4", "mllama", "qwen3_vl_moe", "glm5_next", "got_ocr2", "florence2")
MOST_USED = (
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3", "gemma4", "llava", "llava+siglip", "llava+pixtral", "llava_next"),
    *("llava_onevision", "mistral3", "paligemma", "idefics3", "smolvlm", "internvl", "aya_vision", "cohere2_vision"),
    *("glm4v", "ovis2", "mllama"),
)

pytestmark = QUIET


def test_every_architecture_of_transformers_is_in_the_table() -> None:
    architectures = [name for name in every_sketch() if "+" not in name]

    assert list(table()) == list(every_sketch())
    assert architectures == sorted(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


@pytest.mark.parametrize("name", every_sketch())
def test_an_architecture_is_proven_or_refused_as_the_table_says(name: str) -> None:
    try:
        found = judge(tiny(name).sites, prove(tiny(name)))
    except DiptychError as refusal:
        found = (REFUSED, str(refusal))
    verdict, reason = found

    assert verdict == table()[name]
    assert bool(reason) == (verdict != PASSES)


@pytest.mark.parametrize("name", SAMPLE)
def test_the_table_is_what_the_proof_says(name: str) -> None:
    row = cover(name)

    assert (
        f"| {name} | {row.model} | {row.layers} | {row.sites} | {row.kernels} | {row.verdict} | {row.reason} |"
        in TABLE.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("name", READ)
def test_every_model_that_asks_which_positions_are_pictures_is_told(name: str) -> None:
    vlm = tiny(name)
    asked = {"token_type_ids", "mm_token_type_ids"} & set(inspect.signature(vlm.model.forward).parameters)
    given = encode_item(vlm, item(1), "image").inputs

    assert asked <= given.keys()
    assert all(bool(given[argument].any()) for argument in asked)


def test_a_layer_with_routed_experts_beside_a_dense_mlp_has_the_neurons_of_both() -> None:
    vlm = tiny("gemma4+experts")

    assert table()["gemma4+experts"] == PASSES
    assert len(set(vlm.sites.there[1])) == 2 and min(vlm.sites.there[1]) > 96
    assert vlm.sites.neurons[0].beside[0].module is vlm.layers[0].mlp.down_proj


@pytest.mark.parametrize("name", MOST_USED)
def test_the_architectures_that_are_used_most_pass_in_full(name: str) -> None:
    assert table()[name] == PASSES


def test_seventy_architectures_pass() -> None:
    verdicts = [verdict for name, verdict in table().items() if "+" not in name]

    assert len(verdicts) == 97
    assert sum(verdict in (PASSES, HEADS_ONLY) for verdict in verdicts) >= 70


def test_every_refusal_and_every_lack_has_a_reason_of_its_own() -> None:
    rows = [line.split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]

    assert all(len(row[6].rstrip("| ")) > 20 for row in rows[1:] if row[5] != PASSES)
    assert not any("fails in the proof" in row[6] or "Error:" in row[6] for row in rows[1:])


def test_an_unknown_architecture_is_refused_with_close_ones() -> None:
    with pytest.raises(InputError, match=r"No architecture named 'quen3_vl'. Close to it: qwen3_vl, "):
        load("random:quen3_vl")


def test_a_seed_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match=r"The seed of 'random:llava:one' is 'one'; expected a number"):
        ModelSource("random:llava:one").place  # noqa: B018


def test_seed_and_dtype_make_another_model_and_the_same_name_the_same() -> None:
    def weights(name: str, **options: str) -> torch.Tensor:
        return load(name, verify=False, **options).model.get_output_embeddings().weight

    plain = weights("random:llava")

    assert torch.equal(weights("random:llava:0"), plain)
    assert not torch.equal(weights("random:llava:1"), plain)
    assert torch.equal(weights("random:llava", dtype="bfloat16"), plain.bfloat16())


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "gemma4", "mllama", "blip-2"])
def test_the_proof_holds_in_half_precision_too(name: str) -> None:
    vlm = load(f"random:{name}", dtype="bfloat16")

    assert vlm.dtype == torch.bfloat16


def test_a_leak_of_a_few_per_cent_is_refused_in_half_precision_too(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = load("random:minimax_m3_vl", dtype="bfloat16", verify=False)
    monkeypatch.setattr(
        "diptych.models.knockout.require_edges", lambda mixer: None
    )  # its indexer leaks what is cut off

    assert "knocking out the data hides the picture" in [line.name for line in prove(vlm).lines if not line.passed]


def test_making_a_configuration_leaves_the_sketches_as_they_were() -> None:
    known = every_sketch()
    before = deepcopy({name: sketch.config for name, sketch in known.items()})

    for name, sketch in known.items():
        with suppress(Exception):  # some need what is not installed
            tiny_config(name, sketch)

    assert {name: sketch.config for name, sketch in known.items()} == before


def test_a_random_model_has_an_identity_without_being_built() -> None:
    source = ModelSource("random:qwen3_vl")

    assert source.place == source.label == "random:qwen3_vl"
    assert len(source.fingerprint) == 12 and source.fingerprint == ModelSource("random:qwen3_vl").fingerprint
    assert source.fingerprint != ModelSource("random:qwen3_vl:1").fingerprint


def test_what_cannot_be_built_here_is_refused_with_what_is_missing() -> None:
    with pytest.raises(UnsupportedModel, match="'florence2' is an encoder-decoder"):
        load("random:florence2")
    with pytest.raises(InputError, match=r"'random:evolla' cannot be built here: Unrecognized configuration class"):
        load("random:evolla")


def test_the_verdicts_are_four() -> None:
    assert set(table().values()) == {PASSES, HEADS_ONLY, IN_PART, REFUSED}
    assert isinstance(cover("llava"), Coverage)
