"""The cost instrument: what a step of each method costs, as tasks, passes and looks change."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..cost import relative_costs
from ..figures.style import BLACK, GREEN, INK, ORANGE, PURPLE, SKY
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.curve import Curves, draw_line
from .parts.opening import Drawing, menu, open_stage, sentences, slider
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
    return open_stage("Cost instrument", recipe, controls, after, _draw, values, measured)


def _draw(values: dict[str, float], measured: Mapping[str, float], choice: str) -> Drawing:
    """Draw the costs, and those that were measured, against what the slider moves."""
    moved, positions, ticks, write = MOVES[choice]
    costs, N = _costs(values, choice), len(SETTINGS)
    top = max(_costs(values, moves).max().item() for moves in MOVES)
    x = dict(range=[0.5, 20.5], showticklabels=False, ticks="", showgrid=False)
    y = dict(range=[-0.14 * top, 1.06 * top], title="cost of a step, relative to the base")
    curves = Curves("", x, y, {name: (name, look) for name, look in LOOKS.items()}, SETTINGS, costs)
    draw_line(curves, "base", [0.5, 20.5], [1, 1], dict(color=BLACK, width=1.5), 1, "bottom left")
    texts = [[write.format(positions[k - 1].item()) for k in ticks]] * N  # they change with the menu
    places = pairs(SETTINGS[torch.tensor(ticks) - 1], -0.05 * top).expand(N, len(ticks), 2)
    curves.text("ticks", texts[0], INK, points=(places, texts))
    rest = [values[name] == value for name, value in COUNTED_AT.items() if name != moved]
    heights = [measured.get(name, torch.nan) if all(rest) else torch.nan for name in LOOKS]
    where = SETTINGS[(positions - COUNTED_AT[moved]).abs().argmin()]
    rings = pairs(where, torch.tensor(heights, dtype=torch.float64))
    colors = [look["color"] for look in LOOKS.values()]
    curves.dots("measured", colors, "circle-open", size=14, points=rings[None], cliponaxis=False)
    now = {name: torch.full((N,), float(value)) for name, value in values.items()}
    lines = dict(zip(LOOKS, costs, strict=True))
    return Picture(None, [[curves]]), sentences(SENTENCE, **now | lines | {moved: positions})


def _costs(values: dict[str, float], moves: str) -> Tensor:
    """Return the costs (methods, N) against what the slider moves."""
    moved, positions, _, _ = MOVES[moves]
    costs = relative_costs(**values | {moved: positions})
    return torch.stack([torch.as_tensor(costs[name]).double().expand(len(SETTINGS)) for name in LOOKS])
