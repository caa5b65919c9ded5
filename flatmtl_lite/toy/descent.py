"""Compute whole families of trajectories at once, with the aggregators and rules that train networks."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..aggregation import AGGREGATORS, Aggregator, Mean
from ..decomposition import RULES, Decomposition, check_rule, combine
from ..perturbation import SAMO, Polar
from ..perturbation.sam import check_perturb, check_radius, worst_case
from .problems import Problem


@dataclass
class Method:
    """How to descend: an aggregator, a rule of ``decomposition.RULES``, and a way to choose ε.

    Attributes:
        aggregate: an aggregator.
        combine: key of ``RULES``.
        perturb: "task": one ε per task; "mean": one ε for all, from the mean loss; or :class:`SAMO`, with
            both weights of the plane as one layer; or :class:`Polar`, which is "mean" there.
        adaptive: adaptive SAM, see :func:`~flatmtl_lite.perturbation.worst_case`.

    Raises:
        ValueError: unknown ``combine`` or ``perturb``.
    """

    aggregate: Aggregator = field(default_factory=Mean)
    combine: str = "decomposed"
    perturb: str | SAMO | Polar = "task"
    adaptive: bool = False

    def __post_init__(self) -> None:
        check_rule(self.combine)
        check_perturb(self.perturb)


def epsilon(
    problem: Problem, gradients: Tensor, theta: Tensor, rho: float | Tensor, method: Method, seed: int = 0
) -> Tensor:
    """Return the ε of each task, (..., T, 2), or (..., 1, 2) if all tasks share one.

    Args:
        problem: the landscape.
        gradients: task gradients at ``theta``, (..., T, 2).
        theta: points (..., 2).
        rho: radius, a number or (...).
        method: its ``perturb`` and ``adaptive`` choose ε.
        seed: seed of what SAMO draws; all points share the draw.
    """
    if isinstance(rho, Tensor):
        rho = rho[..., None, None]
    if isinstance(method.perturb, SAMO):
        gradients = _directions(problem, gradients, theta, method.perturb, seed)
    elif method.perturb != "task":
        gradients = gradients.mean(-2, keepdim=True)
    return worst_case(gradients, rho, theta.unsqueeze(-2) if method.adaptive else None)


def _directions(problem: Problem, gradients: Tensor, theta: Tensor, samo: SAMO, seed: int) -> Tensor:
    """Return what SAMO's ε points along, (..., T, 2), or (..., 1, 2) for α = 1."""
    mean = gradients.mean(-2, keepdim=True)
    if samo.alpha == 1:
        return mean
    if samo.local == "exact":
        return samo.alpha * mean + (1 - samo.alpha) * gradients
    generator, T = torch.Generator().manual_seed(seed), gradients.shape[-2]
    each = T if samo.one_draw else 1  # tasks that share a draw
    z, coins = theta.new_empty(T, 2), torch.empty(T)
    for k in range(0, T, each):
        z[k : k + each] = z[k].normal_(generator=generator).clone()
        if samo.local == "coin":
            coins[k : k + each] = 2.0 * torch.randint(0, 2, (each,), generator=generator) - 1
    if samo.local == "coin":
        sign = coins.to(theta).expand(gradients.shape[:-1])
    else:
        here = theta.unsqueeze(-2)
        rises = problem.losses(here + samo.mu * z) >= problem.losses(here - samo.mu * z)
        sign = 2 * rises.to(theta) - 1
    return samo.mix(mean.expand_as(gradients), z.expand_as(gradients).clone(), sign, [2])


def decompose(
    problem: Problem, theta: Tensor, rho: float | Tensor, method: Method, seed: int = 0
) -> Decomposition:
    """Return loss and flat parts, (..., T, 2) each, at points ``theta`` (..., 2); ρ is a number or (...).

    With the rule "erm" there is no flat part. If the aggregator reads no losses, there are no losses.
    ``seed`` is the seed of what SAMO draws.
    """
    together = theta.unsqueeze(-2)
    loss = problem.gradients(together)
    losses = problem.losses(together) if method.aggregate.reads_losses else None
    if method.combine == "erm":
        return Decomposition(loss, losses=losses)
    perturbed = problem.gradients(together + epsilon(problem, loss, theta, rho, method, seed))
    return Decomposition(loss, perturbed - loss, losses=losses)


def descend(
    problem: Problem,
    starts: Tensor,
    rho: float | Tensor,
    methods: Sequence[Method],
    steps: int | None = None,
    lr: float | None = None,
) -> Tensor:
    """Descend from every start with every ρ by every method.

    Args:
        problem: the landscape; its ``optimizer`` takes the steps.
        starts: points, broadcastable with ρ to (..., 2).
        rho: a number, or a tensor broadcastable with the starts to (...).
        methods: M methods.
        steps, lr: number of steps and learning rate; by default the problem's.

    Returns:
        Points (M, ..., steps + 1, 2), the starts first.

    Raises:
        ValueError: no method, starts that are not finite points (x, y), a negative or infinite radius,
            or starts and radii that do not broadcast.

    Example:
        >>> from flatmtl_lite.toy import PROBLEMS
        >>> starts, rho = torch.tensor([[0.0, 1.5]]), torch.linspace(0, 1, 5)[:, None]
        >>> descend(PROBLEMS["valleys"], starts, rho, [Method()], steps=10).shape
        torch.Size([1, 5, 1, 11, 2])
    """
    rho = torch.as_tensor(rho, dtype=torch.float64)
    starts = torch.as_tensor(starts, dtype=torch.float64)
    shape = _family_shape(starts, rho, methods)
    theta = starts.expand(len(methods), *shape, 2).clone()
    step_against = problem.optimizer(theta, problem.lr if lr is None else lr)
    steps = problem.steps if steps is None else steps
    path = theta.new_empty(steps + 1, *theta.shape)
    directions = _Family(problem, methods)
    with torch.inference_mode():
        path[0] = theta
        for step in range(steps):
            step_against(directions(theta, rho, step))
            directions.observe(theta)
            path[step + 1] = theta
    return path.movedim(0, -2)


Parts = tuple[Tensor, Tensor, Tensor | None]  # one method's loss part, flat part and losses


class _Family:
    """The directions of several methods at once, (M, ..., 2) at points (M, ..., 2).

    Methods with one kind of ε share the gradients. Equal aggregators that are functions of their rows share
    one call for the parts that the rules name. The other aggregators run one by one, with their own memory
    and draws. Two methods that hold one object share its memory.
    """

    def __init__(self, problem: Problem, methods: Sequence[Method]) -> None:
        self.problem, self.methods = problem, methods
        kinds: dict[Hashable, list[int]] = {}
        equal: dict[Hashable, list[int]] = {}
        observers = [m.aggregate for m in methods if m.aggregate.observes]
        if len({id(aggregate) for aggregate in observers}) < len(observers):
            raise ValueError(
                "Got one aggregator, which learns from losses after each step, in two methods; expected one "
                "for each."
            )
        for i, m in enumerate(methods):
            m.aggregate.check_rule(m.combine)
            kinds.setdefault((m.perturb, m.adaptive, m.aggregate.reads_losses), []).append(i)
            is_function = m.aggregate.is_function(problem.tasks)
            equal.setdefault(_settings(m.aggregate) if is_function else i, []).append(i)
        self.kinds, self.equal = list(kinds.values()), list(equal.values())
        self.part_names = [_part_names(m.combine) for m in methods]

    def __call__(self, theta: Tensor, rho: Tensor, step: int) -> Tensor:
        parts: dict[int, Parts] = {}
        directions: dict[int, Tensor] = {}
        for members in self.kinds:
            # one larger batch costs less than two, so erm gets a flat part too if another method needs one
            leader = max((self.methods[i] for i in members), key=lambda m: m.combine != "erm")
            points = theta if len(members) == len(theta) else theta[members]
            d = decompose(self.problem, points, rho, leader, seed=step)
            for k, i in enumerate(members):
                parts[i] = d.loss[k], d.flat[k], None if d.losses is None else d.losses[k]
        for members in self.equal:
            if self.methods[members[0]].aggregate.is_function(self.problem.tasks):
                directions |= self._together(members, parts)
            else:
                (i,) = members
                loss, flat, losses = parts[i]
                d = Decomposition(loss, flat, losses=losses)
                directions[i] = combine(d, self.methods[i].aggregate, self.methods[i].combine)
        return torch.stack([directions[i] for i in range(len(theta))])

    def observe(self, theta: Tensor) -> None:
        """Show the methods that learn from them the losses after a step, at points (M, ..., 2)."""
        for method, points in zip(self.methods, theta, strict=True):
            if method.aggregate.observes:
                method.aggregate.observe(self.problem.losses(points.unsqueeze(-2)))

    def _together(self, members: list[int], parts: dict[int, Parts]) -> dict[int, Tensor]:
        """Return the directions of methods with equal aggregators: one call for all parts with a name."""
        aggregate = self.methods[members[0]].aggregate
        rows: dict[tuple[int, str], Tensor] = {}
        for i in members:
            loss, flat, _ = parts[i]
            for part in self.part_names[i]:
                rows[i, part] = loss + flat if part == "sam" else loss if part == "loss" else flat
        of_parts = dict(zip(rows, aggregate(torch.stack(list(rows.values()))), strict=True)) if rows else {}

        def by_rule(i: int) -> Tensor:
            def A(rows: Tensor, part: str | None = None, by: Aggregator | None = None) -> Tensor:
                direction: Tensor = of_parts[i, part] if part else (by or aggregate)(rows)
                return direction

            loss, flat, _ = parts[i]
            return RULES[self.methods[i].combine](A, loss, flat)

        return {i: by_rule(i) for i in members}


def _settings(aggregate: Aggregator) -> Hashable:
    """Return a key that two aggregators share if they are the same function of their rows.

    The kit's own classes keep their settings in plain attributes, so class and attributes decide. Any other
    aggregator equals only itself.
    """
    if type(aggregate) not in AGGREGATORS.values():
        return id(aggregate)
    attributes = vars(aggregate).items()
    settings = {k: v for k, v in attributes if k[0] != "_" and not isinstance(v, torch.Generator)}
    return type(aggregate), repr(settings)


def _part_names(rule: str) -> list[str]:
    """Return the names of the parts that a rule aggregates."""
    names: list[str] = []

    def note(rows: Tensor, part: str | None = None, by: Aggregator | None = None) -> Tensor:
        names.extend([part] if part else [])
        return rows[..., 0, :]

    RULES[rule](note, torch.zeros(1, 1), torch.zeros(1, 1))
    return names


def _family_shape(starts: Tensor, rho: Tensor, methods: Sequence[Method]) -> torch.Size:
    if not methods:
        raise ValueError("Got no method; expected at least one, such as [Method(Mean())].")
    if starts.ndim < 1 or starts.shape[-1] != 2 or not starts.isfinite().all():
        raise ValueError(
            f"Got starts of shape {tuple(starts.shape)}; expected finite points (..., 2), such as "
            "[[0.0, 1.5]]."
        )
    check_radius(rho)
    try:
        return torch.broadcast_tensors(starts[..., 0], rho)[0].shape
    except RuntimeError as error:
        raise ValueError(
            f"Got starts of shape {tuple(starts.shape)} and rho of shape {tuple(rho.shape)}; expected shapes "
            "that broadcast, such as (S, 2) and (R, 1) for R radii from each of S starts."
        ) from error
