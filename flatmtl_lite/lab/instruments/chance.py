"""The chance instrument: angles between random vectors as the number of parameters grows."""

import plotly.graph_objects as go
import torch

from ..figures.chance import angle_density, nine_in_ten
from ..figures.style import BLACK, GREY, PATH
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.opening import open_stage, position
from .parts.panels import panel_figure
from .parts.points import growing_curve

SIZES = torch.tensor([m * 10**k for k in range(6) for m in (1, 2, 5)][1:] + [10**6], dtype=torch.float64)


def chance_instrument(parameters: int = 2, after: Prediction | None = None) -> Stage:
    """Show the angles between two random vectors and the spread of their cosine, as they get more parameters.

    Args:
        parameters: P, 2 to 1,000,000. The slider begins at its position nearest to P.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``parameters`` lies outside that range.
    """
    table = _table()
    return open_stage(
        _figure(),
        lambda choice: table,
        recipe="lab.chance_instrument({value})",
        title="Chance instrument",
        label="parameters",
        values=[f"{size:.0f}" for size in SIZES.tolist()],
        index=position(parameters, SIZES, "parameters"),
        after=after,
    )


def _table() -> Table:
    # more points within the peak than over the whole half circle
    peak = 90 + torch.rad2deg(SIZES.rsqrt()).unsqueeze(-1) * torch.linspace(-4, 4, 81).double()
    wide = torch.linspace(0, 180, 61, dtype=torch.float64).expand(len(SIZES), 61)
    degrees = torch.cat([peak, wide], -1).clamp(0, 180).sort(-1).values
    spreads = torch.stack([SIZES, SIZES.rsqrt()], -1)
    traces = {
        "density": torch.stack([degrees, angle_density(degrees, SIZES.unsqueeze(-1))], -1),
        "trail": growing_curve(spreads),
        "here": spreads.unsqueeze(1),
    }
    states = [
        f"{size:,.0f} parameters: nine in ten angles lie between {90 - away:.1f}° and {90 + away:.1f}°; "
        f"the cosine spreads by {size**-0.5:.2g} about 0."
        for size, away in zip(SIZES.tolist(), nine_in_ten(SIZES).tolist(), strict=True)
    ]
    return Table(traces, states)


def _figure() -> go.Figure:
    density = dict(
        x=(0, 0.53),
        y=(0.1, 1),
        title="how often each angle comes (highest = 1)",
        xaxis=dict(range=[0, 180], tickvals=[0, 45, 90, 135, 180], ticksuffix="°", title="angle"),
        yaxis=dict(range=[0, 1.08]),
    )
    spread = dict(
        x=(0.64, 1),
        y=(0.1, 1),
        title="spread of the cosine",
        xaxis=dict(type="log", range=[0.1, 6.2], title="number of parameters P", dtick=1),
        yaxis=dict(type="log", range=[-3.3, 0.1], dtick=1),
    )
    figure, axes = panel_figure([], density=density, spread=spread)
    figure.update_layout(height=470, margin_b=40)
    fill = dict(mode="lines", fill="tozeroy", line=dict(color=BLACK, width=2.5), showlegend=False)
    figure.add_scatter(uid="density", fillcolor="rgba(0, 0, 0, 0.09)", **fill, **axes["density"])
    line = dict(mode="lines", line=dict(color=GREY, width=3), showlegend=False)
    figure.add_scatter(uid="trail", **line, **axes["spread"])
    marker = dict(size=13, color=PATH, line=dict(width=2, color=BLACK))
    figure.add_scatter(uid="here", mode="markers", marker=marker, showlegend=False, **axes["spread"])
    return figure
