"""Families of trajectories: the same rules as for networks, and a batch is what one at a time is."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.toy import PROBLEMS, Method, decompose, descend

VALLEYS, TRIANGLE = PROBLEMS["valleys"], PROBLEMS["triangle"]
METHODS = {
    "erm": lambda: Method(fm.MGDA(), "erm"),
    "direct": lambda: Method(fm.CAGrad(), "direct"),
    "decomposed": lambda: Method(fm.PCGrad()),
    "second": lambda: Method(fm.IMTLG(), "second"),
    "each": lambda: Method(fm.CAGrad(), "each"),
    "shared": lambda: Method(fm.Mean(), "direct", "mean"),
    "adaptive": lambda: Method(fm.Mean(), "direct", adaptive=True),
    "SAMO": lambda: Method(fm.CAGrad(), "direct", fm.SAMO()),
    "SAMO, split": lambda: Method(fm.CAGrad(), perturb=fm.SAMO(alpha=0.2)),
    "SAMO, one draw": lambda: Method(fm.Mean(), "direct", fm.SAMO(alpha=0.2, one_draw=True)),
    "SAMO, coin": lambda: Method(fm.MGDA(), "direct", fm.SAMO(alpha=0.2, local="coin")),
    "SAMO, exact": lambda: Method(fm.Mean(), "direct", fm.SAMO(local="exact"), adaptive=True),
    "G-SAM": lambda: Method(fm.Mean(), "direct", fm.SAMO(alpha=1.0)),
    "polar": lambda: Method(fm.CAGrad(), "direct", fm.Polar()),
}
STARTS = torch.tensor([[-1.1, 1.2], [0.5, 1.6], [1.0, -1.0]], dtype=torch.float64)


@pytest.mark.parametrize("problem", [VALLEYS, TRIANGLE], ids=["valleys", "triangle"])
@pytest.mark.parametrize("name", METHODS)
def test_one_step_is_flatmtls_own(problem, name):
    """The toy and the training step: same decomposition, same rule, same direction."""
    method = METHODS[name]()
    for start in STARTS:
        w = torch.nn.Parameter(start.clone())
        options = dict(adaptive=method.adaptive, perturb=method.perturb, combine=method.combine, rho=0.3)
        optimizer = torch.optim.SGD([w], lr=problem.lr)
        heads = [[] for _ in range(problem.tasks)]
        step = fm.FlatMTL(optimizer, shared=[w], heads=heads, aggregate=METHODS[name]().aggregate, **options)
        tasks = [lambda z, i=i: problem.losses(z.unsqueeze(-2))[i] for i in range(problem.tasks)]
        step(lambda w=w: w, tasks)
        after = descend(problem, start, 0.3, [METHODS[name]()], steps=1)[0, 1]
        assert torch.allclose(after, w.detach(), rtol=1e-9, atol=1e-12)


def test_decompose_is_the_cores():
    theta = STARTS[0].clone().requires_grad_()
    tasks = [lambda z, i=i: VALLEYS.losses(z.unsqueeze(-2))[i] for i in range(2)]
    network = fm.decompose(lambda: theta, tasks, shared=[theta], heads=[[], []], rho=0.4)
    toy = decompose(VALLEYS, theta.detach(), 0.4, Method())
    for part in ("loss", "flat", "sam"):
        assert torch.allclose(getattr(toy, part), getattr(network, part), rtol=1e-10, atol=1e-12), part


@pytest.mark.parametrize("name", METHODS)
def test_a_family_is_its_members(name):
    rho = torch.tensor([0.0, 0.2, 0.7], dtype=torch.float64)
    family = descend(VALLEYS, STARTS, rho[:, None], [METHODS[name]()], steps=15)
    assert family.shape == (1, 3, 3, 16, 2)
    for i, r in enumerate(rho):
        for j, start in enumerate(STARTS):
            alone = descend(VALLEYS, start, r.item(), [METHODS[name]()], steps=15)[0]
            assert torch.allclose(family[0, i, j], alone, rtol=1e-7, atol=1e-9)


def test_samo_draws_another_z_at_every_step():
    method = Method(fm.Mean(), "direct", fm.SAMO(alpha=0.0))
    path = descend(VALLEYS, STARTS[0], 0.4, [method], steps=3, lr=0.01)[0]
    for step in range(3):
        d = decompose(VALLEYS, path[step], 0.4, method, seed=step)
        assert torch.allclose(path[step + 1], path[step] - 0.01 * d.sam.mean(0), rtol=1e-9, atol=1e-12)
        other = decompose(VALLEYS, path[step], 0.4, method, seed=step + 7)
        assert not torch.allclose(other.sam, d.sam)


def test_methods_stand_side_by_side():
    methods = [make() for make in METHODS.values()]
    together = descend(VALLEYS, STARTS, 0.4, methods, steps=8)
    for k, make in enumerate(METHODS.values()):
        assert torch.allclose(together[k], descend(VALLEYS, STARTS, 0.4, [make()], steps=8)[0])


class Lifted(type(TRIANGLE)):
    """The triangle with losses above 0, for methods that take ratios of losses."""

    def losses(self, points):
        return super().losses(points) + 3


WITH_MEMORY = [fm.GradVac, fm.GradNorm, fm.DBMTL, fm.MoCo, fm.ExcessMTL]


@pytest.mark.parametrize("cls", WITH_MEMORY)
def test_a_family_has_a_memory_for_each_trajectory(cls):
    rho = torch.tensor([0.0, 0.2, 0.6]).unsqueeze(-1)
    family = descend(Lifted(), STARTS, rho, [Method(cls(), "decomposed")], steps=8)
    for i, r in enumerate(rho):
        for j, start in enumerate(STARTS):
            alone = descend(Lifted(), start, r.item(), [Method(cls(), "decomposed")], steps=8)[0]
            assert torch.allclose(family[0, i, j], alone, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("problem", [VALLEYS, TRIANGLE], ids=["valleys", "triangle"])
@pytest.mark.parametrize("cls", [fm.Mean, fm.PCGrad, fm.CAGrad, fm.GradVac, fm.RLW, fm.MoCo, fm.ExcessMTL])
def test_equal_aggregators_side_by_side_are_what_each_is_alone(problem, cls):
    """Also those that draw or remember: each has its own generator and memory."""
    rules = ["erm", "direct", "decomposed"] + ["second", "each"] * (not cls.needs_tasks)
    together = descend(problem, STARTS, 0.4, [Method(cls(), rule) for rule in rules], steps=8)
    for path, rule in zip(together, rules, strict=True):
        alone = descend(problem, STARTS, 0.4, [Method(cls(), rule)], steps=8)[0]
        assert torch.allclose(path, alone, rtol=1e-9, atol=1e-12), rule


class Fixed(fm.GramianAggregator):
    """An aggregator of a user: its setting is a buffer."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("setting", torch.tensor(weights, dtype=torch.float64))

    def solve(self, C, norms, eps):
        return self.setting * norms


def test_aggregators_of_others_are_the_same_as_themselves_alone():
    methods = [Method(Fixed(weights), "erm") for weights in ([1.0, 0.0], [0.0, 1.0])]
    together = descend(VALLEYS, STARTS, 0.0, methods, steps=8)
    for path, method in zip(together, methods, strict=True):
        assert torch.allclose(path, descend(VALLEYS, STARTS, 0.0, [method], steps=8)[0])


def test_rho_zero_is_plain_descent():
    flat = [Method(fm.Mean(), rule) for rule in ("erm", "direct", "decomposed")]
    paths = descend(VALLEYS, STARTS, 0.0, flat)
    assert torch.equal(paths[0], paths[1])
    assert torch.equal(paths[0], paths[2])


def test_starts_come_first_and_stay_as_they_are():
    starts = STARTS.clone()
    path = descend(VALLEYS, starts, 0.1, [Method()], steps=3)
    assert torch.equal(path[0, :, 0], STARTS)
    assert torch.equal(starts, STARTS)


def test_learning_rate_and_number_of_steps_may_be_given():
    start, method = STARTS[0], [Method(fm.Mean(), "erm")]
    gradient = VALLEYS.gradients(start.unsqueeze(-2)).mean(-2)
    path = descend(VALLEYS, start, 0.0, method, steps=1, lr=0.01)
    assert torch.allclose(path[0, 1], start - 0.01 * gradient)
    assert descend(VALLEYS, start, 0.0, method).shape == (1, VALLEYS.steps + 1, 2)


def test_a_rule_that_the_aggregator_cannot_take_is_refused():
    with pytest.raises(ValueError, match='Got GradVac with the rule "second"'):
        descend(VALLEYS, STARTS, 0.1, [Method(fm.GradVac(), "second")], steps=0)  # before any step


def test_no_step_is_the_start_alone():
    assert descend(VALLEYS, STARTS, 0.1, [Method()], steps=0).shape == (1, 3, 1, 2)


@pytest.mark.parametrize(
    ("starts", "rho", "methods", "word"),
    [
        (STARTS, 0.1, [], "no method"),
        (torch.zeros(3), 0.1, [Method()], "(3,)"),
        (torch.tensor([[0.0, float("nan")]]), 0.1, [Method()], "finite points"),
        (STARTS, -0.1, [Method()], "-0.1"),
        (STARTS, float("inf"), [Method()], "inf"),
        (STARTS, torch.zeros(5), [Method()], "broadcast"),
    ],
)
def test_bad_input_is_named(starts, rho, methods, word):
    with pytest.raises(ValueError) as error:
        descend(VALLEYS, starts, rho, methods)
    assert word in str(error.value)
    assert "expected" in str(error.value)


@pytest.mark.parametrize("options", [dict(combine="both"), dict(perturb="none")])
def test_an_unknown_method_is_refused(options):
    with pytest.raises(ValueError, match="expected"):
        Method(**options)


def test_two_methods_may_not_share_an_aggregator_that_learns_after_the_step():
    A = fm.FAMO(lowest=-21.0)
    start = torch.tensor(PROBLEMS["ridges"].starts[0])
    descend(PROBLEMS["ridges"], start, 0.0, [Method(A, "erm"), Method(fm.FAMO(lowest=-21.0), "erm")], steps=3)
    with pytest.raises(ValueError, match="in two methods; expected one for each"):
        descend(PROBLEMS["ridges"], start, 0.0, [Method(A, "erm"), Method(A)], steps=3)
