"""The split instrument: the flat part beside what the Hessian predicts, on a net with and without kinks."""

import torch
from torch import Tensor

from ...decomposition import Decomposition
from ...perturbation import worst_case
from ...toy import ACTIVATIONS, Method, TinyNet, decompose
from ..figures.style import BLACK, GREY, PARTS, TASK_DASHES, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import (
    DIAL,
    POSITIONS,
    RIGHT,
    add_dial,
    arrow_points,
    degrees_text,
    panelled,
    part_angles,
    position,
    staged,
)

DECADES = (-3, 0.5)
# points of the step between two slider positions, and how many of them the zoom shows
FINER, SHOWN = 3, 120
SHARES = {"0.01%": 1e-4, "0.1%": 1e-3, "1%": 1e-2, "10%": 0.1, "100%": 1}
GREYS = {"tanh": "dash", "softplus": "dot"}  # not ReLU: the picture must not tell what is to be predicted


def split_instrument(rho: float = 0.001, activation: str = "ReLU", after: Prediction | None = None) -> Stage:
    """How well ρHg/‖g‖ predicts the flat part, the slope along the step, and the angles of all parts.

    The net is :class:`flatmtl_lite.toy.TinyNet`; its heads rest, so trunk gradients are all there is.

    Args:
        rho: where the slider begins, from 0.001 to 3.16; the nearest of its positions is taken.
        activation: key of ``flatmtl_lite.toy.ACTIVATIONS``.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: unknown activation, or ρ outside the range.
    """
    rhos = torch.logspace(*DECADES, POSITIONS, dtype=torch.float64)
    rho_axis = dict(type="log", range=list(DECADES), title="ρ", dtick=1)
    figure, on = panelled(
        [],
        error=dict(
            x=(0.02, 0.45),
            y=(0, 0.93),
            title="ρHg/‖g‖ misses the flat part by ... (grey: smooth nets)",
            xaxis=rho_axis,
            yaxis=dict(type="log", range=[-4, 0.8], tickvals=list(SHARES.values()), ticktext=list(SHARES)),
        ),
        zoom=dict(
            x=(RIGHT, 0.98),
            y=(0.62, 1),
            title="growth of the slope from θ to θ+ε; thin: as H predicts",
            xaxis=dict(range=[0, 1], tickvals=[0, 0.5, 1], ticktext=["θ", "", "θ+ε"]),
            yaxis=dict(range=[-1.1, 1.1], tickvals=[0]),
        ),
        dial=dict(x=(RIGHT, 0.74), y=(0.08, 0.47), title="angles at this ρ", **DIAL),
        length=dict(
            x=(0.81, 1),
            y=(0.08, 0.47),
            title="‖flat‖ / ‖loss‖",
            xaxis=rho_axis | dict(tickvals=[0.01, 0.1, 1], dtick=None),
            yaxis=dict(type="log", range=[-3.5, 1.5], dtick=1, tickformat="~g"),
        ),
    )
    for name, dash in GREYS.items():
        _, _, missed = _splits(TinyNet(name), rhos)
        figure.add_scatter(
            x=rhos.tolist(),
            y=missed.amax(-1).tolist(),
            mode="lines",
            line=dict(color=GREY, dash=dash, width=1.5),
            name=name,
            showlegend=True,
            **on["error"],
        )
    for k, (color, dash) in enumerate(zip(TASKS[:2], TASK_DASHES, strict=False)):
        line = dict(color=color, dash=dash, width=3)
        name = f"task {k + 1}"
        figure.add_scatter(uid=f"error-{k}", mode="lines", line=line, name=name, **on["error"])
        figure.add_scatter(uid=f"length-{k}", mode="lines", line=line, showlegend=False, **on["length"])
        for uid, panel in ((f"error-{k}-here", "error"), (f"length-{k}-here", "length")):
            marker = dict(
                size=12, symbol=("circle", "square")[k], color=color, line=dict(width=1.5, color=BLACK)
            )
            figure.add_scatter(
                uid=uid, mode="markers", marker=marker, cliponaxis=False, showlegend=False, **on[panel]
            )
        figure.add_scatter(uid=f"slope-{k}", mode="lines", line=line, showlegend=False, **on["zoom"])
        thin = dict(color=color, width=1.2)
        figure.add_scatter(uid=f"straight-{k}", mode="lines", line=thin, showlegend=False, **on["zoom"])
    add_dial(figure, on["dial"])
    shown = {f"between-{part}": (part, PARTS[part], "legend3") for part in ("loss", "flat")}
    for k in range(2):
        shown[f"within-{k}"] = (f"task {k + 1}", dict(color=TASKS[k], dash="dashdot"), "legend4")
    for uid, (name, look, legend) in shown.items():
        figure.add_scatter(
            uid=uid, mode="lines", line=look | dict(width=3), name=name, legend=legend, **on["dial"]
        )
    for legend, text in (("legend3", "between tasks: "), ("legend4", "within, loss to flat: ")):
        figure.update_layout({legend: dict(title=dict(text=text, side="left", font_size=13))})

    def compute(choice: str) -> Table:
        net = TinyNet(choice)
        d, predicted, missed = _splits(net, rhos)
        direction = worst_case(d.loss[0], 1.0)
        slope, straight = _zoom(net, d.loss[0], direction, (predicted * direction).sum(-1), rhos)
        ends = net.theta + rhos[:, None, None] * direction
        crossed = (net.sides(ends) != net.sides(net.theta.expand(1, -1))).sum(-1)
        lengths = d.flat.norm(dim=-1) / d.loss.norm(dim=-1)
        degrees = part_angles(d)
        traces = {}
        for k in range(2):
            for uid, values in ((f"error-{k}", missed[:, k]), (f"length-{k}", lengths[:, k])):
                curve = torch.stack([rhos, values], -1)
                traces[uid], traces[f"{uid}-here"] = curve[None], curve.unsqueeze(1)
            traces[f"slope-{k}"], traces[f"straight-{k}"] = slope[:, k], straight[:, k]
        for uid in shown:
            radians = torch.deg2rad(degrees[uid])
            traces[uid] = arrow_points(torch.stack([radians.cos(), radians.sin()], -1))
        states = [
            f"ρ = {value:.3g}, {choice}: missed by {_percent(one)} and {_percent(two)}"
            + (f" ({first} and {second} of {net.pairs} kinks)" if choice == "ReLU" else "")
            + f"; loss parts {degrees_text(losses)} apart, flat parts {degrees_text(flats)}."
            for value, (one, two), (first, second), losses, flats in zip(
                rhos.tolist(),
                missed.tolist(),
                crossed.tolist(),
                degrees["between-loss"].tolist(),
                degrees["between-flat"].tolist(),
                strict=True,
            )
        ]
        return Table(traces, states)

    return staged(
        figure,
        compute,
        recipe="lab.split_instrument(rho={value}, activation={choice})",
        title="Split instrument",
        label="ρ",
        values=[f"{value:.3g}" for value in rhos.tolist()],
        index=position(rho, rhos, "rho"),
        choices=list(ACTIVATIONS),
        choice=activation,
        choice_label="activation",
        after=after,
    )


def _splits(net: TinyNet, rhos: Tensor) -> tuple[Decomposition, Tensor, Tensor]:
    """For every ρ: loss and flat parts, Hg/‖g‖ (T, P), and how far ρ of that misses the flat parts."""
    d = decompose(net, net.theta.expand(len(rhos), -1), rhos, Method())
    predicted = net.hessian_products(net.theta.expand(1, -1), worst_case(d.loss[0], 1.0))
    missed = (d.flat - rhos[:, None, None] * predicted).norm(dim=-1) / d.flat.norm(dim=-1)
    return d, predicted, missed


def _zoom(
    net: TinyNet, gradient: Tensor, direction: Tensor, curvature: Tensor, rhos: Tensor
) -> tuple[Tensor, Tensor]:
    """The slope's growth along each task's step, and H's straight line for it, as points (R, T, n, 2).

    Every zoom is a stretch of one logarithmic grid of distances, so the slopes are computed once.
    """
    finest = FINER * (len(rhos) - 1)
    ratio = (rhos[-1] / rhos[0]) ** (1 / finest)
    distances = rhos[0] * ratio ** torch.arange(1 - SHOWN, finest + 1)
    slopes = (net.gradients(net.theta + distances[:, None, None] * direction) * direction).sum(-1)
    growth = slopes - (gradient * direction).sum(-1)
    start = growth.new_zeros(len(rhos), growth.shape[1], 1)
    growth = torch.cat([start, growth.unfold(0, SHOWN, FINER)], -1)
    along = torch.cat([torch.zeros(1), ratio ** torch.arange(1 - SHOWN, 1)])
    end = rhos[:, None] * curvature
    largest = torch.maximum(growth.abs().amax(-1), end.abs())
    slope = torch.stack([along.expand_as(growth), growth / largest.unsqueeze(-1)], -1)
    line = torch.stack([torch.zeros_like(end), end / largest], -1)
    return slope, torch.stack([torch.tensor([0.0, 1.0]).expand_as(line), line], -1)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"
