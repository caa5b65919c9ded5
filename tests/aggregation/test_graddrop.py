"""GradDrop is its formula element by element, with draws from its own generator."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmtl_lite as fm


def published(G, draw):
    """Run Algorithm 1 as printed (no leak, f the identity), element by element, divided by T."""
    T, P = G.shape
    result = []
    for p in range(P):
        column = G[:, p].tolist()
        size = sum(map(abs, column))
        purity = 0.5 * (1 + sum(column) / size) if size else 0.5
        keep = [g for g in column if (g > 0 and purity > draw[p]) or (g < 0 and purity < draw[p])]
        result.append(sum(keep) / T)
    return torch.tensor(result, dtype=G.dtype)


@pytest.mark.parametrize(("T", "P"), [(1, 5), (2, 50), (3, 200), (10, 40)])
def test_it_is_the_published_formula_divided_by_the_number_of_tasks(T, P, mixture):
    for seed, G in enumerate(mixture(["normal"], T, P, batch=5, decades=[0, 4])[0]):
        draw = torch.rand(P, generator=torch.Generator().manual_seed(seed)).tolist()
        direction = fm.GradDrop(torch.Generator().manual_seed(seed))(G)
        torch.testing.assert_close(direction, published(G, draw), rtol=1e-10, atol=1e-12)


def test_on_average_each_sign_comes_with_its_purity(sample):
    """E d = (p Σ₊ gᵢ + (1 - p) Σ₋ gᵢ)/T, to five standard errors of 10,000 draws."""
    G = sample("normal", 4, 6, batch=1)[0]
    purity = 0.5 * (1 + G.sum(0) / G.abs().sum(0))
    plus, minus = G.clamp_min(0).sum(0) / 4, G.clamp_max(0).sum(0) / 4
    expected = purity * plus + (1 - purity) * minus
    A, n = fm.GradDrop(), 10_000
    direction = torch.stack([A(G) for _ in range(n)]).mean(0)
    error = (purity * (1 - purity)).sqrt() * (plus - minus) / n**0.5
    assert ((direction - expected).abs() <= 5 * error).all()
    assert (error > 0).any()


def test_it_gives_the_directions_by_hand():
    """Columns where all agree, where all are 0, and one of two results where they do not."""
    G = torch.tensor([[4.0, -2.0, 0.0, 3.0, 0.0], [2.0, -1.0, 0.0, -1.0, -5.0]])
    A = fm.GradDrop()
    direction = [A(G).tolist() for _ in range(200)]
    assert {tuple(d[:3]) for d in direction} == {(3.0, -1.5, 0.0)}
    last = [d[3] for d in direction]
    assert set(last) == {1.5, -0.5}
    assert 120 <= last.count(1.5) <= 180  # of 200, with purity 3/4
    assert {d[4] for d in direction} == {-2.5}


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), T=st.integers(1, 6), P=st.integers(1, 20))
def test_an_element_is_the_mean_of_its_positive_or_of_its_negative_parts(seed, T, P):
    generator = torch.Generator().manual_seed(seed)
    G = torch.randn(T, P, generator=generator, dtype=torch.float64)
    G[torch.rand(T, P, generator=generator) < 0.2] = 0
    direction = fm.GradDrop(generator)(G)
    plus, minus = G.clamp_min(0).mean(0), G.clamp_max(0).mean(0)
    assert torch.minimum((direction - plus).abs(), (direction - minus).abs()).max() <= 1e-14
    assert (direction[(G >= 0).all(0)] >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_sum_leaves_the_range_of_the_dtype(dtype):
    high, low = torch.finfo(dtype).max / 2, torch.finfo(dtype).tiny
    G = torch.tensor([[high, low, -high, high], [high, low, -high, low], [high, low, -high, 0]], dtype=dtype)
    direction = fm.GradDrop()(G)
    assert direction.isfinite().all()
    torch.testing.assert_close(direction[:3], G[0, :3])
    torch.testing.assert_close(direction[3], G[0, 3] / 3)


def test_where_all_agree_no_draw_can_drop_them(monkeypatch):
    """A draw in [0, 1) may be 0, and must not let a sign of purity 0 through."""
    G = torch.tensor([[4.0, -2.0], [2.0, -1.0]])
    for value in (0.0, 1 - 2**-24):
        monkeypatch.setattr(torch, "rand", lambda size, value=value, **_: torch.full((size,), value))
        assert fm.GradDrop()(G).tolist() == [3.0, -1.5]


def test_a_call_draws_once_for_the_whole_batch(sample):
    G = sample("normal", 3, 30, batch=1).expand(6, 3, 30)
    A = fm.GradDrop()
    for _ in range(3):
        assert A(G).unique(dim=0).shape[0] == 1
    assert not A(G[0]).equal(A(G[0]))


def test_each_part_of_a_step_has_one_draw_of_its_own(sample):
    loss, flat = sample("normal", 3, 40, batch=2)
    generator = torch.Generator().manual_seed(4)
    expected = fm.GradDrop(generator)(loss) + fm.GradDrop(generator)(flat)
    direction = fm.decomposed(fm.Decomposition(loss, flat), fm.GradDrop(torch.Generator().manual_seed(4)))
    torch.testing.assert_close(direction, expected)
    whole = fm.direct(fm.Decomposition(loss, flat), fm.GradDrop())
    torch.testing.assert_close(whole, fm.GradDrop()(loss + flat))


# the generator ----------------------------------------------------------------------------------------------


def test_the_global_generator_is_neither_read_nor_moved(sample):
    G = sample("normal", 3, 30, batch=1)[0]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = [d.tolist() for d in map(fm.GradDrop(), [G] * 5)]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert [d.tolist() for d in map(fm.GradDrop(), [G] * 5)] == first


@pytest.mark.parametrize("calls", [0, 3])
def test_the_state_goes_through_a_file_into_a_new_object(calls, tmp_path, sample):
    G = sample("normal", 3, 30, batch=1)[0]
    old = fm.GradDrop(torch.Generator().manual_seed(5))
    for _ in range(calls):
        old(G)
    torch.save(old.state_dict(), tmp_path / "state.pt")
    expected = [old(G).tolist() for _ in range(5)]
    fresh = fm.GradDrop()
    assert [fresh(G).tolist() for _ in range(5)] != expected
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [fresh(G).tolist() for _ in range(5)] == expected
