"""The worst-case step ε: its direction, and its length in every measure."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatmtl_lite.perturbation.sam import Perturbation, check_radius, worst_case

RADII = st.floats(1e-4, 10)
SEEDS = st.integers(0, 10_000)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


# worst_case -------------------------------------------------------------------------------------------------


def test_a_step_worked_out_by_hand():
    torch.testing.assert_close(worst_case(torch.tensor([3.0, -4.0]), 0.5), torch.tensor([0.3, -0.4]))


def test_an_adaptive_step_worked_out_by_hand():
    """w = (2, -1), g = (3, 8): |w| g = (6, 8), of norm 10; ε = ρ |w| (6, 8)/10."""
    found = worst_case(torch.tensor([3.0, 8.0]), 0.5, weights=torch.tensor([2.0, -1.0]))
    torch.testing.assert_close(found, torch.tensor([0.6, 0.4]))


@given(seed=SEEDS, rho=RADII, size=st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_no_step_within_the_radius_raises_the_linearised_loss_more(seed, rho, size):
    g, others = normal(size, seed=seed), normal(200, size, seed=seed + 1)
    epsilon = worst_case(g, rho)
    assert epsilon.norm().item() == pytest.approx(rho, rel=1e-12)
    assert (epsilon @ g).item() == pytest.approx(rho * g.norm().item(), rel=1e-12)
    others *= rho / others.norm(dim=-1, keepdim=True)
    assert bool((others @ g <= (epsilon @ g) * (1 + 1e-12)).all())


@given(seed=SEEDS, rho=RADII, size=st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_no_step_within_the_adaptive_radius_does_either(seed, rho, size):
    g, w, others = normal(size, seed=seed), normal(size, seed=seed + 2), normal(200, size, seed=seed + 1)
    epsilon = worst_case(g, rho, weights=w)
    assert (epsilon / w.abs()).norm().item() == pytest.approx(rho, rel=1e-12)
    others *= rho * w.abs() / others.norm(dim=-1, keepdim=True)
    assert bool((others @ g <= (epsilon @ g) * (1 + 1e-12)).all())


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.0])])
def test_no_gradient_no_step(weights):
    assert worst_case(torch.zeros(3), 0.5, weights).tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("weights", [None, torch.tensor([[2.0, 0.0, 1.0]])])
def test_a_gradient_that_is_not_finite_moves_nothing(value, weights):
    """So that no closure meets weights that are NaN; other rows of the batch move as ever."""
    g = torch.tensor([[3.0, value, 4.0], [3.0, 0.0, 4.0]])
    found = worst_case(g, 0.5, weights)
    assert found[0].tolist() == [0, 0, 0]
    assert found[1].equal(worst_case(g[1:], 0.5, weights)[0])
    assert found[1].abs().sum() > 0


def test_zero_weights_do_not_move_in_the_adaptive_form():
    assert worst_case(torch.tensor([1.0, 1.0]), 0.5, weights=torch.tensor([0.0, 4.0])).tolist() == [0, 2]
    assert worst_case(torch.ones(2), 0.5, weights=torch.zeros(2)).tolist() == [0, 0]


def test_radius_zero_is_no_step():
    assert worst_case(torch.ones(2), 0.0).tolist() == [0, 0]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-3, 1, 1e30, 1e38])
def test_neither_tiny_nor_huge_gradients_change_the_length(scale, adaptive):
    """Squares of 1e-30 and 1e30 are 0 and infinity in float32."""
    g, w = normal(100, seed=1, dtype=torch.float32), normal(100, seed=2, dtype=torch.float32).clamp(-2, 2)
    g = g / g.abs().max()
    weights = w if adaptive else None
    found = worst_case(g * scale, 0.05, weights)
    torch.testing.assert_close(found, worst_case(g, 0.05, weights), rtol=1e-4, atol=1e-9)
    measured = found / w.abs() if adaptive else found
    assert measured.norm().item() == pytest.approx(0.05, rel=1e-5)


def test_leading_dimensions_are_a_batch():
    g, w = normal(2, 3, 7), normal(7, seed=1)
    g[1, 1] = 0
    for weights in (None, w):
        rows = [worst_case(row, 0.1, weights) for row in g.reshape(6, 7)]
        torch.testing.assert_close(worst_case(g, 0.1, weights), torch.stack(rows).view(2, 3, 7))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_dtype_is_kept(dtype):
    found = worst_case(normal(64, dtype=dtype), 0.05)
    assert found.dtype == dtype
    assert found.double().norm().item() == pytest.approx(0.05, rel=0.02)


# Perturbation -----------------------------------------------------------------------------------------------

TRUNK, HEAD = normal(30, seed=1), 7 * normal(5, seed=2)
TRUNK_WEIGHTS, HEAD_WEIGHTS = normal(30, seed=3), normal(5, seed=4)


def step(perturbation, head=HEAD, head_weights=HEAD_WEIGHTS):
    return perturbation.step(TRUNK, head, TRUNK_WEIGHTS, head_weights)


def test_separate_norms_each_have_their_radius():
    trunk, head = step(Perturbation(0.05))
    torch.testing.assert_close(trunk, 0.05 * TRUNK / TRUNK.norm())
    torch.testing.assert_close(head, 0.05 * HEAD / HEAD.norm())


def test_the_heads_may_have_a_radius_of_their_own():
    trunk, head = step(Perturbation(0.05, rho_heads=0.2))
    torch.testing.assert_close(trunk, 0.05 * TRUNK / TRUNK.norm())
    torch.testing.assert_close(head, 0.2 * HEAD / HEAD.norm())
    trunk, head = step(Perturbation(0.05, rho_heads=0.0))
    assert trunk.norm().item() == pytest.approx(0.05)
    assert not head.any()


def test_together_there_is_one_norm_over_both():
    trunk, head = step(Perturbation(0.05, norm="together"))
    whole = torch.cat([TRUNK, HEAD])
    torch.testing.assert_close(torch.cat([trunk, head]), 0.05 * whole / whole.norm())
    assert (len(trunk), len(head)) == (30, 5)


@pytest.mark.parametrize("norm", ["separate", "together"])
def test_adaptive_steps_have_their_radius_in_the_measure_of_the_weights(norm):
    trunk, head = step(Perturbation(0.05, adaptive=True, norm=norm))
    trunk, head = trunk / TRUNK_WEIGHTS.abs(), head / HEAD_WEIGHTS.abs()
    if norm == "separate":
        assert trunk.norm().item() == pytest.approx(0.05)
        assert head.norm().item() == pytest.approx(0.05)
    else:
        assert math.hypot(trunk.norm(), head.norm()) == pytest.approx(0.05)
        ratio = (HEAD_WEIGHTS * HEAD).norm() / (TRUNK_WEIGHTS * TRUNK).norm()
        assert (head.norm() / trunk.norm()).item() == pytest.approx(ratio.item())


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_task_without_a_head(norm, adaptive):
    nothing = torch.zeros(0, dtype=torch.float64)
    trunk, head = step(Perturbation(0.05, adaptive=adaptive, norm=norm), nothing, nothing)
    torch.testing.assert_close(trunk, worst_case(TRUNK, 0.05, TRUNK_WEIGHTS if adaptive else None))
    assert head.shape == (0,)


def test_is_zero_means_that_nothing_moves():
    assert Perturbation(0).is_zero
    assert Perturbation(0.0, rho_heads=0).is_zero
    assert not Perturbation(0.1).is_zero
    assert not Perturbation(0.0, rho_heads=0.1).is_zero
    assert not Perturbation(0.1, rho_heads=0).is_zero


@pytest.mark.parametrize("value", [-0.1, -1e-30, math.nan, math.inf, -math.inf])
def test_a_radius_that_is_negative_or_not_finite_is_an_error(value):
    for options in ({"rho": value}, {"rho": 0.1, "rho_heads": value}):
        name = list(options)[-1]
        with pytest.raises(ValueError, match=rf"Got {name}={value}; expected a finite radius >= 0"):
            Perturbation(**options)


@pytest.mark.parametrize("value", [None, "0.05"])
def test_a_radius_that_is_no_number_is_an_error(value):
    with pytest.raises(ValueError, match=rf"Got rho={value!r}; expected a finite radius >= 0"):
        Perturbation(value)


def test_radii_may_be_a_tensor_to_check():
    check_radius(torch.tensor([0.0, 0.5]))
    for value in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"Got rho=\[0.5, .*\]; expected finite radii >= 0"):
            check_radius(torch.tensor([0.5, value]))


def test_an_unknown_perturb_is_an_error():
    with pytest.raises(ValueError, match=r"""Got perturb='all'; expected "task", "mean", SAMO"""):
        Perturbation(0.1, perturb="all")


def test_an_unknown_norm_is_an_error():
    with pytest.raises(ValueError, match=r"""Got norm='joint'; expected "separate" or "together"."""):
        Perturbation(0.1, norm="joint")


def test_together_takes_one_radius():
    with pytest.raises(ValueError, match=r"Got rho_heads=0.2 with norm=\"together\".*leave rho_heads out"):
        Perturbation(0.1, rho_heads=0.2, norm="together")
    assert Perturbation(0.1, rho_heads=0.1, norm="together").rho_heads == 0.1


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-22, 1e-12, 1.0, 1e12, 1e19, 1e30])
@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_steps_from_lengths_are_the_steps_of_each_task(adaptive, norm, scale):
    """A length that overflows, underflows or loses digits is found out; the head may have another scale."""
    shared, heads = (
        torch.tensor([[3.0, 4.0, -1.0], [0.0, 2.0, 5.0]]),
        [torch.tensor([1.0, -2.0]), torch.ones(0)],
    )
    weights, head_weights = torch.tensor([0.5, -2.0, 1.0]), [torch.tensor([3.0, 0.25]), torch.ones(0)]
    perturbation = Perturbation(0.3, adaptive=adaptive, norm=norm)
    for trunk_scale, head_scale in [(scale, 1.0), (1.0, scale), (scale, scale)]:
        rows, vectors = shared * trunk_scale, [head * head_scale for head in heads]
        steps = perturbation.steps(rows, vectors, weights, head_weights, torch.empty_like(rows))
        for i, (step, head_step) in enumerate(steps):
            expected = perturbation.step(rows[i], vectors[i], weights, head_weights[i])
            for found, epsilon in zip((step, head_step), expected, strict=True):
                torch.testing.assert_close(found.factor * found.direction, epsilon, rtol=1e-5, atol=1e-7)
