"""The split instrument: the flat part next to the Hessian's prediction, on nets with and without kinks."""

import functools

import torch
from torch import Tensor

from ...decomposition import Decomposition
from ...perturbation import worst_case
from ...toy import ACTIVATIONS, Method, TinyNet, decompose
from ..figures.style import GREY, PARTS, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.angles import Dial, degrees_texts, flat_part, part_angles
from .parts.curve import Curves, draw_line, draw_lines, task_styles
from .parts.opening import POSITIONS, Drawing, menu, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.picture import Picture
from .parts.points import pairs

DECADES = (-3, 0.5)
RHOS = torch.logspace(*DECADES, POSITIONS, dtype=torch.float64)
# points of the step between two slider positions, and the number of points that the zoom shows
FINER, SHOWN = 3, 120
SHARES = {"0.01%": 1e-4, "0.1%": 1e-3, "1%": 1e-2, "10%": 0.1, "100%": 1}
# smooth nets -> the dash of the curve and the side of its name. ReLU would give the prediction away.
GREYS = {"tanh": ("dash", "top left"), "softplus": ("dot", "bottom right")}
# uid of a needle -> its name and its look
NEEDLES = {
    **{f"between-{part}": (f"{part} parts", PARTS[part]) for part in ("loss", "flat")},
    **{f"within-{k}": (f"task {k + 1}", dict(color=TASKS[k], dash="dashdot")) for k in range(2)},
}


def split_instrument(rho: float = 0.001, activation: str = "ReLU", after: Prediction | None = None) -> Stage:
    """Show how well ρHg/‖g‖ predicts the flat part, the slope along the step, and the angles of all parts.

    The net is :class:`flatmtl_lite.toy.TinyNet`. Its heads do not move, so all gradients are trunk gradients.

    Args:
        rho: ρ, 0.001 to 3.16. The slider begins at its position nearest to ρ.
        activation: key of ``flatmtl_lite.toy.ACTIVATIONS``.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the activation is unknown, or ρ lies outside the range.
    """
    recipe = "lab.split_instrument(rho={value}, activation={choice})"
    controls = slider("ρ", RHOS, "rho", rho, "{:.3g}".format) | menu("activation", ACTIVATIONS, activation)
    return open_stage("Split instrument", recipe, controls, after, _draw)


def split(net: TinyNet, rhos: Tensor) -> tuple[Decomposition, Tensor, Tensor]:
    """Return loss and flat parts for every ρ, the vectors Hg/‖g‖ (T, P), and the relative error (R, T).

    The error is the distance of ρHg/‖g‖ from the flat part, divided by the norm of the flat part.
    """
    # a net has the methods of a problem that decompose needs
    d = decompose(net, net.theta.expand(len(rhos), -1), rhos, Method())  # type: ignore[arg-type]
    predicted = net.hessian_products(net.theta.expand(1, -1), worst_case(d.loss[0], 1.0))
    flat = flat_part(d)
    errors = (flat - rhos[:, None, None] * predicted).norm(dim=-1) / flat.norm(dim=-1)
    return d, predicted, errors


def zoom(
    net: TinyNet, gradient: Tensor, direction: Tensor, curvature: Tensor, rhos: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the growth of the slope along each task's step, and the Hessian's straight line for it.

    Both are points (R, T, n, 2). Every zoom shows a stretch of one logarithmic grid of distances, so the
    slopes are computed once.
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
    slope = pairs(along, growth / largest.unsqueeze(-1))
    line = torch.stack([torch.zeros_like(end), end / largest], -1)
    return slope, pairs(torch.tensor([0.0, 1.0]), line)


@functools.cache
def _worst_error(name: str) -> list[float]:
    """Return the larger of the tasks' errors at every ρ, for a net that no choice changes."""
    return split(TinyNet(name), RHOS)[2].amax(-1).tolist()


def _draw(choice: str) -> Drawing:
    """Draw the errors of the prediction, the zoom, the angles and the lengths, for an activation."""
    net = TinyNet(choice)
    d, predicted, missed = split(net, RHOS)
    direction = worst_case(d.loss[0], 1.0)
    slope, straight = zoom(net, d.loss[0], direction, (predicted * direction).sum(-1), RHOS)
    ends = net.theta + RHOS[:, None, None] * direction
    crossed = (net.sides(ends) != net.sides(net.theta.expand(1, -1))).sum(-1)
    lengths = flat_part(d).norm(dim=-1) / d.loss.norm(dim=-1)
    degrees = part_angles(d)

    x = dict(type="log", range=list(DECADES), title="ρ", dtick=1)
    y = dict(type="log", range=[-4, 0.8], tickvals=list(SHARES.values()), ticktext=list(SHARES))
    errors = Curves("ρHg/‖g‖ misses the flat part by ...", x, y, task_styles("error"), RHOS, missed.T)
    for name, (dash, side) in GREYS.items():
        look = dict(color=GREY, dash=dash, width=1.5)
        draw_line(errors, name, RHOS.tolist(), _worst_error(name), look, POSITIONS // 2, side)
    ticks = dict(range=[0, 1], tickvals=[0, 0.5, 1], ticktext=["θ", "half way", "θ+ε"], title="along ε")
    heights: dict = dict(range=[-1.2, 1.7], tickvals=[0])
    growth = Panel("growth of the slope (H₁, H₂: as predicted)", ticks, heights, share=1.4)
    thin = {f"straight-{k}": (name, dict(color=TASKS[k], width=1.2)) for k, name in enumerate(("H₁", "H₂"))}
    draw_lines(growth, {**task_styles("slope"), **thin}, [*slope.unbind(1), *straight.unbind(1)])
    dial = Dial("angles between tasks, and within a task", NEEDLES, degrees)
    heights = dict(type="log", range=[-3.5, 1.5], dtick=1, tickformat="~g")
    ratios = Curves("‖flat‖ / ‖loss‖", x, heights, task_styles("length"), RHOS, lengths.T)

    kinks = [""] * POSITIONS
    if choice == "ReLU":
        kinks = [f" ({a} and {b} of {net.pairs} kinks)" for a, b in crossed.tolist()]
    shares = [[_percent(error) for error in row] for row in missed.tolist()]
    loss, flat = (degrees_texts(degrees[f"between-{part}"]) for part in ("loss", "flat"))
    sentence = "ρ = {rho:.3g}, {net}: missed by {missed[0]} and {missed[1]}{kinks}; "
    sentence += "loss {loss} apart, flat {flat}."
    words = sentences(sentence, net=choice, rho=RHOS, missed=shares, kinks=kinks, loss=loss, flat=flat)
    return Picture(errors, [[growth], [dial], [ratios]]), words


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"
