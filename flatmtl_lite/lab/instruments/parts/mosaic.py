"""A mosaic of images, each with what a network says of it."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import GREEN, VERMILLION
from .picture import Panel, Traces
from .points import pairs

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
    """

    def __init__(self, title: str, images: Tensor, labels: Tensor, classes: Sequence[Sequence[str]]):
        n, height, _ = images.shape
        self.labels, self.classes, tasks = labels, classes, labels.shape[1]
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
        self.draw(go.Heatmap(z=canvas, **look))
        lines = [
            (left + height / 2, top + height + LINE * (task + 0.6))
            for top, left in corners
            for task in range(tasks)
        ]
        self.places = torch.tensor(lines, dtype=torch.float64)
        for uid, color in (("right", GREEN), ("wrong", VERMILLION)):
            self.text(uid, [""] * len(lines), color)

    def at(self, logits: Tensor) -> Traces:
        """Return the lines for the logits (N, n, T, classes)."""
        probability, answer = logits.softmax(-1).max(-1)
        is_right = (answer == self.labels).flatten(1).tolist()
        names = [
            [self.classes[k % len(self.classes)][c] for k, c in enumerate(row)]
            for row in answer.flatten(1).tolist()
        ]
        shares = probability.flatten(1).tolist()
        marks = {"right": "✓", "wrong": "✗"}
        words: dict[str, list[list[str]]] = {uid: [] for uid in marks}
        for row in zip(is_right, names, shares, strict=True):
            lines = [
                (right, f"<b>{name}</b> {100 * share:.0f} % {marks['right' if right else 'wrong']}")
                for right, name, share in zip(*row, strict=True)
            ]
            words["right"].append([line if right else "" for right, line in lines])
            words["wrong"].append(["" if right else line for right, line in lines])
        places = pairs(*self.places.unbind(-1)).expand(len(logits), -1, 2)
        return {uid: (places, texts) for uid, texts in words.items()}
