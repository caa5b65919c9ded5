"""The scale instrument: one function at many scales of its layers, and the sharpness at each scale.

The network and its measures stand at the head of the file, the instrument after them.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ..figures.axes import decades
from ..figures.style import BLACK, FLAT, GREY, ORANGE, SAM, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .ball import worst_points
from .parts.curve import Curves, draw_lines, draw_stems, task_styles
from .parts.opening import POSITIONS, Drawing, menu, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.picture import Picture
from .parts.points import pairs

UNITS = 8
RHO, RHO_ADAPTIVE = 0.1, 0.1
# name of a choice -> the task whose loss it is; None: the mean of both
SCALED = {"mean loss": None, "task 1": 0, "task 2": 1}
# uid of a measure -> its name and its look
MEASURES = {
    "sharpness": ("sharpness", dict(color=SAM, dash="solid")),
    "adaptive": ("adaptive sharpness", dict(color=FLAT, dash="solid")),
    "top": ("top eigenvalue", dict(color=ORANGE, dash="dash")),
    "trace": ("trace", dict(color=GREY, dash="dot")),
}
ALPHAS = torch.logspace(-1, 1, POSITIONS, dtype=torch.float64)
UNSCALED = int(ALPHAS.log().abs().argmin())  # the position of α = 1
ALONG = torch.linspace(-1.5 * RHO, 1.5 * RHO, 61, dtype=torch.float64)
INPUTS = torch.linspace(-2, 2, 81, dtype=torch.float64)


@functools.cache
def points() -> tuple[Tensor, Tensor]:
    """Return inputs (24,) and the targets of both tasks (24, 2): a wave and a kink, with noise."""
    x = torch.linspace(-2, 2, 24, dtype=torch.float64)
    noise = torch.randn(24, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.stack([torch.sin(2 * x), x.abs() - 1], -1) + 0.1 * noise


def outputs(theta: Tensor, x: Tensor) -> Tensor:
    """Run one hidden layer of ReLUs that two linear heads share.

    Weights (..., 34), inputs (N,) -> outputs (..., N, 2).
    """
    w, b, heads, biases = theta.split([UNITS, UNITS, 2 * UNITS, 2], -1)
    hidden = (x[:, None] * w.unsqueeze(-2) + b.unsqueeze(-2)).relu()
    return hidden @ heads.unflatten(-1, (UNITS, 2)) + biases.unsqueeze(-2)


def losses(theta: Tensor) -> Tensor:
    """Return the mean squared error of both tasks: weights (..., 34) -> (..., 2)."""
    x, targets = points()
    return (outputs(theta, x) - targets).square().mean(-2)


@functools.cache
def trained() -> Tensor:
    """Return the weights (34,) after 1,000 steps of Adam on the mean loss."""
    start = torch.randn(4 * UNITS + 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theta = (0.7 * start).requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=0.02)
    for _ in range(1000):
        optimizer.zero_grad()
        losses(theta).mean().backward()
        optimizer.step()
    return theta.detach()


def rescaled(theta: Tensor, alpha: Tensor) -> Tensor:
    """Multiply the first layer by α and divide both heads by α: weights (34,), α (A,) -> (A, 34).

    The function stays the same.
    """
    factor = torch.cat([alpha[:, None].expand(-1, 2 * UNITS), 1 / alpha[:, None].expand(-1, 2 * UNITS)], -1)
    return theta * torch.cat([factor, torch.ones(len(alpha), 2, dtype=theta.dtype)], -1)


def measured(theta: Tensor, value: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Measure sharpness and curvature at all scales at once.

    Args:
        theta: weights (A, P).
        value: weights (..., P) -> loss (...).

    Returns:
        "sharpness", "adaptive", "top" and "trace", (A,) each, and "direction" (A, P), the unit vector to
        the worst point that ten steps find.
    """

    def slope(weights: Tensor) -> Tensor:
        return torch.func.grad(lambda at: value(at).sum())(weights)

    def worst(rho: float, scale: Tensor) -> Tensor:
        return worst_points(slope, value, theta, theta.new_full((len(theta),), rho), scale)[1]

    plain, adaptive = worst(RHO, torch.ones_like(theta)), worst(RHO_ADAPTIVE, theta.abs())
    away = plain - theta
    curvature = torch.func.vmap(torch.func.jacrev(torch.func.grad(value)))(theta)
    return {
        "sharpness": value(plain) - value(theta),
        "adaptive": value(adaptive) - value(theta),
        "top": torch.linalg.eigvalsh(curvature)[:, -1],
        "trace": curvature.diagonal(dim1=-2, dim2=-1).sum(-1),
        "direction": away / away.norm(dim=-1, keepdim=True),
    }


def scale_instrument(alpha: float = 1.0, loss: str = "mean loss", after: Prediction | None = None) -> Stage:
    """Multiply the first layer of a small ReLU network by α, and divide its heads by α.

    The function and its loss stay the same, and so does adaptive sharpness. Sharpness at a fixed radius,
    the top eigenvalue and the trace of the Hessian change.

    Args:
        alpha: α, 1/10 to 10. The slider begins at its position nearest to α.
        loss: "mean loss", "task 1" or "task 2".
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``loss`` is unknown, or α lies outside 1/10 to 10.
    """
    recipe = "lab.scale_instrument(alpha={value}, loss={choice})"
    controls = slider("α", ALPHAS, "alpha", alpha, "{:.3g}".format) | menu("loss", SCALED, loss)
    return open_stage("Scale instrument", recipe, controls, after, _draw)


def _draw(choice: str) -> Drawing:
    """Draw the function, the weights, the section and the measures at all scales, for a loss."""
    task, theta = SCALED[choice], rescaled(trained(), ALPHAS)

    def value(weights: Tensor) -> Tensor:
        return losses(weights).mean(-1) if task is None else losses(weights)[..., task]

    measures = measured(theta, value)
    x, y = dict(range=[-2.1, 2.1], title="input"), dict(range=[-1.6, 1.6], nticks=4)
    function = Panel("what the network computes, and the data", x, y)
    inputs, targets = points()
    for k, symbol in enumerate(("circle", "square")):
        data = dict(x=inputs.tolist(), y=targets[:, k].tolist())
        function.dots(None, TASKS[k], symbol, size=7, edge=0, marker_opacity=0.7, **data)
    computed = outputs(theta, INPUTS).unbind(-1)
    draw_lines(function, task_styles("task"), [pairs(INPUTS, heights) for heights in computed])

    ticks: dict = dict(tickvals=[UNITS - 0.5, 3 * UNITS - 0.5], ticktext=["first layer", "heads"])
    x = ticks | dict(range=[-1, 4 * UNITS], ticks="", showgrid=False)
    weights = Panel("size of each weight", x, dict(range=[-3, 2], **decades(-3, 1)))
    place = torch.arange(4 * UNITS, dtype=theta.dtype).expand(POSITIONS, -1)
    dots, feet = pairs(place, theta[:, : 4 * UNITS].abs()), pairs(place, 1e-3)
    for uid, color, symbol, part in (
        ("first", BLACK, "circle", slice(2 * UNITS)),
        ("heads", GREY, "square", slice(2 * UNITS, None)),
    ):
        draw_stems(weights, uid, color, dots[:, part], feet[:, part], symbol)

    x = dict(range=[-1.5 * RHO, 1.5 * RHO], title="distance from θ")
    along = Panel("the loss from θ along the worst direction", x, dict(range=[0, 0.5]))
    section = value(theta[:, None] + ALONG[:, None] * measures["direction"][:, None])
    looks = {"before": ("at α = 1", dict(color=GREY, dash="dot")), "now": ("at this α", dict(color=BLACK))}
    draw_lines(along, looks, [pairs(ALONG, section[UNSCALED])[None], pairs(ALONG, section)])

    ratios = {uid: measures[uid] / measures[uid][UNSCALED] for uid in MEASURES}
    x = dict(range=[-1, 1], tickvals=[0.1, 0.2, 0.5, 1, 2, 5, 10], type="log", title="α")
    y = dict(range=[-1, 2.5], **decades(-1, 2))
    curves = Curves("measures, relative to α = 1", x, y, MEASURES, ALPHAS, ratios.values(), origin=UNSCALED)
    sentence = "α = {alpha:.3g}: {choice} {loss:.4f}; sharpness ×{sharpness:.2g}, top eigenvalue ×{top:.2g}, "
    sentence += "trace ×{trace:.2g}, adaptive ×{adaptive:.2g}."
    words = sentences(sentence, choice=choice, alpha=ALPHAS, loss=value(theta), **ratios)
    return Picture(None, [[function, along], [weights, curves]]), words
