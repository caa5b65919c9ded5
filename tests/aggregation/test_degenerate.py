"""Every aggregator gives finite directions on degenerate matrices, and the documented one if it exists."""

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

# The length of g is √14, of e √10. Cases that are not listed have several right answers or are tested by
# optimality elsewhere.
L = (14**0.5, 10**0.5)
MEAN_LENGTH = (22 / 3) ** 0.5  # of (2g + e)/3
SAME = dict.fromkeys(fm.AGGREGATORS, g)
ALL_ZERO = dict.fromkeys(fm.AGGREGATORS, ZERO)
GRAMIAN = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.GramianAggregator)]
NOTHING = dict.fromkeys(GRAMIAN, ZERO)
# MGDA keeps a zero row: a task at its minimum stops all tasks. Seven methods leave it out.
WITH_ZEROS = {
    **dict.fromkeys(("mean", "pcgrad", "upgrad", "dual_proj", "conicgrad", "graddrop", "constant"), g / 2),
    **dict.fromkeys(("imtl_g", "nash_mtl", "fairgrad", "aligned_mtl", "gradvac", "ngdiff", "config"), g),
    "mgda": ZERO,
}
# Losses are 0.5 ... 2 (see `fresh`): SI, GLS and STCH have simple weights, BMTL nearly equal ones.
WEIGHTS = {"si": {2: (0.8, 0.2), 3: (20 / 33, 8 / 33, 5 / 33), 4: (0.48, 0.24, 0.16, 0.12)}}
WEIGHTS |= dict.fromkeys(("gls", "stch"), WEIGHTS["si"])
EQUAL = ("dwa", "uw", "slaw", "imtl_l", "constant")
WEIGHTS |= {name: {T: (1 / T,) * T for T in (2, 3, 4)} for name in EQUAL}
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
        "dual_proj": (2 * g + e) / 3,
        # u is the bisector of g and e, on which the mean projects to (2 L₀ + L₁)/(3√2)
        "config": (g / L[0] + e / L[1]) * (2 * L[0] + L[1]) / 6,
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
        "config": ZERO,
        "dual_proj": ZERO,
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
        "config": 8 / 3 * g,
        "dual_proj": 8 / 3 * g,
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
        "config": -2 / 3 * g,  # u = ĝ, and the projections onto it sum to -2 ‖g‖
        "dual_proj": ZERO,
    },
}
# MoCo's first weights are 1/T, less 0.1 times the slope G Gᵀ(1/T) over the mean of ‖gᵢ‖². Then all move by
# one number, to a sum of 1. No weight reaches 0 here.
MOCO = {
    "a zero row": 0.45 * g,
    "two zero rows of four": 0.4 * g,
    "equal rows and another": 2 * (1 / 3 - 0.6 / 38) * g + (1 / 3 + 1.2 / 38) * e,
    "opposite, equal norms": ZERO,
    "opposite, unequal norms": (0.54 - 3 * 0.46) * g,
    "opposite pairs": ZERO,
    "rank 1, same direction": (8 / 3 - 0.08 / 3 * (30 - 64 / 3)) * g,
    "rank 1, both directions": (-2 / 3 + 0.1 * (2 - 4 / 45)) * g,
}
EXPECTED = {
    case: {**expected, "moco": MOCO.get(case, expected["mean"])} for case, expected in EXPECTED.items()
}
for case, rows in ROWS.items():
    if "mean" in EXPECTED[case]:  # weights that have not moved yet
        EXPECTED[case] |= dict.fromkeys(("excess_mtl", "gradnorm"), EXPECTED[case]["mean"])
    if "ngdiff" in EXPECTED[case]:  # the same without memory, so that losses do not matter
        EXPECTED[case] |= {"db_mtl": EXPECTED[case]["ngdiff"]}
    for name, weights in WEIGHTS.items():
        if len(rows) > 1:
            weighted = sum(w * row for w, row in zip(weights[len(rows)], rows, strict=True))
            EXPECTED[case] = {**EXPECTED[case], name: weighted}
RANGE = {
    torch.float64: (1e-30, 1e30),
    torch.float32: (1e-30, 1e30),
    torch.bfloat16: (1e-30, 1e30),
    torch.float16: (1e-3, 1e3),  # float16 itself ends at 6e-8 and 65504
}
# how far a direction may be off, relative to the longest gradient
TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 2e-2}
pytestmark = pytest.mark.parametrize("name", fm.AGGREGATORS)


@pytest.mark.parametrize("case", ROWS)
def test_the_direction_is_finite_and_as_documented(name, case, fresh, fresh_weights):
    for dtype in RANGE:
        G = torch.stack(ROWS[case]).to(dtype)
        direction = fresh(name)(G).double()
        assert direction.isfinite().all(), dtype
        if name in GRAMIAN:
            assert fresh_weights(name)(G.double() @ G.double().mT).isfinite().all()
        longest = G.double().norm(dim=-1).max()
        assert direction.norm() <= longest * (1 + 1e-2)
        if name in EXPECTED[case]:
            assert (direction - EXPECTED[case][name]).norm() <= TOLERANCE[dtype] * longest, dtype


def test_the_direction_scales_to_both_ends_of_the_range(name, fresh):
    for case, rows in ROWS.items():
        G = torch.stack(rows)
        middle = fresh(name)(G)
        for dtype, ends in RANGE.items():
            tolerance = {torch.float64: 1e-7, torch.float32: 1e-3}.get(dtype, 5e-2)
            for scale in ends:
                end = fresh(name)((scale * G).to(dtype)).double() / scale
                assert (end - middle).norm() <= tolerance * G.norm(dim=-1).max(), (case, dtype, scale)


def test_norms_may_span_the_whole_range_within_one_matrix(name, sample, fresh):
    """The weight of a row may lie outside the range of the dtype although the direction lies within it."""
    for T, P in [(2, 3), (3, 5), (5, 3), (10, 20)]:
        rows = normalize(sample("normal", T, P), dim=-1)
        for dtype, (low, high) in RANGE.items():
            exponents = torch.tensor([low, high]).log10()
            norms = torch.logspace(*exponents, T, dtype=torch.float64)
            G = (rows * norms.unsqueeze(-1)).to(dtype)
            direction = fresh(name)(G)
            assert direction.isfinite().all(), (T, dtype)
            longest = G.double().norm(dim=-1).amax(-1)
            assert (direction.double().norm(dim=-1) <= longest * (1 + 1e-2)).all(), (T, dtype)


def test_norms_over_the_whole_range_give_the_direction_of_float64(name, mixture, fresh):
    matrices, _ = mixture(["normal", "descent"], 3, 6, decades=[60])
    for dtype, tolerance in [(torch.float32, 1e-3), (torch.bfloat16, 2e-2)]:
        G = matrices.to(dtype)
        expected = fresh(name)(G.double())
        error = (fresh(name)(G).double() - expected).norm(dim=-1)
        assert (error <= tolerance * expected.norm(dim=-1)).all(), dtype


def test_rows_may_be_nearly_equal_or_nearly_opposite(name, sample, fresh):
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0]).unsqueeze(-1)
    # a direction of cancelling rows that is stretched to a length has it to the digits that remain
    tolerance = 0.05 if name in ("nash_mtl", "fairgrad", "ngdiff", "db_mtl") else 1e-5
    for distance in (1e-3, 1e-6, 1e-9, 1e-12):
        noise = sample("normal", 4, 3) * distance
        for dtype in (torch.float64, torch.float32):
            equal, opposite = (g + noise).to(dtype), (signs * g + noise).to(dtype)
            for G in (equal, opposite):
                direction = fresh(name)(G)
                assert direction.isfinite().all()
                assert (direction.norm(dim=-1) <= G.norm(dim=-1).amax(-1) * (1 + tolerance)).all()
            if name not in ("imtl_g", "aligned_mtl"):  # they jump where rows become equal, as documented
                assert (fresh(name)(equal) - g).norm(dim=-1).max() <= 20 * distance + 1e-5
