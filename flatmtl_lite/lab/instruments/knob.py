"""The knob instrument: what ρ, or training, does to a real network, from recorded runs."""

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ...aggregation import Mean
from ...names import check_name
from ...toy import PROBLEMS, Method, descend
from ..figures.axes import whole_decades
from ..figures.style import BLACK, GREY, PARTS
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.curve import Curves, task_styles
from .parts.landscape import Landscape
from .parts.mosaic import Mosaic
from .parts.opening import Drawing, menu, open_stage, sentences, slider
from .parts.packed import pack, unpack
from .parts.panel import Panel
from .parts.path import draw_path
from .parts.picture import Picture
from .parts.points import pairs

Rows = Sequence[Mapping]  # what was recorded at each slider position
Runs = Mapping[str, Rows]
PLANE = PROBLEMS["valleys"]
MEASURED = {"test": "test accuracy, %", "sharpness": "ten-step sharpness"}  # key -> title
NAMES = {"rho": "ρ", "epoch": "epoch"}  # what the slider can turn, and what it is called


def knob_instrument(
    runs: Runs | str,
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
    network says of some test images. With ρ it also moves the path in the plane of notebook 02. The curves
    grow with the slider.

    Args:
        runs: name -> what was recorded at each slider position: ``turns``, ``test`` and ``sharpness`` (T,),
            ``cosine`` of "loss" and "flat", ``slice`` (points, T), and ``answers`` (n, T, 2), a class and
            its probability in per cent. All runs have the same number of positions. The slider shows
            those of the first run. The call that opens the stage again gives runs and images as short texts.
        images: (n, H, W) uint8, the images of the answers.
        labels: (n, T), their true classes.
        classes: names of the classes, by task.
        turns: what the slider turns, "rho" or "epoch".
        at: the slider begins at the position nearest to this value; by default in the middle.
        shown: the runs to begin with; by default the first.
        mine: further runs with ``turns``, ``test`` and ``sharpness``, drawn as stars.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: ``turns`` or ``shown`` is unknown, ``at`` lies outside the positions, or the runs have
            different numbers of positions.
    """
    check_name("turns", turns, NAMES)
    runs = unpack(runs) if isinstance(runs, str) else runs
    images = _read(images) if isinstance(images, str) else images
    labels, classes = [list(row) for row in labels], {task: list(names) for task, names in classes.items()}
    runs, mine = {name: list(rows) for name, rows in runs.items()}, [dict(run) for run in mine]
    lengths = {name: len(rows) for name, rows in runs.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            f"Got {lengths or 'no runs'}; expected the same number of positions, at least one, in every run."
        )
    positions = torch.tensor([row[turns] for row in next(iter(runs.values()))], dtype=torch.float64)
    at = positions[len(positions) // 2].item() if at is None else at
    shown = next(iter(runs)) if shown is None else shown
    controls = slider(NAMES[turns], positions, "at", at) | menu("run", runs, shown)
    arguments = pack(runs), pack(_rows(images)), labels, classes, turns
    call = f"lab.knob_instrument({', '.join(map(repr, arguments))}, mine={mine!r}, "
    recipe = call.replace("{", "{{").replace("}", "}}") + "at={value}, shown={choice})"
    title = "test images, and what the network says"
    mosaic = functools.partial(Mosaic, title, images, torch.tensor(labels), classes)
    contents = runs, mine, turns, list(classes), mosaic
    return open_stage("Knob instrument", recipe, controls, after, _draw, *contents)


def _draw(
    runs: Runs, mine: Rows, turns: str, tasks: Sequence[str], mosaic: Callable[[Tensor], Mosaic], choice: str
) -> Drawing:
    """Draw what was recorded of one of the runs; ``mosaic`` makes the panel of the network's answers."""

    def place(value: float) -> float:
        """Return the place of a value on the axis; ρ = 0 lies left of the smallest radius."""
        return positions[1].item() / 2 if turns == "rho" and value == 0 else value

    rows, every = runs[choice], [row for run in runs.values() for row in [*run, *mine]]
    positions = _numbers([row[turns] for row in rows])
    at = _numbers([place(value) for value in positions.tolist()])
    test, sharpness = (_numbers([row[key] for row in rows]) for key in MEASURED)
    x = _axis(turns, at)
    axes = dict(range=[0, 100]), whole_decades(_numbers([row["sharpness"] for row in every]))
    side: list[list[Panel]] = []
    for (key, title), y, values in zip(MEASURED.items(), axes, (test, sharpness), strict=True):
        styles = task_styles(key, tasks)
        panel = Curves(title, x, y, styles, at, values.T, origin=0)
        for k, (_, look) in enumerate(styles.values()):
            stars = dict(x=[place(run[turns]) for run in mine], y=[run[key][k] for run in mine])
            panel.dots(None, look["color"], "star", size=15, cliponaxis=False, **stars)
        side.append([panel])
    slices = _numbers([row["slice"] for row in every if "slice" in row])
    highest = slices.nan_to_num(0.0).quantile(0.98).item()
    side.append([_slice(tasks, _numbers([row["slice"] for row in rows]), highest)])
    if turns == "rho":
        side[-1].append(_plane(positions))
    cosines = _numbers([[row["cosine"].get(part, torch.nan) for part in ("loss", "flat")] for row in rows])
    parts = {f"cosine-{part}": (f"{part} parts", PARTS[part]) for part in ("loss", "flat")}
    y = dict(range=[-0.3, 0.6])
    more = [Curves("mean cosine of the tasks' gradients", x, y, parts, at, cosines.T, origin=0)]
    words = {
        key: [" and ".join(map(form.format, row)) for row in values.tolist()]
        for key, form, values in (("test", "{:.1f} %", test), ("sharpness", "{:.3f}", sharpness))
    }
    sentence = "{run}, {name} = {at:g}: test accuracy {test}; sharpness {sharpness} ({tasks})."
    fixed = dict(run=choice, name=NAMES[turns], tasks=" and ".join(tasks))
    picture = Picture(mosaic(_numbers([row["answers"] for row in rows]).long()), side, more)
    return picture, sentences(sentence, at=positions, **fixed, **words)


def _axis(turns: str, at: Tensor) -> dict:
    low, high = at[0].item(), at[-1].item()
    if turns == "epoch":
        return dict(range=[0, high], title="epoch")
    decades = [10.0**k for k in range(-4, 4) if low < 10.0**k <= high]
    names = ["0", *(f"{radius:g}" for radius in decades)]
    left, right = torch.tensor([low, high]).log10().tolist()
    ticks = dict(tickvals=[low, *decades], ticktext=names)
    return dict(type="log", range=[left - 0.05, right + 0.05], title="ρ", **ticks)


def _slice(tasks: Sequence[str], losses: Tensor, highest: float) -> Panel:
    """Draw the training losses (N, points, T) along a random direction through the weights, in the middle."""
    x = dict(range=[-1, 1], title="along a random direction", tickvals=[-1, 0, 1])
    panel = Panel("slice of the training loss", x, dict(range=[0, 1.05 * highest]))
    panel.line(None, GREY, 1.5, "dot", x=[0, 0], y=panel.y["range"])
    lines = pairs(torch.linspace(-1, 1, losses.shape[1], dtype=torch.float64)[:, None], losses)
    for k, (uid, (_, look)) in enumerate(task_styles("slice", tasks).items()):
        panel.line(uid, **look, points=lines[:, :, k])
    panel.dots("slice-here", BLACK, size=8, points=lines[:, losses.shape[1] // 2])
    return panel


def _plane(rhos: Tensor) -> Panel:
    """Draw the path in the plane of notebook 02 for each ρ."""
    plane = Landscape(PLANE)
    plane.title, plane.room = "the same ρ in the plane", 1
    for axis in (plane.x, plane.y):
        axis |= dict(showticklabels=False, ticks="", title=None)
    start = torch.tensor(PLANE.starts[0], dtype=torch.float64).expand(len(rhos), 2)
    draw_path(plane, descend(PLANE, start, rhos, [Method(Mean(), "direct")])[0])
    return plane


def _rows(images: Tensor) -> list[list[str]]:
    """Write images (n, H, W) uint8 row by row in hexadecimal digits, which pack well."""
    return [[bytes(row).hex() for row in image] for image in images.tolist()]


def _read(images: str) -> Tensor:
    rows = [[list(bytes.fromhex(row)) for row in image] for image in unpack(images)]
    return torch.tensor(rows, dtype=torch.uint8)


def _numbers(values: Sequence) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
