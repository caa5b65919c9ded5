"""Solvers keep what they promise where some of the rows cancel, exactly or nearly.

Such rows leave a direction that hardly helps them: all gains along them are rounding or close to it.
"""

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm
from flatmtl_lite.aggregation.active_set import GUESSES, active_set
from flatmtl_lite.aggregation.cone import cone_minimum

EPS = torch.finfo(torch.float64).eps
DISTANCES = [0.0, 1e-13, 1e-11, 1e-9, 1e-7, 1e-6, 1e-5, 1e-3]
ALPHAS = [0.5, 0.6, 0.7, 0.8, 1.0, 2.0, 4.0]
SIZES = [(4, 5), (5, 10), (8, 5), (10, 30), (40, 60)]


class Draws:
    """Random rows (n, T, P), some of which cancel but for parts of the length ``distance``."""

    def __init__(self, T, P, distance, n):
        generator = torch.Generator().manual_seed(1000 * T + P)
        self.normal = lambda *shape: torch.randn(n, *shape, generator=generator, dtype=torch.float64)
        self.factor = lambda k: 0.1 + 3 * torch.rand(n, k, 1, generator=generator, dtype=torch.float64)
        self.G, self.distance = self.normal(T, P), distance

    def opposite_to_two_parallel(self):
        """Row 1 is a multiple of row 0, row 2 of its opposite."""
        G, P = self.G, self.G.shape[-1]
        G[:, 1:3] = self.factor(2) * torch.tensor([[1.0], [-1.0]]).double() * G[:, :1]
        G[:, 1:3] += self.distance * self.normal(2, P)
        return G

    def opposite_pairs(self):
        G, half = self.G, (self.G.shape[1] + 1) // 2
        G[:, half:] = -self.factor(G.shape[1] - half) * G[:, : G.shape[1] - half]
        return G + self.distance * self.normal(*G.shape[1:])

    def half_of_the_rows_span_the_boundary_of_a_half_space(self):
        """The boundary is where entry 0 is 0. The other rows lie inside."""
        G, half = self.G, max(2, self.G.shape[1] // 2)
        G[:, half - 1] = -(self.factor(half - 1) * G[:, : half - 1]).sum(1)
        G[:, half:, 0] = G[:, half:, 0].abs()
        G[:, :half, 0] = self.distance * self.factor(half).squeeze(-1)
        return G

    def a_fan_nearly_as_wide_as_a_half_space(self):
        """All rows lie near ±e₀, on the side of e₁."""
        G = self.distance * self.G
        G[..., 0] = torch.where(torch.arange(G.shape[1]) % 2 == 0, 1.0, -1.0).double()
        G[..., 1] = self.distance * self.factor(G.shape[1]).squeeze(-1)
        return G

    def nearly_duplicated(self):
        G, half = self.G, (self.G.shape[1] + 1) // 2
        G[:, half:] = self.factor(G.shape[1] - half) * G[:, : G.shape[1] - half]
        return G + self.distance * self.normal(*G.shape[1:])


STATIONARY = [
    Draws.opposite_to_two_parallel,
    Draws.opposite_pairs,
    Draws.half_of_the_rows_span_the_boundary_of_a_half_space,
    Draws.a_fan_nearly_as_wide_as_a_half_space,
]
FAMILIES = [*STATIONARY, Draws.nearly_duplicated]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)


def draws(family, n=20):
    """All sizes and distances of a family, with norms of one order and over six decades."""
    for T, P in SIZES:
        for distance in DISTANCES:
            G = family(Draws(T, P, distance, n if T < 40 else 4))
            yield G
            decades = torch.linspace(-3, 3, T, dtype=torch.float64).unsqueeze(-1)
            yield normalize(G, dim=-1) * 10**decades


def gains(G, d):
    """Return the cosines (n, T) of the rows and the direction, and 0 where the direction is 0."""
    return (normalize(G, dim=-1) @ normalize(d, dim=-1).unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("alpha", ALPHAS)
@every_family
def test_a_fair_direction_descends_on_every_task_and_meets_its_equations_or_is_0(family, alpha):
    aggregate = fm.NashMTL() if alpha == 1 else fm.FairGrad(alpha=alpha)
    for G in draws(family):
        weights = aggregate.weights(G @ G.mT)
        solved = (weights != 0).any(-1)
        G, w = G[solved], weights[solved]
        d = (w.unsqueeze(-2) @ G).squeeze(-2)
        assert (w > 0).all()
        assert (gains(G, d) > -1e-8).all()

        share = w ** (1 - 1 / alpha)
        size = G.norm(dim=-1) * d.norm(dim=-1, keepdim=True)
        fair = share / share.sum(-1, keepdim=True) * d.square().sum(-1, keepdim=True) / w / size
        # a direction that cancels to a fraction of its terms has its length to eps / fraction²
        fraction = d.norm(dim=-1, keepdim=True) / (w * G.norm(dim=-1)).sum(-1, keepdim=True)
        assert ((gains(G, d) - fair).abs() <= 1e-8 + 16 * EPS / fraction**2).all()


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("family", STATIONARY, ids=lambda family: family.__name__)
def test_a_fair_direction_is_0_where_some_of_the_rows_cancel(family, alpha):
    for T, P in SIZES:
        G = family(Draws(T, P, 0.0, 50 if T < 40 else 8))
        assert not fm.FairGrad(alpha).weights(G @ G.mT).any(), (T, P)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_fair_direction_is_found_where_rows_are_1e_minus_5_from_cancelling(alpha):
    for T, P in SIZES[:4]:
        G = Draws(T, P, 1e-5, 50).a_fan_nearly_as_wide_as_a_half_space()
        assert fm.FairGrad(alpha).weights(G @ G.mT).all(), (T, P)


@pytest.mark.parametrize("alpha", [0.5, 0.8, 2.0])
def test_a_fair_direction_that_has_not_converged_is_0(alpha, monkeypatch):
    monkeypatch.setattr("flatmtl_lite.aggregation.fairness.ROUNDS", 3)
    G = Draws(10, 30, 1e-6, 50).opposite_to_two_parallel()
    assert not fm.FairGrad(alpha).weights(G @ G.mT).any()


@every_family
def test_mgda_is_shortest_row_by_row(family):
    for G in draws(family):
        d = fm.MGDA()(G)
        length = d.norm(dim=-1, keepdim=True)
        assert (gains(G, d) * G.norm(dim=-1) >= length - 1e-8 * G.norm(dim=-1)).all()


@every_family
def test_upgrad_ascends_on_no_task_and_its_projections_are_nearest(family):
    for G in draws(family, n=2):
        unit = normalize(G, dim=-1)
        C = unit @ unit.mT
        v = cone_minimum(C.unsqueeze(-3), -C, EPS)
        after = (unit + v @ unit) @ unit.mT
        assert (v >= 0).all()
        assert (after >= -1e-7).all()
        assert ((v * after).abs() <= 1e-7 * (1 + v)).all()
        d, norms = fm.UPGrad()(G), G.norm(dim=-1)
        terms = (fm.UPGrad().weights(G @ G.mT) * norms).sum(-1, keepdim=True)
        allowed = 1e-8 * norms.mean(-1, keepdim=True) + 16 * EPS * terms
        assert ((unit @ d.unsqueeze(-1)).squeeze(-1) >= -allowed).all()


@every_family
def test_cagrad_stays_in_its_ball_and_conicgrad_in_its_cone(family):
    for G in draws(family, n=6):
        mean = G.mean(-2)
        radius = mean.norm(dim=-1)
        for c in (0.1, 0.4, 0.9):
            d = (1 + c) * fm.CAGrad(c)(G)
            # where the rows of the search cancel to δ, the length is off by 8 eps/δ², and δ is 2e-7 or more
            assert ((d - mean).norm(dim=-1) <= 1.05 * c * radius + 1e-15).all(), c
            # within the ball no direction helps the worst task more; the mean is within it
            worst, usual = (((G @ x.unsqueeze(-1)).squeeze(-1)).amin(-1) for x in (d, mean))
            assert (worst >= usual - 1e-7 * radius * G.norm(dim=-1).amax(-1)).all(), c
            cone = fm.ConicGrad(c)(G)
            assert cone.isfinite().all()
            assert ((cone * mean).sum(-1) >= (c - 1e-2) * radius * cone.norm(dim=-1)).all(), c


def test_a_walk_in_circles_ends_at_a_minimum_once_its_slopes_count_as_rounding():
    """Rounding tells the walk that row 1 helps where row 0 carries all weight, and the other way round."""
    calls, T = [], 4

    def toward(face, u):
        calls.append(face)
        both = face[:, :2].all(-1, keepdim=True)
        leaving = u[:, :2].argmax(-1, keepdim=True)
        minimum = face.double() - 2 * both * torch.zeros_like(u).scatter(-1, leaving, 1.0)
        slopes = torch.where(face, 0.0, torch.tensor([-1e-9, -1e-9, 1.0, 1.0]).double())
        return minimum - u, torch.ones_like(both), slopes

    start = torch.eye(T, dtype=torch.float64)[:1]
    u = active_set(start > 0, start, toward)
    assert u.tolist() in ([[1.0, 0.0, 0.0, 0.0]], [[0.0, 1.0, 0.0, 0.0]])
    assert GUESSES + 3 * T < len(calls) <= GUESSES + 7 * T  # the slopes are rounding only after a long walk
