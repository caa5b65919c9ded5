"""Matrices of a known nature: what is true of them is built in, so a test knows what to expect."""

import zlib

import pytest
import torch
from torch import Tensor


def _sample(nature: str, T: int, P: int, batch: int = 50, decades: float = 0) -> Tensor:
    """Task gradients (batch, T, P) in float64, the same ones for the same arguments.

    Natures:
        normal: independent normal entries.
        descent: some v has ⟨gᵢ, v⟩ > 0.05 ‖gᵢ‖ for every i: all tasks can descend together.
        no_descent: Σ wᵢgᵢ = 0 with all wᵢ > 0: Pareto-stationary, no direction descends on every task.
        some_cancel: normal, but the last row opposes the first (T = 2, 3) or the first two: Pareto-stationary
            however the others lie.
        rank_2: rank at most 2.

    With ``decades`` the row norms are 10^x, x uniform over an interval of that length.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(repr((nature, T, P, batch, decades)).encode()))

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    G = normal(batch, T, P)
    if nature == "descent":
        v = torch.nn.functional.normalize(normal(batch, P, 1), dim=1)
        along = G @ v
        G = G + (along.abs() + 0.1 * G.norm(dim=-1, keepdim=True) - along) @ v.mT
    elif nature == "no_descent":
        w = torch.rand(batch, 1, T, generator=generator, dtype=torch.float64) + 0.1
        G[:, -1] = -(w[..., :-1] @ G[:, :-1]).squeeze(-2) / w[..., -1]
    elif nature == "some_cancel":
        G[:, -1] = -(G[:, 0] if T <= 3 else 0.7 * G[:, 0] + 1.3 * G[:, 1])
    elif nature == "rank_2":
        G = normal(batch, T, 2) @ normal(batch, 2, P)
    else:
        assert nature == "normal", nature
    if decades:
        exponent = decades * (torch.rand(batch, T, 1, generator=generator, dtype=torch.float64) - 0.5)
        G = torch.nn.functional.normalize(G, dim=-1) * 10**exponent
    return G


@pytest.fixture(scope="session")
def sample():
    """The function that makes task gradients (batch, T, P) of a known nature."""
    return _sample
