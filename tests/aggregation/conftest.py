"""Matrices of a known nature, so that a test knows their properties, and one aggregator of each kind."""

import zlib
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor


def _sample(nature: str, T: int, P: int, batch: int = 50, decades: float = 0) -> Tensor:
    """Return task gradients (batch, T, P) in float64, always the same for the same arguments.

    Natures:
        normal: independent normal entries.
        descent: some v has ⟨gᵢ, v⟩ > 0.05 ‖gᵢ‖ for every i: all tasks can descend together.
        no_descent: Σ wᵢgᵢ = 0 with all wᵢ > 0: Pareto-stationary, no direction descends on every task.
        some_cancel: normal, but the last row opposes the first (T = 2, 3) or the first two: Pareto-stationary
            whatever the other rows are.
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


def _mixture(
    natures: Iterable[str], T: int, P: int, batch: int = 50, decades: Iterable[float] = (0,)
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return samples of all natures and spreads of norms in one batch, and for each nature its mask (n,)."""
    parts = [(nature, _sample(nature, T, P, batch, spread)) for nature in natures for spread in decades]
    labels = [nature for nature, G in parts for _ in G]
    masks = {nature: torch.tensor([label == nature for label in labels]) for nature in natures}
    return torch.cat([G for _, G in parts]), masks


@pytest.fixture(scope="session")
def sample():
    """The function that makes task gradients (batch, T, P) of a known nature."""
    return _sample


@pytest.fixture(scope="session")
def mixture():
    """The function that makes one batch of several natures: ``G, is_a = mixture(["normal", ...], T, P)``."""
    return _mixture


KINDS = {
    "mean": "one product",
    "mgda": "weights of the Gramian",
    "gradvac": "weights of the Gramian, draws and remembers",
    "gradnorm": "weights of the Gramian, reads losses and remembers",
    "graddrop": "elements, draws",
    "db_mtl": "rows, reads losses and remembers",
    "moco": "rows, remembers",
    "excess_mtl": "elements, remembers",
    "si": "weights of the losses",
    "rlw": "weights of the losses, draws",
    "dwa": "weights of the losses, remembers",
    "uw": "weights of the losses, learns",
}


@pytest.fixture(params=KINDS)
def kind(request):
    """The name of one aggregator of each kind; two of a kind share their code outside of ``solve``."""
    return request.param
