"""GradVac is the published algorithm on whole vectors over several calls."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmtl_lite as fm


def published(G, usual, orders, beta):
    """Run one call of Algorithm 1 as printed, on vectors of length P; it moves ``usual`` (T, T) on."""
    total = torch.zeros_like(G[0])
    for i, order in enumerate(orders):
        v = G[i].clone()
        for j in order:
            if j == i:
                continue
            cosine, goal = v @ G[j] / (v.norm() * G[j].norm()), usual[i, j].clone()
            if cosine < goal:
                up = v.norm() * (goal * (1 - cosine**2).sqrt() - cosine * (1 - goal**2).sqrt())
                v = v + up / (G[j].norm() * (1 - goal**2).sqrt()) * G[j]
            usual[i, j] = (1 - beta) * goal + beta * cosine
        total += v
    return total


def draw(generator, T):
    """Return the orders of one call: row i ranks the tasks for task i."""
    return torch.rand(T, T, generator=generator, dtype=torch.float64).argsort(-1)


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(
    ("T", "P", "calls", "nature", "decades"),
    [
        (2, 3, 10, "normal", 0),
        (2, 3, 10, "descent", 6),  # with opposite gradients the printed formula takes the root of -1e-17
        (3, 4, 10, "normal", 6),
        (3, 4, 10, "no_descent", 0),
        (5, 20, 10, "descent", 0),
        (5, 20, 10, "no_descent", 6),
        (10, 30, 4, "normal", 0),
        (40, 60, 2, "descent", 6),
    ],
)
def test_it_is_the_published_algorithm_divided_by_the_number_of_tasks(
    T, P, calls, nature, decades, beta, sample
):
    """Several calls, so that pairs have a goal above 0 to turn to."""
    A, orders = fm.GradVac(beta, torch.Generator().manual_seed(3)), torch.Generator().manual_seed(3)
    usual = torch.zeros(T, T, dtype=torch.float64)
    positive_goals = 0
    for G in sample(nature, T, P, batch=calls, decades=decades):
        positive_goals += (usual > 0).sum().item()
        expected = published(G, usual, draw(orders, T), beta) / T
        assert (A(G) - expected).norm() <= 1e-10 * G.norm(dim=-1).max() + 1e-10 * expected.norm()
        torch.testing.assert_close(A.usual["loss"], usual, rtol=1e-9, atol=1e-10)
    assert positive_goals > 0


@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10), (6, 4)])
def test_the_first_call_and_every_call_with_beta_0_is_pcgrad(T, P, sample):
    for beta, calls in ((0.5, 1), (0.0, 3)):
        A, pcgrad = fm.GradVac(beta), fm.PCGrad()
        for G in sample("normal", T, P, batch=calls, decades=2):
            torch.testing.assert_close(A(G), pcgrad(G), rtol=1e-9, atol=1e-12)


def test_it_gives_the_directions_by_hand():
    A = fm.GradVac(beta=0.5)
    equal = torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    assert A(equal).tolist() == [1.5, 0.0]
    assert A.usual["loss"].tolist() == [[0.0, 0.5], [0.5, 0.0]]
    # At right angles, each is turned to 60 degrees: v₁ = (1, 1/√3), v₂ = (2/√3, 2).
    G = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    expected = torch.tensor([1 + 2 / 3**0.5, 1 / 3**0.5 + 2], dtype=torch.float64) / 2
    torch.testing.assert_close(A(G), expected)
    assert A.usual["loss"].tolist() == [[0.0, 0.25], [0.25, 0.0]]
    # The mean moves on also where nothing turns: cosine 1 is above it.
    A(equal)
    assert A.usual["loss"].tolist() == [[0.0, 0.625], [0.625, 0.0]]


@pytest.mark.parametrize("i", [0, 1])
def test_after_turning_the_cosine_is_the_usual_one(i, sample):
    for G in sample("normal", 2, 5, batch=10):
        A = fm.GradVac()
        usual = torch.full((2, 2), -0.999, dtype=torch.float64)  # the other gradient does not turn
        usual[i, 1 - i] = 0.95
        A.usual["loss"] = usual
        v = 2 * A(G) - G[1 - i]
        assert torch.cosine_similarity(v, G[1 - i], dim=0).item() == pytest.approx(0.95)


def test_a_zero_row_is_left_out_and_not_remembered(sample):
    A, alone = fm.GradVac(), fm.GradVac()
    G = sample("descent", 2, 6, batch=5)
    for g in G:
        with_zero = torch.stack([g[0], torch.zeros(6), g[1]])
        torch.testing.assert_close(A(with_zero), alone(g))
    torch.testing.assert_close(A.usual["loss"][::2, ::2], alone.usual["loss"])
    assert not A.usual["loss"][1].any()
    assert not A.usual["loss"][:, 1].any()


def test_a_row_that_becomes_zero_is_left_out_and_its_angles_are_kept(sample):
    A, alone = fm.GradVac(beta=0.5), fm.GradVac(beta=0.5)
    G = sample("descent", 3, 6, batch=1)[0]
    A(G)
    usual = A.usual["loss"]
    assert (usual[0, 1:] > 0).any()
    alone.usual["loss"] = usual[1:, 1:]
    direction = A(torch.cat([torch.zeros(1, 6), G[1:]]))
    torch.testing.assert_close(direction, alone(G[1:]))
    assert A.usual["loss"][0].equal(usual[0])
    assert A.usual["loss"][:, 0].equal(usual[:, 0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_rounding_that_remains_of_opposite_gradients_is_not_remembered(dtype, sample):
    """v₁ without its part along g₂ ~ -g₁ is noise: its cosine with g₃ counts only if g₃ came first."""
    for order, (g, e) in enumerate(sample("normal", 2, 50).to(dtype)):
        A = fm.GradVac(1.0, torch.Generator().manual_seed(order))
        A(torch.stack([g, -0.3 * g, e]))
        true = torch.cosine_similarity(g.double(), e.double(), dim=0)
        for i, sign in ((0, 1), (1, -1)):
            usual = A.usual["loss"][i, 2]
            assert usual == 0 or (usual - sign * true).abs() < 1e-6


def test_a_gradient_of_which_only_rounding_remains_keeps_its_memory():
    """Opposite rows leave only rounding of v. Its cosines would be noise and are not remembered."""
    A = fm.GradVac(beta=1.0)
    g, e = torch.tensor([[1.0, 2.0, -3.0], [0.3, 1.0, 0.7]], dtype=torch.float64)
    for _ in range(4):
        direction = A(torch.stack([g, -3 * g, e]))
        assert direction.isfinite().all()
    usual = A.usual["loss"]
    assert usual[:2, :2].tolist() == [[0, -1], [-1, 0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_usual_cosine_of_1_stays_finite(dtype):
    """Where gradients were equal for long, the formula would divide by 0: the cosine counts as 1 - 1e-6."""
    A = fm.GradVac(beta=1.0)
    equal = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=dtype)
    A(equal)
    assert A.usual["loss"].tolist() == [[0, 1], [1, 0]]
    direction = A(torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dtype))
    assert direction.isfinite().all()
    slope = (1 - 1e-6) / (1 - (1 - 1e-6) ** 2) ** 0.5
    torch.testing.assert_close(direction.double(), torch.full((2,), (1 + slope) / 2, dtype=torch.float64))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    T=st.integers(1, 6),
    P=st.integers(1, 6),
    beta=st.sampled_from([0.01, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_any_run_stays_finite_homogeneous_and_within_cosines(seed, T, P, beta, dtype):
    generator = torch.Generator().manual_seed(seed)
    one, other = fm.GradVac(beta), fm.GradVac(beta)
    base = torch.randn(1, P, generator=generator, dtype=torch.float64)
    for call in range(8):
        rank = base * torch.randn(T, 1, generator=generator, dtype=torch.float64).abs() * (call % 2)
        G = rank + torch.randn(T, P, generator=generator, dtype=torch.float64) * 10.0 ** -(call % 4)
        G[torch.rand(T, generator=generator) < 0.1] = 0
        G = G.to(dtype)
        direction = one(G)
        assert direction.isfinite().all()
        assert torch.equal(other(G * 2.0**30), direction * 2.0**30)
        assert (one.usual["loss"].abs() <= 1).all()
