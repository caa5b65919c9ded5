"""The log of one epoch: it collects losses and Gramians step by step and makes the entries at the end."""

import statistics
from typing import Any

import torch
from torch import Tensor

from ...aggregation import Aggregator, GramianAggregator
from ...diagnostics import cosines_of_gramian, rule_cosine
from .rounding import rounded

BINS = 20  # of a histogram of cosines, -1..1
PARTS = ("loss", "flat", "intra")


class EpochLog:
    """Losses and Gramians of the steps of one epoch.

    At the end of the epoch they become two kinds of entries. An entry of kind "step" holds:

    * ``step``, and ``epoch`` as a fraction;
    * ``loss``: cosines between the loss gradients of each pair of tasks, and their ``norms``;
    * where flat gradients were taken, ``flat``: the cosines between the flat gradients; ``intra``: the cosine
      of each task's loss gradient with its own flat gradient; ``flat_norms``;
    * now and then ``same``: the cosine of the decomposed update with the direct one. Only an aggregator that
      is a weighting of the Gramian has it. If it has a memory, it is the memory at the end of the epoch.

    The entry of kind "epoch" holds ``losses``, means over the epoch, the shares of negative cosines
    (``conflict``) and their ``histograms``.

    Attributes:
        loss_sum, perturbed_loss_sum: (T,), sums over the steps of the epoch; None before the first step.
        gramians: for each measured step its number within the epoch and the Gramian (2T, 2T) of loss and flat
            gradients, 0 where no flat gradients were taken.
    """

    def __init__(self) -> None:
        self.loss_sum: Tensor | None = None
        self.perturbed_loss_sum: Tensor | None = None
        self.gramians: list[tuple[int, Tensor]] = []

    def add_losses(self, losses: Tensor, perturbed_losses: Tensor | None) -> None:
        """Add the losses (T,) of a step, and the losses at the perturbed weights if there are any."""
        self.loss_sum = _sum(self.loss_sum, losses)
        if perturbed_losses is not None:
            self.perturbed_loss_sum = _sum(self.perturbed_loss_sum, perturbed_losses)

    def state_dict(self) -> dict[str, Any]:
        """Return all that was collected."""
        return {
            "losses": self.loss_sum,
            "perturbed_losses": self.perturbed_loss_sum,
            "seen": self.gramians,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Put back what :meth:`state_dict` returned; the sums go to the device."""
        self.loss_sum, self.perturbed_loss_sum = (
            None if state[name] is None else state[name].to(device) for name in ("losses", "perturbed_losses")
        )
        self.gramians = state["seen"]

    def step_entries(
        self, epochs_done: int, steps_per_epoch: int, measure_every: int, aggregate: Aggregator
    ) -> list[dict]:
        """Return one entry of kind "step" for each measured step.

        Args:
            epochs_done: epochs before this one.
            steps_per_epoch: number of steps of an epoch.
            measure_every: steps between the entries that have ``same``.
            aggregate: the aggregator of the run.
        """
        entries = []
        for position, gramian in self.gramians:
            values = _cosines_and_norms(gramian)
            is_due = "flat" in values and position % measure_every == 0
            # a later Gramian has no losses with it
            if is_due and isinstance(aggregate, GramianAggregator) and not aggregate.reads_losses:
                values["same"] = torch.tensor(rule_cosine(gramian, aggregate, "decomposed", "direct"))
            place = {
                "step": epochs_done * steps_per_epoch + position,
                "epoch": epochs_done + position / steps_per_epoch,
            }
            entries.append({"kind": "step", **place, **rounded(values, 6)})
        return entries

    def epoch_entry(self, steps: list[dict], steps_per_epoch: int) -> dict:
        """Return the values of the entry of kind "epoch".

        Args:
            steps: the entries of all measured steps of the epoch.
            steps_per_epoch: number of steps of an epoch.
        """
        assert self.loss_sum is not None, "an epoch has at least one step"
        entry: dict[str, Any] = {"losses": rounded(self.loss_sum / steps_per_epoch, 6)}
        if self.perturbed_loss_sum is not None:
            entry["perturbed_losses"] = rounded(self.perturbed_loss_sum / steps_per_epoch, 6)
        conflict, histograms = {}, {}
        for part in PARTS:
            cosines = torch.tensor([cosine for step in steps if part in step for cosine in step[part]])
            if len(cosines):
                conflict[part] = rounded((cosines < 0).double().mean(), 6)
                histograms[part] = cosines.histc(BINS, -1, 1).long().tolist()
        if conflict:
            entry |= {"conflict": conflict, "histograms": histograms}
        same = [step["same"] for step in steps if "same" in step]
        if same:
            entry["same"] = round(statistics.mean(same), 6)
        return entry


def _cosines_and_norms(gramian: Tensor) -> dict[str, Tensor]:
    tasks, gramian = len(gramian) // 2, gramian.double()
    cosines, norms = cosines_of_gramian(gramian), gramian.diagonal().clamp_min(0).sqrt()
    pairs = torch.triu_indices(tasks, tasks, offset=1).unbind()
    values = {"loss": cosines[:tasks, :tasks][pairs], "norms": norms[:tasks]}
    if bool(norms[tasks:].any()):
        values |= {
            "flat": cosines[tasks:, tasks:][pairs],
            "intra": cosines[:tasks, tasks:].diagonal(),
            "flat_norms": norms[tasks:],
        }
    return values


def _sum(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more
