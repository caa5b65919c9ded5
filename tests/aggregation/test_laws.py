"""What every aggregator promises: the two laws of scale; and what a weighting of the Gramian does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmtl_lite as fm
from flatmtl_lite.aggregation import cone, gramian, simplex

GRAMIAN = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.GramianAggregator)]
every_aggregator = pytest.mark.parametrize("name", fm.AGGREGATORS)
gramian_methods = pytest.mark.parametrize("name", GRAMIAN)
DTYPES = [torch.float64, torch.float32]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
RANDOM_ORDER = ("pcgrad", "gradvac")


def error(found, expected, G):
    """The distance of two directions, relative to the longest task gradient of each problem."""
    distance = (found - expected).double().norm(dim=-1)
    return (distance / G.double().norm(dim=-1).amax(-1)).max().item()


# the two laws of scale --------------------------------------------------------------------------------------


@every_aggregator
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T", [1, 2, 3, 10, 40])
def test_unanimity_equal_gradients_give_themselves(name, T, dtype, sample, fresh):
    g = sample("normal", 1, 7).to(dtype)
    G = g.expand(-1, T, -1)
    assert error(fresh(name)(G), g.squeeze(-2), G) <= TOLERANCE[dtype]


@every_aggregator
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("nature", "T", "P"), [("normal", 3, 8), ("descent", 5, 9), ("no_descent", 4, 6)])
def test_homogeneity(name, nature, T, P, dtype, sample, fresh):
    G = sample(nature, T, P, decades=2).to(dtype)
    once = fresh(name)(G)
    # the directions of conflicting gradients are short: rounding of G shows at the square root of eps
    tolerance = 1e-6 if dtype == torch.float64 else 1e-2
    for scale in (3.7, 1e-3, 1e4, 1e-12, 1e12, 1e-25, 1e25):
        scaled = fresh(name)(scale * G).double() / scale
        assert error(scaled, once, G) <= tolerance, scale


@every_aggregator
@pytest.mark.parametrize("scale", [1e-22, 1e22])
def test_homogeneity_in_float32_where_squares_leave_the_range(name, scale, sample, fresh):
    """Beyond the range of squares another path computes the Gramian: its accuracy must stay known.

    With five gradients in three dimensions two cosine eigenvalues are 0 up to that accuracy.
    """
    G = sample("normal", 5, 3).float()
    once = fresh(name)(G)
    assert error(fresh(name)(scale * G).double() / scale, once, G) <= 0.05


# a weighting of the Gramian ---------------------------------------------------------------------------------


@gramian_methods
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nature", ["normal", "descent", "no_descent", "rank_2"])
@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 2), (6, 20)])
def test_direction_is_weights_times_gradients(name, T, P, nature, dtype, sample, fresh):
    G = sample(nature, T, P).to(dtype)
    weights = fm.aggregator(name).weights(gramian(G))
    assert weights.shape == (50, T)
    assert weights.dtype == torch.float64
    expected = (weights.unsqueeze(-2) @ G.double()).squeeze(-2)
    # terms that cancel bring the rounding of their own size
    terms = (weights.abs() * G.double().norm(dim=-1)).sum(-1) / G.double().norm(dim=-1).amax(-1)
    distance = (fresh(name)(G) - expected).norm(dim=-1) / G.double().norm(dim=-1).amax(-1)
    assert (distance <= TOLERANCE[dtype] * terms.clamp_min(1)).all()


@gramian_methods
def test_rotated_gradients_give_the_rotated_direction(name, sample, fresh):
    G = sample("normal", 4, 6)
    Q = torch.linalg.qr(sample("normal", 6, 6, batch=1)[0]).Q
    assert error(fresh(name)(G @ Q), fresh(name)(G) @ Q, G) <= 1e-10


@gramian_methods
@pytest.mark.parametrize("nature", ["normal", "descent"])
@pytest.mark.parametrize("T", [2, 3, 7])
def test_order_of_tasks_does_not_matter(name, T, nature, sample):
    if name in RANDOM_ORDER and T > 2:
        pytest.skip("draws an order of the tasks")
    G = sample(nature, T, 9, decades=2)
    order = torch.randperm(T, generator=torch.Generator().manual_seed(T))
    weights = fm.aggregator(name).weights(gramian(G))
    permuted = fm.aggregator(name).weights(gramian(G[:, order]))
    torch.testing.assert_close(permuted, weights[:, order], rtol=1e-8, atol=1e-10)


@every_aggregator
@pytest.mark.parametrize("nature", ["normal", "descent", "no_descent"])
@pytest.mark.parametrize(("T", "P"), [(2, 5), (5, 3), (6, 20)])
def test_a_batch_is_one_problem_at_a_time(name, T, P, nature, sample, fresh):
    G = sample(nature, T, P, batch=12, decades=1)
    one_by_one = torch.stack([fresh(name)(g) for g in G])
    assert one_by_one.shape == (12, P)
    assert error(fresh(name)(G), one_by_one, G) <= 1e-9
    two_dims = fresh(name)(G.reshape(3, 4, T, P))
    assert two_dims.shape == (3, 4, P)
    assert error(two_dims.reshape(12, P), one_by_one, G) <= 1e-9
    if name in GRAMIAN:
        assert fm.aggregator(name).weights(gramian(G.reshape(3, 4, T, P))).shape == (3, 4, T)


@every_aggregator
def test_an_empty_batch_gives_no_directions(name, fresh):
    assert fresh(name)(torch.zeros(0, 3, 5)).shape == (0, 5)
    assert fresh(name)(torch.zeros(2, 0, 3, 5)).shape == (2, 0, 5)


@pytest.mark.parametrize("name", ["mgda", "upgrad", "cagrad", "conicgrad"])
@pytest.mark.parametrize("nature", ["normal", "descent", "no_descent", "rank_2"])
@pytest.mark.parametrize("T", [2, 3])
def test_all_faces_at_once_give_what_the_active_set_gives(name, T, nature, sample, fresh, monkeypatch):
    G = sample(nature, T, 6, decades=3)
    at_once = fresh(name)(G)
    for solver in (cone, simplex):
        monkeypatch.setattr(solver, "FEW", 0)
    assert error(at_once, fresh(name)(G), G) <= 1e-7


@pytest.mark.parametrize("T", [1, 2, 3])
def test_a_function_of_the_rows_neither_draws_nor_remembers(T, make, sample):
    first, G = sample("normal", T, 6, batch=2)
    losses = torch.linspace(0.5, 2.0, T, dtype=torch.float64)
    for name in fm.AGGREGATORS:
        A = make(name, T)
        if A.is_function(T):
            A(first)
            assert torch.equal(A(G), make(name, T)(G, losses=losses)), name
    functions = {name for name in fm.AGGREGATORS if make(name, T).is_function(T)}
    assert functions == set(GRAMIAN) - ({"gradvac"} if T <= 2 else set(RANDOM_ORDER))


# housekeeping -----------------------------------------------------------------------------------------------


@every_aggregator
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_direction_has_the_dtype_of_the_gradients_and_no_graph(name, dtype, fresh):
    G = torch.tensor([[1.0, 2.0, 0.0], [-1.0, 1.0, 1.0]], dtype=dtype, requires_grad=True)
    before = G.detach().clone()
    direction = fresh(name)(G)
    assert direction.dtype == dtype
    assert not direction.requires_grad
    assert torch.equal(G, before)


@every_aggregator
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_good_as_its_rounding(name, dtype, sample, fresh):
    G = sample("descent", 4, 30).to(dtype)
    assert error(fresh(name)(G), fresh(name)(G.float()), G) <= 4 * torch.finfo(dtype).eps


@gramian_methods
def test_losses_are_accepted_and_do_not_change_a_gramian_method(name, sample):
    G = sample("normal", 3, 5)
    with_losses = fm.aggregator(name)(G, losses=torch.rand(50, 3))
    assert torch.equal(with_losses, fm.aggregator(name)(G))


@every_aggregator
def test_is_a_module_with_a_readable_form(name, make):
    A = make(name)
    assert isinstance(A, fm.Aggregator)
    assert isinstance(A, torch.nn.Module)
    assert repr(A).startswith(type(A).__name__ + "(")
    assert len(list(A.parameters())) == isinstance(A, fm.LearnedWeighting)


@every_aggregator
def test_only_the_mean_and_loss_weightings_know_their_weights_before_any_gradient(name, make):
    weights = make(name, 4).loss_weights(torch.tensor([3.0, 1.0, 2.0, 0.5]))
    if name == "mean":
        assert weights.tolist() == [0.25] * 4
    elif issubclass(fm.AGGREGATORS[name], fm.LossWeighting):
        assert weights.shape == (4,)
        assert weights.dtype == torch.float64
        assert weights.sum().item() == pytest.approx(1)
    else:
        assert weights is None


# any shape, rank and scale ----------------------------------------------------------------------------------


@st.composite
def gradients(draw):
    """(T, P) in float64 of any rank, with rows up to 12 decades apart, some of them 0 or repeated."""
    T, P = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    rank = draw(st.integers(1, min(T, P)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    left = torch.randn(T, rank, generator=generator, dtype=torch.float64)
    right = torch.randn(rank, P, generator=generator, dtype=torch.float64)
    exponents = draw(st.lists(st.integers(-6, 6), min_size=T, max_size=T))
    G = (left @ right) * 10.0 ** torch.tensor(exponents, dtype=torch.float64).unsqueeze(-1)
    fate = draw(st.lists(st.sampled_from(["keep"] * 6 + ["zero", "repeat"]), min_size=T, max_size=T))
    for i, what in enumerate(fate):
        if what != "keep":
            G[i] = 0 if what == "zero" else G[0]
    return G


@every_aggregator
@settings(max_examples=50, deadline=None, derandomize=True)
@given(G=gradients(), exponent=st.integers(-60, 60))
def test_any_matrix_finite_homogeneous_and_no_longer_than_its_rows(name, G, exponent, fresh):
    direction = fresh(name)(G)
    assert direction.shape == G.shape[1:]
    assert direction.isfinite().all()
    assert direction.norm() <= G.norm(dim=-1).max() * (1 + 1e-9)
    # a power of two changes no digit, so the scaled problem is the same one
    scaled = fresh(name)(G * 2.0**exponent) / 2.0**exponent
    assert (scaled - direction).norm() <= 1e-12 * G.norm(dim=-1).max()


@every_aggregator
@settings(max_examples=50, deadline=None, derandomize=True)
@given(G=gradients())
def test_any_matrix_alone_or_in_a_batch(name, G, fresh):
    direction = fresh(name)(G)
    batch = fresh(name)(torch.stack([G, 2 * G, torch.zeros_like(G)]))
    length = G.norm(dim=-1).max()
    assert (batch[0] - direction).norm() <= 1e-7 * length
    assert (batch[1] - 2 * direction).norm() <= 2e-7 * length
    assert (batch[2] == 0).all()


# many Gramians ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def many_gramians(request):
    """50,000 of a dtype, row norms over 60 decades (float32: Gramian entries over 60), all ranks."""
    decades = 60 if request.param == torch.float64 else 30
    problems = []
    for T, count in {2: 15_000, 3: 15_000, 4: 10_000, 5: 8000, 8: 2000}.items():
        generator = torch.Generator().manual_seed(T)
        G = torch.randn(count, T, T, generator=generator, dtype=torch.float64)
        rank = torch.randint(1, T + 1, (count, 1, 1), generator=generator)
        G = torch.nn.functional.normalize(G * (torch.arange(T) < rank), dim=-1)
        norms = 10 ** (decades * (torch.rand(count, T, generator=generator, dtype=torch.float64) - 0.5))
        C = G @ G.mT
        problems.append((C, norms, (C * norms.unsqueeze(-1) * norms.unsqueeze(-2)).to(request.param)))
    return problems


@gramian_methods
def test_100000_gramians_over_60_orders_of_magnitude(name, many_gramians):
    """Never NaN, and never a direction longer than the longest gradient."""
    for C, norms, M in many_gramians:
        weights = fm.aggregator(name).weights(M)
        assert weights.isfinite().all()
        terms = weights * norms / norms.amax(-1, keepdim=True)
        length = torch.einsum("bi,bij,bj->b", terms, C, terms).clamp_min(0).sqrt()
        assert length.max() <= 1 + (1e-6 if M.dtype == torch.float64 else 1e-2)
