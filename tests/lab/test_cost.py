"""The cost model counts the passes that the real step runs."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from tests.optim.nets import Net

RATIO = 2.5  # no sum of passes can hide an exchange of a forward and a backward pass


class Counter:
    """Counts the passes through the trunk of a step, in forward passes of the whole batch."""

    def __init__(self, net: Net, parts=(slice(None),), **options):
        self.net, self.parts, self.cost = net, parts, 0.0
        self.step = net.step(**{"rho": 0.3, "aggregate": fm.CAGrad(), **options})
        self.of(options.get("flat_every", 1))  # the first step also checks that the losses repeat

    def closures(self, part: slice):
        features, losses = self.net.batch(part)
        samples = len(self.net.x[part])
        size = samples / len(self.net.x)

        def watched():
            self.cost += size
            z = features()
            if z.requires_grad:
                z.register_hook(lambda _: self.backward(size))
            return z

        return watched, losses, samples

    def backward(self, size: float) -> None:
        self.cost += RATIO * size

    def of(self, steps: int) -> float:
        """Return the mean cost of a step."""
        self.cost = 0.0
        for _ in range(steps):
            self.step.backward([self.closures(part) for part in self.parts])
        return self.cost / steps


def counted(tasks: int, steps: int = 1, **options) -> float:
    return Counter(Net(tasks), **options).of(steps)


@pytest.mark.parametrize("tasks", [2, 5])
def test_the_formulas_are_what_a_step_runs(tasks):
    direct = {"combine": "direct"}
    parts = [slice(0, 2), slice(2, 8)]
    real = {
        "base": counted(tasks, combine="erm"),
        "F": counted(tasks),
        "F, every k": counted(tasks, steps=6, flat_every=3),
        "F, share": counted(tasks, parts=parts, flat_batch=0.25),
        "SAMO": counted(tasks, perturb=fm.SAMO(), **direct),
        "common ε": counted(tasks, perturb=fm.Polar(), **direct),
        "SAM on the mean": counted(tasks, perturb="mean", aggregate=fm.Mean(), **direct),
    }
    assert real["common ε"] == counted(tasks, perturb=fm.SAMO(alpha=1), **direct)
    costs = lab.step_costs(tasks, RATIO, every=3, share=0.25)
    assert real == pytest.approx({name: costs[name] for name in real})
    assert costs.keys() - real.keys() == {"SAMO, one draw"}


@pytest.mark.parametrize("tasks", [2, 5])
def test_one_draw_runs_one_or_two_places(tasks):
    counter = Counter(Net(tasks), perturb=fm.SAMO(one_draw=True), combine="direct")
    least = 1 + RATIO + 2 + 1 + tasks * RATIO
    found = [counter.of(1) for _ in range(30)]
    assert {least + 1} <= set(found) <= {least, least + 1}
    assert least < lab.step_costs(tasks, RATIO)["SAMO, one draw"] < least + 1


@pytest.mark.parametrize("samo", [fm.SAMO(one_draw=True), fm.SAMO(alpha=1)])
def test_with_one_norm_over_trunk_and_head_every_task_has_its_own_place(samo):
    cost = counted(3, perturb=samo, combine="direct", norm="together")
    assert cost == 1 + RATIO + 2 * samo.one_draw + 3 * (1 + RATIO)


def test_costs_are_relative_to_the_base_and_broadcast():
    tasks = torch.tensor([2.0, 10.0])
    relative = lab.relative_costs(tasks)
    assert relative["F"].tolist() == pytest.approx([11 / 5, 51 / 21])
    assert {cost.shape for cost in relative.values()} == {(2,)}
    assert "base" not in relative


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": 0}, "Got tasks=0; expected a number of at least 1"),
        ({"ratio": 0.0}, "Got ratio=0.0; expected a number above 0"),
        ({"every": 0.5}, "Got every=0.5; expected a number of at least 1"),
        ({"share": 1.5}, "Got share=1.5; expected a number above 0, at most 1"),
        ({"share": torch.tensor([0.5, float("nan")])}, "Got share=nan"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        lab.step_costs(**options)
