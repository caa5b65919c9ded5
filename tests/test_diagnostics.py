"""Cosines, angles, conflict, and sharpness against the known maximum of a quadratic."""

import math

import pytest
import torch
from torch import nn

import flatmtl_lite as fm
from flatmtl_lite.diagnostics import (
    angles,
    ascent,
    conflict_ratio,
    cosines,
    cosines_of_gramian,
    hessian_product,
    hessian_trace,
    rule_cosine,
    share_in_conflict,
    sharpness,
    sum_by_thirds,
    top_eigenvalue,
)

ROOT_HALF = math.sqrt(0.5)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# cosines and angles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_cosines_of_known_vectors(dtype):
    G = torch.tensor([[2.0, 0.0], [3.0, 3.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 5.0]], dtype=dtype)
    r = ROOT_HALF
    expected = [[1, r, -1, 0, 0], [r, 1, -r, 0, r], [-1, -r, 1, 0, 0], [0] * 5, [0, r, 0, 0, 1]]
    found = cosines(G)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(3, 5), (4, 3, 5), (2, 4, 1, 7)])
def test_cosines_are_torchs_own(shape, dtype):
    G = normal(*shape).to(dtype)
    expected = torch.cosine_similarity(G.unsqueeze(-2), G.unsqueeze(-3), dim=-1)
    torch.testing.assert_close(cosines(G), expected.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(cosines_of_gramian(G @ G.mT), expected.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cosines_do_not_depend_on_lengths_and_stay_within_1(dtype):
    G = normal(200, 4, 6).to(dtype)
    G[:, 2] = -3 * G[:, 1]
    lengths = torch.tensor([1e-30, 1e30, 1.0, 1e-12], dtype=dtype).unsqueeze(-1)
    torch.testing.assert_close(cosines(lengths * G), cosines(G), atol=1e-6, rtol=0)
    assert cosines(G).abs().max() <= 1
    assert angles(lengths * G).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_angles_in_degrees(dtype):
    G = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [-2.0, 0.0], [0.0, 0.0], [1.0, math.sqrt(3)]], dtype=dtype)
    expected = [
        [0, 135, 180, 90, 60],
        [135, 0, 45, 90, 75],
        [180, 45, 0, 90, 120],
        [90, 90, 90, 90, 90],
        [60, 75, 120, 90, 0],
    ]
    torch.testing.assert_close(angles(G), torch.tensor(expected, dtype=torch.float64), atol=0.05, rtol=0)
    assert angles(G.expand(2, 3, 5, 2)).shape == (2, 3, 5, 5)


def test_a_non_finite_gradient_is_named():
    G = torch.ones(3, 4)
    G[2, 0] = math.nan
    for function in (cosines, angles):
        with pytest.raises(fm.NonFiniteGradient) as caught:
            function(G)
        assert caught.value.tasks == [2]


# conflict ---------------------------------------------------------------------------------------------------


def test_conflict_ratio_of_a_batch_of_three_tasks():
    right, up, left, down = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.1, -1.0]
    G = torch.tensor(
        [
            [right, right, up],  # nobody
            [right, up, down],  # up against down
            [up, down, left],  # down against both
            [right, [-0.5, 0.9], [-0.5, -0.9]],  # all pairs
            [right, [0.0, 0.0], left],  # a zero gradient conflicts with nobody
        ]
    )
    expected = torch.tensor([0, 1 / 3, 2 / 3, 1, 1 / 3], dtype=torch.float64)
    torch.testing.assert_close(conflict_ratio(cosines(G)), expected)
    assert conflict_ratio(cosines(G.expand(2, 5, 3, 2))).shape == (2, 5)


def test_conflict_ratio_of_one_task_is_0():
    assert conflict_ratio(cosines(torch.ones(1, 4))) == 0
    assert conflict_ratio(cosines(torch.ones(6, 1, 4))).tolist() == [0] * 6


def test_counts_are_summed_over_the_thirds_of_training():
    times = [0.0, 0.9, 1.0, 1.99, 2.0, 3.0]  # the last moment belongs to the last third
    counts = torch.arange(12).view(6, 2)
    thirds = sum_by_thirds(times, 3.0, counts)
    assert thirds.dtype == torch.float64
    assert thirds.tolist() == [[2, 4], [10, 12], [18, 20]]
    assert sum_by_thirds(times, 3.0, counts.view(6, 2, 1).tolist()).shape == (3, 2, 1)


def test_a_third_without_counts_is_zero():
    assert sum_by_thirds([2.5], 3.0, [[4.0]]).tolist() == [[0], [0], [4]]


def test_the_share_in_conflict_is_the_lower_half_of_each_histogram():
    histograms = torch.tensor([[[1, 2, 3, 4], [0, 0, 5, 5]], [[6, 0, 0, 2], [0, 0, 0, 0]]])
    shares = share_in_conflict(histograms)
    assert shares.shape == (2, 2)
    torch.testing.assert_close(shares, torch.tensor([[0.3, 0.0], [0.75, math.nan]]), equal_nan=True)


# rules ------------------------------------------------------------------------------------------------------


def decomposition(T, P, seed=0):
    return fm.Decomposition(normal(T, P, seed=seed), 0.3 * normal(T, P, seed=seed + 1))


@pytest.mark.parametrize("T", [1, 2, 5])
def test_for_the_mean_all_flat_rules_point_the_same_way(T):
    M = decomposition(T, 9).gramian
    for rule in ("decomposed", "second", "each"):
        assert rule_cosine(M, fm.Mean(), rule, "direct") == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["mgda", "cagrad", "imtl_g"])
@pytest.mark.parametrize("seed", [0, 10, 20])
def test_rule_cosine_is_that_of_the_directions(name, seed):
    d = decomposition(3, 9, seed=seed)
    rules = {rule: getattr(fm, rule) for rule in ("erm", "direct", "decomposed", "second", "each")}
    for one, other in [("decomposed", "direct"), ("erm", "direct"), ("second", "each")]:
        directions = [rules[rule](d, fm.aggregator(name)) for rule in (one, other)]
        expected = torch.cosine_similarity(*directions, dim=0).item()
        found = rule_cosine(d.gramian, fm.aggregator(name), one, other)
        assert found == pytest.approx(expected, abs=1e-9)
        assert found < 1 - 1e-4  # these differ, so the agreement says something
    assert rule_cosine(d.gramian, fm.aggregator(name), "direct", "direct") == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("method", [fm.PCGrad, fm.GradVac])
def test_rule_cosine_leaves_memory_and_generator_as_before(method):
    M, A = decomposition(3, 9).gramian, method()
    M = M + M.diagonal().mean() * torch.eye(6)
    before = str(A.state_dict())
    first = rule_cosine(M, A, "decomposed", "direct")
    assert str(A.state_dict()) == before
    assert rule_cosine(M, A, "decomposed", "direct") == first


# sharpness --------------------------------------------------------------------------------------------------


class Quadratic:
    """L(x) = ½ xᵀAx + bᵀx, whose maximum within a ball about x is known."""

    def __init__(self, seed, n=6):
        Q = torch.linalg.qr(normal(n, n, seed=seed)).Q
        self.A = Q @ torch.diag(torch.linspace(0.1, 5, n, dtype=torch.float64)) @ Q.mT
        self.b = normal(n, seed=seed + 1)
        self.x = nn.Parameter(normal(n, seed=seed + 2))

    def loss(self, x=None):
        x = self.x if x is None else x
        return x @ self.A @ x / 2 + self.b @ x

    @property
    def gradient(self):
        return self.A @ self.x.detach() + self.b

    def rise(self, epsilon):
        return (self.gradient @ epsilon + epsilon @ self.A @ epsilon / 2).item()

    def greatest_rise(self, rho):
        """On the sphere ε = (λI - A)⁻¹g with λ above the largest eigenvalue; λ by bisection."""
        eigenvalues, V = torch.linalg.eigh(self.A)
        g = V.mT @ self.gradient
        low, high = eigenvalues[-1], eigenvalues[-1] + g.norm() / rho
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if (g / (middle - eigenvalues)).norm() > rho else (low, middle)
        epsilon = V @ (g / (high - eigenvalues))
        assert epsilon.norm() == pytest.approx(rho, rel=1e-6)
        return self.rise(epsilon)


@pytest.mark.parametrize("rho", [0.01, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(0, 60, 12))
def test_sharpness_is_a_close_lower_bound_of_the_maximum(seed, rho):
    problem = Quadratic(seed)
    true = problem.greatest_rise(rho)
    found = sharpness(problem.loss, [problem.x], rho=rho, steps=10)
    assert 0.95 * true <= found <= true * (1 + 1e-9)


@pytest.mark.parametrize("rho", [0.01, 1.0])
def test_one_step_is_the_whole_radius_along_the_gradient(rho):
    problem = Quadratic(5)
    expected = problem.rise(rho * problem.gradient / problem.gradient.norm())
    assert sharpness(problem.loss, [problem.x], rho=rho, steps=1) == pytest.approx(expected, rel=1e-9)


def test_more_steps_never_find_less():
    problem = Quadratic(7)
    found = [sharpness(problem.loss, [problem.x], rho=2.0, steps=steps) for steps in (1, 2, 3, 5, 10, 30)]
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_further_steps_are_half_the_radius_and_back_into_the_ball():
    """Two steps by hand: ε₁ = ρ g/‖g‖, then ρ/2 along the gradient there, and projected."""
    problem, rho = Quadratic(9), 0.7
    visited = []

    def loss():
        visited.append(problem.x.detach().clone())
        return problem.loss()

    sharpness(loss, [problem.x], rho=rho, steps=2)
    first = rho * nn.functional.normalize(problem.gradient, dim=0)
    second = first + rho / 2 * nn.functional.normalize(problem.gradient + problem.A @ first, dim=0)
    second = second * rho / second.norm()
    x = problem.x.detach()
    torch.testing.assert_close(torch.stack(visited), torch.stack([x, x + first, x + second]))


def test_a_smaller_rise_than_none_is_not_reported():
    """At the rim of a narrow bump the whole radius leads over it and down."""
    x = nn.Parameter(torch.tensor([0.1, 0.0], dtype=torch.float64))
    assert sharpness(lambda: -(x**2).sum(), [x], rho=1.0, steps=1) == 0
    at_the_top = nn.Parameter(torch.zeros(3))
    assert sharpness(lambda: -(at_the_top**2).sum(), [at_the_top], rho=0.5) == 0


def test_rho_0_gives_0():
    problem = Quadratic(1)
    assert sharpness(problem.loss, [problem.x], rho=0) == 0
    assert sharpness(problem.loss, [problem.x], rho=0.0, steps=1) == 0


def test_all_parameters_move_together_within_one_ball():
    problem = Quadratic(3)
    parts = [nn.Parameter(part.clone()) for part in problem.x.detach().split([1, 3, 2])]
    parts[1] = nn.Parameter(parts[1].detach().reshape(3, 1))
    unused = nn.Parameter(torch.ones(4, dtype=torch.float64))

    def loss():
        return problem.loss(torch.cat([p.reshape(-1) for p in parts]))

    expected = sharpness(problem.loss, [problem.x], rho=0.5)
    assert sharpness(loss, iter([*parts, unused]), rho=0.5) == pytest.approx(expected, rel=1e-9)
    assert sharpness(loss, parts[:1], rho=0.5) < expected  # one part alone can do less


def test_ascent_goes_the_whole_radius_then_half_of_it_and_stays_in_the_ball():
    """Along a slope that turns by a right angle at every step, in a batch with one radius each."""
    slopes = iter(torch.eye(2, dtype=torch.float64)[[0, 1, 0]])
    start, rho = torch.zeros(3, 2, dtype=torch.float64), torch.tensor([[1.0], [2.0], [0.0]]).double()
    points = list(ascent(lambda epsilon: next(slopes).expand(3, 2), start, rho, 3))
    assert points[0] is start
    second = torch.tensor([1.0, 0.5]).double() / 1.25**0.5
    third = second + torch.tensor([0.5, 0.0])
    expected = [[1.0, 0.0], second.tolist(), (third / third.norm()).tolist()]
    for point, unit in zip(points[1:], expected, strict=True):
        torch.testing.assert_close(point, rho * torch.tensor(unit).double())


def test_ascent_leaves_points_inside_the_ball_where_they_are():
    """Two steps in opposite directions: the second one ends half-way, well inside the ball."""
    slopes = iter(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    *_, last = ascent(lambda epsilon: next(slopes), torch.zeros(2), 1.0, 2)
    assert last.tolist() == [0.5, 0.0]
    assert len(list(ascent(lambda epsilon: epsilon, torch.zeros(2), 1.0, 0))) == 1


class Net(nn.Module):
    """Batch normalisation, so that every forward pass in training mode changes buffers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)
        )
        self.inputs = torch.randn(16, 4)

    def loss(self):
        return self.layers(self.inputs).square().mean()


def snapshot(net):
    tensors = {name: value.clone() for name, value in net.state_dict(keep_vars=False).items()}
    return tensors, torch.get_rng_state()


def assert_untouched(net, before):
    tensors, generator = before
    for name, value in net.state_dict().items():
        assert value.dtype == tensors[name].dtype
        assert value.numpy().tobytes() == tensors[name].numpy().tobytes(), name  # bit for bit: also -0.0
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in net.parameters())
    assert net.training


def test_weights_buffers_and_generator_are_as_before():
    net = Net()
    net.loss()  # buffers away from their initial values
    with torch.no_grad():
        net.layers[0].weight[0, 0] = -0.0
        net.layers[0].weight[0, 1] = 1e-30
    before = snapshot(net)
    assert before[0]["layers.1.num_batches_tracked"] == 1
    assert sharpness(net.loss, net.parameters(), rho=0.1) > 0
    assert_untouched(net, before)


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_also_when_the_loss_raises(calls):
    net = Net()
    before = snapshot(net)
    count = 0

    def loss():
        nonlocal count
        value = net.loss()
        count += 1
        if count == calls:
            raise RuntimeError("out of memory")
        return value

    with pytest.raises(RuntimeError, match="out of memory"):
        sharpness(loss, net.parameters(), rho=0.1)
    assert_untouched(net, before)


@pytest.mark.parametrize("rho", [-0.1, -1e-12, math.nan, math.inf, -math.inf])
def test_a_radius_that_is_none(rho):
    net, calls = Net(), []
    before = snapshot(net)
    with pytest.raises(ValueError, match=rf"rho={rho}.*expected a finite radius >= 0"):
        sharpness(lambda: calls.append(0), net.parameters(), rho=rho)
    assert_untouched(net, before)
    assert calls == []


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_that_are_none(steps):
    net, calls = Net(), []
    with pytest.raises(ValueError, match=rf"steps={steps}; expected at least 1"):
        sharpness(lambda: calls.append(0), net.parameters(), steps=steps)
    assert calls == []


def test_predicted_flat_is_the_flat_part_of_a_quadratic():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    w = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss():
        return w @ (A @ A.T) @ w / 2

    d = fm.decompose(lambda: w, [lambda _: loss()], shared=[w], heads=[[]], rho=0.3)
    torch.testing.assert_close(fm.diagnostics.predicted_flat(loss, [w], 0.3), d.flat[0])


def test_predicted_flat_in_the_order_of_the_parameters_and_near_the_flat_part_of_a_smooth_net():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    misses = []
    for rho in (1e-3, 1e-2):
        d = fm.decompose(lambda: net(x), [lambda z: (z**2).mean()], net.parameters(), [[]], rho)
        predicted = fm.diagnostics.predicted_flat(lambda: (net(x) ** 2).mean(), net.parameters(), rho)
        misses.append(((d.flat[0] - predicted).norm() / d.flat[0].norm()).item())
    assert misses[0] < 0.01
    assert misses[1] / misses[0] == pytest.approx(10, rel=0.1)


def test_predicted_flat_is_zero_where_there_is_no_slope_no_curvature_or_no_use():
    w, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    assert fm.diagnostics.predicted_flat(lambda: ((w - 1) ** 2).sum(), [w]).tolist() == [0, 0]
    assert fm.diagnostics.predicted_flat(lambda: w.sum(), [w]).tolist() == [0, 0]
    assert fm.diagnostics.predicted_flat(lambda: (w**2).sum(), [w, unused])[2:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("rho", [-0.1, math.nan])
def test_predicted_flat_refuses_a_bad_radius(rho):
    with pytest.raises(ValueError, match="expected a finite radius"):
        fm.diagnostics.predicted_flat(lambda: torch.ones(()), [torch.ones(1)], rho)


def test_sharpness_in_the_adaptive_ball_is_that_of_the_rescaled_weights():
    """With u = x/d and d = |x| at the start, the adaptive ball in x is the plain ball in u."""
    problem, rho = Quadratic(11), 0.6
    d = problem.x.detach().abs()
    u = nn.Parameter(problem.x.detach() / d)
    expected = sharpness(lambda: problem.loss(d * u), [u], rho=rho)
    assert sharpness(problem.loss, [problem.x], rho=rho, adaptive=True) == pytest.approx(expected, rel=1e-9)
    assert sharpness(problem.loss, [problem.x], rho=rho) != pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("alpha", [0.1, 3.0, 100.0])
def test_rescaling_two_relu_layers_changes_plain_sharpness_and_not_the_adaptive_one(alpha):
    x, y = normal(20, 3), normal(20, 2, seed=1)

    def measured(factor):
        first = nn.Parameter(factor * normal(3, 8, seed=2))
        second = nn.Parameter(normal(8, 2, seed=3) / factor)
        task = (lambda: ((x @ first).relu() @ second - y).square().mean(), [first, second])
        return sharpness(*task, 0.1), sharpness(*task, 0.1, adaptive=True), top_eigenvalue(*task, 100)

    (plain, adaptive, top), (plain_then, adaptive_then, top_then) = measured(1.0), measured(alpha)
    assert adaptive_then == pytest.approx(adaptive, rel=1e-6)
    assert plain_then > 1.5 * plain
    assert top_then > 1.5 * top


# curvature --------------------------------------------------------------------------------------------------


def curved(eigenvalues, seed=0):
    """A quadratic with these eigenvalues, its Hessian and its weights."""
    values = torch.tensor(eigenvalues, dtype=torch.float64)
    Q = torch.linalg.qr(normal(len(values), len(values), seed=seed)).Q
    H = Q @ values.diag() @ Q.mT
    x = nn.Parameter(normal(len(values), seed=seed + 1))
    return (lambda: x @ H @ x / 2 + x.sum()), H, x


def test_the_product_is_that_with_the_hessian():
    torch.manual_seed(0)
    net, inputs = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double(), normal(7, 3)

    def loss():
        return net(inputs).square().mean()

    theta = torch.cat([p.detach().reshape(-1) for p in net.parameters()])

    def of_vector(vector):
        parts = vector.split([p.numel() for p in net.parameters()])
        named = {n: v.view(p.shape) for (n, p), v in zip(net.named_parameters(), parts, strict=True)}
        return torch.func.functional_call(net, named, (inputs,)).square().mean()

    H = torch.autograd.functional.hessian(of_vector, theta)
    product = hessian_product(loss, net.parameters())
    torch.testing.assert_close(torch.stack([product(v) for v in torch.eye(len(H)).double()]), H)
    assert top_eigenvalue(loss, net.parameters(), 200) == pytest.approx(torch.linalg.eigvalsh(H)[-1].item())
    samples = 4000
    spread = (2 * (H.square().sum() - H.diagonal().square().sum()) / samples).sqrt().item()
    found = hessian_trace(loss, net.parameters(), samples, torch.Generator().manual_seed(5))
    assert abs(found - H.trace().item()) < 4 * spread


@pytest.mark.parametrize(
    "eigenvalues",
    [
        [5.0, 1.0, 0.3, 0.0],
        [2.0, -6.0, 1.0, 0.5],  # the largest in size is negative
        [1.0, -1.0],  # plain power iteration never settles
        [-1.0, -2.0, -9.0],  # a top: even the largest is negative
        [3.0, 3.0, 1.0],
        [0.0, 0.0, 0.0],
        [7.0],
    ],
)
def test_top_eigenvalue_is_the_largest_not_the_largest_in_size(eigenvalues):
    for seed in range(3):
        loss, _, x = curved(eigenvalues, seed)
        assert top_eigenvalue(loss, [x], 100) == pytest.approx(max(eigenvalues), abs=1e-9)


def test_more_iterations_never_find_less_and_never_too_much():
    eigenvalues = [10.0, 9.5, *(9.0 / k for k in range(1, 30)), -10.0]
    loss, _, x = curved(eigenvalues)
    found = [top_eigenvalue(loss, [x], iterations) for iterations in (1, 2, 5, 10, 20, 200)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(10, abs=1e-6)


def test_top_eigenvalue_in_single_precision():
    """Rounding must not pile up over many iterations."""
    values = torch.linspace(0, 1, 2000)
    values[-1] = 1.5
    x = nn.Parameter(torch.zeros(2000))
    assert top_eigenvalue(lambda: (values * x * x).sum() / 2, [x], 200) == pytest.approx(1.5, rel=1e-4)


def test_autocast_lowers_no_product_of_curvature():
    x = nn.Parameter(torch.linspace(0.5, 1.5, 200))

    def loss():
        return (x**4).sum() + x.sum() ** 2 / 100

    def both():
        return top_eigenvalue(loss, [x], 30), hessian_trace(loss, [x], 3)

    with torch.autocast("cpu", torch.bfloat16):
        within = both()
    assert within == both()


def test_the_trace_is_exact_where_the_hessian_is_diagonal():
    x = nn.Parameter(torch.ones(4, dtype=torch.float64))
    d = torch.tensor([4.0, -1.0, 0.5, 0.0], dtype=torch.float64)
    for samples in (1, 7):
        assert hessian_trace(lambda: (d * x * x).sum() / 2, [x], samples) == pytest.approx(3.5)


def test_one_sample_of_the_trace_is_without_bias():
    loss, H, x = curved([4.0, 2.0, -1.0, 0.5])
    generator = torch.Generator().manual_seed(1)
    found = torch.tensor([hessian_trace(loss, [x], 1, generator) for _ in range(2000)])
    assert found.mean().item() == pytest.approx(H.trace().item(), abs=4 * found.std().item() / 2000**0.5)
    variance = 2 * (H.square().sum() - H.diagonal().square().sum()).item()
    assert found.var().item() == pytest.approx(variance, rel=0.15)


def test_curvature_of_a_loss_without_any():
    a, b, unused = (nn.Parameter(torch.ones(3)) for _ in range(3))
    for loss in (lambda: a.sum(), lambda: a.sum() + 0 * b.sum()):
        assert top_eigenvalue(loss, [a, b, unused]) == 0
        assert hessian_trace(loss, [a, b, unused]) == 0
    half = (lambda: a.sum() + (b**2).sum(), [a, b, unused])  # linear in a alone
    assert top_eigenvalue(*half) == pytest.approx(2)
    assert hessian_trace(*half) == pytest.approx(6)


@pytest.mark.parametrize("measure", [top_eigenvalue, hessian_trace])
def test_curvature_leaves_weights_buffers_and_generator_alone_and_repeats(measure):
    net = Net()
    net.loss()
    before = snapshot(net)
    seed = torch.get_rng_state()
    first = measure(net.loss, net.parameters(), 3)
    assert_untouched(net, before)
    torch.set_rng_state(seed)
    assert measure(net.loss, iter(net.parameters()), 3) == first
    other = measure(net.loss, net.parameters(), 3, generator=torch.Generator().manual_seed(9))
    assert other != first
    with torch.no_grad():  # as sharpness does, it asks for gradients itself
        assert measure(net.loss, net.parameters(), 3) == first


@pytest.mark.parametrize(("measure", "name"), [(top_eigenvalue, "iterations"), (hessian_trace, "samples")])
def test_counts_that_are_none(measure, name):
    with pytest.raises(ValueError, match=f"{name}=0; expected at least 1"):
        measure(lambda: pytest.fail("computed"), [nn.Parameter(torch.ones(2))], 0)
