"""The cost instrument: what a step of each method costs, as tasks, passes and looks change."""

from collections.abc import Mapping

import torch

from ..cost import relative_costs
from ..figures.style import BLACK, GREEN, INK, ORANGE, PURPLE, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.curve import Curves
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
        top = max(cost.max().item() for name in MOVES for cost in self._costs(name).values())
        x = dict(range=[0.5, 20.5], showticklabels=False, ticks="", showgrid=False)
        low = -0.08 * top  # room for the ticks, which change with the menu
        y = dict(range=[low, 1.06 * top], title="cost of a step, relative to the base")
        self.foot = 0.5 * low
        styles = {name: (name, look) for name, look in LOOKS.items()}
        self.curves = Curves("", x, y, styles)
        self.curves.line(None, BLACK, 1.5, x=[0.5, 20.5], y=[1, 1])
        self.curves.text(None, ["base"], BLACK, x=[20.5], y=[1], textposition="bottom left")
        self.curves.text("ticks", [""] * 5, INK)
        colors = [look["color"] for look in LOOKS.values()]
        self.curves.dots("measured", colors, "circle-open", size=14, cliponaxis=False)
        self.picture = Picture(None, [[self.curves]])

    def table(self, choice: str) -> Table:
        """Return the table for what the slider moves."""
        moved, positions, ticks, write = MOVES[choice]
        costs, N = self._costs(choice), len(SETTINGS)
        places = pairs(torch.tensor(ticks, dtype=torch.float64), torch.tensor(self.foot)).expand(N, 5, 2)
        texts = [[write.format(positions[k - 1].item()) for k in ticks]] * N
        rings = torch.full((1, len(LOOKS), 2), torch.nan, dtype=torch.float64)
        others = COUNTED_AT.keys() - {moved}
        for k, name in enumerate(LOOKS):
            if name in self.measured and all(self.values[key] == COUNTED_AT[key] for key in others):
                counted_at = SETTINGS[(positions - COUNTED_AT[moved]).abs().argmin()]
                rings[0, k] = torch.tensor([counted_at, self.measured[name]])
        now = {name: torch.full((N,), float(value)) for name, value in self.values.items()}
        rows = torch.stack(list(costs.values()), -1).tolist()
        listed = [
            "; ".join(f"{name} {cost:.2f}" for name, cost in zip(costs, row, strict=True)) for row in rows
        ]
        where = "T = {tasks:g}, b = {ratio:g}, k = {every:g}, share {share:.0%}."
        states = sentences(
            f"{where} Relative to the base: {{listed}}.", **now | {moved: positions}, listed=listed
        )
        return Table({**self.curves.at(SETTINGS, costs), "ticks": (places, texts), "measured": rings}, states)

    def _costs(self, choice: str) -> dict[str, torch.Tensor]:
        moved, positions, _, _ = MOVES[choice]
        costs = relative_costs(**self.values | {moved: positions})
        return {name: torch.as_tensor(costs[name]).double().expand(len(SETTINGS)) for name in LOOKS}
