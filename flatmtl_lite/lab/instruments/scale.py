"""The scale instrument: the same function at another scale of its layers, and what sharpness says to it."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ...diagnostics import ascent
from ..figures.axes import decades
from ..figures.style import BLACK, FLAT, GREY, ORANGE, SAM, TASK_DASHES, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import POSITIONS, RIGHT, panelled, position, staged, walked

UNITS = 8
RHO, RHO_ADAPTIVE = 0.1, 0.1
# which task's loss; None: the mean
SCALED = {"mean loss": None, "task 1": 0, "task 2": 1}
MEASURES = {
    "sharpness": ("sharpness", dict(color=SAM, dash="solid"), "star"),
    "adaptive": ("adaptive sharpness", dict(color=FLAT, dash="solid"), "diamond"),
    "top": ("top eigenvalue", dict(color=ORANGE, dash="dash"), "square"),
    "trace": ("trace", dict(color=GREY, dash="dot"), "circle"),
}


@functools.cache
def points() -> tuple[Tensor, Tensor]:
    """Inputs (24,) and targets of both tasks (24, 2): a wave and a kink, with noise."""
    x = torch.linspace(-2, 2, 24, dtype=torch.float64)
    noise = torch.randn(24, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.stack([torch.sin(2 * x), x.abs() - 1], -1) + 0.1 * noise


def outputs(theta: Tensor, x: Tensor) -> Tensor:
    """One hidden layer of ReLUs shared by two linear heads: weights (..., 34), inputs (N,) -> (..., N, 2)."""
    w, b, heads, biases = theta.split([UNITS, UNITS, 2 * UNITS, 2], -1)
    hidden = (x[:, None] * w.unsqueeze(-2) + b.unsqueeze(-2)).relu()
    return hidden @ heads.unflatten(-1, (UNITS, 2)) + biases.unsqueeze(-2)


def losses(theta: Tensor) -> Tensor:
    """Mean squared error of both tasks: weights (..., 34) -> (..., 2)."""
    x, targets = points()
    return (outputs(theta, x) - targets).square().mean(-2)


@functools.cache
def trained() -> Tensor:
    """The weights (34,) after 1,000 steps of Adam on the mean loss."""
    start = torch.randn(4 * UNITS + 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theta = (0.7 * start).requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=0.02)
    for _ in range(1000):
        optimizer.zero_grad()
        losses(theta).mean().backward()
        optimizer.step()
    return theta.detach()


def rescaled(theta: Tensor, alpha: Tensor) -> Tensor:
    """First layer times α, both heads divided by it: weights (34,), α (A,) -> (A, 34), the same function."""
    factor = torch.cat([alpha[:, None].expand(-1, 2 * UNITS), 1 / alpha[:, None].expand(-1, 2 * UNITS)], -1)
    return theta * torch.cat([factor, torch.ones(len(alpha), 2, dtype=theta.dtype)], -1)


def scale_instrument(alpha: float = 1.0, loss: str = "mean loss", after: Prediction | None = None) -> Stage:
    """A small ReLU network whose first layer is multiplied by α and whose heads are divided by it.

    The function and its loss stay the same; sharpness at a fixed radius, the top eigenvalue and the trace
    of the Hessian do not, adaptive sharpness does.

    Args:
        alpha: where the slider begins; the nearest of its positions, 1/10 to 10, is taken.
        loss: "mean loss", "task 1" or "task 2".
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: ``loss`` is unknown, or α lies outside 1/10 to 10.
    """
    alphas = torch.logspace(-1, 1, POSITIONS, dtype=torch.float64)
    theta = rescaled(trained(), alphas)
    x, targets = points()
    along = torch.linspace(-1.5 * RHO, 1.5 * RHO, 61, dtype=torch.float64)
    fine = torch.linspace(-2, 2, 81, dtype=torch.float64)
    figure, on = panelled(
        [],
        function=dict(
            x=(0.02, 0.42),
            y=(0.6, 1),
            title="what the network computes, and the data",
            xaxis=dict(range=[-2.1, 2.1], title="input"),
            yaxis=dict(range=[-1.6, 1.6]),
        ),
        weights=dict(
            x=(0.02, 0.42),
            y=(0.1, 0.43),
            title="size of each weight",
            xaxis=dict(
                range=[-1, 4 * UNITS],
                tickvals=[UNITS - 0.5, 3 * UNITS - 0.5],
                ticktext=["first layer", "heads"],
            ),
            yaxis=dict(range=[-3, 2], **decades(-3, 1)),
        ),
        line=dict(
            x=(RIGHT, 1),
            y=(0.6, 1),
            title="the loss from θ along the worst direction",
            xaxis=dict(range=[-1.5 * RHO, 1.5 * RHO], title="distance from θ"),
            yaxis=dict(range=[0, 0.5], title="loss"),
        ),
        measures=dict(
            x=(RIGHT, 1),
            y=(0.1, 0.43),
            title="measures against α, relative to α = 1",
            xaxis=dict(range=[-1, 1], tickvals=[0.1, 0.2, 0.5, 1, 2, 5, 10], type="log", title="α"),
            yaxis=dict(range=[-1, 2.5], **decades(-1, 2)),
        ),
    )
    for k, (color, dash, symbol) in enumerate(
        zip(TASKS[:2], TASK_DASHES, ("circle", "square"), strict=False)
    ):
        look = dict(mode="markers", marker=dict(color=color, symbol=symbol, size=7), showlegend=False)
        figure.add_scatter(x=x.numpy(), y=targets[:, k].numpy(), **look, **on["function"])
        line = dict(color=color, dash=dash, width=3)
        figure.add_scatter(uid=f"task-{k}", name=f"task {k + 1}", mode="lines", line=line, **on["function"])
    for uid, color, symbol in (("first", BLACK, "circle"), ("heads", GREY, "square")):
        marker = dict(color=color, symbol=symbol, size=8)
        figure.add_scatter(uid=uid, mode="markers", marker=marker, showlegend=False, **on["weights"])
    for uid, name, color, dash in (
        ("before", "loss at α = 1", GREY, "dot"),
        ("now", "loss at this α", BLACK, "solid"),
    ):
        line = dict(color=color, dash=dash, width=3)
        figure.add_scatter(uid=uid, name=name, mode="lines", line=line, legend="legend2", **on["line"])
    for uid, (name, look, symbol) in MEASURES.items():
        figure.add_scatter(
            uid=f"{uid}-curve",
            name=name,
            mode="lines",
            line=look | dict(width=3),
            legend="legend3",
            **on["measures"],
        )
        marker = dict(symbol=symbol, size=13, color=look["color"], line=dict(width=1.5, color=BLACK))
        figure.add_scatter(
            uid=uid, mode="markers", marker=marker, cliponaxis=False, showlegend=False, **on["measures"]
        )
    figure.update_layout(legend_y=1.05, legend3_x=0.45)

    def compute(choice: str) -> Table:
        def value(weights: Tensor) -> Tensor:
            task = SCALED[choice]
            return losses(weights).mean(-1) if task is None else losses(weights)[..., task]

        found = measured(theta, value)
        one = alphas.log().abs().argmin().item()
        ratios = {uid: found[uid] / found[uid][one] for uid in MEASURES}
        section = value(theta[:, None] + along[:, None] * found["direction"][:, None])
        said = outputs(theta, fine)
        place = torch.arange(4 * UNITS, dtype=theta.dtype).expand(POSITIONS, -1)
        sizes = torch.stack([place, theta[:, : 4 * UNITS].abs()], -1)
        traces = {
            "first": sizes[:, : 2 * UNITS],
            "heads": sizes[:, 2 * UNITS :],
            "now": torch.stack([along.expand_as(section), section], -1),
            "before": torch.stack([along, section[one]], -1)[None],
        }
        for k in range(2):
            traces[f"task-{k}"] = torch.stack([fine.expand(POSITIONS, -1), said[..., k]], -1)
        for uid, ratio in ratios.items():
            curve = torch.stack([alphas, ratio], -1)
            traces[f"{uid}-curve"], traces[uid] = walked(curve, origin=one), curve.unsqueeze(1)
        states = [
            f"α = {a:.3g}: {choice} {here:.4f}; sharpness ×{s:.2g}, top eigenvalue ×{t:.2g}, trace ×{r:.2g}, "
            f"adaptive sharpness ×{d:.2g}."
            for a, here, s, t, r, d in zip(
                alphas.tolist(),
                value(theta).tolist(),
                *(ratios[uid].tolist() for uid in ("sharpness", "top", "trace", "adaptive")),
                strict=True,
            )
        ]
        return Table(traces, states)

    return staged(
        figure,
        compute,
        recipe="lab.scale_instrument(alpha={value}, loss={choice})",
        title="Scale instrument",
        label="α",
        values=[f"{a:.3g}" for a in alphas.tolist()],
        index=position(alpha, alphas, "alpha"),
        choices=list(SCALED),
        choice=loss,
        choice_label="loss",
        after=after,
    )


def measured(theta: Tensor, value: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """All measures at all scales at once, and the worst direction that ten steps find.

    Args:
        theta: weights (A, P).
        value: weights (..., P) -> loss (...).
    """
    slope = torch.func.grad(lambda weights: value(weights).sum())
    found = {}
    for name, rho, scale in (
        ("sharpness", RHO, torch.ones_like(theta)),
        ("adaptive", RHO_ADAPTIVE, theta.abs()),
    ):
        climb = ascent(
            lambda u, scale=scale: scale * slope(theta + scale * u), torch.zeros_like(theta), rho, 10
        )
        visited = [theta + scale * u for u in climb]
        rises = torch.stack([value(weights) for weights in visited]) - value(theta)
        found[name], worst = rises.max(0)
        if name == "sharpness":
            away = torch.stack(visited)[worst, torch.arange(len(theta))] - theta
            found["direction"] = away / away.norm(dim=-1, keepdim=True)
    theta = theta.clone().requires_grad_()
    (grads,) = torch.autograd.grad(value(theta).sum(), theta, create_graph=True)
    rows = [torch.autograd.grad(g.sum(), theta, retain_graph=True)[0] for g in grads.unbind(-1)]
    hessian = torch.stack(rows, -1)
    found["top"] = torch.linalg.eigvalsh(hessian)[:, -1]
    found["trace"] = hessian.diagonal(dim1=-2, dim2=-1).sum(-1)
    return found
