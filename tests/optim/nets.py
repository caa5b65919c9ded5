"""The small network of these tests, and what they read off it."""

from functools import partial

import torch
from torch import nn

import flatmtl_lite as fm

close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-13)
# the ways that differ in when the weights of the losses are needed and how many backward passes run
WAYS = [
    {"combine": "erm"},
    {"combine": "direct", "perturb": "mean"},
    {"combine": "direct"},
    {"combine": "decomposed"},
]

# the ways to choose ε that differ in how they are computed
CHOICES = ["task", "mean", fm.Polar(), fm.SAMO(), fm.SAMO(one_draw=True), fm.SAMO(local="exact")]


class Net(nn.Module):
    """A smooth trunk and T heads on fixed data; ``noisy`` adds BatchNorm and dropout."""

    def __init__(self, tasks=3, noisy=False, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        noise = [nn.BatchNorm1d(5), nn.Dropout(0.3)] if noisy else []
        self.trunk = nn.Sequential(nn.Linear(4, 5), *noise, nn.Tanh(), nn.Linear(5, 3), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(3, 2) for _ in range(tasks))
        self.x, self.y = torch.randn(8, 4).to(dtype), torch.randn(tasks, 8, 2).to(dtype)
        self.to(dtype)

    def loss(self, i, z, part=slice(None)):
        return nn.functional.mse_loss(self.heads[i](z), self.y[i, part])

    def batch(self, part=slice(None)):
        """(features, losses) of some of the samples."""
        losses = [partial(self.loss, i, part=part) for i in range(len(self.heads))]
        return (lambda: self.trunk(self.x[part])), losses

    @property
    def shared(self):
        return list(self.trunk.parameters())

    @property
    def head_lists(self):
        return [[p for p in head.parameters() if p.requires_grad] for head in self.heads]

    def step(self, optimizer=None, **options):
        if optimizer is None:
            aggregate = options.get("aggregate")
            learnt = aggregate.parameters() if isinstance(aggregate, fm.Aggregator) else []
            optimizer = torch.optim.SGD([*self.parameters(), *learnt], lr=0.1)
        return fm.FlatMTL(optimizer, shared=self.shared, heads=self.head_lists, **options)

    def gradients(self):
        """.grad of all parameters, copied: further steps replace it."""
        return [None if p.grad is None else p.grad.clone() for p in self.parameters()]


def everything(net, step=None):
    """Weights and buffers bit for bit, gradients, the generator, and the optimizer's state."""
    tensors = [*net.parameters(), *net.buffers()]
    tensors += [p.grad for p in net.parameters() if p.grad is not None]
    stored = [t.detach().reshape(-1).view(torch.uint8).tolist() for t in tensors]
    optimizer = None if step is None else str(step.optimizer.state_dict())
    return stored, torch.get_rng_state().tolist(), optimizer


def halves(net):
    return [net.batch(slice(0, 4)), net.batch(slice(4, 8))]


def headless():
    net = Net()
    net.heads[1].requires_grad_(False)
    return net


def linear_tasks(G):
    """Parameters, features and losses whose gradients are the rows of G, whatever the weights."""
    w = nn.Parameter(torch.zeros(G.shape[1], dtype=G.dtype))
    return w, lambda: w * 1, [lambda z, g=g: z @ g for g in G]


def breaks(net, i, where, value=float("nan"), moved_only=False):
    """Losses, that of task i with a gradient that is not finite at one place; perhaps only when perturbed."""
    features, losses = net.batch()
    weight = net.trunk[0].weight if where == "trunk" else net.heads[i].weight
    before = weight.detach().clone()

    def broken(z):
        now = not (moved_only and weight.detach().equal(before))
        return net.loss(i, z) + (value * weight.sum() if now else 0)

    losses[i] = broken
    return features, losses
