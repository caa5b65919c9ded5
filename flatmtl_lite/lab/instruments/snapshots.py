"""The snapshot instrument: one ρ on the recorded gradients of a real run."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...diagnostics import cosines_of_gramian, rule_cosine
from ..figures.axes import whole_decades
from ..figures.style import GREEN
from ..predictions.predict import Prediction
from ..stage.stage import Stage
from .parts.angles import AngleRows, degrees_between, degrees_texts
from .parts.curve import Curves, task_styles
from .parts.labels import draw_title
from .parts.opening import Drawing, menu, open_stage, sentences, slider
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
    for snapshot in recorded.values():
        snapshot["agreement"] = rule_cosines(snapshot["gramians"], method)
    braced = repr(lines).replace("{", "{{").replace("}", "}}")
    recipe = f"lab.snapshot_instrument({braced}, {tasks!r}, {{value}}, {method!r}, {{choice}})"
    rho = rhos[0].item() if rho is None else rho
    shown = list(recorded)[-1] if shown is None else shown
    controls = slider("ρ", rhos, "rho", rho, "{:.7g}".format) | menu("snapshot", recorded, shown)
    return open_stage("Snapshot instrument", recipe, controls, after, _draw, rhos, recorded, tasks, method)


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


def _draw(rhos: Tensor, recorded: Snapshots, tasks: Sequence[str], method: str, choice: str) -> Drawing:
    """Draw one of the snapshots. The axes have room for all of them."""
    keys = ("gramians", "perturbed_losses", "agreement")
    gramians, perturbed_losses, cosine = (recorded[choice][key] for key in keys)
    T, degrees, x = len(tasks), gramian_angles(gramians), _rho_axis(rhos)
    angles = AngleRows(tasks, degrees)

    norms = gramians.diagonal(dim1=-2, dim2=-1).sqrt()
    squares = torch.cat([s["gramians"].diagonal(dim1=-2, dim2=-1) for s in recorded.values()])
    flat, thin = task_styles("norms", tasks), task_styles("loss-norm", tasks)
    loss = {uid: ("", look | dict(width=1.2)) for uid, (_, look) in thin.items()}
    y = whole_decades(squares[squares > 0].sqrt())
    lengths = Curves(None, x, y, {**flat, **loss}, rhos, norms.roll(T, -1).T, share=1.3, room=2)
    head = "norms of flat parts (thin: loss)<br>flat / loss: "
    ratios = [", ".join(f"{ratio:.2g}" for ratio in row) for row in (norms[:, T:] / norms[:, :T]).tolist()]
    draw_title(lengths, "norms title", [head + row for row in ratios])

    highest = torch.cat([snapshot["perturbed_losses"] for snapshot in recorded.values()]).max().item()
    y = dict(range=[0, 1.08 * highest])
    losses = Curves("losses at θ+ε", x, y, task_styles("losses", tasks), rhos, perturbed_losses.T)
    lowest = torch.cat([snapshot["agreement"] for snapshot in recorded.values()]).min().item()
    room = 0.15 * (1 - lowest) + 1e-4
    y = dict(range=[lowest - room, 1 + room], nticks=4)
    style = {"same": ("", dict(color=GREEN))}
    same = Curves(f"cos(decomposed, direct), {method}", x, y, style, rhos, [cosine], share=0.8)

    widest = [degrees[part].nan_to_num(-1).amax(-1) for part in ("loss", "flat")]
    between, apart = (degrees_texts(a.masked_fill(a < 0, torch.nan)) for a in widest)
    sentence = "ρ = {rho:.7g}: flat parts up to {flat} apart, loss parts {loss}; "
    sentence += "cos(decomposed, direct) {cosine:.3f}, {method}."
    words = sentences(sentence, rho=rhos, flat=apart, loss=between[0], cosine=cosine, method=method)
    return Picture(angles, [[lengths], [losses], [same]]), words


def _rho_axis(rhos: Tensor) -> dict:
    ticks = rhos[torch.linspace(0, len(rhos) - 1, min(len(rhos), 3)).round().long()].tolist()
    low, high = rhos[[0, -1]].log10().tolist()
    axis = dict(type="log", range=[low - 0.05, high + 0.05], title="ρ")
    return axis | dict(tickvals=ticks, ticktext=[f"{rho:.2g}" for rho in ticks])
