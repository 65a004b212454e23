"""Ridge probes: the closed form against the definition, and what they must not know (methods §11)."""

import pytest
import torch

from diptych.errors import InputError
from diptych.probe import _left_out_error, allowed_classes, fit


def states(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def labels(count: int, classes: int) -> torch.Tensor:
    return torch.arange(count) % classes


@pytest.mark.parametrize(("count", "width"), [(30, 5), (12, 40)])
def test_the_probe_solves_the_ridge_s_normal_equations(count: int, width: int) -> None:
    features, wanted = states(count, width) * 3 + 1, labels(count, 3)

    probe = fit(features, wanted, 3)

    given = (features.double() - features.double().mean(0)) / features.double().std(0)
    targets = torch.nn.functional.one_hot(wanted, 3).double()
    gram = given.T @ given + probe.strength * torch.eye(width, dtype=torch.float64)
    expected = torch.linalg.solve(gram, given.T @ (targets - targets.mean(0)))
    torch.testing.assert_close(probe.weights, expected, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(probe.scores(features), given @ expected + targets.mean(0), atol=1e-8, rtol=1e-6)


def test_the_left_out_error_is_that_of_leaving_each_row_out() -> None:
    given = states(10, 4).double()
    given = given - given.mean(0)
    wanted = torch.nn.functional.one_hot(labels(10, 2), 2).double()
    wanted = wanted - wanted.mean(0)
    values, vectors = torch.linalg.eigh(given @ given.T)

    found = _left_out_error(values.clamp_min(0), vectors, wanted, 0.7)

    errors = []
    for row in range(10):
        others = [other for other in range(10) if other != row]
        some, targets = given[others], wanted[others]
        centred = some - some.mean(0)
        gram = centred.T @ centred + 0.7 * torch.eye(4, dtype=torch.float64)
        weights = torch.linalg.solve(gram, centred.T @ (targets - targets.mean(0)))
        errors.append((given[row] - some.mean(0)) @ weights + targets.mean(0) - wanted[row])
    assert found == pytest.approx(float(torch.stack(errors).square().mean()), rel=1e-8)


def test_what_is_in_the_states_is_read_from_new_ones_and_noise_is_not() -> None:
    wanted, new = labels(200, 4), labels(80, 4)
    signal = torch.nn.functional.one_hot(torch.cat([wanted, new]), 4).float() @ states(4, 20, 1) + 0.3 * states(
        280, 20, 2
    )
    noise = states(280, 20, 3)

    told = {
        name: (fit(features[:200], wanted, 4).predict(features[200:]) == new).float().mean().item()
        for name, features in (("signal", signal), ("noise", noise))
    }

    assert told["signal"] > 0.95 and told["noise"] < 0.45


def test_states_that_are_all_the_same_tell_the_commonest_class() -> None:
    wanted = torch.tensor([0, 1, 1, 2])

    assert fit(torch.ones(4, 3), wanted, 3).predict(torch.ones(2, 3)).tolist() == [1, 1]


def test_a_probe_chooses_among_the_answers_of_the_question() -> None:
    allowed = allowed_classes(["a", "a", "b"], [0, 2, 1], ["b", "a", "c"], 3)

    assert allowed.tolist() == [[False, True, False], [True, False, True], [False, False, False]]
    probe = fit(states(6, 2), torch.tensor([0, 0, 0, 0, 1, 2]), 3)
    assert probe.predict(states(1, 2), torch.tensor([[False, True, False]])).tolist() == [1]


def test_a_probe_of_one_state_is_refused() -> None:
    with pytest.raises(InputError, match="fitted on 1 states with 1 labels; expected at least 2"):
        fit(torch.ones(1, 2), torch.tensor([0]), 2)
