"""ConFIG projects the mean gradient onto the line at equal angles, which is IMTL-G's for independent rows."""

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm


def cosines(G, d):
    return (normalize(G, dim=-1) @ normalize(d, dim=-1).unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize(
    ("G", "expected"),
    [
        ([[1.0, 0.0], [0.0, 3.0]], [1.0, 1.0]),  # projections √½ and 3√½, their mean √2
        ([[2.0, 0.0], [-1.0, 3.0**0.5]], [0.5, 3.0**0.5 / 2]),  # at 60° from both: projections 1 and 1
        ([[0.0, 4.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 2.0]], [1.0, 1.0, 1.0]),
        ([[1.0, 0.0], [1.0, 0.0], [-4.0, 0.0]], [-2 / 3, 0.0]),  # u = (1, 0), and the mean lies on it
    ],
)
def test_it_gives_the_directions_by_hand(G, expected):
    direction = fm.ConFIG()(torch.tensor(G, dtype=torch.float64))
    assert direction.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("T", "P"), [(2, 2), (3, 40), (10, 12), (40, 200)])
def test_the_cosines_are_equal_and_the_length_is_the_mean_projection(T, P, mixture):
    G, _ = mixture(["normal", "descent"], T, P, decades=[0, 6])
    d = fm.ConFIG()(G)
    c = cosines(G, d)
    assert (c > 0).all()
    assert (c - c.mean(-1, keepdim=True)).abs().max() <= 1e-8
    length = (G @ normalize(d, dim=-1).unsqueeze(-1)).mean(-2).squeeze(-1)
    torch.testing.assert_close(d.norm(dim=-1), length, rtol=1e-8, atol=0)


@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 9), (10, 60)])
def test_independent_gradients_have_the_direction_of_imtl_g(T, P, mixture):
    G, _ = mixture(["normal", "descent"], T, P, decades=[0, 2])
    assert (torch.cosine_similarity(fm.ConFIG()(G), fm.IMTLG()(G), dim=-1) >= 1 - 1e-9).all()


@pytest.mark.parametrize(("T", "P"), [(3, 2), (10, 4), (40, 10)])
def test_dependent_gradients_have_the_line_of_imtl_g_and_the_side_of_the_mean(T, P, mixture):
    G, _ = mixture(["normal", "descent"], T, P, decades=[0, 2])
    d, line, mean = fm.ConFIG()(G), normalize(fm.IMTLG()(G), dim=-1), G.mean(-2)
    expected = (mean * line).sum(-1, keepdim=True) * line
    assert ((d - expected).norm(dim=-1) <= 1e-7 * G.norm(dim=-1).amax(-1)).all()
    assert ((d * mean).sum(-1) >= -1e-9 * mean.square().sum(-1)).all()
    assert ((d * line).sum(-1) < 0).any()  # there the published length is negative


def test_zero_rows_are_left_out(sample):
    G = sample("normal", 4, 9)
    with_zeros = G.clone()
    with_zeros[:, 1] = 0
    torch.testing.assert_close(fm.ConFIG()(with_zeros), fm.ConFIG()(G[:, [0, 2, 3]]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_direction_is_0_where_the_unit_gradients_sum_to_0(dtype):
    for T in (2, 3, 5):
        turns = torch.arange(T, dtype=torch.float64) * (2 * torch.pi / T)
        angles = torch.arange(10).unsqueeze(-1) + turns
        lengths = torch.arange(1.0, T + 1, dtype=dtype).unsqueeze(-1)
        G = lengths * torch.stack([angles.cos(), angles.sin()], -1).to(dtype)
        assert not fm.ConFIG()(G).any()
