"""NGDiff is the unit sum of the unit gradients, as long as the gradients are on average."""

import pytest
from torch.nn.functional import normalize

import flatmtl_lite as fm


@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 50), (10, 4), (40, 200)])
def test_it_is_the_unit_sum_of_unit_gradients(T, P, mixture):
    natures = ["normal", "descent", "rank_2"] + ["no_descent"] * (T > 2)
    G, _ = mixture(natures, T, P, decades=[0, 6])
    expected = normalize(normalize(G, dim=-1).sum(-2), dim=-1) * G.norm(dim=-1).mean(-1, keepdim=True)
    assert ((fm.NGDiff()(G) - expected).norm(dim=-1) <= 1e-8 * expected.norm(dim=-1)).all()


def test_the_direction_is_0_for_opposite_gradients(mixture):
    G, _ = mixture(["no_descent"], 2, 5, decades=[0, 6])
    assert not fm.NGDiff()(G).any()
