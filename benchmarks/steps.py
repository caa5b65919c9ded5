"""Time a training step against its own passes, as ratios: ``python -m benchmarks.steps [NETWORK ...]``.

"Passes" are the forward and backward passes of the step and nothing else. "Plain loop" is what a careful user
would write: gradients copied straight into their rows, the perturbation and the difference each in one sweep,
one saved copy of the weights, and the aggregator of this kit. No contender's time includes the optimizer.
TorchJD and LibMTL do their own backward pass and aggregation, without SAM. One thread, float32, CAGrad.

The contenders take turns in one process. Ratios are medians over the rounds, and then over the processes. The
memory of a contender is the largest resident set in a process of its own, less the largest before the first
step, in vectors of the trunk's size.
"""

import argparse
import datetime
import resource
import statistics
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import flatmtl_lite as fm
from benchmarks.libmtl import weightings
from benchmarks.timing import Times, import_seconds, in_processes, machine, step_times
from flatmtl_lite.runs import fashion_and_mnist, lenet, mlp
from flatmtl_lite.runs.networks.layout import channels_last

RHO, PROCESSES = 0.05, 3
Step = Callable[[], object]


class Problem:
    """A network and a batch: its trunk, its heads, and the closures that FlatMTL takes."""

    def __init__(self, trunk: nn.Module, heads: list[nn.Module], x: Tensor, labels: Tensor):
        self.trunk, self.x = trunk, x
        self.shared, self.heads = list(trunk.parameters()), [list(head.parameters()) for head in heads]
        self.sizes = [p.numel() for p in self.shared]
        self.losses = [
            lambda z, head=head, y=y: cross_entropy(head(z), y) for head, y in zip(heads, labels, strict=True)
        ]

    def features(self) -> Tensor:
        return self.trunk(self.x)

    def views(self, vector: Tensor) -> list[Tensor]:
        return [v.view(p.shape) for v, p in zip(vector.split(self.sizes), self.shared, strict=True)]

    def clean_gradients(self) -> Iterator[tuple[Tensor, ...]]:
        z = self.features()
        losses = [loss(z) for loss in self.losses]
        for loss, head in zip(losses, self.heads, strict=True):
            yield torch.autograd.grad(loss, self.shared + head, retain_graph=loss is not losses[-1])

    def gradients(self, i: int) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.losses[i](self.features()), self.shared + self.heads[i])


def perceptron(tasks: int) -> Problem:
    """Make notebook 07's perceptron, 398,000 weights below the heads, with a batch of 64."""
    model = mlp([10] * tasks)
    return Problem(model.trunk, list(model.heads), torch.rand(64, 1, 36, 36), torch.randint(10, (tasks, 64)))


def convolutions(tasks: int) -> Problem:
    """Make the LeNet of Multi-MNIST, 30,890 weights below the heads, with 256 real images."""
    model, data = lenet([10] * tasks), fashion_and_mnist(seed=0)
    x = channels_last(data.train_images[:256].unsqueeze(1).float() / 255)
    return Problem(model.trunk, list(model.heads), x, data.train_labels[:256].T)


class MeanOfTokens(nn.Module):
    """Average over the tokens: (N, L, C) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def transformer(tasks: int) -> Problem:
    """Make a transformer of two layers of width 128, 396,000 weights, with 32 sequences of 16 tokens."""
    layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
    trunk = nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), MeanOfTokens())
    heads = [nn.Linear(128, 10) for _ in range(tasks)]
    return Problem(trunk, heads, torch.randn(32, 16, 128), torch.randint(10, (tasks, 32)))


def adapters(tasks: int) -> Problem:
    """Make a small tabular network, 6,272 weights below many small heads, with a batch of 32."""
    trunk = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    heads = [nn.Linear(64, 2) for _ in range(tasks)]
    return Problem(trunk, heads, torch.randn(32, 32), torch.randint(2, (tasks, 32)))


PROBLEMS = {
    "MLP, T = 2": (perceptron, 2, 40),
    "MLP, T = 10": (perceptron, 10, 20),
    "MLP, T = 40": (perceptron, 40, 8),
    "LeNet, T = 2": (convolutions, 2, 20),
    "transformer, T = 3": (transformer, 3, 20),
    "small tabular network, T = 10": (adapters, 10, 40),
    "small tabular network, T = 40": (adapters, 40, 20),
}


def passes(problem: Problem, perturbed: bool) -> Step:
    def step() -> None:
        for _ in problem.clean_gradients():
            pass
        for i in range(len(problem.losses) if perturbed else 0):
            problem.gradients(i)

    return step


def plain_loop(problem: Problem, perturbed: bool) -> Step:
    A, n, T = fm.CAGrad(c=0.4), len(problem.shared), len(problem.losses)

    def move(parameters: list[Tensor], weights: list[Tensor], gradients: list[Tensor]) -> None:
        length = torch.stack([g.norm() for g in gradients]).norm().item()
        with torch.no_grad():
            for p, w, g in zip(parameters, weights, gradients, strict=True):
                torch.add(w, g, alpha=RHO / length, out=p)

    @torch.no_grad()
    def restore(parameters: list[Tensor], weights: list[Tensor]) -> None:
        for p, w in zip(parameters, weights, strict=True):
            p.copy_(w)

    def step() -> None:
        loss = torch.empty(T, sum(problem.sizes))
        head_grads = []
        for row, gradients in zip(loss, problem.clean_gradients(), strict=True):
            for view, gradient in zip(problem.views(row), gradients, strict=False):
                view.copy_(gradient)
            head_grads.append(gradients[n:])
        direction = A(loss)
        if perturbed:
            flat = torch.empty_like(loss)
            theta = problem.views(torch.cat([p.detach().flatten() for p in problem.shared]))
            for i, head in enumerate(problem.heads):
                head_weights = [p.detach().clone() for p in head]
                move(problem.shared, theta, problem.views(loss[i]))
                move(head, head_weights, head_grads[i])
                gradients = problem.gradients(i)
                rows = problem.views(flat[i]), gradients, problem.views(loss[i])
                for view, gradient, other in zip(*rows, strict=False):
                    torch.sub(gradient, other, out=view)
                head_grads[i] = gradients[n:]
                restore(head, head_weights)
            restore(problem.shared, theta)
            direction = direction + A(flat)
        for p, gradient in zip(problem.shared, problem.views(direction), strict=True):
            p.grad = gradient
        for head, gradients in zip(problem.heads, head_grads, strict=True):
            for p, gradient in zip(head, gradients, strict=True):
                p.grad = gradient

    return step


def flatmtl(problem: Problem, aggregate: fm.Aggregator | None = None, **options: object) -> Step:
    parameters = [*problem.shared, *(p for head in problem.heads for p in head)]
    optimizer = torch.optim.SGD(parameters, lr=0.0)
    aggregate = fm.CAGrad(c=0.4) if aggregate is None else aggregate
    train = fm.FlatMTL(optimizer, problem.shared, problem.heads, aggregate, rho=RHO, **options)

    def step() -> None:
        train.backward([(problem.features, problem.losses)])
        train.observe()

    return step


def torchjd_cagrad(problem: Problem) -> Step:
    import torchjd.aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    aggregate = torchjd.aggregation.CAGrad(c=0.4)

    def step() -> None:
        z = problem.features()
        mtl_backward([loss(z) for loss in problem.losses], features=z)
        jac_to_grad(problem.shared, aggregate)
        for p in [*problem.shared, *(p for head in problem.heads for p in head)]:
            p.grad = None

    return step


def libmtl_cagrad(problem: Problem) -> Step | None:
    """Make LibMTL's own backward, or None where LibMTL is not installed; its CAGrad is for three tasks."""
    module = weightings()
    if module is None or len(problem.losses) != 3:
        return None
    weighting = module.CAGrad()
    weighting.task_num, weighting.device, weighting.rep_grad = len(problem.losses), "cpu", False
    weighting.get_share_params = lambda: iter(problem.shared)

    def zero() -> None:
        for p in problem.shared:
            p.grad = torch.zeros_like(p)  # LibMTL writes into the one that is there

    weighting.zero_grad_share_params = zero
    weighting.init_param()

    def step() -> None:
        z = problem.features()
        weighting.backward(torch.stack([loss(z) for loss in problem.losses]), calpha=0.4, rescale=2)

    return step


def batched_passes(problem: Problem) -> Step:
    """The clean passes with one backward pass for all tasks (vmap), as autograd can do for any closures."""
    parameters = [*problem.shared, *(p for head in problem.heads for p in head)]

    def step() -> None:
        z = problem.features()
        losses = torch.stack([loss(z) for loss in problem.losses])
        torch.autograd.grad(losses, parameters, torch.eye(len(losses)), is_grads_batched=True)

    return step


def famo_passes(problem: Problem) -> Step:
    """The passes of a FAMO step: forward, one backward pass of the weighted losses, and one more forward."""
    parameters = [*problem.shared, *(p for head in problem.heads for p in head)]

    def step() -> None:
        z = problem.features()
        torch.autograd.grad(sum(loss(z) for loss in problem.losses) / len(problem.losses), parameters)
        with torch.no_grad():
            z = problem.features()
            for loss in problem.losses:
                loss(z)

    return step


def samo_passes(problem: Problem) -> Step:
    """The passes of a SAMO step: one of the mean loss, two forward passes per task, one at each θ+ε."""
    parameters = [*problem.shared, *(p for head in problem.heads for p in head)]

    def step() -> None:
        z = problem.features()
        torch.autograd.grad(sum(loss(z) for loss in problem.losses) / len(problem.losses), parameters)
        with torch.no_grad():
            for loss in problem.losses:
                for _ in range(2):
                    loss(problem.features())
        for i in range(len(problem.losses)):
            problem.gradients(i)

    return step


CONTENDERS: dict[str, Callable[[Problem], Step | None]] = {
    "F passes": lambda problem: passes(problem, True),
    "ERM passes": lambda problem: passes(problem, False),
    "ERM passes, batched": batched_passes,
    "F-CAGrad": lambda problem: flatmtl(problem, combine="decomposed"),
    "F-CAGrad, plain loop": lambda problem: plain_loop(problem, True),
    "F-CAGrad, adaptive": lambda problem: flatmtl(problem, combine="decomposed", adaptive=True),
    "direct CAGrad, mean": lambda problem: flatmtl(problem, combine="direct", perturb="mean"),
    "SAMO passes": samo_passes,
    "SAMO-CAGrad": lambda problem: flatmtl(problem, combine="direct", perturb=fm.SAMO()),
    "SAMO-CAGrad, one draw": lambda problem: flatmtl(
        problem, combine="direct", perturb=fm.SAMO(one_draw=True)
    ),
    "Polar CAGrad": lambda problem: flatmtl(problem, combine="direct", perturb=fm.Polar()),
    "F-CAGrad, every 5": lambda problem: flatmtl(problem, flat_every=5),
    "FAMO passes": famo_passes,
    "FAMO": lambda problem: flatmtl(problem, fm.FAMO(), combine="erm"),
    "CAGrad": lambda problem: flatmtl(problem, combine="erm"),
    "CAGrad, plain loop": lambda problem: plain_loop(problem, False),
    "CAGrad, TorchJD": torchjd_cagrad,
    "CAGrad, LibMTL": libmtl_cagrad,
}
RATIOS = (
    ("F-CAGrad", "F passes"),
    ("F-CAGrad", "F-CAGrad, plain loop"),
    ("F-CAGrad, adaptive", "F passes"),
    ("direct CAGrad, mean", "F passes"),
    ("SAMO-CAGrad", "SAMO passes"),
    ("SAMO passes", "F passes"),
    ("SAMO-CAGrad", "F-CAGrad"),
    ("SAMO-CAGrad, one draw", "F-CAGrad"),
    ("Polar CAGrad", "F-CAGrad"),
    ("FAMO", "FAMO passes"),
    ("CAGrad", "ERM passes"),
    ("CAGrad", "CAGrad, plain loop"),
    ("CAGrad", "CAGrad, TorchJD"),
    ("CAGrad", "CAGrad, LibMTL"),
    ("F-CAGrad", "CAGrad"),
    ("ERM passes, batched", "ERM passes"),
)


def make(contender: str, problem: str) -> Step | None:
    torch.manual_seed(0)
    build, tasks, _ = PROBLEMS[problem]
    return CONTENDERS[contender](build(tasks))


def timed(problem: str) -> Times:
    """Return the seconds of all contenders in this process."""
    torch.set_num_threads(1)
    steps = {name: step for name in CONTENDERS if (step := make(name, problem)) is not None}
    return step_times(steps, PROBLEMS[problem][2])


def memory(contender: str, problem: str) -> float:
    """Return the peak of five steps over what is resident before them, in vectors of the trunk's size."""
    torch.set_num_threads(1)
    step = make(contender, problem)
    if step is None:
        return float("nan")
    build, tasks, _ = PROBLEMS[problem]
    size = 4 * sum(build(tasks).sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        step()
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / size


def show(problem: str) -> None:
    """Print the milliseconds and the memory of every contender, and the ratios."""
    runs = in_processes(timed, PROCESSES, problem)
    print(f"\n{problem}\n")
    for name in runs[0]:
        ms = 1000 * statistics.median(statistics.median(run[name]) for run in runs)
        vectors = f"{in_processes(memory, 1, name, problem)[0]:8.1f} vectors" if "MLP" in problem else ""
        print(f"  {name:<22}{ms:9.2f} ms{vectors}")
    print()
    for one, other in RATIOS:
        if one in runs[0] and other in runs[0]:
            medians = [
                statistics.median(a / b for a, b in zip(run[one], run[other], strict=True)) for run in runs
            ]
            low, high = min(medians), max(medians)
            print(f"  {one + ' / ' + other:<44}{statistics.median(medians):6.2f}  ({low:.2f} to {high:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="measure the networks whose names hold one of these words")
    words = parser.parse_args().words
    print(f"{datetime.date.today()}, {machine()}; {PROCESSES} processes")
    for problem in PROBLEMS:
        if not words or any(word in problem for word in words):
            show(problem)
    torch_alone, ours = import_seconds()
    print(f"\nimport flatmtl_lite: {ours:.3f} s on top of torch's own {torch_alone:.2f} s")


if __name__ == "__main__":
    main()
