"""Directions agree with TorchJD's; lengths differ by its own scales, so cosines are compared."""

import pytest
import torch
import torchjd.aggregation as torchjd

import flatmtl_lite as fm


def agree(ours, theirs, G):
    found = torch.stack([ours(g) for g in G])
    expected = torch.stack([theirs(g) for g in G])
    assert (expected.norm(dim=-1) > 1e-6).all()
    assert (torch.cosine_similarity(found, expected, dim=-1) > 1 - 1e-6).all()


@pytest.mark.parametrize("nature", ["normal", "descent"])
@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10)])
def test_mgda(T, P, nature, sample):
    # its Frank-Wolfe iteration needs more rounds than its default for this accuracy
    agree(fm.MGDA(), torchjd.MGDA(epsilon=1e-9, max_iters=10_000), sample(nature, T, P, batch=4))


@pytest.mark.parametrize("decades", [0, 2])
@pytest.mark.parametrize("P", [2, 20])
def test_pcgrad_of_two_tasks(P, decades, sample):
    agree(fm.PCGrad(), torchjd.PCGrad(), sample("normal", 2, P, decades=decades))


@pytest.mark.parametrize("decades", [0, 2])
@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 10), (6, 40)])
def test_imtl_g_where_its_weights_sum_to_more_than_0(T, P, decades, sample):
    G = sample("normal", T, P, decades=decades)
    positive = fm.IMTLG().weights(G @ G.mT).sum(-1) > 1e-3
    assert positive.sum() >= 20
    agree(fm.IMTLG(), torchjd.IMTLG(), G[positive])


def test_mean(sample):
    agree(fm.Mean(), torchjd.Mean(), sample("normal", 4, 9, decades=2))


# TorchJD's CAGrad needs cvxpy and clarabel, which the tests do without. Unit directions recorded with
# torchjd 0.18.0, cvxpy 1.9.3, clarabel 0.11.1: CAGrad(c, norm_eps=1e-9).gramian_weighting(G @ G.T) @ G.
TWO = [[4.0, 1.0, 0.0], [-3.0, 1.0, 1.0]]
THREE = [[2.0, -1.0, 0.0, 1.0], [-1.0, 3.0, 1.0, 0.0], [0.0, -1.0, -2.0, 2.0]]
FOUR = [[1.0, 2.0, 3.0, 4.0], [-4.0, 1.0, 1.0, 1.0], [2.0, -5.0, 1.0, 0.0], [0.0, 1.0, -1.0, 2.0]]
RECORDED = [
    (0.1, TWO, [0.3162177, 0.842446, 0.4362237]),
    (0.4, TWO, [0.0696292, 0.8703883, 0.4874177]),
    (0.9, TWO, [0.0696155, 0.8703883, 0.4874197]),
    (0.1, THREE, [0.2550524, 0.3740374, -0.2550524, 0.854396]),
    (0.4, THREE, [0.335938, 0.4798884, -0.1085791, 0.8031584]),
    (0.9, THREE, [0.4058017, 0.5012822, -0.0238654, 0.7638531]),
    (0.1, FOUR, [-0.080305, -0.1698446, 0.4459085, 0.8751397]),
    (0.4, FOUR, [-0.0681571, -0.2211467, 0.3225121, 0.9178424]),
    (0.9, FOUR, [-0.1187, -0.2732676, 0.2262729, 0.9273811]),
]


@pytest.mark.parametrize(("c", "G", "unit"), RECORDED)
def test_cagrad_as_recorded(c, G, unit):
    d = fm.CAGrad(c=c)(torch.tensor(G, dtype=torch.float64))
    torch.testing.assert_close(d / d.norm(), torch.tensor(unit, dtype=torch.float64), rtol=0, atol=1e-4)
    assert torch.cosine_similarity(d, torch.tensor(unit, dtype=torch.float64), dim=0) > 1 - 1e-6
