"""Sort the parameters into a shared trunk and heads; keep memory for vectors of the trunk's size."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._utils import _unflatten_dense_tensors


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
        self.tasks_seen: set[int] = set()
        self._count = 0
        self._kind: tuple[object, ...] | None = None
        self.check()

    @property
    def parameters(self) -> list[Tensor]:
        """The listed parameters: the shared ones, then head after head."""
        return self.shared + [p for head in self.heads for p in head]

    def reserve(self, count: int) -> None:
        """Ask for at least ``count`` ``rows``. This must come before the first of them is written."""
        self._count = max(self._count, count)

    @property
    def rows(self) -> Tensor:
        """Memory for vectors of the trunk's size, (count, P), as many as were reserved.

        All steps use the same memory, because the system clears every page of new memory before its first
        use. That can take longer than a backward pass.
        """
        like, shapes = self.shared[0], [p.shape for p in self.shared]
        kind = self._count, like.dtype, like.device, shapes
        if kind != self._kind:
            self._rows = like.new_empty(self._count, sum(shape.numel() for shape in shapes))
            self._views = [unflatten(row, self.shared) for row in self._rows]
            self._kind = kind
        return self._rows

    def forget_rows(self) -> None:
        """Make new memory for ``rows`` at their next use."""
        self._kind = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the memory of ``rows``: in a pickle, its views would no longer share it."""
        return self.__dict__ | {"_rows": None, "_views": None, "_kind": None}

    def views(self, row: int) -> list[Tensor]:
        """Return views of one of the ``rows`` in the shapes of the trunk's parameters."""
        return self._views[row]

    def name(self, parameter: Tensor) -> str:
        """Return a name for messages: the optimizer's name, or the shape."""
        return self.trained.get(parameter, f"of shape {tuple(parameter.shape)}")

    def check_trained(self, trained: set[Tensor]) -> None:
        """Raise ValueError unless an optimizer trains all listed parameters."""
        for where, p in self._places():
            if p not in trained:
                raise ValueError(
                    f"The parameter {self.name(p)} of {where} is not in the optimizer, so step(...) would "
                    "never train it; add it to the optimizer, or leave it out of the list and call "
                    "requires_grad_(False) on it. If another optimizer has it, call step.backward(...) and "
                    "step both optimizers."
                )

    def _places(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each listed parameter after the name of its list."""
        yield from (("shared", p) for p in self.shared)
        yield from ((f"the head of task {i}", p) for i, head in enumerate(self.heads) for p in head)

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
            raise ValueError(
                "Got one task; it cannot tell trunk from head. Pass shared= and heads=[head.parameters()], "
                "or heads=[[]] if everything is shared."
            )

    def resolve(self, losses: Sequence[Tensor | None], tasks: Sequence[int]) -> None:
        """Find the lists that were left out from the graph; check that every parameter has its place.

        A parameter that every loss reaches is shared. A parameter that one loss reaches belongs to the head
        of that task. The search runs once per task. Found parameters keep the optimizer's order, because the
        order of a walk through the graph means nothing to a user.

        Raises:
            ValueError: a parameter that the losses reach fits neither list; the message names it. Or a list
                was left out, and a task is absent (its loss is None).
        """
        present = {i: loss for i, loss in zip(tasks, losses, strict=True) if loss is not None}
        if present.keys() <= self.tasks_seen:
            return
        if len(present) < len(losses) and (self.finds_shared or self.finds_heads):
            absent = [i for i in tasks if i not in present]
            raise ValueError(
                f"Tasks {absent} are absent from the first batch, so trunk and heads cannot be found from "
                "the graph; pass shared= and heads=, or begin with a batch that has all tasks."
            )
        shared, heads = list(self.shared), [list(head) for head in self.heads or [[] for _ in losses]]
        listed, owner = set(shared), {p: i for i, head in enumerate(heads) for p in head}
        reached_by: dict[Tensor, list[int]] = {}
        for i, loss in present.items():
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
                    f"the losses of tasks {users} of {len(losses)}. List the whole trunk in shared=, this "
                    "parameter included, or add it to the heads= entry of its task, or call "
                    "requires_grad_(False) on it."
                )
        TrunkAndHeads(shared, heads, self.trained)  # checks them together, before anything is changed
        self.shared, self.heads = shared, heads
        self.tasks_seen |= present.keys()
        self.finds_shared = self.finds_heads = False

    def check(self) -> None:
        """Raise ValueError if the lists contradict each other or leave out a trained parameter."""
        place: dict[Tensor, str] = {}
        for where, p in self._places():
            if not (isinstance(p, Tensor) and p.is_leaf and p.requires_grad):
                raise ValueError(
                    f"An entry of {where} is a {type(p).__name__}, not a leaf with requires_grad; "
                    "expected parameters. Leave frozen ones out: [p for p in ... if p.requires_grad]."
                )
            if fault := _unfit(p):
                raise ValueError(f"A parameter of {where} {fault}")
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
                    "entry of its task, or call requires_grad_(False) on it. A graph hides the parameters "
                    "below torch.utils.checkpoint(..., use_reentrant=True): then pass both lists."
                )


def trained_parameters(optimizer: torch.optim.Optimizer, without: set[Tensor]) -> dict[Tensor, str]:
    """Return the optimizer's parameters, some left out, each with its name, or its place and shape."""
    if isinstance(optimizer, torch.optim.SparseAdam):
        raise ValueError(
            "Got SparseAdam, which needs sparse gradients; expected an optimizer of dense ones, because "
            "sums of task gradients are dense. Take Adam; Embedding(sparse=True) may stay."
        )
    names: dict[Tensor, str] = {}
    for g, group in enumerate(optimizer.param_groups):
        for i, p in enumerate(group["params"]):
            given_names = group.get("param_names")
            shape = "no shape yet" if torch.nn.parameter.is_lazy(p) else f"shape {tuple(p.shape)}"
            unnamed = f"{i} of group {g} ({shape}; an optimizer of model.named_parameters() would name it)"
            names[p] = repr(given_names[i]) if given_names else unnamed
    return {p: name for p, name in names.items() if p not in without}


def check_steps_on_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError if the optimizer cannot step on .grad alone."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"Got {type(optimizer).__name__}, whose step calls a closure several times; expected one that "
            "steps on .grad. Call optimizer.step(closure), where the closure calls "
            "step.backward([(features, losses)]) and returns the sum of the losses (see the guide)."
        )


def _unfit(p: Tensor) -> str | None:
    """Return why a parameter cannot be perturbed in place with real steps, or None."""
    if nn.parameter.is_lazy(p):
        return "has no shape yet; expected one. Run the network on a batch once, then make the optimizer."
    if p.is_complex():
        return f"is {p.dtype}; expected real numbers. Store it as torch.view_as_real(p), and use the view."
    if any(step == 0 and size > 1 for step, size in zip(p.stride(), p.shape, strict=True)):
        return f"shares memory among its entries, shape {tuple(p.shape)}; expected p.expand(...).clone()."
    return None


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return views of a vector (P,) in the shapes of ``like``."""
    return list(_unflatten_dense_tensors(vector, like)) if like else []


def flatten(tensors: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
    """Return the tensors as one detached vector (a copy), in new memory or in ``out``."""
    parts = [t.detach().reshape(-1) for t in tensors]
    return torch.cat(parts, out=out) if parts else torch.zeros(0)


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
