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
from .parts.curve import OldCurves, task_styles
from .parts.landscape import Landscape
from .parts.mosaic import Mosaic, pack_images, unpack_images
from .parts.opening import menu, open_stage, sentences, slider
from .parts.path import Path
from .parts.picture import Panel, Picture
from .parts.points import pairs

Rows = Sequence[Mapping]  # what was recorded at each slider position
PLANE = PROBLEMS["valleys"]
NAMES = {"rho": "ρ", "epoch": "epoch"}  # what the slider can turn, and what it is called


def knob_instrument(
    runs: Mapping[str, Rows],
    images: Tensor | str,
    labels: Sequence[Sequence[int]],
    classes: Mapping[str, Sequence[str]],
    turns: str = "rho",
    at: float | None = None,
    shown: str | None = None,
    mine: Sequence[Mapping] = (),
    after: Prediction | None = None,
) -> Stage:
    """Turn ρ on trained networks, or go through the training of one; all numbers are recorded.

    The slider moves accuracy, ten-step sharpness, cosines, a slice of the training loss, and what the
    network says of some test images. With ρ it also moves the path in the plane of notebook 02.

    Args:
        runs: name -> what was recorded at each slider position: ``turns``, ``test`` and ``sharpness`` (T,),
            ``cosine`` of "loss" and "flat", ``slice`` (points, T), and ``answers`` (n, T, 2), a class and
            its probability in per cent. All have the same positions.
        images: (n, H, W) uint8, the images of the answers; or a text from a call that opens the stage again.
        labels: (n, T), their true classes.
        classes: names of the classes, by task.
        turns: what the slider turns, "rho" or "epoch".
        at: the slider begins at the position nearest to this value; by default in the middle.
        shown: the runs to begin with; by default the first.
        mine: further runs with ``turns``, ``test`` and ``sharpness``, drawn as stars.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``turns`` or ``shown`` is unknown, or ``at`` lies outside the positions.
    """
    check_name("turns", turns, NAMES)
    images = unpack_images(images) if isinstance(images, str) else images
    labels, classes = [list(row) for row in labels], {task: list(names) for task, names in classes.items()}
    runs, mine = {name: list(rows) for name, rows in runs.items()}, [dict(run) for run in mine]
    positions = torch.tensor([row[turns] for row in next(iter(runs.values()))], dtype=torch.float64)
    at = positions[len(positions) // 2].item() if at is None else at
    shown = next(iter(runs)) if shown is None else shown
    controls = slider(NAMES[turns], positions, "at", at) | menu("run", runs, shown)
    given = ", ".join(map(repr, (runs, pack_images(images), labels, classes, turns)))
    fixed = f"{given}, mine={mine!r}".replace("{", "{{").replace("}", "}}")
    recipe = f"lab.knob_instrument({fixed}, at={{value}}, shown={{choice}})"
    mosaic = Mosaic("test images, and what the network says", images, torch.tensor(labels), classes)
    view = _View(runs, positions, turns, mosaic, mine)
    return open_stage("Knob instrument", view, recipe, controls, after)


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(
        self, runs: Mapping[str, Rows], positions: Tensor, turns: str, mosaic: Mosaic, mine: Sequence[Mapping]
    ):
        self.runs, self.positions, self.turns, self.mosaic = runs, positions, turns, mosaic
        self.tasks = list(mosaic.classes)
        every = [row for rows in runs.values() for row in [*rows, *mine]]
        x, percent = self._axis(), dict(range=[0, 100])
        decades = whole_decades(torch.tensor([row["sharpness"] for row in every]))
        self.curves = {
            "test": OldCurves("test accuracy, %", x, percent, task_styles("test", self.tasks)),
            "sharpness": OldCurves("ten-step sharpness", x, decades, task_styles("sharpness", self.tasks)),
        }
        for key, panel in self.curves.items():
            for k in range(len(self.tasks)):
                stars: dict = dict(
                    x=[self._place(run[turns]) for run in mine], y=[run[key][k] for run in mine]
                )
                panel.dots(None, ORANGE, "star", size=15, cliponaxis=False, **stars)
        parts = {f"cosine-{part}": (f"{part} parts", PARTS[part]) for part in ("loss", "flat")}
        self.cosines = OldCurves("mean cosine of the tasks' gradients", x, dict(range=[-0.3, 0.6]), parts)
        self.slice = _Slice([row["slice"] for row in every if "slice" in row], self.tasks)
        side: list[list[Panel]] = [[panel] for panel in (*self.curves.values(), self.slice)]
        if turns == "rho":
            side[-1].append(self._plane())
        self.picture = Picture(mosaic, side, [self.cosines])

    def _plane(self) -> Landscape:
        plane = Landscape(PLANE)
        plane.title, plane.room = "the same ρ in the plane", 1
        for axis in (plane.x, plane.y):
            axis |= dict(showticklabels=False, ticks="", title=None)
        self.path = Path(plane)
        return plane

    def table(self, choice: str) -> Table:
        """Return the table for one of the runs."""
        rows = self.runs[choice]
        x = torch.tensor([self._place(value) for value in self.positions.tolist()], dtype=torch.float64)
        values = {key: _numbers([row[key] for row in rows]) for key in (*self.curves, "slice", "answers")}
        cosines = _numbers(
            [[row["cosine"].get(part, torch.nan) for part in ("loss", "flat")] for row in rows]
        )
        traces = {
            **self.mosaic.at(values["answers"].long()),
            **self.cosines.at(x, dict(zip(self.cosines.uids, cosines.unbind(-1), strict=True))),
            **self.slice.at(values["slice"]),
        }
        for key, panel in self.curves.items():
            traces |= panel.at(x, dict(zip(panel.uids, values[key].unbind(-1), strict=True)))
        if self.turns == "rho":
            start = torch.tensor(PLANE.starts[0], dtype=torch.float64).expand(len(x), 2)
            traces |= self.path.at(descend(PLANE, start, self.positions, [Method(Mean(), "direct")])[0])
        words = {
            key: [" and ".join(map(form.format, row)) for row in values[key].tolist()]
            for key, form in (("test", "{:.1f} %"), ("sharpness", "{:.3f}"))
        }
        sentence = "{run}, {name} = {at:g}: test accuracy {test}; sharpness {sharpness} ({tasks})."
        fixed = dict(run=choice, name=NAMES[self.turns], tasks=" and ".join(self.tasks))
        return Table(traces, sentences(sentence, at=self.positions, **fixed, **words))

    def _place(self, value: float) -> float:
        """Return the place of a value on the axis; ρ = 0 lies left of the smallest radius."""
        return self.positions[1].item() / 2 if self.turns == "rho" and value == 0 else value

    def _axis(self) -> dict:
        low, high = self._place(self.positions[0].item()), self.positions[-1].item()
        if self.turns == "epoch":
            return dict(range=[0, high], title="epoch")
        decades = [10.0**k for k in range(-4, 4) if low < 10.0**k <= high]
        names = ["0", *(f"{radius:g}" for radius in decades)]
        left, right = torch.tensor([low, high]).log10().tolist()
        ticks = dict(tickvals=[low, *decades], ticktext=names)
        return dict(type="log", range=[left - 0.05, right + 0.05], title="ρ", **ticks)


class _Slice(Panel):
    """The training losses along one random direction through the weights, which stand in the middle."""

    def __init__(self, slices: Sequence, tasks: Sequence[str]):
        highest = _numbers(slices).nan_to_num(0.0).quantile(0.98).item()
        x = dict(range=[-1, 1], title="along a random direction", tickvals=[-1, 0, 1])
        super().__init__("slice of the training loss", x, dict(range=[0, 1.05 * highest]))
        self.line(None, GREY, 1.5, "dot", x=[0, 0], y=self.y["range"])
        for uid, (_, look) in task_styles("slice", tasks).items():
            self.line(uid, **look)
        self.dots("slice-here", BLACK, size=8)

    def at(self, losses: Tensor) -> dict[str, Tensor]:
        """Return the points of the slices (N, points, T)."""
        alpha = torch.linspace(-1, 1, losses.shape[1], dtype=torch.float64)
        lines = {f"slice-{k}": pairs(alpha, task) for k, task in enumerate(losses.unbind(-1))}
        middle = losses.shape[1] // 2
        return lines | {"slice-here": torch.stack([line[:, middle] for line in lines.values()], 1)}


def _numbers(values: Sequence) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
