"""Which passes a step needs: one backward pass for all tasks where that is enough, else one per task."""

from dataclasses import dataclass

from .aggregation import Aggregator, Constant, LossWeighting, Mean
from .cheaper import Cheaper
from .perturbation import Perturbation

PRIORITIES = ("loss_first", "flat_first")  # rules whose direction is no weighted sum of the tasks


@dataclass(frozen=True)
class Needs:
    """What the passes of a step must yield.

    Attributes:
        weighting: the aggregator, if one backward pass of its weighted losses is enough at every point.
        split: whether loss and flat part are needed by themselves; else the gradients at θ+ε are enough, and
            at θ the gradient of the mean loss.
    """

    weighting: Mean | LossWeighting | None = None
    split: bool = True

    @property
    def task_gradients(self) -> bool:
        """Whether every point takes one backward pass per task."""
        return self.weighting is None and self.split


def needs(
    aggregate: Aggregator,
    rule: str,
    perturbation: Perturbation,
    cheaper: Cheaper,
    noise: float,
    in_parts: bool = False,
) -> Needs:
    """Return what a step needs.

    Args:
        aggregate, rule, perturbation, cheaper, noise: those of the step. ``rule`` is the rule in force.
        in_parts: whether the batch comes in several micro-batches or processes.
    """
    if noise > 0:  # its size comes from the angles at θ
        return Needs()
    if rule == "erm":
        # other loss weightings read the losses of the whole batch, which no single part knows
        one_pass = isinstance(aggregate, (Mean, Constant) if in_parts else (Mean, LossWeighting))
    else:
        weighs = isinstance(aggregate, Mean) or (isinstance(aggregate, LossWeighting) and cheaper.every == 1)
        weighs = weighs and rule not in PRIORITIES
        one_pass = weighs and perturbation.is_common and cheaper.tasks == cheaper.batch == 1
    if one_pass and isinstance(aggregate, (Mean, LossWeighting)):
        return Needs(weighting=aggregate)
    return Needs(split=rule != "direct" or perturbation.reads_tasks or not cheaper.is_trivial)
