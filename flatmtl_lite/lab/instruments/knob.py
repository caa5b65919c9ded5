"""The knob instrument: what ρ, or training, does to a real network, from recorded runs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...aggregation import Mean
from ...names import check_name
from ...toy import PROBLEMS, Method, descend
from ..figures.axes import whole_decades
from ..figures.style import BLACK, GREY, ORANGE, PARTS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.curve import Curves, task_styles
from .parts.landscape import Landscape
from .parts.mosaic import Mosaic
from .parts.opening import menu, open_stage, sentences, slider
from .parts.path import Path
from .parts.picture import Panel, Picture

Runs = Mapping[str, Sequence[Sequence[Mapping]]]  # name -> slider positions -> seeds -> what was recorded
PLANE = PROBLEMS["valleys"]
NAMES = {"rho": "ρ", "epoch": "epoch"}  # what the slider can turn, and what it is called


def knob_instrument(
    runs: Runs,
    images: Tensor,
    labels: Tensor,
    classes: Mapping[str, Sequence[str]],
    turns: str = "rho",
    at: float | None = None,
    shown: str | None = None,
    mine: Sequence[Mapping] = (),
    after: Prediction | None = None,
) -> Stage:
    """Turn ρ on trained networks, or go through the training of one; all numbers are recorded.

    The slider moves accuracy, ten-step sharpness, cosines, a slice of the training loss, and what the
    network says of some test images. With ρ it also moves the path in the plane of notebook 02. Curves are
    means over the seeds; the slice and the images are of the first seed.

    Args:
        runs: name -> for each slider position the runs of all seeds. A run has ``turns``, ``test`` and
            ``sharpness`` (T,), ``slice`` (points, T), ``logits`` (n, T, classes) and ``cosine``.
        images: (n, H, W), the images of the logits.
        labels: (n, T), their true classes.
        classes: names of the classes, by task.
        turns: what the slider turns, "rho" or "epoch".
        at: the slider begins at the position nearest to this value; by default in the middle.
        shown: the runs to begin with; by default the first.
        mine: further runs, drawn as stars.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``turns`` or ``shown`` is unknown, or ``at`` lies outside the values.
    """
    check_name("turns", turns, NAMES)
    first = next(iter(runs.values()))
    values = torch.tensor([seeds[0][turns] for seeds in first], dtype=torch.float64)
    at = values[len(values) // 2].item() if at is None else at
    shown = next(iter(runs)) if shown is None else shown
    controls = slider(NAMES[turns], values, "at", at) | menu("run", runs, shown)
    recipe = f"lab.knob_instrument(runs, images, labels, classes, {turns!r}, at={{value}}, shown={{choice}})"
    mosaic = Mosaic("test images, and what the network says", images, labels, list(classes.values()))
    view = _View(runs, values, turns, mosaic, list(classes), mine)
    return open_stage("Knob instrument", view, recipe, controls, after)


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(
        self,
        runs: Runs,
        values: Tensor,
        turns: str,
        mosaic: Mosaic,
        tasks: Sequence[str],
        mine: Sequence[Mapping],
    ):
        self.runs, self.values, self.turns, self.mosaic = runs, values, turns, mosaic
        self.tasks = list(tasks)
        x = self._axis()
        self.accuracy = Curves(
            "test accuracy, %", x, dict(range=[0, 100]), task_styles("accuracy", self.tasks)
        )
        every = torch.cat([self._means(seeds, "sharpness") for seeds in runs.values()])
        self.sharpness = Curves(
            "ten-step sharpness", x, whole_decades(every), task_styles("sharpness", self.tasks)
        )
        parts = {f"cosine-{part}": (f"{part} parts", PARTS[part]) for part in ("loss", "flat")}
        self.cosines = Curves("mean cosine of the tasks", x, dict(range=[-0.3, 0.5]), parts)
        self.slice = _Slice(runs, self.tasks)
        side: list[list[Panel]] = [[self.accuracy], [self.sharpness], [self.slice]]
        self.plane: Landscape | None = None
        if turns == "rho":
            self.plane = Landscape(PLANE)
            self.plane.title, self.plane.room = "the same ρ in the plane", 1
            self.plane.x |= (bare := dict(showticklabels=False, ticks="", title=None))
            self.plane.y |= bare
            self.path = Path(self.plane)
            side[2].append(self.plane)
        for panel, key in ((self.accuracy, "test"), (self.sharpness, "sharpness")):
            for k in range(len(self.tasks)):
                stars = {"x": [self._place(run[turns]) for run in mine], "y": [run[key][k] for run in mine]}
                panel.dots(None, ORANGE, "star", size=15, cliponaxis=False, **stars)
        self.picture = Picture(mosaic, side, [self.cosines])

    def table(self, choice: str) -> Table:
        """Return the table for one of the runs."""
        seeds = self.runs[choice]
        first = [row[0] for row in seeds]
        x = torch.tensor([self._place(value) for value in self.values.tolist()], dtype=torch.float64)
        test, rises = self._means(seeds, "test"), self._means(seeds, "sharpness")
        cosines = {
            f"cosine-{part}": torch.tensor([_cosine(row, part) for row in seeds], dtype=torch.float64)
            for part in ("loss", "flat")
        }
        traces = {
            **self.mosaic.at(torch.tensor([run["logits"] for run in first], dtype=torch.float64)),
            **self.accuracy.at(x, {f"accuracy-{k}": test[:, k] for k in range(len(self.tasks))}),
            **self.sharpness.at(x, {f"sharpness-{k}": rises[:, k] for k in range(len(self.tasks))}),
            **self.cosines.at(x, cosines),
            **self.slice.at(torch.tensor([run["slice"] for run in first], dtype=torch.float64)),
        }
        if self.plane is not None:
            start = torch.tensor(PLANE.starts[0], dtype=torch.float64).expand(len(x), 2)
            traces |= self.path.at(descend(PLANE, start, self.values, [Method(Mean(), "direct")])[0])
        sentence = "{choice}, {name} = {value:g}: test accuracy {accuracies}; sharpness {rises}."
        words = [
            " and ".join(f"{a:.1f} % ({task})" for a, task in zip(row, self.tasks, strict=True))
            for row in test.tolist()
        ]
        rise_words = [" and ".join(f"{rise:.3f}" for rise in row) for row in rises.tolist()]
        name = NAMES[self.turns]
        return Table(
            traces,
            sentences(
                sentence, choice=choice, name=name, value=self.values, accuracies=words, rises=rise_words
            ),
        )

    def _means(self, seeds: Sequence[Sequence[Mapping]], key: str) -> Tensor:
        """Return the mean over the seeds of a quantity by task, (positions, T)."""
        return torch.tensor([[run[key] for run in row] for row in seeds], dtype=torch.float64).mean(1)

    def _place(self, value: float) -> float:
        """Return the place of a value on the axis; ρ = 0 has its place left of the smallest radius."""
        if self.turns == "epoch" or value > 0:
            return value
        return self.values[1].item() / 2

    def _axis(self) -> dict:
        low, high = self._place(self.values[0].item()), self.values[-1].item()
        if self.turns == "epoch":
            return dict(range=[0, high], title="epoch")
        ticks = [low, *(10.0**k for k in range(-4, 4) if low < 10.0**k <= high)]
        ends = torch.tensor([low, high]).log10().tolist()
        words = ["0", *(f"{tick:g}" for tick in ticks[1:])]
        return dict(
            type="log", range=[ends[0] - 0.05, ends[1] + 0.05], title="ρ", tickvals=ticks, ticktext=words
        )


class _Slice(Panel):
    """The training losses along one random direction through the weights."""

    def __init__(self, runs: Runs, tasks: Sequence[str]):
        every = torch.tensor([row[0]["slice"] for seeds in runs.values() for row in seeds])
        self.alpha = torch.linspace(-1, 1, every.shape[1], dtype=torch.float64)
        x = dict(range=[-1, 1], title="a random direction", tickvals=[-1, 0, 1])
        super().__init__("slice of the training loss", x, dict(range=[0, 1.05 * every.quantile(0.98).item()]))
        self.line(None, GREY, 1.5, "dot", x=[0, 0], y=self.y["range"])
        for uid, (_, look) in task_styles("slice", tasks).items():
            self.line(uid, **look)
        self.dots("slice-here", BLACK, size=8)

    def at(self, losses: Tensor) -> dict[str, Tensor]:
        """Return the points of the slices (N, points, T)."""
        x = self.alpha.expand(len(losses), -1)
        lines = {f"slice-{k}": torch.stack([x, task], -1) for k, task in enumerate(losses.unbind(-1))}
        middle = len(self.alpha) // 2
        return lines | {"slice-here": torch.stack([line[:, middle] for line in lines.values()], 1)}


def _cosine(seeds: Sequence[Mapping], part: str) -> float:
    """Return the mean cosine of a part, over the seeds and over the last third of training."""
    values = [run["cosine"].get(part) for run in seeds]
    last = [value[-1] if isinstance(value, list) else value for value in values]
    return sum(last) / len(last) if None not in last else float("nan")
