"""Metrics against values worked out by hand and against the authors' own (methods §4)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from diptych.errors import InputError
from diptych.metrics import METRICS, correct, indirect_effect, logit, logit_diff, metric, probability
from laws import LAWS, REFERENCE, SEEDS

ABSOLUTE = [name for name in METRICS if name != "indirect_effect"]  # those that read no clean run

ZERO, ONE, TWO = (torch.tensor([n]) for n in range(3))
LOGITS = torch.tensor([[0.0, math.log(3), math.log(6)]])  # probabilities .1, .3, .6
UNIFORM = torch.zeros(1, 3)


def random(seed: int, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits over 9 tokens, answers and other counter-answers."""
    chance = torch.Generator().manual_seed(seed)
    answers = torch.randint(9, (batch,), generator=chance)
    return torch.randn(batch, 9, generator=chance), answers, (answers + 1) % 9


def test_the_logit_difference_is_the_log_of_the_odds() -> None:
    assert logit_diff(LOGITS, TWO, ONE).item() == pytest.approx(math.log(2))
    assert logit_diff(LOGITS, ZERO, ONE).item() == pytest.approx(-math.log(3))


def test_the_logit_is_counted_from_the_mean_logit() -> None:
    assert logit(LOGITS, TWO, ONE).item() == pytest.approx(math.log(6) - math.log(18) / 3)


def test_the_probability_is_that_of_the_answer() -> None:
    assert [probability(LOGITS, token, ONE).item() for token in (ZERO, ONE, TWO)] == pytest.approx([0.1, 0.3, 0.6])


def test_the_indirect_effect_is_the_mean_of_two_relative_changes() -> None:
    # from p(r) = p(r') = 1/3 to p(r) = .1 and p(r') = .6: towards r' (.6 − 1/3)/(1/3) = .8, away from r (1/3 − .1)/.1 = 7/3
    assert indirect_effect(LOGITS, ZERO, TWO, clean=UNIFORM).item() == pytest.approx((0.8 + 7 / 3) / 2)


@LAWS
@given(SEEDS)
def test_nothing_changed_is_no_indirect_effect(seed: int) -> None:
    logits, answers, others = random(seed)

    assert indirect_effect(logits, answers, others, clean=logits).abs().max() == 0
    assert indirect_effect(logits + torch.eye(4, 9), answers, others, clean=logits).abs().max() > 0


@pytest.mark.parametrize("name", ABSOLUTE)
@LAWS
@given(SEEDS, st.floats(-20, 20))
def test_a_shift_common_to_all_logits_changes_nothing(name: str, seed: int, shift: float) -> None:
    logits, answers, others = random(seed)
    before = metric(name)(logits, answers, others, logits)

    assert before.abs().min() > 0
    torch.testing.assert_close(metric(name)(logits + shift, answers, others, logits), before, atol=2e-5, rtol=0)


@LAWS
@given(SEEDS)
def test_exchanged_answers_turn_the_sign_of_the_logit_difference(seed: int) -> None:
    logits, answers, others = random(seed)

    assert logit_diff(logits, answers, others).abs().min() > 0
    assert torch.equal(logit_diff(logits, others, answers), -logit_diff(logits, answers, others))


@pytest.mark.parametrize("name", ABSOLUTE)
def test_a_metric_is_one_number_per_prompt_independent_of_the_others(name: str) -> None:
    logits, answers, others = random(0)
    together = metric(name)(logits, answers, others, logits)

    alone = [
        metric(name)(logits[i : i + 1], answers[i : i + 1], others[i : i + 1], logits[i : i + 1]) for i in range(4)
    ]

    assert together.shape == (4,)
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.fixture
def golden() -> dict[str, torch.Tensor]:
    found = load_file(REFERENCE / "metrics.safetensors")
    return found | {name: found[name].squeeze(-1) for name in ("labels", "cf_labels", "logit_diff_post")}


def test_the_logit_difference_is_the_reference_s(golden: dict[str, torch.Tensor]) -> None:
    expected = golden["logit_diff_post"]

    assert expected.abs().min() > 1
    torch.testing.assert_close(logit_diff(golden["logits_post"], golden["labels"], golden["cf_labels"]), expected)


def test_the_indirect_effect_is_the_reference_s(golden: dict[str, torch.Tensor]) -> None:
    expected = golden["indirect_effect_probs"]
    found = indirect_effect(golden["logits_post"], golden["labels"], golden["cf_labels"], clean=golden["logits_pre"])

    assert expected.abs().min() > 0.1
    torch.testing.assert_close(found, expected)


def test_only_the_choices_compete_for_the_answer() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, 9.0], [0.0, 1.0, 2.0, 9.0]])  # token 3 is highest but no choice

    assert correct(logits, torch.tensor([1, 1]), torch.tensor([2, 1, 0])).tolist() == [1.0, 0.0]


def test_a_metric_is_found_by_its_name() -> None:
    assert metric("probability") is probability


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="No metric named 'ld'. Known: logit_diff, logit, probability"):
        metric("ld")
