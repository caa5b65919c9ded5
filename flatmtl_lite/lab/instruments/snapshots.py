"""The snapshot instrument: one ρ on the recorded gradients of a real run."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...diagnostics import cosines_of_gramian, rule_cosine
from ..figures.axes import whole_decades
from ..figures.style import GREEN
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from ..stage.table import Table
from .parts.angles import AngleRows, degrees_between, degrees_texts
from .parts.curve import OldCurves, task_styles
from .parts.labels import Title
from .parts.opening import menu, open_stage, sentences, slider
from .parts.picture import Picture
from .parts.recorded import Snapshots, read_snapshots, shorten
from .parts.weighing import METHODS, gramian_method


def snapshot_instrument(
    snapshots: Mapping[str, Mapping] | Sequence[Mapping],
    tasks: Sequence[str] | None = None,
    rho: float | None = None,
    method: str = "cagrad",
    shown: str | None = None,
    after: Prediction | None = None,
) -> Stage:
    """Move the angles of all parts, their norms, the losses at θ+ε, and the angle of two rules with one ρ.

    All numbers come from the recorded Gramians [loss; flat][loss; flat]ᵀ. A recorded ρ of 0 has no flat
    part. The axes of ρ are logarithmic, so it is left out.

    Args:
        snapshots: "snapshot" lines of a run's log, named by their epochs; or name -> line, to compare runs.
            Each line holds "rho", "losses" (T,), "perturbed_losses" (radii, T) and "gramians"
            (radii, 2T, 2T). There are two to four tasks. The tasks and the radii are the same in all lines.
        tasks: names of the tasks; "task 1", ... by default.
        rho: the slider begins at the recorded radius nearest to this ρ; by default at the smallest.
        method: the aggregator whose decomposed and direct directions are compared. It is a key of
            ``flatmtl_lite.AGGREGATORS`` that works on the Gramian.
        shown: name of the snapshot to begin with; the last by default.
        after: a prediction that the learner records before the slider moves.

    Raises:
        ValueError: there is no snapshot, one does not fit the others, a name is unknown, or ρ lies outside
            the recorded radii.
    """
    if method not in METHODS:
        raise ValueError(f"Got method={method!r}; expected one of {', '.join(METHODS)}.")
    lines = shorten(snapshots)
    rhos, recorded = read_snapshots(lines)
    T = len(next(iter(lines.values()))["losses"])
    tasks = [f"task {k + 1}" for k in range(T)] if tasks is None else list(tasks)
    if len(tasks) != T:
        raise ValueError(f"Got tasks={tasks} for snapshots of {T} tasks; expected a name for each.")
    agreement = {name: rule_cosines(snapshot["gramians"], method) for name, snapshot in recorded.items()}
    braced = repr(lines).replace("{", "{{").replace("}", "}}")
    recipe = f"lab.snapshot_instrument({braced}, {tasks!r}, {{value}}, {method!r}, {{choice}})"
    rho = rhos[0].item() if rho is None else rho
    shown = list(recorded)[-1] if shown is None else shown
    controls = slider("ρ", rhos, "rho", rho, "{:.7g}".format) | menu("snapshot", recorded, shown)
    view = _View(rhos, recorded, agreement, tasks, method)
    return open_stage("Snapshot instrument", view, recipe, controls, after)


def rule_cosines(gramians: Tensor, method: str) -> Tensor:
    """Return the cosine of the decomposed and the direct direction at every radius: (R, 2T, 2T) -> (R,)."""
    cosines = [rule_cosine(M, gramian_method(method), "decomposed", "direct") for M in gramians]
    return torch.tensor(cosines, dtype=torch.float64)


def gramian_angles(gramians: Tensor) -> dict[str, Tensor]:
    """Return angles in degrees at every radius from Gramians (R, 2T, 2T).

    "loss" (1, pairs) and "flat" (R, pairs) are the angles between tasks; "intra" (R, T) are the angles
    within each task. The angle of a part that is 0 is NaN.
    """
    T, degrees = gramians.shape[-1] // 2, degrees_between(cosines_of_gramian(gramians))
    i, j = torch.triu_indices(T, T, offset=1)
    within = degrees[:, range(T), range(T, 2 * T)]
    return {"loss": degrees[:1, i, j], "flat": degrees[:, T + i, T + j], "intra": within}


class _View:
    """The picture of the instrument, and the table that fills it."""

    def __init__(
        self, rhos: Tensor, recorded: Snapshots, agreement: dict[str, Tensor], tasks: list[str], method: str
    ):
        self.rhos, self.recorded, self.agreement, self.method = rhos, recorded, agreement, method
        self.tasks = range(len(tasks))
        losses = torch.cat([snapshot["perturbed_losses"] for snapshot in recorded.values()])
        squares = torch.cat([s["gramians"].diagonal(dim1=-2, dim2=-1) for s in recorded.values()])
        lowest = torch.cat(list(agreement.values())).min().item()
        room = 0.15 * (1 - lowest) + 1e-4
        x = _rho_axis(rhos)
        self.angles = AngleRows(tasks)
        flat = task_styles("norms", tasks)
        thin = task_styles("loss-norm", tasks)
        loss = {uid: ("", look | dict(width=1.2)) for uid, (_, look) in thin.items()}
        y = whole_decades(squares[squares > 0].sqrt())
        self.norms = OldCurves(None, x, y, {**flat, **loss}, share=1.3, room=2)
        self.head = Title(self.norms, "norms title")
        y = dict(range=[0, 1.08 * losses.max().item()])
        self.losses = OldCurves("losses at θ+ε", x, y, task_styles("losses", tasks))
        same = {"same": ("", dict(color=GREEN))}
        y = dict(range=[lowest - room, 1 + room], nticks=4)
        self.same = OldCurves(f"cos(decomposed, direct), {method}", x, y, same, share=0.8)
        self.picture = Picture(self.angles, [[self.norms], [self.losses], [self.same]])

    def table(self, choice: str) -> Table:
        """Return the table for a snapshot."""
        rhos, agreement = self.rhos, self.agreement[choice]
        gramians, perturbed_losses = (self.recorded[choice][key] for key in ("gramians", "perturbed_losses"))
        T, angles = len(self.tasks), gramian_angles(gramians)
        norms = gramians.diagonal(dim1=-2, dim2=-1).sqrt()
        parts = {f"norms-{k}": norms[:, T + k] for k in self.tasks}
        ratios = (norms[:, T:] / norms[:, :T]).tolist()
        head = "norms of flat parts (thin: loss)<br>flat / loss: "
        traces = {
            **self.angles.at(angles),
            **self.same.at(rhos, {"same": agreement}),
            **self.norms.at(rhos, parts | {f"loss-norm-{k}": norms[:, k] for k in self.tasks}),
            **self.head.at([head + ", ".join(f"{ratio:.2g}" for ratio in row) for row in ratios]),
            **self.losses.at(rhos, {f"losses-{k}": perturbed_losses[:, k] for k in self.tasks}),
        }
        widest = {part: angles[part].nan_to_num(-1).amax(-1) for part in ("loss", "flat")}
        loss, flat = (degrees_texts(a.masked_fill(a < 0, torch.nan)) for a in widest.values())
        sentence = (
            "ρ = {rho:.7g}: flat parts up to {flat} apart, loss parts {loss}; "
            "cos(decomposed, direct) {cosine:.3f}, {method}."
        )
        return Table(
            traces,
            sentences(sentence, rho=rhos, flat=flat, loss=loss[0], cosine=agreement, method=self.method),
        )


def _rho_axis(rhos: Tensor) -> dict:
    ticks = rhos[torch.linspace(0, len(rhos) - 1, min(len(rhos), 3)).round().long()].tolist()
    low, high = rhos[[0, -1]].log10().tolist()
    axis = dict(type="log", range=[low - 0.05, high + 0.05], title="ρ")
    return axis | dict(tickvals=ticks, ticktext=[f"{rho:.2g}" for rho in ticks])
