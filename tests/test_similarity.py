"""Similarity of panels (methods §9): cosines and CKA by hand, their invariances, and unrelated states."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.similarity import cka, cka_reordered, closest, closest_across


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_panel_is_as_close_to_itself_as_can_be() -> None:
    states = drawn(3, 7, 5)

    torch.testing.assert_close(closest(states, states), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(closest(states, states * drawn(7, 1).abs()), torch.ones(3, dtype=torch.float64))


def test_each_image_token_counts_by_its_closest_text_token() -> None:
    text = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    image = torch.tensor([[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])

    assert float(closest(text, image)) == pytest.approx((1 + 2**-0.5 + 0) / 3)
    assert float(closest(image, text)) == pytest.approx((1 + 2**-0.5) / 2)  # not symmetric


def test_every_layer_beside_every_layer_is_each_of_them_alone() -> None:
    text, image = drawn(3, 4, 6), drawn(2, 5, 6, seed=1)

    found = closest_across(text, image)

    by_hand = [[float(closest(t, i)) for i in image] for t in text]
    assert found.shape == (3, 2) and found.std() > 0.01
    torch.testing.assert_close(found, torch.tensor(by_hand, dtype=torch.float64))


def test_a_state_of_zeros_is_close_to_nothing() -> None:
    assert float(closest(torch.zeros(2, 3), torch.ones(4, 3))) == 0
    assert float(closest(torch.ones(2, 3), torch.zeros(4, 3))) == 0


def test_half_precision_is_compared_in_float32() -> None:
    states = drawn(4, 300).bfloat16()

    assert closest(states, states).dtype == torch.float32
    assert float(closest(states, states)) == pytest.approx(1, abs=1e-5)


def test_what_all_items_share_is_no_agreement_once_the_mean_of_others_is_taken_away() -> None:
    """A large common vector, as of massive activations: raw cosines are near 1, centred ones of other pairs near 0."""
    common = 30 * drawn(64)
    text, image = drawn(400, 1, 64) + common, drawn(400, 1, 64, seed=1) + common
    own = 0.5 * drawn(400, 1, 64, seed=2)  # what the panels of one item share
    others = drawn(400, 1, 64, seed=3) + common  # further items: the mean is theirs
    mean = others.mean(0)

    raw, centred = closest(text, image), closest(text - mean, image - mean)
    matched = closest(text + own - mean, image + own - mean)

    assert raw.min() > 0.97
    assert abs(float(centred.mean())) < 3 * float(centred.std()) / 20
    assert float(matched.mean()) > 0.1


def test_cka_of_a_description_with_itself_is_one_whatever_its_rotation_scale_and_shift() -> None:
    a = drawn(2, 12, 5)
    rotation, _ = torch.linalg.qr(drawn(5, 5, seed=1))

    for other in (a, a @ rotation, 7 * a, a + 3 * drawn(5, seed=2), -0.1 * a @ rotation + 5, a + 1e6):
        torch.testing.assert_close(cka(a, other), torch.ones(2, dtype=torch.float64))
    stretched = a * torch.tensor([9.0, 1, 1, 1, 0.1])
    assert (cka(a, stretched) < 0.99).all()  # a linear map of another sort is seen


def test_cka_is_symmetric_and_is_that_of_its_definition() -> None:
    """Unbiased: the mean over all four different items of K_ij (L_ij + L_qr − 2 L_iq)."""
    a, b = drawn(5, 3), drawn(5, 2, seed=1) + drawn(5, 3)[:, :2]

    def estimate(x: Tensor, y: Tensor) -> float:
        k, m = ((v - v.mean(0)) @ (v - v.mean(0)).T for v in (x, y))
        terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(5), 4)]
        return float(sum(terms) / len(terms))

    by_hand = estimate(a, b) / (estimate(a, a) * estimate(b, b)) ** 0.5

    assert abs(by_hand) > 0.05
    assert float(cka(a, b)) == pytest.approx(by_hand)
    assert float(cka(b, a)) == pytest.approx(by_hand)


def test_independent_descriptions_have_no_cka_however_many_dimensions_they_have() -> None:
    found = torch.stack([cka(drawn(12, 400, seed=s), drawn(12, 400, seed=1000 + s)) for s in range(60)])

    assert abs(float(found.mean())) < 3 * float(found.std()) / 60**0.5
    biased = drawn(12, 400)
    assert float(cka(biased, biased)) == pytest.approx(1)


def test_reordered_items_no_longer_belong_together() -> None:
    a = drawn(3, 10, 4)
    orders = [torch.arange(10), torch.arange(10).roll(1)]

    found = cka_reordered(a, a, orders)

    torch.testing.assert_close(found[0], torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found[1], cka(a, a.roll(-1, 1)))
    assert (found[1] < 0.9).all()


def test_cka_of_what_does_not_vary_is_not_known() -> None:
    assert cka(drawn(6, 3), torch.full((6, 2), 0.1)).isnan()


@pytest.mark.parametrize(("first", "second"), [(3, 3), (5, 6)])
def test_cka_of_too_few_or_other_items_is_refused(first: int, second: int) -> None:
    with pytest.raises(InputError, match=f"CKA compares the same items twice: got {first} and {second}"):
        cka(drawn(first, 2), drawn(second, 2))
