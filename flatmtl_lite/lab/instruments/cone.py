"""Three gradients in space: the cone of common descent, and the point where published IMTL-G turns round."""

from collections.abc import Sequence
from functools import partial

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...aggregation import weighted_sum
from ..figures.arrows import arrow
from ..figures.style import BLACK, GREY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.arrows import arrow_points
from .parts.opening import open_stage, position
from .parts.panels import panel_figure
from .parts.rows import ROOM, add_rows, row_panels, row_traces
from .parts.space import SPACE, add_space, find_independent, project, space_traces
from .parts.weighing import METHODS, slopes, verdict, weigh_all

GRADIENTS = ((1.5, 0.0, 0.1), (0.0, 0.8, 1.3), (-0.5, -0.4, -0.1))
CAMERAS = torch.arange(0, 361, 5, dtype=torch.float64)


def cone_instrument(
    gradients: Sequence[Sequence[float]] = GRADIENTS,
    camera: float = 135.0,
    method: str = "mean",
    after: Prediction | None = None,
) -> Stage:
    """Show three gradients in space and the cone of common descent. The slider walks round them.

    Args:
        gradients: (x, y, z) for each of three tasks, linearly independent.
        camera: degrees round the vertical axis, 0 to 360. The nearest slider position is taken.
        method: the method whose direction is drawn as an arrow. It is a key of
            ``flatmtl_lite.AGGREGATORS`` that works on the Gramian.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: the gradients are not three independent vectors, the method is unknown, or the camera
            lies outside its range.
    """
    G = find_independent(gradients)
    return open_stage(
        _figure(),
        partial(_table, G, weigh_all(G[None])),
        recipe=f"lab.cone_instrument({[tuple(g) for g in G.tolist()]}, camera={{value}}, method={{choice}})",
        title="Cone instrument",
        label="walk round (°)",
        values=[f"{value:.0f}" for value in CAMERAS.tolist()],
        index=position(camera, CAMERAS, "camera"),
        choices=METHODS,
        choice=method,
        after=after,
    )


def _table(G: Tensor, weights: Tensor, choice: str) -> Table:
    d = weighted_sum(weights, G).squeeze(1)
    cosine, chosen = slopes(G[None], d.unsqueeze(1)), METHODS.index(choice)
    traces = space_traces(G.expand(len(CAMERAS), 3, 3), CAMERAS)
    traces["others"] = project(d.expand(len(CAMERAS), *d.shape), CAMERAS)
    traces["direction"] = arrow_points(traces["others"][:, chosen])
    traces |= row_traces(chosen, weights, cosine)
    effect = verdict(weights[chosen, 0].tolist(), cosine[chosen, 0].tolist(), d[chosen].norm().item())
    return Table(traces, [f"{choice}: {effect} Seen from {angle:.0f}°." for angle in CAMERAS.tolist()])


def _figure() -> go.Figure:
    figure, axes = panel_figure([], space=SPACE, **row_panels())
    figure.update_layout(**ROOM)
    add_space(figure, axes["space"])
    dots = dict(symbol="circle-open", size=9, color=GREY, line_width=2)
    figure.add_scatter(uid="others", mode="markers", marker=dots, name="others", **axes["space"])
    figure.add_trace(arrow("direction", BLACK, name="direction", **axes["space"]))
    add_rows(figure, axes, 3)
    return figure
