"""Several paths from one start, each with its name at its end."""

from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.style import BLACK
from .labels import Labels
from .path import SOLID
from .picture import Panel
from .points import thin_path


class Paths:
    """Several paths, with a marker and a name at the end of each.

    Args:
        panel: where to draw.
        looks: name -> the colour, dash and symbol of the path; a later path lies over an earlier one.
    """

    def __init__(self, panel: Panel, looks: Mapping[str, dict]):
        self.names = list(looks)
        for name, look in looks.items():
            # without an edge the gaps of its dashes show the paths below
            line = dict(color=look["color"], dash=look["dash"], width=4)
            panel.add(go.Scatter(uid=f"path-{name}", mode="lines", line=line, meta=SOLID))
        marks = {key: [look[key] for look in looks.values()] for key in ("color", "symbol")}
        marker = marks | dict(size=12, line=dict(width=1.5, color=BLACK))
        panel.add(go.Scatter(uid="end", mode="markers", marker=marker, meta=SOLID))
        # the uppermost path gets the best place for its name
        self.labels = Labels(panel, {name: looks[name]["color"] for name in self.names[::-1]})

    def at(self, paths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the points of the paths: name -> (N or 1, S, 2)."""
        traces = {f"path-{name}": thin_path(paths[name]) for name in self.names}
        ends = torch.broadcast_tensors(*(paths[name][:, -1] for name in self.names))
        ways = [traces[f"path-{name}"][:, ::8].expand(len(ends[0]), -1, 2) for name in self.names]
        return traces | {"end": torch.stack(ends, 1)} | self.labels.at(ends[::-1], torch.cat(ways, 1))
