"""The cost instrument: what a step of each method costs, as tasks, passes and looks change."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..cost import relative_costs
from ..figures.style import BLACK, GREEN, INK, ORANGE, PURPLE, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.curve import Curves, draw_line
from .parts.opening import menu, open_stage, sentences, slider
from .parts.picture import Picture
from .parts.points import pairs

SETTINGS = torch.arange(1, 21, dtype=torch.float64)  # the slider's positions
# what the slider can move -> argument of the cost model, its values, positions of ticks, how to write it
MOVES = {
    "tasks T": ("tasks", SETTINGS, (1, 5, 10, 15, 20), "T = {:g}"),
    "backward / forward b": ("ratio", (SETTINGS + 3) / 4, (1, 5, 9, 13, 17), "b = {:g}"),
    "every k steps": ("every", SETTINGS, (1, 5, 10, 15, 20), "k = {:g}"),
    "share of the batch": ("share", SETTINGS / 20, (1, 5, 10, 15, 20), "{:.0%}"),
}
LOOKS = {
    "F": dict(color=SKY),
    "F, every k": dict(color=SKY, dash="dash"),
    "F, share": dict(color=SKY, dash="dot"),
    "SAMO": dict(color=ORANGE),
    "SAMO, one draw": dict(color=ORANGE, dash="dash"),
    "common ε": dict(color=GREEN, dash="dashdot"),
    "SAM on the mean": dict(color=PURPLE, dash="longdash"),
}
SENTENCE = "T = {tasks:g}, b = {ratio:g}, k = {every:g}, share {share:.0%}. Relative to the base: "
SENTENCE += "; ".join(f"{name} {{{name}:.2f}}" for name in LOOKS) + "."
COUNTED_AT = dict(tasks=2, ratio=2.0, every=5, share=0.25)


def cost_instrument(
    moves: str = "tasks T",
    setting: int | None = None,
    tasks: int = 2,
    ratio: float = 2.0,
    every: int = 5,
    share: float = 0.25,
    measured: Mapping[str, float] | None = None,
    after: Prediction | None = None,
) -> Stage:
    """Show what a step costs relative to the base, a gradient-based method; see :func:`step_costs`.

    The slider has 20 settings. The menu chooses what they mean: 1 to 20 tasks, b from 1 to 5.75, every step
    to every 20th one, or 5 % to 100 % of the batch. The other quantities keep their values.

    Args:
        moves: key of ``MOVES``, what the slider moves.
        setting: the slider begins here, 1 to 20; by default at the value of what it moves.
        tasks, ratio, every, share: T, b, k and the share of the batch.
        measured: method -> its cost relative to the base, counted in real steps with ``COUNTED_AT``. It is
            drawn where only what the slider moves may differ from these values.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``moves`` or a method is unknown, or a number lies outside its range.
    """
    values = dict(tasks=tasks, ratio=ratio, every=every, share=share)
    relative_costs(**values)  # it names a number outside its range
    measured = dict(measured or {})
    if unknown := measured.keys() - LOOKS.keys():
        raise ValueError(f"Got measured costs of {sorted(unknown)}; expected names among {', '.join(LOOKS)}.")
    controls = menu("the slider moves", MOVES, moves)
    if setting is None and moves in MOVES:
        name, positions, _, _ = MOVES[moves]
        setting = 1 + int((positions - values[name]).abs().argmin())
    controls |= slider("setting", SETTINGS, "setting", setting or 1, "{:.0f}".format)
    rest = ", ".join(f"{name}={value!r}" for name, value in values.items())
    braced = repr(measured).replace("{", "{{").replace("}", "}}")
    recipe = f"lab.cost_instrument({{choice}}, {{value}}, {rest}, measured={braced})"
    return open_stage("Cost instrument", _View(values, measured), recipe, controls, after)


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(self, values: dict[str, float], measured: dict[str, float]):
        self.values, self.measured = values, measured
        top = max(self._costs(moves).max().item() for moves in MOVES)
        x = dict(range=[0.5, 20.5], showticklabels=False, ticks="", showgrid=False)
        y = dict(range=[-0.14 * top, 1.06 * top], title="cost of a step, relative to the base")
        self.curves = Curves("", x, y, {name: (name, look) for name, look in LOOKS.items()})
        draw_line(self.curves, "base", [0.5, 20.5], [1, 1], dict(color=BLACK, width=1.5), 1, "bottom left")
        self.curves.text("ticks", [""] * 5, INK)  # they change with the menu
        self.foot = torch.full((5,), -0.05 * top, dtype=torch.float64)
        colors = [look["color"] for look in LOOKS.values()]
        self.curves.dots("measured", colors, "circle-open", size=14, cliponaxis=False)
        self.picture = Picture(None, [[self.curves]])

    def table(self, choice: str) -> Table:
        """Return the table for what the slider moves."""
        moved, positions, ticks, write = MOVES[choice]
        costs, N = self._costs(choice), len(SETTINGS)
        places = pairs(SETTINGS[torch.tensor(ticks) - 1], self.foot).expand(N, 5, 2)
        texts = [[write.format(positions[k - 1].item()) for k in ticks]] * N
        rest = [self.values[name] == value for name, value in COUNTED_AT.items() if name != moved]
        heights = [self.measured.get(name, torch.nan) if all(rest) else torch.nan for name in LOOKS]
        where = SETTINGS[(positions - COUNTED_AT[moved]).abs().argmin()]
        rings = pairs(where.expand(len(LOOKS)), torch.tensor(heights, dtype=torch.float64))[None]
        lines = dict(zip(LOOKS, costs, strict=True))
        now = {name: torch.full((N,), float(value)) for name, value in self.values.items()}
        states = sentences(SENTENCE, **now | lines | {moved: positions})
        return Table({**self.curves.at(SETTINGS, lines), "ticks": (places, texts), "measured": rings}, states)

    def _costs(self, moves: str) -> Tensor:
        """Return the costs (methods, N) against what the slider moves."""
        moved, positions, _, _ = MOVES[moves]
        costs = relative_costs(**self.values | {moved: positions})
        return torch.stack([torch.as_tensor(costs[name]).double().expand(len(SETTINGS)) for name in LOOKS])
