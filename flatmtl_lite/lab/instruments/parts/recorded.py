"""Snapshot lines of a run's log as tensors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

KEYS = ("rho", "losses", "perturbed_losses", "gramians")

Lines = Mapping[str, Mapping]  # name of a snapshot -> its line
Snapshots = Mapping[str, dict[str, Tensor]]  # name of a snapshot -> its tensors


def shorten(snapshots: Mapping[str, Mapping] | Sequence[Mapping]) -> dict[str, dict]:
    """Return name -> line with ``KEYS`` alone and seven digits, the digits of float32.

    The recipe of the instrument carries all of these numbers, so it stays short. A sequence of lines is
    named by the epochs.
    """
    if not isinstance(snapshots, Mapping):
        snapshots = {f"epoch {line['epoch']}": line for line in snapshots}
    return {name: {key: _short(line[key]) for key in KEYS} for name, line in snapshots.items()}


def read_snapshots(lines: Lines) -> tuple[Tensor, Snapshots]:
    """Return the radii above 0, (R,), and the losses at θ+ε and the Gramians at these radii, in float64.

    Raises:
        ValueError: there is no snapshot, there are not two to four tasks, no ρ is above 0, or a snapshot
            does not fit the first.
    """
    if not lines:
        raise ValueError("Got no snapshot; expected at least one line of a log with kind 'snapshot'.")
    first = next(iter(lines.values()))
    rhos, T = torch.tensor(first["rho"], dtype=torch.float64), len(first["losses"])
    if not 2 <= T <= 4 or not (rhos > 0).any():
        raise ValueError(
            f"Got snapshots of {T} tasks at ρ = {first['rho']}; expected two to four tasks and a ρ above 0."
        )
    snapshots = {}
    for name, line in lines.items():
        tensors = {key: torch.tensor(line[key], dtype=torch.float64) for key in KEYS}
        shapes = [tuple(tensors[key].shape) for key in KEYS]
        R = len(rhos)
        expected = [(R,), (T,), (R, T), (R, 2 * T, 2 * T)]
        if shapes != expected or not torch.equal(tensors["rho"], rhos):
            raise ValueError(
                f"Got {name!r} with radii {line['rho']} and shapes {dict(zip(KEYS, shapes))}; expected radii "
                f"{first['rho']} and shapes {dict(zip(KEYS, expected))}, the same in all snapshots."
            )
        snapshots[name] = {key: tensors[key][rhos > 0] for key in ("perturbed_losses", "gramians")}
    return rhos[rhos > 0], snapshots


def _short(values: float | Sequence) -> float | list:
    return [_short(value) for value in values] if isinstance(values, Sequence) else float(f"{values:.7g}")
