"""A mosaic of images, each with what a network says of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import GREEN, VERMILLION
from .panel import Panel

COLUMNS = 4
PITCH = 40  # from an image to the next, in pixels of an image of 36 x 36
LINE = 6.5  # height of a line of text below an image


class Mosaic(Panel):
    """Grey images in rows of four, and below each one line per task: the network's class and its probability.

    A right class is green and has a tick, a wrong one is orange and has a cross.

    Args:
        title: above the panel.
        images: (n, H, W), 0 to 255.
        labels: (n, T), the true classes.
        classes: names of the classes, by task.
        answers: (N, n, T, 2), the class and its probability in per cent.
    """

    def __init__(
        self,
        title: str,
        images: Tensor,
        labels: Tensor,
        classes: Mapping[str, Sequence[str]],
        answers: Tensor,
    ):
        n, height, _ = images.shape
        tasks = labels.shape[1]
        below, rows = LINE * tasks + 3, -(-n // COLUMNS)
        wide, tall = COLUMNS * PITCH, rows * (height + below)
        x = dict(visible=False, range=[-0.5, wide - 0.5])
        y = dict(visible=False, range=[tall - 0.5, -0.5])
        super().__init__(title, x, y, ratio=wide / tall)
        canvas = np.full((tall := int(tall), wide), np.nan)
        corners = [(int(k // COLUMNS * (height + below)), k % COLUMNS * PITCH + 2) for k in range(n)]
        for image, (top, left) in zip(images.numpy(), corners, strict=True):
            canvas[top : top + height, left : left + image.shape[1]] = image
        look = dict(colorscale="gray", zmin=0, zmax=255, showscale=False, hoverinfo="skip")
        self.draw(lambda: go.Heatmap(z=canvas, **look))
        lines = [
            (left + height / 2, top + height + LINE * (task + 0.6))
            for top, left in corners
            for task in range(tasks)
        ]
        places = torch.tensor(lines, dtype=torch.float64).expand(len(answers), -1, 2)
        for uid, color in (("right", GREEN), ("wrong", VERMILLION)):
            words = [_answers(row, labels, classes, uid) for row in answers.flatten(1, 2).tolist()]
            self.text(uid, words[0], color, points=(places, words))


def _answers(
    row: Sequence[Sequence[int]], labels: Tensor, classes: Mapping[str, Sequence[str]], uid: str
) -> list[str]:
    """Write the right answers of a network, or the wrong ones; the others stay empty."""
    names, mark, lines = list(classes.values()), "✓" if uid == "right" else "✗", []
    for k, ((answer, percent), truth) in enumerate(zip(row, labels.flatten().tolist(), strict=True)):
        shown = (answer == truth) == (uid == "right")
        lines.append(f"<b>{names[k % len(names)][answer]}</b> {percent} % {mark}" if shown else "")
    return lines
