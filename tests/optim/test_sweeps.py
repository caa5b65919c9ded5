"""A step sweeps over the trunk's weights a few times per task, and keeps few vectors of their size."""

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import flatmtl_lite as fm

P = 20_000


class Traffic(TorchDispatchMode):
    """Adds up what operations touch, in vectors of length P, and notes the most that was alive at once.

    An operation counts as its largest tensor: a sum of two vectors into a third is one sweep. A view counts
    nothing.
    """

    def __init__(self, *given):
        super().__init__()
        self.sweeps, self.peak = 0.0, 0.0
        self.given = {tensor.untyped_storage().data_ptr() for tensor in given}
        self.storages = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name, returns = function._schema.name.removeprefix("aten::"), function._schema.returns
        is_view = bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write
        results = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        arguments = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if not is_view:
            touched = results if name.startswith("new_") else results + arguments
            sizes = {t.data_ptr(): t.numel() for t in touched}.values()
            self.sweeps += (
                sum(sizes) / 2 if name in ("_foreach_copy_", "cat") else max(sizes, default=0)
            ) / P
        for storage in (t.untyped_storage() for t in results):
            if storage.data_ptr() not in self.given:
                self.storages[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes() / (8 * P)
        self.storages = {k: v for k, v in self.storages.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.storages.values()))
        return result


def problem(T):
    w = torch.nn.Parameter(torch.randn(P, dtype=torch.float64))
    heads = [torch.nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(T)]
    targets = torch.randn(T, P, dtype=torch.float64)
    losses = [lambda z, i=i: (z @ targets[i]) ** 2 / P + heads[i].square().sum() for i in range(T)]
    return w, heads, losses, targets


def traffic_of_passes(w, heads, losses, perturbed):
    with Traffic() as traffic:
        clean = [loss(w) for loss in losses]
        for loss, head in zip(clean, heads, strict=True):
            torch.autograd.grad(loss, [w, head], retain_graph=True)
        for loss, head in zip(losses, heads, strict=True):
            if perturbed:
                torch.autograd.grad(loss(w), [w, head])
    return traffic


@pytest.mark.parametrize(
    ("options", "per_task", "once"),
    [
        # copy; Gramian; w G. Once: nothing
        ({"combine": "erm"}, 3, 0),
        # clean: copy, norm, Gramian, w G. Perturbed: perturb, difference, Gramian, w G. Once: save, restore
        ({}, 8, 2),
        ({"norm": "together"}, 8, 2),
        # two products with the weights more
        ({"adaptive": True}, 10, 2),
        # one step for all: neither norm nor perturbation per task. The mean sweeps over all rows
        ({"perturb": "mean"}, 7, 4),
        ({"perturb": "mean", "adaptive": True}, 7, 6),
    ],
    ids=str,
)
@pytest.mark.parametrize("T", [2, 5])
def test_sweeps_per_task(T, options, per_task, once):
    w, heads, losses, _ = problem(T)
    passes = traffic_of_passes(w, heads, losses, options.get("combine") != "erm")
    optimizer = torch.optim.SGD([w, *heads], lr=0.1)
    step = fm.FlatMTL(optimizer, [w], [[head] for head in heads], fm.CAGrad(), **{"rho": 0.1, **options})
    step.backward([(lambda: w, losses)])
    with Traffic() as traffic:
        step.backward([(lambda: w, losses)])
    sweeps = traffic.sweeps - passes.sweeps
    assert per_task * T + once - 0.5 < sweeps <= per_task * T + once + 0.5, sweeps


@pytest.mark.parametrize(
    "options", [{}, {"adaptive": True}, {"norm": "together"}, {"perturb": "mean"}], ids=str
)
@pytest.mark.parametrize("T", [2, 5])
def test_memory_is_two_vectors_per_task_and_two_more(T, options):
    w, heads, losses, targets = problem(T)
    optimizer = torch.optim.SGD([w, *heads], lr=0.1)
    step = fm.FlatMTL(optimizer, [w], [[head] for head in heads], fm.CAGrad(), rho=0.1, **options)
    with Traffic(w, targets) as traffic:
        step.backward([(lambda: w, losses)])
    assert 2 * T + 1 < traffic.peak <= 2 * T + 2.1, traffic.peak
