"""The chance instrument: angles between random vectors as the number of parameters grows."""

import torch

from ..figures.chance import angle_density, nine_in_ten
from ..figures.style import BLACK
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.curve import DEGREES, Curves
from .parts.opening import Drawing, open_stage, sentences, slider
from .parts.panel import Panel
from .parts.picture import Picture
from .parts.points import pairs

SIZES = torch.tensor([m * 10**k for k in range(6) for m in (1, 2, 5)][1:] + [10**6], dtype=torch.float64)
SHADE = "rgba(119, 119, 119, 0.2)"


def chance_instrument(parameters: int = 2, after: Prediction | None = None) -> Stage:
    """Show the angles between two random vectors and the spread of their cosine, as they get more parameters.

    Args:
        parameters: P, 2 to 1,000,000. The slider begins at its position nearest to P.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``parameters`` lies outside that range.
    """
    recipe = "lab.chance_instrument({value})"
    controls = slider("parameters", SIZES, "parameters", parameters, "{:.0f}".format)
    return open_stage("Chance instrument", recipe, controls, after, _draw)


def _draw(choice: str) -> Drawing:
    """Draw the angles and the spread for all numbers of parameters."""
    # more points within the peak than over the whole half circle
    peak = 90 + torch.rad2deg(SIZES.rsqrt()).unsqueeze(-1) * torch.linspace(-4, 4, 81).double()
    wide = torch.linspace(0, 180, 61, dtype=torch.float64).expand(len(SIZES), 61)
    degrees = torch.cat([peak, wide], -1).clamp(0, 180).sort(-1).values
    often = dict(range=[0, 1.12], tickvals=[0, 1], ticktext=["0", "most"], title="how often")
    angles = Panel("angles between two random vectors", DEGREES | dict(title="angle"), often)
    density = pairs(degrees, angle_density(degrees, SIZES.unsqueeze(-1)))
    angles.line("density", BLACK, 2.5, points=density, fill="tozeroy", fillcolor=SHADE)
    x = dict(type="log", range=[0.1, 6.2], title="number of parameters P", dtick=1)
    y = dict(type="log", range=[-3.3, 0.1], dtick=1)
    styles = {"spread": ("", dict(color=BLACK))}
    spread = Curves("spread of their cosine", x, y, styles, SIZES, [SIZES.rsqrt()], origin=0)
    away = nine_in_ten(SIZES)
    sentence = "{P:,.0f} parameters: nine in ten angles lie within {low:.1f}° to {high:.1f}°; "
    sentence += "the cosine spreads by {spread:.2g}."
    words = sentences(sentence, P=SIZES, low=90 - away, high=90 + away, spread=SIZES**-0.5)
    return Picture(angles, [[spread]]), words
