"""PCGrad is the published algorithm on whole vectors, in orders from its own generator."""

import itertools

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation import gramian


def published(G, orders):
    """Run Algorithm 1 as printed, on vectors of length P; ``orders[i]`` is the order for task i."""
    total = torch.zeros_like(G[0])
    for i, order in enumerate(orders):
        v = G[i].clone()
        for j in order:
            inner = v @ G[j]
            if j != i and inner < 0:
                v = v - inner / (G[j] @ G[j]) * G[j]
        total += v
    return total


def draw(generator, T):
    """Return the orders of one call: row i ranks the tasks for task i."""
    return torch.rand(T, T, generator=generator, dtype=torch.float64).argsort(-1)


@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 2), (5, 20), (10, 6), (10, 60), (40, 10)])
def test_it_is_the_published_algorithm_divided_by_the_number_of_tasks(T, P, mixture):
    natures = ["normal", "descent", "no_descent", "rank_2"]
    G, _ = mixture(natures, T, P, batch=10 if T < 10 else 2 if T < 40 else 1, decades=[0, 6][: 1 + (T < 40)])
    directions = torch.stack([fm.PCGrad(torch.Generator().manual_seed(i))(g) for i, g in enumerate(G)])
    expected = torch.stack(
        [published(g, draw(torch.Generator().manual_seed(i), T)) / T for i, g in enumerate(G)]
    )
    assert ((directions - expected).norm(dim=-1) <= 1e-10 * G.norm(dim=-1).amax(-1)).all()


THREE = torch.tensor([[2.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 1.0]], dtype=torch.float64)


def test_it_gives_the_directions_by_hand():
    G = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    # v₁ = (1, 0) + ½(-1, 1), v₂ = (-1, 1) + (1, 0)
    torch.testing.assert_close(fm.PCGrad()(G), torch.tensor([0.25, 0.75], dtype=torch.float64))
    G = torch.tensor([[3.0, 1.0], [1.0, 0.0]], dtype=torch.float64)  # no conflict: the mean
    torch.testing.assert_close(fm.PCGrad()(G), torch.tensor([2.0, 0.5], dtype=torch.float64))


def test_every_task_has_an_order_of_its_own_and_each_order_occurs():
    """The result shows which other task came first for task 1 and for task 2: four results."""
    tasks = range(3)
    choices = [[p for p in itertools.permutations(tasks) if p.index(i) == 0] for i in tasks]
    results = {
        tuple(round(x, 9) for x in (published(THREE, orders) / 3).tolist())
        for orders in itertools.product(*choices)
    }
    assert len(results) == 4
    aggregate = fm.PCGrad()
    draws = [tuple(round(x, 9) for x in aggregate(THREE).tolist()) for _ in range(200)]
    assert set(draws) == results
    assert min(map(draws.count, results)) >= 25  # of 200: about 50 each


def test_a_batch_shares_one_order():
    aggregate = fm.PCGrad()
    for _ in range(10):
        directions = aggregate(THREE.expand(6, 3, 3))
        assert torch.equal(directions, directions[:1].expand(6, 3))


# the generator ----------------------------------------------------------------------------------------------


def test_each_object_starts_from_seed_0():
    one, other = fm.PCGrad(), fm.PCGrad()
    for _ in range(10):
        assert torch.equal(one(THREE), other(THREE))


def test_it_draws_from_the_generator_of_the_caller():
    generator = torch.Generator().manual_seed(7)
    aggregate = fm.PCGrad(generator)
    directions = [aggregate(THREE) for _ in range(10)]
    copy = torch.Generator().manual_seed(7)
    expected = [published(THREE, draw(copy, 3)) / 3 for _ in range(10)]
    torch.testing.assert_close(torch.stack(directions), torch.stack(expected))
    assert torch.equal(generator.get_state(), copy.get_state())


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = [d.tolist() for d in map(fm.PCGrad(), [THREE] * 10)]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert [d.tolist() for d in map(fm.PCGrad(), [THREE] * 10)] == first


@pytest.mark.parametrize("calls", [0, 3])
def test_the_state_goes_through_a_file_into_a_new_object(calls, tmp_path):
    old = fm.PCGrad(torch.Generator().manual_seed(5))
    for _ in range(calls):
        old(THREE)
    torch.save(old.state_dict(), tmp_path / "state.pt")
    expected = [old(THREE).tolist() for _ in range(12)]
    fresh = fm.PCGrad()
    assert [fresh(THREE).tolist() for _ in range(12)] != expected
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [fresh(THREE).tolist() for _ in range(12)] == expected


def test_weights_draw_as_the_direction_does():
    one, other = fm.PCGrad(), fm.PCGrad()
    for _ in range(10):
        torch.testing.assert_close(one.weights(gramian(THREE)) @ THREE, other(THREE))
