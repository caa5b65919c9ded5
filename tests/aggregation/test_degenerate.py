"""Every aggregator on degenerate matrices: finite always, and the documented result where one is fixed."""

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm

g = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
e = torch.tensor([3.0, 0.0, -1.0], dtype=torch.float64)  # orthogonal to g, of length √10
ZERO = torch.zeros(3, dtype=torch.float64)
ROWS = {
    "one task": [g],
    "one task, zero": [ZERO],
    "all zero": [ZERO, ZERO, ZERO],
    "a zero row": [ZERO, g],
    "two zero rows of four": [ZERO, g, ZERO, g],
    "equal rows": [g, g, g, g],
    "equal rows and another": [g, g, e],
    "opposite, equal norms": [g, -g],
    "opposite, unequal norms": [g, -3 * g],
    "opposite pairs": [g, -g, e, -e],
    "rank 1, same direction": [g, 2 * g, 5 * g],
    "rank 1, both directions": [g, 2 * g, -5 * g],
}

# The length of g is √14, of e √10. What is not listed has several right answers or is tested by optimality.
L = (14**0.5, 10**0.5)
MEAN_LENGTH = (22 / 3) ** 0.5  # of (2g + e)/3
SAME = dict.fromkeys(fm.AGGREGATORS, g)
ALL_ZERO = dict.fromkeys(fm.AGGREGATORS, ZERO)
GRAMIAN = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.GramianAggregator)]
NOTHING = dict.fromkeys(GRAMIAN, ZERO)
# MGDA keeps a zero row: a task at its minimum stops all. Six methods leave it out.
WITH_ZEROS = {
    **dict.fromkeys(("mean", "pcgrad", "upgrad", "conicgrad", "graddrop"), g / 2),
    **dict.fromkeys(("imtl_g", "nash_mtl", "fairgrad", "aligned_mtl", "gradvac", "ngdiff"), g),
    "mgda": ZERO,
}
# Losses are 0.5 ... 2 (see `fresh`): BMTL has about equal weights, those of SI are known.
WEIGHTS = {"si": {2: (0.8, 0.2), 3: (20 / 33, 8 / 33, 5 / 33), 4: (0.48, 0.24, 0.16, 0.12)}}
WEIGHTS |= {name: {T: (1 / T,) * T for T in (2, 3, 4)} for name in ("dwa", "uw", "slaw", "imtl_l")}
EXPECTED = {
    "one task": SAME,
    "one task, zero": ALL_ZERO,
    "all zero": ALL_ZERO,
    "a zero row": WITH_ZEROS,
    "two zero rows of four": WITH_ZEROS,
    "equal rows": SAME,
    "equal rows and another": {
        "mean": (2 * g + e) / 3,
        "mgda": (10 * g + 14 * e) / 24,
        "pcgrad": (2 * g + e) / 3,
        # e gains least, ⟨e, d⟩ < ⟨g, d⟩, also where the ball around the mean reaches farthest along e
        "cagrad": ((2 * g + e) / 3 + 0.4 * MEAN_LENGTH * e / L[1]) / 1.4,
        "gradvac": (2 * g + e) / 3,
        "imtl_g": (g / L[0] + e / L[1]) / (1 / L[0] + 1 / L[1]),
        # u₁ = u₂ = 1/√2 and u₃ = 1 solve Cu = 1/u
        "nash_mtl": (2**0.5 * g / L[0] + e / L[1]) / 3**0.5 * (2 * L[0] + L[1]) / 3,
        # w = 28^(-2/3) for g, twice, and v = 10^(-2/3) for e solve 28 w = w^(-1/2) and 10 v = v^(-1/2)
        "fairgrad": normalize(2 * 28 ** (-2 / 3) * g + 10 ** (-2 / 3) * e, dim=0) * (2 * L[0] + L[1]) / 3,
        "upgrad": (2 * g + e) / 3,
        # singular values √28 and √10
        "aligned_mtl": (2 * (10 / 28) ** 0.5 * g + e) / 3,
        # MGDA's direction, on which both gain the same, has a cosine of 0.89 with the mean: above 0.5
        "conicgrad": normalize(10 * g + 14 * e, dim=0) * MEAN_LENGTH,
        "ngdiff": (2 * g / L[0] + e / L[1]) / 5**0.5 * (2 * L[0] + L[1]) / 3,
    },
    "opposite, equal norms": NOTHING,
    # CAGrad's ball of radius 0.4 ‖g₀‖ about g₀ = -g ends at -0.6 g; then 1 + c divides.
    "opposite, unequal norms": {
        "mean": -g,
        "mgda": ZERO,
        "pcgrad": ZERO,
        "gradvac": ZERO,
        "cagrad": -0.6 / 1.4 * g,
        "imtl_g": ZERO,
        "nash_mtl": ZERO,
        "fairgrad": ZERO,
        "upgrad": ZERO,
        "aligned_mtl": -g,
        "conicgrad": -g,
        "ngdiff": ZERO,
    },
    "opposite pairs": NOTHING,
    "rank 1, same direction": {
        "mean": 8 / 3 * g,
        "mgda": g,
        "pcgrad": 8 / 3 * g,
        "gradvac": 8 / 3 * g,
        "graddrop": 8 / 3 * g,
        "cagrad": 8 / 3 * g,
        "imtl_g": 3 / 1.7 * g,  # equal projections: the harmonic mean of the lengths
        "nash_mtl": 8 / 3 * g,
        "fairgrad": 8 / 3 * g,
        "upgrad": 8 / 3 * g,
        "aligned_mtl": 8 / 3 * g,
        "conicgrad": 8 / 3 * g,
        "ngdiff": 8 / 3 * g,
    },
    "rank 1, both directions": {
        "mean": -2 / 3 * g,
        "mgda": ZERO,
        "pcgrad": ZERO,
        "cagrad": -0.4 / 1.4 * g,
        "gradvac": ZERO,
        # ⟨ĝᵢ, d⟩ is nearest to 1 for all at d = ĝ/3, by weights 1, 1/2, -1/5 over 9‖g‖: sizes sum to 1.7
        "imtl_g": 3 / 1.7 * g,
        "nash_mtl": ZERO,
        "fairgrad": ZERO,
        "upgrad": ZERO,
        "aligned_mtl": -2 / 3 * g,
        "conicgrad": -2 / 3 * g,
        "ngdiff": 8 / 3 * g,
    },
}
for case, rows in ROWS.items():
    for name, weights in WEIGHTS.items():
        if len(rows) > 1:
            known = sum(w * row for w, row in zip(weights[len(rows)], rows, strict=True))
            EXPECTED[case] = {**EXPECTED[case], name: known}
RANGE = {
    torch.float64: (1e-30, 1e30),
    torch.float32: (1e-30, 1e30),
    torch.bfloat16: (1e-30, 1e30),
    torch.float16: (1e-3, 1e3),  # float16 itself ends at 6e-8 and 65504
}
DTYPES = list(RANGE)
pytestmark = pytest.mark.parametrize("name", fm.AGGREGATORS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ROWS)
def test_finite_and_as_documented(name, case, dtype, fresh):
    G = torch.stack(ROWS[case]).to(dtype)
    direction = fresh(name)(G).double()
    assert direction.isfinite().all()
    if name in GRAMIAN:
        assert fm.aggregator(name).weights(G.double() @ G.double().mT).isfinite().all()
    longest = G.double().norm(dim=-1).max()
    assert direction.norm() <= longest * (1 + 1e-2)
    if name in EXPECTED[case]:
        tolerance = {torch.float64: 1e-7, torch.float32: 1e-3}.get(dtype, 2e-2)
        assert (direction - EXPECTED[case][name]).norm() <= tolerance * longest


@pytest.mark.parametrize("case", ROWS)
def test_degenerate_at_both_ends_of_the_range(name, case, fresh):
    G = torch.stack(ROWS[case])
    middle = fresh(name)(G)
    for dtype in DTYPES:
        tolerance = {torch.float64: 1e-7, torch.float32: 1e-3}.get(dtype, 5e-2)
        for scale in RANGE[dtype]:
            found = fresh(name)((scale * G).to(dtype)).double() / scale
            assert (found - middle).norm() <= tolerance * G.norm(dim=-1).max(), (dtype, scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 5), (5, 3), (10, 20)])
def test_norms_over_the_whole_range_within_one_matrix(name, T, P, dtype, sample, fresh):
    """The weight of a row may lie outside the range of the dtype, though the direction lies within."""
    low, high = RANGE[dtype]
    norms = torch.logspace(torch.tensor(low).log10(), torch.tensor(high).log10(), T, dtype=torch.float64)
    G = (normalize(sample("normal", T, P), dim=-1) * norms.unsqueeze(-1)).to(dtype)
    direction = fresh(name)(G)
    assert direction.isfinite().all()
    assert (direction.double().norm(dim=-1) <= G.double().norm(dim=-1).amax(-1) * (1 + 1e-2)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("nature", ["normal", "descent"])
def test_norms_over_the_whole_range_give_the_direction_of_float64(name, nature, dtype, sample, fresh):
    G = sample(nature, 3, 6, decades=60).to(dtype)
    found = fresh(name)(G).double()
    expected = fresh(name)(G.double())
    tolerance = 1e-3 if dtype == torch.float32 else 2e-2
    assert ((found - expected).norm(dim=-1) <= tolerance * expected.norm(dim=-1)).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12])
def test_nearly_equal_and_nearly_opposite_rows(name, distance, dtype, sample, fresh):
    noise = sample("normal", 4, 3) * distance
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0]).unsqueeze(-1)
    equal, opposite = (g + noise).to(dtype), (signs * g + noise).to(dtype)
    for G in (equal, opposite):
        direction = fresh(name)(G)
        assert direction.isfinite().all()
        # a direction of cancelling rows that gets a length of its own has it to the digits that are left
        tolerance = 0.05 if name in ("nash_mtl", "fairgrad", "ngdiff") else 1e-5
        assert (direction.norm(dim=-1) <= G.norm(dim=-1).amax(-1) * (1 + tolerance)).all()
    if name not in ("imtl_g", "aligned_mtl"):  # which jump where rows become equal, as documented
        assert (fresh(name)(equal) - g).norm(dim=-1).max() <= 20 * distance + 1e-5
