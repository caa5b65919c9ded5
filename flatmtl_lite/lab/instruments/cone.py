"""Three gradients in space: the cone of common descent, and where IMTL-G as published turns round."""

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import IMTLG, weighted_sum
from ..figures.landscape import arrow
from ..figures.style import BLACK, GREY, PURPLE, TASK_DASHES, TASKS
from ..predictions.predict import Prediction
from ..stage.stage import Stage, Table
from .parts.panels import arrow_points, panelled, position, staged
from .parts.weighing import (
    METHODS,
    ROOM,
    add_rows,
    row_panels,
    row_traces,
    slopes,
    verdict,
    weigh_all,
    with_gaps,
)

GRADIENTS = ((1.5, 0.0, 0.1), (0.0, 0.8, 1.3), (-0.5, -0.4, -0.1))
CAMERAS = torch.arange(0, 361, 5, dtype=torch.float64)
SPACE = dict(
    x=(0, 0.46),
    y=(0, 1),
    title="",
    equal=True,
    xaxis=dict(range=[-1.5, 1.5], visible=False),
    yaxis=dict(range=[-1.2, 1.8], visible=False),
)
FACE = "rgba(0, 0, 0, 0.08)"


def published_imtl_g(weights: Tensor) -> Tensor:
    """IMTL-G's weights (..., T) as published, divided by Σβ, from ours, which are divided by Σ|β|."""
    return weights / weights.sum(-1, keepdim=True)


def cone_instrument(
    gradients: Sequence[Sequence[float]] = GRADIENTS,
    camera: float = 135.0,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Three gradients in space and the cone of common descent; the slider walks round them.

    Args:
        gradients: (x, y, z) for each of three tasks, linearly independent.
        camera: degrees round the vertical axis, 0 to 360; the nearest slider position is taken.
        method: whose direction is drawn as an arrow, a key of ``flatmtl_lite.AGGREGATORS`` that works on
            the Gramian.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: not three independent vectors, an unknown method, or a camera outside its range.
    """
    G = independent(gradients)
    figure, on = panelled([], space=SPACE, **row_panels())
    figure.update_layout(**ROOM)
    add_space(figure, on["space"])
    dots = dict(symbol="circle-open", size=9, color=GREY, line_width=2)
    figure.add_scatter(uid="others", mode="markers", marker=dots, name="others", **on["space"])
    figure.add_trace(arrow("direction", BLACK, name="direction", **on["space"]))
    add_rows(figure, on, 3)
    weights = weigh_all(G[None])
    d = weighted_sum(weights, G).squeeze(1)
    cosine = slopes(G[None], d.unsqueeze(1))
    scene = space_traces(G.expand(len(CAMERAS), 3, 3), CAMERAS)
    scene["others"] = seen(d.expand(len(CAMERAS), *d.shape), CAMERAS)

    def compute(choice: str) -> Table:
        chosen = METHODS.index(choice)
        traces = scene | row_traces(chosen, weights, cosine)
        traces["direction"] = arrow_points(scene["others"][:, chosen])
        said = verdict(weights[chosen, 0].tolist(), cosine[chosen, 0].tolist(), d[chosen].norm().item())
        return Table(traces, [f"{choice}: {said} Seen from {angle:.0f}°." for angle in CAMERAS.tolist()])

    return staged(
        figure,
        compute,
        recipe=f"lab.cone_instrument({[tuple(g) for g in G.tolist()]}, camera={{value}}, method={{choice}})",
        title="Cone instrument",
        label="walk round (°)",
        values=[f"{value:.0f}" for value in CAMERAS.tolist()],
        index=position(camera, CAMERAS, "camera"),
        choices=METHODS,
        choice=method,
        after=after,
    )


# all three agree, and the third lies a little to the side of the middle of the other two
NARROW = ((0.42, 0.0, 0.91), (-0.42, 0.0, 0.91), (0.0, 0.26, 0.97))
LENGTHS = torch.linspace(0.05, 1.5, 88, dtype=torch.float64)


def pole_instrument(length: float = 1.5, after: Prediction | None = None) -> Stage:
    """IMTL-G as published and ours while the third task's gradient shrinks, seen from a fixed side.

    At the right, what each does for every task: the inner product of its direction with each unit
    gradient, which IMTL-G makes equal for all tasks. Where Σβ changes its sign, the published direction
    goes to infinity and comes back from the other side; its arrow and its dot stop at the rim.

    Args:
        length: of the third gradient, 0.05 to 1.5; the nearest slider position is taken.
        after: a prediction to record before the slider moves.

    Raises:
        ValueError: the length lies outside its range.
    """
    G = independent(NARROW).expand(len(LENGTHS), 3, 3).clone()
    G[:, 2] *= (LENGTHS / G[:, 2].norm(dim=-1)).unsqueeze(-1)
    ours = IMTLG().weights(G @ G.mT)
    directions = {
        "ours": (weighted_sum(ours, G), BLACK, "solid", "divided by Σ|β|"),
        "published": (weighted_sum(published_imtl_g(ours), G), PURPLE, "dash", "divided by Σβ"),
    }
    gain = dict(
        x=(0.6, 1),
        y=(0.1, 1),
        title="what each task gains",
        xaxis=dict(range=[0, 1.55], title="length of task 3's gradient"),
        yaxis=dict(range=[-1.7, 1.7], title="⟨gᵢ, d⟩ / ‖gᵢ‖, the same for all i"),
    )
    figure, on = panelled([], space=SPACE, gain=gain)
    figure.update_layout(**ROOM)
    add_space(figure, on["space"])
    zero = dict(mode="lines", line=dict(color=BLACK, width=1), showlegend=False)
    figure.add_scatter(x=[0, 2], y=[0, 0], **zero, **on["gain"])
    camera = torch.full_like(LENGTHS, 60.0)
    traces = space_traces(G, camera)
    for uid, (d, color, dash, name) in directions.items():
        figure.add_trace(arrow(uid, color, dash, name=name, **on["space"]))
        look = dict(mode="lines", line=dict(color=color, dash=dash, width=3), showlegend=False)
        figure.add_scatter(uid=f"{uid}-curve", **look, **on["gain"])
        here = dict(size=11, color=color, line=dict(width=1.5, color=BLACK))
        figure.add_scatter(uid=f"{uid}-here", mode="markers", marker=here, showlegend=False, **on["gain"])
        arrows = seen(d.unsqueeze(1), camera)[:, 0]
        traces[uid] = arrow_points(arrows * (1.15 / arrows.norm(dim=-1, keepdim=True)).clamp_max(1.0))
        curve = torch.stack([LENGTHS, gains(G, d)], -1)
        traces[f"{uid}-here"] = torch.stack([LENGTHS, gains(G, d).clamp(-1.65, 1.65)], -1).unsqueeze(1)
        traces[f"{uid}-curve"] = broken_at_poles(curve)[None]
    states = [
        f"Length {length:.2f}: divided by Σ|β| every task gains {one:.2f}, divided by Σβ {two:.2f}"
        f"{' (all get worse)' if two < 0 else ''}."
        for length, one, two in zip(
            LENGTHS.tolist(),
            *(gains(G, d).tolist() for d, *_ in directions.values()),
            strict=True,
        )
    ]
    return staged(
        figure,
        lambda choice: Table(traces, states),
        recipe="lab.pole_instrument({value})",
        title="Pole instrument",
        label="length of task 3's gradient",
        values=[f"{value:.3g}" for value in LENGTHS.tolist()],
        index=position(length, LENGTHS, "length"),
        after=after,
    )


def independent(gradients: Sequence[Sequence[float]]) -> Tensor:
    """Three vectors in space as rows (3, 3)."""
    try:
        G = torch.tensor(gradients, dtype=torch.float64)
    except (TypeError, ValueError):
        G = torch.zeros(0)
    if G.shape != (3, 3) or not G.isfinite().all() or torch.linalg.matrix_rank(G) < 3:
        raise ValueError(f"Got gradients={gradients!r}; expected three independent vectors (x, y, z).")
    return G


def gains(G: Tensor, d: Tensor) -> Tensor:
    """⟨gᵢ, d⟩/‖gᵢ‖ of the first task, (N,)."""
    return (G[:, 0] * d).sum(-1) / G[:, 0].norm(dim=-1)


def broken_at_poles(curve: Tensor) -> Tensor:
    """A curve (N, 2) with a gap where its height changes sign."""
    jump = torch.cat([curve[1:, 1] * curve[:-1, 1] < 0, torch.zeros(1, dtype=torch.bool)])
    return curve.masked_fill(jump.unsqueeze(-1), torch.nan)


def add_space(figure: go.Figure, axes: dict) -> None:
    """A floor, the cone, and the three gradients with plumb lines down to the floor."""
    thin = dict(mode="lines", line=dict(color="#bbbbbb", width=1), showlegend=False)
    figure.add_scatter(uid="floor", **thin, **axes)
    for k in range(3):
        name = dict(name="good for all") if k == 0 else dict(showlegend=False)
        look = dict(mode="lines", line=dict(color=GREY, width=1), fill="toself", fillcolor=FACE)
        figure.add_scatter(uid=f"face-{k}", **look, **name, **axes)
    for k in range(3):
        plumb = dict(mode="lines", line=dict(color=TASKS[k], width=1, dash="dot"), showlegend=False)
        figure.add_scatter(uid=f"plumb-{k}", **plumb, **axes)
        figure.add_trace(arrow(f"gradient-{k}", TASKS[k], TASK_DASHES[k], name=f"task {k + 1}", **axes))


def space_traces(G: Tensor, cameras: Tensor) -> dict[str, Tensor]:
    """The points of those traces for gradients (N, 3, 3) seen from ``cameras`` (N,), in degrees."""
    n = len(cameras)
    grid = torch.linspace(-1, 1, 5, dtype=torch.float64)
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    along = torch.cartesian_prod(grid, ends).reshape(5, 2, 2)
    floor = torch.cat([along, along.flip(-1)])
    floor = torch.cat([floor, torch.zeros(10, 2, 1)], -1).expand(n, 10, 2, 3)
    traces = {"floor": with_gaps(seen(floor.flatten(1, 2), cameras).unflatten(1, (10, 2)))}
    rays = 1.6 * cone_rays(G)
    for k in range(3):
        face = torch.stack([torch.zeros_like(rays[:, 0]), rays[:, k], rays[:, (k + 1) % 3]], 1)
        traces[f"face-{k}"] = seen(torch.cat([face, face[:, :1]], 1), cameras)
        shadow = G[:, k] * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
        traces[f"plumb-{k}"] = seen(torch.stack([G[:, k], shadow], 1), cameras)
        traces[f"gradient-{k}"] = arrow_points(seen(G[:, k : k + 1], cameras)[:, 0])
    return traces


def cone_rays(G: Tensor) -> Tensor:
    """The edges of {d: ⟨gᵢ, d⟩ >= 0 for all i}, as unit rows (..., 3, 3).

    On edge k the step costs no other task anything and helps task k.
    """
    rays = torch.linalg.inv(G).mT
    return rays / rays.norm(dim=-1, keepdim=True)


def seen(points: Tensor, cameras: Tensor) -> Tensor:
    """Points (N, n, 3) as seen from each camera (N,), without perspective and from 20° above: (N, n, 2)."""
    a, up = torch.deg2rad(cameras), torch.deg2rad(torch.tensor(20.0, dtype=torch.float64))
    right = torch.stack([-a.sin(), a.cos(), torch.zeros_like(a)], -1)
    above = torch.stack([-up.sin() * a.cos(), -up.sin() * a.sin(), up.cos().expand_as(a)], -1)
    return points @ torch.stack([right, above], -1)
