"""Task gradients of a shared trunk and of the heads."""

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

    Made and checked with what is given; :meth:`resolve` at the first pass completes it from the graph.

    Args:
        shared: the trunk's parameters; None: found from the graph at the first pass.
        heads: per task the parameters of its head; None: found from the graph at the first pass.
        trained: parameters that must have a place (an optimizer's), with names for messages.

    Raises:
        ValueError: a parameter is listed twice, needs no gradient or has no place; nothing is shared.
    """

    def __init__(
        self,
        shared: Iterable[Tensor] | None = None,
        heads: Iterable[Iterable[Tensor]] | None = None,
        trained: dict[Tensor, str] | None = None,
    ):
        heads = heads if heads is None or isinstance(heads, (Tensor, nn.Module)) else list(heads)
        lists = [shared, heads, *(heads if isinstance(heads, list) else [])]
        if any(isinstance(parameters, (Tensor, nn.Module)) for parameters in lists):
            raise ValueError(
                "Got a tensor or a module where a list of parameters belongs; expected "
                "shared=trunk.parameters(), heads=[head.parameters() for head in heads]."
            )
        self.trained = trained or {}
        self.shared = None if shared is None else list(shared)
        self.heads = None if heads is None else [list(head) for head in heads]
        self.resolved = False
        self.check()

    @property
    def parameters(self) -> list[Tensor]:
        """The listed parameters: the shared ones, then head after head."""
        return (self.shared or []) + [p for head in self.heads or [] for p in head]

    def name(self, parameter: Tensor) -> str:
        """A name for messages: the given one, or the shape."""
        return self.trained.get(parameter, f"of shape {tuple(parameter.shape)}")

    def check_tasks(self, count: int) -> None:
        """Raise ValueError unless ``count`` losses fit this split."""
        if count == 0:
            raise ValueError("Got an empty list of losses; expected one callable z -> scalar per task.")
        if self.heads is not None and count != len(self.heads):
            raise ValueError(
                f"Got {count} losses but {len(self.heads)} heads; expected one loss per head. "
                "For a task without a head of its own give an empty list as its head."
            )
        if count == 1 and (self.shared is None or self.heads is None):
            raise ValueError(
                "Got one task; its graph cannot tell trunk from head. Pass shared= and heads=[...]."
            )

    def resolve(self, losses: Sequence[Tensor], tasks: Sequence[int]) -> None:
        """Find from the graph what was not given; check that every parameter has its place.

        What every loss reaches is shared, what one loss reaches is its head. Runs once. Parameters keep
        the optimizer's order where it is known: that of the graph's walk means nothing to a user.

        Raises:
            ValueError: a parameter that the losses reach fits neither; the message names it.
        """
        if self.resolved:
            return
        reached_by: dict[Tensor, list[int]] = {}
        for i, loss in zip(tasks, losses, strict=True):
            for leaf in _leaves(loss):
                reached_by.setdefault(leaf, []).append(i)
        found = TrunkAndHeads(trained=self.trained)
        found.shared = list(self.shared or [])
        found.heads = [list(head) for head in self.heads or [[] for _ in losses]]
        shared, owner = set(found.shared), {p: i for i, head in enumerate(found.heads) for p in head}
        order = {p: k for k, p in enumerate(self.trained)}
        for leaf, users in sorted(reached_by.items(), key=lambda item: order.get(item[0], -1)):
            if leaf in owner and users != [owner[leaf]]:
                raise ValueError(
                    f"The parameter {self.name(leaf)} is listed in the head of task {owner[leaf]}, but the "
                    f"losses of tasks {users} reach it; expected its own task's loss alone. Check the order "
                    "of heads= and losses (in a loop, bind the index: lambda z, i=i: ...)."
                )
            if leaf in shared or leaf in owner:
                continue
            if self.shared is None and len(users) == len(losses):
                found.shared.append(leaf)
            elif self.heads is None and len(users) == 1:
                found.heads[users[0]].append(leaf)
            elif self.shared is None or self.heads is None or isinstance(leaf, nn.Parameter):
                raise ValueError(
                    f"The parameter {self.name(leaf)} is in neither shared nor heads; it is reached by "
                    f"the losses of tasks {users} of {len(losses)}. Add it to shared= or to the heads= "
                    "entry of its task, or call requires_grad_(False) on it."
                )
        found.check()
        self.shared, self.heads, self.resolved = found.shared, found.heads, True

    def check(self) -> None:
        """Raise ValueError if the lists, as far as they are known, do not hold together."""
        place: dict[Tensor, str] = {}
        groups = [("shared", self.shared or [])]
        groups += [(f"the head of task {i}", head) for i, head in enumerate(self.heads or [])]
        for where, parameters in groups:
            for p in parameters:
                if not (isinstance(p, Tensor) and p.is_leaf and p.requires_grad):
                    raise ValueError(
                        f"An entry of {where} is a {type(p).__name__} that is no leaf requiring a gradient; "
                        "expected parameters. Leave frozen ones out: [p for p in ... if p.requires_grad]."
                    )
                if p in place:
                    raise ValueError(
                        f"The parameter {self.name(p)} is listed in {place[p]} and again in {where}; "
                        "expected each parameter once. One that several tasks use belongs to shared."
                    )
                place[p] = where
        if self.shared is not None and not self.shared:
            raise ValueError(
                "No parameter is shared by the tasks; expected at least one. Check that the losses use "
                "what features() returns and that the trunk is not frozen."
            )
        kinds = sorted({f"{p.dtype} on {p.device}" for p in self.shared or []})
        if len(kinds) > 1:
            raise ValueError(f"The shared parameters differ: {kinds}; expected one dtype and one device.")
        for p in self.trained if self.shared is not None and self.heads is not None else ():
            if p.requires_grad and p not in place:
                raise ValueError(
                    f"The optimizer's parameter {self.name(p)} is in neither shared nor heads (and, if these "
                    "were found from the graph, no loss reaches it); add it to shared= or to the heads= "
                    "entry of its task, or call requires_grad_(False) on it."
                )


class MicroBatch:
    """One micro-batch: runs the trunk once and then the heads that are asked for.

    The first run notes the state of the random generators before ``features`` and before each loss;
    later runs start from the same states, so dropout draws the same masks.

    Args:
        features: () -> z, runs the trunk.
        losses: per task z -> scalar, running that task's head.
    """

    def __init__(self, features: Features, losses: Losses):
        if not callable(features):
            raise ValueError(f"Got {type(features).__name__} as features; expected a callable () -> z.")
        self.features, self.losses = features, list(losses)
        for i, loss in enumerate(self.losses):
            if not callable(loss):
                raise ValueError(
                    f"Got {type(loss).__name__} as the loss of task {i}; expected a callable z -> scalar, "
                    "for example lambda z: criterion(head(z), target)."
                )
        self._noted: dict[Any, list[Tensor]] = {}

    def run(self, tasks: Sequence[int]) -> list[Tensor]:
        """The losses of the given tasks, each a scalar with its graph."""
        self._same_random_numbers("trunk")
        z = self.features()
        values = []
        for i in tasks:
            self._same_random_numbers(i)
            value = self.losses[i](z)
            if not (isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point()):
                found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(
                    f"The loss of task {i} is {found}; expected one floating scalar tensor. Reduce it, "
                    "for example with .mean(), and return nothing beside it."
                )
            if not value.requires_grad:
                raise ValueError(
                    f"The loss of task {i} does not depend on any parameter; expected a graph from the "
                    "parameters to the loss. Check for torch.no_grad() or .detach()."
                )
            values.append(value.reshape(()))
        return values

    def _same_random_numbers(self, key: Any) -> None:
        if key in self._noted:
            set_generators(self._noted[key])
        else:
            self._noted[key] = generator_states()


def task_gradients(
    passes: Sequence[MicroBatch],
    split: TrunkAndHeads,
    tasks: Sequence[int],
    weigh: Callable[[Tensor], Tensor] | None = None,
) -> TaskGradients:
    """Gradients of the given tasks' losses, the micro-batches averaged (they count equally).

    Args:
        passes: the micro-batches.
        split: shared and head parameters; resolved at the first run.
        tasks: indices of the tasks to run.
        weigh: losses (T,) -> weights (T,), called for every micro-batch. If given, one backward of the
            weighted sum does, and ``shared`` has that one row. Each head still follows its own loss, its
            gradient being divided by its weight again, which is therefore at least eps².

    Returns:
        Rows and vectors in the order of ``tasks``.
    """
    share = 1 / len(passes)
    totals: TaskGradients | None = None
    for batch in passes:
        values = batch.run(tasks)
        split.resolve(values, tasks)
        losses = torch.stack([v.detach() for v in values])
        heads = [split.heads[i] for i in tasks]
        if totals is None:
            totals = _zeros(split.shared, heads, len(tasks) if weigh is None else 1, losses)
        totals.losses.add_(losses, alpha=share)
        if weigh is None:
            for k, (value, head) in enumerate(zip(values, heads, strict=True)):
                more = k + 1 < len(values)
                trunk_grads, head_grads = _grad(value, split.shared, head, retain_graph=more)
                _add(totals.shared[k], trunk_grads, split.shared, share)
                _add(totals.heads[k], head_grads, head, share)
        else:
            weights = weigh(losses).to(losses).clamp_min(torch.finfo(losses.dtype).eps ** 2)
            all_heads = [p for head in heads for p in head]
            trunk_grads, head_grads = _grad((weights * torch.stack(values)).sum(), split.shared, all_heads)
            _add(totals.shared[0], trunk_grads, split.shared, share)
            for k, head in enumerate(heads):
                own, head_grads = head_grads[: len(head)], head_grads[len(head) :]
                _add(totals.heads[k], [None if g is None else g / weights[k] for g in own], head, share)
    return totals


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of a vector (P,) in the shapes of ``like``."""
    parts = vector.split([p.numel() for p in like]) if like else ()
    return [v.view(p.shape) for v, p in zip(parts, like, strict=True)]


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors as one detached vector (a copy)."""
    return torch.cat([t.detach().reshape(-1) for t in tensors]) if tensors else torch.zeros(0)


def generator_states() -> list[Tensor]:
    """States of torch's default generators: the CPU's, then those of the CUDA devices in use."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]


def set_generators(states: list[Tensor]) -> None:
    """Put back what :func:`generator_states` returned."""
    torch.set_rng_state(states[0])
    if states[1:]:
        torch.cuda.set_rng_state_all(states[1:])


def _zeros(shared: list[Tensor], heads: list[list[Tensor]], rows: int, losses: Tensor) -> TaskGradients:
    return TaskGradients(
        shared[0].new_zeros(rows, sum(map(Tensor.numel, shared))),
        [(head or shared)[0].new_zeros(sum(map(Tensor.numel, head))) for head in heads],
        torch.zeros_like(losses),
    )


def _grad(loss: Tensor, shared: list[Tensor], head: list[Tensor], retain_graph: bool = False):
    grads = torch.autograd.grad(loss, shared + head, retain_graph=retain_graph, allow_unused=True)
    return grads[: len(shared)], grads[len(shared) :]


def _add(vector: Tensor, grads: Sequence[Tensor | None], like: Sequence[Tensor], factor: float) -> None:
    for view, grad in zip(unflatten(vector, like), grads, strict=True):
        if grad is not None:
            view.add_(grad, alpha=factor)


def _leaves(loss: Tensor) -> list[Tensor]:
    """The leaf tensors that a loss reaches, in a fixed order."""
    found: dict[Tensor, None] = {}
    stack, seen = [loss.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[node.variable] = None
        stack.extend(parent for parent, _ in node.next_functions)
    return list(found)
