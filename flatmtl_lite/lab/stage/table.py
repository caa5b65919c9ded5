"""The table of a stage: the points and the text of every slider position, and the bytes for the page."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from torch import Tensor

Text = tuple[Tensor, list[list[str]]]  # points of a trace, and the texts at them at each slider position
Layout = list[list[int]]  # for each trace its place in the figure and its number of points


@dataclass
class Table:
    """The points and the text that a stage shows at each slider position.

    Attributes:
        traces: ``uid`` of a trace -> its points (positions, n, 2). A trace that rests while the slider
            moves has (1, n, 2). NaN leaves a gap. A handle rests on its point if it is not among the traces.
            A pair of points and texts moves the texts too: for each position, one text per point.
        states: one line of text per position.
    """

    traces: Mapping[str, Tensor | Text]
    states: Sequence[str]

    @property
    def texts(self) -> dict[str, list[list[str]]]:
        """``uid`` -> the texts at the trace's points at each position."""
        return {uid: trace[1] for uid, trace in self.traces.items() if isinstance(trace, tuple)}


def pack(
    table: Table, handles: Mapping[str, ArrayLike], places: Mapping[str, int], positions: int
) -> tuple[bytes, Layout, Layout]:
    """Pack a table for the page: first the traces that rest, then one row per slider position.

    Each trace has its x first and then its y.

    Args:
        table: its traces replace ``handles`` of the same ``uid``.
        handles: ``uid`` of a handle -> its point, (1, 1, 2).
        places: ``uid`` of a trace -> its place in the figure.
        positions: number of slider positions.

    Returns:
        The bytes, the layout of the traces that rest, and the layout of the traces that move.

    Raises:
        ValueError: the table does not fit the traces of the figure or the slider positions.
    """
    if len(table.states) != positions:
        raise ValueError(
            f"Got a table with {len(table.states)} states; expected {positions}, one per position."
        )
    traces = dict(handles) | dict(table.traces)
    if missing := places.keys() - traces.keys():
        raise ValueError(f"Got a table without {sorted(missing)}; expected every trace that has a uid.")
    parts: dict[bool, list[tuple[int, np.ndarray]]] = {True: [], False: []}
    for uid, place in places.items():
        trace = traces[uid]
        points = np.asarray(trace[0] if isinstance(trace, tuple) else trace, dtype="<f8")
        if points.ndim != 3 or points.shape[2] != 2 or len(points) not in (1, positions):
            raise ValueError(f"Got {uid!r} of shape {points.shape}; expected (1 or {positions}, n, 2).")
        parts[len(points) == 1].append((place, points))
    blocks = [
        np.concatenate([points.transpose(0, 2, 1).reshape(len(points), -1) for _, points in part], 1)
        for part in (parts[True], parts[False])
        if part
    ]
    resting, moving = ([[place, p.shape[1]] for place, p in parts[rests]] for rests in (True, False))
    return b"".join(block.tobytes() for block in blocks), resting, moving


def unpack(
    block: bytes, resting: Layout, moving: Layout, positions: int, index: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the place of each trace and its points (2, n), x and y, at the slider position ``index``."""
    numbers = np.frombuffer(block, "<f8")
    size = 2 * sum(n for _, n in resting)
    row = numbers[size:].reshape(positions, -1)[index]
    for layout, part in ((resting, numbers[:size]), (moving, row)):
        start = 0
        for place, n in layout:
            yield place, part[start : start + 2 * n].reshape(2, n)
            start += 2 * n


def with_minus(text: str) -> str:
    """Write negative numbers with the minus sign that the axes have."""
    return re.sub(r"(?<![\w.-])-(?=\.?\d)", "−", text) if "-" in text else text


def keep_near(figure: go.Figure) -> None:
    """Move the names of a figure towards their things, see ``keepNear`` in ``plots.js``."""
    by_uid = {trace.uid: trace for trace in figure.data}
    for trace in figure.data:
        if "things" not in (trace.meta or {}):
            continue
        things = by_uid[trace.meta["things"]]
        for k, side in enumerate("xy"):
            axis = figure.layout[(trace[f"{side}axis"] or side).replace(side, f"{side}axis")]
            size = figure.layout["width" if side == "x" else "height"] * (axis.domain[1] - axis.domain[0])
            share = trace.meta["unit"][k] * abs(axis.range[1] - axis.range[0]) / size
            paper, plain = (
                (np.log10, lambda power: 10**power) if axis.type == "log" else (np.asarray, np.asarray)
            )
            start, end = paper(things[side]), paper(trace[side])
            trace[side] = plain(start + share * (end - start))
