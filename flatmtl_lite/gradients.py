"""Compute the task gradients of a shared trunk and of the heads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Features = Callable[[], Any]
Losses = Sequence[Callable[[Any], Tensor]]


@dataclass
class TaskGradients:
    """Gradients of T task losses, flattened.

    Attributes:
        shared: (T, P), one row per task; a task that does not reach a parameter has zeros there.
        heads: T vectors, the gradient of task i's loss with respect to head i.
        losses: (T,), detached.
    """

    shared: Tensor
    heads: list[Tensor]
    losses: Tensor


class TrunkAndHeads:
    """Which parameters are shared by the tasks, and which belong to one task's head.

    A list that is left out is found from the graph by :meth:`resolve`, at the first pass.

    Args:
        shared: the trunk's parameters; None: found from the graph.
        heads: per task the parameters of its head; None: found from the graph.
        trained: parameters that must have a place (an optimizer's), with names for messages.

    Attributes:
        shared: the trunk's parameters; empty until they are found.
        heads: per task the parameters of its head; empty until they are found.
        finds_shared, finds_heads: whether the list was left out and is not found yet.

    Raises:
        ValueError: a parameter is listed twice, needs no gradient or has no place; nothing is shared.
    """

    def __init__(
        self,
        shared: Iterable[Tensor] | None = None,
        heads: Iterable[Iterable[Tensor]] | None = None,
        trained: dict[Tensor, str] | None = None,
    ) -> None:
        heads = heads if heads is None or isinstance(heads, (Tensor, nn.Module)) else list(heads)
        lists = [shared, heads, *(heads if isinstance(heads, list) else [])]
        if any(isinstance(parameters, (Tensor, nn.Module)) for parameters in lists):
            raise ValueError(
                "Got a tensor or a module where a list of parameters belongs; expected "
                "shared=trunk.parameters(), heads=[head.parameters() for head in heads]."
            )
        self.trained = trained or {}
        self.finds_shared, self.finds_heads = shared is None, heads is None
        self.shared = list(shared or [])
        self.heads = [list(head) for head in heads or []]
        self.resolved = False
        self.check()

    @property
    def parameters(self) -> list[Tensor]:
        """The listed parameters: the shared ones, then head after head."""
        return self.shared + [p for head in self.heads for p in head]

    def name(self, parameter: Tensor) -> str:
        """Return a name for messages: the optimizer's name, or the shape."""
        return self.trained.get(parameter, f"of shape {tuple(parameter.shape)}")

    def check_tasks(self, count: int) -> None:
        """Raise ValueError unless ``count`` losses fit the heads."""
        if count == 0:
            raise ValueError("Got an empty list of losses; expected one callable z -> scalar per task.")
        if not self.finds_heads and count != len(self.heads):
            raise ValueError(
                f"Got {count} losses but {len(self.heads)} heads; expected one loss per head. "
                "For a task without a head of its own give an empty list as its head."
            )
        if count == 1 and (self.finds_shared or self.finds_heads):
            raise ValueError("Got one task; it cannot tell trunk from head. Pass shared= and heads=[...].")

    def resolve(self, losses: Sequence[Tensor], tasks: Sequence[int]) -> None:
        """Find the lists that were left out from the graph; check that every parameter has its place.

        A parameter that every loss reaches is shared. A parameter that one loss reaches belongs to the head
        of that task. The search runs once. Found parameters keep the optimizer's order, because the order of
        a walk through the graph means nothing to a user.

        Raises:
            ValueError: a parameter that the losses reach fits neither list; the message names it.
        """
        if self.resolved:
            return
        shared, heads = list(self.shared), [list(head) for head in self.heads or [[] for _ in losses]]
        listed, owner = set(shared), {p: i for i, head in enumerate(heads) for p in head}
        reached_by: dict[Tensor, list[int]] = {}
        for i, loss in zip(tasks, losses, strict=True):
            for leaf in _leaves(loss):
                reached_by.setdefault(leaf, []).append(i)
        order = {p: k for k, p in enumerate(self.trained)}
        for leaf, users in sorted(reached_by.items(), key=lambda item: order.get(item[0], -1)):
            if leaf in owner and users != [owner[leaf]]:
                raise ValueError(
                    f"The parameter {self.name(leaf)} is listed in the head of task {owner[leaf]}, but the "
                    f"losses of tasks {users} reach it; expected its own task's loss alone. Check the order "
                    "of heads= and losses (in a loop, bind the index: lambda z, i=i: ...)."
                )
            if leaf in listed or leaf in owner:
                continue
            if self.finds_shared and len(users) == len(losses):
                shared.append(leaf)
            elif self.finds_heads and len(users) == 1:
                heads[users[0]].append(leaf)
            elif self.finds_shared or self.finds_heads or isinstance(leaf, nn.Parameter):
                raise ValueError(
                    f"The parameter {self.name(leaf)} is in neither shared nor heads; it is reached by "
                    f"the losses of tasks {users} of {len(losses)}. Add it to shared= or to the heads= "
                    "entry of its task, or call requires_grad_(False) on it."
                )
        TrunkAndHeads(shared, heads, self.trained)  # checks them together, before anything is changed
        self.shared, self.heads, self.resolved = shared, heads, True
        self.finds_shared = self.finds_heads = False

    def check(self) -> None:
        """Raise ValueError if the lists contradict each other or leave out a trained parameter."""
        place: dict[Tensor, str] = {}
        groups = [("shared", self.shared)]
        groups += [(f"the head of task {i}", head) for i, head in enumerate(self.heads)]
        for where, parameters in groups:
            for p in parameters:
                if not (isinstance(p, Tensor) and p.is_leaf and p.requires_grad):
                    raise ValueError(
                        f"An entry of {where} is a {type(p).__name__}, not a leaf with requires_grad; "
                        "expected parameters. Leave frozen ones out: [p for p in ... if p.requires_grad]."
                    )
                if p in place:
                    raise ValueError(
                        f"The parameter {self.name(p)} is listed in {place[p]} and again in {where}; "
                        "expected each parameter once. One that several tasks use belongs to shared."
                    )
                place[p] = where
        if not self.shared and not self.finds_shared:
            raise ValueError(
                "No parameter is shared by the tasks; expected at least one. Check that the losses use "
                "what features() returns and that the trunk is not frozen."
            )
        kinds = sorted({f"{p.dtype} on {p.device}" for p in self.shared})
        if len(kinds) > 1:
            raise ValueError(f"The shared parameters differ: {kinds}; expected one dtype and one device.")
        for p in () if self.finds_shared or self.finds_heads else self.trained:
            if p.requires_grad and p not in place:
                raise ValueError(
                    f"The optimizer's parameter {self.name(p)} is in neither shared nor heads (and, if these "
                    "were found from the graph, no loss reaches it); add it to shared= or to the heads= "
                    "entry of its task, or call requires_grad_(False) on it."
                )


class MicroBatch:
    """One micro-batch: runs the trunk once and then the heads of the requested tasks.

    The first run notes the state of the random generators before ``features`` and before each loss.
    Later runs start from the same states, so dropout draws the same masks.

    Args:
        features: () -> z, runs the trunk.
        losses: per task z -> scalar, runs that task's head.

    Raises:
        ValueError: ``features`` or a loss is not callable.
    """

    def __init__(self, features: Features, losses: Losses) -> None:
        if not callable(features):
            raise ValueError(f"Got {type(features).__name__} as features; expected a callable () -> z.")
        self.features, self.losses = features, list(losses)
        for i, loss in enumerate(self.losses):
            if not callable(loss):
                raise ValueError(
                    f"Got {type(loss).__name__} as the loss of task {i}; expected a callable z -> scalar, "
                    "for example lambda z: criterion(head(z), target)."
                )
        self._first_states: dict[str | int, list[Tensor]] = {}

    def run(self, tasks: Sequence[int]) -> list[Tensor]:
        """Return the losses of the given tasks, each a scalar with its graph.

        Raises:
            ValueError: a loss is not one floating scalar, or depends on no parameter.
        """
        self._same_random_numbers("trunk")
        z = self.features()
        losses = []
        for i in tasks:
            self._same_random_numbers(i)
            loss = self.losses[i](z)
            if not (isinstance(loss, Tensor) and loss.numel() == 1 and loss.is_floating_point()):
                kind = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise ValueError(
                    f"The loss of task {i} is {kind}; expected one floating scalar tensor. Reduce it, "
                    "for example with .mean(), and return nothing else with it."
                )
            if not loss.requires_grad:
                raise ValueError(
                    f"The loss of task {i} does not depend on any parameter; expected a graph from the "
                    "parameters to the loss. Check for torch.no_grad() or .detach()."
                )
            losses.append(loss.reshape(()))
        return losses

    def _same_random_numbers(self, key: str | int) -> None:
        if key in self._first_states:
            set_generators(self._first_states[key])
        else:
            self._first_states[key] = generator_states()


def task_gradients(
    batches: Sequence[MicroBatch], groups: TrunkAndHeads, tasks: Sequence[int]
) -> TaskGradients:
    """Compute the gradients of the given tasks' losses, with one backward pass per task.

    Args:
        batches: the micro-batches; their gradients are averaged, and each counts equally.
        groups: shared and head parameters; resolved at the first run.
        tasks: indices of the tasks to run.

    Returns:
        Rows and vectors in the order of ``tasks``.

    Raises:
        ValueError: no micro-batch, a loss that is not a scalar with a graph, or a parameter without a place.
    """

    def add(totals: TaskGradients, losses: list[Tensor], heads: list[list[Tensor]], share: float) -> None:
        for k, (loss, head) in enumerate(zip(losses, heads, strict=True)):
            more = k + 1 < len(losses)
            grads = _grad(loss, groups.shared + head, retain_graph=more)
            _add(totals.shared[k], grads[: len(groups.shared)], groups.shared, share)
            _add(totals.heads[k], grads[len(groups.shared) :], head, share)

    return _averaged(batches, groups, tasks, len(tasks), add)


def weighted_gradients(
    batches: Sequence[MicroBatch], groups: TrunkAndHeads, weigh: Callable[[Tensor], Tensor]
) -> TaskGradients:
    """Compute the gradient of the weighted sum of all losses, with one backward pass.

    Each head still follows its own loss: its gradient is divided by its task's weight again. So a weight
    counts as eps² at least.

    Args:
        batches: the micro-batches; their gradients are averaged, and each counts equally.
        groups: shared and head parameters; resolved at the first run.
        weigh: losses (T,) -> weights (T,), called for every micro-batch.

    Returns:
        ``shared`` has one row (1, P); ``heads`` and ``losses`` have T entries.
    """

    def add(totals: TaskGradients, losses: list[Tensor], heads: list[list[Tensor]], share: float) -> None:
        values = torch.stack(losses)
        weights = weigh(values.detach()).to(values).clamp_min(torch.finfo(values.dtype).eps ** 2)
        grads = iter(_grad((weights * values).sum(), groups.shared + [p for head in heads for p in head]))
        _add(totals.shared[0], [next(grads) for _ in groups.shared], groups.shared, share)
        for k, head in enumerate(heads):
            weighted = [next(grads) for _ in head]
            _add(totals.heads[k], [None if g is None else g / weights[k] for g in weighted], head, share)

    return _averaged(batches, groups, range(len(batches[0].losses)), 1, add)


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return views of a vector (P,) in the shapes of ``like``."""
    parts = torch.split(vector, [p.numel() for p in like]) if like else ()
    return [part.view(p.shape) for part, p in zip(parts, like, strict=True)]


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors as one detached vector (a copy)."""
    return torch.cat([t.detach().reshape(-1) for t in tensors]) if tensors else torch.zeros(0)


def generator_states() -> list[Tensor]:
    """Return the states of torch's default generators: the CPU's, then one per CUDA device in use."""
    cuda_in_use: Callable[[], bool] = torch.cuda.is_initialized
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if cuda_in_use() else [])]


def set_generators(states: list[Tensor]) -> None:
    """Put the states that :func:`generator_states` returned back into the generators."""
    torch.set_rng_state(states[0])
    if states[1:]:
        torch.cuda.set_rng_state_all(states[1:])


Add = Callable[[TaskGradients, list[Tensor], list[list[Tensor]], float], None]


def _averaged(
    batches: Sequence[MicroBatch], groups: TrunkAndHeads, tasks: Sequence[int], rows: int, add: Add
) -> TaskGradients:
    """Run the micro-batches; ``add`` adds the share of each to the totals, which have that many rows."""
    totals: TaskGradients | None = None
    for batch in batches:
        share = 1 / len(batches)
        losses = batch.run(tasks)
        groups.resolve(losses, tasks)
        heads, values = [groups.heads[i] for i in tasks], torch.stack([loss.detach() for loss in losses])
        totals = totals or _zeros(groups.shared, heads, rows, values)
        totals.losses.add_(values, alpha=share)
        add(totals, losses, heads, share)
    if totals is None:
        raise ValueError("Got no micro-batch; expected at least one.")
    return totals


def _zeros(shared: list[Tensor], heads: list[list[Tensor]], rows: int, losses: Tensor) -> TaskGradients:
    return TaskGradients(
        shared[0].new_zeros(rows, sum(map(Tensor.numel, shared))),
        [(head or shared)[0].new_zeros(sum(map(Tensor.numel, head))) for head in heads],
        torch.zeros_like(losses),
    )


def _grad(loss: Tensor, parameters: list[Tensor], retain_graph: bool = False) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(loss, parameters, retain_graph=retain_graph, allow_unused=True)


def _add(vector: Tensor, grads: Sequence[Tensor | None], like: Sequence[Tensor], factor: float) -> None:
    for view, grad in zip(unflatten(vector, like), grads, strict=True):
        if grad is not None:
            view.add_(grad, alpha=factor)


def _leaves(loss: Tensor) -> list[Tensor]:
    """Return the leaf tensors that a loss reaches, in a fixed order."""
    leaves: dict[Tensor, None] = {}
    stack, seen = [loss.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves[node.variable] = None
        stack.extend(parent for parent, _ in node.next_functions)
    return list(leaves)
